"""Integer tables of the context model: squash, stretch and adaptation rates; logarithms.

All of them are computed with integers only, so that every machine holds the same numbers: a floating-point ``exp``
may differ in its last bit between C libraries, and one differing entry would desynchronise the decoder.
"""
from __future__ import annotations

import numpy as np

#: Number of fractional bits of a probability that reaches the range coder.
PROB_BITS = 16
#: Unit of the stretch domain: ln(p / (1 - p)) is stored in 1 / 256.
STRETCH_LIMIT = 2047
#: Fractional bits of a bit cost (1 / 256 bit).
COST_BITS = 8
#: floor(exp(1 / 256) * 2**96), the base from which squash is built by repeated multiplication.
_EXP_STEP = 79538252774825785662640898770


def _squash_table() -> np.ndarray:
    """Return p(bit = 1) in 1 / 65536 for a stretch value x - 2048, x = 0 .. 4095, as int32 of shape (4096,)."""
    one = 1 << 96
    power = one
    table = [0] * 4096
    for x in range(2049):
        # 1 / (1 + exp(-x / 256)); the table is odd around its middle, p(-x) = 1 - p(x).
        up = ((power << PROB_BITS) + (power + one) // 2) // (power + one)
        if x < 2048:
            table[2048 + x] = up
        table[2048 - x] = (1 << PROB_BITS) - up
        power = (power * _EXP_STEP) >> 96
    return np.clip(np.array(table, np.int32), 24, (1 << PROB_BITS) - 24)


def _stretch_table(squash: np.ndarray) -> np.ndarray:
    """Return the inverse of squash at the middle of 4096 equal cells of probability, int32 of shape (4096,)."""
    middle = np.arange(4096, dtype=np.int32) * 16 + 8
    return np.clip(np.searchsorted(squash, middle) - 2048, -STRETCH_LIMIT, STRETCH_LIMIT).astype(np.int32)


def log2_fixed(values: np.ndarray, bits: int = COST_BITS) -> np.ndarray:
    """Return round(log2(values) * 2**bits) of positive integers below 2**31, by repeated squaring (int64)."""
    v = np.asarray(values, np.int64)
    whole = np.zeros_like(v)
    mantissa = v.copy()
    for shift in (16, 8, 4, 2, 1):
        big = mantissa >= (1 << shift)
        whole += np.where(big, shift, 0)
        mantissa = np.where(big, mantissa >> shift, mantissa)
    x = (v << 30) >> whole
    result = whole
    for _ in range(bits + 1):
        x = (x * x) >> 30
        carry = x >> 31
        result = 2 * result + carry
        x >>= carry
    return (result + 1) >> 1


#: int32 (4096,): probability in 1 / 65536 of a stretch value + 2048.
SQUASH = _squash_table()
#: int32 (4096,): stretch value of a probability in 1 / 4096.
STRETCH = _stretch_table(SQUASH)
#: int32 (1024,): step of a probability state seen n times, 65536 / (n + 1.5).
RATE = (131072 // (2 * np.arange(1024, dtype=np.int64) + 3)).astype(np.int32)
