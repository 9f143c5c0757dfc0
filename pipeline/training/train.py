"""The train stage: one loop under every strategy, which can stop anywhere and continue as if it had not.

    state = train(config, workdir)
    state.best.step, state.best.result.sequence_accuracy

What a step does is a function of the variables, the step's number and the settings; so a run that was stopped, by
whatever, ends with the bits of one that was not, as long as the machine, the number of threads and the number of
replicas are the same. (On GPUs some kernels add up in any order: the environment variable TF_DETERMINISTIC_OPS=1 makes
them keep to one.)

SIGTERM and Ctrl-C end the training after the step under way and a save, as SystemExit(143) and KeyboardInterrupt.
"""

import dataclasses
import os

from pipeline.config import RunConfig
from pipeline.drawing.stream import SyntheticImages
from pipeline.machine.devices import Cluster, make_strategy
from pipeline.model.recognizer import check_arrays
from pipeline.model.state import TrainingState
from pipeline.training import feed
from pipeline.training.checks import check_replicas, told_of_damage
from pipeline.training.interrupts import noted_interrupts
from pipeline.training.learner import Learner
from pipeline.training.loop import Loop
from pipeline.training.peers import check_same_step, told_of_lost_peers
from pipeline.training.plan import synthetic_per_batch
from pipeline.training.reporter import SilentReporter, make_reporter
from pipeline.training.saver import Saver
from pipeline.training.start import Start, finish_replacement
from pipeline.training.validation import Validator
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError


def train(config: RunConfig, workdir: Workdir, records: str | os.PathLike[str] | None = None) -> TrainingState:
    """Trains on workdir.records, or on another folder of them, or continues from the last checkpoint; returns the state
    it ended in."""
    asked = config.train
    manifest = Manifest.load(records or workdir.records)
    cluster = Cluster.from_environment() if asked.strategy == "multi_worker" else None
    chief = cluster is None or cluster.is_chief
    synthetic = SyntheticImages.beside(manifest, config) if synthetic_per_batch(config) else None
    if chief:
        finish_replacement(workdir)
    start = Start.of(config, manifest, synthetic, workdir)
    if start.found and start.found.state.finished:
        why = start.found.state.finished
        print(f"train: finished at step {start.step} ({why}); nothing to do, --overwrite trains again")
        return start.found.state
    if start.found:
        check_arrays(start.found)
    with told_of_damage(manifest), told_of_lost_peers(cluster, start.checkpoints):
        strategy = make_strategy(asked.strategy, asked.devices, asked.logical_devices, asked.peer_seconds)
        check_replicas(start.plan.asked, start.plan.num_synthetic, strategy)
        with (
            feed.opened(start.plan, manifest, synthetic, config.processes) as make_feed,
            noted_interrupts() as interrupts,
            make_reporter(start.plan, start.logs, start.step, chief) as reporter,
        ):
            learner = Learner(start.plan, strategy)
            state = _take_up(start, learner, reporter)
            if chief:
                start.prepare()  # not before all that can be checked was checked
            reporter.introduce(learner.recognizer, strategy)
            # Traced on empty batches: the graph can be logged, and mistakes in it show, before the first image is read.
            reporter.built(learner.steps.trace(feed.empty_batches(start.plan, strategy)))
            validator = Validator(learner, manifest) if manifest.count("validation") else None
            saver = Saver(start.checkpoints, learner.arrays, asked.checkpoint_seconds, writes=chief)
            loop = Loop(start.plan, learner, validator, saver, reporter, interrupts)
            given = make_feed()
            learner.calibrate_with(given.calibration_batches(strategy))
            state = loop.run(given.distributed(strategy, start.step), start.step, state)
        if chief:
            start.succeed(workdir)
        check_same_step(strategy, start.step)  # no worker tests before the checkpoints are in their place
        return state


def _take_up(start: Start, learner: Learner, reporter: SilentReporter) -> TrainingState:
    """Gives the learner the variables it starts with; the state it starts in."""
    check_same_step(learner.strategy, start.step)
    if start.found:
        learner.restore(start.found)
        reporter.continued(learner.environment.changes_since(start.found.state.environment))
        return dataclasses.replace(start.found.state, environment=learner.environment)
    if start.initial:
        taken, left = learner.initialize(start.initial)
        if not taken:
            raise DigitwiseError(
                f"--initialize_from={start.plan.asked.initialize_from}: nothing in it fits this network"
            )
        reporter.initialized(start.initial, taken, left)
    plan = start.plan
    return TrainingState(plan.spec, plan.provenance, learner.environment, plan.length.num_steps)
