"""Does the promise hold? Simulated readers, certified many times on new images, judged by their true error.

python -m benchmarks.promise [--runs=400] [--toy]

The reader of the simulation has a margin z, normal with deviation 2.2; its confidence is sigmoid(z), and it is wrong
with probability sigmoid(-z). So the true error above each threshold, and the best possible threshold, are known.
"""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from digitwise.watch import Reference, Watch
from pipeline.promise.certificate import CodeOutcomes, certify, threshold_grid

GOOD, FAIR = 9.0, 6.5  # mean margins: 0.24 % and 1.2 % of all readings are wrong
DEVIATION = 2.2

Margins = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Result:
    runs: int
    broken: int  # runs whose true error is above the promise
    certified: int
    mean_coverage: float  # of the runs with a certificate
    best_coverage: float


def _sigmoid(values: Margins) -> Margins:
    return 1 / (1 + np.exp(-values))


def draw(rng: np.random.Generator, mean: float, count: int) -> CodeOutcomes:
    """One image for each of `count` codes."""
    margins = rng.normal(mean, DEVIATION, count)
    confidences = _sigmoid(margins)
    is_wrong = rng.random(count) < _sigmoid(-margins)
    return CodeOutcomes(confidences, np.where(is_wrong, confidences, -np.inf), count)


def error_and_coverage(mean: float, threshold: float) -> tuple[float, float]:
    """The true figures of all images above a threshold of confidence."""
    margins = np.linspace(mean - 8 * DEVIATION, mean + 8 * DEVIATION, 40_001)
    density = np.exp(-(((margins - mean) / DEVIATION) ** 2) / 2)
    accepted = np.where(_sigmoid(margins) >= threshold, density / density.sum(), 0.0)
    return float((accepted * _sigmoid(-margins)).sum() / accepted.sum()), float(accepted.sum())


def simulate(mean: float, runs: int, num_codes: int, max_error: float, seed: int = 0) -> Result:
    broken, coverages = 0, []
    for run in range(runs):
        rng = np.random.default_rng((seed, run))
        grid = threshold_grid(draw(rng, mean, num_codes), num_codes, max_error)
        certificate = certify(draw(rng, mean, num_codes), grid, max_error)
        if certificate.threshold is not None:
            error, coverage = error_and_coverage(mean, certificate.threshold)
            broken += error > max_error
            coverages.append(coverage)
    thresholds = _sigmoid(np.linspace(mean - 4 * DEVIATION, mean + 2 * DEVIATION, 500)).tolist()
    figures = [error_and_coverage(mean, threshold) for threshold in thresholds]
    best = max(coverage for error, coverage in figures if error <= max_error)
    return Result(runs, broken, len(coverages), float(np.mean(coverages)) if coverages else math.nan, best)


def false_alarms(runs: int, images: int, seed: int = 0) -> int:
    """How many of `runs` watches told an alarm within so many images like those of the calibration."""
    told = 0
    for run in range(runs):
        rng = np.random.default_rng((seed, run))
        watch = Watch(Reference.of(draw(rng, FAIR, 5000).accepted_up_to, 0.99))
        told += watch.add(draw(rng, FAIR, images).accepted_up_to) is not None
    return told


def images_until_alarm(shift: float, runs: int, seed: int = 0) -> list[int]:
    """After how many images a watch tells that all margins are smaller by `shift`; 1,000 where it does not."""
    after = []
    for run in range(runs):
        rng = np.random.default_rng((seed, run))
        watch = Watch(Reference.of(draw(rng, FAIR, 5000).accepted_up_to, 0.99))
        alarm = watch.add(_sigmoid(rng.normal(FAIR - shift, DEVIATION, 1000)))
        after.append(alarm.images if alarm else 1000)
    return after


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args(arguments)
    runs = 2 if given.toy else given.runs
    result: dict[str, object] = {"benchmark": "promise", "runs": runs}
    promises = []
    for mean, max_error in ((GOOD, 0.001), (FAIR, 0.001), (FAIR, 0.01)):
        for num_codes in (5000,) if given.toy else (5000, 10_000, 40_000):
            simulated = dataclasses.asdict(simulate(mean, runs, num_codes, max_error))
            promises.append({"margin": mean, "codes": num_codes, "max_error": max_error, **simulated})
            print(promises[-1], file=sys.stderr, flush=True)
    result["promises"] = promises
    result["false_alarms_in_10000_images"] = false_alarms(runs, 10_000)
    # {by how much all margins are smaller: images until an alarm, as (median, maximum)}
    alarms = {shift: images_until_alarm(shift, runs) for shift in (0.5, 1.0, 2.0, 4.0)}
    result["images_until_alarm"] = {shift: (float(np.median(after)), max(after)) for shift, after in alarms.items()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
