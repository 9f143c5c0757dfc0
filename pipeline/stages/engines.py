"""Where the pieces of a stage are worked on: in processes of this machine, or on the nodes of --cluster.

with opened_engine(config, workdir, needed=True) as engine: ...
"""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

from pipeline.config import RunConfig
from pipeline.machine.workers import Engine
from pipeline.values import LOCAL
from pipeline.workdir import Workdir
from records.dataset.store import is_address
from records.errors import DigitwiseError


@contextlib.contextmanager
def opened_engine(config: RunConfig, workdir: Workdir, needed: bool) -> Iterator[Engine | None]:
    """One engine for all stages of a run, as connecting takes seconds; None for this machine's processes."""
    if not needed or config.cluster == LOCAL:
        yield None
        return
    from pipeline.cluster.engine import cluster_engine
    from pipeline.cluster.requirements import Requirements, remove_proofs

    remove_proofs(workdir.root)  # this run alone has the work folder
    packages = ("tensorflow", "keras") if "train" in config.ordered_stages else ()
    requirements = Requirements.of(workdir.root, _inputs(config), _fonts(config), packages)
    with cluster_engine(config.cluster, requirements, config.workers) as engine:
        yield engine


@contextlib.contextmanager
def opened_reading_engine(
    config: RunConfig, folder: pathlib.Path, inputs: Sequence[str], packages: Sequence[str]
) -> Iterator[Engine]:
    """The engine of predict, which locks no work folder: `folder` has the network, `inputs` are where images are."""
    from pipeline.cluster.engine import cluster_engine
    from pipeline.cluster.requirements import Requirements

    # A --check is FILE.py:FUNCTION, or the name of a kind of check digit.
    files = [path for path in (config.use.codes, config.use.check.rpartition(":")[0]) if path]
    requirements = Requirements.of(folder, [*inputs, *files], packages=packages)
    try:
        with cluster_engine(config.cluster, requirements, config.workers) as engine:
            yield engine
    except OSError as error:
        if error.filename != str(requirements.proof_path):
            raise
        raise DigitwiseError(
            f"--cluster={config.cluster}: {folder} cannot be written to; a cluster needs that for a moment, to see "
            "whether its nodes have the same folder"
        ) from None


def _inputs(config: RunConfig) -> tuple[str, ...]:
    """Folders and files that nodes read."""
    if config.records.images:
        return (config.records.images,)
    # A glob of --records says nothing about a node; its pieces fail there with the name of a file.
    # Records of a store are copied into the work folder.
    return tuple(entry for entry in config.foreign.records if not set(entry) & set("*?[") and not is_address(entry))


def _fonts(config: RunConfig) -> tuple[str, ...]:
    if _inputs(config):
        return ()
    from pipeline.drawing.renderer import Drawing

    return Drawing.of(config.code, config.generate.drawing).fonts
