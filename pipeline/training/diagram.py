"""A picture of a network: its layers from top to bottom with their shapes and parameters, as SVG text.

pathlib.Path("network.svg").write_text(diagram(network))

A layer that only follows on another (a norm, an activation, dropout) stands in the same box. The colours follow the
reader's light or dark theme.
"""

import dataclasses
from xml.sax.saxutils import escape

_FOLLOWERS = ("Activation", "BatchNormalization", "Dropout", "FusedBatchNormalization", "ReLU", "Rescaling", "Softmax")
_LINE = 17  # pixels, of text
_PADDING = 9
_GAP = 26  # between levels
_LANE = 18  # the width of a line that passes a level by
_MARGIN = 20
_CHARACTER = 7.3  # pixels, of the widest text a box has
_STYLE = """
svg { background: #ffffff; font: 12px sans-serif; }
rect { fill: #f5f7fa; stroke: #c3ccd6; }
rect.weights { fill: #e8f0fe; stroke: #7ba3e6; }
text { fill: #1b2430; }
.name { font-weight: bold; }
.faint { fill: #566373; }
.right { text-anchor: end; }
.middle { text-anchor: middle; }
path { fill: none; stroke: #8793a1; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  svg { background: #182029; }
  rect { fill: #202a35; stroke: #465361; }
  rect.weights { fill: #1d3050; stroke: #4c76b8; }
  text { fill: #e6ebf1; }
  .faint { fill: #a5b1bf; }
  path { stroke: #7d8a99; }
}
"""


@dataclasses.dataclass(eq=False)
class _Box:
    """Some layers in a row; without any, a place where a line passes a level by."""

    layers: list
    parents: list
    level: int
    x: float = 0.0  # its middle
    y: float = 0.0  # its top
    width: float = _LANE
    height: float = 0.0


def diagram(network):
    """The SVG text of a functional Keras model."""
    boxes = _boxes(network)
    width = _text_width(boxes)
    levels = _levels(boxes)
    for level in levels:
        for box in level:
            if box.layers:
                box.width, box.height = width, 2 * _PADDING + _LINE * len(_rows(box))
    page_width, page_height = _place(levels)
    drawn = [_drawn_box(box) for box in boxes]
    lines = [_drawn_line(parent, box) for level in levels for box in level for parent in box.parents]
    total = f"{network.name}: {network.count_params():,} parameters"
    page_height += _LINE + _MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{page_width:.0f}" height="{page_height:.0f}" '
            f'viewBox="0 0 {page_width:.0f} {page_height:.0f}">',
            f"<title>{escape(total)}</title>",
            f"<style>{_STYLE}</style>",
            *lines,
            *drawn,
            _text(page_width / 2, page_height - _MARGIN, total, "name middle"),
            "</svg>",
            "",
        ]
    )


def _boxes(network):
    """In an order in which parents come first."""
    producers, num_children = {}, {}
    for layer in network.operations:
        producers.update({id(tensor): layer for tensor in _list(layer.output)})
    parents = {layer: _parents(layer, producers) for layer in network.operations}
    for layer in network.operations:
        for parent in parents[layer]:
            num_children[parent] = num_children.get(parent, 0) + 1
    boxes, box_of = [], {}
    for layer in network.operations:
        above = parents[layer]
        if type(layer).__name__ in _FOLLOWERS and len(above) == 1 and num_children[above[0]] == 1:
            box = box_of[above[0]]
            box.layers.append(layer)
        else:
            parent_boxes = [box_of[parent] for parent in above]
            box = _Box([layer], parent_boxes, 1 + max((parent.level for parent in parent_boxes), default=-1))
            boxes.append(box)
        box_of[layer] = box
    return boxes


def _parents(layer, producers):
    inputs = _list(layer.input)
    return [producers[id(tensor)] for tensor in inputs if producers[id(tensor)] is not layer]


def _levels(boxes):
    """Boxes by level; a line over several levels gets a lane in each of those between."""
    levels = [[] for _ in range(1 + max(box.level for box in boxes))]
    for box in boxes:
        levels[box.level].append(box)
    for box in boxes:
        for place, parent in enumerate(box.parents):
            for level in range(parent.level + 1, box.level):
                parent = _Box([], [parent], level)
                levels[level].append(parent)
            box.parents[place] = parent
    return levels


def _place(levels):
    """Gives all boxes their places, each level in the middle; returns width and height of what they take."""
    widths = [sum(box.width for box in level) + _MARGIN * (len(level) - 1) for level in levels]
    page_width = max(widths) + 2 * _MARGIN
    y = _MARGIN
    for level, width in zip(levels, widths):
        level.sort(key=lambda box: sum(parent.x for parent in box.parents) / max(1, len(box.parents)))
        x, height = (page_width - width) / 2, max(box.height for box in level)
        for box in level:
            box.x, box.y = x + box.width / 2, y
            box.height = box.height or height
            x += box.width + _MARGIN
        y += height + _GAP
    return page_width, y - _GAP + _MARGIN


def _rows(box):
    """(left, right, class) of each line of text: the first layer's two, and one for each that follows on it."""
    first, *followers = box.layers
    size = _size(box.layers[-1].output.shape)
    rows = [(first.name, size, "name"), (_kind(first), _parameters(first), "faint")]
    return rows + [(f"{layer.name}: {_kind(layer)}", _parameters(layer), "faint") for layer in followers]


def _text_width(boxes):
    characters = max(len(left) + len(right) + 3 for box in boxes for left, right, _ in _rows(box))
    return round(characters * _CHARACTER + 2 * _PADDING)


def _drawn_box(box):
    left, right = box.x - box.width / 2, box.x + box.width / 2
    kind = ' class="weights"' if any(_count(layer) for layer in box.layers) else ""
    parts = [f'<rect{kind} x="{left:.1f}" y="{box.y}" width="{box.width}" height="{box.height}" rx="6"/>']
    for number, (text, figure, style) in enumerate(_rows(box), 1):
        y = box.y + _PADDING + _LINE * number - 4
        parts.append(_text(left + _PADDING, y, text, style))
        if figure:
            parts.append(_text(right - _PADDING, y, figure, f"{'faint' if number > 1 else ''} right".strip()))
    return "\n".join(parts)


def _drawn_line(parent, box):
    through = "" if box.layers else f" V {box.y + box.height}"
    return f'<path d="M {parent.x:.1f} {parent.y + parent.height} L {box.x:.1f} {box.y}{through}"/>'


def _text(x, y, text, style):
    return f'<text x="{x:.1f}" y="{y}" class="{style}">{escape(text)}</text>'


def _kind(layer):
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


def _parameters(layer):
    count = _count(layer)
    return f"{count:,} parameters" if count else ""


def _count(layer):
    return layer.count_params() if hasattr(layer, "count_params") else 0


def _size(shape):
    return " x ".join(map(str, shape[1:]))


def _list(tensors):
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]
