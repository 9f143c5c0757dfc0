"""Whether colour tells a network more than grey does.

input_channels(manifest)        # 1, or 3 where the images need their colours
"""

import io
import itertools

import numpy as np
import numpy.typing as npt
from PIL import Image

from records.dataset import schema
from records.dataset.manifest import Manifest
from records.images.files import RAW
from records.split import SPLITS
from records.tfrecord.framing import read_records

SAMPLE: int = 256  # images of the first shard, whose order is mixed
_LARGEST = 1 << 16  # pixels of an image that are compared
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as images become grey in records.dataset.reader
# In grey, contrast may fall to this share of what it is in colour ...
_MIN_CONTRAST = 0.35
# ... and what stands out may have this much variance beside the line between two colours, of that along it: ink and
# ground are two colours, and lines of a third colour can be told from the ink by it.
_MAX_ASIDE = 0.05
_FEW = 0.02  # the share of images that may need colours while grey is still enough for all
_FLAT = 1.0  # grey levels, squared: images that vary less say nothing


def input_channels(manifest: Manifest) -> int:
    """1 where the records are grey, or where nearly all images lose nothing by becoming grey."""
    if manifest.channels == 1:
        return 1
    split = next(name for name in (*SPLITS, *manifest.splits) if manifest.count(name))
    records = itertools.islice(read_records(manifest.paths(split)[0]), SAMPLE)
    needing = [needs_colour(_pixels(data, manifest)) for _, data in records]
    return 3 if sum(needing) > _FEW * len(needing) else 1


def needs_colour(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether an image uint8 [height, width, 3] has contrast that is lost in grey, or more than two colours."""
    # Every n-th pixel each way: colours can be told from a few, and averaging pixels would mix them.
    step = max(1, int(np.ceil(np.sqrt(pixels.shape[0] * pixels.shape[1] / _LARGEST))))
    colours = pixels[::step, ::step].reshape(-1, 3).astype(np.float64)
    if len(colours) < 2:
        return False
    covariance = np.cov(colours, rowvar=False)
    variance = np.trace(covariance) / 3
    if variance < _FLAT:
        return False
    # The principal components of the colours, the smallest variance first.
    aside, along = np.linalg.eigvalsh(covariance)[1:]
    contrast = np.sqrt(max(_LUMA @ covariance @ _LUMA, 0.0) / variance)
    return bool(contrast < _MIN_CONTRAST or aside > _MAX_ASIDE * along)


def _pixels(data: bytes, manifest: Manifest) -> npt.NDArray[np.uint8]:
    _, image, _ = schema.decode(data)
    if manifest.encoding == RAW:
        return np.frombuffer(image, np.uint8).reshape(manifest.height, manifest.width, 3)
    with Image.open(io.BytesIO(image), formats=("PNG", "JPEG")) as opened:
        return np.asarray(opened.convert("RGB"))
