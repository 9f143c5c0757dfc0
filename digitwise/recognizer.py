"""A reader that a program keeps: many threads ask, and what arrives together is read as one batch.

with Recognizer(Reader("model.onnx")) as recognizer:
    reading = recognizer.read("a.png")      # from any thread

While a batch is being read the next one gathers, so nobody waits for others to come: a lone image is read at once.
"""

import concurrent.futures
import dataclasses
import queue
import threading
from typing import Self

from digitwise.errors import ReaderError
from digitwise.images import Pixels, Source
from digitwise.reader import Reader, Reading

MAX_WAITING = 1024  # about a second of work: a client that waits longer is better told to come back


class Busy(ReaderError):
    """More images wait than may; try again later."""


@dataclasses.dataclass(frozen=True)
class _Request:
    name: str
    pixels: Pixels
    answer: "concurrent.futures.Future[Reading]"


class Recognizer:
    """Thread safe. `close` reads what still waits, and refuses what comes afterwards."""

    def __init__(self, reader: Reader, max_waiting: int = MAX_WAITING) -> None:
        self.reader = reader
        self._waiting: queue.Queue[_Request | None] = queue.Queue(max_waiting)
        self._lock = threading.Lock()
        self._closed = False
        # One thread for the network, which uses all cores by itself; images are decoded in the threads of those who
        # ask.
        self._worker = threading.Thread(target=self._work, name="recognizer", daemon=True)
        self._worker.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        return self._waiting.qsize()

    def read(self, source: Source, name: str = "") -> Reading:
        """The reading of one image; ReaderError where it is none, Busy where too many wait."""
        return self.submit(source, name).result()

    def submit(self, source: Source, name: str = "") -> "concurrent.futures.Future[Reading]":
        """The image is decoded here, in the caller's thread; the network comes later."""
        request = _Request(name, self.reader.prepare(source), concurrent.futures.Future())
        with self._lock:  # so that nothing is put behind the last request
            if self._closed:
                raise ReaderError("the recognizer is closed")
            try:
                self._waiting.put_nowait(request)
            except queue.Full:
                raise Busy(f"{self._waiting.maxsize} images are waiting already") from None
        return request.answer

    def close(self) -> None:
        with self._lock:
            is_first, self._closed = not self._closed, True
        if is_first:
            # May wait for room in the queue, which the worker makes; nothing is put behind it, as `submit` sees
            # `_closed`.
            self._waiting.put(None)
        self._worker.join()

    def _work(self) -> None:
        while (request := self._waiting.get()) is not None:
            batch, is_last = self._gather(request)
            self._answer(batch)
            if is_last:
                return

    def _gather(self, first: _Request) -> tuple[list[_Request], bool]:
        batch = [first]
        while len(batch) < self.reader.batch_size:
            try:
                request = self._waiting.get_nowait()
            except queue.Empty:
                break
            if request is None:
                return batch, True
            batch.append(request)
        return batch, False

    def _answer(self, batch: list[_Request]) -> None:
        # A client that has gone cancels its request: its image need not be read.
        batch = [request for request in batch if request.answer.set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            readings = self.reader.read_prepared(
                [request.pixels for request in batch], [request.name for request in batch]
            )
        except Exception as error:  # whoever asked is told; the worker must live on
            for request in batch:
                request.answer.set_exception(error)
            return
        for request, reading in zip(batch, readings, strict=True):
            request.answer.set_result(reading)
