"""The sizes and the colours of all images of a source, from their headers, and whether the same image has two codes.

measured = measure(source, folder, total, LocalPool(2))
measured.sizes.vary, measured.kinds["grey"].count
"""

import collections
import dataclasses
import hashlib
import itertools
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from pipeline.conversion.plans import plan_path
from pipeline.machine.progress import progress
from pipeline.machine.workers import Engine
from records.dataset.sizes import Sizes
from records.dataset.writer import read_plan
from records.errors import DigitwiseError, UnusableImages
from records.images.files import describe
from records.source import Source
from records.split import SPLITS

_PIECE = 2_000  # images: about a second of reading headers


@dataclasses.dataclass(frozen=True)
class Kind:
    """How many images are of a kind, and the key of the first of them."""

    count: int
    first: str


@dataclasses.dataclass(frozen=True)
class Conflict:
    """How many images are the same file as another image that has another code, and the keys of two of them."""

    count: int
    first: str
    second: str


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the headers of all images say; `has_colour` where one of them is more than grey."""

    sizes: Sizes
    kinds: dict[str, Kind]
    has_colour: bool
    conflict: Conflict | None = None


@dataclasses.dataclass(frozen=True)
class _Piece:
    source: Source
    rows: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    sizes: collections.Counter[tuple[int, int, int]]
    kinds: dict[str, Kind]
    has_colour: bool
    files: npt.NDArray[np.uint64]  # a hash of each: eight bytes, as there may be millions
    faults: list[tuple[str, str]]  # (name, what to say of it) of each that cannot be read


def measure(source: Source, folder: pathlib.Path, total: int, engine: Engine) -> Measured:
    """Of the `total` rows that the survey left in `folder`."""
    pieces = _pieces(source, folder)
    sizes: collections.Counter[tuple[int, int, int]] = collections.Counter()
    found: dict[tuple[str, ...], _Found] = {}
    faults: list[tuple[str, str]] = []
    with progress(f"measure{engine.place}", total) as advance:
        for piece, result in _measured(pieces, engine if total > _PIECE else None):
            found[piece.rows[0]] = result
            sizes.update(result.sizes)
            faults += result.faults
            advance(len(piece.rows))
    if faults:
        raise UnusableImages(faults)
    # Pieces end in any order; which image is named as an example must not depend on that.
    in_order = [found[piece.rows[0]] for piece in _pieces(source, folder)]
    kinds: dict[str, Kind] = {}
    for result in in_order:
        for name, kind in result.kinds.items():
            earlier = kinds.get(name)
            kinds[name] = Kind(earlier.count + kind.count, earlier.first) if earlier else kind
    rows = (row for piece in _pieces(source, folder) for row in piece.rows)
    conflict = find_conflict(np.concatenate([result.files for result in in_order]), rows)
    return Measured(Sizes(sizes), kinds, any(result.has_colour for result in in_order), conflict)


def find_conflict(files: npt.NDArray[np.uint64], rows: Iterable[tuple[str, str]]) -> Conflict | None:
    """Of a hash of each file, and (key, code) of each in the same order: whether two are equal but for their codes."""
    order = np.argsort(files, kind="stable")
    is_same = files[order][1:] == files[order][:-1]
    repeated = np.zeros(len(files), bool)
    repeated[order[1:][is_same]] = repeated[order[:-1][is_same]] = True
    if not repeated.any():
        return None
    groups: dict[int, list[tuple[str, str]]] = collections.defaultdict(list)
    for number, row in enumerate(rows):
        if repeated[number]:
            groups[int(files[number])].append(row)
    mixed = [group for group in groups.values() if len({text for _, text in group}) > 1]
    if not mixed:
        return None
    (first, text), *others = mixed[0]
    second = next(key for key, other in others if other != text)
    return Conflict(sum(map(len, mixed)), first, second)


def measure_piece(piece: _Piece) -> _Found:
    """In a worker process."""
    sizes: collections.Counter[tuple[int, int, int]] = collections.Counter()
    kinds: dict[str, Kind] = {}
    has_colour = False
    files, faults = [], []
    for key, text in piece.rows:
        name = piece.source.name(key)
        try:
            data = piece.source.load(key)
            header = describe(data, name)
        except DigitwiseError as error:
            faults.append((name, str(error)))
            continue
        files.append(int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big"))
        sizes[header.width, header.height, len(text)] += 1
        earlier = kinds.get(header.kind)
        kinds[header.kind] = Kind(earlier.count + 1, earlier.first) if earlier else Kind(1, key)
        has_colour = has_colour or header.channels == 3
    return _Found(sizes, kinds, has_colour, np.array(files, np.uint64), faults)


def _pieces(source: Source, folder: pathlib.Path) -> Iterator[_Piece]:
    for split in SPLITS:
        path = plan_path(folder, split)
        rows = read_plan(path) if path.exists() else iter(())
        while piece := tuple(itertools.islice(rows, _PIECE)):
            yield _Piece(source, piece)


def _measured(pieces: Iterable[_Piece], engine: Engine | None) -> Iterable[tuple[_Piece, _Found]]:
    if engine is None:  # few images are looked at sooner here than a worker would start
        return ((piece, measure_piece(piece)) for piece in pieces)
    return engine.run_pieces(measure_piece, pieces)
