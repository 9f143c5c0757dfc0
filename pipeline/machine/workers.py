"""Independent pieces of work in worker processes.

Processes are spawned, so a worker has no thread or lock of its parent's; each ends by itself when its parent is gone.
"""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures.process import BrokenProcessPool

from records.errors import DigitwiseError

_AHEAD = 2  # pieces under way for each process


def run_pieces(function, pieces, processes):
    """Yields (piece, function(piece)) as they finish. Few are under way at once, so memory stays level."""
    under_way = {}
    with worker_pool(processes) as executor:
        for piece in pieces:
            under_way[executor.submit(function, piece)] = piece
            if len(under_way) >= _AHEAD * processes:
                yield from _finished(under_way, concurrent.futures.FIRST_COMPLETED)
        while under_way:
            yield from _finished(under_way, concurrent.futures.FIRST_COMPLETED)


def run_in_order(executor, function, pieces, processes):
    """Yields function(piece) in the order of the pieces, which may have no end."""
    under_way = collections.deque()
    for piece in pieces:
        under_way.append(executor.submit(function, piece))
        if len(under_way) > _AHEAD * processes:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


@contextlib.contextmanager
def worker_pool(processes):
    """Processes that work, until the block is left; where one is killed, that is said in one line."""
    context = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(processes, context, _start_worker, (os.getpid(),))
    try:
        yield executor
    except BrokenProcessPool:
        raise DigitwiseError(
            "a worker process was killed (the system may be out of memory: try fewer --workers); "
            "run the same command again to go on from here"
        ) from None
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _finished(under_way, when):
    done, _ = concurrent.futures.wait(under_way, return_when=when)
    for future in done:
        piece = under_way.pop(future)
        yield piece, future.result()


def _start_worker(parent):
    """Leaves Ctrl-C to the parent, and ends when the parent has been killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent(parent)


def end_with_parent(parent):
    """Ends this process soon after its parent, however that came to its end."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
