"""What a node must share with this machine, because otherwise its bytes would differ.

requirements = Requirements.of(workdir, fonts=("DroidSansMono.ttf",))      # here
for line in requirements.unmet(): print(line)                              # there
"""

import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from typing import Self

from records.digest import sha256_of

PACKAGES: tuple[str, ...] = ("records", "alexnet", "digitwise", "pipeline")
_PROOF_PREFIX = ".cluster-"
_DISTRIBUTIONS = ("pillow", "numpy", "captcha")
_MIN_FREE = 64 << 20  # bytes; the work folder is shared, so the driver has looked at the rest
_NONE = "none"


@dataclasses.dataclass(frozen=True)
class Requirements:
    """`folder` is the work folder, or where a network is; `proof` is a file in it that only a node with the same folder
    sees, `start` the folder that relative paths start from, `inputs` what the work reads; fonts are (path, sha256)."""

    start: str
    folder: str
    proof: str
    inputs: tuple[str, ...]
    fonts: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    code: str

    @classmethod
    def of(
        cls,
        folder: str | os.PathLike[str],
        inputs: Iterable[str] = (),
        fonts: Iterable[str] = (),
        packages: Iterable[str] = (),
    ) -> Self:
        """Those of a run on this machine; `packages` are distributions whose versions matter too."""
        names = tuple(packages)
        return cls(
            start=os.getcwd(),
            folder=os.path.abspath(folder),
            proof=_PROOF_PREFIX + secrets.token_hex(8),
            inputs=tuple(map(os.path.abspath, inputs)),
            fonts=tuple((os.path.abspath(font), _file_hash(font)) for font in fonts),
            versions=tuple(_versions(names).items()),
            code=_code_hash(),
        )

    @property
    def proof_path(self) -> pathlib.Path:
        return pathlib.Path(self.folder) / self.proof

    def withdraw(self) -> None:
        """No node begins anything for this run any more."""
        self.proof_path.unlink(missing_ok=True)

    def unmet(self) -> list[str]:
        """What this machine has instead, one line each; nothing where it may take part."""
        return [*self._other_folders(), *self._other_versions(), *self._other_fonts()]

    def _other_folders(self) -> Iterator[str]:
        if not self.proof_path.exists():
            yield f"it does not see {self.folder}, which must be on a file system that all nodes share"
        elif (free := shutil.disk_usage(self.folder).free) < _MIN_FREE:
            yield f"it has {free:,} bytes left in {self.folder}"
        yield from (f"it does not see {path}" for path in self.inputs if not os.path.exists(path))

    def _other_versions(self) -> Iterator[str]:
        found = _versions(name for name, _ in self.versions)
        for name, version in self.versions:
            if found[name] != version:
                yield f"it has {name} {found[name]}, this machine {version}"
        if _code_hash() != self.code:
            yield "its code of digitwise is another"

    def _other_fonts(self) -> Iterator[str]:
        for path, digest in self.fonts:
            found = _file_hash(path)
            if found != digest:
                yield f"its font {path} is another" if found != _NONE else f"it does not have the font {path}"


def copy_code(folder: str | os.PathLike[str], packages: Iterable[str] = PACKAGES) -> None:
    """Copies the packages that run on nodes, so that all of them run the code of this machine."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for package in packages:
        shutil.copytree(_source_of(package), pathlib.Path(folder) / package, ignore=ignored)


def remove_proofs(folder: str | os.PathLike[str]) -> None:
    """Removes what killed runs left."""
    for path in pathlib.Path(folder).glob(_PROOF_PREFIX + "*"):
        path.unlink(missing_ok=True)


def temporary_code() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="digitwise-code-")


def _versions(names: Iterable[str]) -> dict[str, str]:
    """Of Python, of the libraries that turn pixels into bytes, and of the distributions `names`."""
    found = {"python": platform.python_version(), "zlib": zlib.ZLIB_RUNTIME_VERSION}
    try:
        from PIL import features
    except ImportError:
        found |= {"freetype": _NONE, "libjpeg": _NONE}
    else:
        found |= {"freetype": features.version("freetype2") or _NONE, "libjpeg": features.version("jpg") or _NONE}
    for name in (*_DISTRIBUTIONS, *names):
        if name not in found:
            found[name] = _version(name)
    return found


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return _NONE


def _source_of(package: str) -> pathlib.Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is a package of this project"
    return pathlib.Path(spec.origin).parent


def _code_hash() -> str:
    """Of every module that runs on nodes, whatever else is beside them."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        root = _source_of(package)
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{package}/{path.relative_to(root).as_posix()}\0".encode())
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def _file_hash(path: str) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return _NONE
