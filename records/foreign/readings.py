"""How the image and the text of one record are read: what a mapping consists of.

ImageReading("image", "encoded").file(record)               # the bytes of an image file
TextReading("string", ("label",)).read(record, path)        # the code
"""

import dataclasses
import pathlib
import re
import unicodedata
import urllib.parse
from collections.abc import Sequence
from typing import NoReturn, TypeVar

import numpy as np
from PIL import Image

from records.errors import DigitwiseError, printable, quoted
from records.foreign.wrappers import describe, single, unwrap
from records.images.arrays import TYPES, Layout, picture
from records.images.files import encode, in_mode, open_image
from records.tfrecord.example import Array, Record, Value

NO_VALUE = "__HIVE_DEFAULT_PARTITION__"  # what Hive and Spark call the folder of rows without a value
# Entries of a charset, or of a list of characters, that mark the start, the end or nothing at all.
BLANK = re.compile(r"<(pad|nul|null|blank|eos|sos|go|end|start|s|/s)>|\[(pad|blank|eos|sos|cls|sep)\]", re.IGNORECASE)
_MAX_NUMBERS = 4096  # bytes of numbers in writing
_Item = TypeVar("_Item")


@dataclasses.dataclass(frozen=True)
class ImageReading:
    """Where the image is and what its bytes are. `shape` and `shape_keys` list sizes as they lie in memory."""

    key: str
    form: str
    wrappers: tuple[str, ...] = ()
    item_type: str = ""
    shape: tuple[int, ...] = ()
    shape_keys: tuple[str, ...] = ()
    axes: str = ""
    channel_order: str = "rgb"
    value_range: tuple[float, ...] = ()
    views: int = 1

    def file(self, record: Record) -> bytes:
        """The bytes of an image file; ValueError says what the record has instead."""
        if self.form == "encoded":
            data = single(self._value(record))
            # Copied as it is: decoding and encoding would change the pixels of a JPEG.
            if self.views == 1 and not self.value_range and self.channel_order == "rgb":
                return data
        return encode(self.picture(record), "png")

    def picture(self, record: Record) -> Image.Image:
        """A Pillow image."""
        value = self._value(record)
        if self.form == "encoded":
            return self._first_view(self._decoded(single(value)))
        try:
            if not self.value_range:
                raise ValueError("it has numbers, and no value_range says which of them are black and white")
            return self._first_view(picture(*self.numbers(record, value), self.channel_order, self.value_range))
        except ValueError as error:
            raise ValueError(f"key {quoted(self.key)}: {error}") from None

    def numbers(self, record: Record, value: Value | None = None) -> tuple[Array, Layout]:
        """(array of numbers, Layout) of an image that is not encoded."""
        value = self._value(record) if value is None else value
        if isinstance(value, list):
            values: Array = np.frombuffer(self._items(single(value)), TYPES[self.item_type])
        else:
            values = value
        layout = Layout(self._sizes(record, values), self.axes).checked()
        if layout.count != values.size:
            raise ValueError(f"it has {values.size:,} numbers, {layout} takes {layout.count:,}")
        return values, layout

    def _items(self, data: bytes) -> bytes:
        if not self.item_type:
            raise ValueError(f"it is a string of {len(data):,} bytes, expected numbers")
        if len(data) % np.dtype(TYPES[self.item_type]).itemsize:
            raise ValueError(f"its {len(data):,} bytes are not a multiple of {self.item_type}")
        return data

    def _value(self, record: Record) -> Value:
        value = _value_of(record, self.key)
        try:
            return unwrap(value, self.wrappers)
        except ValueError as error:
            raise ValueError(f"key {quoted(self.key)}: {error}") from None

    def _sizes(self, record: Record, values: Array) -> tuple[int, ...]:
        if self.shape_keys:
            listed: Sequence[int] = [n for key in self.shape_keys for n in _whole_numbers(_value_of(record, key), key)]
        else:
            listed = self.shape or values.shape
        sizes = tuple(int(size) for size in listed)
        while len(sizes) > len(self.axes) and sizes[0] == 1:  # an axis for the batch, of one image
            sizes = sizes[1:]
        if len(sizes) != len(self.axes):
            raise ValueError(f"its shape {sizes} does not fit the axes {self.axes}")
        return sizes

    def _decoded(self, data: bytes) -> Image.Image:
        try:
            image = open_image(data, "it")
            image.load()
        except (DigitwiseError, OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"key {quoted(self.key)}: {error}") from None
        # 16 bits, of which a picture may use only a part, such as 10.
        if self.value_range and image.mode.startswith("I"):
            values = np.asarray(image)
            return picture(values, Layout(values.shape, "HW"), "rgb", self.value_range)
        if self.channel_order == "bgr":
            return Image.fromarray(np.ascontiguousarray(np.asarray(in_mode(image, 3))[:, :, ::-1]))
        return image

    def _first_view(self, image: Image.Image) -> Image.Image:
        if self.views == 1:
            return image
        if image.width % self.views:
            raise ValueError(
                f"key {quoted(self.key)}: its {image.width} columns are not {self.views} views of one width"
            )
        return image.crop((0, 0, image.width // self.views, image.height))


@dataclasses.dataclass(frozen=True)
class TextReading:
    """Where the code is.

    Id `first_id` is the first of `charset`. `padding` fills lists up, `order_key` sorts them, and strings in `skip` are
    no characters: "<S>" where a text begins.
    """

    form: str
    keys: tuple[str, ...]
    wrappers: tuple[str, ...] = ()
    encoding: str = "utf-8"
    strip: bool = False
    separator: str = ""
    charset: tuple[str | None, ...] = ()
    first_id: int = 0
    padding: int | None = None
    length_key: str = ""
    order_key: str = ""
    item_type: str = ""
    num_classes: int = 0
    num_digits: int = 0
    pattern: str = ""
    skip: tuple[str, ...] = ()

    def read(self, record: Record, path: str) -> str:
        """The code; ValueError names the key, what it holds and what is allowed."""
        if self.form == "folder":
            text = folder_values(path).get(self.keys[0]) or self._no_value(path)
        elif self.form == "string":
            text = "".join(self._strings(record))
        elif self.form == "number":
            text = "".join(str(number).zfill(self.num_digits) for number in self.ids(record))
        elif self.form == "file_name":
            text = self._from_name(self._strings(record)[0])
        else:
            text = "".join(self._character(number) for number in self.ids(record))
        # As in labels.csv and in alphabets: é is one character, however it was written.
        return unicodedata.normalize("NFC", text)

    def ids(self, record: Record) -> list[int]:
        """The ids of the code's characters."""
        ids = [int(number) for key in self.keys for number in self._numbers(record, key)]
        # First of all: lengths and padding count from the end of the list in reading order.
        if self.order_key:
            ids = _sorted_by(ids, _value_of(record, self.order_key), self.order_key)
        if self.length_key:
            (length,) = _whole_numbers(_value_of(record, self.length_key), self.length_key)
            if not 0 <= length <= len(ids):
                raise ValueError(f"key {quoted(self.length_key)}: it is {length}, and there are {len(ids)} ids")
            ids = ids[:length]
        while self.padding is not None and ids and ids[-1] == self.padding:
            ids.pop()
        return ids

    def _numbers(self, record: Record, key: str) -> Sequence[int] | Array:
        value = self._value(record, key)
        if isinstance(value, list):
            data = single(value)
            if self.separator:
                return _written_numbers(data, self.separator, key)
            if not self.item_type:
                raise ValueError(f"key {quoted(key)}: it is {describe(value)}, expected numbers")
            if len(data) % np.dtype(TYPES[self.item_type]).itemsize:
                raise ValueError(f"key {quoted(key)}: its {len(data):,} bytes are not a multiple of {self.item_type}")
            value = np.frombuffer(data, TYPES[self.item_type])
        return _hot_places(value, self.num_classes, key) if self.form == "one_hot" else _whole_numbers(value, key)

    def _value(self, record: Record, key: str) -> Value:
        value = _value_of(record, key)
        try:
            return unwrap(value, self.wrappers)
        except ValueError as error:
            raise ValueError(f"key {quoted(key)}: {error}") from None

    def _character(self, number: int) -> str:
        place = number - self.first_id
        character = self.charset[place] if 0 <= place < len(self.charset) else None
        if character is None:
            last = self.first_id + len(self.charset) - 1
            raise ValueError(f"key {quoted(self.keys[0])}: got id {number}, expected {self.first_id} to {last}")
        return "" if BLANK.fullmatch(character) else character

    def _strings(self, record: Record) -> list[str]:
        strings = [self._decoded(item, key) for key in self.keys for item in self._list(record, key)]
        if self.order_key:
            strings = _sorted_by(strings, _value_of(record, self.order_key), self.order_key)
        return [string for string in strings if string not in self.skip] if self.skip else strings

    def _list(self, record: Record, key: str) -> list[bytes]:
        value = self._value(record, key)
        if not isinstance(value, list):
            raise ValueError(f"key {quoted(key)}: it is {describe(value)}, expected text")
        return value

    def _decoded(self, data: bytes, key: str) -> str:
        try:
            text = data.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"key {quoted(key)}: got byte {data[error.start]:#04x}, expected {self.encoding} text"
            ) from None
        text = text.strip("\0 \t\r\n") if self.strip else text
        if self.pattern and self.form == "string":
            match = re.search(self.pattern, text)
            if not match or not match[1]:
                raise ValueError(f"key {quoted(key)}: got {quoted(text)}, expected text that {self.pattern} matches")
            text = match[1]
        return text.replace(self.separator, "") if self.separator else text

    def _from_name(self, name: str) -> str:
        stem = pathlib.PurePosixPath(name.replace("\\", "/")).stem
        match = re.search(self.pattern, stem)
        if not match or not match[1]:
            raise ValueError(
                f"key {quoted(self.keys[0])}: no code in the name {quoted(stem)} (looked for {self.pattern})"
            )
        return match[1]

    def _no_value(self, path: str) -> NoReturn:
        raise ValueError(f"the path {path} has no folder {printable(self.keys[0])}=...")


def folder_values(path: str) -> dict[str, str]:
    """{key: value} of the folders key=value in a path, as Spark and Hive name them."""
    found = {}
    for part in pathlib.PurePath(path).parts[:-1]:
        key, equals, value = part.partition("=")
        if equals and key and value and value != NO_VALUE:
            found[key] = urllib.parse.unquote(value)  # Spark escapes / and other characters of a value as %2F
    return found


def _value_of(record: Record, key: str) -> Value:
    value = record.values.get(key)
    if value is None:
        raise ValueError(f"key {quoted(key)}: it is {'empty' if key in record.values else 'missing'} in this record")
    return value


def _whole_numbers(value: Value, key: str) -> Array:
    if isinstance(value, list):
        raise ValueError(f"key {quoted(key)}: it is {describe(value)}, expected numbers")
    numbers = value.ravel()
    # A float of four bytes holds whole numbers up to 2^24 exactly.
    if numbers.dtype.kind == "f" and (
        not np.isfinite(numbers).all()
        or (numbers != np.rint(numbers)).any()
        or np.abs(numbers).max(initial=0) > 1 << 24
    ):
        raise ValueError(f"key {quoted(key)}: got {numbers[:4].tolist()}, expected whole numbers")
    return numbers.astype(np.int64)


def _written_numbers(data: bytes, separator: str, key: str) -> list[int]:
    try:
        return [int(part) for part in data[:_MAX_NUMBERS].decode("ascii").split(separator)]
    except ValueError:
        raise ValueError(
            f"key {quoted(key)}: got {data[:40]!r}, expected whole numbers with {separator!r} between them"
        ) from None


def _hot_places(value: Value, num_classes: int, key: str) -> Array:
    """The place of the 1 in each group of `num_classes` numbers; groups of zeros at the end stand for nothing."""
    if isinstance(value, list):
        raise ValueError(f"key {quoted(key)}: it is {describe(value)}, expected numbers")
    if value.size % num_classes:
        raise ValueError(f"key {quoted(key)}: its {value.size} numbers do not make groups of {num_classes}")
    groups = value.reshape(-1, num_classes)
    # Zeros at the end fill up; a group of zeros between others is an error, and found below.
    used = len(groups)
    while used and not groups[used - 1].any():
        used -= 1
    groups = groups[:used]
    if ((groups != 0) & (groups != 1)).any() or (groups.sum(axis=1) != 1).any():
        raise ValueError(f"key {quoted(key)}: a group of {num_classes} numbers is not one 1 and zeros")
    places: Array = groups.argmax(axis=1)
    return places


def _sorted_by(values: Sequence[_Item], places: Value, key: str) -> list[_Item]:
    if isinstance(places, list) or len(places) != len(values):
        raise ValueError(f"key {quoted(key)}: it has {len(places)} places for {len(values)} characters")
    # Stable, so that boxes at the same place keep the order in which they were written, on every machine.
    return [values[number] for number in np.argsort(places, kind="stable")]
