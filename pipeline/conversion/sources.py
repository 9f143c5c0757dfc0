"""The source of labelled images that the settings name, and what its codes are made of.

found = find_source(config, workdir, Probes())
for key, code in found.rows(): data = found.source.load(key)
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from pipeline.config import CodeConfig, RunConfig
from pipeline.conversion.foreign import Probes, foreign_source
from pipeline.drawing.files import read_settings, source_of
from pipeline.workdir import Workdir
from records.alphabet import Alphabet
from records.dataset.settings import UNLABELLED
from records.errors import DigitwiseError
from records.images.folder import LabeledFolder
from records.images.joined import JoinedFolder
from records.source import Source


@dataclasses.dataclass(frozen=True)
class CodeSource:
    """A source of labelled images, what decides its bytes, and what its codes are made of.

    `alphabet` is empty where the codes set it; `lengths` is None where any length is welcome, `size` where images may
    have any. `reader` is what can read no other codes, where that is not the settings' choice. `is_folded` makes codes
    that differ only in case one; `is_drawn` says that this program made the images, so that all are alike.
    """

    source: Source
    identity: dict[str, Any]
    alphabet: str
    lengths: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    fonts: tuple[tuple[str, str], ...] = ()
    reader: str = ""
    is_folded: bool = False
    is_drawn: bool = False
    left_out: tuple[str, ...] = ()

    @classmethod
    def synthetic(cls, source: Source, settings: dict[str, Any]) -> "CodeSource":
        """From the settings with which images were, or will be, generated."""
        drawing = settings["drawing"]
        lengths, size = tuple(drawing["code_length"]), tuple(drawing["image_size"])
        fonts = tuple(map(tuple, drawing["fonts"]))
        return cls(source, settings, drawing["alphabet"], lengths, size, fonts, is_drawn=True)

    @classmethod
    def held(cls, source: Source, kind: str, code: CodeConfig) -> "CodeSource":
        """Of images that the user holds: the settings decide what they name, the images what is left open."""
        # With what was asked for: the same images under another --image_size become other records.
        identity = {kind: source.identity(), "code_length": code.code_length, "image_size": code.image_size}
        return cls(source, identity, code.alphabet or "", code.code_length, code.image_size)

    def folded(self) -> "CodeSource":
        """The same with an alphabet of one case; which case that is takes a pass over the codes where they set it."""
        if self.alphabet:
            alphabet = Alphabet(self.alphabet).folded().characters
        else:
            # Lower or upper case is decided by the alphabet as a whole, so it must be known before the first code is
            # folded.
            seen = Alphabet("".join(sorted({character for _, text in self.source.rows() for character in text})))
            alphabet = "".join(sorted(seen.folded().characters))
        return dataclasses.replace(self, alphabet=alphabet, is_folded=True)

    def rows(self) -> Iterator[tuple[str, str]]:
        """(key, code) of each image."""
        fold = Alphabet(self.alphabet).fold if self.is_folded else str
        return ((key, fold(text)) for key, text in self.source.rows())


def find_source(config: RunConfig, workdir: Workdir, probes: Probes | None = None) -> CodeSource:
    """The source that the settings name, its codes folded where they ask for that."""
    found = _find_source(config, workdir, probes or Probes())
    return found.folded() if config.records.fold_case else found


def _find_source(config: RunConfig, workdir: Workdir, probes: Probes) -> CodeSource:
    records = config.records
    if config.foreign.records:
        return CodeSource.held(foreign_source(probes, config, workdir), "records", config.code)
    if records.source == "synthetic":
        source = source_of(config)
        return CodeSource.synthetic(source, source.identity())
    if records.images:
        folder = LabeledFolder(records.images, records.label_pattern)
        found = CodeSource.held(folder, "folder", config.code)
        if records.unlabelled:
            if not workdir.readings.exists():
                raise DigitwiseError(f"nothing in --unlabelled={records.unlabelled} is read yet: run --stage=records")
            joined = JoinedFolder(folder, LabeledFolder(records.unlabelled), str(workdir.readings))
            identity = found.identity | {UNLABELLED: joined.others_identity()}
            return dataclasses.replace(found, source=joined, identity=identity)  # left_out was told before
        return dataclasses.replace(found, left_out=tuple(folder.left_out()))
    stored = read_settings(workdir.images)
    if not stored:
        raise DigitwiseError(
            f"{workdir.images} has no images: run --stage=generate first, "
            "give a folder of your own with --images, or render images directly into records with --source=synthetic"
        )
    if not stored["complete"]:
        raise DigitwiseError(f"{workdir.images} is not finished: run --stage=generate again to continue")
    return CodeSource.synthetic(LabeledFolder(str(workdir.images)), stored["settings"])
