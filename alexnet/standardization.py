"""Images of any colours and contrast, made alike: Standardization()(images) -> [batch, height, width, channels + 1]."""

from typing import Any

import keras
from keras import ops

_FLAT = 4.0  # grey levels: images that vary less than that are not made to look as if they had contrast


@keras.saving.register_keras_serializable(package="digitwise")
class Standardization(keras.layers.Layer):
    """Each image less its mean colour and over its deviation; one more channel is the distance from the mean colour.

    The mean is about the ground, so in that channel ink of any colour is high, dark on light and light on dark.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "autocast": False})  # the means of bfloat16 would be coarse

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        pixels = ops.cast(images, "float32")
        pixels = pixels - ops.mean(pixels, axis=(1, 2), keepdims=True)
        # One for all channels: one each would make a faint colour as strong as the ink.
        deviation = ops.sqrt(ops.mean(ops.square(pixels), axis=(1, 2, 3), keepdims=True))
        pixels = pixels / (deviation + _FLAT)
        # Of all 0 the root has no gradient; none is taken today, but the images may be learned some day.
        distance = ops.sqrt(ops.sum(ops.square(pixels), axis=3, keepdims=True) + 1e-3)
        return ops.cast(ops.concatenate([pixels, distance], axis=3), self.compute_dtype)

    def compute_output_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return *shape[:3], shape[3] + 1

    def get_config(self) -> dict[str, Any]:
        settings = super().get_config()
        settings.pop("autocast", None)
        return settings
