"""Every exported file read in the same way: as a digitwise.reader.Network.

network = SavedModelNetwork("export/saved_model/1")
Reader(network).read(["a.png"])
"""

import os
import pathlib
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from digitwise.images import Pixels
from digitwise.metadata import ModelMetadata
from digitwise.onnx_network import INPUT, LOOKED
from digitwise.reader import Outputs
from pipeline.export.graph import ReadingGraph
from records.errors import DigitwiseError

READ = "read"  # the signature from pixels to numbers
METADATA_FILE = "digitwise.json"  # in a SavedModel's folder
METADATA_ENDING = ".json"  # beside a LiteRT file


class GraphNetwork:
    """The graph itself, before it is exported: what the files are compared with."""

    def __init__(self, graph: ReadingGraph) -> None:
        self._graph = graph

    @property
    def metadata(self) -> ModelMetadata:
        return self._graph.metadata

    def run(self, images: Pixels) -> Outputs:
        return _outputs(self._graph.read(tf.constant(images)))

    def looks(self, images: Pixels) -> npt.NDArray[np.float32] | None:
        """How much each position of the code looks at each column; None where the network has no attention."""
        looked = self._graph.read(tf.constant(images)).get(LOOKED)
        return None if looked is None else looked.numpy()


class SavedModelNetwork:
    def __init__(self, path: "str | os.PathLike[str]") -> None:
        folder = pathlib.Path(path)
        self.metadata = read_metadata(folder / METADATA_FILE)
        self._model = tf.saved_model.load(os.fspath(folder))  # the signature is gone when this is
        self._read = self._model.signatures[READ]

    def run(self, images: Pixels) -> Outputs:
        return _outputs(self._read(**{INPUT: tf.constant(images)}))


class LiteRtNetwork:
    """The interpreter is made for one thread at a time."""

    def __init__(self, path: "str | os.PathLike[str]", threads: int = 1) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise missing_package("ai-edge-litert") from None
        self.metadata = read_metadata(pathlib.Path(os.fspath(path) + METADATA_ENDING))
        self._interpreter = Interpreter(model_path=os.fspath(path), num_threads=threads)
        self._read = self._interpreter.get_signature_runner(READ)
        self._lock = threading.Lock()

    def run(self, images: Pixels) -> Outputs:
        with self._lock:
            outputs = self._read(**{INPUT: images})
            # Copies: the interpreter reuses its memory at the next call.
            return _outputs({name: values.copy() for name, values in outputs.items()})


def read_metadata(path: pathlib.Path) -> ModelMetadata:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DigitwiseError(f"{path} cannot be read ({error.strerror}); an exported model has it") from None
    return ModelMetadata.parse(text)


def missing_package(name: str) -> DigitwiseError:
    return DigitwiseError(f"exporting needs {name}, which is not installed: pip install -e '.[export]'")


def _outputs(values: Any) -> Outputs:
    names = ("label_ids", "probabilities", "confidence", "log_probabilities")
    return Outputs(*(getattr(values[name], "numpy", lambda name=name: values[name])() for name in names))
