"""What a figure rests on, on records of which every code and pixel is written out here."""

import io

import pytest
from PIL import Image

from pipeline.report import claim
from pipeline.report.claim import Exposure
from records.dataset import schema
from records.errors import DamagedRecords
from records.images.files import RAW
from records.split import SplitRule
from records.tfrecord.framing import frame
from tests.small_records import make_records, picture


@pytest.fixture
def manifest(tmp_path):
    return make_records(tmp_path / "records")


def statements(manifest, split="test", exposure=None):
    exposure = exposure or Exposure(manifest, True)
    scans = claim.scan_splits(manifest, split, exposure, processes=1)
    found = claim.rests_on(manifest, split, exposure, scans, True)
    return {statement.name: (statement.holds, statement.text) for statement in found}


def test_a_clean_split_holds_with_its_numbers(tmp_path):
    manifest = make_records(tmp_path, train=["12", "21"], validation=["33"], test=["34", "43"])
    found = statements(manifest)
    assert found["held out"] == (True, "The test split was neither learned from nor used to choose the checkpoint.")
    assert found["no shared codes"] == (
        True,
        "None of the 2 different codes tested is among the 2 of train and the 1 of validation; all were compared.",
    )
    assert found["no shared pixels"] == (
        True,
        "None of the 2 different pictures tested is among the 2 of train and the 1 of validation; all were compared.",
    )


def test_shared_codes_are_counted(tmp_path):
    manifest = make_records(tmp_path, test=["12", "12", "34", "42", "44"])
    holds, text = statements(manifest)["no shared codes"]
    assert holds is False
    assert text == (
        "2 codes (3 tested images) also in train; 1 code (1 tested image) also in validation: "
        "there the figure shows memory."
    )


def test_shared_pixels_are_counted_whatever_file_they_are_in(tmp_path):
    def same_pixels(number):
        image = Image.open(io.BytesIO(picture(3 if number >= 10 else number)))
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=number % 10)
        return file.getvalue()

    found = statements(make_records(tmp_path, picture=same_pixels))
    assert found["no shared codes"][0] is True
    assert found["no shared pixels"] == (
        False, "1 picture (2 tested images) also in train: there the figure shows memory.",
    )  # fmt: skip


def test_raw_pixels_are_compared_too(tmp_path):
    raw = lambda number: bytes([number % 11]) * (8 * 16)  # noqa: E731
    found = statements(make_records(tmp_path, picture=raw, encoding=RAW))
    assert found["no shared pixels"][1].startswith("1 picture (1 tested image) also in train")


def test_classes_that_were_never_learned_or_tested_are_named(tmp_path):
    manifest = make_records(tmp_path, train=["12", "13"], validation=[], test=["22", "23", "24"])
    assert statements(manifest)["all classes"] == (
        False,
        "Not every character was learned and tested everywhere: position 1 of the tested images only ever shows one "
        "character; '2' was never learned at position 1; '4' was never learned at position 2; '1' was never tested at "
        "position 1.",
    )


def test_all_classes_hold_with_the_least_count(tmp_path):
    manifest = make_records(tmp_path, train=["12", "21"], validation=[], test=["11", "22", "22"])
    assert statements(manifest)["all classes"] == (
        True,
        "At each position, every character that the records show there was learned and is tested, each at least once.",
    )


@pytest.mark.parametrize(
    "split, said",
    [
        ("train", "These images were trained on: the figure says nothing about new ones."),
        ("validation", "These images chose the checkpoint"),
    ],
)
def test_images_that_had_a_part_in_the_training_do_not_hold(manifest, split, said):
    holds, text = statements(manifest, split)["held out"]
    assert holds is False and text.startswith(said)


def test_other_records_are_compared_with_those_of_the_training(tmp_path, manifest):
    other = make_records(tmp_path / "other", train=["11"], validation=[], test=["12", "33"])
    found = statements(other, exposure=Exposure(manifest, False))
    assert found["held out"] == (True, f"The checkpoint was trained on other records, {manifest.folder}.")
    assert found["no shared codes"] == (False, "1 code (1 tested image) also in train: there the figure shows memory.")


def test_what_is_not_known_is_said(manifest):
    found = statements(manifest, exposure=Exposure(None, False))
    assert [found[name][0] for name in ("held out", "no shared codes", "no shared pixels")] == [None, None, None]
    assert claim.claim(claim.separation_statements({"tested": None})) == {
        "holds": None,
        "statements": [
            {"name": name, "holds": None, "text": "Not checked: there are no records of the training to compare with."}
            for name in ("no shared codes", "no shared pixels")
        ],
    }


def test_dropout_left_on_is_told(manifest):
    exposure = Exposure(manifest, True)
    scans = claim.scan_splits(manifest, "test", exposure, processes=1)
    assert claim.rests_on(manifest, "test", exposure, scans, True)[-1].holds is True
    assert claim.rests_on(manifest, "test", exposure, scans, False)[-1].holds is False


def test_the_records_of_the_training_are_found_by_their_fingerprint(tmp_path, manifest, workdir):
    settings = {"records": {"fingerprint": manifest.fingerprint}}
    assert claim.find_exposure(settings, manifest, workdir) == Exposure(manifest, True)
    other = make_records(tmp_path / "other", test=["11"])
    assert claim.find_exposure(settings, other, workdir) == Exposure(None, False)
    own = make_records(workdir.records)
    assert own.fingerprint == manifest.fingerprint
    assert claim.find_exposure(settings, other, workdir) == Exposure(own, False)


def test_a_damaged_record_is_named(manifest):
    path = manifest.paths("test")[0]
    whole = path.read_bytes()
    path.write_bytes(frame(schema.encode("a.png", b"no picture", "12")) + whole)
    with pytest.raises(DamagedRecords, match=r"-00000-of-00002: record 0 at byte 0: cannot identify image"):
        statements(manifest)


def test_worker_processes_find_the_same(manifest, monkeypatch):
    alone = claim.scan_splits(manifest, "test", Exposure(manifest, True), processes=1)
    monkeypatch.setattr(claim, "_SMALL", 0)
    together = claim.scan_splits(manifest, "test", Exposure(manifest, True), processes=2)
    assert {name: sorted(scan.pixels) for name, scan in alone.items()} == {
        name: sorted(scan.pixels) for name, scan in together.items()
    }


def test_what_is_not_known_of_the_classes_is_not_called_wrong(manifest):
    holds, text = statements(manifest, exposure=Exposure(None, False))["all classes"]
    assert holds is None and text == "It is not known which characters were learned at which position."


def test_codes_that_an_earlier_training_may_have_learned_are_counted(tmp_path):
    codes = ["11", "12", "21", "22", "31", "32", "41", "42"]
    manifest = make_records(tmp_path, train=["99"], validation=[], test=codes)

    def earlier(*splits):
        return statements(manifest, exposure=Exposure(manifest, True, earlier=splits)).get("earlier training")

    learned = sum(SplitRule(0.2, 0.3).split(code) != "test" for code in codes)
    assert 0 < learned < len(codes)
    holds, text = earlier(SplitRule(0.2, 0.3))
    assert holds is False and f"the codes of {learned} tested images: give both the same" in text
    assert earlier(SplitRule(0.2, 0.3), None) == (holds, text)
    assert earlier(SplitRule(0.0, 1.0))[0] is True
    assert earlier(SplitRule(0.0, 1.0), None)[0] is None
    assert earlier() is None


def test_the_earlier_trainings_are_those_that_the_checkpoint_tells_of(manifest, workdir):
    settings = {"earlier": [{"records": "a", "split": [0.1, 0.2, 0.0]}, {"records": "b", "split": None}]}
    assert claim.find_exposure(settings, manifest, workdir).earlier == (SplitRule(0.1, 0.2), None)
