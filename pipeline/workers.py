"""Independent pieces of work in worker processes.

Processes are spawned, so a worker has no thread or lock of its parent's; each ends by itself when its parent is gone.
"""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures.process import BrokenProcessPool

from records.errors import DigitwiseError


def run_pieces(function, pieces, processes):
    """Yields (piece, function(piece)) as they finish. Few are under way at once, so memory stays level."""
    context = multiprocessing.get_context("spawn")
    executor = concurrent.futures.ProcessPoolExecutor(processes, context, _start_worker, (os.getpid(),))
    under_way = {}
    pieces = iter(pieces)
    try:
        for piece in pieces:
            under_way[executor.submit(function, piece)] = piece
            if len(under_way) >= 2 * processes:
                yield from _finished(under_way, concurrent.futures.FIRST_COMPLETED)
        while under_way:
            yield from _finished(under_way, concurrent.futures.FIRST_COMPLETED)
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

    def watch():
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
