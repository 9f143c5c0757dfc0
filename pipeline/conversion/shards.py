"""The shards of a conversion: how many, what goes into each, and their writing in worker processes."""

import dataclasses
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

from pipeline.config import RecordsConfig
from pipeline.conversion.forms import ImageForm
from pipeline.conversion.plans import RowFiles, plan_path
from pipeline.conversion.sources import CodeSource
from pipeline.conversion.survey import Survey
from pipeline.drawing.renderer import SyntheticSource, versions
from pipeline.machine.progress import progress
from pipeline.machine.workers import Engine, run_writing_pieces
from records.dataset.manifest import GZIP, PLAIN, Manifest, Shard
from records.dataset.shards import shard_count, shard_name
from records.dataset.verify import Promise
from records.dataset.writer import ShardSpec, standing_shard, write_shard
from records.errors import DamagedRecords
from records.split import SPLITS

COMPRESSIONS: dict[str, str] = {"none": PLAIN, "gzip": GZIP}  # of --compression


def write_shards(
    found: CodeSource,
    records: RecordsConfig,
    settings: Mapping[str, Any],
    surveyed: Survey,
    images: ImageForm,
    folder: pathlib.Path,
    engine: Engine,
) -> Manifest:
    """Writes the shards that are not there yet, and returns the manifest of all."""
    form = images.stored
    min_length, max_length = found.lengths or (min(surveyed.lengths), max(surveyed.lengths))
    promise = Promise(surveyed.alphabet, min_length, max_length, form.shape, form.encoding)
    is_rendered = isinstance(found.source, SyntheticSource)
    pattern = ShardSpec("", found.source, "", "", form, promise, COMPRESSIONS[records.compression], is_rendered)
    specs = _shard_specs(pattern, records, surveyed, folder)
    shards = _written(specs, surveyed.total, folder, engine)
    width, height = images.sizes.largest
    return Manifest(
        name=records.name,
        alphabet=surveyed.alphabet,
        min_length=min_length,
        max_length=max_length,
        height=height,
        width=width,
        channels=form.channels,
        encoding=form.encoding,
        compression=pattern.compression,
        splits={split: tuple(shards[spec.target] for spec in specs if spec.split == split) for split in SPLITS},
        classes={split: surveyed.classes_of(split, max_length) for split in SPLITS},
        settings=dict(settings),
        versions={"python": platform.python_version(), **versions()},
        fonts=dict(found.fonts),
        sizes=images.sizes,
    )


def _shard_specs(pattern: ShardSpec, records: RecordsConfig, surveyed: Survey, folder: pathlib.Path) -> list[ShardSpec]:
    """Deals the rows of each split out to its shards in turn, so that each shard is a fair sample of the split."""
    specs = []
    with RowFiles(folder) as files:
        for split in SPLITS:
            count = shard_count(surveyed.counts[split], records.images_per_shard)
            names = [shard_name(records.name, split, index, count) for index in range(count)]
            if count:
                with open(plan_path(folder, split), encoding="utf-8") as lines:
                    for number, line in enumerate(lines):
                        files.add_line(names[number % count], line)
            for name in names:
                plan, target = str(plan_path(folder, name)), str(folder / name)
                specs.append(dataclasses.replace(pattern, split=split, plan=plan, target=target))
    return specs


def _written(specs: list[ShardSpec], total: int, folder: pathlib.Path, engine: Engine) -> dict[str, Shard]:
    """{target: Shard} of all, those that an earlier run finished among them."""
    shards = {spec.target: shard for spec in specs if (shard := standing_shard(spec.target))}
    missing = [spec for spec in specs if spec.target not in shards]
    done = sum(shard.count for shard in shards.values())
    with (
        progress(f"records{engine.place}", total, done) as advance,
        run_writing_pieces(write_shard, missing, engine, folder) as results,
    ):
        for spec, shard in results:
            shards[spec.target] = shard
            advance(shard.count)
    # Counted again at the end: nothing else notices that a second run is writing into the same folder.
    written = sum(shard.count for shard in shards.values())
    if written != total:
        raise DamagedRecords(f"{folder} has {written} records of {total} images: is another process writing there?")
    return shards
