"""What a validation changes in the state of a training, and when that ends: no TensorFlow, no files.

state = after_steps(state, losses, accuracies)      # of the batches
state = after_validation(state, step, result)
state = paced(state, step, result, rules, time_share=0.4)
state = dataclasses.replace(state, finished=reason_to_end(state, step, asked, epochs))
"""

import dataclasses
from collections.abc import Iterable

from pipeline.config import TrainConfig
from pipeline.model.pace import Pace
from pipeline.model.spec import ModelSpec
from pipeline.model.state import Best, TrainingState, ValidationResult
from pipeline.training.pace import PaceRules
from pipeline.training.pace import after_validation as pace_after_validation
from records.errors import counted

_LIMITS = {"time": ", as --max_minutes was near", "steps": ", as no training sees more images"}
_LEARNED_SHARE = 0.1  # of what guessing leaves to be read


def after_steps(state: TrainingState, losses: Iterable[float], accuracies: Iterable[float]) -> TrainingState:
    """For a training that finds its own length: what its batches came to, until that length is known."""
    pace = state.pace or Pace()
    if pace.anneal_step is not None:
        return state
    return dataclasses.replace(state, pace=dataclasses.replace(pace, batches=pace.batches.plus(losses, accuracies)))


def after_validation(state: TrainingState, step: int, result: ValidationResult | None) -> TrainingState:
    """`result` is None where there is no validation split: then the last step is the best one."""
    if result is None:
        return dataclasses.replace(state, validated_step=step, best=Best(step))
    highest, is_highest = state.highest, False
    if highest is None or result.rank > highest.rank:
        highest, is_highest = result, True
    best = Best(step, result) if result.is_as_good_as(highest) else state.best
    # Nothing improves on the plateau at the beginning, and a training must not be ended for that.
    improved = is_highest or is_guessing(result.position_accuracy, _num_classes(state.spec))
    stale = 0 if improved else state.stale_validations + 1
    return dataclasses.replace(state, validated_step=step, best=best, highest=highest, stale_validations=stale)


def paced(
    state: TrainingState, step: int, result: ValidationResult, rules: PaceRules, time_share: float
) -> TrainingState:
    """For a training that finds its own length: what a validation says of that. The decision is part of the state, so
    a training that is continued keeps to it, whatever time it takes then."""
    before = state.pace or Pace()
    guesses = is_guessing(result.position_accuracy, _num_classes(state.spec))
    pace = pace_after_validation(rules, before, step, result, time_share, guesses)
    return dataclasses.replace(state, pace=pace, num_steps=pace.last_step or state.num_steps)


def reason_to_end(state: TrainingState, step: int, asked: TrainConfig, epochs: int) -> str | None:
    """Why the training ends after a validation at `step`, for people; None where it continues."""
    best = state.best.result.sequence_accuracy if state.best and state.best.result else None
    if asked.target_accuracy is not None and best is not None and best >= asked.target_accuracy:
        return f"sequence_accuracy {best:.4f} on validation reached --target_accuracy={asked.target_accuracy:g}"
    if step == state.num_steps:
        if state.pace and state.pace.anneal_step is not None:
            came_down = f"the learning rate came down from step {state.pace.anneal_step:,} to {step:,}"
            return came_down + _LIMITS.get(state.pace.reason, "")
        return f"all {epochs} epochs" if epochs > 1 else "its only epoch"
    if not state.pace and asked.patience and state.stale_validations >= asked.patience:
        return f"{counted(asked.patience, 'validation')} without improvement, --patience={asked.patience}"
    return None


def _num_classes(spec: ModelSpec) -> int:
    """How many a guess chooses from: where lengths vary, the end of a code is one more."""
    return len(spec.alphabet) + (spec.min_length < spec.max_length)


def is_guessing(position_accuracy: float, num_classes: int) -> bool:
    """Whether a network reads hardly more characters than one that guesses."""
    chance = 1 / num_classes
    return position_accuracy < chance + _LEARNED_SHARE * (1 - chance)
