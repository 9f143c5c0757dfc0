"""Image files from anywhere, as the bytes that a record stores.

A PNG or JPEG that is already what the records need is copied byte for byte; anything else is decoded and encoded
again. Nothing is decoded before its header has been checked.
"""

import dataclasses
import io
import warnings

import numpy as np
from PIL import Image

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
# Pillow warns only above 89 million pixels, and a PNG of 62 kB can hold 64 million.
MAX_PIXELS = 1 << 24
ImageShape = tuple[int | None, int | None, int]  # height, width, channels; None for sides that vary
JPEG_QUALITY = 95  # the highest that Pillow recommends: above it files grow and pictures do not improve
# The kinds of images that are told apart; a set of records has one of two: grey or colour.
GREY, GREY_ALPHA, COLOUR, COLOUR_ALPHA, PALETTE = KINDS = (
    "grey",
    "grey with transparency",
    "colour",
    "colour with transparency",
    "palette",
)

# Pillow's modes of 16-bit grey by byte order; older versions open 16-bit PNGs as 32-bit "I".
_GREY_16 = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_ALPHAMODES = ("RGBA", "LA", "La", "RGBa", "PA")
_GREYMODES = ("1", "L", "LA", "La", *_GREY_16)
_ORIENTATION = 0x0112  # the number of the EXIF note that says how a camera was held
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = tuple(_TURNS.values())[3:]  # which exchange the sides

# open_image checks the size, against a far lower limit than the one at which Pillow warns.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
# A note that cannot be read turns nothing.
warnings.filterwarnings("ignore", module="PIL.TiffImagePlugin")


@dataclasses.dataclass(frozen=True)
class StoredForm:
    """What every image of a set of records is: its size, its channels, and how its pixels are kept.

    Without width and height each image keeps its own size.
    """

    width: int | None
    height: int | None
    channels: int
    image_format: str = "auto"
    convert_colors: bool = False
    resize: bool = False

    @property
    def encoding(self) -> str:
        return RAW if self.image_format == "raw" else ENCODED

    @property
    def shape(self) -> ImageShape:
        return self.height, self.width, self.channels

    def has_size(self, size: tuple[int, int]) -> bool:
        """Whether an image of this (width, height) need not be resized."""
        return None in (self.width, self.height) or size == (self.width, self.height)


def open_image(data: bytes, name: str) -> Image.Image:
    """A Pillow image of which only the header has been read."""
    try:
        # Only these readers: of the others some are rarely tested with hostile files, and that of EPS starts
        # Ghostscript.
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


@dataclasses.dataclass(frozen=True)
class Header:
    """What an image file says of itself before its pixels are decoded."""

    width: int
    height: int
    kind: str  # one of KINDS, in words for people

    @property
    def channels(self) -> int:
        return 1 if self.kind in (GREY, GREY_ALPHA) else 3


def describe(data: bytes, name: str) -> Header:
    """The header of an image file; width and height are those of the picture once it is turned upright."""
    plain = png.plain_shape(data)
    if plain and fits_shape(plain, (None, None, plain[2])) and not png.has_notes(data):
        return Header(plain[1], plain[0], GREY if plain[2] == 1 else COLOUR)
    image = open_image(data, name)
    width, height = image.size
    if _turn(image) in _QUARTER_TURNS:
        width, height = height, width
    return Header(width, height, _kind(image))


def stored_bytes(data: bytes, name: str, form: StoredForm) -> bytes:
    """The bytes that a record keeps of the image file `data`; bytes copied as they are have yet to be checked."""
    plain = png.plain_shape(data)
    if plain and fits_shape(plain, form.shape) and form.image_format in ("auto", "png") and not png.has_notes(data):
        return data
    image = open_image(data, name)
    if form.channels == 1 and not form.convert_colors and not _is_grey(image):
        raise DigitwiseError(
            f"{name} is in colour where the first image is grey: --colors=grey or --colors=rgb converts all of them"
        )
    turn = _turn(image)
    if form.has_size(image.size) and turn is None and _is_stored_as_it_is(image, form):
        return data
    pixels = _decoded(image, name)
    if turn is not None:
        pixels = pixels.transpose(turn)
    if not form.has_size(pixels.size) and not form.resize:
        raise DigitwiseError(
            f"{name} is {pixels.size[0]}x{pixels.size[1]} pixels, the others are {form.width}x{form.height}: "
            f"--resize makes all of them one size (--image_size, else the first image's)"
        )
    pixels = in_mode(pixels, form.channels)
    if form.width and form.height and not form.has_size(pixels.size):
        pixels = pixels.resize((form.width, form.height), Image.Resampling.BILINEAR)
    try:
        return encode(pixels, form.image_format)
    except Exception as error:  # JPEG ends at 65,500 pixels a side, and Pillow raises what it is told by a library
        raise DigitwiseError(f"{name} cannot be stored as {form.image_format} ({_reason(error)})") from None


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
        # clip: mode I is 32 bits wide. Pillow's own conversion to L would cut off instead of scaling, and leave all
        # white.
        pixels = Image.fromarray((np.asarray(pixels).clip(0, 65535) >> 8).astype(np.uint8))
    # "transparency" is how a palette or a plain PNG names the one colour that is transparent.
    if pixels.mode in _ALPHAMODES or "transparency" in pixels.info:
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


def fits_shape(shape: tuple[int, int, int], promised: ImageShape) -> bool:
    """Whether an image of this (height, width, channels) is what was promised, and small enough to be decoded."""
    height, width, _ = shape
    is_promised = shape == promised or all(side in (given, None) for given, side in zip(shape, promised, strict=True))
    return is_promised and 0 < height * width <= MAX_PIXELS


def check_stored(data: bytes, shape: ImageShape, encoding: str) -> None:
    """Raises DamagedRecords unless `data` decodes to the shape promised."""
    height, width, channels = shape
    if encoding == RAW:
        if height is None or width is None or len(data) != height * width * channels:
            raise DamagedRecords(f"its image has {len(data)} bytes of raw pixels, expected {width}x{height}x{channels}")
        return
    try:
        plain = png.plain_shape(data)
        if plain and fits_shape(plain, shape):
            png.check(data)
            return
        # What stored_bytes writes, and what TensorFlow's decode_png reads.
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if image.mode == MODES[channels] and fits_shape((image.height, image.width, channels), shape):
            image.load()
            return
    except Exception as error:  # damaged data make Pillow's readers raise many kinds
        raise DamagedRecords(f"its image cannot be decoded ({_reason(error, data)})") from None
    promised = "any size" if height is None or width is None else f"{width}x{height}"
    raise DamagedRecords(
        f"its image is {image.size[0]}x{image.size[1]} in mode {image.mode}, "
        f"expected {promised} in mode {MODES[channels]}"
    )


def check_named(data: bytes, name: str, shape: ImageShape, encoding: str) -> None:
    """The same for an image that has a name, told to people."""
    try:
        check_stored(data, shape, encoding)
    except DamagedRecords as error:
        raise DigitwiseError(f"{name}: {str(error).removeprefix('its ')}") from None


def _is_grey(image: Image.Image) -> bool:
    return image.mode in _GREYMODES


def _kind(image: Image.Image) -> str:
    if image.mode in ("P", "PA"):
        return PALETTE
    has_alpha = image.mode in _ALPHAMODES or "transparency" in image.info
    if _is_grey(image):
        return GREY_ALPHA if has_alpha else GREY
    return COLOUR_ALPHA if has_alpha else COLOUR


def _is_stored_as_it_is(image: Image.Image, form: StoredForm) -> bool:
    if image.mode != MODES[form.channels] or "transparency" in image.info:
        return False
    # JPEG is copied as well: encoding it once more would change its pixels.
    allowed = {"auto": ("PNG", "JPEG"), "png": ("PNG",), "jpeg": ("JPEG",), "raw": ()}
    return image.format in allowed[form.image_format]


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How the picture must be turned by a camera's note, which TensorFlow's decoders ignore."""
    if "exif" not in image.info:
        return None
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged notes make Pillow raise many kinds; such a note turns nothing
        return None


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
