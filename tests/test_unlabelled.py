"""Images without labels: what a first network is certain of joins the train split, and nothing else changes."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline.config import CodeConfig, RecordsConfig, RunConfig, TrainConfig, TrialsConfig
from pipeline.conversion.sources import find_source
from pipeline.report.claim import label_statements
from pipeline.report.scans import Exposure
from pipeline.stages import unlabelled
from pipeline.stages.inputs import records_to_test
from pipeline.stages.records import records
from pipeline.values import SettingError
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.images.folder import LabeledFolder
from records.images.joined import JoinedFolder
from records.split import SplitRule
from records.tfrecord.framing import read_records
from tests.training_fixtures import ALPHABET, settings_for_tests, stripes


@pytest.fixture
def here(tiny_network, monkeypatch):
    """Trainings and readings take place in this process; `run_alone` has tests of its own."""
    monkeypatch.setattr(unlabelled, "run_alone", lambda function, *arguments: function(*arguments))


def draw(folder, count, seed, named=True):
    """{file name: code}"""
    random = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    codes = {}
    for number in range(count):
        text = "".join(random.choice(list(ALPHABET), 2))
        name = f"{text}_{number}.png" if named else f"{number}.png"
        Image.fromarray(stripes(text, random)[..., 0]).save(folder / name)
        codes[name] = text
    return codes


def config_for(workdir, tmp_path, **others):
    asked = RecordsConfig(
        images=str(tmp_path / "labelled"), unlabelled=str(tmp_path / "others"), validation_fraction=0.2, resize=True
    )
    return RunConfig(
        workdir=str(workdir.root),
        stages=("records",),
        workers=1,
        code=CodeConfig(alphabet=ALPHABET),
        records=dataclasses.replace(asked, **others),
        train=TrainConfig(**settings_for_tests(epochs=30, batch_size=8)),
    )


def rows_of(manifest, split):
    found = [schema.decode(data) for path in manifest.paths(split) for _, data in read_records(path)]
    return {key: text for key, _, text in found}


@pytest.mark.slow
def test_what_is_certain_joins_the_train_split(here, workdir, tmp_path, capsys):
    labelled, others = tmp_path / "labelled", tmp_path / "others"
    draw(labelled, 60, seed=0)
    codes = draw(others, 40, seed=1, named=False)
    copied = next(name for name in labelled.iterdir() if SplitRule(0.2, 0.1).split(name.name[:2]) == "train")
    shutil.copy(copied, others / "copy.png")
    with Image.open(copied) as picture:
        picture.save(others / "saved again.png", compress_level=0)
    assert (others / "saved again.png").read_bytes() != copied.read_bytes()
    (others / "damaged.png").write_bytes(b"no image")
    (others / "0.png").rename(others / "a\rb.png")
    codes["a\rb.png"] = codes["0.png"]
    config = config_for(workdir, tmp_path)
    assert records(config, workdir) is True
    manifest, first = Manifest.load(workdir.records), Manifest.load(workdir.first / "records")
    train = rows_of(manifest, "train")
    read = {key.removeprefix("/"): text for key, text in train.items() if key.startswith("/")}
    assert len(read) > 15 and {key: text for key, text in train.items() if key[0] != "/"} == rows_of(first, "train")
    assert all(codes[name] == text for name, text in read.items()), "stripes are easy to be sure of"
    assert {SplitRule(0.2, 0.1).split(text) for text in read.values()} == {"train"}
    for split in ("validation", "test"):
        assert rows_of(manifest, split) == rows_of(first, split)
    output = capsys.readouterr().out
    assert f"{len(read)} of 43 images of {others} were read with a confidence of 0.9 or more" in output
    assert "2 copies of labelled images, 1 not readable" in output
    assert "records: warning: not readable: damaged.png (" in output
    (statement,) = label_statements(Exposure(manifest, True, False, ()))
    assert statement.text.startswith(f"{len(read)} of the {len(train)} training images were labelled by a network")
    assert label_statements(Exposure(first, True, False, ())) == []

    assert records(config, workdir) is False, "all of it is there"
    tested = dataclasses.replace(config, stages=("test",), records=dataclasses.replace(config.records, unlabelled=""))
    assert records_to_test(tested, workdir) == workdir.records, "its test split, not all of the labelled images"


def test_nothing_certain_is_said(here, workdir, tmp_path, monkeypatch):
    draw(tmp_path / "labelled", 30, seed=0)
    draw(tmp_path / "others", 5, seed=1)
    monkeypatch.setattr(unlabelled, "CERTAIN", 1.1)
    with pytest.raises(DigitwiseError, match="no image of it can join the training: label more"):
        records(config_for(workdir, tmp_path), workdir)
    assert not workdir.records.exists()


@pytest.mark.parametrize("harm, message", [("missing", "is not a folder"), ("empty", "it has no image in it")])
def test_a_folder_without_images_is_refused_before_a_training(here, workdir, tmp_path, monkeypatch, harm, message):
    monkeypatch.setattr(unlabelled, "run_alone", lambda *_: pytest.fail("a training was begun"))
    draw(tmp_path / "labelled", 30, seed=0)
    if harm == "empty":
        (tmp_path / "others").mkdir()
    with pytest.raises(DigitwiseError, match=f"--unlabelled=.*others:? {message}"):
        records(config_for(workdir, tmp_path), workdir)


def test_joined_folders(tmp_path):
    draw(tmp_path / "labelled", 2, seed=0)
    draw(tmp_path / "others", 3, seed=1, named=False)
    (tmp_path / "readings.csv").write_text("file,text\n2.png,ab\n")
    labelled = LabeledFolder(str(tmp_path / "labelled"))
    joined = JoinedFolder(labelled, LabeledFolder(str(tmp_path / "others")), str(tmp_path / "readings.csv"))
    assert list(joined.rows()) == [*labelled.rows(), ("/2.png", "ab")]
    assert joined.load("/2.png") == (tmp_path / "others" / "2.png").read_bytes()
    assert joined.name("/2.png") == str(tmp_path / "others" / "2.png")
    key = next(key for key, _ in labelled.rows())
    assert joined.load(key) == labelled.load(key) and joined.name(key) == labelled.name(key)
    assert joined.identity() == labelled.identity() and joined.others_identity()["count"] == 1


def test_settings_that_do_not_go_together(workdir, tmp_path):
    with pytest.raises(SettingError, match="--unlabelled adds to labelled images: give --images too"):
        RecordsConfig(unlabelled="others")
    with pytest.raises(SettingError, match="folds trains on labelled images alone"):
        RunConfig(stages=("folds",), records=RecordsConfig(images="a", unlabelled="b"), trials=TrialsConfig(folds=3))
    draw(tmp_path / "labelled", 3, seed=0)
    with pytest.raises(DigitwiseError, match="nothing in --unlabelled=.* is read yet: run --stage=records"):
        find_source(config_for(workdir, tmp_path), workdir)
