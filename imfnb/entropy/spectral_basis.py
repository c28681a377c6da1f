"""Coding of V of the spectral factorization: offsets of bands, then column after column, with the range coder.

Each number is a zero flag, a sign, an exponent in unary and a mantissa; exponents are coded by that of the number
before, since entries of a column are of one size. A column has a quantum, a power of two, and is coded as differences
of neighbouring bands where that is shorter. A few thousand symbols at most: plain Python integers serve every backend.
"""

from __future__ import annotations

import numpy as np

from ..errors import FormatError
from ..format.basis_update import HALF
from ..format.spectral import ENTRY_LIMIT, EXPONENTS, QUANTUM_BITS
from .adaptive import AdaptiveBits
from .layout import DECODE, ENCODE
from .reference import Bits

__all__ = ["decode_spectral_basis", "encode_spectral_basis"]


class _Numbers(AdaptiveBits):
    """Integers of any size."""

    def __init__(self, bits: Bits) -> None:
        super().__init__(bits)
        self._flag, self._last = [HALF], 0
        # After a number with each exponent, or zero: whether the next is zero, and whether its exponent is larger yet.
        self._zero = [HALF] * (EXPONENTS + 1)
        self._longer = [[HALF] * EXPONENTS for _ in range(EXPONENTS + 1)]

    def flag(self, value: int) -> int:
        """Code whether a column is one of differences."""
        return self.code(value, self._flag, 0)

    def number(self, value: int) -> int:
        """Code one integer."""
        context = self._last
        if not self.code(value != 0, self._zero, context):
            self._last = 0
            return 0
        negative = self.raw(value < 0, 1)
        exponent = 0
        while exponent < EXPONENTS - 1 and self.code(abs(value) >> exponent > 1, self._longer[context], exponent):
            exponent += 1
        self._last = exponent + 1
        magnitude = 1 << exponent | self.raw(abs(value), exponent)
        return -magnitude if negative else magnitude


def encode_spectral_basis(offsets: np.ndarray, matrix: np.ndarray) -> bytes:
    """Code offsets and V losslessly.

    Parameters
    ----------
    offsets : ndarray of int32, shape (C,)
        Offsets of the bands, within +-ENTRY_LIMIT.
    matrix : ndarray of int32, shape (C, K)
        V, within +-ENTRY_LIMIT. Multiples of a power of two per column cost fewer bits.

    Returns
    -------
    bytes
        About a byte an entry where its columns have no finer quantum than pays.
    """
    bits = Bits(ENCODE)
    coder = _Numbers(bits)
    for value in np.diff(offsets.astype(np.int64), prepend=0).tolist():
        coder.number(value)
    for column in matrix.T.astype(np.int64):
        union = int(np.bitwise_or.reduce(np.abs(column)))
        quantum = (union & -union).bit_length() - 1 if union else 0
        coder.raw(quantum, QUANTUM_BITS)
        quanta = column >> quantum
        steps = np.diff(quanta, prepend=0)
        differs = bool(np.abs(steps).sum() < np.abs(quanta).sum())
        coder.flag(int(differs))
        for value in (steps if differs else quanta).tolist():
            coder.number(value)
    return bits.finish()


def decode_spectral_basis(data: bytes, bands: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of :func:`encode_spectral_basis`. Any bytes give numbers in their range, in bounded time.

    Raises
    ------
    FormatError
        If the bytes end too early.
    """
    bits = Bits(DECODE, data)
    coder = _Numbers(bits)
    offsets, matrix = np.zeros(bands, np.int32), np.zeros((bands, columns), np.int32)
    last = 0
    for b in range(bands):
        last = _limited(last + coder.number(0))
        offsets[b] = last
    for k in range(columns):
        quantum = coder.raw(0, QUANTUM_BITS)
        differs, last = coder.flag(0), 0
        for b in range(bands):
            last = coder.number(0) + (last if differs else 0)
            matrix[b, k] = _limited(last << quantum)
        if bits.overrun:
            break
    if bits.overrun:
        raise FormatError("damaged file: the coded columns of V end too early; the file is corrupt")
    return offsets, matrix


def _limited(value: int) -> int:
    return min(max(value, -ENTRY_LIMIT), ENTRY_LIMIT)
