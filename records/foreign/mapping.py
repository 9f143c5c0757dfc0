"""How (image, text) is read from the records of another project; kept as JSON that a person can read and edit.

mapping = SchemaMapping.load("mapping.json")
mapping.image.file(record), mapping.text.read(record, path)
"""

import dataclasses
import json
import math
import pathlib
import re
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self, TypeVar

from records.atomic import AnyPath, write_text
from records.errors import DigitwiseError
from records.foreign.readings import ImageReading, TextReading
from records.foreign.wrappers import WRAPPERS
from records.images.arrays import AXES, CHANNEL_ORDERS, TYPES

FORMAT = "digitwise-mapping"
FORMAT_VERSION = 1
IMAGE_FORMS = ("encoded", "pixels")
TEXT_FORMS = ("string", "ids", "one_hot", "number", "file_name", "folder")
ENCODINGS = ("utf-8", "latin-1")
_MAX_VIEWS = 64  # as --views allows
_MAX_DIGITS = 64
_Reading = TypeVar("_Reading", ImageReading, TextReading)


@dataclasses.dataclass(frozen=True)
class SchemaMapping:
    """`text` is None for records that are not labelled."""

    image: ImageReading
    text: TextReading | None

    def save(
        self, path: AnyPath, notes: dict[str, Any], open_fields: Mapping[tuple[str, str | None], str] | None = None
    ) -> None:
        """`notes` are for the person who reads the file; the program ignores them.

        Open questions, {(image or text, field or None for all of it): question}, are written so that `load` refuses
        them until they are settled.
        """
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **self.as_json(), "notes": notes}
        for (part, field), question in (open_fields or {}).items():
            # In place of the value, so that a file whose questions were not settled cannot be read by mistake.
            if field and isinstance(content[part], dict):
                content[part][field] = {"open": question}
            else:
                content[part] = {"open": question}
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def as_json(self) -> dict[str, Any]:
        return {"image": _as_json(self.image), "text": _as_json(self.text) if self.text else None}

    @classmethod
    def load(cls, path: AnyPath) -> Self:
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DigitwiseError(f"--mapping={path}: it cannot be read as JSON ({error})") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DigitwiseError(f"--mapping={path}: it is not a mapping; --stage=inspect writes one")
        if content.get("format_version") != FORMAT_VERSION:
            raise DigitwiseError(
                f"--mapping={path}: format_version is {content.get('format_version')!r}, expected {FORMAT_VERSION}"
            )
        try:
            image = _from_json(ImageReading, content.get("image"), "image")
            text = content.get("text")
            return cls(_checked_image(image), _checked_text(_from_json(TextReading, text, "text")) if text else None)
        except ValueError as error:
            raise DigitwiseError(f"--mapping={path}: {error}") from None


def charset_as_json(charset: Sequence[str | None]) -> str | list[str | None]:
    """A string where every id has one character, else a list."""
    single = [character for character in charset if character and len(character) == 1]
    return "".join(single) if len(single) == len(charset) else list(charset)


def _as_json(reading: ImageReading | TextReading) -> dict[str, Any]:
    """Only what is not as it is by default, so that a person sees what matters."""
    content = {}
    for field in dataclasses.fields(reading):
        value = getattr(reading, field.name)
        # The order of channels is written even if it is the default: a mistake in it can hardly be seen in a picture.
        is_said = field.default is dataclasses.MISSING or (field.name == "channel_order" and reading.form == "pixels")
        if is_said or value != field.default:
            content[field.name] = charset_as_json(value) if field.name == "charset" else value
    plain: dict[str, Any] = json.loads(json.dumps(content))  # tuples as lists, as they are read back
    return plain


def _from_json(kind: type[_Reading], content: Any, where: str) -> _Reading:
    _refuse_open(content, where)
    if not isinstance(content, dict):
        raise ValueError(f"{where} is {content!r}, expected an object with a form and its keys")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for name, value in content.items():
        if name not in fields:
            raise ValueError(f"{where}.{name} is unknown, expected one of {', '.join(fields)}")
        values[name] = _typed(value, fields[name].type, f"{where}.{name}")
    missing = [f.name for f in fields.values() if f.default is dataclasses.MISSING and f.name not in values]
    if missing:
        raise ValueError(f"{where}.{missing[0]} is missing")
    return kind(**values)


def _refuse_open(value: Any, where: str) -> None:
    if isinstance(value, dict) and "open" in value:
        raise ValueError(f"{where} is still open: {value['open']}")


def _typed(value: Any, kind: Any, where: str) -> Any:
    _refuse_open(value, where)
    if typing.get_origin(kind) is tuple:
        # A charset may be written as one string, and a list of one key as that key.
        if isinstance(value, str):
            value = list(value) if where.endswith("charset") else [value]
        if not isinstance(value, list):
            raise ValueError(f"{where} is {value!r}, expected a list")
        return tuple(value)
    allowed = typing.get_args(kind) or kind  # of `int | None` both
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{where} is {value!r}, which is not of the right kind")
    return value


def _checked_image(reading: ImageReading) -> ImageReading:
    _one_of("image.form", reading.form, IMAGE_FORMS)
    _one_of("image.channel_order", reading.channel_order, CHANNEL_ORDERS)
    _all_of("image.wrappers", reading.wrappers, WRAPPERS)
    _all_strings("image.shape_keys", reading.shape_keys)
    _all_numbers("image.value_range", reading.value_range)
    if reading.value_range and not (len(reading.value_range) == 2 and reading.value_range[0] < reading.value_range[1]):
        raise ValueError(
            f"image.value_range is {list(reading.value_range)}, expected two numbers, smaller number first"
        )
    if not 1 <= reading.views <= _MAX_VIEWS:
        raise ValueError(f"image.views is {reading.views}, expected 1 to {_MAX_VIEWS}")
    if reading.form == "pixels":
        _one_of("image.axes", reading.axes, AXES)
        if reading.item_type:
            _one_of("image.item_type", reading.item_type, TYPES)
        if not reading.value_range:
            raise ValueError("image.value_range is missing: pixels need the numbers that black and white have")
        if reading.shape:
            if not all(isinstance(size, int) and size > 0 for size in reading.shape):
                raise ValueError(f"image.shape is {list(reading.shape)}, expected whole numbers above 0")
            if len(reading.shape) != len(reading.axes):
                raise ValueError(f"image.shape has {len(reading.shape)} sizes, the axes {reading.axes} take others")
    return reading


def _checked_text(reading: TextReading) -> TextReading:
    _one_of("text.form", reading.form, TEXT_FORMS)
    _one_of("text.encoding", reading.encoding, ENCODINGS)
    _all_of("text.wrappers", reading.wrappers, WRAPPERS)
    _all_strings("text.keys", reading.keys)
    _all_strings("text.skip", reading.skip)
    if not reading.keys:
        raise ValueError("text.keys is empty, expected at least one key")
    if not all(character is None or isinstance(character, str) for character in reading.charset):
        raise ValueError("text.charset is not a string, nor a list of strings")
    if reading.item_type:
        _one_of("text.item_type", reading.item_type, TYPES)
    if reading.form in ("ids", "one_hot") and not reading.charset:
        raise ValueError("text.charset is missing: ids need the characters that they stand for")
    if not 0 <= reading.num_digits <= _MAX_DIGITS:
        raise ValueError(f"text.num_digits is {reading.num_digits}, expected 0 to {_MAX_DIGITS}")
    if reading.form == "one_hot" and reading.num_classes < 2:
        raise ValueError(f"text.num_classes is {reading.num_classes}, expected 2 or more")
    if reading.form == "file_name" or reading.pattern:
        try:
            groups = re.compile(reading.pattern).groups
        except re.error as error:
            raise ValueError(f"text.pattern is not a regular expression ({error})") from None
        if not groups:
            raise ValueError("text.pattern needs a group that holds the code")
    return reading


def _one_of(where: str, value: object, allowed: Collection[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{where} is {value!r}, expected one of {', '.join(allowed)}")


def _all_of(where: str, values: Sequence[object], allowed: Collection[str]) -> None:
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{where} has {value!r}, expected one of {', '.join(allowed)}")
        _one_of(where, value, allowed)


def _all_strings(where: str, values: Sequence[object]) -> None:
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{where} is {list(values)}, expected strings")


def _all_numbers(where: str, values: Sequence[object]) -> None:
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
        raise ValueError(f"{where} is {list(values)}, expected two numbers")
