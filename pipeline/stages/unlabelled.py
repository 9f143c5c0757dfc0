"""Images without labels: a network that learned from the labelled ones alone reads them, and what it is certain of
joins the records.

    read_unlabelled(config, workdir)      # before the records are written: leaves workdir.readings

Only the train split grows. What is read as a code of another split is left out, and so is a copy of a labelled image:
the test stays one of images that people labelled.
"""

import collections
import csv
import dataclasses
import hashlib
import io
import os
from typing import Literal

from digitwise.reader import Reader, Reading
from pipeline.config import RunConfig
from pipeline.conversion.convert import convert, split_rule
from pipeline.machine.own_process import run_alone
from pipeline.machine.progress import progress
from pipeline.machine.startup import import_tensorflow
from pipeline.stages.networks import open_network
from pipeline.values import LOCAL
from pipeline.workdir import Workdir
from records.atomic import write_text
from records.errors import DigitwiseError, printable
from records.images.files import StoredForm, stored_bytes
from records.images.folder import LABELS_HEADER, LabeledFolder, image_keys
from records.split import TRAIN, SplitRule

CERTAIN = 0.9  # the confidence from which on a reading is taken for a label
_PIXELS = StoredForm(None, None, 3, "raw", convert_colors=True)
_NAMED = 3  # images that cannot be read

Fate = Literal["certain", "doubtful", "held out", "labelled", "unread"]
Fates = collections.Counter[Fate]


def read_unlabelled(config: RunConfig, workdir: Workdir) -> None:
    """Trains in workdir.first, and lists in workdir.readings what that network reads with certainty; nothing where the
    settings name no such images."""
    folder = config.records.unlabelled
    if not folder:
        return
    if not os.path.isdir(folder):
        raise DigitwiseError(f"--unlabelled={folder} is not a folder")
    if next(image_keys(folder), None) is None:
        raise DigitwiseError(f"--unlabelled={folder}: it has no image in it")
    first = Workdir(workdir.first)
    first.create()
    alone = dataclasses.replace(
        config,
        workdir=str(first.root),
        stages=("records", "train"),
        cluster=LOCAL,
        records=dataclasses.replace(config.records, unlabelled="", upload=""),
    )
    print(f"unlabelled: first a training on the labelled images alone, in {first.root}", flush=True)
    # In a process of its own: TensorFlow never gives back the memory of a training that has ended.
    table, fates = run_alone(_train_and_read, alone, folder)
    print(f"unlabelled: {_told(fates, folder)}", flush=True)
    if not fates["certain"]:
        raise DigitwiseError(
            f"--unlabelled={folder}: no image of it can join the training: label more images, or leave the flag out"
        )
    write_text(workdir.readings, table)


def _train_and_read(config: RunConfig, folder: str) -> tuple[str, Fates]:
    import_tensorflow()
    from pipeline.training.train import train

    workdir = Workdir(config.workdir)
    convert(config, workdir)
    train(config, workdir, workdir.records)
    return _read(config, Reader(open_network("", workdir)), folder)


def _read(config: RunConfig, reader: Reader, folder: str) -> tuple[str, Fates]:
    """(table of what is certain, what became of the images)."""
    known = _digests_of(LabeledFolder(config.records.images, config.records.label_pattern))
    rule = split_rule(config.records)
    others = LabeledFolder(folder)
    keys = list(image_keys(folder))
    text = io.StringIO()
    # All quoted: a name may have line ends in it, of which csv quotes by itself only some.
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerow(LABELS_HEADER)
    fates: Fates = collections.Counter()
    unread = []
    with progress("unlabelled", len(keys)) as advance:
        for key, reading in zip(keys, reader.read_each(os.path.join(folder, key) for key in keys), strict=True):
            fate = _fate(reading, rule)
            if fate == "certain" and _digest(others, key) in known:
                fate = "labelled"
            if fate == "certain":
                table.writerow((key, reading.code))
            if fate == "unread":
                unread.append(f"{printable(key)} ({reading.error})")
            fates[fate] += 1
            advance(1)
    if unread:
        left = f", and {len(unread) - _NAMED:,} more" if len(unread) > _NAMED else ""
        print(f"records: warning: not readable: {', '.join(unread[:_NAMED])}{left}")
    return text.getvalue(), fates


def _fate(reading: Reading, rule: SplitRule) -> Fate:
    if reading.error:
        return "unread"
    if not reading.code or reading.confidence < CERTAIN:
        return "doubtful"
    return "certain" if rule.split(reading.code) == TRAIN else "held out"


def _digests_of(labelled: LabeledFolder) -> set[bytes]:
    return {_digest(labelled, key) for key, _ in labelled.rows()}


def _digest(folder: LabeledFolder, key: str) -> bytes:
    """Of the pixels: one picture may lie in files of different bytes."""
    pixels = stored_bytes(folder.load(key), folder.name(key), _PIXELS)
    return hashlib.blake2b(pixels, digest_size=16).digest()


def _told(fates: Fates, folder: str) -> str:
    left_out = (
        (fates["doubtful"], f"read with less than {CERTAIN:g}"),
        (fates["held out"], "read as codes of the validation and test splits"),
        (fates["labelled"], "copies of labelled images"),
        (fates["unread"], "not readable"),
    )
    others = ", ".join(f"{count:,} {what}" for count, what in left_out if count)
    return (
        f"{fates['certain']:,} of {sum(fates.values()):,} images of {folder} were read with a confidence of "
        f"{CERTAIN:g} or more and join the train split{f'; left out: {others}' if others else ''}"
    )
