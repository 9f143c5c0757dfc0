"""What a training says, shows and logs while it runs. Of several workers only the chief does.

with make_reporter(plan, workdir.logs, step, chief=True) as reporter:
    reporter.introduce(recognizer, strategy)
    reporter.looked(step, tally, speed)
    reporter.validated(step, validation, is_best=True)
"""

import contextlib
import os
from collections.abc import Sequence
from typing import Any, Self

import tensorflow as tf

from pipeline.machine.devices import describe
from pipeline.model.checkpoints import Checkpoint
from pipeline.model.pace import Pace
from pipeline.model.recognizer import Recognizer
from pipeline.model.state import TrainingState
from pipeline.train_config import INCLUDED_WEIGHTS
from pipeline.training.display import Display, Speed, Waiting, Window
from pipeline.training.logs import Logs, sheet
from pipeline.training.plan import Plan
from pipeline.training.schedule import LOOK_STEPS
from pipeline.training.steps import Tally
from pipeline.training.validation import Validation
from records.errors import counted

# The first looks build graphs and start threads, and would not be like the steps that follow.
_PROFILE_FROM = 2 * LOOK_STEPS
_PROFILED_STEPS = 10


class SilentReporter:
    """That of a worker that is not the chief: one line at the beginning, and nothing more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def initialized(self, given: Checkpoint, taken: Sequence[str], left: Sequence[str]) -> None:
        """The weights of another training were taken, as far as they fit."""

    def continued(self, changes: Sequence[tuple[str, Any, Any]]) -> None:
        """A training continues where this much of its environment has changed: (name, before, now)."""

    def introduce(self, recognizer: Recognizer, strategy: tf.distribute.Strategy) -> None:
        """What is trained, and on what."""
        print(f"train: {describe(strategy)}; the chief reports the progress", flush=True)

    def built(self, graph: Any) -> None:
        """The graph of the steps is there."""

    def advancing(self, step: int, rate: float) -> None:
        """Steps are about to run from here, the first of them with this learning rate."""

    def looked(self, step: int, tally: Tally, speed: Speed) -> None:
        """What the last steps came to."""

    def validated(self, step: int, validation: Validation, is_best: bool) -> None:
        """What the validation split was read as."""

    def annealing(self, state: TrainingState) -> None:
        """A training that finds its own length has found it."""

    def has_length(self, num_steps: int) -> None:
        """It is known how many steps there will be."""

    def stopped(self, state: TrainingState, step: int) -> None:
        """The training is finished, or was asked to stop and is saved."""


class Reporter(SilentReporter):
    """Lines for people, the progress bar, history.jsonl and TensorBoard's files."""

    def __init__(self, plan: Plan, logs_folder: str | os.PathLike[str], step: int) -> None:
        asked, num_steps = plan.asked, plan.length.num_steps
        self._rate = 0.0
        self._plan = plan
        self._schedule = plan.length.schedule
        self._start_step = step
        self._logs_folder = logs_folder
        self._window = Window(asked.network, len(plan.spec.alphabet), step, num_steps)
        self._waiting = Waiting(plan.num_synthetic / asked.images_per_step)
        self._display = Display(step, None if plan.pace_rules else num_steps, asked.images_per_step)
        self._open = contextlib.ExitStack()  # the logs, and the display once there is something to show

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def initialized(self, given: Checkpoint, taken: Sequence[str], left: Sequence[str]) -> None:
        rest = f"; {', '.join(left)} start{'s' if len(left) == 1 else ''} from scratch" if left else ""
        source = self._plan.asked.initialize_from
        if source == INCLUDED_WEIGHTS:
            print(f"train: starts from the included weights (--initialize_from=none: from random ones){rest}")
        else:
            print(f"train: {len(taken)} arrays from step {given.step:,} of {source}{rest}")

    def continued(self, changes: Sequence[tuple[str, Any, Any]]) -> None:
        if changes:
            listed = ", ".join(f"{name} {old} -> {new}" for name, old, new in changes)
            print(f"note: the training continues with {listed}; its result will not be the same to the last bit")

    def introduce(self, recognizer: Recognizer, strategy: tf.distribute.Strategy) -> None:
        asked, spec, length = self._plan.asked, self._plan.spec, self._plan.length
        height, width, channels = spec.image_shape
        minutes = f", for {_minutes(asked.max_minutes)} at most" if asked.max_minutes else ""
        images = f"{asked.images_per_step} images an epoch"
        if self._plan.num_synthetic > 0:
            images += f" ({self._plan.num_synthetic} of them synthetic)"
        if asked.hardest_of > 1:
            images += f", learning from the hardest of every {asked.hardest_of}"
        steps = f"as many as help{minutes}" if self._plan.pace_rules else f"{length.num_steps:,} in all"
        print(
            f"train: {spec.network} with {spec.readout}, {recognizer.network.count_params():,} parameters, images "
            f"{width}x{height}x{channels}, {counted(length.per_epoch, 'step')} of {images}, {steps}, "
            f"{spec.precision} on {describe(strategy)}"
        )
        if spec.fitted:
            print(f"train: images of any size are scaled to {width}x{height}, in proportion, and padded")
        if asked.augmentation or spec.cleaning != "none":
            print(f"train: augmentation {asked.augmentation:g}, cleaning {spec.cleaning}")
        if self._start_step:
            print(f"train: continuing from step {self._start_step:,}")
        self._logs = self._open.enter_context(contextlib.closing(Logs(self._logs_folder, self._start_step)))
        self._logs.network(recognizer.network)
        print("building the graph of the training (once, some seconds) ...", flush=True)

    def built(self, graph: Any) -> None:
        if not self._start_step:
            self._logs.graph(graph)
        self._open.enter_context(self._display)

    def advancing(self, step: int, rate: float) -> None:
        self._rate = rate
        self._display.advance(step)
        if self._plan.asked.profile and step == _PROFILE_FROM:
            self._logs.start_profile()
        elif self._plan.asked.profile and step == _PROFILE_FROM + _PROFILED_STEPS:
            self._logs.stop_profile()

    def looked(self, step: int, tally: Tally, speed: Speed) -> None:
        self._window.add(tally.losses, tally.accuracies)
        self._waiting.add(tally.waits)
        self._display.advance(step)
        self._display.show(self._window, speed)
        for line in filter(None, (self._window.plateau_line(step), self._waiting.line())):
            print(line)
        loss, accuracy = self._window.last_look
        values = {"loss": loss, "position_accuracy": accuracy, "learning_rate": self._rate}
        self._logs.scalars("train", step, **values, images_per_second=self._display.images_per_second(speed))
        if self._schedule.history_due(step):
            self._logs.history(step, **values)

    def validated(self, step: int, validation: Validation, is_best: bool) -> None:
        result, sample = validation.result, validation.sample
        loss = "" if result.loss is None else f"loss {result.loss:.4f}, "
        print(
            f"step {step:,} (epoch {step / self._plan.length.per_epoch:.4g}): validation {loss}position_accuracy "
            f"{result.position_accuracy:.4f}, sequence_accuracy {result.sequence_accuracy:.4f} "
            f"({result.right:,} of {result.count:,}){' (kept)' if is_best else ''}"
        )
        values = {"position_accuracy": result.position_accuracy, "sequence_accuracy": result.sequence_accuracy}
        if result.loss is not None:
            values["loss"] = result.loss
        self._logs.scalars("validation", step, **values)
        self._logs.history(step, **{f"validation_{name}": value for name, value in values.items()})
        texts, decoded = (
            [self._plan.spec.text(ids) for ids in rows] for rows in (sample.label_ids, sample.decoded_ids)
        )
        self._logs.image("validation", step, "predictions", sheet(sample.images, texts, decoded))

    def annealing(self, state: TrainingState) -> None:
        pace = state.pace
        assert pace
        print(
            f"{_why(pace)}: from step {pace.anneal_step:,} the learning rate comes down, and training ends at step "
            f"{state.num_steps:,}"
        )

    def has_length(self, num_steps: int) -> None:
        self._display.set_length(num_steps)

    def stopped(self, state: TrainingState, step: int) -> None:
        if state.finished:
            print(f"train: finished at step {step:,} ({state.finished})")
            return
        is_open = self._plan.pace_rules and not (state.pace and state.pace.last_step)
        of = "" if is_open else f" of {state.num_steps:,}"
        print(f"stopped at step {step:,}{of}, saved")


def _minutes(count: float) -> str:
    return f"{count:g} minute{'' if count == 1 else 's'}"


def _why(pace: Pace) -> str:
    """Why the rate comes down."""
    if pace.reason == "time":
        return "--max_minutes is near"
    if pace.reason == "steps":
        return "a third of the images that a training may see at most"
    if pace.reason == "learned":
        return "nearly all codes of the validation split are read right"
    return f"no improvement in {counted(pace.stale, 'validation')}"


def make_reporter(plan: Plan, logs_folder: str | os.PathLike[str], step: int, chief: bool) -> SilentReporter:
    return Reporter(plan, logs_folder, step) if chief else SilentReporter()
