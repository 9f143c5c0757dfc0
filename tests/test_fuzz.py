"""The fuzzer, small; by hand: python -m tests.fuzz 100000."""

import warnings

from tests import fuzz


def test_damaged_and_hostile_files_end_in_one_line():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes, _, failures = fuzz.fuzz(0, 400, fuzz.corpus())
    assert not failures
    assert outcomes["refused"] > 200 and outcomes["read"] > 5
