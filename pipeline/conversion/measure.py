"""The sizes and the colours of all images of a source, from their headers, and whether the same image has two codes.

measured = measure(source, folder, total, LocalPool(2))
measured.sizes.vary, measured.kinds["grey"].count
"""

import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Generator, Iterable

import numpy as np
import numpy.typing as npt

from pipeline.conversion.plans import Piece, pieces_of
from pipeline.machine.progress import progress
from pipeline.machine.workers import Engine
from records.dataset.sizes import Sizes
from records.digest import hash64
from records.errors import DigitwiseError, UnusableImages
from records.images.files import describe
from records.source import Source

_FEW = 2_000  # images: looked at sooner in this process than a worker would start


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
    rows: Piece


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    sizes: collections.Counter[tuple[int, int, int]]
    kinds: dict[str, Kind]
    has_colour: bool
    files: npt.NDArray[np.uint64]  # a hash of each: eight bytes, as there may be millions


def measure(source: Source, folder: pathlib.Path, total: int, engine: Engine) -> Measured:
    """Of the `total` rows that the survey left in `folder`; raises UnusableImages for one that cannot be read."""
    pieces = (_Piece(source, rows) for rows in pieces_of(folder))
    sizes: collections.Counter[tuple[int, int, int]] = collections.Counter()
    found: dict[tuple[str, str], _Found] = {}
    results = _measured(pieces, engine if total > _FEW else None)
    with progress(f"measure{engine.place}", total) as advance, contextlib.closing(results):
        for piece, result in results:
            found[piece.rows[0]] = result
            sizes.update(result.sizes)
            advance(len(piece.rows))
    # Pieces end in any order; which image is named as an example must not depend on that.
    in_order = [found[rows[0]] for rows in pieces_of(folder)]
    kinds: dict[str, Kind] = {}
    for result in in_order:
        for name, kind in result.kinds.items():
            earlier = kinds.get(name)
            kinds[name] = Kind(earlier.count + kind.count, earlier.first) if earlier else kind
    rows = (row for rows in pieces_of(folder) for row in rows)
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
    files = []
    for key, text in piece.rows:
        name = piece.source.name(key)
        try:
            data = piece.source.load(key)
            header = describe(data, name)
        except DigitwiseError as error:
            raise UnusableImages([(name, str(error))]) from None
        files.append(hash64(data))
        sizes[header.width, header.height, len(text)] += 1
        earlier = kinds.get(header.kind)
        kinds[header.kind] = Kind(earlier.count + 1, earlier.first) if earlier else Kind(1, key)
        has_colour = has_colour or header.channels == 3
    return _Found(sizes, kinds, has_colour, np.array(files, np.uint64))


def _measured(pieces: Iterable[_Piece], engine: Engine | None) -> Generator[tuple[_Piece, _Found]]:
    if engine is None:
        return ((piece, measure_piece(piece)) for piece in pieces)
    return engine.run_pieces(measure_piece, pieces)
