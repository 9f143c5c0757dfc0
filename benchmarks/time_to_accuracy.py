"""How soon trainings read unseen codes well: python -m benchmarks.time_to_accuracy [--toy] [--checkout=DIR] ...

The default training of this checkout, that of each other checkout given (such as of an earlier commit: git worktree add
DIR COMMIT), and the predecessor's network with its settings, one after the other, each on the same 25,000 synthetic
images in records that its own main.py writes. One line of JSON: for each, the seconds from the command to the first
validation, on codes not trained on, that reached --accuracy (0.995) for whole codes, or null; the steps until then; the
best validation; the seconds of the whole training; and how many times the seconds of this checkout it took. A training
is ended after --minutes.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.program import MAIN, command, run_program
from benchmarks.training import NETWORKS
from pipeline.config import TrainConfig, available_cores

_HERE = MAIN.parent
_OURS, _PREDECESSOR = "this checkout", "predecessor"
_VALIDATION = re.compile(r"^step ([\d,]+) .*: validation .*sequence_accuracy ([\d.]+)")
_IMAGES = "--num_images=25000"
_TOY_IMAGES = (
    "--num_images=60 --image_size=32x16 --code_length=1 --font_sizes=14 --validation_fraction=0.2 --test_fraction=0.2 "
    "--workers=1"
)
_TOY_FLAGS = "--network=percent4 --epochs=1 --batch_size=20"


@dataclasses.dataclass(frozen=True)
class Course:
    """How a training went. `to_accuracy` and `steps` are None where it did not get there."""

    to_accuracy: float | None
    steps: int | None
    best: float
    seconds: float


def course_of(lines: Iterable[str], accuracy: float, clock: Callable[[], float]) -> Course:
    """From what a training prints while it runs; `clock` says how long it has run."""
    to_accuracy, steps, best = None, None, 0.0
    for line in lines:
        sys.stderr.write(line)
        if not (found := _VALIDATION.match(line)):
            continue
        best = max(best, float(found[2]))
        if to_accuracy is None and float(found[2]) >= accuracy:
            to_accuracy, steps = round(clock(), 1), int(found[1].replace(",", ""))
    return Course(to_accuracy, steps, best, round(clock(), 1))


def train(program: Sequence[str], accuracy: float, minutes: float) -> Course:
    began = time.monotonic()
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        ended = threading.Timer(60 * minutes, process.terminate)
        ended.daemon = True
        ended.start()
        course = course_of(process.stdout, accuracy, lambda: time.monotonic() - began)
    if process.returncode and ended.is_alive():
        sys.exit(f"{' '.join(program)} ended with exit code {process.returncode}")
    ended.cancel()
    return course


def measure(
    runs: Sequence[tuple[str, pathlib.Path, str]], images: str, accuracy: float, minutes: float
) -> dict[str, Course]:
    """{name: its course} of each (name, checkout, flags)."""
    courses = {}
    for name, checkout, flags in runs:
        with tempfile.TemporaryDirectory() as folder:
            main = command(f"--workdir={folder}/work", main=checkout / "main.py")
            run_program([*main, "--stage=generate,records", *images.split()])
            courses[name] = train([*main, "--stage=train", *flags.split()], accuracy, minutes)
    return courses


def flags_of(asked: TrainConfig) -> str:
    """The flags that stand for these settings."""
    usual = dataclasses.asdict(TrainConfig())
    given = dataclasses.asdict(asked).items()
    return " ".join(f"--{name}={value}" for name, value in given if value != usual[name])


def described(courses: dict[str, Course]) -> dict[str, Any]:
    ours = courses[_OURS].to_accuracy
    return {
        name: {
            **dataclasses.asdict(course),
            "times_ours": round(course.to_accuracy / ours, 2) if course.to_accuracy and ours else None,
        }
        for name, course in courses.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--checkout", action="append", default=[], type=pathlib.Path, help="another one, to compare")
    parser.add_argument("--accuracy", type=float, default=0.995)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--precision", default="auto", help="of all trainings; auto: what suits the machine")
    given = parser.parse_args(arguments)
    predecessor = dataclasses.replace(NETWORKS["alexnet_v2"], target_accuracy=None)
    precision = f"--precision={given.precision}"
    others = [(str(checkout), checkout.resolve(), precision) for checkout in given.checkout]
    runs = [(_OURS, _HERE, precision), *others, (_PREDECESSOR, _HERE, f"{precision} {flags_of(predecessor)}")]
    if given.toy:
        runs = [(_OURS, _HERE, _TOY_FLAGS)]
    courses = measure(runs, _TOY_IMAGES if given.toy else _IMAGES, given.accuracy, given.minutes)
    result = {"benchmark": "time_to_accuracy", "accuracy": given.accuracy, "cores": available_cores()}
    print(json.dumps(result | described(courses)))


if __name__ == "__main__":
    main()
