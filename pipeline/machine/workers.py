"""Independent pieces of work in worker processes.

for piece, result in LocalPool(processes=4).run_pieces(function, pieces): ...

Processes are spawned, so a worker has no thread or lock of its parent's; each ends by itself when its parent is gone.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from pipeline.machine.startup import safe_path
from records.atomic import AnyPath, remove_partial
from records.errors import DigitwiseError

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_AHEAD = 2  # pieces submitted per process: one in work, one that waits so that no process does


class Engine(Protocol):
    """Where independent pieces of work are done: worker processes of this machine, or the nodes of a cluster.

    A function is one that can be imported by its name; a piece may be done more than once where a machine is lost.
    """

    @property
    def place(self) -> str:
        """` on 3 nodes`, for a progress bar; empty on this machine alone."""

    def run_pieces(
        self, function: Callable[[Piece], Result], pieces: Iterable[Piece]
    ) -> Generator[tuple[Piece, Result], None, None]:
        """Yields (piece, function(piece)) as they finish."""


@dataclasses.dataclass(frozen=True)
class LocalPool:
    """The engine of one machine."""

    processes: int
    place: str = ""

    def run_pieces(
        self, function: Callable[[Piece], Result], pieces: Iterable[Piece]
    ) -> Generator[tuple[Piece, Result], None, None]:
        return run_pieces(function, pieces, self.processes)


def run_pieces(
    function: Callable[[Piece], Result], pieces: Iterable[Piece], processes: int
) -> Generator[tuple[Piece, Result], None, None]:
    """Yields (piece, function(piece)) as they finish. Few are submitted at a time, so memory does not grow."""
    submitted: dict[concurrent.futures.Future[Result], Piece] = {}
    with worker_pool(processes) as executor:
        for piece in pieces:
            submitted[submit(executor, function, piece)] = piece
            if len(submitted) >= _AHEAD * processes:
                yield from _finished(submitted)
        while submitted:
            yield from _finished(submitted)


@contextlib.contextmanager
def run_writing_pieces(
    function: Callable[[Piece], Result], pieces: Iterable[Piece], engine: Engine, folder: AnyPath
) -> Iterator[Iterator[tuple[Piece, Result]]]:
    """As engine.run_pieces, for a function that writes into `folder`: nothing half written stays after the block."""
    try:
        with contextlib.closing(engine.run_pieces(function, pieces)) as results:
            yield results
    finally:
        remove_partial(folder)


def run_in_order(
    executor: concurrent.futures.Executor,
    function: Callable[[Piece], Result],
    pieces: Iterable[Piece],
    processes: int,
) -> Iterator[Result]:
    """Yields function(piece) in the order of the pieces, of which there may be infinitely many. Where the next piece
    cannot be had, the results of those before it still come first."""
    submitted: collections.deque[concurrent.futures.Future[Result]] = collections.deque()
    ahead, failure = iter(pieces), None
    while True:
        try:
            piece = next(ahead)
        except StopIteration:
            break
        except Exception as error:
            failure = error
            break
        submitted.append(submit(executor, function, piece))
        # The oldest is waited for even if later ones are done: that is the price of a fixed order.
        if len(submitted) > _AHEAD * processes:
            yield submitted.popleft().result()
    while submitted:
        yield submitted.popleft().result()
    if failure:
        raise failure


@contextlib.contextmanager
def worker_pool(processes: int) -> Iterator[concurrent.futures.Executor]:
    """Processes that work until the block is left; if one is killed, the error is one line."""
    context = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(processes, context, _start_worker, (os.getpid(),))
    with safe_path():  # processes are started when work is submitted
        try:
            yield executor
        except BrokenProcessPool:
            raise DigitwiseError(
                "a worker process was killed (the system may be out of memory: try fewer --workers); "
                "run the same command again to continue"
            ) from None
        except BaseException:  # Ctrl-C, SIGTERM, a piece that failed, results that nobody wants any more
            # What is whole stays and what is not is removed by the next run, so nothing is gained by finishing pieces.
            for process in list((getattr(executor, "_processes", None) or {}).values()):
                process.kill()  # executor.kill_workers() of Python 3.14
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def submit(
    executor: concurrent.futures.Executor, function: Callable[[Piece], Result], piece: Piece
) -> concurrent.futures.Future[Result]:
    """Submits a piece, which may start a process. That inherits a blocked Ctrl-C, so it is the parent's alone."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return executor.submit(function, piece)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return executor.submit(function, piece)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _finished(submitted: dict[concurrent.futures.Future[Result], Piece]) -> Iterator[tuple[Piece, Result]]:
    """Waits for one piece or more, and removes what has finished."""
    done, _ = concurrent.futures.wait(submitted, return_when=concurrent.futures.FIRST_COMPLETED)
    for future in done:
        yield submitted.pop(future), future.result()


def _start_worker(parent: int) -> None:
    """Leaves Ctrl-C to the parent, and ends when the parent has been killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the handler of the main program, which would unwind and print
    end_with_parent(parent)


def end_with_parent(parent: int) -> None:
    """Ends this process soon after its parent, however that ended."""

    def watch() -> None:
        # A process whose parent is gone gets another parent.
        while os.getppid() == parent:
            time.sleep(0.2)  # works on every system; Linux alone could be told to send a signal
        os._exit(1)  # not sys.exit, which would end only this thread

    threading.Thread(target=watch, daemon=True).start()
