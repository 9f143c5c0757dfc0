"""JSON from earlier runs: read, or refused in one line that names the file."""

import json

import pytest

from records import jsonfile
from records.jsonfile import UnreadableFile, read_json, read_object

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
        (b'{"version": "1"}', 'version is "1", expected a whole number from 1'),
        (b'{"version": true}', "version is true"),
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
