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
from pipeline.cluster.requirements import Requirements, copy_code, remove_proofs, temporary_code
from pipeline.cluster.work import Order, Outcome, carry_out, result_of
from records.errors import DigitwiseError

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_AHEAD = 2  # pieces submitted per core: one in work, one that waits so that no core does
_WAIT_SECONDS = 1.0
_ATTEMPTS = 4  # at a piece whose worker process died


@contextlib.contextmanager
def cluster_engine(address: str, requirements: Requirements, workers: int = 0) -> Iterator["ClusterEngine"]:
    """Connects, and refuses nodes that differ before any work is done; `workers` limits the pieces at one time."""
    remove_proofs(requirements.folder)
    requirements.proof_path.touch()
    try:
        with temporary_code() as code:
            copy_code(code)
            with connected(address, code) as cluster:
                nodes = Nodes(cluster, requirements)
                nodes.check()
                yield ClusterEngine(cluster, requirements, nodes, workers)
    finally:
        requirements.proof_path.unlink(missing_ok=True)


@dataclasses.dataclass(frozen=True)
class _Placed(Generic[Piece]):
    """A piece that a node works on; `number` tells pieces apart."""

    number: int
    piece: Piece
    node: Node


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
        return f" on {count} node{'' if count == 1 else 's'}"

    def run_pieces(
        self, function: Callable[[Piece], Result], pieces: Iterable[Piece]
    ) -> Generator[tuple[Piece, Result], None, None]:
        """Yields (piece, function(piece)) as they finish. A piece whose node is lost is done again on another; what it
        still brings about there counts as well, as a piece may be done twice."""
        waiting = iter(enumerate(pieces))
        again: collections.deque[tuple[int, Piece]] = collections.deque()
        running: dict[Ticket, _Placed[Piece]] = {}
        unfinished: set[int] = set()
        lost: collections.Counter[int] = collections.Counter()
        try:
            while True:
                self._fill(function, again, waiting, running, unfinished)
                if not unfinished:
                    return
                done = self.cluster.wait(running, _WAIT_SECONDS)
                for node in self.nodes.look():
                    again.extend((p.number, p.piece) for p in running.values() if p.node == node)
                for ticket in done:
                    placed = running.pop(ticket)
                    if placed.number not in unfinished:
                        continue
                    outcome = self._outcome(ticket)
                    if outcome is None:
                        self.nodes.doubt(placed.node)
                        lost[placed.number] += 1
                        _check_attempts(lost[placed.number], placed.node)
                        again.append((placed.number, placed.piece))
                        continue
                    raise_error(outcome, placed.node.name)
                    unfinished.discard(placed.number)
                    yield placed.piece, result_of(outcome)
        finally:
            # A call to a node that does not answer cannot be cancelled: trying takes a minute.
            self.cluster.cancel([ticket for ticket, placed in running.items() if placed.node in self.nodes.usable])

    def _fill(
        self,
        function: Callable[[Piece], Result],
        again: collections.deque[tuple[int, Piece]],
        waiting: Iterator[tuple[int, Piece]],
        running: dict[Ticket, _Placed[Piece]],
        unfinished: set[int],
    ) -> None:
        """Submits pieces until every node has enough of them, those to be done again first."""
        while node := self._free_node(running):
            while again and again[0][0] not in unfinished:
                again.popleft()  # the node that was taken for lost finished it after all
            found = again.popleft() if again else next(waiting, None)
            if found is None:
                return
            number, piece = found
            unfinished.add(number)
            order = Order(self.requirements, pickle.dumps((function, piece)))
            running[self.cluster.submit(carry_out, order, node)] = _Placed(number, piece, node)

    def _free_node(self, running: dict[Ticket, _Placed[Piece]]) -> Node | None:
        """The node with the most room."""
        taken = collections.Counter(placed.node.id for placed in running.values())
        usable = self.nodes.usable
        if self._workers and sum(taken[node.id] for node in usable) >= self._workers:
            return None
        free = [(_AHEAD * node.cpus - taken[node.id], node) for node in usable]
        room, node = max(free, key=lambda pair: pair[0], default=(0, None))
        return node if room > 0 else None

    def _outcome(self, ticket: Ticket) -> Outcome | None:
        try:
            outcome: Outcome = self.cluster.outcome(ticket)
        except LostWork:
            return None
        return outcome


def _check_attempts(count: int, node: Node) -> None:
    if count >= _ATTEMPTS:
        raise DigitwiseError(
            f"the worker process of one piece died {count} times, the last time on node {node.name} (it may be out of "
            "memory); run the same command again to continue"
        )
