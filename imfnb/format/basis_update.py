"""Numbers of the coding of V where it differs from the DCT basis: section 8 of FORMAT.md."""

from __future__ import annotations

import numpy as np

from .context_model import zigzag

#: Number of fractional bits of an entry.
UPDATE_BITS = 12

#: Largest magnitude of an entry: half a column.
UPDATE_LIMIT = (1 << UPDATE_BITS - 1) - 1

#: Number of columns of V that may differ from the DCT basis, and of columns of that basis that may be added to them.
COLUMNS, ROWS = 24, 64

#: Bits of the exponent of a quantum; quanta are below UPDATE_LIMIT.
EXPONENT_BITS = 4

#: Probabilities, in 1/65536, move by 2^-RATE of the way towards each bit, but no nearer to 0 and 1 than LEAST.
RATE = 4
LEAST = 256

#: Initial probability that a column differs, and that a magnitude is longer.
HALF = 1 << 15

#: Initial probabilities of a nonzero entry: the column itself, columns of the same symmetry along one frequency,
#: columns at a distance of at most one in both frequencies, all others.
NONZERO = (HALF, HALF >> 1, HALF >> 2, HALF >> 5)


def relations(patch_size: int) -> np.ndarray:
    """The class (index of NONZERO) of every entry, int64 of shape (ROWS, COLUMNS)."""
    order = zigzag(patch_size)
    distance = np.abs(order[:ROWS, None] - order[None, :COLUMNS])
    straight = (distance.min(axis=2) == 0) & (distance.max(axis=2) % 2 == 0)
    near = distance.max(axis=2) <= 1
    return np.where(distance.max(axis=2) == 0, 0, np.where(straight, 1, np.where(near, 2, 3)))
