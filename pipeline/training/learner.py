"""The network being trained, its optimizer and its steps, under a strategy.

learner = Learner(plan, strategy)
learner.restore(checkpoint)
learner.arrays()                    # all that the next step depends on
with learner.reading() as statistics:
    ...                             # the network is as it will be read with
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from alexnet.averages import Averages
from alexnet.normalization import Calibration
from pipeline.config import available_cores
from pipeline.model.checkpoints import Checkpoint
from pipeline.model.recognizer import Recognizer
from pipeline.model.state import Environment
from pipeline.model.variables import (
    AVERAGES,
    CALIBRATED,
    NETWORK,
    REMEMBERED,
    Group,
    arrays_of,
    assign_arrays,
    assign_what_fits,
    holds,
    numbered_paths,
)
from pipeline.training.optimizer import make_optimizer, state_of
from pipeline.training.plan import Plan
from pipeline.training.remembered import Remembered
from pipeline.training.steps import Choice, Steps
from pipeline.training.transfer import Transfer


class Learner:
    """What a step changes, and what a checkpoint has to hold."""

    def __init__(self, plan: Plan, strategy: tf.distribute.Strategy) -> None:
        asked, spec = plan.asked, plan.spec
        self.strategy = strategy
        # The initial weights and dropout are sampled from here on, so nothing else may be sampled in between.
        keras.utils.set_random_seed(asked.train_seed)
        with strategy.scope():
            self.recognizer = Recognizer(spec, provenance=plan.provenance)
            self.optimizer = make_optimizer(asked.learning_rate, asked.weight_decay, spec.precision, asked.optimizer)
            # Before the first step: its variables must exist to be restored, and within a tf.function they could not be
            # made.
            self.optimizer.build(self._network.trainable_variables)
            self._averages = Averages(self._network, asked.averaging) if asked.averaging else None
            self._remembered = Remembered(plan.provenance.records.train) if plan.remembers else None
            self.steps = Steps(
                strategy,
                self.recognizer,
                self.optimizer,
                asked.images_per_step,
                self._averages,
                asked.xla,
                Choice(asked.hardest_of, self._remembered) if asked.hardest_of > 1 else None,
            )
        self._calibration = Calibration(self._network, strategy)
        self._calibration_batches: Sequence[Any] = ()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes up all variables of a checkpoint of the same training."""
        variables = self._variables()
        # Checkpoints from before there were averages hold none, and those from before images were remembered neither.
        missing = {group for group in (AVERAGES, REMEMBERED) if not holds(checkpoint.arrays, group)}
        with self.strategy.scope():
            assign_arrays(checkpoint.arrays, **{group: v for group, v in variables.items() if group not in missing})
            if self._averages and AVERAGES in missing:
                self._averages.start_again()
        self.recognizer.step = checkpoint.step

    def initialize(self, given: Checkpoint) -> tuple[list[str], list[str]]:
        """Takes what fits of the weights of another training; (names taken, names left)."""
        with self.strategy.scope():
            fit = Transfer(given.state.spec, self.recognizer.spec).fitted
            taken = assign_what_fits(given.arrays, self._network.variables, fit)
            if self._averages:
                self._averages.start_again()
        return taken

    def arrays(self) -> dict[str, np.ndarray]:
        """All variables by name."""
        return arrays_of(**self._variables())

    def calibrate_with(self, batches: Sequence[Any]) -> None:
        """`batches` of images, each as the strategy distributes them: what `reading` fits the statistics to."""
        self._calibration_batches = batches

    @contextlib.contextmanager
    def reading(self) -> Iterator[dict[str, np.ndarray]]:
        """Within it the network has the weights that it is to be read with, the averages, and statistics that fit them;
        afterwards its own again. Gives these statistics by name."""
        variables = self._network.variables
        statistics = self._calibration.variables
        paths = [path for path, v in zip(numbered_paths(variables), variables) if any(v is s for s in statistics)]
        # Kept aside, so that a training goes the same way however often it is validated.
        own = [variable.numpy() for variable in statistics]
        with self._averages.in_place() if self._averages else contextlib.nullcontext():
            try:
                if self._calibration_batches:
                    self._calibration(self._calibration_batches)
                yield arrays_of(**{CALIBRATED: dict(zip(paths, statistics))})
            finally:
                for variable, array in zip(statistics, own):
                    variable.assign(array)

    @property
    def environment(self) -> Environment:
        return Environment(
            replicas=self.strategy.num_replicas_in_sync,
            # 0 stands for all cores. Another number of threads adds up in another order, and changes the last bits.
            threads=tf.config.threading.get_intra_op_parallelism_threads() or available_cores(),
            tensorflow=tf.__version__,
            keras=keras.__version__,
        )

    @property
    def _network(self) -> keras.Model:
        return self.recognizer.network

    def _variables(self) -> dict[str, Group]:
        groups: dict[str, Group] = {NETWORK: self._network.variables, "optimizer": state_of(self.optimizer)}
        if self._averages:
            paths = numbered_paths(self._network.variables)
            averaged = (paths[number] for number in self._averages.numbers)
            groups[AVERAGES] = dict(zip(averaged, self._averages.variables))
        if self._remembered:
            groups[REMEMBERED] = {"rows": self._remembered.variable}
        return groups
