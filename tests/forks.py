"""Processes that begin with TensorFlow imported, as importing it takes five seconds of a core.

    process = start(train, settings)        # train(settings) returns the exit code
    process.kill()
    output, _ = process.communicate(timeout=60)

A server imports it once, and each process is a fork of the server. What TensorFlow settles when it is first used, such
as its devices and its threads, each process settles for itself.
"""

import contextlib
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["pipeline.training.train", "tensorboard.summary.writer.event_file_writer"])


class Fork:
    """As much of subprocess.Popen as tests need, with stdout and stderr in one."""

    def __init__(self, process, output):
        self.pid = process.pid
        self._process = process
        self._output = output

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self.returncode

    def kill(self):
        self._process.kill()

    def terminate(self):
        self._process.terminate()

    def send_signal(self, number):
        os.kill(self.pid, number)

    def communicate(self, timeout=None):
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(["fork"], timeout)
        self._output.seek(0)
        return self._output.read(), None


def start(function, argument):
    """A process that ends with the exit code that `function(argument)` returns; `function` is one of a module."""
    output = tempfile.NamedTemporaryFile("r", prefix="digitwise-tests-", errors="replace")  # noqa: SIM115
    process = _CONTEXT.Process(target=_run, args=(function, argument, output.name))
    with contextlib.chdir(ROOT):  # where the server finds the modules
        process.start()
    return Fork(process, output)


def _run(function, argument, output_path):
    output = os.open(output_path, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout.reconfigure(line_buffering=True)  # a process that is killed writes no more
    sys.exit(function(argument))
