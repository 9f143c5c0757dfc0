import dataclasses
import json
import pathlib

import captcha.image
import numpy as np
import pytest
from captcha.image import ImageCaptcha
from PIL import Image

from pipeline.config import CodeConfig, DrawingConfig
from pipeline.drawing.renderer import Captcha, Drawing, ImageSampler, SyntheticSource, image_key, key_index
from pipeline.values import SettingError
from records.errors import DigitwiseError
from tests.conftest import from_text


def drawing(**settings):
    return Drawing.of(*configs(**settings))


def configs(**settings):
    """(CodeConfig, DrawingConfig) with these fields, or with what these flag texts stand for."""
    names = {field.name for field in dataclasses.fields(CodeConfig)}
    fields = from_text(settings)
    code = CodeConfig(**{name: value for name, value in fields.items() if name in names})
    return code, DrawingConfig(**{name: value for name, value in fields.items() if name not in names})


def pixels(drawing, index):
    return np.asarray(drawing.image(index))


def test_random_numbers_are_the_same_on_every_machine():
    sampler = ImageSampler(7, 3)
    assert [sampler.randbelow(10) for _ in range(6)] == [2, 2, 1, 2, 2, 8]
    assert ImageSampler(7, 3).randbits(32) == ImageSampler(7, 3).randbits(32)
    assert sorted({ImageSampler(1, n).randbelow(3) for n in range(50)}) == [0, 1, 2]


@pytest.mark.parametrize("renderer", ["fast", "captcha"])
@pytest.mark.parametrize("length", ["4", "3-6"])
def test_defaults_are_the_packages_own_pixels(monkeypatch, length, renderer):
    ours = drawing(seed=5, code_length=length, renderer=renderer)
    for index in range(30):
        sampler = ImageSampler(5, index)
        sampler.randbelow(ours.lengths[1] - ours.lengths[0] + 1)
        for _ in ours.text(index):
            sampler.choice("0123456789")
        with monkeypatch.context() as patch:
            patch.setattr(captcha.image, "secrets", sampler)
            theirs = ImageCaptcha(160, 60).generate_image(ours.text(index))
        assert (pixels(ours, index) == np.asarray(theirs)).all()


def test_an_image_depends_on_seed_and_number_alone():
    one, other = drawing(), drawing()
    first = pixels(one, 4)
    pixels(other, 9)
    assert (pixels(other, 4) == first).all()
    assert (pixels(drawing(seed=1), 4) != first).any()
    assert captcha.image.secrets.__name__ == "secrets"


def corners(distortion, monkeypatch):
    """The corners that the package hands to Pillow's transform, as shares of the size, for many glyphs."""
    found = []
    renderer = Captcha(drawing(distortion=distortion, rotation="0", warp_x="0.2", warp_y="0.25"))

    def transform(self, size, method, data, *rest, **options):
        if len(data) == 8:
            found.append((abs(data[0]) / size[0], abs(data[1]) / size[1]))
        return original(self, size, method, data, *rest, **options)

    original = Image.Image.transform
    monkeypatch.setattr(Image.Image, "transform", transform)
    for index in range(60):
        monkeypatch.setattr(captcha.image, "secrets", ImageSampler(0, index))
        renderer.generate_image("8306")
    return np.array(found)


def test_the_old_distortion_reaches_as_far_as_its_formula(monkeypatch):
    # With a range of no width, 0.7.0 moved corners up to 0.2 and 0.25 of the size; 0.7.1 only to 0.2 and 0.25 pixels.
    old = corners("0.7.0", monkeypatch)
    assert 0.15 < old[:, 0].max() <= 0.2
    assert 0.2 < old[:, 1].max() <= 0.25
    new = corners("0.7.1", monkeypatch)
    assert new.max() == 0


def test_the_old_distortion_is_that_of_the_old_package(monkeypatch):
    found = []
    original = Image.Image.transform

    def transform(self, size, method, data, *rest, **options):
        if len(data) == 8:
            found.append(tuple(data))
        return original(self, size, method, data, *rest, **options)

    monkeypatch.setattr(Image.Image, "transform", transform)
    drawing(distortion="0.7.0", renderer="captcha").image(1)
    # What captcha 0.7.0 itself made of the same random numbers.
    assert found == [
        (-6, 1, 6, 55, 43, 61, 37, -1),
        (-7, 6, 7, 100, 42, 68, 42, -6),
        (0, -3, 0, 57, 31, 57, 39, 3),
        (3, -10, -3, 64, 34, 74, 36, 10),
    ]


def test_the_old_curve_crosses_the_image():
    old = drawing(distortion="0.7.0", alphabet="1", code_length="1", noise_dots=0, background="#ffffff")
    without = drawing(
        distortion="0.7.0", alphabet="1", code_length="1", noise_dots=0, noise_curves=0, background="#ffffff"
    )
    for index in range(20):
        touched = np.flatnonzero((pixels(old, index) != pixels(without, index)).any(axis=(0, 2)))
        assert touched.min() <= 160 // 5 + 2
        assert touched.max() >= 160 - 2 * 160 // 5


@pytest.mark.parametrize(
    "setting",
    [
        {"rotation": "0"},
        {"warp_x": "0"},
        {"warp_y": "0.5"},
        {"overlap": 0.0},
        {"space_probability": 0.0},
        {"noise_dots": 0},
        {"noise_curves": 0},
        {"foreground": "#406080"},
        {"background": "#ffffff"},
        {"font_sizes": (30,)},
        {"distortion": "0.7.0"},
    ],
)
def test_every_knob_is_reached(setting):
    assert any((pixels(drawing(**setting), n) != pixels(drawing(), n)).any() for n in range(3))


def test_colours_and_noise():
    plain = drawing(noise_dots=0, noise_curves=0, foreground="#404040", background="#ffffff")
    image = pixels(plain, 0)
    assert image[0, -1].tolist() == [255, 255, 255]
    assert image.min() < 170
    assert (image[..., 0] == image[..., 2]).all()


def test_gaps_come_as_often_as_asked():
    def spaces(probability, monkeypatch=None):
        renderer = Captcha(drawing(space_probability=probability))
        drawn = []
        renderer._draw_character = lambda c, *rest: drawn.append(c) or Captcha._draw_character(renderer, c, *rest)
        for _ in range(20):
            renderer.generate_image("1234")
        return drawn.count(" ")

    assert spaces(0.0) == 0
    assert spaces(1.0) == 80
    assert 20 < spaces(0.5) < 60


def test_lengths_and_sizes():
    varied = drawing(code_length="3-6", alphabet="ab", image_size="100x40")
    lengths = {len(varied.text(n)) for n in range(100)}
    assert lengths == {3, 4, 5, 6}
    assert pixels(varied, 0).shape == (40, 100, 3)


def test_names_of_images():
    assert image_key(1742, "4071", True) == "00003/4071_0001742.png"
    assert image_key(1742, "../x", False) == "00003/0001742.png"
    assert key_index("00003/4071_0001742.png") == 1742
    source = SyntheticSource(drawing(alphabet="/.\u00e9"), 2)
    assert [key for key, _ in source.rows()] == ["00000/0000000.png", "00000/0000001.png"]


def test_missing_fonts_and_glyphs(tmp_path):
    with pytest.raises(DigitwiseError, match="--fonts=.*no.ttf: the font cannot be used .there is no such file"):
        drawing(fonts=(str(tmp_path / "no.ttf"),))
    (tmp_path / "bad.ttf").write_bytes(b"hello")
    with pytest.raises(DigitwiseError, match="bad.ttf: the font cannot be used .unknown file format"):
        drawing(fonts=(str(tmp_path / "bad.ttf"),))
    with pytest.raises(DigitwiseError, match="the font has no glyph for 1 of the alphabet: \u0c85"):
        drawing(alphabet="01\u0c85")


def test_fonts_are_known_by_their_bytes(tmp_path):
    bundled = captcha.image.DEFAULT_FONTS[0]
    copy = tmp_path / "DroidSansMono.ttf"
    copy.write_bytes(pathlib.Path(bundled).read_bytes())
    assert drawing(fonts=(str(copy),)).settings == drawing().settings


def test_fonts_of_one_name_and_a_font_given_twice_are_told_apart(tmp_path):
    bundled = captcha.image.DEFAULT_FONTS[0]
    data, paths = pathlib.Path(bundled).read_bytes(), []
    for folder, extra in (("a", b""), ("b", b"\0")):
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "font.ttf")
        paths[-1].write_bytes(data + extra)
    first, second = map(str, paths)
    assert drawing(fonts=(first, second)).settings != drawing(fonts=(second, second)).settings
    assert drawing(fonts=(first, first)).settings != drawing(fonts=(first,)).settings
    assert [name for name, _ in drawing(fonts=(first, second)).settings["fonts"]] == ["font.ttf", "font.ttf"]


def test_stored_settings_are_those_of_earlier_versions():
    # As every version has written them for these flags: images that exist must be recognized.
    ours = drawing(code_length="3-6", rotation="-10:20", warp_x="0.2", foreground="#406080")
    assert json.dumps({**ours.settings, "fonts": "left out"}) == (
        '{"alphabet": "0123456789", "code_length": [3, 6], "image_size": [160, 60], "fonts": "left out", "seed": 0, '
        '"distortion": "0.7.1", "rotation": "-10:20", "warp_x": "0.2", "warp_y": "0.2-0.3", '
        '"font_sizes": ["42", "50", "56"], "overlap": 0.25, "space_probability": 0.5, "noise_dots": 30, '
        '"noise_curves": 1, "foreground": "#406080", "background": ""}'
    )
    assert drawing().settings["rotation"] == "30"


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"code_length": "0"}, "--code_length=0: codes have 1 to 64"),
        ({"code_length": "6-3"}, "--code_length=6-3"),
        ({"image_size": "160"}, "--image_size=160: expected WIDTHxHEIGHT"),
        ({"image_size": "4x4"}, "each side is 8 to 4096"),
        ({"rotation": "x"}, "--rotation=x"),
        ({"warp_x": "3"}, "--warp_x=3"),
        ({"foreground": "#101010"}, "--foreground=#101010: .* too dark to be seen"),
        ({"foreground": "#ffffff", "background": "#fafafa"}, "#ffffff can hardly be seen on --background=#fafafa"),
        ({"fonts": ("a.ttf", "")}, "--fonts has an empty entry"),
        ({"foreground": "red"}, "--foreground=red: expected a colour such as"),
        ({"overlap": 2.0}, "--overlap=2.0"),
        ({"font_sizes": (1,)}, "--font_sizes=1"),
        ({"distortion": "0.8"}, "--distortion=0.8: expected one of 0.7.1, 0.7.0"),
    ],
)
def test_settings_that_cannot_be_used(setting, message):
    with pytest.raises(SettingError, match=message):
        configs(**setting)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DrawingConfig().seed = 3
