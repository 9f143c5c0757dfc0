"""What a source of labelled images is: a folder, the renderer, or records of other projects.

for key, text in source.rows():
    data = source.load(key)         # the bytes of an image file
"""

from collections.abc import Iterator
from typing import Any, Protocol


class Source(Protocol):
    """Rows come in the same order at every pass. Sources are pickled for worker processes: they hold no open file."""

    def rows(self) -> Iterator[tuple[str, str]]:
        """(key, text) of each image; a key means the same in every process."""

    def load(self, key: str) -> bytes:
        """The bytes of an image file."""

    def name(self, key: str) -> str:
        """What the user calls the image, for messages."""

    def identity(self) -> Any:
        """What tells these images from others, as JSON: equal identities, equal records."""
