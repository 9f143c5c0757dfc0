"""The plots of a report, as PNG bytes: matplotlib without a screen and without global state.

accuracy_plot(figures, "test", theme=DARK)
"""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import font_manager, ft2font
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pipeline.model.metrics import Coverage
from pipeline.report.history import TrainingPoint
from pipeline.report.phrases import visible
from pipeline.report.summary import Figures

# Small in inches and fine in pixels: on a phone the picture is scaled down little, so its text stays readable.
SIZE_INCHES = (4.7, 3.2)
MATRIX_INCHES = (4.7, 4.7)
DPI = 220
MAX_CLASSES = 20  # of the confusion plot: more squares would be too small to hold a number
MARKED_THRESHOLDS: tuple[float, ...] = (0.5, 0.9, 0.99, 0.999)
NOTHING = "none"
_FEW_POSITIONS = 8  # more would have no room for a number each
_FEW_TICKS = 12
_FAR = 10  # times the lowest loss, from where on powers show the course better


@dataclasses.dataclass(frozen=True)
class Theme:
    """The colours of a picture."""

    background: str
    text: str
    faint: str
    line: str
    accent: str
    wrong: str


LIGHT = Theme("#ffffff", "#1b2430", "#647081", "#dfe4ea", "#1f5fd0", "#c2410c")
DARK = Theme("#182029", "#e6ebf1", "#9aa7b6", "#323d4a", "#7db0ff", "#fb923c")


def accuracy_plot(figures: Figures, split: str, theme: Theme = LIGHT) -> bytes:
    """Accuracy at each position and of whole codes, with chance where the axis reaches down to it."""
    axes = _axes(theme)
    whole, positions = figures.whole, figures.positions
    points = [
        (place, position.accuracy, position.low, position.high)
        for place, position in enumerate(positions, 1)
        if position.accuracy is not None
    ]
    gap = max(1.0, len(positions) / 15)  # in positions, so that the label of whole codes has room beside many of them
    last = len(positions) + 0.5 + gap
    whole_point = (last, whole.value, whole.low, whole.high)
    lowest = min(low for _, _, low, _ in [*points, whole_point])
    # The axis begins a little below the lowest interval, so that .998 and .999 can be told apart.
    floor = 0.0 if lowest < 0.5 else lowest - 0.25 * (1 - lowest) - 1e-4
    for point in points:
        _dot(axes, point, theme.accent, size=6 if len(points) <= _FEW_TICKS else 3)
    _dot(axes, whole_point, theme.wrong, marker="D")
    for x, value, _, high in [*(points if len(points) <= _FEW_POSITIONS else []), whole_point]:
        # With a ground of its own, so that no line of chance runs through the number.
        ground = {"facecolor": theme.background, "edgecolor": "none", "pad": 0.5}
        _note(axes, f"{value:.4f}", (x, high), theme.text, offset=(0, 4), ha="center", fontsize=8, bbox=ground)
    _draw_chance(axes, figures, floor, theme)
    ticks = range(1, len(positions) + 1, max(1, -(-len(positions) // _FEW_TICKS)))
    counts = position_counts(figures)
    axes.set_xticks([*ticks, last], [*(f"{n}\n{counts[n - 1]}".rstrip() for n in ticks), "whole\ncode"])
    axes.set_xlim(0.4, last + 0.9 * gap)
    axes.set_ylim(floor, 1 + 0.12 * (1 - floor))
    axes.set_xlabel(f"position of the character in the code{', and how many have it' if any(counts) else ''}")
    axes.grid(axis="y", color=theme.line, linewidth=0.8)
    _titled(
        axes,
        "How much is read right",
        f"share of {whole.count:,} {visible(split)} images; bars are 95 % intervals",
        theme,
    )
    return _png(axes)


def position_counts(figures: Figures) -> list[str]:
    """How many codes have each position, where not all have every one and there is room to say so."""
    counts = [position.count for position in figures.positions]
    is_shown = len(set(counts)) > 1 and len(counts) <= _FEW_TICKS
    return [f"{count:,}" if is_shown else "" for count in counts]


def _draw_chance(axes: Any, figures: Figures, floor: float, theme: Theme) -> None:
    """Lines of what guessing reaches, named below the plot: beside the lines the names would cover the plot."""
    chances = (
        (figures.chance.position, ":", "chance, a character"),
        (figures.chance.sequence, "--", "chance, whole code"),
    )
    for value, style, name in chances:
        if floor <= value:
            axes.axhline(value, color=theme.faint, linestyle=style, linewidth=1, label=name)
    if axes.get_legend_handles_labels()[0]:
        axes.figure.legend(
            loc="outside lower center", ncols=2, frameon=False, labelcolor=theme.faint, fontsize=8, handlelength=2.4
        )


def confusion_plot(
    confusion: Mapping[tuple[int | None, int | None], int], names: Sequence[str], theme: Theme = LIGHT
) -> bytes:
    """`confusion` counts (label, decoded); `names[id]` is what a class is called; None: no character."""
    mistakes = {pair: count for pair, count in confusion.items() if pair[0] != pair[1]}
    shown = shown_classes(mistakes, len(names))
    has_nothing = any(None in pair for pair in mistakes)
    ids = [*shown, None] if has_nothing else shown
    place = {i: index for index, i in enumerate(ids)}
    axes = _axes(theme, size=MATRIX_INCHES)
    matrix = [[0] * len(ids) for _ in ids]
    for (label, decoded), count in mistakes.items():
        if label in place and decoded in place:
            matrix[place[label]][place[decoded]] = count
    colors = LinearSegmentedColormap.from_list("mistakes", [theme.background, theme.wrong])
    largest = max(map(max, matrix))
    axes.imshow(
        matrix, cmap=colors, norm=PowerNorm(0.5, 0, max(1, 1.25 * largest))
    )  # so that a single mistake is seen too
    for index in range(len(ids)):
        axes.add_patch(Rectangle((index - 0.5, index - 0.5), 1, 1, color=theme.line))
    _write_counts(axes, matrix, largest, theme)
    ticks = [NOTHING if i is None else _drawable(names[i]) for i in ids]
    axes.set_xticks(range(len(ids)), ticks)
    axes.set_yticks(range(len(ids)), ticks)
    for tick in axes.get_xticklabels():
        tick.set_rotation(90 if len(tick.get_text()) > 1 and len(ids) > 8 else 0)
    axes.set_xlabel("read as")
    axes.set_ylabel("in the image")
    axes.tick_params(length=0)
    total = sum(mistakes.values())
    said = f"{total:,} of {sum(confusion.values()):,} characters misread" if total else "no character was misread"
    left_out = f"; the {len(shown)} worst of {len(names)} are shown" if len(shown) < len(names) else ""
    _titled(axes, "What is read as what", said + left_out, theme)
    return _png(axes)


def coverage_plot(curve: Sequence[Coverage], theme: Theme = LIGHT) -> bytes:
    """`curve` goes from reading least to reading all. It may be one point: of long codes all confidences may be 0."""
    axes = _axes(theme)
    shares, errors = [point.share for point in curve], [point.error for point in curve]
    # What is read first is read together: up to there the error is that of all of it.
    shares, errors = [0.0, *shares], [*errors[:1], *errors]
    axes.step(shares, errors, where="post", color=theme.accent, linewidth=1.8)
    axes.fill_between(shares, errors, step="post", color=theme.accent, alpha=0.12)
    top = min(1.04, max(max(errors), 1e-3) * 1.3)
    _mark_thresholds(axes, curve, theme)
    axes.set_xlim(0, 1.0)
    axes.set_ylim(0, top)
    axes.set_xlabel("share of the images that is read, highest confidence first")
    axes.set_ylabel("share of these read wrong")
    axes.grid(axis="y", color=theme.line, linewidth=0.8)
    _titled(axes, "If only confident readings count", "error against coverage; dots: confidence thresholds", theme)
    return _png(axes)


def training_plot(history: Sequence[TrainingPoint], theme: Theme = LIGHT) -> bytes:
    """Loss above, validation accuracy below, each where it was measured."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor=theme.background, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes in (upper, lower):
        _dress(axes, theme)
        axes.grid(axis="y", color=theme.line, linewidth=0.8)
    losses = [(point.step, point.loss) for point in history if point.loss is not None]
    _curve(upper, losses, theme.accent)
    if losses:
        _scale_losses(upper, [loss for _, loss in losses])
    for name, color, label in (
        ("validation_position_accuracy", theme.faint, "a character"),
        ("validation_sequence_accuracy", theme.wrong, "whole code"),
    ):
        measured = [(point.step, value) for point in history if (value := getattr(point, name)) is not None]
        _curve(lower, measured, color, label)
    upper.set_ylabel("training\nloss")
    lower.set_ylabel("validation\naccuracy")
    lower.set_xlabel("step")
    lower.set_ylim(-0.04, 1.04)
    lower.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if lower.get_legend_handles_labels()[0]:
        lower.legend(frameon=False, labelcolor=theme.text, fontsize=8.5, loc="lower right")
    _titled(upper, "How it learned", "loss on training batches; accuracy on validation images", theme)
    return _png(upper)


def _scale_losses(axes: Any, losses: Sequence[float]) -> None:
    """A few plain numbers; by powers where losses fall far. matplotlib's own labels overlap on an axis so low."""
    low, high = min(losses), max(losses)
    if low <= 0 or high < _FAR * low:
        axes.yaxis.set_major_locator(MaxNLocator(4))
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _FAR * _FAR * low else (1,), numticks=5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def shown_classes(mistakes: Mapping[tuple[int | None, int | None], int], num_classes: int) -> list[int]:
    """All classes where they fit, else those in most mistakes, in the order of the alphabet."""
    if num_classes <= MAX_CLASSES:
        return list(range(num_classes))
    involved = dict.fromkeys(range(num_classes), 0)
    for pair, count in mistakes.items():
        for i in pair:
            if i is not None:
                involved[i] += count
    return sorted(sorted(involved, key=lambda i: -involved[i])[:MAX_CLASSES])


def _axes(theme: Theme, size: tuple[float, float] = SIZE_INCHES) -> Axes:
    figure = Figure(figsize=size, dpi=DPI, facecolor=theme.background, layout="constrained")
    axes = figure.subplots()
    _dress(axes, theme)
    return axes


def _dress(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.background)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.text, labelsize=8.5)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.line)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=theme.faint, fontsize=9)


def _titled(axes: Axes, title: str, subtitle: str, theme: Theme) -> None:
    axes.set_title(f"{title}\n", loc="left", color=theme.text, fontsize=12, fontweight="bold")
    style: dict[str, Any] = {"color": theme.faint, "fontsize": 8.5, "in_layout": False}
    axes.annotate(subtitle, (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points", **style)


def _dot(axes: Axes, point: tuple[float, float, float, float], color: str, marker: str = "o", size: float = 6) -> None:
    x, value, low, high = point
    axes.plot([x, x], [low, high], color=color, linewidth=3, alpha=0.35, solid_capstyle="round")
    axes.plot([x], [value], marker=marker, color=color, markersize=size, clip_on=False, zorder=4)  # above all numbers


def _note(
    axes: Axes, text: str, point: tuple[float, float], color: str, offset: tuple[float, float], **style: Any
) -> None:
    axes.annotate(text, point, xytext=offset, textcoords="offset points", color=color, **style)


def _curve(axes: Axes, points: Sequence[tuple[float, float]], color: str, label: str | None = None) -> None:
    if points:
        marker = "o" if len(points) < 30 else None
        axes.plot(*zip(*points), color=color, label=label, linewidth=1.6, marker=marker, markersize=3)


def _mark_thresholds(axes: Axes, curve: Sequence[Coverage], theme: Theme) -> None:
    for threshold in MARKED_THRESHOLDS:
        read = [point for point in curve if point.threshold >= threshold]
        if read and 0.02 < read[-1].share < 0.9995:
            point = (read[-1].share, read[-1].error)
            axes.plot(*point, "o", color=theme.wrong, markersize=5, clip_on=False)
            is_left = point[0] < 0.15
            offset, side = ((4, 6), "left") if is_left else ((-4, 6), "right")
            _note(axes, f"{threshold:g}", point, theme.text, offset, fontsize=8.5, ha=side)


def _drawable(character: str) -> str:
    """The character, or its number where the font of the plots has no glyph for it."""
    # Only this font is certain to be there: matplotlib brings it.
    font = ft2font.FT2Font(font_manager.findfont("DejaVu Sans"))
    character = visible(character)
    return character if font.get_char_index(ord(character)) else f"{ord(character):04X}"


def _write_counts(axes: Axes, matrix: Sequence[Sequence[int]], largest: float, theme: Theme) -> None:
    size = 8.5 if len(matrix) <= 12 else 6
    for row, counts in enumerate(matrix):
        for column, count in enumerate(counts):
            if count:
                color = theme.background if count > 0.5 * largest else theme.text  # readable on the square's own colour
                axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=size)


def _png(axes: Axes) -> bytes:
    buffer = io.BytesIO()
    # Not pyplot, which keeps every figure in a global list and may look for a screen.
    FigureCanvasAgg(axes.get_figure(root=True)).print_png(buffer)
    return buffer.getvalue()
