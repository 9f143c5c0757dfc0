"""What the numbers of pixels mean: which of them are black and white, and whether red or blue comes first."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from records.errors import quoted
from records.foreign.readings import ImageReading
from records.images.arrays import CHANNEL_ORDERS, Array, Layout, Range, value_ranges
from records.probe.findings import Answers, Finding, words_of
from records.tfrecord.example import Record

ImageFinding = Finding[ImageReading]
_ORDER_KEYS = {"colorspace", "order", "mode", "color", "colour", "space"}


def with_range(
    reading: ImageReading, values: Sequence[Array], answers: Answers, finding: ImageFinding, keep: Range | None = None
) -> ImageReading:
    """`keep` is the range that needs no word."""
    if answers.image_range:
        return dataclasses.replace(reading, value_range=answers.image_range)
    ranges = value_ranges(values, is_byte=values[0].dtype == np.uint8)
    if not ranges:
        finding.reject(reading.key, "its numbers are not all finite")
        # Any range: reading will stop at the first such number.
        return dataclasses.replace(reading, value_range=(0.0, 1.0))
    readings = [dataclasses.replace(reading, value_range=pair) for pair in ranges]
    minimum, maximum = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    if len(ranges) > 1:
        text = f"the values of {quoted(reading.key)} run from {minimum:g} to {maximum:g}; what are black and white"
        finding.ask(
            "--image_range", reading.key, text, [(f"{r.value_range[0]:g}:{r.value_range[1]:g}", r) for r in readings]
        )
    finding.evidence.append(
        f"values from {minimum:g} to {maximum:g}, read as {ranges[0][0]:g} (black) to {ranges[0][1]:g} (white)"
    )
    return reading if ranges == [keep] else readings[0]


def with_order(
    reading: ImageReading, records: Sequence[Record], answers: Answers, finding: ImageFinding
) -> ImageReading:
    if answers.channel_order:
        return dataclasses.replace(reading, channel_order=answers.channel_order)
    # What needs no question is not asked: grey, or colour planes that are equal.
    if all(reading.numbers(record)[1].channels < 3 for record in records):
        return reading
    if all(_is_grey(*reading.numbers(record)) for record in records):
        finding.evidence.append("its channels are equal, so their order does not matter")
        return reading
    told = _told_order(reading.key, records)
    if told:
        finding.evidence.append(f"{told[1]} says {told[0]}")
        return dataclasses.replace(reading, channel_order=told[0])
    # Not guessed from the pictures: codes may be of any colour, so red for blue looks just as natural.
    options = [(order, dataclasses.replace(reading, channel_order=order)) for order in CHANNEL_ORDERS]
    text = f"it is not clear whether the colours of {quoted(reading.key)} are red first or blue first"
    finding.ask("--channel_order", reading.key, text, options)
    return options[0][1]


def _is_grey(values: Array, layout: Layout) -> bool:
    pixels = layout.rows_first(values)
    return bool((pixels[:, :, 0] == pixels[:, :, 1]).all() and (pixels[:, :, 1] == pixels[:, :, 2]).all())


def _told_order(key: str, records: Sequence[Record]) -> tuple[str, str] | None:
    for order in CHANNEL_ORDERS:
        if order in words_of(key):
            return order, f"the name of {quoted(key)}"
    for other, value in records[0].values.items():
        if set(words_of(other)) & _ORDER_KEYS and isinstance(value, list):
            lists = [value for record in records if isinstance(value := record.values.get(other), list)]
            values = {item.lower() for items in lists for item in items}
            if len(values) == 1 and values <= {b"rgb", b"bgr"}:
                return next(iter(values)).decode(), quoted(other)
    return None
