"""Records of a handful of codes, with every code and pixel written out by the test."""

import hashlib
import io

import numpy as np
from PIL import Image

from records.dataset import schema
from records.dataset.manifest import Manifest, Shard
from records.tfrecord.framing import frame

SHAPE = (8, 16, 1)
TRAIN = ["12", "34", "13", "24", "32", "14"]
VALIDATION = ["42"]
TEST = ["31", "44", "43", "22", "11"]


def picture(number, kind="PNG"):
    file = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, SHAPE[:2], np.uint8)
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()


def make_records(folder, train=TRAIN, validation=VALIDATION, test=TEST, picture=picture, shards=2, **given):
    """Records of these codes, in shards by turns; the i-th image of all is drawn from the number i."""
    folder.mkdir(parents=True, exist_ok=True)
    splits, classes, number = {}, {}, 0
    lengths = [len(code) for code in (*train, *validation, *test)]
    for split, codes in (("train", train), ("validation", validation), ("test", test)):
        parts = [[] for _ in range(min(shards, len(codes)))]
        classes[split] = [{} for _ in range(max(lengths))]
        for place, code in enumerate(codes):
            parts[place % shards].append(frame(schema.encode(f"{split}-{place}.png", picture(number), code)))
            number += 1
            for counts, character in zip(classes[split], code):
                counts[character] = counts.get(character, 0) + 1
        splits[split] = []
        for index, part in enumerate(parts):
            data = b"".join(part)
            name = f"codes-{split}.tfrecord-{index:05d}-of-{len(parts):05d}"
            (folder / name).write_bytes(data)
            splits[split].append(Shard(name, len(part), len(data), hashlib.sha256(data).hexdigest()))
    values = {
        "name": "codes", "alphabet": "1234", "min_length": min(lengths), "max_length": max(lengths),
        "height": SHAPE[0], "width": SHAPE[1], "channels": SHAPE[2], "encoding": "encoded", "compression": "",
        "settings": {"drawing": {"seed": 7}}, "versions": {}, "fonts": {},
    }  # fmt: skip
    Manifest(**{**values, **given}, splits=splits, classes=classes).save(folder)
    return Manifest.load(folder)
