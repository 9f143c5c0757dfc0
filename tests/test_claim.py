"""What a figure rests on, on records of which every code and pixel is written out here."""

import dataclasses
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from pipeline.model.provenance import EarlierTraining, Provenance, TrainedRecords
from pipeline.report import claim, scans
from pipeline.report.claim import find_exposure
from pipeline.report.scans import Exposure, scan_splits
from pipeline.report.summary import Claim, Statement
from pipeline.workdir import Workdir
from records.dataset import schema
from records.errors import DamagedRecords
from records.images import png
from records.images.files import RAW
from records.split import TEST, AnyCase, SplitRule
from records.tfrecord.framing import frame, read_records
from tests.small_records import make_records, picture
from tests.training_fixtures import make_state


@pytest.fixture
def manifest(tmp_path):
    return make_records(tmp_path / "records")


def statements(manifest, split="test", exposure=None):
    exposure = exposure or Exposure(manifest, True)
    found = claim.claim(manifest, split, exposure, scan_splits(manifest, split, exposure, processes=1), repeatable=True)
    return {statement.name: (statement.holds, statement.text) for statement in found.statements}


def test_a_clean_split_holds_with_its_numbers(tmp_path):
    manifest = make_records(tmp_path, train=["12", "21"], validation=["33"], test=["34", "43"])
    found = statements(manifest)
    assert found["held out"] == (True, "The test split was used neither to train nor to choose the checkpoint.")
    assert found["shared codes"] == (
        True,
        "None of the 2 different codes tested is among the 2 of train or the 1 of validation. All were compared.",
    )
    assert found["shared pixels"] == (
        True,
        "None of the 2 different pictures tested is among the 2 of train or the 1 of validation. All were compared.",
    )


def test_shared_codes_are_counted(tmp_path):
    manifest = make_records(tmp_path, test=["12", "12", "34", "42", "44"])
    holds, text = statements(manifest)["shared codes"]
    assert holds is False
    assert text == (
        "2 codes (3 tested images) also in train; 1 code (1 tested image) also in validation: "
        "the network may have memorized them."
    )


def unseen_codes(manifest, exposure):
    records = [record for path in manifest.paths("test") for record in read_records(path)]
    codes = [schema.decode(data)[2] for _, data in records]
    unseen = scans.are_unseen(scan_splits(manifest, "test", exposure, processes=1), exposure, "test")
    return codes, [code for code, is_unseen in zip(codes, unseen, strict=True) if is_unseen]


def test_images_are_told_apart_whose_codes_no_training_had(tmp_path, monkeypatch):
    manifest = make_records(tmp_path / "a", test=["12", "12", "34", "42", "44"])
    assert unseen_codes(manifest, Exposure(manifest, True))[1] == ["44"]  # 34 is in train, 42 in validation
    itself = Exposure(manifest, True)
    assert not scans.are_unseen(scan_splits(manifest, "train", itself, processes=1), itself, "train").any()
    rule = SplitRule(0.2, 0.3)
    manifest = make_records(tmp_path / "b", test=[a + b for a in "1234" for b in "1234"])
    # Worker processes may finish their shards in any order.
    monkeypatch.setattr(scans, "_scanned", lambda pieces, _: ((p, scans.scan_shard(p)) for p in reversed(pieces)))
    codes, unseen = unseen_codes(manifest, Exposure(manifest, True, earlier=(rule,)))
    held_out = [code for code in codes if rule.by_hash(code) == TEST]
    assert unseen == [code for code in held_out if code not in ("12", "34", "42")]
    assert 0 < len(unseen) < 13


@pytest.mark.parametrize(
    "exposure",
    [
        lambda manifest: Exposure(None, False),
        lambda manifest: Exposure(None, False, generated=True),
        lambda manifest: Exposure(manifest, True, earlier=(SplitRule(0.2, 0.3), None)),
        lambda manifest: Exposure(dataclasses.replace(manifest, settings={}), True, generated=True),
    ],
    ids=["records", "records and images", "earlier", "generated"],
)
def test_no_code_is_called_new_where_not_all_that_were_learned_are_known(manifest, exposure):
    exposure = exposure(manifest)
    scanned = scan_splits(manifest, "test", exposure, processes=1)
    assert scans.are_unseen(scanned, exposure, "test") is None


def test_shared_pixels_are_counted_whatever_file_they_are_in(tmp_path):
    def same_pixels(number):
        image = Image.open(io.BytesIO(picture(3 if number >= 10 else number)))
        if number == 10:
            return png.encode(np.asarray(image))  # decoded without Pillow
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=number % 10)
        return file.getvalue()

    found = statements(make_records(tmp_path, picture=same_pixels))
    assert found["shared codes"][0] is True
    assert found["shared pixels"] == (
        False, "1 picture (2 tested images) also in train: the network may have memorized them.",
    )  # fmt: skip


def test_raw_pixels_are_compared_too(tmp_path):
    raw = lambda number: bytes([number % 11]) * (8 * 16)  # noqa: E731
    found = statements(make_records(tmp_path, picture=raw, encoding=RAW))
    assert found["shared pixels"][1].startswith("1 picture (1 tested image) also in train")


def test_tested_characters_that_were_never_learned_are_named(tmp_path):
    manifest = make_records(tmp_path, train=["12", "13"], validation=[], test=["22", "23", "24"])
    assert statements(manifest)["learned characters"] == (
        False,
        (
            "Tested characters were not learned: '2' was never learned at position 1; '4' was never learned at "
            "position 2. The result does not tell of everything: only one character is ever tested at position 1; "
            "'1' was never tested at position 1."
        ),
    )


def test_characters_that_were_never_tested_are_no_failure(tmp_path):
    manifest = make_records(tmp_path, train=["12", "21", "33"], validation=["44"], test=["11", "22"])
    assert statements(manifest)["learned characters"] == (
        True,
        (
            "Every character that was tested at a position was learned there, and tested there at least once. The "
            "result does not tell of everything: '3', '4' were never tested at position 1; '3', '4' were never tested "
            "at position 2."
        ),
    )


def test_all_classes_hold_with_the_least_count(tmp_path):
    manifest = make_records(tmp_path, train=["12", "21"], validation=[], test=["11", "22", "22"])
    assert statements(manifest)["learned characters"] == (
        True,
        "Every character that was tested at a position was learned there, and tested there at least once.",
    )


@pytest.mark.parametrize(
    "split, said",
    [
        ("train", "The network was trained on these images, so the result says nothing about new ones."),
        ("validation", "These images were used to choose the checkpoint"),
    ],
)
def test_images_that_had_a_part_in_the_training_do_not_hold(manifest, split, said):
    holds, text = statements(manifest, split)["held out"]
    assert holds is False and text.startswith(said)


def test_other_records_are_compared_with_those_of_the_training(tmp_path, manifest):
    other = make_records(tmp_path / "other", train=["11"], validation=[], test=["12", "33"])
    found = statements(other, exposure=Exposure(manifest, False))
    assert found["held out"] == (True, f"The checkpoint was trained on other records: {manifest.folder}.")
    assert found["shared codes"] == (
        False,
        "1 code (1 tested image) also in train: the network may have memorized them.",
    )


def test_what_is_not_known_is_said(manifest):
    found = statements(manifest, exposure=Exposure(None, False))
    assert [found[name][0] for name in ("held out", "shared codes", "shared pixels")] == [None, None, None]
    why = "were not looked for: the records of the training are not there to compare with."
    assert [found[f"shared {what}"][1] for what in ("codes", "pixels")] == [
        f"Shared codes {why}",
        f"Shared pixels {why}",
    ]


@pytest.mark.parametrize(
    "verdicts, holds", [([True, True], True), ([True, None], None), ([None, False, True], False), ([], True)]
)
def test_a_claim_holds_where_all_of_it_does(verdicts, holds):
    assert Claim(tuple(Statement("a", verdict, "") for verdict in verdicts)).holds is holds


def test_dropout_left_on_is_told():
    assert claim.dropout_statement(True).holds is True
    assert claim.dropout_statement(False).holds is False


def test_the_records_of_the_training_are_found_by_their_fingerprint(tmp_path, manifest, workdir):
    trained = Provenance({}, TrainedRecords.of(manifest, None))
    assert find_exposure(trained, manifest, workdir) == Exposure(manifest, True)
    other = make_records(tmp_path / "other", test=["11"])
    assert find_exposure(trained, other, workdir) == Exposure(None, False)
    own = make_records(workdir.records)
    assert own.fingerprint == manifest.fingerprint
    assert find_exposure(trained, other, workdir) == Exposure(own, False)
    elsewhere = Workdir(tmp_path / "elsewhere")
    assert find_exposure(trained, other, elsewhere, workdir) == Exposure(own, False)


def test_a_shard_that_is_missing_is_named_with_what_it_is_for(manifest):
    manifest.paths("train")[0].unlink()
    with pytest.raises(DamagedRecords, match="is missing: the tested images are compared with those that are in it$"):
        scan_splits(manifest, "test", Exposure(manifest, True), processes=1)


def test_a_damaged_record_is_named(manifest):
    path = manifest.paths("test")[0]
    whole = path.read_bytes()
    path.write_bytes(frame(schema.encode("a.png", b"no picture", "12")) + whole)
    with pytest.raises(DamagedRecords, match=r"-00000-of-00002: record 0 at byte 0: cannot identify image"):
        statements(manifest)


def splits_scanned(manifest, monkeypatch, ahead):
    """(what scan_splits gives, the splits of the shards that it scanned itself)"""
    here = []
    monkeypatch.setattr(
        scans, "_scanned", lambda pieces, _: here.extend(pieces) or ((p, scans.scan_shard(p)) for p in pieces)
    )
    found = scan_splits(manifest, "test", Exposure(manifest, True), processes=1, ahead=ahead)
    return {name: scan.pixels.tolist() for name, scan in found.items()}, sorted({piece.name for piece in here})


def test_what_was_scanned_ahead_is_not_scanned_again_unless_it_changed(manifest, monkeypatch):
    expected, names = splits_scanned(manifest, monkeypatch, None)
    assert names == ["tested", "train", "validation"]
    with scans.scanning_ahead() as ahead:
        ahead.begin(manifest)
        assert splits_scanned(manifest, monkeypatch, ahead)[1] == names, "so few are not worth a process"
        monkeypatch.setattr(scans, "_SMALL", 0)
        ahead.begin(manifest)
        assert splits_scanned(manifest, monkeypatch, ahead) == (expected, ["tested"])
        ahead.begin(manifest)
        for path in manifest.paths("validation"):
            os.utime(path, ns=(0, 0))
        assert splits_scanned(manifest, monkeypatch, ahead) == (expected, ["tested", "validation"])


def test_what_fails_ahead_is_named_when_it_is_needed(manifest, monkeypatch):
    path = manifest.paths("train")[0]
    path.write_bytes(frame(schema.encode("a.png", b"no picture", "12")) + path.read_bytes())
    monkeypatch.setattr(scans, "_SMALL", 0)
    with scans.scanning_ahead() as ahead:
        ahead.begin(manifest)
        with pytest.raises(DamagedRecords, match="record 0 at byte 0: cannot identify image"):
            scan_splits(manifest, "test", Exposure(manifest, True), processes=1, ahead=ahead)


def test_worker_processes_find_the_same(manifest, monkeypatch):
    alone = scan_splits(manifest, "test", Exposure(manifest, True), processes=1)
    monkeypatch.setattr(scans, "_SMALL", 0)
    together = scan_splits(manifest, "test", Exposure(manifest, True), processes=2)
    assert {name: sorted(scan.pixels) for name, scan in alone.items()} == {
        name: sorted(scan.pixels) for name, scan in together.items()
    }


def test_what_is_not_known_of_the_classes_is_not_called_wrong(manifest):
    holds, text = statements(manifest, exposure=Exposure(None, False))["learned characters"]
    assert holds is None and text.startswith("It is not known which characters were learned at which position.")


def test_codes_that_an_earlier_training_may_have_learned_are_counted(tmp_path):
    codes = ["11", "12", "21", "22", "31", "32", "41", "42"]
    manifest = make_records(tmp_path, train=["99"], validation=[], test=codes)

    def earlier(*splits):
        return statements(manifest, exposure=Exposure(manifest, True, earlier=splits)).get("earlier training")

    rule, tests_all = SplitRule(0.2, 0.3), SplitRule(0.0, 1.0)
    learned = sum(rule.split(code) != TEST for code in codes)
    assert 0 < learned < len(codes)
    holds, text = earlier(rule)
    assert holds is False and f"the codes of {learned} tested images: use the same" in text
    assert earlier(rule, None) == (holds, text)
    assert earlier(tests_all)[0] is True
    assert earlier(tests_all, None)[0] is None
    assert earlier() is None


def test_codes_that_may_have_been_generated_are_counted(tmp_path):
    rule = SplitRule(0.2, 0.3)
    codes = [f"{a}{b}" for a in "1234" for b in "1234"]
    may_be = [code for code in codes if rule.split(code) == "train"]
    kept_out = [code for code in codes if code not in may_be]
    assert len(may_be) > 1 and kept_out

    def generated(test, settings):
        manifest = make_records(tmp_path / str(len(test)), train=["11"], validation=[], test=test, settings=settings)
        return statements(manifest, exposure=Exposure(manifest, True, generated=True))["generated codes"]

    holds, text = generated(codes, rule.to_json())
    assert holds is False and text.endswith(f"perhaps with the codes of {len(may_be)} tested images.")
    assert generated(kept_out, rule.to_json())[0] is True
    assert generated(kept_out[:1], {})[0] is None
    unknown = generated(kept_out[:1], {**rule.to_json(), "only_split": "test"})
    assert unknown == (None, "Images were also generated during training, and it is not known with which codes.")


def test_the_earlier_trainings_are_those_that_the_checkpoint_tells_of(manifest, workdir):
    earlier = (EarlierTraining("a", SplitRule(0.1, 0.2)), EarlierTraining("b", None))
    provenance = dataclasses.replace(make_state().provenance, earlier=earlier)
    assert claim.find_exposure(provenance, manifest, workdir).earlier == (SplitRule(0.1, 0.2), None)


def test_an_earlier_training_that_told_no_case_may_have_learned_a_code_in_any(manifest, workdir):
    rule = SplitRule(0.1, 0.2)

    def earlier(tested, *, is_folded):
        provenance = dataclasses.replace(make_state().provenance, earlier=(EarlierTraining("a", rule, is_folded),))
        return claim.find_exposure(provenance, tested, workdir).earlier

    assert earlier(manifest, is_folded=True) == (AnyCase(rule),)
    folded = dataclasses.replace(manifest, settings={**manifest.settings, "fold_case": True})
    assert earlier(folded, is_folded=False) == (AnyCase(rule),)
    own = Provenance({}, TrainedRecords.of(folded, rule))
    assert own.lineage == (EarlierTraining(manifest.fingerprint, rule, True),)
    assert Provenance.from_json(json.loads(json.dumps(own.to_json()))) == own
    begun = dataclasses.replace(own, earlier=own.lineage)
    assert Provenance.from_json(json.loads(json.dumps(begun.to_json()))) == begun
