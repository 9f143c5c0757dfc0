"""Some images of a split with their codes, to try a model with; read without TensorFlow.

Examples(manifest, "test").take(8)      # [(image, text), ...], others at each call
"""

import io
import itertools
import random

import numpy as np
from PIL import Image

from records.dataset import schema
from records.dataset.manifest import Manifest
from records.images.files import RAW
from records.tfrecord.framing import read_records

MOST = 32  # of one request, as it reads the records from their beginning
_AMONG = 5_000  # the first of the split: records are read in order


class Examples:
    def __init__(self, manifest: Manifest, split: str) -> None:
        self.split = split
        self._manifest = manifest
        self.count = manifest.count(split)

    def take(self, count: int, seed: int | None = None) -> list[tuple[bytes, str]]:
        """The images as files."""
        count = min(count, self.count, MOST)
        chosen = set(random.Random(seed).sample(range(min(self.count, _AMONG)), count))
        found = []
        records = itertools.chain.from_iterable(map(read_records, self._manifest.paths(self.split)))
        for number, (_, data) in enumerate(records):
            if number in chosen:
                _, image, text = schema.decode(data)
                found.append((self._file(image), text))
                if len(found) == count:
                    break
        return found

    def _file(self, image: bytes) -> bytes:
        if self._manifest.encoding != RAW:
            return image
        pixels = np.frombuffer(image, np.uint8).reshape(
            self._manifest.height, self._manifest.width, self._manifest.channels
        )
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
        return file.getvalue()
