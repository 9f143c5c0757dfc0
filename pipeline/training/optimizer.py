"""The optimizer and its learning rate.

optimizer = make_optimizer("one_cycle", learning_rate=3e-3, weight_decay=1e-2, num_steps=1500)
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

# One cycle: up from 1/25 of the peak in the first quarter of the steps, then down to nothing, both along a cosine.
_WARM_SHARE = 0.25
_FIRST = 1 / 25
_LAST = 1e-4


@keras.saving.register_keras_serializable(package="digitwise")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate climbs to `peak` and comes down again, once over the whole training."""

    def __init__(self, peak: float, num_steps: int) -> None:
        super().__init__()
        self.peak = peak
        self.num_steps = num_steps

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        warm = max(1.0, _WARM_SHARE * self.num_steps)
        rising = _between(_FIRST, 1.0, step / warm)
        falling = _between(1.0, _LAST, (step - warm) / max(1.0, self.num_steps - warm))
        return self.peak * ops.where(step < warm, rising, falling)

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "num_steps": self.num_steps}


class Constant(keras.optimizers.schedules.LearningRateSchedule):
    """The same learning rate at every step."""

    def __init__(self, learning_rate: float) -> None:
        super().__init__()
        self.learning_rate = learning_rate

    def __call__(self, step: Any) -> Any:
        return ops.cast(self.learning_rate, "float32")

    def get_config(self) -> dict[str, Any]:
        return {"learning_rate": self.learning_rate}


SCHEDULES: dict[str, Callable[[float, int], keras.optimizers.schedules.LearningRateSchedule]] = {
    "one_cycle": OneCycle,
    "constant": lambda learning_rate, num_steps: Constant(learning_rate),
}


OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adamw": keras.optimizers.AdamW,  # which with weight_decay 0 is Adam
    "adadelta": functools.partial(keras.optimizers.Adadelta, epsilon=1e-8),  # as Keras had it when it was in use
}


def make_optimizer(
    schedule: str,
    learning_rate: float,
    weight_decay: float,
    num_steps: int,
    precision: str = "float32",
    optimizer: str = "adamw",
) -> keras.optimizers.Optimizer:
    """Its variables have fixed names, so that a checkpoint knows them."""
    rate = SCHEDULES[schedule](learning_rate, num_steps)
    made = OPTIMIZERS[optimizer](rate, weight_decay=weight_decay, name="optimizer")
    # Decay keeps kernels small. A bias or a norm's scale has nothing to do with overfitting, and pulled to zero it
    # would only be learned again.
    made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if precision == "float16":
        # bfloat16 has the range of float32; float16 loses small gradients unless the loss is scaled up.
        return keras.optimizers.LossScaleOptimizer(made, name="loss_scale")
    return made


def learning_rate_at(schedule: str, learning_rate: float, num_steps: int, step: float) -> float:
    """The rate of a step as a float, for logs."""
    return float(SCHEDULES[schedule](learning_rate, num_steps)(step))


def _between(first: float, last: float, share: Any) -> Any:
    return first + (last - first) * (1 - ops.cos(math.pi * ops.clip(share, 0.0, 1.0))) / 2
