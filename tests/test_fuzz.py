"""The fuzzer, small; by hand: python -m tests.fuzz 100000."""

import warnings

import pytest

from tests import fuzz


@pytest.mark.parametrize("first, files", [(0, 100), pytest.param(100, 900, marks=pytest.mark.slow)])
def test_damaged_and_hostile_files_end_in_one_line(first, files):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes, _, failures = fuzz.fuzz(first, files, fuzz.corpus())
    assert not failures
    assert outcomes["refused"] > files / 2 and outcomes["read"] > files / 80
