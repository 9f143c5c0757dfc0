"""What happens between the steps of a training: looks, validations, saves, stops.

    loop = Loop(plan, learner, validator, saver, reporter, interrupts)
    state = loop.run(feed.distributed(strategy, step), step, state)

`Steps` runs steps; `Loop` decides what comes between them.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline.machine.devices import is_multi_worker
from pipeline.model.state import TrainingState, ValidationResult
from pipeline.training.display import Speed
from pipeline.training.interrupts import Interrupts
from pipeline.training.learner import Learner
from pipeline.training.pace import TIME_AT_FULL_RATE
from pipeline.training.peers import check_same_step, longest
from pipeline.training.plan import Plan
from pipeline.training.progress import after_steps, after_validation, paced, reason_to_end
from pipeline.training.reporter import SilentReporter
from pipeline.training.saver import NotFinite, Saver
from pipeline.training.steps import Call
from pipeline.training.validation import Validator
from records.errors import DigitwiseError

_CALL_SECONDS = 0.1  # of steps in one call: long enough to hide what a call costs, short enough to stop soon


class Loop:
    """What happens between the steps: looks, validations, saves, stops."""

    def __init__(
        self,
        plan: Plan,
        learner: Learner,
        validator: Validator | None,
        saver: Saver,
        reporter: SilentReporter,
        interrupts: Interrupts,
    ) -> None:
        self._plan = plan
        self._learner = learner
        self._validator = validator
        self._saver = saver
        self._reporter = reporter
        self._interrupts = interrupts
        self._speed = Speed()
        # A process alone may look when it likes; workers have to look together.
        self._alone = not is_multi_worker(learner.strategy)

    def run(self, batches: Iterator[Any], step: int, state: TrainingState) -> TrainingState:
        """Trains from `step` to the end, or until it is asked to stop."""
        self._step = self._looked_step = step
        self._state = state
        self._saver.begin(state)
        self._keep_to_pace()
        while not self._ended():
            self._advance(batches)
        self._reporter.stopped(self._state, self._step)
        check_same_step(self._learner.strategy, self._step)  # no worker leaves before the chief has saved
        return self._state

    def _ended(self) -> bool:
        """Validates where that is due, and says whether anything is left to do."""
        is_due = self._schedule.validation_due(self._step) or self._is_late()
        if is_due and self._state.validated_step != self._step:
            calibrated = self._validate()
            reason = reason_to_end(self._state, self._step, self._plan.asked, self._plan.length.epochs)
            self._state = dataclasses.replace(self._state, finished=reason)
            self._save(calibrated)
        return self._state.finished is not None

    def _advance(self, batches: Iterator[Any]) -> None:
        """Some steps, and what is due after them."""
        steps = self._learner.steps
        count = min(
            self._schedule.steps_to_event(self._step), steps.steps_per_call(self._speed.steps_in(_CALL_SECONDS))
        )
        rates = [self._plan.learning_rate(step, self._state.pace) for step in range(self._step, self._step + count)]
        call = Call.of(
            self._step,
            self._step - self._looked_step,
            rates,
            self._interrupts.asked,
            self._plan.remembers_from(self._state.pace),
        )
        self._reporter.advancing(self._step, rates[0])
        with self._speed.timed(count):
            steps.run(batches, call)
        self._step += count
        if self._schedule.look_due(self._step) or (self._interrupts.asked and self._alone):
            if self._look():
                self._leave()
            # A validation saves by itself.
            if not self._schedule.validation_due(self._step) and self._saver.due():
                self._save()

    def _look(self) -> bool:
        """Fetches what the steps came to; whether a worker was asked to stop."""
        tally = self._learner.steps.look(self._step - self._looked_step)
        first, self._looked_step = self._looked_step, self._step
        bad = [f"{first + i + 1} ({loss})" for i, loss in enumerate(tally.losses) if not np.isfinite(loss)]
        if bad:
            raise self._diverged(f"the loss is not finite at step {', '.join(bad)}")
        if self._plan.pace_rules:
            self._state = after_steps(self._state, tally.losses, tally.accuracies)
        self._reporter.looked(self._step, tally, self._speed)
        return bool(tally.stops.any() or (self._alone and self._interrupts.asked))

    def _validate(self) -> Mapping[str, np.ndarray]:
        """Gives the statistics that the validation read with."""
        self._learner.recognizer.step = self._step
        if self._validator is None:
            self._state = after_validation(self._state, self._step, None)
            with self._learner.reading() as calibrated:
                return calibrated
        validation = self._validator.run()
        self._state = after_validation(self._state, self._step, validation.result)
        is_best = self._state.best is not None and self._state.best.step == self._step
        self._reporter.validated(self._step, validation, is_best)
        self._find_pace(validation.result)
        return validation.calibrated

    def _find_pace(self, result: ValidationResult) -> None:
        """How long the training is to be, where that is left to it."""
        rules, before = self._plan.pace_rules, self._state.pace
        if rules is None:
            return
        seconds = longest(self._learner.strategy, self._saver.seconds)
        self._state = paced(self._state, self._step, result, rules, _time_share(self._plan, seconds))
        assert self._state.pace
        if self._state.pace.last_step and not (before and before.last_step):
            self._keep_to_pace()
            self._reporter.annealing(self._state)

    def _is_late(self) -> bool:
        """Whether the rate must come down before the next validation is due, or the training would not end in time."""
        is_open = self._plan.pace_rules and not (self._state.pace and self._state.pace.last_step)
        # Workers would have to ask each other at every look.
        if not is_open or not self._alone or not self._schedule.look_due(self._step):
            return False
        return self._step > 0 and _time_share(self._plan, self._saver.seconds) >= TIME_AT_FULL_RATE

    def _keep_to_pace(self) -> None:
        """The length in the state is that of the plan, or the one that was found."""
        schedule = self._plan.length.schedule
        if self._state.pace and self._state.pace.last_step:
            self._reporter.has_length(self._state.num_steps)
            # Nothing is decided any more on the way down, and the best checkpoint is one of the last.
            if not self._plan.asked.validation_steps:
                schedule = dataclasses.replace(schedule, validation_every=4 * schedule.validation_every)
        self._schedule = dataclasses.replace(schedule, num_steps=self._state.num_steps)

    def _save(self, calibrated: Mapping[str, np.ndarray] = MappingProxyType({})) -> None:
        try:
            self._state = self._saver.save(self._step, self._state, calibrated)
        except NotFinite as error:
            raise self._diverged(str(error)) from None

    def _leave(self) -> None:
        """Asked to stop: saves, and ends the process as the signal would have."""
        self._save()
        self._reporter.stopped(self._state, self._step)
        raise self._interrupts.exception()

    def _diverged(self, what: str) -> DigitwiseError:
        advice = f"try --overwrite with a lower --learning_rate than {self._plan.asked.learning_rate:g}"
        if self._plan.spec.precision != "float32":
            advice += ", or --precision=float32"
        return DigitwiseError(f"{what}: training diverged. Last checkpoint: {self._saver.last}; {advice}")


def _time_share(plan: Plan, seconds: float) -> float:
    """How much of the time that there is `seconds` are; where there is no limit, nothing."""
    allowed = 60 * plan.asked.max_minutes
    return seconds / allowed if allowed else 0.0
