"""The coder of residual arrays: sections, tables of neighbours and the numbers of its prediction.

Section 14 of FORMAT.md; `probability` has the arithmetic of a bin. How a sample is predicted and how its contexts are
formed stands in :mod:`imfnb.entropy.residual.reference`. Section 0 codes the magnitude of what the prediction misses,
in units that grow with what neighbours missed, section 1 its sign.
"""

from __future__ import annotations

from . import context_model
from .probability import STATE_BITS, WEIGHT_ONE

#: Samples, and differences of samples of two bands, lie within plus or minus these.
SAMPLE_LIMIT = 1 << 25
VALUE_LIMIT = 1 << 26

#: Kind of a band whose values are numbers of entries of a palette; others are how many bands earlier the one is from
#: which a band is coded as a difference, 0 for none.
PALETTE = 4

#: Sections.
SIZE, SIGN = 0, 1

#: Slots of each context of a section, bin types, rows of both weight sets and of the final map, as in `context_model`.
SLOTS = (1024, 512)
SECTION_TYPES = (16, 1)
SET_0 = (24, 3)
SET_1 = (128, 16)
MAPS = (128, 16)

# Where the sections begin in arrays that hold all of them.
STATE_START = context_model.starts(context_model.CONTEXTS * s * t for s, t in zip(SLOTS, SECTION_TYPES, strict=True))
SET_0_START = context_model.starts(a + b for a, b in zip(SET_0, SET_1, strict=True))
SET_1_START = tuple(start + size for start, size in zip(SET_0_START, SET_0, strict=False))
MAP_START = context_model.starts(MAPS)
STATES = STATE_START[-1]
WEIGHT_ROWS = SET_0_START[-1]
MAP_ROWS = MAP_START[-1]

#: Each weight at first (twice as much: +0.05%).
FIRST_WEIGHT = WEIGHT_ONE // 12

#: Units of a magnitude that are counted one by one, and the largest exponent of what is left.
UNARY = 9
ESCAPE_BITS = 27

#: A magnitude is coded in units of 2^k, k such that the weighted mean of what six neighbours missed is 1.3 to 2.7
#: units, or less if k is 0. (One bit less: the same bytes with more bins. One more: +0.3%.)
UNIT_BITS = 5

#: What predictions of a band have missed so far, as a running mean in 1 / 2^USUAL_BITS that takes 2^-USUAL_RATE of
#: every new one, and how it is compared with units. (Without it noise costs 0.1 bits a sample more, scenes 0.2%.)
USUAL_BITS = 6
USUAL_RATE = 7
USUAL_SHIFT = 4

#: Probability that a sample repeats its neighbours where all are alike and were predicted, and how often that has been
#: seen, at first, as for maps.
FLAT_PROBABILITY = 15 << (STATE_BITS - 4)
FLAT_COUNT = 6

#: Probability, in 1 / 65536, from which on it is asked whether a sample equals the one beside or above: where units are
#: coarser than one, and where nothing around was missed; and in 22 bits what it is at first. (Asked always: +2% of
#: bytes on smooth photographs. Never: +45% where bands have been enlarged by repeating samples.)
REPEATED = 24576
REPEATED_EXACTLY = 57344
REPEAT_PROBABILITY = 1 << (STATE_BITS - 4)

#: Neighbours that predict: most of them, and bits of the fraction of weights, of sums and of a prediction.
TAPS = 31
TAP_BITS = 14
PREDICTION_BITS = 6

#: Largest weight.
TAP_LIMIT = 1 << 18

#: Columns of a block, for which weights are found once a row, and blocks of which sums are kept.
COLUMNS = 32
BLOCKS = 1024

#: Products of neighbours are summed of values scaled to what their surroundings missed: this many bits less than the
#: bits of that (at least LEAST_BITS), within plus or minus SCALED_LIMIT.
SCALE_BITS = 7
LEAST_BITS = 4
SCALED_LIMIT = 2047

#: Of the sums, 2^-DECAY are forgotten from row to row, and all but 2^-BAND_DECAY from band to band.
DECAY = 3
BAND_DECAY = 3

#: The diagonal grows by 2^-RIDGE_SHIFT of itself and RIDGE, which keeps the elimination within its limits.
RIDGE_SHIFT = 13
RIDGE = 1 << 20

#: Adaptive states of a number that is coded by exponent and mantissa, every bit with one of them.
NUMBERS = 32 + 32 * 32

#: Neighbours of a sample that predict it, as (bands earlier, rows down, columns to the right), for samples with 0, 1,
#: 2, and 3 or more earlier bands. (Found one by one, each as that which most reduced the errors of least squares over
#: satellite scenes and photographs: 23 of them give 1.005 times the bytes of satellite scenes, 47 give 0.995 times.)
# fmt: off
NEIGHBOURS = (
    (
        (0, 0, -1), (0, -1, 0), (0, -1, -1), (0, -1, 1), (0, -2, 0), (0, 0, -2), (0, -2, -1), (0, 0, -3), (0, -3, 0),
        (0, -3, -1), (0, -2, 1), (0, -1, -2), (0, -1, 3), (0, -1, -3), (0, -2, -3), (0, -2, -2), (0, -3, 1),
        (0, -3, -2), (0, -2, 3), (0, -3, 2), (0, -1, 2), (0, -2, 2),
    ),
    (
        (0, 0, -1), (0, -1, 0), (0, -1, -1), (0, -1, 1), (1, 0, 0), (1, 0, -1), (1, -2, 1), (1, -1, 0), (1, -1, -1),
        (0, 0, -2), (1, 1, 0), (0, -2, 0), (1, -2, 0), (1, -1, 1), (0, -3, 0), (0, 0, -3), (1, 0, 1), (0, -2, 1),
        (0, -2, -1), (1, 0, -2), (0, -3, -1), (0, -1, -2), (0, -1, 3), (0, -2, -2), (0, -1, -3), (1, 0, 2),
        (1, 1, -1), (1, 2, 0), (0, -2, -3), (1, -1, 2), (0, -1, 2),
    ),
    (
        (0, 0, -1), (0, -1, 0), (0, -1, -1), (0, -1, 1), (1, 0, 0), (2, 0, 0), (2, 1, 0), (2, -1, 0), (2, 0, -1),
        (1, -1, 0), (0, -2, 0), (1, 1, 0), (2, 1, -2), (1, 0, -2), (2, -1, -1), (1, 0, -1), (2, -1, 1), (2, 1, 1),
        (0, -3, 0), (1, 0, 1), (2, 0, 1), (1, -1, -1), (0, -2, -1), (0, 0, -2), (0, 0, -3), (1, -1, 1), (0, -2, 1),
        (2, -2, 0), (0, -1, -2), (1, 2, -1), (0, -3, -1),
    ),
    (
        (0, 0, -1), (0, -1, 0), (0, -1, -1), (0, -1, 1), (1, 0, 0), (2, 0, 0), (3, 0, 0), (1, 0, -1), (3, 1, 0),
        (1, -1, 0), (3, -1, 0), (1, 1, 0), (0, -2, 0), (1, -2, 0), (3, 1, -1), (2, -1, -1), (1, -1, 1), (0, 0, -2),
        (0, -3, 0), (1, 1, -2), (0, -1, -2), (3, -1, -1), (3, 0, 1), (2, -1, 0), (2, 0, -1), (2, 1, 0), (3, 0, -1),
        (3, 1, -2), (1, -1, -1), (1, -2, 1), (0, -2, 1),
    ),
)
# fmt: on
