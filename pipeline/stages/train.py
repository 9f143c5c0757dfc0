"""The train stage: trains a network on the train split, validates it, and keeps the best checkpoint."""

import pathlib

from pipeline.config import RunConfig
from pipeline.conversion.foreign import Probes
from pipeline.machine.startup import import_tensorflow
from pipeline.stages.inputs import records_to_train
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError


def train(config: RunConfig, workdir: Workdir, probes: Probes | None = None) -> bool:
    """Trains, or continues a training; the result is whether there was anything left to train."""
    records = records_to_train(config, workdir, probes)
    check_splits(config, Manifest.load(records))
    before = _files(workdir.checkpoints)
    import_tensorflow()
    from pipeline.training.train import train as run_training

    run_training(config, workdir, records)
    return _files(workdir.checkpoints) != before


def check_splits(config: RunConfig, manifest: Manifest) -> None:
    """What a training cannot make up for is said before it begins."""
    split = config.test.split
    if "test" in config.ordered_stages and split in manifest.splits and not manifest.count(split):
        raise DigitwiseError(
            f"the {split} split of {manifest.folder} has no images, so the test could measure nothing after this "
            f"training: use more images or a larger --{split}_fraction, or leave out the test stage"
        )
    if not manifest.count("validation"):
        print(
            f"train: warning: the validation split of {manifest.folder} has no images, so training cannot stop early "
            "and keeps its last checkpoint as the best; use more images or a larger --validation_fraction"
        )


def _files(folder: pathlib.Path) -> dict[str, int]:
    """{name: time of change}: differs once a training has saved a checkpoint."""
    if not folder.is_dir():
        return {}
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}
