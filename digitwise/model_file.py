"""What every kind of model file has in common: it can be run, or one line says why not, and it gives what its metadata
say.

with runnable(path, "an ONNX model"):
    session = ...
check_ends(metadata, Ends(inputs, outputs), path)
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from digitwise.errors import ModelError
from digitwise.metadata import ModelMetadata

INPUT = "images"
LOOKED = "looked"  # an output of networks with an attention
OUTPUTS = ("label_ids", "probabilities", "confidence", "log_probabilities")
Shape: TypeAlias = Sequence[object]  # what is no number above 0 is not known before the model runs
_MOST_SHOWN = 200  # characters of what a runtime says


@dataclasses.dataclass(frozen=True)
class Ends:
    """What a model takes and gives, as its file states it."""

    inputs: Mapping[str, tuple[str, Shape]]  # {name: (type, shape)}
    outputs: Mapping[str, Shape]


@contextlib.contextmanager
def runnable(path: str, kind: str) -> Iterator[None]:
    """Whatever a runtime raises about a file becomes a ModelError of one line."""
    try:
        yield
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # each runtime has kinds of its own, and more for damaged files
        reason = " ".join((str(error).splitlines() or [""])[0].split())[:_MOST_SHOWN] or type(error).__name__
        shown = "".join(c if c.isprintable() else "?" for c in reason)
        raise ModelError(f"{path} is not {kind} that can be run ({shown}): export it again") from None


def check_ends(metadata: ModelMetadata, ends: Ends, path: str) -> None:
    """Raises where the file is not the model that its metadata describe."""
    shape = [metadata.shape.height, metadata.shape.width, metadata.shape.channels]
    inputs = {name: (kind, list(sizes)[1:]) for name, (kind, sizes) in ends.inputs.items()}
    if inputs != {INPUT: ("uint8", shape)}:
        raise ModelError(f"{path} takes {inputs}, but its metadata say {INPUT!r} as uint8 {shape}")
    missing = [name for name in OUTPUTS if name not in ends.outputs]
    if missing:
        raise ModelError(f"{path} gives {', '.join(ends.outputs)}, but not {', '.join(missing)}")
    shapes = ends.outputs["log_probabilities"], ends.outputs["label_ids"]
    if all(shapes):  # an empty one is not stated; the reader's first batch tells it
        check_outputs(metadata, *shapes, path)


def check_outputs(metadata: ModelMetadata, log_probabilities: Shape, label_ids: Shape, path: str = "the model") -> None:
    """By the shapes [batch, positions or columns, classes] and [batch, places]."""
    if metadata.readout == "ctc":
        places = metadata.max_length + 1  # one more tells a reading that is too long
        columns = 2 * metadata.max_length - 1  # equal neighbours need a blank between them
        fits = len(log_probabilities) == 3 and _is_at_least(log_probabilities[1], columns)
        needed = f"{columns} columns or more"
    else:
        places = metadata.max_length
        fits = len(log_probabilities) == 3 and _is(log_probabilities[1], places)
        needed = f"{places} positions"
    if not (fits and _is(log_probabilities[2], metadata.num_outputs)):
        raise ModelError(
            f"{path} gives log-probabilities {_shown(log_probabilities)}, but its metadata, the readout "
            f"{metadata.readout} of codes of {metadata.min_length} to {metadata.max_length} out of "
            f"{len(metadata.alphabet)} characters, need {needed} of {metadata.num_outputs} classes: export it again"
        )
    if len(label_ids) != 2 or not _is(label_ids[1], places):
        raise ModelError(
            f"{path} gives label_ids {_shown(label_ids)}, but the readout {metadata.readout} of codes of up to "
            f"{metadata.max_length} characters needs {places} places: export it again"
        )


def _is(size: object, wanted: int) -> bool:
    return not isinstance(size, int) or size < 1 or size == wanted


def _is_at_least(size: object, least: int) -> bool:
    return not isinstance(size, int) or size < 1 or size >= least


def _shown(shape: Shape) -> str:
    return "[" + ", ".join("batch" if place == 0 else str(size) for place, size in enumerate(shape)) + "]"
