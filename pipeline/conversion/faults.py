"""All images of a source that cannot be stored, once one of them was found: nobody wants to learn of them one run at a
time.

raise all_faults(unusable, source, folder, total, engine, form)
"""

import dataclasses
import pathlib

from pipeline.conversion.plans import Piece, pieces_of
from pipeline.machine.progress import progress
from pipeline.machine.workers import Engine
from records.dataset.sizes import Size
from records.errors import DigitwiseError, UnusableImages
from records.images.files import StoredForm, check_named, stored_bytes
from records.source import Source


@dataclasses.dataclass(frozen=True)
class _Suspects:
    source: Source
    rows: Piece
    form: StoredForm


def widest_form(size: Size | None, resize: bool) -> StoredForm:
    """Of what is known before any image was looked at: whatever cannot be stored so cannot be stored at all."""
    width, height = size or (None, None)
    return StoredForm(width, height, 3, convert_colors=True, resize=resize and size is not None)


def all_faults(
    first: UnusableImages, source: Source, folder: pathlib.Path, total: int, engine: Engine, form: StoredForm
) -> UnusableImages:
    """Of the `total` rows that the survey left in `folder`; `first` stopped what was being done with them."""
    faults: dict[str, str] = {}
    pieces = (_Suspects(source, rows, form) for rows in pieces_of(folder))
    with progress(f"look for other faults{engine.place}", total) as advance:
        for piece, found in engine.run_pieces(find_faults, pieces):
            faults.update(found)
            advance(len(piece.rows))
    return UnusableImages((faults | dict(first.faults)).items())


def find_faults(piece: _Suspects) -> list[tuple[str, str]]:
    """(name, what to say of it) of each image that cannot be stored, in a worker process."""
    faults = []
    for key, _ in piece.rows:
        name = piece.source.name(key)
        try:
            stored = stored_bytes(piece.source.load(key), name, piece.form)
            check_named(stored, name, piece.form.shape, piece.form.encoding)
        except DigitwiseError as error:
            faults.append((name, str(error)))
    return faults
