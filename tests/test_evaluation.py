"""The test stage on a handful of hand-made records, and the claims it makes about them."""

import dataclasses
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline.config import RunConfig, SettingError, TestConfig
from pipeline.report import examples, readings
from pipeline.report.examples import Character, Chosen, choose, join_records
from pipeline.report.figures import measure
from pipeline.report.history import TrainingPoint, read_history
from pipeline.report.readings import Readings, Speed
from pipeline.report.summary import ConfusedPair, Statement, load_summary
from pipeline.stages import test as evaluation
from records.alphabet import Alphabet
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from tests.small_records import TEST, VALIDATION, make_records, picture
from tests.training_fixtures import make_state

pytestmark = pytest.mark.usefixtures("blank_plots")


@pytest.fixture
def manifest(tmp_path):
    return make_records(tmp_path / "records")


def network_settings(manifest):
    """As a checkpoint has them."""
    return {
        "network": "alexnet", "readout": "positions", "alphabet": manifest.alphabet, "min_length": manifest.min_length,
        "max_length": manifest.max_length, "image_shape": [manifest.height, manifest.width, 1], "dropout": 0.5,
        "precision": "float32", "cleaning": "none",
    }  # fmt: skip


class StandIn:
    """In place of a recognizer: it reads the codes that it is told to."""

    def __init__(self, manifest, read, **given):
        self.alphabet = Alphabet(manifest.alphabet)
        self.image_shape = manifest.image_shape
        self.readout = dataclasses.make_dataclass("Lengths", ["min_length", "max_length"])(
            manifest.min_length, manifest.max_length
        )
        state = make_state(fingerprint=manifest.fingerprint)
        self.spec, self.provenance = state.spec, state.provenance
        self.step = 1200
        self.read = read
        self.__dict__ |= given

    def predict(self, images):
        return (np.zeros(len(images)),)


def readings_of(manifest, read, confidence=None, codes=(*TEST[0::2], *TEST[1::2])):
    """Readings of the test split, in the order of its shards, where `read` gives what a code is read as."""
    width = max(len(code) for code in (*codes, *read.values()))

    def ids(texts):
        return np.array([[manifest.alphabet.index(c) for c in text] + [-1] * (width - len(text)) for text in texts])

    decoded = ids([read.get(code, code) for code in codes])
    confidence = np.linspace(0.9, 0.5, len(codes)) if confidence is None else np.array(confidence)
    return Readings(ids(codes), decoded, np.where(decoded >= 0, 0.75, 0), confidence)


@pytest.fixture
def run_test(workdir, monkeypatch):
    """Runs the stage on hand-made records with a stand-in for the network."""
    make_records(workdir.records)

    def run(read=None, asked=None, stand_in=None, seconds=None, records=None):
        manifest = Manifest.load(records or workdir.records)
        recognizer = stand_in or StandIn(manifest, read)
        monkeypatch.setattr(evaluation, "load_recognizer", lambda *_: (None, recognizer))
        asked = asked or TestConfig()
        codes = {"codes": VALIDATION} if asked.split == "validation" else {}
        found = readings_of(manifest, read or {}, **codes), Speed(100.0, 5, 0.05)
        monkeypatch.setattr(evaluation, "read", lambda *_: found)
        config = RunConfig(workdir=str(workdir.root), workers=1, test=asked)
        return evaluation.test(config, workdir, seconds, records)

    return run


def test_the_stage_prints_and_writes(run_test, workdir, capsys):
    summary = run_test({"43": "42", "22": "24"}, TestConfig(shown_predictions=3), seconds={"train": 9.5})
    out = capsys.readouterr().out
    assert "3 of 5 images: 1 read wrong, then 2 read right; wrong characters in brackets" in out
    assert "test-2.png  43    42    4 0.750  [2] 0.750" in out
    assert "whole code  0.6000   3 of 5 right; 95 % interval 0.2307 to 0.8824; chance 1 in 16" in out
    assert "checks      1 of 5 FAILED\n            FAILED   Tested characters were not learned" in out
    assert str(workdir.report / "report.html") in out
    content = json.loads((workdir.report / "report.json").read_text(encoding="utf-8"))
    assert load_summary(workdir.report / "report.json") == summary
    assert content["position_accuracy"] == [1.0, 0.6]
    assert content["seconds"]["train"] == 9.5 and content["seconds"]["test"] >= 0
    assert content["seeds"] == {"drawing.seed": 7, "train.train_seed": 3}
    assert content["records"]["different_codes"] == {"tested": 5, "train": 6, "validation": 1}
    assert content["checkpoint"]["step"] == 1200
    lines = (workdir.report / "predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1:3] == ["test-0.png,31,31,0.900000,1", "test-2.png,43,42,0.800000,0"]


def test_a_test_that_is_repeated_keeps_its_time(run_test, workdir):
    first = run_test(seconds={"train": 9.5})
    report = workdir.report / "report.json"
    earlier = json.loads(report.read_text())
    earlier["seconds"]["test"] = 1234.5
    report.write_text(json.dumps(earlier))
    assert run_test(seconds={"train": 9.5}).seconds == {"train": 9.5, "test": 1234.5}
    assert run_test({"43": "42"}, seconds={"train": 9.5}).seconds["test"] < 1234.5, "other readings are another test"
    assert first.seconds["test"] < 1234.5


def test_only_the_training_took_its_time_for_a_test_on_other_images(run_test, workdir, tmp_path):
    make_records(tmp_path / "other")
    summary = run_test(seconds={"records": 1.0, "train": 9.5}, records=tmp_path / "other")
    assert set(summary.seconds) == {"train", "test"}
    for split in ("test", "validation"):
        summary = run_test(seconds={"records": 1.0, "train": 9.5}, asked=TestConfig(split=split))
        assert set(summary.seconds) == {"records", "train", "test"}, split


def test_the_report_is_written_although_nothing_can_be_printed(run_test, workdir, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError("the terminal is gone")

    monkeypatch.setattr("sys.stdout", Closed())
    with pytest.raises(OSError, match="the terminal is gone"):
        run_test()
    assert load_summary(workdir.report / "report.json").figures.whole.count == len(TEST)


def test_mistakes_are_shown_the_surest_first(manifest, monkeypatch):
    monkeypatch.setattr(examples, "MISTAKES_SHOWN", 2)
    read = readings_of(manifest, {"31": "11", "22": "21", "44": "43"}, [0.3, 0.9, 0.4, 0.5, 0.7])
    # In the order of the shards: 31 43 11 44 22.
    assert choose(read, 4) == Chosen(table=(0, 3, 1, 2), mistakes=(4, 3), unsure=(2, 1), right=(1, 2))


def test_a_table_of_right_ones_only_where_there_are_no_mistakes(manifest):
    chosen = choose(readings_of(manifest, {}), 2)
    assert chosen.table == (0, 1) and chosen.mistakes == ()


def test_a_table_of_mistakes_only_where_nothing_is_right(manifest):
    assert choose(readings_of(manifest, dict.fromkeys(TEST, "1")), 4).table == (0, 1, 2, 3)


def test_readings_in_another_order_than_the_records_are_found(manifest):
    read = readings_of(manifest, {})
    turned = dataclasses.replace(read, label_ids=read.label_ids[::-1])
    with pytest.raises(AssertionError, match="record 0 of test is '31', it was tested as another"):
        join_records(manifest, "test", turned, Chosen(()))


def test_a_reading_that_is_too_long_is_wrong_and_adds_no_position(manifest):
    read = readings_of(manifest, {"31": "314", "43": "42"})
    labels = read.label_ids[:, :2]  # as the records have them
    figures = measure(dataclasses.replace(read, label_ids=labels), manifest)
    assert (figures.whole.right, figures.mistakes) == (3, 2)
    assert [position.accuracy for position in figures.positions] == [1.0, 0.8]
    assert [position.count for position in figures.positions] == [5, 5]
    assert ConfusedPair(None, "4", 1, 1) in figures.confused_pairs


def test_no_length_collapses_unseen(tmp_path):
    manifest = make_records(tmp_path, test=["31", "444", "43", "222", "1111"])
    read = {"222": "22", "43": "41"}
    figures = measure(readings_of(manifest, read, codes=["31", "43", "1111", "444", "222"]), manifest)
    assert {length: (of.right, of.count) for length, of in figures.lengths.items()} == {2: (1, 2), 3: (1, 2), 4: (1, 1)}


@pytest.mark.parametrize("encoding", ["encoded", "raw"])
def test_pictures_to_show_are_files_that_a_page_can_show(tmp_path, encoding):
    draw = picture if encoding == "encoded" else lambda number: bytes(range(8 * 16))
    manifest = make_records(tmp_path, picture=draw, encoding=encoding)
    keys, shown = join_records(manifest, "test", readings_of(manifest, {"43": "4"}), Chosen((), mistakes=(1,)))
    assert keys == ["test-0.png", "test-2.png", "test-4.png", "test-1.png", "test-3.png"]
    (mistake,) = shown.mistakes
    assert Image.open(io.BytesIO(mistake.picture)).size == (16, 8)
    assert (mistake.key, mistake.code, mistake.read) == ("test-2.png", "43", "4")
    assert mistake.characters == (Character("4", "4", 0.75), Character("3", None, None))


def test_an_empty_split_is_one_clear_line(run_test, workdir):
    make_records(workdir.records, test=[])
    with pytest.raises(DigitwiseError) as error:
        run_test()
    assert str(error.value) == (
        f"the test split of {workdir.records} has no images to test on: write records with a larger --test_fraction, "
        "or choose another split with --split (train, validation)"
    )


def test_a_split_that_is_none_is_one_clear_line(run_test):
    with pytest.raises(DigitwiseError, match="--split=exam: .* has the splits train, validation, test"):
        run_test(asked=TestConfig(split="exam"))


def test_missing_records_are_one_clear_line(run_test, tmp_path):
    with pytest.raises(DigitwiseError, match="manifest.json is missing: .* holds no records"):
        run_test(records=tmp_path / "nowhere")


@pytest.mark.parametrize(
    "given, said",
    [
        ({"alphabet": Alphabet("12")}, "it reads the alphabet '12', the records have '1234'"),
        ({"image_shape": (8, 20, 1)}, "it reads images of 20x8, the records have 16x8"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_one_clear_line(run_test, workdir, given, said):
    stand_in = StandIn(Manifest.load(workdir.records), {}, **given)
    with pytest.raises(DigitwiseError) as error:
        run_test(stand_in=stand_in)
    assert str(error.value) == f"the checkpoint does not fit {workdir.records}: {said}"


def test_a_checkpoint_for_other_lengths_is_one_clear_line(run_test, workdir):
    manifest = Manifest.load(workdir.records)
    longer = dataclasses.replace(manifest, min_length=3, max_length=5)
    stand_in = StandIn(manifest, {}, readout=StandIn(longer, {}).readout)
    with pytest.raises(DigitwiseError, match="it reads codes of 3-5 characters, the records have 2"):
        run_test(stand_in=stand_in)


def test_speed_leaves_out_the_batch_that_builds_the_graph():
    speed = Speed.of([(100.0, 250), (100.5, 250), (101.0, 100)])
    assert (speed.value, speed.images, speed.seconds) == (350.0, 350, 1.0)
    assert Speed.of([(100.0, 250)]).value is None


def test_an_image_that_is_not_read_or_read_twice_is_one_clear_line():
    def part(*indices):
        return (
            np.array(indices),
            np.zeros((len(indices), 1)),
            *[np.zeros((len(indices), 1))] * 2,
            np.array(indices) / 9,
        )

    assert readings._in_order([part(2, 0), part(1)], 3, "it").confidence.tolist() == [0, 1 / 9, 2 / 9]
    for parts in ([part(0, 1)], [part(0, 1), part(1)], [part(0, 1), part(1, 2)]):
        with pytest.raises(DigitwiseError, match="of the 3 images in it were read: the shards are not those"):
            readings._in_order(parts, 3, "it")


def test_history_survives_a_line_that_was_cut(tmp_path):
    path = tmp_path / "history.jsonl"
    assert read_history(path) == ()
    path.write_text('{"step": 1, "loss": 2.5}\n[1]\n{"step": 2, "loss": NaN}\n{"step": 3, "lo')
    assert read_history(path) == (TrainingPoint(1, loss=2.5), TrainingPoint(2))


@pytest.mark.parametrize("given", [{"shown_predictions": -1}, {"split": ""}])
def test_settings_that_cannot_be_used(given):
    with pytest.raises(SettingError, match=f"--{next(iter(given))}"):
        TestConfig(**given)


def test_a_test_of_something_else_leaves_the_report_of_the_test_split(run_test, workdir, tmp_path):
    run_test()
    before = (workdir.report / "report.json").read_bytes()
    for split, records in (("train", None), ("test", tmp_path / "other")):
        assert evaluation.report_folder(split, workdir, records) == workdir.tested / "report"
    assert evaluation.report_folder("test", workdir, workdir.records) == workdir.report
    run_test({"43": "42"}, records=shutil.copytree(workdir.records, tmp_path / "other"))
    assert (workdir.report / "report.json").read_bytes() == before
    assert load_summary(workdir.tested / "report" / "report.json").figures.whole.right == len(TEST) - 1


def test_without_a_checkpoint_it_says_what_to_do(workdir):
    make_records(workdir.records)
    with pytest.raises(DigitwiseError, match="holds no checkpoint"):
        evaluation.test(RunConfig(workdir=str(workdir.root), workers=1), workdir)


def test_a_real_network_reads_every_image_once(workdir, capsys, monkeypatch):
    from pipeline.model.checkpoints import Checkpoints
    from pipeline.model.recognizer import Recognizer
    from pipeline.model.variables import arrays_of

    rng = np.random.default_rng(0)

    def draw(number):
        return rng.integers(0, 256, (60, 80), np.uint8).tobytes()

    manifest = make_records(workdir.records, picture=draw, encoding=schema.RAW, height=60, width=80)
    shape = {"image_shape": (60, 80, 1), "alphabet": manifest.alphabet, "dropout": 0.5}
    state = make_state(5, manifest.fingerprint, **shape)
    recognizer = Recognizer(state.spec)
    arrays = arrays_of(network=recognizer.network.variables)
    Checkpoints(workdir.checkpoints).save(5, arrays, state)
    monkeypatch.setattr(evaluation, "_BATCH_SIZE", 2)
    config = RunConfig(workdir=str(workdir.root), workers=1, test=TestConfig())
    summary = evaluation.test(config, workdir)
    assert summary.figures.whole.count == len(TEST)
    assert summary.speed.images == 5  # in a second reading: 2 + 2 + 1 are too few to leave out the first
    assert summary.speed.includes.endswith("; without building the graph")
    workdir.logs.mkdir()
    (workdir.logs / "history.jsonl").write_text('{"step": 5}\n')
    monkeypatch.setattr(readings, "FEW_BATCHES", 1)
    asked = TestConfig(checkpoint=str(workdir.root))
    other = type(workdir)(workdir.root / "other")
    elsewhere = evaluation.test(dataclasses.replace(config, test=asked), other, {"train": 9.0}, manifest.folder)
    assert elsewhere.speed.images == 3 and "; without the first batch" in elsewhere.speed.includes
    assert elsewhere.history == (TrainingPoint(5),), "of the training that is tested"
    assert list(elsewhere.seconds) == ["test"], "and not the seconds of another"
    assert (other.tested / "report" / "report.html").exists() and not other.report.exists()
    assert summary.claim.statements[-1] == Statement(
        "dropout", True, "The same images read twice gave exactly the same probabilities, so dropout was off."
    )
    codes = [line.split(",")[1] for line in (workdir.report / "predictions.csv").read_text().splitlines()[1:]]
    assert sorted(codes) == sorted(TEST)
