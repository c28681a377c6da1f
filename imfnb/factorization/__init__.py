"""Factorization stage: the matrix X (M x N) <-> integer factors U (M x R) and V (N x R) with X ~ U V^T.

The method is block coordinate descent (BCD) over the columns of the factors (paper, section 3.3, algorithm 1)::

    u_r <- clamp( round( (X v_r - sum_{s != r} u_s (v_s . v_r)) / |v_r|^2 ) )        for r = 1 .. R, then likewise v_r

starting from the truncated SVD. `round` is the exact rounding of the quotient, halves to even: every backend computes
that number and not an approximation to it, so the cost |X - U V^T|^2 can never rise (theorem 1 of the paper) and
integer input gives the same factors everywhere. Where |v_r| = 0 the quotient is defined as 1: such a column costs
nothing, and the next half-sweep can put it to use again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, overload

import numpy as np

from ..errors import DeviceError, OptionError
from ..patches import to_blocks
from ..runtime.devices import resolve_device, resolve_threads, run_on
from ..runtime.run import HostRun, Run, Task, finish
from .bcd import descend
from .bounds import check_bounds, factor_dtype

__all__ = ["check_bounds", "factor_dtype", "factorize"]

# Largest magnitude of an entry of X: integers up to it are exact in float64, and products of factors fit int64.
_LARGEST = 2.0**53

# Bytes of matrices that the GPU is given at a time, on each of two streams; and rows and columns of a matrix there, at
# most, since 32 bits number patches.
_CHUNK_BYTES = 1 << 25
_LONGEST = 1 << 28


@overload
def factorize(
    X: Any,
    rank: int,
    bounds: tuple[int, int] | None = ...,
    iterations: int = ...,
    *,
    device: str = ...,
    threads: int | None = ...,
    return_cost: Literal[False] = ...,
) -> tuple[np.ndarray, np.ndarray]: ...


@overload
def factorize(
    X: Any,
    rank: int,
    bounds: tuple[int, int] | None = ...,
    iterations: int = ...,
    *,
    device: str = ...,
    threads: int | None = ...,
    return_cost: Literal[True],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


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
        ``|X - U V^T|^2`` (squared Frobenius norm) after every sweep; only with `return_cost`. It never rises.

    Raises
    ------
    OptionError
        If X is not a real, finite, non-empty array of at least two dimensions, or an option is out of range.
    DeviceError
        If the device cannot be used.

    See Also
    --------
    imfnb.encode : The codec that is built upon it, with ``profile="baseline"``.
    imfnb.evaluate.factor_maps.run : Draws the factors of a picture.

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
    stack, (rows, columns) = x.shape[:-2], x.shape[-2:]
    matrices, dtype = x.reshape(-1, rows, columns), factor_dtype(bounds)
    count = len(matrices)
    u: np.ndarray = np.empty((count, rows, rank), dtype)
    v: np.ndarray = np.empty((count, columns, rank), dtype)
    cost = np.empty((count, iterations))

    def task(chunk: Sequence[int], run: Run) -> Task[None]:
        history: list[list[tuple[float, float]]] | None = [] if with_cost else None
        found = yield from _descend([matrices[i] for i in chunk], rank, bounds, iterations, run, history)
        copies = [(target[i], part[k]) for target, part in zip((u, v), found, strict=True) for k, i in enumerate(chunk)]
        yield from run.wait(run.submit_all(lambda pair: np.copyto(*pair, casting="unsafe"), copies))
        for k, i in enumerate(chunk if history else ()):
            squares = _energy(matrices[i])
            cost[i] = [max(0.0, squares - 2.0 * sums[k][0] + sums[k][1]) for sums in history or ()]

    if device == "cuda":
        _on_gpu(count, matrices[0], task, threads)
    else:
        with HostRun(device, threads) as run:
            for i in range(count):
                finish(task([i], run))
    return u.reshape(*stack, rows, rank), v.reshape(*stack, columns, rank), cost.reshape(*stack, iterations)


def _descend(
    matrices: Sequence[np.ndarray],
    rank: int,
    bounds: tuple[int, int] | None,
    iterations: int,
    run: Run,
    history: list[list[tuple[float, float]]] | None,
) -> Task[list[np.ndarray]]:
    """U (B, M, R) and V (B, N, R) of matrices of the host, on the host."""
    patches, (rows, columns) = run.kernels("patches"), matrices[0].shape
    there = run.upload("matrices", matrices)
    x = run.array("x", patches.matrix_shape(len(there), rows, columns), there.dtype)
    patches.from_matrices(there, x)
    u, v = yield from descend(x, rows, rank, bounds, iterations, run, "", history)
    turned = run.array("u turned", (len(there), rows, rank), u.dtype)
    patches.to_matrices(u, turned)
    return (yield from run.fetch("factors", turned, v))


def _on_gpu(count: int, matrix: np.ndarray, task: Callable[[Sequence[int], Run], Task[None]], threads: int) -> None:
    """Run a task for chunks of `count` matrices like the given one; where the memory is full, for fewer at a time."""
    from ..runtime import streams
    from ..runtime.cuda import GRID_LIMIT
    from ..runtime.gpu import DeviceRun

    if max(matrix.shape) > _LONGEST:
        raise DeviceError(f"X has shape {matrix.shape}; the GPU takes {_LONGEST} rows and columns: use device='cpu'")
    parts = -(-count // min(max(1, _CHUNK_BYTES // matrix.nbytes), GRID_LIMIT))
    size = -(-count // parts)  # of about equal size
    chunks = [range(i, min(i + size, count)) for i in range(0, count, size)]
    with ThreadPoolExecutor(threads) as pool:
        streams.run(chunks, lambda chunk, slot: task(chunk, DeviceRun(slot, pool)), lambda *_: None, threads)


def _energy(matrix: np.ndarray) -> float:
    """|X|^2 in float64."""
    return float(sum(np.sum(np.square(block, dtype=np.float64)) for block in to_blocks(matrix)))


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
