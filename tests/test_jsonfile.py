"""JSON from earlier runs: read, or refused in one line that names the file."""

import dataclasses
import json
from typing import Any

import pytest

from records import jsonfile
from records.jsonfile import UnreadableFile, WrongValue, read_json, read_object, read_value

SCHEMA = {"complete": bool, "count": int, "seconds": float, "name": str, "rows": list, "settings": dict}
GOOD = {"complete": True, "count": 3, "seconds": 2, "name": "a", "rows": [], "settings": {}, "more": None}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "settings.json"


def test_an_object_with_its_schema(path):
    path.write_text(json.dumps(GOOD))
    assert read_object(path, SCHEMA) == GOOD
    path.write_text(json.dumps({"version": 2}))
    assert read_object(path, {}, version=2) == {"version": 2}


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "is damaged: not JSON"),
        (b"{", "is damaged: not JSON"),
        (b"\xff\xfe{}", "is damaged: not JSON"),
        (b"[" * 100_000, "is damaged: not JSON"),
        (b"[1]", r"expected an object, got \[1\]"),
        (b'"' + b"x" * 99 + b'"', 'expected an object, got "x{36}'),
        (b'{"version": 2}', "has version 2, and this program reads up to 1"),
        (b'{"version": "1"}', 'version is "1", expected a whole number'),
        (b'{"version": true}', "version is true"),
        (b'{"version": 0}', "version is 0, expected 1 or more"),
        (b"{}", "complete is missing"),
    ],
)
def test_a_damaged_file_is_named(path, data, message):
    path.write_bytes(data)
    with pytest.raises(UnreadableFile, match=f"settings.json .*{message}"):
        read_object(path, SCHEMA)


@pytest.mark.parametrize(
    "key, value, expected",
    [
        ("complete", 1, "true or false"),
        ("count", True, "a whole number"),
        ("count", 1.5, "a whole number"),
        ("seconds", "2", "a number"),
        ("name", None, "text"),
        ("rows", {}, "a list"),
        ("settings", [], "an object"),
    ],
)
def test_a_value_of_another_type_is_named(path, key, value, expected):
    path.write_text(json.dumps(GOOD | {key: value}))
    with pytest.raises(UnreadableFile, match=f"{key} is .*, expected {expected}"):
        read_object(path, SCHEMA)


def test_no_file_and_too_large_a_file(path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        read_json(path)
    monkeypatch.setattr(jsonfile, "_MAX_BYTES", 4)
    path.write_text("[1,2]")
    with pytest.raises(UnreadableFile, match="it was not written by digitwise"):
        read_json(path)


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    "kind, content, value",
    [
        (float, 2, 2.0),
        (int | None, None, None),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[str, Point], {"a": {"x": 1, "more": 2}}, {"a": Point(1.0)}),
        (tuple[Point, ...], [{"x": 0.5, "names": ["b"]}], (Point(0.5, ("b",)),)),
        (Any, [None], [None]),
    ],
)
def test_a_value_is_of_its_type(kind, content, value):
    read = read_value(kind, content)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    "kind, content, message",
    [
        (Point, {}, "at.x is missing"),
        (Point, {"x": True}, "at.x is true, expected a number"),
        (Point, {"x": 1, "names": ["a", 2]}, "at.names[1] is 2, expected text"),
        (tuple[int, int], [1], "at is [1], expected 2 items"),
        (dict[str, int], {"a": "b"}, 'at.a is "b", expected a whole number'),
        (list, "x" * 99, f'at is "{"x" * 36}..., expected a list'),
    ],
)
def test_a_value_of_the_wrong_type_is_named(kind, content, message):
    with pytest.raises(WrongValue) as wrong:
        read_value(kind, content, "at")
    assert str(wrong.value) == message
