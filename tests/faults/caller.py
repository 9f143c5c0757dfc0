"""Commands of main.py, one after the other in one process, as `Caller` in lab.py asks for them, line by line.

What does not depend on the process is tried ten times as often like this.
"""

import concurrent.futures
import contextlib
import dataclasses
import errno
import io
import json
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time
import traceback

from absl import flags
from absl.testing import flagsaver
from PIL import Image

import main
from alexnet import catalogue
from flags import options  # noqa: F401  defines the flags
from pipeline.drawing import stream
from pipeline.machine import startup, workers

_REAL = {"time": time.time, "monotonic": time.monotonic}


def peak():
    """The largest number of bytes in memory since `forget_peak`."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def forget_peak():
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def full_disk_at(number):
    """From the given change of the disk on, there is no room; gives what undoes it."""
    calls = 0
    before = {name: getattr(os, name) for name in ("fsync", "replace", "rename", "mkdir")}

    def full(function):
        def call(*arguments, **given):
            nonlocal calls
            calls += 1
            if calls >= number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *_path(arguments))
            return function(*arguments, **given)

        return call

    for name, function in before.items():
        setattr(os, name, full(function))
    return lambda: [setattr(os, name, function) for name, function in before.items()]


def _path(arguments):
    """The path as the system has it: a call with a number of an open file knows none."""
    return [] if isinstance(arguments[0], int) else [str(arguments[0])]


def jumping_clock(seed):
    """The time of day jumps back and forth, the other clock forth only; gives what undoes it."""
    draw, ahead = random.Random(seed), [0.0]

    def monotonic():
        ahead[0] += draw.choice((0.0, 0.0, 0.0, 30.0))
        return _REAL["monotonic"]() + ahead[0]

    time.time = lambda: _REAL["time"]() + draw.choice((-3e8, -3600.0, 0.0, 3600.0, 3e8))
    time.monotonic = monotonic
    return lambda: [setattr(time, name, function) for name, function in _REAL.items()]


def call(asked):
    """{code, seconds, peak, out, err} of one command."""
    os.chdir(asked["cwd"])
    began, cpu = _REAL["monotonic"](), time.process_time()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    undo = lambda: None  # noqa: E731
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        for file, number in ((out, 1), (err, 2)):
            os.dup2(file.fileno(), number)
        forget_peak()
        before = peak()
        try:
            if asked.get("full_at"):
                undo = full_disk_at(asked["full_at"])
            if asked.get("clock"):
                undo = jumping_clock(asked["clock"])
            with flagsaver.flagsaver():
                code = main.main(main.parse(["main.py", *asked["arguments"]]))
        except SystemExit as error:
            code = error.code
        except BaseException:
            code = 70
            traceback.print_exc()
        finally:
            undo()
            sys.stdout.flush()
            sys.stderr.flush()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        texts = {}
        for name, file in (("out", out), ("err", err)):
            file.seek(0)
            texts[name] = file.read().decode("utf-8", "replace")
    seconds = _REAL["monotonic"]() - began
    used = {"cpu": time.process_time() - cpu, "peak": peak(), "grown": peak() - before}
    return {"code": code, "seconds": seconds, **used, **texts}


class Inline(concurrent.futures.Executor):
    """Does each piece of work at once, in this process."""

    def submit(self, function, *arguments, **given):
        future = concurrent.futures.Future()
        try:
            future.set_result(function(*arguments, **given))
        except Exception as error:
            future.set_exception(error)
        return future


@contextlib.contextmanager
def no_processes(_):
    yield Inline()


def small_network():
    """As in launch.py, with TensorFlow set up as main.py does."""
    startup.import_tensorflow()
    small = dataclasses.replace(catalogue.CATALOGUE["alexnet"], module="tests.tiny_network")
    catalogue.CATALOGUE["alexnet"] = small


def without_plots():
    """Plots take most of the time of a small test."""
    from pipeline.report import plots

    pixel = io.BytesIO()
    Image.new("L", (1, 1)).save(pixel, "PNG")
    for name in ("accuracy_plot", "confusion_plot", "coverage_plot", "training_plot"):
        setattr(plots, name, lambda *_, **__: pixel.getvalue())


def serve(answers):
    # Starting worker processes takes longer than all that they do here.
    workers.worker_pool = stream.worker_pool = no_processes
    flags.FLAGS.mark_as_parsed()
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(errors="backslashreplace")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        answers.write(json.dumps(call(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    os.environ["PYTHONSAFEPATH"] = "1"
    answers = os.fdopen(os.dup(1), "w")
    if sys.argv[1] == "tensorflow":
        small_network()
        without_plots()
    serve(answers)
