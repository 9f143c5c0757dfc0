r"""Regular expressions as automata, so that the most probable code that matches can be found without trying codes.

automaton = pattern_automaton(r"[A-Z]{2}-?\d{4}", alphabet)

Python's own parser reads the pattern, and the whole code has to match. What needs a memory (back references, look
ahead and behind, possessive and atomic groups) is refused.
"""

import re
from collections.abc import Hashable, Sequence
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any, TypeAlias

from digitwise.errors import ReaderError
from digitwise.limits.automaton import Automaton, from_steps

# Far more than a code of 64 characters needs: they stop patterns such as (a{1000}){1000}, which would fill the memory.
MAX_REPEAT = 1000
MAX_PARTS = 20_000

Part: TypeAlias = tuple[Any, Any]
_NEGATED = {sre.CATEGORY_NOT_DIGIT: r"\D", sre.CATEGORY_NOT_SPACE: r"\S", sre.CATEGORY_NOT_WORD: r"\W"}
_CATEGORIES = {sre.CATEGORY_DIGIT: r"\d", sre.CATEGORY_SPACE: r"\s", sre.CATEGORY_WORD: r"\w", **_NEGATED}
_BEGINNINGS = (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING)
_ENDS = (sre.AT_END, sre.AT_END_STRING)
_REFUSED = {
    "GROUPREF": "a back reference",
    "GROUPREF_EXISTS": "a conditional group",
    "ASSERT": "look-ahead or look-behind",
    "ASSERT_NOT": "look-ahead or look-behind",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repeat",
    "AT": r"^, $ or \b inside the pattern",
}


def pattern_automaton(pattern: str, alphabet: Sequence[str]) -> Automaton:
    """The codes that match as a whole; ReaderError where the pattern is none, or cannot be a limit."""
    try:
        # A private module of Python's, so named since 3.11: a parser of our own would read some patterns differently.
        parsed = sre_parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ReaderError(f"the pattern {pattern!r} is not a regular expression ({error})") from None
    builder = _Builder(pattern, parsed.state.flags)
    return from_steps(builder.build(_without_anchors(list(parsed))), alphabet)


def _without_anchors(parts: list[Part]) -> list[Part]:
    """A ^ at the beginning and a $ at the end say what holds anyway."""
    if parts and parts[0][0] is sre.AT and parts[0][1] in _BEGINNINGS:
        parts = parts[1:]
    if parts and parts[-1][0] is sre.AT and parts[-1][1] in _ENDS:
        parts = parts[:-1]
    return parts


class _Nfa:
    """Thompson's automaton, walked as sets of states."""

    def __init__(self) -> None:
        self.silent: list[list[int]] = []  # moves without a character
        self.tests: list[Part | None] = []  # what a character has to be to leave this state ...
        self.targets: list[int] = []  # ... for that one
        self.end = 0
        self.flags = 0

    def new_state(self) -> int:
        self.silent.append([])
        self.tests.append(None)
        self.targets.append(0)
        return len(self.silent) - 1

    def start(self) -> Hashable:
        return self._closure([0])

    def step(self, state: Hashable, character: str) -> Hashable | None:
        assert isinstance(state, frozenset)
        after = [self.targets[number] for number in state if self._passes(self.tests[number], character)]
        return self._closure(after) if after else None

    def accepts(self, state: Hashable) -> bool:
        assert isinstance(state, frozenset)
        return self.end in state

    def _closure(self, states: list[int]) -> frozenset[int]:
        found, waiting = set(states), list(states)
        while waiting:
            for after in self.silent[waiting.pop()]:
                if after not in found:
                    found.add(after)
                    waiting.append(after)
        return frozenset(found)

    def _passes(self, test: Part | None, character: str) -> bool:
        if test is None:
            return False
        cases = {character}
        if self.flags & re.IGNORECASE:
            # The upper case of ß is two letters.
            cases |= {case for case in (character.lower(), character.upper()) if len(case) == 1}
        return _matches(test, cases, self.flags)


class _Builder:
    def __init__(self, pattern: str, flags: int) -> None:
        self.pattern = pattern
        self.nfa = _Nfa()
        self.nfa.flags = flags

    def build(self, parts: list[Part]) -> _Nfa:
        self.nfa.end = self._sequence(parts, self.nfa.new_state())
        return self.nfa

    def _sequence(self, parts: Sequence[Part], begin: int) -> int:
        for part in parts:
            begin = self._part(part, begin)
        return begin

    def _part(self, part: Part, begin: int) -> int:
        kind, value = part
        if kind in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN):
            return self._character(part, begin)
        if kind is sre.SUBPATTERN:
            _, added, removed, inside = value
            if added or removed:
                raise self._refused("flags for a group")
            return self._sequence(inside, begin)
        if kind is sre.BRANCH:
            return self._branches(value[1], begin)
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):  # greed decides how a code is cut up, not whether it matches
            return self._repeat(value, begin)
        raise self._refused(_REFUSED.get(str(kind), str(kind)))

    def _character(self, part: Part, begin: int) -> int:
        if len(self.nfa.silent) > MAX_PARTS:
            raise self._refused(f"more than {MAX_PARTS:,} parts")
        end = self.nfa.new_state()
        test = self.nfa.new_state()  # a state of its own, as each has one test
        self.nfa.silent[begin].append(test)
        self.nfa.tests[test], self.nfa.targets[test] = part, end
        return end

    def _branches(self, branches: Sequence[Sequence[Part]], begin: int) -> int:
        end = self.nfa.new_state()
        for branch in branches:
            first = self.nfa.new_state()
            self.nfa.silent[begin].append(first)
            self.nfa.silent[self._sequence(branch, first)].append(end)
        return end

    def _repeat(self, repeat: tuple[int, Any, Sequence[Part]], begin: int) -> int:
        minimum, maximum, inside = repeat
        unlimited = maximum is sre.MAXREPEAT
        if minimum > MAX_REPEAT or (not unlimited and maximum > MAX_REPEAT):
            raise self._refused(f"more than {MAX_REPEAT:,} repeats")
        for _ in range(minimum):
            begin = self._sequence(inside, begin)
        end = self.nfa.new_state()
        if unlimited:
            again = self.nfa.new_state()
            self.nfa.silent[begin].append(again)
            self.nfa.silent[self._sequence(inside, again)].append(again)
            self.nfa.silent[again].append(end)
            return end
        for _ in range(maximum - minimum):
            self.nfa.silent[begin].append(end)
            begin = self._sequence(inside, begin)
        self.nfa.silent[begin].append(end)
        return end

    def _refused(self, what: str) -> ReaderError:
        return ReaderError(f"the pattern {self.pattern!r} has {what}, which limits do not support; use a function")


def _matches(test: Part, cases: set[str], flags: int) -> bool:
    kind, value = test
    if kind is sre.ANY:
        return True  # an alphabet has no line break
    if kind in (sre.LITERAL, sre.NOT_LITERAL):
        return (chr(value) in cases) == (kind is sre.LITERAL)
    if kind is sre.RANGE:
        return any(value[0] <= ord(case) <= value[1] for case in cases)
    if kind is sre.CATEGORY:
        # By `re` itself, so that \d and \w take what they take in Python.
        return any(re.fullmatch(_CATEGORIES[value], case, flags & re.ASCII) for case in cases)
    assert kind is sre.IN, kind
    negated = bool(value) and value[0][0] is sre.NEGATE
    return any(_matches(item, cases, flags) for item in value[negated:]) != negated
