"""Does the promise hold on images? python -m benchmarks.promise_on_images MODEL [--sets=20] [--codes=5000]

    python main.py --workdir=W --stage=all,export --code_length=6 --image_size=220x60
    python -m benchmarks.promise_on_images W/export

Certifies an exported ONNX reader of synthetic images on 20 sets of fresh images of codes that it was not trained on,
each set with images of its own, and holds each certificate against the errors on 50,000 other fresh images. Then shows
the reader images that it was not certified for, and says how many wrong readings it accepted before the batch watch
told. One line of JSON.

The reader must be one of images as `--stage=generate` renders them by default, but for the code's length and the size.
"""

import argparse
import dataclasses
import functools
import io
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageFilter, ImageOps

from digitwise import Reader
from digitwise.watch import Watch
from pipeline.config import CodeConfig, DrawingConfig, RecordsConfig, available_cores
from pipeline.drawing.renderer import Drawing, ImageSampler
from pipeline.machine import workers
from pipeline.promise.certificate import Outcomes
from pipeline.promise.certification import certification
from records.split import TEST, VALIDATION, SplitRule

_PIECE = 500  # images
_DATA = pathlib.Path(matplotlib.get_data_path())
_OTHER_FONT = str(_DATA / "fonts" / "ttf" / "DejaVuSerif-Bold.ttf")
_PHOTO = _DATA / "sample_data" / "grace_hopper.jpg"


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many calibration sets, images in each, fresh images to judge them by, and images of each shift."""

    sets: int
    codes: int
    fresh: int
    shifted: int


Shift = Callable[[Image.Image, np.random.Generator], Image.Image]


def _noise(image: Image.Image, random: np.random.Generator) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    return Image.fromarray(np.clip(pixels + random.normal(0, 50, pixels.shape), 0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, _: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=10)
    return Image.open(file).convert("RGB")


def _photo(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A piece of a photograph, enlarged or reduced."""
    photo = Image.open(_PHOTO).convert("RGB")
    width = int(random.integers(image.width // 2, photo.width))
    height = width * image.height // image.width
    left, top = (int(random.integers(0, whole - part + 1)) for whole, part in zip(photo.size, (width, height)))
    return photo.crop((left, top, left + width, top + height)).resize(image.size)


# Of an image that the reader was certified for.
SHIFTS: dict[str, Shift] = {
    "none": lambda image, _: image,
    "blur, 2 pixels": lambda image, _: image.filter(ImageFilter.GaussianBlur(2)),
    "noise of 50 grey levels": _noise,
    "JPEG of quality 10": _jpeg,
    "inverted": lambda image, _: ImageOps.invert(image),
    "half the size": lambda image, _: image.resize((image.width // 2, image.height // 2)),
    "blank": lambda image, _: Image.new("RGB", image.size, (235, 235, 235)),
    "pieces of a photograph": _photo,
}


@dataclasses.dataclass(frozen=True)
class Piece:
    """Images to render and read: of codes of one split, of any code where there is none."""

    model: str
    drawing: Drawing
    seed: str
    first: int
    last: int
    split: str | None = None
    shift: str = "none"


def others(code: CodeConfig) -> dict[str, Drawing]:
    """Images that no shift makes of those of `code`: other fonts, letters, and a character more or less."""
    more, fewer = ((length, length) for length in (code.lengths[1] + 1, code.lengths[0] - 1))
    return {
        "another font": Drawing.of(code, DrawingConfig(fonts=(_OTHER_FONT,))),
        "letters": Drawing.of(dataclasses.replace(code, alphabet="ABCDEFGHKLMNPQRSTUVWXYZ"), DrawingConfig()),
        "a character more": Drawing.of(dataclasses.replace(code, code_length=more), DrawingConfig()),
        "a character less": Drawing.of(dataclasses.replace(code, code_length=fewer), DrawingConfig()),
    }


@functools.lru_cache(maxsize=1)
def _reader(model: str) -> Reader:
    from digitwise.onnx_network import OnnxNetwork

    return Reader(OnnxNetwork(model, threads=1))  # each process has a core


def read_piece(piece: Piece) -> list[tuple[str, str, float]]:
    """[(what the image shows, what was read, confidence)]."""
    usual = RecordsConfig()
    rule = SplitRule(usual.validation_fraction, usual.test_fraction)

    def wanted(code: str) -> bool:
        return piece.split is None or rule.by_hash(code) == piece.split

    codes, images = [], []
    for number in range(piece.first, piece.last):
        code, pixels = piece.drawing.render(ImageSampler(piece.seed, number), wanted)
        codes.append(code)
        images.append(SHIFTS[piece.shift](Image.fromarray(pixels), np.random.default_rng(number)))
    readings = _reader(piece.model).read(images)
    return [(code, reading.code or "", reading.probability) for code, reading in zip(codes, readings, strict=True)]


def outcomes(pieces: Sequence[Piece], title: str) -> Outcomes:
    """Of reading all images of the pieces, in their order."""
    rows: list[tuple[str, str, float]] = []
    total = sum(piece.last - piece.first for piece in pieces)
    processes = available_cores()
    with workers.worker_pool(processes) as executor:
        for read in workers.run_in_order(executor, read_piece, pieces, processes):
            rows += read
            print(f"{title}: {len(rows):,} of {total:,} images", end="\r", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    shown, got, confidences = zip(*rows, strict=True)
    return Outcomes(np.array(confidences), np.array(shown) == np.array(got), shown)


def in_pieces(piece: Piece, count: int) -> Iterator[Piece]:
    for first in range(0, count, _PIECE):
        yield dataclasses.replace(piece, first=first, last=min(count, first + _PIECE))


def error_and_coverage(fresh: Outcomes, threshold: float) -> tuple[int, int]:
    """(wrong, accepted) of all images at a threshold."""
    accepted = fresh.confidences >= threshold
    return int((accepted & ~fresh.is_right).sum()), int(accepted.sum())


def best_coverage(fresh: Outcomes, max_error: float) -> float:
    """The largest share that any threshold accepts with no more errors than that: what nobody knows beforehand."""
    order = np.argsort(-fresh.confidences, kind="stable")
    wrong = np.cumsum(~fresh.is_right[order])
    counts = np.arange(1, len(order) + 1)
    fitting = counts[wrong <= max_error * counts]
    return float(fitting[-1] / len(order)) if len(fitting) else 0.0


def under_shift(read: Outcomes, threshold: float, watch: Watch) -> dict[str, object]:
    """What is accepted wrongly of images that come one after another, with and without the watch."""
    wrong, accepted = error_and_coverage(read, threshold)
    told = watch.add(read.confidences)
    seen = slice(0, told.images if told else None)
    before = (read.confidences[seen] >= threshold) & ~read.is_right[seen]
    return {
        "images": len(read.confidences),
        "read_right": int(read.is_right.sum()),
        "accepted": accepted,
        "accepted_wrong": wrong,
        "images_until_alarm": told.images if told else None,
        "accepted_wrong_until_alarm": int(before.sum()),
    }


def measure(model: str, code: CodeConfig, counts: Counts, max_error: float) -> dict[str, object]:
    usual = Piece(model, Drawing.of(code, DrawingConfig()), "", 0, 0, TEST)

    def read(seed: str, count: int, title: str, **changes: object) -> Outcomes:
        return outcomes(list(in_pieces(dataclasses.replace(usual, seed=seed, **changes), count)), title)  # type: ignore[arg-type]

    validation = read("validation", counts.codes, "validation", split=VALIDATION)
    fresh = read("fresh", counts.fresh, "fresh images")
    result: dict[str, object] = {
        "benchmark": "promise_on_images",
        "max_error": max_error,
        "images_of_a_set": counts.codes,
        "fresh_images": counts.fresh,
        "fresh_right": int(fresh.is_right.sum()),
        "best_coverage": round(best_coverage(fresh, max_error), 4),
    }
    rows, last = [], None
    for number in range(counts.sets):
        found = certification(validation, read(f"calibration {number}", counts.codes, f"set {number + 1}"), max_error)
        threshold = found.certificate.threshold
        row: dict[str, object] = {"codes": found.certificate.num_codes, "threshold": threshold}
        if threshold is not None:
            wrong, accepted = error_and_coverage(fresh, threshold)
            row |= {"wrong": wrong, "accepted": accepted, "holds": wrong <= max_error * accepted}
            last = found
        rows.append(row)
    certified = [row for row in rows if row["threshold"] is not None]
    result |= {
        "sets": counts.sets,
        "certified": len(certified),
        "broken": sum(not row["holds"] for row in certified),
        "rows": rows,
    }
    if last is not None and last.reference is not None and last.certificate.threshold is not None:
        shifts = {name: read(f"shift {name}", counts.shifted, name, shift=name) for name in SHIFTS}
        shifts |= {
            name: read(name, counts.shifted, name, drawing=drawing, split=None)
            for name, drawing in others(code).items()
        }
        result["shifts"] = {
            name: under_shift(seen, last.certificate.threshold, Watch(last.reference)) for name, seen in shifts.items()
        }
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="an ONNX file, or the folder of an export")
    parser.add_argument("--sets", type=int, default=20)
    parser.add_argument(
        "--codes", type=int, default=5_000, help="images of a calibration set, nearly all of other codes"
    )
    parser.add_argument("--fresh", type=int, default=50_000)
    parser.add_argument("--shifted", type=int, default=2_000, help="images of each kind that was not certified")
    parser.add_argument("--image_size", default="220x60")
    parser.add_argument("--max_error", type=float, default=0.001)
    given = parser.parse_args(arguments)
    metadata = Reader(given.model).metadata
    width, height = map(int, given.image_size.split("x"))
    code = CodeConfig(metadata.alphabet, (metadata.min_length, metadata.max_length), (width, height))
    counts = Counts(given.sets, given.codes, given.fresh, given.shifted)
    print(json.dumps(measure(given.model, code, counts, given.max_error)))


if __name__ == "__main__":
    main()
