"""Files beside records that say what they hold: tables of characters or names by id, and features.json of TFDS.

{0: "a", 1: "b"}        of labels.txt "0:a", a charset table "0<TAB>a", a line for each id, or {"a": 0} in JSON
"""

import csv
import dataclasses
import json
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

from records.images.arrays import TYPES

FEATURES = "features.json"
MAX_BYTES = 1 << 20  # about as much as a table of 100,000 ids takes
MAX_IDS = 100_000
# What separates an id from its name: tab, colon, comma, equals sign or spaces, one kind throughout a file or not.
_NUMBERED = re.compile(r"(\d{1,9})(?:\t|: ?|,|=| +)(.+)")
_NUMBERED_BEHIND = re.compile(r"(.+?)(?:\t|: ?|,|=| +)(\d{1,9})")
# Only files that are called as tables are: a README beside the records has numbered lines too.
_NAME = re.compile(r"label|class|char|dict|vocab|alphabet|map|names|token|symbol", re.IGNORECASE)
_ENDINGS = (".txt", ".json", ".csv", ".tsv", ".pbtxt", ".charset", ".names", ".map")


@dataclasses.dataclass(frozen=True)
class Table:
    """The characters, or names, of ids."""

    path: str
    names: dict[int, str]

    @property
    def first_id(self) -> int:
        return min(self.names)

    @property
    def charset(self) -> tuple[str | None, ...]:
        """By place, the first id's first; None where an id has no name."""
        return tuple(self.names.get(number) for number in range(self.first_id, max(self.names) + 1))


@dataclasses.dataclass(frozen=True)
class Feature:
    """What features.json says of a key."""

    kind: str
    shape: tuple[int, ...] = ()
    item_type: str = ""
    encoding: str = ""
    num_classes: int = 0


def find_tables(folders: Iterable[str]) -> list[Table]:
    """The tables that lie in the folders, sorted by path."""
    tables = []
    for folder in folders:
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:
            continue
        for name in names[:2000]:  # a folder of a million shards has no table behind these
            path = os.path.join(folder, name)
            if name.lower().endswith(_ENDINGS) and _NAME.search(name) and os.path.isfile(path):
                table = read_table(path)
                if table:
                    tables.append(table)
    return tables


def read_table(path: str) -> Table | None:
    """The Table in a file, or None."""
    content = _content(path)
    if content is None:
        return None
    names = _from_json(content) if content.lstrip().startswith(("{", "[")) else None
    # Lines last: almost any text has lines.
    names = names or _from_pbtxt(content) or _from_lines(content)
    if not names or max(names) - min(names) > MAX_IDS:
        return None
    return Table(path, names)


def read_features(folders: Iterable[str]) -> dict[str, Feature]:
    """{key: Feature} of the features.json that lies nearest, nested names joined with "/"."""
    for folder in folders:
        content = _content(os.path.join(folder, FEATURES))
        if content is None:
            continue
        found: dict[str, Feature] = {}
        try:
            _walk_features(json.loads(content), "", found)
        except (ValueError, RecursionError, AttributeError, TypeError, KeyError):
            continue
        return found
    return {}


def feature_table(key: str, tables: Iterable[Table]) -> Table | None:
    """Of the tables, the one that TFDS names after a key: label.labels.txt."""
    name = key.replace("/", "-") + ".labels.txt"  # a key of nested features has slashes, which file names cannot have
    return next((table for table in tables if os.path.basename(table.path) == name), None)


def _content(path: str) -> str | None:
    try:
        if os.path.getsize(path) > MAX_BYTES:
            return None
        # newline="": a name may be a carriage return or have one in it; only \n ends a line here.
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def _from_json(content: str) -> dict[int, str] | None:
    try:
        content = json.loads(content)
    except (ValueError, RecursionError):
        return None
    # Such as {"char_to_id": {...}}.
    if isinstance(content, dict) and len(content) == 1 and isinstance(next(iter(content.values())), (dict, list)):
        content = next(iter(content.values()))
    if isinstance(content, list) and content and all(isinstance(name, str) for name in content):
        return dict(enumerate(content))
    if not isinstance(content, dict) or not content:
        return None
    if all(re.fullmatch(r"\d{1,9}", key) and isinstance(name, str) for key, name in content.items()):
        return {int(key): name for key, name in content.items()}
    numbers = list(content.values())
    # type, not isinstance: true is not an id
    if all(type(number) is int and 0 <= number < 10**9 for number in numbers) and len(set(numbers)) == len(numbers):
        return {number: name for name, number in content.items()}
    return None


def _from_pbtxt(content: str) -> dict[int, str] | None:
    """item { id: 1 name: 'a' } of the Object Detection API."""
    names = {}
    for item in re.findall(r"item\s*\{([^}]{1,400})\}", content):
        number = re.search(r"\bid\s*:\s*(\d{1,9})", item)
        name = re.search(r"\b(?:display_)?name\s*:\s*(?:'([^']*)'|\"([^\"]*)\")", item)
        if not number or not name:
            return None
        names[int(number[1])] = name[1] if name[1] is not None else name[2]
    return names


def _from_lines(content: str) -> dict[int, str] | None:
    lines = [line.rstrip("\r") for line in content.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines or len(lines) > MAX_IDS:
        return None
    found = [names for names in (_numbered(lines, _NUMBERED, 1, 2), _numbered(lines, _NUMBERED_BEHIND, 2, 1)) if names]
    if found:
        # `0 1` can be read both ways, as in a table of digits from 1: where the two differ, the table decides nothing.
        return found[0] if all(names == found[0] for names in found) else None
    if len(lines) == 1:
        # All characters in one line, such as 0123456789.
        return dict(enumerate(lines[0])) if len(set(lines[0])) == len(lines[0]) > 1 else None
    return dict(enumerate(lines)) if len(set(lines)) == len(lines) and all(lines) else None


def _numbered(lines: Sequence[str], pattern: re.Pattern[str], number: int, name: int) -> dict[int, str] | None:
    """The names of lines with an id in each, under a line of titles or none."""
    has_titles = len(lines) > 1 and not pattern.fullmatch(lines[0]) and ("," in lines[0] or "\t" in lines[0])
    rows = lines[1:] if has_titles else lines
    matches = [match for line in rows if (match := pattern.fullmatch(line))]
    if len(matches) < len(rows):
        return None
    names = {int(match[number]): _unquoted(match[name]) for match in matches}
    return names if len(names) == len(matches) else None


def _unquoted(name: str) -> str:
    return next(csv.reader([name]))[0] if name.startswith('"') and name.endswith('"') and len(name) > 1 else name


def _walk_features(feature: dict[str, Any], name: str, found: dict[str, Feature], depth: int = 0) -> None:
    # A file of a stranger: Python's own limit of recursion would come with a traceback.
    if depth > 20 or len(found) > 1000:
        raise ValueError("features.json is nested too deep")
    kind = feature["pythonClassName"].rsplit(".", 1)[-1]
    if "featuresDict" in feature:
        for key, inner in feature["featuresDict"]["features"].items():
            _walk_features(inner, f"{name}/{key}" if name else key, found, depth + 1)
    elif "sequence" in feature:
        inner = dict(feature["sequence"]["feature"])
        _walk_features(inner, name, found, depth + 1)
    else:
        content: dict[str, Any] = next((value for key, value in feature.items() if key != "pythonClassName"), {}) or {}
        sizes = content.get("shape", {}).get("dimensions", ())
        shape = tuple(int(size) for size in sizes)
        item_type = content.get("dtype", "")
        found[name] = Feature(
            kind,
            shape if shape and min(shape) > 0 else (),  # -1 and None stand for sides that vary
            item_type if item_type in TYPES else "",
            content.get("encoding", content.get("encodingFormat", "")),
            int(content.get("numClasses", 0)),
        )
