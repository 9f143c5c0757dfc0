"""Finite automata over the classes of a model: which codes a limit allows.

automaton = intersect(lengths_automaton(10, {4, 6}), other)
automaton.accepts_code([4, 0, 7, 1])
"""

import dataclasses
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from digitwise.errors import ReaderError

NOWHERE = -1
MAX_STATES = 200_000  # tables of up to 62 classes then stay below 50 MB
MAX_STEP_STATES = 20_000  # where a rule in Python gives them one by one

IntArray = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


class Steps(Protocol):
    """An automaton given by its rule: states may be any hashable values, and None is the state of no return."""

    def start(self) -> Hashable: ...

    def step(self, state: Hashable, character: str) -> Hashable | None: ...

    def accepts(self, state: Hashable) -> bool: ...


@dataclasses.dataclass(frozen=True)
class Automaton:
    """A deterministic automaton that starts in state 0."""

    transitions: IntArray  # [states, classes], the next state, or NOWHERE
    accepts: BoolArray  # [states]

    @property
    def num_states(self) -> int:
        return len(self.accepts)

    @property
    def num_classes(self) -> int:
        return int(self.transitions.shape[1])

    @property
    def is_empty(self) -> bool:
        """Whether no code at all is accepted; only a trimmed automaton can tell."""
        return not self.accepts.any()

    def accepts_code(self, label_ids: Iterable[int]) -> bool:
        state = 0
        for label_id in label_ids:
            state = int(self.transitions[state, label_id])
            if state == NOWHERE:
                return False
        return bool(self.accepts[state])


def from_steps(steps: Steps, alphabet: Sequence[str]) -> Automaton:
    """All states that can be reached with the characters of the alphabet."""
    numbers: dict[Hashable, int] = {steps.start(): 0}
    states = [steps.start()]
    rows: list[list[int]] = []
    for state in states:  # grows while it is walked
        row = []
        for character in alphabet:
            after = steps.step(state, character)
            if after is not None and after not in numbers:
                numbers[after] = len(states)
                states.append(after)
                _check_size(len(states), MAX_STEP_STATES)
            row.append(NOWHERE if after is None else numbers[after])
        rows.append(row)
    accepts = np.array([steps.accepts(state) for state in states], np.bool_)
    return Automaton(np.array(rows, np.int32).reshape(len(states), len(alphabet)), accepts)


def lengths_automaton(num_classes: int, lengths: Collection[int]) -> Automaton:
    """All codes of these lengths. A state is the number of characters so far."""
    longest = max(lengths, default=0)
    transitions = np.repeat(np.arange(1, longest + 2, dtype=np.int32)[:, None], num_classes, axis=1)
    transitions[longest] = NOWHERE
    return Automaton(transitions, np.isin(np.arange(longest + 1), list(lengths)))


def characters_automaton(alphabet: Sequence[str], allowed: Collection[str]) -> Automaton:
    """All codes of these characters."""
    row = [0 if character in allowed else NOWHERE for character in alphabet]
    return Automaton(np.array([row], np.int32), np.array([True]))


def intersect(first: Automaton, second: Automaton) -> Automaton:
    """The codes that both accept. Only pairs of states that can be reached are kept."""
    width = second.num_states
    known = np.zeros(1, np.int64)  # pairs as one number, sorted
    frontier = known
    while len(frontier):
        after = _pairs_after(first, second, frontier)
        # Breadth first, a whole layer at a time: state by state Python would take seconds for a long list of pairs.
        frontier = np.setdiff1d(after[after != NOWHERE], known)
        known = np.union1d(known, frontier)
        _check_size(len(known), MAX_STATES)
    after = _pairs_after(first, second, known)
    # Pair 0 is (0, 0), the least number, so the start stays state 0.
    transitions = np.where(after == NOWHERE, NOWHERE, np.searchsorted(known, after)).astype(np.int32)
    return Automaton(transitions, first.accepts[known // width] & second.accepts[known % width])


def trim(automaton: Automaton) -> Automaton:
    """Without the states from which nothing is accepted."""
    useful = automaton.accepts.copy()
    while True:
        leads_on = np.where(automaton.transitions == NOWHERE, False, useful[automaton.transitions]).any(axis=1)
        if not (leads_on & ~useful).any():
            break
        # Backwards from the accepting states, one step at a time, until nothing is added.
        useful |= leads_on
    useful[0] = True  # the start stays, even where nothing is accepted
    numbers = np.where(useful, np.cumsum(useful) - 1, NOWHERE).astype(np.int32)
    kept = automaton.transitions[useful]
    return Automaton(np.where(kept == NOWHERE, NOWHERE, numbers[kept]), automaton.accepts[useful])


def _pairs_after(first: Automaton, second: Automaton, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    one = first.transitions[pairs // second.num_states].astype(np.int64)
    two = second.transitions[pairs % second.num_states]
    return np.where((one == NOWHERE) | (two == NOWHERE), NOWHERE, one * second.num_states + two)


def _check_size(num_states: int, most: int) -> None:
    if num_states > most:
        raise ReaderError(
            f"the limits need more than {most:,} states: take a simpler regular expression, or a list of codes"
        )
