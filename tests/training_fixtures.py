"""Tiny records, and a training on them in a process of its own.

    manifest = make_records(folder, train=48)
    process = start_training(workdir, epochs=2)

A training in the test's own process could not be killed, nor could it split the CPU into two devices.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np

from pipeline.model.provenance import Provenance, TrainedRecords
from pipeline.model.spec import ModelSpec
from pipeline.model.state import Best, Environment, TrainingState
from records.split import SplitRule
from tests import forks

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEIGHT, WIDTH = 16, 32
ALPHABET = "abcd"
LENGTH = 2


def make_records(folder, train=48, validation=16, test=7, seed=0, shards=2):
    """Raw grey images of two characters, each a pattern of stripes with noise; returns the Manifest."""
    from records.dataset.manifest import Manifest

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    splits = {}
    for split, count in (("train", train), ("validation", validation), ("test", test)):
        parts = np.array_split(np.arange(count), shards if count >= shards else 1)
        splits[split] = tuple(_shard(folder, split, i, len(parts), part, draw) for i, part in enumerate(parts))
    manifest = Manifest(
        name="stripes",
        alphabet=ALPHABET,
        min_length=LENGTH,
        max_length=LENGTH,
        height=HEIGHT,
        width=WIDTH,
        channels=1,
        encoding="raw",
        compression="",
        splits=splits,
        classes={split: [] for split in splits},
        # Resized: the network takes such small images as they are.
        settings={"validation_fraction": 0.25, "test_fraction": 0.25, "resize": True},
        versions={},
        fonts={},
    )
    manifest.save(folder)
    return Manifest.load(folder)


def stripes(text, draw):
    """uint8 [height, width, 1]: a bright bar at one of four heights for each character."""
    image = draw.integers(0, 60, (HEIGHT, WIDTH, 1))
    for place, character in enumerate(text):
        top, left = 4 * ALPHABET.index(character), 16 * place
        image[top : top + 4, left : left + 16] += 150
    return image.astype(np.uint8)


SPEC = ModelSpec("alexnet", "positions", ALPHABET, LENGTH, LENGTH, (HEIGHT, WIDTH, 1), None, "float32")


def make_state(best_step=None, fingerprint="", **given):
    """A TrainingState of which only this much matters; what is `given` are fields of the spec or of the state."""
    spec_fields = {field.name for field in dataclasses.fields(ModelSpec)}
    changes = {"revision": 0} | {name: given.pop(name) for name in list(given) if name in spec_fields}
    spec = dataclasses.replace(SPEC, **changes)
    records = TrainedRecords("stripes", fingerprint, 48, 16, SplitRule(0.25, 0.25))
    state = TrainingState(
        spec=spec,
        provenance=Provenance({"augmentation": 0.0, "train_seed": 3}, records),
        environment=Environment(1, 2, "2.21.0", "3.15.1"),
        num_steps=24,
        best=None if best_step is None else Best(best_step),
    )
    return dataclasses.replace(state, **given)


def settings_for_tests(**settings):
    """Small, and the same arithmetic on every machine."""
    return {
        "batch_size": 8,
        "epochs": 4,
        "learning_rate": 3e-3,
        "precision": "float32",
        "channels": 1,
        "augmentation": 0.0,
        **settings,
    }


# On 16 training images, which it has seen a hundred times after 200 steps: 480 steps in all.
FINDS_ITS_LENGTH = {
    "schedule": "auto",
    "epochs": 0,
    "validation_steps": 10,
    "patience": 1,
    "max_minutes": 0.0,
    "learning_rate": 0.01,
}


def start_training(workdir, environment=None, overwrite=False, die_at=0, **settings):
    """A process that trains in `workdir`.

    With `die_at` it is killed, as by kill -9, when its checkpoints come to change the disk for that time."""
    arguments = {
        "workdir": str(workdir),
        "overwrite": overwrite,
        "die_at": die_at,
        "train": settings_for_tests(**settings),
    }
    if environment is None:
        return forks.start(_train, arguments)
    # Not a fork, which leaves out what a process does at its end: workers take leave of each other then.
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training_fixtures", json.dumps(arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, timeout=300):
    """(exit code, output) of a process that ends by itself."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, output


def wait_for_step(workdir, step, processes):
    """Returns when there is a checkpoint of `step` or a later one, or when one of the processes has ended."""
    while all(process.poll() is None for process in processes):
        saved = (pathlib.Path(workdir) / "checkpoints").glob("step-*.json")
        if any(int(path.stem.removeprefix("step-")) >= step for path in saved):
            return
        time.sleep(0.002)


def final_arrays(workdir):
    """The arrays of the last checkpoint, by name."""
    from pipeline.model.checkpoints import Checkpoints

    return Checkpoints(pathlib.Path(workdir) / "checkpoints").choose("last").arrays


def assert_same_bits(arrays, others):
    assert list(arrays) == list(others)
    differing = [name for name in arrays if arrays[name].tobytes() != others[name].tobytes()]
    assert not differing


def cluster_environments(count):
    """TF_CONFIG for `count` workers on this machine."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return [
        {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}})}
        for i in range(count)
    ]


def _shard(folder, split, index, count, numbers, draw):
    from records.dataset import schema
    from records.dataset.manifest import Shard
    from records.dataset.shards import shard_name
    from records.tfrecord import framing

    data = b""
    for number in numbers:
        text = "".join(draw.choice(list(ALPHABET), LENGTH))
        data += framing.frame(schema.encode(f"{split}-{number}", stripes(text, draw).tobytes(), text))
    name = shard_name("stripes", split, index, count)
    (folder / name).write_bytes(data)
    return Shard(name, len(numbers), len(data), hashlib.sha256(data).hexdigest())


def _die_at(number):
    """Ends this process at the given one of all the calls that change what the disk holds."""
    count = 0

    def deadly(function):
        def call(*arguments, **options):
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    os.fsync, os.replace, pathlib.Path.unlink = map(deadly, (os.fsync, os.replace, pathlib.Path.unlink))


def _train(arguments):
    """What main.py does with the stage, without its flags."""
    from pipeline.config import RunConfig, TrainConfig
    from pipeline.training.train import train
    from pipeline.workdir import Workdir
    from records.errors import DigitwiseError
    from tests import tiny_network

    tiny_network.install()
    config = RunConfig(
        stages=("train",),
        workdir=arguments["workdir"],
        overwrite=arguments["overwrite"],
        train=TrainConfig(**arguments["train"]),
    )
    if arguments["die_at"]:
        _die_at(arguments["die_at"])
    try:
        train(config, Workdir(config.workdir))
    except KeyboardInterrupt:
        return 130
    except DigitwiseError as error:
        print(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_train(json.loads(sys.argv[1])))
