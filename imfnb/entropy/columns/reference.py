"""The coder of the baseline's factors, in plain Python: the definition of its kernels. Section 4.5 of FORMAT.md.

Every column is an image. An entry's magnitude, in the first column that of its difference from the median edge
detector's guess, is a symbol of a table that the magnitudes around it and in the columns before choose, and that
learns; the sign is a raw bit. Symbols are those of an asymmetric numeral system in lanes, as in `entropy.rans`.

Ranges: frequencies of a table stay positive. With sums c_j < c_(j+1) and targets t_j < t_(j+1), f(c, t) =
c + ((t - c) >> s) does not fall as c or t rises, and f(c + 1, t + 1) = f(c, t) + 1, hence f(c_j, t_j) <
f(c_(j+1), t_(j+1)). Sums of magnitudes are at most 5 * 255 and 6 * 255 + 637; a value is at most 32767 + 15 + 2**17
before it is clamped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...format.column_model import (
    ESCAPE_BITS,
    LEVEL_STARTS,
    LEVELS,
    MAGNITUDE_LIMIT,
    PAST_LEVELS,
    RATE_FIRST,
    RATE_LAST,
    RATE_SHIFT,
    SYMBOLS,
    first_tables,
)
from ...format.rans_model import FREQUENCY_BITS
from ..rans.reference import Coder, Decoder, Encoder

__all__ = ["decode_factors", "encode_factors"]


def _learn(table: np.ndarray, symbol: int, rate: int) -> None:
    """Move a table towards a symbol."""
    for j in range(1, SYMBOLS):
        target = j if j <= symbol else (1 << FREQUENCY_BITS) - SYMBOLS + j
        table[j] += (target - table[j]) >> rate


def _run(coder: Coder, factor: np.ndarray, grid: tuple[int, int], bounds: tuple[int, int]) -> None:
    """Code a factor, int16 (R, M), whose columns are images of a grid."""
    (height, width), tables = grid, first_tables().astype(np.int64)
    counts = np.zeros(len(tables), np.int64)
    seen = np.zeros((3, height + 2, width + 2), np.int64)  # magnitudes of this column and the two before, guarded
    for r in range(len(factor)):
        own, one, two = seen[r % 3], seen[(r - 1) % 3], seen[(r - 2) % 3]
        own[:] = 0
        image = factor[r].reshape(height, width)
        for y in range(height):
            for x in range(width):
                guess = 0
                if r == 0:
                    w = int(image[y, x - 1]) if x else int(image[y - 1, x]) if y else 0
                    n = int(image[y - 1, x]) if y else w
                    nw = int(image[y - 1, x - 1]) if y and x else n
                    guess = max(min(w, n), min(max(w, n), w + n - nw))
                past = 2 * one[y + 1, x + 1] + one[y + 1, x + 2] + one[y + 2, x + 1] + two[y + 1, x + 1]
                near = 2 * (own[y + 1, x] + own[y, x + 1]) + own[y, x] + own[y, x + 2] + (past >> 1)
                level = int(LEVELS[near >> 1]) + (len(LEVEL_STARTS) if r else 0)
                context = level * PAST_LEVELS + min(int(LEVELS[past >> 1]), PAST_LEVELS - 1)
                error = int(image[y, x]) - guess
                table = tables[context]
                symbol = int(coder.code(np.diff(table)[None], np.array([min(abs(error), SYMBOLS - 1)]))[0])
                _learn(table, symbol, min(RATE_FIRST + int(counts[context] >> RATE_SHIFT).bit_length(), RATE_LAST))
                counts[context] += 1
                a = symbol if symbol < SYMBOLS - 1 else symbol + coder.beyond(abs(error) - symbol, ESCAPE_BITS)
                value = guess - a if a and coder.raw(1, int(error < 0)) else guess + a
                own[y + 1, x + 1] = min(a, MAGNITUDE_LIMIT)
                image[y, x] = min(max(value, bounds[0]), bounds[1])
        if coder.overrun:
            return


def encode_factors(factors: Sequence[np.ndarray], grids: Sequence[tuple[int, int]]) -> bytes:
    """Code factors losslessly.

    Parameters
    ----------
    factors : sequence of ndarray of int16, shape (R, M)
        U^T and V^T.
    grids : sequence of (int, int)
        Rows and columns of the images that their rows are.

    Returns
    -------
    bytes
        One segment.
    """
    coder = Encoder()
    for factor, grid in zip(factors, grids, strict=True):
        _run(coder, factor.copy(), grid, (-(2**15), 2**15 - 1))
    return coder.finish()


def decode_factors(
    data: bytes, rank: int, grids: Sequence[tuple[int, int]], bounds: tuple[int, int]
) -> tuple[list[np.ndarray], bool]:
    """Decode factors: the inverse of :func:`encode_factors`.

    Parameters
    ----------
    data : bytes
        One segment.
    rank : int
        R.
    grids : sequence of (int, int)
        As in :func:`encode_factors`.
    bounds : (int, int)
        What entries are clamped to.

    Returns
    -------
    factors : list of ndarray of int16, shape (R, M)
    overrun : bool
        Whether the bytes ended before the factors did.
    """
    coder = Decoder(data)
    factors = [np.zeros((rank, height * width), np.int16) for height, width in grids]
    for factor, grid in zip(factors, grids, strict=True):
        _run(coder, factor, grid, bounds)
    return factors, coder.overrun
