"""Training: that it learns, and that stopping it changes nothing."""

import io
import json
import math
import os
import random
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from pipeline import config
from pipeline.config import RunConfig, TrainConfig
from pipeline.model import metrics
from pipeline.model.checkpoints import Checkpoint, Checkpoints
from pipeline.training import loop as training
from pipeline.training import optimizer
from pipeline.training.display import Display, Window
from pipeline.training.loop import Steps, train, training_settings
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest
from records.errors import DamagedRecords, DigitwiseError
from tests.training_fixtures import (
    assert_same_bits,
    final_arrays,
    finish,
    make_records,
    settings_for_tests,
    start_training,
    wait_for_step,
)

KILL_ROUNDS = int(os.environ.get("DIGITWISE_KILL_ROUNDS", "2"))
KILLED_SAVES = int(os.environ.get("DIGITWISE_KILLED_SAVES", "2"))


@pytest.fixture
def work(tmp_path):
    """A Workdir with records."""
    make_records(tmp_path / "records")
    return Workdir(tmp_path)


def train_here(work, overwrite=False, **options):
    config = RunConfig(workdir=str(work.root), overwrite=overwrite, train=TrainConfig(**settings_for_tests(**options)))
    return train(config, work)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The arrays that a training ends in which nobody stops, and which saves at validations only."""
    folder = tmp_path_factory.mktemp("undisturbed")
    make_records(folder / "records")
    code, output = finish(start_training(folder, dropout=0.5, checkpoint_seconds=1e6))
    assert code == 0, output
    return final_arrays(folder)


def start(work, **options):
    """The same training, saving at every look."""
    return start_training(work.root, dropout=0.5, checkpoint_seconds=0.0, **options)


def test_the_loss_halves_on_one_batch(work):
    asked = TrainConfig(**settings_for_tests())
    manifest = make_records(work.records, train=8)
    steps, batches = single_device_steps(asked, manifest)
    losses = []
    for _ in range(4):
        for slot in range(training.LOOK_STEPS):
            steps.run(batches, tf.constant(slot), tf.constant(1), tf.constant(0.0))
        losses += steps.look(training.LOOK_STEPS)[0].tolist()
    assert losses[0] == pytest.approx(math.log(4), abs=1.0)
    assert losses[-1] < losses[0] / 2


def single_device_steps(asked, manifest):
    """Steps on the one batch that there is, over and over."""
    from pipeline.model.recognizer import Recognizer
    from pipeline.training.batches import evaluation_batches

    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    tf.keras.utils.set_random_seed(0)
    with strategy.scope():
        recognizer = Recognizer(training_settings(asked, manifest, asked.precision))
        adam = optimizer.make_optimizer("constant", asked.learning_rate, 0.0, 1)
        adam.build(recognizer.network.trainable_variables)
        steps = Steps(strategy, recognizer, adam, asked.batch_size)
    batches = evaluation_batches(manifest, "train", asked.batch_size, 1)
    batches = batches.map(lambda _, images, label_ids, mask: (images, label_ids)).repeat()
    return steps, iter(strategy.distribute_datasets_from_function(lambda _: batches))


def test_the_checkpoint_remembers_how_strongly_images_are_varied(work):
    manifest = make_records(work.records, train=8)

    def strength(asked, train=None, num_drawn=0):
        found = train if train is None else Checkpoint(3, {"settings": {"train": train}}, {})
        return training._augmentation(TrainConfig(augmentation=asked), found, manifest, num_drawn)

    assert [strength(0.5), strength(None)] == [0.5, 1.0]
    assert [strength(None, {"augmentation": 0.3}), strength(0.5, {"augmentation": 0.3})] == [0.3, 0.5]
    assert strength(None, num_drawn=TrainConfig().batch_size) == 0.0  # drawn images are varied enough


def test_a_training_varies_and_cleans_its_images(work, monkeypatch):
    given = []
    make_batches = training.training_batches

    def spy(*positional, **named):
        given.append((named["augmentation"], named["cleaning"]))
        return make_batches(*positional, **named)

    monkeypatch.setattr(training, "training_batches", spy)
    options = {"epochs": 1, "augmentation": None, "cleaning": "threshold"}
    settings = train_here(work, **options)["settings"]
    assert given == [(1.0, "threshold")]
    assert settings["train"]["augmentation"] == 1.0 and settings["network"]["cleaning"] == "threshold"
    with pytest.raises(DigitwiseError, match="other settings:\n  augmentation: 1.0 -> 0.0\n"):
        train_here(work, **{**options, "augmentation": 0.0})


def test_positions_are_counted_where_a_reading_has_more_places_than_the_labels():
    label_ids, decoded_ids = [[1, 2], [3, -1]], [[1, 2, 4], [3, -1, -1]]
    right, counted = training._position_counts(tf.constant(label_ids), tf.constant(decoded_ids))
    assert (float(right), float(counted)) == (3, 4)
    assert [sum(counts) for counts in metrics.position_counts(label_ids, decoded_ids)] == [3, 4]


def test_several_steps_in_one_call_are_the_same_steps(work):
    asked = TrainConfig(**settings_for_tests())
    manifest = make_records(work.records, train=8)
    results = []
    for counts in ([1, 1, 1, 1, 1, 1], [1, 3, 2]):
        steps, batches = single_device_steps(asked, manifest)
        slot = 0
        for count in counts:
            steps.run(batches, tf.constant(slot), tf.constant(count), tf.constant(0.0))
            slot += count
        results.append(steps.look(slot)[0].tolist())
    assert results[0] == results[1]


def test_what_a_training_leaves(work, capsys):
    state = train_here(work, epochs=2)
    output = capsys.readouterr().out
    assert state["finished"] == "all 2 epochs"
    assert Checkpoints(work.checkpoints).steps() == [6, 12]
    assert "building the graph of the training" in output
    assert "train: alexnet with positions" in output and "12 in all, float32 on 1 replica on CPU:0" in output
    assert "step 12 (epoch 2): validation position_accuracy 0." in output and "of 16)" in output
    rows = [json.loads(line) for line in (work.logs / "history.jsonl").read_text().splitlines()]
    assert [(row["step"], "loss" in row) for row in rows] == [(6, False), (10, True), (12, False)]
    assert all(list((work.logs / part).glob("events.out.tfevents.*")) for part in ("train", "validation"))
    assert "alexnet: 204,460 parameters" in (work.logs / "network.svg").read_text()


@pytest.mark.parametrize("network", ["three_conv", "nptu", "percent4", "vgg", "crnn"])
def test_every_network_trains_in_bfloat16(work, network):
    readout = "ctc" if network == "crnn" else "positions"
    state = train_here(work, network=network, readout=readout, epochs=1, precision="bfloat16")
    assert state["best"]["count"] == 16
    assert f"{network}: " in (work.logs / "network.svg").read_text()


def test_tensorboard_reads_the_logs(work):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_here(work, epochs=2)
    events = EventAccumulator(str(work.logs / "validation"), {"images": 0}).Reload()
    assert set(events.Tags()["tensors"]) == {"position_accuracy", "sequence_accuracy", "predictions"}
    width, height, png, *_ = events.Tensors("predictions")[0].tensor_proto.string_val
    assert int(width) > 32 and int(height) > 16 and png.startswith(b"\x89PNG")
    events = EventAccumulator(str(work.logs / "train")).Reload()
    assert set(events.Tags()["tensors"]) == {"loss", "position_accuracy", "learning_rate", "images_per_second"}
    assert [event.step for event in events.Tensors("loss")] == [6, 10, 12]
    assert events.Tags()["graph"]


def test_a_finished_training_says_so(work, capsys):
    train_here(work, epochs=1)
    before = {path: path.read_bytes() for path in work.checkpoints.iterdir()}
    capsys.readouterr()
    state = train_here(work, epochs=1)
    assert capsys.readouterr().out == "train: finished at step 6 (all 1 epochs); nothing to do\n"
    assert state["best"]["step"] == 6
    assert {path: path.read_bytes() for path in work.checkpoints.iterdir()} == before


def test_other_settings_are_refused(work):
    train_here(work, epochs=1)
    with pytest.raises(DigitwiseError) as refused:
        train_here(work, epochs=2, learning_rate=1e-3)
    first, *differing, last = str(refused.value).splitlines()
    assert first == f"the training in {work.checkpoints} (step 6) was made with other settings:"
    assert differing == ["  epochs: 1 -> 2", "  learning_rate: 0.003 -> 0.001"]
    assert "--overwrite" in last
    make_records(work.records, seed=1)
    with pytest.raises(DigitwiseError, match='other settings:\n  records: "[0-9a-f]{64}" -> "[0-9a-f]{64}"\n'):
        train_here(work, epochs=1)


def test_settings_that_change_no_result_are_not_compared(work, capsys):
    train_here(work, epochs=1)
    train_here(work, epochs=1, checkpoint_seconds=1.0, devices="1", profile=True)
    assert "nothing to do" in capsys.readouterr().out


def test_overwrite_begins_anew(work, capsys):
    train_here(work, epochs=1)
    (work.checkpoints / "notes.txt").write_text("mine")
    (work.logs / "network.svg").write_text("the old one")
    state = train_here(work, epochs=2, overwrite=True)
    assert "going on" not in capsys.readouterr().out
    assert state["num_steps"] == 12
    assert (work.checkpoints / "notes.txt").read_text() == "mine"
    steps = [json.loads(line)["step"] for line in (work.logs / "history.jsonl").read_text().splitlines()]
    assert steps == [6, 10, 12]
    assert (work.logs / "network.svg").read_text() != "the old one"


def test_overwrite_goes_on_with_what_was_begun_with_the_same_settings(work, capsys):
    train_here(work, epochs=1, overwrite=True)
    train_here(work, epochs=1, overwrite=True)
    assert "nothing to do" in capsys.readouterr().out
    for path in work.checkpoints.glob("*.npz"):
        path.write_bytes(b"damaged")
    with pytest.raises(DigitwiseError, match="none of the checkpoints .* is whole; train anew with --overwrite"):
        train_here(work, epochs=1)
    assert train_here(work, epochs=1, overwrite=True)["num_steps"] == 6


def test_another_length_is_refused(work, monkeypatch):
    train_here(work, epochs=1)
    longer = training.Length(1, 7, 7)
    monkeypatch.setattr(training.Length, "of", lambda *_: longer)
    with pytest.raises(DigitwiseError, match="other settings:\n  steps: 6 -> 7\n"):
        train_here(work, epochs=1)


def test_weights_that_the_training_would_write_over_are_refused(work):
    train_here(work, epochs=1)
    before = {path: path.read_bytes() for path in work.checkpoints.iterdir()}
    for given in (work.checkpoints, work.root):
        with pytest.raises(DigitwiseError, match="would write over them; give it another --workdir"):
            train_here(work, overwrite=True, initialize_from=str(given), epochs=1)
    assert {path: path.read_bytes() for path in work.checkpoints.iterdir()} == before


def test_a_damaged_record_is_named(work):
    path = Manifest.load(work.records).paths("train")[0]
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedRecords, match=rf"{path.name}: record 0 at byte 0: .*; --stage=check says more"):
        train_here(work, epochs=1)


def test_a_plateau_does_not_use_patience_up(work, monkeypatch):
    accuracies = iter([0, 0, 0, 8, 7, 6])

    def read_validation(self):
        label_ids = np.zeros((4, 2), np.int32)
        decoded_ids = np.ones((4, 2), np.int32)
        decoded_ids.flat[: next(accuracies)] = 0
        return label_ids, decoded_ids, (np.zeros((4, 16, 32, 1), np.uint8), label_ids, decoded_ids)

    monkeypatch.setattr(training._Training, "_read_validation", read_validation)
    state = train_here(work, epochs=9, patience=2, validation_steps=4)
    assert (state["validated_step"], state["best"]["step"]) == (24, 16)


def test_target_accuracy_ends_a_training(work):
    state = train_here(work, target_accuracy=0.0)
    assert state["finished"].endswith("on validation reached --target_accuracy=0")
    assert Checkpoints(work.checkpoints).steps() == [6]


def test_patience_ends_a_training_and_the_later_of_two_equal_ones_is_the_best(work, monkeypatch):
    right_codes = iter([2, 3, 1, 3, 4, 4, 0])

    def read_validation(self):
        label_ids = np.zeros((4, 2), np.int32)
        decoded_ids = label_ids.copy()
        decoded_ids[next(right_codes) :, 1] = 1
        return label_ids, decoded_ids, (np.zeros((4, 16, 32, 1), np.uint8), label_ids, decoded_ids)

    monkeypatch.setattr(training._Training, "_read_validation", read_validation)
    state = train_here(work, epochs=9, patience=2, validation_steps=4)
    assert state["finished"] == "no better on validation for 2 times, --patience=2"
    # 2 and 3 are better than before, 1 and 3 are not.
    assert (state["validated_step"], state["stale_validations"]) == (16, 2)
    assert state["best"] == {"step": 16, "sequence_accuracy": 0.75, "position_accuracy": 0.875, "count": 4}


def test_validation_is_at_fixed_steps(work, capsys):
    train_here(work, epochs=1, validation_steps=4)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split(":")[0] for line in lines] == ["step 4 (epoch 0.6667)", "step 6 (epoch 1)"]


def test_without_a_validation_split_the_last_is_the_best(work):
    make_records(work.records, validation=0)
    state = train_here(work, epochs=1)
    assert state["best"] == {"step": 6}
    assert state["finished"] == "all 1 epochs"


def test_a_loss_that_is_not_finite_stops_the_run(work, monkeypatch):
    class Broken(optimizer.Constant):
        def __call__(self, step):
            return tf.where(step == 12, math.nan, self.learning_rate)

    monkeypatch.setitem(optimizer.SCHEDULES, "constant", lambda rate, num_steps: Broken(rate))
    with pytest.raises(DigitwiseError) as stopped:
        train_here(work, schedule="constant")
    # Step 13 spoils the weights; the steps after it show that, as far as the next look at step 18.
    assert str(stopped.value) == (
        "the loss is not finite at step 14 (nan), 15 (nan), 16 (nan), 17 (nan), 18 (nan): the training has gone "
        "astray. The last checkpoint is that of step 12; try --overwrite with a lower --learning_rate than 0.003"
    )
    assert Checkpoints(work.checkpoints).steps() == [6, 12]


def test_weights_that_are_not_finite_are_not_saved(work, monkeypatch):
    class Broken(optimizer.Constant):
        def __call__(self, step):
            return tf.where(step == 11, math.nan, self.learning_rate)

    monkeypatch.setitem(optimizer.SCHEDULES, "constant", lambda rate, num_steps: Broken(rate))
    with pytest.raises(DigitwiseError, match=r"^after step 12 network/0/\S+ is not finite, and \d+ more arrays: "):
        train_here(work, schedule="constant")
    assert Checkpoints(work.checkpoints).steps() == [6]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(work, capsys):
    train_here(work, epochs=2)
    expected = final_arrays(work.root)
    path = work.checkpoints / "step-00000012.npz"
    path.write_bytes(path.read_bytes()[:1000])
    train_here(work, epochs=2)
    output = capsys.readouterr()
    assert "step-00000012.npz is damaged" in output.err and "falling back" in output.err
    assert "going on from step 6" in output.out
    assert_same_bits(final_arrays(work.root), expected)


@pytest.mark.parametrize("num_steps, mend", [(401, "at step 400, stop it "), (400, "at the end, try more --epochs")])
def test_a_plateau_is_explained_once(num_steps, mend):
    class Readout:
        num_classes = 10

    window = Window("alexnet", Readout, 0, num_steps)
    lines = []
    for step in range(10, 301, 10):
        window.add(np.full(10, 2.31), np.full(10, 0.1))
        lines.append(window.plateau_line(step))
    assert [step for step, line in zip(range(10, 301, 10), lines) if line] == [100]
    assert lines[9].startswith(
        "step 100: the loss is 2.31, no better than guessing among 10 characters, ln(10) = 2.30. This is a plateau: "
        f"alexnet is usually there for 20 to 200 steps, and then learns fast. If it is still there {mend}"
    )
    quick = Window("alexnet", Readout, 0, num_steps)
    quick.add(np.append(np.full(50, 9.0), np.full(50, 1.5)), np.full(100, 0.5))
    assert quick.plateau_line(100) is None


def test_a_line_now_and_then_where_nobody_watches():
    class Readout:
        num_classes = 10

    stream, now = io.StringIO(), [0.0]
    window = Window("alexnet", Readout, 100, 140)
    with Display(100, 140, 64, stream=stream, clock=lambda: now[0]) as display:
        for seconds in (9.0, 0.5, 1.0):
            with display.timed(10):
                now[0] += seconds
            window.add(np.full(10, 0.25), np.full(10, 0.5))
            display.show(window)
    # The first call counts for nothing, the second took 0.05 s a step, and the third moves the mean a tenth of the way.
    assert stream.getvalue() == (
        "train: step 130 of 140, loss 0.2500  position_accuracy 0.5000  1,164 images/s, 1 s left\n"
    )
    assert display.steps_per_call(0.12) == 2


@pytest.mark.parametrize("name, moved", [("adamw", 0.5), ("adadelta", 0.5 * math.sqrt(1e-8 / (0.05 * 4 + 1e-8)) * 2)])
def test_the_first_step_of_each_optimizer_by_hand(name, moved):
    import keras

    variable = keras.Variable([3.0], name="kernel")
    made = optimizer.make_optimizer("constant", 0.5, 0.0, 1, optimizer=name)
    made.build([variable])
    made.apply([tf.constant([2.0])], [variable])
    assert 3.0 - float(variable.numpy()[0]) == pytest.approx(moved, rel=1e-3)


def test_the_settings_name_what_there_is():
    from alexnet import NETWORKS
    from alexnet.readout import READOUTS

    assert tuple(NETWORKS) == config.NETWORKS and tuple(READOUTS) == config.READOUTS
    assert tuple(optimizer.OPTIMIZERS) == config.OPTIMIZERS and tuple(optimizer.SCHEDULES) == config.SCHEDULES


def test_one_cycle_by_hand():
    rates = [optimizer.learning_rate_at("one_cycle", 1.0, 100, step) for step in (0, 25, 62.5, 100)]
    assert rates == pytest.approx([0.04, 1.0, 0.50005, 0.0001], abs=1e-6)
    assert optimizer.learning_rate_at("constant", 0.3, 100, 50) == pytest.approx(0.3)


@pytest.mark.slow
@pytest.mark.parametrize("number, exit_code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends_and_the_rest_gives_the_same_bits(work, undisturbed, number, exit_code):
    process = start(work)
    wait_for_step(work.root, 10, [process])
    process.send_signal(number)
    code, output = finish(process)
    assert code == exit_code, output
    stopped = int(output.split("stopped at step ")[1].split(" ")[0])
    assert f"stopped at step {stopped} of 24, saved: the same command goes on from here" in output
    assert Checkpoints(work.checkpoints).steps()[-1] == stopped < 24
    code, output = finish(start(work))
    assert code == 0 and f"going on from step {stopped}" in output
    assert_same_bits(final_arrays(work.root), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(KILL_ROUNDS))
def test_kill_9_at_a_random_moment_and_the_rest_gives_the_same_bits(work, undisturbed, round_):
    draw = random.Random(f"{time.time_ns()} {round_}")
    for _ in range(2):
        process = start(work)
        wait_for_step(work.root, draw.choice([1, 6, 10, 12, 18, 20]), [process])
        time.sleep(draw.uniform(0, 0.2))
        process.kill()
        finish(process)
        if Checkpoints(work.checkpoints).steps():
            Checkpoints(work.checkpoints).latest(lambda line: pytest.fail(line))
    code, output = finish(start(work))
    assert code == 0, output
    assert_same_bits(final_arrays(work.root), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(KILLED_SAVES))
def test_kill_9_during_a_save_and_the_rest_gives_the_same_bits(work, undisturbed, round_):
    # The picture of the network changes the disk 3 times and a save 6 times; from the third save on it removes 2 files
    # more. The third begins with the 16th change.
    call = 16 + random.Random(f"{time.time_ns()} {round_}").randrange(8)
    code, output = finish(start(work, die_at=call))
    assert code == -signal.SIGKILL, output
    assert Checkpoints(work.checkpoints).latest(lambda line: pytest.fail(line)).step in (10, 12)
    code, output = finish(start(work))
    assert code == 0, output
    assert_same_bits(final_arrays(work.root), undisturbed)
