"""Verifies a folder of records, shard by shard in worker processes."""

import functools

from pipeline.machine.progress import progress
from pipeline.machine.workers import run_pieces
from records.atomic import AnyPath
from records.dataset.manifest import Manifest
from records.dataset.verify import file_problems, shard_problem
from records.errors import DigitwiseError

_LINES_SHOWN = 20  # of possibly thousands; the first few tell the kind of damage
_REMEDY = "restore the file, or write the records again: --stage=records after removing"


def verify(folder: AnyPath, processes: int) -> bool:
    """Prints what is wrong with the records; the result is whether nothing is."""
    try:
        manifest = Manifest.load(folder)
    except DigitwiseError as error:
        print(f"check: {error}")
        return False
    problems = file_problems(manifest)
    damaged = {problem.file for problem in problems}
    shards = [shard for shard in manifest.shards if shard.file not in damaged]
    total = sum(shard.count for shard in shards)
    with progress("verify", total, unit="records") as advance:
        for shard, problem in run_pieces(functools.partial(shard_problem, manifest), shards, processes):
            advance(shard.count)
            if problem:
                problems.append(problem)
    if not problems:
        print(f"check: {total:,} records in {len(shards)} shards of {folder} are intact")
        return True
    print(f"check: {len(problems)} problem{'s' * (len(problems) > 1)} in {folder}:")
    for problem in sorted(problems)[:_LINES_SHOWN]:
        print(f"  {problem}")
    if len(problems) > _LINES_SHOWN:
        print(f"  and {len(problems) - _LINES_SHOWN} more")
    print(f"check: {_REMEDY} {folder}")
    return False
