"""Factorization stage: the matrix X (M x N) <-> integer factors U (M x R) and V (N x R) with X ~ U V^T.

The method is block coordinate descent (BCD) over the columns of the factors (paper, section 3.3, algorithm 1)::

    u_r <- clamp( round( (X v_r - sum_{s != r} u_s (v_s . v_r)) / |v_r|^2 ) )        for r = 1 .. R, then likewise v_r

starting from the truncated SVD. `round` is the exact rounding of the quotient, halves to even: every backend computes
that number and not an approximation to it, so the cost |X - U V^T|^2 can never rise (theorem 1 of the paper) and
integer input gives the same factors everywhere. Where |v_r| = 0 the quotient is defined as 1: such a column costs
nothing, and the next half-sweep can put it to use again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._backend import Run, kernels, resolve_device, resolve_threads, run_on, serially, thread_map
from ..errors import OptionError
from ..patches import from_blocks, to_blocks
from .start import limits, start_v

__all__ = [
    "bcd",
    "check_bounds",
    "energy",
    "exact_in_float32",
    "factor_dtype",
    "factorize",
    "init_v",
    "limits",
    "start_v",
]

# Blocks of patches that one call of the U step handles. Fixed, whatever the number of threads, so that the order of
# floating-point sums is fixed too when X is not integer.
BAND = 512

# Largest magnitude of an entry of X: integers up to it are exact in float64, and products of factors fit int64.
_LARGEST = 2.0**53


def factor_dtype(bounds: tuple[int, int] | None) -> type:
    """Smallest of int8, int16, int32 that holds both bounds; int64 for unbounded factors."""
    if bounds is None:
        return np.int64
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= bounds[0] and bounds[1] <= np.iinfo(dtype).max:
            return dtype
    return np.int64


def check_bounds(bounds: Any, limit: int) -> tuple[int, int]:
    """Validate a pair of factor bounds.

    Parameters
    ----------
    bounds : pair of int
        Smallest and largest value of an entry.
    limit : int
        Largest magnitude allowed.

    Returns
    -------
    (int, int)
        The bounds as Python integers.

    Raises
    ------
    OptionError
        If they are not two integers lo < hi within +-`limit`.
    """
    try:
        low, high = bounds
    except (TypeError, ValueError):
        low = high = None
    integers = all(isinstance(b, (int, np.integer)) and not isinstance(b, (bool, np.bool_)) for b in (low, high))
    if not integers or not -limit <= low < high <= limit:
        raise OptionError(f"bounds is {bounds!r}; expected two integers (low, high), -{limit} <= low < high <= {limit}")
    return int(low), int(high)


def init_v(
    blocks: np.ndarray, rows: int, rank: int, bounds: tuple[int, int] | None, device: str, run: Run = serially
) -> np.ndarray:
    """Integer V to start from: that of the truncated SVD, X ~ (Us sqrt(S)) (Vs sqrt(S))^T, rounded and clamped.

    Paper, section 3.3, "initialization". U starts at zero: for orthogonal columns of V the first U step does not
    depend on it. Starting from the projected V instead of the real one (as the code of lrf does today) gains 0.02 dB
    at rank 10, 0.06 dB at 20 and 0.09 dB at 26 on bsd34's luma at the same number of bytes, makes every step integer,
    and is what reproduces the published figures. The SVD comes from the eigenvectors of the smaller Gram matrix,
    which is exact for integer X. Signs are fixed: every column has its sum on the side of the larger bound, so that
    all of [-16, 15] is used.

    Parameters
    ----------
    blocks : ndarray of uint8 or float64, shape (B, N, LANES)
        X in blocks of patches.
    rows : int
        Number M of patches.
    rank : int
        Number of columns R.
    bounds : (int, int) or None
        Smallest and largest entry.
    device : {"cpu", "reference"}
        Which kernels to use.
    run : callable
        Applies a function to bands of rows, as :func:`imfnb._backend.thread_map` yields it.

    Returns
    -------
    ndarray of float64, shape (N, R)
        Integers within the bounds; zero (or the bound nearest to it) in the columns beyond the rank of X.
    """
    wide = from_blocks(blocks, rows) if blocks.shape[1] > rows else None
    backend, x = kernels("factorization", device), blocks if wide is None else to_blocks(wide.T)
    gram = sum(run(lambda band: backend.gram(x[slice(*band)]), _bands(len(x))))
    return start_v(gram, blocks.dtype == np.uint8, rank, bounds, wide, device)


def _bands(count: int) -> list[tuple[int, int]]:
    """Bands (first, last) of `count` blocks of patches."""
    return [(first, min(first + BAND, count)) for first in range(0, count, BAND)]


def bcd(
    blocks: np.ndarray,
    rows: int,
    rank: int,
    bounds: tuple[int, int] | None,
    iterations: int,
    device: str,
    threads: int = 1,
    costs: list[float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Factorize one matrix by block coordinate descent (paper, algorithm 1).

    Parameters
    ----------
    blocks : ndarray of uint8 or float64, shape (B, N, LANES)
        X in blocks of patches. With uint8 the result is the same bits on every backend and number of threads.
    rows : int
        Number M of patches.
    rank : int
        Number of columns R of the factors.
    bounds : (int, int) or None
        Smallest and largest entry; None for unbounded integers.
    iterations : int
        Number of sweeps K >= 1 over all columns of U and then of V.
    device : {"cpu", "reference"}
        Which kernels to use.
    threads : int
        Number of threads that work on bands of rows.
    costs : list of float, optional
        Receives |X - U V^T|^2 after every sweep.

    Returns
    -------
    u : ndarray of integer, shape (M, R), Fortran order
        Left factor.
    v : ndarray of integer, shape (N, R), Fortran order
        Right factor.
    """
    backend = kernels("factorization", device)
    low, high = limits(bounds)
    dtype = factor_dtype(bounds)
    u = np.zeros((len(blocks), rank, blocks.shape[2]), dtype)
    # The sums of the U step are below N b (255 + R b^2) for b the largest magnitude of an entry; where that is below
    # 2^24, float32 holds them exactly.
    working = np.float32 if _fits_float32(blocks, rank, bounds) else np.float64
    bands = _bands(len(blocks))
    workers = min(threads, len(bands))
    together = device == "cpu" and workers == 1 and costs is None
    squares = energy(blocks) if costs is not None else 0.0
    with thread_map(workers) as run:
        v = init_v(blocks, rows, rank, bounds, device, run)
        if together and backend.sweeps(blocks, rows, u, v, working, BAND, iterations, (low, high)):
            return from_blocks(u, rows), np.asfortranarray(v.astype(dtype))
        for _ in range(iterations):
            vt = np.ascontiguousarray(v.T, working)

            def step(band: tuple[int, int], vt: np.ndarray = vt) -> tuple[np.ndarray, np.ndarray]:
                return backend.update_u(blocks, rows, vt, u, *band, low, high)

            sums = run(step, bands)
            xtu, utu = sums[0]
            for other in sums[1:]:
                xtu += other[0]
                utu += other[1]
            backend.update_columns(xtu, utu, v, low, high)
            if costs is not None:
                costs.append(max(0.0, float(squares - 2.0 * np.sum(xtu * v) + np.sum(utu * (v.T @ v)))))
    return from_blocks(u, rows), np.asfortranarray(v.astype(dtype))


def _fits_float32(blocks: np.ndarray, rank: int, bounds: tuple[int, int] | None) -> bool:
    """Whether the U step may add in float32."""
    return blocks.dtype == np.uint8 and exact_in_float32(blocks.shape[1], rank, bounds)


def exact_in_float32(columns: int, rank: int, bounds: tuple[int, int] | None) -> bool:
    """Whether every partial sum of the U step on uint8 input, over pixels or over 256 patches, is below 2**24."""
    if bounds is None:
        return False
    largest = max(-bounds[0], bounds[1])
    over_patches = 256 * largest * max(255, largest)
    return max(over_patches, columns * largest * (255 + rank * largest * largest)) < 2**24


def energy(blocks: np.ndarray) -> float:
    """|X|^2 in float64."""
    return float(sum(np.sum(np.square(block, dtype=np.float64)) for block in blocks))


def factorize(
    X: Any,
    rank: int,
    bounds: tuple[int, int] | None = (-16, 15),
    iterations: int = 10,
    *,
    device: str = "auto",
    threads: int | None = None,
    return_cost: bool = False,
) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integer matrix factorization X ~ U V^T of any real matrix or stack of matrices.

    Block coordinate descent from the truncated SVD with closed-form, optimal column updates (paper, section 3.3,
    algorithm 1).

    Parameters
    ----------
    X : array_like, shape (..., M, N)
        Real and finite. Integer and boolean input is used as it is, floats in float64.
    rank : int
        Number of columns R of the factors. More than min(M, N) is allowed.
    bounds : (int, int) or None, default (-16, 15)
        Smallest and largest entry of the factors. None leaves them unbounded.
    iterations : int, default 10
        Number of sweeps, at least 1.
    device : {"auto", "cpu", "cuda", "reference"}, default "auto"
        Which kernels to use. For integer X all give the same factors; for other X sums are rounded, in an order that
        each kernel has fixed for itself.
    threads : int, optional
        Largest number of threads to use; all cores by default.
    return_cost : bool, default False
        Whether to return the history of the cost too.

    Returns
    -------
    U : ndarray of integer, shape (..., M, R)
        Left factor, in the smallest of int8, int16, int32, int64 that holds the bounds.
    V : ndarray of integer, shape (..., N, R)
        Right factor.
    cost : ndarray of float64, shape (..., iterations)
        |X - U V^T|^2 (squared Frobenius norm) after every sweep; only with `return_cost`. It never rises.

    Raises
    ------
    OptionError
        If X is not a real, finite, non-empty array of at least two dimensions, or an option is out of range.
    DeviceError
        If the device cannot be used.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> X = np.arange(12).reshape(4, 3)
    >>> U, V, cost = imfnb.factorize(X, rank=2, return_cost=True)
    >>> U.shape, V.shape, U.dtype
    ((4, 2), (3, 2), dtype('int8'))
    >>> bool(cost[-1] == np.sum((X - U @ V.T) ** 2))
    True
    """
    x = _check_matrix(X)
    if isinstance(rank, bool) or not isinstance(rank, (int, np.integer)) or rank < 1:
        raise OptionError(f"rank is {rank!r}; expected a positive integer")
    if isinstance(iterations, bool) or not isinstance(iterations, (int, np.integer)) or iterations < 1:
        raise OptionError(f"iterations is {iterations!r}; expected a positive integer")
    if bounds is not None:
        bounds = check_bounds(bounds, 2**31 - 1)
    work = "factorize batch" if x.ndim > 2 else "factorize"
    backend, workers = resolve_device(device, x.size, work), resolve_threads(threads)
    u, v, cost = run_on(
        device, backend, lambda chosen: _factorize(x, int(rank), bounds, int(iterations), chosen, workers, return_cost)
    )
    return (u, v, cost) if return_cost else (u, v)


def _factorize(
    x: np.ndarray,
    rank: int,
    bounds: tuple[int, int] | None,
    iterations: int,
    device: str,
    threads: int,
    with_cost: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """:func:`factorize` with valid arguments on a device that has been chosen."""
    stack = x.shape[:-2]
    cost = np.empty((*stack, iterations))
    if device == "cuda":
        from ..gpu.descent import factorize as on_device

        flat = x.reshape(-1, *x.shape[-2:])
        history = cost.reshape(-1, iterations) if with_cost else None
        u, v = on_device(flat, rank, bounds, iterations, threads, history)
        return u.reshape(*stack, *u.shape[1:]), v.reshape(*stack, *v.shape[1:]), cost
    dtype = factor_dtype(bounds)
    u = np.empty((*stack, x.shape[-2], rank), dtype)
    v = np.empty((*stack, x.shape[-1], rank), dtype)
    for index in np.ndindex(stack):
        costs: list[float] = []
        blocks = to_blocks(x[index])
        u[index], v[index] = bcd(blocks, x.shape[-2], rank, bounds, iterations, device, threads, costs)
        cost[index] = costs
    return u, v, cost


def _check_matrix(X: Any) -> np.ndarray:
    """`X` as a uint8 or float64 array, or an OptionError."""
    try:
        x = np.asarray(X)
    except ValueError as error:
        raise OptionError(f"X is not an array: {error}") from None
    if x.ndim < 2 or x.size == 0:
        raise OptionError(f"X has shape {x.shape}; expected a non-empty matrix (M, N) or a stack (..., M, N)")
    if x.dtype.kind not in "buif":
        raise OptionError(f"X has dtype {x.dtype}; expected real numbers (boolean, integer or float)")
    if x.dtype == np.uint8:
        return x
    x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise OptionError("X contains NaN or infinity; expected finite numbers: replace or mask them first")
    if np.abs(x).max() > _LARGEST:
        raise OptionError(f"X has entries of magnitude {np.abs(x).max():g}; expected at most 2**53: scale it down")
    return x
