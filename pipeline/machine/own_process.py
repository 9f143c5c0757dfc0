"""A function in a process of its own, for work that leaves traces in its process, as TensorFlow does.

result = run_alone(function, *arguments)
"""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from pipeline.machine.workers import end_with_parent
from pipeline.values import SettingError
from records.errors import DigitwiseError

_INTERRUPTED = 130  # by convention 128 and the number of the signal


def run_alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What function(*arguments) returns; how it fails, or is stopped, is passed on."""
    # spawn: a fork would copy TensorFlow's threads as locks that nobody releases.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, os.getpid(), function, *arguments))
    process.start()
    sender.close()  # so that the end of the child is noticed here
    try:
        outcome, result = receiver.recv()
        process.join()
    except EOFError:
        process.join()
        raise _ended(process.exitcode) from None
    except BaseException:
        process.terminate()  # a training that is told to end saves first
        process.join()
        raise
    if outcome == "error":
        raise DigitwiseError(result)
    return result


def _ended(code: int | None) -> BaseException:
    if code == _INTERRUPTED:
        return KeyboardInterrupt()
    if code and code > 128:  # it ended itself after a signal, as main does
        return SystemExit(code)
    if code and code < 0:
        return DigitwiseError(
            f"the process of a training was killed by signal {-code}; run the same command again to continue"
        )
    return DigitwiseError(f"the process of a training ended with exit code {code}")


def _child(sender: Connection, parent: int, function: Callable[..., Any], *arguments: Any) -> None:
    end_with_parent(parent)
    try:
        sender.send(("result", function(*arguments)))
    # As text: not every exception can be pickled. Anything else is the program's mistake: the child prints a traceback.
    except (DigitwiseError, SettingError, OSError) as error:
        sender.send(("error", str(error)))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
