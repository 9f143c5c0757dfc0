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
import unicodedata
import urllib.parse

import numpy as np
from PIL import Image

from records.atomic import write_text
from records.errors import DigitwiseError
from records.foreign.wrappers import WRAPPERS, describe, single, unwrap
from records.images.arrays import AXES, CHANNEL_ORDERS, TYPES, Layout, picture
from records.images.files import encode, in_mode, open_image

FORMAT = "digitwise-mapping"
FORMAT_VERSION = 1
IMAGE_FORMS = ("encoded", "pixels")
TEXT_FORMS = ("string", "ids", "one_hot", "number", "file_name", "folder")
ENCODINGS = ("utf-8", "latin-1")
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_BLANK = re.compile(r"<(pad|nul|null|blank|eos|sos|go|end|start|s|/s)>|\[(pad|blank|eos|sos|cls|sep)\]", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class ImageReading:
    """Where the image is and what its bytes are. `shape` and `shape_keys` list sizes as they lie in memory."""

    key: str
    form: str
    wrappers: tuple = ()
    item_type: str = ""
    shape: tuple = ()
    shape_keys: tuple = ()
    axes: str = ""
    channel_order: str = "rgb"
    value_range: tuple = ()
    views: int = 1

    def file(self, record):
        """The bytes of an image file; ValueError says what the record has instead."""
        if self.form == "encoded":
            data = single(self._value(record))
            if self.views == 1 and not self.value_range and self.channel_order == "rgb":
                return data
        return encode(self.picture(record), "png")

    def picture(self, record):
        """A Pillow image."""
        value = self._value(record)
        if self.form == "encoded":
            return self._first_view(self._decoded(single(value)))
        try:
            return self._first_view(picture(*self.numbers(record, value), self.channel_order, self.value_range))
        except ValueError as error:
            raise ValueError(f"key {self.key!r}: {error}") from None

    def numbers(self, record, value=None):
        """(array of numbers, Layout) of an image that is not encoded."""
        value = self._value(record) if value is None else value
        values = np.frombuffer(self._items(single(value)), TYPES[self.item_type]) if isinstance(value, list) else value
        layout = Layout(self._sizes(record, values), self.axes).checked()
        if layout.count != values.size:
            raise ValueError(f"it has {values.size:,} numbers, {layout} takes {layout.count:,}")
        return values, layout

    def _items(self, data):
        if not self.item_type:
            raise ValueError(f"it is a string of {len(data):,} bytes where numbers belong")
        if len(data) % np.dtype(TYPES[self.item_type]).itemsize:
            raise ValueError(f"its {len(data):,} bytes are no whole number of {self.item_type}")
        return data

    def _value(self, record):
        value = _value_of(record, self.key)
        try:
            return unwrap(value, self.wrappers)
        except ValueError as error:
            raise ValueError(f"key {self.key!r}: {error}") from None

    def _sizes(self, record, values):
        if self.shape_keys:
            sizes = np.concatenate([_whole_numbers(_value_of(record, key), key) for key in self.shape_keys])
        else:
            sizes = self.shape or values.shape
        sizes = tuple(int(size) for size in sizes)
        while len(sizes) > len(self.axes) and sizes[0] == 1:
            sizes = sizes[1:]
        if len(sizes) != len(self.axes):
            raise ValueError(f"its shape {sizes} does not fit the axes {self.axes}")
        return sizes

    def _decoded(self, data):
        try:
            image = open_image(data, "it")
            image.load()
        except (DigitwiseError, OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"key {self.key!r}: {error}") from None
        if self.value_range and image.mode.startswith("I"):
            values = np.asarray(image)
            return picture(values, Layout(values.shape, "HW"), "rgb", self.value_range)
        if self.channel_order == "bgr":
            return Image.fromarray(np.ascontiguousarray(np.asarray(in_mode(image, 3))[:, :, ::-1]))
        return image

    def _first_view(self, image):
        if self.views == 1:
            return image
        if image.width % self.views:
            raise ValueError(f"key {self.key!r}: its {image.width} columns are not {self.views} views of one width")
        return image.crop((0, 0, image.width // self.views, image.height))


@dataclasses.dataclass(frozen=True)
class TextReading:
    """Where the code is. Id `first_id` is the first of `charset`; `padding` fills lists up; `order_key` sorts them."""

    form: str
    keys: tuple
    wrappers: tuple = ()
    encoding: str = "utf-8"
    strip: bool = False
    separator: str = ""
    charset: tuple = ()
    first_id: int = 0
    padding: int | None = None
    length_key: str = ""
    order_key: str = ""
    item_type: str = ""
    num_classes: int = 0
    num_digits: int = 0
    pattern: str = ""

    def read(self, record, path):
        """The code; ValueError names the key, what it holds and what is allowed."""
        if self.form == "folder":
            return unicodedata.normalize("NFC", folder_values(path).get(self.keys[0]) or self._no_value(path))
        if self.form == "string":
            text = "".join(self._strings(record))
        elif self.form == "number":
            text = "".join(str(number).zfill(self.num_digits) for number in self.ids(record))
        elif self.form == "file_name":
            text = self._from_name(self._strings(record)[0])
        else:
            text = "".join(self._character(number) for number in self.ids(record))
        return unicodedata.normalize("NFC", text)

    def ids(self, record):
        """The ids of the code's characters."""
        parts = [self._numbers(record, key) for key in self.keys]
        ids = [int(number) for part in parts for number in part]
        if self.order_key:
            ids = _sorted_by(ids, _value_of(record, self.order_key), self.order_key)
        if self.length_key:
            (length,) = _whole_numbers(_value_of(record, self.length_key), self.length_key)
            if not 0 <= length <= len(ids):
                raise ValueError(f"key {self.length_key!r}: it is {length}, and there are {len(ids)} ids")
            ids = ids[:length]
        while self.padding is not None and ids and ids[-1] == self.padding:
            ids.pop()
        return ids

    def _numbers(self, record, key):
        value = self._value(record, key)
        if isinstance(value, list):
            data = single(value)
            if self.separator:
                return _written_numbers(data, self.separator, key)
            if not self.item_type:
                raise ValueError(f"key {key!r}: it is {describe(value)} where numbers belong")
            if len(data) % np.dtype(TYPES[self.item_type]).itemsize:
                raise ValueError(f"key {key!r}: its {len(data):,} bytes are no whole number of {self.item_type}")
            value = np.frombuffer(data, TYPES[self.item_type])
        return _hot_places(value, self.num_classes, key) if self.form == "one_hot" else _whole_numbers(value, key)

    def _value(self, record, key):
        value = _value_of(record, key)
        try:
            return unwrap(value, self.wrappers)
        except ValueError as error:
            raise ValueError(f"key {key!r}: {error}") from None

    def _character(self, number):
        place = number - self.first_id
        character = self.charset[place] if 0 <= place < len(self.charset) else None
        if character is None:
            last = self.first_id + len(self.charset) - 1
            raise ValueError(f"key {self.keys[0]!r}: got id {number}, allowed are {self.first_id} to {last}")
        return "" if _BLANK.fullmatch(character) else character

    def _strings(self, record):
        strings = [self._decoded(item, key) for key in self.keys for item in self._list(record, key)]
        if self.order_key:
            strings = _sorted_by(strings, _value_of(record, self.order_key), self.order_key)
        return strings

    def _list(self, record, key):
        value = self._value(record, key)
        if not isinstance(value, list):
            raise ValueError(f"key {key!r}: it is {describe(value)} where text belongs")
        return value

    def _decoded(self, data, key):
        try:
            text = data.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"key {key!r}: got byte {data[error.start]:#04x}, allowed is {self.encoding} text"
            ) from None
        text = text.strip("\0 \t\r\n") if self.strip else text
        if self.pattern and self.form == "string":
            match = re.search(self.pattern, text)
            if not match:
                raise ValueError(f"key {key!r}: got {text!r}, allowed is what {self.pattern} fits")
            text = match[1]
        return text.replace(self.separator, "") if self.separator else text

    def _from_name(self, name):
        stem = pathlib.PurePosixPath(name.replace("\\", "/")).stem
        match = re.search(self.pattern, stem)
        if not match or not match[1]:
            raise ValueError(f"key {self.keys[0]!r}: no code in the name {stem!r} (looked for {self.pattern})")
        return match[1]

    def _no_value(self, path):
        raise ValueError(f"the path {path} has no folder {self.keys[0]}=...")


@dataclasses.dataclass(frozen=True)
class SchemaMapping:
    """`text` is None for records that are not labelled."""

    image: ImageReading
    text: TextReading | None

    def save(self, path, notes, open_fields=None):
        """`notes` are for the person who reads the file; the program passes over them. What is open, {(image or text,
        field or None for all of it): question}, is written so that `load` refuses it until it is settled."""
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **self.as_json(), "notes": notes}
        for (part, field), question in (open_fields or {}).items():
            if field and isinstance(content[part], dict):
                content[part][field] = {"open": question}
            else:
                content[part] = {"open": question}
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def as_json(self):
        return {"image": _as_json(self.image), "text": _as_json(self.text) if self.text else None}

    @classmethod
    def load(cls, path):
        try:
            content = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise DigitwiseError(f"--mapping={path}: it cannot be read as JSON ({error})") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DigitwiseError(f"--mapping={path}: it is no mapping; --stage=inspect writes one")
        if content.get("format_version") != FORMAT_VERSION:
            raise DigitwiseError(
                f"--mapping={path}: format_version is {content.get('format_version')!r}, allowed is {FORMAT_VERSION}"
            )
        try:
            image = _from_json(ImageReading, content.get("image"), "image")
            text = content.get("text")
            return cls(_checked_image(image), _checked_text(_from_json(TextReading, text, "text")) if text else None)
        except ValueError as error:
            raise DigitwiseError(f"--mapping={path}: {error}") from None


def folder_values(path):
    """{key: value} of the folders key=value in a path, as Spark and Hive name them."""
    found = {}
    for part in pathlib.PurePath(path).parts[:-1]:
        key, equals, value = part.partition("=")
        if equals and key and value and value != NO_VALUE:
            found[key] = urllib.parse.unquote(value)
    return found


def charset_as_json(charset):
    return "".join(charset) if all(character and len(character) == 1 for character in charset) else list(charset)


def _value_of(record, key):
    value = record.values.get(key)
    if value is None:
        raise ValueError(f"key {key!r}: it is {'empty' if key in record.values else 'missing'} in this record")
    return value


def _whole_numbers(value, key):
    if isinstance(value, list):
        raise ValueError(f"key {key!r}: it is {describe(value)} where numbers belong")
    value = value.ravel()
    if value.dtype.kind == "f":
        if not np.isfinite(value).all() or (value != np.rint(value)).any() or np.abs(value).max(initial=0) > 1 << 24:
            raise ValueError(f"key {key!r}: got {value[:4].tolist()}, allowed are whole numbers")
    return value.astype(np.int64)


def _written_numbers(data, separator, key):
    try:
        return [int(part) for part in data[:4096].decode("ascii").split(separator)]
    except ValueError:
        raise ValueError(
            f"key {key!r}: got {data[:40]!r}, allowed are whole numbers with {separator!r} between"
        ) from None


def _hot_places(value, num_classes, key):
    """The place of the 1 in each group of `num_classes` numbers; groups of zeros at the end stand for nothing."""
    if value.size % num_classes:
        raise ValueError(f"key {key!r}: its {value.size} numbers are no groups of {num_classes}")
    groups = value.reshape(-1, num_classes)
    used = len(groups)
    while used and not groups[used - 1].any():
        used -= 1
    groups = groups[:used]
    if ((groups != 0) & (groups != 1)).any() or (groups.sum(axis=1) != 1).any():
        raise ValueError(f"key {key!r}: not each group of {num_classes} numbers has one 1 and else 0")
    return groups.argmax(axis=1)


def _sorted_by(values, places, key):
    if isinstance(places, list) or len(places) != len(values):
        raise ValueError(f"key {key!r}: it has {len(places)} places for {len(values)} characters")
    return [values[number] for number in np.argsort(places, kind="stable")]


def _as_json(reading):
    """Only what is not as it is by default, so that a person sees what matters."""
    content = {}
    for field in dataclasses.fields(reading):
        value = getattr(reading, field.name)
        said = field.default is dataclasses.MISSING or field.name == "channel_order" and reading.form == "pixels"
        if said or value != field.default:
            content[field.name] = charset_as_json(value) if field.name == "charset" else value
    return json.loads(json.dumps(content))


def _from_json(kind, content, where):
    _refuse_open(content, where)
    if not isinstance(content, dict):
        raise ValueError(f"{where} is {content!r}, allowed is an object with a form and its keys")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    values = {}
    for name, value in content.items():
        if name not in fields:
            raise ValueError(f"{where}.{name} is unknown, allowed are {', '.join(fields)}")
        values[name] = _typed(value, fields[name].type, f"{where}.{name}")
    missing = [f.name for f in fields.values() if f.default is dataclasses.MISSING and f.name not in values]
    if missing:
        raise ValueError(f"{where}.{missing[0]} is missing")
    return kind(**values)


def _refuse_open(value, where):
    if isinstance(value, dict) and "open" in value:
        raise ValueError(f"{where} is still open: {value['open']}")


def _typed(value, kind, where):
    _refuse_open(value, where)
    if kind is tuple:
        if isinstance(value, str):
            value = list(value) if where.endswith("charset") else [value]
        if not isinstance(value, list):
            raise ValueError(f"{where} is {value!r}, allowed is a list")
        return tuple(value)
    if kind is float:
        kind = (int, float)
    allowed = typing.get_args(kind) or kind
    if not isinstance(value, allowed) or isinstance(value, bool) and kind is not bool:
        raise ValueError(f"{where} is {value!r}, which is not of the right kind")
    return value


def _checked_image(reading):
    _one_of("image.form", reading.form, IMAGE_FORMS)
    _one_of("image.channel_order", reading.channel_order, CHANNEL_ORDERS)
    _all_of("image.wrappers", reading.wrappers, WRAPPERS)
    _all_strings("image.shape_keys", reading.shape_keys)
    _all_numbers("image.value_range", reading.value_range)
    if reading.value_range and not (len(reading.value_range) == 2 and reading.value_range[0] < reading.value_range[1]):
        raise ValueError(f"image.value_range is {list(reading.value_range)}, allowed are two numbers, the lesser first")
    if not 1 <= reading.views <= 64:
        raise ValueError(f"image.views is {reading.views}, allowed is 1 to 64")
    if reading.form == "pixels":
        _one_of("image.axes", reading.axes, AXES)
        if reading.item_type:
            _one_of("image.item_type", reading.item_type, TYPES)
        if not reading.value_range:
            raise ValueError("image.value_range is missing: pixels need the numbers that black and white have")
        if reading.shape:
            if not all(isinstance(size, int) and size > 0 for size in reading.shape):
                raise ValueError(f"image.shape is {list(reading.shape)}, allowed are whole numbers above 0")
            if len(reading.shape) != len(reading.axes):
                raise ValueError(f"image.shape has {len(reading.shape)} sizes, the axes {reading.axes} take others")
    return reading


def _checked_text(reading):
    _one_of("text.form", reading.form, TEXT_FORMS)
    _one_of("text.encoding", reading.encoding, ENCODINGS)
    _all_of("text.wrappers", reading.wrappers, WRAPPERS)
    _all_strings("text.keys", reading.keys)
    if not reading.keys:
        raise ValueError("text.keys is empty, allowed is at least one key")
    if not all(character is None or isinstance(character, str) for character in reading.charset):
        raise ValueError("text.charset is not a string, nor a list of strings")
    if reading.item_type:
        _one_of("text.item_type", reading.item_type, TYPES)
    if reading.form in ("ids", "one_hot") and not reading.charset:
        raise ValueError("text.charset is missing: ids need the characters that they stand for")
    if not 0 <= reading.num_digits <= 64:
        raise ValueError(f"text.num_digits is {reading.num_digits}, allowed is 0 to 64")
    if reading.form == "one_hot" and reading.num_classes < 2:
        raise ValueError(f"text.num_classes is {reading.num_classes}, allowed is 2 or more")
    if reading.form == "file_name" or reading.pattern:
        try:
            groups = re.compile(reading.pattern).groups
        except re.error as error:
            raise ValueError(f"text.pattern is no regular expression ({error})") from None
        if not groups:
            raise ValueError("text.pattern needs a group that holds the code")
    return reading


def _one_of(where, value, allowed):
    if value not in allowed:
        raise ValueError(f"{where} is {value!r}, allowed are {', '.join(allowed)}")


def _all_of(where, values, allowed):
    for value in values:
        if not isinstance(value, str):
            raise ValueError(f"{where} has {value!r}, allowed are {', '.join(allowed)}")
        _one_of(where, value, allowed)


def _all_strings(where, values):
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{where} is {list(values)}, allowed are names of keys")


def _all_numbers(where, values):
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
        raise ValueError(f"{where} is {list(values)}, allowed are two numbers")
