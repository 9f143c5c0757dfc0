"""The images that --stage=predict reads, and the code that each shows where that is known.

images = find_images(config, workdir)
for image in images.rows: image.name, image.load(), image.code
"""

import dataclasses
import functools
import os
import pathlib
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from digitwise.images import Source
from pipeline.config import RunConfig
from pipeline.conversion.foreign import Probes, foreign_source
from pipeline.reading.sources import find_images as find_paths
from pipeline.workdir import Workdir
from records.dataset import schema
from records.dataset.manifest import FILE_NAME, Manifest
from records.errors import DigitwiseError
from records.images.files import RAW
from records.images.folder import LABELS_FILE, LabeledFolder
from records.tfrecord.framing import read_records


@dataclasses.dataclass(frozen=True)
class Image:
    """`load` gives what the reader takes; `code` is what the image shows, None where that is not known."""

    name: str
    load: Callable[[], Source]
    code: str | None = None


@dataclasses.dataclass(frozen=True)
class Images:
    """`folders` are those that must be there to load the images."""

    total: int
    rows: Iterator[Image]
    folders: tuple[str, ...] = ()


def find_images(config: RunConfig, workdir: Workdir) -> Images:
    """Those that --images or --records names."""
    if config.foreign.records:
        return _of_records(config, workdir)
    if not config.records.images:
        raise DigitwiseError("--stage=predict needs images to read: give --images or --records")
    images = list(_of_paths(_entries(config.records.images), config.records.label_pattern))
    return Images(len(images), iter(images), _folders([image.name for image in images]))


def _folders(paths: Sequence[str]) -> tuple[str, ...]:
    """The folder that all of them are in, if it exists: a list may name files that do not."""
    parents = {os.path.dirname(os.path.abspath(path)) for path in paths if "\0" not in path}
    return tuple(filter(os.path.isdir, [os.path.commonpath(parents)])) if parents else ()


def _entries(text: str) -> list[str]:
    """Paths with commas between; a path that exists may have commas in its name."""
    return [text] if pathlib.Path(text).exists() else [entry for entry in text.split(",") if entry]


def _of_paths(entries: Sequence[str], pattern: str) -> Iterator[Image]:
    for entry in entries:
        path = pathlib.Path(entry)
        if path.name == LABELS_FILE and path.is_file():
            folder = LabeledFolder(str(path.parent))
            for key, code in folder.rows():
                image = path.parent / key
                yield Image(str(image), functools.partial(_same, image), code)
        else:
            for image in find_paths([entry], sys.stdin):
                yield Image(str(image), functools.partial(_same, image), _code_in_name(image, pattern))


def _same(path: pathlib.Path) -> Source:
    return path


def _code_in_name(path: pathlib.Path, pattern: str) -> str | None:
    """Only where --label_pattern says where it is: most names of images are not codes."""
    # Composed, as alphabets are: macOS may give the accents of a name as characters of their own.
    match = re.search(pattern, path.stem) if pattern else None
    return unicodedata.normalize("NFC", match[1]) if match and match[1] else None


def _of_records(config: RunConfig, workdir: Workdir) -> Images:
    entries = config.foreign.records
    folder = pathlib.Path(entries[0])
    if len(entries) == 1 and not config.foreign.mapping and (folder / FILE_NAME).is_file():
        manifest = Manifest.load(folder)
        split = config.test.split
        if not manifest.count(split):
            filled = [name for name in manifest.splits if manifest.count(name)]
            raise DigitwiseError(f"--split={split}: {folder} has images in {', '.join(filled) or 'no split'}")
        return Images(manifest.count(split), _own_rows(manifest, split))
    source = foreign_source(Probes(), config, workdir)
    rows = list(source.rows())
    images = (Image(key, functools.partial(source.load, key), code) for key, code in rows)
    return Images(len(rows), images, _folders([file.path for entry in source.entries for file in entry.files]))


def _own_rows(manifest: Manifest, split: str) -> Iterator[Image]:
    shape = (manifest.height, manifest.width, manifest.channels)
    for path in manifest.paths(split):
        for _, data in read_records(path):
            key, image, code = schema.decode(data)
            # With what it takes and no more, as a cluster's nodes are sent the images of records.
            yield Image(key, functools.partial(_stored, image, shape, manifest.encoding), code)


def _stored(image: bytes, shape: tuple[int, int, int], encoding: str) -> Source:
    return np.frombuffer(image, np.uint8).reshape(shape) if encoding == RAW else image
