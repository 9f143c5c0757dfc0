"""Readings of many images in their order: read here, or in pieces on the nodes of a cluster.

with opened_readings(config, workdir, reader, images) as readings:
    for image, reading in readings: ...
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from digitwise.errors import ReaderError
from digitwise.images import Pixels, Source
from digitwise.metadata import ModelMetadata
from digitwise.reader import BATCH_SIZE, Network, ReadBatch, Reader, Reading
from pipeline.config import RunConfig
from pipeline.machine.startup import own_environment
from pipeline.machine.workers import Engine, run_in_order
from pipeline.stages.engines import opened_reading_engine
from pipeline.stages.images import Image, Images
from pipeline.stages.networks import limits_asked_for, open_network, packages_of
from pipeline.values import LOCAL
from pipeline.workdir import Workdir
from records.errors import DigitwiseError

_BATCHES = 4  # of a piece: enough work to be worth sending, little enough to be done again elsewhere
_AT_ONCE = 2  # batches: a network computes without Python's lock, and so does most of decoding
# Of confidences for the same images: far more than two kinds of processors differ by, far less than two trainings do.
_TOLERANCE = 1e-3


@dataclasses.dataclass(frozen=True)
class Readings:
    """`place` says where, for a progress bar."""

    rows: Iterator[tuple[Image, Reading]]
    place: str = ""


@dataclasses.dataclass(frozen=True)
class ReadingPiece:
    """Images that one process reads. Full batches, so that each holds the same images as without a cluster: the last
    digits of a confidence may depend on what else is in its batch."""

    number: int
    images: tuple[Image, ...]


@dataclasses.dataclass(frozen=True)
class Known:
    """How another process can tell that it has the same network: what it says of itself, and reads in a few images."""

    metadata: ModelMetadata
    confidences: tuple[float, ...]

    @classmethod
    def of(cls, network: Network) -> "Known":
        return cls(network.metadata, tuple(network.run(_samples(network.metadata)).confidences.tolist()))

    def differs(self, other: "Known") -> bool:
        return self.metadata != other.metadata or not np.allclose(
            self.confidences, other.confidences, rtol=0, atol=_TOLERANCE
        )


@contextlib.contextmanager
def opened_readings(config: RunConfig, workdir: Workdir, reader: Reader, images: Images) -> Iterator[Readings]:
    """The readings of `reader`, whose network is the one that the settings name."""
    if config.cluster == LOCAL:
        with contextlib.closing(_read_here(reader, images.rows)) as rows:
            yield Readings(rows)
        return
    packages = packages_of(config.test.checkpoint, workdir)
    with opened_reading_engine(config, _folder_of_network(config, workdir), images.folders, packages) as engine:
        with contextlib.closing(_read_there(config, reader, images.rows, engine)) as rows:
            yield Readings(rows, engine.place)


def _folder_of_network(config: RunConfig, workdir: Workdir) -> pathlib.Path:
    path = pathlib.Path(config.test.checkpoint or workdir.root)
    return path if path.is_dir() else path.parent


def _read_here(reader: Reader, rows: Iterable[Image]) -> Generator[tuple[Image, Reading], None, None]:
    def read(piece: ReadingPiece) -> tuple[ReadingPiece, list[ReadBatch]]:
        return piece, list(reader.read_batches(map(_loaded, piece.images)))

    # While the network reads one batch, the images of the next are decoded; a third waits.
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as executor:
        for piece, batches in run_in_order(executor, read, _pieces(rows, reader.batch_size), 1):
            yield from _watched(reader, piece, batches)


def _read_there(
    config: RunConfig, reader: Reader, rows: Iterable[Image], engine: Engine
) -> Generator[tuple[Image, Reading], None, None]:
    read = functools.partial(read_piece, config, Known.of(reader.network))
    with contextlib.closing(engine.run_pieces(read, _pieces(rows, _BATCHES * reader.batch_size))) as results:
        for piece, batches in _in_order(results):
            yield from _watched(reader, piece, batches)


def _watched(reader: Reader, piece: ReadingPiece, batches: Iterable[ReadBatch]) -> Iterator[tuple[Image, Reading]]:
    """The watch sees all images in their order, whoever read them."""
    readings = itertools.chain.from_iterable(map(reader.watched, batches))
    return zip(piece.images, readings, strict=True)


def _pieces(rows: Iterable[Image], size: int) -> Iterator[ReadingPiece]:
    remaining = iter(rows)
    for number in itertools.count():
        images = tuple(itertools.islice(remaining, size))
        if not images:
            return
        yield ReadingPiece(number, images)


def _in_order(
    results: Iterable[tuple[ReadingPiece, Sequence[ReadBatch]]],
) -> Iterator[tuple[ReadingPiece, Sequence[ReadBatch]]]:
    """What comes early waits: readings are small, and a piece of a lost node is done again within a minute."""
    waiting: dict[int, tuple[ReadingPiece, Sequence[ReadBatch]]] = {}
    number = 0
    for piece, batches in results:
        waiting[piece.number] = piece, batches
        while number in waiting:
            yield waiting.pop(number)
            number += 1


def read_piece(config: RunConfig, known: Known, piece: ReadingPiece) -> list[ReadBatch]:
    """On a node: what its images say, before the watch has seen it."""
    try:
        return list(_reader(config, known).read_batches(map(_loaded, piece.images)))
    except ReaderError as error:
        raise DigitwiseError(str(error)) from None


@functools.lru_cache(maxsize=1)
def _reader(config: RunConfig, known: Known) -> Reader:
    """One for all pieces of a process."""
    workdir = Workdir(config.workdir)
    own_environment(workdir.cache)
    if "tensorflow" not in sys.modules:
        # Several processes of a node read at once, and GPUs round differently from the processors of other nodes.
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    reader = Reader(open_network(config.test.checkpoint, workdir), limits_asked_for(config), batch_size=BATCH_SIZE)
    if known.differs(Known.of(reader.network)):
        raise DigitwiseError("its network is another than the one that the command began with: start it again")
    return reader


def _samples(metadata: ModelMetadata) -> Pixels:
    """Two images that any network reads: one in each direction from black to white."""
    shape = metadata.shape
    rows = np.linspace(0, 255, shape.height)[:, None].repeat(shape.width, axis=1)
    columns = np.linspace(0, 255, shape.width)[None, :].repeat(shape.height, axis=0)
    samples: npt.NDArray[np.uint8] = np.stack([rows, columns]).astype(np.uint8)[..., None]
    return samples.repeat(shape.channels, axis=-1)


def _loaded(image: Image) -> "tuple[str, Source | ReaderError]":
    try:
        return image.name, image.load()
    except DigitwiseError as error:  # a damaged record
        return image.name, ReaderError(str(error))
