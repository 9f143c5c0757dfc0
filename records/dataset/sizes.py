"""How large the images of a set of records are, beside how long their codes are.

sizes = Sizes({(160, 60, 4): 1200, (140, 60, 3): 7})
sizes.smallest, sizes.largest, sizes.vary          # (140, 60), (160, 60), True
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

Size = tuple[int, int]  # width, height


@dataclasses.dataclass(frozen=True)
class Sizes:
    """`counts` says how many images have this width, this height and a code of this length."""

    counts: Mapping[tuple[int, int, int], int]

    def __post_init__(self) -> None:
        if not self.counts or any(min(key) < 1 or count < 1 for key, count in self.counts.items()):
            raise ValueError(f"the sizes of images are {dict(self.counts)}: need some, all of them above 0")

    @classmethod
    def alike(cls, size: Size, lengths: Mapping[int, int]) -> Self:
        """Of images of one size, by how many codes have which length."""
        return cls({(*size, length): count for length, count in lengths.items()})

    @property
    def distinct(self) -> set[Size]:
        return {(width, height) for width, height, _ in self.counts}

    @property
    def vary(self) -> bool:
        return len(self.distinct) > 1

    @property
    def smallest(self) -> Size:
        """The smallest width and the smallest height, which need not be those of one image."""
        return min(width for width, _, _ in self.counts), min(height for _, height, _ in self.counts)

    @property
    def largest(self) -> Size:
        return max(width for width, _, _ in self.counts), max(height for _, height, _ in self.counts)

    @property
    def usual(self) -> Size:
        """The size that most images have; of several the smallest."""
        images: dict[Size, int] = {}
        for (width, height, _), count in self.counts.items():
            images[width, height] = images.get((width, height), 0) + count
        # The most images first, and at a tie the smaller size, so that the order of counting has no say.
        return min(images, key=lambda size: (-images[size], size))

    def by_image(self) -> tuple[list[Size], list[int]]:
        """(the size of each image, the length of its code)."""
        sizes: list[Size] = []
        lengths: list[int] = []
        for (width, height, length), count in sorted(self.counts.items()):
            sizes += [(width, height)] * count
            lengths += [length] * count
        return sizes, lengths

    def to_json(self) -> dict[str, int]:
        # JSON has no tuples as keys. Sorted, so that equal sizes make equal manifests.
        return {f"{width}x{height}: {length}": count for (width, height, length), count in sorted(self.counts.items())}

    @classmethod
    def from_json(cls, content: Mapping[str, int]) -> Self:
        """ValueError or TypeError where it is not what `to_json` gives."""
        counts = {}
        for key, count in content.items():
            size, length = key.split(": ")
            width, height = size.split("x")
            counts[int(width), int(height), int(length)] = int(count)
        return cls(counts)


def lengths_of(classes: Iterable[Sequence[Mapping[str, int]]]) -> dict[int, int]:
    """{length: how many codes have it}, from how often each character stands at each position of each split."""
    found: dict[int, int] = {}
    for positions in classes:
        reaching = [*(sum(counts.values()) for counts in positions), 0]  # so many codes have a character there
        for place, (here, after) in enumerate(zip(reaching, reaching[1:])):
            # So many codes end here: they have a character at this place and none at the next.
            if here > after:
                found[place + 1] = found.get(place + 1, 0) + here - after
    return found
