"""Start of block coordinate descent: X, or its Gram matrix, -> the first integer V.

V is that of the truncated SVD, X ~ (Us sqrt(S)) (Vs sqrt(S))^T, rounded and clamped (paper, section 3.3,
"initialization"); its columns are the eigenvectors of X^T X that belong to the largest eigenvalues. LAPACK finds them
in an order of operations that depends on the machine. For the matrices of the codec they come from an own method
instead, a subspace iteration in which the order is fixed: the same bits everywhere, in a fraction of the time. Of
the entries of V at ranks up to 26 at most 1.5% differ from those in double precision on bsd34's luma and 0.08% on its
chroma, where LAPACK's in single precision, used before, differed in 0.13% and 4%.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from ...patches import to_blocks
from ...runtime.run import Run, Task
from ..bounds import limits
from .reference import DEAD, width

__all__ = ["find_v", "init_v", "own"]

# Largest number of vectors that the own method is used for, whose time grows with their third power. Microseconds of
# both on photographs, own / LAPACK, by size N and vectors: N = 16: 11 / 20 (10), 24 / 30 (16); N = 64: 21 / 98 (10),
# 41 / 117 (13), 120 / 209 (28), 280 / 277 (40), 418 / 331 (48); N = 192: 155 / 562 (10), 1625 / 1375 (56); N = 256:
# 258 / 1091 (10), 871 / 1544 (28), 2670 / 1942 (40); N = 1024: 4500 / 26900 (10).
_LARGEST_BLOCK = 40


def init_v(x: Any, rows: int, rank: int, bounds: tuple[int, int] | None, run: Run, name: str = "") -> Task[Any]:
    """Integer V to start from: that of the truncated SVD, X ~ (Us sqrt(S)) (Vs sqrt(S))^T, rounded and clamped.

    Paper, section 3.3, "initialization". U starts at zero: for orthogonal columns of V the first U step does not
    depend on it. Starting from the projected V instead of the real one (as the code of lrf does today) gains 0.02 dB
    at rank 10, 0.06 dB at 20 and 0.09 dB at 26 on bsd34's luma at the same number of bytes, makes every step integer,
    and is what reproduces the published figures. The SVD comes from the eigenvectors of the smaller Gram matrix,
    which is exact for integer X. Signs are fixed: every column has its sum on the side of the larger bound, so that
    all of [-16, 15] is used.

    Where a backend's kernel has the memory, for bytes, nothing leaves the device. Elsewhere V is found on the host.

    Parameters
    ----------
    x : array of uint8 or float64, of :func:`imfnb.patches.reference.matrix_shape`
        X of a stack of matrices.
    rows : int
        Number M of patches.
    rank : int
        Number of columns R.
    bounds : (int, int) or None
        Smallest and largest entry.
    run : Run
        Where the work is done.
    name : str
        Prefix of the names of its memory.

    Returns
    -------
    array of float64, shape (B, N, R)
        Through the task: integers within the bounds; zero (or the bound nearest to it) in the columns beyond the rank
        of X.
    """
    first, images, columns = run.kernels("factorization.init"), len(x), x.shape[len(x.shape) - 2]
    small = x.dtype == np.uint8
    if columns > rows:  # few patches: X is small, and the start needs X itself
        (here,) = yield from run.fetch(f"{name}x", x)
        matrix = partial(run.kernels("patches").host_matrix, rows=rows)
        found = yield from run.wait(run.submit_all(lambda one: _find_wide_v(matrix(one), rank, bounds, run), here))
        return run.upload(f"{name}v", found)
    gram = run.zeros(f"{name}gram", (images, columns, columns), np.float64)
    run.kernels("factorization.bcd").gram(x, rows, gram, run.each)
    if own(columns, rank, small) and first.fits(columns, rank):
        v = run.array(f"{name}v", (images, columns, rank), np.float64)
        first.start_v(gram, rank, *limits(bounds), v)
        return v
    (here,) = yield from run.fetch(f"{name}gram", gram)
    backend = run.host_kernels("factorization.init")
    found = yield from run.wait(run.submit_all(lambda one: find_v(one, small, rank, bounds, None, backend), here))
    return run.upload(f"{name}v", found)


def _find_wide_v(x: np.ndarray, rank: int, bounds: tuple[int, int] | None, run: Run) -> np.ndarray:
    """The V of :func:`init_v` for a matrix (M, N) with fewer patches than pixels."""
    gram = np.zeros((1, len(x), len(x)))
    run.host_kernels("factorization.bcd").gram(to_blocks(x.T)[None], x.shape[1], gram, run.alone().each)
    return find_v(gram[0], x.dtype == np.uint8, rank, bounds, x, run.host_kernels("factorization.init"))


def own(size: int, rank: int, small: bool) -> bool:
    """Whether the V of :func:`find_v` comes from the own method and not from LAPACK.

    Parameters
    ----------
    size : int
        Rows of the Gram matrix.
    rank : int
        Number of columns R.
    small : bool
        Whether X is of uint8.

    Returns
    -------
    bool
        If so, :mod:`imfnb.factorization.init.cuda` finds the same bits where that has room for it.
    """
    return small and width(size, rank) <= _LARGEST_BLOCK


def find_v(
    gram: np.ndarray,
    small: bool,
    rank: int,
    bounds: tuple[int, int] | None,
    wide: np.ndarray | None,
    backend: ModuleType,
) -> np.ndarray:
    """The V of :func:`init_v` from a Gram matrix, on the host.

    Parameters
    ----------
    gram : ndarray of float64, shape (N, N) or (M, M)
        X^T X, or X X^T if that is smaller.
    small : bool
        Whether X is of uint8.
    rank : int
        Number of columns R.
    bounds : (int, int) or None
        Smallest and largest entry.
    wide : ndarray, shape (M, N), or None
        X, if M < N.
    backend : module
        `imfnb.factorization.init.cpu` or `reference`.

    Returns
    -------
    ndarray of float64, shape (N, R)
        V.
    """
    count, (low, high) = min(rank, len(gram)), limits(bounds)
    if own(len(gram), rank, small):
        (values, vectors), dead = backend.eigenpairs(gram, count), DEAD
    else:
        values, vectors, dead = _lapack(gram, small, count)
    if wide is not None:
        vectors = backend.project(wide, values, vectors, dead)
    return backend.rounded(values, vectors, rank, low, high, dead)


def _lapack(gram: np.ndarray, small: bool, count: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The largest eigenvalues of a Gram matrix, their vectors as rows, and what part of the first is rounding error."""
    from scipy.linalg import eigh

    size = len(gram)
    if small:  # the result is rounded to integers; single precision takes two thirds of the time
        gram = gram.astype(np.float32)
    values, vectors = eigh(gram, subset_by_index=[size - count, size - 1], check_finite=False, overwrite_a=True)
    dead = 4.0 * float(np.finfo(values.dtype).eps)
    values, vectors = values[::-1].astype(np.float64), np.ascontiguousarray(vectors.T[::-1], np.float64)
    return np.maximum(values, 0.0), vectors, dead
