"""The images of a folder that is being labelled, what a model reads in them, and the order in which they come.

images = FolderImages("photos")
order = Ordering(images, network, limits)
order.start()                    # reads them all in the background, and puts the least certain first
order.numbers, order.readings[17]
"""

import pathlib
import threading
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from digitwise import Limits, Reader, ReaderError, Reading
from digitwise.images import InputShape, Pixels, model_pixels
from digitwise.metadata import ModelMetadata
from digitwise.reader import Network, Outputs
from pipeline.labelling.order import labelling_order
from records.errors import DigitwiseError
from records.images.files import ENDINGS

FloatArray: TypeAlias = npt.NDArray[np.float32]

MAX_BYTES = 1 << 25  # of a file, as browsers have to show it
_FIRST = 256  # images after which the order is found for the first time; then after each doubling
_BATCH = 64
_FEATURES = 64
# Enough to tell images apart where no model says how alike they are.
_THUMBNAIL = InputShape(height=16, width=48, channels=1, stored_channels=1)
_TYPES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".bmp": "bmp", ".gif": "gif", ".webp": "webp"}


class FolderImages:
    """Files are known by their number, which is all that a client names them by."""

    def __init__(self, folder: pathlib.Path) -> None:
        if not folder.is_dir():
            raise DigitwiseError(f"--images={folder} is not a folder: serve labels the images of a folder")
        self.folder = folder
        self.names = tuple(sorted(_names(folder)))
        if not self.names:
            raise DigitwiseError(f"--images={folder}: there is no {', '.join(ENDINGS)} file in it")

    def load(self, number: int) -> bytes:
        try:
            with open(self.folder / self.names[number], "rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ReaderError(f"the file cannot be read ({error.strerror})") from None
        if len(data) > MAX_BYTES:
            raise ReaderError(f"the file has more than {MAX_BYTES:,} bytes")
        return data

    def media_type(self, number: int) -> str:
        return f"image/{_TYPES[pathlib.PurePosixPath(self.names[number]).suffix.lower()]}"


def _names(folder: pathlib.Path) -> list[str]:
    """Below the folder, but for what is hidden, and for names that no table can hold."""
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        name = relative.as_posix()
        is_hidden = any(part.startswith(".") for part in relative.parts)
        if path.suffix.lower() in ENDINGS and not is_hidden and name.isprintable() and path.is_file():
            found.append(name)
    return found


class _Watched:
    """The network of a reader, with the last outputs kept: they say how alike two images are."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.last: Outputs | None = None

    @property
    def metadata(self) -> ModelMetadata:
        return self._network.metadata

    def run(self, images: Pixels) -> Outputs:
        self.last = self._network.run(images)
        return self.last


class Ordering:
    """One thread works, others look. Without a network there are no readings, and the most different come first."""

    def __init__(self, images: FolderImages, network: Network | None = None, limits: Limits | None = None) -> None:
        self.images = images
        self.numbers: tuple[int, ...] = tuple(range(len(images.names)))
        self.readings: dict[int, Reading] = {}
        self.problems: dict[int, str] = {}  # of images that cannot be read
        self._network = _Watched(network) if network else None
        # A reader of its own: these images must not count in the watch over those of clients.
        self._reader = Reader(self._network, limits) if self._network else None
        self._confidences = np.zeros(len(images.names), np.float32)
        self._features: dict[int, FloatArray] = {}
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="ordering", daemon=True)
        self._stopped = threading.Event()
        self.done = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def wait(self) -> None:
        """Until every image has been looked at."""
        self._thread.join()

    def look(self, number: int) -> str:
        """Looks at an image before its turn, if need be; what is wrong with it, or nothing."""
        if number not in self._features and number not in self.problems:
            self._look_at([number])
        return self.problems.get(number, "")

    def _work(self) -> None:
        next_order = _FIRST
        for batch in _batches(len(self.images.names)):
            if self._stopped.is_set():
                return
            self._look_at(batch)
            self.done += len(batch)
            if self.done >= next_order:
                self._order()
                # After each doubling, as finding an order takes longer the more images there are.
                next_order = 2 * self.done
        self._order()

    def _look_at(self, batch: list[int]) -> None:
        with self._turn:
            self._look_at_these([number for number in batch if number not in self._features])

    def _look_at_these(self, batch: list[int]) -> None:
        numbers, pixels = [], []
        for number in batch:
            try:
                data = self.images.load(number)
                pixels.append(self._reader.prepare(data) if self._reader else model_pixels(data, _THUMBNAIL))
                numbers.append(number)
            except ReaderError as error:
                self.problems[number] = str(error)
        if not numbers:
            return
        features: FloatArray = np.stack(pixels).reshape(len(pixels), -1).astype(np.float32)
        if self._reader and self._network:
            readings = self._reader.read_prepared(pixels, [self.images.names[number] for number in numbers])
            assert self._network.last is not None
            # Probabilities: differences of classes that are all but impossible should not count.
            logs = self._network.last.log_probabilities.reshape(len(pixels), -1)
            features = np.exp(logs, dtype=np.float32)
            for number, reading in zip(numbers, readings, strict=True):
                self._confidences[number] = reading.confidence
                self.readings[number] = reading
        for number, feature in zip(numbers, _projected(features), strict=True):
            self._features[number] = feature

    def _order(self) -> None:
        """Those that have been looked at, the least certain and most different first; then the rest."""
        seen = sorted(self._features)
        features = (
            np.stack([self._features[number] for number in seen]) if seen else np.zeros((0, _FEATURES), np.float32)
        )
        order = [seen[place] for place in labelling_order(self._confidences[seen], features)]
        rest = [number for number in self.numbers if number not in self._features]
        self.numbers = (*order, *rest)


def _batches(count: int) -> list[list[int]]:
    return [list(range(start, min(start + _BATCH, count))) for start in range(0, count, _BATCH)]


def _projected(features: FloatArray) -> FloatArray:
    """To few numbers that keep distances roughly (Johnson and Lindenstrauss): there may be very many images."""
    if features.shape[1] <= _FEATURES:
        return features
    # The same matrix for every batch, or distances between images of two batches would mean nothing.
    matrix = np.random.default_rng(0).normal(0, _FEATURES**-0.5, (features.shape[1], _FEATURES))
    projected: FloatArray = (features @ matrix).astype(np.float32)
    return projected
