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
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from records.errors import DigitwiseError, printable

_PROBE_SECONDS = 3.0
_REMEDY = "start one with `ray start --head`, or give --cluster=ray://HOST:10001"


@dataclasses.dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    name: str
    address: str
    cpus: int
    gpus: int = 0


# What stands for a call that was submitted.
Ticket = Any


class LostWork(DigitwiseError):
    """A call that did not come back, whatever its node did with it."""


class RayCluster:
    """The cluster that this process is connected to."""

    def __init__(self, module: Any) -> None:
        self._ray = module
        self._head = _head_address(module)
        self._remote: dict[tuple[Callable[..., Any], bool], Any] = {}

    def nodes(self) -> list[Node]:
        """Those that are alive, in the order of their names."""
        alive = (entry for entry in self._ray.nodes() if entry["Alive"])
        nodes = (
            Node(
                entry["NodeID"],
                f"{entry['NodeManagerHostname']} ({entry['NodeManagerAddress']})",
                entry["NodeManagerAddress"],
                int(entry["Resources"].get("CPU", 0)),
                int(entry["Resources"].get("GPU", 0)),
            )
            for entry in alive
        )
        return sorted(nodes, key=lambda node: (node.name, node.id))

    def head_answers(self) -> bool:
        """Whether the head can be reached; without it, calls to Ray wait for a minute and then end the process."""
        if self._head is None:
            return True
        return _answers(self._head)

    def submit(self, function: Callable[[Any], Any], argument: object, node: Node) -> Ticket:
        """Calls a function once, on a core of `node`."""
        return self._call(function, node, num_cpus=1).remote(argument)

    def submit_check(self, function: Callable[[Any], Any], argument: object, node: Node) -> Ticket:
        """The same beside other work."""
        return self._call(function, node, num_cpus=0).remote(argument)

    def submit_alone(self, function: Callable[[Any], Any], argument: object, node: Node) -> Ticket:
        """The same in a process of its own, with all GPUs of the node."""
        return self._call(function, node, num_cpus=1, num_gpus=node.gpus, alone=True).remote(argument)

    def _call(self, function: Callable[[Any], Any], node: Node, alone: bool = False, **resources: int) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        remote = self._remote.get((function, alone))
        if remote is None:
            # A process ends after `max_calls` calls; 0 is any number of them.
            remote = self._remote[function, alone] = self._ray.remote(max_calls=1 if alone else 0)(function)
        here = NodeAffinitySchedulingStrategy(node.id, soft=False)
        return remote.options(max_retries=0, scheduling_strategy=here, **resources)

    def interrupt(self, tickets: Iterable[Ticket]) -> None:
        """As Ctrl-C in each call."""
        for ticket in tickets:
            self._ray.cancel(ticket, force=False)

    def wait(self, tickets: Iterable[Ticket], seconds: float) -> list[Ticket]:
        """Those that are done, as soon as there is one, or none after `seconds`."""
        waiting = list(tickets)
        if not waiting:
            time.sleep(seconds)
            return []
        with _true_exit_code():
            done, _ = self._ray.wait(waiting, num_returns=1, timeout=seconds)
            return self._ray.wait(waiting, num_returns=len(waiting), timeout=0)[0] if done else []

    def outcome(self, ticket: Ticket) -> Any:
        """What the function returned; raises LostWork where Ray gave up."""
        try:
            with _true_exit_code():
                return self._ray.get(ticket)
        except self._ray.exceptions.RayError as error:
            raise LostWork(f"a piece of work was lost on the cluster ({_first_line(error)})") from error

    def wait_for_all(self, tickets: Iterable[Ticket], seconds: float) -> None:
        """Returns when all are done, or after a while. (Ray's own cancelling can end this process where a call ends at
        the same moment.)"""
        ending = list(tickets)
        if ending and self.head_answers():
            with _true_exit_code():
                self._ray.wait(ending, num_returns=len(ending), timeout=seconds)


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
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_DEDUP_LOGS"] = "0"  # equal lines of two nodes are two lines
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do anyway; else it warns
    try:
        import ray
    except ImportError:
        raise DigitwiseError("--cluster needs the package ray: pip install -e '.[cluster]'") from None
    return ray


def _connect(module: Any, address: str, code: str | os.PathLike[str]) -> None:
    if address != "auto" and not _answers(_host_and_port(address)):
        raise DigitwiseError(f"--cluster={address}: nothing answers there; {_REMEDY}")  # Ray would try for minutes
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # There is no setting for how Ray prints; it looks this up as it connects.
    module._private.worker.print_to_stdstream = _print_lines
    try:
        module.init(
            address=address,
            namespace="digitwise",
            # As the working directory rather than as modules, because then Ray leaves the driver's current directory,
            # which may hold anything, out of the workers' import path.
            runtime_env={"working_dir": os.fspath(code)},
            log_to_driver=True,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray has no common class for what may be wrong here
        raise DigitwiseError(f"--cluster={address}: no connection ({_first_line(error)}); {_REMEDY}") from error
    finally:
        for number, handler in handlers.items():  # Ray replaces that of SIGTERM
            signal.signal(number, handler)


@contextlib.contextmanager
def _true_exit_code() -> Iterator[None]:
    """Of a program that SIGTERM ends while it waits for Ray, which makes every exit code 1."""
    try:
        yield
    except SystemExit:
        raise SystemExit(128 + signal.SIGTERM) from None


def _print_lines(data: dict[str, Any], **_: object) -> None:
    """What a worker printed, as it printed it. What Ray's own processes say, a paragraph for each lost node, is left
    out: the engine says it in a line."""
    if str(data.get("pid")).isdigit():
        for line in data.get("lines", ()):
            print(line, file=sys.stderr if data.get("is_err") else sys.stdout, flush=True)


def _head_address(module: Any) -> tuple[str, int] | None:
    """Where the head listens; None for a client, whose connection is looked after by Ray."""
    if module.util.client.ray.is_connected():
        return None
    return _host_and_port(module.get_runtime_context().gcs_address)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    return host.strip("[]"), int(port)


def _answers(place: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(place, timeout=_PROBE_SECONDS):
            return True
    except OSError:
        return False


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__, 300)
