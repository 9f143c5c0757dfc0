"""The two files of one checkpoint: step-00000500.npz holds arrays, step-00000500.json what they are and their sha256.

The JSON is written last, so what has one is whole. No pickle is written or read.
"""

import contextlib
import hashlib
import io
import json
import math
import pathlib
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from typing import IO, Any, TypeAlias

import numpy as np

from records.atomic import atomic_file, write_text
from records.errors import DigitwiseError
from records.jsonfile import UnreadableFile, WrongValue, read_json, take

FORMAT: str = "digitwise-checkpoint"
FORMAT_VERSION: int = 2  # 1 had the same files, and a state with other fields
_READABLE = (1, 2)
_NAME = re.compile(r"step-(\d{8,})\.(json|npz)")


ArrayForm: TypeAlias = tuple[str, tuple[int, ...]]  # the name of the dtype, and the shape


class DamagedCheckpoint(DigitwiseError):
    """A checkpoint is not what it was when it was written."""


def steps_in(folder: pathlib.Path) -> list[int]:
    """The steps there are checkpoints of, in order."""
    return sorted(step for step, kind in _files(folder) if kind == "json")  # arrays without JSON were never finished


def write(folder: pathlib.Path, step: int, arrays: Mapping[str, np.ndarray], state: dict[str, Any]) -> None:
    """`state` is plain JSON."""
    # In memory first, as its digest goes into the other file.
    data = _to_npz(arrays)
    content = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "step": step,
        "arrays_sha256": hashlib.sha256(data).hexdigest(),
        "state": state,
    }
    # Of the JSON itself, too: a flipped bit in a number is still valid JSON.
    content["sha256"] = _digest(content)
    with atomic_file(path_of(folder, step, "npz")) as file:
        file.write(data)
    write_text(path_of(folder, step, "json"), json.dumps(content, indent=1) + "\n")


def read_content(folder: pathlib.Path, step: int) -> dict[str, Any]:
    """The JSON of a checkpoint; DamagedCheckpoint where a bit of it has changed."""
    path = path_of(folder, step, "json")
    try:
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise DamagedCheckpoint(f"{path} is not a checkpoint of digitwise")
        if content.get("format_version") not in _READABLE:
            raise DigitwiseError(
                f"{path} has format version {content.get('format_version')}, this program reads "
                f"{' and '.join(map(str, _READABLE))}"
            )
        if content.pop("sha256", None) != _digest(content) or take(content, "step", int) != step:
            raise DamagedCheckpoint(f"{path} is damaged: its content does not match its own sha256")
        for key, kind in (("arrays_sha256", str), ("state", dict)):
            take(content, key, kind)
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error.strerror})") from None
    except UnreadableFile as error:
        raise DamagedCheckpoint(str(error)) from None
    except WrongValue as error:
        raise DamagedCheckpoint(f"{path} is damaged ({error})") from None
    return content


class StoredArrays(Mapping[str, np.ndarray]):
    """The arrays of a checkpoint by name, each read when it is asked for: what no network asks for takes no memory."""

    def __init__(self, path: pathlib.Path, members: Mapping[str, str]) -> None:
        self._path = path
        self._members = members  # {name: the file within the zip file}

    def __getitem__(self, name: str) -> np.ndarray:
        member = self._members[name]
        with _told_of_damage(self._path), zipfile.ZipFile(self._path) as archive:
            file = io.BytesIO(archive.read(member))  # checks the CRC
            dtype, shape, is_fortran = _header(file)
            count = math.prod(shape)
            if dtype.itemsize * count != len(file.getbuffer()) - file.tell():
                raise ValueError
            array = np.frombuffer(file.getbuffer(), dtype, count, file.tell()).copy()
        return array.reshape(shape[::-1]).T if is_fortran else array.reshape(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def form(self, name: str) -> ArrayForm:
        """As the array's header has it."""
        with _told_of_damage(self._path), zipfile.ZipFile(self._path) as archive:
            with archive.open(self._members[name]) as file:
                dtype, shape, _ = _header(file)
        return dtype.name, shape

    def renamed(self, names: Mapping[str, str]) -> "StoredArrays":
        """{new name: name}: some of the arrays under other names."""
        return StoredArrays(self._path, {new: self._members[name] for new, name in names.items()})


def read_arrays(folder: pathlib.Path, step: int, sha256: str) -> StoredArrays:
    """The arrays by name; DamagedCheckpoint where they are not those of the digest."""
    path = path_of(folder, step, "npz")
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error.strerror})") from None
    if digest != sha256:
        raise DamagedCheckpoint(f"{path} is damaged: its sha256 is not the one in {path.stem}.json")
    with _told_of_damage(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        # Ours are stored as they are. A few kilobytes of a packed array could unwrap to any number of gigabytes.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise DamagedCheckpoint(f"{path} was not written by digitwise: its arrays are compressed")
        if sum(member.file_size for member in members) > size:
            raise DamagedCheckpoint(f"{path} is damaged: its arrays are larger than the file")
    return StoredArrays(path, {member.filename.removesuffix(".npy"): member.filename for member in members})


def _header(file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """(dtype, shape, whether columns come first) of a file of numpy.save, without its numbers."""
    is_first = np.lib.format.read_magic(file) == (1, 0)
    read = np.lib.format.read_array_header_1_0 if is_first else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(file)
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError
    return dtype, shape, is_fortran


@contextlib.contextmanager
def _told_of_damage(path: pathlib.Path) -> Iterator[None]:
    """One line, and none of the advice that NumPy and zipfile give."""
    try:
        yield
    except zipfile.BadZipFile:
        raise DamagedCheckpoint(f"{path} is damaged: it is not a whole zip file of arrays") from None
    except (ValueError, EOFError, OSError, NotImplementedError, RuntimeError, SyntaxError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DamagedCheckpoint(f"{path} cannot be read ({error.strerror})") from None
        raise DamagedCheckpoint(f"{path} is damaged: it holds something other than plain arrays") from None


def remove_all_but(folder: pathlib.Path, steps: Collection[int | None]) -> None:
    # The JSON goes first: arrays without it are not a checkpoint, but it without arrays would be a damaged one.
    for step, kind in sorted(_files(folder), key=lambda file: file[1]):
        if step not in steps:
            path_of(folder, step, kind).unlink(missing_ok=True)


def path_of(folder: pathlib.Path, step: int, kind: str) -> pathlib.Path:
    return folder / f"step-{step:08d}.{kind}"


def _files(folder: pathlib.Path) -> list[tuple[int, str]]:
    if not folder.is_dir():
        return []
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return [(int(match[1]), match[2]) for match in matches if match]


def _to_npz(arrays: Mapping[str, np.ndarray]) -> memoryview:
    # numpy 1.26 has no argument allow_pickle here, and would store an array of that name: so no object gets this far.
    objects = [name for name, array in arrays.items() if array.dtype.hasobject]
    if objects:
        raise TypeError(f"{objects[0]} holds Python objects, which would be pickled")
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]  # mypy takes any name for allow_pickle
    return file.getbuffer()


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()
