"""What the encoder takes for active; no decoder needs any of it."""

from __future__ import annotations

__all__ = ["CELL", "EDGES", "OFFSET", "SLOPE", "SYMBOLS", "WEIGHT", "WINDOW"]

#: Side of a cell in samples, and of the window around it in cells.
CELL, WINDOW = 4, 3

#: Added to every variance, in squared 1/16 gray levels: the constant of structural similarity, (0.03 * 255)**2.
OFFSET = round(58.5 * 256)

#: The inverse of a variance and OFFSET is an integer in 1/WEIGHT.
WEIGHT = 1 << 30

# Activity, in squared gray levels, at which a patch has the step of the picture.
_CENTRE = 400.0

#: Octaves of the step for one of the activity.
SLOPE = 0.28

#: Symbols that the encoder uses, half an octave of the step apart: a map of quarters takes more bits than they save.
SYMBOLS = (2, 4, 6, 8)

#: Activities at which the next of them begins, in squared 1/16 gray levels.
EDGES = tuple(round(_CENTRE * 256 * 2.0 ** (octaves / SLOPE)) for octaves in (-0.25, 0.25, 0.75))
