"""What the encoder takes for active; no decoder needs any of it."""

from __future__ import annotations

from ..format.masking import FACTORS

__all__ = ["CELL", "EDGES", "OFFSET", "WINDOW"]

#: Side of a cell in samples, and of the window around it in cells.
CELL, WINDOW = 4, 3

#: Added to every variance, in squared 1/16 gray levels: the constant of structural similarity, (0.03 * 255)**2.
OFFSET = round(58.5 * 256)

# Activity, in squared gray levels, at which a patch has the step of the picture.
_CENTRE = 400.0

#: Activities at which the next symbol begins, in squared 1/16 gray levels: an octave each, of which the step takes a
#: quarter.
EDGES = tuple(round(_CENTRE * 256 * 2.0 ** (k - len(FACTORS) // 2 + 0.5)) for k in range(len(FACTORS) - 1))
