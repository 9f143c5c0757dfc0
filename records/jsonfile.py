"""JSON that was written earlier, by any version, and may have been damaged since: whole files, and typed values.

content = read_object("images/settings.json", {"complete": bool, "settings": dict})
accuracy = read_value(Accuracy, {"value": 0.5, "count": 2, ...}, "sequence_accuracy")

A file or value that cannot be used ends in one line that names it. Where there is no file, FileNotFoundError is raised,
as only the caller knows whether that is a mistake.
"""

import dataclasses
import itertools
import json
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

from records.errors import DigitwiseError

_MAX_BYTES = 64 << 20  # the largest of our JSON files, a manifest of 100,000 shards, has a quarter of this
# As a person who edits JSON calls them; Python's names would not help.
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


class WrongValue(DigitwiseError):
    """A value within JSON is not what it must be."""


def read_json(path: str | os.PathLike[str]) -> Any:
    """Whatever the file holds."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(min(size, _MAX_BYTES) + 1)  # Python takes at once as much memory as it is asked to read
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
    try:
        check_kind(content, dict)
        # Before the keys: those of a newer version may differ, and "use a newer digitwise" is the better answer.
        written = read_value(int, content.get("version", 1), "version")
        if written < 1:
            raise WrongValue(f"version is {written}, expected 1 or more")
        if written > version:
            raise UnreadableFile(
                f"{where} has version {written}, and this program reads up to {version}: use a newer digitwise"
            )
        for key, kind in schema.items():
            take(content, key, kind)
    except WrongValue as error:
        raise UnreadableFile(f"{where} is damaged: {error}") from None
    return dict(content)


def read_value(kind: Any, content: Any, where: str = "") -> Any:
    """`content` as a value of the type `kind`; WrongValue names the place within the JSON that is something else.

    `kind` is Any, int, float, bool, str, list, dict, a dataclass, or tuple, dict and `X | None` of these. Of a
    dataclass, fields with a default may be missing, and keys that it does not have are ignored, so that files of other
    versions can be read.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return content
    if origin in (types.UnionType, typing.Union):
        # Only X | None: a union of two types would need a rule for which one is tried first.
        (given,) = (one for one in inner if one is not types.NoneType)
        return None if content is None else read_value(given, content, where)
    if origin is tuple:
        return _read_tuple(inner, content, where)
    if origin is dict:
        check_kind(content, dict, where)
        return {key: read_value(inner[1], value, _within(where, key)) for key, value in content.items()}
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, content, where)
    check_kind(content, kind, where)
    return float(content) if kind is float else content  # JSON may write 1.0 as 1


def take(content: Any, key: str, kind: Any, where: str = "") -> Any:
    """The value of one key of an object, as `read_value` reads it."""
    check_kind(content, dict, where)
    if key not in content:
        raise WrongValue(f"{_within(where, key)} is missing")
    return read_value(kind, content[key], _within(where, key))


def check_version(content: Any, newest: int, where: str) -> int:
    """The version that a JSON object says it has, 1 where it says none; refuses one from a newer program."""
    check_kind(content, dict, where)
    version = read_value(int, content.get("version", 1), _within(where, "version"))
    if not 1 <= version <= newest:
        raise WrongValue(f"{where} has version {version}, this program reads up to {newest}")
    return int(version)


def check_kind(content: Any, kind: type, where: str = "") -> None:
    """As JSON knows types: a boolean is not a number, and a whole number is a float too."""
    allowed = (int, float) if kind is float else kind
    if not isinstance(content, allowed) or (isinstance(content, bool) and kind is not bool):
        got = f"{where} is {_shown(content)}, expected {_NAMES[kind]}"
        raise WrongValue(got if where else f"expected {_NAMES[kind]}, got {_shown(content)}")


def _read_tuple(inner: tuple[Any, ...], content: Any, where: str) -> tuple[Any, ...]:
    check_kind(content, list, where)
    kinds = itertools.repeat(inner[0], len(content)) if inner[-1] is Ellipsis else inner
    if inner[-1] is not Ellipsis and len(content) != len(inner):
        raise WrongValue(f"{where} is {_shown(content)}, expected {len(inner)} items")
    return tuple(read_value(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, content)))


def _read_dataclass(kind: Any, content: Any, where: str) -> Any:
    check_kind(content, dict, where)
    hints = typing.get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):
        may_miss = not (field.default is field.default_factory is dataclasses.MISSING)
        # A required field that is missing goes to take(), which names it in the error.
        if field.name in content or not may_miss:
            values[field.name] = take(content, field.name, hints[field.name], where)
    return kind(**values)


def _within(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
