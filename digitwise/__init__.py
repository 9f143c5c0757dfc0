"""Reads codes in images with a model that digitwise exported; needs ONNX Runtime, NumPy and Pillow.

from digitwise import Reader

for reading in Reader("model.onnx").read(["a.png", "b.png"]):
    print(reading.code, reading.confidence, reading.accepted)
"""

from typing import TYPE_CHECKING

from digitwise.errors import ReaderError
from digitwise.reader import Character, Reader, Reading

if TYPE_CHECKING:
    from digitwise.limits import Limits
    from digitwise.recognizer import Busy, Recognizer

__all__ = ["Busy", "Character", "Limits", "Reader", "ReaderError", "Reading", "Recognizer"]

_LATER = {"Limits": "digitwise.limits", "Recognizer": "digitwise.recognizer", "Busy": "digitwise.recognizer"}


def __getattr__(name: str) -> object:
    """What few programs need is imported when it is asked for: the first code is to come soon."""
    import importlib

    if name not in _LATER:
        raise AttributeError(f"module 'digitwise' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
