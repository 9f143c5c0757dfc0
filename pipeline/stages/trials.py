"""Several trainings beside each other: by folds, for an honest figure from few images, and by cleaning, to see what it
is worth.

    folds(config, workdir)         # every image is tested once, by a network that never saw its code
    cleanings(config, workdir)     # the same training on the same images, cleaned in each way

Each training has a folder and a process of its own, so one that was stopped goes on like any other.
"""

import dataclasses
import json
import multiprocessing
import os
import shutil
import sys

from pipeline.config import CLEANINGS
from pipeline.conversion.convert import convert, split_rule
from pipeline.conversion.sources import find_source
from pipeline.machine.startup import import_tensorflow
from pipeline.machine.workers import end_with_parent
from pipeline.model import metrics
from pipeline.stages.inputs import records_to_train
from pipeline.values import SettingError
from pipeline.workdir import Workdir
from records.atomic import write_text
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError

_UNLESS_BEFORE = " (but in the training it began with: the report of each part says what is known of that)"
_FEW = 200  # images of validation, by which not even .90 and .97 can be told apart


def folds(config, workdir):
    """Trains and tests on each part of the codes in turn, and prints what all of them come to."""
    count = config.trials.folds
    records = dataclasses.replace(config.records, test_fraction=1 / count)
    asked = dataclasses.replace(
        config, records=records, test=dataclasses.replace(config.test, split="test", checkpoint="")
    )
    _check_folds(asked, workdir)
    rows = []
    for number in range(count):
        name = f"{number + 1}-of-{count}"
        print(f"\nfold {number + 1} of {count}", flush=True)
        fold = dataclasses.replace(asked, workdir=str(workdir.folds / name))
        try:
            summary = _run(_fold, fold, number / count, str(workdir.root))
        finally:
            shutil.rmtree(workdir.unpacked, ignore_errors=True)
        rows.append({"fold": name, **summary["sequence_accuracy"], "position_accuracy": summary["position_accuracy"]})
    right, total = (sum(row[field] for row in rows) for field in ("right", "count"))
    low, high = metrics.wilson_interval(right, total)
    result = {
        "folds": rows,
        "sequence_accuracy": {"value": right / total, "count": total, "right": right, "low": low, "high": high},
    }
    write_text(workdir.folds_report, json.dumps(result, indent=1) + "\n")
    print("\nfold        whole code  images")
    for row in rows:
        print(f"{row['fold']:<10}  {row['value']:<10.4f}  {row['right']:,} of {row['count']:,}")
    print(
        f"together    {right / total:<10.4f}  {right:,} of {total:,}; 95 % interval {low:.4f} to {high:.4f}\n"
        f"Each image was tested once, by a network that saw neither it nor another of its code"
        f"{_UNLESS_BEFORE if config.train.initialize_from else ''}: {workdir.folds}"
    )
    return result


def _check_folds(config, workdir):
    """Raises, before the first training, where a part would have nothing to test or nothing to train on."""
    count = config.trials.folds
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


def cleanings(config, workdir):
    """Trains once with each cleaning, and prints what it is worth on the validation split."""
    records = records_to_train(config, workdir)
    manifest = Manifest.load(records)
    if not manifest.count("validation"):
        raise DigitwiseError(f"{records} has no validation split to compare on: raise --validation_fraction")
    rows = []
    for name, channels, cleaning in variants(manifest.channels):
        print(f"\ncleaning: {name}", flush=True)
        asked = dataclasses.replace(
            config,
            workdir=str(workdir.cleanings / name),
            train=dataclasses.replace(config.train, channels=channels, cleaning=cleaning),
            test=dataclasses.replace(config.test, split="validation", checkpoint=""),
        )
        summary = _run(_cleaning, asked, str(records))
        flags = f"--channels={channels} --cleaning={cleaning}"
        rows.append({"cleaning": name, "flags": flags, **summary["sequence_accuracy"]})
    result = {"records": manifest.fingerprint, "cleanings": rows}
    write_text(workdir.cleanings_report, json.dumps(result, indent=1) + "\n")
    for line in cleaning_lines(rows):
        print(line)
    return result


def variants(channels):
    """[(name, channels, cleaning)]: what the images are first, then what may be done to them."""
    colour = [("colour", 3, "none")] if channels == 3 else []
    cleaned = [(f"grey-{cleaning}".removesuffix("-none"), 1, cleaning) for cleaning in CLEANINGS]
    return [*colour, *cleaned]


def cleaning_lines(rows):
    """The table for a terminal, and what follows from it."""
    lines = ["", "cleaning               whole code of validation"]
    for row in rows:
        lines.append(
            f"{row['cleaning']:<21}  {row['value']:.4f}   {row['right']:,} of {row['count']:,}; 95 % interval "
            f"{row['low']:.4f} to {row['high']:.4f}"
        )
    plain, best = rows[0], max(rows, key=lambda row: row["right"])
    if best["low"] > plain["high"]:
        verdict = f"{best['cleaning']} is better than {plain['cleaning']} beyond chance: {best['flags']}"
    elif plain["count"] < _FEW:
        verdict = (
            f"none is better than {plain['cleaning']} beyond chance, but {plain['count']} images are too few to tell: "
            "raise --validation_fraction"
        )
    else:
        verdict = f"none is better than {plain['cleaning']} beyond chance: {plain['flags']} is enough"
    return [*lines, verdict]


def _run(trial, *arguments):
    """What trial(*arguments) returns, from a process of its own: a network leaves its traces in the process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, os.getpid(), trial, *arguments))
    process.start()
    sender.close()
    try:
        outcome, result = receiver.recv()
        process.join()
    except EOFError:
        process.join()
        raise _ended(process.exitcode) from None
    except BaseException:
        process.terminate()  # it saves, as a training does that is told to end
        process.join()
        raise
    if outcome == "error":
        raise DigitwiseError(result)
    return result


def _ended(code):
    if code == 130:
        return KeyboardInterrupt()
    if code and code > 128:
        return SystemExit(code)
    goes_on = "; the same command goes on from there" if code and code < 0 else ""
    return DigitwiseError(f"the process of a training ended with {code}{goes_on}")


def _child(sender, parent, trial, *arguments):
    end_with_parent(parent)
    try:
        sender.send(("result", trial(*arguments)))
    except (DigitwiseError, SettingError, OSError) as error:
        sender.send(("error", str(error)))
    except KeyboardInterrupt:
        sys.exit(130)


def _fold(config, rotation, root):
    workdir = Workdir(config.workdir)
    workdir.create()
    rule = dataclasses.replace(split_rule(config.records), rotation=rotation)
    convert(config, workdir, rule, images_of=Workdir(root))
    return _train_and_test(config, workdir, workdir.records)


def _cleaning(config, records):
    workdir = Workdir(config.workdir)
    workdir.create()
    return _train_and_test(config, workdir, records)


def _train_and_test(config, workdir, records):
    import_tensorflow()
    from pipeline.stages.test import test
    from pipeline.training.loop import train

    train(config, workdir, records)
    quiet = dataclasses.replace(config.test, shown_predictions=0)
    summary = test(dataclasses.replace(config, test=quiet), workdir, records=records)
    return {name: summary[name] for name in ("sequence_accuracy", "position_accuracy")}
