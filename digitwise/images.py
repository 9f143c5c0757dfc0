"""Images from anywhere, as the pixels that a model reads: the very conversion that its training images went through.

pixels = model_pixels("code.png", InputShape(height=60, width=160, channels=1, stored_channels=1))

Nothing is decoded before its header has been checked. Turned as the camera says, 16 bits scaled to 8, what is
transparent on white, then resized as the model wants it.
"""

import dataclasses
import io
import os
import pathlib
import stat
from typing import TypeAlias, Union

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from digitwise.errors import ReaderError
from digitwise.fitting import fit

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
# The values and functions here repeat records.images.files: this package is installed without the rest of the program.
# A test compares the two.
MAX_PIXELS = 1 << 24
MAX_BYTES = 1 << 26  # room for MAX_PIXELS of uncompressed colour
MAX_SIDE = 4096  # of what a model reads
STRETCH, FIT = "none", "fit"

_MODES = {1: "L", 3: "RGB"}
_GREY_16 = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_WITH_ALPHA = ("RGBA", "LA", "La", "RGBa", "PA")
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Pixels: TypeAlias = npt.NDArray[np.uint8]
Source: TypeAlias = Union[str, "os.PathLike[str]", bytes, Image.Image, Pixels]


@dataclasses.dataclass(frozen=True)
class InputShape:
    """What a model reads. `stored_channels` are those of its training images before they were made grey.

    `resizing` is how images of other sizes come in at this one: `none`, by stretching them, as all training images had
    this size; `fit`, in proportion and padded.
    """

    height: int
    width: int
    channels: int
    stored_channels: int
    resizing: str = STRETCH

    def __post_init__(self) -> None:
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE):
            raise ReaderError(f"images of {self.width}x{self.height} pixels: each side is 1 to {MAX_SIDE}")
        if self.resizing not in (STRETCH, FIT):
            raise ReaderError(f"the resizing {self.resizing!r} is neither {STRETCH} nor {FIT}")
        if self.channels not in _MODES or self.stored_channels not in _MODES:
            raise ReaderError(f"images have 1 or 3 channels, not {self.channels} made of {self.stored_channels}")

    @property
    def fitted(self) -> tuple[int, int] | None:
        """(height, width) to which images are fitted; None where they are stretched."""
        return (self.height, self.width) if self.resizing == FIT else None


def model_pixels(source: Source, shape: InputShape) -> Pixels:
    """uint8 [height, width, channels]; ReaderError says what is wrong with the image."""
    image = in_mode(_upright(_opened(source)), shape.stored_channels)
    if not shape.fitted and image.size != (shape.width, shape.height):
        image = image.resize((shape.width, shape.height), Image.Resampling.BILINEAR)
    image = in_mode(image, shape.channels)  # Pillow makes colours grey exactly as training does
    pixels = np.asarray(image).reshape(image.height, image.width, shape.channels)
    return fit(pixels, shape.height, shape.width) if shape.fitted else pixels


def in_mode(image: Image.Image, channels: int) -> Image.Image:
    """As 8-bit grey or RGB; what is transparent becomes white, or black where all else is white; 16 bits are scaled."""
    if image.mode in _GREY_16:
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        image = _shown(image.convert("RGBA"))
    return image if image.mode == _MODES[channels] else image.convert(_MODES[channels])


def _opened(source: Source) -> Image.Image:
    if isinstance(source, Image.Image):
        return _checked_size(source)
    if isinstance(source, np.ndarray):
        return _of_array(source)
    if isinstance(source, bytes):
        return _decoded(source)
    if isinstance(source, (str, os.PathLike)):
        return _decoded(_bytes_of(pathlib.Path(source)))
    raise ReaderError(f"{type(source).__name__} is not an image: need a path, bytes, an array or a Pillow image")


def _of_array(array: Pixels) -> Image.Image:
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1)
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] in (3, 4))) or 0 in array.shape:
        raise ReaderError(
            f"an array of {array.dtype} {list(array.shape)} is not an image: need uint8 [height, width] or "
            "[height, width, 1, 3 or 4]"
        )
    return _checked_size(Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.ndim == 3 and grey else array)))


def _bytes_of(path: pathlib.Path) -> bytes:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_BYTES + 1) if is_file else b""
    except OSError as error:
        raise ReaderError(f"the file cannot be read ({error.strerror or type(error).__name__})") from None
    except ValueError as error:  # a NUL, or what cannot be encoded
        raise ReaderError(f"no file can have this name ({error}); a list of names has one a line") from None
    if not is_file:
        raise ReaderError("it is not a file, but a pipe or a device")
    if len(data) > MAX_BYTES:
        raise ReaderError(f"the file has more than {MAX_BYTES:,} bytes")
    return data


def _without_waiting(path: str, flags: int) -> int:
    """Opening a named pipe would otherwise wait until somebody writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Windows has none


def _decoded(data: bytes) -> Image.Image:
    if not data:
        raise ReaderError("the file is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ReaderError(f"neither {', '.join(FORMATS[:-1])} nor {FORMATS[-1]}") from None
    except Image.DecompressionBombError:
        raise ReaderError(f"it claims far more than the {MAX_PIXELS:,} pixels that are decoded") from None
    except Exception as error:  # damaged headers make Pillow's readers raise many kinds
        raise ReaderError(f"not an image that can be read ({error or type(error).__name__})") from None
    _checked_size(image)
    try:
        image.load()
    except Exception as error:  # so do damaged pixels
        raise ReaderError(f"the image is damaged or cut short ({error or type(error).__name__})") from None
    return image


def _checked_size(image: Image.Image) -> Image.Image:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ReaderError(
            f"the image claims {width}x{height} pixels; more than {MAX_PIXELS:,} are not decoded: crop it to the code"
        )
    if not width * height:
        raise ReaderError("the image has no pixels")
    return image


def _upright(image: Image.Image) -> Image.Image:
    if "exif" not in image.info:
        return image
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises many kinds; a damaged note turns nothing
        return image
    return image if turn is None else image.transpose(turn)


def _shown(image: Image.Image) -> Image.Image:
    """RGBA on white; on black where something is there and white hides it."""
    on_white = _on("white", image)
    is_hidden = on_white.getextrema() == ((255, 255),) * 3 and image.getchannel("A").getextrema() != (0, 0)
    return _on("black", image) if is_hidden else on_white


def _on(color: str, image: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, color), image).convert("RGB")
