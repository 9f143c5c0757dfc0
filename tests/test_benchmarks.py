import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "__init__")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_prints_one_line_of_json(name):
    result = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--toy"], cwd=ROOT, capture_output=True, text=True, timeout=500
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["benchmark"] == name
