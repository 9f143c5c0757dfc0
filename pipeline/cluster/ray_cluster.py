"""A Ray cluster: its nodes, and calls that run on them. The only module that knows ray.

with connected("auto", code="folder/with/packages") as cluster:
    ticket = cluster.submit(carry_out, order)
    for done in cluster.wait([ticket], seconds=1): print(cluster.outcome(done))
"""

import contextlib
import dataclasses
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from records.errors import DigitwiseError, printable

_ATTEMPTS = 4  # of a call whose worker or node was lost
_CANCEL_SECONDS = 10.0
_PROBE_SECONDS = 2.0
# Without these a node whose link is cut, or that is frozen, keeps its calls for minutes. Milliseconds.
_KEEPALIVE = {"RAY_grpc_client_keepalive_time_ms": "4000", "RAY_grpc_client_keepalive_timeout_ms": "4000"}
_REMEDY = "start one with `ray start --head`, or give --cluster=ray://HOST:10001"


@dataclasses.dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    cpus: int


# What stands for a call that was submitted.
Ticket = Any


class LostWork(DigitwiseError):
    """A call that did not come back, whatever its node did with it."""


class RayCluster:
    """The cluster that this process is connected to."""

    def __init__(self, module: Any) -> None:
        self._ray = module
        self._head = _head_address(module)
        self._remote: dict[Callable[..., Any], Any] = {}

    def nodes(self) -> list[Node]:
        """Those that are alive, in the order of their names."""
        alive = (entry for entry in self._ray.nodes() if entry["Alive"])
        nodes = (
            Node(
                entry["NodeID"],
                f"{entry['NodeManagerHostname']} ({entry['NodeManagerAddress']})",
                int(entry["Resources"].get("CPU", 0)),
            )
            for entry in alive
        )
        return sorted(nodes, key=lambda node: (node.name, node.id))

    def head_answers(self) -> bool:
        """Whether the head can be reached; without it, calls to Ray wait for a minute and then end the process."""
        if self._head is None:
            return True
        try:
            with socket.create_connection(self._head, timeout=_PROBE_SECONDS):
                return True
        except OSError:
            return False

    def submit(self, function: Callable[[Any], Any], argument: object, node: Node | None = None) -> Ticket:
        """Calls a function on any node, and again elsewhere where its node is lost; or on `node`, beside other work."""
        remote = self._remote.setdefault(function, self._ray.remote(function))
        if node is None:
            return remote.options(num_cpus=1, max_retries=_ATTEMPTS - 1).remote(argument)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(node.id, soft=False)
        return remote.options(num_cpus=0, max_retries=0, scheduling_strategy=here).remote(argument)

    def wait(self, tickets: Iterable[Ticket], seconds: float) -> list[Ticket]:
        """Those that are done, as soon as there is one, or none after `seconds`."""
        waiting = list(tickets)
        done, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds)
        return self._ray.wait(waiting, num_returns=len(waiting), timeout=0)[0] if done else []

    def outcome(self, ticket: Ticket) -> Any:
        """What the function returned; raises LostWork where Ray gave up."""
        try:
            return self._ray.get(ticket)
        except self._ray.exceptions.RayError as error:
            raise LostWork(f"a piece of work was lost on the cluster ({_first_line(error)})") from error

    def cancel(self, tickets: Sequence[Ticket]) -> None:
        """Ends calls that nobody waits for any more; returns when they write nothing more, or after a while."""
        if not tickets or not self.head_answers():
            return
        for ticket in tickets:
            self._ray.cancel(ticket, force=True)
        self._ray.wait(list(tickets), num_returns=len(tickets), timeout=_CANCEL_SECONDS)


@contextlib.contextmanager
def connected(address: str, code: str | os.PathLike[str]) -> Iterator[RayCluster]:
    """Connects to the cluster at `address`; its workers import the packages in the folder `code`."""
    module = _import_ray()
    _connect(module, address, code)
    cluster = RayCluster(module)
    try:
        yield cluster
    finally:
        if cluster.head_answers():
            module.shutdown()


def _import_ray() -> Any:
    for name, value in _KEEPALIVE.items():
        os.environ.setdefault(name, value)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do anyway; else it warns
    try:
        import ray
    except ImportError:
        raise DigitwiseError("--cluster needs the package ray: pip install -e '.[cluster]'") from None
    return ray


def _connect(module: Any, address: str, code: str | os.PathLike[str]) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        module.init(
            address=address,
            namespace="digitwise",
            # As the working directory rather than as modules, because then Ray leaves the driver's current directory,
            # which may hold anything, out of the workers' import path.
            runtime_env={"working_dir": os.fspath(code)},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray has no common class for what may be wrong here
        raise DigitwiseError(f"--cluster={address}: no connection ({_first_line(error)}); {_REMEDY}") from error
    finally:
        for number, handler in handlers.items():  # Ray replaces that of SIGTERM
            signal.signal(number, handler)
    # Ray prints paragraphs about each lost node and each retry, and has no setting for that; ours are a line each.
    module._private.worker.print_to_stdstream = lambda *_, **__: None


def _head_address(module: Any) -> tuple[str, int] | None:
    """Where the head listens; None for a client, whose connection is looked after by Ray."""
    if module.util.client.ray.is_connected():
        return None
    host, _, port = module.get_runtime_context().gcs_address.rpartition(":")
    return host.strip("[]"), int(port)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__, 300)
