"""Reads codes from images with a model file. TensorFlow is not needed.

reader = Reader("model.onnx")
for reading in reader.read(["a.png", "b.jpg"]):
    print(reading.name, reading.code, reading.confidence, reading.accepted)
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from digitwise.errors import ModelError, ReaderError
from digitwise.images import Pixels, Source, model_pixels
from digitwise.metadata import ModelMetadata
from digitwise.watch import Alarm, Watch

if TYPE_CHECKING:
    from digitwise.limits import CompiledLimits, Limits

BATCH_SIZE = 64
_MAJORITY = 0.5  # two codes cannot both have more


@dataclasses.dataclass(frozen=True)
class Character:
    character: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Reading:
    """What was read in one image. With limits, `confidence` is the probability among the codes within them."""

    name: str  # the path, or the number of the image in the call
    code: str | None = None  # None where there is an error
    confidence: float = 0.0
    probability: float = 0.0  # among all codes; without limits the same as the confidence
    characters: tuple[Character, ...] = ()
    accepted: bool | None = None  # None where the model has no threshold
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What a model gives for a batch of images."""

    label_ids: npt.NDArray[np.int32]  # [batch, places], padded with -1
    probabilities: npt.NDArray[np.float32]  # [batch, places]
    confidences: npt.NDArray[np.float32]  # [batch]
    log_probabilities: npt.NDArray[np.float32]  # [batch, positions or columns, classes]


@dataclasses.dataclass(frozen=True)
class ReadBatch:
    """A batch that the watch has not seen yet: `confidences` are what it looks at, those among all codes."""

    readings: tuple[Reading, ...]
    confidences: tuple[float, ...]


class Network(Protocol):
    """A model that reads batches; calls may come from several threads at once."""

    @property
    def metadata(self) -> ModelMetadata: ...

    def run(self, images: Pixels) -> Outputs:
        """Of images uint8 [batch, height, width, channels]."""
        ...


class Reader:
    """Thread safe. `model` is an ONNX file, the folder of an export, or anything else that reads batches.

    Accepted is what reaches the file's certified threshold of probability among all codes. Within limits that promise
    holds where the code has more than half of it, and so is what would be read without limits. A `threshold` given
    here replaces the file's, and is held against the confidence: it should be certified with the same limits.
    While there is an `alarm` nothing is accepted, from the batch on in which the watch told.
    """

    def __init__(
        self,
        model: "str | os.PathLike[str] | Network",
        limits: "Limits | None" = None,
        threshold: float | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        if batch_size < 1:
            raise ReaderError(f"a batch has at least 1 image, not {batch_size}")
        self.network = _opened(model)
        self.metadata = self.network.metadata
        self.batch_size = batch_size
        self._decoder = _Decoder(self.metadata, _compiled(limits, self.metadata), threshold)
        self._is_checked = False  # the network's outputs against its metadata
        self._watch = Watch(self.metadata.reference) if self.metadata.reference else None

    @property
    def alarm(self) -> Alarm | None:
        """Why the promise is suspended, where the images are unlike those it was certified on."""
        return self._watch.alarm if self._watch else None

    def reset_watch(self) -> None:
        if self._watch:
            self._watch.reset()

    def read(self, sources: Iterable[Source] | Source) -> list[Reading]:
        """A reading for each image: paths, bytes of files, uint8 arrays or Pillow images; or a single one of them."""
        return list(self.read_each([sources] if _is_single(sources) else sources))  # type: ignore[list-item,arg-type]

    def read_each(self, sources: Iterable[Source]) -> Iterator[Reading]:
        """As `read`, batch by batch, for more images than fit into memory."""
        return self.read_named((_name(source, number), source) for number, source in enumerate(sources))

    def read_named(self, sources: Iterable[tuple[str, "Source | ReaderError"]]) -> Iterator[Reading]:
        """The same with a name for each image; instead of an image that could not be had there is the reason."""
        for batch in self.read_batches(sources):
            yield from self.watched(batch)

    def read_batches(self, sources: Iterable[tuple[str, "Source | ReaderError"]]) -> Iterator[ReadBatch]:
        """The same before the watch: for batches that several processes read, of which one sees all with `watched`."""
        batch: list[Reading | Pixels] = []
        names: list[str] = []
        for name, source in sources:
            names.append(name)
            try:
                if isinstance(source, ReaderError):
                    raise source
                batch.append(self.prepare(source))
            except ReaderError as error:
                # Kept at its place in the batch, so that readings come in the order of the images.
                batch.append(Reading(name, error=str(error), accepted=False))
            if len(batch) == self.batch_size:
                yield self._finish(batch, names)
                batch, names = [], []
        if batch:
            yield self._finish(batch, names)

    def watched(self, batch: ReadBatch) -> list[Reading]:
        """The readings, of which none is accepted if the watch tells now or has told. Batches must come in order."""
        alarm = self._watch.add(batch.confidences) if self._watch else None
        if alarm is None or not self._decoder.follows_promise:
            return list(batch.readings)
        return [dataclasses.replace(each, accepted=False) if each.accepted else each for each in batch.readings]

    def prepare(self, source: Source) -> Pixels:
        """The pixels that the model sees of an image: uint8 [height, width, channels]."""
        return model_pixels(source, self.metadata.shape)

    def read_prepared(self, images: Sequence[Pixels], names: Sequence[str]) -> list[Reading]:
        """One batch of what `prepare` gave."""
        return self.watched(self._read(images, names))

    def _read(self, images: Sequence[Pixels], names: Sequence[str]) -> ReadBatch:
        if not images:
            return ReadBatch((), ())
        outputs = self.network.run(np.stack(images))
        if not self._is_checked:
            # A file need not state all its shapes; one batch tells them, and all others are like it.
            _check_batch(self.metadata, outputs)
            self._is_checked = True
        readings = tuple(self._decoder.reading(outputs, number, name) for number, name in enumerate(names))
        return ReadBatch(readings, tuple(outputs.confidences.tolist()))

    def _finish(self, batch: list[Reading | Pixels], names: list[str]) -> ReadBatch:
        images = [(pixels, name) for pixels, name in zip(batch, names, strict=True) if not isinstance(pixels, Reading)]
        found = self._read([pixels for pixels, _ in images], [name for _, name in images])
        read = iter(found.readings)
        readings = tuple(entry if isinstance(entry, Reading) else next(read) for entry in batch)
        return ReadBatch(readings, found.confidences)


class _Decoder:
    """What the outputs of a network say, within the limits."""

    def __init__(self, metadata: ModelMetadata, limits: "CompiledLimits | None", threshold: float | None) -> None:
        self.metadata, self._limits, self._threshold = metadata, limits, threshold

    @property
    def follows_promise(self) -> bool:
        """Whether the promise of the file decides what is accepted, which the watch can suspend."""
        return self._threshold is None and self.metadata.promise is not None

    def reading(self, outputs: Outputs, number: int, name: str) -> Reading:
        if self._limits is not None:
            return self._limited_reading(outputs.log_probabilities[number], name, self._limits)
        label_ids = outputs.label_ids[number]
        places = label_ids >= 0
        confidence = float(outputs.confidences[number])
        characters = _characters(self.metadata.alphabet, label_ids[places], outputs.probabilities[number][places])
        return self._decided(name, characters, confidence, confidence)

    def _limited_reading(
        self, log_probabilities: npt.NDArray[np.float32], name: str, limits: "CompiledLimits"
    ) -> Reading:
        from digitwise.limits.ctc import best_columns

        is_ctc = self.metadata.readout == "ctc"
        try:
            fit = limits.read_columns(log_probabilities) if is_ctc else limits.read_positions(log_probabilities)
        except ReaderError as error:
            return Reading(name, error=str(error), accepted=False)
        if fit is None:
            return Reading(name, error="no code within the limits is possible", accepted=False)
        label_ids = np.array(fit.label_ids, np.int32)
        if is_ctc:
            probabilities = best_columns(log_probabilities, fit.label_ids)
        else:
            probabilities = np.exp(log_probabilities[np.arange(len(label_ids)), label_ids])
        characters = _characters(self.metadata.alphabet, label_ids, probabilities)
        return self._decided(name, characters, fit.among_fitting, fit.probability, fit.is_exact)

    def _decided(
        self, name: str, characters: tuple[Character, ...], confidence: float, probability: float, is_exact: bool = True
    ) -> Reading:
        code = "".join(character.character for character in characters)
        accepted = None
        if self._threshold is not None:
            accepted = confidence >= self._threshold
        elif self.metadata.promise is not None:
            accepted = probability >= self.metadata.promise.threshold
            if self._limits is not None:
                # Then it is also what would be read without limits, of which the promise speaks.
                accepted = accepted and probability > _MAJORITY
        if accepted is not None:
            # A model that never saw codes of another length is often sure of them, and wrong.
            fits = self.metadata.min_length <= len(code) <= self.metadata.max_length
            accepted = accepted and fits and is_exact
        return Reading(name, code, confidence, probability, characters, accepted)


def _characters(alphabet: str, label_ids: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[Character, ...]:
    pairs = zip(np.asarray(label_ids).tolist(), np.asarray(probabilities).tolist(), strict=True)
    return tuple(Character(alphabet[label_id], probability) for label_id, probability in pairs)


def _check_batch(metadata: ModelMetadata, outputs: Outputs) -> None:
    from digitwise.model_file import check_outputs

    check_outputs(metadata, outputs.log_probabilities.shape, outputs.label_ids.shape)
    if outputs.label_ids.max() >= len(metadata.alphabet):
        raise ModelError(
            f"the model gives the class {outputs.label_ids.max()}, but its alphabet has {len(metadata.alphabet)} "
            "characters: export it again"
        )


def _opened(model: "str | os.PathLike[str] | Network") -> Network:
    if not isinstance(model, (str, os.PathLike)):
        return model
    from digitwise.onnx_network import OnnxNetwork

    return OnnxNetwork(model)


def _compiled(limits: "Limits | None", metadata: ModelMetadata) -> "CompiledLimits | None":
    if limits is None or limits.is_empty:
        return None
    return limits.compile(metadata.alphabet, metadata.min_length, metadata.max_length)


def _is_single(sources: object) -> bool:
    if isinstance(sources, np.ndarray):
        return sources.ndim < 4  # an array with one axis more is a batch
    return isinstance(sources, (str, os.PathLike, bytes, Image.Image))


def _name(source: Source, number: int) -> str:
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else str(number)
