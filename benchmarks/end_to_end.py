"""How long the whole way takes, from an empty folder to a tested reader: python -m benchmarks.end_to_end [--toy]

One line of JSON: seconds of `main.py --stage=all` by the clock and of all cores, of each stage, and from the command
to the first steps of the training; whole-code accuracy on the test split with its count and interval. What follows
`--` goes to main.py: python -m benchmarks.end_to_end -- --images=photos
"""

import argparse
import json
import pathlib
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from pipeline.config import available_cores
from pipeline.workdir import Workdir

_MAIN = pathlib.Path(__file__).parent.parent / "main.py"
_FIRST_STEPS = ("train: step ", "step ")  # a very short training goes straight to its first validation
_TOY = (
    "--num_images=60 --image_size=40x20 --code_length=1 --font_sizes=14 --network=percent4 --epochs=1 --batch_size=20 "
    "--validation_fraction=0.2 --test_fraction=0.2 --workers=1"
)


def measure(arguments: Sequence[str], folder: pathlib.Path) -> dict[str, Any]:
    """The figures of one run; what it prints goes to stderr."""
    workdir = Workdir(folder)
    command = [sys.executable, str(_MAIN), "--stage=all", f"--workdir={folder}", *arguments]
    began, to_first_steps = time.perf_counter(), None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            sys.stderr.write(line)
            if line.startswith(_FIRST_STEPS) and to_first_steps is None:
                to_first_steps = round(time.perf_counter() - began, 1)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {process.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads((workdir.report / "report.json").read_text())
    return {
        "benchmark": "end_to_end",
        "arguments": list(arguments),
        "cores": available_cores(),
        "python": platform.python_version(),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "seconds_to_first_steps": to_first_steps,
        "stages": json.loads(workdir.seconds.read_text()),
        "sequence_accuracy": report["sequence_accuracy"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("arguments", nargs="*", help="for main.py, after --")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = measure([*(_TOY.split() if given.toy else ()), *given.arguments], pathlib.Path(folder) / "work")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
