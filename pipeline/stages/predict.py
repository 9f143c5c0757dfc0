"""The predict stage: reads images with a trained network. Readings go to stdout, everything else to stderr.

    code = predict(config, workdir)      # 0, or UNREAD or SUSPENDED

It only reads: no workdir is made or locked.
"""

import contextlib
import dataclasses
import itertools
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import TextIO

from digitwise.errors import ReaderError
from digitwise.images import Source
from digitwise.limits import Limits
from digitwise.reader import Reader, Reading
from pipeline.config import RunConfig
from pipeline.machine.progress import progress
from pipeline.model.metrics import Accuracy
from pipeline.reading.limits import dropped, limits_of
from pipeline.reading.output import OUTPUTS
from pipeline.report.phrases import interval, ratio, right_of
from pipeline.stages.images import Image, Images, find_images
from pipeline.stages.networks import open_network
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
            return _read(reader, images, config.use.output_format, stdout)
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


def limits_asked_for(config: RunConfig) -> Limits:
    use = config.use
    return limits_of(use.allow, config.code.code_length, use.pattern, use.codes, use.check)


def _read(reader: Reader, images: Images, output_format: str, stdout: TextIO) -> int:
    write, tally = OUTPUTS[output_format](stdout), _Tally()
    # A table on a terminal shows by itself how far it is.
    is_shown = images.total >= _MANY and not stdout.isatty()
    # Twice, as readings come in batches: their images are read ahead of them.
    rows, known = itertools.tee(images.rows)
    with progress("predict", images.total) if is_shown else contextlib.nullcontext(lambda count: None) as advance:
        for number, (reading, image) in enumerate(zip(reader.read_named(map(_loaded, rows)), known, strict=True), 1):
            write(reading)
            tally.add(reading, image.code)
            advance(1)
            # With each batch, so that a pipe gets readings while they come, and not one write for each line.
            if number % reader.batch_size == 0:
                stdout.flush()
    stdout.flush()
    for line in tally.lines():
        print(line)
    if reader.alarm:
        print(f"predict: warning: {reader.alarm}; nothing was accepted after that", file=sys.stderr)
        return SUSPENDED
    return UNREAD if tally.unread else 0


def _loaded(image: Image) -> "tuple[str, Source | ReaderError]":
    try:
        return image.name, image.load()
    except DigitwiseError as error:  # a damaged record
        return image.name, ReaderError(str(error))
