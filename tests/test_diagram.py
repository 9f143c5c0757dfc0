"""The picture of a network: every layer with its shape and size, and a line for each way through it."""

import xml.etree.ElementTree as ElementTree

import keras
import pytest

from alexnet import NETWORKS
from pipeline.training.diagram import diagram

_SVG = "{http://www.w3.org/2000/svg}"


def _texts(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter(f"{_SVG}text")]


def _count(svg, tag):
    return len(list(ElementTree.fromstring(svg).iter(_SVG + tag)))


def test_a_small_network_from_top_to_bottom():
    images = keras.Input((6, 8, 3), name="images")
    x = keras.layers.Conv2D(5, 3, strides=2, activation="relu", name="conv")(images)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten(name="flat")(x)
    svg = diagram(keras.Model(images, keras.layers.Dense(7, name="logits")(x), name="tiny"))
    assert _texts(svg) == [
        *("images", "6 x 8 x 3", "InputLayer"),
        *("conv", "2 x 3 x 5", "Conv2D 3 x 3, strides 2 x 2, relu", "140 parameters"),
        *("norm: BatchNormalization", "20 parameters"),
        *("flat", "30", "Flatten"),
        *("logits", "7", "Dense", "217 parameters"),
        "tiny: 377 parameters",
    ]
    assert (_count(svg, "rect"), _count(svg, "path")) == (4, 3)


def test_a_line_passes_by_the_layers_between():
    x = keras.Input((4,), name="start")
    branch = keras.layers.Dense(4, name="second")(keras.layers.Dense(4, name="first")(x))
    svg = diagram(keras.Model(x, keras.layers.Add(name="end")([x, branch])))
    # Down the branch 3 lines; past its two layers 2 lines and one more to the end.
    assert (_count(svg, "rect"), _count(svg, "path")) == (4, 6)


def test_names_are_escaped():
    x = keras.Input((4,), name="a")
    svg = diagram(keras.Model(x, keras.layers.Dense(1, name="b")(x), name="a<&b"))
    assert _texts(svg)[-1] == "a<&b: 5 parameters"


@pytest.mark.parametrize("network", NETWORKS)
def test_every_layer_with_weights_is_named(network):
    network = NETWORKS[network]((60, 160, 3), 10, None if network == "crnn" else 4)
    svg = diagram(network)
    texts = _texts(svg)
    named = {text.split(":")[0] for text in texts}
    assert {layer.name for layer in network.layers if layer.weights} <= named
    assert texts[-1] == f"{network.name}: {network.count_params():,} parameters"


@pytest.mark.parametrize("network", NETWORKS)
def test_no_box_covers_another_or_leaves_the_page(network):
    root = ElementTree.fromstring(diagram(NETWORKS[network]((60, 160, 1), 10, None if network == "crnn" else 5)))
    boxes = [[float(rect.get(key)) for key in ("x", "y", "width", "height")] for rect in root.iter(f"{_SVG}rect")]
    for i, (x, y, width, height) in enumerate(boxes):
        assert 0 <= x and x + width <= float(root.get("width"))
        assert 0 <= y and y + height <= float(root.get("height"))
        for other_x, other_y, other_width, other_height in boxes[:i]:
            apart = (
                x >= other_x + other_width
                or other_x >= x + width
                or y >= other_y + other_height
                or other_y >= y + height
            )
            assert apart
