"""The weights of one training as another begins with them, whose images have other colours, heights or characters.

transfer = Transfer(given.state.spec, own_spec)
transfer.fitted("logits/kernel", array, initial)        # like `initial`, or None where nothing of the array is of use
"""

import dataclasses

import numpy as np

from pipeline.model.spec import ModelSpec

_OUTPUTS = ("logits/kernel", "logits/bias")  # the classifier that all positions, or all columns, share
_KERNEL_AXES = 4  # height, width, features before, features after
_RGB = 3
# Features before of a first kernel that can be taken: those of the image, and perhaps the `Standardization`'s distance
# from the mean colour, which for a grey image is larger by the root of 3 where there are three colours.
_COLORS = ((3, 1), (1, 3), (4, 2), (2, 4))


@dataclasses.dataclass(frozen=True)
class Transfer:
    """From a network that read what `given` says to one that is to read what `own` says."""

    given: ModelSpec
    own: ModelSpec

    def fitted(self, name: str, array: np.ndarray, initial: np.ndarray) -> np.ndarray | None:
        """The array in the shape and type of the variable's `initial` value."""
        fitted = self._characters(array, initial) if name in _OUTPUTS else _kernel(array, initial.shape)
        if fitted is None or fitted.shape != initial.shape or fitted.dtype.kind != initial.dtype.kind:
            return None
        return fitted.astype(initial.dtype, copy=False)

    def _characters(self, array: np.ndarray, initial: np.ndarray) -> np.ndarray | None:
        """Each character as it was learned, in the other case if only that was; unknown ones keep their initial
        value."""
        if array.shape[:-1] != initial.shape[:-1]:
            return None
        before, now = self.given.alphabet, self.own.alphabet
        places = {character.swapcase(): place for place, character in enumerate(before)}
        places |= {character: place for place, character in enumerate(before)}
        known = [(place, places[character]) for place, character in enumerate(now) if character in places]
        if not known:
            return None
        if _has_more(array, before) and _has_more(initial, now) and self.given.readout == self.own.readout:
            known.append((len(now), len(before)))  # the end of a code, or the blank between characters
        fitted = initial.copy()
        for place, learned in known:
            fitted[..., place] = array[..., learned]
        return fitted


def _has_more(array: np.ndarray, alphabet: str) -> bool:
    return int(array.shape[-1]) > len(alphabet)


def _kernel(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """A kernel for grey images from one for colour, or the other way; one that spans another height."""
    if array.shape == shape:
        return array
    if array.ndim != _KERNEL_AXES or len(shape) != _KERNEL_AXES or array.shape[3] != shape[3]:
        return None
    before, now = array.shape[2], shape[2]
    if array.shape[:2] == shape[:2] and (before, now) in _COLORS:
        return _for_colors(array)
    if array.shape[1:3] == shape[1:3]:
        return _as_high(array, shape[0])
    return None


def _for_colors(array: np.ndarray) -> np.ndarray:
    """For the other kind of images; for a grey one, whose three colours are the same, it gives what it did."""
    is_color = array.shape[2] >= _RGB
    count = _RGB if is_color else 1
    colors, distance = array[:, :, :count], array[:, :, count:]
    if is_color:
        return np.concatenate([colors.sum(axis=2, keepdims=True), distance * np.sqrt(_RGB)], axis=2)
    return np.concatenate([np.repeat(colors / _RGB, _RGB, axis=2), distance / np.sqrt(_RGB)], axis=2)


def _as_high(array: np.ndarray, height: int) -> np.ndarray:
    """Resampled along the height, so that it adds up to the same."""
    places = (np.arange(height) + 0.5) * len(array) / height - 0.5
    above = np.clip(np.floor(places).astype(int), 0, len(array) - 1)
    below = np.minimum(above + 1, len(array) - 1)
    share = np.clip(places - above, 0.0, 1.0)[:, None, None, None]
    return (array[above] * (1 - share) + array[below] * share) * (len(array) / height)
