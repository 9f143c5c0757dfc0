"""Where the time of the whole way goes, part by part: python -m benchmarks.profile [--toy] [-- --num_images=5000 ...]

Runs `main.py --stage=all` from an empty folder, with clocks around the functions of PARTS. One line of JSON: seconds
from the command to its end, to the first step of the training, and from its last step to the end of that stage; and of
each stage the seconds of each part, by the clock and of all cores, without the parts within it. What the worker
processes of generate and records do is the `rest` of these stages, and by the clock only. The same as a table on
stderr. What follows `--` goes to main.py.
"""

import contextlib
import functools
import importlib
import json
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.program import MAIN, given_flags, run_program

# Where a function is called by its bare name, it is replaced in the module that calls it.
BEFORE_TENSORFLOW: dict[str, str] = {"pipeline.machine.startup:import_tensorflow": "import TensorFlow"}
PARTS: dict[str, str] = {
    "pipeline.training.learner:Learner.__init__": "build the network",
    "pipeline.training.feed:decode_split": "decode images into memory",
    "pipeline.training.feed:Feed.distributed": "build the pipeline of images",
    "pipeline.training.feed:Feed.calibration_batches": "batches for the statistics of norms",
    "pipeline.training.logs:Logs.network": "draw the network",
    "pipeline.training.steps:Steps.trace": "build the graph of the steps",
    "pipeline.training.logs:Logs.graph": "log the graph",
    "pipeline.training.loop:Loop._advance": "steps",
    "pipeline.training.validation:Validator.run": "validations",
    "pipeline.training.saver:Saver.save": "saves",
    "pipeline.stages.test:load_recognizer": "load the network",
    "pipeline.stages.test:scan_splits": "find shared codes",
    "pipeline.stages.test:read": "read the split",
    "pipeline.stages.test:measure": "figures",
    "pipeline.stages.test:join_records": "keys and examples",
    "pipeline.report.files:draw": "plots",
    "pipeline.report.files:write_predictions": "predictions.csv",
    "pipeline.report.files:page": "page",
}
_STEPS = PARTS["pipeline.training.loop:Loop._advance"]


class Clocks:
    """Seconds of each part of each stage, without the parts within it. The clock is one that all processes of the
    machine share, or counts the work of all cores."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.parts: dict[str, dict[str, float]] = {}
        self.first_step: float | None = None
        self.after_last_step: float | None = None
        self._clock = clock
        self._stage = ""
        self._within: list[float] = []  # of each part that runs, the seconds of the parts within it
        self._last_step = 0.0

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = self._clock()
        if name == _STEPS and self.first_step is None:
            self.first_step = began
        self._within.append(0.0)
        try:
            yield
        finally:
            ended = self._clock()
            inside = self._within.pop()
            if self._within:
                self._within[-1] += ended - began
            found = self.parts.setdefault(self._stage, {})
            found[name] = found.get(name, 0.0) + ended - began - inside
            if name == _STEPS:
                self._last_step = ended

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._stage = name
        with self.part("rest"):
            yield
        if name == "train" and self._last_step:
            self.after_last_step = self._clock() - self._last_step


def timed(function: Callable[..., Any], clocks: Clocks, name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def within(*arguments: Any, **named: Any) -> Any:
        with clocks.part(name):
            return function(*arguments, **named)

    return within


def put_clocks(every: Sequence[Clocks], parts: dict[str, str]) -> None:
    """Around each function of `parts`, wherever its module has it."""
    for place, name in parts.items():
        module, path = place.split(":")
        *owners, function = path.split(".")
        owner = functools.reduce(getattr, owners, importlib.import_module(module))
        for clocks in every:
            setattr(owner, function, timed(getattr(owner, function), clocks, name))


def run_with_clocks(result: str, began: float) -> None:
    """In a process of its own, whose flags are those of main.py; the command was given at `began`."""
    clocks, cores = Clocks(), Clocks(time.process_time)
    import main
    from pipeline.machine import startup
    from pipeline.stages import run

    put_clocks((clocks, cores), BEFORE_TENSORFLOW)
    import_tensorflow, run_stage = startup.import_tensorflow, run._run_stage

    def import_all() -> None:
        is_first = "tensorflow" not in sys.modules
        import_tensorflow()
        if is_first:
            name = "import Keras and the modules that need it"
            with clocks.part(name), cores.part(name):
                put_clocks((clocks, cores), PARTS)

    def run_and_tell(stage: str, *arguments: Any) -> None:
        with clocks.stage(stage), cores.stage(stage):
            run_stage(stage, *arguments)

    startup.import_tensorflow, run._run_stage = import_all, run_and_tell
    started = time.monotonic()
    try:
        main.run()
    finally:
        found = {
            "start": started - began,
            "to_first_step": clocks.first_step and clocks.first_step - began,
            "after_last_step": clocks.after_last_step,
            "parts": clocks.parts,
            "parts_of_all_cores": cores.parts,
        }
        pathlib.Path(result).write_text(json.dumps(found), encoding="utf-8")


def measure(arguments: Sequence[str], folder: pathlib.Path) -> dict[str, Any]:
    result, began = folder / "clocks.json", time.monotonic()
    flags = ["--stage=all", f"--workdir={folder / 'work'}", *arguments]
    code = f"from benchmarks.profile import run_with_clocks; run_with_clocks({str(result)!r}, {began})"
    environment = {**os.environ, "PYTHONPATH": str(MAIN.parent)}
    run_program([sys.executable, "-c", code, *flags], environment)
    seconds = time.monotonic() - began
    return {"benchmark": "profile", "arguments": list(arguments), "seconds": seconds, **json.loads(result.read_text())}


def table(result: dict[str, Any]) -> Iterator[str]:
    """The longest parts of each stage first; by the clock, and of all cores."""
    for name in ("seconds", "start", "to_first_step", "after_last_step"):
        yield f"{name:44}{result[name] or 0.0:>8.1f}"
    for stage, parts in result["parts"].items():
        cores = result["parts_of_all_cores"][stage]
        yield f"{stage:44}{sum(parts.values()):>8.1f}{sum(cores.values()):>8.1f}"
        for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
            yield f"  {name:42}{seconds:>8.1f}{cores[name]:>8.1f}"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return round(value, 2) if isinstance(value, float) else value


def main(arguments: Sequence[str] | None = None) -> None:
    flags = given_flags(__doc__, arguments)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(flags, pathlib.Path(folder))
    for line in table(result):
        print(line, file=sys.stderr)
    print(json.dumps(_rounded(result)))


if __name__ == "__main__":
    main()
