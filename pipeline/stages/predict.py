"""The predict stage: reads images with a trained network. Readings go to stdout, everything else to stderr.

    code = predict(config, workdir)      # 0, or UNREAD or SUSPENDED

It only reads: no workdir is made or locked.
"""

import contextlib
import dataclasses
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import TextIO

from digitwise.errors import ReaderError
from digitwise.reader import BATCH_SIZE, Reader, Reading
from digitwise.watch import NO_WATCH
from pipeline.config import RunConfig
from pipeline.machine.progress import progress
from pipeline.model.metrics import Accuracy
from pipeline.reading.limits import dropped
from pipeline.reading.output import OUTPUTS
from pipeline.report.phrases import interval, ratio, right_of
from pipeline.stages.images import find_images
from pipeline.stages.networks import limits_asked_for, open_network
from pipeline.stages.readings import Readings, opened_readings
from pipeline.workdir import Workdir
from records.errors import DigitwiseError, printable

UNREAD, SUSPENDED = 2, 3  # exit codes
_MANY = 200  # images, from which on progress is shown
_NAMED = 20  # images without a reading that are named on stderr


@dataclasses.dataclass
class _Tally:
    """What came of all images."""

    read: int = 0
    unread: int = 0
    decided: int = 0  # accepted or refused
    accepted: int = 0
    known: int = 0  # images whose code is known
    right: int = 0
    accepted_known: int = 0
    accepted_wrong: int = 0

    def add(self, reading: Reading, code: str | None) -> None:
        if reading.error:
            self.unread += 1
            if self.unread <= _NAMED:
                print(f"predict: {printable(reading.name, 4096)}: {printable(reading.error)}", file=sys.stderr)
            return
        self.read += 1
        self.decided += reading.accepted is not None
        self.accepted += reading.accepted is True
        if code is not None:
            is_right = unicodedata.normalize("NFC", reading.code or "") == code
            self.known += 1
            self.right += is_right
            self.accepted_known += reading.accepted is True
            self.accepted_wrong += reading.accepted is True and not is_right

    def lines(self) -> Iterator[str]:
        total = self.read + self.unread
        yield f"predict: {self.read:,} of {total:,} images read" + (
            f"; {self.unread:,} were not, the first {_NAMED} are named above" if self.unread > _NAMED else ""
        )
        if self.known:
            accuracy = Accuracy.of(self.right, self.known)
            yield f"predict: {right_of(accuracy)} right ({ratio(accuracy.value)}; 95 % interval {interval(accuracy)})"
        if self.decided:
            wrong = f", {self.accepted_wrong:,} of them wrong" if self.accepted_known else ""
            yield f"predict: {self.accepted:,} accepted ({ratio(self.accepted / self.decided)}){wrong}"


def predict(config: RunConfig, workdir: Workdir) -> int:
    """Reads every image that the settings name; the result is the exit code."""
    stdout = sys.stdout
    # Whatever any part of the program prints goes to stderr: stdout is for readings alone, which programs parse.
    with contextlib.redirect_stdout(sys.stderr):
        images = find_images(config, workdir)
        try:
            limits = limits_asked_for(config)
            reader = Reader(open_network(config.test.checkpoint, workdir), limits)
            network = reader.metadata
            for line in dropped(limits, network.alphabet, network.min_length, network.max_length):
                print(f"predict: warning: {line}")
            check_promise(reader, config.use.max_error)
            if network.promise and not network.reference:
                print(f"predict: warning: {NO_WATCH}")
            with opened_readings(config, workdir, reader, images) as readings:
                tally = _write(readings, images.total, config.use.output_format, stdout)
            return _conclude(tally, reader)
        except ReaderError as error:
            raise DigitwiseError(str(error)) from None
        except BrokenPipeError:
            # Whoever reads our output has seen enough. Python would complain when it flushes stdout at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
            return 0


def check_promise(reader: Reader, max_error: float | None) -> None:
    """Raises where the network cannot promise what --max_error asks for."""
    promise = reader.metadata.promise
    if max_error is None or (promise is not None and promise.max_error <= max_error):
        return
    what = "no error is certified for it" if promise is None else f"it is certified for {promise.max_error:g}"
    raise DigitwiseError(
        f"--max_error={max_error:g}: this network cannot promise that, {what}; certify a checkpoint with "
        f"--stage=test --max_error={max_error:g}, and what is exported with --stage=export"
    )


def _write(readings: Readings, total: int, output_format: str, stdout: TextIO) -> _Tally:
    write, tally = OUTPUTS[output_format](stdout), _Tally()
    # A table on a terminal shows by itself how far it is.
    is_shown = total >= _MANY and not stdout.isatty()
    shown = progress(f"predict{readings.place}", total) if is_shown else contextlib.nullcontext(lambda count: None)
    with shown as advance:
        for number, (image, reading) in enumerate(readings.rows, 1):
            write(reading)
            tally.add(reading, image.code)
            advance(1)
            # With each batch, so that a pipe gets readings while they come, and not one write for each line.
            if number % BATCH_SIZE == 0:
                stdout.flush()
    stdout.flush()
    return tally


def _conclude(tally: _Tally, reader: Reader) -> int:
    """Says what came of it; the result is the exit code."""
    for line in tally.lines():
        print(line)
    if reader.alarm:
        print(f"predict: warning: {reader.alarm}; nothing was accepted after that", file=sys.stderr)
        return SUSPENDED
    return UNREAD if tally.unread else 0
