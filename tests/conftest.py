"""Shared pieces of the tests. pytest never parses absl flags, so they are marked as parsed."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from absl import flags

from flags import options  # defines the flags
from pipeline.config import CodeConfig, DrawingConfig, GenerateConfig, RecordsConfig, RunConfig
from pipeline.workdir import Workdir

ROOT = pathlib.Path(__file__).parent.parent
flags.FLAGS.mark_as_parsed()


@pytest.fixture
def workdir(tmp_path):
    workdir = Workdir(tmp_path / "work")
    workdir.create()
    return workdir


def from_text(given):
    """The same fields with flag text, such as code_length="3-6", turned into the values that it stands for."""
    return {
        name: options.value_of_flag(name, value) if name in options.TEXT_FORMS and isinstance(value, str) else value
        for name, value in given.items()
    }


@pytest.fixture
def make_config():
    """RunConfig with a few fields set: those of the code, drawing and records groups by their bare names or flag text."""

    def make(num_images=40, **given):
        given = from_text(given)

        def of(settings, **values):
            names = {field.name for field in dataclasses.fields(settings)}
            return settings(**values, **{name: value for name, value in given.items() if name in names})

        given.setdefault("validation_fraction", 0.25)
        given.setdefault("test_fraction", 0.25)
        given.setdefault("workers", 1)
        return of(
            RunConfig,
            code=of(CodeConfig),
            generate=GenerateConfig(drawing=of(DrawingConfig), num_images=num_images),
            records=of(RecordsConfig),
        )

    return make


@pytest.fixture
def run_main(tmp_path):
    """Runs main.py as a user would; the result has returncode, stdout and stderr."""

    def run(*arguments, cwd=tmp_path, **given):
        command = [sys.executable, str(ROOT / "main.py"), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, **given)

    return run


@pytest.fixture
def start_main(tmp_path):
    """Starts main.py in a process group of its own and returns the process."""
    started = []

    def start(*arguments, cwd=tmp_path, **given):
        command = [sys.executable, str(ROOT / "main.py"), *map(str, arguments)]
        # Whatever runs the tests in the background may have told them to ignore Ctrl-C, and children inherit that.
        heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
        process = subprocess.Popen(command, cwd=cwd, **pipes, **heed, **given)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


is_root = hasattr(os, "geteuid") and os.geteuid() == 0
