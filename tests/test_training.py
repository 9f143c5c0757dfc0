"""The train stage: what it leaves, what it refuses, and that stopping it changes nothing."""

import contextlib
import io
import json
import math
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest

from pipeline.config import RunConfig, TrainConfig
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.state import Best, ValidationResult
from pipeline.training import feed, rates
from pipeline.training.loop import Loop
from pipeline.training.plan import Length
from pipeline.training.start import finish_replacement
from pipeline.training.train import train
from pipeline.training.validation import Sample, Validation, Validator
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest
from records.errors import DamagedRecords, DigitwiseError
from tests.tiny_network import PARAMETERS
from tests.training_fixtures import (
    FINDS_ITS_LENGTH,
    assert_same_bits,
    final_arrays,
    finish,
    make_records,
    make_state,
    settings_for_tests,
    start_training,
    wait_for_step,
)

pytestmark = pytest.mark.usefixtures("tiny_network")

KILL_ROUNDS = int(os.environ.get("DIGITWISE_KILL_ROUNDS", "1"))
KILLED_SAVES = int(os.environ.get("DIGITWISE_KILLED_SAVES", "1"))


@pytest.fixture
def work(tmp_path):
    """A Workdir with records."""
    make_records(tmp_path / "records")
    return Workdir(tmp_path)


def train_here(work, overwrite=False, **options):
    config = RunConfig(workdir=str(work.root), overwrite=overwrite, train=TrainConfig(**settings_for_tests(**options)))
    return train(config, work)


def train_once(folder, **options):
    """(Workdir, output) of a training that other tests begin with a copy of."""
    make_records(folder / "records")
    with contextlib.redirect_stdout(io.StringIO()) as output:
        train_here(Workdir(folder), **options)
    return Workdir(folder), output.getvalue()


@pytest.fixture(scope="module")
def one_epoch(tmp_path_factory):
    return train_once(tmp_path_factory.mktemp("one_epoch"), epochs=1)


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    return train_once(tmp_path_factory.mktemp("two_epochs"), epochs=2)


@pytest.fixture
def finished(one_epoch, tmp_path):
    """A Workdir in which a training of one epoch has ended, to be changed freely."""
    return Workdir(shutil.copytree(one_epoch[0].root, tmp_path / "finished"))


@pytest.fixture(scope="session")
def undisturbed(shared_folder):
    """The arrays that a training ends in which nobody stops, and which saves at validations only."""

    def run(folder):
        make_records(folder / "records")
        code, output = finish(start_training(folder, dropout=0.5, checkpoint_seconds=1e6))
        assert code == 0, output

    return final_arrays(shared_folder("undisturbed", run))


def start(work, **options):
    """The same training, saving at every look."""
    return start_training(work.root, dropout=0.5, checkpoint_seconds=0.0, **options)


def test_a_training_varies_and_cleans_its_images(work, monkeypatch):
    given = []
    batches = feed.Feed.batches

    def spy(self, *arguments):
        given.append((self.augmentation, self.cleaning))
        return batches(self, *arguments)

    monkeypatch.setattr(feed.Feed, "batches", spy)
    options = {"epochs": 1, "augmentation": None, "cleaning": "threshold"}
    state = train_here(work, **options)
    assert given == [(0.0, "threshold"), (1.0, "threshold")]  # the first are those that fit the statistics
    assert state.provenance.augmentation == 1.0 and state.spec.cleaning == "threshold"
    with pytest.raises(DigitwiseError, match="different settings:\n  --augmentation: 1.0 -> 0.0\n"):
        train_here(work, **{**options, "augmentation": 0.0})


def test_what_a_training_leaves(two_epochs):
    work, output = two_epochs
    state = Checkpoints(work.checkpoints).choose("last").state
    assert state.finished == "all 2 epochs"
    assert Checkpoints(work.checkpoints).steps() == [6, 12]
    assert "building the graph of the training" in output
    assert "train: alexnet with positions" in output and "12 in all, float32 on 1 replica on CPU:0" in output
    assert "step 12 (epoch 2): validation loss " in output and "of 16)" in output
    rows = [json.loads(line) for line in (work.logs / "history.jsonl").read_text().splitlines()]
    assert [(row["step"], "loss" in row) for row in rows] == [(6, False), (10, True), (12, False)]
    assert all(list((work.logs / part).glob("events.out.tfevents.*")) for part in ("train", "validation"))
    assert f"alexnet: {PARAMETERS:,} parameters" in (work.logs / "network.svg").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("network", ["percent4", "crnn"])  # the others have no layers that these and alexnet lack
def test_other_networks_train_in_bfloat16(work, network):
    readout = "ctc" if network == "crnn" else "positions"
    state = train_here(work, network=network, readout=readout, epochs=1, precision="bfloat16")
    assert state.best.result.count == 16
    assert f"{network}: " in (work.logs / "network.svg").read_text()


def test_tensorboard_reads_the_logs(two_epochs):
    work, _ = two_epochs
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_here(work, epochs=2)
    events = EventAccumulator(str(work.logs / "validation"), {"images": 0}).Reload()
    assert set(events.Tags()["tensors"]) == {"loss", "position_accuracy", "sequence_accuracy", "predictions"}
    width, height, png, *_ = events.Tensors("predictions")[0].tensor_proto.string_val
    assert int(width) > 32 and int(height) > 16 and png.startswith(b"\x89PNG")
    events = EventAccumulator(str(work.logs / "train")).Reload()
    assert set(events.Tags()["tensors"]) == {"loss", "position_accuracy", "learning_rate", "images_per_second"}
    assert [event.step for event in events.Tensors("loss")] == [6, 10, 12]
    assert events.Tags()["graph"]


def test_a_finished_training_says_so(finished, capsys):
    before = {path: path.read_bytes() for path in finished.checkpoints.iterdir()}
    state = train_here(finished, epochs=1)
    assert (
        capsys.readouterr().out
        == "train: finished at step 6 (its only epoch); nothing to do, --overwrite trains again\n"
    )
    assert state.best.step == 6
    assert {path: path.read_bytes() for path in finished.checkpoints.iterdir()} == before


def test_other_settings_are_refused(finished):
    with pytest.raises(DigitwiseError) as refused:
        train_here(finished, epochs=2, learning_rate=1e-3)
    first, *differing, last = str(refused.value).splitlines()
    assert first == f"the training in {finished.checkpoints} (step 6) was made with different settings:"
    assert differing == ["  --epochs: 1 -> 2", "  --learning_rate: 0.003 -> 0.001"]
    assert "--overwrite" in last
    make_records(finished.records, seed=1)
    with pytest.raises(DigitwiseError, match='different settings:\n  records: "[0-9a-f]{64}" -> "[0-9a-f]{64}"\n'):
        train_here(finished, epochs=1)


def test_settings_that_change_no_result_are_not_compared(finished, capsys):
    train_here(finished, epochs=1, checkpoint_seconds=1.0, devices="1", profile=True)
    assert "nothing to do" in capsys.readouterr().out


def test_overwrite_starts_again(finished, capsys):
    (finished.checkpoints / "notes.txt").write_text("mine")
    (finished.logs / "network.svg").write_text("the old one")
    state = train_here(finished, epochs=2, overwrite=True)
    assert "continuing" not in capsys.readouterr().out
    assert state.num_steps == 12
    assert (finished.checkpoints / "notes.txt").read_text() == "mine"
    steps = [json.loads(line)["step"] for line in (finished.logs / "history.jsonl").read_text().splitlines()]
    assert steps == [6, 10, 12]
    assert (finished.logs / "network.svg").read_text() != "the old one"


def test_overwrite_continues_what_was_begun_with_the_same_settings(finished, capsys):
    train_here(finished, epochs=1, overwrite=True)
    assert "nothing to do" in capsys.readouterr().out
    for path in finished.checkpoints.glob("*.npz"):
        path.write_bytes(b"damaged")
    with pytest.raises(
        DigitwiseError, match="the checkpoints of steps .* are all damaged; train again with --overwrite"
    ):
        train_here(finished, epochs=1)
    assert train_here(finished, epochs=1, overwrite=True).num_steps == 6


def test_another_length_is_refused(finished, monkeypatch):
    longer = Length(1, 7, 7)
    monkeypatch.setattr(Length, "of", lambda *_: longer)
    with pytest.raises(DigitwiseError, match="different settings:\n  steps: 6 -> 7\n"):
        train_here(finished, epochs=1)


def test_weights_that_the_training_would_write_over_are_refused(finished):
    before = {path: path.read_bytes() for path in finished.checkpoints.iterdir()}
    for given in (finished.checkpoints, finished.root):
        with pytest.raises(DigitwiseError, match="would write over them; give it another --workdir"):
            train_here(finished, overwrite=True, initialize_from=str(given), epochs=1)
    assert {path: path.read_bytes() for path in finished.checkpoints.iterdir()} == before


def test_a_damaged_record_is_named(work):
    path = Manifest.load(work.records).paths("train")[0]
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        DamagedRecords,
        match=rf"{path.name}: record 0 at byte 0: .*; write the records again with ",
    ):
        train_here(work, epochs=1)


def test_target_accuracy_ends_a_training(work):
    state = train_here(work, target_accuracy=0.0)
    assert state.finished.endswith("on validation reached --target_accuracy=0")
    assert Checkpoints(work.checkpoints).steps() == [6]


def test_patience_ends_a_training_and_the_later_of_two_equal_ones_is_the_best(work, monkeypatch):
    # 2 and 3 codes of 4 are better than before, 1 and 3 are not.
    right_codes = iter([2, 3, 1, 3, 4, 4, 0])
    sample = Sample(np.zeros((4, 16, 32, 1), np.uint8), np.zeros((4, 2), int), np.zeros((4, 2), int))

    def run(self):
        right = next(right_codes) / 4
        return Validation(ValidationResult(right, (1 + right) / 2, 4), sample)

    monkeypatch.setattr(Validator, "run", run)
    state = train_here(work, epochs=9, patience=2, validation_steps=4)
    assert state.finished == "2 validations without improvement, --patience=2"
    assert (state.validated_step, state.stale_validations) == (16, 2)
    assert state.best == Best(16, ValidationResult(0.75, 0.875, 4))


def test_validation_is_at_fixed_steps(work, capsys):
    train_here(work, epochs=1, validation_steps=4)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split(":")[0] for line in lines] == ["step 4 (epoch 0.6667)", "step 6 (epoch 1)"]


def test_without_a_validation_split_the_last_is_the_best(work):
    make_records(work.records, validation=0)
    state = train_here(work, epochs=1)
    assert state.best == Best(6)
    assert state.finished == "its only epoch"


def test_a_loss_that_is_not_finite_stops_the_run(work, monkeypatch):
    monkeypatch.setitem(rates.SCHEDULES, "constant", lambda rate, _, step: math.nan if step == 12 else rate)
    with pytest.raises(DigitwiseError) as stopped:
        train_here(work, schedule="constant")
    # Step 13 spoils the weights; the steps after it show that, as far as the next look at step 18.
    assert str(stopped.value) == (
        "the loss is not finite at step 14 (nan), 15 (nan), 16 (nan), 17 (nan), 18 (nan): training "
        "diverged. Last checkpoint: step 12; try --overwrite with a lower --learning_rate than 0.003"
    )
    assert Checkpoints(work.checkpoints).steps() == [6, 12]


def test_weights_that_are_not_finite_are_not_saved(work, monkeypatch):
    monkeypatch.setitem(rates.SCHEDULES, "constant", lambda rate, _, step: math.nan if step == 11 else rate)
    with pytest.raises(
        DigitwiseError, match=r"^after step 12 network/0/\S+ is not finite, and \d+ more arrays: training"
    ):
        train_here(work, schedule="constant")
    assert Checkpoints(work.checkpoints).steps() == [6]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(two_epochs, tmp_path, capsys):
    work = Workdir(shutil.copytree(two_epochs[0].root, tmp_path / "work"))
    expected = final_arrays(work.root)
    path = work.checkpoints / "step-00000012.npz"
    path.write_bytes(path.read_bytes()[:1000])
    train_here(work, epochs=2)
    output = capsys.readouterr()
    assert "step-00000012.npz is damaged" in output.err and "falling back" in output.err
    assert "continuing from step 6" in output.out
    assert_same_bits(final_arrays(work.root), expected)


def test_a_training_that_learns_from_the_hardest_continues_with_the_same_bits(work):
    train_here(work, learn_from="hardest", dropout=0.5)
    assert Checkpoints(work.checkpoints).steps()[-1] == 4 * 48 // 16, "each step reads twice a batch"
    assert_continues_with_the_same_bits(work, learn_from="hardest", dropout=0.5)


def test_one_that_remembers_the_hardest_continues_with_the_same_bits(work, monkeypatch):
    monkeypatch.setattr("pipeline.training.pace.NEARLY_ALL", -1.0)
    monkeypatch.setattr("pipeline.training.plan._LEAST_PASSES", 0)
    options = {"learn_from": "hardest", "dropout": 0.5, "epochs": 0, "validation_steps": 3}
    train_here(work, **options)
    # The rate comes down from the first validation on, and then all 48 images have been read once.
    state = Checkpoints(work.checkpoints).latest().state
    assert (state.pace.anneal_step, state.pace.reason, state.num_steps) == (3, "learned", 9)
    rows = final_arrays(work.root)["remembered/rows"]
    assert (rows[:, 2] > 0).all()
    assert_continues_with_the_same_bits(work, **options)


def assert_continues_with_the_same_bits(work, **options):
    """From the checkpoint before the last, as if a training with these options had not come further."""
    expected = final_arrays(work.root)
    last = Checkpoints(work.checkpoints).steps()[-1]
    for path in work.checkpoints.glob(f"step-{last:08d}.*"):
        path.unlink()
    train_here(work, **options)
    assert_same_bits(final_arrays(work.root), expected)


@pytest.mark.slow
@pytest.mark.parametrize("number, exit_code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_ends_and_the_rest_gives_the_same_bits(work, undisturbed, number, exit_code):
    process = start(work)
    wait_for_step(work.root, 10, [process])
    process.send_signal(number)
    code, output = finish(process)
    assert code == exit_code, output
    stopped = int(output.split("stopped at step ")[1].split(" ")[0])
    assert f"stopped at step {stopped} of 24, saved\n" in output
    assert "run the same command again" not in output  # which main.py says, once
    assert Checkpoints(work.checkpoints).steps()[-1] == stopped < 24
    code, output = finish(start(work))
    assert code == 0 and f"continuing from step {stopped}" in output
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


def content_of(work):
    """{path: bytes} of the checkpoints and logs that stand."""
    paths = (path for folder in (work.checkpoints, work.logs) for path in sorted(folder.rglob("*")))
    return {path: path.read_bytes() for path in paths if path.is_file() and ".unfinished" not in path.parts}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"devices": "GPU:0"}, "there is no GPU:0"),
        ({"initialize_from": "OTHER"}, "nothing in it fits this network"),
    ],
)
def test_nothing_is_removed_before_everything_was_checked(finished, tmp_path, options, message):
    if "initialize_from" in options:
        Checkpoints(tmp_path / "other").save(1, {"network/0/strange/kernel": np.zeros(3, np.float32)}, make_state(1))
        options = {**options, "initialize_from": str(tmp_path / "other")}
    before = content_of(finished)
    with pytest.raises(DigitwiseError, match=message):
        train_here(finished, overwrite=True, **{"epochs": 1, "learning_rate": 0.01, **options})
    assert content_of(finished) == before
    assert not (finished.checkpoints / ".unfinished").exists()


def test_what_is_replaced_stays_until_its_successor_has_finished(finished, capsys, monkeypatch):
    before = content_of(finished)
    advance = Loop._advance
    monkeypatch.setattr(Loop, "_advance", lambda loop, batches: advance(loop, batches) or stop_after(loop, 8))
    changed = {"epochs": 2, "learning_rate": 0.01, "checkpoint_seconds": 0.0}
    with pytest.raises(KeyboardInterrupt):
        train_here(finished, overwrite=True, **changed)
    assert content_of(finished) == before
    assert train_here(finished, epochs=1).num_steps == 6  # the old one is whole
    monkeypatch.undo()
    with pytest.raises(
        DigitwiseError, match="one with these has come to step 10: --overwrite continues it, and in the"
    ):
        train_here(finished, **changed)
    state = train_here(finished, overwrite=True, **changed)
    assert "continuing from step" in capsys.readouterr().out
    assert (state.num_steps, state.finished) == (12, "all 2 epochs")
    assert Checkpoints(finished.checkpoints).choose("last").state.provenance.settings["learning_rate"] == 0.01
    steps = [json.loads(line)["step"] for line in (finished.logs / "history.jsonl").read_text().splitlines()]
    assert steps == [6, 10, 12]
    for folder in (finished.checkpoints, finished.logs):
        assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def stop_after(loop, step):
    if loop._step >= step:
        loop._save()
        raise KeyboardInterrupt


@pytest.mark.parametrize("call", range(1, 16))
def test_a_replacement_killed_while_it_takes_its_place_is_finished(two_epochs, one_epoch, tmp_path, monkeypatch, call):
    work = Workdir(shutil.copytree(one_epoch[0].root, tmp_path / "work"))
    for name in ("checkpoints", "logs"):
        shutil.copytree(two_epochs[0].root / name, work.root / name / ".unfinished")
    calls = []

    def deadly(function):
        def change(*arguments, **options):
            calls.append(function)
            if len(calls) == call:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return change

    with monkeypatch.context() as patch:
        for place, name in ((os, "rename"), (os, "replace"), (type(work.root), "unlink"), (type(work.root), "rmdir")):
            patch.setattr(place, name, deadly(getattr(place, name)))
        with contextlib.suppress(KeyboardInterrupt):
            finish_replacement(work)
    finish_replacement(work)
    wanted = {path.relative_to(two_epochs[0].root): data for path, data in content_of(two_epochs[0]).items()}
    assert {path.relative_to(work.root): data for path, data in content_of(work).items()} == wanted


@pytest.mark.slow
def test_a_training_that_finds_its_length_finds_it_too_where_it_is_killed(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        make_records(folder / "records", train=16)
    code, output = finish(start_training(whole, checkpoint_seconds=1e6, **FINDS_ITS_LENGTH))
    assert code == 0, output
    expected = Checkpoints(whole / "checkpoints").choose("last")
    pace = expected.state.pace
    assert expected.step == expected.state.num_steps == pace.last_step
    for step in (pace.anneal_step - 5, pace.anneal_step + 2):
        process = start_training(killed, checkpoint_seconds=0.0, **FINDS_ITS_LENGTH)
        wait_for_step(killed, step, [process])
        process.kill()
        finish(process)
    code, output = finish(start_training(killed, checkpoint_seconds=0.0, **FINDS_ITS_LENGTH))
    assert code == 0, output
    assert Checkpoints(killed / "checkpoints").choose("last").state.pace == pace
    assert_same_bits(final_arrays(killed), expected.arrays)
