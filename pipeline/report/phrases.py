"""Figures in words and digits, alike in the terminal and on the page."""

import math

from pipeline.model.metrics import Accuracy
from pipeline.report.readings import Speed
from pipeline.report.summary import ConfusedPair, LookAlikePair, LookAlikes

SPACE = "␣"
_EXACT = 10**12  # up to here a count is written out


def ratio(value: float | None) -> str:
    """Four digits, and 1.0000 only where nothing is missing."""
    if value is None:
        return "-"
    # Rounding would claim that every single code was read right.
    return "0.9999" if 0.99995 <= value < 1 else f"{value:.4f}"


def floor(probability: float) -> str:
    """Three digits, never rounded up: 1.000 is certainty."""
    return f"{math.floor(probability * 1000) / 1000:.3f}"


def interval(accuracy: Accuracy) -> str:
    return f"{ratio(accuracy.low)} to {ratio(accuracy.high)}"


def right_of(accuracy: Accuracy) -> str:
    return f"{accuracy.right:,} of {accuracy.count:,}"


def one_in(chance: float) -> str:
    """`1 in 10,000`; beyond what a float counts exactly, `1 in 3.9 x 10^24`."""
    if not chance:  # too small for a float
        return "less than 1 in 10^300"
    if chance >= 1 / _EXACT:
        return f"1 in {round(1 / chance):,}"
    mantissa, exponent = f"{1 / chance:.1e}".split("e+")
    power = f"10^{int(exponent)}"
    return f"1 in {power if mantissa == '1.0' else f'{mantissa} x {power}'}"


def visible(text: str) -> str:
    """Text from outside as one line of printable characters, a space shown as one."""
    return "".join(c if c.isprintable() else "�" for c in text).replace(" ", SPACE)


def shortened(key: str, limit: int = 28) -> str:
    """The end of a key, which is where keys differ."""
    key = "".join(c if c.isprintable() else "?" for c in key)
    return key if len(key) <= limit else "..." + key[3 - limit :]


def confused_text(pair: ConfusedPair) -> str:
    if pair.code is None:
        return f"{visible(pair.read or '')} read where there is none: {pair.count:,} times"
    what = "missed" if pair.read is None else f"read as {visible(pair.read)}"
    return f"{visible(pair.code)} {what}: {pair.count:,} of {pair.of:,}"


def look_alike_text(pair: LookAlikePair) -> str:
    (a, b), (as_b, as_a), (shown_a, shown_b) = pair.characters, pair.taken_for_other, pair.shown
    return f"{a} read as {b}: {as_b:,} of {shown_a:,}, {b} as {a}: {as_a:,} of {shown_b:,}"


def equal_text(look_alikes: LookAlikes) -> str:
    """Accuracy of whole codes where look-alikes count as equal."""
    whole = look_alikes.sequence_accuracy
    return f"with look-alikes counted as equal: {ratio(whole.value)} ({right_of(whole)})"


def unseen_text(unseen: Accuracy) -> str:
    """Whole-code accuracy of the images whose codes were in no training."""
    return (
        f"{ratio(unseen.value)}   {right_of(unseen)} right; 95 % interval {interval(unseen)}; these show codes that no "
        "training had"
    )


def speed_text(speed: Speed) -> str:
    if speed.value is None:
        return "too few images to measure"
    return f"{speed.value:,.0f} images/s ({speed.images:,} images in {speed.seconds:.2f} s; {speed.includes})"
