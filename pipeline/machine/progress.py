"""A progress bar for people, and a line now and then where the output goes to a file."""

import contextlib
import sys
import time

_LINE_SECONDS = 10


@contextlib.contextmanager
def progress(what, total, done=0, unit="images", stream=None, clock=time.monotonic):
    """Yields `advance(count)`. The rate counts only what was done in this run, so a resumed run shows a true time."""
    stream = stream or sys.stderr
    if stream.isatty():
        with _bar(what, total, done, unit, stream) as advance:
            yield advance
        return
    state = {"done": done, "said": clock()}
    began = clock()

    def advance(count):
        state["done"] += count
        now = clock()
        if now - state["said"] >= _LINE_SECONDS:
            state["said"] = now
            rate = (state["done"] - done) / max(now - began, 1e-9)
            left = (total - state["done"]) / rate if rate else 0
            stream.write(f"{what}: {state['done']:,} of {total:,} {unit}, {rate:,.0f}/s, {left:.0f} s left\n")
            stream.flush()

    yield advance


@contextlib.contextmanager
def _bar(what, total, done, unit, stream):
    from rich import progress as bars
    from rich.console import Console

    class Rate(bars.ProgressColumn):
        def render(self, task):
            from rich.text import Text

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
