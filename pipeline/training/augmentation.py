"""Training images, each varied a little: moved, turned, brighter or darker, with noise, blurred. Never
mirrored, which would make other characters of them.

    images = augment(images, numbers, seed=0, strength=1.0)        # uint8 [batch, height, width, channels], as before

What happens to an example is a function of the seed and of its number in the training alone.
"""

import tensorflow as tf

# How far each goes at strength 1: either way, but for noise and blur. They are what people can still read in small
# images of codes; nothing was tuned on data.
RANGES: dict[str, float] = {
    "shift_x": 0.05,  # in parts of the width
    "shift_y": 0.08,  # in parts of the height
    "scale_x": 0.1,
    "scale_y": 0.1,
    "rotation": 0.07,  # radians, 4 degrees
    "shear": 0.1,
    "contrast": 0.2,
    "brightness": 25.0,  # grey levels
    "noise": 8.0,  # standard deviation in grey levels
    "blur": 1.0,  # the share of the mean over 3x3 pixels
}
_NOISE_MEAN, _NOISE_DEVIATION = 127.5, 73.9  # of random bytes


def augment(images: tf.Tensor, numbers: tf.Tensor, seed: int, strength: float) -> tf.Tensor:
    """Images uint8 [batch, height, width, channels], varied `strength` times as far as RANGES says, by the `numbers`
    int64 [batch] of the examples."""
    if not strength:
        return images
    uniform, noise = _sample(numbers, seed, images.shape[1:])
    ranges = strength * tf.constant(list(RANGES.values()))
    change = dict(zip(RANGES, tf.unstack((uniform * ranges)[:, :, None, None, None], axis=1)))
    moved = _move(tf.cast(images, tf.float32), change)
    contrast = 1.0 + change["contrast"]
    blur = tf.clip_by_value(change["blur"], 0.0, 1.0)  # so that half of the images keep their sharpness
    deviation = tf.abs(change["noise"]) / _NOISE_DEVIATION
    # Contrast turns about the middle grey, and the mean of the noise is taken off again: neither makes images brighter.
    lift = 127.5 * (1.0 - contrast) + change["brightness"] - _NOISE_MEAN * deviation
    varied = moved * (contrast * (1.0 - blur)) + tf.nn.avg_pool2d(moved, 3, 1, "SAME") * (contrast * blur)
    varied += tf.cast(noise, tf.float32) * deviation + lift
    return tf.cast(tf.clip_by_value(varied + 0.5, 0.0, 255.0), tf.uint8)


def _sample(numbers: tf.Tensor, seed: int, shape: tf.TensorShape) -> tuple[tf.Tensor, tf.Tensor]:
    """(numbers from -1 to 1 [batch, one for each of RANGES], random bytes uint8 [batch, *shape])."""
    count = len(RANGES)
    size = shape.num_elements()
    words = -(-size // 4)

    def sample(number: tf.Tensor) -> tf.Tensor:
        seeds = tf.stack([tf.constant(seed, tf.int64), number])
        # The algorithm is named, because the one that TensorFlow would choose depends on the device.
        return tf.random.stateless_uniform([count + words], seeds, None, None, tf.int32, alg="philox")

    # One call for each example, with its own seed: random numbers for a batch would depend on which examples are in it.
    bits = tf.map_fn(sample, numbers, fn_output_signature=tf.TensorSpec([count + words], tf.int32))
    noise = tf.reshape(tf.bitcast(bits[:, count:], tf.uint8), [-1, 4 * words])[:, :size]
    return tf.cast(bits[:, :count], tf.float32) / 2.0**31, tf.reshape(noise, [-1, *shape])  # int32 to -1..1


def _move(images: tf.Tensor, change: dict[str, tf.Tensor]) -> tf.Tensor:
    """Shift, scale, rotation and shear about the middle, as one transform from places in the result to places in the
    image. Angles are so small that an angle may stand for its sine; the scale hides what is lost by that."""
    height, width = images.shape[1:3]
    x, y = (width - 1) / 2, (height - 1) / 2
    x_by_x, y_by_y = 1.0 + change["scale_x"], 1.0 + change["scale_y"]
    x_by_y, y_by_x = change["shear"] - change["rotation"], change["rotation"]
    shift_x = change["shift_x"] * width + x - x_by_x * x - x_by_y * y
    shift_y = change["shift_y"] * height + y - y_by_x * x - y_by_y * y
    nothing = tf.zeros_like(shift_x)
    rows = (x_by_x, x_by_y, shift_x, y_by_x, y_by_y, shift_y, nothing, nothing)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.reshape(tf.stack(rows, axis=1), [-1, 8]),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",  # the edge is repeated: black borders would be a sign of augmentation
    )
