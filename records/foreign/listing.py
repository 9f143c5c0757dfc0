"""The files of records that a path, a folder or a glob stands for, whatever they are called.

A file is recognised by its content: a record's header whose checksum is right, or gzip, or zlib. In a folder, what is
clearly something else is skipped and named; a file that should hold records and does not stops the run.
"""

import dataclasses
import glob
import os
import re
from collections.abc import Iterable

from records.errors import DamagedRecords, DigitwiseError
from records.tfrecord.framing import compression_of, is_header

MAX_FILES = 1_000_000
# Only endings that no file of records has. What has no ending, or an unknown one, is judged by its content.
_OTHER_ENDINGS = (
    ".json", ".txt", ".csv", ".tsv", ".md", ".rst", ".yaml", ".yml", ".xml", ".html", ".pbtxt", ".log", ".py", ".sh",
    ".ipynb", ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".pdf", ".npy", ".npz", ".crc", ".idx", ".index",
    ".lock", ".md5", ".sha256", ".toml", ".cfg",
)  # fmt: skip
# Of the package `tfrecord`: offset and length of a record on each line. The last line may be cut by the 4,096 bytes.
_INDEX = re.compile(rb"(\d{1,19} \d{1,19}\r?\n)+(\d{0,19} ?\d{0,19})?")


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """`name` is what it is called below the path that was given: the same wherever the folder lies."""

    path: str
    name: str
    size: int
    compression: str


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files that one entry of --records stands for, sorted, and those skipped: (path, why)."""

    entry: str
    files: tuple[RecordFile, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def folders(self) -> list[str]:
        """Where files that describe the records may lie."""
        found = dict.fromkeys(os.path.dirname(file.path) for file in self.files)
        for folder in list(found):
            # Tables of labels also lie one folder higher, beside train/ and test/.
            found.setdefault(os.path.dirname(folder))
        return list(found)

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)


def list_records(entry: str) -> Listing:
    """The Listing of a path, a folder or a glob."""
    files: list[RecordFile] = []
    skipped: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    root, paths = _paths(entry)
    for path in paths:
        # One file under two names, by a link or by `data/../data`, would give every record twice.
        known = first.setdefault(os.path.realpath(path), path)
        reason = _no_records(path) if known == path else f"it is the same file as {os.path.basename(known)}"
        if reason:
            skipped.append((path, reason))
            continue
        with open(path, "rb") as file:
            compression = compression_of(file)
            head = file.read(16)
        if not compression and not is_header(head):
            raise DamagedRecords(
                f"{path}: record 0 at byte 0: it begins neither like a TFRecord file nor like gzip or zlib; "
                "if it is something else, name the files with a glob that leaves it out"
            )
        files.append(RecordFile(path, os.path.relpath(path, root), os.path.getsize(path), compression))
    if not files:
        why = "; ".join(f"{os.path.basename(path)}: {reason}" for path, reason in skipped[:4])
        raise DigitwiseError(f"--records={entry}: there is no file of records" + (f" ({why})" if why else ""))
    return Listing(entry, tuple(files), tuple(skipped))


def check_distinct(listings: Iterable[Listing]) -> None:
    """Raises where two entries of --records share a file: its records would count twice."""
    entries: dict[str, str] = {}
    for listing in listings:
        for file in listing.files:
            other = entries.setdefault(os.path.realpath(file.path), listing.entry)
            if other != listing.entry:
                raise DigitwiseError(
                    f"--records: {file.path} is in two entries, {other} and {listing.entry}: name each file once"
                )


def _paths(entry: str) -> tuple[str, list[str]]:
    """(the folder that names are counted from, sorted paths of files)."""
    if os.path.isdir(entry):
        below = [os.path.join(folder, name) for folder, _, names in os.walk(entry) for name in names]
        return entry, _bounded(entry, sorted(below))
    if os.path.exists(entry):
        return os.path.dirname(entry) or ".", [entry]
    paths: list[str] = []
    for path in glob.iglob(entry, recursive=True):
        if os.path.isdir(path):
            paths += _paths(path)[1]
        else:
            paths.append(path)
        _bounded(entry, paths)
    if not paths:
        raise DigitwiseError(f"--records={entry}: there is no such file or folder, and no file matches it as a glob")
    # The part in front of the first wildcard: names below it tell files of different folders apart.
    fixed = re.split(r"[*?\[]", entry)[0]
    return os.path.dirname(fixed) or ".", sorted(set(paths))


def _bounded(entry: str, paths: list[str]) -> list[str]:
    if len(paths) > MAX_FILES:
        raise DigitwiseError(f"--records={entry}: these are more than {MAX_FILES:,} files")
    return paths


def _no_records(path: str) -> str | None:
    """Why a file is skipped, or None."""
    name = os.path.basename(path)
    if not os.path.isfile(path):
        return "it is not a regular file"
    if name.startswith((".", "_")):  # such as _SUCCESS, which Spark leaves
        return "its name begins with . or _"
    if os.path.getsize(path) == 0:
        return "it is empty"
    if name.lower().endswith(_OTHER_ENDINGS):
        return "its ending is that of another kind of file"
    with open(path, "rb") as file:
        if _INDEX.fullmatch(file.read(4096)):
            return "it is an index of a file of records"
    return None
