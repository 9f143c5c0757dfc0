"""The network that --checkpoint names, ready to read: of a training, or an exported file; and the limits on that.

network = open_network(config.test.checkpoint, workdir)
Reader(network, limits_asked_for(config)).read(["a.png"])

TensorFlow is imported only where it has to compute.
"""

import pathlib

from digitwise.errors import ReaderError
from digitwise.limits import Limits
from digitwise.onnx_network import IN_FOLDER, OnnxNetwork
from digitwise.reader import Network
from pipeline.config import RunConfig
from pipeline.machine.startup import import_tensorflow
from pipeline.model.checkpoint_files import steps_in
from pipeline.reading.limits import limits_of
from pipeline.workdir import Workdir
from records.errors import DigitwiseError

ONNX, LITERT = ".onnx", ".tflite"
_SAVED_MODEL = "saved_model.pb"


def open_network(given: str, workdir: Workdir) -> Network:
    """`given` is a workdir, a folder of checkpoints or of an export, or an exported file; empty: the workdir."""
    path = pathlib.Path(given) if given else workdir.root
    try:
        if _is_onnx(path):
            return OnnxNetwork(path)
        if path.suffix == LITERT or (path / _SAVED_MODEL).is_file():
            return _exported(path)
    except ReaderError as error:
        raise DigitwiseError(f"--checkpoint={path}: {error}") from None
    return _of_training(path, given, workdir)


def packages_of(given: str, workdir: Workdir) -> tuple[str, ...]:
    """What the network is computed with, whose versions decide the last digits."""
    path = pathlib.Path(given) if given else workdir.root
    if _is_onnx(path):
        return ("onnxruntime",)
    return ("tensorflow", "keras", *(["ai-edge-litert"] if path.suffix == LITERT else []))


def limits_asked_for(config: RunConfig) -> Limits:
    use = config.use
    return limits_of(use.allow, config.code.code_length, use.pattern, use.codes, use.check)


def _is_onnx(path: pathlib.Path) -> bool:
    """By name alone: an exported file is read without TensorFlow, so nothing of it may be imported before this is
    known."""
    return path.suffix == ONNX or (path / IN_FOLDER).is_file()


def _exported(path: pathlib.Path) -> Network:
    import_tensorflow()
    from pipeline.export.networks import LiteRtNetwork, SavedModelNetwork

    if not path.exists():
        raise DigitwiseError(f"--checkpoint={path}: there is no such file")
    return LiteRtNetwork(path) if path.suffix == LITERT else SavedModelNetwork(path)


def _of_training(path: pathlib.Path, given: str, workdir: Workdir) -> Network:
    if not any(steps_in(folder) for folder in (path, path / workdir.checkpoints.name)):
        problem = "it holds no checkpoint and no exported model" if path.is_dir() else "there is no such file or folder"
        flag = f"--checkpoint={path}" if given else f"--workdir={path}"
        raise DigitwiseError(f"{flag}: {problem}; train one with --stage=train")
    import_tensorflow()
    from pipeline.export.checkpoint import graph_of
    from pipeline.export.networks import GraphNetwork
    from pipeline.model.checkpoints import Checkpoints

    checkpoints = Checkpoints.given("--checkpoint", path)
    return GraphNetwork(graph_of(checkpoints.choose("best"), checkpoints.folder))
