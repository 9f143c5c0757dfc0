"""Strings that may be the text: short, printable, not the same in every record, and no names of something else."""

import base64
import dataclasses
import re

from records.foreign.mapping import TextReading
from records.foreign.wrappers import unwrap, wrappers_of
from records.probe.findings import TextCandidate, name_speaks
from records.probe.keys import counts_up, order_of_boxes, runs_of_keys, values_by_key

MAX_LENGTH = 64
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")
_FORMATS = {"png", "jpg", "jpeg", "bmp", "gif", "webp", "raw", "rgb", "bgr", "grey", "gray", "grayscale", "l"}
_HASH = re.compile(r"[0-9a-f]{32,}|[0-9A-F]{32,}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BYTES_SHOWN = re.compile(r"""^b['"](.*)['"]$""")
_PARTED_NUMBERS = re.compile(r"\d+(?:[ ,;|]\d+)+")
_JSON = re.compile(r"\{.*\}|\[.*\]", re.DOTALL)
_DATE = re.compile(r"(19|20)\d\d[-/]\d\d[-/]\d\d.*")


def find_strings(sample, finding, taken, wanted=""):
    """([TextCandidate of strings], [TextCandidate of names of files])."""
    found, names = [], []
    for key, values in values_by_key(sample, taken):
        wrappers = wrappers_of(values)
        values = [unwrap(value, wrappers) for value in values]
        if not all(isinstance(value, list) for value in values):
            continue
        encoding = encoding_of([item for value in values for item in value])
        if encoding is None:
            continue
        texts = [[item.decode(encoding) for item in value] for value in values]
        reading = TextReading("string", (key,), wrappers, encoding)
        if any(len(text) > 1 for text in texts):
            candidate = _listed(sample, key, reading, texts, finding)
        else:
            candidate = _single(key, reading, [text[0] for text in texts], finding, names, key == wanted)
        if candidate:
            found.append(candidate)
    return found + _indexed_strings(found, finding), names


def encoding_of(items):
    """utf-8, else latin-1, where that makes printable text of all items."""
    for encoding in ("utf-8", "latin-1"):
        try:
            texts = [item.decode(encoding) for item in items]
        except UnicodeDecodeError:
            if any(_is_wide(item) for item in items):
                return None
            continue
        printable = all(text.strip("\0 \t\r\n").isprintable() for text in texts)
        return encoding if printable and any(texts) else None
    return None


def _is_wide(data):
    """Whether it is UTF-8 with more than ASCII in it: then the others are not latin-1, but damaged."""
    try:
        return not data.decode("utf-8").isascii()
    except UnicodeDecodeError:
        return False


def _single(key, reading, texts, finding, names, is_wanted):
    if any(text != text.strip("\0 \t\r\n") for text in texts):
        reading = dataclasses.replace(reading, strip=True)
        texts = [text.strip("\0 \t\r\n") for text in texts]
    if all(_BYTES_SHOWN.match(text) for text in texts):
        finding.evidence.append(f"{key!r} has its text as Python shows bytes, {texts[0]}")
        reading = dataclasses.replace(reading, pattern=_BYTES_SHOWN.pattern)
        texts = [_BYTES_SHOWN.match(text)[1] for text in texts]
    if _are_base64(texts):
        finding.evidence.append(f"{key!r} has its text in base64: {texts[0]} is {_from_base64(texts[0])}")
        reading = dataclasses.replace(reading, wrappers=(*reading.wrappers, "base64"))
        texts = [_from_base64(text) for text in texts]
    filled = [text for text in texts if text]
    reason = None if is_wanted and filled else why_no_text(filled, name_speaks(key) > 0)
    if reason == "names of files":
        names.append(TextCandidate(key, (key,), dataclasses.replace(reading, form="file_name"), reason, texts=texts))
    elif reason:
        finding.reject(key, reason)
    else:
        return TextCandidate(key, (key,), reading, f"strings such as {filled[0]!r}", texts=texts)
    return None


def _are_base64(texts):
    """Whether all are letters and digits in base64: of eight texts that only look so, some are not."""
    if len(texts) < 8 or not all(text and len(text) % 4 == 0 for text in texts):
        return False
    try:
        return all(_from_base64(text).isalnum() and _from_base64(text).isascii() for text in texts)
    except ValueError:
        return False


def _from_base64(text):
    return base64.b64decode(text, validate=True).decode("ascii")


def why_no_text(texts, is_called_text=False):
    """Why strings are none that pictures show. Numbers in a row count records, unless they are called text."""
    if not texts:
        return "it is empty"
    if len(set(texts)) == 1 and len(texts) > 1:
        return f"it is {texts[0][:40]!r} in every record"
    if all(text.lower().endswith(_ENDINGS) or "/" in text or "\\" in text for text in texts):
        return "names of files"
    if all(text.lower().lstrip(".") in _FORMATS for text in texts):
        return "it names formats"
    if max(map(len, texts)) > MAX_LENGTH:
        return f"its strings have up to {max(map(len, texts))} characters"
    if all(_PARTED_NUMBERS.fullmatch(text) or text.isdigit() for text in texts) and any(
        re.search(r"\d\d", text) and not text.isdigit() for text in texts
    ):
        return "it holds lists of numbers in writing: a mapping with the form ids and a separator reads them"
    if all(_JSON.fullmatch(text) for text in texts):
        return "it holds JSON, which is not looked into"
    if all(_HASH.fullmatch(text) for text in texts):
        return "it holds digests"
    if all(_DATE.fullmatch(text) for text in texts):
        return "it holds dates"
    numbered = not is_called_text and all(re.fullmatch(r"\D*\d+\D*", text) for text in texts)
    if numbered and counts_up([int(re.search(r"\d+", text)[0]) for text in texts]):
        return "its numbers count the records"
    return None


def _listed(sample, key, reading, texts, finding):
    """Lists of characters, in their order or in that of boxes."""
    if any(len(item) != 1 for text in texts for item in text):
        finding.reject(key, "it holds several words a record")
        return None
    if max(map(len, texts)) > MAX_LENGTH:
        finding.reject(key, f"its lists have up to {max(map(len, texts))} characters")
        return None
    order, unknown = order_of_boxes(sample, key)
    if unknown:
        finding.reject(key, unknown)
        return None
    what = f"lists of characters, sorted by {order!r}" if order else "lists of characters"
    reading = dataclasses.replace(reading, order_key=order)
    return TextCandidate(key, (key,), reading, what, texts=["".join(text) for text in texts])


def _indexed_strings(candidates, finding):
    """char0, char1, ... are one text."""
    joined = []
    for keys in runs_of_keys([c.name for c in candidates if c.texts and max(map(len, c.texts)) == 1]):
        parts = [next(c for c in candidates if c.name == key) for key in keys]
        for part in parts:
            candidates.remove(part)
        texts = ["".join(characters) for characters in zip(*(part.texts for part in parts))]
        reading = dataclasses.replace(parts[0].reading, keys=tuple(keys))
        joined.append(
            TextCandidate(keys[0], tuple(keys), reading, f"one character in each of {len(keys)} keys", texts=texts)
        )
    return joined
