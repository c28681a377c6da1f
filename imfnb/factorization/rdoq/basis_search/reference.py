"""The V step in plain NumPy."""

from __future__ import annotations

import numpy as np

from ...bcd.reference import update_column

__all__ = ["moments", "update_v"]


def moments(products: np.ndarray, factors: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Sum up what the V step needs to know of a plane.

    Parameters
    ----------
    products : ndarray of int32, shape (N, size)
        X V0.
    factors : ndarray of int16, shape (R, size)
        U; its guards are zero.
    a, b : ndarrays of int64, shape (rows, columns)
        Receive the first entries of (X V0)^T U and of U^T U.
    """
    rows, columns = a.shape
    u = factors[:rows].astype(np.int64)
    a[:] = products[:rows].astype(np.int64) @ u[:columns].T
    b[:] = 0
    b[: len(u)] = u @ u[:columns].T


def update_v(
    a: np.ndarray,
    b: np.ndarray,
    factor: np.ndarray,
    origin: np.ndarray,
    quanta: np.ndarray,
    price: np.ndarray,
    low: float,
    high: float,
) -> None:
    """Update every column of V in turn: from its origin by m quanta where D + price[m] is least, in place.

    Parameters
    ----------
    a, b, factor, low, high
        As in :func:`imfnb.factorization.bcd.reference.update_column`; float64 that hold integers.
    origin : ndarray of float64, shape of factor
        What costs no bits.
    quanta : ndarray of float64, shape (R,)
        Quantum of each column; zero leaves a column alone.
    price : ndarray of float64
        Lambda times the bits of a distance of 0, 1, 2, ... quanta; no entry moves by as much as its length. Where it
        is zero and the quanta are one, this is :func:`imfnb.factorization.bcd.reference.update_columns`.
    """
    for r in range(factor.shape[1]):
        if quanta[r] == 0:
            continue
        limit = (len(price) - 1) // quanta[r]
        update_column(a, b, factor, r, low, high)
        target = factor[:, r] - origin[:, r]
        distance = np.abs(target)
        steps = np.minimum(np.rint(distance / quanta[r]), limit)
        best, kept = b[r, r] * (distance * distance) + price[0], np.zeros_like(distance)
        for m in (steps - 1, steps):
            off = distance - m * quanta[r]
            cost = b[r, r] * (off * off) + price[np.maximum(m, 0).astype(np.int64)]
            better = (m > 0) & (cost <= best)
            best[better], kept[better] = cost[better], m[better]
        factor[:, r] = origin[:, r] + np.sign(target) * (kept * quanta[r])
