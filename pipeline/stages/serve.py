"""The serve stage: reads images over HTTP, and lets people label those of a folder in the browser."""

import contextlib
import importlib.util
import pathlib
from typing import TYPE_CHECKING, Any

from pipeline.config import RunConfig
from pipeline.machine.startup import import_tensorflow
from pipeline.model.checkpoint_files import steps_in
from pipeline.workdir import Workdir
from records.dataset.manifest import FILE_NAME, Manifest
from records.errors import DigitwiseError

if TYPE_CHECKING:
    from digitwise.reader import Network
    from pipeline.serving.app import Served
    from pipeline.serving.model import Looks

_PACKAGES = ("starlette", "uvicorn")


def serve(config: RunConfig, workdir: Workdir, _probes: object = None) -> bool:
    """Until it is told to end; it leaves no result."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise DigitwiseError(f"serving needs {' and '.join(missing)}: pip install -e '.[serve]'")
    from digitwise import ReaderError
    from pipeline.serving.app import build_app
    from pipeline.serving.guard import Access
    from pipeline.serving.limits import RateLimit
    from pipeline.serving.run import address_of, is_local, listening_socket, run, token_of

    asked = config.serve
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listening_socket(asked.host, asked.port))
        local = is_local(listener)
        access = Access(asked.host, listener.getsockname()[1], token_of(asked.token_file, is_needed=not local))
        try:
            served = _served(config, workdir, stack)
        except ReaderError as error:
            raise DigitwiseError(str(error)) from None
        query = f"?token={access.token}" if access.token and not asked.token_file else ""
        where = "" if local else " and on this machine's other addresses"
        print(f"serve: listening on {address_of(listener)}{query}{where}; Ctrl-C ends it", flush=True)
        run(build_app(served, access, RateLimit(asked.max_rate)), listener)
        print("serve: ended", flush=True)
    return False


def _served(config: RunConfig, workdir: Workdir, stack: contextlib.ExitStack) -> "Served":
    from digitwise import Reader
    from pipeline.serving.app import Served
    from pipeline.serving.desk import LabelDesk
    from pipeline.serving.model import ServedModel
    from pipeline.serving.unlabelled import FolderImages, Ordering

    folder = config.records.images
    images = FolderImages(pathlib.Path(folder)) if folder else None
    found = _find_model(config, workdir, is_needed=images is None)
    reader = Reader(found[0]) if found else None
    model = stack.enter_context(ServedModel(reader, found[1])) if reader and found else None
    desk = None
    if images:
        ordering = Ordering(images, reader)
        ordering.start()
        stack.callback(ordering.stop)
        desk = LabelDesk(images, ordering)
        print(f"serve: {len(images.names):,} images to label in {folder}", flush=True)
    return Served(model, _examples(config, workdir) if model else None, desk)


def _examples(config: RunConfig, workdir: Workdir) -> Any:
    from pipeline.serving.examples import Examples

    if not (workdir.records / FILE_NAME).exists():
        return None
    manifest = Manifest.load(workdir.records)
    return Examples(manifest, config.test.split) if manifest.count(config.test.split) else None


def _find_model(config: RunConfig, workdir: Workdir, is_needed: bool) -> "tuple[Network, Looks | None] | None":
    """(the network, where it looks): an exported file, or a checkpoint; labelling works without."""
    path = config.test.checkpoint
    if path.endswith(".onnx"):
        from digitwise.onnx_network import OnnxNetwork

        return OnnxNetwork(path), None
    if not path and not steps_in(workdir.checkpoints):
        if is_needed:
            raise DigitwiseError(
                f"{workdir.checkpoints} holds no checkpoint: train first, give --checkpoint, or --images to label "
                "a folder without a model"
            )
        return None
    return _checkpoint_network(config, workdir)


def _checkpoint_network(config: RunConfig, workdir: Workdir) -> "tuple[Network, Looks | None]":
    from pipeline.model.checkpoints import Checkpoints

    folder = Checkpoints.to_test(config.test, workdir).folder  # says what is wrong before TensorFlow is imported
    import_tensorflow()
    from digitwise.images import InputShape
    from digitwise.metadata import ModelMetadata
    from pipeline.export.graph import ReadingGraph
    from pipeline.export.networks import GraphNetwork
    from pipeline.model.attention import attention_of
    from pipeline.model.recognizer import Recognizer

    recognizer = Recognizer.load(folder)
    spec = recognizer.spec
    stored = _stored_channels(recognizer, workdir)
    shape = InputShape(spec.image_shape[0], spec.image_shape[1], spec.image_shape[2], stored)
    metadata = ModelMetadata(spec.alphabet, spec.min_length, spec.max_length, spec.readout, shape, spec.cleaning)
    graph = ReadingGraph(recognizer.network, recognizer.readout, recognizer.clean, metadata)
    return GraphNetwork(graph), attention_of(recognizer.network, recognizer.clean)


def _stored_channels(recognizer: Any, workdir: Workdir) -> int:
    """Of the images that it was trained on, which are resized before they are made grey."""
    channels: int = recognizer.image_shape[2]
    if channels == 1 and (workdir.records / FILE_NAME).exists():
        manifest = Manifest.load(workdir.records)
        if manifest.fingerprint == recognizer.provenance.records.fingerprint:
            return manifest.channels
    return channels
