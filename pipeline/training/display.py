"""What a training shows while it runs: a bar or lines, and a word about a plateau.

speed = Speed()
with Display(start_step, num_steps, batch_size) as display:
    with speed.timed(count):
        ...
    display.show(window, speed)
"""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Self, TextIO

import numpy as np

from pipeline.machine.progress import write_line

if TYPE_CHECKING:
    import rich.progress

_LINE_SECONDS = 10
_SHOWN_STEPS = 50
_PLATEAU_WINDOW = 100
_PLATEAU_SHARE = 0.97
_WAITING_STEPS = 100
_WAITING_SHARE = 0.1
# How many steps these networks were seen to need before they leave the plateau, at settings that suit them.
_USUAL_PLATEAU = {"alexnet": (20, 200), "alexnet_large": (20, 200), "alexnet_v2": (1000, 4500), "crnn": (60, 300)}
_UNKNOWN_PLATEAU = (20, 6000)  # of the other networks, each of which has been seen with few settings


class Window:
    """The last steps' losses and accuracies, and the line about a plateau, which is said once."""

    def __init__(self, network: str, num_classes: int, start_step: int, num_steps: int) -> None:
        self.network = network
        self.num_steps = num_steps
        self.num_classes = num_classes
        self.losses: list[float] = []
        self.accuracies: list[float] = []
        self.last_look = math.nan, math.nan
        # A training that continues after its plateau needs no word about it.
        self._said = start_step > _USUAL_PLATEAU.get(network, _UNKNOWN_PLATEAU)[1]

    def add(self, losses: np.ndarray, accuracies: np.ndarray) -> None:
        self.losses = [*self.losses, *losses.tolist()][-_PLATEAU_WINDOW:]
        self.accuracies = [*self.accuracies, *accuracies.tolist()][-_PLATEAU_WINDOW:]
        self.last_look = float(losses.mean()), float(accuracies.mean())

    def plateau_line(self, step: int) -> str | None:
        """What to say of a loss that stays at that of guessing, or None."""
        guessing = math.log(self.num_classes)
        # Only the later half counts: the losses of the very first steps say nothing about staying.
        loss = np.mean(self.losses[-_SHOWN_STEPS:])
        if self._said or len(self.losses) < _PLATEAU_WINDOW or loss < _PLATEAU_SHARE * guessing:
            return None
        self._said = True
        first, last = _USUAL_PLATEAU.get(self.network, _UNKNOWN_PLATEAU)
        if self.num_steps > 2 * last:
            advice = (
                f"If it is still there at step {2 * last:,}, stop it and try a third of --learning_rate, or more images"
            )
        else:
            advice = "If it is still there at the end, try more --epochs, a third of --learning_rate, or more images"
        return (
            f"step {step:,}: the loss is {loss:.2f}, no better than guessing among {self.num_classes} "
            f"characters, ln({self.num_classes}) = {guessing:.2f}. This is a plateau: {self.network} is usually there "
            f"for {first:,} to {last:,} steps, and then learns fast. {advice}"
        )


class Waiting:
    """How much of its time the network waits for images, and the line about it, which is said once."""

    def __init__(self, synthetic_share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._synthetic_share = synthetic_share
        self._clock = clock
        self._looks: list[tuple[float, int, float]] = []  # when, steps, seconds waited
        self._said = False

    def add(self, seconds: np.ndarray) -> None:
        """The waits of the steps since the last look."""
        # The time of a look holds all since the one before; a validation in it only makes the share smaller.
        self._looks = [*self._looks, (self._clock(), len(seconds), float(np.sum(seconds)))]
        while sum(steps for _, steps, _ in self._looks[2:]) >= _WAITING_STEPS:
            self._looks.pop(0)

    @property
    def share(self) -> float | None:
        """Of the time between the first look that is remembered and the last; None where there is too little of it."""
        (began, *_), *rest = self._looks or [(0.0, 0, 0.0)]
        if sum(steps for _, steps, _ in rest) < _WAITING_STEPS:
            return None
        return sum(waited for *_, waited in rest) / max(rest[-1][0] - began, 1e-9)

    def line(self) -> str | None:
        """What to say of a network that waits too long, or None."""
        share = self.share
        if self._said or share is None or share < _WAITING_SHARE:
            return None
        self._said = True
        if not self._synthetic_share:
            why = "reading the records is the bottleneck. A faster disk or more cores would help"
        elif self._synthetic_share == 1:
            why = (
                "image generation is the bottleneck. More cores would help, and so would drawing once and training on "
                "it several times: without --source=synthetic"
            )
        else:
            why = "image generation is the bottleneck. More cores would help, or a lower --synthetic_share"
        return f"the network waits for images {share:.0%} of the time: {why}"


class Speed:
    """How fast steps run, as a mean over the last calls."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._calls = 0
        self.seconds_per_step: float | None = None  # None as long as it is not known

    @contextlib.contextmanager
    def timed(self, count: int) -> Iterator[None]:
        """Around a call that runs `count` steps."""
        began = self._clock()
        yield
        self._calls += 1
        if self._calls > 1:  # the first call also builds what it runs, so its time says nothing of the others
            seconds = max(self._clock() - began, 1e-9) / count
            before = self.seconds_per_step or seconds
            self.seconds_per_step = 0.9 * before + 0.1 * seconds

    def steps_in(self, seconds: float) -> int:
        """How many steps take about `seconds`; one as long as that is not known."""
        return max(1, int(seconds / self.seconds_per_step)) if self.seconds_per_step else 1


class Display:
    """The progress bar where somebody watches, and a line every ten seconds where the output goes to a file.

    `num_steps` is None as long as it is not known."""

    def __init__(
        self,
        step: int,
        num_steps: int | None,
        batch_size: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._step = step
        self._num_steps = num_steps
        self._batch_size = batch_size
        self._stream = stream or sys.stderr
        self._clock = clock
        self._last_line = clock()
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            self._bar = _bar(self._stream)
            self._bar.start()
            self._task = self._bar.add_task("train", total=self._num_steps, completed=self._step, text="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, step: int) -> None:
        self._step = step
        if self._bar:
            self._bar.update(self._task, completed=step)

    def set_length(self, num_steps: int) -> None:
        """Now it is known how many steps there will be."""
        self._num_steps = num_steps
        if self._bar:
            self._bar.update(self._task, total=num_steps)

    def images_per_second(self, speed: Speed) -> float:
        return self._batch_size / speed.seconds_per_step if speed.seconds_per_step else 0.0

    def show(self, window: Window, speed: Speed) -> None:
        """The state of the training, after a look."""
        loss, accuracy = (float(np.mean(values[-_SHOWN_STEPS:])) for values in (window.losses, window.accuracies))
        text = f"loss {loss:.4f}  position_accuracy {accuracy:.4f}  {self.images_per_second(speed):,.0f} images/s"
        if self._bar:
            self._bar.update(self._task, text=text)
        elif self._clock() - self._last_line >= _LINE_SECONDS:
            self._last_line = self._clock()
            steps = f"step {self._step:,}"
            if self._num_steps is not None:
                left = (self._num_steps - self._step) * (speed.seconds_per_step or 0)
                steps, text = f"{steps} of {self._num_steps:,}", f"{text}, {left:.0f} s left"
            write_line(self._stream, f"train: {steps}, {text}")


def _bar(stream: TextIO) -> "rich.progress.Progress":
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[text]}"),
        progress.TimeRemainingColumn(),
        console=Console(file=stream),
        redirect_stdout=sys.stdout.isatty(),
    )
