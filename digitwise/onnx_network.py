"""A model in an ONNX file, run by ONNX Runtime.

network = OnnxNetwork("model.onnx")
network.run(images).confidences
"""

import os
import pathlib

import numpy as np
import numpy.typing as npt

from digitwise.errors import ModelError, ReaderError
from digitwise.images import Pixels
from digitwise.metadata import KEY, ModelMetadata
from digitwise.model_file import INPUT, LOOKED, OUTPUTS, Ends, check_ends, runnable
from digitwise.reader import Outputs
from digitwise.seal import check_seal

IN_FOLDER = "model.onnx"  # the file of an export
_KIND = "an ONNX model"
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
        # Or its threads would keep the cores busy while the next images are prepared.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._path = os.fspath(path)
        content = pathlib.Path(path).read_bytes()
        check_seal(self._path, content)
        with runnable(self._path, _KIND):
            # Readings were certified with this provider; others round differently.
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise ModelError(f"{self._path} was not exported by digitwise: it has no metadata under {KEY!r}")
        self.metadata = ModelMetadata.parse(text)
        check_ends(self.metadata, self._ends(), self._path)

    def _ends(self) -> Ends:
        inputs = {
            node.name: (node.type.removeprefix("tensor(").removesuffix(")"), node.shape)
            for node in self._session.get_inputs()
        }
        return Ends(inputs, {node.name: node.shape for node in self._session.get_outputs()})

    def run(self, images: Pixels) -> Outputs:
        with runnable(self._path, _KIND):
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
