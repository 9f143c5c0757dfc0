"""The parts of a training, each alone: no network is trained here."""

import dataclasses
import json
import signal
import threading

import numpy as np
import pytest

from pipeline.config import RunConfig, TrainConfig
from pipeline.model import included
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.pace import Batches, Pace
from pipeline.model.provenance import Provenance
from pipeline.model.state import Best, ValidationResult
from pipeline.train_config import INCLUDED_WEIGHTS, NO_WEIGHTS
from pipeline.training.checks import check_replicas
from pipeline.training.interrupts import Interrupts, noted_interrupts
from pipeline.training.pace import PaceRules
from pipeline.training.plan import Length, Plan, augmentation_for, learn_from_for, strength_for
from pipeline.training.progress import after_steps, after_validation, is_guessing, paced, reason_to_end
from pipeline.training.saver import NotFinite, Saver
from pipeline.training.schedule import Schedule
from pipeline.training.validation import measured
from records.errors import DigitwiseError
from records.jsonfile import read_value
from tests.training_fixtures import make_records, make_state, settings_for_tests


def result(sequence, position=0.9, count=100):
    return ValidationResult(sequence, position, count)


class TestSchedule:
    def test_every_event_is_met(self):
        schedule, step, steps = Schedule(num_steps=30, validation_every=7), 0, []
        while step < 30:
            step += schedule.steps_to_event(step)
            steps.append(step)
        assert steps == [7, 10, 14, 20, 21, 28, 30]
        assert [s for s in range(31) if schedule.validation_due(s)] == [7, 14, 21, 28, 30]
        assert [s for s in range(1, 31) if schedule.look_due(s)] == steps

    def test_validations_that_come_less_and_less_often(self):
        schedule, step = Schedule(num_steps=640, validation_every=40, growth=0.25), 0
        while step < 640:
            step += schedule.steps_to_event(step)
            assert schedule.look_due(step)
        # A quarter of 40 to 200 is nearest to one interval of 40, of 240 to 320 to two, and so on.
        due = [step for step in range(641) if schedule.validation_due(step)]
        assert due == [40, 80, 120, 160, 200, 240, 320, 400, 480, 600, 640]

    def test_the_history_has_all_looks_of_a_short_training_and_hundreds_of_a_long_one(self):
        schedule = Schedule(100_000, 1_000)
        rows = [step for step in range(10, 100_001, 10) if schedule.history_due(step)]
        assert rows[:101] == [*range(10, 1_001, 10), 1_020]
        assert len(rows) == 400 + 36_000 // 1_280  # 50 for each time that the steps double, to 64,000


class TestProgress:
    def run(self, *results, patience=2, target=None):
        """The state after these validations, 4 steps apart; it stops where a reason to end is found."""
        state, asked = make_state(num_steps=40), TrainConfig(patience=patience, target_accuracy=target)
        for number, one in enumerate(results, 1):
            state = after_validation(state, 4 * number, one)
            reason = reason_to_end(state, 4 * number, asked, epochs=5)
            if reason:
                return dataclasses.replace(state, finished=reason)
        return state

    def test_of_two_equal_ones_the_later_is_the_best_but_no_improvement(self):
        state = self.run(result(0.5), result(0.75), result(0.25), result(0.75), result(0.9))
        assert state.best == Best(16, result(0.75))
        assert (state.validated_step, state.stale_validations) == (16, 2)
        assert state.finished == "2 validations without improvement, --patience=2"

    def test_the_best_is_the_last_that_chance_could_tell_from_the_highest(self):
        few_wrong = [ValidationResult(1 - wrong / 900, 0.999, 900) for wrong in (9, 3, 5, 7, 9, 12)]
        state = self.run(*few_wrong, patience=0)
        # 9 codes more are 81, and four times 3 + 12 wrong ones 60; 6 more are 36, and four times 3 + 9 are 48.
        assert (state.best, state.highest) == (Best(20, few_wrong[4]), few_wrong[1])
        assert state.stale_validations == 4

    def test_more_characters_are_an_improvement_where_whole_codes_are_equal(self):
        state = self.run(result(0.5, 0.8), result(0.5, 0.9), result(0.5, 0.85))
        assert (state.best.step, state.stale_validations) == (12, 1)

    def test_a_plateau_does_not_use_patience_up(self):
        # Of 4 characters a guess reads 1; up to .325 nothing has been learned.
        state = self.run(*[result(0.0, 0.3)] * 5, result(0.0, 0.5), result(0.0, 0.4), result(0.0, 0.4), result(1.0))
        assert (state.validated_step, state.stale_validations, state.best.step) == (32, 2, 32)
        assert is_guessing(0.324, 4) and not is_guessing(0.325, 4)

    def test_without_patience_only_the_steps_end_it(self):
        assert self.run(result(0.5), *[result(0.1)] * 8, patience=0).finished is None
        assert self.run(result(0.5), *[result(0.1)] * 9, patience=0).finished == "all 5 epochs"

    def test_the_target_ends_it(self):
        state = self.run(result(0.4), result(0.5), result(0.6), target=0.5)
        assert state.finished == "sequence_accuracy 0.5000 on validation reached --target_accuracy=0.5"
        assert state.validated_step == 8

    def test_without_a_validation_split_the_last_is_the_best(self):
        assert self.run(None, None).best == Best(8)


class TestPaced:
    rules = PaceRules(peak=1.0, warm_steps=10, patience=2, most_steps=3000)

    def run(self, *results, time_share=0.0, state=None):
        state = state or make_state(num_steps=1000)
        for step, one in results:
            state = paced(state, step, one, self.rules, time_share)
        return state

    def test_the_length_is_known_when_nothing_is_gained(self):
        state = self.run((100, result(0.5)), (200, result(0.5)))
        assert (state.num_steps, state.pace.stale, state.pace.last_step) == (1000, 1, None)
        state = self.run((300, result(0.5)), state=state)
        assert (state.num_steps, state.pace) == (900, Pace(0.5, 0.0, 2, 300, 900, "patience"))
        assert reason_to_end(state, 890, TrainConfig(), epochs=9) is None
        came_down = "the learning rate came down from step 300 to 900"
        assert reason_to_end(state, 900, TrainConfig(patience=2), epochs=9) == came_down
        for reason, text in (("time", ", as --max_minutes was near"), ("steps", ", as no training sees more images")):
            limited = dataclasses.replace(state, pace=dataclasses.replace(state.pace, reason=reason))
            assert reason_to_end(limited, 900, TrainConfig(), epochs=9) == came_down + text

    def test_the_loss_counts_too(self):
        losses = [(step, dataclasses.replace(result(0.5), loss=1 / step)) for step in (100, 200, 300, 400)]
        assert self.run(*losses).pace == Pace(0.5, 1 / 400)

    def test_one_character_is_not_guessed_where_lengths_vary(self):
        state = make_state(num_steps=1000)
        one = dataclasses.replace(state.spec, alphabet="a", min_length=1, max_length=3)
        state = dataclasses.replace(state, spec=one)
        assert self.run(*[(step, result(0.5, 0.9)) for step in (100, 200, 300)], state=state).pace.stale == 2
        assert self.run(*[(step, result(0.0, 0.5)) for step in (100, 200, 300)], state=state).pace.stale == 0

    def test_batches_are_followed_until_the_length_is_known(self):
        state = after_steps(make_state(num_steps=1000), [0.5, 0.25], [0.5, 1.0])
        assert state.pace.batches == Batches(2, 0.75, 1.5)
        assert read_value(Pace, json.loads(json.dumps(state.pace.to_json()))) == state.pace
        state = self.run((100, result(0.5)), (200, result(0.5)), (300, result(0.5)), state=state)
        assert (state.pace.anneal_step, state.pace.least_learned) == (300, 0.375)
        assert after_steps(state, [0.5], [0.5]) is state

    def test_guessing_gains_nothing_and_ends_nothing(self):
        assert self.run(*[(step, result(0.0, 0.25)) for step in range(100, 700, 100)]).pace.stale == 0

    def test_patience_is_for_the_pace_alone(self):
        state = self.run((100, result(0.5)))
        state = dataclasses.replace(state, stale_validations=99)
        assert reason_to_end(state, 100, TrainConfig(patience=2), epochs=9) is None

    def test_time_ends_it(self):
        assert self.run((100, result(0.5)), time_share=0.8).num_steps == 125


class TestSaver:
    def saver(self, folder, every_seconds=30.0, arrays=None, **options):
        self.now = 100.0
        arrays = {"network/0/kernel": np.ones(2, np.float32)} if arrays is None else arrays
        return Saver(Checkpoints(folder), lambda: arrays, every_seconds, clock=lambda: self.now, **options)

    def test_it_is_due_by_the_clock_and_adds_up_the_seconds_of_all_runs(self, tmp_path):
        saver = self.saver(tmp_path)
        assert saver.last == "none"
        saver.begin(make_state(seconds=7.0))
        self.now += 29.9
        assert not saver.due()
        self.now += 0.1
        assert saver.due()
        assert saver.save(12, make_state(12, seconds=7.0)).seconds == 37.0
        assert not saver.due() and saver.last == "step 12"
        assert Checkpoints(tmp_path).load(12).state == make_state(12, seconds=37.0)

    def test_a_slow_save_is_done_less_often(self, tmp_path):
        saver = self.saver(tmp_path)
        slow = saver._arrays

        def arrays():
            self.now += 3.0
            return slow()

        saver._arrays = arrays
        saver.save(1, make_state())
        self.now += 59.9  # twenty times as long as the save took is 60
        assert not saver.due()
        self.now += 0.1
        assert saver.due()

    def test_without_a_pause_it_is_always_due(self, tmp_path):
        assert self.saver(tmp_path, every_seconds=0.0).due()

    def test_what_is_not_finite_is_not_saved(self, tmp_path):
        arrays = {"a": np.array([1.0, np.inf]), "b": np.array([1]), "c": np.array([np.nan])}
        with pytest.raises(NotFinite, match="^after step 3 a is not finite, and 1 more arrays$"):
            self.saver(tmp_path, arrays=arrays).save(3, make_state())
        assert Checkpoints(tmp_path).steps() == []

    def test_only_the_chief_writes(self, tmp_path):
        state = self.saver(tmp_path, writes=False).save(3, make_state())
        assert state == make_state() and Checkpoints(tmp_path).steps() == []


class TestInterrupts:
    def test_a_signal_is_noted_and_the_handlers_come_back(self):
        before = signal.getsignal(signal.SIGTERM)
        with noted_interrupts() as interrupts:
            signal.raise_signal(signal.SIGTERM)
            assert interrupts.asked == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) is before

    def test_the_end_is_that_of_the_signal(self):
        assert isinstance(Interrupts(signal.SIGINT).exception(), KeyboardInterrupt)
        for asked in (signal.SIGTERM, 0):  # 0: another worker was asked
            assert Interrupts(asked).exception().code == 143

    @pytest.fixture
    def own_ctrl_c(self):
        before = signal.getsignal(signal.SIGINT)
        yield
        signal.signal(signal.SIGINT, before)

    def test_a_second_ctrl_c_does_not_wait_and_a_third_does_not_interrupt(self, own_ctrl_c):
        interrupts = Interrupts()
        interrupts.note(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.note(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    def test_once_the_training_has_stopped_no_ctrl_c_interrupts_the_end(self, own_ctrl_c):
        with noted_interrupts():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    def test_another_thread_notes_nothing_and_works(self):
        seen = []

        def run():
            with noted_interrupts() as interrupts:
                seen.append(interrupts.asked)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert seen == [0]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("records"))


class TestPlan:
    def plan(self, manifest, found=None, **options):
        return Plan.of(RunConfig(train=TrainConfig(**settings_for_tests(**options))), manifest, None, found)

    def state(self, plan):
        return make_state(spec=plan.spec, provenance=plan.provenance, num_steps=plan.length.num_steps)

    def test_what_is_left_open_is_settled(self, manifest):
        plan = self.plan(manifest, epochs=3, dropout=0.5)
        assert (plan.length.num_steps, plan.spec.precision, plan.spec.dropout) == (18, "float32", 0.5)
        assert plan.provenance.records.fingerprint == manifest.fingerprint
        assert plan.length.schedule == Schedule(18, 6)

    def test_a_training_finds_its_length_where_that_is_open(self, manifest):
        plan = self.plan(manifest, epochs=0)
        assert plan.asked.schedule == "auto" and plan.asked.patience == 1
        # 16 images of the validation split, 48 for the statistics, 3 times that many images in between: 24 steps of 8
        assert plan.length == Length(epochs=66_667, per_epoch=6, validation_every=30, growth=0.15)
        assert plan.length.schedule == Schedule(400_002, 30, growth=0.15)
        assert plan.pace_rules == PaceRules(3e-3, 100, 1, 400_002, 3, least_steps=450, validation_every=30)
        assert plan.learning_rate(600, Pace()) == 3e-3
        assert plan.learning_rate(600, Pace(anneal_step=500, last_step=700)) == pytest.approx(1.5e-3)
        assert self.plan(manifest, epochs=0, validation_steps=7, patience=0).length.validation_every == 7
        state = dataclasses.replace(self.state(plan), pace=Pace(anneal_step=9, last_step=12), num_steps=12)
        assert self.plan(manifest, state, epochs=0, max_minutes=3.0).differing(state) == []

    def test_what_was_learned_before_is_not_learned_as_long_again(self, manifest, monkeypatch):
        monkeypatch.setattr("pipeline.training.plan._LEAST_PASSES", 10_000)  # so that the number of images decides
        alone = self.plan(manifest, epochs=0, initialize_from=NO_WEIGHTS)
        assert alone.pace_rules.least_steps == 24_000 / 8 and not alone.provenance.earlier
        begun = self.plan(manifest, epochs=0, initialize_from=INCLUDED_WEIGHTS)
        assert begun.pace_rules.least_steps == 9_600 / 8
        hardest = self.plan(manifest, epochs=0, initialize_from=INCLUDED_WEIGHTS, learn_from="hardest")
        assert hardest.pace_rules.least_steps == 11_200 / 8
        assert {earlier.fingerprint for earlier in begun.provenance.earlier} == included.fingerprints()

    def test_a_length_that_is_given_is_kept_to(self, manifest, tmp_path):
        plan = self.plan(manifest, epochs=2)
        assert (plan.asked.schedule, plan.asked.patience, plan.pace_rules) == ("one_cycle", 0, None)
        assert self.plan(manifest, epochs=2, schedule="constant").asked.patience == 10
        assert self.plan(manifest, epochs=0, schedule="one_cycle").length.epochs == 225, "with the included weights"
        from_nothing = self.plan(manifest, epochs=0, schedule="one_cycle", initialize_from=NO_WEIGHTS)
        assert from_nothing.length.epochs == 1344
        alone = make_records(tmp_path, validation=0)
        assert self.plan(alone, epochs=0).asked.schedule == "one_cycle", "nothing to find it by"

    def test_the_same_settings_continue_and_others_are_listed(self, manifest):
        state = self.state(self.plan(manifest))
        assert self.plan(manifest, state).differing(state) == []
        assert self.plan(manifest, state, strategy="mirrored", checkpoint_seconds=1.0).differing(state) == []
        assert self.plan(manifest, state, dropout=0.5).differing(state) == [("dropout", None, 0.5)]
        older = dataclasses.replace(state, spec=dataclasses.replace(state.spec, revision=1))
        assert self.plan(manifest, older).differing(older) == [("network_revision", 1, 3)]
        longer = dataclasses.replace(state, num_steps=7)
        assert self.plan(manifest, state).differing(longer) == [("steps", 7, 24)]

    def test_many_images_are_learned_from_by_the_hardest(self, manifest, monkeypatch):
        monkeypatch.setattr("pipeline.training.plan.FEW_EXAMPLES", 48)
        plan = self.plan(manifest, epochs=0, batch_size=32)
        assert (plan.asked.learn_from, plan.asked.images_per_step, plan.num_synthetic) == ("hardest", 64, 0)
        assert plan.provenance.settings["learn_from"] == plan.provenance.learn_from == "hardest"
        everything = self.plan(manifest, epochs=0, batch_size=32, learn_from="all")
        assert plan.length.num_steps == everything.length.num_steps == 100_000
        # With as many settings left open, each goes on as it was begun; asked for, the other is a difference.
        assert self.plan(manifest, self.state(plan), epochs=0, batch_size=32).differing(self.state(plan)) == []
        asked_for = {"epochs": 0, "batch_size": 32, "learn_from": "all"}
        expected = [("learn_from", "hardest", "all")]
        assert self.plan(manifest, self.state(plan), **asked_for).differing(self.state(plan)) == expected

    def test_the_hardest_are_remembered_where_that_can_be_of_use(self, manifest):
        def remembers(**options):
            settings = settings_for_tests(**{"epochs": 0, "batch_size": 24, "learn_from": "hardest", **options})
            return Plan.of(RunConfig(train=TrainConfig(**settings)), manifest, None, None).remembers

        assert remembers()
        assert not remembers(learn_from="all")
        assert not remembers(batch_size=26), "of 48 images, some would be among the 52 of a step twice"
        assert not remembers(synthetic_share=0.5), "an image that is drawn comes once"
        assert not remembers(epochs=4), "nobody asks whether nearly all are read right"

    def test_they_are_chosen_by_that_once_all_were_read_and_nearly_all_right(self, manifest):
        plan = self.plan(manifest, epochs=0, batch_size=4, learn_from="hardest")
        assert plan.length.per_epoch == 6
        paces = (None, Pace(), Pace(anneal_step=9, last_step=12, reason="patience"))
        assert [plan.remembers_from(pace) for pace in paces] == [None] * 3
        down = [Pace(anneal_step=step, last_step=12, reason="learned") for step in (3, 9)]
        assert [plan.remembers_from(pace) for pace in down] == [6, 9]
        everything = self.plan(manifest, epochs=0, batch_size=4, learn_from="all")
        assert everything.remembers_from(down[0]) is None

    def test_a_training_from_before_there_was_a_choice_goes_on_with_all(self, manifest, monkeypatch):
        monkeypatch.setattr("pipeline.training.plan.FEW_EXAMPLES", 48)
        state = self.state(self.plan(manifest, batch_size=32, learn_from="all"))
        settings = {name: value for name, value in state.provenance.settings.items() if name != "learn_from"}
        older = dataclasses.replace(state, provenance=dataclasses.replace(state.provenance, settings=settings))
        plan = self.plan(manifest, older, batch_size=32)
        assert plan.asked.learn_from == "all" and plan.differing(older) == []

    def test_synthetic_images_are_a_share_of_all_that_a_step_reads(self, manifest):
        def plan(found=None, **options):
            config = RunConfig(train=TrainConfig(**settings_for_tests(synthetic_share=0.5, epochs=2, **options)))
            return Plan.of(config, manifest, None, found)

        begun = plan(learn_from="hardest")
        assert (begun.num_synthetic, begun.length.per_epoch) == (8, 6)
        state = self.state(begun)
        assert plan(state).num_synthetic == 8 and plan(state).differing(state) == []
        assert plan().num_synthetic == 4

    def test_a_training_keeps_the_precision_it_began_with(self, manifest):
        state = self.state(self.plan(manifest, precision="bfloat16"))
        assert self.plan(manifest, state, precision="auto").spec.precision == "bfloat16"

    def test_the_checkpoint_remembers_how_strongly_images_are_varied(self, manifest):
        def strength(asked, before=None, draws_all=False):
            found = None
            if before is not None:
                found = make_state()
                found = dataclasses.replace(
                    found, provenance=Provenance({"augmentation": before}, found.provenance.records)
                )
            return augmentation_for(TrainConfig(augmentation=asked), found, manifest, draws_all)

        assert [strength(0.5), strength(None)] == [0.5, 1.0]
        assert [strength(None, 0.3), strength(0.5, 0.3)] == [0.3, 0.5]
        assert strength(None, draws_all=True) == 0.0

    def test_few_examples_are_varied(self):
        assert [strength_for(count) for count in (1, 9_999, 10_000)] == [1.0, 1.0, 0.0]


class Records:
    """In place of a manifest: how many images there are."""

    def __init__(self, train, validation=1_000):
        self.counts = {"train": train, "validation": validation}

    def count(self, split):
        return self.counts[split]


def learn_from(asked="auto", begun_with=None, train=10_000, schedule="auto", draws=False, **options):
    found = make_state() if begun_with else None
    if begun_with not in (None, "nothing"):
        provenance = Provenance({"learn_from": begun_with}, found.provenance.records)
        found = dataclasses.replace(found, provenance=provenance)
    return learn_from_for(TrainConfig(learn_from=asked, **options), found, Records(train), schedule, draws)


def test_a_training_learns_from_the_hardest_where_there_are_many_images():
    assert learn_from() == "hardest"
    assert learn_from(train=9_999) == "all"
    assert learn_from(schedule="one_cycle") == "all"
    assert learn_from(draws=True) == "all"
    assert [learn_from(batch_size=size) for size in (16, 32, 48, 96)] == ["all", "hardest", "all", "hardest"]
    assert learn_from("all") == "all"
    assert learn_from("hardest", train=48, schedule="one_cycle", draws=True) == "hardest"


def test_a_training_goes_on_with_what_it_chose_from():
    assert learn_from(begun_with="all") == learn_from(begun_with="nothing") == "all"
    assert learn_from(begun_with="hardest", train=48) == "hardest"


def test_a_step_that_learns_from_the_hardest_reads_twice_a_batch():
    all_of_them, hardest = TrainConfig(), TrainConfig(learn_from="hardest")
    assert (all_of_them.images_per_step, all_of_them.hardest_of) == (64, 1)
    assert (hardest.images_per_step, hardest.hardest_of) == (128, 4)
    with pytest.raises(DigitwiseError, match="--batch_size=7: --learn_from=hardest reads 14 images"):
        TrainConfig(batch_size=7, learn_from="hardest")


def test_an_epoch_of_steps_that_choose_is_half_as_many():
    for learn_from_, per_epoch in (("all", 200), ("hardest", 100)):
        length = Length.of(TrainConfig(learn_from=learn_from_), Records(12_800), 0, 0)
        assert (length.per_epoch, length.validation_every) == (per_epoch, 80)


def test_replicas_choose_alike():
    class Two:
        num_replicas_in_sync = 2

    check_replicas(TrainConfig(batch_size=8, learn_from="hardest"), 0, Two)
    check_replicas(TrainConfig(batch_size=6), 0, Two)
    with pytest.raises(DigitwiseError, match="one image in 4 of the 12 of a step, .* that is a multiple of 4, or"):
        check_replicas(TrainConfig(batch_size=6, learn_from="hardest"), 0, Two)
    drawn = {count: f"--synthetic_share draws {count} of the 32 images" for count in (10, 12)}
    for count, message in drawn.items():
        with pytest.raises(DigitwiseError, match=message):
            check_replicas(TrainConfig(batch_size=16, learn_from="hardest"), count, Two)
    check_replicas(TrainConfig(batch_size=16, learn_from="hardest"), 16, Two)
    check_replicas(TrainConfig(batch_size=32), 10, Two)


def test_a_validation_by_hand():
    label_ids = np.array([[1, 2], [3, 0], [0, 0], [2, 2]])
    decoded_ids = np.array([[1, 2], [3, 1], [0, 0], [1, 1]])
    result = measured(label_ids, decoded_ids, np.array([1.0, np.exp(-4.0), np.exp(-6.0), 0.0]))
    loss = (0 + 4 + 6 - np.log(1e-37)) / 2 / 4  # two characters each; impossible is taken for hardly possible
    assert result == ValidationResult(0.5, 5 / 8, 4, pytest.approx(loss))
