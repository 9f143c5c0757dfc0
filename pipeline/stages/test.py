"""The test stage: reads a held-out split with the best checkpoint, and says what the figure rests on.

    summary = test(config, workdir)
    summary.figures.whole        # Accuracy(value=0.996, count=2500, right=2490, low=..., high=...)

Of what is read only ids are kept, and of the pictures only those that are shown.
"""

import dataclasses
import pathlib
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.config import RunConfig
from pipeline.conversion.foreign import Probes
from pipeline.machine.startup import import_tensorflow
from pipeline.model.checkpoints import Checkpoints, last_state
from pipeline.promise.halves import calibration_rows
from pipeline.report import files
from pipeline.report.claim import claim, find_exposure, is_repeatable
from pipeline.report.examples import choose, join_records
from pipeline.report.figures import measure
from pipeline.report.history import TrainingPoint, read_history
from pipeline.report.readings import Readings, Speed, read_split
from pipeline.report.scans import TESTED, Ahead, SplitScan, are_unseen, scan_splits
from pipeline.report.summary import CheckpointUsed, RecordsUsed, Settings, Summary
from pipeline.report.text import print_summary
from pipeline.report.trials import read_cleanings
from pipeline.stages.certify import certify_checkpoint
from pipeline.stages.inputs import records_to_test
from pipeline.workdir import Workdir, plain
from records.alphabet import Alphabet
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.split import TEST

_BATCH_SIZE = 64  # what fits into the caches of a core: larger batches are read more slowly
_PACKAGES = ("tensorflow", "keras", "numpy", "pillow")


def run(config: RunConfig, workdir: Workdir, probes: Probes | None = None, ahead: Ahead | None = None) -> bool:
    """The stage: tests what the settings name; the result is whether it found anything new."""
    records = records_to_test(config, workdir, probes)
    last_state(Checkpoints.to_test(config.test, workdir))  # raises where there is none, before an import takes seconds
    import_tensorflow()
    previous = files.previous_summary(report_folder(config.test.split, workdir, records))
    return not test(config, workdir, workdir.read_seconds(), records, ahead).repeats(previous)


def report_folder(split: str, workdir: Workdir, records: pathlib.Path | None) -> pathlib.Path:
    """That of the test split of the workdir's own records; a test of anything else has another, and leaves it."""
    is_own = _are_own(records, workdir) and split == TEST
    return workdir.report if is_own else Workdir(workdir.tested).report


def _are_own(records: pathlib.Path | None, workdir: Workdir) -> bool:
    return records is None or records == workdir.records


def test(
    config: RunConfig,
    workdir: Workdir,
    seconds: Mapping[str, float] | None = None,
    records: pathlib.Path | None = None,
    ahead: Ahead | None = None,
) -> Summary:
    """Reads the split, writes the report, and prints how well it was read.

    `seconds` are those of the stages that ran before; `records` is a folder other than the workdir's own; `ahead` may
    have scanned some of it.
    """
    from pipeline.machine.devices import is_chief

    began = time.monotonic()
    asked = config.test
    report = report_folder(asked.split, workdir, records)
    manifest = Manifest.load(records or workdir.records)
    check_split(manifest, asked.split)
    checkpoint = Checkpoints.to_test(asked, workdir).folder
    strategy, recognizer = load_recognizer(checkpoint, config.train)
    check_fits(recognizer, manifest)
    training = {"network": recognizer.spec.to_json(), **recognizer.provenance.to_json()}
    exposure = find_exposure(recognizer.provenance, manifest, workdir, Workdir(checkpoint.parent))
    scans = scan_splits(manifest, asked.split, exposure, config.processes, ahead)
    readings, speed = read(strategy, recognizer, manifest, asked.split)
    max_error, rows, promise = config.use.max_error, np.arange(len(readings)), None
    described = describe_records(manifest, asked.split, scans)
    if max_error is not None:
        made = certify_checkpoint(Checkpoints(checkpoint), recognizer.step, manifest, asked.split, max_error)
        promise = made.figures
        rows, described = tested_half(readings, manifest, described)
        if is_chief(config.train.strategy):
            made.stored.save(checkpoint)
    readings, is_unseen = readings.of_rows(rows), are_unseen(scans, exposure, asked.split)
    summary = Summary(
        figures=measure(readings, manifest, None if is_unseen is None else is_unseen[rows]),
        speed=speed,
        claim=claim(manifest, asked.split, exposure, scans, is_repeatable(recognizer)),
        records=described,
        checkpoint=CheckpointUsed(str(checkpoint), int(recognizer.step)),
        model=recognizer.spec,
        settings=Settings(plain(dataclasses.asdict(asked)), training, manifest.settings),
        seeds=find_seeds({"records": manifest.settings, "training": training}),
        versions=versions(),
        history=history_of(checkpoint, workdir),
        cleanings=read_cleanings(workdir.cleanings_report, manifest.fingerprint),
        promise=promise,
    )
    chosen = choose(readings, asked.shown_predictions)
    keys, examples = join_records(manifest, asked.split, readings, chosen, rows)
    behind = _behind(seconds or {}, checkpoint == workdir.checkpoints, _are_own(records, workdir))
    summary = dataclasses.replace(summary, seconds=_seconds(summary, report, behind, began))
    if is_chief(config.train.strategy):
        # Printed last: a terminal that fails must not cost the report.
        report.parent.mkdir(parents=True, exist_ok=True)
        files.write_report(report, summary, examples, keys, readings)
        print_summary(summary, examples.table)
        print(f"report      {report / files.PAGE_FILE}")
    return summary


def tested_half(
    readings: Readings, manifest: Manifest, described: RecordsUsed
) -> tuple[npt.NDArray[np.int64], RecordsUsed]:
    """The rows whose codes did not certify the threshold: all figures are theirs."""
    alphabet = Alphabet(manifest.alphabet)
    codes = [alphabet.text(label_ids) for label_ids in readings.label_ids]
    rows = np.flatnonzero(~calibration_rows(codes))
    different = {**described.different_codes, TESTED: len({codes[row] for row in rows.tolist()})}
    return rows, dataclasses.replace(described, different_codes=different)


def check_split(manifest: Manifest, split: str) -> None:
    if split not in manifest.splits:
        raise DigitwiseError(f"--split={split}: {manifest.folder} has the splits {', '.join(manifest.splits)}")
    if not manifest.count(split):
        filled = [name for name in manifest.splits if manifest.count(name)]
        raise DigitwiseError(
            f"the {split} split of {manifest.folder} has no images to test on: write records with a larger "
            f"--{split}_fraction, or choose another split with --split ({', '.join(filled) or 'all are empty'})"
        )


def load_recognizer(checkpoint: pathlib.Path, train: Any) -> tuple[Any, Any]:
    """(strategy, the recognizer of the best checkpoint)."""
    from pipeline.machine.devices import make_strategy
    from pipeline.model.recognizer import Recognizer

    strategy = make_strategy(train.strategy, train.devices, train.logical_devices, train.peer_seconds)
    with strategy.scope():
        return strategy, Recognizer.load(checkpoint, which="best")


def check_fits(recognizer: Any, manifest: Manifest) -> None:
    """Raises where the checkpoint reads other characters, lengths or image sizes than the records have."""
    known = recognizer.alphabet.characters
    readout, size = recognizer.readout, tuple(recognizer.image_shape[:2])
    where = f"the checkpoint does not fit {manifest.folder}"
    if known != manifest.alphabet:
        raise DigitwiseError(f"{where}: it reads the alphabet {known!r}, the records have {manifest.alphabet!r}")
    if recognizer.spec.fitted is None and size != manifest.image_shape[:2]:
        found = "several sizes" if manifest.varies else _by((manifest.height, manifest.width))
        raise DigitwiseError(f"{where}: it reads images of {_by(size)}, the records have {found}")
    if manifest.min_length < readout.min_length or manifest.max_length > readout.max_length:
        raise DigitwiseError(
            f"{where}: it reads codes of {_lengths(readout)} characters, the records have {_lengths(manifest)}"
        )


def read(strategy: Any, recognizer: Any, manifest: Manifest, split: str) -> tuple[Readings, Speed]:
    from pipeline.model.reading import evaluation_batches

    spec = recognizer.spec
    batches = evaluation_batches(manifest, split, _BATCH_SIZE, spec.image_shape[2], spec.fitted)
    return read_split(strategy, recognizer, batches, manifest, split)


def describe_records(manifest: Manifest, split: str, scans: Mapping[str, SplitScan]) -> RecordsUsed:
    return RecordsUsed(
        folder=str(manifest.folder),
        fingerprint=manifest.fingerprint,
        split=split,
        counts={name: manifest.count(name) for name in manifest.splits},
        classes={name: tuple(by_place) for name, by_place in manifest.classes.items()},
        alphabet=manifest.alphabet,
        lengths=(manifest.min_length, manifest.max_length),
        image_shape=manifest.image_shape,
        versions=manifest.versions,
        different_codes={name: scan.different_codes for name, scan in scans.items()},
        different_pictures={name: scan.different_pictures for name, scan in scans.items()},
    )


def find_seeds(settings: Mapping[str, Any], within: str = "") -> dict[str, int]:
    """{group.name: value} of everything called a seed in nested settings."""
    found: dict[str, int] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= find_seeds(value, name)
        elif name == "seed" or name.endswith("_seed"):
            found[f"{within}.{name}"] = value
    return found


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def history_of(checkpoint: pathlib.Path, workdir: Workdir) -> tuple[TrainingPoint, ...]:
    """The course of the training that is tested; the logs of another lie beside its checkpoints."""
    from pipeline.training.logs import HISTORY_FILE

    logs = workdir.logs if checkpoint == workdir.checkpoints else checkpoint.parent / workdir.logs.name
    return read_history(logs / HISTORY_FILE)


def _behind(seconds: Mapping[str, float], own_checkpoint: bool, own_records: bool) -> dict[str, float]:
    """Those of the workdir that a result rests on: a checkpoint from elsewhere, or records, took other times."""
    return {stage: took for stage, took in seconds.items() if own_checkpoint and (own_records or stage == "train")}


def _seconds(summary: Summary, report: pathlib.Path, behind: Mapping[str, float], began: float) -> dict[str, float]:
    """Of the stages behind it, and of this one; a test that only repeats the last one keeps its time."""
    previous = files.previous_summary(report)
    took = previous.seconds.get("test") if previous and summary.repeats(previous) else None
    return {**behind, "test": round(time.monotonic() - began, 2) if took is None else took}


def _by(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _lengths(what: Any) -> str:
    return "-".join(str(n) for n in dict.fromkeys((what.min_length, what.max_length)))
