"""What a figure rests on: that the tested images had no part in the training, were read without chance, and show every
character everywhere. Each is looked up or counted, none is taken for granted.

    scans = scan_splits(manifest, "test", exposure, processes=2)
    claim(rests_on(manifest, "test", exposure, scans, repeatable=True))     # {"holds": True, "statements": [...]}
"""

import dataclasses
import hashlib
import io

import numpy as np
from PIL import Image

from pipeline.machine.progress import progress
from pipeline.machine.workers import run_pieces
from pipeline.model import metrics
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.errors import DamagedRecords, DigitwiseError
from records.images.files import RAW
from records.split import TEST, TRAIN, SplitRule
from records.tfrecord.framing import read_records

_MODES = {1: "L", 3: "RGB"}
_PROBES = 8
_SMALL = 10_000


@dataclasses.dataclass(frozen=True)
class Exposure:
    """The records that a checkpoint was trained on, where they are known: `manifest` is None where they are not.

    Their split `train` was learned from, their split `validation` chose the checkpoint. `drew` tells whether images
    were drawn while training too, of codes that `manifest` has for training. `earlier` are the trainings before, whose
    weights this one began with: for each the SplitRule of its codes, or None where that is not known.
    """

    manifest: Manifest | None
    is_tested: bool
    drew: bool = False
    earlier: tuple = ()


@dataclasses.dataclass(frozen=True)
class ShardScan:
    """A shard of which to hash all codes and pixels. Codes that may have been drawn for the training are counted where
    the rule `drawn` tells them, those that trainings before it may have learned by the rules in `earlier`."""

    name: str
    path: str
    image_shape: tuple
    encoding: str
    drawn: SplitRule | None = None
    earlier: tuple = ()


@dataclasses.dataclass(frozen=True)
class SplitScan:
    """A hash of the code and one of the decoded pixels for each image of a split: 16 bytes an image, of any number.

    `drawn` counts the images with codes that may have been drawn while training, `earlier` those with codes that a
    training before it may have learned.
    """

    codes: np.ndarray
    pixels: np.ndarray
    drawn: int = 0
    earlier: int = 0


@dataclasses.dataclass(frozen=True)
class Statement:
    """One thing that a figure rests on. `holds` is None where it is not known."""

    name: str
    holds: bool | None
    text: str


def find_exposure(settings, manifest, workdir):
    """The records the checkpoint was trained on: those tested, or those of the work folder, or none that is known."""
    fingerprint, drew = settings.get("records", {}).get("fingerprint"), bool(settings.get("drawn"))
    earlier = tuple(training["split"] and SplitRule(*training["split"]) for training in settings.get("earlier", ()))
    if fingerprint == manifest.fingerprint:
        return Exposure(manifest, True, drew, earlier)
    try:
        own = Manifest.load(workdir.records)
    except DigitwiseError:
        return Exposure(None, False, drew, earlier)
    return Exposure(own if fingerprint == own.fingerprint else None, False, drew, earlier)


def scan_splits(manifest, split, exposure, processes):
    """{name: SplitScan} of the tested split ("tested") and of those that had a part in the training."""
    asked = {"drawn": _rule_of_drawing(exposure), "earlier": tuple(filter(None, exposure.earlier))}
    pieces = [_shard_scan("tested", path, manifest, **asked) for path in manifest.paths(split)]
    for name in _part_in_training(split, exposure):
        pieces += [_shard_scan(name, path, exposure.manifest) for path in exposure.manifest.paths(name)]
    found = {name: [] for name in ("tested", *_part_in_training(split, exposure))}
    total = manifest.count(split) + sum(exposure.manifest.count(name) for name in found if name != "tested")
    with progress("compare splits", total) as advance:
        for piece, scan in _scanned(pieces, processes if total > _SMALL else 1):
            found[piece.name].append(scan)
            advance(len(scan.codes))
    return {name: _joined(scans) for name, scans in found.items()}


def scan_shard(piece):
    """The SplitScan of one shard, in a worker process."""
    codes, pixels, drawn, earlier = [], [], 0, 0
    for offset, data in read_records(piece.path):
        try:
            _, image, text = schema.decode(data)
            pixels.append(_hash(_pixels(image, piece)))
        except Exception as error:  # damaged data make Pillow's readers raise many kinds
            raise DamagedRecords(f"{piece.path}: record {len(codes)} at byte {offset}: {error}") from None
        codes.append(_hash(text.encode("utf-8")))
        drawn += piece.drawn is not None and piece.drawn.by_hash(text) == TRAIN
        earlier += any(rule.by_hash(text) != TEST for rule in piece.earlier)
    return SplitScan(np.array(codes, np.uint64), np.array(pixels, np.uint64), drawn, earlier)


def rests_on(manifest, split, exposure, scans, repeatable):
    """The Statements that a figure on this split rests on."""
    return [
        held_out_statement(manifest, split, exposure),
        *separation_statements(scans),
        *drawing_statements(scans, exposure),
        *earlier_statements(scans, exposure),
        classes_statement(manifest, split, exposure),
        Statement(
            "dropout",
            repeatable,
            (
                "Dropout was off: the same images read twice gave the same probabilities, bit for bit."
                if repeatable
                else "The same images read twice gave other probabilities: something in the network is left to chance."
            ),
        ),
    ]


def held_out_statement(manifest, split, exposure):
    name = "held out"
    if exposure.manifest is None:
        text = "It is not known what the checkpoint was trained on: not these records, and no others are at hand."
        return Statement(name, None, text)
    if not exposure.is_tested:
        text = f"The checkpoint was trained on other records, {exposure.manifest.folder}."
        return Statement(name, True, text)
    if split == "train":
        return Statement(name, False, "These images were trained on: the figure says nothing about new ones.")
    if split == "validation":
        text = "These images chose the checkpoint, so the figure is too good: the best of many is picked by them."
        return Statement(name, False, text)
    text = f"The {split} split was neither learned from nor used to choose the checkpoint."
    return Statement(name, True, text)


def separation_statements(scans):
    """Whether a code, or a picture, of the tested split is also in a split that had a part in the training."""
    names = ("no shared codes", "no shared pixels")
    others = [name for name in scans if name != "tested"]
    if not others:
        text = "Not checked: there are no records of the training to compare with."
        return [Statement(name, None, text) for name in names]
    return [
        Statement(names[0], *_separation("codes", scans, others, "code")),
        Statement(names[1], *_separation("pixels", scans, others, "picture")),
    ]


def drawing_statements(scans, exposure):
    """Whether a tested code may have been among those drawn while training."""
    if not exposure.drew:
        return []
    name = "drawn codes"
    if exposure.manifest is None:
        text = "Images were drawn while training, and it is not known of which codes."
        return [Statement(name, None, text)]
    tested = scans["tested"]
    if tested.drawn:
        text = f"{_counted(tested.drawn, 'tested image')} may have had their codes drawn while training."
        return [Statement(name, False, text)]
    text = f"Images were drawn while training, of codes that none of the {len(tested.codes):,} tested images has."
    return [Statement(name, True, text)]


def earlier_statements(scans, exposure):
    """Whether a training that this one began with may have learned a tested code."""
    if not exposure.earlier:
        return []
    name, began = "earlier training", "The weights began as those of another training"
    tested = scans["tested"]
    if tested.earlier:
        text = (
            f"{began}, which may have learned the codes of {_counted(tested.earlier, 'tested image')}: give both the "
            "same --validation_fraction and --test_fraction."
        )
        return [Statement(name, False, text)]
    if None in exposure.earlier:
        return [Statement(name, None, f"{began}, and it is not known which codes that one learned.")]
    return [Statement(name, True, f"{began}, which kept the codes of all {len(tested.codes):,} tested images out.")]


def classes_statement(manifest, split, exposure):
    """Whether every character that a position can show was learned there and is tested there."""
    trained = exposure.manifest or manifest
    # Drawing chooses every character alike, at every position.
    drawn = [dict.fromkeys(trained.alphabet, 1)] * trained.max_length
    seen = {"tested": manifest.classes[split], "train": drawn if exposure.drew else trained.classes["train"]}
    if exposure.manifest is None:
        seen["train"] = seen["tested"]  # what it learned is not known, so nothing is said to be missing
    gaps = metrics.class_gaps({**{f"all {name}": by_place for name, by_place in manifest.classes.items()}, **seen})
    single = [place for place, counts in enumerate(seen["tested"], 1) if len(counts) == 1]
    lines = [f"{_list_places(single)} of the tested images only ever shows one character"] if single else []
    for name, what in (("train", "never learned"), ("tested", "never tested")):
        for place, missing in gaps[name][:6]:
            lines.append(f"{_quoted(missing)} {'was' if len(missing) == 1 else 'were'} {what} at position {place}")
        if len(gaps[name]) > 6:
            lines.append(f"and more at {len(gaps[name]) - 6} other positions")
    if lines:
        text = "Not every character was learned and tested everywhere: " + "; ".join(lines) + "."
        return Statement("all classes", False, text)
    if exposure.manifest is None:
        return Statement("all classes", None, "It is not known which characters were learned at which position.")
    least = min((min(counts.values()) for counts in seen["tested"] if counts), default=0)
    text = "At each position, every character that the records show there was learned and is tested"
    return Statement("all classes", True, f"{text}, each at least {_times(least)}.")


def claim(statements):
    """What the report says about its own figure; `holds` is None where something is not known and nothing is wrong."""
    verdicts = [statement.holds for statement in statements]
    holds = False if False in verdicts else None if None in verdicts else True
    return {"holds": holds, "statements": [dataclasses.asdict(statement) for statement in statements]}


def is_repeatable(recognizer):
    """Whether two readings of the same images give the same bits, which dropout would not."""
    images = np.random.default_rng(0).integers(0, 256, (_PROBES, *recognizer.image_shape), np.uint8)
    first, second = (recognizer.predict(images) for _ in range(2))
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(first, second))


def _scanned(pieces, processes):
    """(piece, SplitScan) of each; a small set is done sooner here than worker processes would start."""
    if processes == 1:
        return ((piece, scan_shard(piece)) for piece in pieces)
    return run_pieces(scan_shard, pieces, processes)


def _part_in_training(split, exposure):
    if exposure.manifest is None:
        return []
    names = [name for name in ("train", "validation") if exposure.manifest.count(name)]
    return [name for name in names if not (exposure.is_tested and name == split)]


def _shard_scan(name, path, manifest, **asked):
    return ShardScan(name, str(path), manifest.image_shape, manifest.encoding, **asked)


def _rule_of_drawing(exposure):
    """The rule that kept codes from being drawn while training; None where none were drawn."""
    return exposure.manifest.split_rule if exposure.drew and exposure.manifest else None


def _joined(scans):
    empty = np.zeros(0, np.uint64)
    codes, pixels = (
        np.concatenate([empty, *(getattr(scan, field) for scan in scans)]) for field in ("codes", "pixels")
    )
    return SplitScan(codes, pixels, sum(scan.drawn for scan in scans), sum(scan.earlier for scan in scans))


def _hash(data):
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _pixels(image, piece):
    if piece.encoding == RAW:
        return image
    with Image.open(io.BytesIO(image), formats=("PNG", "JPEG")) as opened:
        return opened.convert(_MODES[piece.image_shape[2]]).tobytes()


def _separation(field, scans, others, noun):
    """(holds, text) for the codes or the pixels of the tested split against those of the others."""
    tested = getattr(scans["tested"], field)
    found = []
    for name in others:
        shared = np.isin(tested, getattr(scans[name], field))
        if shared.any():
            kinds = _counted(len(np.unique(tested[shared])), noun)
            found.append(f"{kinds} ({_counted(int(shared.sum()), 'tested image')}) also in {name}")
    if found:
        return False, "; ".join(found) + ": there the figure shows memory."
    against = " and ".join(f"the {len(np.unique(getattr(scans[name], field))):,} of {name}" for name in others)
    kinds = f"{len(np.unique(tested)):,} different {noun}s"
    return True, f"None of the {kinds} tested is among {against}; all were compared."


def _quoted(characters):
    others = f" and {len(characters) - 8} others" if len(characters) > 8 else ""
    return ", ".join(map(repr, characters[:8])) + others


def _counted(count, noun):
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _list_places(places):
    return ("position " if len(places) == 1 else "each of the positions ") + ", ".join(map(str, places))


def _times(count):
    return "once" if count == 1 else f"{count:,} times"
