"""The two files of one checkpoint: step-00000500.npz holds arrays, step-00000500.json what they are and their sha256.

The JSON is written last, so what has one is whole. No pickle is written or read.
"""

import hashlib
import io
import json
import pathlib
import re
import zipfile
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from records.atomic import atomic_file, write_text
from records.errors import DigitwiseError

FORMAT: str = "digitwise-checkpoint"
FORMAT_VERSION: int = 2  # 1 had the same files, and a state with other fields
_READABLE = (1, 2)
_NAME = re.compile(r"step-(\d{8,})\.(json|npz)")


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
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DamagedCheckpoint(f"{path} is damaged ({error})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DamagedCheckpoint(f"{path} is not a checkpoint of digitwise")
    if content.get("format_version") not in _READABLE:
        raise DigitwiseError(
            f"{path} has format version {content.get('format_version')}, this program reads "
            f"{' and '.join(map(str, _READABLE))}"
        )
    if content.pop("sha256", None) != _digest(content) or content["step"] != step:
        raise DamagedCheckpoint(f"{path} is damaged: its content does not match its own sha256")
    return content


def read_arrays(folder: pathlib.Path, step: int, sha256: str) -> dict[str, np.ndarray]:
    """The arrays by name; DamagedCheckpoint where they are not those of the digest."""
    path = path_of(folder, step, "npz")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read ({error.strerror})") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedCheckpoint(f"{path} is damaged: its sha256 is not the one in {path.stem}.json")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise DamagedCheckpoint(f"{path} is damaged ({error})") from None


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
