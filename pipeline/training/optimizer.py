"""The optimizer. Its learning rate is a variable, which `Steps` sets before each step.

optimizer = make_optimizer(learning_rate=3e-3, weight_decay=1e-2)
state_of(optimizer)                 # the variables that a checkpoint has to hold
"""

import functools
from collections.abc import Callable

import keras

OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adamw": keras.optimizers.AdamW,  # which with weight_decay 0 is Adam
    "adadelta": functools.partial(keras.optimizers.Adadelta, epsilon=1e-8),  # as Keras had it when it was in use
}
_RATE = "learning_rate"


def make_optimizer(
    learning_rate: float, weight_decay: float, precision: str = "float32", optimizer: str = "adamw"
) -> keras.optimizers.Optimizer:
    """Its variables have fixed names, so that a checkpoint knows them."""
    made = OPTIMIZERS[optimizer](float(learning_rate), weight_decay=weight_decay, name="optimizer")
    # Decay keeps kernels small. A bias or a norm's scale has nothing to do with overfitting, and pulled to zero it
    # would only be learned again.
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if precision == "float16":
        # bfloat16 has the range of float32; float16 loses small gradients unless the loss is scaled up.
        return keras.optimizers.LossScaleOptimizer(made, name="loss_scale")
    return made


def rate_of(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """The variable that holds the learning rate."""
    inner = optimizer.inner_optimizer if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) else optimizer
    return next(variable for variable in inner.variables if variable.name == _RATE)


def state_of(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """All its variables but the learning rates, which are set at every step."""
    return [variable for variable in optimizer.variables if variable.name != _RATE]
