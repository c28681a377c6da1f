"""The coder of the baseline's factors, compiled for the CPU; `reference` is its definition and proves the ranges.

Safety in decoding: the work is bounded by rank and grids, a magnitude by the escape's exponent, a sum by the limit of
magnitudes; reads beyond the data give zeros and set the sticky flag.
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
from ...format.rans_model import FREQUENCY_BITS, STATE_LOW
from ...runtime.jit import kernel
from ..layout import DECODE, ENCODE
from ..rans.lanes import NUMBER, OVERRUN, WORD, beyond, finish, raw
from ..rans.reference import opened

__all__ = ["decode_factors", "encode_factors"]

_MASK = (1 << FREQUENCY_BITS) - 1
_LEVEL_COUNT = len(LEVEL_STARTS)

# Shift of what a table learns after so many symbols; the last one for all above.
_RATES = np.array(
    [
        min(RATE_FIRST + (count >> RATE_SHIFT).bit_length(), RATE_LAST)
        for count in range((1 << (RATE_LAST - RATE_FIRST - 1 + RATE_SHIFT)) + 1)
    ],
    np.int32,
)
# What the sums of a table move towards for each symbol.
_TARGETS = np.array(
    [[j if j <= s else (1 << FREQUENCY_BITS) - SYMBOLS + j for j in range(SYMBOLS)] for s in range(SYMBOLS)], np.int32
)

_jit = kernel(error_model="numpy")


@_jit
def _run(mode, factor, height, width, low, high, tables, io):
    """Code a factor; tables (int32, (CONTEXTS, SYMBOLS + 1)) are those at its beginning."""
    counters, states, words, log, bits = io
    counts = np.zeros(len(tables), np.int64)
    stride = width + 2
    seen = np.zeros((3, (height + 2) * stride), np.uint8)
    lanes, last = states.size - 1, words.size - 1
    for r in range(factor.shape[0]):
        own, one, two, image = seen[r % 3], seen[(r + 2) % 3], seen[(r + 1) % 3], factor[r]
        own[:] = 0
        number, word = counters[NUMBER], counters[WORD]
        for y in range(height):
            for x in range(width):
                i, m = y * width + x, (y + 1) * stride + x + 1
                guess = np.int64(0)
                if r == 0:
                    w = np.int64(image[i - 1]) if x else np.int64(image[i - width]) if y else np.int64(0)
                    n = np.int64(image[i - width]) if y else w
                    nw = np.int64(image[i - width - 1]) if y and x else n
                    guess = max(min(w, n), min(max(w, n), w + n - nw))
                past = 2 * np.int64(one[m]) + np.int64(one[m + 1]) + np.int64(one[m + stride]) + np.int64(two[m])
                near = 2 * (np.int64(own[m - 1]) + np.int64(own[m - stride])) + (past >> 1)
                near += np.int64(own[m - stride - 1]) + np.int64(own[m - stride + 1])
                level = np.int64(LEVELS[near >> 1]) + (_LEVEL_COUNT if r else 0)
                context = level * PAST_LEVELS + min(np.int64(LEVELS[past >> 1]), PAST_LEVELS - 1)
                table = tables[context]
                error = np.int64(image[i]) - guess if mode == ENCODE else np.int64(0)
                if mode == ENCODE:
                    symbol = min(abs(error), SYMBOLS - 1)
                    log[number] = table[symbol] | (table[symbol + 1] - table[symbol]) << 16
                else:
                    state = np.int64(states[number & lanes])
                    slot = state & _MASK
                    symbol = np.int64(0)
                    for j in range(1, SYMBOLS):
                        symbol += 1 if table[j] <= slot else 0
                    start = np.int64(table[symbol])
                    state = (np.int64(table[symbol + 1]) - start) * (state >> FREQUENCY_BITS) + slot - start
                    if state >> STATE_LOW == 0:
                        state = state << STATE_LOW | np.int64(words[min(word, last)])
                        word += 1
                    states[number & lanes] = state
                number += 1
                rate, target = _RATES[min(counts[context], _RATES.size - 1)], _TARGETS[symbol]
                counts[context] += 1
                for j in range(SYMBOLS):
                    table[j] += (target[j] - table[j]) >> rate
                a = symbol
                if symbol == SYMBOLS - 1:
                    a += beyond(mode, ESCAPE_BITS, abs(error) - symbol, counters, bits)
                own[m] = min(a, MAGNITUDE_LIMIT)
                if a and raw(mode, 1, 1 if error < 0 else 0, counters, bits):
                    a = -a
                if mode == DECODE:
                    image[i] = min(max(guess + a, low), high)
        counters[NUMBER], counters[WORD] = number, word
        if word > last:
            counters[OVERRUN] = 1
        if counters[OVERRUN]:
            return


def encode_factors(factors: Sequence[np.ndarray], grids: Sequence[tuple[int, int]]) -> bytes:
    """Counterpart of :func:`imfnb.entropy.columns.reference.encode_factors`."""
    count = sum(factor.size for factor in factors)
    log, bits = np.zeros(count, np.uint32), np.zeros((count * (2 * ESCAPE_BITS + 1)) // 8 + 1, np.uint8)
    counters = np.zeros(4, np.int64)
    io = counters, np.zeros(1, np.uint32), np.zeros(1, np.uint16), log, bits
    for factor, (height, width) in zip(factors, grids, strict=True):
        _run(ENCODE, factor, height, width, 0, 0, first_tables().copy(), io)
    return finish(counters, log, bits)


def decode_factors(
    data: bytes, rank: int, grids: Sequence[tuple[int, int]], bounds: tuple[int, int]
) -> tuple[list[np.ndarray], bool]:
    """Counterpart of :func:`imfnb.entropy.columns.reference.decode_factors`."""
    states, words, bits, _ = opened(data)
    counters = np.zeros(4, np.int64)
    io = counters, states, words, np.zeros(1, np.uint32), bits
    factors = [np.zeros((rank, height * width), np.int16) for height, width in grids]
    for factor, (height, width) in zip(factors, grids, strict=True):
        _run(DECODE, factor, height, width, *bounds, first_tables().copy(), io)
    return factors, bool(counters[OVERRUN])
