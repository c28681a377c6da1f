"""Start of block coordinate descent: the Gram matrix of X -> the first integer V.

V is that of the truncated SVD, X ~ (Us sqrt(S)) (Vs sqrt(S))^T, rounded and clamped (paper, section 3.3,
"initialization"); its columns are the eigenvectors of X^T X that belong to the largest eigenvalues. LAPACK finds them
in an order of operations that depends on the machine. For the matrices of the codec they come from an own method
instead, a subspace iteration in which the order is fixed: the same bits everywhere, in a fraction of the time. Of
the entries of V at ranks up to 26 at most 1.5% differ from those in double precision on bsd34's luma and 0.08% on its
chroma, where LAPACK's in single precision, used before, differed in 0.13% and 4%.
"""

from __future__ import annotations

import numpy as np

from ..._backend import kernels
from .reference import DEAD, width

__all__ = ["limits", "own", "start_v"]

# Largest number of vectors that the own method is used for, whose time grows with their third power. Microseconds of
# both on photographs, own / LAPACK, by size N and vectors: N = 16: 11 / 20 (10), 24 / 30 (16); N = 64: 21 / 98 (10),
# 41 / 117 (13), 120 / 209 (28), 280 / 277 (40), 418 / 331 (48); N = 192: 155 / 562 (10), 1625 / 1375 (56); N = 256:
# 258 / 1091 (10), 871 / 1544 (28), 2670 / 1942 (40); N = 1024: 4500 / 26900 (10).
_LARGEST_BLOCK = 40


def limits(bounds: tuple[int, int] | None) -> tuple[float, float]:
    """The bounds as floats, infinite for None."""
    return (-np.inf, np.inf) if bounds is None else (float(bounds[0]), float(bounds[1]))


def own(size: int, rank: int, small: bool) -> bool:
    """Whether the V of :func:`start_v` comes from the own method and not from LAPACK.

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
        If so, :mod:`imfnb.factorization.start.cuda` finds the same bits where that has room for it.
    """
    return small and width(size, rank) <= _LARGEST_BLOCK


def start_v(
    gram: np.ndarray,
    small: bool,
    rank: int,
    bounds: tuple[int, int] | None,
    wide: np.ndarray | None = None,
    device: str = "cpu",
) -> np.ndarray:
    """The V of :func:`imfnb.factorization.init_v` from a Gram matrix, which may come from elsewhere.

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
    wide : ndarray, shape (M, N), optional
        X, if M < N.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    ndarray of float64, shape (N, R)
        Integers within the bounds; zero (or the bound nearest to it) in the columns beyond the rank of X.
    """
    backend, (low, high) = kernels("factorization.start", device), limits(bounds)
    count = min(rank, len(gram))
    if not own(len(gram), rank, small):
        values, vectors, dead = _lapack(gram, small, count)
    elif wide is None:
        return backend.start_v(gram, rank, low, high)
    else:
        (values, vectors), dead = backend.eigenpairs(gram, count), DEAD
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
