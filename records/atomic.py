"""Files and folders that are either absent or whole, whenever the process is killed.

with atomic_file("labels.csv") as file:
    file.write(b"...")

What replaces something grows in `successor_of(folder)` while `folder` keeps its content, and `succeed` puts it there.
"""

import contextlib
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from typing import BinaryIO

PARTIAL_PREFIX = ".partial-"
_BUFFER = 1 << 18  # bytes: a call of the system for each image would take longer than the writing
_GROWING, _ARRIVING = ".unfinished", ".arriving"
AnyPath = str | os.PathLike[str]


@contextlib.contextmanager
def atomic_file(path: AnyPath) -> Iterator[BinaryIO]:
    """Opens a binary file beside `path` that takes its name once the block has ended well."""
    path = pathlib.Path(path)
    partial = _partial_name(path)
    try:
        # x: fails rather than writing into a file that is somehow there.
        with open(partial, "xb", buffering=_BUFFER) as file:
            yield file
            file.flush()
            # The content must be on the disk before the name is: a power cut may keep the rename and lose the bytes.
            os.fsync(file.fileno())
        os.replace(partial, path)
    # KeyboardInterrupt and SystemExit must not leave the partial file either.
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_text(path: AnyPath, text: str) -> None:
    """As UTF-8. What is no character, as in names of files that are not UTF-8, becomes the escape that JSON has."""
    with atomic_file(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


@contextlib.contextmanager
def atomic_directory(path: AnyPath) -> Iterator[pathlib.Path]:
    """Makes a folder beside `path` that takes its name once the block has ended well.

    Nothing is synced, as that costs more than writing many small files. Whoever needs the folder to survive a power
    cut checks its content the next time, or syncs later, for many folders at once.
    """
    path = pathlib.Path(path)
    partial = _partial_name(path)
    partial.mkdir()
    try:
        yield partial
        os.rename(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def successor_of(folder: AnyPath) -> pathlib.Path:
    """Where that grows which is to replace the content of `folder`. It is within the folder, so that it is on the same
    disk if the folder is a link."""
    return pathlib.Path(folder) / _GROWING


def is_arriving(folder: AnyPath) -> bool:
    """Whether a process was killed while a successor took its place: what it replaced is gone by then."""
    return (pathlib.Path(folder) / _ARRIVING).exists()


def succeed(folder: AnyPath, remove_old: Callable[[], object]) -> None:
    """Puts a successor that is whole into `folder`, after `remove_old` has removed what it replaces.

    Killed at any moment, it ends well when it is called again. Files that others put into the folder stay.
    """
    growing, arriving = successor_of(folder), pathlib.Path(folder) / _ARRIVING
    if growing.exists():
        remove_old()
        os.rename(growing, arriving)
    if arriving.exists():
        _move_content(arriving, pathlib.Path(folder))
        sync_directory(folder)


def _move_content(source: pathlib.Path, target: pathlib.Path) -> None:
    for path in sorted(source.iterdir()):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _move_content(path, place)
        else:
            os.replace(path, place)
    source.rmdir()


def remove_partial(folder: AnyPath) -> None:
    """Removes what killed processes left in `folder`."""
    for path in pathlib.Path(folder).glob(PARTIAL_PREFIX + "*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync_directory(folder: AnyPath) -> None:
    """Makes a rename in `folder` survive a power cut; file systems that cannot sync folders are left as they are."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _partial_name(path: pathlib.Path) -> pathlib.Path:
    # In the same folder, as a rename is atomic within one file system only; with a random part, as process numbers
    # repeat across machines that share the folder.
    return path.with_name(f"{PARTIAL_PREFIX}{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
