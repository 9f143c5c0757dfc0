"""How fast synthetic images become verified shards: python -m benchmarks.shards [--toy]

The records stage with --source=synthetic, 50,000 images, with one worker process and with two. One line of JSON: for
each, seconds by the clock and of all cores, images/s by the clock, and the share of the processor time that is neither
rendering nor encoding (split by the processor time of a sample that is rendered and encoded before and after each run,
by as many processes at once); and how many times as fast two are as one by the clock, which takes two idle cores to
tell, and how many times the processor time of one they need, which does not.
"""

import argparse
import contextlib
import json
import pathlib
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.drawing import render_files, seconds_of
from pipeline.config import CodeConfig, DrawingConfig, GenerateConfig, RecordsConfig, RunConfig, available_cores
from pipeline.conversion.convert import convert
from pipeline.drawing.renderer import Drawing, SyntheticSource
from pipeline.machine.workers import worker_pool
from pipeline.workdir import Workdir

_NUM_IMAGES, _TOY_IMAGES = 50_000, 60
_SAMPLES = 25  # one image in so many is rendered and encoded again before each run, and after the last


def cpu_seconds() -> float:
    """Of this process and of the worker processes that have ended."""
    both = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in both)


def write(folder: pathlib.Path, num_images: int, workers: int) -> tuple[float, float]:
    """(seconds by the clock, of all cores) of the records stage."""
    workdir = Workdir(folder)
    workdir.create()
    config = RunConfig(
        workers=workers, generate=GenerateConfig(num_images=num_images), records=RecordsConfig(source="synthetic")
    )
    clock, cores = time.perf_counter(), cpu_seconds()
    with contextlib.redirect_stdout(sys.stderr):
        convert(config, workdir)
    return time.perf_counter() - clock, cpu_seconds() - cores


def drawing_seconds(count: int, processes: int) -> float:
    """Processor time that it takes to render and encode an image while as many processes do."""
    with worker_pool(processes) as pool:
        return statistics.mean(pool.map(_drawing_seconds, [count] * processes))


def _drawing_seconds(count: int) -> float:
    sample = SyntheticSource(Drawing.of(CodeConfig(), DrawingConfig()), count)
    render_files(sample, 1)  # compiles
    return seconds_of(render_files, sample, count) / count


def measure(folder: pathlib.Path, num_images: int) -> dict[str, Any]:
    count = max(1, num_images // _SAMPLES)
    result: dict[str, Any] = {"benchmark": "shards", "images": num_images, "cores": available_cores()}
    drawing_seconds(1, 1)  # leaves the compiled code for all that follow
    taken = {}
    for workers in (1, 2):
        before = drawing_seconds(count, workers)
        seconds, cores = write(folder / f"{workers}", num_images, workers)
        after = drawing_seconds(count, workers)
        taken[workers] = seconds, cores
        result[f"workers_{workers}"] = {
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cores, 1),
            "images_per_second": round(num_images / seconds),
            "outside_drawing": round(1 - num_images * (before + after) / 2 / cores, 3),
        }
    # Before they are rounded: a few images take no tenth of a second.
    (seconds_of_one, cores_of_one), (seconds_of_two, cores_of_two) = taken[1], taken[2]
    return result | {
        "times_as_fast": round(seconds_of_one / seconds_of_two, 2),
        "times_the_processor_time": round(cores_of_two / cores_of_one, 2),
        "python": platform.python_version(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    toy = parser.parse_args(arguments).toy
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(pathlib.Path(folder), _TOY_IMAGES if toy else _NUM_IMAGES)))


if __name__ == "__main__":
    main()
