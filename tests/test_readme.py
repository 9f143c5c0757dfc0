"""The README says what is true: its code runs, its flags are there, its links lead somewhere."""

import re

import pytest
from absl import flags

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_flags_it_names_exist():
    ours = [
        line for line in README.splitlines() if not line.startswith(("tensorboard", "curl", "python -m tests.faults"))
    ]
    # Benchmarks have flags of their own.
    ours = re.sub(r"`(python -m )?(benchmarks|pretraining)\.[^`]*`", "", "\n".join(ours))
    named = set(re.findall(r"--([a-z][a-z_]+)", ours)) - {"help", "helpfull", "flagfile"}
    assert named
    for name in named:
        assert name in flags.FLAGS, f"README.md names --{name}"


def test_the_files_it_points_to_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_its_code_reads_the_records(call_main, capfd):
    code = re.search(r"```python\n(import tensorflow.*?)```", README, re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 7
    assert call_main("--stage=records", "--source=synthetic", "--num_images=40", "--workers=1").returncode == 0
    exec(compile(code, "README.md", "exec"), {})
    assert re.fullmatch(r"(\d{4} \(60, 160, 3\)\n){3}", capfd.readouterr().out)


@pytest.mark.parametrize("name", ["main", "test"])
def test_its_commands_are_one_line_each(name):
    command = re.search(rf"<!-- {name} command -->\n```\n(.*?)\n```", README, re.DOTALL)[1]
    assert "\n" not in command
    assert command.startswith("python3 -m venv .venv && ")
