"""A network that needs no training: the code stands in the first pixels of an image, one grey value a character.

png("407")                       # an image file in which it reads 407
Reader(StripesNetwork())
"""

import io
import threading

import numpy as np
from PIL import Image

from digitwise.images import InputShape
from digitwise.metadata import ModelMetadata
from digitwise.reader import Outputs

HEIGHT, WIDTH, LENGTH = 8, 12, 3
ALPHABET = "0123456789"


class StripesNetwork:
    """Each third of the image is as bright as its digit says, 20 for each; the lower half says how sure to be."""

    def __init__(self, promise=None, reference=None, wait=None):
        shape = InputShape(HEIGHT, WIDTH, 1, 1)
        self.metadata = ModelMetadata(
            ALPHABET, LENGTH, LENGTH, "positions", shape, promise=promise, reference=reference
        )
        self.batches = []
        self.wait = wait or threading.Event()
        if wait is None:
            self.wait.set()

    def run(self, images):
        self.wait.wait(60)
        self.batches.append(len(images))
        thirds = images[..., 0].reshape(len(images), HEIGHT, LENGTH, WIDTH // LENGTH)
        label_ids = (thirds[:, 0, :, 0] // 20).clip(0, 9).astype(np.int32)
        sure = thirds[:, -1, :, 0].astype(np.float32) / 255
        probabilities = 0.1 + 0.9 * sure
        rest = ((1 - probabilities) / 9)[..., None].clip(1e-9)
        classes = np.where(np.arange(10) == label_ids[..., None], probabilities[..., None], rest)
        return Outputs(label_ids, probabilities, probabilities.prod(axis=1), np.log(classes).astype(np.float32))


def pixels(code, sure=255):
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[:, :] = np.repeat([20 * int(digit) + 5 for digit in code], WIDTH // LENGTH)
    image[HEIGHT // 2 :] = sure
    return image


def png(code, sure=255):
    file = io.BytesIO()
    Image.fromarray(pixels(code, sure)).save(file, "PNG")
    return file.getvalue()


_ONNX = """<ir_version: 8, opset_import: ["" : 17]>
stripes (uint8[n,8,12,1] images) => (
    int32[n,3] label_ids, float[n,3] probabilities, float[n] confidence, float[n,3,10] log_probabilities
) <
    int64 first = {0}, int64 last = {7}, int64[3] thirds = {0, 4, 8}, int64[1] two = {2}, int32 step = {20},
    int32 nine = {9}, float most = {255}, float share = {0.9}, float least = {0.1}, float one = {1},
    int32[10] classes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, float others = {9}, float tiny = {1e-9}
> {
    top = Gather <axis = 1> (images, first)
    tops = Gather <axis = 1> (top, thirds)
    flat = Squeeze (tops, two)
    grey = Cast <to = 6> (flat)
    steps = Div (grey, step)
    label_ids = Min (steps, nine)
    bottom = Gather <axis = 1> (images, last)
    bottoms = Gather <axis = 1> (bottom, thirds)
    flat_bottoms = Squeeze (bottoms, two)
    bright = Cast <to = 1> (flat_bottoms)
    sure = Div (bright, most)
    scaled = Mul (sure, share)
    probabilities = Add (scaled, least)
    confidence = ReduceProd <axes = [1], keepdims = 0> (probabilities)
    wide_ids = Unsqueeze (label_ids, two)
    equal = Equal (wide_ids, classes)
    is_class = Cast <to = 1> (equal)
    wide = Unsqueeze (probabilities, two)
    of_class = Mul (is_class, wide)
    is_other = Sub (one, is_class)
    left = Sub (one, wide)
    each = Div (left, others)
    of_others = Mul (is_other, each)
    mixed = Add (of_class, of_others)
    positive = Max (mixed, tiny)
    log_probabilities = Log (positive)
}"""


def write_onnx(path):
    """The same network as a file."""
    import onnx

    model = onnx.parser.parse_model(_ONNX)
    onnx.helper.set_model_props(model, {"digitwise": StripesNetwork().metadata.to_json()})
    onnx.save(model, path)
