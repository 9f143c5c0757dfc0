"""Shared parts of the tests. pytest never parses absl flags, so they are marked as parsed."""

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import io
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import hypothesis
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

import main
from flags import options  # defines the flags
from pipeline.config import CodeConfig, DrawingConfig, GenerateConfig, RecordsConfig, RunConfig
from pipeline.machine import workers
from pipeline.machine.startup import fast_kernels
from pipeline.workdir import Workdir

ROOT = pathlib.Path(__file__).parent.parent
long = pytest.mark.skipif("DIGITWISE_LONG" not in os.environ, reason="takes minutes: DIGITWISE_LONG=1 runs it")
flags.FLAGS.mark_as_parsed()
fast_kernels()  # before any test imports TensorFlow
# The test processes share the cores: operations that have threads of their own would wait for each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
# The same examples each time, however long they take.
hypothesis.settings.register_profile(
    "exact", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("exact")
# Matplotlib lists the fonts of the machine once, not once for each workdir of a test.
os.environ["MPLCONFIGDIR"] = str(pathlib.Path(tempfile.gettempdir()) / f"digitwise-tests-matplotlib-{os.getuid()}")


@pytest.fixture
def workdir(tmp_path):
    workdir = Workdir(tmp_path / "work")
    workdir.create()
    return workdir


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """shared_folder(name, make): a folder that make(folder) fills once for all test processes, to be read only.

    For what takes long, such as a training that several tests look at.
    """
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base

    def shared(name, make):
        folder, done = base / f"shared-{name}", base / f"shared-{name}.done"
        with open(base / f"shared-{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a test process that failed here
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return shared


@pytest.fixture
def blank_plots(monkeypatch):
    """Reports with plots that take no time; `monkeypatch.undo()` brings the real ones back."""
    from pipeline.report import plots

    pixel = io.BytesIO()
    Image.new("L", (1, 1)).save(pixel, "PNG")
    for name in ("accuracy_plot", "confusion_plot", "coverage_plot", "training_plot"):
        monkeypatch.setattr(plots, name, lambda *_, **__: pixel.getvalue())


class _Here(concurrent.futures.Executor):
    """Does what is submitted at once, in this process."""

    def submit(self, function, *arguments):
        future = concurrent.futures.Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(autouse=True)
def no_workers(request, monkeypatch):
    """Pieces of work are done in this process: starting others takes a second each time. Tests that are about worker
    processes are marked `workers`."""
    if "workers" not in request.keywords:
        monkeypatch.setattr(workers, "worker_pool", lambda processes: contextlib.nullcontext(_Here()))


@pytest.fixture(scope="module")
def tiny_network():
    """Trainings with --network=alexnet in this process have a network that is quick to build."""
    from tests import tiny_network

    with pytest.MonkeyPatch.context() as patch:
        tiny_network.install(patch.setattr)
        yield


def from_text(given):
    """The same fields with flag text, such as code_length="3-6", turned into the values that it stands for."""
    return {
        name: options.value_of_flag(name, value) if name in options.TEXT_FORMS and isinstance(value, str) else value
        for name, value in given.items()
    }


@pytest.fixture
def make_config():
    """RunConfig with a few fields set: those of the code, drawing and records groups, as values or flag text."""

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
def call_main(tmp_path, monkeypatch, capfd):
    """Runs main.py in this process and in tmp_path; the result is like that of `run_main`, ten times as quickly.

    For what does not depend on the process: not for --help, signals, limits or the environment.
    """

    def call(*arguments):
        monkeypatch.chdir(tmp_path)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        capfd.readouterr()
        try:
            with flagsaver.flagsaver():
                code = main.main(main.parse(["main.py", *map(str, arguments)]))
        except SystemExit as exit:
            code = exit.code
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return call


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
