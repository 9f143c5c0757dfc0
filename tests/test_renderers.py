"""Both ways of the renderer `fast` against the captcha package's own code: the same bytes."""

import dataclasses
import pathlib

import numpy as np
import pytest
from PIL import Image

from pipeline.drawing import fast
from pipeline.drawing.fast import CompiledWay, has_numba, way_of
from pipeline.drawing.files import generate
from pipeline.drawing.glyphs import Characters
from pipeline.drawing.plain import BRIGHT_TO_OPAQUE, PlainWay, opaque
from pipeline.drawing.renderer import ImageSampler, PackageWay
from tests.test_drawing import drawing as drawing_of

LOOKS = {
    "defaults": {},
    "old": {"distortion": "0.7.0"},
    "letters": {"alphabet": "alnum", "code_length": "3-6", "image_size": "200x80"},
    "colours": {"foreground": "#406080", "background": "#ffffff"},
    "upright": {"rotation": "0"},
    "upright and straight": {"rotation": "0", "warp_x": "0", "warp_y": "0"},
    "lying": {"rotation": "90:90", "distortion": "0.7.0"},
    "every way up": {"rotation": "-180:180"},
    "bent far": {"warp_x": "2", "warp_y": "2", "distortion": "0.7.0"},
    "curves": {"noise_curves": 5, "noise_dots": 0, "image_size": "60x160"},
    "small": {"image_size": "40x20", "font_sizes": (12, 14)},
    "squeezed": {"space_probability": 1.0, "code_length": "8", "image_size": "90x60"},
    "side by side": {"space_probability": 0.0, "overlap": 1.0, "code_length": "1-2"},
    "one font": {"font_sizes": (50,), "distortion": "0.7.0"},
}
needs_numba = pytest.mark.skipif(not has_numba(), reason="numba is not installed")


def many_fonts():
    matplotlib = pytest.importorskip("matplotlib")
    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = ("DejaVuSans", "DejaVuSans-BoldOblique", "DejaVuSerif-Italic", "cmmi10", "STIXGeneral", "DejaVuSansMono")
    return tuple(str(folder / f"{name}.ttf") for name in names)


def both(**settings):
    """The same settings with either renderer."""
    drawing = drawing_of(**settings)
    package = dataclasses.replace(drawing, config=dataclasses.replace(drawing.config, renderer="captcha"))
    return drawing, package


def ways(drawing):
    characters = Characters(drawing.fonts, drawing.config.font_sizes)
    yield PlainWay(drawing.code, drawing.config, characters)
    if has_numba():
        yield CompiledWay(drawing.code, drawing.config, characters)


def assert_same_pictures(drawing, package, way, count):
    for index in range(count):
        text, sampler = drawing.start(index)
        expected = np.asarray(package.image(index))
        assert np.array_equal(way.render(sampler, text, 1), expected), f"image {index} of {drawing.config}"


@pytest.mark.parametrize("look", LOOKS)
def test_pillow_renders_what_the_package_renders(look):
    drawing, package = both(seed=4, **LOOKS[look])
    assert_same_pictures(drawing, package, next(ways(drawing)), 8)


def test_many_fonts():
    drawing, package = both(fonts=many_fonts(), alphabet="alnum", distortion="0.7.0", image_size="120x90")
    assert_same_pictures(drawing, package, next(ways(drawing)), 30)


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_both_ways_render_hundreds_of_pictures_as_the_package_does(look):
    drawing, package = both(seed=11, **LOOKS[look])
    for way in ways(drawing):
        assert_same_pictures(drawing, package, way, 150)


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize("size", ["60x160", "300x50"])
def test_both_ways_render_many_fonts_as_the_package_does(size):
    drawing, package = both(fonts=many_fonts(), alphabet="alnum", distortion="0.7.0", image_size=size)
    for way in ways(drawing):
        assert_same_pictures(drawing, package, way, 400)


@needs_numba
@pytest.mark.slow
def test_a_batch_is_its_images_one_by_one():
    drawing, _ = both(code_length="3-5", alphabet="upper")
    way = list(ways(drawing))[1]
    digests = np.array([np.frombuffer(ImageSampler(0, index).digest, np.uint8) for index in range(5)])
    batch = way.render_batch(digests, np.ones(5, np.int64))
    for index, pixels in enumerate(batch):
        assert (pixels == np.asarray(drawing.image(index))).all()


def test_every_brightness_is_made_opaque_as_the_table_says():
    assert list(opaque(Image.frombytes("L", (16, 16), bytes(range(256)))).tobytes()) == BRIGHT_TO_OPAQUE


def test_a_code_that_is_not_wanted_is_passed_over():
    drawing, package = both()
    for one in (drawing, package):
        text, pixels = one.render(ImageSampler(0, 3), lambda code: code.startswith("7"))
        assert text[0] == "7"
    assert np.array_equal(pixels, drawing.render(ImageSampler(0, 3), lambda code: code.startswith("7"))[1])


def test_settings_do_not_tell_renderers_apart():
    drawing, package = both()
    assert drawing.settings == package.settings


def test_images_of_the_other_renderer_are_kept(make_config, workdir, capsys):
    assert generate(make_config(30, renderer="captcha"), workdir)
    before = {path.name: path.read_bytes() for path in workdir.images.rglob("*.png")}
    assert not generate(make_config(30), workdir)
    assert "generate: nothing to do" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in workdir.images.rglob("*.png")} == before


def chosen(drawing):
    return way_of(drawing.code, drawing.config, drawing.fonts, PackageWay(drawing), drawing.start)


@needs_numba
def test_numba_renders_where_it_can(monkeypatch):
    drawing, _ = both()
    assert isinstance(chosen(drawing), CompiledWay)
    monkeypatch.setattr(fast, "_MAX_CHARACTERS", 20)
    assert isinstance(chosen(drawing), PlainWay)


def test_pillow_renders_where_numba_is_missing(monkeypatch):
    monkeypatch.setattr(fast, "has_numba", lambda: False)
    assert isinstance(chosen(both()[0]), PlainWay)


def test_a_way_that_renders_something_else_is_not_used(monkeypatch):
    drawing, _ = both()
    other = drawing.image(1)
    wrong = type("", (), {"__init__": lambda *_: None, "render": lambda *_: other})
    monkeypatch.setattr(fast, "has_numba", lambda: True)
    monkeypatch.setattr(fast, "CompiledWay", wrong)
    assert isinstance(chosen(drawing), PlainWay)
    monkeypatch.setattr(fast, "PlainWay", wrong)
    assert isinstance(chosen(drawing), PackageWay)
