"""What the texts of flags mean: sizes, ranges, colours; SettingError names the flag and what it takes."""

import re

MAX_CODE_LENGTH = 64
MAX_IMAGE_SIDE = 4096
LEAST_BRIGHTNESS = 32


class SettingError(ValueError):
    """A setting cannot be used; the text is the whole message."""


def one_of(flag, value, allowed):
    if value not in allowed:
        raise SettingError(f"{flag}={value}: it takes one of {', '.join(allowed)}")


def number(flag, value, least, most):
    if not least <= value <= most:
        raise SettingError(f"{flag}={value}: it takes a number from {least} to {most}")


def whole_number(flag, text, least, most):
    if not re.fullmatch(r"\d{1,18}", str(text)):
        raise SettingError(f"{flag}={text}: it takes whole numbers from {least} to {most}")
    number(flag, int(text), least, most)
    return int(text)


def parse_lengths(text):
    """`4` -> (4, 4), `3-6` -> (3, 6)."""
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    if not match:
        raise SettingError(f"--code_length={text}: it takes a number such as 4, or a range such as 3-6")
    least, most = int(match[1]), int(match[2] or match[1])
    if not 1 <= least <= most <= MAX_CODE_LENGTH:
        raise SettingError(f"--code_length={text}: codes have 1 to {MAX_CODE_LENGTH} characters, the lesser first")
    return least, most


def parse_size(text):
    """`160x60` -> (160, 60): width, height."""
    match = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
    if not match:
        raise SettingError(f"--image_size={text}: it takes WIDTHxHEIGHT in pixels, such as 160x60")
    width, height = int(match[1]), int(match[2])
    if not (8 <= width <= MAX_IMAGE_SIDE and 8 <= height <= MAX_IMAGE_SIDE):
        raise SettingError(f"--image_size={text}: each side is 8 to {MAX_IMAGE_SIDE} pixels")
    return width, height


def parse_sizes(flag, text):
    """`32x100x3` -> (32, 100, 3), nothing -> ()."""
    if text and not re.fullmatch(r"\d{1,6}(x\d{1,6}){1,2}", text):
        raise SettingError(
            f"{flag}={text}: it takes HEIGHTxWIDTHxCHANNELS as they lie in memory, such as 32x100x3 or 3x32x100"
        )
    return tuple(int(size) for size in text.split("x")) if text else ()


def parse_range_of_values(flag, text):
    """`-1:1` -> (-1.0, 1.0), nothing -> ()."""
    if not text:
        return ()
    match = re.fullmatch(r"(-?\d{1,9}(?:\.\d+)?):(-?\d{1,9}(?:\.\d+)?)", text)
    if not match or float(match[1]) >= float(match[2]):
        raise SettingError(f"{flag}={text}: it takes the numbers of black and white, such as 0:1, -1:1 or 0:255")
    return float(match[1]), float(match[2])


def parse_range(flag, text):
    """`0.1-0.3` -> (0.1, 0.3), `0.2` -> (0.2, 0.2)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:-(\d+(?:\.\d+)?))?", text)
    if not match:
        raise SettingError(f"{flag}={text}: it takes a number such as 0.2, or a range such as 0.1-0.3")
    least, most = float(match[1]), float(match[2] or match[1])
    if not 0 <= least <= most <= 2:
        raise SettingError(f"{flag}={text}: it takes numbers from 0 to 2, the lesser first")
    return least, most


def parse_degrees(flag, text):
    """`30` -> (-30, 30), `-10:20` -> (-10, 20)."""
    match = re.fullmatch(r"(?:(-?\d+(?:\.\d+)?):)?(-?\d+(?:\.\d+)?)", text)
    if not match:
        raise SettingError(f"{flag}={text}: it takes degrees such as 30 (either way), or a range such as -10:20")
    most = float(match[2])
    least = -most if match[1] is None else float(match[1])
    if not -180 <= least <= most <= 180:
        raise SettingError(f"{flag}={text}: it takes degrees from -180 to 180, the lesser first")
    return least, most


def parse_color(flag, text):
    """`#102030` -> (16, 32, 48); nothing -> None, a colour drawn by chance."""
    if not text:
        return None
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise SettingError(f"{flag}={text}: it takes a colour such as #1a2b3c, or nothing for a colour by chance")
    return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))


def check_shows(flag, color):
    """Raises where the captcha package would draw nothing to be seen: it pastes a character through its brightness."""
    if color and 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] < LEAST_BRIGHTNESS:
        text = "#%02x%02x%02x" % color
        raise SettingError(
            f"{flag}={text}: the captcha package shows a character as strongly as its colour is bright, "
            f"and this one is too dark to show; take {LEAST_BRIGHTNESS} of 255 or more, such as #404040"
        )


def check_pattern(flag, pattern):
    """Raises unless `pattern` is a regular expression with a group."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SettingError(f"{flag}={pattern}: it is no regular expression ({error})") from None
    if compiled.groups < 1:
        raise SettingError(f"{flag}={pattern}: it needs a group, such as ([0-9]+), that holds the code")
