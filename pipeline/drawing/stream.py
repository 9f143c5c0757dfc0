"""Synthetic images while a network trains, without end and without files.

    synthetic = SyntheticImages.beside(manifest, config, channels=1)
    with synthetic_batches(synthetic, batch_size=64, processes=2) as batches_from:
        for images, label_ids in batches_from(step, Part()):
            ...

Image i is a function of the settings, the seed and i alone, and step n takes those from n * batch_size on: the number
of worker processes changes nothing, and a training that continues needs only the step. Codes of the validation and test
splits are never shown, whatever is in the records.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

import numpy as np
from PIL import Image

from alexnet.labels import PADDING
from pipeline.config import CodeConfig, RunConfig
from pipeline.drawing.renderer import Drawing, ImageSampler
from pipeline.machine.shares import Part
from pipeline.machine.workers import run_in_order, worker_pool
from pipeline.values import format_lengths, format_size
from records.alphabet import Alphabet
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.images.files import in_mode
from records.split import TRAIN, SplitRule

Batches = Iterator[tuple[np.ndarray, np.ndarray]]

_TRIED_CODES = 10_000  # if none of them is for training, too few codes are possible


@dataclasses.dataclass(frozen=True)
class SyntheticImages:
    """What to render, and for which records: their alphabet, longest code and split by code."""

    drawing: Drawing
    alphabet: str
    max_length: int
    channels: int
    rule: SplitRule
    is_folded: bool = False  # whether codes that differ only in case are one

    @classmethod
    def beside(cls, manifest: Manifest, config: RunConfig, channels: int = 1) -> Self:
        """Images like those of the records, which hold the codes that are kept from training."""
        code = CodeConfig(
            alphabet=config.code.alphabet or manifest.alphabet,
            code_length=config.code.code_length or (manifest.min_length, manifest.max_length),
            image_size=config.code.image_size or manifest.image_sizes.usual,
        )
        is_folded = config.records.fold_case
        _check_like(manifest, code, is_folded)
        rule = manifest.split_rule
        if rule is None:
            raise DigitwiseError(f"{manifest.folder} does not say how codes were split: write the records again")
        drawing = Drawing.of(code, config.generate.drawing)
        synthetic = cls(drawing, manifest.alphabet, manifest.max_length, channels, rule, is_folded)
        synthetic._check_renderable()
        return synthetic

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of every image."""
        return self.drawing.size

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the images."""
        return self.drawing.settings

    def code(self, text: str) -> str:
        """What is to be read where `text` was rendered."""
        return Alphabet(self.alphabet).fold(text) if self.is_folded else text

    def is_for_training(self, text: str) -> bool:
        return self.rule.by_hash(self.code(text)) == TRAIN

    def example(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """(pixels uint8 [height, width, channels], label_ids int32 [max_length]) of image `index`."""
        # Other random numbers than those of the stored images: otherwise image i of the training would be image i of
        # the test.
        sampler = ImageSampler(f"{self.drawing.config.seed} while training", index)
        text, rendered = self.drawing.render(sampler, self.is_for_training)
        image = in_mode(Image.fromarray(rendered), self.channels)
        pixels = np.asarray(image).reshape(image.height, image.width, self.channels)
        ids = Alphabet(self.alphabet).ids(self.code(text))
        return pixels, np.array(ids + [PADDING] * (self.max_length - len(ids)), np.int32)

    def _check_renderable(self) -> None:
        if not any(self.is_for_training(self.drawing.text(index)) for index in range(_TRIED_CODES)):
            raise DigitwiseError(
                f"none of {_TRIED_CODES:,} random codes is for training: --code_length or --alphabet allow too few"
            )


@dataclasses.dataclass(frozen=True)
class Piece:
    """The images of one step, or those that some of its replicas see."""

    synthetic: SyntheticImages
    first: int
    last: int


def render_piece(piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """(images, label_ids) of a piece, in a worker process."""
    images, label_ids = zip(*(piece.synthetic.example(index) for index in range(piece.first, piece.last)))
    return np.stack(images), np.stack(label_ids)


@contextlib.contextmanager
def synthetic_batches(
    synthetic: SyntheticImages, batch_size: int, processes: int
) -> Iterator[Callable[[int, Part], Batches]]:
    """A function of (step, part) that yields the batches from that step on, as long as the block is not left."""
    failures: list[Exception] = []
    with worker_pool(processes) as pool:

        def batches_from(step: int, part: Part) -> Batches:
            share = batch_size // part.num_replicas  # check_batch_size has seen to it that nothing is left over
            pieces = (
                Piece(synthetic, n * batch_size + part.first * share, n * batch_size + part.last * share)
                for n in itertools.count(step)
            )
            try:
                yield from run_in_order(pool, render_piece, pieces, processes)
            except (concurrent.futures.CancelledError, BrokenProcessPool, DigitwiseError) as error:
                # Kept, because TensorFlow raises an error of its own for whatever a generator of its datasets raises.
                failures.append(error)
                raise

        try:
            yield batches_from
        except Exception:
            if failures:  # the training heard of it in TensorFlow's words
                raise failures[0] from None
            raise


def _check_like(manifest: Manifest, code: CodeConfig, is_folded: bool) -> None:
    """Raises where the images would not be like the records."""
    where = f"the records in {manifest.folder}"
    whole = Alphabet(code.characters)
    alphabet = (whole.folded() if is_folded else whole).characters
    if set(alphabet) != set(manifest.alphabet):
        raise DigitwiseError(
            f"--alphabet={code.characters} would show {alphabet!r}, but {where} have the alphabet "
            f"{manifest.alphabet!r}: --alphabet={manifest.alphabet}"
        )
    minimum, maximum = code.lengths
    if minimum < manifest.min_length or maximum > manifest.max_length:
        raise DigitwiseError(
            f"--code_length={format_lengths(code.lengths)} does not fit {where}, whose codes have "
            f"{manifest.min_length} to {manifest.max_length} characters"
        )
    if not manifest.varies and code.size != (manifest.width, manifest.height):
        raise DigitwiseError(f"--image_size={format_size(code.size)}: {where} are {manifest.width}x{manifest.height}")
