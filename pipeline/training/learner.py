"""The network being trained, its optimizer and its steps, under a strategy.

learner = Learner(plan, strategy)
learner.restore(checkpoint)
learner.arrays()                    # all that a checkpoint holds
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from pipeline.config import available_cores
from pipeline.model.checkpoints import Checkpoint
from pipeline.model.recognizer import Recognizer
from pipeline.model.state import Environment
from pipeline.model.variables import arrays_of, assign_arrays, assign_what_fits
from pipeline.training.optimizer import make_optimizer
from pipeline.training.plan import Plan
from pipeline.training.steps import Steps


class Learner:
    """What a step changes, and what a checkpoint has to hold."""

    def __init__(self, plan: Plan, strategy: tf.distribute.Strategy) -> None:
        asked, spec = plan.asked, plan.spec
        self.strategy = strategy
        # The first weights and dropout are drawn from here on, so nothing may be drawn in between.
        keras.utils.set_random_seed(asked.train_seed)
        with strategy.scope():
            self.recognizer = Recognizer(spec, provenance=plan.provenance)
            self.optimizer = make_optimizer(
                asked.schedule,
                asked.learning_rate,
                asked.weight_decay,
                plan.length.num_steps,
                spec.precision,
                asked.optimizer,
            )
            self.optimizer.build(self.recognizer.network.trainable_variables)
            self.steps = Steps(strategy, self.recognizer, self.optimizer, asked.batch_size, asked.xla)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Takes up all variables of a checkpoint of the same training."""
        with self.strategy.scope():
            assign_arrays(checkpoint.arrays, **self._variables())
        self.recognizer.step = checkpoint.step

    def initialize(self, given: Checkpoint) -> tuple[list[str], list[str]]:
        """Takes what fits of the weights of another training; (names taken, names left)."""
        with self.strategy.scope():
            return assign_what_fits(given.arrays, network=self.recognizer.network.variables)

    def arrays(self) -> dict[str, np.ndarray]:
        """All variables by name."""
        return arrays_of(**self._variables())

    @property
    def environment(self) -> Environment:
        return Environment(
            replicas=self.strategy.num_replicas_in_sync,
            threads=tf.config.threading.get_intra_op_parallelism_threads() or available_cores(),
            tensorflow=tf.__version__,
            keras=keras.__version__,
        )

    def _variables(self) -> dict[str, Sequence[keras.Variable]]:
        return {"network": self.recognizer.network.variables, "optimizer": self.optimizer.variables}
