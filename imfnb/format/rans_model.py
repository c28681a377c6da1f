"""The model of U for parallel lanes: section 18 of FORMAT.md; `rans.bin` has its networks and tables.

Every symbol has a small network, which sees what is known around it and says a level; every level has a table of
frequencies. Nothing adapts but for means of what a whole pass has said, so that all symbols of a pass are independent.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

#: Fractional bits of frequencies: those of a table add up to 2**FREQUENCY_BITS.
FREQUENCY_BITS = 14

#: States of the coder lie between 2**STATE_LOW and 2**(2 * STATE_LOW) - 1; words have STATE_LOW bits.
STATE_LOW = 16

#: Largest binary logarithm of the number of lanes.
LANES_MAX = 5

#: Symbols of a pass that are coded together.
RUN = 256

#: Symbols of a table, and levels of a network.
SYMBOLS = 16
LEVELS = 64

#: Units of the hidden layer.
HIDDEN = 16

#: Inputs of a network: of component 0 and of ranks, and of the components from 1 on; of these, from STEADY on they are
#: the same for all symbols of a pass.
FEW_INPUTS, INPUTS, STEADY = 14, 32, 24

#: First component of every group of networks.
GROUP_STARTS = (1, 3, 6, 10, 15, 28, 66)

#: Networks: of component 0, of ranks, then two for each group; the second ones are for the second pass.
FIRST, RANKS, GROUPS = 0, 1, 2
NETS = GROUPS + 2 * len(GROUP_STARTS)

#: Levels of a difference on either side of zero, and of a magnitude, in the contexts of signs: SIGN_SHIFT of LOG.
DIFFERENCES, MAGNITUDES, SIGN_SHIFT = 9, 11, 3

#: Components whose signs follow the slope of component 0, with the kind of context of each and whether the slope across
#: counts (else that down).
SIGNED_COMPONENTS = {1: (0, True), 2: (0, False), 6: (1, False), 9: (1, True)}

#: Shifts of the sums of both layers, and the largest value of a hidden unit.
SHIFT_1, SHIFT_2 = 8, 12
UNIT_MAX = 4095

#: What LOG is given at most.
LOG_LIMIT = 1 << 14

#: Lower ends of the ranges of values that symbols stand for, and the bits that say which of a range: of the residuals
#: of component 0 and of ranks, and of magnitudes of other components. The last range has no upper end.
COARSE_STARTS = (0, 1, 2, 3, 5, 7, 11, 15, 23, 31, 47, 63, 95, 127, 191, 255)
COARSE_BITS = (0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 0)
FINE_STARTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 17, 25, 41, 73)
FINE_BITS = (0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 0)

#: Magnitudes after which a mean halves what it has, so that older ones count less.
MEAN_LIMIT = 256

#: Largest exponent of what is beyond the last range.
ESCAPE_BITS = 13

#: Largest magnitude of a component; larger ones count as this.
MAGNITUDE_LIMIT = 8191

#: Bits of a rank's place in its range that have a table, at most; those below are raw.
PLACE_BITS = 4


def _log_table() -> np.ndarray:
    """16 times a piecewise linear binary logarithm of 1 + v, int16 of shape (LOG_LIMIT + 1,)."""
    value = np.arange(1, LOG_LIMIT + 2, dtype=np.int64)
    n = np.array([int(v).bit_length() - 1 for v in value])
    return (16 * n + ((16 * value) >> n) - 16).astype(np.int16)


#: int16 (LOG_LIMIT + 1,): what networks see of a count or a magnitude; 0 to 224.
LOG = _log_table()


def group_of(r: int) -> int:
    """Number of the group of a component r >= 1."""
    return sum(r >= start for start in GROUP_STARTS) - 1


class Networks(NamedTuple):
    """What the coder knows, as it is stored.

    Attributes
    ----------
    weights_1 : ndarray of int16, shape (NETS, INPUTS, HIDDEN)
    biases_1 : ndarray of int32, shape (NETS, HIDDEN)
    weights_2 : ndarray of int16, shape (NETS, HIDDEN)
    biases_2 : ndarray of int32, shape (NETS,)
    frequencies : ndarray of uint16, shape (NETS, 2, LEVELS, SYMBOLS)
        The second ones are for magnitudes that are known not to be zero.
    places : ndarray of uint16, shape (SYMBOLS, 2**PLACE_BITS)
        Frequencies of the place of a rank in the range of each symbol.
    first_signs : ndarray of uint16, shape (2 * DIFFERENCES + 1, MAGNITUDES + 1)
    signs : ndarray of uint16, shape (2, DIFFERENCES + 1)
        Frequencies of a negative residual of component 0, and of a component against the slope.
    """

    weights_1: np.ndarray
    biases_1: np.ndarray
    weights_2: np.ndarray
    biases_2: np.ndarray
    frequencies: np.ndarray
    places: np.ndarray
    first_signs: np.ndarray
    signs: np.ndarray


#: Type and shape of each array of the file.
LAYOUT = {
    "weights_1": ("<i2", (NETS, INPUTS, HIDDEN)),
    "biases_1": ("<i4", (NETS, HIDDEN)),
    "weights_2": ("<i2", (NETS, HIDDEN)),
    "biases_2": ("<i4", (NETS,)),
    "frequencies": ("<u2", (NETS, 2, LEVELS, SYMBOLS)),
    "places": ("<u2", (SYMBOLS, 1 << PLACE_BITS)),
    "first_signs": ("<u2", (2 * DIFFERENCES + 1, MAGNITUDES + 1)),
    "signs": ("<u2", (2, DIFFERENCES + 1)),
}


@lru_cache(maxsize=1)
def networks() -> Networks:
    """The contents of ``rans.bin``: the zlib stream of the arrays of :class:`Networks`, one after the other."""
    data = zlib.decompress(files(__package__).joinpath("rans.bin").read_bytes())
    parts, start = {}, 0
    for name, (kind, shape) in LAYOUT.items():
        count = int(np.prod(shape))
        parts[name] = np.frombuffer(data, kind, count, start).reshape(shape)
        start += count * np.dtype(kind).itemsize
    return Networks(**parts)
