"""Which images are to be read: files, folders, globs, or a list on stdin.

for path in find_images(["photos/", "*.png", "-"], sys.stdin):
    ...
"""

import glob
import pathlib
from collections.abc import Iterator, Sequence
from typing import TextIO

from records.errors import DigitwiseError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
STDIN = "-"


def find_images(patterns: Sequence[str], stdin: TextIO) -> Iterator[pathlib.Path]:
    """In the order given, folders and globs sorted. A file that is named is yielded whatever it is, on stdin even one
    that is missing: reading it says what is wrong. A path or glob that names nothing is an error, and so is a folder
    without an image."""
    for pattern in patterns:
        if pattern == STDIN:
            yield from (pathlib.Path(name) for line in stdin if (name := line.rstrip("\r\n")))
        elif pathlib.Path(pattern).is_dir():
            yield from _in_folder(pathlib.Path(pattern))
        # A file may have [ or * in its name: what exists is taken as it is.
        elif pathlib.Path(pattern).exists():
            yield pathlib.Path(pattern)
        elif glob.has_magic(pattern):
            yield from _matching(pattern)
        else:
            raise DigitwiseError(f"--images={pattern}: no such file or folder")


def _in_folder(folder: pathlib.Path) -> list[pathlib.Path]:
    named = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    found = sorted(filter(_is_file_or_broken, named))
    if not found:
        raise DigitwiseError(f"--images={folder}: there is no {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file in it")
    return found


def _matching(pattern: str) -> list[pathlib.Path]:
    found = sorted(filter(_is_file_or_broken, map(pathlib.Path, glob.glob(pattern, recursive=True))))
    if not found:
        raise DigitwiseError(f"--images={pattern}: no file matches")
    return found


def _is_file_or_broken(path: pathlib.Path) -> bool:
    """A broken link too: reading it says what is wrong. Not a pipe, which may never end."""
    return path.is_file() or not path.exists()
