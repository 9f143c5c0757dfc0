"""How long the whole way takes, from an empty folder to a tested reader: python -m benchmarks.end_to_end [--toy]

One line of JSON: seconds of `main.py --stage=all` by the clock and of all cores, of each stage, and from the command
to the first steps of the training; whole-code accuracy on the test split with its count and interval. What follows
`--` goes to main.py: python -m benchmarks.end_to_end -- --images=photos
"""

import json
import pathlib
import platform
import resource
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.program import command, given_flags, lines_of
from pipeline.config import available_cores
from pipeline.workdir import Workdir

_FIRST_STEPS = ("train: step ", "step ")  # a very short training goes straight to its first validation


def measure(arguments: Sequence[str], folder: pathlib.Path) -> dict[str, Any]:
    """The figures of one run; what it prints goes to stderr."""
    workdir = Workdir(folder)
    began, to_first_steps = time.perf_counter(), None
    for line in lines_of(command("--stage=all", f"--workdir={folder}", *arguments)):
        if line.startswith(_FIRST_STEPS) and to_first_steps is None:
            to_first_steps = round(time.perf_counter() - began, 1)
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
    flags = given_flags(__doc__, arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(flags, pathlib.Path(folder) / "work")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
