"""How fast images are rendered and serialized: python -m benchmarks.data [--toy]

One line of JSON: images/s of the generate and records stages, and of rendering for a training, each with one worker
process and with two, and of the captcha package's own loop in one process, all in one run.
"""

import argparse
import contextlib
import io
import json
import pathlib
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from captcha.image import ImageCaptcha

from pipeline.config import GenerateConfig, RecordsConfig, RunConfig, available_cores
from pipeline.conversion.convert import convert
from pipeline.drawing.files import generate
from pipeline.drawing.stream import SyntheticImages, synthetic_batches
from pipeline.machine.shares import Part
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest

_BATCH_SIZE = 64


def seconds_of(function: Callable[..., object], *arguments: Any) -> float:
    began = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        function(*arguments)
    return time.perf_counter() - began


def package_loop(num_images: int) -> None:
    """What a reader of the captcha package's README writes: render, and encode as PNG."""
    renderer = ImageCaptcha(160, 60)
    for number in range(num_images):
        renderer.generate_image(f"{number % 10_000:04d}").save(io.BytesIO(), "PNG")


def take(batches: Iterator[object], count: int) -> None:
    for _ in range(count):
        next(batches)


def measure(folder: pathlib.Path, num_images: int) -> dict[str, Any]:
    result = {
        "benchmark": "data",
        "images": num_images,
        "cores": available_cores(),
        "python": platform.python_version(),
    }
    sample = max(1, num_images // 10)
    result["package_loop"] = round(sample / seconds_of(package_loop, sample))
    for workers in (1, 2):
        config = RunConfig(workers=workers, generate=GenerateConfig(num_images=num_images), records=RecordsConfig())
        workdir = Workdir(folder / f"{workers}")
        workdir.create()
        result[f"generate_{workers}"] = round(num_images / seconds_of(generate, config, workdir))
        result[f"records_{workers}"] = round(num_images / seconds_of(convert, config, workdir))
        synthetic = SyntheticImages.beside(Manifest.load(workdir.records), config, channels=1)
        with synthetic_batches(synthetic, _BATCH_SIZE, workers) as batches_from:
            batches = batches_from(0, Part())
            next(batches)  # until then processes start
            result[f"synthetic_{workers}"] = round(num_images / seconds_of(take, batches, num_images // _BATCH_SIZE))
    result["generate_2_to_1"] = round(result["generate_2"] / result["generate_1"], 2)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    num_images = 80 if parser.parse_args(arguments).toy else 20_000
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(pathlib.Path(folder), num_images)))


if __name__ == "__main__":
    main()
