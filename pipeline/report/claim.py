"""What a figure rests on: that the tested images had no part in the training, were read without randomness, and show
only characters that were learned. Each is looked up or counted, none is taken for granted.

    exposure = find_exposure(recognizer.provenance, manifest, workdir)
    scans = scan_splits(manifest, "test", exposure, processes=2)
    claim(manifest, "test", exposure, scans, repeatable=True).holds
"""

import contextlib
import dataclasses
from typing import Any

import numpy as np

from pipeline.model import included, metrics
from pipeline.model.provenance import EarlierTraining, Provenance
from pipeline.report.scans import TESTED, CodeRule, Exposure, SplitScan
from pipeline.report.summary import Claim, Statement
from pipeline.workdir import Workdir
from records.dataset.manifest import Manifest
from records.dataset.settings import num_read
from records.errors import DigitwiseError, counted
from records.split import TRAIN, VALIDATION, AnyCase

_PROBES = 8  # images, of noise: dropout would show in any of them
_GAPS_SHOWN = 6
_CHARACTERS_SHOWN = 8


def find_exposure(provenance: Provenance, manifest: Manifest, *workdirs: Workdir) -> Exposure:
    """The records of the training are those tested, or those of a work folder, or none that is known."""
    fingerprint = provenance.records.fingerprint
    any_case = bool(manifest.settings.get("fold_case"))
    # Without repeats: the included weights stand for all the trainings that made them.
    earlier = dict.fromkeys(_codes_of(training, any_case) for training in provenance.earlier)
    rest = bool(provenance.synthetic), tuple(earlier)
    if fingerprint == manifest.fingerprint:
        return Exposure(manifest, True, *rest)
    for workdir in workdirs:
        with contextlib.suppress(DigitwiseError):
            if (own := Manifest.load(workdir.records)).fingerprint == fingerprint:
                return Exposure(own, False, *rest)
    return Exposure(None, False, *rest)


def _codes_of(training: EarlierTraining, any_case: bool) -> CodeRule | None:
    """Where these records or those tell no case, a code may have been learned in another."""
    if training.fingerprint in included.fingerprints():
        return dataclasses.replace(included.LearnedCodes.load(), any_case=any_case)
    return AnyCase(training.split) if training.split and (any_case or training.fold_case) else training.split


def claim(manifest: Manifest, split: str, exposure: Exposure, scans: dict[str, SplitScan], repeatable: bool) -> Claim:
    """All checks of what a figure on this split rests on."""
    return Claim(
        (
            held_out_statement(manifest, split, exposure),
            *separation_statements(scans),
            *generation_statements(scans, exposure),
            *earlier_statements(scans, exposure),
            *label_statements(exposure),
            classes_statement(manifest, split, exposure),
            dropout_statement(repeatable),
        )
    )


def held_out_statement(manifest: Manifest, split: str, exposure: Exposure) -> Statement:
    name = "held out"
    if exposure.manifest is None:
        text = "It is not known what the checkpoint was trained on: not on these records, and no others were found."
        return Statement(name, None, text)
    # Whether these other records share codes or pictures with those tested is counted by the statements below.
    if not exposure.is_tested:
        return Statement(name, True, f"The checkpoint was trained on other records: {exposure.manifest.folder}.")
    if split == TRAIN:
        text = "The network was trained on these images, so the result says nothing about new ones."
        return Statement(name, False, text)
    if split == VALIDATION:
        text = "These images were used to choose the checkpoint, so the result is better than on new ones."
        return Statement(name, False, text)
    text = f"The {split} split was used neither to train nor to choose the checkpoint."
    return Statement(name, True, text)


def separation_statements(scans: dict[str, SplitScan]) -> list[Statement]:
    """Whether a code, or a picture, of the tested split is also in a split that had a part in the training."""
    if set(scans) == {TESTED}:  # nothing was scanned to compare with
        why = "were not looked for: the records of the training are not there to compare with."
        return [Statement(name, None, f"{name.capitalize()} {why}") for name in ("shared codes", "shared pixels")]
    codes = {name: scan.codes for name, scan in scans.items()}
    pixels = {name: scan.pixels for name, scan in scans.items()}
    return [
        Statement("shared codes", *_separation(codes, "code")),
        Statement("shared pixels", *_separation(pixels, "picture")),
    ]


def generation_statements(scans: dict[str, SplitScan], exposure: Exposure) -> list[Statement]:
    """Whether a tested code may have been among those generated during training."""
    if not exposure.generated:
        return []
    name, began = "generated codes", "Images were also generated during training"
    if exposure.generation_rule is None:
        return [Statement(name, None, f"{began}, and it is not known with which codes.")]
    tested = scans[TESTED]
    if tested.generated:
        text = f"{began}, perhaps with the codes of {counted(tested.generated, 'tested image')}."
        return [Statement(name, False, text)]
    return [
        Statement(name, True, f"{began}, but never with the code of one of the {len(tested.codes):,} tested images.")
    ]


def earlier_statements(scans: dict[str, SplitScan], exposure: Exposure) -> list[Statement]:
    """Whether a training that this one began with may have learned a tested code."""
    if not exposure.earlier:
        return []
    name, began = "earlier training", "Training began with the weights of an earlier one"
    tested = scans[TESTED]
    if tested.earlier:
        text = (
            f"{began}, which may have learned the codes of {counted(tested.earlier, 'tested image')}: use the same "
            "--validation_fraction and --test_fraction in both, or --initialize_from=none."
        )
        return [Statement(name, False, text)]
    if None in exposure.earlier:
        return [Statement(name, None, f"{began}, and it is not known which codes that one learned.")]
    return [
        Statement(name, True, f"{began}, which learned none of the codes of the {len(tested.codes):,} tested images.")
    ]


def label_statements(exposure: Exposure) -> list[Statement]:
    """Whether a network labelled a part of the training images."""
    count = num_read(exposure.manifest.settings) if exposure.manifest else 0
    if not exposure.manifest or not count:
        return []
    text = (
        f"{count:,} of the {exposure.manifest.count(TRAIN):,} training images were labelled by a network that learned "
        "from the others, and no image of another split was."
    )
    return [Statement("labels", True, text)]


def classes_statement(manifest: Manifest, split: str, exposure: Exposure) -> Statement:
    """Whether every tested character was learned at its position; what was never tested there is only noted."""
    name = "learned characters"
    tested, learned = manifest.classes[split], _learned_classes(manifest, split, exposure)
    # With every split of the records: what a position can show at all is known from all of them together.
    everything = {f"all {other}": by_place for other, by_place in manifest.classes.items()}
    untested = metrics.class_gaps({**everything, TESTED: tested, TRAIN: learned})[TESTED]
    single = [place for place, counts in enumerate(tested, 1) if len(counts) == 1]
    notes = [f"only one character is ever tested at {_list_places(single)}"] if single else []
    notes += _gap_texts(untested, "never tested")
    note = f" The result does not tell of everything: {'; '.join(notes)}." if notes else ""
    if exposure.manifest is None:
        return Statement(name, None, f"It is not known which characters were learned at which position.{note}")
    unlearned = _gap_texts(metrics.class_gaps({TESTED: tested, TRAIN: learned})[TRAIN], "never learned")
    if unlearned:
        return Statement(name, False, f"Tested characters were not learned: {'; '.join(unlearned)}.{note}")
    fewest = min((min(counts.values()) for counts in tested if counts), default=0)
    times = "once" if fewest == 1 else f"{fewest:,} times"
    text = f"Every character that was tested at a position was learned there, and tested there at least {times}."
    return Statement(name, True, text + note)


def dropout_statement(repeatable: bool) -> Statement:
    if repeatable:
        text = "The same images read twice gave exactly the same probabilities, so dropout was off."
    else:
        text = "The same images read twice gave different probabilities: something in the network is random."
    return Statement("dropout", repeatable, text)


def is_repeatable(recognizer: Any) -> bool:
    """Whether two readings of the same images give the same bits, which dropout would not."""
    # A fixed seed: the same check gives the same result on every machine.
    images = np.random.default_rng(0).integers(0, 256, (_PROBES, *recognizer.image_shape), np.uint8)
    first, second = (recognizer.predict(images) for _ in range(2))
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(first, second))


def _separation(hashes: dict[str, np.ndarray], noun: str) -> tuple[bool, str]:
    """(holds, text) for the codes or the pixels of the tested split against those of the others."""
    tested = hashes[TESTED]
    others = {name: values for name, values in hashes.items() if name != TESTED}
    shared = {name: np.isin(tested, values) for name, values in others.items()}
    found = [
        f"{counted(len(np.unique(tested[there])), noun)} ({counted(int(there.sum()), 'tested image')}) also in {name}"
        for name, there in shared.items()
        if there.any()
    ]
    if found:
        return False, f"{'; '.join(found)}: the network may have memorized them."
    against = " or ".join(f"the {len(np.unique(values)):,} of {name}" for name, values in others.items())
    return (
        True,
        f"None of the {len(np.unique(tested)):,} different {noun}s tested is among {against}. All were compared.",
    )


def _learned_classes(manifest: Manifest, split: str, exposure: Exposure) -> Any:
    if exposure.manifest is None:
        return manifest.classes[split]  # what was learned is not known, so nothing is said to be missing
    if exposure.generated:  # all characters are generated at all positions, equally often
        return [dict.fromkeys(exposure.manifest.alphabet, 1)] * exposure.manifest.max_length
    return exposure.manifest.classes[TRAIN]


def _gap_texts(gaps: list[tuple[int, list[str]]], what: str) -> list[str]:
    """`what` says what happened to the characters that are missing at a place."""
    texts = [
        f"{_quoted(missing)} {'was' if len(missing) == 1 else 'were'} {what} at position {place}"
        for place, missing in gaps[:_GAPS_SHOWN]
    ]
    left = len(gaps) - _GAPS_SHOWN
    return [*texts, f"others were {what} at {counted(left, 'more position')}"] if left > 0 else texts


def _quoted(characters: list[str]) -> str:
    left = len(characters) - _CHARACTERS_SHOWN
    return ", ".join(map(repr, characters[:_CHARACTERS_SHOWN])) + (f" and {left} more" if left > 0 else "")


def _list_places(places: list[int]) -> str:
    return ("position " if len(places) == 1 else "each of the positions ") + ", ".join(map(str, places))
