"""Geometry shared by every part of the coder: zig-zag order, parents of a component, sizes of the model.

A component is one column of U seen as an image of grid_h x grid_w patches. All components of a plane are kept in one
padded array of shape (R, (grid_h + 3) * (grid_w + 4)), two guard rows above, one below and two guard columns on each
side, so that no neighbour of a patch needs a bounds check. Guards of components >= 1 stay zero; those of component 0
repeat the edge.
"""
from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

#: Number of contexts mixed per bin: one 256-bit vector of weights. (A ninth and a constant input: -0.1% bytes.)
CONTEXTS = 8
#: Largest magnitude the binarisation can express is below 2**14; the encoder keeps to this one.
MAGNITUDE_LIMIT = 8191
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
#: Number of component groups (`component_group`).
GROUPS = 24

# Sections of the model: number of slots of each context and of bin types.
DC, DC_SIGN, RANK, AC, AC_SIGN = range(5)
SLOTS = (256, 128, 256, 768, 160)
SECTION_TYPES = (TYPES, 1, RANK_TYPES, TYPES, 1)
#: Rows of the two weight sets of each section.
SET_0 = (8, 1, RANK_TYPES, 8 * GROUPS, SIGNED_COMPONENTS)
SET_1 = (8 * 16, 16, 8 * 16, 8 * 128, 16)
#: Rows of the final adaptive probability map of each section.
MAPS = (8 * 16, 16, 8 * 16, 8 * 32, 16)
#: Columns of that map: nodes of a piecewise linear function of the stretch value.
NODES = 33


def _starts(sizes: Iterable[int]) -> tuple[int, ...]:
    total, starts = 0, []
    for size in sizes:
        starts.append(total)
        total += size
    return (*starts, total)


STATE_START = _starts(CONTEXTS * s * t for s, t in zip(SLOTS, SECTION_TYPES, strict=True))
SET_0_START = _starts(a + b for a, b in zip(SET_0, SET_1, strict=True))
SET_1_START = tuple(start + size for start, size in zip(SET_0_START, SET_0, strict=False))
MAP_START = _starts(MAPS)
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
        table[r, 3] = r if r < 15 else min(15 + max(0, (ring - 5) * 9 // (2 * patch_size - 7)), GROUPS - 1)
        table[r, 4] = min(ring - 1, 5) if ring else 0
    table.flags.writeable = False
    return table


def _level_table() -> np.ndarray:
    """Return the roughly logarithmic level 0 .. 15 of an activity 0 .. 1023, int32 of shape (1024,)."""
    edges = np.array([1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 44, 64, 100, 180])
    return np.searchsorted(edges, np.arange(1024), side="right").astype(np.int32)


def _signed_level_table() -> np.ndarray:
    """Return the level 0 .. 10, five for each sign around that of zero, of a value -16 .. 16, int32 of shape (33,)."""
    values = np.arange(-16, 17)
    return (5 + np.sign(values) * np.searchsorted([1, 2, 4, 8, 16], abs(values), side="right")).astype(np.int32)


#: int32 (1024,): level of an activity.
LEVEL = _level_table()
#: Sums of magnitudes are clamped to this by the kernels. Four of them together, or 14 bytes, are an index of the tables
#: that follow, of levels and of levels up to some as bytes, without being compared with a limit.
SUM_LIMIT = 1000
LEVELS = np.pad(LEVEL, (0, 3 * SUM_LIMIT), mode="edge").astype(np.uint8)
LEVELS_6, LEVELS_7, LEVELS_9, LEVELS_11 = (np.minimum(LEVELS, limit) for limit in (6, 7, 9, 11))
#: int32 (33,): level of a signed value + SIGNED_LIMIT; larger values have those of +-SIGNED_LIMIT.
SIGNED_LEVEL = _signed_level_table()
SIGNED_LIMIT = 16

#: Largest magnitude that contexts tell from larger ones.
NEAR_LIMIT = 40

#: Modes of the one traversal: write bytes or read them.
ENCODE, DECODE = 0, 1

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
#: A probability state is a 22-bit probability of a one above a 9-bit count: 31 bits.
COUNT_BITS = 9


def padded_size(grid_h: int, grid_w: int) -> tuple[int, int]:
    """Return (size, stride) of the padded image of one component."""
    stride = grid_w + 4
    return (grid_h + 3) * stride, stride


def pad_factors(factors: np.ndarray, grid_h: int, grid_w: int) -> np.ndarray:
    """Turn U, int16 (grid_h * grid_w, R), into padded component images, int16 (R, size)."""
    padded = np.zeros((factors.shape[1], grid_h + 3, grid_w + 4), np.int16)
    padded[:, 2 : 2 + grid_h, 2 : 2 + grid_w] = factors.T.reshape(factors.shape[1], grid_h, grid_w)
    return padded.reshape(factors.shape[1], -1)


def unpad_factors(padded: np.ndarray, grid_h: int, grid_w: int) -> np.ndarray:
    """Undo `pad_factors`: int16 (R, size) to int16 (grid_h * grid_w, R)."""
    images = padded.reshape(-1, grid_h + 3, grid_w + 4)[:, 2 : 2 + grid_h, 2 : 2 + grid_w]
    return np.ascontiguousarray(images.reshape(len(padded), -1).T)


def active_ranks(padded: np.ndarray) -> np.ndarray:
    """Return the index of the last nonzero component >= 1 of every padded position (0: none), int32 (size,)."""
    ranks = np.zeros(padded.shape[1], np.int32)
    for r in range(1, len(padded)):
        ranks[padded[r] != 0] = r
    return ranks


#: Everything the coder changes, as one record: a kernel passes one pointer where seven arrays cost 49 words per call.
MODEL = np.dtype([
    ("ix", np.int32, (CONTEXTS,)),  # first state of each context of the symbol in flight
    ("st", np.int32, (CONTEXTS,)),  # mixer inputs of the bin in flight
    ("address", np.int64), ("capacity", np.int64),  # address and number of the bytes written or read
    ("low", np.int64), ("range", np.int64), ("position", np.int64), ("overrun", np.int64),  # range coder
    ("node", np.int64), ("mixed", np.int64),  # map entry and mixed probability of the bin in flight
    ("states", np.int32, (STATES,)),
    ("weights", np.int32, (WEIGHT_ROWS * CONTEXTS,)),
    ("maps", np.int32, (MAP_ROWS * NODES,)),
], align=True)
