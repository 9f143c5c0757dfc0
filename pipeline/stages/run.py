"""Runs stages in order and notes how long each took. What a stage does is in the module named after it."""

import contextlib
import dataclasses
import errno
import importlib
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pipeline.config import RunConfig
from pipeline.conversion.foreign import Probes
from pipeline.machine.devices import is_chief
from pipeline.machine.startup import own_environment
from pipeline.machine.workers import Engine
from pipeline.stages.engines import opened_engine
from pipeline.stages.stores import check_upload, with_local_records
from pipeline.values import LOCAL
from pipeline.workdir import Workdir
from records.errors import DigitwiseError

if TYPE_CHECKING:
    from pipeline.report.scans import Ahead

# A stage returns False where it had nothing to do.
Stage = Callable[..., bool | None]  # (config, workdir, probes), those of ON_ENGINE: engine, of SCANNED: ahead

# Modules are imported only when their stage runs: that of train takes seconds, and check must work without packages.
STAGES: dict[str, str] = {
    "check": "pipeline.stages.check:check",
    "inspect": "pipeline.stages.inspect:inspect",
    "generate": "pipeline.stages.generate:generate",
    "records": "pipeline.stages.records:records",
    "train": "pipeline.stages.train:train",
    "test": "pipeline.stages.test:run",
    "export": "pipeline.stages.export:export",
    "predict": "pipeline.stages.predict:predict",
    "folds": "pipeline.stages.trials:folds",
    "cleanings": "pipeline.stages.trials:cleanings",
    "serve": "pipeline.stages.serve:serve",
}
# What these do is pieces of work, for an engine.
ON_ENGINE: frozenset[str] = frozenset({"generate", "records", "train"})
# What the test compares is looked at while the training begins.
SCANNED: frozenset[str] = frozenset({"train", "test"})
# These leave the workdir as it is, and may run for days: a training must be able to write to it meanwhile.
_WITHOUT_LOCK = {"check", "serve"}

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_BELOW = 1 << 16  # free bytes, below which a failed write of any library is taken for a full disk


@dataclasses.dataclass(frozen=True)
class _Shared:
    """What the stages of a run have in common: `engine` is that of a cluster, `chief` whether this process writes what
    the run leaves, `ahead` what is found in the background."""

    probes: Probes
    engine: Engine | None
    chief: bool
    ahead: "Ahead | None"


def run_stages(config: RunConfig) -> int:
    """Runs the stages that the settings name; the result is the exit code."""
    workdir = Workdir(config.workdir)
    # Before anything imports Keras or Matplotlib, and inherited by child processes.
    own_environment(workdir.cache)
    if "check" in config.ordered_stages:
        from pipeline.stages.check import check

        code = check(config, workdir)
        # Nothing runs where something is missing: a failure after an hour of generating would be worse.
        if code or config.ordered_stages == ("check",):
            return code
    if config.ordered_stages == ("predict",):
        from pipeline.stages.predict import predict

        return predict(with_local_records(config, workdir), workdir)
    _check_inputs(config, workdir)
    chief = is_chief(config.train.strategy)  # of several workers on one workdir, only the first locks it
    probes = Probes()  # what --records holds is found out once, for all stages
    takes_lock = chief and not set(config.ordered_stages) <= _WITHOUT_LOCK
    with (
        workdir.locked() if takes_lock else contextlib.nullcontext(),
        opened_engine(config, workdir, bool(ON_ENGINE & set(config.ordered_stages))) as engine,
        _scanning_ahead(config) as ahead,
    ):
        check_upload(config, workdir)
        config = with_local_records(config, workdir)
        for stage in config.ordered_stages:
            if stage != "check":
                _run_stage(stage, config, workdir, _Shared(probes, engine, chief, ahead))
    return 0


@contextlib.contextmanager
def _scanning_ahead(config: RunConfig) -> "Iterator[Ahead | None]":
    """Where a test follows a training on this machine alone."""
    is_alone = config.train.strategy != "multi_worker" and config.cluster == LOCAL
    if not is_alone or not set(config.ordered_stages) >= SCANNED:
        yield None
        return
    from pipeline.report.scans import scanning_ahead

    with scanning_ahead() as ahead:
        yield ahead


def _check_inputs(config: RunConfig, workdir: Workdir) -> None:
    """Raises before any work is done if a folder that a later stage needs is not what it must be."""
    if "export" in config.ordered_stages[1:]:
        from pipeline.stages.export import check_replaceable

        check_replaceable(config, workdir)
    trains = {"train", "folds", "cleanings"} & set(config.ordered_stages)
    needed = {
        "--initialize_from": config.train.given_weights if trains else "",
        "--checkpoint": config.test.checkpoint if "test" in config.ordered_stages else "",
    }
    for flag, folder in needed.items():
        if folder:
            from pipeline.model.checkpoints import Checkpoints

            Checkpoints.given(flag, folder)
    trains_here = config.train.strategy != "multi_worker" and config.cluster == LOCAL
    if config.overwrite and "train" in config.ordered_stages[1:] and trains_here:
        from pipeline.stages.train import check_training

        check_training(config)  # before the stages ahead of it replace anything


def _run_stage(stage: str, config: RunConfig, workdir: Workdir, shared: "_Shared") -> None:
    """A stage that finds its results complete leaves the time that they took."""
    began = time.monotonic()
    with _full_disk_named(stage, workdir):
        given: dict[str, Any] = {"engine": shared.engine} if shared.engine and stage in ON_ENGINE else {}
        if shared.ahead and stage in SCANNED:
            given["ahead"] = shared.ahead
        worked = _function(stage)(config, workdir, shared.probes, **given)
    if shared.chief and worked is not False:
        workdir.write_seconds(stage, time.monotonic() - began)


def _function(stage: str) -> Stage:
    module, name = STAGES[stage].split(":")
    function: Stage = getattr(importlib.import_module(module), name)
    return function


@contextlib.contextmanager
def _full_disk_named(stage: str, workdir: Workdir) -> Iterator[None]:
    """Turns a failure caused by a full disk into one line; libraries report it in their own words, or in none."""
    try:
        yield
    except DigitwiseError:
        raise
    except Exception as error:
        where = error.filename if isinstance(error, OSError) and error.filename else workdir.root
        if isinstance(error, OSError) and error.errno in _FULL_DISK:
            reason = error.strerror
        # Libraries in C++ report a full disk as anything, even as a damaged file.
        elif shutil.disk_usage(workdir.root).free < _FULL_BELOW:
            reason = "No space left on device"
        else:
            raise
        raise DigitwiseError(
            f"{stage}: cannot write to {where}: {reason}. Make room, then run the same command again to continue"
        ) from error
