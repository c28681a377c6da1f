"""Block coordinate descent in plain NumPy, written to be read against the paper; `cpu` holds the fast twins."""

from __future__ import annotations

import numpy as np

__all__ = ["gram", "update_column", "update_columns", "update_u"]


def gram(xt: np.ndarray) -> np.ndarray:
    """X^T X in float64; `xt` is X^T, shape (N, M)."""
    x = xt.astype(np.float64)
    return x @ x.T


def update_column(a: np.ndarray, b: np.ndarray, factor: np.ndarray, r: int, low: float, high: float) -> None:
    """Update column r of one factor, in place (paper, equations 9 and 10).

    With the other factor and the other columns fixed, the column that minimises |X - U V^T|^2 over the integers in
    [low, high] is the clamped rounding of the least-squares column: the cost is a separable parabola in each entry
    (theorem 1).

    Parameters
    ----------
    a : ndarray of float, shape (M, R)
        X V when U is updated, X^T U when V is.
    b : ndarray of float, shape (R, R)
        V^T V, or U^T U.
    factor : ndarray of float, shape (M, R)
        U, or V; changed in place.
    r : int
        The column.
    low, high : float
        Bounds of the entries.
    """
    if b[r, r] == 0:
        factor[:, r] = np.clip(1.0, low, high)
        return
    others = factor @ b[:, r] - factor[:, r] * b[r, r]
    factor[:, r] = np.clip(np.rint((a[:, r] - others) / b[r, r]), low, high)


def update_columns(a: np.ndarray, b: np.ndarray, factor: np.ndarray, low: float, high: float) -> None:
    """Update every column of one factor in turn, in place; parameters as in :func:`update_column`."""
    for r in range(factor.shape[1]):
        update_column(a, b, factor, r, low, high)


def update_u(
    xt: np.ndarray, vt: np.ndarray, ut: np.ndarray, start: int, stop: int, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """One U step, and the sums that the V step needs.

    Parameters
    ----------
    xt : ndarray of uint8 or float64, shape (N, M)
        X^T.
    vt : ndarray of float, shape (R, N)
        V^T.
    ut : ndarray of integer, shape (R, M)
        U^T; changed in place.
    start, stop : int
        The band of patches to update.
    low, high : float
        Bounds of the entries.

    Returns
    -------
    xtu : ndarray of float64, shape (N, R)
        X^T U with the new U.
    utu : ndarray of float64, shape (R, R)
        U^T U with the new U.
    """
    x, v = xt[:, start:stop].T.astype(np.float64), vt.T.astype(np.float64)
    u = ut[:, start:stop].T.astype(np.float64)
    update_columns(x @ v, v.T @ v, u, low, high)
    ut[:, start:stop] = u.T
    return x.T @ u, u.T @ u
