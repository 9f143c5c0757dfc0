"""The one kind of exception that the user can do something about: its text is the whole message."""

from collections.abc import Iterable
from typing import Any

MAX_SHOWN = 60
_MOST_NAMED = 10  # images with a fault, beside the first


class DigitwiseError(Exception):
    """Says what was got, where, and what is allowed or what to do, in one line."""


class DamagedRecords(DigitwiseError):
    """A shard or a folder of records is not what it was when it was written."""


class UnusableImages(DigitwiseError):
    """Images with a fault, (name, what to say of it) of each."""

    def __init__(self, faults: Iterable[tuple[str, str]]) -> None:
        self.faults = tuple(sorted(faults))
        (_, message), *others = self.faults
        if others:
            names = ", ".join(name for name, _ in others[:_MOST_NAMED])
            left = len(others) - _MOST_NAMED
            message += f"; nor can these be stored: {names}" + (f" and {left:,} more" if left > 0 else "")
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults,)  # on its way from a worker process


def printable(text: str, limit: int = 200) -> str:
    """Text from elsewhere, fit for a terminal: control characters escaped, cut to `limit` characters.

    Names of keys and labels of strangers may hold escape sequences, line breaks, or megabytes.
    """
    kept = text[:limit]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in kept)
    return shown + ("..." if len(text) > limit else "")


def counted(count: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def quoted(text: str, limit: int = MAX_SHOWN) -> str:
    """The same in quotes, as `repr` writes them."""
    return repr(text[:limit]) + ("..." if len(text) > limit else "")
