"""Look-alikes of real images: repeatable, and as --images reads them."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks import look_alikes
from records.images.folder import LabeledFolder


@pytest.mark.parametrize("style, size, mode", [("nptu", (95, 35), "L"), ("percent4", (50, 22), "RGB")])
def test_they_are_read_as_labelled_images(style, size, mode, tmp_path):
    look_alikes.main([style, str(tmp_path / "a"), "--count=12", "--seed=3"])
    folder = LabeledFolder(str(tmp_path / "a"))
    rows = list(folder.rows())
    assert len(rows) == 12
    assert {key: text for key, text in rows} == {key: key[:4] for key, _ in rows}
    for key, text in rows:
        code, drawn = look_alikes.draw(style, 3, int(key[5:10]))
        image = Image.open(io.BytesIO(folder.load(key)))
        assert (code, image.size, image.mode) == (text, size, mode)
        assert np.array_equal(image, drawn)
        assert np.ptp(np.asarray(image.convert("L"))) > 60, "digits stand out from what is behind them"
    assert look_alikes.draw(style, 4, 0)[1].tobytes() != look_alikes.draw(style, 3, 0)[1].tobytes()


def test_two_sets_do_not_mix(tmp_path):
    look_alikes.write("nptu", tmp_path, 1, 0)
    with pytest.raises(SystemExit, match="is not empty"):
        look_alikes.write("nptu", tmp_path, 1, 1)


def test_every_digit_can_be_written():
    assert sorted(look_alikes.DIGITS) == list("0123456789")
    points = [point for ways in look_alikes.DIGITS.values() for way in ways for stroke in way for point in stroke]
    assert np.min(points) >= -0.1 and np.max(points) <= 1.1
