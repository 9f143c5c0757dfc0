"""Disks that are full, or cannot be written."""

import contextlib
import os
import shutil
import subprocess

from tests.faults.lab import TASKS, NotHeld, hold, outcome, same

_TRIED = ("generate", "records", "records of others", "records drawn", "train", "test", "replace images")
_DATA = _TRIED[:4]
_ROOM = "Make room, then run the same command again to continue"


def can_mount():
    return os.geteuid() == 0 and shutil.which("mount") is not None


def full_disk(lab, draw):
    """A tmpfs with a little room; the same command continues when there is more."""
    task = TASKS[draw.choice(_TRIED)]
    lab.expected(task.name)
    before = 0 if task.before == "nothing" else _size(lab.finished(task.before))
    room = before + draw.randint(8 << 10, max(16 << 10, _size(lab.finished(task.name)) - before))
    with _small_disk(lab, room) as folder:
        if task.before != "nothing":
            with contextlib.suppress(shutil.Error, OSError):
                shutil.copytree(lab.finished(task.before), folder, dirs_exist_ok=True)
        if task.before != "nothing" and outcome(folder) != outcome(lab.finished(task.before)):
            return  # what must be there before does not fit
        result = lab.run(task.arguments, folder)
        hold(result, names=(_ROOM, "No space left"))
        if result.code:
            _mount(folder, "remount,size=256m")
            hold(lab.run(task.arguments, folder), codes=(0,))
        same(lab, task.name, folder)


def full_disk_at_any_write(lab, draw):
    """The same without a disk of its own: from some write on, every write fails."""
    task = TASKS[draw.choice(_TRIED)]
    lab.expected(task.name)
    folder = lab.copy(task.before)
    result = lab.call(task.arguments, folder, full_at=draw.randint(1, 40))
    hold(result, names=("No space left",))
    if result.code == 1 and str(folder.name) not in result.err and "w/" not in result.err and "w:" not in result.err:
        raise NotHeld(f"{result.command}: the error names no path: {result.err[-300:]}")
    hold(lab.call(task.arguments, folder), codes=(0,))
    same(lab, task.name, folder)


def large_files_refused(lab, draw):
    """No file may become larger than some kilobytes, as with ulimit -f."""
    task = TASKS[draw.choice(_DATA)]
    lab.expected(task.name)
    folder = lab.copy(task.before)
    # Not 0: the line that says why goes to a file too.
    script = f'ulimit -f {draw.choice((1, 2, 4, 8, 16))}; trap "" XFSZ; exec "$@"'
    result = lab.run(task.arguments, folder, wrapper=("bash", "-c", script, "limited"))
    hold(result, names=("File too large",))
    hold(lab.run(task.arguments, folder), codes=(0,))
    same(lab, task.name, folder)


def read_only(lab, draw):
    """A folder that cannot be written to stays as it is."""
    task = TASKS[draw.choice(_TRIED)]
    lab.expected(task.name)
    with _small_disk(lab, 64 << 20) as folder:
        if task.before != "nothing":
            shutil.copytree(lab.finished(task.before), folder, dirs_exist_ok=True)
        before = outcome(folder)
        _mount(folder, "remount,ro")
        result = lab.run(task.arguments, folder)
        hold(result, codes=(1,), names=("ead-only",))
        if outcome(folder) != before:
            raise NotHeld(f"{folder}: changed although it was read-only")
        _mount(folder, "remount,rw")
        hold(lab.run(task.arguments, folder), codes=(0,))
        same(lab, task.name, folder)


@contextlib.contextmanager
def _small_disk(lab, size):
    folder = lab.fresh()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size // 1024}k", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def _mount(folder, options):
    subprocess.run(["mount", "-o", options, folder], check=True)


def _size(folder):
    """Bytes on the disk, in pages as a tmpfs counts them."""
    return sum(4096 * (1 + path.stat().st_size // 4096) for path in folder.rglob("*"))
