"""The canonical Example of digitwise: the only place where its keys are spelled, encode beside parse.

image   the PNG or JPEG file, or raw uint8 pixels, rows first, channels last
text    the code, in UTF-8
key     what the image is called in its source
"""

from typing import Any

from records.dataset.manifest import Manifest
from records.images.files import RAW
from records.tfrecord import example

IMAGE = "image"
TEXT = "text"
KEY = "key"


def encode(key: str, image: bytes, text: str) -> bytes:
    """The serialized Example of one image."""
    # Sorted by name, as protobuf's deterministic serialization has them.
    return example.encode({IMAGE: image, KEY: key.encode("utf-8"), TEXT: text.encode("utf-8")})


def decode(data: bytes) -> tuple[str, bytes, str]:
    """(key, image bytes, text) of a serialized Example; ValueError says what is wrong with it."""
    features = example.decode(data)
    values = []
    for name in (KEY, IMAGE, TEXT):
        value = features.get(name)
        if value is None:
            raise ValueError(f"it has no {name!r}, only {', '.join(sorted(features)) or 'nothing'}")
        values.append(value)
    return values[0].decode("utf-8"), values[1], values[2].decode("utf-8")


def parse_batch(serialized: Any) -> dict[str, Any]:
    """TensorFlow: serialized Examples [batch] -> {image, text, key}, string tensors [batch]."""
    import tensorflow as tf

    feature = tf.io.FixedLenFeature([], tf.string)
    parsed: dict[str, Any] = tf.io.parse_example(serialized, {IMAGE: feature, TEXT: feature, KEY: feature})
    return parsed


def tfds_features(manifest: Manifest) -> dict[str, Any]:
    """The content of features.json, by which tensorflow-datasets reads the folder."""
    # -1 is how tensorflow-datasets writes a side that varies.
    # Numbers as text: the JSON form of protocol buffers writes 64-bit integers so.
    shape = {"dimensions": [str(-1 if size is None else size) for size in manifest.image_shape]}
    prefix = "tensorflow_datasets.core.features."
    if manifest.encoding == RAW:
        image: dict[str, Any] = {
            "pythonClassName": prefix + "tensor_feature.Tensor",
            "tensor": {"shape": shape, "dtype": "uint8", "encoding": "bytes"},
        }
    else:
        image = {"pythonClassName": prefix + "image_feature.Image", "image": {"shape": shape, "dtype": "uint8"}}
    text = {"pythonClassName": prefix + "text_feature.Text", "text": {}}
    return {
        "pythonClassName": prefix + "features_dict.FeaturesDict",
        "featuresDict": {"features": {IMAGE: image, KEY: text, TEXT: text}},
    }


def tfds_info(manifest: Manifest) -> dict[str, Any]:
    """The content of dataset_info.json, which tells tensorflow-datasets the shards and their lengths."""
    return {
        "name": manifest.name,
        "version": "1.0.0",
        "fileFormat": "tfrecord",
        "moduleName": "digitwise",
        "description": "Images of short codes with their text.",
        "splits": [
            {
                "name": split,
                "shardLengths": [str(shard.count) for shard in shards],
                "numBytes": str(sum(shard.bytes for shard in shards)),
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
            for split, shards in manifest.splits.items()
            if shards  # an empty split has no file that could be read
        ],
    }
