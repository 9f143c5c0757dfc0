"""How long two networks train, and how well they read: python -m benchmarks.training [--toy] [--workdir=DIR]

`alexnet` with the default settings beside `alexnet_v2` as the original project had it (batches of 10, Adam at 1e-4,
no schedule), on the same 10,000 images, as many as the original drew, with the distortion of its time; tested on the
same codes, which neither saw. One line of JSON: for each, seconds (by the clock and of all cores), steps, and
whole-code accuracy with count and interval. The original was seen to need 4,000 steps before it left chance, so its ten
passes take an hour and a half on two cores.
"""

import argparse
import contextlib
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from pipeline.config import (
    CodeConfig,
    DrawingConfig,
    GenerateConfig,
    RecordsConfig,
    RunConfig,
    TrainConfig,
    available_cores,
)
from pipeline.conversion.convert import convert
from pipeline.machine.startup import import_tensorflow
from pipeline.stages.test import test
from pipeline.workdir import Workdir

NETWORKS: dict[str, TrainConfig] = {
    "alexnet": TrainConfig(),
    "alexnet_v2": TrainConfig(
        network="alexnet_v2",
        batch_size=10,
        epochs=10,
        schedule="constant",
        learning_rate=1e-4,
        weight_decay=0.0,
        averaging=0.0,
        augmentation=0.0,
        precision="float32",
        patience=0,
        validation_steps=500,
        target_accuracy=0.99,
        checkpoint_seconds=600.0,  # one of its checkpoints is half a gigabyte
    ),
}
NUM_IMAGES, TOY_IMAGES = 10_000, 40
TOY_NETWORKS: dict[str, TrainConfig] = {"percent4": TrainConfig(network="percent4", epochs=1, batch_size=20)}
TOY_CODES = CodeConfig(image_size=(32, 16))


def measure(config: RunConfig, workdir: Workdir) -> dict[str, Any]:
    """The figures of one network."""
    from pipeline.training.train import train

    clock, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        state = train(config, workdir)
        seconds = round(time.perf_counter() - clock, 1)
        cpu_seconds = round(time.process_time() - cpu, 1)
        summary = test(config, workdir)
    return {
        "steps": state.num_steps,
        "batch_size": config.train.batch_size,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "sequence_accuracy": dataclasses.asdict(summary.figures.whole),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--workdir", help="a folder to keep; none: a temporary one")
    given = parser.parse_args(arguments)
    num_images = TOY_IMAGES if given.toy else NUM_IMAGES
    with tempfile.TemporaryDirectory() as folder:
        workdir = Workdir(given.workdir or folder)
        workdir.create()
        base = RunConfig(
            workdir=str(workdir.root),
            code=TOY_CODES if given.toy else CodeConfig(),
            generate=GenerateConfig(DrawingConfig(distortion="0.7.0"), num_images),
        )
        with contextlib.redirect_stdout(sys.stderr):
            convert(dataclasses.replace(base, records=RecordsConfig(source="synthetic")), workdir)
        import_tensorflow()
        result = {"benchmark": "training", "images": num_images, "cores": available_cores()}
        for name, settings in (TOY_NETWORKS if given.toy else NETWORKS).items():
            workdir.checkpoints, workdir.logs = workdir.root / f"checkpoints-{name}", workdir.root / f"logs-{name}"
            workdir.report = workdir.root / f"report-{name}"
            result[name] = measure(dataclasses.replace(base, train=settings), workdir)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
