"""What a cluster costs: python -m benchmarks.cluster [--cluster=auto] [--pieces=100000] [--toy]

One line of JSON: seconds and memory of the driver for empty pieces on nodes that are only made up. With --cluster (of
this machine alone, with as many CPUs as --workers): the same with Ray's own calls, and images/s of generate and records
through Ray and through the local processes, in turns.
"""

import argparse
import contextlib
import itertools
import json
import pathlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pipeline.cluster.engine import ClusterEngine, cluster_engine
from pipeline.cluster.nodes import Nodes
from pipeline.cluster.ray_cluster import Node
from pipeline.cluster.requirements import Requirements
from pipeline.config import GenerateConfig, RunConfig, available_cores
from pipeline.conversion.convert import convert
from pipeline.drawing.files import generate
from pipeline.machine.workers import Engine, LocalPool
from pipeline.workdir import Workdir

_CORES = 512  # of the cluster that is made up


class MadeUpCluster:
    """Takes calls as Ray does, and makes them in this process when they are waited for."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[Callable[[Any], Any], object]] = {}
        self._numbers = itertools.count()

    def nodes(self) -> list[Node]:
        return [Node("0", "made-up", "10.0.0.1", _CORES)]

    def head_answers(self) -> bool:
        return True

    def submit(self, function: Callable[[Any], Any], argument: object, node: Node) -> int:
        number = next(self._numbers)
        self._calls[number] = function, argument
        return number

    submit_check = submit

    def wait(self, tickets: Iterable[int], seconds: float) -> list[int]:
        return list(tickets)

    def outcome(self, ticket: int) -> Any:
        function, argument = self._calls.pop(ticket)
        return function(argument)

    def wait_for_all(self, tickets: Iterable[int], seconds: float) -> None:
        pass


def megabytes() -> float:
    """The most memory that this process has had."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def of_empty_pieces(engine: ClusterEngine, counts: Sequence[int]) -> dict[str, dict[str, float]]:
    """{count: {seconds, megabytes}}; the counts must grow, as only the peak of the memory is known.

    `abs` stands for a piece without work: nodes have no functions of this file.
    """
    results = {}
    for count in counts:
        began = time.perf_counter()
        done = sum(1 for _ in engine.run_pieces(abs, range(count)))
        assert done == count
        results[f"{count}"] = {"seconds": round(time.perf_counter() - began, 2), "megabytes": megabytes()}
    return results


def images_per_second(folder: pathlib.Path, engine: Engine, num_images: int) -> dict[str, float]:
    workdir = Workdir(folder)
    workdir.create()
    config = RunConfig(generate=GenerateConfig(num_images=num_images))
    rates = {}
    for name, stage in (("generate", generate), ("records", convert)):
        began = time.perf_counter()
        with contextlib.redirect_stdout(sys.stderr):
            stage(config, workdir, engine=engine)
        rates[name] = num_images / (time.perf_counter() - began)
    return rates


def against_local(root: pathlib.Path, engine: ClusterEngine, workers: int, num_images: int) -> dict[str, Any]:
    """Medians over rounds in which both take turns: other work on the machine then slows both."""
    rates: dict[str, list[float]] = {}
    for number in range(3):
        for name, used in (("local", LocalPool(workers)), ("ray", engine)):
            for stage, rate in images_per_second(root / f"{name}-{number}", used, num_images).items():
                rates.setdefault(f"{stage}_{name}", []).append(rate)
    result: dict[str, Any] = {name: round(statistics.median(values)) for name, values in rates.items()}
    for stage in ("generate", "records"):
        ratios = (there / here for there, here in zip(rates[f"{stage}_ray"], rates[f"{stage}_local"], strict=True))
        result[f"{stage}_ratio"] = round(statistics.median(ratios), 3)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--cluster", default="")
    parser.add_argument("--workers", type=int, default=available_cores())
    parser.add_argument("--pieces", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=8_000)
    given = parser.parse_args(arguments)
    counts = [20, 200] if given.toy else [1_000, given.pieces]
    result: dict[str, Any] = {"benchmark": "cluster", "cores": available_cores()}
    with tempfile.TemporaryDirectory() as folder:
        requirements = Requirements.of(folder)
        if given.cluster:
            with cluster_engine(given.cluster, requirements) as engine:
                result |= against_local(pathlib.Path(folder), engine, given.workers, given.images)
                result["ray_calls"] = of_empty_pieces(engine, counts)
        else:
            requirements.proof_path.touch()
            made_up: Any = MadeUpCluster()
            nodes = Nodes(made_up, requirements)
            nodes.check()
            result["made_up_calls"] = of_empty_pieces(ClusterEngine(made_up, requirements, nodes), counts)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
