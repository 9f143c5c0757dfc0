"""The engine of a Ray cluster: the same pieces of work as in worker processes, on every node that may take part.

with cluster_engine("auto", requirements) as engine:
    for piece, result in engine.run_pieces(function, pieces): ...
"""

import collections
import contextlib
import dataclasses
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Generic, TypeVar

from pipeline.cluster.nodes import Nodes, raise_error
from pipeline.cluster.ray_cluster import LostWork, Node, RayCluster, Ticket, connected
from pipeline.cluster.requirements import Requirements, copy_code, temporary_code
from pipeline.cluster.work import Order, Outcome, carry_out, result_of
from records.errors import DigitwiseError, counted

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_AHEAD = 2  # pieces submitted per core: one in work, one that waits so that no core does
_WAIT_SECONDS = 1.0
_END_SECONDS = 30.0  # for pieces that are under way when a run ends early
_ATTEMPTS = 4  # at a piece whose worker process died


@contextlib.contextmanager
def cluster_engine(address: str, requirements: Requirements, workers: int = 0) -> Iterator["ClusterEngine"]:
    """Connects, and refuses nodes that differ before any work is done; `workers` limits the pieces at one time."""
    requirements.proof_path.touch()
    try:
        with temporary_code() as code:
            copy_code(code)
            with connected(address, code) as cluster:
                nodes = Nodes(cluster, requirements)
                nodes.check()
                yield ClusterEngine(cluster, requirements, nodes, workers)
    finally:
        requirements.withdraw()


@dataclasses.dataclass(frozen=True)
class _Placed(Generic[Piece]):
    """A piece that a node works on; `number` tells pieces apart."""

    number: int
    piece: Piece
    node: Node


class _Work(Generic[Piece, Result]):
    """The state of one run over pieces: which wait, which run where, and which are not finished yet."""

    def __init__(self, function: Callable[[Piece], Result], pieces: Iterable[Piece]) -> None:
        self.function = function
        self.running: dict[Ticket, _Placed[Piece]] = {}
        self.load: collections.Counter[str] = collections.Counter()  # calls by the id of their node
        self.unfinished: set[int] = set()
        self.is_all_submitted = False
        self._waiting = enumerate(pieces)
        self._again: collections.deque[_Placed[Piece]] = collections.deque()
        self._lost: collections.Counter[int] = collections.Counter()

    def next(self) -> tuple[int, Piece] | None:
        """What to do next, with its number: pieces to be done again come first."""
        while self._again:
            placed = self._again.popleft()
            if placed.number in self.unfinished:  # else the node that was taken for lost finished it after all
                return placed.number, placed.piece
        found = next(self._waiting, None)
        self.is_all_submitted = found is None
        return found

    def add(self, ticket: Ticket, placed: _Placed[Piece]) -> None:
        self.running[ticket] = placed
        self.load[placed.node.id] += 1
        self.unfinished.add(placed.number)

    def take(self, ticket: Ticket) -> _Placed[Piece]:
        placed = self.running.pop(ticket)
        self.load[placed.node.id] -= 1
        return placed

    def do_again(self, placed: _Placed[Piece]) -> None:
        self._again.append(placed)

    def note_loss(self, placed: _Placed[Piece]) -> None:
        self._lost[placed.number] += 1
        if self._lost[placed.number] >= _ATTEMPTS:
            raise DigitwiseError(
                f"the worker process of one piece died {_ATTEMPTS} times, the last time on node {placed.node.name} (it "
                "may be out of memory); run the same command again to continue"
            )
        self.do_again(placed)


class ClusterEngine:
    """Pieces are submitted a few at a time, so the driver's memory does not grow with their number.

    Each is placed on a node by name, not by Ray: so it is known which pieces a silent node had, and they can be done
    elsewhere at once. Ray itself notices such a node after a minute or more, and its keepalive, which would be
    quicker, also ends calls that are well but take longer than a few of its periods.
    """

    def __init__(self, cluster: RayCluster, requirements: Requirements, nodes: Nodes, workers: int = 0) -> None:
        self.cluster, self.requirements, self.nodes = cluster, requirements, nodes
        self._workers = workers

    @property
    def place(self) -> str:
        count = len(self.nodes.usable)
        return f" on {counted(count, 'node')}"

    def run_pieces(
        self, function: Callable[[Piece], Result], pieces: Iterable[Piece]
    ) -> Generator[tuple[Piece, Result], None, None]:
        """Yields (piece, function(piece)) as they finish. A piece whose node is lost is done again on another; where
        the first one finishes after all, that counts too."""
        work = _Work(function, pieces)
        try:
            while self._fill(work):
                done = self.cluster.wait(work.running, _WAIT_SECONDS)
                for node in self.nodes.look():
                    for placed in work.running.values():
                        if placed.node == node:
                            work.do_again(placed)
                for ticket in done:
                    placed = work.take(ticket)
                    if placed.number not in work.unfinished:
                        continue
                    try:
                        outcome: Outcome = self.cluster.outcome(ticket)
                    except LostWork:
                        self.nodes.doubt(placed.node)
                        work.note_loss(placed)
                        continue
                    raise_error(outcome, placed.node.name)
                    work.unfinished.discard(placed.number)
                    yield placed.piece, result_of(outcome)
        finally:
            if work.running and work.unfinished:
                self._end(work)

    def _end(self, work: _Work[Piece, Result]) -> None:
        """Nobody wants the other pieces any more: those that are under way are finished, the others not begun."""
        self.requirements.withdraw()
        usable = set(self.nodes.usable)
        running = [ticket for ticket, placed in work.running.items() if placed.node in usable]
        self.cluster.wait_for_all(running, _END_SECONDS)

    def _fill(self, work: _Work[Piece, Result]) -> bool:
        """Submits pieces until every node has enough of them; the result is whether there is more to do."""
        while node := self._free_node(work.load):
            found = work.next()
            if found is None:
                break
            number, piece = found
            order = Order(self.requirements, pickle.dumps((work.function, piece)))
            work.add(self.cluster.submit(carry_out, order, node), _Placed(number, piece, node))
        return bool(work.unfinished) or not work.is_all_submitted

    def _free_node(self, load: collections.Counter[str]) -> Node | None:
        """The node with the most room."""
        usable = self.nodes.usable
        if self._workers and sum(load[node.id] for node in usable) >= self._workers:
            return None
        room, node = max(((_AHEAD * n.cpus - load[n.id], n) for n in usable), key=_room, default=(0, None))
        return node if room > 0 else None


def _room(pair: tuple[int, Node]) -> int:
    return pair[0]
