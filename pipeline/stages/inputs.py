"""Which folder of records a training or a test reads; what is not converted yet is converted first.

records = records_to_train(config, workdir, probes)
"""

import dataclasses
import os
import pathlib

from pipeline.config import CodeConfig, ForeignConfig, RunConfig
from pipeline.conversion.convert import convert, split_rule
from pipeline.conversion.foreign import Probes
from pipeline.conversion.sources import find_source
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.spec import ModelSpec
from pipeline.stages.unlabelled import read_unlabelled
from pipeline.workdir import Workdir, plain
from records.dataset.manifest import FILE_NAME, Manifest
from records.errors import DigitwiseError
from records.split import SPLITS


def draws_all(config: RunConfig) -> bool:
    """Whether a training takes no image from records: they only have to hold what tests it."""
    return config.records.source == "synthetic" and config.synthetic_share == 1


def records_to_train(config: RunConfig, workdir: Workdir, probes: Probes | None = None) -> pathlib.Path:
    """A folder of records that this project wrote is read as it is; anything else that the settings name is converted
    once, unless the records stage just did."""
    own = _own_folder(config.foreign)
    if own:
        return own
    probes = probes or Probes()
    is_lacking = config.records.source == "synthetic" and not (workdir.records / FILE_NAME).exists()
    if (_names_source(config) or is_lacking) and _may_convert(config, workdir, probes):
        read_unlabelled(config, workdir)
        rule = dataclasses.replace(split_rule(config.records), held_out_only=draws_all(config))
        convert(config, workdir, rule, probes=probes)
    return workdir.records


def records_to_test(config: RunConfig, workdir: Workdir, probes: Probes | None = None) -> pathlib.Path:
    """The same for a test. What the workdir's records were made of is tested on its test split. Of anything else that
    the settings name every image is held out, so all of them are tested, as the checkpoint reads them."""
    own = _own_folder(config.foreign)
    if own:
        return own
    probes = probes or Probes()
    if not _names_source(config) or not _may_convert(config, workdir, probes) or _is_converted(config, workdir, probes):
        return workdir.records
    if config.test.split not in SPLITS:
        raise DigitwiseError(f"--split={config.test.split}: there are {', '.join(SPLITS)}")
    checkpoint = Checkpoints.to_test(config.test, workdir)
    asked = _as_it_reads(config, checkpoint.best_state().spec)
    tested = Workdir(workdir.tested)
    tested.create()
    rule = dataclasses.replace(split_rule(config.records), only=config.test.split)
    convert(asked, tested, rule, reader=f"the checkpoint in {checkpoint.folder}", probes=probes)
    return tested.records


def _names_source(config: RunConfig) -> bool:
    """Whether the settings name images to read, beside those that the workdir may hold."""
    return bool(config.foreign.records or config.records.images)


def _may_convert(config: RunConfig, workdir: Workdir, probes: Probes) -> bool:
    """Not twice in one run; several workers at once must not have to."""
    if config.train.strategy == "multi_worker" and not _is_converted(config, workdir, probes):
        raise DigitwiseError(
            f"{workdir.records} was not made of these images: run --stage=records once, without "
            "--strategy=multi_worker, or give --records the folder of records that it made elsewhere"
        )
    return "records" not in config.ordered_stages and config.train.strategy != "multi_worker"


def _as_it_reads(config: RunConfig, spec: ModelSpec) -> RunConfig:
    """The settings under which images become what a network reads; one that fits images takes them as they are."""
    height, width, _ = spec.image_shape
    size = None if spec.fitted else (width, height)
    code = CodeConfig(spec.alphabet, (spec.min_length, spec.max_length), size)
    records = dataclasses.replace(config.records, resize=config.records.resize and size is not None)
    # overwrite: tested/ belongs to this test alone, and what an earlier one left there is of no use.
    return dataclasses.replace(config, overwrite=True, code=code, records=records)


def _own_folder(foreign: ForeignConfig) -> pathlib.Path | None:
    """The one entry of --records, where that is a folder that this project wrote."""
    if len(foreign.records) != 1 or foreign.mapping:
        return None
    folder = pathlib.Path(foreign.records[0])
    return folder if (folder / FILE_NAME).is_file() else None


def _is_converted(config: RunConfig, workdir: Workdir, probes: Probes) -> bool:
    """Whether the workdir's records were made of the images that the settings name."""
    try:
        source = Manifest.load(workdir.records).settings["source"]
    except (DigitwiseError, KeyError, TypeError):
        return False
    if config.records.images and os.path.realpath(config.records.images) == os.path.realpath(workdir.images):
        return "drawing" in source  # the images of the generate stage, named as a folder
    identity = plain(find_source(config, workdir, probes).identity)
    # Only the images themselves are compared: other settings, such as --fold_case, may have changed since.
    return all(source.get(kind) == identity[kind] for kind in ("folder", "records") if kind in identity)
