"""The kinds of files a model is exported to. All read the same way: from uint8 pixels to numbers and confidences.

FORMATS["onnx"].write(graph, folder / "model.onnx")
FORMATS["onnx"].open(folder / "model.onnx").run(images)
"""

import dataclasses
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from digitwise.metadata import KEY
from digitwise.onnx_network import OnnxNetwork
from digitwise.reader import Network
from digitwise.seal import sealed
from pipeline.export.graph import ReadingGraph
from pipeline.export.networks import (
    METADATA_ENDING,
    METADATA_FILE,
    READ,
    LiteRtNetwork,
    SavedModelNetwork,
    metadata_of_file,
    missing_package,
)
from records.atomic import atomic_file, write_text

ONNX_OPSET = 17  # old enough for runtimes of 2022, and new enough for every operation of the graph


@dataclasses.dataclass(frozen=True)
class Format:
    path: str  # below the folder of the export
    write: Callable[[ReadingGraph, pathlib.Path], None]
    write_metadata: Callable[[ReadingGraph, pathlib.Path], None]  # once a threshold is certified
    open: Callable[[pathlib.Path], Network]
    allowed_changes: float  # the share of readings that may differ from the checkpoint's
    note: str
    is_optional: bool = False  # left out where it reads too differently


def write_saved_model(graph: ReadingGraph, path: pathlib.Path) -> None:
    """The threshold is part of the graph here, so `accepted` is right in TensorFlow Serving too."""
    # Written a second time once a threshold is certified; TensorFlow does not clear the folder.
    shutil.rmtree(path, ignore_errors=True)
    signatures = {"serving_default": graph.read_files, "pixels": graph.read_pixels, READ: graph.read}
    tf.saved_model.save(graph, os.fspath(path), signatures=signatures)
    write_text(path / METADATA_FILE, graph.metadata.to_json())


def write_onnx(graph: ReadingGraph, path: pathlib.Path) -> None:
    try:
        import tf2onnx
    except ImportError:
        raise missing_package("tf2onnx") from None
    model, _ = tf2onnx.convert.from_function(graph.read, input_signature=graph.read.input_signature, opset=ONNX_OPSET)
    _save_onnx(model, graph, path)


def write_onnx_metadata(graph: ReadingGraph, path: pathlib.Path) -> None:
    import onnx

    _save_onnx(onnx.load(os.fspath(path)), graph, path)


def _save_onnx(model: Any, graph: ReadingGraph, path: pathlib.Path) -> None:
    import onnx

    onnx.helper.set_model_props(model, {KEY: graph.metadata.to_json()})
    with atomic_file(path) as file:
        file.write(sealed(model.SerializeToString(deterministic=True)))  # the same checkpoint gives the same file


def write_litert(graph: ReadingGraph, path: pathlib.Path) -> None:
    _write_litert(graph, path, [])


def write_litert_dynamic(graph: ReadingGraph, path: pathlib.Path) -> None:
    """Weights of 8 bits, and a range for each batch of values as they come."""
    _write_litert(graph, path, [tf.lite.Optimize.DEFAULT])


def _write_litert(graph: ReadingGraph, path: pathlib.Path, optimizations: list[tf.lite.Optimize]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # By way of a SavedModel without variables: the converter leaves Keras' variables out of a graph that has
        # them, and keeps names of outputs only for signatures.
        tf.saved_model.save(tf.Module(), folder, signatures={READ: _frozen(graph)})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[READ])
        converter.optimizations = optimizations
        content = converter.convert()
    with atomic_file(path) as file:
        file.write(content)
    write_litert_metadata(graph, path)


def write_litert_metadata(graph: ReadingGraph, path: pathlib.Path) -> None:
    write_text(pathlib.Path(os.fspath(path) + METADATA_ENDING), metadata_of_file(graph.metadata, path))


def _frozen(graph: ReadingGraph) -> tf.types.experimental.ConcreteFunction:
    """The graph with its variables as constants."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    concrete = graph.read.get_concrete_function()
    frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=False)
    names = sorted(concrete.structured_outputs)  # the order in which a dict is flattened

    def read(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(names, frozen(images), strict=True))

    return tf.function(read, input_signature=graph.read.input_signature, autograph=False).get_concrete_function()


FORMATS = {
    "saved_model": Format(
        path="saved_model/1",
        write=write_saved_model,
        write_metadata=write_saved_model,
        open=SavedModelNetwork,
        allowed_changes=0.0,
        note="TensorFlow and TensorFlow Serving: files or pixels to texts",
    ),
    "onnx": Format(
        path="model.onnx",
        write=write_onnx,
        write_metadata=write_onnx_metadata,
        open=OnnxNetwork,
        allowed_changes=0.0,
        note="ONNX Runtime, and digitwise.Reader",
    ),
    "litert": Format(
        path="model.tflite",
        write=write_litert,
        write_metadata=write_litert_metadata,
        open=LiteRtNetwork,
        allowed_changes=0.0,
        note="LiteRT, float32",
    ),
    "litert_dynamic": Format(
        path="model-dynamic.tflite",
        write=write_litert_dynamic,
        write_metadata=write_litert_metadata,
        open=LiteRtNetwork,
        allowed_changes=0.01,
        note="LiteRT, weights of 8 bits: up to 1 % of the readings may differ",
        is_optional=True,
    ),
}
