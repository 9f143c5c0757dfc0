"""What is done to every image before a network sees it, in training, test and prediction alike.

    images = CLEANINGS["median_threshold"](images)        # uint8 [batch, height, width, channels], as before

TensorFlow alone, so that it can be part of a graph that is saved; and of its operations those which LiteRT has too.
"""

import tensorflow as tf

from records.dataset.reader import match_channels

_LEVELS = 256


def keep(images):
    return images


def threshold(images):
    """Black and white, cut at the grey level of Otsu: where the two sides differ most. Colours count as their grey."""
    grey = match_channels(images, 1)
    light = tf.cast(grey, tf.int64) > otsu_levels(grey)[:, None, None, None]
    return match_channels(tf.cast(255 * tf.cast(light, tf.int32), tf.uint8), images.shape[-1])


def otsu_levels(grey):
    """int64 [batch]: the last level of the dark side, the lowest such where several are equally good."""
    counts = _histograms(grey)
    dark, dark_sum = tf.cumsum(counts, -1), tf.cumsum(counts * tf.range(_LEVELS, dtype=tf.int64), -1)
    light = dark[:, -1:] - dark
    # The variance between the sides, times the square of the number of pixels; 0 where a side has none.
    apart = tf.cast(dark_sum * dark[:, -1:] - dark_sum[:, -1:] * dark, tf.float32)
    between = tf.math.divide_no_nan(apart * apart, tf.cast(dark, tf.float32) * tf.cast(light, tf.float32))
    return tf.argmax(between, -1)


def _histograms(grey):
    """int64 [batch, levels]: how many pixels of each image have each grey level."""
    batch = tf.shape(grey)[0]
    places = tf.reshape(tf.cast(grey, tf.int32), [batch, -1]) + _LEVELS * tf.range(batch)[:, None]
    places = tf.reshape(places, [-1])  # in one dimension, as ONNX has segments in one only
    counts = tf.math.unsorted_segment_sum(tf.ones_like(places), places, _LEVELS * batch)
    return tf.cast(tf.reshape(counts, [batch, _LEVELS]), tf.int64)


def median(images):
    """The median of 3x3 pixels; the border is repeated outwards."""
    padded = tf.pad(tf.cast(images, tf.float32), [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    # Each column of three is sorted; of the columns' least, middle and greatest pixels only three can be the median.
    least, middle, greatest = _sorted(padded[:, :-2], padded[:, 1:-1], padded[:, 2:])
    _, _, a = _sorted(*_neighbours(least))
    _, b, _ = _sorted(*_neighbours(middle))
    c, _, _ = _sorted(*_neighbours(greatest))
    return tf.cast(_sorted(a, b, c)[1], tf.uint8)


def _neighbours(values):
    return values[:, :, :-2], values[:, :, 1:-1], values[:, :, 2:]


def _sorted(a, b, c):
    """(least, middle, greatest) of three, place by place."""
    low, high = tf.minimum(a, b), tf.maximum(a, b)
    rest = tf.minimum(high, c)
    return tf.minimum(low, rest), tf.maximum(low, rest), tf.maximum(high, c)


CLEANINGS = {
    "none": keep,
    "threshold": threshold,
    "median": median,
    "median_threshold": lambda images: threshold(median(images)),
}
