"""Nodes of a Ray cluster, all on this machine: each is a raylet of its own, as `ray start` makes it, and may have a
network namespace of its own."""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

RAY = pathlib.Path(sys.executable).with_name("ray")
_MEMORY = 80_000_000  # bytes, the smallest object store that Ray takes
_BRIDGE, _NETWORK = "digitwise", "10.213.0"


@dataclasses.dataclass(frozen=True)
class Host:
    """Where a node listens; without a namespace in that of this process."""

    address: str = "127.0.0.1"
    namespace: str = ""

    @property
    def prefix(self):
        """What stands before a command that runs there."""
        return ["ip", "netns", "exec", self.namespace] if self.namespace else []

    def link(self, state):
        """`down` cuts it off from all others."""
        _ip("link", "set", f"{self.namespace}-v", state)


THIS = Host()


class RayNode:
    """`head` is the address of the cluster's head; without it, this node is the head."""

    def __init__(self, folder, head=None, cpus=1, host=THIS, **environment):
        self.host = host
        self.address = head or f"{host.address}:{free_port()}"
        self._log = open(pathlib.Path(folder) / f"node-{time.monotonic_ns()}.log", "w+")  # noqa: SIM115  until it is killed
        role = [f"--address={self.address}"]
        if head is None:
            port = self.address.rpartition(":")[2]
            role = ["--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false"]
            role += [f"--ray-client-server-port={free_port()}", "--disable-usage-stats"]
        arguments = [f"--node-ip-address={host.address}", f"--num-cpus={cpus}", f"--object-store-memory={_MEMORY}"]
        self._process = subprocess.Popen(
            [*host.prefix, RAY, "start", "--block", *role, *arguments],
            cwd="/",
            # Ray gives its workers the lowest priority but four, and on a busy machine hardly any time.
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", **environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def wait(self, seconds=90):
        end = time.monotonic() + seconds
        while "Ray runtime started" not in self._output():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the node did not start: {self._output()}")
            time.sleep(0.1)
        return self

    def kill(self):
        """As when the machine loses power, apart from the workers' last moments."""
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def freeze(self):
        self._signal(signal.SIGSTOP)

    def thaw(self):
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _processes(self):
        """Those of this node, its workers too."""
        children = {}
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(path.parent.name))
        found = [self._process.pid]
        for pid in found:
            found += children.get(pid, [])
        return found

    def _output(self):
        self._log.flush()
        return pathlib.Path(self._log.name).read_text()


@contextlib.contextmanager
def ray_cluster(nodes, hosts=()):
    """The head and the others, with a core each; `start()` adds one. `hosts` are those of the first ones."""
    folder = tempfile.mkdtemp(prefix="ray-")  # short, as names of sockets have at most 107 characters
    started = []

    def start(host=THIS, **environment):
        head = started[0].address if started else None
        started.append(RayNode(folder, head, host=host, **environment))
        return started[-1]

    try:
        places = [*hosts, *[THIS] * nodes][:nodes]
        for host in places:
            start(host).wait()  # one after the other: Ray gives up on a node that takes more than 30 s
        yield started, start
    finally:
        for node in reversed(started):
            node.thaw()
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def namespaces(count):
    """Hosts with a network namespace each, all on one bridge. Needs root; OSError or CalledProcessError where the
    system does not allow it."""
    names = [f"{_BRIDGE}{number}" for number in range(count)]
    try:
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("address", "add", f"{_NETWORK}.1/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        hosts = []
        for number, name in enumerate(names):
            hosts.append(Host(f"{_NETWORK}.{number + 11}", name))
            _ip("netns", "add", name)
            _ip("link", "add", f"{name}-v", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"{name}-v", "master", _BRIDGE, "up")
            _ip("-n", name, "address", "add", f"{hosts[-1].address}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _ip("-n", name, "link", "set", device, "up")
        yield hosts
    finally:
        links = [("link", "delete", f"{name}-v") for name in names]  # a namespace may live on for a while
        for arguments in [*links, *(("netns", "delete", name) for name in names), ("link", "delete", _BRIDGE)]:
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                _ip(*arguments)


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def free_port():
    with socket.create_server(("", 0)) as listener:
        return listener.getsockname()[1]


def digests(workdir, folders=("images", "records")):
    """sha256 of every file of these folders."""
    return {
        str(path.relative_to(workdir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted((workdir / folder).rglob("*"))
        if path.is_file()
    }


def left_over(workdir):
    """What runs that ended have left there, and should not have."""
    return [*workdir.rglob(".partial-*"), *workdir.rglob(".cluster-*"), *workdir.rglob(".records-unfinished")]
