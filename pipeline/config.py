"""What each stage is asked to do: frozen, typed settings, checked when they are built.

The defaults here are the defaults of the flags, and no other file knows them. SettingError names the flag to correct.
"""

import dataclasses
import os
import re
from typing import Any, Literal

from pipeline import choices
from pipeline.train_config import TrainConfig as TrainConfig
from pipeline.use_config import ServeConfig, UseConfig
from pipeline.values import (
    LOCAL,
    MAX_FONT_SIZE,
    MIN_FONT_SIZE,
    Color,
    SettingError,
    check_address,
    check_alphabet,
    check_choice,
    check_cluster,
    check_contrast,
    check_degrees,
    check_entries,
    check_lengths,
    check_number,
    check_pattern,
    check_range,
    check_size,
    check_visible,
    check_workdir,
    format_color,
    format_degrees,
    format_range,
)

STAGES: tuple[str, ...] = tuple(  # in the order in which they run: each reads what earlier ones wrote
    "check inspect generate records train test export predict folds cleanings serve".split()
)
ALL_STAGES: tuple[str, ...] = ("check", "generate", "records", "train", "test")  # what `all` stands for

_DIGITS = "0123456789"


@dataclasses.dataclass(frozen=True)
class CodeConfig:
    """What codes are made of and how large their images are; None leaves it to the images that are read.

    `alphabet` holds the characters themselves, in order; `code_length` is (minimum, maximum); `image_size` is (width,
    height).
    """

    alphabet: str | None = None
    code_length: tuple[int, int] | None = None
    image_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.alphabet is not None:
            check_alphabet("--alphabet", self.alphabet)
        if self.code_length is not None:
            check_lengths("--code_length", self.code_length)
        if self.image_size is not None:
            check_size("--image_size", self.image_size)

    @property
    def characters(self) -> str:
        """The alphabet, or the default where it is left open."""
        return self.alphabet or _DIGITS

    @property
    def lengths(self) -> tuple[int, int]:
        """(minimum, maximum) characters of a synthetic code."""
        return self.code_length or (4, 4)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a synthetic image in pixels."""
        return self.image_size or (160, 60)  # the captcha package's own default


@dataclasses.dataclass(frozen=True)
class DrawingConfig:
    """What synthetic images look like. Image i depends on these settings, the codes' and i, and on nothing else."""

    fonts: tuple[str, ...] = ()
    seed: int = 0
    distortion: choices.Distortion = "0.7.1"  # from here to noise_curves: the captcha package's own defaults
    rotation: tuple[float, float] = (-30.0, 30.0)
    warp_x: tuple[float, float] = (0.1, 0.3)
    warp_y: tuple[float, float] = (0.2, 0.3)
    font_sizes: tuple[int, ...] = (42, 50, 56)
    overlap: float = 0.25
    space_probability: float = 0.5
    noise_dots: int = 30
    noise_curves: int = 1
    foreground: Color | None = None
    background: Color | None = None
    renderer: choices.Renderer = "fast"

    def __post_init__(self) -> None:
        check_entries("--fonts", self.fonts, "font files")
        check_number("--seed", self.seed, 0, 2**63 - 1)
        check_choice("--renderer", self.renderer, choices.RENDERERS)
        check_choice("--distortion", self.distortion, choices.DISTORTIONS)
        check_degrees("--rotation", self.rotation)
        check_range("--warp_x", self.warp_x, 2)
        check_range("--warp_y", self.warp_y, 2)
        for size in self.font_sizes:
            check_number("--font_sizes", size, MIN_FONT_SIZE, MAX_FONT_SIZE)
        check_number("--overlap", self.overlap, 0, 1)
        check_number("--space_probability", self.space_probability, 0, 1)
        check_number("--noise_dots", self.noise_dots, 0, 10_000)
        check_number("--noise_curves", self.noise_curves, 0, 100)
        if self.foreground is not None:
            check_visible("--foreground", self.foreground)
            if self.background is not None:
                check_contrast("--foreground", self.foreground, self.background)

    def to_json(self) -> dict[str, Any]:
        """The settings as they are stored beside images and records, where equal JSON means equal images.

        Ranges, sizes and colours are text there because they were when the first of these files was written, and
        images that exist must be recognized.
        """
        settings = dataclasses.asdict(self)
        del settings["renderer"]  # all of them draw the same pixels, so a set may be continued with another one
        return settings | {
            "fonts": list(self.fonts),
            "rotation": format_degrees(self.rotation),
            "warp_x": format_range(self.warp_x),
            "warp_y": format_range(self.warp_y),
            "font_sizes": [str(size) for size in self.font_sizes],
            "foreground": format_color(self.foreground) if self.foreground else "",
            "background": format_color(self.background) if self.background else "",
        }


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
    """Generate synthetic images as files, with a labels.csv."""

    drawing: DrawingConfig = DrawingConfig()
    num_images: int = 25_000  # with a margin, as many as 99.5 % whole-code accuracy takes

    def __post_init__(self) -> None:
        check_number("--num_images", self.num_images, 1, 1_000_000_000)


@dataclasses.dataclass(frozen=True)
class RecordsConfig:
    """Write labelled images into TFRecord shards."""

    source: choices.Source = "images"
    images: str = ""
    label_pattern: str = ""
    unlabelled: str = ""
    name: str = "codes"
    validation_fraction: float = 0.04  # 1,000 of 25,000 images: it is read again and again
    test_fraction: float = 0.1  # 2,500 of them: it is read once, and gives the figure
    images_per_shard: int = 2_500
    image_format: choices.ImageFormat = "auto"
    colors: choices.Colors = "auto"
    compression: choices.Compression = "none"
    resize: bool = False
    fold_case: bool = False
    upload: str = ""

    def __post_init__(self) -> None:
        check_choice("--source", self.source, choices.SOURCES)
        check_choice("--image_format", self.image_format, choices.IMAGE_FORMATS)
        check_choice("--colors", self.colors, choices.COLORS)
        check_choice("--compression", self.compression, choices.COMPRESSIONS)
        check_number("--validation_fraction", self.validation_fraction, 0, 1)
        check_number("--test_fraction", self.test_fraction, 0, 1)
        if self.validation_fraction + self.test_fraction >= 1:
            raise SettingError(
                f"--validation_fraction={self.validation_fraction} and --test_fraction={self.test_fraction} "
                "leave nothing to train on: their sum must be below 1"
            )
        check_number("--images_per_shard", self.images_per_shard, 1, 10_000_000)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name):  # as tensorflow-datasets names its sets
            raise SettingError(
                f"--name={self.name!r}: expected lower-case letters, digits and underscores, starting with a letter"
            )
        if self.source == "synthetic" and self.images:
            raise SettingError("--images and --source=synthetic cannot be used together: give only one of them")
        if self.unlabelled and not self.images:
            raise SettingError("--unlabelled adds to labelled images: give --images too")
        if self.label_pattern:
            check_pattern("--label_pattern", self.label_pattern)
        check_address("--upload", self.upload)


@dataclasses.dataclass(frozen=True)
class ForeignConfig:
    """Read TFRecords that another project wrote. What is left open is detected, or asked for."""

    records: tuple[str, ...] = ()
    mapping: tuple[str, ...] = ()
    image_key: str = ""
    text_key: str = ""
    charset: str = ""
    first_id: int | None = None
    padding: int | Literal["none"] | None = None
    separator: str = ""
    image_shape: tuple[int, ...] = ()
    image_type: str = ""
    image_range: tuple[float, float] | None = None
    channel_order: str = ""
    views: int = 0
    answers: str = ""
    full_check: bool = False

    def __post_init__(self) -> None:
        if self.channel_order:
            check_choice("--channel_order", self.channel_order, choices.CHANNEL_ORDERS)
        if self.image_type:
            check_choice("--image_type", self.image_type, choices.IMAGE_TYPES)
        if self.first_id is not None:
            check_number("--first_id", self.first_id, 0, 1_000_000)
        if self.answers:
            check_choice("--answers", self.answers, ("likely",))
        check_number("--views", self.views, 0, 64)
        check_entries("--records", self.records, "files, folders or globs")
        if len(set(self.records)) < len(self.records):
            raise SettingError("--records names the same entry twice")
        if self.mapping and not self.records:
            raise SettingError("--mapping describes how to read --records: give --records too")


@dataclasses.dataclass(frozen=True)
class TestConfig:
    """Read a held-out split and report how well that went."""

    __test__ = False  # pytest would collect a class named Test... as a test

    checkpoint: str = ""
    split: str = "test"
    shown_predictions: int = 8

    def __post_init__(self) -> None:
        check_number("--shown_predictions", self.shown_predictions, 0, 1_000)
        if not self.split:
            raise SettingError("--split is empty: expected the name of a split, such as test or validation")


@dataclasses.dataclass(frozen=True)
class TrialsConfig:
    """Train several times and compare."""

    folds: int = 5

    def __post_init__(self) -> None:
        check_number("--folds", self.folds, 2, 100)


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Which stages to run, where, and with how many processes; the settings of each stage."""

    stages: tuple[str, ...] = ("all",)
    workdir: str = "workdir"
    overwrite: bool = False
    workers: int = 0
    cluster: str = LOCAL
    code: CodeConfig = CodeConfig()
    generate: GenerateConfig = GenerateConfig()
    foreign: ForeignConfig = ForeignConfig()
    records: RecordsConfig = RecordsConfig()
    train: TrainConfig = TrainConfig()
    test: TestConfig = TestConfig()
    trials: TrialsConfig = TrialsConfig()
    use: UseConfig = UseConfig()
    serve: ServeConfig = ServeConfig()

    def __post_init__(self) -> None:
        for stage in self.stages:
            check_choice("--stage", stage, (*STAGES, "all"))
        if not self.stages:
            raise SettingError(f"--stage is empty: expected one or more of {', '.join(STAGES)}, all")
        check_number("--workers", self.workers, 0, 1024)
        check_cluster("--cluster", self.cluster)
        check_workdir("--workdir", self.workdir)
        if self.foreign.records and (self.records.images or self.records.source == "synthetic"):
            raise SettingError("--records, --images and --source=synthetic cannot be used together: give one of them")
        if "predict" in self.stages and self.ordered_stages != ("predict",):
            raise SettingError("--stage=predict runs on its own: its readings are all that is on stdout")
        self._check_multi_worker()
        if "folds" in self.stages and self.records.unlabelled:
            raise SettingError("--stage=folds trains on labelled images alone: leave out --unlabelled")
        validation, folds = self.records.validation_fraction, self.trials.folds
        if "folds" in self.stages and validation + 1 / folds >= 1:
            raise SettingError(f"--folds={folds} and --validation_fraction={validation} leave nothing to train on")

    def _check_multi_worker(self) -> None:
        single = [stage for stage in self.ordered_stages if stage not in ("check", "train", "test")]
        if single and self.train.strategy == "multi_worker":
            raise SettingError(
                f"--stage={single[0]} does not work with --strategy=multi_worker: run it once without it, then run "
                "--stage=train,test with it on every worker"
            )

    @property
    def synthetic_share(self) -> float:
        """The share of each training batch that is rendered during training."""
        if self.train.synthetic_share is None:
            return 1.0 if self.records.source == "synthetic" else 0.0
        return self.train.synthetic_share

    @property
    def ordered_stages(self) -> tuple[str, ...]:
        """The requested stages, each once, in the order in which they build on each other."""
        requested = {*self.stages, *(ALL_STAGES if "all" in self.stages else ())}
        return tuple(stage for stage in STAGES if stage in requested)

    @property
    def processes(self) -> int:
        """The number of worker processes: as requested, or one per core that this process may use."""
        return self.workers or available_cores()


def available_cores() -> int:  # a container or taskset may leave a process fewer than the machine has
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
