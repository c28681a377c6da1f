"""Block coordinate descent: X and a first V -> the integer factors U and V; see `imfnb.factorization`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...runtime.run import Run, Task
from ..bounds import factor_dtype, limits
from ..init import init_v

__all__ = ["descend", "download"]


def descend(
    x: Any,
    rows: int,
    rank: int,
    bounds: tuple[int, int] | None,
    iterations: int,
    run: Run,
    name: str = "",
    history: list[list[tuple[float, float]]] | None = None,
    start: Callable[..., Task[Any]] = init_v,
) -> Task[tuple[Any, Any]]:
    """Factorize a stack of matrices by block coordinate descent (paper, algorithm 1).

    Parameters
    ----------
    x : array of uint8 or float64, of :func:`imfnb.patches.reference.matrix_shape`
        X. With uint8 the result is the same bits on every backend and number of threads.
    rows : int
        Number M of patches.
    rank : int
        Number of columns R of the factors.
    bounds : (int, int) or None
        Smallest and largest entry; None for unbounded integers.
    iterations : int
        Number of sweeps K >= 1 over all columns of U and then of V.
    run : Run
        Where the work is done.
    name : str
        Prefix of the names of its memory, which the next descent of this name overwrites.
    history : list, optional
        Receives, for every sweep, <X, U V^T> and |U V^T|^2 of each matrix: |X - U V^T|^2 is |X|^2 less twice the one
        plus the other.
    start : callable
        A task in the place of :func:`imfnb.factorization.init.init_v`.

    Returns
    -------
    u : array of integer, of `matrix_shape` of M x R
        Left factors, through the task.
    v : array of float64, shape (B, N, R)
        Right factors, integers.
    """
    kernels, (low, high) = run.kernels("factorization.bcd"), limits(bounds)
    v = yield from start(x, rows, rank, bounds, run, name)
    u = run.zeros(f"{name}u", run.kernels("patches").matrix_shape(len(x), rows, rank), factor_dtype(bounds))

    def zeros(kind: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return run.zeros(name + kind, shape, dtype)

    if history is None and kernels.sweeps(x, rows, v, u, low, high, iterations, zeros, run.threads):
        return u, v
    for _ in range(iterations):
        xtu, utu = kernels.update_u(x, v, u, rows, low, high, run.each)
        kernels.update_columns(xtu, utu, v, low, high)
        if history is not None:
            sums = yield from run.fetch(f"{name}sums", xtu, utu, v)
            history.append(
                [(float(np.sum(a * w)), float(np.sum(b * (w.T @ w)))) for a, b, w in zip(*sums, strict=True)]
            )
    return u, v


def download(
    factors: Sequence[tuple[Any, Any, int]], run: Run, name: str = ""
) -> Task[list[list[tuple[np.ndarray, np.ndarray]]]]:
    """Bring factors to the host.

    Parameters
    ----------
    factors : sequence of (u, v, rows)
        What :func:`descend` made of stacks of matrices, and their number M of patches.
    run : Run
        Where they are.
    name : str
        Name of the memory on the way.

    Returns
    -------
    list of list of (u, v)
        Through the task: for each stack, for each matrix U (M, R) and V (N, R) in Fortran order and of U's dtype.
    """
    here = yield from run.fetch(f"{name}factors", *(array for u, v, _ in factors for array in (u, v)))
    matrix = run.kernels("patches").host_matrix
    return [
        [(matrix(one, rows), np.asfortranarray(two.astype(one.dtype))) for one, two in zip(u, v, strict=True)]
        for (_, _, rows), u, v in zip(factors, here[::2], here[1::2], strict=True)
    ]
