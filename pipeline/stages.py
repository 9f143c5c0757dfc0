"""Runs stages in order, each imported only when its turn comes."""

import json
import time

from pipeline.workdir import Workdir


def run_stages(config):
    """Runs the stages that the settings name; the result is the exit code."""
    workdir = Workdir(config.workdir)
    stages = config.ordered_stages
    if "check" in stages:
        from pipeline.environment import check

        code = check(config, workdir)
        if code or stages == ("check",):
            return code
    with workdir.locked():
        for stage in stages:
            if stage != "check":
                _run_stage(stage, config, workdir)
    return 0


def _run_stage(stage, config, workdir):
    if stage == "generate":
        if config.records.source == "images" and not config.records.images:
            from pipeline.synthesis import generate

            generate(config, workdir)
        else:
            print("generate: nothing to draw; the images come from " + (config.records.images or "the renderer"))
    elif stage == "records":
        from pipeline.conversion import convert

        convert(config, workdir)
    else:
        print(f"{stage}: not built yet")
