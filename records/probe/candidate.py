"""A key that may hold the image."""

import dataclasses

from records.tfrecord.example import Value

# Kinds of images, the likeliest first. Raw bytes come last: any long string can be taken for pixels.
ENCODED, ARRAY, NUMBERS, RAW = range(4)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """`values` are the sampled ones, out of their wrappers; `rank` is the kind of image."""

    key: str
    rank: int
    wrappers: tuple[str, ...]
    values: list[Value]
    what: str
