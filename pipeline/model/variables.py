"""The variables of a network or an optimizer as named arrays, and back.

arrays = arrays_of(network=network.variables)
assign_arrays(arrays, network=other.variables)
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from records.errors import DigitwiseError

if TYPE_CHECKING:
    import keras

_SEED_GENERATOR = re.compile(r"\bseed_generator_\d+/")


def arrays_of(**groups: Sequence["keras.Variable"]) -> dict[str, np.ndarray]:
    """{name: array} of groups of Keras variables, such as network=network.variables. Order and path make the name."""
    return {
        name: np.asarray(variable.numpy())
        for group, variables in groups.items()
        for name, variable in zip(_names(group, variables), variables)
    }


def assign_arrays(arrays: Mapping[str, np.ndarray], **groups: Sequence["keras.Variable"]) -> None:
    """Gives variables their arrays; nothing is assigned unless every name, shape and dtype of the groups agrees."""
    pairs = []
    for group, variables in groups.items():
        names = _names(group, variables)
        stored = [name for name in arrays if name.startswith(f"{group}/")]
        if stored != names:
            raise DigitwiseError(
                f"the checkpoint's {group} has other variables than the program's: {_first_difference(stored, names)}"
            )
        pairs += [(name, variable, arrays[name]) for name, variable in zip(names, variables)]
    for name, variable, array in pairs:
        wanted = (tuple(variable.shape), _dtype(variable))
        if (array.shape, array.dtype.name) != wanted:
            raise DigitwiseError(
                f"the checkpoint's {name} is {array.dtype.name} {list(array.shape)}, "
                f"the program's is {wanted[1]} {list(wanted[0])}"
            )
    for _, variable, array in pairs:
        variable.assign(array)


def assign_what_fits(
    arrays: Mapping[str, np.ndarray], network: Sequence["keras.Variable"]
) -> tuple[list[str], list[str]]:
    """(names taken, names left) of a network's variables: taken is what has the same name and shape among the arrays,
    of whatever network they are."""
    given = {name.split("/", 2)[2]: array for name, array in arrays.items() if name.startswith("network/")}
    taken, left = [], []
    for name, variable in zip(_names("network", network), network):
        name = name.split("/", 2)[2]
        array = given.get(name)
        if array is None or array.shape != tuple(variable.shape) or array.dtype.name != _dtype(variable):
            left.append(name)
            continue
        variable.assign(array)
        taken.append(name)
    return taken, left


def _names(group: str, variables: Sequence["keras.Variable"]) -> list[str]:
    # Keras numbers seed generators through the whole process, so those of a second network have other names.
    paths = (_SEED_GENERATOR.sub("seed_generator/", variable.path) for variable in variables)
    return [f"{group}/{i}/{path}" for i, path in enumerate(paths)]


def _dtype(variable: "keras.Variable") -> str:
    return np.asarray(variable.numpy()).dtype.name


def _first_difference(stored: Sequence[str], names: Sequence[str]) -> str:
    for old, new in zip(stored, names):
        if old != new:
            return f"{old} there, {new} here"
    return f"{len(stored)} of them there, {len(names)} here"
