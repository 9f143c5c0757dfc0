"""In which form the images of a source are stored: of one size or of several, in grey or in colour.

images = find_form(found, records, surveyed, folder, LocalPool(2))
images.stored, images.sizes
"""

import dataclasses
import pathlib

from pipeline.config import RecordsConfig
from pipeline.conversion.measure import Measured, measure
from pipeline.conversion.sources import CodeSource
from pipeline.conversion.survey import Survey
from pipeline.drawing.renderer import SyntheticSource
from pipeline.machine.workers import Engine
from records.dataset.sizes import Size, Sizes
from records.errors import DigitwiseError, UnusableImages
from records.images.files import Header, StoredForm, describe


@dataclasses.dataclass(frozen=True)
class ImageForm:
    """`sizes` are those of the stored images; `measured` are the images before, None where all are surely alike."""

    stored: StoredForm
    sizes: Sizes
    measured: Measured | None


def find_form(
    found: CodeSource, records: RecordsConfig, surveyed: Survey, folder: pathlib.Path, engine: Engine
) -> ImageForm:
    """From the settings and, where they leave it open, from all images."""
    measured = None if found.is_drawn else measure(found.source, folder, surveyed.total, engine)
    first = _first(found)
    has_colour = measured.has_colour if measured else first.channels == 3
    if records.colors != "auto":
        has_colour = records.colors == "rgb"
    size = _size(found, records, measured, first)
    # Generated images of another kind than the first are an error in the folder, not something to convert.
    convert_colors = records.colors != "auto" or not found.is_drawn
    width, height = size or (None, None)
    stored = StoredForm(
        width, height, 3 if has_colour else 1, records.image_format, convert_colors, records.resize and size is not None
    )
    if size:
        return ImageForm(stored, Sizes.alike(size, surveyed.lengths), measured)
    assert measured is not None
    if records.image_format == "raw":
        raise DigitwiseError(
            f"--image_format=raw needs images of one size, these have {len(measured.sizes.distinct):,}: --resize makes "
            "all of them one size, --image_format=png stores them as they are"
        )
    return ImageForm(stored, measured.sizes, measured)


def _first(found: CodeSource) -> Header:
    """What the first image is."""
    if isinstance(found.source, SyntheticSource):
        return found.source.header  # known without loading what renders it
    key, _ = next(iter(found.source.rows()))
    name = found.source.name(key)
    try:
        return describe(found.source.load(key), name)
    except DigitwiseError as error:
        raise UnusableImages([(name, str(error))]) from None


def _size(found: CodeSource, records: RecordsConfig, measured: Measured | None, first: Header) -> Size | None:
    """The one size of all stored images; None where each keeps its own."""
    if found.size:
        return found.size
    if measured is None or records.resize or not measured.sizes.vary:
        return first.width, first.height
    return None
