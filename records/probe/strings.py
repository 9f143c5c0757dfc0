"""Strings that may be the text: short, printable, not the same in every record, and no names of something else."""

import base64
import dataclasses
import re
from collections.abc import Collection, Sequence

from records.errors import printable, quoted
from records.foreign.readings import BLANK, TextReading
from records.images.files import ENDINGS
from records.probe.findings import Finding, TextCandidate, name_speaks
from records.probe.keys import Keys, counts_up, order_of_boxes, runs_of_keys

TextFinding = Finding[TextReading]
MAX_LENGTH = 64  # as pipeline.values.MAX_CODE_LENGTH, which this layer cannot import
_ENDINGS = (*ENDINGS, ".tif", ".tiff", ".ppm")
_FORMATS = {"png", "jpg", "jpeg", "bmp", "gif", "webp", "raw", "rgb", "bgr", "grey", "gray", "grayscale", "l"}
# MD5 and longer digests in one case, and UUIDs
_HASH = re.compile(r"[0-9a-f]{32,}|[0-9A-F]{32,}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BYTES_SHOWN = re.compile(r"""^b['"](.*)['"]$""")  # str(b"4071") by mistake, which Python 3 turns into b'4071'
_PARTED_NUMBERS = re.compile(r"\d+(?:[ ,;|]\d+)+")
_JSON = re.compile(r"\{.*\}|\[.*\]", re.DOTALL)
_DATE = re.compile(r"(19|20)\d\d[-/]\d\d[-/]\d\d.*")


def find_strings(
    keys: Keys, finding: TextFinding, taken: Collection[str], wanted: str = ""
) -> tuple[list[TextCandidate], list[TextCandidate]]:
    """([TextCandidate of strings], [TextCandidate of names of files])."""
    found: list[TextCandidate] = []
    names: list[TextCandidate] = []
    for key in keys.beside(taken):
        unwrapped = keys.unwrapped(key)
        if unwrapped is None:
            finding.reject(key, keys.why_too_large)
            continue
        wrappers, values = unwrapped
        lists = [value for value in values if isinstance(value, list) and value]
        encoding = encoding_of([item for value in lists for item in value])
        if encoding is None or len(lists) < len(values):
            continue
        texts = [[item.decode(encoding) for item in value] for value in lists]
        reading = TextReading("string", (key,), wrappers, encoding)
        if any(len(text) > 1 for text in texts):
            candidate = _listed(keys, reading, texts, finding)
        else:
            candidate = _single(key, reading, [text[0] for text in texts], finding, names, key == wanted)
        if candidate:
            found.append(candidate)
    return _with_runs_joined(found), names


def encoding_of(items: Sequence[bytes]) -> str | None:
    """utf-8, else latin-1, where that makes printable text of all items."""
    # In this order: any bytes are Latin-1, while other text is hardly ever valid UTF-8 by accident.
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


def _is_wide(data: bytes) -> bool:
    """Whether it is UTF-8 with more than ASCII in it: then the others are not latin-1, but damaged."""
    try:
        return not data.decode("utf-8").isascii()
    except UnicodeDecodeError:
        return False


def _single(
    key: str, reading: TextReading, texts: list[str], finding: TextFinding, names: list[TextCandidate], is_wanted: bool
) -> TextCandidate | None:
    if any(text != text.strip("\0 \t\r\n") for text in texts):
        reading = dataclasses.replace(reading, strip=True)
        texts = [text.strip("\0 \t\r\n") for text in texts]
    if all(_BYTES_SHOWN.match(text) for text in texts):
        finding.evidence.append(f"{quoted(key)} has its text as Python shows bytes, {printable(texts[0])}")
        reading = dataclasses.replace(reading, pattern=_BYTES_SHOWN.pattern)
        texts = [_BYTES_SHOWN.sub(r"\1", text) for text in texts]
    # Here and not among the wrappers, which leave short strings alone.
    if _are_base64(texts):
        finding.evidence.append(
            f"{quoted(key)} has its text in base64: {printable(texts[0])} is {_from_base64(texts[0])}"
        )
        reading = dataclasses.replace(reading, wrappers=(*reading.wrappers, "base64"))
        texts = [_from_base64(text) for text in texts]
    filled = [text for text in texts if text]
    reason = None if is_wanted and filled else why_no_text(filled, name_speaks(key) > 0)
    if reason == "names of files":
        names.append(TextCandidate(key, (key,), dataclasses.replace(reading, form="file_name"), reason, texts=texts))
    elif reason:
        finding.reject(key, reason)
    else:
        return TextCandidate(key, (key,), reading, f"strings such as {quoted(filled[0])}", texts=texts)
    return None


def _are_base64(texts: Sequence[str]) -> bool:
    """Whether all are letters and digits in base64: of eight texts that only look so, some are not."""
    if len(texts) < 8 or not all(text and len(text) % 4 == 0 for text in texts):
        return False
    try:
        return all(_from_base64(text).isalnum() and _from_base64(text).isascii() for text in texts)
    except ValueError:
        return False


def _from_base64(text: str) -> str:
    return base64.b64decode(text, validate=True).decode("ascii")


def why_no_text(texts: Sequence[str], is_called_text: bool = False) -> str | None:
    """Why strings are none that pictures show. Numbers in a row count records, unless they are called text."""
    if not texts:
        return "it is empty"
    if len(set(texts)) == 1 and len(texts) > 1:
        return f"it is {quoted(texts[0], 40)} in every record"
    # Before the length is judged: paths are long, and may still hold the code in their names.
    if all(text.lower().endswith(_ENDINGS) or "/" in text or "\\" in text for text in texts):
        return "names of files"
    if all(text.lower().lstrip(".") in _FORMATS for text in texts):
        return "it names image formats"
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
    if numbered and counts_up([int(re.sub(r"\D", "", text)) for text in texts]):
        return "it numbers the records"
    return None


def _listed(keys: Keys, reading: TextReading, texts: list[list[str]], finding: TextFinding) -> TextCandidate | None:
    """Lists of characters, in their order or in that of boxes; tokens such as <S> and </S> are not characters."""
    (key,) = reading.keys
    tokens = sorted({item for text in texts for item in text if BLANK.fullmatch(item)})
    texts = [[item for item in text if item not in tokens] for text in texts]
    if any(len(item) != 1 for text in texts for item in text):
        finding.reject(key, "it holds several words a record")
        return None
    if max(map(len, texts)) > MAX_LENGTH:
        finding.reject(key, f"its lists have up to {max(map(len, texts))} characters")
        return None
    order, unknown = order_of_boxes(keys.sample, key)
    if unknown:
        finding.reject(key, unknown)
        return None
    what = f"lists of characters, sorted by {quoted(order)}" if order else "lists of characters"
    if tokens:
        what += f", without {' '.join(tokens)}"
    reading = dataclasses.replace(reading, order_key=order, skip=tuple(tokens))
    return TextCandidate(key, (key,), reading, what, texts=["".join(text) for text in texts])


def _with_runs_joined(candidates: list[TextCandidate]) -> list[TextCandidate]:
    """The candidates with char0, char1, ... as one text."""
    by_name = {c.name: c for c in candidates}
    joined = []
    # Only keys with one character each: text1 and text2 may be two texts.
    for run in runs_of_keys([c.name for c in candidates if c.texts and max(map(len, c.texts)) == 1]):
        parts = [by_name.pop(key) for key in run]
        # Keys that some records lack give lists of different lengths; only the records that have all are compared.
        texts = ["".join(characters) for characters in zip(*(part.texts or [] for part in parts), strict=False)]
        reading = dataclasses.replace(parts[0].reading, keys=tuple(run))
        what = f"one character in each of {len(run)} keys"
        joined.append(TextCandidate(run[0], tuple(run), reading, what, texts=texts))
    return [*by_name.values(), *joined]
