"""The variables of a network or an optimizer as named arrays, and back.

arrays = arrays_of(network=network.variables)
assign_arrays(arrays, network=other.variables)

A checkpoint of a training holds a network three times over: `network/` as the next step takes it, `averages/`, the
running means of that, and `calibrated/`, statistics of batch normalization that fit the means. Codes are read with the
means and their statistics: `reading_arrays`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from records.errors import DigitwiseError

if TYPE_CHECKING:
    import keras

NETWORK, AVERAGES, CALIBRATED = "network", "averages", "calibrated"
# Keras variables, whose order and path make their names; or any others by the rest of their name.
Group: TypeAlias = "Sequence[keras.Variable] | Mapping[str, Any]"

_SEED_GENERATOR = re.compile(r"\bseed_generator_\d+/")


def arrays_of(**groups: Group) -> dict[str, np.ndarray]:
    """{name: array} of groups of variables, such as network=network.variables."""
    return {
        name: np.asarray(variable.numpy())
        for group, variables in groups.items()
        for name, variable in _named(group, variables).items()
    }


def assign_arrays(arrays: Mapping[str, np.ndarray], **groups: Group) -> None:
    """Gives variables their arrays; nothing is assigned unless every name, shape and dtype of the groups agrees."""
    pairs = []
    for group, variables in groups.items():
        named = _named(group, variables)
        names = list(named)
        stored = [name for name in arrays if name.startswith(f"{group}/")]
        # In order too: two networks may have the same names in another order.
        if stored != names:
            raise DigitwiseError(
                f"the checkpoint's {group} has other variables than the program's: {_first_difference(stored, names)}"
            )
        # Assigned only below, when all of them fit: a network half from a checkpoint would still train.
        pairs += [(name, variable, arrays[name]) for name, variable in named.items()]
    for name, variable, array in pairs:
        wanted = (tuple(variable.shape), _dtype(variable))
        if (array.shape, array.dtype.name) != wanted:
            raise DigitwiseError(
                f"the checkpoint's {name} is {array.dtype.name} {list(array.shape)}, "
                f"the program's is {wanted[1]} {list(wanted[0])}"
            )
    for _, variable, array in pairs:
        variable.assign(array)


def reading_arrays(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of `network/` as codes are read with them: as they are, where a checkpoint has no others."""
    read = {}
    for name, array in arrays.items():
        group, _, rest = name.partition("/")
        if group == NETWORK:
            read[name] = arrays.get(f"{CALIBRATED}/{rest}", arrays.get(f"{AVERAGES}/{rest}", array))
    return read


def holds(arrays: Mapping[str, np.ndarray], group: str) -> bool:
    """Whether any of the arrays are of this group."""
    return any(name.startswith(f"{group}/") for name in arrays)


def assign_what_fits(
    arrays: Mapping[str, np.ndarray], network: Sequence["keras.Variable"]
) -> tuple[list[str], list[str]]:
    """(names taken, names left) of a network's variables: taken is what has the same name and shape among the arrays,
    of whatever network they are."""
    given = {name.split("/", 2)[2]: array for name, array in reading_arrays(arrays).items()}
    taken, left = [], []
    for name, variable in _named(NETWORK, network).items():
        name = name.split("/", 2)[2]
        array = given.get(name)
        if array is None or array.shape != tuple(variable.shape) or array.dtype.name != _dtype(variable):
            left.append(name)
            continue
        variable.assign(array)
        taken.append(name)
    return taken, left


def numbered_paths(variables: Sequence["keras.Variable"]) -> list[str]:
    """`3/conv1/kernel`: the names without their group."""
    # Keras numbers seed generators through the whole process, so those of a second network have other names.
    paths = (_SEED_GENERATOR.sub("seed_generator/", variable.path) for variable in variables)
    return [f"{i}/{path}" for i, path in enumerate(paths)]


def _named(group: str, variables: Group) -> dict[str, Any]:
    if not isinstance(variables, Mapping):
        variables = dict(zip(numbered_paths(variables), variables))
    return {f"{group}/{rest}": variable for rest, variable in variables.items()}


def _dtype(variable: Any) -> str:
    return np.asarray(variable.numpy()).dtype.name


def _first_difference(stored: Sequence[str], names: Sequence[str]) -> str:
    for old, new in zip(stored, names):
        if old != new:
            return f"{old} there, {new} here"
    return f"{len(stored)} of them there, {len(names)} here"
