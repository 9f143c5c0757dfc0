"""Which key holds the image, and what its bytes are: encoded, or numbers of some type, shape, order and range.

Nothing here is settled by habit: where the sample does not tell, both readings become the options of a question.
"""

import dataclasses
import itertools

import numpy as np

from records.errors import DigitwiseError
from records.foreign.mapping import ImageReading
from records.foreign.wrappers import unwrap, wrappers_of
from records.images.arrays import (
    CHANNEL_COUNTS,
    TYPES,
    Layout,
    item_types,
    likely_layouts,
    possible_layouts,
    roughness,
    shown,
    value_ranges,
)
from records.images.files import open_image
from records.probe.findings import NAMES_OF_IMAGES, Finding, words_of

_LEAST_NUMBERS = 64
_LOOKED_AT = 24
_SAME_LOOK = 1.15
_ROUGHER = 1.3
_MOST_OPTIONS = 6
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM")
_OTHER_FORMATS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"P4": "a portable bitmap",
    b"P5": "a portable graymap",
    b"P6": "a portable pixmap",
    b"%PDF": "PDF",
    b"PK\x03\x04": "a zip file",
    b"qoif": "QOI",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x80\x02": "a pickle, which is never opened",
    b"\x80\x03": "a pickle, which is never opened",
    b"\x80\x04": "a pickle, which is never opened",
    b"\x80\x05": "a pickle, which is never opened",
}
_SIDES = {
    "H": {"height", "h", "rows", "row", "ny"},
    "W": {"width", "w", "cols", "col", "columns", "nx"},
    "C": {"depth", "channels", "channel", "c", "d", "bands", "nchannels"},
}


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A key that may hold the image. `values` are the sampled ones, out of their wrappers."""

    key: str
    rank: int
    wrappers: tuple
    values: list
    what: str


def find_image(sample, features, answers):
    """The Finding of an ImageReading."""
    finding = Finding()
    candidates = _candidates(sample, features, answers, finding)
    if not candidates:
        return finding
    best = [c for c in candidates if c.rank == candidates[0].rank]
    rivals = [c for c in candidates if c.rank != best[0].rank and set(words_of(c.key)) & NAMES_OF_IMAGES]
    plausible = best + rivals
    for other in candidates:
        if other not in plausible:
            finding.reject(other.key, f"{other.what}, and {best[0].key!r} is {best[0].what}")
    readings = [(c, _read(c, sample, features, answers, Finding() if c is not best[0] else finding)) for c in plausible]
    readings = [(c, reading) for c, reading in readings if reading]
    for candidate in plausible:
        if candidate not in [c for c, _ in readings]:
            finding.reject(candidate.key, f"{candidate.what}, of no shape that an image has")
    if not readings:
        return finding
    finding.reading = readings[0][1]
    if len(readings) > 1:
        keys = " and ".join(repr(candidate.key) for candidate, _ in readings)
        options = [(candidate.key, reading) for candidate, reading in readings]
        finding.ask("--image_key", f"{keys} can each be the image", options)
    return finding


def _candidates(sample, features, answers, finding):
    """Keys that can hold an image, the likeliest kind first."""
    keys = sorted({key for sampled in sample for key in sampled.record.values})
    if answers.image_key and answers.image_key not in keys:
        raise DigitwiseError(
            f"--image_key={answers.image_key}: there is no such key; the records have {', '.join(keys)}"
        )
    found = []
    for key in [answers.image_key] if answers.image_key else keys:
        values = [s.record.values[key] for s in sample if s.record.values.get(key) is not None][:_LOOKED_AT]
        candidate = _candidate(key, values, finding)
        if candidate is None:
            continue
        if len(values) < min(len(sample), _LOOKED_AT) / 2:
            finding.reject(key, "most records lack it")
            continue
        found.append(candidate)
    if answers.image_key and not found:
        raise DigitwiseError(f"--image_key={answers.image_key}: it holds nothing that can be an image")
    return sorted(found, key=lambda candidate: candidate.rank)


def _candidate(key, values, finding):
    if not values or len({isinstance(value, list) for value in values}) > 1:
        return None
    wrappers = wrappers_of(values)
    values = [unwrap(value, wrappers) for value in values]
    inside = f" in {' in '.join(reversed(wrappers))}" if wrappers else ""
    if isinstance(values[0], list):
        if any(not isinstance(value, list) or len(value) != 1 for value in values):
            if all(isinstance(value, list) and _is_encoded(value[0]) for value in values):
                finding.reject(key, "it holds several images a record")
            return None
        data = [value[0] for value in values]
        images = [item for item in data if _is_encoded(item)]
        if len(images) >= 0.9 * len(data):
            return Candidate(key, 0, wrappers, values, "an encoded image" + inside)
        if min(map(len, data)) < _LEAST_NUMBERS or all(_is_text(item) for item in data):
            return None
        other = _other_format(data)
        if other:
            finding.reject(key, f"it holds {other}; read are PNG, JPEG, BMP, GIF, WebP and bare numbers")
            return None
        return Candidate(key, 3, wrappers, values, "raw bytes" + inside)
    if min(value.size for value in values) < _LEAST_NUMBERS or _is_one_hot(values):
        return None
    rank = 1 if values[0].ndim > 1 else 2
    return Candidate(key, rank, wrappers, values, ("an array" if rank == 1 else "a list of numbers") + inside)


def _is_encoded(data):
    return data.startswith(_MAGIC) and len(data) > 16 or data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _other_format(data):
    for start, name in _OTHER_FORMATS.items():
        if all(item.startswith(start) for item in data):
            return name
    if all(item[4:8] == b"ftyp" for item in data):
        return "AVIF, HEIC or a film"
    return None


def _is_text(data):
    try:
        return data.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def _is_one_hot(values):
    """Whether there are so few ones that they are the marks of classes and no picture in two colours."""
    return all(((value == 0) | (value == 1)).all() and value.sum() <= max(1, value.size // 5) for value in values) and (
        len({int(value.sum()) for value in values}) == 1
    )


def _read(candidate, sample, features, answers, finding):
    finding.evidence.append(f"{candidate.key!r} holds {candidate.what} in the records looked at")
    if candidate.rank == 0:
        return _read_encoded(candidate, sample, answers, finding)
    return _read_pixels(candidate, sample, features, answers, finding)


def _read_encoded(candidate, sample, answers, finding):
    reading = ImageReading(candidate.key, "encoded", candidate.wrappers, channel_order=answers.channel_order or "rgb")
    formats, sizes, deep = set(), set(), []
    for value in candidate.values:
        try:
            image = open_image(value[0], "it")
        except DigitwiseError:
            continue
        formats.add(image.format)
        sizes.add(image.size)
        if image.mode.startswith("I"):
            deep.append(value[0])
    sizes_shown = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:4])
    finding.evidence.append(
        f"{'/'.join(sorted(formats))} of {sizes_shown}{' and other sizes' if len(sizes) > 4 else ''}"
    )
    if len(sizes) > 1:
        finding.evidence.append("the images are of several sizes: converting them takes --resize")
    if deep:
        reading = _with_range(reading, _deep_values(deep), False, answers, finding, keep=(0.0, 65535.0))
    return _with_views(reading, sample, sizes, answers, finding)


def _deep_values(data):
    values = []
    for item in data[:8]:
        try:
            values.append(np.asarray(open_image(item, "it")))
        except (OSError, SyntaxError, ValueError):
            continue
    return values or [np.array([0, 65535])]


def _with_views(reading, sample, sizes, answers, finding):
    """Pictures that several views lie side by side in have a key for the width of what was put together."""
    if answers.views:
        return dataclasses.replace(reading, views=answers.views)
    for key in sorted(sample[0].record.values):
        words = set(words_of(key))
        if not (words & {"orig", "original"} and words & _SIDES["W"]):
            continue
        widths = {int(v[0]) for s in sample if (v := s.record.values.get(key)) is not None and len(v) == 1}
        whole = {width for width, _ in sizes}
        if len(whole) == 1 and widths and max(widths) <= min(whole) and min(widths) > 0:
            step = int(np.gcd.reduce([*widths, *whole]))
            count = min(whole) // step if 1 < min(whole) // step <= 8 else 4
            if min(whole) % count == 0:
                text = f"{key!r} can say that {count} views lie side by side in each picture"
                options = [(n, dataclasses.replace(reading, views=n)) for n in (count, 1)]
                finding.ask("--views", text, options)
                return options[0][1]
    return reading


def _read_pixels(candidate, sample, features, answers, finding):
    reading = ImageReading(candidate.key, "pixels", candidate.wrappers)
    shaped = [s.record for s in sample if s.record.values.get(candidate.key) is not None][:_LOOKED_AT]
    options = _shapes(candidate, reading, shaped, features.get(candidate.key), answers, finding)
    if not options:
        return None
    if len(options) > 1:
        flag = "--image_shape" if len({_shape_value(o, shaped[0]) for o in options}) > 1 else "--image_type"
        value = _shape_value if flag == "--image_shape" else lambda option, _: option.item_type
        text = f"the {_size(candidate)} of {candidate.key!r} can be read as several pictures"
        chosen = [(value(option, shaped[0]), _finish(option, shaped, answers, Finding())) for option in options]
        finding.ask(flag, text, chosen[:_MOST_OPTIONS])
    return _finish(options[0], shaped, answers, finding)


def _size(candidate):
    value = candidate.values[0]
    return f"{len(value[0]):,} bytes" if isinstance(value, list) else f"{value.size:,} numbers"


def _shape_value(reading, record):
    return shown(reading.numbers(record)[1].sizes)


def _shapes(candidate, reading, records, feature, answers, finding):
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
                f"--image_shape={layout}: the {_size(candidate)} of {candidate.key!r} are not {layout.count:,} numbers "
                f"of {answers.image_type or 'any type'}"
            )
        return options
    options = _declared(candidate, reading, records, feature, answers, finding)
    if options:
        return _doubted(_by_look(options, records, finding), records)
    return _guessed(candidate, reading, records, answers, finding)


def _typed(candidate, reading, records, answers):
    """The reading with each item type under which it takes just the bytes that there are."""
    if not isinstance(candidate.values[0], list):
        return [reading] if _fits(reading, records) else []
    data = [value[0] for value in candidate.values]
    found = []
    for size in (1, 2, 4, 8):
        names = [answers.image_type] if answers.image_type else None
        if names and np.dtype(TYPES[names[0]]).itemsize != size:
            continue
        trial = dataclasses.replace(reading, item_type=f"uint{8 * size}")
        if _fits(trial, records):
            names = names or item_types(data, size) or [f"uint{8 * size}"]
            found += [dataclasses.replace(reading, item_type=name) for name in names]
    return found


def _fits(reading, records):
    try:
        for record in records:
            reading.numbers(record)
    except ValueError:
        return False
    return True


def _declared(candidate, reading, records, feature, answers, finding):
    """Readings by the shape that a tensor, features.json or other keys give."""
    sizes = {value.shape for value in candidate.values if not isinstance(value, list) and value.ndim > 1}
    if sizes:
        layouts = [_layout_of(size) for size in sizes]
        if None in layouts or len({layout.axes for layout in layouts}) > 1:
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


def _layout_of(sizes):
    try:
        return Layout.of(sizes)
    except ValueError:
        return None


def _by_keys(candidate, reading, records, answers, finding):
    scalars, lists = _integers(records, candidate.key)
    for key in lists:
        layouts = [_layout_of(record.values[key].tolist()) for record in records]
        if None not in layouts and len({layout.axes for layout in layouts}) == 1:
            trial = dataclasses.replace(reading, shape_keys=(key,), axes=layouts[0].axes)
            options = _typed(candidate, trial, records, answers)
            if options:
                finding.evidence.append(f"{key!r} gives the shape, {shown(layouts[0].sizes)} in the first record")
                named = set(words_of(key)) & {"shape", "dims", "dimensions"}
                return options if named else options + _turned(options, records)
    return _by_scalars(candidate, reading, records, scalars, answers, finding)


def _turned(options, records):
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


def _doubted(options, records):
    """A shape that is told is believed, unless the picture is far smoother with rows and columns exchanged."""
    if len(options) != 1 or not options[0].shape_keys:
        return options
    pairs = [options[0].numbers(record) for record in records]
    if len({layout.sizes for _, layout in pairs}) > 1 or pairs[0][1].height == pairs[0][1].width:
        return options
    turned = _turned(options, records)
    told, other = (
        np.mean([roughness([v.ravel()], option.numbers(r)[1]) for (v, _), r in zip(pairs, records)])
        for option in (options[0], turned[0])
    )
    return options + turned if told > _ROUGHER * other else options


def _integers(records, image_key):
    """(keys with one whole number, keys with two to four) in every record."""
    scalars, lists = [], []
    for key, value in records[0].values.items():
        values = [record.values.get(key) for record in records]
        if key == image_key or any(not isinstance(v, np.ndarray) or v.dtype.kind != "i" for v in values):
            continue
        if all(len(value) == 1 for value in values):
            scalars.append(key)
        elif all(2 <= len(value) <= 4 for value in values):
            lists.append(key)
    return scalars, lists


def _by_scalars(candidate, reading, records, scalars, answers, finding):
    named = {
        side: [key for key in scalars if words_of(key)[-1:] and words_of(key)[-1] in names]
        for side, names in _SIDES.items()
    }
    found = []
    for height, width in itertools.product(named["H"], named["W"]):
        for channels in named["C"]:
            found += _with_sides(candidate, reading, records, height, width, channels, answers)
        found = found or _with_sides(candidate, reading, records, height, width, None, answers)
        if found:
            finding.evidence.append(f"{height!r} and {width!r} give the shape that its length has")
            return found
    for first, second in itertools.permutations(scalars[:12], 2):
        if all(int(record.values[key][0]) >= 8 for record in records for key in (first, second)):
            found += _with_sides(candidate, reading, records, first, second, None, answers)
    if found:
        finding.evidence.append("the product of two keys is its length")
    return found


def _with_sides(candidate, reading, records, height, width, channels, answers):
    """With keys for the sides, and for the channels or, where they have none, the number that the length leaves."""
    if channels:
        found = []
        for keys, axes in (((height, width, channels), "HWC"), ((channels, height, width), "CHW")):
            trial = dataclasses.replace(reading, shape_keys=keys, axes=axes)
            found += _typed(candidate, trial, records, answers)
        if found and all(int(record.values[channels][0]) == 1 for record in records):
            found = [option for option in found if option.axes == "HWC"]
        return found
    flat = _typed(candidate, dataclasses.replace(reading, shape_keys=(height, width), axes="HW"), records, answers)
    sides = {(int(record.values[height][0]), int(record.values[width][0])) for record in records}
    if len(sides) == 1 and min(next(iter(sides))) > 0:
        ((rows, columns),) = sides
        for count in CHANNEL_COUNTS[1:]:
            for sizes in ((rows, columns, count), (count, rows, columns)):
                layout = _layout_of(sizes)
                if layout and layout.sizes == sizes:
                    trial = dataclasses.replace(reading, shape=sizes, axes="HWC" if sizes[2] == count else "CHW")
                    flat += _typed(candidate, trial, records, answers)
    return _of_likely_type(flat, candidate)


def _of_likely_type(options, candidate):
    """Where one length fits four channels of a byte and one float, what the bytes look like decides."""
    if len({option.item_type for option in options}) > 1 and isinstance(candidate.values[0], list):
        names = item_types([value[0] for value in candidate.values])
        return [option for option in options if option.item_type in names] or options
    return options


def _by_look(options, records, finding):
    """Of readings that all fit, those whose neighbouring pixels are alike; one, unless the pictures are noise."""
    if len(options) < 2:
        return options
    rough = []
    for option in options:
        pairs = [option.numbers(record) for record in records]
        rough.append(float(np.mean([roughness([values.ravel()], layout) for values, layout in pairs])))
    least = min(rough)
    near = [option for option, value in zip(options, rough) if value <= _SAME_LOOK * least]
    if len(near) == 1:
        best = near[0]
        finding.evidence.append(
            f"neighbouring pixels are alike as {best.axes}: {least:.3g}, else {sorted(rough)[1]:.3g}"
        )
    return near


def _guessed(candidate, reading, records, answers, finding):
    """No key tells the shape: common sizes are tried, and the look of the pictures decides or leaves several."""
    values = candidate.values
    names = [""]
    if isinstance(values[0], list):
        data = [value[0] for value in values]
        names = [answers.image_type] if answers.image_type else item_types(data)
    found = []
    for name in names:
        if name and any(len(value[0]) % np.dtype(TYPES[name]).itemsize for value in values):
            continue
        numbers = [np.frombuffer(value[0], TYPES[name]) if name else value for value in values]
        layouts = possible_layouts([number.size for number in numbers])
        for layout in likely_layouts(numbers, layouts):
            found.append(dataclasses.replace(reading, item_type=name, shape=layout.sizes, axes=layout.axes))
    if len(found) == 1:
        finding.evidence.append(
            f"no key gives a shape; of all that fit its length only {shown(found[0].shape)} {found[0].axes} "
            "has rows that follow on each other"
        )
    return found


def _finish(reading, records, answers, finding):
    """With the order of the channels and the range of the values."""
    values, layout = reading.numbers(records[0])
    finding.evidence.append(f"{reading.item_type or values.dtype.name} numbers, {layout} as {layout.axes}")
    reading = _with_range(
        reading, [reading.numbers(record)[0] for record in records], values.dtype == np.uint8, answers, finding
    )
    return _with_order(reading, records, answers, finding)


def _with_range(reading, values, is_byte, answers, finding, keep=None):
    """`keep` is the range that needs no word."""
    if answers.image_range:
        return dataclasses.replace(reading, value_range=answers.image_range)
    ranges = value_ranges(values, is_byte)
    if not ranges:
        finding.reject(reading.key, "its numbers are not all finite")
        return dataclasses.replace(reading, value_range=(0.0, 1.0))
    readings = [dataclasses.replace(reading, value_range=pair) for pair in ranges]
    least, most = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    if len(ranges) > 1:
        text = f"the values of {reading.key!r} run from {least:g} to {most:g}; what are black and white"
        finding.ask("--image_range", text, [(f"{r.value_range[0]:g}:{r.value_range[1]:g}", r) for r in readings])
    finding.evidence.append(
        f"values from {least:g} to {most:g}, read as {ranges[0][0]:g} (black) to {ranges[0][1]:g} (white)"
    )
    return reading if ranges == [keep] else readings[0]


def _with_order(reading, records, answers, finding):
    if answers.channel_order:
        return dataclasses.replace(reading, channel_order=answers.channel_order)
    if all(reading.numbers(record)[1].channels < 3 for record in records):
        return reading
    pictures = [(values, layout) for values, layout in (reading.numbers(record) for record in records)]
    if all(_is_grey(values, layout) for values, layout in pictures):
        finding.evidence.append("its channels are equal, so their order does not matter")
        return reading
    told = _told_order(reading.key, records)
    if told:
        finding.evidence.append(f"{told[1]} says {told[0]}")
        return dataclasses.replace(reading, channel_order=told[0])
    options = [(order, dataclasses.replace(reading, channel_order=order)) for order in ("rgb", "bgr")]
    finding.ask(
        "--channel_order", f"nothing tells whether the colours of {reading.key!r} are red first or blue first", options
    )
    return options[0][1]


def _is_grey(values, layout):
    pixels = layout.rows_first(values)
    return bool((pixels[:, :, 0] == pixels[:, :, 1]).all() and (pixels[:, :, 1] == pixels[:, :, 2]).all())


def _told_order(key, records):
    for order in ("rgb", "bgr"):
        if order in words_of(key):
            return order, f"the name of {key!r}"
    for other, value in records[0].values.items():
        if set(words_of(other)) & {"colorspace", "order", "mode", "color", "colour", "space"} and isinstance(
            value, list
        ):
            values = {bytes(item).lower() for r in records for item in r.values.get(other) or []}
            if len(values) == 1 and values <= {b"rgb", b"bgr"}:
                return next(iter(values)).decode(), repr(other)
    return None


def shape_keys_of(reading):
    """Keys that speak of the image, which are no labels."""
    return set(reading.shape_keys) | {reading.key} if reading else set()
