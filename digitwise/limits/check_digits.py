"""Check digits as automata: the whole code, check characters included, as it is printed.

steps = CHECK_DIGITS["luhn"]
from_steps(steps, "0123456789").accepts_code([1, 8])

Letters count in either case. Digits stand for their value and letters for 10 to 35, but for 0 to 25 where a system
knows letters alone.
"""

import string
from collections.abc import Hashable

from digitwise.limits.automaton import Steps

_DIGITS = string.digits
_LETTERS = string.ascii_uppercase
_ALNUM = _DIGITS + _LETTERS


class Luhn:
    """Every second digit from the right counts double, with 9 taken off where that gives two digits.

    Which ones these are is known at the end only: a state holds the sum for either case, the last digit counted
    once and the last digit counted double.
    """

    def start(self) -> Hashable:
        return (0, 0, False)

    def step(self, state: Hashable, character: str) -> Hashable | None:
        assert isinstance(state, tuple)
        if character not in _DIGITS:
            return None
        digit = int(character)
        single, double, _ = state
        # One more digit moves all others by a place, so the two sums change their roles.
        return ((double + digit) % 10, (single + 2 * digit - 9 * (digit > 4)) % 10, True)

    def accepts(self, state: Hashable) -> bool:
        assert isinstance(state, tuple)
        return bool(state[0] == 0 and state[2])


class Pure:
    """ISO 7064's pure systems: the code, read as a number to the base `radix`, leaves 1 when divided by `modulus`.

    `last` is one more character, for the value `radix` or above, that only the last place can have.
    """

    def __init__(self, modulus: int, radix: int, characters: str, last: str = "") -> None:
        self.modulus, self.radix, self.characters, self.last = modulus, radix, characters, last

    def start(self) -> Hashable:
        return (0, False)

    def step(self, state: Hashable, character: str) -> Hashable | None:
        assert isinstance(state, tuple)
        remainder, is_over = state
        # `last` is behind the characters, so its value is the radix or above: 10 for the X of MOD 11-2.
        value = (self.characters + self.last).find(character.upper())
        if value < 0 or is_over:
            return None
        return ((remainder * self.radix + value) % self.modulus, value >= len(self.characters))

    def accepts(self, state: Hashable) -> bool:
        assert isinstance(state, tuple)
        return bool(state[0] == 1)


class Hybrid:
    """ISO 7064's hybrid systems, such as MOD 11,10: sums modulo M and products modulo M + 1 in turn."""

    def __init__(self, characters: str) -> None:
        self.modulus, self.characters = len(characters), characters

    def start(self) -> Hashable:
        return (self.modulus, False)

    def step(self, state: Hashable, character: str) -> Hashable | None:
        assert isinstance(state, tuple)
        value = self.characters.find(character.upper())
        if value < 0:
            return None
        # The check character is right where this is 1. A remainder of 0 counts as M, as the standard says.
        remainder = (state[0] + value) % self.modulus
        return ((remainder or self.modulus) * 2 % (self.modulus + 1), remainder == 1)

    def accepts(self, state: Hashable) -> bool:
        assert isinstance(state, tuple)
        return bool(state[1])


CHECK_DIGITS: dict[str, Steps] = {
    "luhn": Luhn(),
    "mod11-2": Pure(11, 2, _DIGITS, "X"),
    "mod37-2": Pure(37, 2, _ALNUM, "*"),
    "mod97-10": Pure(97, 10, _DIGITS),
    "mod661-26": Pure(661, 26, _LETTERS),
    "mod1271-36": Pure(1271, 36, _ALNUM),
    "mod11,10": Hybrid(_DIGITS),
    "mod27,26": Hybrid(_LETTERS),
    "mod37,36": Hybrid(_ALNUM),
}
