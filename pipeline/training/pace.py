"""How long a training is, found while it runs: full rate while validation improves, then down to zero, then the end.

    rules = PaceRules(peak=3e-3, warm_steps=100, patience=4, most_steps=6000)
    pace = Pace()
    rate = learning_rate(rules, pace, step)                    # at each step
    pace = after_validation(rules, pace, step, wrong=0.021, loss=0.08, time_share=0.4)
    pace.last_step                                             # None until the end is in sight

Both are functions of their arguments alone: `Pace` is all that a checkpoint has to keep for a training to continue the
way it would have.
"""

import dataclasses
import math

ANNEAL_SHARE = 0.4  # of the steps at full rate: how many more steps the way down takes
TIME_AT_FULL_RATE = 1 / (1 + ANNEAL_SHARE)  # of all the time that there is
FIRST = 1 / 25  # of the peak
GAIN = 0.05  # a loss that falls by less than this share of itself is no gain


@dataclasses.dataclass(frozen=True)
class PaceRules:
    """What was asked for. `most_steps` is the limit of steps at full rate and on the way down together."""

    peak: float
    warm_steps: int
    patience: int  # validations without a gain
    most_steps: int


@dataclasses.dataclass(frozen=True)
class Pace:
    """Where a training stands: `anneal_step` and `last_step` are None as long as it runs at full rate."""

    least_wrong: float = math.inf
    least_loss: float = math.inf
    stale: int = 0
    anneal_step: int | None = None
    last_step: int | None = None


def after_validation(rules: PaceRules, pace: Pace, step: int, wrong: float, loss: float, time_share: float) -> Pace:
    """`wrong` is the share of codes read wrong and `loss` the mean loss, both with averaged weights: these read as the
    weights will when the rate has come down. `time_share` is how much of the time allowed is used up."""
    if pace.anneal_step is not None:
        return pace
    gained = wrong < pace.least_wrong or loss < pace.least_loss * (1 - GAIN)
    pace = dataclasses.replace(
        pace,
        least_wrong=min(wrong, pace.least_wrong),
        least_loss=min(loss, pace.least_loss),
        stale=0 if gained else pace.stale + 1,
    )
    is_late = time_share >= TIME_AT_FULL_RATE or step * (1 + ANNEAL_SHARE) >= rules.most_steps
    if pace.stale < rules.patience and not is_late:
        return pace
    # Never longer than the steps that are left, nor than the time is likely to.
    steps = min(math.ceil(step * ANNEAL_SHARE), max(1, rules.most_steps - step))
    if time_share > 0:
        steps = max(1, min(steps, round(step * (1 - time_share) / time_share)))
    return dataclasses.replace(pace, anneal_step=step, last_step=step + steps)


def learning_rate(rules: PaceRules, pace: Pace, step: int) -> float:
    """Up along a cosine, level, and once it was decided down along a cosine to nothing."""
    rate = rules.peak * _between(FIRST, 1.0, step / max(1, rules.warm_steps))
    if pace.anneal_step is None or pace.last_step is None:
        return rate
    return rate * _between(1.0, 0.0, (step - pace.anneal_step) / (pace.last_step - pace.anneal_step))


def _between(first: float, last: float, share: float) -> float:
    return first + (last - first) * (1 - math.cos(math.pi * min(max(share, 0.0), 1.0))) / 2
