"""The whole way from pixels to a code as one TensorFlow function, which the converters turn into files.

graph = ReadingGraph(network, readout, clean, metadata)
graph.read(images)["label_ids"]       # of images uint8 [batch, height, width, channels]
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import keras
import tensorflow as tf

from alexnet.attention import CountingAttention
from alexnet.fitting import fit
from digitwise.metadata import ModelMetadata
from digitwise.model_file import INPUT, LOOKED

_WHITE = 255
_BITS_OFFSET = 24  # in the header of a PNG


class Readout(Protocol):
    def log_probabilities(self, logits: tf.Tensor) -> tf.Tensor: ...

    def decode(self, logits: tf.Tensor) -> Any: ...


class ReadingGraph(tf.Module):
    """What is exported. `network` gives logits, `clean` is applied to the pixels first, as in training."""

    def __init__(
        self,
        network: keras.Model,
        readout: Readout,
        clean: Callable[[tf.Tensor], tf.Tensor],
        metadata: ModelMetadata,
    ) -> None:
        super().__init__(name="digitwise")
        self.network = network
        self.metadata = metadata
        self.readout = readout
        self._clean = clean
        attention = [layer for layer in network.layers if isinstance(layer, CountingAttention)]
        self._attention = attention[0] if attention else None
        # One pass gives the logits, and the columns that the attention looks at.
        self._pass = keras.Model(network.input, [network.output, attention[0].input]) if attention else network
        shape = metadata.shape
        pixels = tf.TensorSpec([None, shape.height, shape.width, shape.channels], tf.uint8, name=INPUT)
        self.read = tf.function(self._read, input_signature=[pixels], autograph=False)
        self.read_pixels = tf.function(self._read_texts, input_signature=[pixels], autograph=False)
        files = tf.TensorSpec([None], tf.string, name="files")
        self.read_files = tf.function(self._read_files, input_signature=[files], autograph=False)

    def with_metadata(self, metadata: ModelMetadata) -> "ReadingGraph":
        """The same network; another threshold becomes part of what it gives."""
        return ReadingGraph(self.network, self.readout, self._clean, metadata)

    def _read(self, images: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """The outputs of every exported file; where the network has an attention, its shares [batch, positions,
        columns] too."""
        passed, looked = self._pass(self._clean(images), training=False), {}
        if self._attention is not None:
            passed, columns = passed
            looked = {LOOKED: tf.transpose(self._attention.shares(columns), [0, 2, 1])}
        logits = passed / self.metadata.temperature
        decoded = self.readout.decode(logits)
        return {
            **looked,
            "label_ids": decoded.label_ids,
            "probabilities": decoded.probabilities,
            "confidence": decoded.confidence,
            "log_probabilities": self.readout.log_probabilities(logits),
        }

    def _read_texts(self, images: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """For TensorFlow Serving: texts in place of numbers, and whether each is accepted."""
        outputs = self._read(images)
        characters = tf.constant(["", *self.metadata.alphabet])  # the padding, -1, is the empty text
        text = tf.strings.reduce_join(tf.gather(characters, outputs["label_ids"] + 1), axis=-1)
        lengths = tf.reduce_sum(tf.cast(outputs["label_ids"] >= 0, tf.int32), axis=-1)
        fits = (lengths >= self.metadata.min_length) & (lengths <= self.metadata.max_length)
        promise = self.metadata.promise
        accepted = fits & (outputs["confidence"] >= promise.threshold) if promise else tf.zeros_like(fits)
        return {
            "text": text,
            "confidence": outputs["confidence"],
            "probabilities": outputs["probabilities"],
            "accepted": accepted,
        }

    def _read_files(self, files: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Of the bytes of PNG and JPEG files."""
        shape = self.metadata.shape
        pixels = tf.TensorSpec([shape.height, shape.width, shape.channels], tf.uint8)
        return self._read_texts(tf.map_fn(self._decoded, files, fn_output_signature=pixels))

    def _decoded(self, data: tf.Tensor) -> tf.Tensor:
        """As digitwise.images does it, but for what TensorFlow cannot: a camera's note that turns the picture."""
        shape = self.metadata.shape
        is_png = tf.strings.substr(data, 0, 4) == b"\x89PNG"
        colors = tf.cond(
            is_png,
            lambda: _on_white(_with_alpha(data)),
            # The accurate DCT is the one that Pillow uses; TensorFlow's default is faster and off by one here and
            # there.
            lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        )
        image = match_channels(colors, shape.stored_channels)
        if shape.fitted:
            return fit(match_channels(image, shape.channels), shape.height, shape.width)
        size = [shape.height, shape.width]
        resized = tf.cond(
            tf.reduce_all(tf.shape(image)[:2] == size),
            lambda: image,
            lambda: _resized(_resized(image, [tf.shape(image)[0], shape.width]), size),
        )
        return match_channels(tf.ensure_shape(resized, [*size, shape.stored_channels]), shape.channels)


def _resized(image: tf.Tensor, size: list[Any]) -> tf.Tensor:
    """Pillow resizes the rows first, and rounds before it resizes the columns: so does who calls this twice."""
    return tf.cast(tf.floor(tf.image.resize(image, size, "bilinear", antialias=True) + 0.5), tf.uint8)


def match_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """1 or 3 channels as `channels`, with the grey of Pillow's mode L."""
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return tf.repeat(image, 3, axis=-1)
    weighted = tf.cast(image, tf.int32) * tf.constant([19595, 38470, 7471])
    return tf.cast((tf.reduce_sum(weighted, axis=-1, keepdims=True) + 0x8000) // 0x10000, tf.uint8)


def _with_alpha(data: tf.Tensor) -> tf.Tensor:
    """RGBA of a PNG. Where it has no alpha, TensorFlow fills in the largest number of its bits, as 15 for 4 bits."""
    rgba = tf.io.decode_png(data, channels=4)
    bits = tf.cast(tf.io.decode_raw(tf.strings.substr(data, _BITS_OFFSET, 1), tf.uint8)[0], tf.int32)
    filler = tf.bitwise.left_shift(1, tf.minimum(bits, 8)) - 1
    is_filled = tf.reduce_all(tf.cast(rgba[..., 3], tf.int32) == filler)
    return tf.where(
        is_filled, tf.concat([rgba[..., :3], tf.fill(tf.shape(rgba[..., :1]), tf.constant(_WHITE, tf.uint8))], -1), rgba
    )


def _on_white(rgba: tf.Tensor) -> tf.Tensor:
    values = tf.cast(rgba, tf.int32)
    alpha = values[..., 3:]
    blended = values[..., :3] * alpha + _WHITE * (_WHITE - alpha)
    return tf.cast((blended + _WHITE // 2) // _WHITE, tf.uint8)
