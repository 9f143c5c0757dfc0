"""The one size at which the network sees all images of a task, found from theirs and from how long their codes are.

working_size([(50, 22)] * 3, [4, 4, 4])          # WorkingSize(height=56, width=128)
"""

import dataclasses
import math
from collections.abc import Sequence

PITCH = 32  # pixels from one character to the next: eight columns of alexnet
PITCHES = (28, 36)  # images whose own is between these stay as they are: resampling blurs
HEIGHTS = (32, 128)  # below, strokes merge; above, the first layers see parts of strokes
MULTIPLE = 8  # of the width, which the networks halve twice or more
MAX_WIDTH = 1024  # 32 characters at the usual pitch; longer codes are squeezed
_NARROW = 0.1  # the share of images whose characters may lie closer than what decides
_WIDE = 0.005  # the share of images that may be wider, and are squeezed: a stray one would make all steps slow


@dataclasses.dataclass(frozen=True)
class WorkingSize:
    """Images come in at `height`, in proportion, and are padded on the right to `width`; wider ones are squeezed."""

    height: int
    width: int


def working_size(sizes: Sequence[tuple[int, int]], lengths: Sequence[int]) -> WorkingSize:
    """Of images of these (width, height) with codes of these lengths, in the same order."""
    if not sizes or len(sizes) != len(lengths):
        raise ValueError(f"{len(sizes)} sizes and {len(lengths)} lengths of codes: need one of each for each image.")
    # How many heights of the image lie between two characters.
    pitches = sorted(width / height / max(1, length) for (width, height), length in zip(sizes, lengths))
    # Not the narrowest of all: one wrong label would make every image large, and training slow.
    pitch = pitches[int(_NARROW * (len(pitches) - 1))]
    heights = sorted(height for _, height in sizes)
    height = heights[len(heights) // 2]  # the median
    if not (PITCHES[0] <= pitch * height <= PITCHES[1] and HEIGHTS[0] <= height <= HEIGHTS[1]):
        height = min(max(round(PITCH / pitch), HEIGHTS[0]), HEIGHTS[1])
    widths = sorted(width * height / own_height for width, own_height in sizes)
    widest = widths[len(widths) - 1 - int(_WIDE * len(widths))]
    return WorkingSize(height, min(math.ceil(round(widest) / MULTIPLE) * MULTIPLE, MAX_WIDTH))
