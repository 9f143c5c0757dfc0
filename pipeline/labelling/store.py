"""Labels that survive: labels.csv in the folder of images, to which each label is added as soon as it is accepted.

store = LabelStore("photos")
store.add("0001.png", "4071")      # on the disk when this returns
store.undo()                       # takes this session's last label back

Several sessions may label one folder at once. A kill at any moment loses no label that `add` has returned for. The
file is what `--images` reads, by the same function. People may write it too: of their lines none is changed.
"""

import contextlib
import csv
import io
import os
import pathlib
import shutil
from collections.abc import Iterator

from records.atomic import atomic_file
from records.errors import DigitwiseError
from records.images.folder import LABELS_FILE, LABELS_HEADER, check_key, normalized, table_rows

try:
    import fcntl
except ImportError:  # Windows has no flock; there one session at a time is the user's to keep to.
    fcntl = None  # type: ignore[assignment]

_LOCK = ".labels.lock"
_UNFINISHED = ".labels-being-written"  # is there while a line is being written


class AlreadyLabelled(DigitwiseError):
    """Another session was quicker."""


class LabelStore:
    def __init__(self, folder: "str | os.PathLike[str]") -> None:
        self.folder = pathlib.Path(folder)
        self._path = self.folder / LABELS_FILE
        self._marker = self.folder / _UNFINISHED
        self._added: list[tuple[str, bytes]] = []  # file and line, in the order in which this session wrote them
        self.labels()  # a table that cannot be read is reported before anybody starts to label

    def labels(self) -> dict[str, str]:
        """The text of each file that has a label, those of other sessions too."""
        with self._locked():
            return self._labels()

    def add(self, file: str, text: str) -> None:
        if not file or not text or set("\n\r\0") & set(file + text):
            raise DigitwiseError(f"the label {text!r} for {file!r}: need one line of text for a file")
        check_key(file, str(self._path))  # or the table could not be read afterwards
        file = normalized(file)
        line = _line(file, text)
        with self._locked():
            labels = self._labels()
            if file in labels:
                raise AlreadyLabelled(f"{file} has the label {labels[file]!r} already")
            self._end_last_line()
            self._marker.touch()
            with open(self._path, "ab") as table:
                table.write(line if table.tell() else _line(*LABELS_HEADER) + line)
                table.flush()
                os.fsync(table.fileno())
            self._marker.unlink()
        self._added.append((file, line))

    def undo(self) -> str | None:
        """The file whose label was taken back: the last of this session that still has one."""
        with self._locked():
            while self._added:
                is_removed = self._remove(*self._added[-1])
                file, _ = self._added.pop()
                if is_removed:
                    return file
        return None

    def _labels(self) -> dict[str, str]:
        if self._is_empty():
            return {}
        return {normalized(file): text for _, file, text in table_rows(str(self._path))}

    def _is_empty(self) -> bool:
        """Whether there is no table yet: a kill during the very first line leaves one without a byte."""
        return not self._path.exists() or (self._path.is_file() and not self._path.stat().st_size)

    def _remove(self, file: str, line: bytes) -> bool:
        """Whether the line was there: another session may have taken it back, or a person may have changed it."""
        if self._is_empty():
            return False
        data = self._path.read_bytes()
        lines = data.splitlines(keepends=True)  # of bytes: it splits where the reader of the table does
        # The last one, as people may have copied lines.
        for number, name, _ in reversed(list(table_rows(str(self._path)))):
            found = lines[number - 1]
            if normalized(name) == file and found.rstrip(b"\r\n") == line.rstrip(b"\n"):
                start = sum(map(len, lines[: number - 1]))
                self._cut(data, start, start + len(found))
                return True
        return False

    def _cut(self, data: bytes, start: int, end: int) -> None:
        """Takes a part out of the table, in one step."""
        if end == len(data):
            with open(self._path, "r+b") as table:
                table.truncate(start)
                os.fsync(table.fileno())
            return
        path = self._path.resolve()  # a link stays a link
        with atomic_file(path) as table:
            shutil.copymode(path, table.name)
            table.write(data[:start] + data[end:])

    def _end_last_line(self) -> None:
        """A table may end without a line end because a person wrote it so."""
        if self._path.exists():
            with open(self._path, "r+b") as table:
                if table.seek(0, os.SEEK_END):
                    table.seek(-1, os.SEEK_END)
                    if table.read() != b"\n":
                        table.write(b"\n")

    def _repair(self) -> None:
        """Drops a line that a kill cut short. Only with the marker was it a kill."""
        if self._marker.exists():
            data = self._path.read_bytes() if self._path.is_file() else b""
            if data and not data.endswith(b"\n"):
                self._cut(data, data.rfind(b"\n") + 1, len(data))
            self._marker.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One session at a time, and no line half written by one that was killed."""
        if not self.folder.is_dir():
            raise DigitwiseError(f"{self.folder} is not a folder of images")
        try:
            # A file of its own, which stays: labels.csv is replaced now and then.
            with open(self.folder / _LOCK, "ab") as lock:
                if fcntl is not None:
                    # Waits, as a label takes milliseconds; it is released when the file is closed.
                    fcntl.flock(lock, fcntl.LOCK_EX)
                self._repair()
                yield
        except OSError as error:
            raise DigitwiseError(f"{error.filename or self._path}: {error.strerror}; no label can be kept") from None


def _line(file: str, text: str) -> bytes:
    row = io.StringIO()
    csv.writer(row, lineterminator="\n").writerow([file, text])
    return row.getvalue().encode("utf-8")
