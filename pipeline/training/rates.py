"""The learning rate of each step: pure arithmetic.

one_cycle(0.003, num_steps=1500, step=700)
SCHEDULES["constant"](0.003, 1500, 700)
"""

import math
from collections.abc import Callable

# One cycle: up from 1/25 of the peak in the first quarter of the steps, then down to nothing, both along a cosine.
_WARM_SHARE = 0.25
FIRST: float = 1 / 25
_LAST = 1e-4


def one_cycle(peak: float, num_steps: int, step: int) -> float:
    """Up to `peak` and down again, once over the whole training."""
    warm = max(1.0, _WARM_SHARE * num_steps)
    if step < warm:
        return peak * between(FIRST, 1.0, step / warm)
    return peak * between(1.0, _LAST, (step - warm) / max(1.0, num_steps - warm))


def constant(learning_rate: float, num_steps: int, step: int) -> float:
    """The same at every step."""
    return learning_rate


AUTO = "auto"  # the schedule of `pipeline.training.pace`
# Those that know from the beginning how many steps there are.
SCHEDULES: dict[str, Callable[[float, int, int], float]] = {"one_cycle": one_cycle, "constant": constant}


def between(first: float, last: float, share: float) -> float:
    """From `first` to `last` along a cosine, as `share` goes from 0 to 1."""
    return first + (last - first) * (1 - math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2
