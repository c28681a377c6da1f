"""Spectra, one thread of Numba."""

from __future__ import annotations

import numpy as np

from ....runtime.jit import kernel
from ..cpu import _transform_row, _transform_scratch

__all__ = ["spectrum"]

_jit = kernel(error_model="numpy")

# One less than the exponent of 16 and three bits of its mantissa, as float64 has them.
_FIRST_CLASS = np.int64(8 * (1023 + 4) - 1)


@_jit
def spectrum(plane, cosines, counts):
    """Counterpart of :func:`imfnb.factorization.rdoq.spectra.reference.spectrum`."""
    p = cosines.shape[0]
    gw = plane.shape[1] // p
    scratch, products = _transform_scratch(p, plane.shape[1]), np.empty((p, p, gw), np.int32)
    above = np.zeros(gw, np.int32)
    for y in range(plane.shape[0] // p):
        _transform_row(plane[y * p : y * p + p], cosines, scratch, products)
        for i in range(p):
            for j in range(p):
                row = products[i, j]
                for x in range(gw):
                    value = abs(np.int64(row[x]))
                    if i + j == 0:
                        value = abs(np.int64(row[x]) - above[x]) if y else np.int64(0)
                        above[x] = row[x]
                    # Exponent and three bits of the mantissa of a float64 are eighths of an octave.
                    counts[max((np.float64(value).view(np.int64) >> 49) - _FIRST_CLASS, 0)] += 1
