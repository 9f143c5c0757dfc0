"""A checkpoint whose network reads stripes right, made in a second without a training.

workdir = make_checkpoint(folder)                   # checkpoints/ and records/
draw_images(folder / "images", 20)                  # ab_0.png ...
"""

import pathlib

import numpy as np
from PIL import Image

from pipeline.workdir import Workdir
from tests.training_fixtures import ALPHABET, LENGTH, make_records, make_state, stripes


def make_checkpoint(folder, train=48, validation=40, test=60, network="three_conv"):
    """A workdir whose checkpoint reads what `stripes` draws: three_conv builds its graph sooner than alexnet."""
    import keras
    import tensorflow as tf

    from pipeline.model.checkpoints import Checkpoints
    from pipeline.model.recognizer import Recognizer
    from pipeline.model.variables import arrays_of

    workdir = Workdir(folder)
    workdir.create()
    manifest = make_records(workdir.records, train=train, validation=validation, test=test)
    # As on a machine that trains in bfloat16: no format of a file knows it, so what is used must not depend on it.
    state = make_state(network=network, fingerprint=manifest.fingerprint, precision="bfloat16")
    keras.utils.set_random_seed(0)
    recognizer = Recognizer(state.spec, precision="float32")
    images, label_ids = labelled(400)
    optimizer = keras.optimizers.Adam(3e-3)
    variables = recognizer.network.trainable_variables

    @tf.function
    def step(batch, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(recognizer.readout.loss(recognizer.network(batch, training=True), labels))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    for start in range(0, 4000, 40):
        rows = np.arange(start, start + 40) % len(images)
        step(tf.constant(images[rows]), tf.constant(label_ids[rows]))
    arrays = arrays_of(network=recognizer.network.variables)
    Checkpoints(workdir.checkpoints).save(100, arrays, state)
    return workdir


def labelled(count, seed=1):
    """(images, label_ids) of random codes."""
    draw = np.random.default_rng(seed)
    label_ids = draw.integers(0, len(ALPHABET), (count, LENGTH), np.int32)
    return np.stack([stripes(text_of(ids), draw) for ids in label_ids]), label_ids


def text_of(label_ids):
    return "".join(ALPHABET[i] for i in label_ids)


def draw_images(folder, count, seed=2):
    """Files named `<code>_<number>.png`; the result is their codes."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    images, label_ids = labelled(count, seed)
    codes = [text_of(ids) for ids in label_ids]
    for number, (image, code) in enumerate(zip(images, codes, strict=True)):
        Image.fromarray(image[..., 0]).save(folder / f"{number:03d}-{code}.png")
    return codes
