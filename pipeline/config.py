"""What each stage is asked to do: frozen settings, checked when they are built.

The defaults here are the defaults of the flags; only this file knows them. SettingError names the flag to mend.
"""

import dataclasses
import os
import re

from pipeline.values import (
    SettingError,
    check_pattern,
    check_shows,
    number,
    one_of,
    parse_color,
    parse_degrees,
    parse_lengths,
    parse_range,
    parse_range_of_values,
    parse_size,
    parse_sizes,
    whole_number,
)

STAGES = ("check", "inspect", "generate", "records", "train", "test", "folds", "cleanings")
ALL_STAGES = ("check", "generate", "records", "train", "test")  # what `all` stands for
SOURCES = ("images", "synthetic")
RENDERERS = ("fast", "captcha")
DISTORTIONS = ("0.7.1", "0.7.0")
IMAGE_FORMATS = ("auto", "png", "jpeg", "raw")
COLORS = ("auto", "grey", "rgb")
COMPRESSIONS = ("none", "gzip")
STRATEGIES = ("auto", "one", "mirrored", "multi_worker")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
NETWORKS = ("alexnet", "alexnet_v2", "three_conv", "nptu", "percent4", "vgg", "crnn")
COLUMN_NETWORKS = ("alexnet", "crnn")  # ctc reads columns; the others have one head for each position
READOUTS = ("positions", "ctc")
CLEANINGS = ("none", "threshold", "median", "median_threshold")
OPTIMIZERS = ("adamw", "adadelta")
SCHEDULES = ("one_cycle", "constant")
CHANNEL_ORDERS = ("rgb", "bgr")
IMAGE_TYPES = ("uint8", "int8", "int16", "uint16", "int32", "int64", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class DrawingConfig:
    """How a synthetic image looks. Image i is a function of these and i alone."""

    alphabet: str = ""
    code_length: str = ""
    image_size: str = ""
    fonts: tuple = ()
    seed: int = 0
    distortion: str = "0.7.1"
    rotation: str = "30"
    warp_x: str = "0.1-0.3"
    warp_y: str = "0.2-0.3"
    font_sizes: tuple = ("42", "50", "56")
    overlap: float = 0.25
    space_probability: float = 0.5
    noise_dots: int = 30
    noise_curves: int = 1
    foreground: str = ""
    background: str = ""
    renderer: str = "fast"

    def __post_init__(self):
        one_of("--renderer", self.renderer, RENDERERS)
        one_of("--distortion", self.distortion, DISTORTIONS)
        self.lengths, self.size, self.warp_ranges, self.sizes_of_font  # each raises where it cannot be read
        number("--seed", self.seed, 0, 2**63 - 1)
        number("--overlap", self.overlap, 0, 1)
        number("--space_probability", self.space_probability, 0, 1)
        number("--noise_dots", self.noise_dots, 0, 10_000)
        number("--noise_curves", self.noise_curves, 0, 100)
        parse_color("--background", self.background)
        check_shows("--foreground", parse_color("--foreground", self.foreground))
        parse_degrees("--rotation", self.rotation)

    @property
    def characters(self):
        """What codes are made of, as --alphabet takes it."""
        return self.alphabet or "digits"

    @property
    def lengths(self):
        """(least, most) characters of a code."""
        return parse_lengths(self.code_length or "4")

    @property
    def size(self):
        """(width, height) in pixels."""
        return parse_size(self.image_size or "160x60")

    @property
    def warp_ranges(self):
        return parse_range("--warp_x", self.warp_x), parse_range("--warp_y", self.warp_y)

    @property
    def sizes_of_font(self):
        return tuple(whole_number("--font_sizes", size, 4, 1000) for size in self.font_sizes)


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
    """Draw image files and labels.csv."""

    drawing: DrawingConfig = DrawingConfig()
    num_images: int = 25_000

    def __post_init__(self):
        number("--num_images", self.num_images, 1, 1_000_000_000)


@dataclasses.dataclass(frozen=True)
class RecordsConfig:
    """Serialize labelled images into TFRecord shards."""

    source: str = "images"
    images: str = ""
    label_pattern: str = ""
    name: str = "codes"
    validation_fraction: float = 0.04
    test_fraction: float = 0.1
    images_per_shard: int = 2_500
    image_format: str = "auto"
    colors: str = "auto"
    compression: str = "none"
    resize: bool = False
    fold_case: bool = False

    def __post_init__(self):
        one_of("--source", self.source, SOURCES)
        one_of("--image_format", self.image_format, IMAGE_FORMATS)
        one_of("--colors", self.colors, COLORS)
        one_of("--compression", self.compression, COMPRESSIONS)
        number("--validation_fraction", self.validation_fraction, 0, 1)
        number("--test_fraction", self.test_fraction, 0, 1)
        if self.validation_fraction + self.test_fraction >= 1:
            raise SettingError(
                f"--validation_fraction={self.validation_fraction} and --test_fraction={self.test_fraction} "
                "leave nothing to train on: their sum must stay below 1"
            )
        number("--images_per_shard", self.images_per_shard, 1, 10_000_000)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):
            raise SettingError(f"--name={self.name!r}: a name is lower-case letters, digits and _, a letter first")
        if self.source == "synthetic" and self.images:
            raise SettingError("--images is a folder to read, --source=synthetic draws the images: give one of them")
        if self.label_pattern:
            check_pattern("--label_pattern", self.label_pattern)


@dataclasses.dataclass(frozen=True)
class ForeignConfig:
    """Read records as they are, whoever wrote them. What is left empty is found out, or asked for."""

    records: tuple = ()
    mapping: tuple = ()
    image_key: str = ""
    text_key: str = ""
    charset: str = ""
    first_id: str = ""
    padding: str = ""
    separator: str = ""
    image_shape: str = ""
    image_type: str = ""
    image_range: str = ""
    channel_order: str = ""
    views: int = 0
    full_check: bool = False

    def __post_init__(self):
        if self.channel_order:
            one_of("--channel_order", self.channel_order, CHANNEL_ORDERS)
        if self.image_type:
            one_of("--image_type", self.image_type, IMAGE_TYPES)
        if self.first_id:
            whole_number("--first_id", self.first_id, 0, 1_000_000)
        if self.padding and not re.fullmatch(r"-?\d{1,9}|none", self.padding):
            raise SettingError(f"--padding={self.padding}: it takes the id that fills lists up, or none")
        number("--views", self.views, 0, 64)
        if "" in self.records:
            raise SettingError("--records has an empty entry: it takes files, folders or globs, comma separated")
        if len(set(self.records)) < len(self.records):
            raise SettingError("--records names the same entry twice")
        if self.mapping and not self.records:
            raise SettingError("--mapping says how --records are read: give --records too")
        parse_sizes("--image_shape", self.image_shape)
        parse_range_of_values("--image_range", self.image_range)


@dataclasses.dataclass(frozen=True)
class TestConfig:
    """Read a split that was held out, and report how well."""

    __test__ = False  # pytest takes what is called Test... for a test

    checkpoint: str = ""
    split: str = "test"
    shown_predictions: int = 8

    def __post_init__(self):
        number("--shown_predictions", self.shown_predictions, 0, 1_000)
        if not self.split:
            raise SettingError("--split is empty: it takes the name of a split, such as test or validation")


@dataclasses.dataclass(frozen=True)
class TrialsConfig:
    """Train several times, to compare."""

    folds: int = 5

    def __post_init__(self):
        number("--folds", self.folds, 2, 100)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a network on records."""

    network: str = "alexnet"
    readout: str = "positions"
    channels: int = 1
    cleaning: str = "none"
    augmentation: float | None = None
    dropout: float | None = None
    batch_size: int = 64
    epochs: int = 0
    synthetic_share: float | None = None
    initialize_from: str = ""
    optimizer: str = "adamw"
    schedule: str = "one_cycle"
    learning_rate: float = 5e-3
    weight_decay: float = 0.2
    precision: str = "auto"
    xla: bool = False
    train_seed: int = 0
    validation_steps: int = 0
    patience: int = 10
    target_accuracy: float | None = None
    checkpoint_seconds: float = 30.0
    strategy: str = "auto"
    devices: str = ""
    logical_devices: int = 0
    peer_seconds: float = 60.0
    profile: bool = False

    def __post_init__(self):
        one_of("--network", self.network, NETWORKS)
        one_of("--readout", self.readout, READOUTS)
        one_of("--channels", str(self.channels), ("1", "3"))
        one_of("--cleaning", self.cleaning, CLEANINGS)
        one_of("--optimizer", self.optimizer, OPTIMIZERS)
        one_of("--schedule", self.schedule, SCHEDULES)
        one_of("--precision", self.precision, PRECISIONS)
        one_of("--strategy", self.strategy, STRATEGIES)
        if self.readout == "ctc" and self.network not in COLUMN_NETWORKS:
            raise SettingError(
                f"--network={self.network} has no columns for --readout=ctc: take --network={' or '.join(COLUMN_NETWORKS)}"
            )
        if self.network == "crnn" and self.readout != "ctc":
            raise SettingError(f"--network=crnn has columns and no positions for --readout={self.readout}: take ctc")
        if self.augmentation is not None:
            number("--augmentation", self.augmentation, 0, 3)
        if self.dropout is not None:
            number("--dropout", self.dropout, 0, 0.95)
        number("--batch_size", self.batch_size, 1, 1_000_000)
        number("--epochs", self.epochs, 0, 1_000_000)
        if self.synthetic_share is not None:
            number("--synthetic_share", self.synthetic_share, 0, 1)
        number("--learning_rate", self.learning_rate, 1e-9, 100)
        number("--weight_decay", self.weight_decay, 0, 10)
        number("--train_seed", self.train_seed, 0, 2**32 - 1)
        number("--validation_steps", self.validation_steps, 0, 1_000_000_000)
        number("--patience", self.patience, 0, 1_000_000)
        if self.target_accuracy is not None:
            number("--target_accuracy", self.target_accuracy, 0, 1)
        number("--checkpoint_seconds", self.checkpoint_seconds, 0, 1_000_000)
        number("--logical_devices", self.logical_devices, 0, 64)
        number("--peer_seconds", self.peer_seconds, 0, 1_000_000)

    @property
    def result_settings(self):
        """The settings that decide what a training ends in; the others say where it runs and what it leaves behind."""
        beside = ("checkpoint_seconds", "strategy", "devices", "logical_devices", "peer_seconds", "profile")
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in beside}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Which stages to run, where, and with how many processes."""

    stages: tuple = ("all",)
    workdir: str = "workdir"
    overwrite: bool = False
    workers: int = 0
    generate: GenerateConfig = GenerateConfig()
    foreign: ForeignConfig = ForeignConfig()
    records: RecordsConfig = RecordsConfig()
    train: TrainConfig = TrainConfig()
    test: TestConfig = TestConfig()
    trials: TrialsConfig = TrialsConfig()

    def __post_init__(self):
        allowed = (*STAGES, "all")
        for stage in self.stages:
            one_of("--stage", stage, allowed)
        if not self.stages:
            raise SettingError(f"--stage is empty: it takes one or several of {', '.join(allowed)}")
        number("--workers", self.workers, 0, 1024)
        if not self.workdir:
            raise SettingError("--workdir is empty: it takes the folder that holds everything a run makes")
        if self.foreign.records and (self.records.images or self.records.source == "synthetic"):
            raise SettingError("--records, --images and --source=synthetic are three things to read: give one of them")
        alone = [stage for stage in self.ordered_stages if stage not in ("check", "train", "test")]
        if alone and self.train.strategy == "multi_worker":
            raise SettingError(
                f"--stage={alone[0]} is for one process: run it once without --strategy=multi_worker, and then "
                "--stage=train,test with it on every worker"
            )
        if "folds" in self.stages and self.records.validation_fraction + 1 / self.trials.folds >= 1:
            raise SettingError(
                f"--folds={self.trials.folds} and --validation_fraction={self.records.validation_fraction} leave nothing "
                "to train on"
            )

    @property
    def synthetic_share(self):
        """The part of each training batch that is drawn while training."""
        if self.train.synthetic_share is None:
            return 1.0 if self.records.source == "synthetic" else 0.0
        return self.train.synthetic_share

    @property
    def ordered_stages(self):
        """The stages asked for, each once, in the order in which they build on each other."""
        asked = {*self.stages, *(ALL_STAGES if "all" in self.stages else ())}
        return tuple(stage for stage in STAGES if stage in asked)

    @property
    def processes(self):
        """How many worker processes to use: as asked, else one for each core this process may use."""
        return self.workers or available_cores()


def available_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
