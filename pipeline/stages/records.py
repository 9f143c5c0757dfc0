"""The records stage: the images that the settings name, as TFRecord shards."""

import dataclasses

from pipeline.config import RunConfig
from pipeline.conversion.convert import convert, split_rule
from pipeline.conversion.foreign import Probes
from pipeline.machine.workers import Engine
from pipeline.stages.inputs import draws_all
from pipeline.stages.stores import upload_records
from pipeline.stages.unlabelled import read_unlabelled
from pipeline.workdir import Workdir


def records(config: RunConfig, workdir: Workdir, probes: Probes | None = None, engine: Engine | None = None) -> bool:
    """Whether there was anything to do. A training whose images are all synthetic only needs records that test it."""
    # Without the train stage nobody says yet what the records are for, so all of them are written.
    held_out_only = draws_all(config) and "train" in config.ordered_stages
    rule = dataclasses.replace(split_rule(config.records), held_out_only=held_out_only)
    read_unlabelled(config, workdir)
    has_converted = convert(config, workdir, rule, probes=probes, engine=engine)
    return upload_records(config, workdir) or has_converted
