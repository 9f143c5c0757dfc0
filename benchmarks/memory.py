"""Whether memory and time per image stay level as images become more: python -m benchmarks.memory [--toy]

Each stage runs in a process of its own, on sets of small images: 1,000, 10,000 and 200,000. One line of JSON: for each
stage and size the megabytes of its largest process, the seconds by the clock and of all cores; the megabytes that the
largest set takes more than the one before; and the microseconds of all cores that each image costs beyond the size
before, which leaves out what a stage costs before its first image.
"""

import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.program import command

_SIZES, _TOY_SIZES = (1_000, 10_000, 200_000), (60, 90)
_CODES = "--image_size=40x20 --font_sizes=14"
# Training ends with its first validation: what counts here is how many images there are, not what is learned.
STAGES: dict[str, str] = {
    "generate": f"--stage=generate {_CODES}",
    "records": "--stage=records",
    "train": "--stage=train --validation_steps=20 --target_accuracy=0",
    "test": "--stage=test",
    "predict": "--stage=predict --images={images} --output_format=csv",
}
_TOY_STAGES: dict[str, str] = {
    **STAGES,
    "records": "--stage=records --validation_fraction=0.2 --test_fraction=0.2",
    "train": "--stage=train --validation_steps=2 --target_accuracy=0 --batch_size=20",
}


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a command took; `megabytes` are those of its largest process, at the moment it was largest."""

    megabytes: float
    seconds: float
    cpu_seconds: float


def usage_of(program: Sequence[str]) -> Usage:
    """Runs it; what it prints is read and thrown away, apart from errors."""
    began = time.perf_counter()
    with subprocess.Popen(program, stdout=subprocess.DEVNULL) as process:
        # Not Popen.wait: only this call tells what one child used, with the processes that it waited for itself.
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(program)} ended with exit code {process.returncode}")
    return Usage(
        megabytes=round(used.ru_maxrss / 1024, 1),  # Linux counts in KiB
        seconds=round(time.perf_counter() - began, 1),
        cpu_seconds=round(used.ru_utime + used.ru_stime, 2),
    )


def measure(folder: pathlib.Path, num_images: int, stages: Mapping[str, str]) -> dict[str, Usage]:
    """Of each stage, with a workdir of its own that is left for the next stage."""
    workdir = folder / str(num_images)
    found = {}
    for stage, text in stages.items():
        arguments = text.format(images=workdir / "images").split()
        if stage == "generate":
            arguments.append(f"--num_images={num_images}")
        found[stage] = usage_of(command(f"--workdir={workdir}", *arguments))
        print(f"{num_images:>9,} {stage:10}{found[stage]}", file=sys.stderr, flush=True)
    return found


def described(by_size: Mapping[int, Usage]) -> dict[str, Any]:
    """The figures of one stage."""
    *_, before, most = by_size.values()
    return {
        "sizes": {size: dataclasses.asdict(usage) for size, usage in by_size.items()},
        "more_megabytes": round(most.megabytes - before.megabytes, 1),
        "microseconds_per_image": {
            size: round(1e6 * (usage.cpu_seconds - smaller.cpu_seconds) / (size - fewer), 1)
            for (fewer, smaller), (size, usage) in itertools.pairwise(by_size.items())
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    toy = parser.parse_args(arguments).toy
    sizes, stages = (_TOY_SIZES, _TOY_STAGES) if toy else (_SIZES, STAGES)
    with tempfile.TemporaryDirectory() as folder:
        usages = {size: measure(pathlib.Path(folder), size, stages) for size in sizes}
    result = {stage: described({size: usage[stage] for size, usage in usages.items()}) for stage in stages}
    print(json.dumps({"benchmark": "memory", **result}))


if __name__ == "__main__":
    main()
