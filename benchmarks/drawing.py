"""How fast codes are rendered, against the captcha package's own loop: python -m benchmarks.drawing [--toy]

One line of JSON, in seconds of one core: images/s of each way to render, their ratio to the package's loop measured in
turn with it (median, lowest and highest of the rounds), and of a shard rendered, written and verified the part of the
time that is neither rendering nor encoding.
"""

import argparse
import dataclasses
import json
import pathlib
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence

from captcha.image import ImageCaptcha

from pipeline.config import CodeConfig, DrawingConfig
from pipeline.drawing.fast import CompiledWay, Way, has_numba
from pipeline.drawing.glyphs import Characters
from pipeline.drawing.plain import PlainWay
from pipeline.drawing.renderer import Drawing, SyntheticSource
from records.dataset.verify import Promise
from records.dataset.writer import ShardSpec, write_shard
from records.images.files import ENCODED, StoredForm


def seconds_of(function: Callable[..., object], *arguments: object) -> float:
    """Processor time, which other programs on the machine disturb less than the clock."""
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


def package_loop(num_images: int) -> None:
    """What a reader of the captcha package's README writes."""
    renderer = ImageCaptcha(160, 60)
    for number in range(num_images):
        renderer.generate_image(f"{number % 10_000:04d}")


def render_with(drawing: Drawing, way: Way, num_images: int) -> None:
    for index in range(num_images):
        text, sampler = drawing.start(index)
        way.render(sampler, text, 1)


def render_files(source: SyntheticSource, num_images: int) -> None:
    for index in range(num_images):
        source.file(index)


def ways(drawing: Drawing) -> dict[str, Way]:
    characters = Characters(drawing.fonts, drawing.config.font_sizes)
    found: dict[str, Way] = {"pillow": PlainWay(drawing.code, drawing.config, characters)}
    if has_numba():
        found["numba"] = CompiledWay(drawing.code, drawing.config, characters)
    return found


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "lowest": round(min(values), 2),
        "highest": round(max(values), 2),
    }


def against_the_package(drawing: Drawing, num_images: int, rounds: int) -> dict[str, object]:
    found = ways(drawing)
    for way in found.values():
        render_with(drawing, way, 3)  # compiles, and renders the characters
    rates: dict[str, list[float]] = {name: [] for name in ("package", *found)}
    for _ in range(rounds):
        rates["package"].append(num_images / seconds_of(package_loop, num_images))
        for name, way in found.items():
            rates[name].append(num_images / seconds_of(render_with, drawing, way, num_images))
    return {
        "images_per_second": {name: round(statistics.median(values)) for name, values in rates.items()},
        "ratio": {
            name: spread([ours / package for ours, package in zip(rates[name], rates["package"])]) for name in found
        },
    }


def shard_spec(source: SyntheticSource, folder: str) -> ShardSpec:
    plan = pathlib.Path(folder) / "plan.jsonl"
    plan.write_text("".join(json.dumps(row) + "\n" for row in source.rows()), encoding="utf-8")
    width, height = source.drawing.size
    promise = Promise(source.drawing.alphabet, 4, 4, (height, width, 3), ENCODED)
    return ShardSpec("train", source, str(plan), f"{folder}/shard", StoredForm(width, height, 3), promise)


def outside_drawing(drawing: Drawing, num_images: int, rounds: int) -> dict[str, float]:
    """The part of a shard's time that is neither rendering nor encoding, each measured in turn with the other."""
    source = SyntheticSource(drawing, num_images)
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        spec = shard_spec(source, folder)
        for _ in range(rounds):
            inside = seconds_of(render_files, source, num_images)
            parts.append(1 - inside / seconds_of(write_shard, spec))
    return spread(parts)


def measure(num_images: int, rounds: int) -> dict[str, object]:
    drawing = Drawing.of(CodeConfig(), DrawingConfig())
    package = dataclasses.replace(drawing, config=dataclasses.replace(drawing.config, renderer="captcha"))
    return {
        "benchmark": "drawing",
        "images": num_images,
        "rounds": rounds,
        "python": platform.python_version(),
        **against_the_package(drawing, num_images, rounds),
        "shard_outside_drawing": {
            "fast": outside_drawing(drawing, num_images, rounds),
            "captcha": outside_drawing(package, num_images, rounds),
        },
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),  # Linux counts in KiB
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    print(json.dumps(measure(5, 2) if parser.parse_args(arguments).toy else measure(300, 9)))


if __name__ == "__main__":
    main()
