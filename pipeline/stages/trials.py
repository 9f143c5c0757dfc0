"""Several trainings beside each other: by folds, for an honest figure from few images, and by cleaning, to see what it
is worth.

    folds(config, workdir)         # every image is tested once, by a network that never saw its code
    cleanings(config, workdir)     # the same training on the same images, cleaned in each way

Each training has a folder and a process of its own, so one that was stopped continues like any other.
"""

import dataclasses
import pathlib
import shutil

from pipeline.choices import CLEANINGS, Cleaning
from pipeline.config import RunConfig
from pipeline.conversion.convert import convert, split_rule
from pipeline.conversion.sources import find_source
from pipeline.machine.own_process import run_alone
from pipeline.machine.startup import import_tensorflow
from pipeline.report.summary import CleaningResult
from pipeline.report.trials import CleaningsReport, FoldsReport, TrialResult, save
from pipeline.stages.inputs import records_to_train
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.split import TEST, VALIDATION

_HELD_OUT = "Each image was tested once, by a network trained without it and without any other image of its code"
_EXCEPT_BEFORE = " (except in the training that it began with: the report of each part says what is known of that)"


def folds(config: RunConfig, workdir: Workdir, _probes: object = None) -> FoldsReport:
    """Trains and tests on each part of the codes in turn, and prints what all of them come to."""
    count = config.trials.folds
    asked = _for_folds(config)
    _check_folds(asked, workdir)
    results = {}
    for number in range(count):
        name = f"{number + 1}-of-{count}"
        print(f"\nfold {number + 1} of {count}", flush=True)
        fold = dataclasses.replace(asked, workdir=str(workdir.folds / name))
        try:
            # A process for each: TensorFlow never gives back the memory of a training that has ended.
            results[name] = run_alone(_fold, fold, number / count, str(workdir.root))
        finally:
            # Unpacked copies of compressed records are as large as the records of a fold.
            shutil.rmtree(workdir.unpacked, ignore_errors=True)
    report = FoldsReport(results)
    save(workdir.folds_report, report)
    print()
    for line in report.lines():
        print(line)
    has_earlier = any(result.has_earlier for result in results.values())
    print(f"{_HELD_OUT}{_EXCEPT_BEFORE if has_earlier else ''}: {workdir.folds}")
    return report


def cleanings(config: RunConfig, workdir: Workdir, _probes: object = None) -> CleaningsReport:
    """Trains once with each cleaning, and prints what it is worth on the validation split."""
    records = records_to_train(config, workdir)
    manifest = Manifest.load(records)
    if not manifest.count(VALIDATION):
        raise DigitwiseError(f"{records} has no validation split to compare on: raise --validation_fraction")
    results = []
    for name, channels, cleaning in variants(manifest.channels):
        print(f"\ncleaning: {name}", flush=True)
        asked = dataclasses.replace(
            config,
            workdir=str(workdir.cleanings / name),
            train=dataclasses.replace(config.train, channels=channels, cleaning=cleaning),
            # Never the test split: whoever picks the best cleaning by it has used it up.
            test=dataclasses.replace(config.test, split=VALIDATION, checkpoint=""),
        )
        result = run_alone(_cleaning, asked, str(records))
        results.append(CleaningResult(name, f"--channels={channels} --cleaning={cleaning}", result.whole))
    report = CleaningsReport(manifest.fingerprint, tuple(results))
    save(workdir.cleanings_report, report)
    print()
    for line in report.lines():
        print(line)
    return report


def variants(channels: int) -> list[tuple[str, int, Cleaning]]:
    """[(name, channels, cleaning)]: the images as they are first, then what may be done to them."""
    colour: list[tuple[str, int, Cleaning]] = [("colour", 3, "none")] if channels == 3 else []
    cleaned = [(f"grey-{cleaning}".removesuffix("-none"), 1, cleaning) for cleaning in CLEANINGS]
    return [*colour, *cleaned]


def _for_folds(config: RunConfig) -> RunConfig:
    """Each fold tests what it held out, with its own checkpoint."""
    return dataclasses.replace(
        config,
        records=dataclasses.replace(config.records, test_fraction=1 / config.trials.folds),
        test=dataclasses.replace(config.test, split=TEST, checkpoint=""),
    )


def _check_folds(config: RunConfig, workdir: Workdir) -> None:
    """Raises, before the first training, where a part would have nothing to test or nothing to train on."""
    count = config.trials.folds
    # A set: all images of one code go into the same split.
    texts = {text for _, text in find_source(config, workdir).rows()}
    for number in range(count):
        rule = dataclasses.replace(split_rule(config.records), rotation=number / count)
        splits = {rule.split(text) for text in texts}
        for split, needed in (("test", "to test"), ("train", "to train on")):
            if split not in splits:
                raise DigitwiseError(
                    f"--folds={count}: part {number + 1} of the {len(texts)} codes would have none {needed}: "
                    "give more images, or fewer --folds"
                )


def _fold(config: RunConfig, rotation: float, root: str) -> TrialResult:
    workdir = Workdir(config.workdir)
    workdir.create()
    rule = dataclasses.replace(split_rule(config.records), rotation=rotation)
    convert(config, workdir, rule, images_of=Workdir(root))
    return _train_and_test(config, workdir, workdir.records)


def _cleaning(config: RunConfig, records: str) -> TrialResult:
    workdir = Workdir(config.workdir)
    workdir.create()
    return _train_and_test(config, workdir, pathlib.Path(records))


def _train_and_test(config: RunConfig, workdir: Workdir, records: pathlib.Path) -> TrialResult:
    import_tensorflow()
    from pipeline.stages.test import test
    from pipeline.training.train import train

    state = train(config, workdir, records)
    quiet = dataclasses.replace(config.test, shown_predictions=0)
    figures = test(dataclasses.replace(config, test=quiet), workdir, records=records).figures
    positions = tuple(position.accuracy for position in figures.positions)
    return TrialResult(figures.whole, positions, has_earlier=bool(state.provenance.earlier))
