"""How images come into a network: as they are, or each fitted to the size at which it works.

parse = records_parser(manifest, channels=1, fitted=(48, 128))
images, label_ids = parse(serialized)      # uint8 [batch, 48, 128, 1]
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from alexnet.fitting import fit
from records.dataset.manifest import Manifest
from records.dataset.reader import batch_parser

Parser = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def fit_each(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """uint8 [batch, any height, any width, channels] to uint8 [batch, height, width, channels].

    One by one, as that is how images of several sizes are read, and as it is quicker than all at once."""
    shape = [height, width, images.shape[-1]]
    return tf.map_fn(
        lambda image: fit(image, height, width), images, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
    )


def records_parser(manifest: Manifest, channels: int, fitted: tuple[int, int] | None = None) -> Parser:
    """As `batch_parser`, of images at the (height, width) `fitted`; None leaves them as they are."""
    if fitted is None or manifest.image_shape[:2] == fitted:
        return batch_parser(manifest, channels)
    height, width = fitted
    parse = batch_parser(manifest, channels, functools.partial(fit, height=height, width=width))

    def parse_fitted(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, label_ids = parse(serialized)
        return tf.ensure_shape(images, [None, height, width, channels]), label_ids

    return parse_fitted
