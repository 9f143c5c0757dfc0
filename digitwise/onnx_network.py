"""A model in an ONNX file, run by ONNX Runtime.

network = OnnxNetwork("model.onnx")
network.run(images).confidences
"""

import os
import pathlib

import numpy as np
import numpy.typing as npt

from digitwise.errors import ReaderError
from digitwise.images import Pixels
from digitwise.metadata import KEY, ModelMetadata
from digitwise.reader import Outputs

IN_FOLDER = "model.onnx"  # the file of an export
INPUT = "images"
LOOKED = "looked"  # an output of networks with an attention
OUTPUTS = ("label_ids", "probabilities", "confidence", "log_probabilities")
_ERRORS_ONLY = 3  # of ONNX Runtime's levels; its warnings are about how the file was optimized


class OnnxNetwork:
    """`path` is a file or the folder of an export; `threads` is how many cores one batch may use; 0 is all of them."""

    def __init__(self, path: "str | os.PathLike[str]", threads: int = 0) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ReaderError("reading ONNX files needs onnxruntime: pip install onnxruntime") from None
        if pathlib.Path(path).is_dir():
            path = pathlib.Path(path) / IN_FOLDER
        if not pathlib.Path(path).is_file():
            raise ReaderError(f"{os.fspath(path)} is not a file: need a model that was exported as ONNX")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _ERRORS_ONLY
        try:
            # Readings were certified with this provider; others round differently.
            self._session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a kind of its own for each cause
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise ReaderError(f"{os.fspath(path)} is not an ONNX model that can be run ({reason})") from None
        self.metadata = self._checked_metadata(os.fspath(path))

    def _checked_metadata(self, path: str) -> ModelMetadata:
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise ReaderError(f"{path} was not exported by digitwise: it has no metadata under {KEY!r}")
        metadata = ModelMetadata.parse(text)
        shape = [metadata.shape.height, metadata.shape.width, metadata.shape.channels]
        inputs = {node.name: (node.type, node.shape[1:]) for node in self._session.get_inputs()}
        if inputs != {INPUT: ("tensor(uint8)", shape)}:
            raise ReaderError(f"{path} takes {inputs}, but its metadata say {INPUT!r} as uint8 {shape}")
        names = [node.name for node in self._session.get_outputs()]
        missing = [name for name in OUTPUTS if name not in names]
        if missing:
            raise ReaderError(f"{path} gives {', '.join(names)}, but not {', '.join(missing)}")
        return metadata

    def run(self, images: Pixels) -> Outputs:
        label_ids, probabilities, confidences, log_probabilities = self._session.run(
            list(OUTPUTS), {INPUT: np.ascontiguousarray(images)}
        )
        return Outputs(label_ids, probabilities, confidences, log_probabilities)

    def looks(self, images: Pixels) -> npt.NDArray[np.float32] | None:
        """How much each position of the code looks at each column [batch, positions, columns]; None where the network
        has no attention."""
        if LOOKED not in [node.name for node in self._session.get_outputs()]:
            return None
        looked: npt.NDArray[np.float32] = self._session.run([LOOKED], {INPUT: np.ascontiguousarray(images)})[0]
        return looked
