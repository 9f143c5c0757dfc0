"""How long a training is, found while it runs: full rate while validation improves, then down to zero, then the end.

    rules = PaceRules(peak=3e-3, warm_steps=100, patience=4, most_steps=6000)
    pace = Pace()
    rate = learning_rate(rules, pace, step)                    # at each step
    pace = after_validation(rules, pace, step, result, time_share=0.4)
    pace.last_step                                             # None until the end is in sight

Both are functions of their arguments alone: `Pace` is all that a checkpoint has to keep for a training to continue the
way it would have.
"""

import dataclasses
import math

from pipeline.model.metrics import wilson_interval
from pipeline.model.pace import Batches, Pace, Reason
from pipeline.model.state import ValidationResult
from pipeline.training.rates import FIRST, between

ANNEAL_SHARE = 2.0  # of the steps at full rate: how many more steps the way down takes
TIME_AT_FULL_RATE = 1 / (1 + ANNEAL_SHARE)  # of all the time that there is
# Once the next validation would come later than this, the way down begins: it would be cut short.
LATEST_TIME = 0.85
GAIN = 0.1  # a loss that falls by less than this share of itself is no gain
# Training batches of which more than one character in twenty is misread, and whose loss still falls, by more than this
# share of itself: there is more to learn, whether or not a few hundred validation codes show it.
LEARNED_ACCURACY = 0.95
LEARNING_GAIN = 0.02
# Where all codes of the validation split are right and the loss is below this, hardly one in hundreds would be wrong.
SMALL_LOSS = 1e-3
# Where validation shows, at 95 %, that more of all codes than this are read right, the others are learned best on the
# way down: no validation gains anything that counts, and the way down takes the rest of the usual length.
NEARLY_ALL = 0.975


@dataclasses.dataclass(frozen=True)
class PaceRules:
    """What was asked for. `most_steps` is the limit of steps at full rate and on the way down together."""

    peak: float
    warm_steps: int
    patience: int  # validations without a gain; 0: as many as there are
    most_steps: int
    patient_times: int = 1  # so many times the patience where validation shows that not nearly all codes are read right
    # At full rate: before these, validations without a gain are not counted, unless nothing can be gained any more.
    least_steps: int = 0
    validation_every: int = 0  # steps


def after_validation(
    rules: PaceRules, pace: Pace, step: int, result: ValidationResult, time_share: float, is_guessing: bool = False
) -> Pace:
    """`result` is what was read with averaged weights: these read as the weights will when the rate has come down.
    `time_share` is how much of the time allowed is used up. As long as nothing but guessing has been learned, or the
    training batches show that it underfits and learns, only the time and the steps count."""
    if pace.anneal_step is not None:
        return pace
    wrong, loss = 1.0 - result.sequence_accuracy, result.loss or 0.0
    can_gain = wrong > 0 or loss > SMALL_LOSS
    low, high = wilson_interval(result.right, result.count)
    is_nearly_all = low > NEARLY_ALL
    # A single code more may be chance.
    gained = not is_nearly_all and (
        pace.least_wrong - wrong > 1.5 / result.count or (can_gain and loss < pace.least_loss * (1 - GAIN))
    )
    learned = pace.batches.loss / max(1, pace.batches.steps)
    least_steps = rules.least_steps if can_gain else min(rules.least_steps, rules.warm_steps)
    is_early = not is_nearly_all and (is_guessing or step < least_steps or _underfits(pace, learned))
    if pace.batches.steps:
        pace = dataclasses.replace(pace, batches=Batches(), least_learned=min(learned, pace.least_learned))
    if gained:  # small gains add up to one
        pace = dataclasses.replace(
            pace, least_wrong=min(wrong, pace.least_wrong), least_loss=min(loss, pace.least_loss)
        )
    pace = dataclasses.replace(pace, stale=0 if gained or is_early else pace.stale + 1)
    if high < NEARLY_ALL:  # more is to be gained, slowly
        rules = dataclasses.replace(rules, patience=rules.patience * rules.patient_times)
    reason = _reason_to_come_down(rules, pace, step, time_share, is_nearly_all)
    if reason is None:
        return pace
    # Never longer than the steps that are left, nor than the time is likely to.
    steps = math.ceil(step * ANNEAL_SHARE)
    if reason == "learned":
        steps = max(steps, math.ceil(least_steps * (1 + ANNEAL_SHARE)) - step)
    if time_share > 0:
        steps = max(1, min(steps, round(step * (1 - time_share) / time_share)))
    return dataclasses.replace(
        pace, anneal_step=step, last_step=min(step + steps, max(step, rules.most_steps)), reason=reason
    )


def _reason_to_come_down(
    rules: PaceRules, pace: Pace, step: int, time_share: float, is_nearly_all: bool
) -> Reason | None:
    if pace.is_stale(rules.patience):
        return "learned" if is_nearly_all else "patience"
    next_share = time_share * (step + rules.validation_every) / step
    if max(time_share / TIME_AT_FULL_RATE, next_share / LATEST_TIME) >= 1:
        return "time"
    return "steps" if step * (1 + ANNEAL_SHARE) >= rules.most_steps else None


def _underfits(pace: Pace, learned: float) -> bool:
    """Whether many characters of the training batches are misread still, and fewer than before."""
    misreads = pace.batches.accuracy < LEARNED_ACCURACY * pace.batches.steps
    return misreads and learned < pace.least_learned * (1 - LEARNING_GAIN)


def learning_rate(rules: PaceRules, pace: Pace, step: int) -> float:
    """Up along a cosine, level, and once it was decided down along a cosine to nothing."""
    rate = rules.peak * between(FIRST, 1.0, step / max(1, rules.warm_steps))
    if pace.anneal_step is None or pace.last_step is None:
        return rate
    return rate * between(1.0, 0.0, (step - pace.anneal_step) / max(1, pace.last_step - pace.anneal_step))
