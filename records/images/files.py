"""Image files from anywhere, as the bytes that a record stores.

A PNG or JPEG that is already what the records need is copied byte for byte; anything else is decoded and encoded
again. Nothing is decoded before its header has been checked.
"""

import dataclasses
import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from records.errors import DamagedRecords, DigitwiseError
from records.images import png

# How the images of a set of records are kept: as image files, or as raw uint8 pixels.
ENCODED, RAW = "encoded", "raw"
ENDINGS_OF: dict[str, tuple[str, ...]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
}
FORMATS: tuple[str, ...] = tuple(ENDINGS_OF)
ENDINGS: tuple[str, ...] = tuple(ending for endings in ENDINGS_OF.values() for ending in endings)
# Pillow's modes by the number of channels; records keep 1 or 3.
MODES: dict[int, str] = {1: "L", 3: "RGB", 4: "RGBA"}
MAX_PIXELS = 1 << 24
JPEG_QUALITY = 95

_GREY_16 = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_GREYMODES = ("1", "L", "LA", "La", *_GREY_16)
_ORIENTATION = 0x0112  # the number of the EXIF note that says how a camera was held

# open_image checks the size, against a far lower limit than the one at which Pillow warns.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclasses.dataclass(frozen=True)
class StoredForm:
    """What every image of a set of records is: its size, its channels, and how its pixels are kept."""

    width: int
    height: int
    channels: int
    image_format: str = "auto"
    convert_colors: bool = False
    resize: bool = False

    @property
    def encoding(self) -> str:
        return RAW if self.image_format == "raw" else ENCODED


def open_image(data: bytes, name: str) -> Image.Image:
    """A Pillow image of which only the header has been read."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise DigitwiseError(f"{name} claims far more than the {MAX_PIXELS:,} pixels that are decoded") from None
    except Exception as error:  # damaged headers make Pillow's readers raise many kinds
        raise DigitwiseError(f"{name} is not an image that can be read ({_reason(error, data)})") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DigitwiseError(
            f"{name} claims {width}x{height} pixels; more than {MAX_PIXELS:,} are not decoded: crop it to the code"
        )
    return image


def describe(data: bytes, name: str) -> tuple[int, int, int]:
    """(width, height, channels) of an image file, from its header."""
    image = open_image(data, name)
    width, height = image.size
    if _is_turned(image) and image.getexif()[_ORIENTATION] >= 5:
        width, height = height, width
    return width, height, 1 if _is_grey(image) else 3


def stored_bytes(data: bytes, name: str, form: StoredForm) -> bytes:
    """The bytes that a record keeps of the image file `data`; bytes copied as they are have yet to be checked."""
    plain = png.plain_shape(data) == (form.height, form.width, form.channels)
    if plain and form.image_format in ("auto", "png") and not png.has_notes(data):
        return data
    image = open_image(data, name)
    if form.channels == 1 and not form.convert_colors and not _is_grey(image):
        raise DigitwiseError(
            f"{name} is in colour where the first image is grey: --colors=grey or --colors=rgb makes all alike"
        )
    turned = _is_turned(image)
    if image.size == (form.width, form.height) and not turned and _is_stored_as_it_is(image, form):
        return data
    pixels = _decoded(image, name)
    if turned:
        pixels = ImageOps.exif_transpose(pixels)
    if pixels.size != (form.width, form.height) and not form.resize:
        raise DigitwiseError(
            f"{name} is {pixels.size[0]}x{pixels.size[1]} pixels, the others are {form.width}x{form.height}: "
            f"--resize makes all of them one size (--image_size, else the first image's)"
        )
    pixels = in_mode(pixels, form.channels)
    if pixels.size != (form.width, form.height):
        pixels = pixels.resize((form.width, form.height), Image.Resampling.BILINEAR)
    return encode(pixels, form.image_format)


def encode(pixels: Image.Image, image_format: str = "png") -> bytes:
    """A Pillow image as the bytes of a file; level 1 of PNG is twice as fast as the default and 8 % larger."""
    if image_format == "raw":
        return pixels.tobytes()
    file = io.BytesIO()
    if image_format == "jpeg":
        pixels.save(file, "JPEG", quality=JPEG_QUALITY)
    else:
        pixels.save(file, "PNG", compress_level=1)
    return file.getvalue()


def in_mode(pixels: Image.Image, channels: int) -> Image.Image:
    """As 8-bit grey or RGB. Transparent pixels become white, or black where all else is white; 16 bits are scaled."""
    if pixels.mode in _GREY_16:
        pixels = Image.fromarray((np.asarray(pixels).clip(0, 65535) >> 8).astype(np.uint8))
    if pixels.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in pixels.info:
        pixels = pixels.convert("RGBA")
        pixels = _shown(pixels)
    return pixels if pixels.mode == MODES[channels] else pixels.convert(MODES[channels])


def _shown(pixels: Image.Image) -> Image.Image:
    """RGBA on white; on black where something is there and white hides it."""
    on_white = _on("white", pixels)
    is_hidden = on_white.getextrema() == ((255, 255),) * 3 and pixels.getchannel("A").getextrema() != (0, 0)
    return _on("black", pixels) if is_hidden else on_white


def _on(color: str, pixels: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", pixels.size, color), pixels).convert("RGB")


def check_stored(data: bytes, shape: tuple[int, int, int], encoding: str) -> None:
    """Raises DamagedRecords unless `data` decodes to the shape promised."""
    height, width, channels = shape
    if encoding == RAW:
        if len(data) != height * width * channels:
            raise DamagedRecords(
                f"its image has {len(data)} bytes of raw pixels, {width}x{height}x{channels} was promised"
            )
        return
    try:
        if png.plain_shape(data) == shape:
            png.check(data)
            return
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if image.size == (width, height) and image.mode == MODES[channels]:
            image.load()
            return
    except Exception as error:  # damaged data make Pillow's readers raise many kinds
        raise DamagedRecords(f"its image cannot be decoded ({_reason(error, data)})") from None
    raise DamagedRecords(
        f"its image is {image.size[0]}x{image.size[1]} in mode {image.mode}, "
        f"{width}x{height} in mode {MODES[channels]} was promised"
    )


def _is_grey(image: Image.Image) -> bool:
    return image.mode in _GREYMODES


def _is_stored_as_it_is(image: Image.Image, form: StoredForm) -> bool:
    if image.mode != MODES[form.channels] or "transparency" in image.info:
        return False
    allowed = {"auto": ("PNG", "JPEG"), "png": ("PNG",), "jpeg": ("JPEG",), "raw": ()}
    return image.format in allowed[form.image_format]


def _is_turned(image: Image.Image) -> bool:
    """Whether a camera left a note that the picture must be turned, which TensorFlow's decoders ignore."""
    return "exif" in image.info and image.getexif().get(_ORIENTATION, 1) != 1


def _decoded(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
    except Exception as error:  # Pillow raises many kinds
        raise DigitwiseError(f"{name} is damaged or cut short ({_reason(error)})") from None
    return image


def _reason(error: Exception, data: bytes = b"-") -> str:
    if not data:
        return "it is empty"
    if type(error).__name__ == "UnidentifiedImageError":
        return f"neither {', '.join(FORMATS[:-1])} nor {FORMATS[-1]}"
    return str(error) or type(error).__name__
