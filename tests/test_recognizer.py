"""Reading with what a checkpoint holds."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import choices
from pipeline.config import TrainConfig
from pipeline.model.checkpoints import Checkpoints
from pipeline.model.reading import evaluation_batches, predict_batches
from pipeline.model.recognizer import POLICIES, Recognizer
from pipeline.model.spec import ModelSpec
from pipeline.model.variables import arrays_of
from records.errors import DigitwiseError
from tests.training_fixtures import make_records, make_state, settings_for_tests


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_records(tmp_path_factory.mktemp("records"), test=7)


def spec_of(manifest, **options):
    asked = TrainConfig(**settings_for_tests(**options))
    return ModelSpec.of(asked, manifest, asked.precision)


@pytest.fixture(scope="module")
def recognizer(manifest):
    keras.utils.set_random_seed(0)
    return Recognizer(spec_of(manifest), step=5)


def save(recognizer, folder, *steps, best):
    for step in steps:
        state = make_state(best, spec=recognizer.spec)
        Checkpoints(folder).save(step, arrays_of(network=recognizer.network.variables), state, best)


def test_a_checkpoint_reads_as_the_network_it_was_saved_from(manifest, recognizer, tmp_path):
    save(recognizer, tmp_path, 3, 5, best=3)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 32, 1)).astype(np.uint8)
    expected = recognizer.predict(images)
    loaded = Recognizer.load(tmp_path, "best")
    assert (loaded.step, Recognizer.load(tmp_path, "last").step) == (3, 5)
    assert loaded.image_shape == (16, 32, 1)
    assert loaded.alphabet.characters == "abcd"
    assert loaded.spec == recognizer.spec
    for values, others in zip(loaded.predict(images), expected):
        assert isinstance(values, np.ndarray)
        assert np.array_equal(values, others)
    assert loaded.text(expected.label_ids[0]) == "".join("abcd"[i] for i in expected.label_ids[0])


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_each_example_is_read_once(manifest, recognizer, batch_size):
    strategy = tf.distribute.get_strategy()
    batches = evaluation_batches(manifest, "test", batch_size, 1)
    results = list(predict_batches(strategy, recognizer, batches, images=True))
    indices, label_ids, decoded_ids, probabilities, confidence, images = map(
        np.concatenate, zip(*(result[:6] for result in results))
    )
    assert indices.tolist() == list(range(7))
    expected = recognizer.predict(images)
    assert np.array_equal(decoded_ids, expected.label_ids)
    assert np.allclose(probabilities, expected.probabilities, atol=1e-6)
    assert np.allclose(confidence, expected.confidence, atol=1e-6)
    assert label_ids.shape == (7, 2)
    assert all(result.images is None for result in predict_batches(strategy, recognizer, batches))


def test_images_of_another_shape_are_refused(recognizer):
    with pytest.raises(DigitwiseError, match=r"reads images uint8 \[batch, 16, 32, 1\], not uint8 \[2, 16, 32, 3\]"):
        recognizer.predict(np.zeros((2, 16, 32, 3), np.uint8))
    with pytest.raises(DigitwiseError, match="not float32"):
        recognizer.predict(np.zeros((2, 16, 32, 1), np.float32))


def test_a_network_that_does_not_fit_is_one_line(manifest):
    spec = dataclasses.replace(spec_of(manifest, readout="ctc"), min_length=9, max_length=9)
    expected = (
        r"^--network=alexnet on images of 32x16 \(grey\): The network gives 8 columns, but ctc takes 17 for codes"
    )
    with pytest.raises(DigitwiseError, match=expected):
        Recognizer(spec)


def test_the_precision_is_that_of_one_network_only(manifest):
    before = keras.config.dtype_policy().name
    half = Recognizer(spec_of(manifest, precision="bfloat16"))
    assert half.network.get_layer("conv1").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before
    images = np.zeros((1, 16, 32, 1), np.uint8)
    assert half.predict(images).probabilities.dtype == np.float32


def test_a_checkpoint_is_read_in_float32_whatever_it_was_trained_in(manifest, tmp_path):
    half = Recognizer(spec_of(manifest, precision="bfloat16"))
    save(half, tmp_path, 3, best=3)
    loaded = Recognizer.load(tmp_path)
    assert loaded.spec.precision == "bfloat16", "that of the training"
    assert {layer.compute_dtype for layer in loaded.network.layers if layer.weights} == {"float32"}
    single = Recognizer(spec_of(manifest))
    for variable, value in zip(single.network.variables, half.network.variables, strict=True):
        variable.assign(value)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 32, 1)).astype(np.uint8)
    np.testing.assert_array_equal(loaded.predict(images).probabilities, single.predict(images).probabilities)


def test_images_are_cleaned_wherever_they_are_read(manifest, recognizer, tmp_path):
    spec = spec_of(manifest, cleaning="threshold")
    assert spec.cleaning == "threshold"
    cleaning = Recognizer(spec)
    for variable, other in zip(cleaning.network.variables, recognizer.network.variables, strict=True):
        variable.assign(other)
    save(cleaning, tmp_path, 3, best=3)
    loaded = Recognizer.load(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 32, 1)).astype(np.uint8)
    expected = recognizer.predict(loaded.clean(tf.constant(images)))
    assert not np.array_equal(recognizer.predict(images).probabilities, expected.probabilities)
    assert np.array_equal(loaded.predict(images).probabilities, expected.probabilities)
    batches = evaluation_batches(manifest, "test", 7, 1)
    [read] = predict_batches(tf.distribute.get_strategy(), loaded, batches, images=True)
    assert np.allclose(read.probabilities, loaded.predict(read.images).probabilities, atol=1e-6)
    assert len(np.unique(read.images)) > 2, "what is shown is the image as it is"


def test_a_checkpoint_from_before_there_was_cleaning_has_none(manifest):
    content = spec_of(manifest, cleaning="threshold").to_json()
    del content["cleaning"]
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (2, 16, 32, 1)), tf.uint8)
    assert np.array_equal(Recognizer(ModelSpec.from_json(content)).clean(images), images)


def test_every_precision_in_the_settings_is_known():
    assert ("auto", *POLICIES) == choices.PRECISIONS


def test_a_network_whose_layers_have_changed_since_is_not_read(tmp_path):
    content = make_state(1).spec.to_json()
    assert (content["version"], content["revision"]) == (3, 3)
    del content["revision"]
    older = ModelSpec.from_json({**content, "version": 2})
    assert older.revision == 1
    with pytest.raises(DigitwiseError, match="alexnet as another version of digitwise builds it: train again"):
        Recognizer(older)


@pytest.mark.parametrize("name", ["three_conv", "percent4", "nptu", "vgg", "alexnet_v2"])
def test_a_network_that_no_memory_holds_is_not_built(tmp_path, monkeypatch, name):
    state = make_state(1, network=name, image_shape=(4096, 4096, 3))
    arrays = arrays_of(network=Recognizer(make_state(1, network="three_conv").spec).network.variables)
    Checkpoints(tmp_path).save(1, arrays, state)
    monkeypatch.setattr(Recognizer, "__init__", lambda *_: pytest.fail("it was built"))
    with pytest.raises(DigitwiseError, match="the checkpoint's network"):
        Recognizer.load(tmp_path)
