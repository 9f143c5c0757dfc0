"""Limits on what is read, from the settings.

limits = limits_of(allow="0123456789", lengths=(4, 6), pattern="", codes_file="", check="luhn")
"""

import importlib.util
import pathlib
from collections.abc import Callable

from digitwise.errors import ReaderError
from digitwise.limits import CHECK_DIGITS, Limits
from records.errors import DigitwiseError, printable

_NAMED = 5
# What a --check may raise: anything. SystemExit too, or the check could choose the exit code of the program.
_RAISED = (Exception, SystemExit)


def limits_of(allow: str | None, lengths: tuple[int, int] | None, pattern: str, codes_file: str, check: str) -> Limits:
    """`lengths` is (minimum, maximum); `check` is the name of a check digit, or FILE.py:FUNCTION. What is empty allows
    everything."""
    is_function = bool(check) and check not in CHECK_DIGITS
    try:
        return Limits(
            characters=allow or "",
            lengths=tuple(range(lengths[0], lengths[1] + 1)) if lengths else (),
            pattern=pattern,
            codes=_codes(codes_file) if codes_file else (),
            check_digit="" if is_function else check,
            function=_function(check) if is_function else None,
        )
    except ReaderError as error:
        raise DigitwiseError(str(error)) from None


def dropped(limits: Limits, alphabet: str, min_length: int, max_length: int) -> list[str]:
    """A line for each limit that allows more than a network of this alphabet and these lengths can read."""
    unknown = [character for character in limits.characters if character not in alphabet]
    unreadable = [
        code for code in limits.codes if not min_length <= len(code) <= max_length or not set(alphabet) >= set(code)
    ]
    kinds = (("--allow", unknown, limits.characters, "characters"), ("--codes", unreadable, limits.codes, "codes"))
    return [
        f"{flag}: {len(out):,} of {len(given):,} {noun} cannot be read by this network: "
        + printable(", ".join(out[:_NAMED]) + (", ..." if len(out) > _NAMED else ""))
        for flag, out, given, noun in kinds
        if out
    ]


def _codes(path: str) -> tuple[str, ...]:
    """One code a line."""
    try:
        # utf-8-sig: spreadsheets and Windows editors put a byte order mark in front
        lines = pathlib.Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DigitwiseError(f"the list of codes {path} cannot be read ({reason})") from None
    codes = tuple(code for line in lines if (code := line.strip()))
    if not codes:
        raise DigitwiseError(f"the list of codes {path} is empty; it has one code a line")
    return codes


def _function(text: str) -> Callable[[str], bool]:
    """The user's own code, run because the user named it."""
    path, _, name = text.rpartition(":")
    if not path.endswith(".py"):
        raise DigitwiseError(
            f"the check {text!r} is not one of {', '.join(CHECK_DIGITS)}, nor FILE.py:FUNCTION for one of your own"
        )
    if not pathlib.Path(path).is_file():
        raise DigitwiseError(f"the check {text!r}: there is no file {path}")
    # By its path, without a change to sys.path: nothing else from the user's folder can be imported by mistake.
    spec = importlib.util.spec_from_file_location("digitwise_check", path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except _RAISED as error:
        raise DigitwiseError(f"the check {text!r}: {path} fails ({_reason(error)})") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise DigitwiseError(f"the check {text!r}: {path} has no function {name!r}")

    def fits(code: str) -> bool:
        try:
            return bool(function(code))
        except _RAISED as error:
            raise DigitwiseError(f"the check {text!r} fails for the code {code!r} ({_reason(error)})") from None

    return fits


def _reason(error: BaseException) -> str:
    return printable(f"{type(error).__name__}: {error}")
