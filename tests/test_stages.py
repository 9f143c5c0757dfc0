"""The order of the stages, what each leaves in seconds.json, and what is checked before any of them works."""

import dataclasses
import errno
import json
import shutil
import sys
import types

import pytest

from pipeline.config import STAGES as STAGE_NAMES
from pipeline.config import TrainConfig, UseConfig
from pipeline.stages import run as stages
from pipeline.stages.run import STAGES, run_stages
from pipeline.stages.train import check_splits, check_synthetic
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from tests.small_records import make_records


@pytest.fixture
def fakes(monkeypatch):
    """Functions that stand for the stages: what a test puts here is run in their place, and all others fail."""
    chosen = {}
    monkeypatch.setattr(
        stages, "_function", lambda name: chosen.get(name) or (lambda *_: pytest.fail(f"{name} was run"))
    )
    return chosen


def seconds_of(workdir):
    return json.loads(workdir.seconds.read_text())


def test_every_stage_has_a_function():
    assert tuple(STAGES) == STAGE_NAMES
    for name in STAGES:
        assert callable(stages._function(name))


def test_stages_run_in_order_and_their_seconds_are_kept(workdir, make_config, fakes):
    ran = []
    for name in ("generate", "records", "train"):
        fakes[name] = lambda config, workdir, probes, name=name: ran.append(name)
    config = make_config(stages=("train", "generate", "records"), workdir=str(workdir.root))
    assert run_stages(config) == 0
    assert ran == ["generate", "records", "train"]
    before = seconds_of(workdir)
    assert list(before) == ran
    fakes["generate"] = lambda *_: False
    run_stages(make_config(stages=("generate",), workdir=str(workdir.root)))
    assert seconds_of(workdir) == before, "a stage that had nothing to do keeps the time of its work"


def test_images_for_other_records_than_those_that_stand_are_not_drawn(call_main, tmp_path):
    drawn = ("--stage=generate,records", "--workdir=w", "--code_length=2", "--alphabet=01")
    assert call_main(*drawn, "--num_images=30").returncode == 0
    refused = call_main(*drawn, "--num_images=50")
    assert refused.returncode == 1 and "  --num_images: 30 -> 50\n" in refused.stderr
    assert len(list((tmp_path / "w" / "images").rglob("*_*.png"))) == 30
    assert call_main(*drawn, "--num_images=50", "--overwrite").returncode == 0
    assert len(list((tmp_path / "w" / "images").rglob("*_*.png"))) == 50


def test_a_training_and_a_test_that_are_repeated_keep_their_seconds(workdir, make_config, monkeypatch):
    make_records(workdir.records)
    workdir.checkpoints.mkdir()
    repeats = []  # what the next tests say of whether they found the same as before

    def train(config, workdir, records):
        if not list(workdir.checkpoints.iterdir()):
            (workdir.checkpoints / "step-1.json").write_text("{}")

    def test(config, workdir, seconds, records, ahead):
        return types.SimpleNamespace(repeats=lambda previous: repeats.pop(0))

    monkeypatch.setattr("pipeline.stages.train.import_tensorflow", lambda: None)
    monkeypatch.setattr("pipeline.stages.test.import_tensorflow", lambda: None)
    monkeypatch.setattr("pipeline.stages.test.last_state", lambda _: None)
    monkeypatch.setitem(sys.modules, "pipeline.training.train", types.SimpleNamespace(train=train))
    monkeypatch.setattr("pipeline.stages.test.test", test)
    config = make_config(stages=("train", "test"), workdir=str(workdir.root))
    repeats[:] = [False, True, False]
    run_stages(config)
    first = seconds_of(workdir)
    assert list(first) == ["train", "test"]
    workdir.write_seconds("train", 99)
    workdir.write_seconds("test", 88)
    run_stages(config)
    assert seconds_of(workdir) == {"train": 99, "test": 88}
    run_stages(config)
    assert seconds_of(workdir)["test"] != 88


def test_seconds_that_cannot_be_read_are_none(workdir, capsys):
    assert workdir.read_seconds() == {}
    for content in ("{", "[1]"):
        workdir.seconds.write_text(content)
        assert workdir.read_seconds() == {}
        assert f"warning: {workdir.seconds} is damaged" in capsys.readouterr().err
    workdir.write_seconds("generate", 2.504)
    assert workdir.read_seconds() == {"generate": 2.5}


def test_a_failing_check_stops_the_run(tmp_path, make_config, monkeypatch, fakes):
    from pipeline.stages import check as environment

    monkeypatch.setattr(environment, "check", lambda config, workdir: 1)
    assert run_stages(make_config(stages=("all",), workdir=str(tmp_path / "w"))) == 1
    assert not Workdir(tmp_path / "w").root.exists()


@pytest.mark.parametrize("flag, settings", [("initialize_from", "train"), ("checkpoint", "test")])
def test_a_folder_that_a_later_stage_needs_is_checked_first(tmp_path, make_config, fakes, flag, settings):
    config = make_config(stages=("generate", "train", "test"), workdir=str(tmp_path / "w"))
    requested = dataclasses.replace(getattr(config, settings), **{flag: str(tmp_path)})
    with pytest.raises(DigitwiseError, match=f"--{flag}=.* holds no checkpoints"):
        run_stages(dataclasses.replace(config, **{settings: requested}))


def test_an_export_in_the_way_is_named_before_anything_is_done(workdir, make_config, monkeypatch, fakes):
    from pipeline.stages import export

    monkeypatch.setattr(export, "check_packages", lambda: None)
    workdir.export.mkdir()
    (workdir.export / "settings.json").write_text('{"split": "test", "max_error": 0.01}')

    def config_for(max_error, **given):
        return make_config(
            stages=("test", "export"), workdir=str(workdir.root), use=UseConfig(max_error=max_error), **given
        )

    with pytest.raises(DigitwiseError, match=r"export was made with different settings:\n.*max_error: 0.01 -> 0.05"):
        run_stages(config_for(0.05))  # a stage that is run here fails the test
    fakes["test"] = fakes["export"] = lambda *_: None
    for config in (config_for(0.01), config_for(None), config_for(0.05, overwrite=True)):
        assert run_stages(config) == 0


def test_empty_splits_are_reported_before_training(tmp_path, make_config, capsys):
    empty = make_records(tmp_path / "empty", validation=[], test=[])
    assert isinstance(empty, Manifest)
    with pytest.raises(DigitwiseError, match="the test split of .*empty has no images, so the test could measure noth"):
        check_splits(make_config(stages=("train", "test")), empty)
    check_splits(make_config(stages=("train",)), empty)
    assert "warning: the validation split of" in capsys.readouterr().out
    full = make_records(tmp_path / "full")
    check_splits(make_config(stages=("train", "test"), train=TrainConfig(batch_size=full.count("train"))), full)
    assert capsys.readouterr().out == ""
    check_splits(make_config(stages=("train", "test")), full)
    assert "images are fewer than the 64 that a step takes: some are in it more than once" in capsys.readouterr().out


def test_synthetic_images_that_nobody_could_read_are_reported(tmp_path, make_config, capsys):
    manifest = make_records(tmp_path)
    own_size = {"stages": ("train",), "image_size": "", "alphabet": "", "code_length": ""}
    share = TrainConfig(synthetic_share=0.25)
    check_synthetic(make_config(**own_size), manifest)
    check_synthetic(make_config(**own_size, train=share, font_sizes="8"), manifest)
    assert capsys.readouterr().out == ""
    check_synthetic(make_config(**own_size, train=share), manifest)
    assert "train: warning: of the synthetic images: --font_sizes has 56, which is higher" in capsys.readouterr().out


def raising(error):
    def stage(*_):
        raise error

    return stage


def test_a_full_disk_is_named_with_its_stage(workdir, make_config, monkeypatch, fakes):
    config = make_config(stages=("records",), workdir=str(workdir.root))
    fakes["records"] = raising(OSError(errno.ENOSPC, "No space left on device", "w/x"))
    message = "records: cannot write to w/x: No space left on device. .* run the same command again to continue"
    with pytest.raises(DigitwiseError, match=message):
        run_stages(config)
    # What a library makes of a full disk: an error of its own.
    fakes["records"] = raising(ValueError("flush failed"))
    with pytest.raises(ValueError):
        run_stages(config)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=0))
    with pytest.raises(DigitwiseError, match=f"records: cannot write to {workdir.root}: No space left"):
        run_stages(config)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--devices=GPU:0"], "--devices=GPU:0: there is no GPU:0"),
        (["--network=vgg", "--image_size=40x12"], "--image_size=40x12: vgg needs at least 16x16 pixels"),
    ],
)
def test_a_training_is_checked_before_stages_ahead_of_it_replace_anything(call_main, tmp_path, flags, message):
    drawn = ("--num_images=40", "--image_size=40x20", "--code_length=2", "--font_sizes=14", "--workers=1")
    assert call_main("--stage=generate,records", *drawn, "--workdir=w").returncode == 0
    before = {path: path.read_bytes() for path in sorted((tmp_path / "w").rglob("*")) if path.is_file()}
    result = call_main("--stage=generate,records,train", *drawn, "--workdir=w", "--seed=9", "--overwrite", *flags)
    assert result.returncode == 1 and message in result.stderr, result.stderr
    assert {path: path.read_bytes() for path in sorted((tmp_path / "w").rglob("*")) if path.is_file()} == before
