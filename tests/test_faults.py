"""A small run of the harness of faults; the long one is `python -m tests.faults --minutes=60`."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.faults.classes import CLASSES
from tests.faults.lab import NotHeld, Result, hold, outcome

# What takes seconds each: no network is trained in a process of its own.
_QUICK = "hostile labels,hostile mappings,damaged,clocks,some write,inside saves of images,two runs"


@pytest.mark.slow
def test_a_small_run_of_the_harness_holds():
    command = [sys.executable, "-m", "tests.faults", "--minutes=0", "--seed=1", f"--classes={_QUICK}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line.split(" | ") for line in result.stdout.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 7 and all(int(row[1].replace(",", "")) > 0 and row[3] == "0 |" for row in rows)


def test_every_class_of_faults_has_a_function():
    assert all(map(callable, CLASSES.values())) and len(CLASSES) >= 19


@pytest.mark.parametrize(
    "given, message",
    [
        ({"code": None}, "it did not end"),
        ({"code": 1, "err": "Traceback (most recent call last):"}, "a traceback"),
        ({"code": 7}, "another exit code"),
        ({"code": 1}, "not one line that says why"),
        ({"code": 1, "err": "error: a\nerror: b"}, "not one line that says why"),
        ({"code": 1, "err": "error: something"}, "the error names none of that.png"),
        ({"code": 0, "peak": 600 << 20}, "600 MB of memory"),
        ({"code": 0, "cpu": 11.0}, "11.0 s of processor time"),
    ],
)
def test_what_does_not_hold(given, message):
    result = Result(**{"command": "main.py", "out": "", "err": "", **given})
    with pytest.raises(NotHeld, match=message):
        hold(result, names=("that.png",), memory=512 << 20)


def test_what_holds():
    hold(Result("main.py", 0, "done", ""), memory=512 << 20)
    hold(Result("main.py", 1, "", "error: that.png is cut short"), names=("that.png",))


def test_an_outcome_is_of_what_a_disturbed_run_must_leave_too(tmp_path):
    (tmp_path / "w/records").mkdir(parents=True)
    (tmp_path / "w/logs").mkdir()
    (tmp_path / "w/seconds.json").write_text("{}")
    (tmp_path / "w/records/manifest.json").write_text("{}")
    (tmp_path / "w/logs/history.jsonl").write_text('{"step": 1, "loss": 2}\n{"step": 2, "validation": 1}\n')
    found = outcome(tmp_path)
    assert sorted(found) == ["w/logs/history.jsonl", "w/records/manifest.json"]
    (tmp_path / "w/logs/history.jsonl").write_text('{"step": 3, "loss": 3}\n{"step": 2, "validation": 1}\n')
    (tmp_path / "w/records/manifest.json").write_text("[]")
    assert outcome(tmp_path)["w/logs/history.jsonl"] == found["w/logs/history.jsonl"]
    assert outcome(tmp_path)["w/records/manifest.json"] != found["w/records/manifest.json"]
