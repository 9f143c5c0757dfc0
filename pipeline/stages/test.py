"""The test stage: reads a held-out split with the best checkpoint, and says what the figure rests on.

    summary = test(config, workdir)
    summary["sequence_accuracy"]        # {"value": 0.996, "count": 2500, "right": 2490, "low": ..., "high": ...}

Of what is read only ids are kept, and of the pictures only those that are shown.
"""

import dataclasses
import itertools
import json
import platform
import time
from importlib import metadata

import numpy as np
from PIL import Image

from pipeline.machine.progress import progress
from pipeline.model import metrics
from pipeline.model.checkpoints import Checkpoints
from pipeline.report import lookalikes, report
from pipeline.report.claim import claim, find_exposure, is_repeatable, rests_on, scan_splits
from records.alphabet import Alphabet
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError
from records.images.files import RAW, encode
from records.tfrecord.framing import read_records

THRESHOLDS = (0.5, 0.9, 0.99, 0.999, 0.9999)
MISTAKES_SHOWN = 60
UNSURE_SHOWN = RIGHT_SHOWN = 12
_BATCH_SIZE = 250
_FEW_BATCHES = 4
_PACKAGES = ("tensorflow", "keras", "numpy", "pillow")


@dataclasses.dataclass(frozen=True)
class Readings:
    """What a split was read as; row i is the i-th record of the split."""

    label_ids: np.ndarray
    decoded_ids: np.ndarray
    probabilities: np.ndarray
    confidence: np.ndarray

    def __len__(self):
        return len(self.label_ids)

    @property
    def right(self):
        return metrics.sequence_right(self.label_ids, self.decoded_ids)


def test(config, workdir, seconds=None, records=None):
    """Reads the split, prints how well, and writes the report; returns what report.json holds.

    `seconds` are those of the stages that ran before; `records` is a folder other than the workdir's own.
    """
    from pipeline.machine.devices import is_chief
    from pipeline.training.logs import HISTORY_FILE

    began = time.monotonic()
    asked = config.test
    manifest = Manifest.load(records or workdir.records)
    check_split(manifest, asked.split)
    checkpoint = Checkpoints.to_test(asked, workdir).folder
    is_own = checkpoint == workdir.checkpoints
    strategy, recognizer = load_recognizer(checkpoint, config.train)
    check_fits(recognizer, manifest)
    exposure = find_exposure(recognizer.settings, manifest, workdir)
    scans = scan_splits(manifest, asked.split, exposure, config.processes)
    readings, speed = read_split_with(strategy, recognizer, manifest, asked.split, _BATCH_SIZE)
    statements = rests_on(manifest, asked.split, exposure, scans, is_repeatable(recognizer))
    summary = {
        **measure(readings, manifest),
        "images_per_second": speed,
        "claim": claim(statements),
        "records": describe_records(manifest, asked.split, scans),
        "checkpoint": {"folder": str(checkpoint), "step": int(recognizer.step)},
        "seeds": find_seeds({"records": manifest.settings, "training": recognizer.settings}),
        "settings": {
            "test": dataclasses.asdict(asked),
            "training": recognizer.settings,
            "records": manifest.settings,
        },
        "versions": versions(),
        "history": read_history((workdir.logs if is_own else checkpoint.parent / workdir.logs.name) / HISTORY_FILE),
        "cleanings": read_cleanings(workdir, manifest),
    }
    keys, shown = join_records(manifest, asked.split, readings, choose(readings, asked))
    if is_chief(config.train.strategy):
        report.print_summary(summary, shown["table"])
        summary["seconds"] = {**(seconds if seconds and is_own else {}), "test": round(time.monotonic() - began, 2)}
        report.write(workdir.report, summary, shown, keys, readings, Alphabet(manifest.alphabet))
        print(f"report      {workdir.report / report.PAGE_FILE}")
    return summary


def check_split(manifest, split):
    if split not in manifest.splits:
        raise DigitwiseError(f"--split={split}: {manifest.folder} has the splits {', '.join(manifest.splits)}")
    if not manifest.count(split):
        filled = [name for name in manifest.splits if manifest.count(name)]
        raise DigitwiseError(
            f"the {split} split of {manifest.folder} has no images to test on: write records with a greater "
            f"--{split}_fraction, or choose another with --split ({', '.join(filled) or 'all are empty'})"
        )


def load_recognizer(checkpoint, train):
    """(strategy, the recognizer of the best checkpoint)."""
    from pipeline.machine.devices import make_strategy
    from pipeline.model.recognizer import Recognizer

    strategy = make_strategy(train.strategy, train.devices, train.logical_devices, train.peer_seconds)
    with strategy.scope():
        return strategy, Recognizer.load(checkpoint, which="best")


def check_fits(recognizer, manifest):
    """Raises where the checkpoint reads other characters, lengths or image sizes than the records have."""
    known = recognizer.alphabet.characters
    readout, size = recognizer.readout, tuple(recognizer.image_shape[:2])
    where = f"the checkpoint does not fit {manifest.folder}"
    if known != manifest.alphabet:
        raise DigitwiseError(f"{where}: it reads the alphabet {known!r}, the records have {manifest.alphabet!r}")
    if size != manifest.image_shape[:2]:
        raise DigitwiseError(f"{where}: it reads images of {_by(size)}, the records have {_by(manifest.image_shape)}")
    if manifest.min_length < readout.min_length or manifest.max_length > readout.max_length:
        raise DigitwiseError(
            f"{where}: it reads codes of {_lengths(readout)} characters, the records have {_lengths(manifest)}"
        )


def read_split_with(strategy, recognizer, manifest, split, batch_size):
    """(Readings, how fast): every record of the split once, in the order of the records."""
    from pipeline.model.recognizer import predict_batches
    from pipeline.training.batches import evaluation_batches

    count, channels = manifest.count(split), recognizer.image_shape[2]
    batches = evaluation_batches(manifest, split, batch_size, channels)
    parts, clock = [], []
    with progress("test", count) as advance:
        for indices, label_ids, decoded_ids, probabilities, confidence, *_ in predict_batches(
            strategy, recognizer, batches
        ):
            clock.append((time.perf_counter(), len(indices)))
            parts.append((indices, label_ids, decoded_ids, probabilities, confidence))
            advance(len(indices))
    indices, *columns = (np.concatenate(column) for column in zip(*parts))
    if len(indices) != count or len(np.unique(indices)) != count:
        raise DigitwiseError(
            f"{len(np.unique(indices))} of the {count} images in the {split} split of {manifest.folder} were read: "
            "the shards are not those of the manifest; --stage=check says more"
        )
    if len(parts) <= _FEW_BATCHES:  # the first built the graph: only a second reading tells how fast it is
        began = time.perf_counter()
        for _ in predict_batches(strategy, recognizer, batches):
            clock = [(began, 0), (time.perf_counter(), count)]
    order = np.argsort(indices)
    return Readings(*(column[order] for column in columns)), speed_of(clock)


def speed_of(clock):
    """Images/s from [(time when a batch was done, its images)]; the first, which builds the graph, starts the clock."""
    includes = "reading, decoding, network and readout; without building the graph"
    images = sum(count for _, count in clock[1:])
    seconds = clock[-1][0] - clock[0][0]
    value = round(images / seconds, 1) if images and seconds > 0 else None
    return {"value": value, "images": images, "seconds": round(seconds, 3), "includes": includes}


def measure(readings, manifest):
    """The figures themselves."""
    labels, decoded, right = readings.label_ids, readings.decoded_ids, readings.right
    # What is read beyond the longest code makes its whole code wrong, and has no position.
    placed = decoded[:, : labels.shape[1]]
    position_right, position_count = metrics.position_counts(labels, placed)
    chance = metrics.chance(len(manifest.alphabet), manifest.min_length, manifest.max_length)
    confusion = metrics.confusion_counts(labels, decoded)
    names = dict(enumerate(manifest.alphabet))
    return {
        "sequence_accuracy": metrics.accuracy(right),
        "length_accuracy": {str(n): value for n, value in metrics.length_accuracy(labels, decoded).items()},
        "position_accuracy": _plain(metrics.position_accuracy(labels, placed)),
        "position_count": position_count.tolist(),
        "position_interval": [
            metrics.wilson_interval(*pair) for pair in zip(position_right.tolist(), position_count.tolist())
        ],
        "chance": {
            "position": chance[0],
            "sequence": chance[1],
            "most_frequent": _plain(metrics.most_frequent_share(labels)),
        },
        "confused_pairs": [
            {"code": names.get(pair.label), "read": names.get(pair.decoded), "count": pair.count, "of": pair.total}
            for pair in metrics.confused_pairs(confusion)
        ],
        "look_alikes": lookalikes.compare(labels, decoded, confusion, manifest.alphabet),
        "coverage": [_coverage(metrics.coverage_at(readings.confidence, right, t)) for t in THRESHOLDS],
        "mistakes": int((~right).sum()),
    }


def choose(readings, asked):
    """{what it shows: rows}. In the table the first mistakes and the first right ones, in the order of the records."""
    right = readings.right
    wrong_rows, right_rows = np.flatnonzero(~right), np.flatnonzero(right)
    wrong_in_table = min(len(wrong_rows), max(asked.shown_predictions // 2, asked.shown_predictions - len(right_rows)))
    unsure = right_rows[np.argsort(readings.confidence[right_rows], kind="stable")][:UNSURE_SHOWN]
    surest_wrong = wrong_rows[np.argsort(-readings.confidence[wrong_rows], kind="stable")][:MISTAKES_SHOWN]
    in_table = [*wrong_rows[:wrong_in_table], *right_rows[: asked.shown_predictions - wrong_in_table]]
    chosen = {"table": in_table, "mistakes": surest_wrong, "unsure": unsure, "right": right_rows[:RIGHT_SHOWN]}
    return {name: [int(row) for row in rows] for name, rows in chosen.items()}


def join_records(manifest, split, readings, chosen):
    """(the key of every record, {what it shows: [report.Shown]}): one pass over the records, shard after shard."""
    alphabet = Alphabet(manifest.alphabet)
    wanted = {row for rows in chosen.values() for row in rows}
    keys, shown = [], {}
    records = itertools.chain.from_iterable(map(read_records, manifest.paths(split)))
    for row, (_, data) in enumerate(records):
        key, image, text = schema.decode(data)
        if alphabet.text(readings.label_ids[row]) != text:
            raise AssertionError(f"record {row} of {split} is {text!r}, it was tested as another: the orders differ")
        keys.append(key)
        if row in wanted:
            shown[row] = _shown(key, text, image, row, readings, manifest)
    return keys, {name: [shown[row] for row in rows] for name, rows in chosen.items()}


def describe_records(manifest, split, scans):
    """What was tested, for the report."""
    described = {
        "folder": str(manifest.folder),
        "fingerprint": manifest.fingerprint,
        "split": split,
        "counts": {name: manifest.count(name) for name in manifest.splits},
        "classes": manifest.classes,
        "alphabet": manifest.alphabet,
        "lengths": [manifest.min_length, manifest.max_length],
        "image_shape": list(manifest.image_shape),
        "versions": manifest.versions,
    }
    if scans:
        described["different_codes"] = {name: len(np.unique(scan.codes)) for name, scan in scans.items()}
        described["different_pictures"] = {name: len(np.unique(scan.pixels)) for name, scan in scans.items()}
    return described


def find_seeds(settings, within=""):
    """{group.name: value} of everything called a seed in nested settings."""
    found = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= find_seeds(value, name)
        elif name == "seed" or name.endswith("_seed"):
            found[f"{within}.{name}"] = value
    return found


def versions():
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}}


def read_history(path):
    """The rows that training left, for its curve; none where it left none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue  # the last line of a training that was killed may be cut
    return [row for row in rows if isinstance(row, dict) and "step" in row]


def read_cleanings(workdir, manifest):
    """What the cleanings stage found on these very records, or nothing."""
    try:
        result = json.loads(workdir.cleanings_report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return result["cleanings"] if result.get("records") == manifest.fingerprint else []


def _shown(key, text, image, row, readings, manifest):
    alphabet = manifest.alphabet
    label = [i for i in readings.label_ids[row].tolist() if i >= 0]
    decoded = [i for i in readings.decoded_ids[row].tolist() if i >= 0]
    characters = [
        report.Character(
            None if a is None else alphabet[a],
            None if b is None else alphabet[b],
            None if place is None else float(readings.probabilities[row, place]),
        )
        for a, b, place in metrics.align(label, decoded)
    ]
    read = "".join(alphabet[i] for i in decoded)
    return report.Shown(key, text, read, float(readings.confidence[row]), characters, _picture(image, manifest))


def _picture(image, manifest):
    """The bytes of a PNG or JPEG file that a page can show."""
    if manifest.encoding != RAW:
        return image
    pixels = np.frombuffer(image, np.uint8).reshape(manifest.image_shape)
    return encode(Image.fromarray(pixels[..., 0] if manifest.channels == 1 else pixels))


def _coverage(point):
    return {**point._asdict(), "error": point.error}


def _plain(values):
    return [None if np.isnan(value) else float(value) for value in values]


def _by(shape):
    return f"{shape[1]}x{shape[0]}"


def _lengths(what):
    return "-".join(str(n) for n in dict.fromkeys((what.min_length, what.max_length)))
