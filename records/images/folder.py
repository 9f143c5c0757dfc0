"""A folder of labelled images as a source: (key, text) of each image, and its bytes.

The code of an image is in `labels.csv` (columns file and text), or in the file's name: `<code>.png`,
`<code>_anything.png`, or wherever the first group of a regular expression finds it.
"""

import array
import csv
import dataclasses
import hashlib
import os
import pathlib
import re
import unicodedata

import numpy as np

from records.errors import DigitwiseError
from records.images.files import ENDINGS

LABELS_FILE = "labels.csv"
LABELS_HEADER = ("file", "text")
DEFAULT_PATTERN = r"([^_]+)(?:_.*)?"
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclasses.dataclass(frozen=True)
class LabeledFolder:
    """Images below `root`. Rows come in a fixed order: that of labels.csv, else sorted by name."""

    root: str
    label_pattern: str = ""

    def rows(self):
        """Yields (key, text) for each image; the key is its path below the folder."""
        root = pathlib.Path(self.root)
        if not root.is_dir():
            raise DigitwiseError(f"{root} is not a folder: --images takes a folder of labelled images")
        if self.label_pattern or not (root / LABELS_FILE).exists():
            return self._rows_by_name()
        return self._rows_by_table()

    def load(self, key):
        path = os.path.join(self.root, key)
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise DigitwiseError(f"{path} is gone: it was there when the folder was listed") from None

    def name(self, key):
        """What the user calls the image."""
        return os.path.join(self.root, key)

    def fingerprint(self):
        """{count, sha256 of every name, text, size and time}: what tells this folder from a changed one."""
        digest = hashlib.sha256()
        count = 0
        for key, text in self.rows():
            status = os.stat(self.name(key))
            digest.update(f"{key}\0{text}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
            count += 1
        return {"count": count, "sha256": digest.hexdigest()}

    def _rows_by_name(self):
        pattern = re.compile(self.label_pattern or DEFAULT_PATTERN)
        found = False
        for key in _image_files(self.root):
            found = True
            if not _is_text(key):
                raise DigitwiseError(f"{self.root}: the name of the file {os.fsencode(key)!r} is not UTF-8: rename it")
            stem = os.path.splitext(os.path.basename(key))[0]
            match = pattern.fullmatch(stem) if not self.label_pattern else pattern.search(stem)
            if not match or not match[1]:
                raise DigitwiseError(
                    f"{self.name(key)}: no code in the name {stem!r} "
                    f"(looked for {pattern.pattern}); give --label_pattern, or a {LABELS_FILE} with columns file,text"
                )
            yield key, unicodedata.normalize("NFC", match[1])
        if not found:
            raise DigitwiseError(f"{self.root} has no image in it (looked for {', '.join(ENDINGS)}, in subfolders too)")

    def _rows_by_table(self):
        path = os.path.join(self.root, LABELS_FILE)
        seen = array.array("Q")
        for line, key, text in _table_rows(path):
            where = f"{path}, line {line}"
            _check_key(key, where)
            if not os.path.isfile(os.path.join(self.root, key)):
                raise DigitwiseError(f"{where}: the file {key!r} is missing from {self.root}")
            # Eight bytes a name: a set of names would grow with the folder.
            seen.append(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big"))
            yield key, text
        if not seen:
            raise DigitwiseError(f"{path} lists no image")
        _check_unique(path, seen)


def _is_text(key):
    """Whether a name is one that can be written down; names from other systems may be bytes of any encoding."""
    try:
        return bool(key.encode())
    except UnicodeEncodeError:
        return False


def _check_unique(path, seen):
    ordered = np.sort(np.frombuffer(seen, np.uint64))
    if not (ordered[1:] == ordered[:-1]).any():
        return
    first = {}
    for line, key, _ in _table_rows(path):
        if key in first:
            raise DigitwiseError(f"{path}, line {line}: {key!r} is listed before, in line {first[key]}")
        first[key] = line


def _check_key(key, where):
    parts = key.replace("\\", "/").split("/")
    if not key or key.startswith(("/", "\\")) or ".." in parts or "\0" in key or _DRIVE.match(key):
        raise DigitwiseError(f"{where}: {key!r} is not a file name below the folder")


def _table_rows(path):
    """Yields (line number, file, text) of a labels.csv."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, None)
            if header is None or tuple(cell.strip().lower() for cell in header[:2]) != LABELS_HEADER:
                raise DigitwiseError(f"{path}: its first line must be {','.join(LABELS_HEADER)}")
            for row in reader:
                if not row:
                    continue
                if len(row) < 2 or not row[1]:
                    raise DigitwiseError(f"{path}, line {reader.line_num}: it needs a file and a text")
                yield reader.line_num, row[0], unicodedata.normalize("NFC", row[1])
    except UnicodeDecodeError as error:
        raise DigitwiseError(f"{path} is not UTF-8 text (byte {error.start})") from None
    except csv.Error as error:
        raise DigitwiseError(f"{path}, line {reader.line_num}: it is not a table ({error})") from None


def _image_files(root):
    """Paths below `root`, sorted, hidden files and folders left out."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        relative = os.path.relpath(folder, root)
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield name if relative == "." else f"{relative}/{name}".replace(os.sep, "/")
