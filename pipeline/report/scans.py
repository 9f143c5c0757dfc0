"""Whether splits have codes or pictures in common: a hash of each is compared, so records of any number can be.

scans = scan_splits(manifest, "test", exposure, processes=2)
scans["tested"].codes, scans["train"].pixels

with scanning_ahead() as ahead:
    ahead.begin(manifest)                       # in the background, while a training begins
    ...
    scan_splits(manifest, "test", exposure, processes=2, ahead=ahead)
"""

import concurrent.futures
import contextlib
import dataclasses
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.machine.progress import progress
from pipeline.machine.workers import run_pieces, submit, worker_pool
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.digest import hash64
from records.errors import DamagedRecords, DigitwiseError
from records.images import png
from records.images.files import RAW, ImageShape, fits_shape
from records.split import TEST, TRAIN, VALIDATION, SplitRule
from records.tfrecord.framing import read_records

TESTED = "tested"
_MODES = {1: "L", 3: "RGB"}
_SMALL = 10_000  # images that are hashed sooner here than worker processes would start
_FileState = tuple[int, int] | None


class CodeRule(Protocol):
    """Says of each code which split it was in."""

    def by_hash(self, code: str) -> str: ...


@dataclasses.dataclass(frozen=True)
class Exposure:
    """What the checkpoint was trained on. `manifest` is None where those records are not known.

    Their split `train` was learned from, their split `validation` chose the checkpoint. `generated` tells whether
    images were also generated during training, with codes that `manifest` has for training. `earlier` are the trainings
    whose weights this one began with: for each the rule that split its codes, or None where that is not known.
    """

    manifest: Manifest | None
    is_tested: bool  # whether these are the records that are tested
    generated: bool = False
    earlier: tuple[CodeRule | None, ...] = ()

    @property
    def generation_rule(self) -> SplitRule | None:
        """Which codes were kept out of the generated images; None where none were generated, or that is not known."""
        return self.manifest.split_rule if self.generated and self.manifest else None

    @property
    def is_known(self) -> bool:
        """Whether all codes are known that any training may have learned."""
        generated = not self.generated or self.generation_rule is not None
        return self.manifest is not None and generated and None not in self.earlier

    def splits_used(self, tested: str) -> list[str]:
        """The splits that had a part in the training, but for the one that is tested."""
        if self.manifest is None:
            return []
        filled = [name for name in (TRAIN, VALIDATION) if self.manifest.count(name)]
        return [name for name in filled if not (self.is_tested and name == tested)]


@dataclasses.dataclass(frozen=True)
class ShardScan:
    """A shard of which to hash all codes and pixels, and to count codes that may have been learned: by the rule of the
    images `generated` during training, and by those of `earlier` trainings."""

    name: str
    path: str
    image_shape: ImageShape
    encoding: str
    generated: SplitRule | None = None
    earlier: tuple[CodeRule, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class SplitScan:
    """A hash of the code and one of the decoded pixels for each image of a split, in the order of the records, whether
    its code may have been generated during training, and whether an earlier training may have learned it: 18 bytes an
    image."""

    codes: np.ndarray
    pixels: np.ndarray
    may_be_generated: npt.NDArray[np.bool_]
    may_be_learned: npt.NDArray[np.bool_]

    @property
    def generated(self) -> int:
        """How many images have a code that may have been generated during training."""
        return int(self.may_be_generated.sum())

    @property
    def earlier(self) -> int:
        """How many have one that an earlier training may have learned."""
        return int(self.may_be_learned.sum())

    @property
    def different_codes(self) -> int:
        return len(np.unique(self.codes))

    @property
    def different_pictures(self) -> int:
        return len(np.unique(self.pixels))


class Ahead:
    """Scans that a worker process makes in the background. One that fails is made again when it is needed, and then
    says why."""

    def __init__(self, executor: concurrent.futures.Executor) -> None:
        self._executor = executor
        self._begun: dict[Any, tuple[_FileState, concurrent.futures.Future[SplitScan]]] = {}

    def begin(self, manifest: Manifest) -> None:
        """With the splits that are learned from; few images are scanned sooner than a process starts."""
        if sum(map(manifest.count, (TRAIN, VALIDATION))) > _SMALL:
            for name in (TRAIN, VALIDATION):
                for path in manifest.paths(name):
                    piece = _shard_scan(name, path, manifest)
                    self._begun[_key(piece)] = _file_state(piece.path), submit(self._executor, scan_shard, piece)

    def take(self, piece: ShardScan) -> SplitScan | None:
        """What was found in the file, if it still is as it was."""
        state, future = self._begun.pop(_key(piece), (None, None))
        if future is None or state != _file_state(piece.path):
            return None
        try:
            return future.result()
        except (concurrent.futures.BrokenExecutor, DigitwiseError):
            return None


@contextlib.contextmanager
def scanning_ahead() -> Iterator[Ahead]:
    with worker_pool(1) as executor:
        yield Ahead(executor)


def scan_splits(
    manifest: Manifest, split: str, exposure: Exposure, processes: int, ahead: Ahead | None = None
) -> dict[str, SplitScan]:
    """{name: SplitScan} of the tested split (TESTED), and of those that had a part in the training."""
    rules = exposure.generation_rule, tuple(filter(None, exposure.earlier))
    pieces = [_shard_scan(TESTED, path, manifest, *rules) for path in manifest.paths(split)]
    total = manifest.count(split)
    names = [TESTED]
    if exposure.manifest is not None:
        for name in exposure.splits_used(split):
            names.append(name)
            pieces += [_shard_scan(name, path, exposure.manifest) for path in exposure.manifest.paths(name)]
            total += exposure.manifest.count(name)
    found: dict[tuple[str, str], SplitScan] = {}
    for piece in pieces:
        if ahead and (known := ahead.take(piece)):
            found[piece.name, piece.path] = known
    left = [piece for piece in pieces if (piece.name, piece.path) not in found]
    done = sum(len(scan.codes) for scan in found.values())
    with progress("find shared codes", total, done) as advance:
        for piece, scan in _scanned(left, processes if total - done > _SMALL else 1):
            found[piece.name, piece.path] = scan
            advance(len(scan.codes))
    # In the order of the records, whichever shard was done first.
    return {name: _joined([found[name, piece.path] for piece in pieces if piece.name == name]) for name in names}


def scan_shard(piece: ShardScan) -> SplitScan:
    """The SplitScan of one shard, in a worker process."""
    codes: list[int] = []
    pixels: list[int] = []
    generated: list[bool] = []
    earlier: list[bool] = []
    if not os.path.exists(piece.path):
        raise DamagedRecords(f"{piece.path} is missing: the tested images are compared with those that are in it")
    for offset, data in read_records(piece.path):
        try:
            _, image, text = schema.decode(data)
            pixels.append(hash64(_pixels(image, piece)))
        except Exception as error:  # noqa: BLE001  damaged data make Pillow's readers raise many kinds
            raise DamagedRecords(f"{piece.path}: record {len(codes)} at byte {offset}: {error}") from None
        codes.append(hash64(text.encode("utf-8")))
        generated.append(piece.generated is not None and piece.generated.by_hash(text) == TRAIN)
        # Its validation split chose a checkpoint, so that counts as learned too.
        earlier.append(any(rule.by_hash(text) != TEST for rule in piece.earlier))
    return SplitScan(
        np.array(codes, np.uint64), np.array(pixels, np.uint64), np.array(generated, bool), np.array(earlier, bool)
    )


def are_unseen(scans: Mapping[str, SplitScan], exposure: Exposure, split: str) -> npt.NDArray[np.bool_] | None:
    """Of each image of the tested split, whether its code was in no training; None where that is not known."""
    if not exposure.is_known:
        return None
    tested = scans[TESTED]
    if exposure.is_tested and split != TEST:  # these very images had a part in it
        return np.zeros(len(tested.codes), bool)
    seen = _joined([scan for name, scan in scans.items() if name != TESTED]).codes
    return ~(np.isin(tested.codes, seen) | tested.may_be_generated | tested.may_be_learned)


def _scanned(pieces: list[ShardScan], processes: int) -> Iterable[tuple[ShardScan, SplitScan]]:
    if processes == 1:
        return ((piece, scan_shard(piece)) for piece in pieces)
    return run_pieces(scan_shard, pieces, processes)


def _shard_scan(name: str, path: Any, manifest: Manifest, *rules: Any) -> ShardScan:
    return ShardScan(name, str(path), manifest.image_shape, manifest.encoding, *rules)


def _joined(scans: list[SplitScan]) -> SplitScan:
    hashes, flags = np.zeros(0, np.uint64), np.zeros(0, bool)
    return SplitScan(
        np.concatenate([hashes, *(scan.codes for scan in scans)]),
        np.concatenate([hashes, *(scan.pixels for scan in scans)]),
        np.concatenate([flags, *(scan.may_be_generated for scan in scans)]),
        np.concatenate([flags, *(scan.may_be_learned for scan in scans)]),
    )


def _key(piece: ShardScan) -> tuple[Any, ...]:
    return piece.name, piece.path, piece.image_shape, piece.encoding


def _file_state(path: str) -> _FileState:
    """Differs once the file was changed; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _pixels(image: bytes, piece: ShardScan) -> bytes:
    """Decoded, as one picture may lie in files of different bytes."""
    if piece.encoding == RAW:
        return image
    plain = png.plain_shape(image)
    if plain and fits_shape(plain, piece.image_shape) and (pixels := png.unfiltered_pixels(image)) is not None:
        return pixels
    with Image.open(io.BytesIO(image), formats=("PNG", "JPEG")) as opened:
        return opened.convert(_MODES[piece.image_shape[2]]).tobytes()
