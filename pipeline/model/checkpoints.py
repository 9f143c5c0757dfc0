"""Checkpoints: the exact state of a training, whole or absent whenever the process is killed.

checkpoints = Checkpoints("workdir/checkpoints")
checkpoints.save(step, arrays, state)
checkpoint = checkpoints.latest()
checkpoint.state.spec, checkpoint.arrays["network/0/conv1/kernel"]
"""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, Self, TypeAlias

import numpy as np

from pipeline.config import TestConfig
from pipeline.model import checkpoint_files as files
from pipeline.model.checkpoint_files import DamagedCheckpoint
from pipeline.model.state import TrainingState
from pipeline.workdir import Workdir
from records.atomic import remove_partial
from records.errors import DigitwiseError

Warn: TypeAlias = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What was saved at one step."""

    step: int
    state: TrainingState
    arrays: Mapping[str, np.ndarray]


def warn_on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Checkpoints:
    """A folder of checkpoints: the last two, and the best."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = pathlib.Path(folder)

    @classmethod
    def given(cls, flag: str, path: str | os.PathLike[str]) -> Self:
        """Of the folder that a flag names: of checkpoints, or a workdir that holds them."""
        for folder in (pathlib.Path(path), pathlib.Path(path) / "checkpoints"):
            if cls(folder).steps():
                return cls(folder)
        problem = "it holds no checkpoints" if pathlib.Path(path).is_dir() else "there is no such folder"
        raise DigitwiseError(f"{flag}={path}: {problem}")

    @classmethod
    def to_test(cls, asked: TestConfig, workdir: Workdir) -> Self:
        """Those that a test reads with."""
        return cls.given("--checkpoint", asked.checkpoint) if asked.checkpoint else cls(workdir.checkpoints)

    def steps(self) -> list[int]:
        """The steps there are checkpoints of, in order."""
        return files.steps_in(self.folder)

    def save(
        self, step: int, arrays: Mapping[str, np.ndarray], state: TrainingState, best_step: int | None = None
    ) -> None:
        """Writes a checkpoint, then removes all but the last two and the one of `best_step`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write(self.folder, step, arrays, state.to_json())
        # Two, so that there is one to fall back to. `step` is named because damaged checkpoints may have higher steps.
        files.remove_all_but(self.folder, {*self.steps()[-2:], step, best_step})

    def load(self, step: int) -> Checkpoint:
        """The Checkpoint of `step`; DamagedCheckpoint where a bit of it has changed."""
        content = files.read_content(self.folder, step)
        arrays = files.read_arrays(self.folder, step, content["arrays_sha256"])
        return Checkpoint(step, _state(self.folder, step, content), arrays)

    def latest(self, warn: Warn = warn_on_stderr) -> Checkpoint | None:
        """The newest whole Checkpoint, or None where there are none; `warn` gets a line for each damaged one."""
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.load(step)
            # Only damage: a checkpoint of a newer version is whole, and going back behind it would lose work.
            except DamagedCheckpoint as error:
                warn(f"warning: {error}; falling back to the checkpoint before it")
        if steps:
            raise DigitwiseError(
                f"{self.folder}: the checkpoints of steps {', '.join(map(str, steps))} are all damaged; "
                "train again with --overwrite"
            )
        return None

    def choose(self, which: str | int, warn: Warn = warn_on_stderr) -> Checkpoint:
        """The Checkpoint that is `best` on validation, the `last`, or that of a step; damaged, it is an error."""
        steps = _some_steps(self)
        if which == "last":
            return self.load(steps[-1])
        if which == "best":
            return self.load(self.best_step(warn))
        if not str(which).isdigit() or int(which) not in steps:
            raise DigitwiseError(
                f"{self.folder} holds no checkpoint {which!r}: there are best, last and {', '.join(map(str, steps))}"
            )
        return self.load(int(which))

    def best_step(self, warn: Warn = warn_on_stderr) -> int:
        """As the newest checkpoint that can be read has it."""
        for step in reversed(_some_steps(self)):
            try:
                # Only the JSON: the arrays of a checkpoint that is not the best need not be read.
                best = _state(self.folder, step, files.read_content(self.folder, step)).best
                return best.step if best else step  # without a validation split the newest counts as the best
            except DamagedCheckpoint as error:
                warn(f"warning: {error}; the checkpoint before it says which is best")
        raise DamagedCheckpoint(f"{self.folder}: all checkpoints there are damaged; train again with --overwrite")

    def best_state(self, warn: Warn = warn_on_stderr) -> TrainingState:
        """The state of the best checkpoint, without its arrays."""
        step = self.best_step(warn)
        return _state(self.folder, step, files.read_content(self.folder, step))

    def clean(self) -> None:
        """Removes what a killed process left half done."""
        if self.folder.is_dir():
            remove_partial(self.folder)
            # Only what has its JSON is in steps(), so this removes arrays without one.
            files.remove_all_but(self.folder, self.steps())

    def clear(self) -> None:
        """Removes every checkpoint, and nothing else."""
        if self.folder.is_dir():
            remove_partial(self.folder)
            files.remove_all_but(self.folder, ())


def last_state(checkpoints: Checkpoints) -> TrainingState:
    """The state of the last checkpoint, without its arrays."""
    step = _some_steps(checkpoints)[-1]
    return _state(checkpoints.folder, step, files.read_content(checkpoints.folder, step))


def _some_steps(checkpoints: Checkpoints) -> list[int]:
    steps = checkpoints.steps()
    if not steps:
        raise DigitwiseError(f"{checkpoints.folder} holds no checkpoint: train first, with --stage=train")
    return steps


def _state(folder: pathlib.Path, step: int, content: dict[str, Any]) -> TrainingState:
    try:
        return TrainingState.from_json(content["state"])
    except DigitwiseError as error:
        raise DigitwiseError(f"{files.path_of(folder, step, 'json')}: {error}") from None
