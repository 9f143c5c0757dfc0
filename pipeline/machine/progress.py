"""A progress bar on a terminal, and a line now and then where the output goes to a file."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_TELLING = 0.02  # the share after which the time that is left can be told
_LINE_SECONDS = 10  # seldom enough that a log of an hour stays readable

Advance = Callable[[int], object]


@contextlib.contextmanager
def progress(
    what: str,
    total: int,
    done: int = 0,
    unit: str = "images",
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Advance]:
    """Yields `advance(count)`. The rate counts only what was done in this run, so a continued run shows a true one."""
    stream = stream or sys.stderr
    if stream.isatty():
        with _bar(what, total, done, unit, stream) as advance:
            yield advance
        return
    yield _Lines(what, total, done, unit, stream, clock).advance


class _Lines:
    """Prints how far it is, once in a while."""

    def __init__(self, what: str, total: int, done: int, unit: str, stream: TextIO, clock: Callable[[], float]) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._stream, self._clock = stream, clock
        self._done = self._done_before = done
        self._began = self._printed = clock()

    def advance(self, count: int) -> None:
        self._done += count
        now = self._clock()
        if now - self._printed < _LINE_SECONDS:
            return
        self._printed = now
        line = f"{self._what}: {self._done:,} of {self._total:,} {self._unit}"
        done = self._done - self._done_before
        # The first of it says nothing of the rest: workers start and graphs are built.
        if done >= _TELLING * (self._total - self._done_before):
            rate = done / max(now - self._began, 1e-9)
            line += f", {rate:,.0f}/s, {(self._total - self._done) / rate:.0f} s left"
        write_line(self._stream, line)


def write_line(stream: TextIO, line: str) -> None:
    """Says how far it is. Nobody depends on that: with a log on a full disk, the work still continues."""
    with contextlib.suppress(OSError):
        stream.write(f"{line}\n")
        stream.flush()


@contextlib.contextmanager
def _bar(what: str, total: int, done: int, unit: str, stream: TextIO) -> Iterator[Advance]:
    # Only on a terminal: the import takes a tenth of a second, in every worker that imports this module.
    from rich import progress as bars
    from rich.console import Console
    from rich.text import Text

    class Rate(bars.ProgressColumn):
        def render(self, task: bars.Task) -> Text:
            # Less `done`: what an earlier run has done took no time in this one.
            seconds = task.finished_time or task.elapsed or 0
            return Text(f"{(task.completed - done) / seconds:,.0f} {unit}/s" if seconds else "", style="cyan")

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        Rate(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda count: bar.advance(task, count)
