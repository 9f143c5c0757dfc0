"""Every exported file read in the same way: as a digitwise.reader.Network.

network = SavedModelNetwork("export/saved_model/1")
Reader(network).read(["a.png"])
"""

import json
import os
import pathlib
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from digitwise.errors import ModelError
from digitwise.images import Pixels
from digitwise.metadata import ModelMetadata, parse_json
from digitwise.model_file import INPUT, LOOKED, Ends, check_ends, runnable
from digitwise.reader import Outputs
from pipeline.export.graph import ReadingGraph
from records.digest import sha256_of
from records.errors import DigitwiseError

READ = "read"  # the signature from pixels to numbers
METADATA_FILE = "digitwise.json"  # in a SavedModel's folder
METADATA_ENDING = ".json"  # beside a LiteRT file
FILE_SHA256 = "file_sha256"  # in it: of the LiteRT file
_SAVED_MODEL, _LITERT = "a SavedModel", "a LiteRT model"


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
        self._path = os.fspath(path)
        self.metadata = read_metadata(pathlib.Path(path) / METADATA_FILE)
        with runnable(self._path, _SAVED_MODEL):
            self._model = tf.saved_model.load(self._path)  # the signature is gone when this is
            self._read = self._model.signatures[READ]
            ends = Ends(
                {name: (spec.dtype.name, spec.shape.as_list()) for name, spec in self._inputs().items()},
                {name: _stated(spec.shape) for name, spec in self._read.structured_outputs.items()},
            )
        check_ends(self.metadata, ends, self._path)

    def _inputs(self) -> Mapping[str, tf.TensorSpec]:
        named: Mapping[str, tf.TensorSpec] = self._read.structured_input_signature[1]
        return named

    def run(self, images: Pixels) -> Outputs:
        with runnable(self._path, _SAVED_MODEL):
            return _outputs(self._read(**{INPUT: tf.constant(images)}))


class LiteRtNetwork:
    """The interpreter is made for one thread at a time."""

    def __init__(self, path: "str | os.PathLike[str]", threads: int = 1) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise missing_package("ai-edge-litert") from None
        self._path = os.fspath(path)
        self.metadata = read_metadata(pathlib.Path(self._path + METADATA_ENDING), of_file=pathlib.Path(self._path))
        with runnable(self._path, _LITERT):
            self._interpreter = Interpreter(model_path=self._path, num_threads=threads)
            self._read = self._interpreter.get_signature_runner(READ)
            inputs, outputs = self._read.get_input_details(), self._read.get_output_details()
            ends = Ends(
                {name: (np.dtype(each["dtype"]).name, _sizes(each)) for name, each in inputs.items()},
                {name: _sizes(each) for name, each in outputs.items()},
            )
        check_ends(self.metadata, ends, self._path)
        self._lock = threading.Lock()

    def run(self, images: Pixels) -> Outputs:
        with self._lock, runnable(self._path, _LITERT):
            outputs = self._read(**{INPUT: images})
            # Copies: the interpreter reuses its memory at the next call.
            return _outputs({name: values.copy() for name, values in outputs.items()})


def metadata_of_file(metadata: ModelMetadata, path: pathlib.Path) -> str:
    """For a file of its own beside the model's: bound to that by its sha256."""
    return json.dumps({**json.loads(metadata.to_json()), FILE_SHA256: sha256_of(path)}, ensure_ascii=False)


def read_metadata(path: pathlib.Path, of_file: pathlib.Path | None = None) -> ModelMetadata:
    """`of_file` is the model's file, where the metadata are bound to it."""
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
        # Exports of earlier versions have no sum.
        sha256 = values.pop(FILE_SHA256, None) if isinstance(values, dict) else None
        if of_file is not None and sha256 is not None and sha256 != sha256_of(of_file):
            raise ModelError(
                f"{of_file} is not the file that {path.name} was written for: it is damaged, or they are of different "
                "exports; export it again"
            )
        return ModelMetadata.of_values(values)
    except OSError as error:
        raise DigitwiseError(f"{error.filename} cannot be read ({error.strerror}); an exported model has it") from None
    except UnicodeDecodeError:
        raise DigitwiseError(f"{path} is not UTF-8 text; export the model again") from None


def _stated(shape: tf.TensorShape) -> list[int | None]:
    return [] if shape.rank is None else list(shape.as_list())


def _sizes(details: Mapping[str, Any]) -> list[int]:
    """With -1 for what differs from batch to batch."""
    return [int(size) for size in details["shape_signature"]]


def missing_package(name: str) -> DigitwiseError:
    return DigitwiseError(f"exporting needs {name}, which is not installed: pip install -e '.[export]'")


def _outputs(values: Any) -> Outputs:
    names = ("label_ids", "probabilities", "confidence", "log_probabilities")
    return Outputs(*(getattr(values[name], "numpy", lambda name=name: values[name])() for name in names))
