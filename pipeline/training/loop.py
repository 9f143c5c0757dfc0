"""The train stage: one loop under every strategy, which can stop anywhere and go on as if it had not.

    state = train(config, workdir)
    state["best"]                 # {"step": 777, "sequence_accuracy": 0.9968, ...}

`Steps` runs steps; `_Training` decides what happens between them. What a step does is a function of the variables, the
step's number and the settings; so a run that was stopped, by whatever, ends with the bits of one that was not, as long
as the machine, the number of threads and the number of replicas are the same. (On GPUs some kernels add up in any order:
the environment variable TF_DETERMINISTIC_OPS=1 makes them keep to one.)

SIGTERM and Ctrl-C end the training after the step under way and a save, as SystemExit(143) and KeyboardInterrupt.
"""

import concurrent.futures
import contextlib
import dataclasses
import signal
import threading
import time

import keras
import numpy as np
import tensorflow as tf

from alexnet.readout import PADDING
from pipeline.config import TrainConfig, available_cores
from pipeline.drawing.stream import Endless, drawn_batches
from pipeline.machine.devices import (
    Cluster,
    check_batch_size,
    describe,
    fast_precision,
    gather,
    is_multi_worker,
    make_strategy,
)
from pipeline.model import metrics
from pipeline.model.checkpoints import Checkpoints, arrays_of, assign_arrays, assign_what_fits
from pipeline.model.recognizer import Recognizer, network_settings, predict_batches
from pipeline.model.shares import Part
from pipeline.training.augmentation import strength_for
from pipeline.training.batches import (
    Drawn,
    decode_split,
    evaluation_batches,
    fits_in_memory,
    steps_per_epoch,
    training_batches,
    usual_epochs,
)
from pipeline.training.display import Display, Waiting, Window
from pipeline.training.logs import Logs, clear, sheet
from pipeline.training.optimizer import learning_rate_at, make_optimizer
from pipeline.workdir import differing_settings, plain, refuse_other_settings
from records.dataset.manifest import Manifest
from records.dataset.verify import shard_problem
from records.errors import DamagedRecords, DigitwiseError

LOOK_STEPS = 10
_CALL_SECONDS = 0.1
_SAVE_PAUSE = 20  # times as long as a save takes
_VALIDATION_BATCH = 256
_HISTORY_ROWS = 200
_SHEET_IMAGES = 16
_PROFILED_STEPS = 10
_LEARNED_SHARE = 0.1  # of what guessing leaves to be read
_VALIDATIONS = 20  # looks at the validation split, at most, unless it is said how many steps lie between


def train(config, workdir, records=None):
    """Trains on workdir.records, or on another folder of them, or goes on where the last checkpoint stands; returns the
    state it ended in."""
    asked = config.train
    manifest = Manifest.load(records or workdir.records)
    checkpoints = Checkpoints(workdir.checkpoints)
    cluster = Cluster.from_environment() if asked.strategy == "multi_worker" else None
    chief = cluster is None or cluster.is_chief
    endless, num_drawn = _endless(config, manifest)
    found = _standing(checkpoints, config.overwrite)
    plan = Plan.of(config, manifest, endless, num_drawn, found)
    differing = plan.differing(found)
    if differing and not config.overwrite:
        refuse_other_settings(f"the training in {checkpoints.folder} (step {found.step})", differing)
    if differing:
        found, plan = None, Plan.of(config, manifest, endless, num_drawn, None)
    if found and found.state["finished"]:
        print(f"train: finished at step {found.step} ({found.state['finished']}); nothing to do")
        return found.state
    asked, initial = plan.asked, None if found else _initial(asked, checkpoints)
    if chief:
        _prepare(checkpoints, workdir, anew=config.overwrite and not found)
    with _told_of_damage(manifest), _told_of_lost_peers(cluster, checkpoints):
        strategy = make_strategy(asked.strategy, asked.devices, asked.logical_devices, asked.peer_seconds)
        _check_replicas(asked, strategy, num_drawn)
        with (
            _drawing(endless, num_drawn, config.processes) as drawn,
            _decoding(manifest, asked, num_drawn) as decoded,
            _interrupts() as interrupts,
        ):
            training = _Training(plan, manifest, strategy, checkpoints, interrupts, chief)
            training.restore(found, initial)
            return training.run(decoded, drawn, workdir.logs)


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a training is, and how often it looks at the validation split."""

    epochs: int
    per_epoch: int
    validation_every: int

    @classmethod
    def of(cls, asked, manifest, num_drawn, num_images):
        """An epoch is a pass over the train split, or `num_images` where no example comes from there."""
        recorded = asked.batch_size - num_drawn
        per_epoch = steps_per_epoch(manifest, recorded) if recorded else max(1, num_images // asked.batch_size)
        epochs = asked.epochs or usual_epochs(per_epoch, asked.batch_size, bool(asked.augmentation))
        often = asked.validation_steps or max(per_epoch, epochs * per_epoch // _VALIDATIONS)
        return cls(epochs, per_epoch, often)

    @property
    def num_steps(self):
        return self.epochs * self.per_epoch


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training is to be: as asked, with all that was left open settled."""

    asked: TrainConfig
    length: Length
    settings: dict

    @classmethod
    def of(cls, config, manifest, endless, num_drawn, found):
        """As the checkpoint `found` was begun, where the settings leave something open."""
        asked = dataclasses.replace(config.train, augmentation=_augmentation(config.train, found, manifest, num_drawn))
        length = Length.of(asked, manifest, num_drawn, config.generate.num_images)
        precision, earlier = _precision(asked, found), _earlier(asked, found)
        return cls(asked, length, training_settings(asked, manifest, precision, endless, earlier))

    def differing(self, found):
        """[(name, before, now)] of what `found` was begun with and what it would go on with."""
        if found is None:
            return []
        before, now = (
            {**s["train"], "records": s["records"]["fingerprint"], "drawn": s.get("drawn")}
            for s in (found.state["settings"], self.settings)
        )
        # The number of images drawn in an epoch is no setting of its own.
        steps = ({"steps": found.state["num_steps"]}, {"steps": self.length.num_steps})
        return differing_settings(before, now) or differing_settings(*steps)


def training_settings(asked, manifest, precision, endless=None, earlier=()):
    """What a checkpoint remembers of how it came to be: plain JSON. `precision` is the one in use, never `auto`."""
    return plain(
        {
            "train": asked.result_settings,
            "network": network_settings(
                manifest,
                asked.network,
                asked.readout,
                asked.channels,
                asked.dropout,
                precision,
                asked.cleaning,
            ),
            "records": {
                "name": manifest.name,
                "fingerprint": manifest.fingerprint,
                "train": manifest.count("train"),
                "validation": manifest.count("validation"),
                "split": manifest.split_rule.fractions if manifest.split_rule else None,
            },
            "drawn": endless.settings if endless else None,
            "earlier": earlier,
        }
    )


class Steps:
    """Runs training steps on all replicas, and tells what they came to."""

    def __init__(self, strategy, recognizer, optimizer, batch_size, xla=False):
        self.strategy = strategy
        self._network = recognizer.network
        self._readout = recognizer.readout
        self._optimizer = optimizer
        self._batch_size = batch_size
        # Loss scaling leaves out a step whose gradients are not finite, and looks at those of one replica only.
        scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self._must_agree = scales and strategy.num_replicas_in_sync > 1
        self._differentiate = (
            tf.function(self._gradients, jit_compile=True, autograph=False) if xla else self._gradients
        )
        # Per step: loss, right positions, counted positions, whether a worker was asked to stop, and seconds spent
        # waiting for images. Each replica keeps its own sums, so that nothing is exchanged before somebody looks.
        self._tally = tf.Variable(
            tf.zeros([LOOK_STEPS, 5]),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )
        self.run = tf.function(self._run, autograph=False)
        self._look = tf.function(self._take_tally, autograph=False)

    def look(self, count):
        """(losses, position accuracies, stops, seconds waited) of the first `count` steps of the tally, which begins
        anew."""
        tally = self._look().numpy()[:count]
        waited = tally[:, 4] / self.strategy.num_replicas_in_sync
        return tally[:, 0], tally[:, 1] / np.maximum(tally[:, 2], 1), tally[:, 3], waited

    def steps_per_call(self, wanted):
        """How many steps `run` may be asked for. Workers exchange numbers within a step, and a loop around that has
        been seen to leave each of them waiting for the other."""
        return 1 if is_multi_worker(self.strategy) else wanted

    def _run(self, iterator, slot, count, stop):
        """`count` steps, as a loop inside TensorFlow: a step is the same whatever their number."""
        if is_multi_worker(self.strategy):
            batch, waited = _timed_next(iterator)
            self.strategy.run(self._step, args=(*batch, slot, stop, waited))
            return

        def step(i):
            batch, waited = _timed_next(iterator)
            self.strategy.run(self._step, args=(*batch, slot + i, stop, waited))
            return i + 1

        tf.while_loop(lambda i: i < count, step, [tf.constant(0)], parallel_iterations=1)

    def _step(self, images, label_ids, slot, stop, waited):
        loss, logits, gradients = self._differentiate(images, label_ids)
        if self._must_agree:
            gradients = _finite_together(gradients)
        self._optimizer.apply(gradients, self._network.trainable_variables)
        right, counted = _position_counts(label_ids, self._readout.decode(logits).label_ids)
        row = tf.stack([loss, right, counted, stop, waited])
        self._tally.assign_add(tf.tensor_scatter_nd_update(tf.zeros([LOOK_STEPS, 5]), [[slot]], [row]))

    def _gradients(self, images, label_ids):
        variables = self._network.trainable_variables
        with tf.GradientTape() as tape:
            logits = self._network(images, training=True)
            losses = self._readout.loss(logits, label_ids)
            loss = tf.nn.compute_average_loss(losses, global_batch_size=self._batch_size)
            if self._network.losses:
                loss += tf.nn.scale_regularization_loss(tf.add_n(self._network.losses))
            scaled = self._optimizer.scale_loss(loss)
        return loss, logits, tape.gradient(scaled, [variable.value for variable in variables])

    def _take_tally(self):
        def take():
            taken = self._tally.read_value()
            self._tally.assign(tf.zeros_like(taken))
            return taken

        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, self.strategy.run(take), axis=None)


class _Training:
    """The loop around the steps: looks, validations, checkpoints, stops."""

    def __init__(self, plan, manifest, strategy, checkpoints, interrupts, chief):
        asked, length, settings = plan.asked, plan.length, plan.settings
        self.asked = asked
        self.manifest = manifest
        self.strategy = strategy
        self.checkpoints = checkpoints
        self.length = length
        self.num_steps = length.num_steps
        self.interrupts = interrupts
        self.chief = chief
        self.precision = settings["network"]["precision"]
        self.step = 0
        self.state = {
            "settings": settings,
            "environment": environment(strategy),
            "num_steps": length.num_steps,
            "validated_step": 0,
            "best": None,
            "stale_validations": 0,
            "finished": None,
            "seconds": 0.0,
        }
        keras.utils.set_random_seed(asked.train_seed)
        with strategy.scope():
            self.recognizer = Recognizer(settings)
            self.optimizer = make_optimizer(
                asked.schedule,
                asked.learning_rate,
                asked.weight_decay,
                length.num_steps,
                self.precision,
                asked.optimizer,
            )
            self.optimizer.build(self.recognizer.network.trainable_variables)
            self.steps = Steps(strategy, self.recognizer, self.optimizer, asked.batch_size, asked.xla)
        self.validation = None
        if manifest.count("validation"):
            self.validation = evaluation_batches(manifest, "validation", _VALIDATION_BATCH, asked.channels)

    def restore(self, checkpoint, initial=None):
        """Takes up the state of a checkpoint, the same one on all workers; or, where there is none, the weights of the
        `initial` one, of another training."""
        step = checkpoint.step if checkpoint else 0
        _check_agreement(self.strategy, step)
        if checkpoint is None:
            if initial:
                self._initialize(initial)
            return
        with self.strategy.scope():
            assign_arrays(checkpoint.arrays, **self._variables())
        self._warn_of_other_environment(checkpoint.state["environment"])
        self.step = self.recognizer.step = step
        self.state = {**checkpoint.state, "environment": self.state["environment"]}

    def _initialize(self, given):
        """Takes what fits of another training's weights."""
        with self.strategy.scope():
            taken, left = assign_what_fits(given.arrays, network=self.recognizer.network.variables)
        if not taken:
            raise DigitwiseError(f"--initialize_from={self.asked.initialize_from}: nothing in it fits this network")
        if self.chief:
            rest = f"; {', '.join(left)} begin{'s' if len(left) == 1 else ''} anew" if left else ""
            print(f"train: {len(taken)} arrays from step {given.step:,} of {self.asked.initialize_from}{rest}")

    def run(self, decoded, drawn, logs_folder):
        """Trains to the end, or until it is asked to stop."""
        self._introduce()
        self.began = time.monotonic() - self.state["seconds"]
        self.logs = Logs(logs_folder, self.step) if self.chief else None
        if self.chief:
            self.logs.network(self.recognizer.network)
        self.saved, self.save_seconds = time.monotonic(), 0.0
        self.looked_step = self.step
        self.window = Window(self.asked.network, self.recognizer.readout, self.step, self.num_steps)
        self.waiting = Waiting(drawn.count / self.asked.batch_size if drawn else 0.0)
        self._trace()
        iterator = iter(self._distributed(decoded(), drawn))
        with (
            contextlib.closing(self.logs) if self.chief else contextlib.nullcontext(),
            Display(self.step, self.num_steps, self.asked.batch_size, quiet=not self.chief) as self.display,
        ):
            while not self._ended():
                self._advance(iterator)
        _check_agreement(self.strategy, self.step)  # no worker goes on before the chief has saved
        return self.state

    def _ended(self):
        """Validates where that is due, and says whether anything is left to do."""
        if self._validation_due() and self.state["validated_step"] != self.step:
            self._validate()
            self.state["finished"] = self._reason_to_end()
            self._save()
        return self.state["finished"] is not None

    def _advance(self, iterator):
        """Some steps, and what is due after them."""
        count = min(self._steps_to_event(), self.steps.steps_per_call(self.display.steps_per_call(_CALL_SECONDS)))
        stop = tf.constant(float(self.interrupts.asked))
        with self._profiled(self.step), self.display.timed(count):
            self.steps.run(iterator, tf.constant(self.step - self.looked_step), tf.constant(count), stop)
        self.step += count
        if self.step % LOOK_STEPS == 0 or self._validation_due() or (self.interrupts.asked and self._alone):
            stopped = self._look()
            if stopped:
                self._leave()
            if self._save_due():
                self._save()

    def _save_due(self):
        """Whether it is time; a validation saves by itself, and a large network must not spend its time on saving."""
        wanted = self.asked.checkpoint_seconds
        seconds = max(wanted, _SAVE_PAUSE * self.save_seconds) if wanted else 0
        return time.monotonic() - self.saved >= seconds and not self._validation_due()

    @property
    def _alone(self):
        """Whether this process may look when it likes: workers have to look together."""
        return not is_multi_worker(self.strategy)

    def _steps_to_event(self):
        """How many steps there are before the next look, which comes at each event too."""
        each = self.length.validation_every
        to_validation = each - self.step % each
        return min(self.num_steps - self.step, to_validation, LOOK_STEPS - self.step % LOOK_STEPS)

    def _validation_due(self):
        return self.step == self.num_steps or (self.step > 0 and self.step % self.length.validation_every == 0)

    def _look(self):
        """Fetches what the steps came to; returns whether a worker was asked to stop."""
        first = self.looked_step
        losses, accuracies, stops, waits = self.steps.look(self.step - first)
        self.looked_step = self.step
        if not np.isfinite(losses).all():
            self._refuse_non_finite(first, losses)
        self.window.add(losses, accuracies)
        self.display.show(self.window)
        self.waiting.add(waits)
        lines = [self.window.plateau_line(self.step), self.waiting.line()]
        if self.chief:
            for line in filter(None, lines):
                print(line)
            self._log()
        return stops.any() or (self._alone and self.interrupts.asked)

    def _refuse_non_finite(self, first, losses):
        bad = [f"{first + i + 1} ({loss})" for i, loss in enumerate(losses) if not np.isfinite(loss)]
        steps = self.checkpoints.steps()
        raise DigitwiseError(
            f"the loss is not finite at step {', '.join(bad)}: the training has gone astray. "
            f"The last checkpoint is that of {f'step {steps[-1]}' if steps else 'no step yet'}; "
            f"try --overwrite with a lower --learning_rate than {self.asked.learning_rate:g}"
            + ("" if self.precision == "float32" else ", or --precision=float32")
        )

    def _log(self):
        rate = self._learning_rate()
        loss, accuracy = self.window.last_look
        self.logs.scalars(
            "train",
            self.step,
            loss=loss,
            position_accuracy=accuracy,
            learning_rate=rate,
            images_per_second=self.display.images_per_second,
        )
        each = max(1, self.num_steps // (_HISTORY_ROWS * LOOK_STEPS)) * LOOK_STEPS
        if self.step % each == 0:
            self.logs.history(self.step, loss=loss, position_accuracy=accuracy, learning_rate=rate)

    def _learning_rate(self):
        return learning_rate_at(self.asked.schedule, self.asked.learning_rate, self.num_steps, self.step)

    def _validate(self):
        """Reads the validation split, and notes whether it went better than ever before."""
        self.state["validated_step"] = self.step
        self.recognizer.step = self.step
        if self.validation is None:
            self.state["best"] = {"step": self.step}
            return
        label_ids, decoded_ids, shown = self._read_validation()
        right, counted = metrics.position_counts(label_ids, decoded_ids)
        codes_right = int(metrics.sequence_right(label_ids, decoded_ids).sum())
        result = {
            "step": self.step,
            "sequence_accuracy": codes_right / len(label_ids),
            "position_accuracy": float(right.sum() / counted.sum()),
            "count": len(label_ids),
        }
        best = self.state["best"]
        rank = [result["sequence_accuracy"], result["position_accuracy"]]
        best_rank = [best["sequence_accuracy"], best["position_accuracy"]] if best else [-1.0, -1.0]
        # Equal is not better, but of two equal ones the later has learned from more.
        if rank[0] >= best_rank[0]:
            self.state["best"] = result
        # Nothing gets better on the plateau at the beginning, and a training must not be ended for that.
        fresh = rank > best_rank or _is_guessing(result["position_accuracy"], len(self.manifest.alphabet))
        self.state["stale_validations"] = 0 if fresh else self.state["stale_validations"] + 1
        if self.chief:
            self._tell(result, codes_right, shown)

    def _read_validation(self):
        label_ids, decoded_ids, shown = [], [], None
        for _, labels, decoded, _, _, images in predict_batches(
            self.strategy, self.recognizer, self.validation, images=True
        ):
            label_ids.append(labels)
            decoded_ids.append(decoded)
            shown = shown if shown is not None else (images[:_SHEET_IMAGES], labels, decoded)
        return np.concatenate(label_ids), np.concatenate(decoded_ids), shown

    def _tell(self, result, codes_right, shown):
        best = " (best so far)" if self.state["best"]["step"] == self.step else ""
        print(
            f"step {self.step:,} (epoch {self.step / self.length.per_epoch:.4g}): validation position_accuracy "
            f"{result['position_accuracy']:.4f}, sequence_accuracy {result['sequence_accuracy']:.4f} "
            f"({codes_right:,} of {result['count']:,}){best}"
        )
        accuracies = {name: result[name] for name in ("position_accuracy", "sequence_accuracy")}
        self.logs.scalars("validation", self.step, **accuracies)
        self.logs.history(self.step, **{f"validation_{name}": value for name, value in accuracies.items()})
        images, label_ids, decoded_ids = shown
        texts = [self.recognizer.text(ids) for ids in label_ids]
        decoded = [self.recognizer.text(ids) for ids in decoded_ids]
        self.logs.image("validation", self.step, "predictions", sheet(images, texts, decoded))

    def _reason_to_end(self):
        best = (self.state["best"] or {}).get("sequence_accuracy")
        target, patience = self.asked.target_accuracy, self.asked.patience
        if target is not None and best is not None and best >= target:
            return f"sequence_accuracy {best:.4f} on validation reached --target_accuracy={target:g}"
        if self.step == self.num_steps:
            return f"all {self.length.epochs} epochs"
        if patience and self.state["stale_validations"] >= patience:
            return f"no better on validation for {patience} times, --patience={patience}"
        return None

    def _save(self):
        self.saved = time.monotonic()
        self.state["seconds"] = round(self.saved - self.began, 3)
        if self.chief:
            self._write()
            self.save_seconds = time.monotonic() - self.saved
            self.saved += self.save_seconds

    def _write(self):
        arrays = arrays_of(**self._variables())
        wrong = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
        if wrong:
            raise DigitwiseError(
                f"after step {self.step} {wrong[0]} is not finite, and {len(wrong) - 1} more arrays: the training has "
                f"gone astray; try --overwrite with a lower --learning_rate than {self.asked.learning_rate:g}"
            )
        best = self.state["best"]
        self.checkpoints.save(self.step, arrays, plain(self.state), best["step"] if best else None)

    def _leave(self):
        """Asked to stop: saves, and ends the process as the signal would have."""
        self._save()
        if self.chief:
            print(f"stopped at step {self.step:,} of {self.num_steps:,}, saved: the same command goes on from here")
        if self.interrupts.asked == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def _variables(self):
        return {"network": self.recognizer.network.variables, "optimizer": self.optimizer.variables}

    def _distributed(self, decoded, drawn):
        asked = self.asked
        return self.strategy.distribute_datasets_from_function(
            lambda context: training_batches(
                self.manifest,
                asked.channels,
                asked.batch_size,
                self.length.epochs,
                asked.train_seed,
                self.step,
                Part.of(context),
                decoded=decoded,
                augmentation=asked.augmentation,
                cleaning=asked.cleaning,
                drawn=drawn,
            )
        )

    def _trace(self):
        """Builds the graph of the steps while the pictures are still being decoded: an iterator over nothing but the
        right shapes is enough for that."""
        if self.chief:
            print("building the graph of the training (once, some seconds) ...", flush=True)
        size = self.asked.batch_size // self.strategy.num_replicas_in_sync
        nothing = (
            tf.zeros([size, *self.recognizer.image_shape], tf.uint8),
            tf.zeros([size, self.manifest.max_length], tf.int32),
        )
        iterator = iter(
            self.strategy.distribute_datasets_from_function(lambda _: tf.data.Dataset.from_tensors(nothing).repeat())
        )
        number = tf.TensorSpec([], tf.int32)
        traced = self.steps.run.get_concrete_function(iterator, number, number, tf.TensorSpec([], tf.float32))
        if self.chief and not self.step:
            self.logs.graph(traced.graph)

    @contextlib.contextmanager
    def _profiled(self, step):
        """Where asked for, writes a profile of the steps between the second look and the third."""
        if self.asked.profile and self.chief:
            if step == 2 * LOOK_STEPS:
                self.logs.start_profile()
            elif step == 2 * LOOK_STEPS + _PROFILED_STEPS:
                self.logs.stop_profile()
        yield

    def _introduce(self):
        if not self.chief:
            print(f"train: {describe(self.strategy)}; the chief shows how it goes", flush=True)
            return
        height, width, channels = self.recognizer.image_shape
        network, readout = self.asked.network, self.asked.readout
        print(
            f"train: {network} with {readout}, {self.recognizer.network.count_params():,} parameters, images "
            f"{width}x{height}x{channels}, {self.length.per_epoch:,} steps of {self.asked.batch_size} an epoch, "
            f"{self.num_steps:,} in all, {self.precision} on {describe(self.strategy)}"
        )
        if self.asked.augmentation or self.asked.cleaning != "none":
            print(f"train: augmentation {self.asked.augmentation:g}, cleaning {self.asked.cleaning}")
        if self.step:
            print(f"train: going on from step {self.step:,}")

    def _warn_of_other_environment(self, before):
        differing = differing_settings(before, self.state["environment"])
        if differing and self.chief:
            changes = ", ".join(f"{name} {old} -> {new}" for name, old, new in differing)
            print(f"note: the training goes on with {changes}; its end will not be the same to the bit")


@dataclasses.dataclass
class _Interrupts:
    """Which signal asked the training to stop, or 0."""

    asked: int = 0

    def note(self, number, _frame):
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait for the save
        self.asked = number


@contextlib.contextmanager
def _interrupts():
    """Notes SIGTERM and Ctrl-C, to be looked at between steps; only a main thread may."""
    interrupts = _Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.signal(number, interrupts.note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _finite_together(gradients):
    """The gradients of a replica, all of them infinite where any replica has one that is not finite."""
    broken = tf.add_n([tf.cast(~tf.reduce_all(tf.math.is_finite(gradient)), tf.float32) for gradient in gradients])
    broken = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, broken)
    return [tf.where(broken > 0, tf.constant(np.inf, gradient.dtype), gradient) for gradient in gradients]


def _timed_next(iterator):
    """(the next batch, the seconds it took to come)."""
    began = tf.timestamp()
    with tf.control_dependencies([began]):
        batch = next(iterator)
    with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
        return batch, tf.cast(tf.timestamp() - began, tf.float32)


def _endless(config, manifest):
    """(what is drawn while training, how many images of each batch); (None, 0) where all come from the records."""
    asked = config.train
    count = round(config.synthetic_share * asked.batch_size)
    if not count:
        return None, 0
    return Endless.beside(manifest, config, asked.channels), count


@contextlib.contextmanager
def _drawing(endless, count, processes):
    """The Drawn part of each batch, or None."""
    if not count:
        yield None
        return
    with drawn_batches(endless, count, processes) as batches_from:
        yield Drawn(count, batches_from)


@contextlib.contextmanager
def _decoding(manifest, asked, num_drawn):
    """A function that gives the training split decoded, or None where it is too big for that, or not needed. A thread
    decodes it while the network is being built."""
    if num_drawn == asked.batch_size or not fits_in_memory(manifest, "train", asked.channels):
        yield lambda: None
        return
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield executor.submit(_decode, manifest, asked.channels).result


def _decode(manifest, channels):
    with tf.device("CPU:0"):
        return decode_split(manifest, "train", channels)


@contextlib.contextmanager
def _told_of_damage(manifest):
    """One line that names the damaged record, where TensorFlow stumbled over it."""
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError):
        shards = (shard for split in ("train", "validation") for shard in manifest.splits[split])
        problem = next(filter(None, (shard_problem(manifest, shard) for shard in shards)), None)
        if problem is None:
            raise
        raise DamagedRecords(f"{problem}; --stage=check says more") from None


@contextlib.contextmanager
def _told_of_lost_peers(cluster, checkpoints):
    """One line where another worker has gone, whatever TensorFlow makes of it."""
    try:
        yield
    except tf.errors.OpError as error:
        if cluster is None:
            raise
        lost = cluster.silent_peers()
        steps = checkpoints.steps()
        raise DigitwiseError(
            f"{cluster.name(cluster.index)} lost {', '.join(lost) or 'a peer'} ({type(error).__name__}): start all "
            f"workers again, and the training goes on from {f'step {steps[-1]}' if steps else 'its beginning'}"
        ) from None


def environment(strategy):
    """What else decides the last bits of a result."""
    return {
        "replicas": strategy.num_replicas_in_sync,
        "threads": tf.config.threading.get_intra_op_parallelism_threads() or available_cores(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def _check_replicas(asked, strategy, num_drawn):
    check_batch_size(asked.batch_size, strategy)
    if num_drawn % strategy.num_replicas_in_sync:
        raise DigitwiseError(
            f"--synthetic_share draws {num_drawn} of the {asked.batch_size} images of a batch, which "
            f"{strategy.num_replicas_in_sync} replicas cannot share equally: take another share"
        )
    if asked.xla and strategy.num_replicas_in_sync > 1:
        raise DigitwiseError(
            f"--xla compiles a step as one piece, and {strategy.num_replicas_in_sync} replicas exchange numbers within "
            "a step: leave it out, or give --strategy=one"
        )


def _precision(asked, found):
    """The precision in use: that of the checkpoint, should `auto` mean another on the machine that goes on with it."""
    if asked.precision != "auto":
        return asked.precision
    return found.state["settings"]["network"]["precision"] if found else fast_precision()


def _earlier(asked, found):
    """The trainings whose weights this one began with, and by what fractions each kept codes for its test."""
    if found:
        return found.state["settings"].get("earlier", [])
    if not asked.initialize_from:
        return []
    settings = Checkpoints.given("--initialize_from", asked.initialize_from).best_settings()
    records = settings["records"]
    return [
        {"records": records["fingerprint"], "split": records.get("split")},
        *settings.get("earlier", []),
    ]


def _augmentation(asked, found, manifest, num_drawn):
    """How strongly the images of records are varied: as the checkpoint was begun, where no strength is given."""
    if num_drawn == asked.batch_size:
        return 0.0
    if asked.augmentation is not None:
        return asked.augmentation
    if found:
        return found.state["settings"]["train"]["augmentation"]
    return strength_for(manifest.count("train"))


def _standing(checkpoints, overwrite):
    """The newest checkpoint, or None; where none of several is whole, only --overwrite may begin anew."""
    try:
        return checkpoints.latest()
    except DigitwiseError:
        if not overwrite:
            raise
        return None


def _initial(asked, checkpoints):
    """The checkpoint whose weights the training begins with, or None."""
    if not asked.initialize_from:
        return None
    given = Checkpoints.given("--initialize_from", asked.initialize_from)
    if given.folder.resolve() == checkpoints.folder.resolve():
        raise DigitwiseError(
            f"--initialize_from={asked.initialize_from}: this training would write over them; give it another --workdir"
        )
    return given.choose("best")


def _prepare(checkpoints, workdir, anew):
    """What only the chief does: removes what is to be made anew, or what a killed process left half done."""
    if anew:
        checkpoints.clear()
        clear(workdir.logs)
    checkpoints.clean()


def _check_agreement(strategy, step):
    """All workers must go on from one step; they do not where their checkpoints are not in one folder."""
    if not is_multi_worker(strategy):
        return

    @tf.function(autograph=False)
    def steps_of_workers():
        return gather(strategy, strategy.run(lambda: tf.constant([step])))

    steps = steps_of_workers().numpy().tolist()
    if set(steps) != {step}:
        raise DigitwiseError(
            f"the workers stand at steps {', '.join(map(str, sorted(set(steps))))}: --workdir must be one folder that "
            "all of them share"
        )


def _is_guessing(position_accuracy, num_classes):
    """Whether a network reads hardly more characters than one that guesses."""
    chance = 1 / num_classes
    return position_accuracy < chance + _LEARNED_SHARE * (1 - chance)


def _position_counts(label_ids, decoded_ids):
    """As metrics.position_counts, summed over positions, in TensorFlow."""
    more = decoded_ids.shape[1] - label_ids.shape[1]  # a place for what is too long
    label_ids = tf.pad(label_ids, [[0, 0], [0, more]], constant_values=PADDING)
    counted = (label_ids != PADDING) | (decoded_ids != PADDING)
    right = counted & (label_ids == decoded_ids)
    return tuple(tf.reduce_sum(tf.cast(values, tf.float32)) for values in (right, counted))
