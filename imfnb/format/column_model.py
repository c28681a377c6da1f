"""The model of the baseline's factors for parallel lanes: section 4.5 of FORMAT.md."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .rans_model import FREQUENCY_BITS

#: Magnitudes below the last symbol stand for themselves; that is for it and all above.
SYMBOLS = 16

#: Largest exponent of what is above the last symbol: residuals of the first column are up to 65534.
ESCAPE_BITS = 16

#: Lower ends of the levels of half a sum of magnitudes, and how many of them the second sum has.
LEVEL_STARTS = (0, 1, 2, 3, 5, 7, 11, 17, 24, 32, 48, 64)
PAST_LEVELS = 8

#: Magnitudes count up to this in sums.
MAGNITUDE_LIMIT = 255

#: Probability of zero, and of each magnitude after the ones below it, in 1/256, that tables of a level begin with.
FIRST_STOPS = (160, 139, 118, 98, 79, 62, 48, 36, 27, 20, 15, 11)

#: Shifts of what a table learns: the first one, the last one, and the symbols (as a shift) until the second.
RATE_FIRST, RATE_LAST, RATE_SHIFT = 3, 7, 3

#: Contexts of a factor: of its first column, and of the others.
CONTEXTS = 2 * len(LEVEL_STARTS) * PAST_LEVELS

#: uint8: level of every half sum; near >> 1 is at most (6 + 5 / 2) * 255 / 2 = 1083.
LEVELS = (np.searchsorted(np.array(LEVEL_STARTS), np.arange(8 * MAGNITUDE_LIMIT), side="right") - 1).astype(np.uint8)


@lru_cache(maxsize=1)
def first_tables() -> np.ndarray:
    """The tables at the beginning of a factor, int32 (CONTEXTS, SYMBOLS + 1): sums of frequencies; to be copied."""
    out = np.zeros((2, len(LEVEL_STARTS), PAST_LEVELS, SYMBOLS + 1), np.int32)
    for level, stop in enumerate(FIRST_STOPS):
        rest, total = (1 << FREQUENCY_BITS) - SYMBOLS, 0
        for symbol in range(SYMBOLS):
            share = rest * stop >> 8 if symbol < SYMBOLS - 1 else rest
            rest -= share
            total += 1 + share
            out[:, level, :, symbol + 1] = total
    return out.reshape(CONTEXTS, SYMBOLS + 1)
