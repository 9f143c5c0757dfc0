"""The optimizer and its learning rate.

optimizer = make_optimizer("one_cycle", learning_rate=3e-3, weight_decay=1e-2, num_steps=1500)
"""

import functools
import math

import keras
from keras import ops

# One cycle: up from a 25th of the peak in the first quarter of the steps, then down to nothing, both along a cosine.
_WARM_SHARE = 0.25
_FIRST = 1 / 25
_LAST = 1e-4


@keras.saving.register_keras_serializable(package="digitwise")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate climbs to `peak` and comes down again, once over the whole training."""

    def __init__(self, peak, num_steps):
        super().__init__()
        self.peak = peak
        self.num_steps = num_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        warm = max(1.0, _WARM_SHARE * self.num_steps)
        rising = _between(_FIRST, 1.0, step / warm)
        falling = _between(1.0, _LAST, (step - warm) / max(1.0, self.num_steps - warm))
        return self.peak * ops.where(step < warm, rising, falling)

    def get_config(self):
        return {"peak": self.peak, "num_steps": self.num_steps}


class Constant(keras.optimizers.schedules.LearningRateSchedule):
    """The same learning rate at every step."""

    def __init__(self, learning_rate):
        super().__init__()
        self.learning_rate = learning_rate

    def __call__(self, step):
        return ops.cast(self.learning_rate, "float32")

    def get_config(self):
        return {"learning_rate": self.learning_rate}


SCHEDULES = {
    "one_cycle": OneCycle,
    "constant": lambda learning_rate, num_steps: Constant(learning_rate),
}


OPTIMIZERS = {
    "adamw": keras.optimizers.AdamW,  # which with weight_decay 0 is Adam
    "adadelta": functools.partial(keras.optimizers.Adadelta, epsilon=1e-8),  # as Keras had it when it was in use
}


def make_optimizer(schedule, learning_rate, weight_decay, num_steps, precision="float32", optimizer="adamw"):
    """Its variables have fixed names, so that a checkpoint knows them."""
    optimizer = OPTIMIZERS[optimizer](
        SCHEDULES[schedule](learning_rate, num_steps), weight_decay=weight_decay, name="optimizer"
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if precision == "float16":
        # bfloat16 has the range of float32; float16 loses small gradients unless the loss is scaled up.
        return keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale")
    return optimizer


def learning_rate_at(schedule, learning_rate, num_steps, step):
    """The rate of a step as a float, for logs."""
    return float(SCHEDULES[schedule](learning_rate, num_steps)(step))


def _between(first, last, share):
    return first + (last - first) * (1 - ops.cos(math.pi * ops.clip(share, 0.0, 1.0))) / 2
