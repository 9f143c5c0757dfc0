"""A picture of a network: its layers from top to bottom with their shapes and parameters, as SVG text.

pathlib.Path("network.svg").write_text(diagram(network))

A layer that only follows another (a norm, an activation, dropout) stands in the same box. Boxes with weights are blue.
"""

import dataclasses
import io
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_FOLLOWERS = ("Activation", "BatchNormalization", "Dropout", "FusedBatchNormalization", "ReLU", "Rescaling", "Softmax")
# In inches: the picture has no scale of its own, so one unit of its axes is one inch.
_LINE = 0.15  # of text
_GAP = 0.36  # between levels
_MARGIN = 0.3
_CHARACTER = 0.076  # of the widest font that a browser may take
_FONT_SIZE = 8.5
_PLAIN, _WEIGHTS = ("#f5f7fa", "#c3ccd6"), ("#e8f0fe", "#7ba3e6")
_EDGE = "#8793a1"


@dataclasses.dataclass(eq=False)
class _Box:
    """Some layers in a row, below the boxes that they take their input from."""

    layers: list[Any]
    parents: list["_Box"]
    level: int

    def lines(self) -> list[str]:
        """Of text: the first layer's two, and one for each layer that follows it."""
        first, *followers = self.layers
        lines = [f"{first.name}: {_size(self.layers[-1].output.shape)}", _described(_kind(first), first)]
        return lines + [_described(f"{layer.name}, {_kind(layer)}", layer) for layer in followers]

    @property
    def width(self) -> float:
        return max(map(len, self.lines())) * _CHARACTER

    @property
    def height(self) -> float:
        return len(self.lines()) * _LINE


def diagram(network: Any) -> str:
    """The SVG text of a functional Keras model."""
    boxes = _boxes(network)
    levels: list[list[_Box]] = [[] for _ in range(1 + max(box.level for box in boxes))]
    for box in boxes:
        levels[box.level].append(box)
    places, height = _places(levels)
    lines = [
        (parent, box, _room_aside(levels[parent.level + 1 : box.level])) for box in boxes for parent in box.parents
    ]
    widest = max(*map(_width, levels), *(2 * aside for _, _, aside in lines))
    axes = _page(widest + 2 * _MARGIN, height)
    for parent, box, aside in lines:
        _draw_line(axes, places[parent], places[box], aside)
    for box in boxes:
        _draw_box(axes, places[box], box)
    total = f"{network.name}: {network.count_params():,} parameters"
    axes.text(0, _MARGIN - height, total, ha="center", fontsize=_FONT_SIZE, fontweight="bold", parse_math=False)
    return _svg(axes.figure, total)


def _boxes(network: Any) -> list[_Box]:
    """In an order in which parents come first."""
    producers: dict[int, Any] = {}
    for layer in network.operations:
        producers.update({id(tensor): layer for tensor in _list(layer.output)})
    parents = {layer: _parents(layer, producers) for layer in network.operations}
    num_children: dict[Any, int] = {}
    for above in parents.values():
        for parent in above:
            num_children[parent] = num_children.get(parent, 0) + 1
    boxes: list[_Box] = []
    box_of: dict[Any, _Box] = {}
    for layer, above in parents.items():
        # Only if it is the one layer that follows: otherwise the lines would not show what goes where.
        if type(layer).__name__ in _FOLLOWERS and len(above) == 1 and num_children[above[0]] == 1:
            box = box_of[above[0]]
            box.layers.append(layer)
        else:
            parent_boxes = [box_of[parent] for parent in above]
            box = _Box([layer], parent_boxes, 1 + max((parent.level for parent in parent_boxes), default=-1))
            boxes.append(box)
        box_of[layer] = box
    return boxes


def _parents(layer: Any, producers: dict[int, Any]) -> list[Any]:
    # An input layer is its own producer.
    return [producers[id(tensor)] for tensor in _list(layer.input) if producers[id(tensor)] is not layer]


def _step(row: list[_Box]) -> float:
    return max(box.width for box in row) + _MARGIN


def _width(row: list[_Box]) -> float:
    return len(row) * _step(row)


def _room_aside(passed: list[list[_Box]]) -> float:
    """How far to the side a line must bend that passes these levels by."""
    return max(map(_width, passed), default=0.0) / 2


def _places(levels: list[list[_Box]]) -> tuple[dict[_Box, tuple[float, float]], float]:
    """(the middle of each box, the height of the page); each level lies around the middle of the page."""
    places, y = {}, -_MARGIN
    for row in levels:
        height = max(box.height for box in row)
        for number, box in enumerate(row):
            places[box] = (number - (len(row) - 1) / 2) * _step(row), y - height / 2
        y -= height + _GAP
    return places, 2 * _MARGIN - y


def _page(width: float, height: float) -> Any:
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-width / 2, width / 2)
    axes.set_ylim(-height, 0)
    return axes


def _draw_box(axes: Any, place: tuple[float, float], box: _Box) -> None:
    fill, edge = _WEIGHTS if any(map(_count, box.layers)) else _PLAIN
    shape = {"boxstyle": "round,pad=0.5", "facecolor": fill, "edgecolor": edge}
    text = "\n".join(box.lines())
    axes.text(*place, text, ha="center", va="center", fontsize=_FONT_SIZE, bbox=shape, zorder=2, parse_math=False)


def _draw_line(axes: Any, start: tuple[float, float], end: tuple[float, float], aside: float) -> None:
    """From box to box, behind both; past boxes that lie between, it bends `aside` to the right."""
    # A curve of matplotlib's arc3 is half as far from the straight line as `rad` times its length.
    rad = 2 * aside / (start[1] - end[1])
    style = {"arrowstyle": "-", "color": _EDGE, "connectionstyle": f"arc3,rad={-rad}", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style, zorder=1)


def _svg(figure: Figure, title: str) -> str:
    file = io.StringIO()
    # Text stays text, and the same network gives the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "digitwise"}):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Title": title, "Date": None})
    return file.getvalue()


def _kind(layer: Any) -> str:
    kind = type(layer).__name__
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if size:
        kind += f" {_size((None, *size))}"
        strides = layer.strides if isinstance(layer.strides, tuple) else (layer.strides,)
        if max(strides) > 1:
            kind += f", strides {_size((None, *strides))}"
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation != "linear" and kind != "Activation":
        kind += f", {activation}"
    return f"{kind} {layer.rate:g}" if hasattr(layer, "rate") else kind


def _described(text: str, layer: Any) -> str:
    count = _count(layer)
    return f"{text} ({count:,} parameters)" if count else text


def _count(layer: Any) -> int:
    return layer.count_params() if hasattr(layer, "count_params") else 0


def _size(shape: tuple) -> str:
    return " x ".join(map(str, shape[1:]))


def _list(tensors: Any) -> list:
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]
