"""Every path under --workdir, the lock that keeps two runs apart, and the rule for work that is there already.

Only what the pipeline made is ever removed.
"""

import contextlib
import json
import os
import pathlib
import sys
import time

from records.errors import DigitwiseError

try:
    import fcntl
except ImportError:  # Windows has no flock; there two runs on one folder are the user's to avoid.
    fcntl = None


class Workdir:
    """The folder that holds everything a run makes."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.lock_file = self.root / ".lock"
        self.images = self.root / "images"
        self.records = self.root / "records"
        self.unfinished_records = self.root / ".records-unfinished"
        self.checkpoints = self.root / "checkpoints"
        self.logs = self.root / "logs"
        self.report = self.root / "report"
        self.inspect = self.root / "inspect"
        self.folds = self.root / "folds"
        self.folds_report = self.folds / "report.json"
        self.cleanings = self.root / "cleanings"
        self.cleanings_report = self.cleanings / "report.json"
        self.unpacked = self.root / ".unpacked"
        self.tested = self.root / "tested"
        self.seconds = self.root / "seconds.json"

    def create(self):
        if self.root.exists() and not self.root.is_dir():
            raise DigitwiseError(f"--workdir={self.root} is a file; it must be a folder, or a name not taken yet")
        self.root.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def locked(self):
        """Holds the folder for this process; a second run is told at once who has it."""
        self.create()
        if fcntl is None:
            yield
            return
        with open(self.lock_file, "a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise DigitwiseError(
                    f"{self.root} is in use by {file.read().strip() or 'another process'}; "
                    "wait for it, end it, or choose another --workdir"
                ) from None
            file.truncate(0)
            file.write(f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M:%S')}: {' '.join(sys.argv)}\n")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)


def differing_settings(old, new, prefix=""):
    """[(name, old value, new value)] of two nested dicts of settings, in the order of the new one."""
    differing = []
    for name in [*new, *(name for name in old if name not in new)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            differing += differing_settings(before, after, f"{prefix}{name}.")
        elif before != after:
            differing.append((prefix + name, before, after))
    return differing


def refuse_other_settings(what, differing):
    """Raises the error that lists what differs between finished work and the work asked for."""
    lines = [f"  {name}: {_shown(old)} -> {_shown(new)}" for name, old, new in differing]
    raise DigitwiseError(
        f"{what} was made with other settings:\n"
        + "\n".join(lines)
        + "\nrun with --overwrite to make it anew, with the old settings to keep it, or in another --workdir"
    )


def plain(settings):
    """Settings as JSON gives them back, so that what was written compares equal to what is asked for."""
    return json.loads(json.dumps(settings))


def _shown(value):
    return "nothing" if value in (None, "", []) else json.dumps(value, ensure_ascii=False)
