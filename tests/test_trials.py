"""Several trainings beside each other: each image tested once, each cleaning on the same images, stops passed on."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

from pipeline.config import CodeConfig, RecordsConfig, RunConfig, TrainConfig, TrialsConfig
from pipeline.machine.own_process import run_alone
from pipeline.model.metrics import Accuracy
from pipeline.report.summary import CleaningResult
from pipeline.report.trials import CleaningsReport, FoldsReport, TrialResult, read_cleanings, save
from pipeline.stages import trials
from pipeline.values import SettingError
from records.errors import DigitwiseError
from records.split import SplitRule
from tests import endings
from tests.training_fixtures import ALPHABET, make_records, settings_for_tests, stripes


def config_for(workdir, **records):
    return RunConfig(
        workdir=str(workdir.root),
        workers=1,
        code=CodeConfig(alphabet=ALPHABET),
        records=RecordsConfig(**records),
        train=TrainConfig(**settings_for_tests(epochs=1, batch_size=4)),
        trials=TrialsConfig(folds=2),
    )


def test_rotations_test_every_code_once():
    codes = [f"{number:03d}" for number in range(500)]
    tested = [{code for code in codes if SplitRule(0.1, 0.2, fold / 5).split(code) == "test"} for fold in range(5)]
    assert set().union(*tested) == set(codes) and sum(map(len, tested)) == len(codes)
    assert all(70 < len(fold) < 130 for fold in tested)
    splits = [SplitRule(0.1, 0.2, 0.4).split(code) for code in codes]
    assert 30 < splits.count("validation") < 70


@pytest.fixture
def trials_here(tiny_network, monkeypatch):
    """Trainings of trials take place in this process; `run_alone` has tests of its own."""
    monkeypatch.setattr(trials, "run_alone", lambda function, *arguments: function(*arguments))


@pytest.mark.slow
def test_folds_test_every_image_once(trials_here, workdir, tmp_path, capfd):
    images, draw = tmp_path / "mine", np.random.default_rng(0)
    images.mkdir()
    for number in range(40):
        text = "".join(draw.choice(list(ALPHABET), 2))
        Image.fromarray(stripes(text, draw)[..., 0]).save(images / f"{text}_{number}.png")
    result = trials.folds(config_for(workdir, images=str(images), validation_fraction=0.1), workdir)
    assert list(result.folds) == ["1-of-2", "2-of-2"] and result.whole.count == 40
    assert json.loads(workdir.folds_report.read_text())["sequence_accuracy"] == dataclasses.asdict(result.whole)
    output = capfd.readouterr().out
    assert "fold 2 of 2" in output and f"together    {result.whole.value:.4f}" in output
    keys = [
        line.split(",")[0]
        for fold in ("1-of-2", "2-of-2")
        for line in (workdir.folds / fold / "report" / "predictions.csv").read_text().splitlines()[1:]
    ]
    assert len(keys) == len(set(keys)) == 40


@pytest.mark.slow
def test_cleanings_are_compared_on_the_same_images(trials_here, workdir, capfd, monkeypatch):
    manifest = make_records(workdir.records, train=16, test=3)
    monkeypatch.setattr(trials, "CLEANINGS", ("none", "median"))
    result = trials.cleanings(config_for(workdir), workdir)
    assert [(row.cleaning, row.accuracy.count, row.flags) for row in result.cleanings] == [
        ("grey", 16, "--channels=1 --cleaning=none"),
        ("grey-median", 16, "--channels=1 --cleaning=median"),
    ]
    assert "cleaning               whole code of validation" in capfd.readouterr().out
    assert read_cleanings(workdir.cleanings_report, manifest.fingerprint) == result.cleanings


def test_cleanings_need_something_to_compare_on(workdir):
    make_records(workdir.records, validation=0)
    with pytest.raises(DigitwiseError, match="has no validation split to compare on"):
        trials.cleanings(config_for(workdir), workdir)


def test_colours_are_compared_where_there_are_some():
    names = [name for name, *_ in trials.variants(3)]
    assert names == ["colour", "grey", "grey-threshold", "grey-median", "grey-median_threshold"]
    assert trials.variants(1)[:2] == [("grey", 1, "none"), ("grey-threshold", 1, "threshold")]


def cleaning(name, right, count, low, high):
    return CleaningResult(name, f"--{name}", Accuracy(right / count, count, right, low, high))


@pytest.mark.parametrize(
    "best, verdict",
    [
        (
            cleaning("grey-median", 194, 200, 0.92, 0.99),
            "nothing is better than grey by more than chance explains: --grey is enough",
        ),
        (
            cleaning("grey-median", 196, 200, 0.945, 0.99),
            "grey-median is better than grey, by more than chance explains: --grey-median",
        ),
    ],
)
def test_what_follows_from_a_comparison(best, verdict):
    report = CleaningsReport("records", (cleaning("grey", 180, 200, 0.83, 0.94), best))
    *_, grey, _, last = report.lines()
    assert grey == "grey                   0.9000   180 of 200; 95 % interval 0.8300 to 0.9400"
    assert last == verdict


def test_too_few_images_to_compare_are_told():
    few = CleaningsReport("records", (cleaning("grey", 180, 199, 0.83, 0.94), cleaning("median", 190, 199, 0.92, 0.99)))
    assert list(few.lines())[-1].endswith("but 199 images are too few to tell: raise --validation_fraction")


def test_the_report_of_cleanings_is_read_for_its_own_records(tmp_path):
    path = tmp_path / "report.json"
    assert read_cleanings(path, "a") == ()
    report = CleaningsReport("a", (cleaning("grey", 3, 4, 0.3, 0.95),))
    save(path, report)
    assert read_cleanings(path, "a") == report.cleanings
    assert read_cleanings(path, "b") == ()
    for damaged in ("{", "[]", '{"records": "a"}', '{"records": "a", "cleanings": [{"cleaning": 1}]}'):
        path.write_text(damaged)
        assert read_cleanings(path, "a") == ()


def test_the_folds_together():
    folds = FoldsReport(
        {"1-of-2": TrialResult(Accuracy.of(3, 4), (1.0,)), "2-of-2": TrialResult(Accuracy.of(1, 6), (0.5,))}
    )
    assert (folds.whole.right, folds.whole.count) == (4, 10)
    assert list(folds.lines()) == [
        "fold        whole code  images",
        "1-of-2      0.7500      3 of 4",
        "2-of-2      0.1667      1 of 6",
        "together    0.4000      4 of 10; 95 % interval 0.1682 to 0.6873",
    ]
    assert folds.to_json()["folds"][1] == {
        "fold": "2-of-2", **dataclasses.asdict(Accuracy.of(1, 6)), "position_accuracy": (0.5,),
    }  # fmt: skip


def test_how_a_trial_ends_is_passed_on():
    assert run_alone(endings.double, 4) == 8
    with pytest.raises(DigitwiseError, match="^no$"):
        run_alone(endings.refuse)
    with pytest.raises(SystemExit) as left:
        run_alone(endings.leave, 143)
    assert left.value.code == 143
    with pytest.raises(KeyboardInterrupt):
        run_alone(endings.interrupt)
    for code, trial in (("--this is wrong", endings.refuse_setting), ("disk full", endings.fill_disk)):
        with pytest.raises(DigitwiseError, match=code):
            run_alone(trial)
    with pytest.raises(DigitwiseError, match="^the process of a training ended with exit code 1$"):
        run_alone(endings.fail)
    with pytest.raises(DigitwiseError, match="was killed by signal 9; run the same command again to continue"):
        run_alone(endings.die)


def test_a_stop_reaches_the_trial_under_way(tmp_path):
    told = str(tmp_path / "told")

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)

    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        while not os.path.exists(told + ".ready"):
            signal.signal(signal.SIGALRM, lambda *_: os.path.exists(told + ".ready") and stop())
            with pytest.raises(KeyboardInterrupt):
                run_alone(endings.sleep_until_told, told)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert os.path.exists(told)


def test_several_workers_are_refused():
    with pytest.raises(SettingError, match="--stage=folds does not work with --strategy=multi_worker"):
        RunConfig(stages=("folds",), train=TrainConfig(strategy="multi_worker"))
    assert dataclasses.replace(RunConfig(), stages=("folds",)).ordered_stages == ("folds",)


def test_folds_need_codes_for_each_part(workdir, tmp_path):
    images = tmp_path / "mine"
    images.mkdir()
    for text in ("ab", "ba"):
        Image.new("L", (8, 8)).save(images / f"{text}.png")
    with pytest.raises(DigitwiseError, match="--folds=2: part . of the 2 codes would have none to t"):
        trials.folds(config_for(workdir, images=str(images)), workdir)
    assert not workdir.folds.exists()
    with pytest.raises(SettingError, match="--folds=2 and --validation_fraction=0.5 leave nothing to train on"):
        RunConfig(stages=("folds",), records=RecordsConfig(validation_fraction=0.5), trials=TrialsConfig(folds=2))


def test_folds_test_what_they_held_out_with_their_own_checkpoint(workdir, monkeypatch, make_config, capsys):
    from pipeline.conversion.convert import convert, split_rule
    from pipeline.drawing.files import generate
    from records.dataset.manifest import Manifest

    result = TrialResult(Accuracy.of(1, 2), (0.5,), has_earlier=True)
    given = []
    monkeypatch.setattr(trials, "run_alone", lambda trial, *arguments: given.append((trial, *arguments)) or result)
    config = make_config(30, workdir=str(workdir.root))
    generate(config, workdir)
    workdir.folds.mkdir()
    test = dataclasses.replace(config.test, split="train", checkpoint="elsewhere")
    trials.folds(dataclasses.replace(config, test=test, trials=TrialsConfig(folds=2)), workdir)
    assert "(except in the training that it began with: " in capsys.readouterr().out
    assert [(config.test.split, config.test.checkpoint) for _, config, *_ in given] == [("test", "")] * 2
    tested = set()
    for _, fold, rotation, root in given:  # the images drawn in the workdir itself are those of the folds
        place = type(workdir)(fold.workdir)
        place.create()
        rule = dataclasses.replace(split_rule(fold.records), rotation=rotation)
        convert(fold, place, rule, images_of=type(workdir)(root))
        tested |= {key for key in _keys(Manifest.load(place.records), "test")}
    assert len(tested) == 30


def _keys(manifest, split):
    from records.dataset import schema
    from records.tfrecord.framing import read_records

    return [schema.decode(data)[0] for path in manifest.paths(split) for _, data in read_records(path)]
