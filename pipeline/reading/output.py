"""Readings as text, each as soon as it is there: a table for people, JSON lines and CSV for programs.

write = OUTPUTS["jsonl"](sys.stdout)
write(reading)
"""

import json
import unicodedata
from collections.abc import Callable
from typing import Any, TextIO, TypeAlias

from digitwise.reader import Reading
from pipeline.reading.cells import csv_writer
from records.errors import printable

Write: TypeAlias = Callable[[Reading], None]
COLUMNS = ("file", "code", "confidence", "accepted", "error")
_DIGITS = 6  # of a confidence, significant
_NAME_WIDTH, _CODE_WIDTH = 40, 10
_LONGEST_NAME = 4096  # of a path on Linux
_DECISIONS = {True: "accepted", False: "refused", None: "-"}  # nothing is certified for the model


def jsonl(stream: TextIO) -> Write:
    """As `reading_json` has it."""

    def write(reading: Reading) -> None:
        # ensure_ascii=False: codes in other scripts stay readable for people and grep.
        stream.write(_escaped(json.dumps(reading_json(reading), ensure_ascii=False)) + "\n")

    return write


def reading_json(reading: Reading) -> dict[str, Any]:
    """Keys: file, code, confidence, characters, accepted; and error, where code is null."""
    values: dict[str, Any] = {
        "file": reading.name,
        "code": reading.code,
        "confidence": _rounded(reading.confidence),
        "characters": [
            {"character": each.character, "probability": _rounded(each.probability)} for each in reading.characters
        ],
        "accepted": reading.accepted,
    }
    return {**values, "error": reading.error} if reading.error else values


def csv_rows(stream: TextIO) -> Write:
    """Text that a spreadsheet would run begins with ', as in the report's predictions.csv."""
    write_row = csv_writer(stream)
    write_row(COLUMNS)

    def write(reading: Reading) -> None:
        accepted = "" if reading.accepted is None else str(reading.accepted).lower()
        write_row((reading.name, reading.code or "", _rounded(reading.confidence), accepted, reading.error))

    return write


def table(stream: TextIO) -> Write:
    """Least sure character last: it is the one to look at. Control characters in names and codes are escaped."""
    stream.write(_row("file", "code", "confidence", "decision", "least sure"))

    def write(reading: Reading) -> None:
        if reading.error:
            stream.write(_row(reading.name, "-", "", "", reading.error))
            return
        weakest = min(reading.characters, key=lambda each: each.probability, default=None)
        least_sure = f"{weakest.character} {weakest.probability:.4f}" if weakest else ""
        decision = _DECISIONS[reading.accepted]
        stream.write(_row(reading.name, reading.code or "", f"{reading.confidence:.4f}", decision, least_sure))

    return write


OUTPUTS: dict[str, Callable[[TextIO], Write]] = {"table": table, "jsonl": jsonl, "csv": csv_rows}


def _row(name: str, code: str, confidence: str, decision: str, rest: str) -> str:
    # Names of files and characters of a model come from elsewhere, and the table mostly goes to a terminal.
    name, code, rest = printable(name, _LONGEST_NAME), printable(code), printable(rest)
    cells = [_padded(name, _NAME_WIDTH), _padded(code, _CODE_WIDTH), f"{confidence:<10}", f"{decision:<8}", rest]
    return "  ".join(cells).rstrip() + "\n"


def _padded(text: str, width: int) -> str:
    """East Asian characters take two places of a terminal."""
    taken = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    return text + " " * max(0, width - taken)


def _escaped(text: str) -> str:
    """JSON that says the same, without what a terminal takes for a command: json.dumps leaves some of it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _rounded(value: float) -> float:
    # float32 has seven digits; the last one differs between machines.
    return float(f"{value:.{_DIGITS}g}")
