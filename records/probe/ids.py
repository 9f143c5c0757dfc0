"""Numbers that may be the ids of characters: in indexed keys, lists, one-hot, raw bytes, filled up or not."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from records.errors import quoted
from records.foreign.readings import TextReading
from records.foreign.wrappers import unread_format
from records.images.arrays import TYPES
from records.probe.findings import NAMES_OF_OTHERS, NAMES_OF_TEXT, Answers, TextCandidate, words_of
from records.probe.keys import Keys, counts_up, order_of_boxes, runs_of_keys
from records.probe.strings import MAX_LENGTH, TextFinding, encoding_of
from records.tfrecord.example import Array

_MAX_ID = 100_000  # more characters than any script has; larger numbers are measurements or times
_MAX_NUMBER = 10**12  # one number may be a whole code
_MAX_BYTES = 8 * 100 * MAX_LENGTH  # of one-hot floats for the longest code in a hundred classes
# Types of labels in raw bytes, the widest first: bytes that fit a wide type fit all narrower ones.
_LABEL_TYPES = ("float64", "int64", "float32", "int32", "uint8")
_MAX_LISTED = 4 * MAX_LENGTH  # ids: a list may be filled up


class _Numbers(NamedTuple):
    """The values of a key as numbers; `item_type` is empty where they were no raw bytes."""

    wrappers: tuple[str, ...]
    item_type: str
    arrays: list[Array]


def find_ids(keys: Keys, finding: TextFinding, taken: Collection[str], answers: Answers) -> list[TextCandidate]:
    """[TextCandidate of ids, their characters yet to be found]."""
    values = {key: numbers for key in keys.beside(taken) if (numbers := _as_numbers(key, keys, finding))}
    found = []
    for run in list(runs_of_keys([key for key, (_, _, arrays) in values.items() if all(a.size == 1 for a in arrays)])):
        complete = {len(values[key].arrays) for key in run}
        if len(complete) == 1 and _are_ids([a for key in run for a in values[key].arrays]):
            rows = zip(*(values[key].arrays for key in run), strict=True)
            ids = [[int(array.ravel()[0]) for array in row] for row in rows]
            wrappers, item_type, _ = values[run[0]]
            reading = TextReading("ids", tuple(run), wrappers, item_type=item_type)
            found.append(TextCandidate(run[0], tuple(run), reading, f"an id in each of {len(run)} keys", ids=ids))
            for key in run:  # a key of a run is not a text by itself
                del values[key]
    for key, numbers in values.items():
        candidate = _of_numbers(keys, key, numbers, finding, key == answers.text_key)
        if candidate:
            found.append(candidate)
    return [_without_padding(c, values, answers, finding) for c in found]


def _as_numbers(key: str, keys: Keys, finding: TextFinding) -> _Numbers | None:
    """The numbers of a key, in a list, a tensor, or raw bytes; None of any other."""
    unwrapped = keys.unwrapped(key)
    if unwrapped is None:
        finding.reject(key, keys.why_too_large)
        return None
    wrappers, values = unwrapped
    arrays = [value.ravel() for value in values if isinstance(value, np.ndarray)]
    if len(arrays) == len(values):
        return _Numbers(wrappers, "", arrays)
    data = [value[0] for value in values if isinstance(value, list) and len(value) == 1]
    if len(data) < len(values) or max(map(len, data)) > _MAX_BYTES:
        return None
    other = unread_format(data)
    if other:
        finding.reject(key, f"it holds {other}")
        return None
    # Bytes that are text are text, but for those that are all 0 and 1.
    if encoding_of(data) and not all(set(item) <= {0, 1} for item in data):
        return None
    return _from_bytes(wrappers, data)


def _from_bytes(wrappers: tuple[str, ...], data: Sequence[bytes]) -> _Numbers | None:
    for name in _LABEL_TYPES:
        size = np.dtype(TYPES[name]).itemsize
        if all(item and len(item) % size == 0 for item in data):
            arrays = [np.frombuffer(item, TYPES[name]) for item in data]
            # Zeros fit every width, so all-zero bytes count only as bytes.
            if (_are_ids(arrays) or _hot_width(arrays)) and (size == 1 or any(a.any() for a in arrays)):
                return _Numbers(wrappers, name, arrays)
    return None


def _are_ids(arrays: Sequence[Array], max_id: int = _MAX_ID) -> bool:
    """Whole numbers that can be places in a table of characters, or -1 to fill up."""
    for values in arrays:
        if values.dtype.kind == "f" and (not np.isfinite(values).all() or (values != np.rint(values)).any()):
            return False
        if values.size and (values.min() < -1 or values.max() > max_id):
            return False
    return True


def _hot_width(arrays: Sequence[Array]) -> int:
    """How many classes one-hot numbers have, or 0: each group has one 1, and groups of zeros only at the end."""
    sizes = {array.size for array in arrays}
    if len(sizes) != 1 or not all(((array == 0) | (array == 1)).all() for array in arrays):
        return 0
    (size,) = sizes
    # The longest code of the sample is taken to fill all groups; shorter ones end in groups of zeros.
    ones = max(int(array.sum()) for array in arrays)
    if not ones or size < 4:
        return 0
    widths = [size // ones] if size % ones == 0 else []
    return next((width for width in widths if width >= 4 and all(_is_hot(array, width) for array in arrays)), 0)


def _is_hot(array: Array, width: int) -> bool:
    sums = array.reshape(-1, width).sum(axis=1)
    used = int(sums.sum())
    # Each of the first groups has its one 1, and the rest none.
    return (sums[:used] == 1).all() and not sums[used:].any()


def _of_numbers(keys: Keys, key: str, numbers: _Numbers, finding: TextFinding, is_wanted: bool) -> TextCandidate | None:
    wrappers, item_type, arrays = numbers
    width = _hot_width(arrays)
    if width:
        ids = [array.reshape(-1, width)[: int(array.sum())].argmax(axis=1).tolist() for array in arrays]
        reading = TextReading("one_hot", (key,), wrappers, item_type=item_type, num_classes=width)
        return TextCandidate(key, (key,), reading, f"one 1 in each group of {width} numbers", ids=ids)
    reason = _why_no_ids(key, arrays, is_wanted)
    if reason:
        finding.reject(key, reason)
        return None
    order, unknown = order_of_boxes(keys.sample, key)
    if unknown:
        finding.reject(key, unknown)
        return None
    kind = "floats, all whole" if arrays[0].dtype.kind == "f" else "ids"
    what = f"one number ({kind})"
    if max(array.size for array in arrays) > 1:
        what = f"a list of {kind}" + (f", sorted by {quoted(order)}" if order else "")
    reading = TextReading("ids", (key,), wrappers, item_type=item_type, order_key=order)
    return TextCandidate(key, (key,), reading, what, ids=[[int(number) for number in array] for array in arrays])


def _why_no_ids(key: str, arrays: Sequence[Array], is_wanted: bool) -> str | None:
    longest = max(array.size for array in arrays)
    if not _are_ids(arrays, _MAX_NUMBER if longest == 1 else _MAX_ID):
        return "its numbers are not ids"
    if longest > _MAX_LISTED:
        return f"its lists have up to {longest} numbers"
    if is_wanted:
        return None
    if len({array.tobytes() for array in arrays}) == 1 and len(arrays) > 1:
        return f"it is {', '.join(f'{n:g}' for n in arrays[0][:4].tolist())} in every record"
    words = set(words_of(key))
    if words & NAMES_OF_OTHERS and not words & NAMES_OF_TEXT:
        return "its name says that it is not the text"
    is_text = bool(words & NAMES_OF_TEXT)
    # Codes in alphabetical order may count up too, but then their key is called label or text.
    if longest == 1 and not is_text and counts_up([int(array[0]) for array in arrays if array.size]):
        return "it numbers the records"
    return None


def _without_padding(
    candidate: TextCandidate, values: Mapping[str, _Numbers], answers: Answers, finding: TextFinding
) -> TextCandidate:
    """With the key of the length, or with the id that fills lists up."""
    rows = candidate.ids or []
    if candidate.reading.form == "one_hot" or max(map(len, rows)) < 2 or answers.padding == "none":
        return candidate
    if answers.padding:
        return _cut(candidate, int(answers.padding))
    for key, (_, _, arrays) in values.items():
        if key in candidate.keys or len(arrays) != len(rows) or any(array.size != 1 for array in arrays):
            continue
        lengths = [int(array[0]) for array in arrays]
        if _are_lengths(lengths, rows):
            reading = dataclasses.replace(candidate.reading, length_key=key)
            ids = [row[:n] for n, row in zip(lengths, rows, strict=True)]
            finding.reject(key, f"it is the length of {quoted(candidate.name)}")
            what = f"{candidate.what}, as many as {quoted(key)} says"
            return dataclasses.replace(candidate, reading=reading, ids=ids, what=what)
    return _guess_padding(candidate, finding)


def _are_lengths(lengths: Sequence[int], rows: Sequence[Sequence[int]]) -> bool:
    """Whether each row has one value only after so many ids, and some row has any."""
    pairs = list(zip(lengths, rows, strict=True))
    # What is behind the length is filling only if it is one value throughout.
    fit = all(0 < n <= len(row) and len(set(row[n:])) <= 1 for n, row in pairs)
    # A length that never varies, or that always is the list's own, proves nothing.
    return len(set(lengths)) > 1 and fit and any(n < len(row) for n, row in pairs)


def _guess_padding(candidate: TextCandidate, finding: TextFinding) -> TextCandidate:
    rows = candidate.ids or []
    if len({len(row) for row in rows}) > 1:  # lists of several lengths are not filled up
        return candidate
    runs: dict[int, list[list[int]]] = {}
    for value in {row[-1] for row in rows}:
        kept = [_stripped(row, value) for row in rows]
        # Only at the end, of some lists or of all.
        if not any(value in row for row in kept):
            runs[value] = kept
    for value, kept in sorted(runs.items()):
        others = [number for row in kept for number in row]
        if not others:
            continue
        varies = len({len(row) for row in kept}) > 1
        # An id that no table of characters would have, or one that would be very rare inside codes by chance alone.
        if value < 0 or (value > max(others) and (value > 9 or value > max(others) + 1)):
            return _cut(candidate, value)
        # A character of k that is as frequent as the others misses 20 k places with a probability of e^-20. At the end
        # of every code it may be one that all of them have.
        if varies and len(others) >= 20 * (len(set(others)) + 1):
            return _cut(candidate, value)
        if value in (0, max(others)) or value > max(others):
            cut = _cut(candidate, value)
            name = quoted(candidate.name)
            text = f"id {value} is only at the end of the lists of {name}: it is padding or a character"
            finding.ask("--padding", candidate.name, text, [(value, cut.reading), ("none", candidate.reading)])
            return cut
    return candidate


def _cut(candidate: TextCandidate, padding: int) -> TextCandidate:
    reading = dataclasses.replace(candidate.reading, padding=padding)
    ids = [_stripped(row, padding) for row in candidate.ids or []]
    return dataclasses.replace(candidate, reading=reading, ids=ids, what=f"{candidate.what}, padded with {padding}")


def _stripped(ids: list[int], value: int) -> list[int]:
    end = len(ids)
    while end and ids[end - 1] == value:
        end -= 1
    return ids[:end]
