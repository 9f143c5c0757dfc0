"""The weights that come with the program: `alexnet` after a training on codes in many fonts and styles.

Checkpoints(FOLDER).choose("best")
LearnedCodes.load().by_hash("7kQ2")         # "train" or "test": whether that training may have learned the code
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable
from typing import Self

import numpy as np

import alexnet
from pipeline.model.checkpoints import Checkpoints
from records.digest import hash64
from records.split import TEST, TRAIN, ways_to_write

MODULE = "alexnet.alexnet"  # of the network that they are for
FOLDER = pathlib.Path(alexnet.__file__).with_name("included")
CODES = FOLDER / "codes.npy"  # sorted hashes
LONGEST = 7  # characters of a learned code


@dataclasses.dataclass(frozen=True)
class LearnedCodes:
    """Which codes were learned; stands where a training has a split rule. With `any_case` a code counts as learned in
    whichever case its letters were."""

    hashes: frozenset[int]
    any_case: bool = False

    @classmethod
    @functools.cache
    def load(cls) -> Self:
        return cls(frozenset(np.load(CODES, allow_pickle=False).tolist()))

    def by_hash(self, code: str) -> str:
        return TRAIN if any(hash_of(written) in self.hashes for written in self._ways_to_write(code)) else TEST

    def _ways_to_write(self, code: str) -> Iterable[str]:
        if not self.any_case or len(code) > LONGEST:
            return (code,)
        return ways_to_write(code)


def may_have_learned(alphabet: str, any_case: bool = False) -> bool:
    """Whether a code of this alphabet can be among them: each of them has a digit and letters of both cases."""
    has_digits, has_lower, has_upper = (
        any(map(is_kind, alphabet)) for is_kind in (str.isdigit, str.islower, str.isupper)
    )
    return has_digits and ((has_lower or has_upper) if any_case else (has_lower and has_upper))


@functools.cache
def fingerprints() -> frozenset[str]:
    """Of the records of that training and of those before it, by which checkpoints name them."""
    return frozenset(training.fingerprint for training in Checkpoints(FOLDER).best_state().provenance.lineage)


def hash_of(code: str) -> int:
    return hash64(code.encode("utf-8"))
