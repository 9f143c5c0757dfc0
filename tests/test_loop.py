"""What comes between the steps of a training, and what is said of it: the loop over stand-ins, the reporter alone."""

import dataclasses
import json
import math
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import RunConfig, TrainConfig
from pipeline.model.pace import Pace
from pipeline.model.state import Best, ValidationResult
from pipeline.training import plan as plan_module
from pipeline.training.display import Speed
from pipeline.training.interrupts import Interrupts
from pipeline.training.learner import Learner
from pipeline.training.loop import Loop
from pipeline.training.plan import Plan
from pipeline.training.reporter import Reporter, SilentReporter, make_reporter
from pipeline.training.saver import NotFinite
from pipeline.training.steps import Tally
from pipeline.training.validation import Sample, Validation, Validator, measured
from records.errors import DigitwiseError
from tests.training_fixtures import make_records, make_state, settings_for_tests

SAMPLE = Sample(np.zeros((2, 16, 32, 1), np.uint8), np.array([[0, 1], [2, 3]]), np.array([[0, 1], [2, 2]]))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("records"))


@pytest.fixture
def plan(manifest):
    """24 steps, a validation after each 9 and at the end."""
    asked = TrainConfig(**settings_for_tests(validation_steps=9, patience=0, profile=True))
    return Plan.of(RunConfig(train=asked), manifest, None, None)


class StandIns:
    """Everything that a Loop works with; what happens is in `events`."""

    def __init__(self, plan):
        self.events = []
        self.interrupts = Interrupts()
        self.strategy = tf.distribute.get_strategy()
        self.recognizer = self.steps = self  # as a learner
        self.last, self.seconds = "step 9", 0.0  # as a saver
        self.losses = {}  # by step, where it is not 1
        self.done = self.done_before = self.step = 0
        self.plan = plan
        self.loop = Loop(plan, self, self, self, Events(self.events), self.interrupts)

    def steps_per_call(self, wanted):
        return 4

    def _run(self, batches, call):
        self.events.append((int(call.slot), int(call.count)))
        assert call.step == self.done_before + self.done
        assert call.rates[0] == np.float32(self.plan.learning_rate(self.done_before + self.done, self.loop._state.pace))
        self.done += int(call.count)

    def look(self, count):
        losses = np.array([self.losses.get(step, 1.0) for step in range(self.done - count + 1, self.done + 1)])
        return Tally(losses, np.ones(count), np.zeros(count), np.zeros(count))

    def due(self):
        return True

    def begin(self, state):
        self.events.append(("begin", state.validated_step))

    def save(self, step, state, calibrated):
        self.events.append(("save", step, *calibrated))
        return state

    def run(self, *arguments):
        """Of the steps, and of the validator."""
        if arguments:
            return self._run(*arguments)
        self.events.append(("validate", self.step))
        return Validation(ValidationResult(0.5, 0.75, 4), SAMPLE, {"mean": 1})


class Events(SilentReporter):
    def __init__(self, events):
        self.events = events

    def annealing(self, state):
        self.events.append(("annealing", state.num_steps))

    def has_length(self, num_steps):
        self.events.append(("length", num_steps))

    def stopped(self, state, step):
        self.events.append(("stopped", step))

    def validated(self, step, validation, is_best):
        self.events.append(("validated", step, is_best))


def run(stand_ins, step=0, **state):
    stand_ins.done_before = step
    return stand_ins.loop.run(iter(()), step, make_state(**state))


def test_what_comes_when(plan):
    stand_ins = StandIns(plan)
    state = run(stand_ins)
    assert stand_ins.events == [
        ("begin", 0),
        (0, 4), (4, 4), (8, 1), ("validate", 9), ("validated", 9, True), ("save", 9, "mean"),
        (0, 1), ("save", 10),
        (0, 4), (4, 4), ("validate", 18), ("validated", 18, True), ("save", 18, "mean"),
        (0, 2), ("save", 20),
        (0, 4), ("validate", 24), ("validated", 24, True), ("save", 24, "mean"), ("stopped", 24),
    ]  # fmt: skip
    assert (state.finished, state.best, state.validated_step) == (
        "all 4 epochs",
        Best(24, ValidationResult(0.5, 0.75, 4)),
        24,
    )


def test_it_continues_from_a_step_and_does_not_validate_twice(plan):
    stand_ins = StandIns(plan)
    run(stand_ins, step=18, validated_step=18)
    assert stand_ins.events[:3] == [("begin", 18), (0, 2), ("save", 20)]


@pytest.fixture
def open_plan(manifest, monkeypatch):
    """A validation each 10 steps; as half of the codes are misread, the rate comes down after the third that gained
    nothing."""
    monkeypatch.setattr(plan_module, "_LEAST_PASSES", 0)
    asked = TrainConfig(**settings_for_tests(epochs=0, validation_steps=10, patience=1))
    return Plan.of(RunConfig(train=asked), manifest, None, None)


def test_a_training_that_gains_nothing_comes_to_its_end(open_plan):
    stand_ins = StandIns(open_plan)
    state = run(stand_ins, num_steps=open_plan.length.num_steps)
    # Half of the codes are read each time: gained at step 10, not at 20, 30 and 40. Twice as many steps more follow.
    assert [event for event in stand_ins.events if event[0] in ("annealing", "length", "validate")] == [
        ("validate", 10), ("validate", 20), ("validate", 30), ("validate", 40), ("length", 120), ("annealing", 120),
        *(("validate", step) for step in (50, 60, 70, 80, 90, 100, 120)),
    ]  # fmt: skip
    assert (state.num_steps, state.pace) == (120, Pace(0.5, 0.0, 3, 40, 120, "patience", least_learned=1.0))
    assert state.finished == "the learning rate came down from step 40 to 120"


def test_on_the_way_down_it_validates_a_quarter_as_often_unless_told_how_often(open_plan):
    asked = dataclasses.replace(open_plan.asked, validation_steps=0)
    stand_ins = StandIns(dataclasses.replace(open_plan, asked=asked))
    run(stand_ins, num_steps=open_plan.length.num_steps)
    validated = [event[1] for event in stand_ins.events if event[0] == "validate"]
    assert validated == [10, 20, 30, 40, 80, 120]


def test_it_continues_on_the_way_down(open_plan):
    stand_ins = StandIns(open_plan)
    state = run(stand_ins, step=33, validated_step=30, num_steps=42, pace=Pace(0.5, 0.0, 2, 30, 42))
    assert [event for event in stand_ins.events if event[0] in ("annealing", "length", "validate")] == [
        ("length", 42), ("validate", 40), ("validate", 42)
    ]  # fmt: skip
    assert state.num_steps == 42


def test_the_limit_of_steps_is_kept_and_said(open_plan):
    open_plan = dataclasses.replace(open_plan, length=dataclasses.replace(open_plan.length, epochs=3))
    most = open_plan.length.num_steps
    stand_ins = StandIns(dataclasses.replace(open_plan, asked=dataclasses.replace(open_plan.asked, patience=0)))
    state = run(stand_ins, num_steps=most)
    assert (most, state.num_steps, state.pace.anneal_step, state.pace.reason) == (18, 18, 10, "steps")
    assert ("annealing", 18) in stand_ins.events
    assert state.finished == "the learning rate came down from step 10 to 18, as no training sees more images"


@pytest.mark.parametrize("seconds, last_step", [(18.0, None), (48.0, 12)])
def test_the_time_of_all_runs_counts(open_plan, seconds, last_step):
    stand_ins = StandIns(dataclasses.replace(open_plan, asked=dataclasses.replace(open_plan.asked, max_minutes=1.0)))
    stand_ins.seconds = seconds  # 0.3 or 0.8 of a minute
    stand_ins.loop._keep_to_pace = lambda: None
    stand_ins.loop._step, stand_ins.loop._state = 10, make_state()
    stand_ins.loop._find_pace(ValidationResult(0.5, 0.75, 4))
    assert stand_ins.loop._state.pace.last_step == last_step


def test_a_slow_training_validates_in_time_to_come_down(open_plan, monkeypatch):
    """A step takes two seconds: a minute has 30 of them, and a third of it is over before the first validation."""
    monkeypatch.setattr(StandIns, "seconds", property(lambda self: 2.0 * self.done, lambda *_: None), raising=False)
    asked = dataclasses.replace(open_plan.asked, max_minutes=1.0, validation_steps=100)
    length = dataclasses.replace(open_plan.length, validation_every=100)
    plan = dataclasses.replace(open_plan, asked=asked, length=length)
    stand_ins = StandIns(plan)
    state = run(stand_ins, num_steps=length.num_steps)
    assert [event for event in stand_ins.events if event[0] in ("annealing", "validate")] == [
        ("validate", 10), ("annealing", 30), ("validate", 30)
    ]  # fmt: skip
    assert (state.pace.reason, state.num_steps) == ("time", 30)
    without_limit = StandIns(dataclasses.replace(plan, asked=dataclasses.replace(asked, max_minutes=0.0)))
    run(without_limit, num_steps=length.num_steps)
    assert next(event for event in without_limit.events if event[0] == "validate") == ("validate", 100)


def test_a_signal_saves_and_ends(plan):
    stand_ins = StandIns(plan)
    stand_ins.interrupts.note(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        run(stand_ins)
    assert stopped.value.code == 143
    assert stand_ins.events == [("begin", 0), (0, 4), ("save", 4), ("stopped", 4)]


def test_losses_that_are_not_finite_are_named(plan):
    stand_ins = StandIns(plan)
    stand_ins.losses = {8: math.nan, 9: math.inf}
    with pytest.raises(DigitwiseError) as stopped:
        run(stand_ins)
    assert str(stopped.value) == (
        "the loss is not finite at step 8 (nan), 9 (inf): training diverged. Last checkpoint: step 9; "
        "try --overwrite with a lower --learning_rate than 0.003"
    )
    assert ("validate", 9) not in stand_ins.events


def test_a_save_that_is_not_finite_is_a_training_that_diverged(plan, monkeypatch):
    stand_ins = StandIns(plan)

    def save(step, state, calibrated):
        raise NotFinite(f"after step {step} a is not finite")

    monkeypatch.setattr(stand_ins, "save", save)
    with pytest.raises(DigitwiseError, match="^after step 9 a is not finite: training diverged. Last checkpoint: "):
        run(stand_ins)


def test_the_validator_reads_every_image_once(manifest):
    plan = Plan.of(RunConfig(train=TrainConfig(**settings_for_tests(averaging=0.0))), manifest, None, None)
    learner = Learner(plan, tf.distribute.get_strategy())
    validation = Validator(learner, manifest).run()
    assert validation.result.count == 16 == len(validation.sample.images)
    decoded_ids = learner.recognizer.predict(validation.sample.images).label_ids
    assert np.array_equal(decoded_ids, validation.sample.decoded_ids)
    logits = learner.recognizer.logits(tf.constant(validation.sample.images))
    likelihood = learner.recognizer.readout.likelihood(logits, validation.sample.label_ids).numpy()
    expected = measured(validation.sample.label_ids, decoded_ids, likelihood)
    assert validation.result == dataclasses.replace(expected, loss=pytest.approx(expected.loss, rel=1e-4))


class Network:
    """In place of a recognizer."""

    def __init__(self):
        images = keras.Input((16, 32, 1))
        self.network = keras.Model(images, keras.layers.Flatten()(images), name="flat")


def test_what_the_chief_says_and_logs(plan, tmp_path, capsys):
    tally = Tally(np.full(10, 1.5), np.full(10, 0.25), np.zeros(10), np.zeros(10))
    with make_reporter(plan, tmp_path, step=0, chief=True) as reporter:
        reporter.introduce(Network(), tf.distribute.OneDeviceStrategy("/cpu:0"))
        reporter.built(tf.Graph())
        reporter.advancing(0, rate=0.002)
        reporter.looked(10, tally, Speed())
        reporter.validated(10, Validation(ValidationResult(0.5, 0.75, 4), SAMPLE), is_best=True)
        reporter.stopped(make_state(), 12)
        reporter.stopped(make_state(finished="all 4 epochs"), 24)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(
        "train: alexnet with positions, 0 parameters, images 32x16x1, 6 steps of 8 images an epoch, 24 in"
    )
    assert lines[1:] == [
        "building the graph of the training (once, some seconds) ...",
        "step 10 (epoch 1.667): validation position_accuracy 0.7500, sequence_accuracy 0.5000 (2 of 4) (kept)",
        "stopped at step 12 of 24, saved",
        "train: finished at step 24 (all 4 epochs)",
    ]
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [(row["step"], row.get("loss"), row.get("validation_sequence_accuracy")) for row in rows] == [
        (10, 1.5, None),
        (10, None, 0.5),
    ]
    assert "flat: 0 parameters" in (tmp_path / "network.svg").read_text()


def test_what_the_chief_says_of_a_training_that_continues(plan, tmp_path, capsys):
    reporter = Reporter(plan, tmp_path, step=6)
    reporter.continued([])
    reporter.continued([("replicas", 1, 2), ("threads", 2, 4)])
    with reporter:
        reporter.introduce(Network(), tf.distribute.OneDeviceStrategy("/cpu:0"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("note: the training continues with replicas 1 -> 2, threads 2 -> 4; its result will not")
    assert lines[2] == "train: continuing from step 6"


def test_other_workers_say_one_line(plan, tmp_path, capsys):
    with make_reporter(plan, tmp_path, step=0, chief=False) as reporter:
        reporter.introduce(Network(), tf.distribute.OneDeviceStrategy("/cpu:0"))
        reporter.advancing(0, rate=0.1)
        reporter.stopped(make_state(), 3)
    assert capsys.readouterr().out.endswith("; the chief reports the progress\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "reason, why",
    [
        ("patience", "no improvement in 2 validations"),
        ("time", "--max_minutes is near"),
        ("steps", "a third of the images that a training may see at most"),
        ("learned", "nearly all codes of the validation split are read right"),
    ],
)
def test_the_chief_says_why_the_rate_comes_down_and_until_when(open_plan, tmp_path, capsys, reason, why):
    with make_reporter(open_plan, tmp_path, step=0, chief=True) as reporter:
        reporter.annealing(make_state(pace=Pace(0.5, 0.0, 2, 1030, 1442, reason), num_steps=1442))
    expected = f"{why}: from step 1,030 the learning rate comes down, and training ends at step 1,442\n"
    assert capsys.readouterr().out == expected


def test_a_length_that_is_not_known_is_not_said(open_plan, tmp_path, capsys):
    with make_reporter(open_plan, tmp_path, step=0, chief=True) as reporter:
        reporter.introduce(Network(), tf.distribute.OneDeviceStrategy("/cpu:0"))
        reporter.stopped(make_state(pace=Pace()), 12)
        reporter.stopped(make_state(pace=Pace(0.5, 0.0, 2, 30, 42), num_steps=42), 32)
    out = capsys.readouterr().out
    assert "6 steps of 8 images an epoch, as many as help, for 20 minutes at most, float32" in out
    assert "stopped at step 12, saved\n" in out and "stopped at step 32 of 42, saved\n" in out
