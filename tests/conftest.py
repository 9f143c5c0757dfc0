"""Shared pieces of the tests. pytest never parses absl flags, so they are marked as parsed."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from absl import flags

from flags import options  # noqa: F401  defines the flags
from pipeline.config import DrawingConfig, GenerateConfig, RecordsConfig, RunConfig
from pipeline.workdir import Workdir

ROOT = pathlib.Path(__file__).parent.parent
flags.FLAGS.mark_as_parsed()


@pytest.fixture
def workdir(tmp_path):
    workdir = Workdir(tmp_path / "work")
    workdir.create()
    return workdir


@pytest.fixture
def make_config():
    """RunConfig with a few fields set: those of the drawing, generate and records groups by their bare names."""

    def make(num_images=40, **given):
        def of(settings, **values):
            names = {field.name for field in dataclasses.fields(settings)}
            return settings(**values, **{name: value for name, value in given.items() if name in names})

        drawing = of(DrawingConfig)
        given.setdefault("validation_fraction", 0.25)
        given.setdefault("test_fraction", 0.25)
        given.setdefault("workers", 1)
        return of(
            RunConfig,
            generate=GenerateConfig(drawing=drawing, num_images=num_images),
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


_TWO_DEVICES = """
import keras
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from alexnet.normalization import FusedBatchNormalization

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def values(context):
    return tf.constant([1.0, 3.0] if context.replica_id_in_sync_group == 0 else [10.0, 20.0])[:, None, None, None]
"""


@pytest.fixture
def run_on_two_devices():
    """What a script prints, which has a `strategy` of two devices and `values`: 1 and 3 on one, 10 and 20 on the other.
    A process of its own, because devices are split before TensorFlow begins."""

    def run(script):
        result = subprocess.run(
            [sys.executable, "-c", _TWO_DEVICES + script],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    return run
