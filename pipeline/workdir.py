"""Every path under --workdir, the lock that keeps two runs apart, and the rule for existing results.

with Workdir("workdir").locked() as workdir: ...

Only what the pipeline made is ever removed.
"""

import contextlib
import json
import os
import pathlib
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Self

from records.atomic import write_text
from records.errors import DigitwiseError
from records.jsonfile import UnreadableFile, read_object

try:
    import fcntl
except ImportError:  # Windows has no flock; there, users must not start two runs on one folder.
    fcntl = None  # type: ignore[assignment]

_LOCK_BYTES = 1000  # of the message that names the holder: enough for a line on the terminal


class Workdir:
    """The folder for everything that a run writes."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = pathlib.Path(root)
        self.lock_file = self.root / ".lock"
        self.cache = self.root / ".cache"
        self.images = self.root / "images"
        self.records = self.root / "records"
        # With a dot: never read as records, nor as images of the user's.
        self.unfinished_records = self.root / ".records-unfinished"
        self.checkpoints = self.root / "checkpoints"
        self.logs = self.root / "logs"
        self.report = self.root / "report"
        self.export = self.root / "export"
        self.inspect = self.root / "inspect"
        self.folds = self.root / "folds"
        self.folds_report = self.folds / "report.json"
        self.cleanings = self.root / "cleanings"
        self.cleanings_report = self.cleanings / "report.json"
        # Of --unlabelled: the training on the labelled images alone, and what it reads in the others.
        self.first = self.root / "first"
        self.readings = self.first / "readings.csv"
        self.stored_records = self.cache / "records"  # copies of those in object stores
        self.unpacked = self.root / ".unpacked"
        self.tested = self.root / "tested"
        self.seconds = self.root / "seconds.json"

    def create(self) -> None:
        if self.root.is_symlink() and not self.root.exists():
            raise DigitwiseError(
                f"--workdir={self.root} is a link to {os.readlink(self.root)}, which does not exist: create that "
                "folder, or remove the link"
            )
        if self.root.exists() and not self.root.is_dir():
            raise DigitwiseError(
                f"--workdir={self.root} is a file: expected a folder, or a name that does not exist yet"
            )
        self.root.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[Self]:
        """Holds the folder for this process; a second run is told at once who has it."""
        self.create()
        if fcntl is None:
            yield self
            return
        with self._open_lock() as file:
            try:
                # flock, unlike a file with a process number in it, is released by the kernel however the process ends.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read(_LOCK_BYTES).decode("utf-8", "replace").strip()
                raise DigitwiseError(
                    f"{self.root} is in use by {holder or 'another process'}; "
                    "wait for it, end it, or choose another --workdir"
                ) from None
            command = " ".join(sys.argv)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            file.truncate(0)
            # Arguments may hold bytes that are not UTF-8.
            file.write(f"process {os.getpid()} since {since}: {command}\n".encode("utf-8", "backslashreplace"))
            try:
                yield self
            finally:
                # Emptied, not removed: a run that has just opened it would lock a file that no name leads to any more.
                file.truncate(0)

    def read_seconds(self) -> dict[str, float]:
        """{stage: seconds} of the results in the folder; a damaged file is reported and counts as empty."""
        try:
            content = read_object(self.seconds, {})
        except FileNotFoundError:
            return {}
        except UnreadableFile as error:
            print(f"warning: {error}; the times of earlier stages are lost", file=sys.stderr)
            return {}
        return {stage: value for stage, value in content.items() if isinstance(value, (int, float))}

    def write_seconds(self, stage: str, seconds: float) -> None:
        """Adds the time that the result of a stage took."""
        write_text(self.seconds, json.dumps(self.read_seconds() | {stage: round(seconds, 2)}) + "\n")

    def _open_lock(self) -> BinaryIO:
        """A regular file, never what a link leads to: the lock truncates it. Opening a FIFO would wait for a reader."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        if self.lock_file.is_symlink():
            raise DigitwiseError(f"{self.lock_file} is a link: remove it, as the lock must be a file of its own")
        descriptor = os.open(self.lock_file, flags, 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise DigitwiseError(f"{self.lock_file} is not a regular file: remove it")
        return open(descriptor, "a+b", buffering=0)  # closed by the caller's with


def differing_settings(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    """[(name, old value, new value)] of two nested dicts of settings, in the order of the new one."""
    differing = []
    # A setting that only one version of the program knew is a difference too.
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            differing += differing_settings(before, after, f"{prefix}{name}.")
        elif before != after:
            differing.append((prefix + name, before, after))
    return differing


def plain(settings: Any) -> Any:
    """Settings as JSON gives them back, so that stored settings compare equal to the requested ones."""
    return json.loads(json.dumps(settings))
