"""The nodes of a cluster as they come and go: which of them may work now.

nodes = Nodes(cluster, requirements)
nodes.check()                               # raises where a node differs from this machine
for node in nodes.look(): print("silent")   # now and then
"""

import dataclasses
import time
from collections.abc import Callable

from pipeline.cluster.ray_cluster import LostWork, Node, RayCluster, Ticket
from pipeline.cluster.requirements import Requirements
from pipeline.cluster.work import Order, Outcome, carry_out
from records.errors import DigitwiseError, UnusableImages, printable

_LOOK_SECONDS = 3.0  # between looks
_SILENT_SECONDS = 15.0  # without an answer, after which others do what a node was doing
_CHECK_SECONDS = 30.0  # for nodes to start their first worker process, before the work begins without them
_HEAD_LOOKS = 4  # without an answer, after which the head is taken for gone


@dataclasses.dataclass
class _State:
    """`call` is the latest one that asks the node whether it may take part, `since` when it was made or answered."""

    call: Ticket | None
    since: float
    is_usable: bool = False
    is_refused: bool = False
    was_usable: bool = False


class Nodes:
    """Nodes are asked again and again, in a process beside their work. The first answer of each is also its check, so a
    node that joins during the work is checked as the others were."""

    def __init__(
        self, cluster: RayCluster, requirements: Requirements, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster, self._clock = cluster, clock
        self._order = Order(requirements)
        self._states: dict[Node, _State] = {}
        self._looked = float("-inf")
        self._silent_looks = 0
        self._is_checking = False

    @property
    def usable(self) -> list[Node]:
        return [node for node, state in self._states.items() if state.is_usable]

    def check(self) -> None:
        """Returns when all nodes have answered, or those that do in time; raises where one may not take part."""
        self._is_checking = True
        self._look()
        if not sum(node.cpus for node in self._states):
            raise DigitwiseError(f"none of the {len(self._states)} nodes of the cluster has a CPU to offer")
        end = self._clock() + _CHECK_SECONDS
        while self._pending() and self._clock() < end:
            self._cluster.wait(self._pending(), _LOOK_SECONDS)
            self._take_answers()
        if not self.usable:
            raise DigitwiseError(f"none of the {len(self._states)} nodes of the cluster answers")
        for node in self._states:
            if node not in self.usable:
                print(f"cluster: node {printable(node.name)} does not answer; the work begins without it", flush=True)
        self._is_checking = False

    def doubt(self, node: Node) -> None:
        """A call to the node got lost: it gets no others until it has answered."""
        state = self._states.get(node)
        if state and state.is_usable:
            state.is_usable = False
            print(f"cluster: lost a worker process on node {printable(node.name)}", flush=True)

    def look(self) -> list[Node]:
        """The nodes that can no longer be counted on, once each; raises where the head has gone."""
        if self._clock() - self._looked < _LOOK_SECONDS:
            return []
        return self._look()

    def _look(self) -> list[Node]:
        self._looked = now = self._clock()
        if not self._head_answers():
            return []
        before = self.usable
        alive = self._cluster.nodes()
        for node in [node for node in self._states if node not in alive]:
            del self._states[node]
        for node in alive:
            state = self._states.setdefault(node, _State(None, now))
            if state.call is None and not state.is_refused:
                state.call, state.since = self._cluster.submit_check(carry_out, self._order, node), now
        self._take_answers()
        for state in self._states.values():
            if state.call is not None and now - state.since > _SILENT_SECONDS:
                state.is_usable = False
        lost = [node for node in before if node not in self.usable]
        for node in lost:
            print(f"cluster: lost node {printable(node.name)}; its pieces are done elsewhere", flush=True)
        return lost

    def _take_answers(self) -> None:
        calls = self._pending()
        for ticket in self._cluster.wait(calls, 0) if calls else ():
            node = calls[ticket]
            state = self._states[node]
            state.call, state.since = None, self._clock()
            try:
                outcome: Outcome = self._cluster.outcome(ticket)
            except LostWork:
                continue
            raise_error(outcome, node.name)
            if outcome.unmet:
                self._refuse(node, state, outcome)
            elif not state.is_usable and node.cpus:
                if not self._is_checking:
                    what = "answers again" if state.was_usable else "joined"
                    print(f"cluster: node {printable(node.name)} {what}", flush=True)
                state.is_usable = state.was_usable = True

    def _refuse(self, node: Node, state: _State, outcome: Outcome) -> None:
        line = (
            f"node {printable(node.name)} may not take part, because its results could differ: "
            f"{printable('; '.join(outcome.unmet), 1000)}. Make it like this machine, or take it out of the cluster"
        )
        if self._is_checking:
            raise DigitwiseError(line)
        state.is_usable, state.is_refused = False, True
        print(f"cluster: {line}", flush=True)

    def _pending(self) -> dict[Ticket, Node]:
        return {state.call: node for node, state in self._states.items() if state.call is not None}

    def _head_answers(self) -> bool:
        self._silent_looks = 0 if self._cluster.head_answers() else self._silent_looks + 1
        if self._silent_looks >= _HEAD_LOOKS:
            raise DigitwiseError("the head of the cluster is gone: start it, then run the same command to continue")
        return self._silent_looks == 0


def raise_error(outcome: Outcome, name: str) -> None:
    """Raises what a piece raised: in one line what users can fix, with the node's traceback what they cannot."""
    error = outcome.error
    if error is None:
        return
    where = f" (on node {printable(name)})"
    if isinstance(error, UnusableImages):  # of this kind, as others are looked for
        raise UnusableImages((image, text + where) for image, text in error.faults)
    if isinstance(error, DigitwiseError):
        raise DigitwiseError(f"{error}{where}")
    error.add_note(f"on node {printable(name)}:\n{outcome.trace}")
    raise error
