"""Limits on what is read: the most probable code that fits them, never a repair of one that does not.

limits = Limits(pattern=r"[A-Z]{2}\\d{4}", check_digit="luhn")
compiled = limits.compile(alphabet, min_length=4, max_length=6)
fit = compiled.read_positions(log_probabilities)      # read_columns for ctc; None if no code that fits is possible
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from digitwise.errors import ReaderError
from digitwise.limits.automaton import (
    Automaton,
    IntArray,
    characters_automaton,
    from_steps,
    intersect,
    lengths_automaton,
    trim,
)
from digitwise.limits.check_digits import CHECK_DIGITS
from digitwise.limits.ctc import score_columns, search_columns
from digitwise.limits.fit import Fit, FloatArray, Search, finite, log_sum
from digitwise.limits.patterns import pattern_automaton
from digitwise.limits.positions import score_positions, search_positions

DEFAULT_BUDGET = 3_000  # on an image of noise about half a second


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a code has to be; what is empty allows everything. All of them hold together."""

    characters: str = ""
    lengths: tuple[int, ...] = ()
    pattern: str = ""  # a regular expression for the whole code
    codes: tuple[str, ...] = ()  # the only codes there are
    check_digit: str = ""  # a key of CHECK_DIGITS
    function: Callable[[str], bool] | None = None
    budget: int = DEFAULT_BUDGET  # steps of a search before it is cut off

    def __post_init__(self) -> None:
        if self.check_digit and self.check_digit not in CHECK_DIGITS:
            raise ReaderError(f"the check digit {self.check_digit!r} is not one of {', '.join(CHECK_DIGITS)}")
        if self.budget < 1:
            raise ReaderError(f"a search takes at least 1 step, not {self.budget}")

    @property
    def is_empty(self) -> bool:
        return not (self.characters or self.lengths or self.pattern or self.codes or self.check_digit or self.function)

    def compile(self, alphabet: str, min_length: int, max_length: int) -> "CompiledLimits":
        """For a model that reads codes of these characters and lengths; ReaderError where no code is left."""
        allowed = self._automaton(alphabet, min_length, max_length)
        # A list needs no automaton once its codes have been held against the other limits.
        if not self.codes:
            if allowed.is_empty:
                raise ReaderError(f"no code of {_lengths(min_length, max_length)} fits the limits")
            return CompiledLimits(alphabet, self.budget, automaton=allowed, function=self.function)
        return CompiledLimits(alphabet, self.budget, codes=self._listed(alphabet, allowed, max_length))

    def _automaton(self, alphabet: str, min_length: int, max_length: int) -> Automaton:
        lengths = [n for n in range(min_length, max_length + 1) if not self.lengths or n in self.lengths]
        if not lengths:
            raise ReaderError(
                f"the limits allow lengths of {', '.join(map(str, self.lengths))}, but the model reads codes of "
                f"{_lengths(min_length, max_length)}"
            )
        automaton = lengths_automaton(len(alphabet), lengths)
        if self.characters:
            _check_known(self.characters, alphabet)
            automaton = intersect(automaton, characters_automaton(alphabet, self.characters))
        if self.pattern:
            automaton = intersect(automaton, pattern_automaton(self.pattern, alphabet))
        if self.check_digit:
            automaton = intersect(automaton, from_steps(CHECK_DIGITS[self.check_digit], alphabet))
        return trim(automaton)

    def _listed(self, alphabet: str, allowed: Automaton, max_length: int) -> IntArray:
        numbers = {character: number for number, character in enumerate(alphabet)}
        rows = []
        for code in dict.fromkeys(self.codes):
            if len(code) > max_length or not numbers.keys() >= set(code):
                continue  # the model cannot read it
            label_ids = [numbers[character] for character in code]
            if allowed.accepts_code(label_ids) and (self.function is None or self.function(code)):
                rows.append(label_ids + [-1] * (max_length - len(code)))
        if not rows:
            raise ReaderError(f"none of the {len(self.codes):,} listed codes can be read within the other limits")
        return np.array(rows, np.int32)


@dataclasses.dataclass(frozen=True)
class CompiledLimits:
    """Limits made ready for one model: either a list of codes, or an automaton and perhaps a function."""

    alphabet: str
    budget: int
    automaton: Automaton | None = None
    codes: IntArray | None = None
    function: Callable[[str], bool] | None = None

    def read_positions(self, log_probabilities: npt.ArrayLike) -> Fit | None:
        """Of log-probabilities [positions, classes], or with one more class, the end of a code."""
        values = finite(log_probabilities)
        if self.codes is not None:
            return self._best_listed(np.arange(len(self.codes)), score_positions(values, self.codes))
        assert self.automaton is not None
        return self._first_fitting(search_positions(values, self.automaton, self.budget))

    def read_columns(self, log_probabilities: npt.ArrayLike) -> Fit | None:
        """Of log-probabilities [columns, classes + 1] of a ctc readout, the blank last."""
        values = finite(log_probabilities)
        if self.codes is not None:
            listed = score_columns(values, self.codes)
            return self._best_listed(listed.numbers, listed.scores)
        assert self.automaton is not None
        return self._first_fitting(search_columns(values, self.automaton, self.budget))

    def _best_listed(self, numbers: npt.NDArray[np.int64], scores: FloatArray) -> Fit | None:
        assert self.codes is not None
        best = int(scores.argmax())
        if not np.isfinite(scores[best]):
            return None
        row = self.codes[numbers[best]]
        return _fit(tuple(row[row != -1].tolist()), float(scores[best]), log_sum(scores), is_exact=True)

    def _first_fitting(self, search: Search) -> Fit | None:
        rejected = 0.0
        for candidate in search.candidates:
            if self.function is None or self.function(self.text(candidate.label_ids)):
                log_total = search.log_total
                if rejected:
                    # What the function refused so far is taken off the total; it may refuse more, so `among_fitting` is
                    # a lower bound.
                    log_total += math.log1p(-min(rejected / math.exp(search.log_total), 1 - 1e-15))
                return _fit(candidate.label_ids, candidate.log_probability, log_total, candidate.is_exact)
            rejected += math.exp(candidate.log_probability)
        return None

    def text(self, label_ids: Iterable[int]) -> str:
        return "".join(self.alphabet[label_id] for label_id in label_ids)


def _fit(label_ids: tuple[int, ...], log_probability: float, log_total: float, is_exact: bool) -> Fit:
    # Rounding may put a single code a hair above all of them.
    among = min(math.exp(log_probability - log_total), 1.0)
    return Fit(label_ids, math.exp(log_probability), among, is_exact)


def _lengths(minimum: int, maximum: int) -> str:
    return f"{minimum} characters" if minimum == maximum else f"{minimum} to {maximum} characters"


def _check_known(characters: Sequence[str], alphabet: str) -> None:
    unknown = [character for character in characters if character not in alphabet]
    if len(unknown) == len(characters):
        raise ReaderError(f"none of the characters {''.join(characters)!r} is in the model's alphabet {alphabet!r}")
