"""The picture of a network: every layer with its shape and size, and a line for each way through it."""

import collections
import re
from xml.etree import ElementTree

import keras
import pytest

from alexnet import NETWORKS, alexnet_v2
from pipeline.training.diagram import diagram

_SVG = "{http://www.w3.org/2000/svg}"


def _texts(svg):
    return ["".join(text.itertext()).strip() for text in ElementTree.fromstring(svg).iter(f"{_SVG}text")]


def _groups(svg, name):
    """The parts that matplotlib numbers by their kind, such as patch_2: boxes and lines are patches."""
    groups = ElementTree.fromstring(svg).iter(f"{_SVG}g")
    return [group for group in groups if group.get("id", "").startswith(f"{name}_")]


def _fills(svg):
    styles = [path.get("style", "") for group in _groups(svg, "patch") for path in group.iter(f"{_SVG}path")]
    return collections.Counter(style.split(";")[0].removeprefix("fill: ") for style in styles)


def test_a_small_network_from_top_to_bottom():
    images = keras.Input((6, 8, 3), name="images")
    x = keras.layers.Conv2D(5, 3, strides=2, activation="relu", name="conv")(images)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten(name="flat")(x)
    svg = diagram(keras.Model(images, keras.layers.Dense(7, name="logits")(x), name="tiny"))
    assert _texts(svg) == [
        *("images: 6 x 8 x 3", "InputLayer"),
        *("conv: 2 x 3 x 5", "Conv2D 3 x 3, strides 2 x 2, relu (140 parameters)"),
        "norm, BatchNormalization (20 parameters)",
        *("flat: 30", "Flatten"),
        *("logits: 7", "Dense (217 parameters)"),
        "tiny: 377 parameters",
    ]
    # Two boxes without weights and two with them, and the three lines between.
    assert _fills(svg) == {"#ffffff": 1, "#f5f7fa": 2, "#e8f0fe": 2, "none": 3}


def test_a_network_is_drawn_as_the_same_bytes():
    x = keras.Input((4,), name="start")
    network = keras.Model(x, keras.layers.Dense(4, name="end")(x), name="twice")
    assert diagram(network) == diagram(network)


def test_a_line_passes_by_the_layers_between():
    x = keras.Input((4,), name="start")
    branch = keras.layers.Dense(4, name="second")(keras.layers.Dense(4, name="first")(x))
    svg = diagram(keras.Model(x, keras.layers.Add(name="end")([x, branch])))
    lines = [
        path.get("d")
        for group in _groups(svg, "patch")
        for path in group.iter(f"{_SVG}path")
        if "fill: none" in path.get("style")
    ]
    assert len(lines) == 4, "three down the branch, and one past its two layers"
    middle = float(ElementTree.fromstring(svg).get("viewBox").split()[2]) / 2
    bends = [max(abs(x - middle) for x in _xs(line)) for line in lines]
    assert sorted(bend > 50 for bend in bends) == [False, False, False, True]


def _xs(line):
    return [float(number) for number in re.findall(r"(-?[0-9.]+) -?[0-9.]+", line)]


def test_names_are_escaped():
    x = keras.Input((4,), name="a")
    svg = diagram(keras.Model(x, keras.layers.Dense(1, name="b")(x), name="a<&b"))
    assert _texts(svg)[-1] == "a<&b: 5 parameters"


@pytest.fixture(autouse=True)
def narrow_alexnet_v2(monkeypatch):
    """Its layers are what counts here, and not their 46 million parameters, which take seconds to make."""
    monkeypatch.setattr(alexnet_v2, "WIDE", 16)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_layer_with_weights_is_named(network):
    network = NETWORKS[network]((60, 160, 3), 10, None if network == "crnn" else 4)
    texts = _texts(diagram(network))
    named = {re.split("[:,]", text)[0] for text in texts}
    assert {layer.name for layer in network.layers if layer.weights} <= named
    assert texts[-1] == f"{network.name}: {network.count_params():,} parameters"


@pytest.mark.parametrize("network", NETWORKS)
def test_no_box_covers_another_or_leaves_the_page(network):
    root = ElementTree.fromstring(diagram(NETWORKS[network]((60, 160, 1), 10, None if network == "crnn" else 5)))
    _, _, page_width, page_height = map(float, root.get("viewBox").split())
    filled = [path for path in root.iter(f"{_SVG}path") if re.search("fill: #(f5f7fa|e8f0fe)", path.get("style", ""))]
    boxes = [_extent(path.get("d")) for path in filled]
    assert boxes
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert 0 <= left < right <= page_width and 0 <= top < bottom <= page_height
        for other_left, other_top, other_right, other_bottom in boxes[:i]:
            assert left >= other_right or other_left >= right or top >= other_bottom or other_top >= bottom


def _extent(path):
    points = [tuple(map(float, pair)) for pair in re.findall(r"(-?[0-9.]+) (-?[0-9.]+)", path)]
    xs, ys = zip(*points)
    return min(xs), min(ys), max(xs), max(ys)
