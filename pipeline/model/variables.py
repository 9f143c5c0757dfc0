"""The variables of a network or an optimizer as named arrays, and back.

arrays = arrays_of(network=network.variables)
assign_arrays(arrays, network=other.variables)

A checkpoint of a training holds a network three times over: `network/` as the next step takes it, `averages/`, the
running means of that, and `calibrated/`, statistics of batch normalization that fit the means. Codes are read with the
means and their statistics: `reading_arrays`. `remembered/` says how the images of the train split were read last.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pipeline.model.checkpoint_files import ArrayForm, StoredArrays
from records.errors import DigitwiseError

if TYPE_CHECKING:
    import keras

NETWORK, AVERAGES, CALIBRATED, REMEMBERED = "network", "averages", "calibrated", "remembered"
# Keras variables, whose order and path make their names; or any others by the rest of their name.
Group: TypeAlias = "Sequence[keras.Variable] | Mapping[str, Any]"
# (name, array, initial value of the variable) to what it is to begin with, or None.
Fit: TypeAlias = Callable[[str, np.ndarray, np.ndarray], np.ndarray | None]

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
    pairs = check_forms(arrays, **groups)
    # All are read, and looked at, before any is assigned: a network half from a checkpoint would still train.
    for variable, array in [(variable, _finite(arrays, name)) for name, variable in pairs]:
        variable.assign(array)


def check_forms(arrays: Mapping[str, np.ndarray], **groups: Group) -> list[tuple[str, Any]]:
    """[(name, variable)] of all groups; raises unless the names, shapes and dtypes of the arrays agree with them. The
    variables need no values for that."""
    pairs: list[tuple[str, Any]] = []
    for group, variables in groups.items():
        named = _named(group, variables)
        names = list(named)
        stored = [name for name in arrays if name.startswith(f"{group}/")]
        # In order too: two networks may have the same names in another order.
        if stored != names:
            raise DigitwiseError(
                f"the checkpoint's {group} has other variables than the program's: {_first_difference(stored, names)}"
            )
        pairs += named.items()
    for name, variable in pairs:
        (dtype, shape), (wanted, needed) = form_of(arrays, name), _form(variable)
        if (dtype, shape) != (wanted, needed):
            raise DigitwiseError(
                f"the checkpoint's {name} is {dtype} {list(shape)}, the program's is {wanted} {list(needed)}"
            )
    return pairs


def form_of(arrays: Mapping[str, np.ndarray], name: str) -> ArrayForm:
    """(name of the dtype, shape) of one of the arrays, which is not read for that where it is stored."""
    if isinstance(arrays, StoredArrays):
        return arrays.form(name)
    return arrays[name].dtype.name, arrays[name].shape


def reading_arrays(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The arrays of `network/` as codes are read with them: as they are, where a checkpoint has no others."""
    names = {}
    for name in arrays:
        group, _, rest = name.partition("/")
        if group == NETWORK:
            better = (f"{CALIBRATED}/{rest}", f"{AVERAGES}/{rest}")
            names[name] = next((other for other in better if other in arrays), name)
    if isinstance(arrays, StoredArrays):
        return arrays.renamed(names)
    return {new: arrays[name] for new, name in names.items()}


def holds(arrays: Mapping[str, np.ndarray], group: str) -> bool:
    """Whether any of the arrays are of this group."""
    return any(name.startswith(f"{group}/") for name in arrays)


def assign_what_fits(
    arrays: Mapping[str, np.ndarray], network: Sequence["keras.Variable"], fit: Fit
) -> tuple[list[str], list[str]]:
    """(names taken, names left) of a network's variables: taken is what has a name among the arrays, of whatever
    network they are, and what `fit` makes fit."""
    given = reading_arrays(arrays)
    names = {name.split("/", 2)[-1]: name for name in given}
    taken, left = [], []
    for name, variable in _named(NETWORK, network).items():
        name = name.split("/", 2)[2]
        fitted = fit(name, _finite(given, names[name]), variable.numpy()) if name in names else None
        if fitted is None:
            left.append(name)
            continue
        variable.assign(fitted)
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


def _form(variable: Any) -> ArrayForm:
    dtype = variable.dtype
    return dtype if isinstance(dtype, str) else dtype.name, tuple(variable.shape)


def _finite(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    array = arrays[name]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DigitwiseError(f"the checkpoint's {name} is not finite: nothing can be read or learned with it")
    return array


def _first_difference(stored: Sequence[str], names: Sequence[str]) -> str:
    for old, new in zip(stored, names):
        if old != new:
            return f"{old} there, {new} here"
    return f"{len(stored)} of them there, {len(names)} here"
