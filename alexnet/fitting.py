"""Images of any size, at the one that a network takes: fit(images, height=48, width=160).

Two products of matrices, so that it is the same in training and in every export: TensorFlow's own resizing with
antialiasing has no counterpart in ONNX or LiteRT, and without it small characters break up.
"""

import tensorflow as tf


def fit(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """uint8 [..., any height, any width, channels] to uint8 [..., height, width, channels].

    In proportion where it fits, and padded on the right with the mean colour; squeezed where it is too wide."""
    pixels = tf.cast(images, tf.float32)
    own_height, own_width = tf.shape(images)[-3], tf.shape(images)[-2]
    wanted = tf.cast(own_width, tf.float32) * height / tf.cast(own_height, tf.float32)
    inner = tf.clip_by_value(tf.round(wanted), 1.0, float(width))  # columns that the image itself takes
    rows = _weights(own_height, tf.constant(float(height)), height)
    columns = _weights(own_width, inner, width)
    resized = _resized(pixels, rows, columns)
    is_inside = tf.cast(tf.range(width), tf.float32)[:, None] < inner
    means = tf.reduce_mean(pixels, axis=(-3, -2), keepdims=True)
    fitted = tf.where(is_inside, resized, means)
    # + 0.5, because the conversion to whole numbers cuts off.
    fitted = tf.cast(tf.clip_by_value(fitted + 0.5, 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(fitted, [*images.shape[:-3], height, width, images.shape[-1]])


def _resized(pixels: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """[..., h, w, c] by [y, h] and [x, w] to [..., y, x, c]. An einsum of all three takes up to twice as long."""
    by_channel = [
        tf.matmul(rows, tf.matmul(channel, columns, transpose_b=True)) for channel in tf.unstack(pixels, axis=-1)
    ]
    return tf.stack(by_channel, axis=-1)


def _weights(size: tf.Tensor, inner: tf.Tensor, places: int) -> tf.Tensor:
    """[places, size]: what each old pixel counts for in each new one, of which the first `inner` cover the old ones.

    A triangle about the new pixel's place: between its neighbours where images grow, over all it covers where they
    shrink."""
    size_of_pixel = tf.cast(size, tf.float32) / inner
    middles = (tf.range(places, dtype=tf.float32) + 0.5) * size_of_pixel - 0.5
    distances = tf.abs(middles[:, None] - tf.cast(tf.range(size), tf.float32)[None, :])
    # Never narrower than one old pixel, or a new pixel between two old ones would see neither.
    weights = tf.maximum(1.0 - distances / tf.maximum(size_of_pixel, 1.0), 0.0)
    # At the borders part of the triangle is outside of the image; beyond `inner` all of it may be.
    return weights / tf.maximum(tf.reduce_sum(weights, axis=1, keepdims=True), 1e-6)
