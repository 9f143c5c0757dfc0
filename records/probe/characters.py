"""From ids to characters: as the user says, by a table beside the records, or where nothing else fits, as digits."""

import dataclasses
import re
import string
from collections.abc import Sequence

from records.errors import DigitwiseError, quoted
from records.foreign.readings import TextReading
from records.probe.findings import Answers, TextCandidate, names
from records.probe.strings import TextFinding
from records.probe.tables import Table, feature_table

NUMBER = "number"
_FULL_WIDTH = 0.8  # the share of numbers with as many digits as the largest
_DIGITS = tuple(string.digits)
_ASCII = tuple(chr(code) for code in range(32, 127))
# The group is the separator, which must be the same throughout: \1.
_PARTED = re.compile(r"\S(?:([ ,;|])\S)(?:\1\S)*")


def with_characters(
    candidate: TextCandidate, tables: Sequence[Table], answers: Answers, finding: TextFinding
) -> TextReading | None:
    finding.evidence.append(f"the text is in {names(candidate.keys)}: {candidate.what}")
    reading = candidate.reading
    if reading.form == "string" and candidate.texts:
        reading = _with_separator(candidate, answers, finding)
    if reading.form == "string" and reading.encoding != "utf-8":
        finding.evidence.append("its bytes are not UTF-8 and are read as latin-1")
    if candidate.ids is None:
        return reading
    rows = candidate.ids
    seen = sorted({number for row in rows for number in row})
    # What the user says goes before any table that happens to lie beside the records.
    if answers.charset or answers.is_number:
        return _with_given(reading, seen, answers, finding)
    fitting = _fitting_tables(candidate, seen, tables)
    if len(fitting) == 1:
        finding.evidence.append(f"the characters of the ids are those of {fitting[0].path}")
        return dataclasses.replace(reading, charset=fitting[0].charset, first_id=fitting[0].first_id)
    if fitting:
        options = [(t.path, dataclasses.replace(reading, charset=t.charset, first_id=t.first_id)) for t in fitting]
        text = f"several tables have characters for the ids of {quoted(candidate.name)}"
        finding.ask("--charset", candidate.name, text, options)
        return options[0][1]
    if _are_digits(candidate, seen):
        finding.evidence.append(
            f"all ids of {quoted(candidate.name)} are 0 to 9, and there is no table: they are read as digits"
        )
        return dataclasses.replace(reading, charset=_DIGITS)
    if _are_codes(candidate, seen):
        finding.evidence.append(f"all ids of {quoted(candidate.name)} are ASCII codes of letters and digits")
        return dataclasses.replace(reading, charset=_ASCII, first_id=32)
    # One number a record with more than ten values is not a digit: it may be a whole code, such as 4071, or a class.
    if max(map(len, rows)) == 1 and len(seen) > 10 and reading.form == "ids":
        return _ask_for_number(candidate, seen, finding)
    guesses = [
        # Both flags, as sets of characters may differ in the first id alone.
        (f"{characters} --first_id={first}", dataclasses.replace(reading, charset=tuple(characters), first_id=first))
        for characters, first in _guesses(seen, reading)
    ]
    span = f"{seen[0]} to {seen[-1]}" if seen else "nothing"
    text = f"the ids of {quoted(candidate.name)} run from {span}, and no table has characters for them"
    finding.ask("--charset", candidate.name, text, guesses)
    return guesses[0][1] if guesses else None


def _with_separator(candidate: TextCandidate, answers: Answers, finding: TextFinding) -> TextReading:
    """Characters that stand apart, `4 0 7 1`: the spaces are part of the text, or not."""
    reading, texts = candidate.reading, [text for text in candidate.texts or [] if text]
    if answers.separator:
        return dataclasses.replace(reading, separator="" if answers.separator == "none" else answers.separator)
    matches = [match for text in texts if (match := _PARTED.fullmatch(text))]
    if not matches or len(matches) < len(texts) or len({match[1] for match in matches}) > 1:
        return reading
    joined = dataclasses.replace(reading, separator=matches[0][1])
    options = [(f"'{matches[0][1]}'", joined), ("none", reading)]
    text = f"the characters of {quoted(candidate.name)} stand apart, as in {quoted(texts[0])}"
    finding.ask("--separator", candidate.name, text, options)
    return joined


def _with_given(reading: TextReading, seen: Sequence[int], answers: Answers, finding: TextFinding) -> TextReading:
    if answers.is_number:
        return dataclasses.replace(reading, form="number", num_digits=answers.num_digits)
    count = len(answers.charset)
    if reading.form == "one_hot" and count != reading.num_classes:
        raise DigitwiseError(
            f"--charset has {count} characters, and {quoted(reading.keys[0])} has {reading.num_classes} classes"
        )
    given = dataclasses.replace(reading, charset=answers.charset)
    if answers.first_id is not None:
        first = answers.first_id
    elif reading.form == "one_hot" or 0 in seen or not seen:
        first = 0
    # The ids run from 1 to the number of characters, so the first is 1. Below that both would fit.
    elif seen[-1] == count:
        first = 1
    else:
        options = [(first, dataclasses.replace(given, first_id=first)) for first in (0, 1)]
        text = f"the ids of {quoted(reading.keys[0])} run from {seen[0]} to {seen[-1]} of {count} characters"
        finding.ask("--first_id", reading.keys[0], text, options)
        return options[0][1]
    if seen and not first <= seen[0] <= seen[-1] < first + count:
        raise DigitwiseError(
            f"--charset has {count} characters: ids {first} to {first + count - 1}; "
            f"{quoted(reading.keys[0])} has ids from {seen[0]} to {seen[-1]}"
        )
    return dataclasses.replace(given, first_id=first)


def _fitting_tables(candidate: TextCandidate, seen: Sequence[int], tables: Sequence[Table]) -> list[Table]:
    """The tables that have a name for every id; that of TFDS for just this key goes first."""
    for key in candidate.keys:
        # It is TFDS that wrote both, so no other table can be meant.
        named = feature_table(key, tables)
        if named:
            return [named]
    rows = candidate.ids or []
    are_characters = max(map(len, rows)) > 1  # else one id may stand for a whole text
    fitting: list[Table] = []
    for table in tables:
        if not all(number in table.names for number in seen) or not seen:
            continue
        if are_characters and any(len(table.names[n]) > 1 and not table.names[n].startswith(("<", "[")) for n in seen):
            continue
        # One-hot vectors say how many there are.
        if candidate.reading.num_classes and len(table.charset) != candidate.reading.num_classes:
            continue
        if all(table.charset != other.charset or table.first_id != other.first_id for other in fitting):
            fitting.append(table)
    return fitting


def _are_digits(candidate: TextCandidate, seen: Sequence[int]) -> bool:
    """Only where nothing else fits: ids that start at 1, or fewer kinds than digits, may be of another set."""
    if not seen or seen[0] != 0 or seen[-1] > 9:
        return False
    if candidate.reading.form == "one_hot":
        return candidate.reading.num_classes == 10
    rows = candidate.ids or []
    count = sum(map(len, rows))
    # Among 100 random digits one is missing only once in 3,800 samples (10 * 0.9^100): fewer kinds are not digits.
    if max(map(len, rows)) == 1 or count >= 100:
        return len(seen) == 10
    return count >= 8  # too few to ask for all ten


def _are_codes(candidate: TextCandidate, seen: Sequence[int]) -> bool:
    """Whether chr() of every id is a letter or digit; of ids in a table that long, half would not be."""
    return sum(map(len, candidate.ids or [])) >= 16 and all(
        32 < number < 127 and chr(number).isalnum() for number in seen
    )


def _ask_for_number(candidate: TextCandidate, seen: Sequence[int], finding: TextFinding) -> TextReading:
    """One number a record may be the code itself, with zeros before it or without, or stand for something."""
    width = len(str(seen[-1]))
    plain = dataclasses.replace(candidate.reading, form="number")
    options = [(NUMBER, plain)]
    if len(str(seen[0])) < width:
        options.append((f"{NUMBER}:{width}", dataclasses.replace(plain, num_digits=width)))
        # Nine of ten numbers of so many digits do not begin with a zero: then codes that did have lost it.
        numbers = [row[0] for row in candidate.ids or [] if row]
        if sum(len(str(number)) == width for number in numbers) >= _FULL_WIDTH * len(numbers):
            options.reverse()
    text = f"{quoted(candidate.name)} holds numbers up to {seen[-1]}: the codes themselves, or ids in a table"
    finding.ask("--charset", candidate.name, text, options)
    return options[0][1]


def _guesses(seen: Sequence[int], reading: TextReading) -> list[tuple[str, int]]:
    """Sets of characters that have so many, for the pictures of the question."""
    count = reading.num_classes or (seen[-1] + 1 if seen else 0)
    digits, lower, upper = string.digits, string.ascii_lowercase, string.ascii_uppercase
    sets = [
        (digits, 0), (digits, 1), (lower, 0), (upper, 0), (upper, 1), (digits + lower, 0), (digits + upper, 0),
        (digits + upper, 1), (digits + upper + lower, 0), (digits + lower + upper, 0), (upper + lower + digits, 0),
    ]  # fmt: skip
    if reading.num_classes:
        return [(characters, first) for characters, first in sets if len(characters) == count and first == 0][:2]
    first = 0 if not seen or seen[0] == 0 else 1
    # Two, as a question shows a picture for each.
    return [(characters, f) for characters, f in sets if f <= first and count <= len(characters) + f][:2]
