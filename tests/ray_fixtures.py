"""Nodes of a Ray cluster, all on this machine: each is a raylet of its own, as `ray start` makes it."""

import contextlib
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
_HOST = "127.0.0.1"
_MEMORY = 80_000_000  # bytes, the smallest object store that Ray takes


class RayNode:
    """`head` is the port of the cluster's head; without it, this node is the head."""

    def __init__(self, folder, head=None, cpus=1, **environment):
        self.port = head or free_port()
        self._log = open(pathlib.Path(folder) / f"node-{time.monotonic_ns()}.log", "w+")  # noqa: SIM115  until it is killed
        role = [f"--address={_HOST}:{self.port}"]
        if head is None:
            role = ["--head", f"--port={self.port}", f"--temp-dir={folder}", "--include-dashboard=false"]
            role += [f"--ray-client-server-port={free_port()}", "--disable-usage-stats"]
        arguments = [f"--node-ip-address={_HOST}", f"--num-cpus={cpus}", f"--object-store-memory={_MEMORY}"]
        self._process = subprocess.Popen(
            [RAY, "start", "--block", *role, *arguments],
            cwd="/",
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def address(self):
        return f"{_HOST}:{self.port}"

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
def ray_cluster(nodes):
    """The head and the others, with a core each; `start()` adds one."""
    folder = tempfile.mkdtemp(prefix="ray-")  # short, as names of sockets have at most 107 characters
    started = []

    def start(**environment):
        head = started[0].port if started else None
        started.append(RayNode(folder, head, **environment))
        return started[-1]

    try:
        start().wait()
        for node in [start() for _ in range(nodes - 1)]:
            node.wait()
        yield started, start
    finally:
        for node in reversed(started):
            node.thaw()
            node.kill()
        shutil.rmtree(folder, ignore_errors=True)


def free_port():
    with socket.create_server((_HOST, 0)) as listener:
        return listener.getsockname()[1]
