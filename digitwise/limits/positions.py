"""Reading positions within limits: log-probabilities [positions, classes], or one more class, the end of a code.

search = search_positions(log_probabilities, automaton)
next(search.candidates)      # the most probable code; the next call gives the second, and so on
"""

import heapq
import itertools
from collections.abc import Iterator

import numpy as np

from digitwise.limits.automaton import NOWHERE, Automaton, IntArray
from digitwise.limits.fit import Candidate, FloatArray, Search, out_of_budget


def search_positions(log_probabilities: FloatArray, automaton: Automaton, budget: int) -> Search:
    """`automaton` counts characters: all ways to a state are equally long, and none is longer than the positions."""
    best, log_total = _backwards(log_probabilities, automaton)
    return Search(log_total, _candidates(log_probabilities, automaton, best, budget))


def score_positions(log_probabilities: FloatArray, codes: IntArray) -> FloatArray:
    """The log-probability of each code of a list, [codes, places] padded with -1."""
    lengths = (codes != -1).sum(axis=1)
    places = np.arange(codes.shape[1])
    shown = log_probabilities[places, codes]  # -1 is the last class, which is the end where lengths differ
    scores: FloatArray = np.where(places <= lengths[:, None], shown, 0.0).sum(axis=1)
    return scores


def _ending(log_probabilities: FloatArray, automaton: Automaton) -> FloatArray:
    """[positions + 1]: the log-probability that a code ends before each position."""
    ending = np.full(len(log_probabilities) + 1, -np.inf)
    ending[-1] = 0.0  # a code that fills all positions needs no end
    if log_probabilities.shape[1] > automaton.num_classes:
        ending[:-1] = log_probabilities[:, automaton.num_classes]
    return ending


def _layers(automaton: Automaton) -> list[IntArray]:
    """The states after 0, 1, 2 ... characters."""
    layers = [np.zeros(1, np.int32)]
    while len(after := np.setdiff1d(automaton.transitions[layers[-1]], NOWHERE)):
        layers.append(after)
    return layers


def _backwards(log_probabilities: FloatArray, automaton: Automaton) -> tuple[FloatArray, float]:
    """For each state the log-probability of the best way from there to an end; and that of all ways from the start."""
    ending = _ending(log_probabilities, automaton)
    # One place more, always -inf, is what NOWHERE = -1 looks up.
    best = np.full(automaton.num_states + 1, -np.inf)
    total = best.copy()
    for position, states in reversed(list(enumerate(_layers(automaton)))):
        ends = np.where(automaton.accepts[states], ending[position], -np.inf)
        best[states], total[states] = ends, ends
        if position < len(log_probabilities):
            shown, after = log_probabilities[position, : automaton.num_classes], automaton.transitions[states]
            best[states] = np.maximum(ends, (shown + best[after]).max(axis=1))
            continuing = np.logaddexp.reduce(shown + total[after], axis=1)
            total[states] = np.logaddexp(ends, continuing)
    return best, float(total[0])


def _candidates(
    log_probabilities: FloatArray, automaton: Automaton, best: FloatArray, budget: int
) -> Iterator[Candidate]:
    """A* search: what is still to come is known exactly, so each code takes as many steps as it has characters."""
    ending = _ending(log_probabilities, automaton)
    order = itertools.count()  # so that a tie never compares states
    # (-bound, order, the log-probability so far, characters, state; None once the code is complete)
    waiting: list[tuple[float, int, float, tuple[int, ...], int | None]] = [(-best[0], next(order), 0.0, (), 0)]
    for _ in range(budget):
        if not waiting or waiting[0][0] == np.inf:
            return
        bound, _, so_far, characters, state = heapq.heappop(waiting)
        if state is None:
            yield Candidate(characters, -bound)
            continue
        position = len(characters)
        if automaton.accepts[state]:
            heapq.heappush(waiting, (-(so_far + ending[position]), next(order), so_far, characters, None))
        if position == len(log_probabilities):
            continue
        for label_id in np.flatnonzero(automaton.transitions[state] != NOWHERE).tolist():
            after = int(automaton.transitions[state, label_id])
            reached = so_far + float(log_probabilities[position, label_id])
            heapq.heappush(waiting, (-(reached + best[after]), next(order), reached, (*characters, label_id), after))
    raise out_of_budget(budget)
