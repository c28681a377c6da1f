"""Coding of V: how its columns differ from the DCT basis, with the range coder and a small adaptive model.

V = V0 (I + 2^-UPDATE_BITS D) for the DCT basis V0 and the *basis update* D: entry (i, r) says how much of column i of
V0 is added to column r. For each of the first COLUMNS columns there is a flag; for one that differs from V0 follow the
exponent of its quantum and for each of the first ROWS entries a zero flag, a sign and a magnitude in quanta. A few
hundred symbols in all: plain Python integers serve every backend.
"""

from __future__ import annotations

import numpy as np

from ..errors import FormatError
from ..format.basis_update import (
    COLUMNS,
    EXPONENT_BITS,
    HALF,
    NONZERO,
    ROWS,
    UPDATE_BITS,
    UPDATE_LIMIT,
    relations,
)
from .adaptive import AdaptiveBits
from .layout import DECODE, ENCODE
from .reference import Bits

__all__ = ["decode_basis_update", "encode_basis_update"]


class _Adaptive(AdaptiveBits):
    """The states of the adaptive bits."""

    def __init__(self, bits: Bits) -> None:
        super().__init__(bits)
        self.changed, self.nonzero, self.longer = [HALF], list(NONZERO), [HALF] * (UPDATE_BITS + 1)

    def entry(self, value: int, relation: int) -> int:
        """Code one entry in quanta: zero flag, sign, exponent in unary, mantissa."""
        if not self.code(value != 0, self.nonzero, relation):
            return 0
        sign = self.raw(value < 0, 1)
        exponent = 0
        while exponent < UPDATE_BITS and self.code(abs(value) >> exponent > 1, self.longer, exponent):
            exponent += 1
        magnitude = 1 << exponent | self.raw(abs(value), exponent)
        return -magnitude if sign else magnitude


def _quantum(column: np.ndarray) -> int:
    """Exponent of the largest power of two that divides all entries of a column that is not zero."""
    union = int(np.bitwise_or.reduce(np.abs(column)))
    return (union & -union).bit_length() - 1


def encode_basis_update(update: np.ndarray, patch_size: int) -> bytes:
    """Code V losslessly, as its difference from the DCT basis.

    Parameters
    ----------
    update : ndarray of int32, shape (ROWS, COLUMNS)
        How much of each column of the DCT basis is added to the columns of V, in 2^-UPDATE_BITS; magnitudes at most
        UPDATE_LIMIT. Multiples of a power of two per column cost fewer bits.
    patch_size : {8, 16}
        Side of a patch.

    Returns
    -------
    bytes
        A few dozen bytes.
    """
    bits = Bits(ENCODE)
    coder, classes = _Adaptive(bits), relations(patch_size).tolist()
    for r in range(COLUMNS):
        column = update[:, r].astype(np.int64)
        if not coder.code(int(column.any()), coder.changed, 0):
            continue
        exponent = coder.raw(_quantum(column), EXPONENT_BITS)
        for i, value in enumerate(column.tolist()):
            coder.entry(value >> exponent, classes[i][r])
    return bits.finish()


def decode_basis_update(data: bytes, patch_size: int) -> np.ndarray:
    """Decode V: the inverse of :func:`encode_basis_update`. Any bytes give entries within the limit, in bounded time.

    Raises
    ------
    FormatError
        If the bytes end before V does.
    """
    bits = Bits(DECODE, data)
    coder, classes = _Adaptive(bits), relations(patch_size).tolist()
    update = np.zeros((ROWS, COLUMNS), np.int32)
    for r in range(COLUMNS):
        if not coder.code(0, coder.changed, 0):
            continue
        exponent = coder.raw(0, EXPONENT_BITS)
        for i in range(ROWS):
            value = coder.entry(0, classes[i][r]) << exponent
            update[i, r] = min(max(value, -UPDATE_LIMIT), UPDATE_LIMIT)
    if bits.overrun:
        raise FormatError("damaged factors: the coded columns of V end too early; the file is corrupt")
    return update
