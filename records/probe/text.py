"""Which key, or keys, or part of a path, hold the code, and how its characters are written.

Strings come first, then ids of any form, then the names of files and folders. A string and ids that match character
by character are one text; where they do not, the user is asked.
"""

import dataclasses
import re
from collections.abc import Collection, Sequence

from records.errors import DigitwiseError, printable, quoted
from records.foreign.readings import TextReading, folder_values
from records.foreign.sample import Sampled
from records.probe.characters import with_characters
from records.probe.findings import Answers, TextCandidate, name_speaks
from records.probe.ids import find_ids
from records.probe.keys import Keys
from records.probe.strings import MAX_LENGTH, TextFinding, find_strings, why_no_text
from records.probe.tables import Table

_CODE_FIRST = r"^([^_]+)(?:_.*)?$"  # as records.images.folder reads names
_WHOLE = r"^(.+)$"


def find_text(keys: Keys, tables: Sequence[Table], answers: Answers, taken: Collection[str]) -> TextFinding:
    """The Finding of a TextReading; `taken` are the keys that the image has."""
    finding = TextFinding()
    if answers.label_pattern:
        return _by_pattern(keys, answers, finding, taken)
    strings, names = find_strings(keys, finding, taken, answers.text_key)
    numbers = find_ids(keys, finding, taken, answers)
    if answers.text_key:
        return _asked(answers, keys, [*strings, *numbers, *_folders(keys.sample)], tables, finding)
    strings, numbers = _without_echoes(strings, _without_lengths(strings, numbers, finding), finding)
    plausible = _best([*strings, *numbers], finding)
    if not plausible:
        plausible = _folders(keys.sample) or _named(names, finding)
    if not plausible:
        return finding
    # Only what is asked about the likeliest matters; about the others nobody needs to know.
    finding.drop_questions(*(question.about for question in finding.questions if question.about != plausible[0].name))
    first = with_characters(plausible[0], tables, answers, finding)
    finding.reading = first
    if len(plausible) > 1:
        others = [with_characters(c, tables, answers, TextFinding()) for c in plausible[1:]]
        options = list(zip([c.name for c in plausible], [first, *others], strict=True))
        listed = " and ".join(f"{quoted(c.name)} ({c.what})" for c in plausible)
        _ask_first(finding, plausible[0].name, f"{listed} could each be the text", options)
    elif _is_doubtful(plausible[0]):
        name, what = plausible[0].name, plausible[0].what
        text = f"only {quoted(name)} ({what}) could be the text, and its name does not say that it is"
        _ask_first(finding, name, text, [(name, first)])
    return finding


def _ask_first(finding: TextFinding, about: str, text: str, options: Sequence[tuple[str, TextReading | None]]) -> None:
    """Asks for the key before all that the likeliest of the keys leaves open."""
    finding.ask("--text_key", about, text, options)
    finding.questions.insert(0, finding.questions.pop())


def _is_doubtful(candidate: TextCandidate) -> bool:
    """Whether it is the only one left, but called otherwise; a folder must be called as text is."""
    if candidate.reading.form == "file_name":
        return False
    # Paths have key=value folders for dates and shards too.
    return name_speaks(candidate.name) < (1 if candidate.reading.form == "folder" else 0)


def _asked(
    answers: Answers, keys: Keys, candidates: list[TextCandidate], tables: Sequence[Table], finding: TextFinding
) -> TextFinding:
    wanted = answers.text_key
    fitting = [c for c in candidates if wanted == c.name or wanted in c.keys]
    if "+" in wanted and not fitting:
        fitting = _joined(wanted.split("+"), candidates)
    if not fitting:
        known = ", ".join(dict.fromkeys([c.name for c in candidates] + sorted(keys.sample[0].record.values)))
        why = "; ".join(f"{what}: {reason}" for what, reason in finding.rejected if what == wanted)
        raise DigitwiseError(
            f"--text_key={wanted}: "
            + (
                f"it cannot be the text ({why})"
                if why
                else f"there is no such text; there are {printable(known, 1000)}"
            )
        )
    for other in candidates:
        if other is not fitting[0]:
            finding.reject(other.name, f"{other.what}; --text_key names another")
    finding.reading = with_characters(fitting[0], tables, answers, finding)
    return finding


def _joined(names: Sequence[str], candidates: Sequence[TextCandidate]) -> list[TextCandidate]:
    """Several keys of one kind, in the order in which the user gives them, as one text."""
    by_name = {c.name: c for c in candidates}
    parts = [by_name[name] for name in names if name in by_name]
    if len(parts) < len(names) or len({(c.reading.form, c.ids is None) for c in parts}) > 1:
        return []
    reading = dataclasses.replace(parts[0].reading, keys=tuple(names))
    if parts[0].ids is None:
        texts = ["".join(items) for items in zip(*(c.texts or [] for c in parts), strict=False)]
        return [TextCandidate("+".join(names), tuple(names), reading, "texts of several keys", texts=texts)]
    rows = zip(*(c.ids or [] for c in parts), strict=False)
    ids = [[number for part in row for number in part] for row in rows]
    return [TextCandidate("+".join(names), tuple(names), reading, "ids of several keys", ids=ids)]


def _best(candidates: Sequence[TextCandidate], finding: TextFinding) -> list[TextCandidate]:
    """The candidates that stay plausible by their names: those that are not called as what stands beside a text."""
    called = [c for c in candidates if name_speaks(c.name) > 0]
    neutral = [c for c in candidates if name_speaks(c.name) == 0]
    other = [c for c in candidates if name_speaks(c.name) < 0]
    plausible = [*called, *neutral] or other
    for candidate in other if plausible is not other else ():
        finding.reject(candidate.name, f"{candidate.what}, but its name says that it is not the text")
    return plausible


def _without_lengths(
    strings: Sequence[TextCandidate], numbers: Sequence[TextCandidate], finding: TextFinding
) -> list[TextCandidate]:
    """Without the numbers that say how long a text is."""
    lengths = {c.reading.length_key: c.name for c in numbers if c.reading.length_key}
    kept = []
    for candidate in numbers:
        counts = [row[0] for row in candidate.ids or [] if len(row) == 1]
        whose = lengths.get(candidate.name) or next(
            (c.name for c in strings if counts == list(map(len, c.texts or []))), None
        )
        if whose:
            finding.reject(candidate.name, f"it is the length of {quoted(whose)}")
        else:
            kept.append(candidate)
    return kept


def _without_echoes(
    strings: list[TextCandidate], numbers: list[TextCandidate], finding: TextFinding
) -> tuple[list[TextCandidate], list[TextCandidate]]:
    """Ids that match a string character by character are that string, and confirm it against all other strings."""
    echoes = {string.name: [c for c in numbers if _same_text(string.texts or [], c.ids or [])] for string in strings}
    if not any(echoes.values()):
        return strings, numbers
    for string in strings:
        if not echoes[string.name]:
            finding.reject(string.name, f"{string.what}; others are also there in ids")
        for candidate in echoes[string.name]:
            finding.reject(candidate.name, f"{candidate.what}: the same text as {quoted(string.name)}")
            finding.evidence.append(f"{quoted(candidate.name)} has the same text as {quoted(string.name)} in ids")
    echoed = [c for of_string in echoes.values() for c in of_string]
    finding.drop_questions(*(c.name for c in echoed))
    rest = []
    for candidate in numbers:
        if candidate not in echoed and name_speaks(candidate.name) > 0:
            rest.append(candidate)
        elif candidate not in echoed:
            finding.reject(candidate.name, f"{candidate.what}; not the ids of a text that is there in ids")
    return [string for string in strings if echoes[string.name]], rest


def _same_text(texts: Sequence[str], ids: Sequence[Sequence[int]]) -> bool:
    """Whether each id stands for one character and each character has one id; or so for whole texts."""
    if len(texts) != len(ids) or len(set(texts)) < 2:
        return False
    pairs: set[tuple[str, int]] = set()
    for text, numbers in zip(texts, ids, strict=True):
        if len(numbers) == 1 and len(text) > 1:
            pairs.add((text, numbers[0]))
        elif len(numbers) >= len(text) and len(set(numbers[len(text) :])) <= 1:
            pairs |= set(zip(text, numbers, strict=False))
        else:
            return False
    # One to one, and at least one pair seen twice: if every character occurred once, any numbers would match.
    return len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs) < sum(map(len, texts))


def _folders(sample: Sequence[Sampled]) -> list[TextCandidate]:
    """key=value folders whose value is not the same everywhere."""
    values = [folder_values(s.path) for s in sample]
    found = []
    for key in sorted({key for value in values for key in value}):
        texts = [value.get(key, "") for value in values]
        if len(set(texts)) > 1 and name_speaks(key) >= 0 and max(map(len, texts)) <= MAX_LENGTH:
            found.append(
                TextCandidate(key, (key,), TextReading("folder", (key,)), f"the folders {key}=...", texts=texts)
            )
    return found


def _named(candidates: Sequence[TextCandidate], finding: TextFinding) -> list[TextCandidate]:
    """A text in the names of files, where their stems are not counters: `4071.png`, or `4071_anything.png`."""
    found = []
    for candidate in candidates:
        stems = [re.sub(r"\.[^.]*$", "", re.split(r"[/\\]", text)[-1]) for text in candidate.texts or []]
        parted = any("_" in stem for stem in stems)
        firsts = [stem.split("_")[0] for stem in stems]
        if len(set(firsts)) < 2 or why_no_text(firsts):
            finding.reject(candidate.name, "names of files with no text in them")
            continue
        reading = dataclasses.replace(candidate.reading, pattern=_CODE_FIRST if parted else _WHOLE)
        what = f"the names of files, such as {quoted(stems[0])}"
        found.append(dataclasses.replace(candidate, reading=reading, what=what, texts=firsts))
        whole = dataclasses.replace(reading, pattern=_WHOLE)
        options = [
            (p, dataclasses.replace(reading, pattern=p)) for p in dict.fromkeys((reading.pattern, whole.pattern))
        ]
        # A name such as 0759.png may be a code as well as a number: only the user knows.
        question = f"only the names of files in {quoted(candidate.name)} could hold the text"
        finding.ask("--label_pattern", candidate.name, question, options)
    return found[:1]


def _by_pattern(keys: Keys, answers: Answers, finding: TextFinding, taken: Collection[str]) -> TextFinding:
    """The user says that the code is in names of files; the key is the one that holds such names."""
    _, names = find_strings(keys, finding, taken)
    if answers.text_key:
        names = [c for c in names if c.name == answers.text_key]
    if len(names) != 1:
        listed = ", ".join(quoted(c.name) for c in names) or "no key"
        raise DigitwiseError(
            f"--label_pattern={answers.label_pattern}: {listed} holds names of files; --text_key names one"
        )
    finding.reading = dataclasses.replace(names[0].reading, pattern=answers.label_pattern)
    finding.evidence.append(f"the text is in the names of files of {quoted(names[0].name)}, by --label_pattern")
    return finding
