"""A training on the nodes of a cluster: one worker a node, each of which runs the train stage as it is.

A lost node ends an attempt, as the workers exchange numbers in every step. The next attempt continues from the last
checkpoint: with as many nodes where the lost one comes back in time, else with fewer.
"""

import contextlib
import dataclasses
import os
import pickle
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence

from pipeline.cluster.engine import ClusterEngine
from pipeline.cluster.nodes import raise_error
from pipeline.cluster.ray_cluster import LostWork, Node, RayCluster, Ticket
from pipeline.cluster.requirements import Requirements
from pipeline.cluster.work import Order, Outcome, carry_out, result_of
from pipeline.machine.devices import Cluster, LostPeers
from records.errors import DigitwiseError, counted, printable

_LOOK_SECONDS = 1.0
_ANSWER_SECONDS = 20.0  # for a node to start a worker
_END_SECONDS = 20.0  # for workers to notice that one of them has gone
_SAVE_SECONDS = 120.0  # for workers that were interrupted to save
_IN_VAIN = 3  # attempts without a new checkpoint, after which nothing is gained by another


@dataclasses.dataclass(frozen=True)
class Request:
    """`run` is called on each node with its place among the workers. `batch_size` must be shared equally by them;
    `progress` says something else whenever there is a new checkpoint."""

    run: Callable[[Cluster], object]
    batch_size: int
    wait_seconds: float
    progress: Callable[[], object]


def train_on_nodes(engine: ClusterEngine, request: Request) -> None:
    """Returns when the training is finished; raises where a worker's error is none that another attempt cures."""
    cluster, requirements = engine.cluster, engine.requirements
    wanted, in_vain = 0, 0
    while True:
        workers = _workers(cluster, requirements, request, wanted)
        _announce(workers, wanted)
        wanted, before = len(workers), request.progress()
        lost = _attempt(cluster, requirements, request, workers)
        if not lost:
            return
        in_vain = in_vain + 1 if request.progress() == before else 0
        if in_vain >= _IN_VAIN:
            raise DigitwiseError(f"{_IN_VAIN} attempts ended without a new checkpoint, the last one so: {lost}")
        print(f"cluster: {printable(lost, 300)}; the training continues from its last checkpoint", flush=True)


def shared_equally(nodes: Sequence[Node], batch_size: int) -> list[Node]:
    """The first nodes, as many as can share a batch: a node with GPUs has a replica on each."""
    for count in range(len(nodes), 1, -1):
        chosen = nodes[:count]
        replicas = {max(1, node.gpus) for node in chosen}
        if len(replicas) == 1 and batch_size % (count * replicas.pop()) == 0:
            return list(chosen)
    return list(nodes[:1])


def _workers(cluster: RayCluster, requirements: Requirements, request: Request, wanted: int) -> dict[str, Node]:
    """{address: node} of the workers of an attempt; waits for a node that may come back."""
    end = time.monotonic() + request.wait_seconds
    while True:
        found = _addresses(cluster, requirements)
        chosen = shared_equally([node for _, node in found], request.batch_size)
        if chosen and (len(chosen) >= wanted or time.monotonic() >= end):
            return {address: node for address, node in found if node in chosen}
        if time.monotonic() >= end:
            raise DigitwiseError("no node of the cluster answers")
        time.sleep(_LOOK_SECONDS)


def _addresses(cluster: RayCluster, requirements: Requirements) -> list[tuple[str, Node]]:
    """[(host:port, node)] of the nodes that answer, always in the same order: it decides which one is the chief."""
    order = Order(requirements, pickle.dumps((_free_port, None)))
    asked = {cluster.submit_check(carry_out, order, node): node for node in cluster.nodes() if node.cpus}
    found = []
    end = time.monotonic() + _ANSWER_SECONDS
    while asked and time.monotonic() < end:
        for ticket in cluster.wait(asked, _LOOK_SECONDS):
            node = asked.pop(ticket)
            with contextlib.suppress(LostWork):
                outcome: Outcome = cluster.outcome(ticket)
                if not outcome.unmet and not outcome.error:
                    found.append((f"{node.address}:{result_of(outcome)}", node))
    return sorted(found, key=lambda pair: (pair[1].name, pair[1].id))


def _free_port(_: None) -> int:
    with socket.create_server(("", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _announce(workers: dict[str, Node], wanted: int) -> None:
    names = ", ".join(printable(node.name) for node in workers.values())
    fewer = f" instead of {wanted}, so its result will not be the same to the last bit" if len(workers) < wanted else ""
    print(f"train: on {counted(len(workers), 'node')}{fewer}: {names}", flush=True)


def _attempt(cluster: RayCluster, requirements: Requirements, request: Request, workers: dict[str, Node]) -> str:
    """Runs all workers to their end; the result says who was lost, and is empty where nobody was."""
    addresses = tuple(workers)
    mark = requirements.proof_path.with_name(f"{requirements.proof}-{secrets.token_hex(4)}")
    mark.touch()
    run = _Marked(request.run, str(mark))
    running: dict[Ticket, Node] = {}
    for index, node in enumerate(workers.values()):
        order = Order(requirements, pickle.dumps((run, Cluster(addresses, index))))
        running[cluster.submit_alone(carry_out, order, node)] = node
    lost, end = "", float("inf")
    try:
        while running and time.monotonic() < end:
            gone = [node for node in running.values() if node not in cluster.nodes()] if not lost else []
            if gone:  # a frozen node, or one whose link is cut: its call would not return
                lost, end = f"lost node {gone[0].name}", time.monotonic() + _END_SECONDS
            for ticket in cluster.wait(running, _LOOK_SECONDS):
                found = _reason(cluster, ticket, running.pop(ticket))
                if found and not lost:
                    lost, end = found, time.monotonic() + _END_SECONDS
    except (KeyboardInterrupt, SystemExit):
        _save(cluster, running)
        raise
    finally:
        mark.unlink(missing_ok=True)
        cluster.wait_for_all([ticket for ticket, node in running.items() if node in cluster.nodes()], _END_SECONDS)
    return lost


@dataclasses.dataclass(frozen=True)
class _Marked:
    """A function that works only as long as the file `mark` is there: a worker that hangs, or that was frozen while the
    others began another attempt, must not write checkpoints."""

    run: Callable[[Cluster], object]
    mark: str

    def __call__(self, place: Cluster) -> object:
        ended = threading.Event()
        threading.Thread(target=self._watch, args=(ended,), daemon=True).start()
        try:
            return self.run(place)
        finally:
            ended.set()

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(_LOOK_SECONDS):
            if not os.path.exists(self.mark):
                os._exit(1)


def _save(cluster: RayCluster, running: dict[Ticket, Node]) -> None:
    """This process was told to end: the workers save first, as they do at Ctrl-C."""
    cluster.interrupt(running)
    end = time.monotonic() + _SAVE_SECONDS
    while running and time.monotonic() < end:
        for ticket in cluster.wait(running, _LOOK_SECONDS):
            del running[ticket]


def _reason(cluster: RayCluster, ticket: Ticket, node: Node) -> str:
    """Why a worker ended before the training did; nothing where it did not. Other errors are raised."""
    try:
        outcome: Outcome = cluster.outcome(ticket)
    except LostWork:
        return f"lost node {node.name}"
    if isinstance(outcome.error, LostPeers):
        return str(outcome.error)
    if outcome.unmet:
        return f"node {node.name} has changed ({'; '.join(outcome.unmet)})"
    raise_error(outcome, node.name)
    return ""
