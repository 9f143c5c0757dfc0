"""Images drawn while a network trains, without end and without files.

    endless = Endless.beside(manifest, config, channels=1)
    with drawn_batches(endless, batch_size=64, processes=2) as batches_from:
        for images, label_ids in batches_from(step, Part()):
            ...

Image i is a function of the settings, the seed and i alone, and step n takes those from n * batch_size on: the number
of worker processes changes nothing, and a training that goes on needs the step only. Codes of the validation and test
splits are never drawn, whatever is in the records.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from alexnet.labels import PADDING
from pipeline.config import CodeConfig
from pipeline.drawing.renderer import Drawing, Draws
from pipeline.machine.workers import run_in_order, worker_pool
from pipeline.values import format_lengths, format_size
from records.alphabet import Alphabet
from records.errors import DigitwiseError
from records.images.files import in_mode
from records.split import TRAIN, SplitRule

_TRIED_CODES = 10_000


@dataclasses.dataclass(frozen=True)
class Endless:
    """What to draw, and for which records: their alphabet, longest code and split by code."""

    drawing: Drawing
    alphabet: str
    max_length: int
    channels: int
    rule: SplitRule
    is_folded: bool = False  # whether codes that differ only in case are one

    @classmethod
    def beside(cls, manifest, config, channels=1):
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
            raise DigitwiseError(f"{manifest.folder} does not say how codes were split: write the records anew")
        drawing = Drawing.of(code, config.generate.drawing)
        endless = cls(drawing, manifest.alphabet, manifest.max_length, channels, rule, is_folded)
        endless._check_drawable()
        return endless

    @property
    def size(self):
        """(width, height) of every image."""
        return self.drawing.size

    @property
    def settings(self):
        """What decides the images."""
        return self.drawing.settings

    def code(self, text):
        """What is to be read where `text` was drawn."""
        return Alphabet(self.alphabet).fold(text) if self.is_folded else text

    def is_for_training(self, text):
        return self.rule.by_hash(self.code(text)) == TRAIN

    def example(self, index):
        """(pixels uint8 [height, width, channels], label_ids int32 [max_length]) of image `index`."""
        draws = Draws(f"{self.drawing.config.seed} while training", index)
        text, image = self.drawing.draw(draws, self.is_for_training)
        pixels = np.asarray(in_mode(image, self.channels)).reshape(image.height, image.width, self.channels)
        ids = Alphabet(self.alphabet).ids(self.code(text))
        return pixels, np.array(ids + [PADDING] * (self.max_length - len(ids)), np.int32)

    def _check_drawable(self):
        if not any(self.is_for_training(self.drawing.text(index)) for index in range(_TRIED_CODES)):
            raise DigitwiseError(
                f"of {_TRIED_CODES:,} codes drawn none is for training: --code_length or --alphabet leave too few codes"
            )


@dataclasses.dataclass(frozen=True)
class Piece:
    """The images of one step, or those that some of its replicas see."""

    endless: Endless
    first: int
    last: int


def draw_piece(piece):
    """(images, label_ids) of a piece, in a worker process."""
    images, label_ids = zip(*(piece.endless.example(index) for index in range(piece.first, piece.last)))
    return np.stack(images), np.stack(label_ids)


@contextlib.contextmanager
def drawn_batches(endless, batch_size, processes):
    """A function of (step, part) that yields the batches from that step on, as long as the block is not left."""
    failures = []
    with worker_pool(processes) as pool:

        def batches_from(step, part):
            share = batch_size // part.num_replicas
            pieces = (
                Piece(endless, n * batch_size + part.first * share, n * batch_size + part.last * share)
                for n in itertools.count(step)
            )
            try:
                yield from run_in_order(pool, draw_piece, pieces, processes)
            except (concurrent.futures.CancelledError, BrokenProcessPool, DigitwiseError) as error:
                failures.append(error)
                raise

        try:
            yield batches_from
        except Exception:
            if failures:  # the training heard of it in TensorFlow's words
                raise failures[0] from None
            raise


def _check_like(manifest, code: CodeConfig, is_folded):
    """Raises where the images would not be like the records."""
    where = f"the records in {manifest.folder}"
    alphabet = Alphabet(code.characters)
    alphabet = (alphabet.folded() if is_folded else alphabet).characters
    if set(alphabet) != set(manifest.alphabet):
        raise DigitwiseError(
            f"--alphabet={code.characters} would draw {alphabet!r}, but {where} have the alphabet "
            f"{manifest.alphabet!r}: --alphabet={manifest.alphabet}"
        )
    least, most = code.lengths
    if least < manifest.min_length or most > manifest.max_length:
        raise DigitwiseError(
            f"--code_length={format_lengths(code.lengths)} does not fit {where}, whose codes have "
            f"{manifest.min_length} to {manifest.max_length} characters"
        )
    if not manifest.varies and code.size != (manifest.width, manifest.height):
        raise DigitwiseError(f"--image_size={format_size(code.size)}: {where} are {manifest.width}x{manifest.height}")
