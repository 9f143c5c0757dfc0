import json

import pytest

from records.errors import DigitwiseError
from records.foreign.mapping import SchemaMapping
from records.foreign.readings import ImageReading, TextReading, folder_values
from records.tfrecord.example import Record

WHOLE = SchemaMapping(
    ImageReading("x", "pixels", ("base64",), "uint8", (3, 60, 160), (), "CHW", "bgr", (0.0, 255.0)),
    TextReading("ids", ("a", "b"), charset=("x", None, "<eos>"), first_id=3, padding=-1),
)


def test_what_is_saved_is_read_back(tmp_path):
    WHOLE.save(tmp_path / "m.json", {"a note": ["for people"]})
    assert SchemaMapping.load(tmp_path / "m.json") == WHOLE


@pytest.mark.parametrize(
    "part, field, value, message",
    [
        ("image", "form", "photo", "image.form is 'photo', expected one of encoded, pixels"),
        ("image", "axes", "WHC", "image.axes is 'WHC', expected one of HW, HWC, CHW"),
        ("image", "shape", [0, 3], "image.shape is .0, 3., expected whole numbers above 0"),
        ("image", "shape", [60, 160], "image.shape has 2 sizes, the axes CHW take others"),
        ("image", "value_range", [1, 0], "image.value_range is .1, 0., expected two numbers, smaller number first"),
        ("image", "wrappers", ["zip"], "image.wrappers is 'zip', expected one of joined, npy"),
        ("image", "keys", "x", "image.keys is unknown, expected one of key, form"),
        ("image", "views", True, "image.views is True, which is not of the right kind"),
        ("image", "views", {"open": "4 or 1"}, "image.views is still open: 4 or 1"),
        ("text", "charset", [], "text.charset is missing: ids need the characters"),
        ("text", "charset", [7], "text.charset is not a string, nor a list of strings"),
        ("text", "keys", [], "text.keys is empty"),
        ("text", "encoding", "utf-16", "text.encoding is 'utf-16', expected one of utf-8, latin-1"),
        ("text", "pattern", "(", "text.pattern is not a regular expression"),
        ("text", "skip", [7], "text.skip is .7., expected strings"),
        ("text", "padding", "none", "text.padding is 'none', which is not of the right kind"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, part, field, value, message):
    content = {"format": "digitwise-mapping", "format_version": 1, **WHOLE.as_json()}
    content[part][field] = value
    path = tmp_path / "m.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DigitwiseError, match=f"--mapping={path}: {message}"):
        SchemaMapping.load(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("{}", "it is not a mapping; --stage=inspect writes one"),
        ('{"format": "digitwise-mapping", "format_version": 9}', "format_version is 9, expected 1"),
        ('{"format": "digitwise-mapping", "format_version": 1}', "image is None, expected an object"),
    ],
)
def test_what_is_no_mapping(tmp_path, text, message):
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(DigitwiseError, match=message):
        SchemaMapping.load(path)


def test_folders():
    assert folder_values("a/label=x%20y/split=train/part-0") == {"label": "x y", "split": "train"}
    assert folder_values("label=__HIVE_DEFAULT_PARTITION__/part") == {}


def test_a_string_where_the_mapping_has_numbers():
    reading = ImageReading("x", "pixels", axes="HW", shape=(8, 8), value_range=(0.0, 255.0))
    with pytest.raises(ValueError, match="key 'x': it is a string of 64 bytes, expected numbers"):
        reading.picture(Record({"x": [bytes(64)]}, {}, False))


@pytest.mark.parametrize("form", ["string", "file_name"])
def test_a_group_that_may_be_absent(form):
    reading = TextReading(form, ("x",), pattern="(x)?")
    with pytest.raises(ValueError, match=r"key 'x': (got 'abc', expected text that|no code in the name 'abc')"):
        reading.read(Record({"x": [b"abc"]}, {}, False), "")


def test_tokens_are_left_out():
    reading = TextReading("string", ("x",), skip=("<S>", "</S>"))
    assert reading.read(Record({"x": [b"<S>", b"4", b"0", b"</S>"]}, {}, True), "") == "40"
