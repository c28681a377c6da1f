"""Block coordinate descent in plain NumPy, written to be read against the paper; `cpu` holds the fast twins."""

from __future__ import annotations

import numpy as np

from ..patches import from_blocks, to_blocks

__all__ = ["gram", "update_column", "update_columns", "update_u"]


def gram(blocks: np.ndarray) -> np.ndarray:
    """X^T X in float64; X as blocks of patches, see :mod:`imfnb.patches`."""
    x = from_blocks(blocks, blocks.shape[0] * blocks.shape[2]).astype(np.float64)
    return x.T @ x


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
    blocks: np.ndarray, rows: int, vt: np.ndarray, u: np.ndarray, first: int, last: int, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """One U step, and the sums that the V step needs.

    Parameters
    ----------
    blocks : ndarray of uint8 or float64, shape (B, N, LANES)
        X in blocks of patches, see :mod:`imfnb.patches`.
    rows : int
        Number M of patches.
    vt : ndarray of float, shape (R, N)
        V^T.
    u : ndarray of integer, shape (B, R, LANES)
        U in blocks of patches; changed in place. Entries beyond M are zero.
    first, last : int
        The band of blocks to update.
    low, high : float
        Bounds of the entries.

    Returns
    -------
    xtu : ndarray of float64, shape (N, R)
        X^T U of the band with the new U.
    utu : ndarray of float64, shape (R, R)
        U^T U of the band with the new U.
    """
    count = min(last * blocks.shape[2], rows) - first * blocks.shape[2]
    x, v = from_blocks(blocks[first:last], count).astype(np.float64), vt.T.astype(np.float64)
    factor = from_blocks(u[first:last], count).astype(np.float64)
    update_columns(x @ v, v.T @ v, factor, low, high)
    u[first:last] = to_blocks(factor)
    return x.T @ factor, factor.T @ factor
