"""The values that flags stand for: how their text is read and written, and which of them are allowed.

parse_size("--image_size", "160x60")    # (160, 60)
format_size((160, 60))                  # "160x60"

Parsing checks the syntax; the settings check the values when they are built.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from records.alphabet import NAMED, Alphabet
from records.errors import DigitwiseError

Color = tuple[int, int, int]

MAX_CODE_LENGTH = 64
# 4096 x 4096 is MAX_PIXELS of records.images.files, which is as much as is decoded.
MIN_IMAGE_SIDE, MAX_IMAGE_SIDE = 8, 4096
MIN_BRIGHTNESS = 32
MIN_CONTRAST = 16  # of 255 in any channel; what differs less can hardly be seen
MIN_FONT_SIZE, MAX_FONT_SIZE = 4, 1000
LOCAL = "local"  # of --cluster: this machine alone


class SettingError(DigitwiseError, ValueError):
    """A setting cannot be used; the text is the whole message."""


def check_choice(flag: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise SettingError(f"{flag}={value}: expected one of {', '.join(allowed)}")


def check_number(flag: str, value: float, minimum: float, maximum: float) -> None:
    # Written this way round, the comparison refuses NaN too.
    if not minimum <= value <= maximum:
        raise SettingError(f"{flag}={value}: expected a number from {minimum} to {maximum}")


def check_workdir(flag: str, value: str) -> None:
    if not value:
        raise SettingError(f"{flag} is empty: expected the folder for everything that a run writes")
    if "://" in value:
        raise SettingError(
            f"{flag}={value}: expected a folder; --upload copies records to such an address, and --records reads them "
            "from there"
        )


def check_address(flag: str, value: str) -> None:
    """Empty is none."""
    if value and not re.fullmatch(r"[a-z][a-z0-9+.-]*://.+", value):
        raise SettingError(f"{flag}={value}: expected an address of an object store, such as s3://bucket/codes")


def check_cluster(flag: str, value: str) -> None:
    if value not in (LOCAL, "auto") and not re.fullmatch(r"(ray://)?[\w.\-\[\]:]+:\d{1,5}", value):
        raise SettingError(f"{flag}={value}: expected local, auto, ray://HOST:PORT or HOST:PORT")


def parse_whole_number(flag: str, text: str) -> int:
    # Bounded, so that the number fits an int64, and because Python refuses to convert more than 4,300 digits.
    if not re.fullmatch(r"\d{1,18}", text):
        raise SettingError(f"{flag}={text}: expected a whole number")
    return int(text)


def parse_whole_numbers(flag: str, text: str) -> tuple[int, ...]:
    """`42,50` -> (42, 50)."""
    if not re.fullmatch(r"\d{1,18}(,\d{1,18})*", text):
        raise SettingError(f"{flag}={text}: expected whole numbers, separated by commas")
    return tuple(map(int, text.split(",")))


def format_whole_numbers(values: Iterable[int]) -> str:
    return ",".join(map(str, values))


def parse_alphabet(flag: str, text: str) -> str:
    """`digits+lower` -> the characters that the names stand for; other text stands for itself."""
    names = text.split("+")
    unknown = [name for name in names if name not in NAMED]
    # Probably a misspelled name, such as digits+uper, and not an alphabet of these letters with a + among them.
    if unknown and len(unknown) < len(names) and all(name.isalpha() for name in unknown):
        raise SettingError(
            f"{flag}={text}: {unknown[0]!r} is not a named alphabet; "
            f"expected {', '.join(NAMED)}, several of them joined with +, or the characters themselves"
        )
    try:
        return Alphabet.parse(text).characters
    except DigitwiseError as error:
        raise SettingError(f"{flag}={text}: {error}") from None


def check_alphabet(flag: str, characters: str) -> None:
    try:
        Alphabet(characters)
    except DigitwiseError as error:
        raise SettingError(f"{flag}={characters}: {error}") from None


def parse_lengths(flag: str, text: str) -> tuple[int, int]:
    """`4` -> (4, 4), `3-6` -> (3, 6)."""
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    if not match:
        raise SettingError(f"{flag}={text}: expected a number such as 4, or a range such as 3-6")
    return int(match[1]), int(match[2] or match[1])


def format_lengths(lengths: tuple[int, int]) -> str:
    return "-".join(map(str, dict.fromkeys(lengths)))  # dict.fromkeys: (4, 4) is written as 4


def check_lengths(flag: str, lengths: tuple[int, int]) -> None:
    if not 1 <= lengths[0] <= lengths[1] <= MAX_CODE_LENGTH:
        raise SettingError(
            f"{flag}={format_lengths(lengths)}: codes have 1 to {MAX_CODE_LENGTH} characters, smaller number first"
        )


def parse_size(flag: str, text: str) -> tuple[int, int]:
    """`160x60` -> (160, 60): width, height."""
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
    if not match:
        raise SettingError(f"{flag}={text}: expected WIDTHxHEIGHT in pixels, such as 160x60")
    return int(match[1]), int(match[2])


def format_size(size: Iterable[int]) -> str:
    return "x".join(map(str, size))


def check_size(flag: str, size: tuple[int, int]) -> None:
    if not all(MIN_IMAGE_SIDE <= side <= MAX_IMAGE_SIDE for side in size):
        raise SettingError(f"{flag}={format_size(size)}: each side is {MIN_IMAGE_SIDE} to {MAX_IMAGE_SIDE} pixels")


def parse_shape(flag: str, text: str) -> tuple[int, ...]:
    """`32x100x3` -> (32, 100, 3): the sizes of an array as it lies in memory."""
    if not re.fullmatch(r"\d{1,6}(x\d{1,6}){1,2}", text):
        raise SettingError(
            f"{flag}={text}: expected the sizes in memory order, HEIGHTxWIDTH, 32x100x3 or, channels first, 3x32x100"
        )
    return tuple(map(int, text.split("x")))


def parse_black_and_white(flag: str, text: str) -> tuple[float, float]:
    """`-1:1` -> (-1.0, 1.0): the number that is black and the one that is white."""
    match = re.fullmatch(r"(-?\d{1,9}(?:\.\d+)?):(-?\d{1,9}(?:\.\d+)?)", text)
    if not match or float(match[1]) >= float(match[2]):
        raise SettingError(f"{flag}={text}: expected the numbers for black and white, such as 0:1, -1:1 or 0:255")
    return float(match[1]), float(match[2])


def format_black_and_white(values: tuple[float, float]) -> str:
    return ":".join(map(format_number, values))


def parse_padding(flag: str, text: str) -> int | Literal["none"]:
    """`0` -> 0: the id that pads lists; `none` where lists are not padded."""
    if text == "none":
        return "none"
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise SettingError(f"{flag}={text}: expected the id that pads lists, or none")
    return int(text)


def parse_range(flag: str, text: str) -> tuple[float, float]:
    """`0.1-0.3` -> (0.1, 0.3), `0.2` -> (0.2, 0.2)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text)
    if not match:
        raise SettingError(f"{flag}={text}: expected a number such as 0.2, or a range such as 0.1-0.3")
    return float(match[1]), float(match[2] or match[1])


def format_range(values: tuple[float, float]) -> str:
    return "-".join(map(format_number, dict.fromkeys(values)))


def check_range(flag: str, values: tuple[float, float], maximum: float) -> None:
    if not 0 <= values[0] <= values[1] <= maximum:
        raise SettingError(f"{flag}={format_range(values)}: expected numbers from 0 to {maximum}, smaller number first")


def parse_degrees(flag: str, text: str) -> tuple[float, float]:
    """`30` -> (-30, 30), `-10:20` -> (-10, 20)."""
    # A colon here where other ranges have a hyphen: -10--5 would be hard to read.
    match = re.fullmatch(r"(?:(-?\d+(?:\.\d+)?):)?(-?\d+(?:\.\d+)?)", text)
    if not match:
        raise SettingError(f"{flag}={text}: expected degrees such as 30 (either way), or a range such as -10:20")
    maximum = float(match[2])
    return -maximum if match[1] is None else float(match[1]), maximum


def format_degrees(values: tuple[float, float]) -> str:
    minimum, maximum = values
    return format_number(maximum) if minimum == -maximum else f"{format_number(minimum)}:{format_number(maximum)}"


def check_degrees(flag: str, values: tuple[float, float]) -> None:
    if not -180 <= values[0] <= values[1] <= 180:
        raise SettingError(f"{flag}={format_degrees(values)}: expected degrees from -180 to 180, smaller number first")


def parse_color(flag: str, text: str) -> Color:
    """`#102030` -> (16, 32, 48)."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise SettingError(f"{flag}={text}: expected a colour such as #1a2b3c, or nothing for random colours")
    red, green, blue = (int(text[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def format_color(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def brightness(color: Color) -> float:
    """0 to 255, as Pillow turns colours into grey (ITU-R BT.601)."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def check_visible(flag: str, color: Color) -> None:
    """Raises where characters could not be seen: the captcha package uses their brightness as the mask."""
    if brightness(color) < MIN_BRIGHTNESS:
        raise SettingError(
            f"{flag}={format_color(color)}: the captcha package makes dark characters transparent, and this colour is "
            f"too dark to be seen; its brightness must be {MIN_BRIGHTNESS} of 255 or more, such as #404040"
        )


def check_contrast(flag: str, color: Color, background: Color) -> None:
    """Raises where characters would have the colour of what is behind them."""
    if max(abs(one - other) for one, other in zip(color, background, strict=True)) < MIN_CONTRAST:
        raise SettingError(
            f"{flag}={format_color(color)} can hardly be seen on --background={format_color(background)}: "
            f"expected colours that differ by {MIN_CONTRAST} or more in red, green or blue"
        )


def check_pattern(flag: str, pattern: str) -> None:
    """Raises unless `pattern` is a regular expression with a group."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SettingError(f"{flag}={pattern}: not a regular expression ({error})") from None
    if compiled.groups < 1:
        raise SettingError(f"{flag}={pattern}: expected a group, such as ([0-9]+), that matches the code")


def check_entries(flag: str, entries: Sequence[str], kind: str) -> None:
    if "" in entries:
        raise SettingError(f"{flag} has an empty entry: expected {kind}, separated by commas")


def format_number(value: float) -> str:
    """`30.0` -> `30`, `0.25` -> `0.25`."""
    # repr is the shortest text that reads back as the same number; :g would cut it to six digits.
    return repr(float(value)).removesuffix(".0")
