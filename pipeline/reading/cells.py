"""CSV that programs read back and that no spreadsheet runs.

write = csv_writer(stream)
write(("a.png", "=1+2", 0.5))       # a.png,'=1+2,0.5
"""

import csv
from collections.abc import Callable, Sequence
from typing import TextIO, TypeAlias

WriteRow: TypeAlias = Callable[[Sequence[str | int | float]], None]
# With one of these in front a spreadsheet takes a cell for a formula, and runs it.
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")
_TEXT_MARK = "'"


def csv_writer(stream: TextIO) -> WriteRow:
    """`stream` must leave line ends as they are."""
    rows = csv.writer(stream, lineterminator="\n")
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Sequence[str | int | float]) -> None:
        cells = [as_text_cell(cell) if isinstance(cell, str) else cell for cell in row]
        # The csv module quotes by itself what holds a line end of its own, which is not the only one.
        has_return = any("\r" in cell for cell in cells if isinstance(cell, str))
        (quoted if has_return else rows).writerow(cells)

    return write


def as_text_cell(text: str) -> str:
    """A cell that no spreadsheet runs: ' stands before what looks like a formula, and before what begins with a '.

    So one ' at the start of a cell is never part of the text.
    """
    return _TEXT_MARK + text if text.startswith((*_FORMULA_STARTS, _TEXT_MARK)) else text
