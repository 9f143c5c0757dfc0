"""The images that the included weights are learned from."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from benchmarks.font_files import all_font_files
from pipeline.drawing.renderer import ImageSampler
from pipeline.model import included
from pipeline.model.provenance import EarlierTraining
from pretraining import captchas, various
from pretraining.include import learned_hashes
from tests.small_records import make_records
from tests.training_fixtures import make_state


@pytest.fixture(scope="module")
def fonts():
    return various.families(all_font_files(various.ALPHABET))  # matplotlib brings some


def test_an_image_is_a_function_of_seed_and_number(fonts):
    code, image = various.draw(0, 3, fonts)
    again_code, again = various.draw(0, 3, fonts)
    assert code == again_code and image.tobytes() == again.tobytes()
    assert all(various.draw(*other, fonts)[1].tobytes() != image.tobytes() for other in ((1, 3), (0, 4)))


def test_families_are_fonts_of_one_folder():
    assert various.families(["b/two", "a/x", "b/one", "a/c/y"]) == [["a/x"], ["a/c/y"], ["b/one", "b/two"]]
    random = np.random.default_rng(0)
    chosen = [various._chosen([["one"], ["two", "three"]], random) for _ in range(400)]
    assert 160 < chosen.count("one") < 240 and set(chosen) == {"one", "two", "three"}


def test_codes_have_a_digit_and_letters_of_both_cases(fonts):
    random = np.random.default_rng(0)
    codes = [various._code(random) for _ in range(300)]
    assert {len(code) for code in codes} == set(various.LENGTHS)
    for is_kind in (str.isdigit, str.islower, str.isupper):
        assert all(any(map(is_kind, code)) for code in codes)
    assert set("".join(codes)) == set(various.ALPHABET)


def test_images_have_ink_and_one_height(fonts):
    for number in range(12):
        _, image = various.draw(5, number, fonts)
        assert image.mode == "RGB" and image.height == various.HEIGHT
        assert np.asarray(image, float).std() > 1


def test_three_in_ten_are_drawn_by_the_captcha_package(fonts, monkeypatch):
    monkeypatch.setattr(captchas, "draw", lambda code, *_: code)
    drawn = [number for number in range(20) if isinstance(various.draw(5, number, fonts)[1], str)]
    assert drawn == [0, 1, 2, 10, 11, 12]


def test_captchas_of_many_kinds(fonts):
    for number in range(40):
        random, sampler = np.random.default_rng(number), ImageSampler("test", number)
        image = captchas.draw("x7Kq", captchas.OWN_FONTS, sampler, random, is_grey=number % 2 == 0)
        pixels = np.asarray(image, float)
        assert image.height == captchas.HEIGHT and 28 <= image.width / len("x7Kq") <= 41
        assert pixels.std() > 1 and (number % 2 or not np.ptp(pixels, axis=2).any())


def test_codes_that_the_initial_weights_had_learned_stay_among_the_learned(tmp_path, monkeypatch):
    monkeypatch.setattr(included.LearnedCodes, "load", lambda: included.LearnedCodes(frozenset([1, 2])))
    manifest = make_records(tmp_path, train=["a1"], validation=["b2"], test=["c3"])
    own, state = {included.hash_of("a1"), included.hash_of("b2")}, make_state()
    assert learned_hashes(manifest, state) == own
    earlier = EarlierTraining("another", None), EarlierTraining(next(iter(included.fingerprints())), None)
    state = dataclasses.replace(state, provenance=dataclasses.replace(state.provenance, earlier=earlier))
    assert learned_hashes(manifest, state) == own | {1, 2}


def test_a_folder_of_them(tmp_path, capsys):
    various.main([str(tmp_path / "images"), "--count=4", "--seed=1"])
    rows = (tmp_path / "images" / "labels.csv").read_text().splitlines()
    assert rows[0] == "file,text" and 1 < len(rows) <= 5
    for row in rows[1:]:
        file, code = row.split(",")
        with Image.open(tmp_path / "images" / file) as image:
            assert image.width <= various.WIDEST and len(code) in various.LENGTHS
    assert f"{len(rows) - 1} images in " in capsys.readouterr().out
