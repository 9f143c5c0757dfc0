"""The seal of an ONNX file: a digest of all bytes before it, as one more entry of the metadata that such files have.

A runtime notices a truncated file, but not a changed weight: it reads wrongly, and may be certain of it.

    content = sealed(model.SerializeToString())
    check_seal("model.onnx", content)
"""

import hashlib

from digitwise.errors import ModelError

_KEY = b"digitwise_sha256"
_DIGEST = 64  # hexadecimal digits
_METADATA = 14  # the field of an ONNX model; entries may stand anywhere in it, so also at its end


def _bytes_field(number: int, content: bytes) -> bytes:
    """As protocol buffers have it; for fields below 16 and fewer than 128 bytes."""
    return bytes((number << 3 | 2, len(content))) + content


def _seal(digest: bytes) -> bytes:
    return _bytes_field(_METADATA, _bytes_field(1, _KEY) + _bytes_field(2, digest))


_SIZE = len(_seal(b"0" * _DIGEST))


def sealed(content: bytes) -> bytes:
    """The file of an ONNX model that has no seal yet."""
    return content + _seal(_digest(content))


def check_seal(path: str, content: bytes) -> None:
    """Raises where the file was changed after it was sealed; those of earlier exports have no seal."""
    body, seal = content[:-_SIZE], content[-_SIZE:]
    if _KEY in seal and seal != _seal(_digest(body)):
        raise ModelError(f"{path} is damaged: it is not as it was exported; export it again")


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode("ascii")
