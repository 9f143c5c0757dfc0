"""Images for the reader, against the very conversion that the records go through."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from digitwise.errors import ReaderError
from digitwise.fitting import fit
from digitwise.images import InputShape, in_mode, model_pixels
from records.images import files
from tests.camera_notes import NOTES, with_note

SHAPE = InputShape(height=8, width=12, channels=3, stored_channels=3)
GREY = InputShape(height=8, width=12, channels=1, stored_channels=1)


def noise(channels, size=(12, 8), dtype=np.uint8):
    values = np.random.default_rng(channels).integers(0, np.iinfo(dtype).max + 1, (size[1], size[0], channels), dtype)
    return values[..., 0] if channels == 1 else values


def encoded(image, image_format="PNG", **options):
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def palette(**options):
    return encoded(Image.fromarray(noise(3)).quantize(16), "PNG", **options)


def turned(number, image_format="PNG"):
    exif = Image.Exif()
    exif[0x0112] = number
    return encoded(Image.fromarray(noise(3, (30, 20))), image_format, exif=exif)


def clear(ink):
    picture = Image.new("RGBA", (12, 8), (255, 255, 255, 0))
    picture.putpixel((1, 1), ink)
    return encoded(picture)


ODD = {
    "grey": encoded(Image.fromarray(noise(1))),
    "colour": encoded(Image.fromarray(noise(3))),
    "jpeg": encoded(Image.fromarray(noise(3)), "JPEG", quality=60),
    "grey jpeg": encoded(Image.fromarray(noise(1)), "JPEG"),
    "cmyk jpeg": encoded(Image.fromarray(noise(3)).convert("CMYK"), "JPEG"),
    "palette": palette(),
    "palette with a clear colour": palette(transparency=3),
    "grey with a clear grey": encoded(Image.fromarray(noise(1) // 64), transparency=1),
    "alpha": encoded(Image.fromarray(noise(4))),
    "grey and alpha": encoded(Image.fromarray(noise(4)).convert("LA")),
    "black on nothing": clear((0, 0, 0, 255)),
    "white on nothing": clear((255, 255, 255, 255)),
    "nothing": encoded(Image.new("RGBA", (12, 8), (0, 0, 0, 0))),
    "16 bit": encoded(Image.fromarray(noise(1, dtype=np.uint16))),
    "1 bit": encoded(Image.fromarray(noise(1)).convert("1")),
    "large": encoded(Image.fromarray(noise(3, (301, 77)))),
    "tiny": encoded(Image.fromarray(noise(3, (1, 1)))),
    "gif": encoded(Image.fromarray(noise(3)), "GIF"),
    "bmp": encoded(Image.fromarray(noise(3)), "BMP"),
    "webp": encoded(Image.fromarray(noise(3)), "WEBP"),
    **{f"turned {number}": turned(number) for number in range(1, 9)},
    "turned jpeg": turned(6, "JPEG"),
    **{name: with_note(encoded(Image.fromarray(noise(3, (30, 20)))), note) for name, note in NOTES.items()},
}


@pytest.mark.parametrize("shape", [SHAPE, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize("name", ODD)
def test_the_same_pixels_as_in_training(name, shape):
    form = files.StoredForm(12, 8, shape.stored_channels, convert_colors=True, resize=True)
    stored = Image.open(io.BytesIO(files.stored_bytes(ODD[name], name, form)))
    expected = np.asarray(stored).reshape(8, 12, shape.channels)
    np.testing.assert_array_equal(model_pixels(ODD[name], shape), expected)


@pytest.mark.parametrize("size", [(50, 22), (160, 60), (575, 80), (128, 48), (3, 90), (1, 1), (400, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_fitted_as_in_training(size, channels):
    from alexnet.fitting import fit as fit_in_training

    pixels = noise(3, size)
    plain = np.asarray(in_mode(Image.fromarray(pixels), channels)).reshape(*pixels.shape[:2], channels)
    ours = model_pixels(pixels, InputShape(48, 128, channels, 3, resizing="fit"))
    assert ours.shape == (48, 128, channels) and ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - fit_in_training(plain, 48, 128).numpy()).max() <= 1
    np.testing.assert_array_equal(ours, fit(plain, 48, 128))


def test_an_image_of_the_size_is_not_changed_by_fitting():
    pixels = noise(3)
    np.testing.assert_array_equal(model_pixels(pixels, InputShape(8, 12, 3, 3, resizing="fit")), pixels)


def test_narrow_images_are_padded_and_wide_ones_squeezed():
    narrow = np.full((4, 2, 1), 100, np.uint8)
    np.testing.assert_array_equal(fit(narrow, 4, 6)[..., 0], np.full((4, 6), 100))
    wide = np.tile(np.array([0, 0, 0, 0, 200, 200, 200, 200], np.uint8), (4, 1))[..., None]
    assert fit(wide, 4, 4)[0, [0, -1], 0].tolist() == [0, 200]


def test_formats_and_limits_are_those_of_the_records():
    from digitwise import images

    assert (images.FORMATS, images.MAX_PIXELS) == (files.FORMATS, files.MAX_PIXELS)


def test_colours_are_resized_before_they_become_grey_where_training_did_so():
    tf = pytest.importorskip("tensorflow")
    from records.dataset.reader import match_channels as in_training

    shape = InputShape(8, 12, channels=1, stored_channels=3)
    form = files.StoredForm(12, 8, 3, convert_colors=True, resize=True)
    stored = tf.io.decode_png(files.stored_bytes(ODD["large"], "large", form))
    np.testing.assert_array_equal(model_pixels(ODD["large"], shape), in_training(stored, 1).numpy())


def test_paths_arrays_and_pictures(tmp_path):
    values = noise(3)
    path = tmp_path / "a.png"
    path.write_bytes(ODD["colour"])
    for source in (path, str(path), ODD["colour"], values, Image.fromarray(values)):
        np.testing.assert_array_equal(model_pixels(source, SHAPE), values)
    for source in (noise(1), noise(1)[..., None]):
        np.testing.assert_array_equal(model_pixels(source, GREY)[..., 0], noise(1))
    assert model_pixels(noise(4), SHAPE).shape == (8, 12, 3)
    assert in_mode(Image.new("1", (2, 2), 1), 1).getpixel((0, 0)) == 255


def bomb():
    return encoded(Image.new("L", (8000, 8000)))


@pytest.mark.parametrize(
    "source, message",
    [
        (b"", "the file is empty"),
        (b"hello", "neither PNG, JPEG, BMP, GIF nor WEBP"),
        (ODD["colour"][:100], "damaged or cut short|not an image that can be read"),
        (ODD["jpeg"][:-40], "damaged or cut short"),
        (bomb(), "claims 8000x8000 pixels"),
        ("/nowhere/a.png", r"cannot be read \(No such file or directory\)"),
        ("/", "cannot be read"),
        ("a.png\0b.png", r"no file can have this name \(embedded null byte\); a list of names has one a line"),
        ("/dev/null", "it is not a file, but a pipe or a device"),
        (np.zeros((8, 12), np.float32), r"an array of float32 \[8, 12\] is not an image"),
        (np.zeros((8, 12, 2), np.uint8), r"uint8 \[8, 12, 2\]"),
        (np.zeros((0, 12), np.uint8), "is not an image"),
        (7, "int is not an image"),
    ],
)
def test_what_is_no_image(source, message):
    with pytest.raises(ReaderError, match=message):
        model_pixels(source, SHAPE)


def test_other_formats_are_not_even_tried():
    tiff = encoded(Image.fromarray(noise(3)), "TIFF")
    with pytest.raises(ReaderError, match="neither PNG"):
        model_pixels(tiff, SHAPE)


@pytest.mark.parametrize("values", [(0, 8, 1, 1), (8, 5000, 1, 1), (8, 8, 2, 3), (8, 8, 1, 4)])
def test_shapes_that_no_model_has(values):
    with pytest.raises(ReaderError):
        InputShape(*values)


@pytest.mark.timeout(20)
def test_a_named_pipe_is_no_image_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ReaderError, match="it is not a file, but a pipe or a device"):
        model_pixels(tmp_path / "pipe.png", GREY)
