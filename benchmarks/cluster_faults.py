"""What a cluster survives: python -m benchmarks.cluster_faults [--images=20000] [--folder=DIR] [--only=killed,frozen]

Draws and converts images on three Ray nodes, each in a network namespace of its own on this machine, while one of them
is lost, and compares every byte with a run without a cluster. One line of JSON; needs root, `ip` and ray.

seconds: of the whole command; noticed: from the fault until the command says that something is lost (head: until it
ends); identical: whether all files are those of the run without a cluster; left: names of what should not be there.
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.conftest import ROOT
from tests.ray_fixtures import RayNode, digests, left_over, namespaces, ray_cluster

_BEGUN = 4  # folders of images, after which something happens
_AFTERWARDS = 3.0  # seconds in which a node that was thawed could still write something
_MINUTES = 15


class Command:
    """`main.py` beside the head, with the time of each line that it prints."""

    def __init__(self, prefix: Sequence[str], folder: pathlib.Path, *arguments: str) -> None:
        self.workdir = folder
        self.began = time.monotonic()
        self.lines: list[tuple[float, str]] = []
        command = [*prefix, sys.executable, str(ROOT / "main.py"), f"--workdir={folder}", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.lines.append((time.monotonic(), line.rstrip()))

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        try:
            code = self._process.wait(60 * _MINUTES)
        finally:
            self._process.kill()
        self._reader.join(5)
        self.seconds = time.monotonic() - self.began
        return code

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition() and self._process.poll() is None:
            time.sleep(0.05)

    def said(self, words: str, since: float) -> float | None:
        """Seconds from a moment until the first line with these words."""
        return next((round(when - since, 1) for when, line in self.lines if words in line and when >= since), None)

    def has_begun(self) -> bool:
        return len(list(self.workdir.glob("images/0*"))) >= _BEGUN


class Trial:
    """One cluster and what happens on it."""

    def __init__(self, root: pathlib.Path, images: int, start: Callable[..., RayNode], nodes: list[RayNode]) -> None:
        self.root, self.nodes, self._start = root, nodes, start
        self.settings = ("--stage=generate,records", f"--num_images={images}", "--images_per_shard=500")
        self.runs = 0

    def local(self) -> Command:
        return Command((), self.root / "local", *self.settings)

    def command(self, folder: pathlib.Path | None = None) -> Command:
        self.runs += 1
        head = self.nodes[0]
        where = f"--cluster={head.address}"
        return Command(head.host.prefix, folder or self.root / f"w{self.runs}", *self.settings, where)

    def replace(self, node: RayNode) -> None:
        node.thaw()
        node.kill()
        self.nodes.remove(node)
        self._start(node.host).wait()

    def undisturbed(self) -> tuple[Command, dict[str, Any]]:
        command = self.command()
        return command, {"code": command.wait()}

    def killed(self) -> tuple[Command, dict[str, Any]]:
        return self._harmed(lambda node: node.kill(), lambda node: None)

    def cut(self) -> tuple[Command, dict[str, Any]]:
        return self._harmed(lambda node: node.host.link("down"), lambda node: node.host.link("up"))

    def frozen(self) -> tuple[Command, dict[str, Any]]:
        """Thawed when all that it was doing has been done elsewhere, and before the command ends."""
        return self._harmed(lambda node: node.freeze(), lambda node: node.thaw())

    def _harmed(
        self, harm: Callable[[RayNode], None], heal: Callable[[RayNode], None]
    ) -> tuple[Command, dict[str, Any]]:
        victim = self.nodes[-1]
        command = self.command()
        command.until(command.has_begun)
        harm(victim)
        since = time.monotonic()
        command.until(lambda: (command.workdir / "images" / "labels.csv").exists())
        heal(victim)
        code = command.wait()
        time.sleep(_AFTERWARDS)
        self.replace(victim)
        return command, {"code": code, "noticed": command.said("cluster: lost ", since)}

    def driver_killed(self) -> tuple[Command, dict[str, Any]]:
        first = self.command()
        first.until(first.has_begun)
        first.kill()
        first.wait()
        again = self.command(first.workdir)
        return again, {"code": again.wait()}

    def head_killed(self) -> tuple[Command, dict[str, Any]]:
        """Last, as it takes the cluster with it; the same command finishes on this machine."""
        first = self.command()
        first.until(first.has_begun)
        self.nodes[0].kill()
        since = time.monotonic()
        code, line = first.wait(), first.lines[-1][1]
        again = Command((), first.workdir, *self.settings)
        told = {"first_code": code, "first_line": line, "noticed": round(first.began + first.seconds - since, 1)}
        return again, {"code": again.wait(), **told}


TRIALS = ("undisturbed", "killed", "cut", "frozen", "driver_killed", "head_killed")


def results(trial: Trial, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    local = trial.local()
    yield "without a cluster", {"code": local.wait(), "seconds": round(local.seconds, 1)}
    expected = digests(local.workdir)
    for name in names:
        command, found = getattr(trial, name)()
        same = digests(command.workdir) == expected
        left = [path.name for path in left_over(command.workdir)]
        yield name, {**found, "seconds": round(command.seconds, 1), "identical": same, "left": left}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--folder", help="where everything is written, instead of a temporary folder")
    parser.add_argument("--only", default=",".join(TRIALS))
    given = parser.parse_args(arguments)
    found: dict[str, Any] = {"benchmark": "cluster_faults", "images": given.images}
    with contextlib.ExitStack() as stack:
        root = pathlib.Path(given.folder or stack.enter_context(tempfile.TemporaryDirectory()))
        hosts = stack.enter_context(namespaces(3))
        nodes, start = stack.enter_context(ray_cluster(3, hosts))
        for name, result in results(Trial(root, given.images, start, nodes), given.only.split(",")):
            print(f"{name}: {result}", file=sys.stderr, flush=True)
            found[name] = result
    print(json.dumps(found))


if __name__ == "__main__":
    main()
