"""Numbers of the encoder's choice of V, with what was measured."""

from __future__ import annotations

__all__ = [
    "CHUNK",
    "COARSE_LIMIT",
    "DETAIL",
    "ENTRY_BITS",
    "LEAST_ENTRY_BITS",
    "PLANE_LIMIT",
    "SAMPLED_PIXELS",
    "SAMPLED_ROWS",
    "SPREAD",
    "SWEEPS",
    "WEIGHT_BITS",
]

#: Samples that are brought to float64 at a time, 32 MB.
CHUNK = 1 << 22

#: What planes have to either side: those of the finest steps, and those of all others, as of 8-bit pictures.
PLANE_LIMIT = (1 << 12) - 1
COARSE_LIMIT = (1 << 11) - 1

#: Pixels by which the covariance of the bands is estimated, and how many rows of them stand together.
SAMPLED_PIXELS = 1 << 18
SAMPLED_ROWS = 8

#: Weight of the covariance of differences of neighbouring pixels beside that of pixels, both of trace one. BD-rate with
#: 1, 8 and 30 against 0: ten metres of Sentinel-2 -1.8, -0.5, -0.5%, one date of 13 bands -6.7, -7.5, -7.4%, five dates
#: as bands -6.9, -9.2, -10.3%, Landsat 8 -4.7, -4.2, -3.5%, twenty metres +0.2, -0.5, -0.5%. Weights that fall by half
#: with every octave of the differences' distance: -0.1, -6.8, -8.6, -5.3, -0.2%.
DETAIL = 8.0

#: Most and fewest bits of an entry of V, relative to the length of its column.
ENTRY_BITS, LEAST_ENTRY_BITS = 14, 3

#: A column is left out where its standard deviation times this is below the step.
SPREAD = 8.0

#: Updates of every column.
SWEEPS = 2

#: Bits of the largest entry of W.
WEIGHT_BITS = 17
