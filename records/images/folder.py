"""A folder of labelled images as a source: (key, text) of each image, and its bytes.

The code of an image is in `labels.csv` (columns file and text), or in the file's name: `<code>.png`,
`<code>_anything.png`, or wherever the first group of a regular expression finds it.
"""

import array
import csv
import dataclasses
import hashlib
import os
import posixpath
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from typing import NoReturn

import numpy as np

from records.digest import hash64
from records.errors import DigitwiseError, printable, quoted
from records.images.files import ENDINGS

LABELS_FILE = "labels.csv"
LABELS_HEADER = ("file", "text")
# Up to the first underscore, so that two images of one code can both be in the folder: 4071_a.png, 4071_b.png.
DEFAULT_PATTERN = r"([^_]+)(?:_.*)?"
_DRIVE = re.compile(r"[A-Za-z]:")  # of Windows: os.path.join would drop the folder before it
# A folder with the first and any of the others is a --workdir: its plots and sheets are nobody's samples.
_LOCK = ".lock"
_OUTPUTS = frozenset(
    "images records checkpoints logs report export inspect folds cleanings first tested "
    "seconds.json .records-unfinished".split()
)
_IMAGE, _OTHER, _OUTPUT = "image", "other", "output"
# What is not read: of one file, of several.
_UNLISTED = f"image that {LABELS_FILE} does not list", f"images that {LABELS_FILE} does not list"
_OWN_OUTPUT = "folder or file of digitwise's own output", "folders or files of digitwise's own output"
_UNUSED_TABLE = ("table of labels beside --label_pattern",) * 2
_NO_IMAGE = "file that is not an image", "files that are not images"
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class LabeledFolder:
    """Images below `root`. Rows come in a fixed order: that of labels.csv, else sorted by name."""

    root: str
    label_pattern: str = ""

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yields (key, text) for each image; the key is its path below the folder."""
        if not os.path.isdir(self.root):
            raise DigitwiseError(f"{self.root} is not a folder: --images takes a folder of labelled images")
        return self._rows_by_table() if self._has_table else self._rows_by_name()

    def load(self, key: str) -> bytes:
        path = os.path.join(self.root, key)
        try:
            if _is_special(path):  # a table may list anything
                raise DigitwiseError(f"{self.name(key)} is not a file")
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            if os.path.islink(path):
                raise DigitwiseError(f"{self.name(key)} is a link to a file that does not exist") from None
            why = f"{LABELS_FILE} lists it" if self._has_table else "it was there when the folder was listed"
            raise DigitwiseError(f"{self.name(key)} is missing: {why}") from None
        except OSError as error:
            raise DigitwiseError(f"{self.name(key)} cannot be read: {error.strerror}") from None

    def name(self, key: str) -> str:
        """What the user calls the image."""
        return printable(os.path.join(self.root, key), limit=4096)

    def identity(self) -> dict[str, int | str]:
        """{count, sha256 of every name, text, size and time}: what tells this folder from a changed one."""
        return identity_of(self.root, self.rows())

    def left_out(self) -> list[str]:
        """A line for each kind of file below the folder that is not read, with a few names."""
        left_out: dict[tuple[str, str], list[str]] = {}
        listed = {normalized(key) for key, _ in self.rows()} if self._has_table else None
        for kind, key in _walk(self.root):
            if kind == _IMAGE and listed is not None and key not in listed:
                left_out.setdefault(_UNLISTED, []).append(key)
            elif kind == _OUTPUT:
                left_out.setdefault(_OWN_OUTPUT, []).append(key)
            elif key == LABELS_FILE and self.label_pattern:
                left_out.setdefault(_UNUSED_TABLE, []).append(key)
            elif kind == _OTHER and key != LABELS_FILE:
                left_out.setdefault(_NO_IMAGE, []).append(key)
        return [_counted(what, names) for what, names in left_out.items()]

    @property
    def _has_table(self) -> bool:
        return not self.label_pattern and os.path.exists(os.path.join(self.root, LABELS_FILE))

    def _rows_by_name(self) -> Iterator[tuple[str, str]]:
        pattern = re.compile(self.label_pattern) if self.label_pattern else re.compile(DEFAULT_PATTERN, re.DOTALL)
        found = False
        # Listed one by one, never as a list: a folder may have millions of images.
        for key in (key for kind, key in _walk(self.root) if kind == _IMAGE):
            found = True
            if not _is_text(key):
                raise DigitwiseError(f"{self.root}: the name of the file {os.fsencode(key)!r} is not UTF-8: rename it")
            stem = os.path.splitext(os.path.basename(key))[0]
            match = pattern.search(stem) if self.label_pattern else pattern.fullmatch(stem)
            if not match or not match[1]:
                remedy = "another --label_pattern" if self.label_pattern else "--label_pattern"
                raise DigitwiseError(
                    f"{self.name(key)}: no code in the name {quoted(stem)} "
                    f"(looked for {pattern.pattern}); give {remedy}, or a {LABELS_FILE} with columns file,text"
                )
            yield key, unicodedata.normalize("NFC", match[1])
        if not found:
            raise DigitwiseError(f"{self.root} has no image in it (looked for {', '.join(ENDINGS)}, in subfolders too)")

    def _rows_by_table(self) -> Iterator[tuple[str, str]]:
        path = os.path.join(self.root, LABELS_FILE)
        seen = array.array("Q")
        for _, key, text in table_rows(path):
            # Eight bytes a name: a set of names would grow with the folder.
            name = normalized(key).encode()
            seen.append(hash64(name))
            yield key, text
        if not seen:
            raise DigitwiseError(f"{path} lists no image")
        _check_unique(path, seen)


def identity_of(root: str, rows: Iterable[tuple[str, str]]) -> dict[str, int | str]:
    """{count, sha256 of every name, text, size and time} of files below `root` and what they show."""
    digest = hashlib.sha256()
    count = 0
    for key, text in rows:
        # Size and time stand for the content: reading every image again would take as long as writing the records.
        size, changed = _size_and_time(os.path.join(root, key))
        digest.update(f"{key}\0{text}\0{size}\0{changed}\n".encode())
        count += 1
    return {"count": count, "sha256": digest.hexdigest()}


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:  # told where the image is loaded, together with others that cannot be
        return 0, 0
    return status.st_size, status.st_mtime_ns


def image_keys(root: str) -> Iterator[str]:
    """The path below `root` of each image, whatever it shows; those whose names no table can hold are left out."""
    for kind, key in _walk(root):
        if kind == _IMAGE and _is_text(key) and _is_key(key):
            yield key


def _walk(root: str) -> Iterator[tuple[str, str]]:
    """(kind, path below the root) of each file, in a fixed order; hidden files and folders are left out. A folder of
    digitwise's own output is an entry of its own, and what is in it is not listed."""
    for folder, folders, names in os.walk(root, onerror=_refuse_folder):
        relative = "" if folder == root else os.path.relpath(folder, root).replace(os.sep, "/") + "/"
        if _is_workdir(folder):  # the root: those below it are not entered
            names = [name for name in names if name not in _OUTPUTS]
            outputs = {name for name in folders if name in _OUTPUTS}
        else:
            outputs = {name for name in folders if _is_workdir(os.path.join(folder, name))}
        yield from ((_OUTPUT, relative + name) for name in sorted(outputs))
        # In place: os.walk descends into what is left in this very list, in its order.
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in outputs)
        for name in sorted(names):
            if not name.startswith("."):
                is_image = name.lower().endswith(ENDINGS) and not _is_special(os.path.join(folder, name))
                yield _IMAGE if is_image else _OTHER, relative + name


def _refuse_folder(error: OSError) -> NoReturn:
    raise DigitwiseError(f"{error.filename} cannot be listed: {error.strerror}") from None


def _is_special(path: str) -> bool:
    """Whether it is no file but, say, a pipe, from which reading would wait for ever."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:  # told where the image is loaded
        return False


def _is_workdir(folder: str) -> bool:
    """Whether a run of digitwise had this folder as its --workdir."""
    return os.path.isfile(os.path.join(folder, _LOCK)) and any(
        os.path.exists(os.path.join(folder, name)) for name in _OUTPUTS
    )


def _counted(what: tuple[str, str], names: list[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:_NAMED])
    return f"{len(names):,} {what[len(names) > 1]} ({shown}{', ...' if len(names) > _NAMED else ''})"


def _is_text(key: str) -> bool:
    """Whether a name is one that can be written down; names from other systems may be bytes of any encoding."""
    try:
        return bool(key.encode())
    except UnicodeEncodeError:
        return False


def _check_unique(path: str, seen: "array.array[int]") -> None:
    # Equal digests lie beside each other. Only if there are any is the table read again, to name the lines.
    ordered = np.sort(np.frombuffer(seen, np.uint64))
    if not (ordered[1:] == ordered[:-1]).any():
        return
    first: dict[str, int] = {}
    for line, key, _ in table_rows(path):
        name = normalized(key)
        if name in first:
            raise DigitwiseError(f"{path}, line {line}: {quoted(key)} is already listed, in line {first[name]}")
        first[name] = line


def check_key(key: str, where: str) -> None:
    """Of a file in a labels.csv."""
    if not _is_key(key):
        raise DigitwiseError(f"{where}: {quoted(key)} is not a file name below the folder")


def _is_key(key: str) -> bool:
    # A table may come from elsewhere, and must not make the program read files outside of the folder.
    outside = not key or key.startswith(("/", "\\")) or ".." in key.replace("\\", "/").split("/")
    return not outside and not _DRIVE.match(key)


def normalized(key: str) -> str:
    """One name for each image: ./a.png is a.png."""
    return posixpath.normpath(key)


def table_rows(path: str) -> Iterator[tuple[int, str, str]]:
    """Yields (line number, file, text) of a labels.csv."""
    if not os.path.isfile(path):
        raise DigitwiseError(f"{path} is not a file")
    line = 0  # where the last good row ended: an open quote is found only at the end of the table
    try:
        # Spreadsheets put a byte order mark in front, which would become part of the first column's name.
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, None)
            if header is None or tuple(cell.strip().lower() for cell in header[:2]) != LABELS_HEADER:
                is_there = "" if header is None else f", and is {quoted(','.join(header))}"
                raise DigitwiseError(
                    f"{path}: its first line must be {','.join(LABELS_HEADER)}{is_there}{_separator_hint(header)}"
                )
            line = reader.line_num
            for row in reader:
                line = reader.line_num
                if not row:
                    continue
                if len(row) < 2 or not row[1]:
                    raise DigitwiseError(f"{path}, line {line}: it needs a file and a text")
                if any("\0" in cell for cell in row):
                    raise DigitwiseError(f"{path}, line {line}: it has a NUL byte")
                check_key(row[0], f"{path}, line {line}")
                yield line, row[0], unicodedata.normalize("NFC", row[1])
    except UnicodeDecodeError:
        raise DigitwiseError(f"{path}, line {_line_that_is_not_utf8(path)}: it is not UTF-8 text") from None
    except csv.Error as error:
        raise DigitwiseError(f"{path}, line {line + 1}: it is not a table ({error})") from None


def _separator_hint(header: list[str] | None) -> str:
    """For tables that a spreadsheet saved with another separator."""
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if header and len(header) == 1 and separator in header[0]:
            return f": save it with commas between the columns, not {name}"
    return ""


def _line_that_is_not_utf8(path: str) -> int:
    """The decoder reads ahead, so it does not know."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1
