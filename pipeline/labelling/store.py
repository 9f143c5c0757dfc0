"""Labels that survive: labels.csv in the folder of images, to which each label is added as soon as it is accepted.

store = LabelStore("photos")
store.add("0001.png", "4071")      # on the disk when this returns
store.undo()                       # takes this session's last label back

Several sessions may label one folder at once. A kill at any moment loses no label that `add` has returned for. The
file is what `--images` reads: columns file and text, each file once.
"""

import contextlib
import csv
import io
import os
import pathlib
from collections.abc import Iterator

from records.atomic import atomic_file
from records.errors import DigitwiseError

try:
    import fcntl
except ImportError:  # Windows has no flock; there one session at a time is the user's to keep to.
    fcntl = None  # type: ignore[assignment]

LABELS_FILE = "labels.csv"
HEADER = ("file", "text")
_LOCK = ".labels.lock"
_UNFINISHED = ".labels-being-written"  # is there while a line is being written


class AlreadyLabelled(DigitwiseError):
    """Another session was quicker."""


class LabelStore:
    def __init__(self, folder: "str | os.PathLike[str]") -> None:
        self.folder = pathlib.Path(folder)
        self._path = self.folder / LABELS_FILE
        self._marker = self.folder / _UNFINISHED
        self._added: list[str] = []  # files, in the order in which this session labelled them
        with self._locked():
            self._repair()

    def labels(self) -> dict[str, str]:
        """The text of each file that has a label, those of other sessions too."""
        if not self._path.exists():
            return {}
        with open(self._path, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = next(rows, None)
            if header is None or tuple(cell.strip().lower() for cell in header[:2]) != HEADER:
                raise DigitwiseError(f"{self._path}: its first line must be {','.join(HEADER)}")
            return {row[0]: row[1] for row in rows if len(row) >= 2}

    def add(self, file: str, text: str) -> None:
        if not file or not text or "\n" in file + text or "\r" in file + text:
            raise DigitwiseError(f"the label {text!r} for {file!r}: need one line of text for a file")
        with self._locked():
            self._repair()
            labels = self.labels()
            if file in labels:
                raise AlreadyLabelled(f"{file} has the label {labels[file]!r} already")
            # A table may end without a line end because a person wrote it so. Only with the marker was the last line
            # cut by a kill.
            self._marker.touch()
            with open(self._path, "ab") as table:
                if not table.tell():
                    table.write(_line(*HEADER))
                table.write(_line(file, text))
                table.flush()
                os.fsync(table.fileno())
            self._marker.unlink()
        self._added.append(file)

    def undo(self) -> str | None:
        """The file whose label was taken back: the last of this session that still has one."""
        with self._locked():
            self._repair()
            labels = self.labels()
            while self._added:
                file = self._added.pop()
                # Another session may have taken it back, or a person may have edited the table.
                if labels.pop(file, None) is not None:
                    with atomic_file(self._path) as table:
                        table.write(_line(*HEADER) + b"".join(_line(*row) for row in labels.items()))
                    return file
        return None

    def _repair(self) -> None:
        """Drops a line that a kill cut short; ends the last line of a table that was written by hand."""
        if self._path.exists():
            data = self._path.read_bytes()
            if data and not data.endswith(b"\n"):
                was_cut = self._marker.exists()
                keep = data[: data.rfind(b"\n") + 1] if was_cut else data + b"\n"
                with atomic_file(self._path) as table:
                    table.write(keep)
        self._marker.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One session at a time. The lock is a file of its own, which stays: labels.csv is replaced now and then."""
        if not self.folder.is_dir():
            raise DigitwiseError(f"{self.folder} is not a folder of images")
        if fcntl is None:
            yield
            return
        with open(self.folder / _LOCK, "ab") as lock:
            # Waits, as a label takes milliseconds; it is released when the file is closed.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _line(file: str, text: str) -> bytes:
    row = io.StringIO()
    csv.writer(row, lineterminator="\n").writerow([file, text])
    return row.getvalue().encode("utf-8")
