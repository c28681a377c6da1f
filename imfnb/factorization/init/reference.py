"""The first V in plain NumPy: subspace iteration, Rayleigh-Ritz and Jacobi's rotations; `cpu` and `cuda` are fast.

The order of every operation is fixed, and each rounds once: sums are loops over the index that they run over, for whole
rows at a time, and only +, -, *, / and square roots occur. NumPy fixes no such order in `sum`, `dot` and `@`.
"""

from __future__ import annotations

import numpy as np

__all__ = ["fits", "start_v"]

#: Vectors that are iterated beyond those wanted, and multiplications by the Gram matrix before the wanted ones are
#: taken out of the block. With fewer of either, single pictures of bsd34 lose up to 0.4 dB after all sweeps.
GUARD, STEPS = 8, 4

#: Another round is made while an entry of G y - theta y exceeds this part of theta, up to so many ROUNDS. Photographs
#: nearly always stay below it in the first (at rank 5 below 4e-4), noise takes three; but there, where all directions
#: are about as good, it hardly matters.
RESIDUAL, ROUNDS = 1e-2, 4

#: The start block ends where the largest diagonal that remains is below this part of the first: from there on the
#: differences that it is made of are rounding errors.
LEAST_PIVOT = 1e-14

#: A vector of which less than this part of its squared norm is left beside the others becomes zero. What is left is
#: found by subtraction, with an error of about 1e-14.
LEAST_NORM = 1e-12

#: Rotations are left out where t_pq^2 is at most LEAST_ANGLE t_pp t_qq + LEAST_ENTRY max(t)^2. Jacobi's method ends
#: after a sweep without t_pq^2 above AGAIN t_pp t_qq, since it converges quadratically, or after so many SWEEPS.
LEAST_ANGLE, LEAST_ENTRY, AGAIN, SWEEPS = 1e-14, 1e-26, 1e-8, 10

#: Eigenvalues below this part of the largest are those of dead columns: four times float32's epsilon.
DEAD = 4.0 * 2.0**-23

#: Columns of the first V whose largest entry is smaller are scaled up to it: rounding would wipe them out.
LEAST_START = 2.0


def width(size: int, rank: int) -> int:
    """Number of vectors of the block: even, so that all can be rotated in pairs."""
    count = min(size, rank + GUARD)
    return count + count % 2


def combine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The product a b, every entry a sum in the order of the rows of b."""
    out = np.zeros((len(a), b.shape[1]))
    for j in range(len(b)):
        out += a[:, j, None] * b[j]
    return out


def partial_cholesky(gram: np.ndarray, rows: int) -> np.ndarray:
    """Rows of a Cholesky factor of the Gram matrix, largest remaining diagonal first; zero from its rank on."""
    out = np.zeros((rows, len(gram)))
    left = np.diag(gram).copy()
    least = left.max() * LEAST_PIVOT
    for k in range(min(rows, len(gram))):
        pivot = int(left.argmax())
        if left[pivot] <= least:
            break
        row = gram[pivot].copy()
        for previous in range(k):
            row -= out[previous, pivot] * out[previous]
        out[k] = row * (1.0 / np.sqrt(left[pivot]))
        left -= out[k] * out[k]
        left[pivot] = 0.0
    return out


def orthonormal(z: np.ndarray) -> np.ndarray:
    """Orthonormal rows that span those of z: Q = L^-1 Z for Z Z^T = L L^T; zero where a row depends on those before."""
    q, t = z.copy(), combine(z, z.T)
    norms = np.diag(t).copy()
    for k in range(len(t)):
        inverse = 1.0 / np.sqrt(t[k, k]) if t[k, k] > LEAST_NORM * norms[k] else 0.0
        factors = t[k, k + 1 :] * inverse
        t[k + 1 :, k + 1 :] -= factors[:, None] * factors
        q[k] *= inverse
        q[k + 1 :] -= factors[:, None] * q[k]
    return q


def pairs(size: int, turn: int) -> tuple[np.ndarray, np.ndarray]:
    """Disjoint pairs p < q of an even number of rows; in size - 1 turns every two of them meet (a round robin)."""
    step = np.arange(size // 2)
    one, other = (turn + step) % (size - 1), (turn - step) % (size - 1)
    other[0] = size - 1
    return np.minimum(one, other), np.maximum(one, other)


def rotations(t: np.ndarray, p: np.ndarray, q: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, bool]:
    """Cosines and sines, as columns, of the rotations that make t_pq zero; and whether any of these is not small yet.

    They are 1 and 0 where t_pq is negligible.
    """
    a, b, d = t[p, p], t[p, q], t[q, q]
    square, product = b * b, np.abs(a * d)
    wanted = square > LEAST_ANGLE * product + least
    half = 0.5 * (d - a)
    root = np.sqrt(half * half + square)
    tangent = np.where(wanted, b, 0.0) / np.where(wanted, np.where(half < 0.0, half - root, half + root), 1.0)
    cosine = 1.0 / np.sqrt(1.0 + tangent * tangent)
    return cosine[:, None], (tangent * cosine)[:, None], bool((wanted & (square > AGAIN * product)).any())


def rotate(rows: np.ndarray, p: np.ndarray, q: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> None:
    """Rotate pairs of rows in place."""
    one, other = rows[p], rows[q]
    rows[p], rows[q] = cosine * one - sine * other, sine * one + cosine * other


def jacobi(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of a small symmetric matrix and, as rows, its eigenvectors, those of the largest first."""
    t, e = t.copy(), np.eye(len(t))
    least = LEAST_ENTRY * np.square(np.diag(t).max())
    for _ in range(SWEEPS):
        again = False
        for turn in range(len(t) - 1):
            p, q = pairs(len(t), turn)
            cosine, sine, large = rotations(t, p, q, least)
            rotate(e, p, q, cosine, sine)
            rotate(t, p, q, cosine, sine)
            t = t.T.copy()  # which is as good: T is symmetric
            rotate(t, p, q, cosine, sine)
            again = again or large
        if not again:
            break
    values = np.diag(t)
    order = np.argsort(-values, kind="stable")
    return values[order], e[order]


def eigenpairs(gram: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalues of a Gram matrix and their vectors, approximately.

    Parameters
    ----------
    gram : ndarray of float64, shape (N, N)
        Symmetric and positive semidefinite.
    rank : int
        Number of pairs R <= N.

    Returns
    -------
    values : ndarray of float64, shape (R,)
        Eigenvalues, the largest first.
    vectors : ndarray of float64, shape (R, N)
        Eigenvectors as rows; zero or noise beyond the rank of the matrix.
    """
    q = partial_cholesky(gram, width(len(gram), rank))
    steps = STEPS if len(q) < len(gram) else 0
    for _ in range(ROUNDS):
        q = orthonormal(q)
        for _ in range(steps):
            q = orthonormal(combine(q, gram))
        z = combine(q, gram)
        values, e = jacobi(combine(q, z.T))
        q, z = combine(e, q), combine(e, z)
        error = np.abs(z[:rank] - values[:rank, None] * q[:rank])
        if steps == 0 or (error <= np.maximum(RESIDUAL * values[:rank], DEAD * values[0])[:, None]).all():
            break
    return values[:rank], q[:rank]


def project(x: np.ndarray, values: np.ndarray, vectors: np.ndarray, dead: float = DEAD) -> np.ndarray:
    """Eigenvectors of X^T X from those of X X^T, as rows: V = X^T U / S.

    Parameters
    ----------
    x : ndarray of uint8 or float64, shape (M, N)
        X.
    values : ndarray of float64, shape (R,)
        Eigenvalues, the largest first.
    vectors : ndarray of float64, shape (R, M)
        Eigenvectors of X X^T as rows.
    dead : float
        Part of the largest eigenvalue up to which others are no more than rounding errors.

    Returns
    -------
    ndarray of float64, shape (R, N)
        Eigenvectors of X^T X as rows; not of length 1 where the eigenvalue is dead.
    """
    alive = values > values[0] * dead
    return combine(vectors, x.astype(np.float64)) / np.sqrt(np.where(alive, values, 1.0))[:, None]


def rounded(
    values: np.ndarray, vectors: np.ndarray, rank: int, low: float, high: float, dead: float = DEAD
) -> np.ndarray:
    """Integer V from eigenpairs: vectors times the fourth root of the values, rounded and clamped.

    Parameters
    ----------
    values : ndarray of float64, shape (K,)
        Eigenvalues, the largest first.
    vectors : ndarray of float64, shape (K, N)
        Eigenvectors as rows.
    rank : int
        Number of columns R >= K.
    low, high : float
        Bounds of the entries.
    dead : float
        As in :func:`project`.

    Returns
    -------
    ndarray of float64, shape (N, R)
        V.
    """
    out = np.zeros((rank, vectors.shape[1]))
    side = -1.0 if -low > high else 1.0
    for k in range(len(values)):
        if values[k] > values[0] * dead:
            row = vectors[k] * np.sqrt(np.sqrt(values[k]))
            total = 0.0
            for entry in row:
                total += entry
            largest = np.abs(row).max()
            scale = LEAST_START / largest if 0.0 < largest < LEAST_START else 1.0
            out[k] = row * (-scale if total * side < 0.0 else scale)
    return np.clip(np.rint(out), low, high).T + 0.0  # without negative zeros


def fits(size: int, rank: int) -> bool:
    """Whether :func:`start_v` has the memory for Gram matrices of so many rows; on the CPU it always has."""
    return True


def start_v(gram: np.ndarray, rank: int, low: float, high: float, out: np.ndarray) -> None:
    """First V of a stack of matrices from their Gram matrices.

    Parameters
    ----------
    gram : array of float64, shape (B, N, N)
        X^T X.
    rank : int
        Number of columns R; those beyond N are zero.
    low, high : float
        Bounds of the entries.
    out : array of float64, shape (B, N, R)
        Receives V: integers within the bounds.
    """
    for squares, v in zip(gram, out, strict=True):
        v[...] = rounded(*eigenpairs(squares, min(rank, len(squares))), rank, low, high)
