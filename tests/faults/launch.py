"""main.py with a network that is quick to build, and with faults that a process does to itself.

FAULT_DIE_AT=7      kill -9 at the seventh call that changes what the disk holds
"""

import dataclasses
import os
import pathlib
import signal
import sys

if __name__ == "__main__":
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[2])

import main
from alexnet import catalogue


def die_at(number):
    """Ends this process at the given one of all calls that change what the disk holds."""
    calls = 0

    def deadly(function):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in ("fsync", "replace", "rename", "rmdir", "unlink"):
        setattr(os, name, deadly(getattr(os, name)))
    for name in ("unlink", "rmdir"):
        setattr(pathlib.Path, name, deadly(getattr(pathlib.Path, name)))


if __name__ == "__main__":
    small = dataclasses.replace(catalogue.CATALOGUE["alexnet"], module="tests.tiny_network")
    catalogue.CATALOGUE["alexnet"] = small  # TensorFlow is imported only when it is built
    if os.environ.get("FAULT_DIE_AT"):
        die_at(int(os.environ["FAULT_DIE_AT"]))
    main.run()
