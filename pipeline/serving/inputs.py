"""What clients send, parsed: images in JSON, and the REST form of TensorFlow Serving.

images_of(parse_object(body))                    # of POST /read
Prediction.parse(parse_object(body), metadata)   # of POST /v1/models/digitwise:predict
"""

import base64
import binascii
import dataclasses
import json
from typing import Any

import numpy as np

from digitwise.images import Pixels, Source
from digitwise.metadata import ModelMetadata
from pipeline.serving.limits import MAX_IMAGES
from pipeline.serving.refusals import Refused

FILES, PIXELS = "serving_default", "pixels"  # the signatures, as an exported SavedModel has them
_INPUTS = {FILES: "files", PIXELS: "images"}


def parse_object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON ({str(error)[:100] or type(error).__name__})") from None
    if not isinstance(content, dict):
        raise Refused(400, f"the body is {_kind(content)}, expected an object")
    return content


def images_of(content: dict[str, Any]) -> list[bytes]:
    """Of {"images": [{"b64": ...}, ...]}."""
    return [_file(entry, f"images[{number}]") for number, entry in enumerate(_entries(content.get("images"), "images"))]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A request in TensorFlow Serving's form; `by_column` says that one list an output is asked for."""

    images: tuple[Source, ...]
    by_column: bool

    @classmethod
    def parse(cls, content: dict[str, Any], metadata: ModelMetadata) -> "Prediction":
        signature = content.get("signature_name", FILES)
        if not isinstance(signature, str) or signature not in _INPUTS:
            raise Refused(400, f"signature_name must be one of {', '.join(_INPUTS)}, not {str(signature)[:60]!r}")
        given = [name for name in ("instances", "inputs") if name in content]
        if len(given) != 1:
            raise Refused(400, f"the body has {' and '.join(given) or 'no images'}: need either instances or inputs")
        by_column = given == ["inputs"]
        name = _INPUTS[signature]
        entries = content[given[0]]
        if by_column and isinstance(entries, dict) and set(entries) == {name}:
            entries = entries[name]
        parsed: list[Source] = []
        for number, entry in enumerate(_entries(entries, given[0])):
            where = f"{given[0]}[{number}]"
            if isinstance(entry, dict) and set(entry) == {name}:
                entry = entry[name]
            parsed.append(_file(entry, where) if signature == FILES else _pixels(entry, where, metadata))
        return cls(tuple(parsed), by_column)


def _entries(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise Refused(400, f"{name} must be a list of images, not {_kind(value)}")
    if len(value) > MAX_IMAGES:
        raise Refused(413, f"{name} has {len(value):,} images; one request may have {MAX_IMAGES}")
    return value


def _file(entry: Any, where: str) -> bytes:
    text = entry.get("b64") if isinstance(entry, dict) else None
    if not isinstance(text, str):
        raise Refused(400, f'{where} is {_kind(entry)}: need {{"b64": the bytes of an image file in base64}}')
    try:
        return base64.b64decode(text, validate=True)  # validate: without it characters that are no base64 are skipped
    except (binascii.Error, ValueError) as error:
        raise Refused(400, f"{where} is not base64 ({error})") from None


def _pixels(entry: Any, where: str, metadata: ModelMetadata) -> Pixels:
    shape = (metadata.shape.height, metadata.shape.width, metadata.shape.channels)
    wanted = f"need whole numbers from 0 to 255 as [{', '.join(map(str, shape))}]"
    try:
        values = np.asarray(entry)
    except (ValueError, OverflowError, RecursionError):
        raise Refused(400, f"{where} has rows of different lengths: {wanted}") from None
    # Floats are refused, even whole ones: pixels from 0 to 1 would otherwise be read as black.
    if values.shape != shape or values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
        raise Refused(400, f"{where} is {values.dtype} {list(values.shape)}: {wanted}")
    return values.astype(np.uint8)


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return f"{names[type(value)]}{'' if value or not isinstance(value, (dict, list)) else ' with nothing in it'}"
