"""Which fonts of this machine can draw an alphabet: font_files("0123456789", 3) -> paths."""

import hashlib
import importlib.util
import pathlib

from PIL import ImageFont

_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.fonts",
    "~/.local/share/fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
    "C:/Windows/Fonts",
)
_PACKAGES = ("matplotlib", "captcha")  # which bring fonts of their own
_SUFFIXES = (".ttf", ".otf", ".ttc")
_MISSING = "\U0010ffff"  # a character that no font has


def font_files(alphabet: str, count: int, more: str = "") -> list[str]:
    """`count` fonts that have each character of the alphabet, spread over all that there are; SystemExit where there
    are fewer."""
    files = _all_files(more)
    chosen: list[str] = []
    # In the order of a hash, or else all would come from the families that sort first.
    for name in sorted(files, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if draws(files[name], alphabet):
            chosen.append(files[name])
        if len(chosen) == count:
            return chosen
    raise SystemExit(
        f"{len(chosen)} of the {len(files)} fonts found have all of {alphabet[:12]!r}...; this kind takes {count}: "
        "install more (apt-get install fonts-liberation fonts-freefont-ttf fonts-lato fonts-wqy-microhei), "
        "or name a folder of fonts with --fonts"
    )


def all_font_files(alphabet: str, more: str = "") -> list[str]:
    """All fonts that have each character of the alphabet."""
    return sorted(path for path in _all_files(more).values() if draws(path, alphabet))


def draws(path: str, alphabet: str) -> bool:
    """Whether the font has a shape of its own for each character."""
    try:
        font = ImageFont.truetype(path, 24)
        missing = bytes(font.getmask(_MISSING))
        shapes = [bytes(font.getmask(character)) for character in alphabet]
    except OSError:
        return False
    # Some fonts have capitals alone, others boxes for what they lack: then two characters look the same.
    return missing not in shapes and all(map(any, shapes)) and len(set(shapes)) > 0.95 * len(alphabet)


def _all_files(more: str) -> dict[str, str]:
    """{name of the file: path}; a font that is installed twice counts once."""
    folders = [pathlib.Path(folder).expanduser() for folder in (*_FOLDERS, *([more] if more else []))]
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        if found and found.origin:
            folders.append(pathlib.Path(found.origin).parent)
    files: dict[str, str] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            if path.suffix.lower() in _SUFFIXES:
                files.setdefault(path.name, str(path))
    return files
