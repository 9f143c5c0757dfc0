"""Pictures are looked at by people; here only that they are there, of the size promised, and not empty."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from pipeline.model.metrics import Accuracy, Coverage
from pipeline.report import plots
from pipeline.report.history import TrainingPoint
from pipeline.report.summary import Chance, Figures, Position


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


def figures(positions, whole, chance):
    return Figures(whole, {}, tuple(positions), chance, (), None, ())


@pytest.mark.parametrize("theme", [plots.LIGHT, plots.DARK])
def test_accuracy_plot(theme):
    positions = [Position(0.99, 9, 0.98, 1.0, 0.1), Position(None, 0, 0.0, 1.0, None), Position(1.0, 9, 0.99, 1.0, 0.1)]
    shown = figures(positions, Accuracy(0.98, 50, 49, 0.96, 0.99), Chance(0.1, 1e-4))
    assert_drawn(plots.accuracy_plot(shown, "test", theme), theme)


def test_positions_that_not_all_codes_have_are_counted():
    first, second = Position(0.99, 1234, 0.98, 1.0, 0.1), Position(1.0, 9, 0.99, 1.0, 0.1)
    whole, chance = Accuracy(0.98, 1234, 1200, 0.96, 0.99), Chance(0.1, 1e-4)
    assert plots.position_counts(figures([first, second], whole, chance)) == ["1,234", "9"]
    assert plots.position_counts(figures([first, first], whole, chance)) == ["", ""]
    assert plots.position_counts(figures([first, second] * 9, whole, chance)) == [""] * 18


def test_accuracy_plot_at_chance_and_of_long_codes():
    shown = figures([Position(0.1, 9, 0.05, 0.2, 0.1)] * 64, Accuracy(0.0, 50, 0, 0.0, 0.1), Chance(0.1, 1e-64))
    assert_drawn(plots.accuracy_plot(shown, "test"), plots.LIGHT)


def line_pixels(png):
    """How many pixels have the colour of the curve."""
    return is_shown(png, tuple(int(plots.LIGHT.accent[i : i + 2], 16) for i in (1, 3, 5)))


def is_shown(png, color):
    return int((np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) == color).all(axis=-1).sum())


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
    assert len(shown) == plots.MAX_CLASSES
    assert {5, 40, 41, 2999} <= set(shown)
    assert shown == sorted(shown)


def test_coverage_plot():
    curve = [Coverage(0.999, 0.5, 5, 0), Coverage(0.9, 0.9, 9, 1), Coverage(0.1, 1.0, 10, 2)]
    assert_drawn(plots.coverage_plot(curve), plots.LIGHT)
    assert_drawn(plots.coverage_plot([Coverage(0.1, 1.0, 10, 0)]), plots.LIGHT)


def test_coverage_plot_of_a_single_point_has_a_line():
    """Where all confidences are 0, as those of long codes are, all images are read together."""
    assert line_pixels(plots.coverage_plot([Coverage(0.0, 1.0, 10, 5)])) > 100


@pytest.mark.parametrize("losses", [(2.5, 1.2), (2.5, 0.001), (0.5, 0.0), (), (1e-5, 3e-5)])
@pytest.mark.parametrize("theme", [plots.LIGHT, plots.DARK])
def test_training_plot(theme, losses):
    history = [TrainingPoint(step, loss=loss) for step, loss in enumerate(losses)]
    history += [TrainingPoint(20, validation_position_accuracy=0.75, validation_sequence_accuracy=0.5)]
    png = plots.training_plot(history, theme)
    assert_drawn(png, theme)
    if theme == plots.DARK:
        assert not is_shown(png, (0, 0, 0)), "matplotlib's own black is hard to see on dark"


@pytest.mark.parametrize("losses", [(2.5, 1.2), (2.5, 0.2), (2.5, 0.02), (2.5, 0.00002), (1.0, 0.0)])
def test_labels_of_the_loss_do_not_overlap(monkeypatch, losses):
    drawn = []
    monkeypatch.setattr(plots, "_png", drawn.append)
    plots.training_plot([TrainingPoint(step, loss=loss) for step, loss in enumerate(losses)])
    (axes,) = drawn
    axes.figure.draw_without_rendering()
    low, high = axes.get_ylim()
    labels = [*axes.get_yticklabels(), *axes.get_yticklabels(minor=True)]
    boxes = [
        label.get_window_extent() for label in labels if label.get_text() and low <= label.get_position()[1] <= high
    ]
    assert len(boxes) >= 2
    boxes.sort(key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))
