import io
import json
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.conversion.convert import convert
from pipeline.drawing.files import generate
from records.dataset import schema
from records.dataset.manifest import Manifest
from records.dataset.reader import decode_images, read_in_order
from records.images.files import ENCODED, RAW
from records.tfrecord.framing import read_records


def test_encode_and_decode():
    data = schema.encode("a/1.png", b"\x00\xff", "4\u00e9")
    assert schema.decode(data) == ("a/1.png", b"\x00\xff", "4\u00e9")


def test_what_is_missing_is_named():
    from records.tfrecord import example

    with pytest.raises(ValueError, match="no 'text', only image, key"):
        schema.decode(example.encode({"image": b"", "key": b""}))


def test_tensorflow_parses_the_same():
    batch = tf.constant([schema.encode("a", b"12", "0"), schema.encode("b", b"3", "99")])
    parsed = schema.parse_batch(batch)
    assert parsed["image"].numpy().tolist() == [b"12", b"3"]
    assert parsed["text"].numpy().tolist() == [b"0", b"99"]
    assert parsed["key"].numpy().tolist() == [b"a", b"b"]


@pytest.fixture(params=["auto", "raw", "jpeg"])
def records(request, workdir, make_config):
    config = make_config(30, image_format=request.param)
    generate(config, workdir)
    convert(config, workdir)
    return Manifest.load(workdir.records)


def test_a_split_is_read_shard_after_shard(records):
    ours = [data for path in records.paths("train") for _, data in read_records(path)]
    dataset = read_in_order(records, "train")
    assert dataset.cardinality().numpy() == records.count("train") == len(ours)
    assert list(dataset.as_numpy_iterator()) == list(dataset.as_numpy_iterator()) == ours


def test_tensorflow_datasets_reads_the_folder(records):
    tfds = pytest.importorskip("tensorflow_datasets")
    builder = tfds.builder_from_directory(str(records.folder))
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {
        split: records.count(split) for split in ("train", "validation", "test")
    }
    read = {item["key"]: item for item in tfds.as_numpy(builder.as_dataset("train"))}
    for path in records.paths("train"):
        for _, data in read_records(path):
            key, image, text = schema.decode(data)
            item = read.pop(key.encode())
            assert item["text"] == text.encode()
            if records.encoding == RAW:
                expected = np.frombuffer(image, np.uint8).reshape(records.image_shape)
            else:
                expected = tf.io.decode_image(image).numpy()
            assert (item["image"] == expected).all()
    assert not read


def test_packed_records_are_no_tfds_folder(workdir, make_config):
    config = make_config(30, compression="gzip")
    generate(config, workdir)
    convert(config, workdir)
    assert not (workdir.records / "features.json").exists()
    manifest = Manifest.load(workdir.records)
    assert read_in_order(manifest, "train").reduce(0, lambda n, _: n + 1).numpy() == manifest.count("train")
    assert json.loads((workdir.records / "manifest.json").read_text())["compression"] == "gzip"


@pytest.mark.parametrize("mode, format", [("L", "PNG"), ("RGB", "PNG"), ("L", "JPEG"), ("RGB", "JPEG")])
def test_pixels_are_those_that_pillow_reads(mode, format):
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, len(mode)), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise.squeeze()).resize((50, 30)).save(file, format)
    manifest = types.SimpleNamespace(image_shape=(30, 50, len(mode)), encoding=ENCODED)
    [pixels] = decode_images(tf.constant([file.getvalue()]), manifest, len(mode)).numpy()
    assert np.array_equal(pixels.squeeze(), Image.open(file))
