"""Images of any size at the one that a model takes, as its training had them; without TensorFlow.

fit(pixels, height=48, width=160)        # uint8 [48, 160, channels]
"""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Weights = npt.NDArray[np.float32]


def fit(pixels: Pixels, height: int, width: int) -> Pixels:
    """In proportion where it fits, and padded on the right with the mean colour; squeezed where it is too wide."""
    own_height, own_width, channels = pixels.shape
    values = pixels.astype(np.float32)
    # In float32 throughout, as the training computes: float64 would round a few pixels the other way.
    wanted = np.round(np.float32(own_width) * np.float32(height) / np.float32(own_height))
    inner = min(max(int(wanted), 1), width)
    rows = _weights(own_height, height, height)
    columns = _weights(own_width, inner, inner)
    # Rows first: two products of matrices are much faster than NumPy's einsum over three.
    high = (rows @ values.reshape(own_height, -1)).reshape(height, own_width, channels)
    fitted = np.empty((height, width, channels), np.float32)
    fitted[:, :inner] = np.matmul(columns, high)
    fitted[:, inner:] = values.mean(axis=(0, 1))
    return (fitted + np.float32(0.5)).clip(0, 255).astype(np.uint8)


def _weights(size: int, inner: int, places: int) -> Weights:
    """[places, size]: what each old pixel counts for in each new one, a triangle about its place."""
    size_of_pixel = np.float32(size) / np.float32(inner)
    middles = (np.arange(places, dtype=np.float32) + np.float32(0.5)) * size_of_pixel - np.float32(0.5)
    distances = np.abs(middles[:, None] - np.arange(size, dtype=np.float32)[None, :])
    weights = np.maximum(1 - distances / max(size_of_pixel, np.float32(1)), 0)
    normalized: Weights = (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-6)).astype(np.float32)
    return normalized
