"""Certifying a threshold: a network reads the validation split, and the calibration half of the tested one.

halves = Halves.read(network, manifest, "test")
certification(halves.choosing, halves.calibration, max_error=0.001)
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from digitwise.images import InputShape, Pixels
from digitwise.reader import Network
from digitwise.watch import Watch
from pipeline.model.checkpoints import Checkpoints
from pipeline.promise.calibration import confidence_bins, expected_calibration_error, fit_temperature
from pipeline.promise.certificate import Outcomes
from pipeline.promise.certification import Certification, certification
from pipeline.promise.halves import calibration_rows
from pipeline.promise.stored import StoredPromise
from pipeline.report.promise import PromiseFigures
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.split import TEST, VALIDATION

_BATCH_SIZE = 64
# More change the one number that is fitted hardly at all.
_MAX_FITTED = 5_000  # images that the temperature is fitted to
_MIN_FITTED = 100  # different codes: to fewer, it would fit what happens to be among them


@dataclasses.dataclass(frozen=True)
class Halves:
    """What a network reads. `choosing` is the validation split, or the tested half where records have none."""

    choosing: Outcomes
    calibration: Outcomes
    tested: Outcomes

    @classmethod
    def read(cls, network: Network, manifest: Manifest, split: str) -> "Halves":
        outcomes = read_outcomes(network, manifest, split)
        # By code: images of one code resemble each other, and must not be on both sides.
        certifies = calibration_rows(list(outcomes.codes))
        if certifies.all() or not certifies.any():
            raise DigitwiseError(
                f"--max_error needs several codes in the {split} split of {manifest.folder}: half of them certify the "
                "threshold, the others are tested"
            )
        tested = _rows(outcomes, ~certifies)
        # The order in which thresholds are tried may come from any images but those that certify.
        choosing = read_outcomes(network, manifest, VALIDATION) if manifest.count(VALIDATION) else tested
        return cls(choosing, _rows(outcomes, certifies), tested)


@dataclasses.dataclass(frozen=True)
class Made:
    """What certifying a checkpoint gave."""

    stored: StoredPromise
    figures: PromiseFigures


def check_can_certify(split: str) -> None:
    if split != TEST:
        raise DigitwiseError(f"--split={split}: a promise can only be certified on the test split")


def read_outcomes(network: Network, manifest: Manifest, split: str) -> Outcomes:
    confidences, is_right, codes = [], [], []
    for images, label_ids in batches(manifest, split, network.metadata.shape):
        outputs = network.run(images)
        confidences.append(np.asarray(outputs.confidences, np.float64))
        is_right.append(_same_rows(outputs.label_ids, label_ids))
        codes += ["".join(manifest.alphabet[i] for i in row if i >= 0) for row in label_ids.tolist()]
    return Outcomes(np.concatenate(confidences), np.concatenate(is_right), codes)


def batches(manifest: Manifest, split: str, shape: InputShape) -> Iterator[tuple[Pixels, npt.NDArray[np.int32]]]:
    """(images, label_ids) of a split, in order, as the network takes them."""
    from pipeline.model.intake import records_parser
    from records.dataset.reader import read_in_order

    parse = records_parser(manifest, shape.channels, shape.fitted)
    for images, label_ids in read_in_order(manifest, split).batch(_BATCH_SIZE).map(parse):
        yield images.numpy(), label_ids.numpy()


def temperature_of(graph: Any, manifest: Manifest) -> float:
    """The temperature with which the confidences of the validation split are most like its accuracy; 1 where that does
    not help, or where there are too few codes to tell. `graph` is a ReadingGraph with the temperature 1."""
    import tensorflow as tf

    if not manifest.count(VALIDATION):
        return 1.0
    values, labels = [], []
    for images, label_ids in batches(manifest, VALIDATION, graph.metadata.shape):
        values.append(graph.read(images)["log_probabilities"].numpy())
        labels.append(label_ids)
        if len(values) * _BATCH_SIZE >= _MAX_FITTED:
            break
    if len(np.unique(np.concatenate(labels), axis=0)) < _MIN_FITTED:
        return 1.0
    # Log-probabilities are logits, too. Classes that were ruled out must not become infinite when divided.
    logits, targets = tf.constant(np.maximum(np.concatenate(values), -1e30)), tf.constant(np.concatenate(labels))

    def loss(temperature: float) -> float:
        return float(tf.reduce_mean(graph.readout.loss(logits / temperature, targets)))

    found = fit_temperature(loss)
    # The search may end beside the minimum where confidences are already right.
    return found if loss(found) < loss(1.0) else 1.0


def calibration_error(outcomes: Outcomes) -> float:
    return expected_calibration_error(confidence_bins(outcomes.confidences, outcomes.is_right))


def _rows(outcomes: Outcomes, chosen: npt.NDArray[np.bool_]) -> Outcomes:
    codes = [code for code, is_chosen in zip(outcomes.codes, chosen, strict=True) if is_chosen]
    return Outcomes(outcomes.confidences[chosen], outcomes.is_right[chosen], codes)


def _same_rows(label_ids: npt.NDArray[np.int32], others: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Whether codes are the same; one array may have more places, padded with -1."""
    width = max(label_ids.shape[1], others.shape[1])
    padded = (np.pad(ids, ((0, 0), (0, width - ids.shape[1])), constant_values=-1) for ids in (label_ids, others))
    one, other = padded
    found: npt.NDArray[np.bool_] = (one == other).all(axis=1)
    return found


def certify_checkpoint(checkpoints: Checkpoints, step: int, manifest: Manifest, split: str, max_error: float) -> Made:
    """What the checkpoint of `step` may promise, to be stored beside it, and the figures for the report."""
    from pipeline.export.checkpoint import arrays_sha256, graph_of
    from pipeline.export.networks import GraphNetwork

    check_can_certify(split)
    graph = graph_of(checkpoints.load(step), checkpoints.folder)
    # Without an earlier promise: what is measured here must not depend on it.
    plain = graph.with_metadata(dataclasses.replace(graph.metadata, temperature=1.0, promise=None, reference=None))
    temperature = temperature_of(plain, manifest)
    before = Halves.read(GraphNetwork(plain), manifest, split)
    halves = before
    if temperature != 1.0:
        scaled = plain.with_metadata(dataclasses.replace(plain.metadata, temperature=temperature))
        halves = Halves.read(GraphNetwork(scaled), manifest, split)
    found = certification(halves.choosing, halves.calibration, max_error)
    stored = StoredPromise(arrays_sha256(checkpoints.folder, step), temperature, found.promise, found.reference)
    return Made(stored, promise_figures(found, halves.tested, temperature, calibration_error(before.tested)))


def promise_figures(
    found: Certification, tested: Outcomes, temperature: float, calibration_error_before: float
) -> PromiseFigures:
    made = found.certificate
    accepted = tested.confidences >= made.threshold if made.threshold is not None else np.zeros(len(tested.codes), bool)
    alarm = Watch(found.reference).add(tested.confidences.tolist()) if found.reference else None
    return PromiseFigures(
        max_error=made.max_error,
        threshold=made.threshold,
        codes=made.num_codes,
        images=made.num_images,
        accepted_codes=made.accepted,
        wrong_codes=made.wrong,
        missing_codes=made.missing,
        offered_error=made.offer.max_error,
        tested_images=len(tested.codes),
        tested_accepted=int(accepted.sum()),
        tested_wrong=int((accepted & ~tested.is_right).sum()),
        temperature=temperature,
        calibration_error=calibration_error(tested),
        calibration_error_before=calibration_error_before,
        alarm=str(alarm) if alarm else None,
    )
