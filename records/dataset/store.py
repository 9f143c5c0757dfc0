"""Records in an object store: written shard by shard with the manifest last, and read through a checked local copy.

store = Store("s3://bucket/codes")
for shard in store.upload("workdir/records"): ...
for shard in store.fetch(folder): ...           # then Manifest.load(folder)

The only module that knows fsspec.
"""

import concurrent.futures
import contextlib
import hashlib
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from records.atomic import AnyPath, atomic_file
from records.dataset.manifest import FILE_NAME, Manifest, Shard
from records.dataset.shards import is_shard_name
from records.dataset.verify import is_as_written
from records.errors import DamagedRecords, DigitwiseError, printable

# What tensorflow-datasets reads.
DESCRIPTIONS = ("features.json", "dataset_info.json")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://.+")
_FILES = ("file", "local")  # what fsspec calls folders, which it does not write atomically
_BLOCK = 1 << 20
_TRANSFERS = 8  # at one time: a single one waits for the network most of the time


def is_address(text: str) -> bool:
    return _ADDRESS.fullmatch(text) is not None


class Store:
    """A folder of an object store. An object is there with all its bytes or not at all, and records are complete when
    their manifest is there."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        with self._named():
            self._files, self._root = _opened(self.address)

    def manifest(self) -> bytes | None:
        """The manifest as it is stored; None where there is none."""
        with self._named():
            self._files.invalidate_cache()
            try:
                content: bytes = self._files.cat_file(self._path(FILE_NAME))
            except FileNotFoundError:
                return None
            return content

    def fetch(self, folder: AnyPath, content: bytes | None = None) -> Iterator[Shard]:
        """Copies all shards into `folder`, the manifest last, and yields each as it is there; what an earlier call has
        copied is kept. Every byte is checked against the manifest, whose `content` need not be fetched again."""
        content, folder = content or self.manifest(), pathlib.Path(folder)
        if content is None:
            raise DigitwiseError(f"{self.address}: there are no records of digitwise, which have a {FILE_NAME}")
        manifest = Manifest.parse(content, self._name(FILE_NAME), folder)
        for shard in manifest.shards:
            if pathlib.PurePath(shard.file).name != shard.file or not is_shard_name(shard.file):
                raise DamagedRecords(f"{self._name(FILE_NAME)} has a shard {printable(shard.file)}, which is no name")
        folder.mkdir(parents=True, exist_ok=True)
        there: list[Shard] = []
        missing: list[Shard] = []
        for shard in manifest.shards:
            (there if is_as_written(folder, shard) else missing).append(shard)
        needed, free = sum(shard.bytes for shard in missing), shutil.disk_usage(folder).free
        if needed > free:
            raise DigitwiseError(f"{self.address} takes {needed:,} bytes more in {folder}, which has {free:,} left")
        yield from there
        yield from _together(lambda shard: self._fetch_shard(shard, folder), missing)
        with atomic_file(folder / FILE_NAME) as file:
            file.write(content)

    def upload(self, folder: AnyPath, overwrite: bool = False) -> Iterator[Shard]:
        """Copies the records in `folder`, and yields each shard as it is there; what an upload that was stopped has
        copied is kept. Other records are replaced only with `overwrite`."""
        folder = pathlib.Path(folder)
        self.check_writable(folder, overwrite)
        manifest = Manifest.load(folder)
        with self._named():
            # The manifest goes first: half of these records and half of others must not look like complete ones.
            if self.manifest() is not None:
                self._files.rm_file(self._path(FILE_NAME))
            names = {shard.file for shard in manifest.shards}
            for path in self._listed():
                if is_shard_name(path) and path not in names:
                    self._files.rm_file(self._path(path))
        yield from _together(lambda shard: self._upload_shard(shard, folder), manifest.shards)
        for name in (*DESCRIPTIONS, FILE_NAME):
            if (folder / name).exists():
                with self._named():
                    self._files.pipe_file(self._path(name), (folder / name).read_bytes())

    def holds(self, folder: AnyPath) -> bool:
        """Whether the records in `folder` are there, complete."""
        return _is_of(self.manifest(), folder)

    def check_writable(self, folder: AnyPath, overwrite: bool) -> None:
        """Raises where an upload would replace other records and may not."""
        content = self.manifest()  # with overwrite too: a store that cannot be reached is told before any work
        if content is not None and not overwrite and not _is_of(content, folder):
            raise DigitwiseError(
                f"{self.address} holds other records than {folder}: give --overwrite to replace them, or another one"
            )

    def _fetch_shard(self, shard: Shard, folder: pathlib.Path) -> Shard:
        digest = hashlib.sha256()
        with (
            self._named(shard.file),
            self._files.open(self._path(shard.file), "rb", block_size=_BLOCK, cache_type="readahead") as remote,
            atomic_file(folder / shard.file) as file,
        ):
            while block := remote.read(_BLOCK):
                digest.update(block)
                file.write(block)
            if digest.hexdigest() != shard.sha256:
                raise DamagedRecords(
                    f"{self._name(shard.file)} is not the shard that was written (sha256 "
                    f"{digest.hexdigest()[:12]}..., the manifest says {shard.sha256[:12]}...); upload the records again"
                )
        return shard

    def _upload_shard(self, shard: Shard, folder: pathlib.Path) -> Shard:
        if not is_as_written(folder, shard):
            raise DamagedRecords(f"{folder / shard.file} is not the shard that the manifest names; write it again")
        with self._named(shard.file):
            path = self._path(shard.file)
            if not (self._files.exists(path) and _remote_sha256(self._files, path) == shard.sha256):
                self._files.put_file(str(folder / shard.file), path)
                self._files.invalidate_cache()
            if self._files.size(path) != shard.bytes:
                raise DigitwiseError(f"{self._name(shard.file)} did not get there whole; give the command again")
        return shard

    def _listed(self) -> list[str]:
        try:
            return [str(path).rpartition("/")[2] for path in self._files.ls(self._root, detail=False)]
        except FileNotFoundError:
            return []

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _name(self, name: str) -> str:
        return f"{self.address}/{name}"

    @contextlib.contextmanager
    def _named(self, name: str = "") -> Iterator[None]:
        """Failures of the store as one line. Its libraries have no common class for them."""
        try:
            yield
        except DigitwiseError:
            raise
        except Exception as error:
            where = self._name(name) if name else self.address
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise DigitwiseError(f"{where}: {printable(reason, 500)}") from error


def _is_of(content: bytes | None, folder: AnyPath) -> bool:
    path = pathlib.Path(folder) / FILE_NAME
    return path.exists() and path.read_bytes() == content


def _opened(address: str) -> tuple[Any, str]:
    """(file system, path) of an address."""
    found = _ADDRESS.fullmatch(address)
    if found is None or found[1] in _FILES:
        raise DigitwiseError(f"{address} is no address of an object store, such as s3://bucket/codes")
    try:
        import fsspec

        files, path = fsspec.core.url_to_fs(address, skip_instance_cache=True)
    except ImportError as error:
        raise DigitwiseError(f"{address}: {error}: pip install -e '.[s3]'") from None
    return files, str(path).rstrip("/")


def _together(work: Callable[[Shard], Shard], shards: Sequence[Shard]) -> Iterator[Shard]:
    """Several at a time, each as soon as it is done; after an error nothing more is begun."""
    with concurrent.futures.ThreadPoolExecutor(_TRANSFERS) as executor:
        try:
            futures = [executor.submit(work, shard) for shard in shards]
            for future in concurrent.futures.as_completed(futures):
                yield future.result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _remote_sha256(files: Any, path: str) -> str:
    with files.open(path, "rb", block_size=_BLOCK) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
