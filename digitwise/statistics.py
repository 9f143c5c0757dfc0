"""Exact binomial tails and bounds, and a bound for the Kolmogorov-Smirnov test, without SciPy."""

import math

import numpy as np

CONFIDENCE = 0.95  # of what is promised
MAX_COUNT = 10_000_000  # of images and codes that are read from a file: sums over them take memory and time
_STEPS_OF_BISECTION = 60  # each halves the interval, and a float has 53 bits


def binomial_cdf(maximum: int, trials: int, probability: float) -> float:
    """P(X <= maximum) for X successes of `trials`, summed term by term."""
    if maximum >= trials or probability <= 0:
        return 1.0
    if maximum < 0 or probability >= 1:
        return 0.0
    # In logarithms: the first terms may be too small for a float where the sum is not.
    successes = np.arange(maximum)
    log_odds = math.log(probability) - math.log1p(-probability)
    steps = np.log((trials - successes) / (successes + 1)) + log_odds
    log_terms = trials * math.log1p(-probability) + np.append(0.0, np.cumsum(steps))
    return min(1.0, float(np.exp(log_terms).sum()))


def upper_bound(errors: int, trials: int, confidence: float) -> float:
    """Clopper and Pearson: the largest error rate that `errors` of `trials` do not rule out (one-sided)."""
    if errors >= trials:
        return 1.0
    low, high = errors / trials, 1.0
    for _ in range(_STEPS_OF_BISECTION):
        middle = (low + high) / 2
        # So few errors would still be probable enough at this rate: the bound is above it.
        if binomial_cdf(errors, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def lower_bound(successes: int, trials: int, confidence: float) -> float:
    """The smallest success rate that is not ruled out (one-sided)."""
    return 1.0 - upper_bound(trials - successes, trials, confidence)


def least_trials(errors: int, max_error: float, confidence: float) -> int:
    """How many trials with so many errors show, at this confidence, that the error rate is at most `max_error`."""
    low, high = errors, errors + 1
    # Doubled until enough, then bisected: the number may be in the millions.
    while binomial_cdf(errors, high, max_error) > 1 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_cdf(errors, middle, max_error) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def two_sided(successes: int, trials: int, minimum: float, maximum: float) -> float:
    """The p-value of so many successes where the true rate lies between `minimum` and `maximum`."""
    too_few = binomial_cdf(successes, trials, minimum)
    too_many = binomial_cdf(trials - successes, trials, 1 - maximum)  # P(X >= successes), by counting failures
    return min(1.0, 2 * min(too_few, too_many))


def kolmogorov_smirnov(distance: float, sample: int, reference: int) -> float:
    """An upper bound of the p-value (Dvoretzky, Kiefer, Wolfowitz; Massart), also where values are tied."""
    effective = sample * reference / (sample + reference)
    # 2 exp(-2 n d^2), where n of two samples is the product of their sizes over the sum.
    return min(1.0, 2 * math.exp(-2 * effective * distance * distance))
