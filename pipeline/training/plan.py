"""What a training is to be, with everything settled that the settings leave open; without TensorFlow.

plan = Plan.of(config, manifest, synthetic, found=None)
plan.length.num_steps, plan.spec, plan.provenance
"""

import dataclasses
import math
from typing import Any, Self

from alexnet.catalogue import CATALOGUE
from pipeline import choices
from pipeline.config import RunConfig, TrainConfig
from pipeline.drawing.stream import SyntheticImages
from pipeline.machine.devices import fast_precision
from pipeline.model import included
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.input_channels import input_channels
from pipeline.model.pace import Pace
from pipeline.model.provenance import EarlierTraining, Provenance, TrainedRecords
from pipeline.model.spec import ModelSpec
from pipeline.model.state import TrainingState
from pipeline.train_config import AUTO_WEIGHTS, INCLUDED_WEIGHTS, NO_WEIGHTS
from pipeline.training.pace import ANNEAL_SHARE, PaceRules, learning_rate
from pipeline.training.rates import AUTO, SCHEDULES
from pipeline.training.schedule import LOOK_STEPS, MOST_CALIBRATED, MOST_VALIDATED, Schedule
from pipeline.workdir import differing_settings, plain
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError

FEW_EXAMPLES: int = 10_000
_USUAL_IMAGES = 64_500  # seen in training, each pass over them counted
_VARIED_TIMES = 3
_MIN_EPOCHS = 3
_VALIDATIONS = 20  # at most, unless it is said how many steps lie between
_WARM_STEPS = 100
_MOST_IMAGES = 3_200_000  # where a training finds its own length
# Validations without improvement, after which a training ends or, with `auto`, the rate comes down. One whose rate
# comes down at the end anyway is never cut short: it reads best there.
_PATIENCE: dict[str, int] = {AUTO: 1, "constant": 10, "one_cycle": 0}
_PATIENT_TIMES = 3  # with `auto`, as long as many codes are misread
# Seen at full rate where a training finds its own length, or as many passes if that is less.
_LEAST_IMAGES, _LEAST_PASSES = 24_000, 75
_LEAST_IMAGES_LEARNED = 9_600  # where the initial weights have learned codes before
_LEAST_IMAGES_OF_HARDEST = 11_200  # the same where a step learns from those that it remembers as the hardest
# With fewer a step would choose too few to learn from, and multiples can be shared by any usual number of replicas.
_BATCHES_OF_HARDEST = 32
_GROWTH = 0.15  # from a validation to the next, where nobody knows how many there will be
# An image that is read costs about 0.4 of one that is learned from, and validations are to take an eighth of the time.
_IMAGES_BETWEEN = 3  # for each image that a validation reads


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a training is, or is at most, and how often it reads the validation split."""

    epochs: int
    per_epoch: int  # steps
    validation_every: int
    growth: float = 0.0

    @classmethod
    def of(cls, asked: TrainConfig, manifest: Manifest, num_synthetic: int, num_images: int) -> Self:
        """An epoch is a pass over the train split, or `num_images` where no example comes from there."""
        recorded = asked.images_per_step - num_synthetic
        per_epoch = steps_per_epoch(manifest, recorded) if recorded else max(1, num_images // asked.images_per_step)
        if asked.schedule == AUTO:
            read = min(manifest.count("validation"), MOST_VALIDATED) + min(
                per_epoch * asked.images_per_step, MOST_CALIBRATED
            )
            looks = math.ceil(_IMAGES_BETWEEN * read / (asked.batch_size * LOOK_STEPS))
            epochs = math.ceil(_MOST_IMAGES / (per_epoch * asked.batch_size))
            return cls(epochs, per_epoch, asked.validation_steps or looks * LOOK_STEPS, _GROWTH)
        epochs = asked.epochs or (
            # As long as a training with them that finds its own length is at least.
            math.ceil((1 + ANNEAL_SHARE) * _least_steps(asked, per_epoch) / per_epoch)
            if asked.initialize_from == INCLUDED_WEIGHTS
            else usual_epochs(per_epoch, asked.batch_size, bool(asked.augmentation))
        )
        every = asked.validation_steps or max(per_epoch, epochs * per_epoch // _VALIDATIONS)
        return cls(epochs, per_epoch, every)

    @property
    def num_steps(self) -> int:
        return self.epochs * self.per_epoch

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.num_steps, self.validation_every, growth=self.growth)


@dataclasses.dataclass(frozen=True)
class Plan:
    """`asked` are the settings with the augmentation settled; `num_synthetic` images of each batch are synthetic."""

    asked: TrainConfig
    length: Length
    spec: ModelSpec
    provenance: Provenance
    num_synthetic: int = 0

    @classmethod
    def of(
        cls, config: RunConfig, manifest: Manifest, synthetic: SyntheticImages | None, found: TrainingState | None
    ) -> Self:
        """As the training `found` was begun, where the settings leave something open."""
        channels = channels_for(config.train, found, manifest)
        schedule = schedule_for(config.train, manifest)
        learn_from = learn_from_for(config.train, found, manifest, schedule, config.synthetic_share > 0)
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, learn_from=learn_from))
        num_synthetic = synthetic_per_batch(config)
        asked = dataclasses.replace(
            config.train,
            augmentation=augmentation_for(config.train, found, manifest, num_synthetic == config.train.images_per_step),
            channels=channels,
            schedule=schedule,
            patience=patience_for(config.train, schedule),
            initialize_from=weights_for(config.train, found, manifest, num_synthetic),
        )
        provenance = Provenance(
            plain(asked.result_settings),
            TrainedRecords.of(manifest, manifest.split_rule),
            plain(synthetic.settings) if synthetic else None,
            _earlier(asked, found),
        )
        length = Length.of(asked, manifest, num_synthetic, config.generate.num_images)
        spec = ModelSpec.of(asked, manifest, _precision(asked, found))
        if found:  # begun, perhaps, when images came in at another size
            shape = (*found.spec.image_shape[:2], channels)
            spec = dataclasses.replace(spec, image_shape=shape, resizing=found.spec.resizing)
        return cls(asked, length, spec, provenance, num_synthetic)

    @property
    def remembers(self) -> bool:
        """Whether it remembers how each image was read last: only to choose the hardest by that, and images that are
        drawn come once."""
        chooses = self.asked.schedule == AUTO and self.asked.hardest_of > 1 and self.num_synthetic == 0
        return chooses and self.provenance.records.train >= self.asked.images_per_step

    def remembers_from(self, pace: Pace | None) -> int | None:
        """The step from which on the hardest images are those that were read worst last; None: never yet. All must have
        been read once, and nearly all read right: where many are not, wrong labels among them would be learned."""
        if not self.remembers or not pace or pace.anneal_step is None or pace.reason != "learned":
            return None
        return max(pace.anneal_step, self.length.per_epoch)

    @property
    def pace_rules(self) -> PaceRules | None:
        """How the training finds its own length, None where that is settled."""
        if self.asked.schedule != AUTO:
            return None
        asked, length = self.asked, self.length
        least = _least_steps(asked, length.per_epoch)
        return PaceRules(
            peak=asked.learning_rate,
            warm_steps=_WARM_STEPS,
            patience=asked.patience or 0,
            most_steps=length.num_steps,
            patient_times=_PATIENT_TIMES,
            least_steps=least,
            validation_every=length.validation_every,
        )

    def learning_rate(self, step: int, pace: Pace | None = None) -> float:
        """That of a step; `pace` is that of the training's state."""
        if self.pace_rules:
            return learning_rate(self.pace_rules, pace or Pace(), step)
        return SCHEDULES[self.asked.schedule](self.asked.learning_rate, self.length.num_steps, step)

    def differing(self, found: TrainingState) -> list[tuple[str, Any, Any]]:
        """[(name, before, now)] of what `found` was begun with and what it would continue with."""
        # The number of synthetic images in an epoch is no setting of its own, so it shows in the number of steps only.
        # Where a training finds its length, that is no setting either.
        steps = ({"steps": found.num_steps}, {"steps": found.num_steps if found.pace else self.length.num_steps})
        revisions = ({"network_revision": found.spec.revision}, {"network_revision": self.spec.revision})
        return (
            differing_settings(found.provenance.compared, self.provenance.compared)
            or differing_settings(*revisions)
            or differing_settings(*steps)
        )


def synthetic_per_batch(config: RunConfig) -> int:
    """How many of the images that a step reads are synthetic."""
    return round(config.synthetic_share * config.train.images_per_step)


def steps_per_epoch(manifest: Manifest, batch_size: int) -> int:
    """Whole batches only: an epoch leaves out a few examples, other ones each time. Where there are fewer than a batch,
    some are in it more than once."""
    count = manifest.count("train")
    if not count:
        raise DigitwiseError(f"{manifest.folder} has no examples to train on: its train split is empty")
    return max(1, count // batch_size)


def usual_epochs(per_epoch: int, batch_size: int, varied: bool = False) -> int:
    """How many passes make as many steps as these networks need: fewer images are seen more often, and more often still
    where they are `varied` each time."""
    images = _USUAL_IMAGES * (_VARIED_TIMES if varied else 1)
    return max(_MIN_EPOCHS, math.ceil(images / (per_epoch * batch_size)))


def _least_steps(asked: TrainConfig, per_epoch: int) -> int:
    """At full rate: so many images seen, or all of them so often."""
    learned = _LEAST_IMAGES_OF_HARDEST if asked.hardest_of > 1 else _LEAST_IMAGES_LEARNED
    images = learned if asked.initialize_from == INCLUDED_WEIGHTS else _LEAST_IMAGES
    return min(math.ceil(images / asked.batch_size), _LEAST_PASSES * per_epoch)


def schedule_for(asked: TrainConfig, manifest: Manifest) -> choices.Schedule:
    """The schedule in use: a training can find its length only if it is left open, and by its validations."""
    if asked.schedule == AUTO and (asked.epochs or not manifest.count("validation")):
        return "one_cycle"
    return asked.schedule


def patience_for(asked: TrainConfig, schedule: str) -> int:
    """Validations without improvement; 0: never mind them."""
    return _PATIENCE[schedule] if asked.patience is None else asked.patience


def learn_from_for(
    asked: TrainConfig, found: TrainingState | None, manifest: Manifest, schedule: str, draws: bool
) -> choices.LearnFrom:
    """Where there are many images, most soon have nothing more to teach. Few have to be learned from again and again,
    and what is drawn for a step should not be drawn in vain. As `found` was begun, where that is left open."""
    if asked.learn_from != "auto":
        return asked.learn_from
    if found:
        return "hardest" if found.provenance.learn_from == "hardest" else "all"
    suits = schedule == AUTO and not draws and asked.batch_size % _BATCHES_OF_HARDEST == 0
    return "hardest" if suits and manifest.count("train") >= FEW_EXAMPLES else "all"


def strength_for(num_examples: int) -> float:
    """How strongly images are varied unless a strength is given: few images look too much alike to learn from them as
    they are."""
    return 1.0 if num_examples < FEW_EXAMPLES else 0.0


def augmentation_for(asked: TrainConfig, found: TrainingState | None, manifest: Manifest, draws_all: bool) -> float:
    """How strongly the images of records are varied: as `found` was begun, where no strength is given."""
    if draws_all:
        return 0.0  # synthetic images are varied enough
    if asked.augmentation is not None:
        return asked.augmentation
    return found.provenance.augmentation if found else strength_for(manifest.count("train"))


def weights_for(asked: TrainConfig, found: TrainingState | None, manifest: Manifest, num_synthetic: int) -> str:
    """A folder, those that are included or none: as `found` was begun, where that is left open.

    Few images need the included ones even where some of their codes were learned by them, which the report counts."""
    if asked.initialize_from != AUTO_WEIGHTS:
        return "" if asked.initialize_from == NO_WEIGHTS else asked.initialize_from
    if found:
        return str(found.provenance.settings.get("initialize_from", ""))
    fits = CATALOGUE[asked.network].module == included.MODULE
    is_few = not num_synthetic and manifest.count("train") < FEW_EXAMPLES
    may_share = included.may_have_learned(manifest.alphabet, bool(manifest.settings.get("fold_case")))
    return INCLUDED_WEIGHTS if fits and (is_few or not may_share) else ""


def begins_with(asked: TrainConfig) -> Checkpoints | None:
    """The checkpoints whose best gives the initial weights."""
    if asked.initialize_from == INCLUDED_WEIGHTS:
        return Checkpoints(included.FOLDER)
    return Checkpoints.given("--initialize_from", asked.initialize_from) if asked.initialize_from else None


def channels_for(asked: TrainConfig, found: TrainingState | None, manifest: Manifest) -> int:
    """1 or 3, as `found` was begun where that is left open."""
    if asked.channels is not None:
        return asked.channels
    return found.spec.image_shape[2] if found else input_channels(manifest)


def _precision(asked: TrainConfig, found: TrainingState | None) -> str:
    """The precision in use: that of `found`, should `auto` mean another on the machine that continues it."""
    if asked.precision != "auto":
        return asked.precision
    return found.spec.precision if found else fast_precision()


def _earlier(asked: TrainConfig, found: TrainingState | None) -> tuple[EarlierTraining, ...]:
    """The trainings whose weights this one began with."""
    if found:
        return found.provenance.earlier
    given = begins_with(asked)
    return given.best_state().provenance.lineage if given else ()
