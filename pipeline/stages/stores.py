"""Records in object stores: finished records are copied there, and records to read are copied from there first.

config = with_local_records(config, workdir)      # --records=s3://bucket/codes becomes a folder of the work folder
upload_records(config, workdir)                   # --upload=s3://bucket/codes
"""

import dataclasses
import hashlib
import pathlib

from pipeline.config import RunConfig
from pipeline.machine.progress import progress
from pipeline.workdir import Workdir
from records.dataset.manifest import FILE_NAME, Manifest
from records.dataset.store import Store, is_address
from records.errors import DigitwiseError


def with_local_records(config: RunConfig, workdir: Workdir) -> RunConfig:
    """The settings with a local copy in place of each address of --records. A copy is kept for other runs, by the
    manifest that it was made from."""
    entries = config.foreign.records
    if not any(map(is_address, entries)):
        return config
    local = tuple(str(_copied(Store(entry), workdir)) if is_address(entry) else entry for entry in entries)
    return dataclasses.replace(config, foreign=dataclasses.replace(config.foreign, records=local))


def _copied(store: Store, workdir: Workdir) -> pathlib.Path:
    content = store.manifest()
    if content is None:
        raise DigitwiseError(
            f"--records={store.address}: there is no {FILE_NAME}; records that the records stage uploaded have one, "
            "and those of other projects are read from files"
        )
    folder = workdir.stored_records / hashlib.sha256(content).hexdigest()[:16]
    if (folder / FILE_NAME).exists():
        return folder
    manifest = Manifest.parse(content, f"{store.address}/{FILE_NAME}", folder)
    with progress("copy", _count(manifest)) as advance:
        for shard in store.fetch(folder, content):
            advance(shard.count)
    return folder


def check_upload(config: RunConfig, workdir: Workdir) -> None:
    """Raises before any work is done where --upload cannot be reached, or holds records that must not be replaced."""
    if config.records.upload and "records" in config.ordered_stages:
        Store(config.records.upload).check_writable(workdir.records, config.overwrite)


def upload_records(config: RunConfig, workdir: Workdir) -> bool:
    """Copies finished records to --upload; the result is whether there was anything to copy."""
    if not config.records.upload:
        return False
    store = Store(config.records.upload)
    if store.holds(workdir.records):
        print(f"records: nothing to do, {store.address} has the same records")
        return False
    total = _count(Manifest.load(workdir.records))
    with progress("upload", total) as advance:
        for shard in store.upload(workdir.records, config.overwrite):
            advance(shard.count)
    print(f"records: {total:,} images copied to {store.address}")
    return True


def _count(manifest: Manifest) -> int:
    return sum(map(manifest.count, manifest.splits))
