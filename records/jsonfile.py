"""JSON files that were written earlier, by any version, and may have been damaged since.

content = read_object("images/settings.json", {"complete": bool, "settings": dict})

A file that cannot be used ends in one line that names it. Where there is no file, FileNotFoundError is raised, as only
the caller knows whether that is a mistake.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from records.errors import DigitwiseError

_MAX_BYTES = 64 << 20  # the largest of our JSON files, a manifest of 100,000 shards, has a quarter of this
_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}


class UnreadableFile(DigitwiseError):
    """A JSON file is not what its writer left."""


def read_json(path: str | os.PathLike[str]) -> Any:
    """Whatever the file holds."""
    with open(path, "rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise UnreadableFile(f"{os.fspath(path)} has more than {_MAX_BYTES >> 20} MB: it was not written by digitwise")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise UnreadableFile(f"{os.fspath(path)} is damaged: not JSON ({error})") from None


def read_object(path: str | os.PathLike[str], schema: Mapping[str, type], version: int = 1) -> dict[str, Any]:
    """An object that has the keys of the schema with values of these types, and perhaps more.

    Its own `version`, which is 1 where it has none, must not be above the given one.
    """
    content = read_json(path)
    where = os.fspath(path)
    if not isinstance(content, dict):
        raise UnreadableFile(f"{where} is damaged: expected an object, got {_shown(content)}")
    written = content.get("version", 1)
    if not _is(written, int) or written < 1:
        raise UnreadableFile(f"{where} is damaged: version is {_shown(written)}, expected a whole number from 1")
    if written > version:
        raise UnreadableFile(
            f"{where} has version {written}, and this program reads up to {version}: use a newer digitwise"
        )
    for key, kind in schema.items():
        if key not in content:
            raise UnreadableFile(f"{where} is damaged: {key} is missing")
        if not _is(content[key], kind):
            raise UnreadableFile(f"{where} is damaged: {key} is {_shown(content[key])}, expected {_NAMES[kind]}")
    return content


def _is(value: Any, kind: type) -> bool:
    """Whether a value has a type, as JSON knows types: a boolean is no number, and a whole number is a float too."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
