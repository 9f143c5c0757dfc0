"""Pictures are looked at by people; here only that they are there, of the size promised, and not empty."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.model.metrics import Coverage
from pipeline.report import plots


def pixels(png, size):
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert image.size == tuple(round(side * plots.DPI) for side in size)
    return np.asarray(image.convert("RGB"))


def assert_drawn(png, theme, size=plots.SIZE_INCHES):
    """The corner has the theme's background, and a fair part of the picture something else."""
    shown = pixels(png, size)
    background = np.array([int(theme.background[i : i + 2], 16) for i in (1, 3, 5)])
    assert (shown[0, 0] == background).all()
    assert 0.003 < (shown != background).any(axis=-1).mean() < 0.7


@pytest.mark.parametrize("theme", [plots.LIGHT, plots.DARK])
def test_accuracy_plot(theme):
    positions = [(0.99, 0.98, 1.0), None, (1.0, 0.99, 1.0)]
    assert_drawn(plots.accuracy_plot(positions, (0.98, 0.96, 0.99), (0.1, 1e-4), theme=theme), theme)


def test_accuracy_plot_at_chance_and_of_long_codes():
    chance = (0.1, 0.05, 0.2)
    assert_drawn(plots.accuracy_plot([chance] * 64, (0.0, 0.0, 0.1), (0.1, 1e-9)), plots.LIGHT)


@pytest.mark.parametrize("theme", [plots.LIGHT, plots.DARK])
def test_confusion_plot(theme):
    confusion = {(0, 0): 90, (1, 0): 9, (0, None): 1, (None, 2): 1}
    assert_drawn(plots.confusion_plot(confusion, "ab$", theme=theme), theme, plots.MATRIX_INCHES)


def test_confusion_plot_without_mistakes():
    assert_drawn(plots.confusion_plot({(0, 0): 5}, "0123456789"), plots.LIGHT, plots.MATRIX_INCHES)


def test_confusion_plot_of_a_large_alphabet_shows_the_most_confused():
    names = [chr(0x4E00 + i) for i in range(3000)]
    confusion = {(i, i): 10 for i in range(3000)} | {(5, 2999): 3, (40, 41): 1}
    assert_drawn(plots.confusion_plot(confusion, names), plots.LIGHT, plots.MATRIX_INCHES)
    shown = plots.shown_classes({(5, 2999): 3, (40, 41): 1}, 3000)
    assert len(shown) == plots.MOST_CLASSES
    assert {5, 40, 41, 2999} <= set(shown)
    assert shown == sorted(shown)


def test_coverage_plot():
    curve = [Coverage(0.999, 0.5, 5, 0), Coverage(0.9, 0.9, 9, 1), Coverage(0.1, 1.0, 10, 2)]
    assert_drawn(plots.coverage_plot(curve), plots.LIGHT)
    assert_drawn(plots.coverage_plot([Coverage(0.1, 1.0, 10, 0)]), plots.LIGHT)


def test_training_plot_takes_rows_that_lack_keys():
    history = [{"step": 1, "loss": 2.3}, {"step": 2, "validation_sequence_accuracy": 0.5}, {"step": 3, "loss": None}]
    assert_drawn(plots.training_plot(history), plots.LIGHT)
