import dataclasses

import pytest

from pipeline.model.pace import Batches, Pace
from pipeline.model.state import ValidationResult
from pipeline.training.pace import PaceRules, after_validation, learning_rate

RULES = PaceRules(peak=1.0, warm_steps=100, patience=2, most_steps=3000)


def _result(wrong, loss, count=100):
    return ValidationResult(1.0 - wrong, 1.0 - wrong, count, loss)


def _follow(validations, rules=RULES, pace=None):
    """Pace after each (step, wrong, loss, share of the time)."""
    paces, pace = [], pace or Pace()
    for step, wrong, loss, time_share in validations:
        pace = after_validation(rules, pace, step, _result(wrong, loss), time_share)
        paces.append(pace)
    return paces


def test_full_rate_while_codes_or_loss_get_better():
    (*_, last) = _follow([(100, 0.9, 2.0, 0), (200, 0.9, 1.0, 0), (300, 0.5, 1.2, 0), (400, 0.5, 0.8, 0)])
    assert last == Pace(least_wrong=0.5, least_loss=0.8)


def test_down_when_two_validations_gained_nothing():
    first, second, third = _follow([(100, 0.1, 1.0, 0), (200, 0.1, 0.99, 0), (300, 0.2, 0.98, 0)])
    assert (first.stale, second.stale, second.last_step) == (0, 1, None)
    assert (third.anneal_step, third.last_step) == (300, 900)


def test_three_times_as_patient_where_validation_shows_that_many_codes_are_misread():
    patient = dataclasses.replace(RULES, patience=1, patient_times=3)
    steps = range(100, 600, 100)
    # Of 100 codes 6 or more are misread: fewer than 0.975 of all are read right. Of 5, it may be chance.
    for wrong, expected in ((0.5, 400), (0.06, 400), (0.05, 200)):
        (*_, last) = _follow([(step, wrong, 1.0, 0) for step in steps], patient)
        assert (last.anneal_step, last.reason) == (expected, "patience"), wrong
    stale = Pace(least_wrong=0.05, least_loss=1.0, stale=1)
    assert after_validation(patient, stale, 300, _result(0.06, 1.0), 0).anneal_step is None
    assert after_validation(patient, stale, 300, _result(0.05, 1.0), 0).anneal_step == 300
    never = dataclasses.replace(patient, patience=0)
    assert _follow([(step, 0.5, 1.0, 0) for step in steps], never)[-1].anneal_step is None


def test_a_decision_stands():
    down = _follow([(100, 0.1, 1.0, 0), (200, 0.1, 1.0, 0), (300, 0.1, 1.0, 0), (400, 0.0, 0.1, 0)])
    assert down[-1] == down[-2]


def test_down_in_time():
    (pace,) = _follow([(1000, 0.5, 1.0, 0.8)])
    assert (pace.anneal_step, pace.last_step) == (1000, 1250)  # 1,000 steps took 0.8 of the time: 250 are left


def test_down_when_a_third_of_the_time_is_used_up():
    rules = dataclasses.replace(RULES, validation_every=100)
    for time_share, expected in ((0.32, (None, None)), (0.34, (100, 294))):
        (pace,) = _follow([(100, 0.5, 1.0, time_share)], rules)
        assert (pace.anneal_step, pace.last_step) == expected


def test_down_before_the_next_validation_would_be_too_late():
    rules = dataclasses.replace(RULES, validation_every=300)
    for time_share, expected in ((0.21, (None, None)), (0.22, (100, 300))):
        (pace,) = _follow([(100, 0.5, 1.0, time_share)], rules)
        # At step 400 four times as much of the time would be used up: 0.84 or 0.88 of it.
        assert (pace.anneal_step, pace.last_step) == expected


def test_down_in_time_for_the_limit_of_steps():
    assert [p.last_step for p in _follow([(950, 0.5, 1.0, 0), (1000, 0.4, 0.9, 0)])] == [None, 3000]


def test_never_longer_than_the_limit_of_steps():
    late = dataclasses.replace(RULES, most_steps=100)
    (pace,) = _follow([(100, 0.5, 1.0, 0)], late)
    assert (pace.anneal_step, pace.last_step, pace.reason) == (100, 100, "steps")
    assert learning_rate(late, pace, 100) == pytest.approx(1)
    (pace,) = _follow([(100, 0.5, 1.0, 0.5)], dataclasses.replace(RULES, most_steps=150))
    assert (pace.last_step, pace.reason) == (150, "time")


def test_why_it_comes_down_is_kept():
    stale = [(100, 0.5, 1.0, 0), (200, 0.5, 1.0, 0), (300, 0.5, 1.0, 0)]
    assert [pace.reason for pace in _follow(stale)] == ["", "", "patience"]
    assert [pace.reason for pace in _follow([(100, 0.5, 1.0, 0.8)])] == ["time"]
    assert [pace.reason for pace in _follow([(1000, 0.5, 1.0, 0)])] == ["steps"]


def test_the_rate_by_hand():
    assert [learning_rate(RULES, Pace(), step) for step in (0, 50, 100, 5000)] == pytest.approx([0.04, 0.52, 1, 1])
    down = Pace(anneal_step=300, last_step=420)
    assert [learning_rate(RULES, down, step) for step in (300, 360, 420, 999)] == pytest.approx([1, 0.5, 0, 0])


def test_taken_up_from_any_validation_it_goes_the_same_way():
    validations = [(100, 0.3, 1.0, 0.1), (200, 0.2, 0.9, 0.2), (300, 0.2, 0.9, 0.3), (400, 0.2, 0.9, 0.4)]
    whole = _follow(validations)
    for stop in range(1, 4):
        assert _follow(validations[stop:], pace=whole[stop - 1]) == whole[stop:]


def test_where_all_codes_are_right_the_loss_counts_until_it_is_small():
    paces = _follow([(100, 0.0, 0.5, 0), (200, 0.0, 0.0012, 0), (300, 0.0, 0.0008, 0), (400, 0.0, 0.0004, 0)])
    assert [pace.stale for pace in paces] == [0, 0, 1, 2]
    assert paces[-1].anneal_step == 400


def test_small_gains_add_up():
    paces = _follow([(100, 0.5, 1.0, 0), (200, 0.5, 0.95, 0), (300, 0.5, 0.89, 0), (400, 0.5, 0.89, 0)])
    assert [(pace.stale, pace.least_loss) for pace in paces] == [(0, 1.0), (1, 1.0), (0, 0.89), (1, 0.89)]


def test_one_code_more_is_no_gain_and_two_are():
    before = Pace(least_wrong=0.07, least_loss=0.1)
    assert after_validation(RULES, before, 100, _result(0.06, 0.1), 0).stale == 1
    assert after_validation(RULES, before, 100, _result(0.05, 0.1), 0).stale == 0


def test_where_nearly_all_codes_are_right_nothing_counts_as_a_gain():
    def reached(wrong, count):
        return after_validation(dataclasses.replace(RULES, patience=1), Pace(), 100, _result(wrong, 0.1, count), 0)

    assert (reached(0.01, 1000).anneal_step, reached(0.01, 1000).reason) == (100, "learned")
    assert reached(0.02, 1000).anneal_step is None, "0.9694 or more are right"
    assert reached(0.0, 150).reason == "learned"
    assert reached(0.0, 140).anneal_step is None, "of so few it may be chance"


def test_where_nearly_all_is_learned_early_the_way_down_takes_the_rest_of_the_usual_length():
    rules = dataclasses.replace(RULES, patience=1, least_steps=300)
    misread = Pace(batches=Batches(steps=100, loss=10.0, accuracy=90.0))  # in training batches, and it falls
    for step, last in ((50, 900), (100, 900), (300, 900), (400, 1200)):
        pace = after_validation(rules, misread, step, _result(0.01, 0.1, 1000), 0)
        assert (pace.anneal_step, pace.last_step, pace.reason) == (step, last, "learned")
    # Where nothing is left to gain, it is no longer than that of any training.
    nothing_left = after_validation(rules, Pace(), 100, _result(0.0, 0.0001, 1000), 0)
    assert (nothing_left.anneal_step, nothing_left.last_step) == (100, 300)
    assert after_validation(rules, Pace(), 100, _result(0.01, 0.1, 1000), 0.5).last_step == 200, "nor than the time"


def test_validations_before_the_least_steps_are_not_counted():
    rules = dataclasses.replace(RULES, least_steps=300)
    paces = _follow([(100, 0.5, 1.0, 0), (200, 0.5, 1.0, 0), (300, 0.5, 1.0, 0), (400, 0.5, 1.0, 0)], rules)
    assert [pace.stale for pace in paces] == [0, 0, 1, 2]
    (late,) = _follow([(100, 0.5, 1.0, 0.8)], rules)
    assert late.anneal_step == 100, "time ends it all the same"


def test_where_nothing_can_be_gained_the_least_steps_need_not_be_run():
    rules = dataclasses.replace(RULES, least_steps=1000)
    small = [(50, 0.0, 0.0009, 0), (100, 0.0, 0.0008, 0), (200, 0.0, 0.0007, 0)]
    assert [pace.stale for pace in _follow(small, rules)] == [0, 1, 2], "but those in which the rate goes up"
    for wrong, loss in ((0.01, 0.0008), (0.0, 0.002)):
        assert _follow([(50, wrong, loss, 0), (100, wrong, loss, 0)], rules)[-1].stale == 0


def test_a_plateau_at_the_beginning_does_not_end_it():
    pace = Pace()
    for step in range(100, 1000, 100):
        pace = after_validation(RULES, pace, step, _result(1.0, 2.3), 0, is_guessing=True)
    assert (pace.stale, pace.anneal_step) == (0, None)
    pace = after_validation(RULES, pace, 1000, _result(1.0, 2.3), 0, is_guessing=True)
    assert (pace.anneal_step, pace.last_step) == (1000, 3000), "the steps end it"


def _learn(*batches, steps=100):
    """Pace after validations that all gain nothing; `batches` are (loss, accuracy) of the steps before each."""
    pace = Pace(least_wrong=0.1, least_loss=0.5)
    for number, (loss, accuracy) in enumerate(batches, 1):
        pace = dataclasses.replace(pace, batches=Batches().plus([loss] * steps, [accuracy] * steps))
        pace = after_validation(RULES, pace, number * steps, _result(0.1, 0.5), 0)
    return pace


def test_where_it_underfits_and_learns_validations_without_gain_are_not_counted():
    assert _learn((0.5, 0.85), (0.45, 0.87), (0.44, 0.88), (0.42, 0.89)).stale == 0
    assert _learn((0.5, 0.85), (0.495, 0.85)).stale == 1, "it learns hardly anything more"
    assert _learn((0.5, 0.85), (0.45, 0.96), (0.4, 0.97)).anneal_step == 300, "it does not underfit"
    assert _learn((0.5, 0.85), (0.6, 0.8), (0.55, 0.82)).anneal_step == 300, "less than before is not more than ever"


def test_what_batches_came_to_is_counted_from_validation_to_validation():
    pace = _learn((0.5, 0.85), (0.25, 0.87), steps=4)
    assert (pace.batches, pace.least_learned) == (Batches(), 0.25)
    late = dataclasses.replace(RULES, most_steps=20)
    before = Pace(batches=Batches().plus([0.5] * 10, [0.8] * 10))
    assert after_validation(late, before, 10, _result(0.1, 0.5), 0).anneal_step == 10, "the steps end it all the same"


def test_sums_over_batches_are_the_same_wherever_they_are_cut():
    losses, accuracies = [0.1 * 3**-i for i in range(10)], [1 / (i + 3) for i in range(10)]
    whole = Batches().plus(losses, accuracies)
    assert whole.steps == 10
    for cut in range(11):
        assert Batches().plus(losses[:cut], accuracies[:cut]).plus(losses[cut:], accuracies[cut:]) == whole


def test_without_patience_only_the_limits_end_it():
    rules = dataclasses.replace(RULES, patience=0)
    *_, pace = _follow([(step, 0.5, 1.0, 0) for step in range(100, 1000, 100)], rules)
    assert (pace.stale, pace.anneal_step) == (8, None)
    assert not pace.is_stale(0) and pace.is_stale(2)
