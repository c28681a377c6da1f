"""The model of U on a trellis: a small network per symbol, contexts per bin, and how they are mixed.

Section 17 of FORMAT.md. What this model has in common with that of section 6 stands in `context_model` (binarization,
order of components, levels) and `probability` (arithmetic); how inputs and contexts are formed stands in
:mod:`imfnb.entropy.neural.reference`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .context_model import GROUPS, RANK_TYPES, SECTION_TYPES, SIGNED_COMPONENTS, component_table, starts, zigzag

#: Contexts of a bin, and inputs of its mixers: the contexts and what the network says.
CONTEXTS = 7
INPUTS = 8

#: Component 0 is clamped to this magnitude, in units of its index k.
FIRST_LIMIT = 4095

#: Largest magnitude of an entry of U that contexts and networks tell from larger ones.
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
SLOTS = (256, 128, 256, 1536, 160)

#: Rows of the weights of the two mixers of each section, of the mixer of the two, and of the two final maps.
SET_0 = (8, 1, RANK_TYPES, 8 * GROUPS, SIGNED_COMPONENTS)
SET_1 = (8 * 16, 16, 8 * 16, 8 * NET_LEVELS * 8, 16)
LAST = (8, 1, RANK_TYPES, POSITIONS + 8, SIGNED_COMPONENTS)
MAPS_0 = (8 * 16, 16, 8 * 16, 8 * 32, 16)
MAPS_1 = (8 * NET_LEVELS, NET_LEVELS, RANK_TYPES * NET_LEVELS, 8 * POSITIONS, SIGNED_COMPONENTS)

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

#: Networks: of component 0, of ranks, of components from 1 on.
NET_DC, NET_RANK, NET_AC = range(3)

#: Numbers that a network sees, of its two hidden layers and of what it says.
SEEN, HIDDEN_1, HIDDEN_2, SAID = 32, 32, 16, 16

#: Rows of biases of each network: by the side of a patch, that of AC also by component and class of the state.
NET_ROWS = (2, 2, 2 * (64 + 256))
NET_START = starts(NET_ROWS)

#: Shifts that bring the sums of the layers to their units, 1/256 each, and the largest hidden number.
SHIFT_1, SHIFT_2, SHIFT_3 = 8, 10, 10
HIDDEN_LIMIT = 4095

#: Shifts that bring biases of 1/1024 (the first two) and 1/256 to the units of the sums.
BIAS_SHIFT_1, BIAS_SHIFT_2, BIAS_SHIFT_3 = 6, 8, 10

#: Largest magnitude of an entry of U that is decoded.
ENTRY_LIMIT = 8191

#: Bound of the weights of the second and third layer: sums of products stay within 31 bits.
NET_WEIGHT_LIMIT = 8191


def _logarithm_table() -> np.ndarray:
    """Return 20 times the binary logarithm of 1 + a, rounded, at most 255, of a = 0 .. 16383: uint8."""
    return np.array([min(((1 + a) ** 40).bit_length() // 2, 255) for a in range(16384)], np.uint8)


#: uint8 (16384,): what a network sees of a magnitude.
LOGARITHM = _logarithm_table()


@lru_cache(maxsize=2)
def relation_table(patch_size: int) -> np.ndarray:
    """Return what the coder needs to know of each component, read-only int32 of shape (N, 9).

    Columns: two parents, direction, group and ring as in `context_model.component_table`, but that of components of the
    first row or column the parent on the diagonal stands where the other has none; then three components of lower
    frequency, by one down and across and by two down or two across (0 means none), and the position of 48.
    """
    order = zigzag(patch_size)
    index = {(int(i), int(j)): r for r, (i, j) in enumerate(order)}
    table = np.zeros((len(order), 9), np.int32)
    table[:, :5] = component_table(patch_size)
    for r, (i, j) in enumerate(order.tolist()):
        pairs = (i - 1, j - 1), (i - 2, j), (i, j - 2)
        table[r, 5:8] = [index.get(pair, 0) for pair in pairs]
        if r and not i:
            table[r, :2] = table[r, 1::-1]
        ring = (i + j - 7) // (1 if patch_size == 8 else 3)
        table[r, 8] = r if r < 28 else 28 + 3 * min(ring, 5) + table[r, 2]
    table.flags.writeable = False
    return table
