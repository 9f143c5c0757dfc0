"""Runs stages in order, each imported only when its turn comes, and notes how long it took."""

import contextlib
import json
import time

from pipeline.machine.startup import import_tensorflow
from pipeline.workdir import Workdir
from records.atomic import write_text


def run_stages(config):
    """Runs the stages that the settings name; the result is the exit code."""
    workdir = Workdir(config.workdir)
    stages = config.ordered_stages
    if "check" in stages:
        from pipeline.stages.check import check

        code = check(config, workdir)
        if code or stages == ("check",):
            return code
    _check_inputs(config)
    from pipeline.conversion.foreign import Probes

    probes = Probes()  # what --records holds is found out once, for all stages
    with workdir.locked() if _is_chief(config) else contextlib.nullcontext():
        for stage in stages:
            if stage != "check":
                _time_stage(stage, config, workdir, probes)
    return 0


def _check_inputs(config):
    """Raises before any work is done where a folder that a later stage takes is not what it must be."""
    trains = {"train", "folds", "cleanings"} & set(config.ordered_stages)
    taken = {
        "--initialize_from": config.train.initialize_from if trains else "",
        "--checkpoint": config.test.checkpoint if "test" in config.ordered_stages else "",
    }
    for flag, folder in taken.items():
        if folder:
            from pipeline.model.checkpoints import Checkpoints

            Checkpoints.given(flag, folder)


def _is_chief(config):
    """Of the workers that train together on one workdir, only the first holds it."""
    from pipeline.machine.devices import is_chief

    return is_chief(config.train.strategy)


def _time_stage(stage, config, workdir, probes):
    """A stage that finds its work done leaves the time that the work took."""
    began = time.monotonic()
    worked = _RUN[stage](config, workdir, probes)
    if worked is not False:
        seconds = read_seconds(workdir) | {stage: round(time.monotonic() - began, 2)}
        write_text(workdir.seconds, json.dumps(seconds) + "\n")


def read_seconds(workdir):
    """{stage: seconds} of the work in the folder."""
    try:
        return json.loads(workdir.seconds.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _inspect(config, workdir, probes):
    from pipeline.stages.inspect import inspect

    inspect(config, workdir, probes)
    return False


def _generate(config, workdir, probes):
    if config.foreign.records:
        print(f"generate: nothing to draw, the images are in {', '.join(config.foreign.records)}")
        return False
    if config.records.source == "synthetic" or config.records.images:
        where = f"in {config.records.images}" if config.records.images else "drawn straight into records"
        print(f"generate: nothing to draw, the images are {where}")
        return False
    from pipeline.drawing.files import generate

    return generate(config, workdir)


def _records(config, workdir, probes):
    from pipeline.stages.records import records

    return records(config, workdir, probes)


def _train(config, workdir, probes):
    from pipeline.stages.inputs import records_to_train

    records = records_to_train(config, workdir, probes)
    import_tensorflow()
    from pipeline.training.loop import train

    train(config, workdir, records)


def _test(config, workdir, probes):
    from pipeline.stages.inputs import records_to_test

    records = records_to_test(config, workdir, probes)
    import_tensorflow()
    from pipeline.stages.test import test

    test(config, workdir, read_seconds(workdir), records)


def _folds(config, workdir, probes):
    from pipeline.stages.trials import folds

    folds(config, workdir)


def _cleanings(config, workdir, probes):
    from pipeline.stages.trials import cleanings

    cleanings(config, workdir)


_RUN = {
    "inspect": _inspect,
    "generate": _generate,
    "records": _records,
    "train": _train,
    "test": _test,
    "folds": _folds,
    "cleanings": _cleanings,
}
