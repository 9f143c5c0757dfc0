"""The error about results that were made with other settings than those asked for.

refuse_other_settings("workdir/images", differing_settings(stored, asked))
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from pipeline.config import CodeConfig, DrawingConfig, GenerateConfig, RecordsConfig, TrainConfig
from pipeline.values import format_lengths, format_size
from records.errors import DigitwiseError, printable

_SETTINGS = (CodeConfig, GenerateConfig, DrawingConfig, RecordsConfig, TrainConfig)
# Where stored settings have those that are flags; elsewhere the same names stand for something else.
_PLACES = ("", "drawing", "source", "source.drawing", "drawn")
_FLAGS = {field.name for settings in _SETTINGS for field in dataclasses.fields(settings)} | {"split", "max_error"}
_IN_WORDS = {"source.folder.count": "number of images"}
_DIGESTS = {"source.folder.sha256": "names, codes, sizes or times of the images"}  # two of them tell nobody anything
# What results can be made of. Where that is something else, its details are of no use.
_KINDS = {
    "source.folder": "images of a folder",
    "source.records": "images of other records",
    "source.drawing": "synthetic images",
}
_FORMS: dict[str, Callable[[Any], str]] = {"code_length": format_lengths, "image_size": format_size}


def refuse_other_settings(what: str, differing: list[tuple[str, Any, Any]]) -> None:
    """Raises the error that lists how existing results differ from those that were requested."""
    made_of = [_KINDS[name] for name, _, new in differing if name in _KINDS and new is None]
    asked_for = [_KINDS[name] for name, old, _ in differing if name in _KINDS and old is None]
    lines = []
    if made_of and asked_for:
        lines = [f"made of {made_of[0]} -> {asked_for[0]}"]
        differing = [each for each in differing if not each[0].startswith("source.")]
    lines += [_difference(*each) for each in differing]
    raise DigitwiseError(
        f"{what} was made with different settings:\n"
        + "\n".join(f"  {line}" for line in lines)
        + "\nuse --overwrite to replace it, the old settings to keep it, or another --workdir"
    )


def _difference(name: str, old: Any, new: Any) -> str:
    """As flags where there is one, so that the line can be copied; else as it is stored."""
    place, _, flag = name.rpartition(".")
    if place in _PLACES and flag in _FLAGS:
        return f"--{flag}: {_flag_text(flag, old)} -> {_flag_text(flag, new)}"
    if name in _DIGESTS:
        return f"{_DIGESTS[name]}: changed"
    return f"{_IN_WORDS.get(name, name)}: {_stored(old)} -> {_stored(new)}"


def _flag_text(flag: str, value: Any) -> str:
    if isinstance(value, list) and value and flag in _FORMS:
        return _FORMS[flag](value)
    if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
        value = ",".join(value)
    return printable(value) if isinstance(value, str) and value else _stored(value)


def _stored(value: Any) -> str:
    return "nothing" if value in (None, "", []) else json.dumps(value, ensure_ascii=False)
