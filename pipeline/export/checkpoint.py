"""A checkpoint as what is exported and read with: the whole way from pixels to a code.

graph = graph_of(Checkpoints("workdir/checkpoints").choose("best"), folder)
Reader(GraphNetwork(graph)).read(["a.png"])
"""

import dataclasses
import pathlib

from digitwise.images import InputShape
from digitwise.metadata import ModelMetadata
from pipeline.export.graph import ReadingGraph
from pipeline.model.checkpoint_files import read_content
from pipeline.model.checkpoints import Checkpoint
from pipeline.model.recognizer import Recognizer
from pipeline.promise.stored import load_promise
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError

_RGB = 3


def graph_of(checkpoint: Checkpoint, folder: pathlib.Path) -> ReadingGraph:
    """`folder` is that of the checkpoints, with what is promised for them; the records of their training may lie
    beside it."""
    recognizer = Recognizer.of(checkpoint)
    spec = recognizer.spec
    height, width, channels = spec.image_shape
    shape = InputShape(height, width, channels, _stored_channels(folder, checkpoint), spec.resizing)
    metadata = ModelMetadata(spec.alphabet, spec.min_length, spec.max_length, spec.readout, shape, spec.cleaning)
    stored = load_promise(folder, arrays_sha256(folder, checkpoint.step))
    if stored is not None:
        metadata = dataclasses.replace(
            metadata, temperature=stored.temperature, promise=stored.promise, reference=stored.reference
        )
    return ReadingGraph(recognizer.network, recognizer.readout, recognizer.clean, metadata)


def arrays_sha256(folder: pathlib.Path, step: int) -> str:
    """What a promise for a checkpoint is bound to."""
    digest: str = read_content(folder, step)["arrays_sha256"]
    return digest


def _stored_channels(folder: pathlib.Path, checkpoint: Checkpoint) -> int:
    """Those of the records of the training. Where they are gone, colour: it only matters for images that are in colour
    and are resized, of which the training saw grey ones."""
    provenance = checkpoint.state.provenance
    try:
        manifest = Manifest.load(Workdir(folder.parent).records)
    except DigitwiseError:
        return _RGB
    return manifest.channels if manifest.fingerprint == provenance.records.fingerprint else _RGB
