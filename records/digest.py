"""What tells some bytes from others."""

import hashlib

from records.atomic import AnyPath


def sha256_of(path: AnyPath) -> str:
    """Of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash64(data: bytes) -> int:
    """Where millions are compared: two of a million that differ share it by accident once in 37 million such sets."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
