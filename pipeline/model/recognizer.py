"""A network with all that it takes to read codes with it: readout, alphabet and image shape.

recognizer = Recognizer.load("workdir/checkpoints", which="best")
decoded = recognizer.predict(images)             # uint8 [batch, height, width, channels]
recognizer.text(decoded.label_ids[0])            # "4071"
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self, TypeAlias

import keras
import numpy as np
import tensorflow as tf

from alexnet import NETWORKS
from alexnet.readout import READOUTS, CtcReadout, Decoded, PositionReadout
from pipeline.machine.devices import gather
from pipeline.model.checkpoints import Checkpoint, Checkpoints
from pipeline.model.cleaning import CLEANINGS
from pipeline.model.intake import fit_each
from pipeline.model.provenance import Provenance
from pipeline.model.spec import ModelSpec
from pipeline.model.variables import assign_arrays, check_forms, reading_arrays
from records.alphabet import Alphabet
from records.errors import DigitwiseError

# Keras' mixed policies compute in 16 bits but keep the weights in float32, so that small updates are not lost.
POLICIES: dict[str, str] = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}

Readout: TypeAlias = PositionReadout | CtcReadout


class Recognizer:
    """`step` is how far its weights were trained; `provenance` is what they were trained from, None where unknown.

    It computes in the precision of the spec, which is that of the training, or in another `precision`."""

    def __init__(
        self, spec: ModelSpec, step: int = 0, provenance: Provenance | None = None, precision: str | None = None
    ) -> None:
        self.spec = spec
        self.step = step
        self.provenance = provenance
        self.alphabet = Alphabet(spec.alphabet)
        self.image_shape = spec.image_shape
        self.readout: Readout = _readout(spec)
        self.network = _build_network(spec, self.readout, precision or spec.precision)
        self.clean = CLEANINGS[spec.cleaning]
        self._predict = tf.function(
            self._decode,
            # With any batch size: otherwise each new size would compile the network once more.
            input_signature=[tf.TensorSpec([None, *self.image_shape], tf.uint8)],
            autograph=False,
        )
        self._fit = _fitting(spec)
        self._predict_shares: tuple[tf.distribute.Strategy, Callable[..., Any]] | None = None

    @classmethod
    def load(cls, checkpoint_folder: str | os.PathLike[str], which: str | int = "best") -> Self:
        """From the `best` checkpoint, the `last`, or that of a step: only arrays are loaded, and no code."""
        return cls.of(Checkpoints(checkpoint_folder).choose(which))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Self:
        """It reads in float32, whatever it was trained in: the same on every machine, and as exported files read."""
        check_arrays(checkpoint)
        state = checkpoint.state
        recognizer = cls(state.spec, checkpoint.step, state.provenance, precision="float32")
        # The averaged weights, where a checkpoint has them, as validation read with them.
        assign_arrays(reading_arrays(checkpoint.arrays), network=recognizer.network.variables)
        return recognizer

    def predict(self, images: np.ndarray) -> Decoded:
        """Decoded as numpy arrays, of images uint8 [batch, height, width, channels]; where the spec fits images, they
        may have any height and width."""
        images = np.asarray(images)
        is_image = images.dtype == np.uint8 and images.ndim == 4 and 0 not in images.shape[1:3]
        if self._fit and is_image and images.shape[3] == self.image_shape[2] and images.shape[1:] != self.image_shape:
            images = self._fit(images).numpy()
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise DigitwiseError(
                f"the network reads images uint8 [batch, {', '.join(map(str, self.image_shape))}], "
                f"not {images.dtype} {list(images.shape)}"
            )
        return Decoded(*(values.numpy() for values in self._predict(images)))

    def text(self, label_ids: Iterable[int]) -> str:
        return self.alphabet.text(int(i) for i in label_ids)

    def share_predictor(self, strategy: tf.distribute.Strategy) -> Callable[..., list[tf.Tensor]]:
        """One compiled function for as many passes as there will be; `predict_batches` uses it."""
        # A function compiled for one strategy does not run under another.
        if self._predict_shares is None or self._predict_shares[0] is not strategy:
            self._predict_shares = strategy, _compile(strategy, self)
        return self._predict_shares[1]

    def logits(self, images: tf.Tensor) -> tf.Tensor:
        """Of images as they are, not cleaned yet."""
        return self.network(self.clean(images), training=False)

    def _decode(self, images: tf.Tensor) -> Decoded:
        return self.readout.decode(self.logits(images))


def check_arrays(checkpoint: Checkpoint) -> None:
    """Raises unless the arrays are those of the network that the spec describes.

    The network is built without values for that: a stranger's spec may describe one that no memory holds."""
    spec = checkpoint.state.spec
    with keras.StatelessScope(initialize_variables=False):
        network = _build_network(spec, _readout(spec), spec.precision)
    check_forms(checkpoint.arrays, network=network.variables)


def _compile(strategy: tf.distribute.Strategy, recognizer: Recognizer) -> Callable[..., list[tf.Tensor]]:
    """Of one batch on all replicas: (mask, indices, label_ids, *decoded), gathered; where asked for, the images and the
    likelihoods of the labels."""

    def predict_share(
        indices: tf.Tensor, images: tf.Tensor, label_ids: tf.Tensor, mask: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        logits = recognizer.logits(images)
        return mask, indices, label_ids, *recognizer.readout.decode(logits), images, logits

    def likelihoods(label_ids: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return recognizer.readout.likelihood(logits, label_ids)

    @tf.function(autograph=False)
    def predict(batch: tuple[tf.Tensor, ...], with_images: bool, with_likelihoods: bool) -> list[tf.Tensor]:
        *results, images, logits = strategy.run(predict_share, args=batch)
        if with_images:
            results.append(images)
        if with_likelihoods:
            results.append(strategy.run(likelihoods, args=(results[2], logits)))
        return [gather(strategy, values) for values in results]

    return predict


def _readout(spec: ModelSpec) -> Readout:
    readout: Readout = READOUTS[spec.readout](len(Alphabet(spec.alphabet)), spec.min_length, spec.max_length)
    return readout


def _fitting(spec: ModelSpec) -> Callable[[np.ndarray], tf.Tensor] | None:
    """What resizes images of any size to the network's; None where the network takes no other size."""
    if spec.fitted is None:
        return None
    height, width = spec.fitted
    return tf.function(
        lambda images: fit_each(images, height, width),
        input_signature=[tf.TensorSpec([None, None, None, spec.image_shape[2]], tf.uint8)],
        autograph=False,
    )


def _build_network(spec: ModelSpec, readout: Readout, precision: str) -> keras.Model:
    spec.check_revision()
    dropout = {} if spec.dropout is None else {"dropout": spec.dropout}
    try:
        with _policy(POLICIES[precision]):
            network = NETWORKS[spec.network](spec.image_shape, readout.num_outputs, readout.num_positions, **dropout)
        readout.check_fits(network.output_shape)
    except ValueError as error:
        raise DigitwiseError(f"--network={spec.network} on images of {spec.described_size}: {error}") from None
    return network


@contextlib.contextmanager
def _policy(name: str) -> Iterator[None]:
    """Keras keeps the precision for new layers in a global; here it is set for one network only."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
