"""How functions of this package are compiled: once for each machine, and kept where numba may write."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compiles when first called. No fast-math: each sum is rounded as C rounds it."""
    try:
        # NumPy's error model divides as C does, without a check that raises.
        return numba.njit(function, cache=True, error_model="numpy")
    except RuntimeError:  # numba found no folder that it may write to
        return numba.njit(function, error_model="numpy")


def inlined(function: Callable[..., Any]) -> Any:
    """For a few lines in an inner loop, which become part of each function that calls them."""
    return numba.njit(function, inline="always", error_model="numpy")
