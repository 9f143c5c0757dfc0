"""--stage=export, --max_error, and predict with what they made: by command, on a tiny network."""

import csv
import dataclasses
import io
import json
import re
import shutil
import types

import numpy as np
import pytest

from digitwise.metadata import Promise
from digitwise.watch import Reference
from pipeline.model.metrics import Accuracy
from pipeline.promise.certificate import Outcomes
from pipeline.promise.certification import certification
from pipeline.promise.halves import calibration_rows
from pipeline.promise.stored import StoredPromise, load_promise
from pipeline.report.promise import PromiseFigures
from pipeline.report.summary import Claim, Statement, load_summary
from pipeline.stages import export as stage
from records.errors import DigitwiseError
from tests.training_fixtures import make_records, make_state
from tests.using_fixtures import draw_images, make_checkpoint

REFERENCE = Reference.of(np.linspace(0.5, 1, 200), 0.9)
FIGURES = PromiseFigures(
    max_error=0.01, threshold=0.9, codes=400, images=500, accepted_codes=380, wrong_codes=1, missing_codes=0,
    offered_error=0.008, tested_images=480, tested_accepted=456, tested_wrong=2, temperature=1.25,
    calibration_error=0.012, calibration_error_before=0.03,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(shared_folder):
    return shared_folder("stripes-checkpoint", make_checkpoint)


@pytest.fixture
def workdir(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "w")


# --- certifying


def test_half_of_the_codes_certify_and_all_images_of_a_code_are_in_one_half():
    codes = [f"{number:04d}" for number in range(2000)]
    rows = calibration_rows(codes)
    assert 900 < rows.sum() < 1100
    assert (calibration_rows(codes[::-1])[::-1] == rows).all()


def test_a_certification_by_hand():
    codes = [str(number) for number in range(400)]
    sure = Outcomes(np.linspace(0.5, 1, 400), np.ones(400, bool), codes)
    found = certification(sure, sure, max_error=0.05)
    assert found.promise.wrong == 0 and found.promise.codes >= 59  # the least without an error, for 5 %
    assert found.reference.count == 400 and found.reference.threshold == found.promise.threshold
    few = Outcomes(sure.confidences[:20], sure.is_right[:20], codes[:20])
    found = certification(sure, few, max_error=0.05)
    assert (found.promise, found.reference) == (None, None)
    assert found.certificate.missing > 0


def test_a_promise_is_bound_to_the_arrays(tmp_path):
    assert load_promise(tmp_path, "a") is None
    stored = StoredPromise("a", 1.5, Promise(0.9, 0.01, 500, 1), REFERENCE)
    stored.save(tmp_path)
    assert load_promise(tmp_path, "a") == stored
    assert load_promise(tmp_path, "b") is None
    dataclasses.replace(stored, promise=None, reference=None).save(tmp_path)
    assert load_promise(tmp_path, "a").promise is None
    for damaged in ("{", '{"format": "x"}', "[]", json.dumps({"format": "digitwise-promise", "format_version": 9})):
        (tmp_path / "promise.json").write_text(damaged)
        with pytest.raises(DigitwiseError, match="promise.json is damaged .*: remove it"):
            load_promise(tmp_path, "a")


def test_the_report_says_what_is_promised():
    lines = list(FIGURES.terminal_lines())
    assert lines == [
        "promise     of codes read with a confidence of 0.9 or more at most 0.01 are wrong, at 95 %: certified on 400 "
        "codes (500 images), of which 380 were accepted and 1 wrong",
        "            coverage 0.9500: of the 480 images of other codes 456 were accepted, 2 of them wrong",
        "            expected calibration error 0.0120 at temperature 1.25 (0.0300 without)",
    ]
    open_figures = dataclasses.replace(
        FIGURES, threshold=None, missing_codes=2595, offered_error=0.0081, temperature=1.0, alarm="it is suspended"
    )
    assert list(open_figures.lines()) == [
        "NOT CERTIFIED: 2,595 more codes are needed, if none of them is read wrong, to certify that at most 0.01 of "
        "accepted codes are wrong; there are 400",
        "the smallest error that these codes can certify is about 0.0081: --max_error=0.0081",
        "expected calibration error 0.0120 at temperature 1",
        "SUSPENDED: it is suspended",
    ]


def test_max_error_at_test_and_predict(call_main, workdir, tmp_path, blank_plots):
    """The fixture's codes are only 16, so half of them certify no less than about a third."""
    result = call_main("--stage=test", "--workdir=w", "--max_error=0.01")
    assert result.returncode == 0, result.stderr
    assert "promise     NOT CERTIFIED: " in result.stdout and "more codes are needed" in result.stdout
    assert "images of half of the test split" in result.stdout
    refused = call_main("--stage=predict", "--workdir=w", "--records=w/records", "--max_error=0.01")
    assert "error: --max_error=0.01: this network cannot promise that" in refused.stderr

    result = call_main("--stage=test", "--workdir=w", "--max_error=0.5")
    summary = load_summary(workdir / "report" / "report.json")
    assert summary.promise.threshold is not None
    assert summary.promise.codes + summary.records.different_codes["tested"] <= 16
    assert summary.figures.whole.count == summary.promise.tested_images < 60
    assert summary.promise.tested_images + summary.promise.images == 60
    predictions = list(csv.DictReader((workdir / "report" / "predictions.csv").open()))
    assert len(predictions) == summary.promise.tested_images
    assert {row["code"] for row in predictions} == {row["prediction"] for row in predictions}
    assert not any(calibration_rows([row["code"] for row in predictions]))
    page = (workdir / "report" / "report.html").read_text()
    assert "<h2>Read or refuse</h2>" in page and "Coverage" in page

    draw_images(tmp_path / "images", 5)
    read = call_main("--stage=predict", "--workdir=w", "--images=images", "--max_error=0.5", "--output_format=jsonl")
    assert read.returncode == 0, read.stderr
    accepted = [json.loads(line)["accepted"] for line in read.stdout.splitlines()]
    assert len(accepted) == 5 and None not in accepted
    assert "accepted (" in read.stderr
    wrong = call_main("--stage=test", "--workdir=w", "--max_error=0.5", "--split=validation")
    assert "--split=validation: a promise can only be certified on the test split" in wrong.stderr


# --- exporting


def test_a_missing_package_is_named(call_main, workdir, monkeypatch):
    monkeypatch.setattr(stage.importlib.util, "find_spec", lambda name: None if "lite" in name else True)
    result = call_main("--stage=export", "--workdir=w")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "error: --stage=export needs ai_edge_litert: install with pip install -e '.[export]'"
    )


def test_strangers_in_the_folder_are_kept(call_main, workdir):
    (workdir / "export").mkdir()
    (workdir / "export" / "mine.txt").write_text("x")
    result = call_main("--stage=export", "--workdir=w")
    assert "holds mine.txt, which was not made here" in result.stderr
    assert (workdir / "export" / "mine.txt").read_text() == "x"


@pytest.mark.slow
def test_an_export_reads_as_the_checkpoint(call_main, run_main, workdir, tmp_path):
    assert call_main("--stage=test", "--workdir=w", "--max_error=0.5").returncode == 0
    made = call_main("--stage=export", "--workdir=w")
    assert made.returncode == 0, made.stderr
    assert "export: w/export, compared with the checkpoint on 60 images" in made.stdout
    assert "0 readings and 0 decisions differ, threshold" in made.stdout
    parity = json.loads((workdir / "export" / "parity.json").read_text())
    assert [file["format"] for file in parity][:3] == ["saved_model", "onnx", "litert"]
    assert all(file["promise"]["max_error"] == 0.5 for file in parity)
    card = (workdir / "export" / "model-card.md").read_text()
    assert "| whole-code accuracy | 1.0000 (" in card and "Reads codes of 2 characters out of `abcd`" in card

    draw_images(tmp_path / "images", 100)
    (tmp_path / "images" / "zzz.png").write_bytes(b"")
    lines = {}
    for checkpoint in ("w", "w/export", "w/export/model.onnx", "w/export/saved_model/1", "w/export/model.tflite"):
        arguments = ("--stage=predict", "--images=images", f"--checkpoint={checkpoint}", "--output_format=jsonl")
        result = call_main(*arguments)
        assert result.returncode == 2, result.stderr
        lines[checkpoint] = [json.loads(line) for line in result.stdout.splitlines()]
    expected = lines.pop("w")
    for got in lines.values():
        assert [(line["file"], line["code"], line["accepted"]) for line in got] == [
            (line["file"], line["code"], line["accepted"]) for line in expected
        ]
        confidences = ([line["confidence"] for line in each] for each in (got, expected))
        np.testing.assert_allclose(*confidences, atol=5e-4)

    # Without TensorFlow: nothing may import it.
    (tmp_path / "blocked" / "tensorflow").mkdir(parents=True)
    (tmp_path / "blocked" / "tensorflow" / "__init__.py").write_text("raise SystemExit('TensorFlow was imported')")
    alone = run_main(
        "--stage=predict",
        "--images=images",
        "--checkpoint=w/export",
        "--output_format=csv",
        env={"PATH": "", "PYTHONPATH": str(tmp_path / "blocked")},
    )
    assert alone.returncode == 2, alone.stderr
    assert [row["code"] for row in csv.DictReader(io.StringIO(alone.stdout))][:100] == [
        line["code"] for line in expected
    ][:100]

    again = call_main("--stage=export", "--workdir=w")
    assert "export: the export of this checkpoint is in w/export" in again.stdout
    other = call_main("--stage=export", "--workdir=w", "--max_error=0.6")
    assert other.returncode == 1 and "  --max_error: 0.5 -> 0.6\n" in other.stderr
    stricter = call_main("--stage=export", "--workdir=w", "--max_error=0.01", "--overwrite")
    assert re.search(r"export: --max_error=0\.01 is not certified: [1-9]\d* more codes are needed", stricter.stdout)


@pytest.mark.parametrize("resizing", ["none", "fit"])
def test_images_come_in_as_they_did_in_training(tmp_path, resizing):
    from pipeline.export.checkpoint import graph_of
    from pipeline.model.checkpoints import Checkpoints
    from pipeline.model.recognizer import Recognizer
    from pipeline.model.variables import arrays_of
    from tests.training_fixtures import make_state

    state = make_state(1, resizing=resizing)
    arrays = arrays_of(network=Recognizer(state.spec).network.variables)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(1, arrays, state)
    assert graph_of(checkpoints.load(1), checkpoints.folder).metadata.shape.resizing == resizing


def test_why_an_export_has_no_threshold():
    assert stage.not_certified(None, 0) == "no threshold is certified; --max_error=0.01 asks for one"
    assert stage.not_certified(0.05, 1041) == (
        "--max_error=0.05 is not certified: 1,041 more codes are needed, if none of them is read wrong"
    )


@pytest.mark.parametrize(
    "holds, tested_on", [(True, "the test split, whose codes the"), (False, "the test split"), (None, "the test split")]
)
def test_the_card_claims_unseen_codes_only_where_all_checks_passed(holds, tested_on):
    summary = types.SimpleNamespace(
        checkpoint=types.SimpleNamespace(step=5),
        figures=types.SimpleNamespace(whole=Accuracy.of(3, 4), chance=types.SimpleNamespace(sequence=0.1)),
        claim=Claim((Statement("shared codes", holds, "Counted."),)),
        model=types.SimpleNamespace(network="alexnet", readout="positions"),
        records=types.SimpleNamespace(split="test", counts={}),
        promise=None,
    )
    facts = dict(stage._facts(summary, 5, make_state().provenance))
    assert facts["trained on"] == "48 images", "that of the training, whatever was tested"
    assert facts["tested on"].startswith(tested_on) and ("whose codes" in facts["tested on"]) == (holds is True)
    assert stage._facts(summary, 6, make_state().provenance) == [("checkpoint", "step 6")]


def test_an_export_stays_until_its_successor_is_whole(tmp_path, monkeypatch):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "settings.json").write_text('{"checkpoint": "old"}')
    (folder / "model.onnx").write_text("old")
    new = {"checkpoint": "new"}
    assert stage._is_done(folder, new, overwrite=True) is False
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "settings.json"]
    aside = folder / ".unfinished"
    aside.mkdir()
    (aside / "model.tflite").write_text("new")
    assert stage._is_done(folder, new, overwrite=True) is False  # half done: begun again
    assert not aside.exists() and (folder / "model.onnx").exists()
    aside.mkdir()
    (aside / "model.tflite").write_text("new")
    (aside / "settings.json").write_text(json.dumps(new))
    assert stage._is_done(folder, new, overwrite=True) is True  # whole when it was killed
    assert sorted(path.name for path in folder.iterdir()) == ["model.tflite", "settings.json"]


@pytest.mark.parametrize("resizing, size", [("none", (16, 32)), ("fit", (24, 48))])
def test_images_that_certify_come_in_as_the_network_takes_them(tmp_path, resizing, size):
    from digitwise.images import InputShape
    from pipeline.stages.certify import batches

    manifest = make_records(tmp_path, test=7)
    [(images, label_ids)] = batches(manifest, "test", InputShape(24, 48, 1, 1, resizing))
    assert images.shape == (7, *size, 1) and label_ids.shape == (7, 2)
