"""The serve stage: reads images over HTTP, and lets people label those of a folder in the browser."""

import contextlib
import importlib.util
import pathlib
from typing import TYPE_CHECKING

from pipeline.config import RunConfig
from pipeline.model.checkpoint_files import steps_in
from pipeline.stages.networks import limits_asked_for, open_network
from pipeline.stages.predict import check_promise
from pipeline.workdir import Workdir
from records.dataset.manifest import FILE_NAME, Manifest
from records.errors import DigitwiseError

if TYPE_CHECKING:
    from pipeline.serving.app import Served
    from pipeline.serving.examples import Examples

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
        # Before the network is loaded, which takes seconds: a port that is in use is reported at once.
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
    limits, network, model, desk = limits_asked_for(config), None, None, None
    if not images or config.test.checkpoint or steps_in(workdir.checkpoints):
        network = open_network(config.test.checkpoint, workdir)
        reader = Reader(network, limits)
        check_promise(reader, config.use.max_error)
        # Not every kind of file tells where it looked.
        model = stack.enter_context(ServedModel(reader, getattr(network, "looks", None)))
    if images:
        ordering = Ordering(images, network, limits)
        ordering.start()
        stack.callback(ordering.stop)
        desk = LabelDesk(images, ordering)
        print(f"serve: {len(images.names):,} images to label in {folder}", flush=True)
    return Served(model, _examples(config, workdir) if model else None, desk)


def _examples(config: RunConfig, workdir: Workdir) -> "Examples | None":
    from pipeline.serving.examples import Examples

    if not (workdir.records / FILE_NAME).exists():
        return None
    manifest = Manifest.load(workdir.records)
    return Examples(manifest, config.test.split) if manifest.count(config.test.split) else None
