"""Several replicas and workers: the same losses, the same bits after a restart, one line when a peer is lost."""

import json
import os
import subprocess
import sys

import pytest

from pipeline.model.checkpoints import Checkpoints
from tests.conftest import long
from tests.training_fixtures import (
    FINDS_ITS_LENGTH,
    ROOT,
    assert_same_bits,
    cluster_environments,
    final_arrays,
    finish,
    make_records,
    start_training,
    wait_for_step,
)

pytestmark = pytest.mark.slow

MIRRORED = {"strategy": "mirrored", "logical_devices": 2}
MULTI_WORKER = {"strategy": "multi_worker", "peer_seconds": 300.0}


def new_workdir(folder, train=48):
    make_records(folder / "records", train=train)
    return folder


def start_workers(workdir, **options):
    """Two workers on this machine, the chief first."""
    return [start_training(workdir, environment, **MULTI_WORKER, **options) for environment in cluster_environments(2)]


# Six steps with a look after each. The last digit of a sum depends on the number of replicas, and Adam, which divides
# by the size of a gradient however small, makes much of it where a gradient is nearly nothing: hence the low rate.
FEW_STEPS = {
    "dropout": 0.0,
    "learning_rate": 3e-5,
    "schedule": "constant",
    "batch_size": 16,
    "epochs": 2,
    "validation_steps": 1,
}


def losses(workdir):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(workdir / "logs" / "train")).Reload().Tensors("loss")
    assert [event.step for event in events] == [1, 2, 3, 4, 5, 6]
    return [float(make_ndarray(event.tensor_proto)) for event in events]


def one_device(folder):
    workdir = new_workdir(folder)
    code, output = finish(start_training(workdir, strategy="one", **FEW_STEPS))
    assert code == 0, output


@pytest.fixture(scope="session")
def loss_of_one_device(shared_folder):
    return losses(shared_folder("one-device", one_device))


def same_to_5_digits(values, others):
    return values == pytest.approx(others, rel=1e-5)


OVERFLOW = """
import keras, numpy as np, tensorflow as tf
from pipeline.machine.devices import make_strategy
from pipeline.training.optimizer import make_optimizer
from pipeline.training.steps import finite_together

strategy = make_strategy("mirrored", logical_devices=2)
with strategy.scope():
    weights = keras.Variable([1.0, 2.0])
    optimizer = make_optimizer(0.1, 0.0, precision="float16")
    optimizer.build([weights])

@tf.function(autograph=False)
def step(broken):
    def of_replica():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        gradient = tf.where(tf.equal(number, broken), np.inf, 1.0) * tf.ones([2])
        optimizer.apply(finite_together([gradient]), [weights])
    strategy.run(of_replica)

for broken in (0, 1, -1):
    before = np.array(weights)
    step(tf.constant(broken))
    print(np.isfinite(weights).all(), np.array_equal(before, weights), flush=True)
"""


def test_an_overflow_on_any_replica_leaves_a_step_out():
    result = subprocess.run([sys.executable, "-c", OVERFLOW], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.stdout.split() == ["True", "True"] * 2 + ["True", "False"], result.stderr


def test_two_logical_devices_choose_the_hardest_that_one_does(tmp_path):
    """Six steps, each with all of the 32 images: a share that chose others would learn something else."""
    found = []
    for name, options in (("one", {"strategy": "one"}), ("two", MIRRORED)):
        workdir = new_workdir(tmp_path / name, train=32)
        few_steps = FEW_STEPS | {"learn_from": "hardest", "epochs": 6}
        code, output = finish(start_training(workdir, **few_steps, **options))
        assert code == 0, output
        found.append(losses(workdir))
    assert same_to_5_digits(*found)


def test_two_logical_devices_have_the_loss_of_one(tmp_path, loss_of_one_device):
    workdir = new_workdir(tmp_path)
    code, output = finish(start_training(workdir, **FEW_STEPS, **MIRRORED))
    assert code == 0 and "2 replicas on CPU:0 and CPU:1" in output, output
    assert same_to_5_digits(losses(workdir), loss_of_one_device)


def test_two_workers_have_the_loss_of_one_device(tmp_path, loss_of_one_device):
    workdir = new_workdir(tmp_path)
    results = [finish(process) for process in start_workers(workdir, **FEW_STEPS)]
    assert [code for code, _ in results] == [0, 0], results
    assert "2 replicas on CPU:0 of each of 2 workers" in results[0][1]
    assert "the chief reports the progress" in results[1][1]
    assert same_to_5_digits(losses(workdir), loss_of_one_device)


def test_a_mirrored_training_goes_on_with_the_same_bits(tmp_path):
    whole, stopped = new_workdir(tmp_path / "whole"), new_workdir(tmp_path / "stopped")
    options = {**OFTEN_SAVED, **MIRRORED}
    assert finish(start_training(whole, **options))[0] == 0
    process = start_training(stopped, **options)
    wait_for_step(stopped, 10, [process])
    process.kill()
    finish(process)
    code, output = finish(start_training(stopped, **options))
    assert code == 0 and "continuing from step" in output, output
    assert_same_bits(final_arrays(stopped), final_arrays(whole))


def test_workers_agree_when_a_training_that_finds_its_length_ends(tmp_path):
    workdir = new_workdir(tmp_path, train=16)
    results = [finish(process) for process in start_workers(workdir, **FINDS_ITS_LENGTH)]
    assert [code for code, _ in results] == [0, 0], results
    (line,) = [line for line in results[0][1].splitlines() if "the learning rate comes down" in line]
    assert line.startswith("no improvement in 1 validation: from step "), line
    state = Checkpoints(workdir / "checkpoints").choose("last").state
    assert state.finished and state.pace.last_step == state.num_steps == state.validated_step


OFTEN_SAVED = {"dropout": 0.5, "checkpoint_seconds": 0.0}


@pytest.fixture(scope="session")
def undisturbed_workers(shared_folder):
    """The workdir of two workers that nobody stopped."""

    def run(folder):
        results = [finish(process) for process in start_workers(new_workdir(folder), **OFTEN_SAVED)]
        assert [code for code, _ in results] == [0, 0], results

    return shared_folder("undisturbed-workers", run)


@pytest.mark.parametrize("victim", [0, pytest.param(1, marks=long)])
def test_a_killed_worker_ends_the_other_and_a_restart_gives_the_same_bits(tmp_path, victim, undisturbed_workers):
    stopped = new_workdir(tmp_path / "stopped")
    processes = start_workers(stopped, **OFTEN_SAVED)
    wait_for_step(stopped, 10, processes)
    processes[victim].kill()
    code, output = finish(processes[1 - victim])
    finish(processes[victim])
    assert code == 1, output
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in output, output
    assert lines[0].startswith(f"error: worker {1 - victim} (127.0.0.1:")
    assert f"lost worker {victim} (127.0.0.1:" in lines[0]
    step = Checkpoints(stopped / "checkpoints").latest(lambda line: pytest.fail(line)).step
    assert f"start all workers again to continue from step {step}" in lines[0]
    results = [finish(process) for process in start_workers(stopped, **OFTEN_SAVED)]
    assert [code for code, _ in results] == [0, 0], results
    assert f"continuing from step {step}" in results[0][1]
    assert_same_bits(final_arrays(stopped), final_arrays(undisturbed_workers))


def test_a_stop_of_one_worker_is_a_stop_of_both(tmp_path):
    workdir = new_workdir(tmp_path)
    processes = start_workers(workdir, checkpoint_seconds=0.0, epochs=200)
    wait_for_step(workdir, 6, processes)
    processes[1].terminate()
    results = [finish(process) for process in processes]
    assert [code for code, _ in results] == [143, 143], results
    step = Checkpoints(workdir / "checkpoints").steps()[-1]
    assert f"stopped at step {step} of 1,200, saved" in results[0][1]


def test_workers_train_and_test_in_one_command(tmp_path):
    make_records(tmp_path / "records")
    flags = ["--stage=train,test", f"--workdir={tmp_path}", "--epochs=1", "--batch_size=8", "--network=three_conv"]
    processes = [
        subprocess.Popen(
            [sys.executable, "main.py", *flags, "--strategy=multi_worker", "--peer_seconds=300"],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for environment in cluster_environments(2)
    ]
    results = [finish(process) for process in processes]
    assert [code for code, _ in results] == [0, 0], results
    assert "of 7 right" in results[0][1] and "whole code" not in results[1][1]
    assert json.loads((tmp_path / "report" / "report.json").read_text())["sequence_accuracy"]["count"] == 7


def test_a_worker_alone_names_the_one_that_is_missing(tmp_path):
    environment = cluster_environments(2)[0]
    workdir = new_workdir(tmp_path)
    code, output = finish(start_training(workdir, environment, strategy="multi_worker", peer_seconds=0.0))
    assert code == 1
    missing = json.loads(environment["TF_CONFIG"])["cluster"]["worker"][1]
    assert f"error: worker 1 ({missing}) did not answer worker 0 (127.0.0.1:" in output
    assert "--peer_seconds" in output


COUNTS = """
import sys
import numpy as np
from pipeline.config import TrainConfig
from pipeline.machine.devices import make_strategy
from pipeline.model.reading import evaluation_batches, predict_batches
from pipeline.model.recognizer import Recognizer
from pipeline.model.spec import ModelSpec
from records.dataset.manifest import Manifest

manifest = Manifest.load(sys.argv[1])
strategy = make_strategy("mirrored", logical_devices=2)
with strategy.scope():
    recognizer = Recognizer(ModelSpec.of(TrainConfig(), manifest, "float32"))
results = list(predict_batches(strategy, recognizer, evaluation_batches(manifest, "test", 3, 1), images=True))
indices, label_ids, decoded_ids, _, _, images = map(np.concatenate, zip(*(batch[:6] for batch in results)))
assert strategy.num_replicas_in_sync == 2
assert np.array_equal(decoded_ids, recognizer.predict(images).label_ids)
print("indices", *indices)
"""


def test_seven_images_in_batches_of_three_on_two_replicas_count_seven(tmp_path):
    make_records(tmp_path / "records", test=7)
    result = subprocess.run(
        [sys.executable, "-c", COUNTS, str(tmp_path / "records")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "indices 0 1 2 3 4 5 6\n" in result.stdout, result.stderr


def test_more_replicas_than_before_are_said(tmp_path):
    workdir = new_workdir(tmp_path)
    process = start_training(workdir, checkpoint_seconds=0.0, epochs=200)
    wait_for_step(workdir, 6, [process])
    process.terminate()
    assert finish(process)[0] == 143
    process = start_training(workdir, checkpoint_seconds=0.0, epochs=200, **MIRRORED)
    wait_for_step(workdir, Checkpoints(workdir / "checkpoints").steps()[-1] + 1, [process])
    process.terminate()
    code, output = finish(process)
    assert code == 143
    assert "note: the training continues with replicas 1 -> 2; its result will not be the same to the last" in output
