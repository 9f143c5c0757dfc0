"""What tells one file's bytes from another's."""

import hashlib

from records.atomic import AnyPath


def sha256_of(path: AnyPath) -> str:
    """Of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
