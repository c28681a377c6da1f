"""Arithmetic of the context model: squash, stretch, rates of adaptation.

All tables are computed with integers only, so that every machine holds the same numbers: a floating-point ``exp`` may
differ in its last bit between C libraries, and one differing entry would desynchronise the decoder.
"""

from __future__ import annotations

import numpy as np

#: Number of fractional bits of a probability that reaches the range coder.
PROB_BITS = 16

#: Number of fractional bits of the probability that a state keeps.
STATE_BITS = 22

#: Bound of the stretch domain: ln(p / (1 - p)) is stored in 1 / 256.
STRETCH_LIMIT = 2047

#: States stop slowing down after this many observations (127 and 400 code the same bytes to 0.01% on bsd34).
COUNT_LIMIT = 255

#: Learning rate of the mixer, MIX_RATE / 2**(4 + MIX_SHIFT). With learned weights 5 and 10 differ by 0.1%, 16 costs
#: 0.2% more; without them 10 was best.
MIX_RATE = 6
MIX_SHIFT = 14

#: Learning rate of the adaptive probability map (5 and 7: within 0.1%).
MAP_SHIFT = 6

#: Weight 1.0 of the mixer, and the bound of one weight.
WEIGHT_ONE = 1 << 16
WEIGHT_LIMIT = 4 * WEIGHT_ONE - 1

# floor(exp(1 / 256) * 2**96), the base from which squash is built by repeated multiplication.
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


#: int32 (4096,): probability in 1 / 65536 of a stretch value + 2048.
SQUASH = _squash_table()

#: int32 (4096,): stretch value of a probability in 1 / 4096.
STRETCH = _stretch_table(SQUASH)

#: int32 (256,): step of a probability state seen n times, 65536 / (n + 1.5).
RATE = (131072 // (2 * np.arange(COUNT_LIMIT + 1, dtype=np.int64) + 3)).astype(np.int32)
