"""One pass over the rows of a source: every label is checked, counted, and put into the plan of its split."""

import collections
import dataclasses
import pathlib
from collections.abc import Sequence

from pipeline.conversion.plans import RowFiles
from pipeline.conversion.sources import CodeSource
from pipeline.model.metrics import class_gaps
from pipeline.values import MAX_CODE_LENGTH
from records.alphabet import Alphabet
from records.dataset.manifest import Manifest
from records.errors import DigitwiseError, counted, quoted
from records.split import SPLITS, TRAIN, SplitRule

# Wilson's interval is 22 points wide for 27 right of 30, and images of one code are not independent of each other.
_FEW_CODES = 30
_EXAMPLES = 3


@dataclasses.dataclass
class Survey:
    """What the pass found: counts, lengths, the characters at each position, and the first few codes of each split.

    `characters` counts each character of all codes, also of those in no split; `first` is the key of the first image
    that has it. `examples` has the first few codes, and the key of an image of each.
    """

    alphabet: str = ""
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    lengths: collections.Counter[int] = dataclasses.field(default_factory=collections.Counter)
    characters: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    first: dict[str, str] = dataclasses.field(default_factory=dict)
    examples: dict[str, str] = dataclasses.field(default_factory=dict)
    classes: dict[tuple[str, int], collections.Counter[str]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(collections.Counter)
    )
    codes: dict[str, set[str]] = dataclasses.field(default_factory=lambda: collections.defaultdict(set))

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def note_characters(self, key: str, text: str) -> list[str]:
        """Counts the characters of a code; those that no code before had."""
        if len(self.examples) < _EXAMPLES:
            self.examples.setdefault(text, key)
        self.characters.update(text)
        unseen = [character for character in text if character not in self.first]
        if unseen:
            self.first.update(dict.fromkeys(unseen, key))
        return unseen

    def add(self, split: str, text: str) -> None:
        self.counts[split] += 1
        self.lengths[len(text)] += 1
        if len(self.codes[split]) < _FEW_CODES:  # no more than needed, as there may be millions
            self.codes[split].add(text)
        for position, character in enumerate(text):
            self.classes[split, position][character] += 1

    def classes_of(self, split: str, positions: int) -> list[dict[str, int]]:
        """[{character: count}] by position."""
        return [dict(sorted(self.classes.get((split, i), {}).items())) for i in range(positions)]


def survey(found: CodeSource, rule: SplitRule, folder: pathlib.Path) -> Survey:
    """Leaves the rows of each split in a file of `folder`."""
    alphabet = Alphabet(found.alphabet) if found.alphabet else None
    lengths = found.lengths or (1, MAX_CODE_LENGTH)
    result = Survey()
    with RowFiles(folder) as files:
        for key, text in found.rows():
            _check_label(found, key, text, alphabet, lengths)
            unseen = result.note_characters(key, text)
            # Only for characters not seen before: the check is far slower than a look into a dictionary.
            if unseen and alphabet is None:
                _check_characters(found, key, text)
            split = rule.split(text)
            if split is None:
                continue
            files.add(split, key, text)
            result.add(split, text)
    # Sorted, so that the order in which images are listed does not decide the numbers of the classes.
    result.alphabet = found.alphabet or "".join(sorted(result.characters))
    if rule.held_out_only:
        if not result.lengths:
            raise DigitwiseError("no image is held out: raise --num_images, --validation_fraction or --test_fraction")
    elif not result.counts[rule.only or TRAIN]:
        raise DigitwiseError(
            f"none of the {sum(result.counts.values())} images falls into the train split: "
            "lower --validation_fraction and --test_fraction, or give more images"
        )
    return result


def few_codes(found: Survey, rule: SplitRule) -> list[str]:
    """Lines for splits that are meant to measure and have too few different codes for that."""
    if rule.only:
        return []
    if max(found.lengths) == 1:
        if not any(found.counts[split] for split in SPLITS if split != TRAIN):
            return []  # as the line below advises
        return [
            "each code is one character, and those of the validation and test splits are never learned: their figures "
            "say nothing. Train with --stage=records,train --validation_fraction=0 --test_fraction=0, and test other "
            "images with --stage=test --images=DIR"
        ]
    lines = [_few_codes_line(found, split) for split in SPLITS if split != TRAIN and _is_small(found, split)]
    if lines and sum(map(len, found.codes.values())) > len(SPLITS) and not rule.held_out_only:
        lines.append("--stage=folds tests every image, by networks that did not learn its code")
    return lines


def _few_codes_line(found: Survey, split: str) -> str:
    if not found.counts[split]:
        return f"the {split} split has no images"
    images, codes = counted(found.counts[split], "image"), counted(len(found.codes[split]), "code")
    return f"the {split} split has {images} of {codes}: a figure from it says little"


def _is_small(found: Survey, split: str) -> bool:
    return len(found.codes.get(split, ())) < _FEW_CODES


def missing_classes(manifest: Manifest, found: Survey) -> list[str]:
    """A line for each split whose codes lack characters at positions that have them in other splits; none for those
    that are too small to have all of them."""
    return [
        _gaps_line(split, gaps, manifest.max_length)
        for split, gaps in class_gaps(manifest.classes).items()
        if manifest.count(split) and gaps and (split == TRAIN or not _is_small(found, split))
    ]


def _gaps_line(split: str, gaps: Sequence[tuple[int, Sequence[str]]], positions: int) -> str:
    place, characters = gaps[0]
    what = (
        "a network trained on it cannot learn them there" if split == TRAIN else "its accuracy says nothing about them"
    )
    return (
        f"the {split} split lacks characters at {len(gaps)} of {positions} positions, such as {characters[0]!r} at "
        f"position {place}: {what}"
    )


def _check_characters(found: CodeSource, key: str, text: str) -> None:
    """Raises where a character is none that an alphabet can have."""
    try:
        Alphabet("".join(dict.fromkeys(text)))
    except DigitwiseError as error:
        raise DigitwiseError(f"{found.source.name(key)}: its code {quoted(text)} cannot be read: {error}") from None


def _check_label(found: CodeSource, key: str, text: str, alphabet: Alphabet | None, lengths: tuple[int, int]) -> None:
    unknown = alphabet.unknown(text) if alphabet else None
    if alphabet and unknown is not None:
        remedy = "" if found.reader else _wider_alphabet(found, text, alphabet)
        whose = f"alphabet of {found.reader}" if found.reader else f"alphabet {alphabet.characters!r}"
        raise DigitwiseError(
            f"{found.source.name(key)}: its code {quoted(text)} has {unknown!r}, which is not in the {whose}{remedy}"
        )
    if not lengths[0] <= len(text) <= lengths[1]:
        allowed = "-".join(str(n) for n in dict.fromkeys(lengths))
        if found.reader:
            why = f"{found.reader} reads {allowed}"
        elif found.lengths:
            why = f"but --code_length={allowed} allows only {allowed.replace('-', ' to ')}"
        else:
            why = f"{allowed} can be read"
        raise DigitwiseError(f"{found.source.name(key)}: its code {quoted(text)} has {len(text)} characters, {why}")


def _wider_alphabet(found: CodeSource, text: str, alphabet: Alphabet) -> str:
    """How the flags would take a label that the alphabet does not."""
    characters = {character for _, other in found.rows() for character in other}
    others = "".join(sorted(characters - set(alphabet.characters)))
    as_one = alphabet.fold(text)
    folded = alphabet.folded().unknown(as_one) is None
    hint = f", --fold_case would read this one as {as_one!r}" if folded else ""
    try:
        Alphabet(alphabet.characters + others)
    except DigitwiseError:  # control or combining characters: no alphabet takes them
        return hint
    return f"; --alphabet='{alphabet.characters}{others}' would take every code of this source{hint}"
