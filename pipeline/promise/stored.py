"""promise.json, beside a checkpoint: what was certified for it. It is bound to the checkpoint's arrays by their sha256.

stored = StoredPromise(arrays_sha256, temperature, promise, reference)
stored.save(folder)
load_promise(folder, arrays_sha256)         # None where there is none for these arrays
"""

import dataclasses
import json
import pathlib
from typing import Any

from digitwise.errors import ReaderError
from digitwise.metadata import Promise
from digitwise.watch import Reference
from records.atomic import write_text
from records.errors import DigitwiseError
from records.jsonfile import UnreadableFile, read_json

FILE_NAME = "promise.json"
FORMAT = "digitwise-promise"
FORMAT_VERSION = 1


@dataclasses.dataclass(frozen=True)
class StoredPromise:
    arrays_sha256: str
    temperature: float
    promise: Promise | None
    reference: Reference | None

    def save(self, folder: pathlib.Path) -> None:
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        write_text(folder / FILE_NAME, json.dumps(content, indent=1, allow_nan=False) + "\n")


def load_promise(folder: pathlib.Path, arrays_sha256: str) -> StoredPromise | None:
    """DigitwiseError where the file is damaged; a promise for other arrays, of before the last training, is none."""
    path = folder / FILE_NAME
    try:
        content = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, UnreadableFile) as error:
        raise _damaged(path, error) from None
    try:
        if (content["format"], content["format_version"]) != (FORMAT, FORMAT_VERSION):
            raise ValueError(f"it is {content['format']} {content['format_version']}")
        if content["arrays_sha256"] != arrays_sha256:
            return None
        promise, reference = content["promise"], content["reference"]
        return StoredPromise(
            arrays_sha256,
            float(content["temperature"]),
            Promise(**promise) if promise else None,
            Reference(**_with_tuples(reference)) if reference else None,
        )
    except (KeyError, TypeError, ValueError, ReaderError) as error:
        raise _damaged(path, error) from None


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _damaged(path: pathlib.Path, error: Exception) -> DigitwiseError:
    return DigitwiseError(f"{path} is damaged ({error}): remove it, or certify again with --stage=test --max_error=...")
