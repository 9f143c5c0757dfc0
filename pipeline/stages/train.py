"""The train stage: trains a network on the train split, validates it, and keeps the best checkpoint."""

import dataclasses
import functools
import os
import pathlib

from alexnet import catalogue
from pipeline.choices import Strategy
from pipeline.config import RunConfig
from pipeline.conversion.foreign import Probes
from pipeline.machine.devices import Cluster
from pipeline.machine.startup import import_tensorflow, own_environment
from pipeline.machine.workers import Engine
from pipeline.report.scans import Ahead
from pipeline.stages.generate import too_small
from pipeline.stages.inputs import records_to_train
from pipeline.training.plan import synthetic_per_batch
from pipeline.values import LOCAL
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError

ON_CLUSTER = ("auto", "multi_worker")  # of --strategy; the others train on this machine alone


def train(
    config: RunConfig,
    workdir: Workdir,
    probes: Probes | None = None,
    engine: Engine | None = None,
    ahead: Ahead | None = None,
) -> bool:
    """Trains, or continues a training; the result is whether there was anything left to train."""
    records = records_to_train(config, workdir, probes)
    manifest = Manifest.load(records)
    check_splits(config, manifest)
    check_synthetic(config, manifest)
    before = _files(workdir.checkpoints)
    if engine is not None and config.train.strategy in ON_CLUSTER:
        _train_on_cluster(config, workdir, engine)
    else:
        if ahead:
            ahead.begin(manifest)  # the import of TensorFlow takes seconds of one core
        import_tensorflow()
        from pipeline.training.train import train as run_training

        run_training(config, workdir, records)
    return _files(workdir.checkpoints) != before


def _train_on_cluster(config: RunConfig, workdir: Workdir, engine: Engine) -> None:
    from pipeline.cluster.engine import ClusterEngine
    from pipeline.cluster.training import Request, train_on_nodes

    assert isinstance(engine, ClusterEngine), "--cluster opens one"
    alone = dataclasses.replace(config, stages=("train",), cluster=LOCAL)
    request = Request(
        run=functools.partial(train_as_worker, alone),
        batch_size=config.train.images_per_step // config.train.hardest_of,  # those that are learned from
        wait_seconds=config.train.peer_seconds,
        progress=functools.partial(_files, workdir.checkpoints),
    )
    train_on_nodes(engine, request)


def train_as_worker(config: RunConfig, cluster: Cluster) -> None:
    """This stage as one of several workers, in a process that does nothing else."""
    workdir = Workdir(config.workdir)
    own_environment(workdir.cache)
    strategy: Strategy = "auto"
    if len(cluster.addresses) > 1:
        strategy = "multi_worker"
        os.environ["TF_CONFIG"] = cluster.to_json()
    train(dataclasses.replace(config, train=dataclasses.replace(config.train, strategy=strategy)), workdir)


def check_training(config: RunConfig) -> None:
    """What can be checked of a training before there are records: that the devices are there and can share its batches,
    and that the network can read images that are still to be drawn."""
    asked = config.train
    if not config.records.images and not config.foreign.records:
        width, height = config.code.size
        problem = catalogue.problem(asked.network, asked.readout, height, width)
        if problem and not catalogue.CATALOGUE[asked.network].any_size:
            raise DigitwiseError(f"--image_size={width}x{height}: {problem}")
    import_tensorflow()
    from pipeline.machine.devices import make_strategy
    from pipeline.training.checks import check_replicas

    strategy = make_strategy(asked.strategy, asked.devices, asked.logical_devices)
    check_replicas(asked, synthetic_per_batch(config), strategy)


def check_splits(config: RunConfig, manifest: Manifest) -> None:
    """What a training cannot make up for is said before it begins."""
    count, needed = manifest.count("train"), config.train.images_per_step - synthetic_per_batch(config)
    if 0 < count < needed:
        print(f"train: {count} images are fewer than the {needed} that a step takes: some are in it more than once")
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


def check_synthetic(config: RunConfig, manifest: Manifest) -> None:
    """Warns of synthetic images that nobody could read, as they are to be like those of the records."""
    size = config.code.image_size or manifest.image_sizes.usual
    warning = too_small(config.generate.drawing, size, manifest.max_length) if config.synthetic_share > 0 else ""
    if warning:
        print(f"train: warning: of the synthetic images: {warning}")


def _files(folder: pathlib.Path) -> dict[str, int]:
    """{name: time of change}: differs once a training has saved a checkpoint."""
    if not folder.is_dir():
        return {}
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}
