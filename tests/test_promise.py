"""Certified thresholds: figures from tables, cases by hand, and a simulation with a known true error."""

import math

import numpy as np
import pytest

from benchmarks import promise
from digitwise.statistics import (
    binomial_cdf,
    kolmogorov_smirnov,
    least_trials,
    lower_bound,
    two_sided,
    upper_bound,
)
from pipeline.promise.calibration import (
    confidence_bins,
    expected_calibration_error,
    fit_temperature,
    position_loss,
)
from pipeline.promise.certificate import CodeOutcomes, Outcomes, certify, threshold_grid

NEVER = -math.inf


def outcomes(confidences, wrong=(), codes=None):
    """Readings of one image a code, of which those at the places `wrong` are wrong."""
    is_right = ~np.isin(np.arange(len(confidences)), wrong)
    codes = codes or [str(n) for n in range(len(confidences))]
    return CodeOutcomes.of(Outcomes(np.array(confidences, float), is_right, codes))


# --- statistics


def test_binomial_tails_by_hand():
    assert binomial_cdf(1, 3, 0.5) == pytest.approx(0.5)
    assert binomial_cdf(0, 2, 0.1) == pytest.approx(0.81)
    assert (binomial_cdf(3, 3, 0.1), binomial_cdf(-1, 3, 0.1), binomial_cdf(2, 3, 0), binomial_cdf(2, 3, 1)) == (
        1,
        0,
        1,
        0,
    )
    exact = sum(math.comb(400, n) * 3**n * 7 ** (400 - n) for n in range(111)) / 10**400
    assert binomial_cdf(110, 400, 0.3) == pytest.approx(exact, rel=1e-10)
    # The first terms of this one are smaller than any float.
    assert binomial_cdf(5000, 10_000, 0.5) == pytest.approx(0.5 + math.comb(10_000, 5000) / 2**10_001, rel=1e-9)


def test_bounds_of_clopper_and_pearson():
    assert upper_bound(0, 100, 0.95) == pytest.approx(1 - 0.05**0.01)
    assert upper_bound(1, 10, 0.95) == pytest.approx(0.39416, abs=1e-5)
    assert upper_bound(7, 7, 0.95) == 1
    assert lower_bound(9, 10, 0.95) == pytest.approx(1 - 0.39416, abs=1e-5)


@pytest.mark.parametrize("errors, trials", [(0, 2995), (1, 4742), (2, 6294), (3, 7752), (5, 10511)])
def test_accepted_readings_needed_for_one_in_a_thousand(errors, trials):
    assert least_trials(errors, 0.001, 0.95) == trials
    assert binomial_cdf(errors, trials, 0.001) <= 0.05 < binomial_cdf(errors, trials - 1, 0.001)


def test_p_values():
    assert two_sided(5, 10, 0.5, 0.5) == 1
    assert two_sided(0, 10, 0.5, 0.6) == pytest.approx(2 * 0.5**10)
    assert two_sided(10, 10, 0.5, 0.6) == pytest.approx(2 * 0.6**10)
    assert kolmogorov_smirnov(0.5, 10, 10**9) == pytest.approx(2 * math.exp(-5))
    assert kolmogorov_smirnov(0.01, 10, 1000) == 1


# --- certificates


def test_a_code_counts_once():
    # a: accepted by its surest image, wrong by its least sure one; b: right; c: wrong at 0.7.
    by_code = outcomes([0.9, 0.2, 0.8, 0.6, 0.7], wrong=[1, 4], codes=["a", "a", "b", "b", "c"])
    assert by_code.accepted_up_to.tolist() == [0.9, 0.8, 0.7]
    assert by_code.wrong_up_to.tolist() == [0.2, NEVER, 0.7]
    assert [(by_code.accepted(t), by_code.wrong(t)) for t in (0.85, 0.75, 0.65, 0.1)] == [
        (1, 0),
        (2, 0),
        (3, 1),
        (3, 2),
    ]


def test_a_confidence_at_the_threshold_is_accepted_and_counts_if_it_is_wrong():
    at = outcomes([0.75, 0.5], wrong=[0])
    assert (at.accepted(0.75), at.wrong(0.75)) == (1, 1)
    assert (at.accepted(0.5), at.wrong(0.5)) == (2, 1)


def test_the_sequence_stops_where_a_threshold_fails():
    confidences = np.linspace(1, 0.0001, 10_000)
    calibration = outcomes(confidences, wrong=[7000, 7001, 7002, 7003, 7004, 7005, 7006])
    grid = (confidences[2999], confidences[5999], confidences[7999], confidences[9999])
    certificate = certify(calibration, grid, 0.001)
    assert (certificate.threshold, certificate.accepted, certificate.wrong) == (confidences[5999], 6000, 0)
    assert (certificate.coverage, certificate.missing, certificate.is_certified) == (0.6, 0, True)
    # 10,000 with 7 errors would not pass either; and nothing after a failure counts, whatever it would be.
    strict_fails = certify(outcomes(confidences, wrong=range(20)), grid, 0.001)
    assert strict_fails.threshold is None and not strict_fails.is_certified


def test_too_few_images_say_how_many_are_missing_and_what_they_allow():
    few = outcomes(np.linspace(1, 0.5, 500))
    grid = threshold_grid(few, 500, 0.001)
    certificate = certify(few, grid, 0.001)
    assert certificate.threshold is None
    assert certificate.missing == 2995 - 500
    # All of the five thresholds that an offer may take are one here; with one there is nothing to correct.
    assert certificate.offer.max_error == pytest.approx(1 - 0.05 ** (1 / 500))
    assert certify(few, (0.9, 0.5), 0.001).offer.max_error == pytest.approx(1 - 0.025 ** (1 / 500))
    half = certify(outcomes(np.linspace(1, 0.5, 1000), wrong=range(600, 1000)), (0.75,), 0.001)
    assert (half.accepted, half.missing) == (500, 2 * (2995 - 500))


def test_the_grid_begins_where_there_are_codes_enough():
    rng = np.random.default_rng(0)
    validation = outcomes(rng.random(4000), wrong=range(0, 4000, 1000))
    grid = threshold_grid(validation, 10_000, 0.001)
    assert list(grid) == sorted(set(grid), reverse=True)
    assert validation.accepted(grid[0]) / 4000 * 10_000 >= 2995
    assert grid[-1] == pytest.approx(validation.accepted_up_to.min(), abs=1e-6)
    assert validation.accepted(grid[-1]) == 4000
    assert threshold_grid(outcomes([1.0] * 50), 10_000, 0.001) == (1.0,)  # all are equally sure


def test_few_codes_are_certified_by_a_threshold_that_accepts_codes_enough():
    """59 accepted codes without an error certify 5 %. Which share is accepted is known from 64 codes only, so that a
    threshold of which 60 of 82 are expected would fail every other time."""
    rng = np.random.default_rng(0)
    certified = 0
    for _ in range(40):
        validation, calibration = (outcomes(1 - rng.beta(0.3, 6, count)) for count in (64, 82))
        certified += certify(calibration, threshold_grid(validation, 82, 0.05), 0.05).is_certified
    assert certified >= 36


def test_thresholds_are_not_a_matter_of_the_last_bit():
    sure = np.float32(1) - np.arange(4, dtype=np.float32) * np.finfo(np.float32).epsneg
    assert len(set(sure.tolist())) == 4
    (threshold,) = threshold_grid(outcomes(sure[1:].tolist() * 25), 10_000, 0.001)
    assert threshold == 0.999999
    assert (sure >= threshold).all()


@pytest.mark.parametrize("max_error", [0, 1, -0.1])
def test_an_error_is_a_share(max_error):
    with pytest.raises(ValueError, match="it takes a share between 0 and 1"):
        certify(outcomes([0.5]), (0.5,), max_error)


def test_outcomes_that_do_not_fit_together():
    with pytest.raises(ValueError, match="2 confidences, 1 outcomes and 2 codes"):
        Outcomes(np.array([0.1, 0.2]), np.array([True]), ["1", "2"])
    with pytest.raises(ValueError, match="not a finite number"):
        outcomes([0.5, math.nan])
    with pytest.raises(ValueError, match="the strictest first"):
        certify(outcomes([0.5]), (0.5, 0.6), 0.1)


@pytest.mark.slow
def test_the_promise_holds_in_a_simulation():
    """100 certificates; by chance 5 may be broken, and more than 10 come once in 90 times. The seed is fixed."""
    result = promise.simulate(promise.FAIR, runs=100, num_codes=3000, max_error=0.01)
    assert result.certified >= 95
    assert result.broken <= 10
    assert 0.9 < result.mean_coverage <= result.best_coverage


# --- calibration


def test_expected_calibration_error_by_hand():
    bins = confidence_bins([0.95, 0.95, 0.95, 0.95, 0.5, 0.5, 1.0], [True, True, True, False, True, False, True])
    assert [(each.count, each.accuracy) for each in bins] == [(2, 0.5), (5, 0.8)]
    assert bins[0].mean_confidence == 0.5
    assert expected_calibration_error(bins) == pytest.approx(5 / 7 * abs(4.8 / 5 - 0.8))


def test_the_temperature_that_was_put_in_comes_out():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (20_000, 5))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    overconfident = 2.5 * logits
    temperature = fit_temperature(lambda t: position_loss(overconfident, labels, t))
    assert temperature == pytest.approx(2.5, rel=0.05)


def test_loss_at_a_temperature_by_hand():
    values = np.log([[[0.8, 0.2], [0.5, 0.5]]])
    assert position_loss(values, [[0, -1]], 1.0) == pytest.approx(-math.log(0.8))
    assert position_loss(values, [[0, 1]], 0.5) == pytest.approx(-(math.log(0.64 / 0.68) + math.log(0.5)) / 2)
    ruled_out = [[0.0, -3.4e38]]
    assert position_loss(ruled_out, [0], 0.3) == 0
