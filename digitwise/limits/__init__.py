"""Limits on what is read, and the most probable code that fits them."""

from digitwise.limits.check_digits import CHECK_DIGITS
from digitwise.limits.fit import Fit, OutOfBudget
from digitwise.limits.limits import CompiledLimits, Limits

__all__ = ["CHECK_DIGITS", "CompiledLimits", "Fit", "Limits", "OutOfBudget"]
