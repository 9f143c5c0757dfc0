"""What a worker process on a node runs. It imports nothing that a node may lack before it has looked."""

import dataclasses
import functools
import os
import pickle
import socket
import traceback
from typing import Any

from pipeline.cluster.requirements import Requirements


@dataclasses.dataclass(frozen=True)
class Order:
    """A piece of work: `call` is (function, piece), pickled here so that a node unpickles it after it was checked.
    Without one, the node is only checked."""

    requirements: Requirements
    call: bytes = b""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of an order: `result` is pickled, `unmet` says why the node may not take part, `error` is what the
    function raised, with its traceback as text."""

    host: str
    result: bytes = b""
    unmet: tuple[str, ...] = ()
    error: Exception | None = None
    trace: str = ""


def carry_out(order: Order) -> Outcome:
    """Never raises: what went wrong is for the driver to tell, in one line."""
    host = socket.gethostname()
    try:
        # Checked in each process, not once at the start: nodes join while work is under way.
        unmet = _unmet(order.requirements)
        if unmet or not order.call:
            return Outcome(host, unmet=unmet)
        if not order.requirements.proof_path.exists():
            return Outcome(host, unmet=("the run has ended",))
        function, piece = pickle.loads(order.call)
        return Outcome(host, pickle.dumps(function(piece)))
    except Exception as error:
        return Outcome(host, error=_sendable(error), trace=traceback.format_exc())


def result_of(outcome: Outcome) -> Any:
    return pickle.loads(outcome.result)


@functools.lru_cache(maxsize=4)
def _unmet(requirements: Requirements) -> tuple[str, ...]:
    if os.path.isdir(requirements.start):
        os.chdir(requirements.start)
    return tuple(requirements.unmet())


def _sendable(error: Exception) -> Exception:
    """The error, or one of the same text where it does not survive pickling."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
