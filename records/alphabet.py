"""The characters that codes are made of, and their numbers.

alphabet = Alphabet.parse("digits")
alphabet.ids("407")         # [4, 0, 7]
alphabet.text([4, 0, 7])    # "407"
"""

import dataclasses
import functools
import string
import unicodedata
from collections.abc import Iterable
from typing import Self

from records.errors import DigitwiseError, quoted

PADDING = -1  # an id that stands for no character: label ids are filled up with it after the end of a code
NAMED: dict[str, str] = {
    "digits": string.digits,
    "lower": string.ascii_lowercase,
    "upper": string.ascii_uppercase,
    "alnum": string.digits + string.ascii_lowercase + string.ascii_uppercase,
}


@dataclasses.dataclass(frozen=True)
class Alphabet:
    """An ordered set of characters; the number of a character is its place."""

    characters: str

    def __post_init__(self) -> None:
        if not self.characters:
            raise DigitwiseError("the alphabet is empty: --alphabet takes a name or the characters themselves")
        seen: set[str] = set()
        for character in self.characters:
            if character in seen:
                raise DigitwiseError(f"the alphabet {quoted(self.characters)} has {character!r} more than once")
            if not character.isprintable():
                raise DigitwiseError(
                    f"the alphabet has the unprintable character U+{ord(character):04X}, which no image can show"
                )
            # It has no place of its own in an image, and a code's length would not be what a person counts.
            if unicodedata.combining(character):
                raise DigitwiseError(
                    f"the alphabet has the combining character U+{ord(character):04X}; use composed characters"
                )
            seen.add(character)

    @functools.cached_property
    def _numbers(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.characters)}

    @classmethod
    def parse(cls, value: str) -> Self:
        """From a name (`digits`), names joined with + (`digits+upper`), or the characters themselves."""
        names = value.split("+")
        if all(name in NAMED for name in names):
            return cls("".join(NAMED[name] for name in names))
        # Labels are normalized alike, so that é matches however it was typed.
        characters = unicodedata.normalize("NFC", value)
        try:
            return cls(characters)
        except DigitwiseError as error:
            raise DigitwiseError(f"{error}; the names of alphabets are {', '.join(NAMED)}") from None

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: str) -> bool:
        return character in self._numbers

    def ids(self, text: str) -> list[int]:
        return [self._numbers[character] for character in text]

    def text(self, ids: Iterable[int]) -> str:
        """The characters of `ids`; negative numbers, such as PADDING, stand for nothing."""
        # Without the condition -1 would be Python's last character.
        return "".join(self.characters[i] for i in ids if i >= 0)

    def fold(self, text: str) -> str:
        """`text` in one case: upper case where the alphabet has upper-case letters only, else lower case."""
        has_lower = self.characters != self.characters.upper()
        has_upper = self.characters != self.characters.lower()
        change = str.upper if has_upper and not has_lower else str.lower
        # A letter whose other case is two letters stays as it is.
        return "".join(other if len(other := change(character)) == 1 else character for character in text)

    def folded(self) -> "Alphabet":
        """The alphabet in which letters that differ only in case are one."""
        return Alphabet("".join(dict.fromkeys(self.fold(self.characters))))

    def unknown(self, text: str) -> str | None:
        """The first character of `text` that is not in the alphabet, or None."""
        for character in text:
            if character not in self._numbers:
                return character
        return None
