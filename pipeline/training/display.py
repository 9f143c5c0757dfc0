"""What a training shows while it runs: a bar or lines, and a word about a plateau.

with Display(start_step, num_steps, batch_size) as display:
    with display.timed(count):
        ...
    display.show(window)
"""

import contextlib
import math
import sys
import time

import numpy as np

_LINE_SECONDS = 10
_SHOWN_STEPS = 50
_PLATEAU_WINDOW = 100
_PLATEAU_SHARE = 0.97
_WAITING_STEPS = 100
_WAITING_SHARE = 0.1
# How many steps these networks were seen to need before they leave the plateau, at settings that suit them.
_USUAL_PLATEAU = {"alexnet": (20, 200), "alexnet_v2": (1000, 4500), "crnn": (60, 300)}
_UNKNOWN_PLATEAU = (20, 6000)  # of the other networks, each of which has been seen with few settings


class Window:
    """The last steps' losses and accuracies, and the line about a plateau, which is said once."""

    def __init__(self, network, readout, start_step, num_steps):
        self.network = network
        self.num_steps = num_steps
        self.num_classes = readout.num_classes
        self.losses = []
        self.accuracies = []
        self.last_look = math.nan, math.nan
        # A training that goes on after its plateau needs no word about it.
        self.said = start_step > _USUAL_PLATEAU.get(network, _UNKNOWN_PLATEAU)[1]

    def add(self, losses, accuracies):
        self.losses = [*self.losses, *losses.tolist()][-_PLATEAU_WINDOW:]
        self.accuracies = [*self.accuracies, *accuracies.tolist()][-_PLATEAU_WINDOW:]
        self.last_look = float(losses.mean()), float(accuracies.mean())

    def plateau_line(self, step):
        """What to say of a loss that stays at that of guessing, or None."""
        guessing = math.log(self.num_classes)
        # Only the later half is looked at: the losses of the very first steps say nothing about staying.
        loss = np.mean(self.losses[-_SHOWN_STEPS:])
        if self.said or len(self.losses) < _PLATEAU_WINDOW or loss < _PLATEAU_SHARE * guessing:
            return None
        self.said = True
        first, last = _USUAL_PLATEAU.get(self.network, _UNKNOWN_PLATEAU)
        if self.num_steps > 2 * last:
            mend = (
                f"If it is still there at step {2 * last:,}, stop it and try a third of --learning_rate, or more images"
            )
        else:
            mend = "If it is still there at the end, try more --epochs, a third of --learning_rate, or more images"
        return (
            f"step {step:,}: the loss is {loss:.2f}, no better than guessing among {self.num_classes} "
            f"characters, ln({self.num_classes}) = {guessing:.2f}. This is a plateau: {self.network} is usually there for "
            f"{first:,} to {last:,} steps, and then learns fast. {mend}"
        )


class Waiting:
    """How much of its time the network waits for images, and the line about it, which is said once."""

    def __init__(self, drawn_share, clock=time.monotonic):
        self._drawn_share = drawn_share
        self._clock = clock
        self._looks = []
        self._said = False

    def add(self, seconds):
        """The waits of the steps since the last look."""
        # A look's time holds what came between it and the one before: a validation in it only makes the share less.
        self._looks = [*self._looks, (self._clock(), len(seconds), float(np.sum(seconds)))]
        while sum(steps for _, steps, _ in self._looks[2:]) >= _WAITING_STEPS:
            self._looks.pop(0)

    @property
    def share(self):
        """Of the time between the first look that is remembered and the last; None where there is too little of it."""
        (began, *_), *rest = self._looks or [(0.0, 0, 0.0)]
        if sum(steps for _, steps, _ in rest) < _WAITING_STEPS:
            return None
        return sum(waited for *_, waited in rest) / max(rest[-1][0] - began, 1e-9)

    def line(self):
        """What to say of a network that waits too long, or None."""
        share = self.share
        if self._said or share is None or share < _WAITING_SHARE:
            return None
        self._said = True
        if not self._drawn_share:
            why = "reading is what takes long: a faster disk or more cores would help"
        else:
            why = (
                "drawing is what takes long. More cores would help, and so would drawing once and learning several "
                "times: without --source=synthetic"
                if self._drawn_share == 1
                else "drawing is what takes long. More cores would help, or a lower --synthetic_share"
            )
        return f"the network waits for images {share:.0%} of the time: {why}"


class Display:
    """The progress bar where somebody looks, and a line every ten seconds where the output goes to a file."""

    def __init__(self, step, num_steps, batch_size, quiet=False, stream=None, clock=time.monotonic):
        self.step = step
        self.num_steps = num_steps
        self.batch_size = batch_size
        self.quiet = quiet
        self._stream = stream or sys.stderr
        self._clock = clock
        self._said = clock()
        self._calls = 0
        self._seconds_per_step = None
        self._bar = None

    def __enter__(self):
        if not self.quiet and self._stream.isatty():
            self._bar = _bar(self._stream)
            self._bar.start()
            self._task = self._bar.add_task("train", total=self.num_steps, completed=self.step, text="")
        return self

    def __exit__(self, *_):
        if self._bar:
            self._bar.stop()

    @property
    def images_per_second(self):
        return self.batch_size / self._seconds_per_step if self._seconds_per_step else 0.0

    def steps_per_call(self, seconds):
        """How many steps take about `seconds`; one as long as that is not known."""
        return max(1, int(seconds / self._seconds_per_step)) if self._seconds_per_step else 1

    @contextlib.contextmanager
    def timed(self, count):
        """Around a call that runs `count` steps."""
        began = self._clock()
        yield
        self.step += count
        self._calls += 1
        if self._calls > 1:  # the first call also builds what it runs, so its time says nothing of the others
            seconds = max(self._clock() - began, 1e-9) / count
            before = self._seconds_per_step or seconds
            self._seconds_per_step = 0.9 * before + 0.1 * seconds
        if self._bar:
            self._bar.update(self._task, completed=self.step)

    def show(self, window):
        """The state of the training, after a look."""
        loss, accuracy = (float(np.mean(values[-_SHOWN_STEPS:])) for values in (window.losses, window.accuracies))
        text = f"loss {loss:.4f}  position_accuracy {accuracy:.4f}  {self.images_per_second:,.0f} images/s"
        if self._bar:
            self._bar.update(self._task, text=text)
        elif not self.quiet and self._clock() - self._said >= _LINE_SECONDS:
            self._said = self._clock()
            left = (self.num_steps - self.step) * (self._seconds_per_step or 0)
            self._stream.write(f"train: step {self.step:,} of {self.num_steps:,}, {text}, {left:.0f} s left\n")
            self._stream.flush()


def _bar(stream):
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
