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
