"""JSON as typed values: what a dataclass says of its fields is what its JSON must hold.

read_value(Accuracy, {"value": 0.5, "count": 2, ...}, "sequence_accuracy")
"""

import dataclasses
import itertools
import types
import typing
from typing import Any


def read_value(kind: Any, content: Any, where: str) -> Any:
    """`content` as a value of the type `kind`; ValueError names the place within the JSON that is something else.

    `kind` is Any, int, float, bool, str, a dataclass, or tuple, dict and `X | None` of these. Keys that a dataclass
    does not have are left out, so that a file with more in it can be read too.
    """
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return content
    if origin in (types.UnionType, typing.Union):
        (given,) = (one for one in inner if one is not types.NoneType)
        return None if content is None else read_value(given, content, where)
    if origin is tuple:
        return _read_tuple(inner, content, where)
    if origin is dict:
        _check(content, dict, where)
        return {key: read_value(inner[1], value, f"{where}.{key}") for key, value in content.items()}
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, content, where)
    if kind is float and type(content) is int:  # JSON may write 1.0 as 1
        return float(content)
    _check(content, kind, where)
    return content


def _read_tuple(inner: tuple, content: Any, where: str) -> tuple:
    _check(content, list, where)
    kinds = itertools.repeat(inner[0], len(content)) if inner[-1] is Ellipsis else inner
    if inner[-1] is not Ellipsis and len(content) != len(inner):
        raise ValueError(f"{where} has {len(content)} items, not {len(inner)}")
    return tuple(read_value(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, content)))


def _read_dataclass(kind: Any, content: Any, where: str) -> Any:
    _check(content, dict, where)
    hints = typing.get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):
        if field.name in content:
            values[field.name] = read_value(hints[field.name], content[field.name], f"{where}.{field.name}")
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where}.{field.name} is missing")
    return kind(**values)


def _check(content: Any, kind: type, where: str) -> None:
    if type(content) is not kind:  # no isinstance: True is no number here
        raise ValueError(f"{where} is {str(content)[:40]!r}, not of type {kind.__name__}")
