"""Numbers of the encoder's choice of V, with what was measured."""

from __future__ import annotations

__all__ = [
    "CHUNK",
    "COARSE_LIMIT",
    "ENTRY_BITS",
    "LEAST_ENTRY_BITS",
    "PLANE_LIMIT",
    "SAMPLED_PIXELS",
    "SPREAD",
    "SWEEPS",
    "WEIGHT_BITS",
]

#: Samples that are brought to float64 at a time, 32 MB.
CHUNK = 1 << 22

#: What planes have to either side: those of the finest steps, and those of all others, as of 8-bit pictures.
PLANE_LIMIT = (1 << 12) - 1
COARSE_LIMIT = (1 << 11) - 1

#: Pixels by which the covariance of the bands is estimated.
SAMPLED_PIXELS = 1 << 18

#: Most and fewest bits of an entry of V, relative to the length of its column.
ENTRY_BITS, LEAST_ENTRY_BITS = 14, 3

#: A column is left out where its standard deviation times this is below the step.
SPREAD = 8.0

#: Updates of every column.
SWEEPS = 2

#: Bits of the largest entry of W.
WEIGHT_BITS = 17
