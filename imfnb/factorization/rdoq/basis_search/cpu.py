"""The V step, one thread of Numba."""

from __future__ import annotations

import numpy as np

from ....runtime.jit import kernel
from ...bcd.cpu import update_column

__all__ = ["moments", "update_v"]

_jit = kernel(error_model="numpy")


@_jit
def moments(products, factors, a, b):
    """Counterpart of :func:`imfnb.factorization.rdoq.basis_search.reference.moments`.

    |X v| <= 2**31, |u| <= 2**13 and at most 2**16 patches: every sum is below 2**60.
    """
    rows, columns = a.shape
    b[:] = 0
    for r in range(columns):
        u = factors[r]
        for i in range(rows):
            total = np.int64(0)
            row = products[i]
            for m in range(len(u)):
                total += np.int64(row[m]) * np.int64(u[m])
            a[i, r] = total
        for i in range(min(rows, factors.shape[0])):
            total = np.int64(0)
            other = factors[i]
            for m in range(len(u)):
                total += np.int64(other[m]) * np.int64(u[m])
            b[i, r] = total


@_jit
def update_v(a, b, factor, origin, quanta, price, low, high):
    """Counterpart of :func:`imfnb.factorization.rdoq.basis_search.reference.update_v`."""
    for r in range(factor.shape[1]):
        q = quanta[r]
        if q == 0:
            continue
        limit = int((len(price) - 1) // q)
        update_column(a, b, factor, r, low, high)
        for i in range(factor.shape[0]):
            target = factor[i, r] - origin[i, r]
            distance = abs(target)
            m = min(int(np.rint(distance / q)), limit)
            best = b[r, r] * (distance * distance) + price[0]
            kept = 0
            for k in range(max(m - 1, 1), m + 1):
                off = distance - k * q
                cost = b[r, r] * (off * off) + price[k]
                if cost <= best:
                    best = cost
                    kept = k
            factor[i, r] = origin[i, r] + (kept * q if target > 0 else -kept * q)
