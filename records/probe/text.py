"""Which key, or keys, or part of a path, hold the code, and how its characters are written.

Strings come first, then ids of any form, then the names of files and folders. A string and ids that go together
letter by letter are one text; where they do not, the user is asked.
"""

import dataclasses
import re

from records.errors import DigitwiseError
from records.foreign.mapping import TextReading, folder_values
from records.probe.characters import with_characters
from records.probe.findings import Finding, TextCandidate, name_speaks
from records.probe.ids import find_ids
from records.probe.strings import MAX_LENGTH, find_strings, why_no_text


def find_text(sample, tables, answers, taken):
    """The Finding of a TextReading; `taken` are the keys that the image has."""
    finding = Finding()
    if answers.label_pattern:
        return _by_pattern(sample, answers, finding, taken)
    strings, names = find_strings(sample, finding, taken, answers.text_key)
    numbers = find_ids(sample, finding, taken, answers)
    if answers.text_key:
        return _asked(answers, sample, [*strings, *numbers, *_folders(sample)], tables, finding)
    strings, numbers = _without_echoes(strings, _without_lengths(strings, numbers, finding), finding)
    plausible = _best([*strings, *numbers], finding)
    if not plausible:
        plausible = _folders(sample) or _named(names, finding)
    if not plausible:
        return finding
    finding.questions[:] = [q for q in finding.questions if repr(plausible[0].name) in q.text]
    first = with_characters(plausible[0], tables, answers, finding)
    finding.reading = first
    if len(plausible) > 1:
        finding.questions.clear()
        others = [with_characters(c, tables, answers, Finding()) for c in plausible[1:]]
        options = [(c.name, reading) for c, reading in zip(plausible, [first, *others])]
        listed = " and ".join(f"{c.name!r} ({c.what})" for c in plausible)
        finding.ask("--text_key", f"{listed} can each be the text", options)
    elif len(plausible) == 1 and _doubtful(plausible[0]):
        name, what = plausible[0].name, plausible[0].what
        finding.ask(
            "--text_key",
            f"only {name!r} ({what}) could be the text, and its name does not say that it is",
            [(name, first)],
        )
    return finding


def _doubtful(candidate):
    """Whether it is the only one left, but called otherwise; a folder must be called as text is."""
    if candidate.reading.form == "file_name":
        return False
    return name_speaks(candidate.name) < (1 if candidate.reading.form == "folder" else 0)


def _asked(answers, sample, candidates, tables, finding):
    wanted = answers.text_key
    fitting = [c for c in candidates if wanted == c.name or wanted in c.keys]
    if "+" in wanted and not fitting:
        fitting = _joined(wanted.split("+"), candidates)
    if not fitting:
        known = ", ".join(dict.fromkeys([c.name for c in candidates] + sorted(sample[0].record.values)))
        why = "; ".join(f"{what}: {reason}" for what, reason in finding.rejected if what == wanted)
        raise DigitwiseError(
            f"--text_key={wanted}: "
            + (f"it cannot be the text ({why})" if why else f"there is no such text; there are {known}")
        )
    for other in candidates:
        if other is not fitting[0]:
            finding.reject(other.name, f"{other.what}; --text_key names another")
    finding.reading = with_characters(fitting[0], tables, answers, finding)
    return finding


def _joined(names, candidates):
    """Several keys of one kind, in the order in which the user gives them, as one text."""
    parts = [next((c for c in candidates if c.name == name), None) for name in names]
    if None in parts or len({(c.reading.form, c.ids is None) for c in parts}) > 1:
        return []
    reading = dataclasses.replace(parts[0].reading, keys=tuple(names))
    if parts[0].ids is None:
        texts = ["".join(items) for items in zip(*(c.texts for c in parts))]
        return [TextCandidate("+".join(names), tuple(names), reading, "texts of several keys", texts=texts)]
    ids = [sum(items, []) for items in zip(*(c.ids for c in parts))]
    return [TextCandidate("+".join(names), tuple(names), reading, "ids of several keys", ids=ids)]


def _best(candidates, finding):
    """The candidates that stay plausible by their names: those that are not called as what stands beside a text."""
    called = [c for c in candidates if name_speaks(c.name) > 0]
    neutral = [c for c in candidates if name_speaks(c.name) == 0]
    other = [c for c in candidates if name_speaks(c.name) < 0]
    plausible = [*called, *neutral] or other
    for candidate in other if plausible is not other else ():
        finding.reject(candidate.name, f"{candidate.what}, but named as what stands beside a text")
    return plausible


def _without_lengths(strings, numbers, finding):
    """Without the numbers that say how long a text is."""
    lengths = {c.reading.length_key: c.name for c in numbers if c.reading.length_key}
    kept = []
    for candidate in numbers:
        counts = [ids[0] for ids in candidate.ids if len(ids) == 1]
        of = lengths.get(candidate.name) or next((c.name for c in strings if counts == list(map(len, c.texts))), None)
        if of:
            finding.reject(candidate.name, f"it is the length of {of!r}")
        else:
            kept.append(candidate)
    return kept


def _without_echoes(strings, numbers, finding):
    """Ids that go letter by letter with a string are that string, and speak for it before all other strings."""
    echoes = {string.name: [c for c in numbers if _same_text(string.texts, c.ids)] for string in strings}
    if not any(echoes.values()):
        return strings, numbers
    for string in strings:
        if not echoes[string.name]:
            finding.reject(string.name, f"{string.what}; others are also there in ids")
        for candidate in echoes[string.name]:
            finding.reject(candidate.name, f"{candidate.what}: the same text as {string.name!r}")
            finding.evidence.append(f"{candidate.name!r} has the same text as {string.name!r} in ids")
    echoed = [c for of_string in echoes.values() for c in of_string]
    finding.questions[:] = [q for q in finding.questions if not any(repr(c.name) in q.text for c in echoed)]
    rest = []
    for candidate in numbers:
        if candidate not in echoed and name_speaks(candidate.name) > 0:
            rest.append(candidate)
        elif candidate not in echoed:
            finding.reject(candidate.name, f"{candidate.what}; not the ids of a text that is there in ids")
    return [string for string in strings if echoes[string.name]], rest


def _same_text(texts, ids):
    """Whether each id stands for one character and each character has one id; or so for whole texts."""
    if len(texts) != len(ids) or len(set(texts)) < 2:
        return False
    pairs = set()
    for text, numbers in zip(texts, ids):
        if len(numbers) == 1 and len(text) > 1:
            pairs.add((text, numbers[0]))
        elif len(numbers) >= len(text) and len(set(numbers[len(text) :])) <= 1:
            pairs |= set(zip(text, numbers))
        else:
            return False
    return len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs) < sum(map(len, texts))


def _folders(sample):
    """key=value folders whose value is not the same everywhere."""
    values = [folder_values(s.path) for s in sample]
    found = []
    for key in sorted(set().union(*values)):
        texts = [value.get(key, "") for value in values]
        if len(set(texts)) > 1 and name_speaks(key) >= 0 and max(map(len, texts)) <= MAX_LENGTH:
            found.append(
                TextCandidate(key, (key,), TextReading("folder", (key,)), f"the folders {key}=...", texts=texts)
            )
    return found


_CODE_FIRST = r"^([^_]+)(?:_.*)?$"
_WHOLE = r"^(.+)$"


def _named(candidates, finding):
    """A text in the names of files, where their stems are no counters: `4071.png`, or `4071_anything.png`."""
    found = []
    for candidate in candidates:
        stems = [re.sub(r"\.[^.]*$", "", re.split(r"[/\\]", text)[-1]) for text in candidate.texts]
        parted = any("_" in stem for stem in stems)
        firsts = [stem.split("_")[0] for stem in stems]
        if len(set(firsts)) < 2 or why_no_text(firsts):
            finding.reject(candidate.name, "names of files with no text in them")
            continue
        reading = dataclasses.replace(candidate.reading, pattern=_CODE_FIRST if parted else _WHOLE)
        what = f"the names of files, such as {stems[0]!r}"
        found.append(dataclasses.replace(candidate, reading=reading, what=what, texts=firsts))
        whole = dataclasses.replace(reading, pattern=_WHOLE)
        options = [
            (p, dataclasses.replace(reading, pattern=p)) for p in dict.fromkeys((reading.pattern, whole.pattern))
        ]
        # A name such as 0759.png may be a code as well as a number: only the user knows.
        finding.ask("--label_pattern", f"only the names of files in {candidate.name!r} can hold the text", options)
    return found[:1]


def _by_pattern(sample, answers, finding, taken):
    """The user says that the code is in names of files; the key is the one that holds such names."""
    _, names = find_strings(sample, finding, taken)
    if answers.text_key:
        names = [c for c in names if c.name == answers.text_key]
    if len(names) != 1:
        listed = ", ".join(repr(c.name) for c in names) or "no key"
        raise DigitwiseError(
            f"--label_pattern={answers.label_pattern}: {listed} holds names of files; --text_key names one"
        )
    finding.reading = dataclasses.replace(names[0].reading, pattern=answers.label_pattern)
    finding.evidence.append(f"the text is in the names of files of {names[0].name!r}, by --label_pattern")
    return finding
