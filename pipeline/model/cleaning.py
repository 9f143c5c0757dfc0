"""What is done to every image before a network sees it, in training, test and prediction alike.

    images = CLEANINGS["median_threshold"](images)        # uint8 [batch, height, width, channels], as before

TensorFlow alone, so that it can be part of a graph that is saved; and of its operations those which LiteRT has too.
"""

from collections.abc import Callable

import tensorflow as tf

from records.dataset.reader import match_channels

_LEVELS = 256


def keep(images: tf.Tensor) -> tf.Tensor:
    return images


def threshold(images: tf.Tensor) -> tf.Tensor:
    """Black and white, cut at the grey level of Otsu: where the two sides differ most. Colours count as their grey."""
    grey = match_channels(images, 1)
    light = tf.cast(grey, tf.int64) > otsu_levels(grey)[:, None, None, None]
    return match_channels(tf.cast(255 * tf.cast(light, tf.int32), tf.uint8), images.shape[-1])


def otsu_levels(grey: tf.Tensor) -> tf.Tensor:
    """int64 [batch]: the last level of the dark side, the lowest such where several are equally good."""
    # In whole numbers of 64 bits: 16 million pixels times 255 times as many do not fit in fewer, and floats would
    # round.
    counts = _histograms(grey)
    dark, dark_sum = tf.cumsum(counts, -1), tf.cumsum(counts * tf.range(_LEVELS, dtype=tf.int64), -1)
    light = dark[:, -1:] - dark
    # The variance between the sides, times the square of the number of pixels; 0 where a side has none.
    apart = tf.cast(dark_sum * dark[:, -1:] - dark_sum[:, -1:] * dark, tf.float32)
    between = tf.math.divide_no_nan(apart * apart, tf.cast(dark, tf.float32) * tf.cast(light, tf.float32))
    return tf.argmax(between, -1)


def _histograms(grey: tf.Tensor) -> tf.Tensor:
    """int64 [batch, levels]: how many pixels of each image have each grey level."""
    batch = tf.shape(grey)[0]
    places = tf.reshape(tf.cast(grey, tf.int32), [batch, -1]) + _LEVELS * tf.range(batch)[:, None]
    places = tf.reshape(places, [-1])  # in one dimension, as ONNX has segments in one only
    counts = tf.math.unsorted_segment_sum(tf.ones_like(places), places, _LEVELS * batch)
    return tf.cast(tf.reshape(counts, [batch, _LEVELS]), tf.int64)


def median(images: tf.Tensor) -> tf.Tensor:
    """The median of 3x3 pixels; the border is repeated outwards."""
    # In float32, in which whole numbers up to 255 are exact and minimum and maximum exist in every export format.
    padded = tf.pad(tf.cast(images, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    # Each column of three is sorted. The median of all nine is the median of three of them: the largest of the columns'
    # smallest pixels, the middle one of their middle pixels, and the smallest of their largest pixels.
    low, middle, high = _sorted(padded[:, :-2], padded[:, 1:-1], padded[:, 2:])
    _, _, a = _sorted(*_neighbours(low))
    _, b, _ = _sorted(*_neighbours(middle))
    c, _, _ = _sorted(*_neighbours(high))
    return tf.cast(_sorted(a, b, c)[1], tf.uint8)


def _neighbours(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    return values[:, :, :-2], values[:, :, 1:-1], values[:, :, 2:]


def _sorted(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(smallest, middle, largest) of three, place by place."""
    low, high = tf.minimum(a, b), tf.maximum(a, b)
    rest = tf.minimum(high, c)
    return tf.minimum(low, rest), tf.maximum(low, rest), tf.maximum(high, c)


CLEANINGS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "none": keep,
    "threshold": threshold,
    "median": median,
    "median_threshold": lambda images: threshold(median(images)),
}
