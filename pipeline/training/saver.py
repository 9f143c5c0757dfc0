"""When a training is saved, and that what is saved can be continued from."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from pipeline.model.checkpoints import Checkpoints
from pipeline.model.state import TrainingState
from records.errors import DigitwiseError

_SAVE_PAUSE = 20  # times as long as a save takes: a large network must not spend its time on saving


class NotFinite(DigitwiseError):
    """Some numbers are infinite or no numbers at all: nothing could be learned from there."""


class Saver:
    """Writes checkpoints of `arrays()`; workers that are not the chief only keep the time (`writes` is False)."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        arrays: Callable[[], Mapping[str, np.ndarray]],
        every_seconds: float,
        writes: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checkpoints = checkpoints
        self._arrays = arrays
        self._every_seconds = every_seconds
        self._writes = writes
        self._clock = clock
        self._saved = clock()
        self._save_seconds = 0.0
        self._began = self._saved

    def begin(self, state: TrainingState) -> None:
        """Starts the clock of a run: the seconds of the runs before count too."""
        self._saved = self._clock()
        self._began = self._saved - state.seconds

    @property
    def seconds(self) -> float:
        """Of all runs of this training."""
        return self._clock() - self._began

    def due(self) -> bool:
        """Whether it is time, by the clock; without a pause asked for, always."""
        pause = max(self._every_seconds, _SAVE_PAUSE * self._save_seconds) if self._every_seconds else 0
        return self._clock() - self._saved >= pause

    def save(
        self, step: int, state: TrainingState, calibrated: Mapping[str, np.ndarray] = MappingProxyType({})
    ) -> TrainingState:
        """The state as it was saved; NotFinite where that would be of no use. `calibrated` are the statistics that a
        validation at this step read with."""
        self._saved = self._clock()
        state = dataclasses.replace(state, seconds=round(self._saved - self._began, 3))
        if self._writes:
            arrays = {**self._arrays(), **calibrated}
            # Before the files are written: the checkpoint before it must stay the newest one.
            _check_finite(step, arrays)
            self._checkpoints.save(step, arrays, state, state.best.step if state.best else None)
            self._save_seconds = self._clock() - self._saved
            # The pause begins after the save, or a slow disk would make it due again at once.
            self._saved += self._save_seconds
        return state

    @property
    def last(self) -> str:
        """The last checkpoint, for people."""
        steps = self._checkpoints.steps()
        return f"step {steps[-1]}" if steps else "none"


def _check_finite(step: int, arrays: Mapping[str, np.ndarray]) -> None:
    wrong = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if wrong:
        more = f", and {len(wrong) - 1} more arrays" if len(wrong) > 1 else ""
        raise NotFinite(f"after step {step} {wrong[0]} is not finite{more}")
