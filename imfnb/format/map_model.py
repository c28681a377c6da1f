"""The context model of maps: its sections beside those of U that it shares, and the numbers of its contexts.

Section 13 of FORMAT.md; `probability` has the arithmetic of a bin. How the contexts of each symbol are formed stands in
:mod:`imfnb.entropy.maps.reference`. Sections 0 and 1, of residuals and their signs, are those of component 0 of U, with
what these have learned; section 2 says whether a symbol repeats another.
"""

from __future__ import annotations

from . import context_model
from .probability import STATE_BITS, WEIGHT_ONE

#: A map has at most so many different symbols.
SYMBOLS = 256

#: Number of the section of repetitions.
SAME = 2

#: Slots of each context of a section, bin types, rows of both weight sets and of the final map, as in `context_model`.
SLOTS = (*context_model.SLOTS[:2], 512)
SECTION_TYPES = (*context_model.SECTION_TYPES[:2], 3)
SET_0 = (*context_model.SET_0[:2], 3)
SET_1 = (*context_model.SET_1[:2], 13)
MAPS = (*context_model.MAPS[:2], 13)

# Where the sections begin in arrays that hold all of them.
STATE_START = context_model.starts(context_model.CONTEXTS * s * t for s, t in zip(SLOTS, SECTION_TYPES, strict=True))
SET_0_START = context_model.starts(a + b for a, b in zip(SET_0, SET_1, strict=True))
SET_1_START = tuple(start + size for start, size in zip(SET_0_START, SET_0, strict=False))
MAP_START = context_model.starts(MAPS)
STATES = STATE_START[-1]
WEIGHT_ROWS = SET_0_START[-1]
MAP_ROWS = MAP_START[-1]

#: Each weight of the section of repetitions at first. (Sums of two of 0.2 to 0.5 in place of 0.2: +0.0 to +1.5%.)
FIRST_WEIGHT = WEIGHT_ONE // 10

#: Probability that a symbol repeats its neighbours where these are all alike, and how often that has been seen, at
#: first. (0.99 after 12 times: +0.2%, on linear ramps +1.3%.)
FLAT_PROBABILITY = 15 << (STATE_BITS - 4)
FLAT_COUNT = 6

#: Longest run of equal symbols that contexts know.
RUN_LIMIT = 15

#: Entries of the memory of what followed which neighbours, how often an entry can have been right, and from how often
#: on its symbol is asked for. (From the first time on: text -19%, soft edges +12%; from the third +20 and -0.4%.)
MEMORY = 1 << 16
TRUST_LIMIT = 15
TRUSTED = 2

#: Hash of neighbours: h = (HASH_STEP h + symbol + 1) mod 2^24, and at the end bits 8 to 23 of HASH_END h.
HASH_BITS = 24
HASH_STEP = 271
HASH_END = 40503
