"""The images that a report shows, each with what was read in it.

chosen = choose(readings, shown_predictions=8)
keys, shown = join_records(manifest, "test", readings, chosen)
shown.mistakes[0].picture      # a PNG or JPEG file
"""

import dataclasses
import itertools

import numpy as np
from PIL import Image

from alexnet.labels import PADDING
from pipeline.model import metrics
from pipeline.report.readings import Readings
from records.alphabet import Alphabet
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.images.files import RAW, encode
from records.tfrecord.framing import read_records

MISTAKES_SHOWN = 60  # more make the page too heavy for a phone, as each picture is inside it
UNSURE_SHOWN = RIGHT_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Character:
    """What stands in the image, what was read there, and how probable that was; None where there is none."""

    label: str | None
    read: str | None
    probability: float | None


@dataclasses.dataclass(frozen=True)
class Example:
    """One image to show with what was read in it; `picture` is a PNG or JPEG file."""

    key: str
    code: str
    read: str
    confidence: float
    characters: tuple[Character, ...]
    picture: bytes

    @property
    def right(self) -> bool:
        return self.code == self.read


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Rows of a split, by where they are shown: in the table of the terminal, and on the page."""

    table: tuple[int, ...]
    mistakes: tuple[int, ...] = ()
    unsure: tuple[int, ...] = ()
    right: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Examples:
    """The images of the rows of a Chosen."""

    table: tuple[Example, ...] = ()
    mistakes: tuple[Example, ...] = ()
    unsure: tuple[Example, ...] = ()
    right: tuple[Example, ...] = ()


def choose(readings: Readings, shown_predictions: int) -> Chosen:
    """The table gets the first mistakes and the first right readings, half of each where there are enough."""
    right_rows, wrong_rows = np.flatnonzero(readings.right), np.flatnonzero(~readings.right)
    wrong_in_table = min(len(wrong_rows), max(shown_predictions // 2, shown_predictions - len(right_rows)))
    # The surest mistakes first: they are the ones that no threshold of confidence keeps out.
    surest_wrong = wrong_rows[np.argsort(-readings.confidence[wrong_rows], kind="stable")]
    least_sure = right_rows[np.argsort(readings.confidence[right_rows], kind="stable")]
    return Chosen(
        table=_rows(wrong_rows[:wrong_in_table]) + _rows(right_rows[: shown_predictions - wrong_in_table]),
        mistakes=_rows(surest_wrong[:MISTAKES_SHOWN]),
        unsure=_rows(least_sure[:UNSURE_SHOWN]),
        right=_rows(right_rows[:RIGHT_SHOWN]),
    )


def join_records(
    manifest: Manifest, split: str, readings: Readings, chosen: Chosen, rows: np.ndarray | None = None
) -> tuple[list[str], Examples]:
    """(the key of every record, the images to show): one pass over the records, of which only these are kept.

    Where not the whole split was tested, `rows` says which records the readings are of, in rising order.
    """
    alphabet = Alphabet(manifest.alphabet)
    wanted = {row for rows in dataclasses.astuple(chosen) for row in rows}
    keys, found = [], {}
    records = itertools.chain.from_iterable(map(read_records, manifest.paths(split)))
    tested = range(manifest.count(split)) if rows is None else set(rows.tolist())
    for row, (_, data) in enumerate(data for number, data in enumerate(records) if number in tested):
        key, image, text = schema.decode(data)
        # Keys are joined to readings by their order alone, so a mistake in it must not go unnoticed.
        if alphabet.text(readings.label_ids[row]) != text:
            raise AssertionError(f"record {row} of {split} is {text!r}, it was tested as another: the orders differ")
        keys.append(key)
        if row in wanted:
            found[row] = Example(
                key=key,
                code=text,
                read=alphabet.text(readings.decoded_ids[row]),
                confidence=float(readings.confidence[row]),
                characters=_characters(readings, row, manifest.alphabet),
                picture=_picture(image, manifest),
            )
    return keys, Examples(*(tuple(found[row] for row in rows) for rows in dataclasses.astuple(chosen)))


def _characters(readings: Readings, row: int, alphabet: str) -> tuple[Character, ...]:
    label, decoded = (
        [i for i in ids[row].tolist() if i != PADDING] for ids in (readings.label_ids, readings.decoded_ids)
    )
    return tuple(
        Character(
            None if a is None else alphabet[a],
            None if b is None else alphabet[b],
            None if place is None else float(readings.probabilities[row, place]),
        )
        for a, b, place in metrics.align(label, decoded)
    )


def _rows(rows: np.ndarray) -> tuple[int, ...]:
    return tuple(int(row) for row in rows)


def _picture(image: bytes, manifest: Manifest) -> bytes:
    """The bytes of a PNG or JPEG file that a page can show."""
    if manifest.encoding != RAW:
        return image
    pixels = np.frombuffer(image, np.uint8).reshape(manifest.height, manifest.width, manifest.channels)
    return encode(Image.fromarray(pixels[..., 0] if manifest.channels == 1 else pixels))
