"""The settings of trainings; `pipeline.config` has those of all stages."""

import dataclasses
from typing import Any

from pipeline import choices
from pipeline.values import SettingError, check_choice, check_number

# Of --initialize_from, where it names no folder.
AUTO_WEIGHTS, NO_WEIGHTS, INCLUDED_WEIGHTS = "auto", "none", "included"

# With --learn_from=hardest: a step reads so many images for each of --batch_size, and learns from one in so many, that
# which it reads worst. Reading an image takes less than a third of the time of learning from it: such a step takes a
# tenth to a fifth longer than one that learns from all of --batch_size, or half as long where it remembers how they
# were read.
READ_TIMES, HARDEST_OF = 2, 4


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Train a network on records, on synthetic images, or on both."""

    network: choices.Network = "alexnet"
    readout: choices.Readout = "positions"
    channels: int | None = None
    cleaning: choices.Cleaning = "none"
    augmentation: float | None = None
    dropout: float | None = None
    batch_size: int = 64
    learn_from: choices.LearnFrom = "auto"
    epochs: int = 0
    synthetic_share: float | None = None
    initialize_from: str = AUTO_WEIGHTS
    optimizer: choices.Optimizer = "adamw"
    schedule: choices.Schedule = "auto"
    learning_rate: float = 5e-3
    weight_decay: float = 0.5
    averaging: float = 0.98  # an average over about the last 1 / (1 - 0.98) = 50 steps
    precision: choices.Precision = "auto"
    xla: bool = False
    train_seed: int = 0
    validation_steps: int = 0
    patience: int | None = None
    max_minutes: float = 20.0
    target_accuracy: float | None = None
    checkpoint_seconds: float = 30.0
    strategy: choices.Strategy = "auto"
    devices: str = ""
    logical_devices: int = 0
    peer_seconds: float = 60.0
    profile: bool = False

    def __post_init__(self) -> None:
        check_choice("--network", self.network, choices.NETWORKS)
        check_choice("--readout", self.readout, choices.READOUTS)
        if self.channels is not None:
            check_choice("--channels", str(self.channels), ("1", "3"))
        check_choice("--cleaning", self.cleaning, choices.CLEANINGS)
        check_choice("--learn_from", self.learn_from, choices.LEARN_FROM)
        check_choice("--optimizer", self.optimizer, choices.OPTIMIZERS)
        check_choice("--schedule", self.schedule, choices.SCHEDULES)
        check_choice("--precision", self.precision, choices.PRECISIONS)
        check_choice("--strategy", self.strategy, choices.STRATEGIES)
        if self.readout == "ctc" and self.network not in choices.COLUMN_NETWORKS:
            raise SettingError(
                f"--readout=ctc does not work with --network={self.network}: "
                f"use --network={' or '.join(choices.COLUMN_NETWORKS)}"
            )
        if self.network == "crnn" and self.readout != "ctc":
            raise SettingError(f"--network=crnn does not work with --readout={self.readout}: use --readout=ctc")
        if self.augmentation is not None:
            check_number("--augmentation", self.augmentation, 0, 3)
        if self.dropout is not None:
            check_number("--dropout", self.dropout, 0, 0.95)  # at 1 nothing would be left to learn from
        check_number("--batch_size", self.batch_size, 1, 1_000_000)
        if self.images_per_step % self.hardest_of:
            raise SettingError(
                f"--batch_size={self.batch_size}: --learn_from=hardest reads {self.images_per_step} images at a step "
                f"and learns from one in {self.hardest_of}: use an even number"
            )
        check_number("--epochs", self.epochs, 0, 1_000_000)
        if self.synthetic_share is not None:
            check_number("--synthetic_share", self.synthetic_share, 0, 1)
        check_number("--learning_rate", self.learning_rate, 1e-9, 100)
        check_number("--weight_decay", self.weight_decay, 0, 10)
        check_number("--averaging", self.averaging, 0, 0.9999)  # at 1 the average would stay at the initial weights
        check_number("--train_seed", self.train_seed, 0, 2**32 - 1)  # NumPy takes no larger seed
        check_number("--validation_steps", self.validation_steps, 0, 1_000_000_000)
        if self.patience is not None:
            check_number("--patience", self.patience, 0, 1_000_000)
        check_number("--max_minutes", self.max_minutes, 0, 1_000_000)
        if self.target_accuracy is not None:
            check_number("--target_accuracy", self.target_accuracy, 0, 1)
        check_number("--checkpoint_seconds", self.checkpoint_seconds, 0, 1_000_000)
        check_number("--logical_devices", self.logical_devices, 0, 64)
        check_number("--peer_seconds", self.peer_seconds, 0, 1_000_000)

    @property
    def hardest_of(self) -> int:
        """A step learns from one image in so many that it reads; 1: from all."""
        return HARDEST_OF if self.learn_from == "hardest" else 1

    @property
    def images_per_step(self) -> int:
        """How many images a step reads, over all devices together."""
        return self.batch_size * READ_TIMES if self.learn_from == "hardest" else self.batch_size

    @property
    def given_weights(self) -> str:
        """The folder that the initial weights come from, empty where the settings name none."""
        return "" if self.initialize_from in (AUTO_WEIGHTS, NO_WEIGHTS, INCLUDED_WEIGHTS) else self.initialize_from

    @property
    def result_settings(self) -> dict[str, Any]:
        """The settings that decide the trained weights; the others say where training runs and what it logs."""
        others = (
            "max_minutes", "checkpoint_seconds", "strategy", "devices", "logical_devices", "peer_seconds", "profile"
        )  # fmt: skip
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in others}
