"""Files and folders that are either absent or whole, whenever the process is killed.

with atomic_file("labels.csv") as file:
    file.write(b"...")
"""

import contextlib
import os
import pathlib
import secrets
import shutil

PARTIAL_PREFIX = ".partial-"


@contextlib.contextmanager
def atomic_file(path):
    """Opens a binary file beside `path` that takes its name once the block has ended well."""
    path = pathlib.Path(path)
    partial = _partial_name(path)
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_text(path, text):
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))


@contextlib.contextmanager
def atomic_directory(path):
    """Makes a folder beside `path` that takes its name once the block has ended well.

    Nothing is synced, as that costs more than writing many small files: whoever needs the folder to survive a power
    cut checks its content when it is next met, or syncs later, for many folders at once.
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


def remove_partial(folder):
    """Clears away what killed processes left in `folder`."""
    for path in pathlib.Path(folder).glob(PARTIAL_PREFIX + "*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync_directory(folder):
    """Makes a rename in `folder` last; file systems that cannot are left as they are."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def _partial_name(path):
    return path.with_name(f"{PARTIAL_PREFIX}{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
