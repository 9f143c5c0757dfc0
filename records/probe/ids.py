"""Numbers that may be the ids of characters: in indexed keys, lists, one-hot, raw bytes, filled up or not."""

import dataclasses

import numpy as np

from records.foreign.mapping import TextReading
from records.foreign.wrappers import unwrap, wrappers_of
from records.probe.findings import NAMES_OF_OTHERS, NAMES_OF_TEXT, TextCandidate, words_of
from records.probe.keys import counts_up, order_of_boxes, runs_of_keys, values_by_key
from records.probe.strings import MAX_LENGTH, encoding_of

_MOST_ID = 100_000
_MOST_NUMBER = 10**12  # One number may be a whole code.


def find_ids(sample, finding, taken, answers):
    """[TextCandidate of ids, their characters yet to be found]."""
    values = {}
    for key, of_key in values_by_key(sample, taken):
        value = _as_arrays(key, of_key)
        if value:
            values[key] = value
    found = []
    for keys in list(runs_of_keys([key for key, (_, _, arrays) in values.items() if all(a.size == 1 for a in arrays)])):
        complete = {len(values[key][2]) for key in keys}
        if len(complete) == 1 and _are_ids([a for key in keys for a in values[key][2]]):
            ids = [[int(a.ravel()[0]) for a in row] for row in zip(*(values[key][2] for key in keys))]
            wrappers, item_type, _ = values[keys[0]]
            reading = TextReading("ids", tuple(keys), wrappers, item_type=item_type)
            found.append(TextCandidate(keys[0], tuple(keys), reading, f"an id in each of {len(keys)} keys", ids=ids))
            for key in keys:
                del values[key]
    for key, (wrappers, item_type, arrays) in values.items():
        candidate = _of_array(sample, key, wrappers, item_type, arrays, finding, key == answers.text_key)
        if candidate:
            found.append(candidate)
    return [_without_padding(c, values, answers, finding) for c in found]


def _as_arrays(key, values):
    """(wrappers, item type, arrays) of a key with numbers, in a list, a tensor, or raw bytes; None of any other."""
    wrappers = wrappers_of(values)
    try:
        values = [unwrap(value, wrappers) for value in values]
    except ValueError:
        return None
    if all(isinstance(value, np.ndarray) for value in values):
        return wrappers, "", [value.ravel() for value in values]
    if not all(isinstance(value, list) and len(value) == 1 for value in values):
        return None
    data = [value[0] for value in values]
    if (
        encoding_of(data)
        and not all(set(item) <= {0, 1} for item in data)
        or max(map(len, data)) > 8 * 100 * MAX_LENGTH
    ):
        return None
    for name, size in (("float64", 8), ("int64", 8), ("float32", 4), ("int32", 4), ("uint8", 1)):
        if all(item and len(item) % size == 0 for item in data):
            arrays = [
                np.frombuffer(
                    item, {"float64": "<f8", "int64": "<i8", "float32": "<f4", "int32": "<i4"}.get(name, "u1")
                )
                for item in data
            ]
            if (_are_ids(arrays) or _hot_width(arrays)) and (size == 1 or any(a.any() for a in arrays)):
                return wrappers, name, arrays
    return None


def _are_ids(arrays, most=_MOST_ID):
    """Whole numbers that can be places in a table of characters, or -1 to fill up."""
    for values in arrays:
        if values.dtype.kind == "f" and (not np.isfinite(values).all() or (values != np.rint(values)).any()):
            return False
        if values.size and (values.min() < -1 or values.max() > most):
            return False
    return True


def _hot_width(arrays):
    """How many classes one-hot numbers have, or 0: each group has one 1, and groups of zeros only at the end."""
    sizes = {array.size for array in arrays}
    if len(sizes) != 1 or not all(((array == 0) | (array == 1)).all() for array in arrays):
        return 0
    (size,) = sizes
    ones = max(int(array.sum()) for array in arrays)
    if not ones or size < 4:
        return 0
    widths = [size // ones] if size % ones == 0 else []
    return next((width for width in widths if width >= 4 and all(_is_hot(array, width) for array in arrays)), 0)


def _is_hot(array, width):
    sums = array.reshape(-1, width).sum(axis=1)
    used = int(sums.sum())
    return (sums[:used] == 1).all() and not sums[used:].any()


def _of_array(sample, key, wrappers, item_type, arrays, finding, is_wanted):
    width = _hot_width(arrays)
    if width:
        ids = [array.reshape(-1, width)[: int(array.sum())].argmax(axis=1).tolist() for array in arrays]
        reading = TextReading("one_hot", (key,), wrappers, item_type=item_type, num_classes=width)
        return TextCandidate(key, (key,), reading, f"one 1 in each group of {width} numbers", ids=ids)
    reason = _why_no_ids(key, arrays, is_wanted)
    if reason:
        finding.reject(key, reason)
        return None
    order, unknown = order_of_boxes(sample, key)
    if unknown:
        finding.reject(key, unknown)
        return None
    kind = "floats, all whole" if arrays[0].dtype.kind == "f" else "ids"
    listed = max(array.size for array in arrays) > 1
    what = f"a list of {kind}" + (f", sorted by {order!r}" if order else "") if listed else f"one number ({kind})"
    reading = TextReading("ids", (key,), wrappers, item_type=item_type, order_key=order)
    return TextCandidate(key, (key,), reading, what, ids=[[int(number) for number in array] for array in arrays])


def _why_no_ids(key, arrays, is_wanted):
    if not _are_ids(arrays, _MOST_NUMBER if max(array.size for array in arrays) == 1 else _MOST_ID):
        return "its numbers are no ids"
    if max(array.size for array in arrays) > 4 * MAX_LENGTH:
        return f"its lists have up to {max(array.size for array in arrays)} numbers"
    if is_wanted:
        return None
    if len({array.tobytes() for array in arrays}) == 1 and len(arrays) > 1:
        return f"it is {', '.join(f'{n:g}' for n in arrays[0][:4].tolist())} in every record"
    words = set(words_of(key))
    if words & NAMES_OF_OTHERS and not words & NAMES_OF_TEXT:
        return "it is named as what stands beside a text"
    if max(array.size for array in arrays) == 1:
        if not words & NAMES_OF_TEXT and counts_up([int(array[0]) for array in arrays if array.size]):
            return "its numbers count the records"
    return None


def _without_padding(candidate, values, answers, finding):
    """With the key of the length, or with the id that fills lists up."""
    if candidate.reading.form == "one_hot" or max(map(len, candidate.ids)) < 2:
        return candidate
    if answers.padding:
        if answers.padding == "none":
            return candidate
        return _cut(candidate, int(answers.padding))
    for key, (_, _, arrays) in values.items():
        if key not in candidate.keys and len(arrays) == len(candidate.ids) and all(a.size == 1 for a in arrays):
            lengths = [int(array[0]) for array in arrays]
            if (
                len(set(lengths)) > 1
                and all(0 < n <= len(ids) and len(set(ids[n:])) <= 1 for n, ids in zip(lengths, candidate.ids))
                and any(n < len(ids) for n, ids in zip(lengths, candidate.ids))
            ):
                reading = dataclasses.replace(candidate.reading, length_key=key)
                ids = [ids[:n] for n, ids in zip(lengths, candidate.ids)]
                finding.reject(key, f"it is the length of {candidate.name!r}")
                return dataclasses.replace(
                    candidate, reading=reading, ids=ids, what=f"{candidate.what}, as many as {key!r} says"
                )
    return _guess_padding(candidate, finding)


def _guess_padding(candidate, finding):
    if len({len(ids) for ids in candidate.ids}) > 1:
        return candidate
    runs = {}
    for value in {ids[-1] for ids in candidate.ids}:
        kept = [_stripped(ids, value) for ids in candidate.ids]
        if not any(value in ids for ids in kept) and len({len(ids) for ids in kept}) > 1:
            runs[value] = kept
    for value, kept in sorted(runs.items()):
        others = [number for ids in kept for number in ids]
        if not others:
            continue
        if value < 0 or value > max(others) and (value > 9 or value > max(others) + 1):
            return _cut(candidate, value)
        if len(others) >= 20 * (len(set(others)) + 1):
            return _cut(candidate, value)
        if value in (0, max(others)) or value > max(others):
            cut = _cut(candidate, value)
            finding.ask(
                "--padding",
                f"id {value} is only at the end of the lists of {candidate.name!r}: it fills them up or is a character",
                [(value, cut.reading), ("none", candidate.reading)],
            )
            return cut
    return candidate


def _cut(candidate, padding):
    reading = dataclasses.replace(candidate.reading, padding=padding)
    ids = [_stripped(ids, padding) for ids in candidate.ids]
    return dataclasses.replace(candidate, reading=reading, ids=ids, what=f"{candidate.what}, filled up with {padding}")


def _stripped(ids, value):
    end = len(ids)
    while end and ids[end - 1] == value:
        end -= 1
    return ids[:end]
