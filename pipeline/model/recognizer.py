"""A network with all that it takes to read codes with it: readout, alphabet and image shape.

recognizer = Recognizer.load("workdir/checkpoints", which="best")
decoded = recognizer.predict(images)             # uint8 [batch, height, width, channels]
recognizer.text(decoded.label_ids[0])            # "4071"
"""

import contextlib
import itertools

import keras
import numpy as np
import tensorflow as tf

from alexnet import NETWORKS
from alexnet.readout import READOUTS, Decoded
from pipeline.machine.devices import gather
from pipeline.model.checkpoints import Checkpoints, assign_arrays
from pipeline.model.cleaning import CLEANINGS
from pipeline.model.shares import Part
from pipeline.training.batches import shares_of_batches
from records.alphabet import Alphabet
from records.errors import DigitwiseError

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


class Recognizer:
    """`settings` holds, among others, `network`: the dict that `network_settings` makes, from which it is built."""

    def __init__(self, settings, step=0):
        network = settings["network"]
        self.settings = settings
        self.step = step
        self.alphabet = Alphabet(network["alphabet"])
        self.image_shape = tuple(network["image_shape"])
        self.readout = READOUTS[network["readout"]](len(self.alphabet), network["min_length"], network["max_length"])
        self.network = _build_network(network, self.image_shape, self.readout)
        self.clean = CLEANINGS[network.get("cleaning", "none")]  # what was trained before there were any has no key
        self._predict = tf.function(
            self._decode,
            input_signature=[tf.TensorSpec([None, *self.image_shape], tf.uint8)],
            autograph=False,
        )
        self._predict_shares = None

    @classmethod
    def load(cls, checkpoint_folder, which="best"):
        """From the `best` checkpoint, the `last`, or that of a step: our own code and arrays, nothing that runs."""
        checkpoint = Checkpoints(checkpoint_folder).choose(which)
        recognizer = cls(checkpoint.state["settings"], checkpoint.step)
        assign_arrays(checkpoint.arrays, network=recognizer.network.variables)
        return recognizer

    def predict(self, images):
        """Decoded as numpy arrays, of images uint8 [batch, height, width, channels]."""
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape:
            raise DigitwiseError(
                f"the network reads images uint8 [batch, {', '.join(map(str, self.image_shape))}], "
                f"not {images.dtype} {list(images.shape)}"
            )
        return Decoded(*(values.numpy() for values in self._predict(images)))

    def text(self, label_ids):
        return self.alphabet.text(int(i) for i in label_ids)

    def _decode(self, images):
        return self.readout.decode(self.network(self.clean(images), training=False))

    def share_predictor(self, strategy):
        """One compiled function for as many passes as there will be; `predict_batches` uses it."""
        if self._predict_shares is None or self._predict_shares[0] is not strategy:
            self._predict_shares = strategy, _compile(strategy, self._decode)
        return self._predict_shares[1]


def network_settings(manifest, network, readout, channels, dropout, precision, cleaning="none"):
    """What a Recognizer is built from, as JSON has it."""
    return {
        "network": network,
        "readout": readout,
        "alphabet": manifest.alphabet,
        "min_length": manifest.min_length,
        "max_length": manifest.max_length,
        "image_shape": [manifest.height, manifest.width, channels],
        "dropout": dropout,
        "precision": precision,
        "cleaning": cleaning,
    }


def predict_batches(strategy, recognizer, batches, images=False):
    """Yields (indices, label_ids, decoded_ids, probabilities, confidence), and the images where asked for, as numpy
    arrays: each example of `evaluation_batches` once, whatever the number of replicas and workers."""
    predict = recognizer.share_predictor(strategy)
    distributed = strategy.distribute_datasets_from_function(
        lambda context: shares_of_batches(batches, Part.of(context))
    )
    iterator = iter(distributed)
    # The number of batches is known, so no worker is ever alone in asking for one more.
    for _ in itertools.repeat(None, int(batches.cardinality())):
        mask, *results = (values.numpy() for values in predict(next(iterator), images))
        yield tuple(values[mask] for values in results)


def _compile(strategy, decode):
    """Of one batch on all replicas: (mask, indices, label_ids, *decoded), gathered, and the images where asked for."""

    def predict_share(indices, images, label_ids, mask):
        return mask, indices, label_ids, *decode(images), images

    @tf.function(autograph=False)
    def predict(batch, with_images):
        results = strategy.run(predict_share, args=batch)
        return [gather(strategy, values) for values in (results if with_images else results[:-1])]

    return predict


def _build_network(settings, image_shape, readout):
    dropout = {} if settings["dropout"] is None else {"dropout": settings["dropout"]}
    try:
        with _policy(POLICIES[settings["precision"]]):
            network = NETWORKS[settings["network"]](image_shape, readout.num_outputs, readout.num_positions, **dropout)
        readout.check_fits(network.output_shape)
    except ValueError as error:
        raise DigitwiseError(f"--network={settings['network']} on images of {_size(image_shape)}: {error}") from None
    return network


def _size(image_shape):
    height, width, channels = image_shape
    return f"{width}x{height} ({'grey' if channels == 1 else 'colour'})"


@contextlib.contextmanager
def _policy(name):
    """Keras keeps the precision for new layers in a global; here it is set for one network only."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
