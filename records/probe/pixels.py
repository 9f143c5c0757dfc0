"""What the numbers of an image that is not encoded are: their type, shape and axes.

Flags tell first, then an array's own shape, features.json, other keys, and last how the pictures look. Where several
readings fit, they become the options of a question.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from records.errors import DigitwiseError, quoted
from records.foreign.readings import ImageReading
from records.images.arrays import (
    CHANNEL_COUNTS,
    MIN_SIDE,
    TYPES,
    Layout,
    item_types,
    likely_layouts,
    possible_layouts,
    roughness,
    shown,
)
from records.probe.candidate import Candidate
from records.probe.findings import Answers, Finding, words_of
from records.probe.tables import Feature
from records.probe.values import with_order, with_range
from records.tfrecord.example import Array, Record

ImageFinding = Finding[ImageReading]
_SAME_LOOK = 1.15  # readings whose roughness is within this factor of the lowest look equally likely
_ROUGHER = 1.3  # a shape that another key gives is doubted where the picture is so much rougher than when turned
_MAX_OPTIONS = 6
_MAX_SCALARS = 12  # keys that are tried in pairs as height and width
SIDES = {
    "H": {"height", "h", "rows", "row", "ny"},
    "W": {"width", "w", "cols", "col", "columns", "nx"},
    "C": {"depth", "channels", "channel", "c", "d", "bands", "nchannels"},
}


def read_pixels(
    candidate: Candidate, records: Sequence[Record], feature: Feature | None, answers: Answers, finding: ImageFinding
) -> ImageReading | None:
    reading = ImageReading(candidate.key, "pixels", candidate.wrappers)
    options = _shapes(candidate, reading, records, feature, answers, finding)
    if not options:
        return None
    if len(options) > 1:
        shapes = [_shape_value(option, records[0]) for option in options]
        differ = len(set(shapes)) > 1
        values = shapes if differ else [option.item_type for option in options]
        text = f"the {_size(candidate)} of {quoted(candidate.key)} can be read as several pictures"
        chosen = list(zip(values, options, strict=True))[:_MAX_OPTIONS]
        finished = [(value, _finish(option, records, answers, ImageFinding())) for value, option in chosen]
        finding.ask("--image_shape" if differ else "--image_type", candidate.key, text, finished)
    return _finish(options[0], records, answers, finding)


def _size(candidate: Candidate) -> str:
    value = candidate.values[0]
    return f"{len(value[0]):,} bytes" if isinstance(value, list) else f"{value.size:,} numbers"


def _shape_value(reading: ImageReading, record: Record) -> str:
    return shown(reading.numbers(record)[1].sizes)


def _shapes(
    candidate: Candidate,
    reading: ImageReading,
    records: Sequence[Record],
    feature: Feature | None,
    answers: Answers,
    finding: ImageFinding,
) -> list[ImageReading]:
    """Readings with an item type, a shape and axes: one, where flag, tensor, keys or the look of the pictures tell."""
    if answers.image_shape:
        try:
            layout = Layout.of(answers.image_shape)
        except ValueError as error:
            raise DigitwiseError(f"--image_shape={shown(answers.image_shape)}: {error}") from None
        options = _typed(
            candidate, dataclasses.replace(reading, shape=layout.sizes, axes=layout.axes), records, answers
        )
        if not options:
            raise DigitwiseError(
                f"--image_shape={layout}: the {_size(candidate)} of {quoted(candidate.key)} are not "
                f"{layout.count:,} numbers of {answers.image_type or 'any type'}"
            )
        return options
    options = _declared(candidate, reading, records, feature, answers, finding)
    if options:
        return _doubted(_by_look(options, records, finding), records)
    return _guessed(candidate, reading, records, answers, finding)


def _typed(
    candidate: Candidate, reading: ImageReading, records: Sequence[Record], answers: Answers
) -> list[ImageReading]:
    """The reading with each item type under which it takes just the bytes that there are."""
    if not isinstance(candidate.values[0], list):
        return [reading] if _fits(reading, records) else []
    data = _strings(candidate)
    found = []
    for size in (1, 2, 4, 8):
        names = [answers.image_type] if answers.image_type else None
        if names and np.dtype(TYPES[names[0]]).itemsize != size:
            continue
        trial = dataclasses.replace(reading, item_type=f"uint{8 * size}")  # only its size matters here
        if _fits(trial, records):
            # Types of one size all take the same bytes, so the values decide; where they do not, unsigned numbers are
            # likeliest.
            fitting = names or item_types(data, size) or [f"uint{8 * size}"]
            found += [dataclasses.replace(reading, item_type=name) for name in fitting]
    return found


def _fits(reading: ImageReading, records: Sequence[Record]) -> bool:
    try:
        for record in records:
            reading.numbers(record)
    except ValueError:
        return False
    return True


def _declared(
    candidate: Candidate,
    reading: ImageReading,
    records: Sequence[Record],
    feature: Feature | None,
    answers: Answers,
    finding: ImageFinding,
) -> list[ImageReading]:
    """Readings by the shape that a tensor, features.json or other keys give."""
    sizes = {value.shape for value in candidate.values if not isinstance(value, list) and value.ndim > 1}
    if sizes:
        layouts = [layout for size in sizes if (layout := _layout_of(size))]
        # Arrays with their channels at different places cannot be read by one mapping.
        if len(layouts) < len(sizes) or len({layout.axes for layout in layouts}) > 1:
            return []
        finding.evidence.append(f"the array has the shape {shown(sorted(sizes)[0])}")
        return _typed(candidate, dataclasses.replace(reading, axes=layouts[0].axes), records, answers)
    if feature and len(feature.shape) in (2, 3) and (layout := _layout_of(feature.shape)):
        asked = answers if answers.image_type else dataclasses.replace(answers, image_type=feature.item_type)
        options = _typed(candidate, dataclasses.replace(reading, shape=layout.sizes, axes=layout.axes), records, asked)
        if options:
            finding.evidence.append(f"features.json gives the shape {layout}")
            return options
    return _by_keys(candidate, reading, records, answers, finding)


def _layout_of(sizes: Sequence[int]) -> Layout | None:
    try:
        return Layout.of(sizes)
    except ValueError:
        return None


def _by_keys(
    candidate: Candidate, reading: ImageReading, records: Sequence[Record], answers: Answers, finding: ImageFinding
) -> list[ImageReading]:
    scalars, lists = _integers(records, candidate.key)
    for key in lists:
        layouts = [layout for values in lists[key] if (layout := _layout_of(values))]
        if len(layouts) == len(records) and len({layout.axes for layout in layouts}) == 1:
            trial = dataclasses.replace(reading, shape_keys=(key,), axes=layouts[0].axes)
            options = _typed(candidate, trial, records, answers)
            if options:
                finding.evidence.append(f"{quoted(key)} gives the shape, {shown(layouts[0].sizes)} in the first record")
                named = set(words_of(key)) & {"shape", "dims", "dimensions"}
                # A list of two numbers without a telling name may be width and height as well, as in `size`.
                return options if named else options + _turned(options, records)
    return _by_scalars(candidate, reading, records, scalars, answers, finding)


def _turned(options: Sequence[ImageReading], records: Sequence[Record]) -> list[ImageReading]:
    """The same with rows and columns the other way round, where all images have one shape."""
    turned = []
    for option in options:
        layouts = {option.numbers(record)[1] for record in records}
        if len(layouts) == 1:
            (layout,) = layouts
            sizes = {"H": layout.width, "W": layout.height, "C": layout.channels}
            shape = tuple(sizes[axis] for axis in option.axes)
            turned.append(dataclasses.replace(option, shape_keys=(), shape=shape))
    return turned


def _doubted(options: list[ImageReading], records: Sequence[Record]) -> list[ImageReading]:
    """A shape that is told is believed, unless the picture is far smoother with rows and columns exchanged."""
    if len(options) != 1 or not options[0].shape_keys:
        return options
    layouts = {options[0].numbers(record)[1] for record in records}
    if len(layouts) > 1 or (layout := layouts.pop()).height == layout.width:
        return options
    turned = _turned(options, records)
    told, other = _roughness(options[0], records), _roughness(turned[0], records)
    return options + turned if told > _ROUGHER * other else options


def _roughness(reading: ImageReading, records: Sequence[Record]) -> float:
    """Of all pictures, one at a time: as floats they take four times the memory."""
    return float(np.mean([roughness([v.ravel()], layout) for v, layout in map(reading.numbers, records)]))


def _integers(records: Sequence[Record], image_key: str) -> tuple[dict[str, list[int]], dict[str, list[list[int]]]]:
    """({key: the number of each record}, {key: the numbers of each}) of keys with one whole number, or two to four."""
    scalars: dict[str, list[int]] = {}
    lists: dict[str, list[list[int]]] = {}
    for key in records[0].values:
        values = [record.values.get(key) for record in records]
        numbers = [value.tolist() for value in values if isinstance(value, np.ndarray) and value.dtype.kind == "i"]
        if key == image_key or len(numbers) < len(values):
            continue
        if all(len(value) == 1 for value in numbers):
            scalars[key] = [value[0] for value in numbers]
        elif all(2 <= len(value) <= 4 for value in numbers):
            lists[key] = numbers
    return scalars, lists


def _by_scalars(
    candidate: Candidate,
    reading: ImageReading,
    records: Sequence[Record],
    scalars: Mapping[str, Sequence[int]],
    answers: Answers,
    finding: ImageFinding,
) -> list[ImageReading]:
    named = {
        side: [key for key in scalars if words_of(key)[-1:] and words_of(key)[-1] in names]
        for side, names in SIDES.items()
    }
    found: list[ImageReading] = []
    for height, width in itertools.product(named["H"], named["W"]):
        for channels in named["C"]:
            keys = {"H": height, "W": width, "C": channels}
            found += _with_channels(candidate, reading, records, keys, scalars[channels], answers)
        found = found or _with_sides(candidate, reading, records, {"H": height, "W": width}, scalars, answers)
        if found:
            finding.evidence.append(f"{quoted(height)} and {quoted(width)} give the shape that its length has")
            return found
    # No key is named as a side: any two whose product is the length. Both orders, of which the look of the pictures
    # chooses.
    for first, second in itertools.permutations(list(scalars)[:_MAX_SCALARS], 2):
        if min(*scalars[first], *scalars[second]) >= MIN_SIDE:
            found += _with_sides(candidate, reading, records, {"H": first, "W": second}, scalars, answers)
    if found:
        finding.evidence.append("the product of two keys is its length")
    return found


def _with_channels(
    candidate: Candidate,
    reading: ImageReading,
    records: Sequence[Record],
    keys: Mapping[str, str],
    channels: Sequence[int],
    answers: Answers,
) -> list[ImageReading]:
    """With keys for the height, the width and the channels."""
    found = []
    for axes in ("HWC", "CHW"):
        trial = dataclasses.replace(reading, shape_keys=tuple(keys[axis] for axis in axes), axes=axes)
        found += _typed(candidate, trial, records, answers)
    if all(count == 1 for count in channels):  # both orders of axes are then the same
        found = [option for option in found if option.axes == "HWC"]
    return found


def _with_sides(
    candidate: Candidate,
    reading: ImageReading,
    records: Sequence[Record],
    keys: Mapping[str, str],
    scalars: Mapping[str, Sequence[int]],
    answers: Answers,
) -> list[ImageReading]:
    """With keys for the height and the width, and the number of channels that the length leaves."""
    trial = dataclasses.replace(reading, shape_keys=(keys["H"], keys["W"]), axes="HW")
    flat = _typed(candidate, trial, records, answers)
    sides = set(zip(scalars[keys["H"]], scalars[keys["W"]], strict=True))
    if len(sides) == 1 and min(next(iter(sides))) > 0:
        ((rows, columns),) = sides
        for count in CHANNEL_COUNTS[1:]:
            for sizes in ((rows, columns, count), (count, rows, columns)):
                layout = _layout_of(sizes)
                if layout and layout.sizes == sizes:
                    trial = dataclasses.replace(reading, shape=sizes, axes="HWC" if sizes[2] == count else "CHW")
                    flat += _typed(candidate, trial, records, answers)
    return _of_likely_type(flat, candidate)


def _of_likely_type(options: list[ImageReading], candidate: Candidate) -> list[ImageReading]:
    """Where one length fits four channels of a byte and one float, what the bytes look like decides."""
    if len({option.item_type for option in options}) > 1 and isinstance(candidate.values[0], list):
        names = item_types(_strings(candidate))
        return [option for option in options if option.item_type in names] or options
    return options


def _by_look(options: list[ImageReading], records: Sequence[Record], finding: ImageFinding) -> list[ImageReading]:
    """Of readings that all fit, those whose neighbouring pixels are alike; one, unless the pictures are noise."""
    if len(options) < 2:
        return options
    rough = [_roughness(option, records) for option in options]
    lowest = min(rough)
    near = [option for option, value in zip(options, rough, strict=True) if value <= _SAME_LOOK * lowest]
    if len(near) == 1:
        best = near[0]
        finding.evidence.append(
            f"neighbouring pixels are alike as {best.axes}: {lowest:.3g}, else {sorted(rough)[1]:.3g}"
        )
    return near


def _guessed(
    candidate: Candidate, reading: ImageReading, records: Sequence[Record], answers: Answers, finding: ImageFinding
) -> list[ImageReading]:
    """No key tells the shape: common sizes are tried, and the look of the pictures decides or leaves several."""
    data = _strings(candidate)
    arrays = [value for value in candidate.values if isinstance(value, np.ndarray)]
    names = ([answers.image_type] if answers.image_type else item_types(data)) if data else [""]
    found = []
    for name in names:
        if name and any(len(item) % np.dtype(TYPES[name]).itemsize for item in data):
            continue
        numbers = [np.frombuffer(item, TYPES[name]) for item in data] if name else arrays
        layouts = possible_layouts([number.size for number in numbers])
        for layout in likely_layouts(numbers, layouts):
            found.append(dataclasses.replace(reading, item_type=name, shape=layout.sizes, axes=layout.axes))
    if len(found) == 1:
        finding.evidence.append(
            f"no key gives a shape; of all that fit its length only {shown(found[0].shape)} {found[0].axes} "
            "has rows that continue each other"
        )
    return found


def _finish(reading: ImageReading, records: Sequence[Record], answers: Answers, finding: ImageFinding) -> ImageReading:
    """With the order of the channels and the range of the values."""
    values, layout = reading.numbers(records[0])
    finding.evidence.append(f"{reading.item_type or values.dtype.name} numbers, {layout} as {layout.axes}")
    # Of each record only two numbers are kept: all of them as floats would fill the memory.
    seen = [_extremes(reading.numbers(record)[0]) for record in records]
    reading = with_range(reading, seen, answers, finding)
    return with_order(reading, records, answers, finding)


def _extremes(values: Array) -> Array:
    """The smallest and the largest value, in the values' own type."""
    return np.array([values.min(), values.max()], values.dtype)


def _strings(candidate: Candidate) -> list[bytes]:
    """The values, where each is a string of bytes."""
    return [value[0] for value in candidate.values if isinstance(value, list)]
