"""The rows that wait to be written: a file of [key, text] lines for each split, and then for each shard."""

import collections
import itertools
import json
import pathlib
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from records.dataset.writer import read_plan
from records.split import SPLITS

FOLDER = "plan"
Piece = tuple[tuple[str, str], ...]
_PIECE = 2_000  # rows: about a second of reading headers
_ROWS_HELD = 4096  # a few hundred kB


def plan_path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where the rows of a shard, or of a whole split, wait."""
    return folder / FOLDER / f"{name}.jsonl"


class RowFiles:
    """Appends rows to many files with few of them held in memory and none held open."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._rows: dict[str, list[str]] = collections.defaultdict(list)
        self._held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()

    def add(self, name: str, key: str, text: str) -> None:
        # JSON, as codes and names may have any characters, line ends among them.
        self.add_line(name, json.dumps((key, text)) + "\n")

    def add_line(self, name: str, line: str) -> None:
        """A row as it stands in another file."""
        self._rows[name].append(line)
        self._held += 1
        if self._held >= _ROWS_HELD:
            self._flush()

    def _flush(self) -> None:
        for name, rows in self._rows.items():
            with open(plan_path(self._folder, name), "a", encoding="utf-8") as file:
                file.writelines(rows)
        self._rows.clear()
        self._held = 0


def pieces_of(folder: pathlib.Path) -> Iterator[Piece]:
    """The rows of all splits, (key, text) of each, in their order and in pieces for worker processes."""
    for split in SPLITS:
        path = plan_path(folder, split)
        rows = read_plan(path) if path.exists() else iter(())
        while piece := tuple(itertools.islice(rows, _PIECE)):
            yield piece
