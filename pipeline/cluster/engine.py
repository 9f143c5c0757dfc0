"""The engine of a Ray cluster: the same pieces of work as in worker processes, on every node that may take part.

with cluster_engine("auto", requirements) as engine:
    for piece, result in engine.run_pieces(function, pieces): ...
"""

import contextlib
import pickle
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from pipeline.cluster.ray_cluster import LostWork, Node, RayCluster, Ticket, connected
from pipeline.cluster.requirements import Requirements, copy_code, remove_proofs, temporary_code
from pipeline.cluster.work import Order, Outcome, carry_out, result_of
from records.errors import DigitwiseError, printable

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_AHEAD = 2  # pieces submitted per core: one in work, one that waits so that no core does
_LOOK_SECONDS = 3.0  # between looks at the nodes
_CHECK_SECONDS = 20.0  # for a node to start its first worker
_HEAD_LOOKS = 4  # without an answer, after which the head is taken for gone


@contextlib.contextmanager
def cluster_engine(address: str, requirements: Requirements, workers: int = 0) -> Iterator["ClusterEngine"]:
    """Connects, and refuses nodes that differ before any work is done; `workers` limits the pieces at one time."""
    remove_proofs(requirements.folder)
    requirements.proof_path.touch()
    try:
        with temporary_code() as code:
            copy_code(code)
            with connected(address, code) as cluster:
                check_nodes(cluster, requirements)
                yield ClusterEngine(cluster, requirements, workers)
    finally:
        requirements.proof_path.unlink(missing_ok=True)


def check_nodes(cluster: RayCluster, requirements: Requirements, seconds: float = _CHECK_SECONDS) -> None:
    """Raises where a node differs from this machine. One that does not answer is left to Ray: it may be lost already,
    and if it comes back it is checked before it works."""
    asked = {cluster.submit(carry_out, Order(requirements), node): node for node in cluster.nodes()}
    if not sum(node.cpus for node in asked.values()):
        raise DigitwiseError(f"none of the {len(asked)} nodes of the cluster offers a CPU: start nodes that do")
    refused, silent = [], []
    end = time.monotonic() + seconds
    while asked and time.monotonic() < end:
        for ticket in cluster.wait(asked, _LOOK_SECONDS):
            node = asked.pop(ticket)
            try:
                outcome: Outcome = cluster.outcome(ticket)
            except LostWork:
                silent.append(node)
                continue
            raise_error(outcome, node.name)
            refused += [refusal(node.name, outcome)] if outcome.unmet else []
    if refused:
        raise DigitwiseError("\n".join(sorted(refused)))
    for node in (*silent, *asked.values()):
        print(f"cluster: node {printable(node.name)} does not answer; the work begins without it", flush=True)
    cluster.cancel(list(asked))


def refusal(name: str, outcome: Outcome) -> str:
    return (
        f"node {printable(name)} may not take part, because its files could differ: "
        f"{printable('; '.join(outcome.unmet), 1000)}. Make it like this machine, or take it out of the cluster"
    )


class ClusterEngine:
    """Pieces are submitted a few at a time, so the driver's memory does not grow with their number."""

    def __init__(self, cluster: RayCluster, requirements: Requirements, workers: int = 0) -> None:
        self._cluster = cluster
        self._requirements = requirements
        self._workers = workers
        self._watch = NodeWatch(cluster)

    @property
    def place(self) -> str:
        count = len(self._watch.nodes)
        return f" on {count} node{'' if count == 1 else 's'}"

    def run_pieces(
        self, function: Callable[[Piece], Result], pieces: Iterable[Piece]
    ) -> Generator[tuple[Piece, Result], None, None]:
        """Yields (piece, function(piece)) as they finish. A piece whose node is lost is done again on another."""
        submitted: dict[Ticket, Piece] = {}
        try:
            for piece in pieces:
                submitted[self._submit(function, piece)] = piece
                while len(submitted) >= self._most:
                    yield from self._finished(submitted)
            while submitted:
                yield from self._finished(submitted)
        finally:
            self._cluster.cancel(list(submitted))

    @property
    def _most(self) -> int:
        cores = sum(node.cpus for node in self._watch.nodes)
        return self._workers or max(1, _AHEAD * cores)

    def _submit(self, function: Callable[[Piece], Result], piece: Piece) -> Ticket:
        return self._cluster.submit(carry_out, Order(self._requirements, pickle.dumps((function, piece))))

    def _finished(self, submitted: dict[Ticket, Piece]) -> Iterator[tuple[Piece, Result]]:
        """Waits for one piece or more, and removes what has finished."""
        done = self._cluster.wait(submitted, _LOOK_SECONDS)
        self._watch.look()
        for ticket in done:
            outcome: Outcome = self._cluster.outcome(ticket)
            if outcome.unmet:  # a node that joined after the others were checked
                raise DigitwiseError(refusal(outcome.host, outcome))
            raise_error(outcome, outcome.host)
            yield submitted.pop(ticket), result_of(outcome)


class NodeWatch:
    """The nodes as they come and go, told in a line each; raises where the head has gone."""

    def __init__(self, cluster: RayCluster, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster, self._clock = cluster, clock
        self._looked = clock()
        self._silent = 0
        self.nodes: tuple[Node, ...] = tuple(cluster.nodes())

    def look(self) -> None:
        if self._clock() - self._looked < _LOOK_SECONDS:
            return
        self._looked = self._clock()
        if not self._cluster.head_answers():
            self._silent += 1
            if self._silent >= _HEAD_LOOKS:
                raise DigitwiseError("the head of the cluster is gone: start it, then run the same command to continue")
            return
        self._silent = 0
        before, self.nodes = self.nodes, tuple(self._cluster.nodes())
        for node in before:
            if node not in self.nodes:
                print(f"cluster: lost node {printable(node.name)}; its pieces are done again elsewhere", flush=True)
        for node in self.nodes:
            if node not in before:
                print(f"cluster: node {printable(node.name)} joined", flush=True)


def raise_error(outcome: Outcome, name: str) -> None:
    """Raises what a piece raised: in one line what users can fix, with the node's traceback what they cannot."""
    error = outcome.error
    if error is None:
        return
    if isinstance(error, DigitwiseError):
        raise DigitwiseError(f"{error} (on node {printable(name)})")
    error.add_note(f"on node {printable(name)}:\n{outcome.trace}")
    raise error
