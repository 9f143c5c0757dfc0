import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageColor

from records.errors import DamagedRecords, DigitwiseError
from records.images import png
from records.images.files import ENCODED, Header, StoredForm, check_stored, describe, in_mode, stored_bytes
from tests.camera_notes import NOTES, with_note


def pixels(mode="RGB", size=(12, 8), seed=0):
    channels = {"RGB": 3, "L": 1, "RGBA": 4}[mode]
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)
    return Image.fromarray(values if channels > 1 else values[..., 0], mode)


def encoded(image, image_format="PNG", **options):
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def shown(data):
    return np.asarray(Image.open(io.BytesIO(data)))


RGB = StoredForm(12, 8, 3)
GREY = StoredForm(12, 8, 1)


@pytest.mark.parametrize("mode, form", [("RGB", RGB), ("L", GREY)])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_carried_over_as_they_are(mode, form, image_format):
    data = encoded(pixels(mode), image_format)
    assert stored_bytes(data, "a", form) == data
    check_stored(data, (8, 12, form.channels), "encoded")


@pytest.mark.parametrize("image_format", ["BMP", "GIF", "WEBP"])
def test_other_formats_become_png(image_format):
    data = encoded(pixels(), image_format, **({"lossless": True} if image_format == "WEBP" else {}))
    stored = stored_bytes(data, "a", RGB)
    assert stored.startswith(b"\x89PNG")
    assert (shown(stored) == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()


def test_raw_pixels():
    image = pixels()
    stored = stored_bytes(encoded(image), "a", StoredForm(12, 8, 3, "raw"))
    assert stored == image.tobytes()
    check_stored(stored, (8, 12, 3), "raw")
    with pytest.raises(DamagedRecords, match="287 bytes of raw pixels, expected 12x8x3"):
        check_stored(stored[1:], (8, 12, 3), "raw")


def test_colours_are_dropped_only_when_asked():
    data = encoded(pixels())
    with pytest.raises(DigitwiseError, match="a is in colour where the first image is grey: --colors"):
        stored_bytes(data, "a", GREY)
    stored = stored_bytes(data, "a", StoredForm(12, 8, 1, convert_colors=True))
    assert (shown(stored) == np.asarray(pixels().convert("L"))).all()


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (12, 8), (0, 0, 0, 0))
    assert (shown(stored_bytes(encoded(clear), "a", RGB)) == 255).all()
    palette = Image.new("P", (12, 8), 0)
    palette.putpalette([9, 9, 9, 200, 0, 0])
    assert (shown(stored_bytes(encoded(palette, transparency=0), "a", RGB)) == 255).all()


def test_sixteen_bits_are_scaled_not_clipped():
    values = np.array([[0, 256, 32768, 65535]], np.uint16)
    assert np.asarray(in_mode(Image.fromarray(values), 1)).tolist() == [[0, 1, 128, 255]]


def test_a_photo_is_turned_as_its_camera_says():
    image = pixels(size=(8, 12))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image, "PNG", exif=exif)
    assert describe(data, "a") == Header(12, 8, "colour")
    assert (shown(stored_bytes(data, "a", RGB)) == np.rot90(np.asarray(image), 3)).all()


@pytest.mark.parametrize("name", NOTES)
def test_a_note_that_makes_no_sense_turns_nothing_and_ends_nothing(name):
    data = with_note(encoded(pixels(size=(8, 12))), NOTES[name])
    size = (12, 8) if name.startswith("turned") else (8, 12)
    assert describe(data, "a") == Header(*size, "colour")
    stored = stored_bytes(data, "a", StoredForm(None, None, 3))
    check_stored(stored, (size[1], size[0], 3), ENCODED)


def test_what_a_format_cannot_hold_is_refused_by_name():
    data = encoded(Image.new("L", (66_000, 2)))
    with pytest.raises(DigitwiseError, match="wide.png cannot be stored as jpeg"):
        stored_bytes(data, "wide.png", StoredForm(None, None, 1, "jpeg"))


def test_another_size_is_refused_or_resized():
    data = encoded(pixels(size=(24, 16)))
    with pytest.raises(DigitwiseError, match="a is 24x16 pixels, the others are 12x8: --resize"):
        stored_bytes(data, "a", RGB)
    assert shown(stored_bytes(data, "a", StoredForm(12, 8, 3, resize=True))).shape == (8, 12, 3)


def test_a_bomb_is_refused_by_its_header():
    data = encoded(Image.new("L", (8000, 8000)))
    assert len(data) < 100_000
    with pytest.raises(DigitwiseError, match="a claims 8000x8000 pixels"):
        stored_bytes(data, "a", GREY)
    huge = bytearray(data)
    huge[16:24] = (50_000).to_bytes(4, "big") * 2
    huge[29:33] = __import__("zlib").crc32(huge[12:29]).to_bytes(4, "big")
    with pytest.raises(DigitwiseError, match="a claims far more"):
        stored_bytes(bytes(huge), "a", GREY)


@pytest.mark.parametrize(
    "data, reason", [(b"", "it is empty"), (b"hello", "neither PNG"), (b"\x89PNG\r\n\x1a\n", "a is")]
)
def test_no_image(data, reason):
    with pytest.raises(DigitwiseError, match=reason):
        stored_bytes(data, "a", RGB)


@pytest.mark.parametrize("mode, shape", [("RGB", (8, 12, 3)), ("L", (8, 12, 1))])
def test_every_truncation_and_bit_flip_of_a_png_is_found(mode, shape):
    data = encoded(pixels(mode))
    for cut in range(len(data)):
        with pytest.raises(DamagedRecords):
            check_stored(data[:cut], shape, "encoded")
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            with pytest.raises(DamagedRecords):
                check_stored(bytes(flipped), shape, "encoded")


def test_a_png_with_too_few_rows_is_found_by_its_content():
    data = encoded(pixels())
    short = encoded(pixels(size=(12, 7)))
    header = data[: data.index(b"IDAT") - 4]
    with pytest.raises(ValueError, match="bytes of pixels, expected 296"):
        png.check(header + short[short.index(b"IDAT") - 4 :])


def test_a_cut_jpeg_is_found():
    data = encoded(pixels(), "JPEG")
    with pytest.raises(DamagedRecords, match="cannot be decoded"):
        check_stored(data[: len(data) // 2], (8, 12, 3), "encoded")
    with pytest.raises(DamagedRecords, match="12x8 in mode RGB, expected 12x8 in mode L"):
        check_stored(data, (8, 12, 1), "encoded")


@pytest.mark.parametrize("ink, ground", [("white", 0), ("black", 255)])
def test_what_is_drawn_on_nothing_is_seen(ink, ground):
    picture = Image.new("RGBA", (4, 2), (255, 255, 255, 0))
    picture.putpixel((1, 1), (*ImageColor.getrgb(ink), 255))
    grey = np.asarray(in_mode(picture, 1))
    assert (grey[0] == ground).all() and grey[1, 1] == 255 - ground
    assert (np.asarray(in_mode(Image.new("RGBA", (4, 2), (0, 0, 0, 0)), 3)) == 255).all()
    assert (np.asarray(in_mode(Image.new("RGBA", (4, 2), "white"), 3)) == 255).all()


@pytest.mark.parametrize("shape", [(3, 5), (60, 160, 3)])
def test_a_png_of_ours_is_read_by_pillow_as_it_was(shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    data = png.encode(pixels)
    assert (np.asarray(Image.open(io.BytesIO(data))) == pixels).all()
    assert png.plain_shape(data) == (*shape, 1)[:3]
    png.check(data)
    assert png.unfiltered_pixels(data) == pixels.tobytes()


def test_pixels_are_given_without_pillow_only_where_no_row_is_filtered():
    smooth = np.arange(60 * 160, dtype=np.uint8).reshape(60, 160) // 3
    ours = png.encode(smooth)
    assert png.unfiltered_pixels(encoded(Image.fromarray(smooth))) is None  # Pillow filters rows
    assert png.unfiltered_pixels(encoded(Image.fromarray(smooth), "JPEG")) is None
    assert [png.unfiltered_pixels(ours[:cut]) for cut in range(len(ours))] == [None] * len(ours)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_notes_of_a_png_are_found_wherever_they_are_and_nowhere_else():
    ours = png.encode(np.array([[7, 8]], np.uint8))
    header, rest, end = ours[:33], ours[33:-12], ours[-12:]
    words, note = chunk(b"tEXt", b"tRNS eXIf"), chunk(b"eXIf", b"II")
    assert not any(map(png.has_notes, (ours, header + words + rest + end, header + rest + words + end)))
    for noted in (
        header + chunk(b"tRNS", b"\0\7") + rest + end,
        header + rest + note + end,
        header + note + rest + end,
    ):
        assert png.has_notes(noted)
    cut = [png.has_notes(ours[:length]) for length in range(len(header), len(ours))]
    assert cut == [True] * len(cut)  # one may have been in what is missing


def test_a_png_of_ours_byte_by_byte():
    data = png.encode(np.array([[7, 8]], np.uint8))
    assert data[:16] == b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
    assert data[16:29] == bytes([0, 0, 0, 2, 0, 0, 0, 1, 8, 0, 0, 0, 0])  # 2x1, 8 bits, grey
    assert data[-12:] == b"\x00\x00\x00\x00IEND\xaeB`\x82"
    assert zlib.decompress(data[41:-16]) == bytes([0, 7, 8])  # no filter, then the row
