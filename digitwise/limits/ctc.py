"""Reading CTC columns within limits: log-probabilities [columns, classes + 1], the blank last.

search = search_columns(log_probabilities, automaton, budget=10_000)
next(search.candidates)      # the most probable code; the next call gives the second, and so on

A code's probability is the sum over all ways to spread it over the columns (Graves 2006). Prefixes are extended the
most probable first, where a prefix counts as much as all allowed codes that begin with it. That is never less than
its best code, so the first complete code is the most probable. Columns are scaled by their most probable allowed
class; what is then less probable than about 1e-300 counts as impossible.
"""

import dataclasses
import heapq
import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from digitwise.limits.automaton import NOWHERE, Automaton, IntArray
from digitwise.limits.fit import Candidate, FloatArray, Search, out_of_budget

_CHUNK = 256  # codes scored at once, to begin with: most images need no more
_NEGLIGIBLE = 1e-9  # of the probability of a list: what the codes that were not scored may add to it at most


def search_columns(log_probabilities: FloatArray, automaton: Automaton, budget: int) -> Search:
    """`automaton` counts characters, so that it has no circles."""
    columns, log_scale = _scaled(log_probabilities, (automaton.transitions != NOWHERE).any(axis=0))
    ways = _Ways.of(columns, automaton)
    total = float(ways.after_blank[0, 0])
    log_total = float(np.log(total) + log_scale) if total else -np.inf
    return Search(log_total, _candidates(columns, automaton, ways, log_scale, budget))


def _scaled(log_probabilities: FloatArray, allowed: npt.NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Probabilities with 1 for the best allowed class of each column, and the logarithm of what was divided by."""
    usable = np.append(allowed, True)
    most = log_probabilities[:, usable].max(axis=1)
    if not np.isfinite(most).all():
        return np.zeros_like(log_probabilities), 0.0  # a column in which nothing allowed is possible: no code is
    return np.exp(np.where(usable, log_probabilities - most[:, None], -np.inf)), float(most.sum())


@dataclasses.dataclass(frozen=True)
class _Ways:
    """The probability of all ways from a column on to the end of an allowed code."""

    after_blank: FloatArray  # [columns + 1, states], where the column before was blank, or there was none
    after_character: FloatArray  # [columns + 1, entries + 1], where it showed the character; the last is always 0
    entries: npt.NDArray[np.int64]  # [states, classes], which entry a character leads to; -1 where it leads nowhere

    @classmethod
    def of(cls, columns: FloatArray, automaton: Automaton) -> "_Ways":
        entries, entered_states, entered_by = _entries(automaton)
        num_columns, blank = len(columns), automaton.num_classes
        after_blank = np.zeros((num_columns + 1, automaton.num_states))
        after_character = np.zeros((num_columns + 1, len(entered_states) + 1))
        after_blank[-1] = automaton.accepts
        after_character[-1, :-1] = automaton.accepts[entered_states]
        # From the last column back: what is possible from a column on depends only on those to its right.
        for column in reversed(range(num_columns)):
            shown = columns[column]
            following = shown[:blank] * after_character[column + 1][entries]
            through_blank = shown[blank] * after_blank[column + 1]
            after_blank[column] = through_blank + following.sum(axis=1)
            after_character[column, :-1] = (
                through_blank[entered_states]
                + shown[entered_by] * after_character[column + 1, :-1]
                # Without the same character: that would continue this one, not begin a new one.
                + _without_own(following)[entered_states, entered_by]
            )
        return cls(after_blank, after_character, entries)


def _entries(automaton: Automaton) -> tuple[npt.NDArray[np.int64], IntArray, IntArray]:
    """All pairs of a state and a character that leads to it."""
    transitions = automaton.transitions.astype(np.int64)
    pairs = np.where(transitions == NOWHERE, -1, transitions * automaton.num_classes + np.arange(automaton.num_classes))
    found = np.setdiff1d(pairs, -1)
    entries = np.where(pairs == -1, -1, np.searchsorted(found, pairs))
    return entries, (found // automaton.num_classes), (found % automaton.num_classes)


def _without_own(values: FloatArray) -> FloatArray:
    """The sum of each row without each of its values in turn. Not total minus value: that may leave only rounding."""
    before = np.zeros_like(values)
    before[:, 1:] = np.cumsum(values[:, :-1], axis=1)
    behind = np.zeros_like(values)
    behind[:, :-1] = np.cumsum(values[:, :0:-1], axis=1)[:, ::-1]
    return before + behind


@dataclasses.dataclass(frozen=True)
class _Prefix:
    """A beginning of codes: `blank` and `character` hold the probabilities that the columns so far show just it and
    end with a blank, or with its last character."""

    label_ids: tuple[int, ...]
    state: int
    blank: list[float]
    character: list[float]

    @property
    def probability(self) -> float:
        return self.blank[-1] + self.character[-1]


def _candidates(
    columns: FloatArray, automaton: Automaton, ways: _Ways, log_scale: float, budget: int
) -> Iterator[Candidate]:
    rows = columns.T.tolist()
    order = itertools.count()  # so that a tie never compares prefixes
    # (-probability, order, prefix, the character that follows; None for the code that ends here)
    waiting: list[tuple[float, int, _Prefix, int | None]] = []

    def extend(prefix: _Prefix) -> None:
        ends = [(None, prefix.probability)] if automaton.accepts[prefix.state] else []
        for label_id, probability in itertools.chain(ends, _following(columns, ways, prefix)):
            if probability > 0:
                heapq.heappush(waiting, (-probability, next(order), prefix, label_id))

    extend(_Prefix((), 0, np.cumprod([1.0, *rows[-1]]).tolist(), [0.0] * (len(columns) + 1)))
    for _ in range(budget):
        if not waiting:
            return
        probability, _, prefix, label_id = heapq.heappop(waiting)
        if label_id is None:
            yield Candidate(prefix.label_ids, math.log(-probability) + log_scale)
        else:
            extend(_extended(rows, prefix, label_id, int(automaton.transitions[prefix.state, label_id])))
    for probability, _, prefix, label_id in sorted(waiting, key=lambda entry: entry[:2]):
        if label_id is None:
            yield Candidate(prefix.label_ids, math.log(-probability) + log_scale, is_exact=False)
    raise out_of_budget(budget)


def _following(columns: FloatArray, ways: _Ways, prefix: _Prefix) -> Iterator[tuple[int, float]]:
    """(label_id, the probability of all allowed codes that begin with the prefix and it)."""
    entries = ways.entries[prefix.state]
    allowed = np.flatnonzero(entries != -1)
    before = np.array(prefix.blank[:-1]), np.array(prefix.character[:-1])
    begins = columns[:, allowed] * (before[0] + before[1])[:, None]
    if prefix.label_ids:
        again = allowed == prefix.label_ids[-1]
        # A character may follow itself only after a blank; without one it would be the same character.
        begins[:, again] = columns[:, allowed[again]] * before[0][:, None]
    sums = np.einsum("ij,ij->j", begins, ways.after_character[1:, entries[allowed]])
    return zip(allowed.tolist(), sums.tolist(), strict=True)


def _extended(rows: list[list[float]], prefix: _Prefix, label_id: int, state: int) -> _Prefix:
    repeats = bool(prefix.label_ids) and prefix.label_ids[-1] == label_id
    blank, character = [0.0], [0.0]
    for column, (shown, shown_blank) in enumerate(zip(rows[label_id], rows[-1], strict=True)):
        begins = prefix.blank[column] + (0.0 if repeats else prefix.character[column])
        blank.append(shown_blank * (blank[-1] + character[-1]))
        character.append(shown * (begins + character[-1]))
    return _Prefix((*prefix.label_ids, label_id), state, blank, character)


@dataclasses.dataclass(frozen=True)
class ListedScores:
    """The codes of a list that were scored, and their log-probabilities; all others together add less than 1e-9."""

    numbers: npt.NDArray[np.int64]
    scores: FloatArray


def score_columns(log_probabilities: FloatArray, codes: IntArray) -> ListedScores:
    """Codes are scored in the order of a bound, until what is left cannot matter: mostly a few hundred of them.

    The bound: each character of the code has to appear in some column. Which characters appear is negatively
    associated, as each column shows one; so the product of their probabilities, each different character once, is an
    upper bound.
    """
    num_classes = log_probabilities.shape[1] - 1
    allowed = np.isin(np.arange(num_classes), codes)
    columns, log_scale = _scaled(log_probabilities, allowed)
    appears = np.minimum(np.exp(log_probabilities[:, :num_classes]).sum(axis=0), 1.0)
    bounds = np.append(appears, 1.0)[_once(codes)].prod(axis=1)  # -1 looks up the 1
    order = np.argsort(-bounds, kind="stable")
    # What all codes from here on may add. The bounds are probabilities, the scores are scaled.
    left = np.append(np.cumsum(bounds[order][::-1])[::-1], 0.0)
    scores = np.zeros(0)
    while (done := len(scores)) < len(codes):
        found = float(np.exp(np.log(max(scores.sum(), 1e-300)) + log_scale)) if done else 0.0
        if left[done] <= _NEGLIGIBLE * found:
            break
        # Larger and larger parts: where the first ones do not settle it, many codes are about equally probable.
        scores = np.append(scores, _forward(columns, codes[order[done : done + _CHUNK * (1 + done // _CHUNK)]]))
    with np.errstate(divide="ignore"):  # the logarithm of 0 is -inf, which is what is meant
        return ListedScores(order[: len(scores)], np.log(scores) + log_scale)


def _once(codes: IntArray) -> IntArray:
    """Each code with -1 in place of a character that it has before."""
    once = codes.copy()
    for place in range(1, codes.shape[1]):
        once[(codes[:, :place] == codes[:, place : place + 1]).any(axis=1), place] = -1
    return once


def _forward(columns: FloatArray, codes: IntArray) -> FloatArray:
    """The (scaled) probability of each code: all ways through its characters with blanks before, between, behind."""
    blank = columns.shape[1] - 1
    states = np.full((2 * codes.shape[1] + 1, len(codes)), blank)
    states[1::2] = np.where(codes == -1, blank, codes).T
    may_skip = np.zeros(states.shape, np.bool_)
    # Characters are at the odd places. One that equals the character before needs the blank between them.
    may_skip[3::2] = (states[3::2] != states[1:-2:2]) & (states[3::2] != blank)
    ways = np.zeros(states.shape)
    ways[0] = 1.0
    for shown in columns:
        after = ways.copy()
        after[1:] += ways[:-1]
        after[2:] += np.where(may_skip[2:], ways[:-2], 0.0)
        ways = after * shown[states]
    ends = 2 * (codes != -1).sum(axis=1)
    numbers = np.arange(len(codes))
    scores: FloatArray = ways[ends, numbers] + np.where(ends > 0, ways[np.maximum(ends - 1, 0), numbers], 0.0)
    return scores


def best_columns(log_probabilities: npt.NDArray[np.floating], label_ids: tuple[int, ...]) -> FloatArray:
    """The probability of each character of a code in its best column, on the most probable way through the columns."""
    if not label_ids:
        return np.zeros(0)
    num_columns, blank = len(log_probabilities), log_probabilities.shape[1] - 1
    states = [blank] + [state for label_id in label_ids for state in (label_id, blank)]
    shown = log_probabilities[:, states]
    numbers = np.arange(len(states))
    may_skip = np.array([n % 2 == 1 and n >= 3 and states[n] != states[n - 2] for n in numbers])
    ways = np.full(len(states), -np.inf)
    ways[0] = 0.0
    steps = np.zeros((num_columns, len(states)), np.int64)
    for column in range(num_columns):
        moved = np.full((3, len(states)), -np.inf)
        moved[0], moved[1, 1:] = ways, ways[:-1]
        moved[2, 2:] = np.where(may_skip[2:], ways[:-2], -np.inf)
        steps[column] = moved.argmax(axis=0)
        ways = moved.max(axis=0) + shown[column]
    # A way may end in the last character or in the blank behind it.
    state = len(states) - 1 - int(ways[-2] > ways[-1])
    best = np.full(len(states), -np.inf)
    for column in reversed(range(num_columns)):
        best[state] = max(best[state], shown[column, state])
        state -= int(steps[column, state])
    probabilities: FloatArray = np.exp(best[1::2])
    return probabilities
