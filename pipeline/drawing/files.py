"""Synthetic images as files, with a labels.csv, under images/.

Images are rendered in folders of 500, each prepared under another name and renamed once, so a folder that exists is
complete. After an interruption, or for a larger number of images, only the missing folders are rendered. Images with
other settings are replaced once their successors are complete.
"""

import contextlib
import csv
import dataclasses
import errno
import hashlib
import io
import itertools
import json
import os
import pathlib
import shutil
from typing import Any

from PIL import Image

from pipeline.config import RunConfig
from pipeline.differences import refuse_other_settings
from pipeline.drawing.renderer import IMAGES_PER_FOLDER, Drawing, SyntheticSource, folder_name, image_key
from pipeline.drawing.sheet import sheet
from pipeline.machine.progress import progress
from pipeline.machine.workers import Engine, LocalPool, run_writing_pieces
from pipeline.workdir import Workdir, differing_settings, plain
from records.atomic import (
    atomic_directory,
    atomic_file,
    is_arriving,
    remove_partial,
    succeed,
    successor_of,
    write_text,
)
from records.errors import DigitwiseError
from records.images.folder import LABELS_FILE, LABELS_HEADER
from records.jsonfile import UnreadableFile, read_object

SETTINGS_FILE = "settings.json"
SHEET_FILE = "sheet.png"
_SHEET_IMAGES = 24
# A digest of every file in a folder. With a dot, so that a folder of images holds nothing but images to other programs.
_SEAL = ".seal.json"


@dataclasses.dataclass(frozen=True)
class Piece:
    """One folder of images to render."""

    source: SyntheticSource
    root: str
    number: int

    @property
    def indices(self) -> range:
        first = self.number * IMAGES_PER_FOLDER
        return range(first, min(first + IMAGES_PER_FOLDER, self.source.num_images))

    @property
    def folder(self) -> pathlib.Path:
        return pathlib.Path(self.root) / folder_name(self.number)


def generate(config: RunConfig, workdir: Workdir, engine: Engine | None = None) -> bool:
    """Renders the images that are missing; the result is whether there were any."""
    engine = engine or LocalPool(config.processes)
    source = source_of(config)
    settings = plain(source_settings(source))
    root = workdir.images
    _finish_replacement(root, settings)
    before = read_settings(root)
    if before and before["complete"] and settings == before["settings"]:
        print(f"generate: nothing to do, {root} has {source.num_images:,} images with these settings")
        return False
    folder = _folder_to_fill(root, before, settings, config.overwrite)
    _fill(folder, source, settings, engine)
    if folder != root:
        succeed(root, lambda: _remove_made(root))
    print(f"generate: {source.num_images:,} images in {root}, codes in {LABELS_FILE}, the first ones in {SHEET_FILE}")
    return True


def _fill(root: pathlib.Path, source: SyntheticSource, settings: dict[str, Any], engine: Engine) -> None:
    """Renders what is missing in a folder that has nothing but images with these settings."""
    before = read_settings(root)
    _write_settings(root, settings, complete=False)
    pieces = [Piece(source, str(root), n) for n in range(-(-source.num_images // IMAGES_PER_FOLDER))]
    missing = _missing(pieces, before, engine)
    done = sum(len(piece.indices) for piece in pieces) - sum(len(piece.indices) for piece in missing)
    with (
        progress(f"generate{engine.place}", source.num_images, done) as advance,
        run_writing_pieces(draw_piece, missing, engine, root) as rendered,
    ):
        for piece, _ in rendered:
            advance(len(piece.indices))
    # Only now: folders from a run with more images that was interrupted.
    _remove_beyond(root, len(pieces))
    # Image files are not synced as they are written; the table that vouches for them waits until they are on the disk.
    os.sync()
    _write_sheet(root, source)
    _write_labels(root / LABELS_FILE, source)
    _write_settings(root, settings, complete=True)


def source_of(config: RunConfig) -> SyntheticSource:
    """The images that the settings ask for."""
    return SyntheticSource(Drawing.of(config.code, config.generate.drawing), config.generate.num_images)


def source_settings(source: SyntheticSource) -> dict[str, Any]:
    """What decides the images: two runs with equal settings draw equal bytes."""
    return source.identity()


def read_settings(root: pathlib.Path) -> dict[str, Any] | None:
    """{settings, complete} of a folder of images that this stage made, or None."""
    try:
        content = read_object(root / SETTINGS_FILE, {"settings": dict, "complete": bool})
    except (FileNotFoundError, NotADirectoryError):
        return None
    return {"settings": content["settings"], "complete": content["complete"]}


def draw_piece(piece: Piece) -> None:
    """Renders one folder of images. What stands whole counts as done: a cluster may do a piece twice, even at once."""
    if stands(piece):
        return
    try:
        _draw(piece)
    except OSError as error:
        # Another worker was quicker. Nothing is removed here, as this worker may be the one that was taken for lost.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not stands(piece):
            raise


def _draw(piece: Piece) -> None:
    digest = hashlib.sha256()
    with atomic_directory(piece.folder) as folder:
        for index in piece.indices:
            key, data = piece.source.file(index)
            name = os.path.basename(key)
            (folder / name).write_bytes(data)
            _add(digest, name, data)
        (folder / _SEAL).write_text(json.dumps({"count": len(piece.indices), "sha256": digest.hexdigest()}))


def stands(piece: Piece) -> bool:
    """Whether the folder of a piece holds exactly the images that were written into it."""
    digest = hashlib.sha256()
    try:
        seal = json.loads((piece.folder / _SEAL).read_text(encoding="utf-8"))
        for index in piece.indices:
            name = os.path.basename(image_key(index, piece.source.drawing.text(index), piece.source.named_by_code))
            _add(digest, name, (piece.folder / name).read_bytes())
    except (OSError, ValueError):
        return False
    return seal == {"count": len(piece.indices), "sha256": digest.hexdigest()}


def _add(digest: Any, name: str, data: bytes) -> None:
    digest.update(f"{name} {len(data)}\n".encode())
    digest.update(data)


def _missing(pieces: list[Piece], before: dict[str, Any] | None, engine: Engine) -> list[Piece]:
    """The pieces that must be rendered, in order; nothing is left where their folders will be."""
    if not before:
        return pieces
    standing = {piece.number for piece, whole in engine.run_pieces(stands, pieces) if whole}
    missing = [piece for piece in pieces if piece.number not in standing]
    for piece in missing:
        if piece.folder.exists():
            _remove_folder(piece.folder)
    return missing


def _folder_to_fill(
    root: pathlib.Path, before: dict[str, Any] | None, settings: dict[str, Any], overwrite: bool
) -> pathlib.Path:
    """`root` if it has only images with these settings, or none; else, where those may be replaced, a folder aside."""
    root.mkdir(exist_ok=True)
    remove_partial(root)
    if before is None:
        strangers = sorted(path.name for path in root.iterdir())
        if strangers:
            raise DigitwiseError(
                f"{root} has {len(strangers)} entries that digitwise did not write ({', '.join(strangers[:3])}): "
                "use another --workdir, or read that folder with --images"
            )
        return root
    differing = differing_settings(before["settings"], settings)
    if _only_count_may_differ(differing, before["complete"]):
        return root
    if not overwrite:
        refuse_other_settings(str(root), differing)
    aside = successor_of(root)
    if not _continues(aside, settings):
        shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(exist_ok=True)
    remove_partial(aside)
    return aside


def _continues(aside: pathlib.Path, settings: dict[str, Any]) -> bool:
    """Whether a stopped run left images with these settings there."""
    try:
        begun = read_settings(aside)
    except UnreadableFile:
        return False
    return begun is not None and _only_count_may_differ(
        differing_settings(begun["settings"], settings), begun["complete"]
    )


def _finish_replacement(root: pathlib.Path, settings: dict[str, Any]) -> None:
    """Images that were complete when a run was killed before they took their place."""
    aside = successor_of(root)
    whole = {"settings": settings, "complete": True}
    if is_arriving(root) or (_continues(aside, settings) and read_settings(aside) == whole):
        succeed(root, lambda: _remove_made(root))


def _remove_made(root: pathlib.Path) -> None:
    """Removes what this stage made in `root`, the settings first: without them nothing is taken for complete."""
    for name in (SETTINGS_FILE, LABELS_FILE, SHEET_FILE):
        (root / name).unlink(missing_ok=True)
    _remove_beyond(root, 0)
    remove_partial(root)  # folders that a killed run had not removed entirely


def _only_count_may_differ(differing: list[tuple[str, Any, Any]], complete: bool) -> bool:
    """A larger number of images adds to a smaller one; a smaller one would drop finished work."""
    if [name for name, _, _ in differing if name != "num_images"]:
        return False
    return not complete or all(old <= new for _, old, new in differing)


def _remove_beyond(root: pathlib.Path, number: int) -> None:
    """Removes the folders of images from `number` on, if they have the seal of this stage."""
    for path in root.iterdir():
        # The seal shows that this stage wrote the folder; nothing else is ever removed.
        if path.name.isdigit() and int(path.name) >= number and (path / _SEAL).exists():
            _remove_folder(path)


def _remove_folder(folder: pathlib.Path) -> None:
    """Renames the folder first, so that a half-removed one is not taken for complete."""
    doomed = folder.with_name(f".partial-{folder.name}-removed")
    shutil.rmtree(doomed, ignore_errors=True)
    os.rename(folder, doomed)
    shutil.rmtree(doomed)


def _write_settings(root: pathlib.Path, settings: dict[str, Any], complete: bool) -> None:
    content = {"made_by": "digitwise generate", "complete": complete, "settings": settings}
    write_text(root / SETTINGS_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _write_sheet(root: pathlib.Path, source: SyntheticSource) -> None:
    """The first images with their codes under them, from their files: this process need not load what renders them."""
    with contextlib.ExitStack() as stack:
        shown = [
            (stack.enter_context(Image.open(root / key)), text)
            for key, text in itertools.islice(source.rows(), _SHEET_IMAGES)
        ]
        with atomic_file(root / SHEET_FILE) as file:
            sheet(shown, source.drawing.fonts[0]).save(file, "PNG")


def _write_labels(path: pathlib.Path, source: SyntheticSource) -> None:
    with atomic_file(path) as file:
        table = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(LABELS_HEADER)
        writer.writerows(source.rows())
        table.detach()  # or closing the wrapper would close the file, which is still to be synced
