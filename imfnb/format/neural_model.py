"""The second model of U: a small network per symbol, contexts per bin, and how they are mixed.

Section 17 of FORMAT.md. What this model has in common with that of section 6 stands in `context_model` (binarization,
order of components, levels) and `probability` (arithmetic); how inputs and contexts are formed stands in
:mod:`imfnb.entropy.neural.reference`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .context_model import GROUPS, RANK_TYPES, SECTION_TYPES, component_table, starts, zigzag

#: Contexts of a bin, and inputs of its mixers: the contexts and what the network says.
CONTEXTS = 7
INPUTS = 8

#: Largest magnitude that contexts and networks tell from larger ones.
NEAR_LIMIT = 127

#: Largest sum of magnitudes of a patch.
SUM_LIMIT = 4000

#: Sections of the model: as in `context_model`.
DC, DC_SIGN, RANK, AC, AC_SIGN = range(5)

#: Number of positions of components (`position_table`).
POSITIONS = 48

#: Levels of what the network says.
NET_LEVELS = 16

#: Slots of each context of a section; its bin types are those of `context_model.SECTION_TYPES`.
SLOTS = (256, 128, 256, 768, 16 * POSITIONS)

#: Rows of the weights of the two mixers of each section, of the mixer of the two, and of the two final maps.
SET_0 = (8, 1, RANK_TYPES, 8 * GROUPS, POSITIONS)
SET_1 = (8 * 16, 16, 8 * 16, 8 * NET_LEVELS * 8, NET_LEVELS)
LAST = (8, 1, RANK_TYPES, POSITIONS + 8, POSITIONS)
MAPS_0 = (8 * 16, 16, 8 * 16, 8 * 32, 4)
MAPS_1 = (8 * NET_LEVELS, NET_LEVELS, RANK_TYPES * NET_LEVELS, 8 * POSITIONS, POSITIONS)

# Where the sections begin in arrays that hold all of them, one after the other.
STATE_START = starts(CONTEXTS * s * t for s, t in zip(SLOTS, SECTION_TYPES, strict=True))
SET_0_START = starts(a + b for a, b in zip(SET_0, SET_1, strict=True))
SET_1_START = tuple(start + size for start, size in zip(SET_0_START, SET_0, strict=False))
LAST_START = starts(LAST)
MAP_0_START = starts(a + b for a, b in zip(MAPS_0, MAPS_1, strict=True))
MAP_1_START = tuple(start + size for start, size in zip(MAP_0_START, MAPS_0, strict=False))
STATES = STATE_START[-1]
WEIGHT_ROWS = SET_0_START[-1]
LAST_ROWS = LAST_START[-1]
MAP_ROWS = MAP_0_START[-1]

#: Learning rates, in the units of `probability.MIX_RATE`: of the two mixers, and of the mixer of the two.
MIX_RATE = 3
LAST_RATE = 2

#: Networks: of component 0, of ranks, of magnitudes of components from 1 on, one for each band of frequencies, and of
#: their signs, one for each position.
BANDS = 7
NET_DC, NET_RANK, NET_AC, NET_SIGN = 0, 1, 2, 2 + BANDS
NETS = NET_SIGN + POSITIONS

#: Numbers that a network sees, of its two hidden layers and of what it says.
SEEN, HIDDEN_1, HIDDEN_2, SAID = 36, 32, 16, 16

#: Rows of biases: by the side of a patch, those of magnitudes also by component, and those of signs by position.
NET_ROWS = (2, 2, 64 + 256, POSITIONS)
NET_START = starts(NET_ROWS)

#: What a network sees if there is another plane to look at.
PRESENT = 64

#: Shifts that bring the sums of the layers to their units, 1/256 each, and the largest hidden number.
SHIFT_1, SHIFT_2, SHIFT_3 = 8, 10, 10
HIDDEN_LIMIT = 4095

#: Shifts that bring biases of 1/1024 (the first two) and 1/256 to the units of the sums.
BIAS_SHIFT_1, BIAS_SHIFT_2, BIAS_SHIFT_3 = 6, 8, 10

#: Bound of the weights of the second and third layer: sums of products stay within 31 bits.
NET_WEIGHT_LIMIT = 8191


def _logarithm_table() -> np.ndarray:
    """Return 20 times the binary logarithm of 1 + a, rounded, at most 255, of a = 0 .. 16383: uint8."""
    return np.array([min(((1 + a) ** 40).bit_length() // 2, 255) for a in range(16384)], np.uint8)


#: uint8 (16384,): what a network sees of a magnitude.
LOGARITHM = _logarithm_table()


#: First sums of both frequencies of the bands but the first.
BAND_EDGES = (2, 3, 4, 5, 7, 10)

#: Columns of `relation_table`: parents, direction, group, ring, position, three components further away, and the band.
FIRST, SECOND, DIRECTION, GROUP, RING, POSITION, DIAGONAL, UP, LEFT, BAND = range(10)

#: Distances down and across to the eleven components of lower number that tell most of the sign of one; their columns
#: follow in `relation_table`.
SIGN_RELATIVES = (
    *((-1, 0), (0, -1), (-2, 0), (0, -2), (-1, -1), (-3, 0), (0, -3), (-1, -2), (-2, -1), (1, -1), (-1, 1)),
)
RELATIVES = 10


@lru_cache(maxsize=2)
def relation_table(patch_size: int) -> np.ndarray:
    """Return what the coder needs to know of each component, read-only int32 of shape (N, 21).

    Columns: two parents, direction, group and ring as in `context_model.component_table`, but that of components of the
    first row or column the parent on the diagonal stands where the other has none; the position of 48; three
    components by one down and across, by two down and by two across; the band; and those of SIGN_RELATIVES. Components
    that are not there or not of lower number are 0.
    """
    order = zigzag(patch_size)
    index = {(int(i), int(j)): r for r, (i, j) in enumerate(order)}
    table = np.zeros((len(order), RELATIVES + len(SIGN_RELATIVES)), np.int32)
    table[:, : RING + 1] = component_table(patch_size)
    further = (-1, -1), (-2, 0), (0, -2)
    for r, (i, j) in enumerate(order.tolist()):
        if r and not i:
            table[r, :2] = table[r, 1::-1]
        ring = (i + j - 7) // (1 if patch_size == 8 else 3)
        table[r, POSITION] = r if r < 28 else 28 + 3 * min(ring, 5) + table[r, DIRECTION]
        others = [index.get((i + down, j + across), 0) for down, across in (*further, *SIGN_RELATIVES)]
        others = [other if other < r else 0 for other in others]
        table[r, DIAGONAL:BAND], table[r, RELATIVES:] = others[:3], others[3:]
        table[r, BAND] = sum(i + j >= edge for edge in BAND_EDGES)
    table.flags.writeable = False
    return table
