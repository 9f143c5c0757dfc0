"""A source of labelled images into TFRecord shards under records/, the manifest last.

Everything is prepared in a folder aside, which takes its name when it is whole. A shard is the unit of work; a run that
continues after a stop skips the shards that are finished.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config import CodeConfig, RecordsConfig, RunConfig
from pipeline.conversion.faults import all_faults, widest_form
from pipeline.conversion.findings import alphabet_lines, code_lines, image_lines
from pipeline.conversion.foreign import Probes
from pipeline.conversion.forms import find_form
from pipeline.conversion.plans import FOLDER as PLAN_FOLDER
from pipeline.conversion.shards import write_shards
from pipeline.conversion.sources import CodeSource, find_source
from pipeline.conversion.survey import few_codes, missing_classes, survey
from pipeline.differences import refuse_other_settings
from pipeline.machine.workers import Engine, LocalPool
from pipeline.workdir import Workdir, differing_settings, plain
from records.atomic import remove_partial, sync_directory, write_text
from records.dataset import schema
from records.dataset.manifest import FILE_NAME, PLAIN, Manifest
from records.dataset.settings import RecordSettings
from records.dataset.shards import is_shard_name
from records.dataset.store import DESCRIPTIONS
from records.dataset.verify import is_as_written
from records.dataset.writer import entry_path
from records.errors import DigitwiseError, UnusableImages, printable
from records.split import SPLITS, SplitRule

_SETTINGS = "settings.json"


def split_rule(records: RecordsConfig) -> SplitRule:
    """The rule that the settings ask for."""
    return SplitRule(records.validation_fraction, records.test_fraction)


def convert(
    config: RunConfig,
    workdir: Workdir,
    rule: SplitRule | None = None,
    images_of: Workdir | None = None,
    reader: str = "",
    probes: Probes | None = None,
    engine: Engine | None = None,
) -> bool:
    """Serializes the source that the settings name; the result is whether there was anything to do.

    `rule` splits the codes where that is not as the settings say. `images_of` is the Workdir of generated images, where
    that is another one; `reader` says what it is that reads no other codes than these. `engine` does the work,
    by default in processes of this machine.
    """
    began = time.monotonic()
    rule = rule or split_rule(config.records)
    engine = engine or LocalPool(config.processes)
    _finish_rename(workdir)
    found = dataclasses.replace(find_source(config, images_of or workdir, probes), reader=reader)
    settings = plain(_settings(config.records, found, rule).to_json())
    if _is_done(workdir, settings, rule, config.overwrite):
        return False
    for line in found.left_out:
        print(f"records: warning: not read: {line}")
    with _unfinished_folder(workdir.unfinished_records, settings) as folder:
        surveyed = survey(found, rule, folder)
        for line in (*code_lines(found, surveyed), *alphabet_lines(found, surveyed)):
            print(f"records: {printable(line, 1000)}")
        form = widest_form(found.size, config.records.resize)
        try:
            images = find_form(found, config.records, surveyed, folder, engine)
            form = images.stored
            for line in image_lines(found, images):
                print(f"records: {printable(line, 1000)}")
            manifest = write_shards(found, config.records, settings, surveyed, images, folder, engine)
        except UnusableImages as unusable:
            raise all_faults(unusable, found.source, folder, surveyed.total, engine, form) from None
        _finish(manifest, folder, workdir)
    seconds = time.monotonic() - began
    total = surveyed.total
    shares = ", ".join(f"{split} {surveyed.counts[split]:,}" for split in SPLITS)
    print(f"records: {total:,} images in {workdir.records} ({shares}), {total / seconds:,.0f} images/s")
    for line in (*few_codes(surveyed, rule), *missing_classes(manifest, surveyed)):
        print(f"records: warning: {line}")
    return True


def _settings(records: RecordsConfig, found: CodeSource, rule: SplitRule) -> RecordSettings:
    """Everything that decides the bytes of the records; where the images come from is in `source`."""
    return RecordSettings(
        source=found.identity,
        alphabet=found.alphabet or None,
        rule=rule,
        name=records.name,
        images_per_shard=records.images_per_shard,
        image_format=records.image_format,
        colors=records.colors,
        compression=records.compression,
        resize=records.resize,
        fold_case=records.fold_case,
    )


def _is_done(workdir: Workdir, settings: dict[str, Any], rule: SplitRule, overwrite: bool) -> bool:
    """Whether the records asked for are there. Stops where others are, unless those may and can be replaced."""
    if not workdir.records.exists() or not any(workdir.records.iterdir()):
        return False
    if not (workdir.records / FILE_NAME).exists():
        raise DigitwiseError(f"{workdir.records} holds files that digitwise did not write: choose another --workdir")
    manifest = Manifest.load(workdir.records)
    standing = dict(manifest.settings)
    if manifest.sizes is None and settings["alphabet"] is None and standing.get("alphabet") == CodeConfig().characters:
        standing["alphabet"] = None  # from before alphabets were found in codes: this one was the default
    own = manifest.split_rule
    if rule.held_out_only and own:  # records of all splits hold those too
        standing |= dataclasses.replace(own, held_out_only=True).to_json()
    differing = differing_settings(standing, settings)
    if not differing and overwrite and (damaged := _damaged_shard(manifest)):
        print(f"records: {damaged} is damaged: all are written again")
        _check_removable(workdir.records)
        return False
    if not differing:
        counts = ", ".join(f"{split} {manifest.count(split):,}" for split in SPLITS)
        print(f"records: nothing to do, {workdir.records} has the records of these settings ({counts})")
        return True
    if not overwrite:
        refuse_other_settings(str(workdir.records), differing)
    _check_removable(workdir.records)
    return False


@contextlib.contextmanager
def _unfinished_folder(folder: pathlib.Path, settings: dict[str, Any]) -> Iterator[pathlib.Path]:
    """The folder in which the records grow, kept from an earlier run where that was making the same."""
    try:
        same = json.loads((folder / _SETTINGS).read_text(encoding="utf-8")) == settings
    except (OSError, ValueError):
        same = False
    if folder.exists() and not same:
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    remove_partial(folder)
    # Plans are always written again: they are quick to make, and half a plan cannot be told from a whole one.
    shutil.rmtree(folder / PLAN_FOLDER, ignore_errors=True)
    (folder / PLAN_FOLDER).mkdir()
    # Before the first shard, so that a later run can tell whether these shards are its own.
    write_text(folder / _SETTINGS, json.dumps(settings))
    try:
        yield folder
    except BaseException:
        if folder.exists() and not any(is_shard_name(path.name) for path in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)  # nothing there to continue with
        raise


def _finish(manifest: Manifest, folder: pathlib.Path, workdir: Workdir) -> None:
    """Writes the descriptions, the manifest last, and gives the folder its name."""
    # What only the conversion needed goes before the manifest is written: a folder with a manifest is complete and
    # clean.
    shutil.rmtree(folder / PLAN_FOLDER)
    shutil.rmtree(workdir.unpacked, ignore_errors=True)
    for shard in manifest.shards:
        entry_path(folder / shard.file).unlink(missing_ok=True)
    (folder / _SETTINGS).unlink()
    if manifest.compression == PLAIN:  # tensorflow-datasets reads plain files only
        for name, content in zip(
            DESCRIPTIONS, (schema.tfds_features(manifest), schema.tfds_info(manifest)), strict=True
        ):
            write_text(folder / name, json.dumps(content, indent=1) + "\n")
    manifest.save(folder)
    _rename(workdir)


def _finish_rename(workdir: Workdir) -> None:
    """Records that were whole when an earlier run was killed before their last rename."""
    if (workdir.unfinished_records / FILE_NAME).exists():
        _rename(workdir)


def _rename(workdir: Workdir) -> None:
    if workdir.records.exists():
        _check_removable(workdir.records)
        # The manifest goes first: a folder that is half removed is not taken for whole.
        (workdir.records / FILE_NAME).unlink(missing_ok=True)
        shutil.rmtree(workdir.records)
    # One rename: at no time is there a folder records/ that is half old and half new.
    os.rename(workdir.unfinished_records, workdir.records)
    sync_directory(workdir.root)


def _damaged_shard(manifest: Manifest) -> str:
    """The path of the first shard whose bytes are not those that were written; nothing where all are."""
    paths = (manifest.folder / shard.file for shard in manifest.shards if not is_as_written(manifest.folder, shard))
    return str(next(paths, ""))


def check_source(workdir: Workdir, source: Mapping[str, Any]) -> None:
    """Raises where records stand that were made of other images: before these are drawn, and not after."""
    try:
        standing = Manifest.load(workdir.records).settings.get("source")
    except DigitwiseError:
        return
    if differing := differing_settings({"source": standing}, {"source": plain(source)}):
        refuse_other_settings(str(workdir.records), differing)


def _check_removable(folder: pathlib.Path) -> None:
    """Raises unless `folder` holds only what the records stage made."""
    if folder.is_symlink():
        raise DigitwiseError(
            f"{folder} is a symbolic link, which is not replaced: remove the link, or choose another --workdir"
        )
    made = {FILE_NAME, *DESCRIPTIONS}
    strangers = [path.name for path in folder.iterdir() if path.name not in made and not is_shard_name(path.name)]
    if strangers:
        raise DigitwiseError(
            f"{folder} also holds {printable(', '.join(sorted(strangers)[:3]))}, which digitwise did not write: "
            "move it away first"
        )
