"""All stages by the toy recipe, as a user runs them."""

import json

import pytest

from tests.conftest import ROOT

RECIPE = f"--flagfile={ROOT / 'flags' / 'tiny.flags'}"


@pytest.mark.slow
def test_the_toy_recipe_from_an_empty_folder(run_main, tmp_path):
    result = run_main(RECIPE, "--workdir=w")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    report = json.loads((tmp_path / "w" / "report" / "report.json").read_text())
    whole = report["sequence_accuracy"]
    assert whole["count"] == report["records"]["counts"]["test"] > 100
    assert whole["low"] <= whole["value"] <= whole["high"]
    assert whole["low"] > 20 * report["chance"]["sequence"], "it learned nothing"
    assert {"generate", "records", "train", "test"} == set(report["seconds"])
    for statement in report["claim"]["statements"]:
        if statement["name"].startswith("shared"):
            assert statement["holds"] is True, statement
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w"], "nothing is written elsewhere"

    again = run_main(RECIPE, "--workdir=w")
    assert again.returncode == 0, again.stderr
    for line in ("2,000 images with these settings", "has the records of these settings", "nothing to do"):
        assert line in again.stdout
    assert json.loads((tmp_path / "w" / "report" / "report.json").read_text())["sequence_accuracy"] == whole

    refused = run_main(RECIPE, "--workdir=w", "--learning_rate=0.001", "--stage=train")
    assert refused.returncode == 1
    assert "learning_rate: 0.005 -> 0.001" in refused.stderr


@pytest.mark.slow
def test_ctc_reads_codes_of_varying_length(run_main, tmp_path):
    varying = ("--code_length=2-4", "--image_size=96x32", "--readout=ctc", "--epochs=1", "--num_images=600")
    result = run_main(RECIPE, "--workdir=w", *varying)
    assert result.returncode == 0, result.stderr
    assert "alexnet with ctc" in result.stdout
    assert "tfg.While" not in result.stderr
    report = json.loads((tmp_path / "w" / "report" / "report.json").read_text())
    assert report["records"]["lengths"] == [2, 4]
    assert list(report["length_accuracy"]) == ["2", "3", "4"]
    assert "\nlength 2 " in result.stdout
