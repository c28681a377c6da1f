"""The context model of U: its sections, binarization, order and relations of components, levels of activities.

Sections 6.2 to 7 of FORMAT.md; `probability` has the arithmetic of a bin, `states` what a model knows at first. How the
contexts of each symbol are formed stands in :mod:`imfnb.entropy.reference`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

#: Number of contexts mixed per bin: one 256-bit vector of weights. (A ninth and a constant input: -0.1% bytes.)
CONTEXTS = 8

#: The first component is clamped to this magnitude.
FIRST_LIMIT = 8191

#: Magnitudes up to here are unary, larger ones exp-Golomb coded.
UNARY = 10

#: Largest exponent of the escape: bounds the work of one symbol for any bytes.
ESCAPE_BITS = 12

#: Bin types of one magnitude: 0 zero flag, 1 .. UNARY unary, then four of the exponents, the first mantissa bit last.
TYPES = 16

#: Bin types of a rank: unary bit length, first and second mantissa bit.
RANK_TYPES = 28

#: Components below this number have a modelled sign.
SIGNED_COMPONENTS = 10

#: Number of component groups (`component_table`).
GROUPS = 24

#: Largest magnitude that contexts tell from larger ones.
NEAR_LIMIT = 40

#: Lower ends of the levels of activities from 1 on, and of the levels of signed values on either side of zero.
LEVEL_EDGES = (1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 44, 64, 100, 180)
SIGNED_LEVEL_EDGES = (1, 2, 4, 8, 16)

#: Sections of the model.
DC, DC_SIGN, RANK, AC, AC_SIGN = range(5)

#: Slots of each context of a section, and its bin types.
SLOTS = (256, 128, 256, 768, 160)
SECTION_TYPES = (TYPES, 1, RANK_TYPES, TYPES, 1)

#: Rows of the two weight sets of each section.
SET_0 = (8, 1, RANK_TYPES, 8 * GROUPS, SIGNED_COMPONENTS)
SET_1 = (8 * 16, 16, 8 * 16, 8 * 128, 16)

#: Rows of the final adaptive probability map of each section.
MAPS = (8 * 16, 16, 8 * 16, 8 * 32, 16)

#: Columns of that map: nodes of a piecewise linear function of the stretch value.
NODES = 33


def starts(sizes: Iterable[int]) -> tuple[int, ...]:
    """Return where each of some parts begins that follow each other, and where the last ends."""
    total, found = 0, []
    for size in sizes:
        found.append(total)
        total += size
    return (*found, total)


# Where the sections begin in arrays that hold all of them, one after the other.
STATE_START = starts(CONTEXTS * s * t for s, t in zip(SLOTS, SECTION_TYPES, strict=True))
SET_0_START = starts(a + b for a, b in zip(SET_0, SET_1, strict=True))
SET_1_START = tuple(start + size for start, size in zip(SET_0_START, SET_0, strict=False))
MAP_START = starts(MAPS)
STATES = STATE_START[-1]
WEIGHT_ROWS = SET_0_START[-1]
MAP_ROWS = MAP_START[-1]


def zigzag(patch_size: int) -> np.ndarray:
    """Return the (row, column) frequency of every component in zig-zag order, int32 of shape (N, 2)."""
    pairs = [(i, j) for i in range(patch_size) for j in range(patch_size)]
    pairs.sort(key=lambda p: (p[0] + p[1], p[0] if (p[0] + p[1]) % 2 else p[1]))
    return np.array(pairs, np.int32)


@lru_cache(maxsize=2)
def component_table(patch_size: int) -> np.ndarray:
    """Return what the contexts need to know of each component, read-only int32 of shape (N, 5).

    Columns: its parents, two components of lower frequency (0 means none), the direction (0 diagonal, 1 column
    frequency dominates, 2 row frequency dominates), the group of 24 and the group of 6.
    """
    order = zigzag(patch_size)
    index = {(int(i), int(j)): r for r, (i, j) in enumerate(order)}
    table = np.zeros((len(order), 5), np.int32)
    for r, (i, j) in enumerate(order):
        if i and j:
            table[r, :2] = index[i - 1, j], index[i, j - 1]
        elif j:
            table[r, :2] = index[0, j - 1], index[1, j - 1] if index[1, j - 1] < r else 0
        elif i:
            table[r, :2] = index[i - 1, 0], index[i - 1, 1] if index[i - 1, 1] < r else 0
        table[r, 2] = 0 if 2 * i >= j and 2 * j >= i else (1 if j > i else 2)
        ring = int(i + j)
        table[r, 3] = r if r < 15 else min(15 + (ring - 5) * 9 // (2 * patch_size - 7), GROUPS - 1)
        table[r, 4] = min(ring - 1, 5) if ring else 0
    table.flags.writeable = False
    return table


def _level_table() -> np.ndarray:
    """Return the roughly logarithmic level 0 .. 15 of an activity 0 .. 1023, int32 of shape (1024,)."""
    return np.searchsorted(LEVEL_EDGES, np.arange(1024), side="right").astype(np.int32)


def _signed_level_table() -> np.ndarray:
    """Return the level 0 .. 10, five for each sign around that of zero, of a value -16 .. 16, int32 of shape (33,)."""
    values = np.arange(-16, 17)
    return (5 + np.sign(values) * np.searchsorted(SIGNED_LEVEL_EDGES, abs(values), side="right")).astype(np.int32)


#: int32 (1024,): level of an activity; larger ones have that of the last.
LEVEL = _level_table()

#: int32 (33,): level of a signed value + SIGNED_LIMIT; larger values have those of +-SIGNED_LIMIT.
SIGNED_LEVEL = _signed_level_table()
SIGNED_LIMIT = 16
