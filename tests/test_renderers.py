"""The renderer `fast`, in both its ways, against the captcha package's own code: the same bytes."""

import dataclasses
import pathlib

import numpy as np
import pytest

from pipeline.config import DrawingConfig
from pipeline.drawing import fast
from pipeline.drawing.fast import CompiledWay, has_numba, way_of
from pipeline.drawing.glyphs import Characters
from pipeline.drawing.plain import PlainWay
from pipeline.drawing.renderer import Drawing, Draws

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
    "small": {"image_size": "40x20", "font_sizes": ("12", "14")},
    "squeezed": {"space_probability": 1.0, "code_length": "8", "image_size": "90x60"},
    "side by side": {"space_probability": 0.0, "overlap": 1.0, "code_length": "1-2"},
    "one font": {"font_sizes": ("50",), "distortion": "0.7.0"},
}
needs_numba = pytest.mark.skipif(not has_numba(), reason="numba is not installed")


def many_fonts():
    matplotlib = pytest.importorskip("matplotlib")
    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = ("DejaVuSans", "DejaVuSans-BoldOblique", "DejaVuSerif-Italic", "cmmi10", "STIXGeneral", "DejaVuSansMono")
    return tuple(str(folder / f"{name}.ttf") for name in names)


def both(**settings):
    """The same settings with either renderer."""
    drawing = Drawing.of(DrawingConfig(**settings))
    package = dataclasses.replace(drawing, config=dataclasses.replace(drawing.config, renderer="captcha"))
    return drawing, package


def ways(drawing):
    characters = Characters(drawing.fonts, drawing.config.sizes_of_font)
    yield PlainWay(drawing.config, characters)
    if has_numba():
        yield CompiledWay(drawing.config, drawing.alphabet, characters)


def assert_same_pictures(drawing, package, way, count):
    for index in range(count):
        text, draws = drawing.start(index)
        ours = np.asarray(way.draw(draws, text, tries=1))
        assert (ours == np.asarray(package.image(index))).all(), f"image {index} of {drawing.config}"


@pytest.mark.parametrize("look", LOOKS)
def test_pillow_draws_what_the_package_draws(look):
    drawing, package = both(seed=4, **LOOKS[look])
    assert_same_pictures(drawing, package, next(ways(drawing)), 8)


def test_many_fonts():
    drawing, package = both(fonts=many_fonts(), alphabet="alnum", distortion="0.7.0", image_size="120x90")
    assert_same_pictures(drawing, package, next(ways(drawing)), 30)


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_both_ways_draw_hundreds_of_pictures_as_the_package_does(look):
    drawing, package = both(seed=11, **LOOKS[look])
    for way in ways(drawing):
        assert_same_pictures(drawing, package, way, 150)


@needs_numba
@pytest.mark.slow
@pytest.mark.parametrize("size", ["60x160", "300x50"])
def test_both_ways_draw_many_fonts_as_the_package_does(size):
    drawing, package = both(fonts=many_fonts(), alphabet="alnum", distortion="0.7.0", image_size=size)
    for way in ways(drawing):
        assert_same_pictures(drawing, package, way, 400)


@needs_numba
@pytest.mark.slow
def test_a_batch_is_its_images_one_by_one():
    drawing, _ = both(code_length="3-5", alphabet="upper")
    way = list(ways(drawing))[1]
    digests = np.array([np.frombuffer(Draws(0, index).digest, np.uint8) for index in range(5)])
    batch = way.draw_batch(digests, np.ones(5, np.int64))
    for index, pixels in enumerate(batch):
        assert (pixels == np.asarray(drawing.image(index))).all()


def test_a_code_that_is_not_wanted_is_passed_over():
    drawing, package = both()
    for one in (drawing, package):
        text, image = one.draw(Draws(0, 3), lambda code: code.startswith("7"))
        assert text[0] == "7"
    assert image.tobytes() == drawing.draw(Draws(0, 3), lambda code: code.startswith("7"))[1].tobytes()


def test_the_renderer_is_one_of_the_settings():
    drawing, package = both()
    assert drawing.settings["renderer"] == "fast"
    assert "renderer" not in package.settings  # as in images that are older than this setting


def test_pillow_draws_where_numba_does_not_draw_the_same(monkeypatch):
    drawing, _ = both()
    arguments = drawing.config, drawing.alphabet, drawing.fonts, drawing.start
    monkeypatch.setattr(fast, "has_numba", lambda: False)
    assert isinstance(way_of(*arguments), PlainWay)
    other = drawing.image(1)
    never_alike = type("", (), {"__init__": lambda *_: None, "draw": lambda *_, **__: other})
    monkeypatch.setattr(fast, "has_numba", lambda: True)
    monkeypatch.setattr(fast, "CompiledWay", never_alike)
    assert isinstance(way_of(*arguments), PlainWay)
    monkeypatch.setattr(fast, "_draw_alike", lambda *_: True)
    assert isinstance(way_of(*arguments), never_alike)
    monkeypatch.setattr(fast, "_MAX_CHARACTERS", 20)
    assert isinstance(way_of(*arguments), PlainWay)
