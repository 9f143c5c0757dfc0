"""Labelled images, joined by others whose codes something else has read.

    JoinedFolder(LabeledFolder("labelled"), LabeledFolder("others"), "readings.csv")

The key of one of the others begins with a slash, which that of no labelled image does.
"""

import dataclasses
from collections.abc import Iterator

from records.images.folder import LabeledFolder, identity_of, table_rows

_OTHER = "/"


@dataclasses.dataclass(frozen=True)
class JoinedFolder:
    """`readings` is a table of files below `others` and what they show. Of these, only the listed ones are here."""

    labelled: LabeledFolder
    others: LabeledFolder
    readings: str

    def rows(self) -> Iterator[tuple[str, str]]:
        yield from self.labelled.rows()
        yield from ((_OTHER + key, text) for key, text in self._read())

    def load(self, key: str) -> bytes:
        folder, name = self._place(key)
        return folder.load(name)

    def name(self, key: str) -> str:
        folder, name = self._place(key)
        return folder.name(name)

    def identity(self) -> dict[str, int | str]:
        """That of the labelled images."""
        return self.labelled.identity()

    def others_identity(self) -> dict[str, int | str]:
        return identity_of(self.others.root, self._read())

    def _read(self) -> Iterator[tuple[str, str]]:
        return ((key, text) for _, key, text in table_rows(self.readings))

    def _place(self, key: str) -> tuple[LabeledFolder, str]:
        return (self.others, key.removeprefix(_OTHER)) if key.startswith(_OTHER) else (self.labelled, key)
