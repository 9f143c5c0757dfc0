"""Characters that look alike.

pairs_of("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")     # [("0", "O"), ("0", "Q"), ...]
"""

import itertools

# Any two characters of a group look alike, in some fonts or when bent; no two digits do.
GROUPS: tuple[str, ...] = (
    # A character may be in several groups: 0 resembles o and Q, but o and Q do not resemble each other.
    *("0Oo", "0OQD", "1lIi", "ij", "2Zz", "5Ss", "6b", "6G", "8B", "9gq"),
    *("cC", "kK", "pP", "uUvV", "wW", "xX", "yY", "mn", "nr"),
)


def pairs_of(alphabet: str) -> list[tuple[str, str]]:
    """The pairs of which both characters are in the alphabet."""
    pairs = itertools.chain.from_iterable(itertools.combinations(group, 2) for group in GROUPS)
    return [(pair[0], pair[1]) for pair in dict.fromkeys(pairs) if set(pair) <= set(alphabet)]
