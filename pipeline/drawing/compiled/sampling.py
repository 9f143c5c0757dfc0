"""The random numbers of an image: what random.Random gives from the same 16 bytes."""

import numpy as np

from pipeline.drawing.compiled.jit import compiled

WORDS = 624  # of the state of the Mersenne Twister; one more says which comes next
_MASK = 0xFFFFFFFF
_TO_UNIT = 1 / 2**32


def _seeded_state() -> np.ndarray:
    """The state of a Mersenne Twister that init_by_array starts from."""
    words = [19650218]
    for number in range(1, WORDS):
        words.append((1812433253 * (words[-1] ^ (words[-1] >> 30)) + number) & _MASK)
    return np.array([*words, 0], np.int64)


_SEEDED = _seeded_state()


@compiled
def start(digest: np.ndarray, state: np.ndarray) -> None:
    """random.Random(int.from_bytes(digest, "big")): init_by_array with 32-bit words, the lowest first."""
    key = np.empty(4, np.int64)
    for number in range(4):
        value: int | np.int64 = 0
        for place in range(4):
            value = value << 8 | np.int64(digest[(3 - number) * 4 + place])
        key[number] = value
    length = 4
    while length > 1 and key[length - 1] == 0:
        length -= 1
    state[:] = _SEEDED
    i, j = 1, 0
    for _ in range(WORDS):
        before = state[i - 1]
        state[i] = ((state[i] ^ ((before ^ (before >> 30)) * 1664525 & _MASK)) + key[j] + j) & _MASK
        i += 1
        j = j + 1 if j + 1 < length else 0
        if i == WORDS:
            state[0] = state[WORDS - 1]
            i = 1
    for _ in range(WORDS - 1):
        before = state[i - 1]
        state[i] = ((state[i] ^ ((before ^ (before >> 30)) * 1566083941 & _MASK)) - i) & _MASK
        i += 1
        if i == WORDS:
            state[0] = state[WORDS - 1]
            i = 1
    state[0] = 0x80000000  # never all zeros, from which the generator could not move
    state[WORDS] = 0


@compiled
def _word(state):
    """The next 32 bits. Words are made as they are asked for: an image needs fewer than a block of 624."""
    i = state[WORDS]
    following = i + 1 if i + 1 < WORDS else 0
    far = i + 397 if i + 397 < WORDS else i + 397 - WORDS
    mixed = (state[i] & 0x80000000) | (state[following] & 0x7FFFFFFF)
    value = state[far] ^ (mixed >> 1) ^ (0x9908B0DF if mixed & 1 else 0)
    state[i] = value
    state[WORDS] = following
    # The tempering of MT19937; the constants above are those of its recurrence (Matsumoto and Nishimura 1998).
    value ^= value >> 11
    value ^= (value << 7) & 0x9D2C5680
    value ^= (value << 15) & 0xEFC60000
    return value ^ (value >> 18)


@compiled
def below(state: np.ndarray, limit: int) -> int:
    """ImageSampler.randbelow."""
    bits = 0
    while limit >> bits:
        bits += 1
    value = _word(state) >> (32 - bits)
    while value >= limit:
        value = _word(state) >> (32 - bits)
    return value


@compiled
def unit(state: np.ndarray) -> float:
    return _word(state) * _TO_UNIT  # the package too takes 32 bits for a fraction
