"""Reading the fields of a JSON object one by one, each checked for its kind.

fields = Fields(content, "the checkpoint's state")
fields.whole("num_steps"), fields.optional("dropout", Fields.number)
"""

from collections.abc import Callable
from typing import Any, TypeVar

from records.errors import DigitwiseError

T = TypeVar("T")


class Fields:
    """One JSON object; every error is one line that names the field and what was got."""

    def __init__(self, content: Any, what: str) -> None:
        self._content: dict[str, Any] = content if isinstance(content, dict) else {}
        self._what = what
        if not isinstance(content, dict):
            raise DigitwiseError(f"{what} is {_shown(content)}, not a JSON object")

    def text(self, name: str) -> str:
        return self._take(name, "a text", str)

    def whole(self, name: str) -> int:
        return self._take(name, "a whole number", int)

    def number(self, name: str) -> float:
        return float(self._take(name, "a number", int, float))

    def items(self, name: str) -> list[Any]:
        return self._take(name, "a list", list)

    def mapping(self, name: str) -> dict[str, Any]:
        return self._take(name, "a JSON object", dict)

    def optional(self, name: str, take: Callable[["Fields", str], T]) -> T | None:
        """What `take`, one of the methods above, gives; None where the field is missing or null."""
        return None if self._content.get(name) is None else take(self, name)

    def has(self, name: str) -> bool:
        return name in self._content

    def check_version(self, newest: int) -> int:
        """The version it was written with, 1 where it says none; refuses one from a newer program."""
        version = self.whole("version") if self.has("version") else 1
        if not 1 <= version <= newest:
            raise DigitwiseError(f"{self._what} has version {version}, this program reads up to {newest}")
        return version

    def _take(self, name: str, kind: str, *types: type) -> Any:
        if name not in self._content:
            raise DigitwiseError(f"{self._what} has no {name!r}")
        value = self._content[name]
        # Python takes True for the number 1.
        if not isinstance(value, types) or isinstance(value, bool):
            raise DigitwiseError(f"{self._what}: {name!r} is {_shown(value)}, not {kind}")
        return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
