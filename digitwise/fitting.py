"""Images of any size at the one that a model takes, as its training had them; without TensorFlow.

fit(pixels, height=48, width=160)        # uint8 [48, 160, channels]
"""

import functools

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]


def fit(pixels: Pixels, height: int, width: int) -> Pixels:
    """In proportion where it fits, and padded on the right with the mean colour; squeezed where it is too wide."""
    own_height, own_width, channels = pixels.shape
    values = pixels.astype(np.float32)
    # In float32 throughout, as the training computes: float64 would round a few pixels the other way.
    wanted = np.round(np.float32(own_width) * np.float32(height) / np.float32(own_height))
    inner = min(max(int(wanted), 1), width)
    high = _resampled(values, height)
    fitted = np.empty((height, width, channels), np.float32)
    fitted[:, :inner] = _resampled(high.swapaxes(0, 1), inner).swapaxes(0, 1)
    fitted[:, inner:] = values.mean(axis=(0, 1))
    return (fitted + np.float32(0.5)).clip(0, 255).astype(np.uint8)


def _resampled(values: Values, places: int) -> Values:
    """[size, ...] to [places, ...]."""
    first, weights = _taps(len(values), places)
    resampled: Values = values[first] * weights[0]
    for number in range(1, len(weights)):
        resampled += values[np.minimum(first + number, len(values) - 1)] * weights[number]
    return resampled


@functools.lru_cache(maxsize=256)  # most images of a task have one of a few sizes
def _taps(size: int, places: int) -> tuple[npt.NDArray[np.intp], Values]:
    """(the first old pixel that each new one takes from [places], what this and each following one counts for [taps,
    places, 1, 1]): a few old pixels, where a product of matrices would multiply all of them, most with nothing."""
    weights = _weights(size, places)
    first = (weights > 0).argmax(axis=1)
    most = int((weights > 0).sum(axis=1).max())
    padded = np.pad(weights, ((0, 0), (0, most)))
    taps = padded[np.arange(places), first + np.arange(most)[:, None]]
    return first, np.ascontiguousarray(taps[..., None, None])


def _weights(size: int, places: int) -> Values:
    """[places, size]: what each old pixel counts for in each new one, a triangle about its place."""
    size_of_pixel = np.float32(size) / np.float32(places)
    middles = (np.arange(places, dtype=np.float32) + np.float32(0.5)) * size_of_pixel - np.float32(0.5)
    distances = np.abs(middles[:, None] - np.arange(size, dtype=np.float32)[None, :])
    weights = np.maximum(1 - distances / max(size_of_pixel, np.float32(1)), 0)
    normalized: Values = (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-6)).astype(np.float32)
    return normalized
