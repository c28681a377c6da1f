"""Block coordinate descent in plain NumPy, written to be read against the paper; `cpu` and `cuda` are fast."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...patches import from_blocks, to_blocks
from .bands import Each, add_bands

__all__ = ["gram", "sweeps", "update_columns", "update_u"]


def gram(x: np.ndarray, rows: int, out: np.ndarray, each: Each) -> None:
    """X^T X of a stack of matrices.

    Parameters
    ----------
    x : array of uint8 or float64, of :func:`imfnb.patches.reference.matrix_shape`
        X.
    rows : int
        Number M of patches.
    out : array of float64, shape (B, N, N)
        Zeros. Receives X^T X.
    each : callable
        Applies a function to bands of blocks of patches; the GPU has no use for it.
    """

    def square(blocks: np.ndarray, first: int, last: int) -> tuple[np.ndarray]:
        blocks = blocks[first:last]
        y = from_blocks(blocks, blocks.shape[0] * blocks.shape[2]).astype(np.float64)
        return (y.T @ y,)

    for blocks, total in zip(x, out, strict=True):
        (total[...],) = add_bands(partial(square, blocks), len(blocks), each)


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
    """Update every column of one factor in turn (see :func:`update_column`), for a stack of matrices.

    Parameters
    ----------
    a : array of float64, shape (B, M, R)
        X V when U is updated, X^T U when V is.
    b : array of float64, shape (B, R, R)
        V^T V, or U^T U.
    factor : array of float64, shape (B, M, R)
        U, or V; changed in place.
    low, high : float
        Bounds of the entries.
    """
    for products, squares, columns in zip(a, b, factor, strict=True):
        for r in range(columns.shape[1]):
            update_column(products, squares, columns, r, low, high)


def update_u(
    x: np.ndarray, v: np.ndarray, u: np.ndarray, rows: int, low: float, high: float, each: Each
) -> tuple[np.ndarray, np.ndarray]:
    """One U step, and the sums that the V step needs, for a stack of matrices.

    Parameters
    ----------
    x : array of uint8 or float64, of :func:`imfnb.patches.reference.matrix_shape`
        X.
    v : array of float64, shape (B, N, R)
        V, integers.
    u : array of integer, of the `matrix_shape` of M x R
        U; changed in place. In the layout of the CPU, entries beyond M are zero.
    rows : int
        Number M of patches.
    low, high : float
        Bounds of the entries.
    each : callable
        As in :func:`gram`.

    Returns
    -------
    xtu : array of float64, shape (B, N, R)
        X^T U with the new U.
    utu : array of float64, shape (B, R, R)
        U^T U with the new U.
    """
    sums = []
    for blocks, basis, factors in zip(x, v, u, strict=True):
        w = np.asfortranarray(basis)

        def step(
            first: int, last: int, blocks: np.ndarray = blocks, w: np.ndarray = w, factors: np.ndarray = factors
        ) -> tuple[np.ndarray, np.ndarray]:
            count = min(last * blocks.shape[2], rows) - first * blocks.shape[2]
            y = from_blocks(blocks[first:last], count).astype(np.float64)
            factor = from_blocks(factors[first:last], count).astype(np.float64)
            update_columns((y @ w)[None], (w.T @ w)[None], factor[None], low, high)
            factors[first:last] = to_blocks(factor)
            return y.T @ factor, factor.T @ factor

        sums.append(add_bands(step, len(blocks), each))
    xtu, utu = (np.stack(part) for part in zip(*sums, strict=True))
    return xtu, utu


def sweeps(
    x: np.ndarray,
    rows: int,
    v: np.ndarray,
    u: np.ndarray,
    low: float,
    high: float,
    iterations: int,
    zeros: Callable[..., Any],
    threads: int,
) -> bool:
    """Do all sweeps, each :func:`update_u` and then :func:`update_columns` of V, in one call, if the backend can.

    Parameters
    ----------
    x, rows, v, u, low, high
        As in :func:`update_u`; V is changed too.
    iterations : int
        Number of sweeps.
    zeros : callable
        Gives memory of zeros for a name, a shape and a dtype, which the GPU needs.
    threads : int
        Threads that `each` of :func:`update_u` would have for bands. A call has one.

    Returns
    -------
    bool
        Whether that is done; if not, nothing is, and the caller makes the sweeps one by one. The reference never does.
    """
    return False
