"""Which key holds the image, and what it is: an image file, or numbers.

Nothing here is settled by habit: where the sample does not tell, both readings become the options of a question.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from records.errors import DigitwiseError, printable, quoted
from records.foreign.readings import ImageReading
from records.foreign.sample import Sampled
from records.foreign.wrappers import single, unread_format
from records.images.files import open_image
from records.probe.candidate import ARRAY, ENCODED, NUMBERS, RAW, Candidate
from records.probe.findings import NAMES_OF_IMAGES, Answers, Finding, words_of
from records.probe.keys import Keys, compared
from records.probe.pixels import SIDES, read_pixels
from records.probe.tables import Feature
from records.probe.values import with_range
from records.tfrecord.example import Array

ImageFinding = Finding[ImageReading]
_MIN_NUMBERS = 64  # 8 x 8, the smallest image
_SAMPLED = 24
_ENCODED_SHARE = 0.9  # of the values: a few may be damaged
_MAX_VIEWS, _USUAL_VIEWS = 8, 4  # four is what FSNS has, the best known such records
_DEEP_SAMPLED = 8
# How image files begin. WebP begins as any RIFF file does, so its name follows only at byte 8.
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM")


def find_image(keys: Keys, features: Mapping[str, Feature], answers: Answers) -> ImageFinding:
    """The Finding of an ImageReading."""
    finding = ImageFinding()
    candidates = _candidates(keys, answers, finding)
    if not candidates:
        return finding
    best = [c for c in candidates if c.rank == candidates[0].rank]
    # Keys with another kind of image count only if they are called so: raw bytes may be anything.
    rivals = [c for c in candidates if c.rank != best[0].rank and set(words_of(c.key)) & NAMES_OF_IMAGES]
    plausible = best + rivals
    for other in candidates:
        if other not in plausible:
            finding.reject(other.key, f"{other.what}, and {quoted(best[0].key)} is {best[0].what}")
    readings = []
    for candidate in plausible:
        # What is found out about rivals is not evidence for the best, so it goes into a finding that nobody reads.
        reading = _read(candidate, keys, features, answers, finding if candidate is best[0] else ImageFinding())
        if reading:
            readings.append((candidate.key, reading))
        else:
            finding.reject(candidate.key, f"{candidate.what}, of no shape that an image has")
    if not readings:
        return finding
    finding.reading = readings[0][1]
    if len(readings) > 1:
        named = " and ".join(quoted(key) for key, _ in readings)
        finding.ask("--image_key", readings[0][0], f"{named} could each be the image", readings)
    return finding


def shape_keys_of(reading: ImageReading | None) -> set[str]:
    """Keys that describe the image, which are not labels."""
    return set(reading.shape_keys) | {reading.key} if reading else set()


def _candidates(keys: Keys, answers: Answers, finding: ImageFinding) -> list[Candidate]:
    """Keys that can hold an image, the likeliest kind first."""
    if answers.image_key and answers.image_key not in keys.names:
        raise DigitwiseError(
            f"--image_key={answers.image_key}: there is no such key; the records have "
            f"{printable(', '.join(keys.names), limit=1000)}"
        )
    found = []
    for key in [answers.image_key] if answers.image_key else keys.names:
        candidate = _candidate(key, keys, finding)
        if candidate is None:
            continue
        # Half is enough: a sample may come from files of two kinds, and reading names the first record that lacks the
        # key.
        if len(keys.values(key, _SAMPLED)) < min(len(keys.sample), _SAMPLED) / 2:
            finding.reject(key, "most records lack it")
            continue
        found.append(candidate)
    if answers.image_key and not found:
        raise DigitwiseError(f"--image_key={answers.image_key}: it holds nothing that can be an image")
    return sorted(found, key=lambda candidate: candidate.rank)


def _candidate(key: str, keys: Keys, finding: ImageFinding) -> Candidate | None:
    values = keys.values(key, _SAMPLED)
    if not values or len({isinstance(value, list) for value in values}) > 1:
        return None
    found = keys.unwrapped(key, len(compared(values)))
    if found is None:
        finding.reject(key, keys.why_too_large)
        return None
    wrappers, values = found
    values = compared(values)
    inside = f" in {' in '.join(reversed(wrappers))}" if wrappers else ""
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    if not arrays:
        return _of_strings(key, wrappers, [value for value in values if isinstance(value, list)], inside, finding)
    if len(arrays) < len(values) or min(array.size for array in arrays) < _MIN_NUMBERS or _is_one_hot(arrays):
        return None
    if arrays[0].ndim > 1:
        return Candidate(key, ARRAY, wrappers, values, "an array" + inside)
    return Candidate(key, NUMBERS, wrappers, values, "a list of numbers" + inside)


def _of_strings(
    key: str, wrappers: tuple[str, ...], values: list[list[bytes]], inside: str, finding: ImageFinding
) -> Candidate | None:
    if any(len(value) != 1 for value in values):
        if all(value and _is_encoded(value[0]) for value in values):
            finding.reject(key, "it holds several images a record")
        return None
    data = [value[0] for value in values]
    if sum(map(_is_encoded, data)) >= _ENCODED_SHARE * len(data):
        return Candidate(key, ENCODED, wrappers, list(values), "an encoded image" + inside)
    if min(map(len, data)) < _MIN_NUMBERS or all(map(_is_text, data)):
        return None
    other = unread_format(data)
    if other:
        finding.reject(key, f"it holds {other}; read are PNG, JPEG, BMP, GIF, WebP and bare numbers")
        return None
    return Candidate(key, RAW, wrappers, list(values), "raw bytes" + inside)


def _is_encoded(data: bytes) -> bool:
    return (data.startswith(_MAGIC) and len(data) > 16) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def _is_text(data: bytes) -> bool:
    try:
        return data.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _is_one_hot(values: Sequence[Array]) -> bool:
    """Whether there are so few ones that they are the marks of classes and no picture in two colours."""
    # A fifth: a one-hot vector over digits has a tenth of ones, and codes in black cover more of a picture.
    few = all(((value == 0) | (value == 1)).all() and value.sum() <= max(1, value.size // 5) for value in values)
    return few and len({int(value.sum()) for value in values}) == 1


def _read(
    candidate: Candidate, keys: Keys, features: Mapping[str, Feature], answers: Answers, finding: ImageFinding
) -> ImageReading | None:
    finding.evidence.append(f"{quoted(candidate.key)} holds {candidate.what} in the sampled records")
    if candidate.rank == ENCODED:
        return _read_encoded(candidate, keys.sample, answers, finding)
    holding = [s.record for s in keys.sample if s.record.values.get(candidate.key) is not None]
    return read_pixels(candidate, holding[: len(candidate.values)], features.get(candidate.key), answers, finding)


def _read_encoded(
    candidate: Candidate, sample: Sequence[Sampled], answers: Answers, finding: ImageFinding
) -> ImageReading:
    reading = ImageReading(candidate.key, "encoded", candidate.wrappers, channel_order=answers.channel_order or "rgb")
    formats, sizes, deep = set(), set(), []
    for value in candidate.values:
        try:
            image = open_image(single(value), "it")
        except DigitwiseError:
            continue
        formats.add(image.format or "")
        sizes.add(image.size)
        if image.mode.startswith("I"):
            deep.append(single(value))
    sizes_shown = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:4])
    finding.evidence.append(
        f"{'/'.join(sorted(formats))} of {sizes_shown}{' and other sizes' if len(sizes) > 4 else ''}"
    )
    if len(sizes) > 1:
        finding.evidence.append("the images are of several sizes")
    if deep:
        reading = with_range(reading, _deep_extremes(deep), answers, finding, keep=(0.0, 65535.0))
    return _with_views(reading, sample, sizes, answers, finding)


def _deep_extremes(data: Sequence[bytes]) -> list[Array]:
    """The smallest and the largest value of each of a few images of 16 bits."""
    extremes = []
    for item in data[:_DEEP_SAMPLED]:
        try:
            values = np.asarray(open_image(item, "it"))
        except (OSError, SyntaxError, ValueError):
            continue
        extremes.append(np.array([values.min(), values.max()]))
    return extremes or [np.array([0, 65535])]


def _with_views(
    reading: ImageReading,
    sample: Sequence[Sampled],
    sizes: set[tuple[int, int]],
    answers: Answers,
    finding: ImageFinding,
) -> ImageReading:
    """Pictures in which several views lie side by side have a key for the width of one of them."""
    if answers.views:
        return dataclasses.replace(reading, views=answers.views)
    whole = {width for width, _ in sizes}
    for key in sorted(sample[0].record.values):
        words = set(words_of(key))
        if not (words & {"orig", "original"} and words & SIDES["W"]):
            continue
        values = [s.record.values.get(key) for s in sample]
        widths = {int(value[0]) for value in values if isinstance(value, np.ndarray) and len(value) == 1}
        if len(whole) == 1 and widths and max(widths) <= min(whole) and min(widths) > 0:
            # Views have one width, which divides that of the whole; the original widths are those before padding.
            step = int(np.gcd.reduce([*widths, *whole]))
            count = min(whole) // step if 1 < min(whole) // step <= _MAX_VIEWS else _USUAL_VIEWS
            if min(whole) % count == 0:
                text = f"{quoted(key)} may say that each picture holds {count} views side by side"
                options = [(n, dataclasses.replace(reading, views=n)) for n in (count, 1)]
                finding.ask("--views", reading.key, text, options)
                return options[0][1]
    return reading
