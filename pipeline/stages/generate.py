"""The generate stage: synthetic images as files with a labels.csv, unless the run reads other images."""

from pipeline.config import RunConfig
from pipeline.machine.workers import Engine
from pipeline.workdir import Workdir


def generate(config: RunConfig, workdir: Workdir, _probes: object = None, engine: Engine | None = None) -> bool:
    """Renders the images that are missing; the result is whether there were any."""
    reason = _not_needed(config)
    if reason:
        print(f"generate: nothing to do, {reason}")
        return False
    from pipeline.drawing import files

    return files.generate(config, workdir, engine)


def _not_needed(config: RunConfig) -> str:
    """Why the run needs no image files of its own; nothing if it does."""
    if config.foreign.records:
        return f"the images are in {', '.join(config.foreign.records)}"
    if config.records.images:
        return f"the images are in {config.records.images}"
    if config.records.source == "synthetic":
        return "images are rendered directly into records"
    return ""
