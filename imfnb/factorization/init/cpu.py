"""The first V as `@njit` kernels: counterparts of `reference` with the same bits.

Without fastmath LLVM neither reorders sums nor fuses multiplications with additions. The lane is the pixel, or the
vector of the block, and every inner loop runs over a contiguous row.
"""

from __future__ import annotations

import numpy as np

from ...runtime.jit import kernel
from .reference import (
    AGAIN,
    DEAD,
    LEAST_ANGLE,
    LEAST_ENTRY,
    LEAST_NORM,
    LEAST_PIVOT,
    LEAST_START,
    RESIDUAL,
    ROUNDS,
    STEPS,
    SWEEPS,
    fits,
    width,
)

__all__ = ["fits", "start_v"]

# Columns of a transposed block are a multiple of this: rows of 10 or 14 numbers would end in a scalar loop.
_LANES = 8


@kernel()
def _combine(a, b, out):
    """Counterpart of :func:`imfnb.factorization.init.reference.combine`, eight rows of b at a time."""
    depth, columns = b.shape
    whole = depth - depth % 8
    for k in range(len(a)):
        for i in range(columns):
            out[k, i] = 0.0
        for j in range(0, whole, 8):
            a0, a1, a2, a3 = a[k, j], a[k, j + 1], a[k, j + 2], a[k, j + 3]
            a4, a5, a6, a7 = a[k, j + 4], a[k, j + 5], a[k, j + 6], a[k, j + 7]
            for i in range(columns):
                total = out[k, i] + a0 * b[j, i]
                total += a1 * b[j + 1, i]
                total += a2 * b[j + 2, i]
                total += a3 * b[j + 3, i]
                total += a4 * b[j + 4, i]
                total += a5 * b[j + 5, i]
                total += a6 * b[j + 6, i]
                total += a7 * b[j + 7, i]
                out[k, i] = total
        for j in range(whole, depth):
            for i in range(columns):
                out[k, i] += a[k, j] * b[j, i]


@kernel()
def _transpose(rows, out):
    """The transpose, in an array that may have more columns."""
    for k in range(len(rows)):
        for i in range(rows.shape[1]):
            out[i, k] = rows[k, i]


@kernel()
def _products(a, b, columns, out):
    """out = a b^T, by way of the transpose of b in `columns`; both may have more columns."""
    _transpose(b, columns)
    _combine(a, columns, out)


@kernel()
def _partial_cholesky(gram, left, out):
    """Counterpart of :func:`imfnb.factorization.init.reference.partial_cholesky`; out is zero."""
    size = len(gram)
    for i in range(size):
        left[i] = gram[i, i]
    least = 0.0
    for k in range(min(len(out), size)):
        pivot = 0
        for i in range(1, size):
            if left[i] > left[pivot]:
                pivot = i
        if k == 0:
            least = left[pivot] * LEAST_PIVOT
        if left[pivot] <= least:
            break
        for i in range(size):
            out[k, i] = gram[pivot, i]
        for previous in range(k):
            factor = out[previous, pivot]
            for i in range(size):
                out[k, i] -= factor * out[previous, i]
        inverse = 1.0 / np.sqrt(left[pivot])
        for i in range(size):
            out[k, i] *= inverse
            left[i] -= out[k, i] * out[k, i]
        left[pivot] = 0.0


@kernel()
def _orthonormal(z, columns, t, norms):
    """Counterpart of :func:`imfnb.factorization.init.reference.orthonormal`, in place; t (m, P) is overwritten."""
    count, size = z.shape
    _products(z, z, columns, t)
    for k in range(count):
        norms[k] = t[k, k]
    for k in range(count):
        inverse = 1.0 / np.sqrt(t[k, k]) if t[k, k] > LEAST_NORM * norms[k] else 0.0
        for i in range(k + 1, count):
            t[k, i] *= inverse
        for j in range(k + 1, count):
            factor = t[k, j]
            for i in range(j, count):
                t[j, i] -= factor * t[k, i]
        for previous in range(k):
            factor = t[previous, k]
            for i in range(size):
                z[k, i] -= factor * z[previous, i]
        for i in range(size):
            z[k, i] *= inverse


@kernel()
def _pairs(size):
    """All turns of :func:`imfnb.factorization.init.reference.pairs`."""
    out = np.empty((size - 1, 2, size // 2), np.int64)
    for turn in range(size - 1):
        for step in range(size // 2):
            one = (turn + step) % (size - 1)
            other = (turn - step) % (size - 1) if step > 0 else size - 1
            out[turn, 0, step], out[turn, 1, step] = min(one, other), max(one, other)
    return out


@kernel(error_model="numpy")
def _rotations(t, pairs, turn, entries, angles, least):
    """Counterpart of :func:`imfnb.factorization.init.reference.rotations`; whether any is made, and any is large."""
    count = pairs.shape[2]
    for i in range(count):
        p, q = pairs[turn, 0, i], pairs[turn, 1, i]
        entries[0, i], entries[1, i], entries[2, i] = t[p, p], t[p, q], t[q, q]
    some = large = 0
    for i in range(count):
        a, b, d = entries[0, i], entries[1, i], entries[2, i]
        square, product = b * b, abs(a * d)
        wanted = square > LEAST_ANGLE * product + least
        half = 0.5 * (d - a)
        root = np.sqrt(half * half + square)
        tangent = (b if wanted else 0.0) / ((half - root if half < 0.0 else half + root) if wanted else 1.0)
        cosine = 1.0 / np.sqrt(1.0 + tangent * tangent)
        angles[0, i], angles[1, i] = cosine, tangent * cosine
        some |= wanted
        large |= wanted and square > AGAIN * product
    return some != 0, large != 0


@kernel()
def _rotate(rows, pairs, turn, angles):
    """Counterpart of :func:`imfnb.factorization.init.reference.rotate`."""
    for i in range(pairs.shape[2]):
        p, q, cosine, sine = pairs[turn, 0, i], pairs[turn, 1, i], angles[0, i], angles[1, i]
        if sine != 0.0:
            for j in range(rows.shape[1]):
                one, other = rows[p, j], rows[q, j]
                rows[p, j] = cosine * one - sine * other
                rows[q, j] = sine * one + cosine * other


@kernel()
def _jacobi(t, turned, e, pairs, values, order):
    """Counterpart of :func:`imfnb.factorization.init.reference.jacobi`; the vectors are e[order]."""
    size = len(t)
    entries, angles = np.empty((3, size // 2)), np.empty((2, size // 2))
    largest = t[0, 0]
    for k in range(size):
        largest = max(largest, t[k, k])
        for i in range(size):
            e[k, i] = 0.0
        e[k, k] = 1.0
    least = LEAST_ENTRY * (largest * largest)
    for _ in range(SWEEPS):
        again = False
        for turn in range(size - 1):
            some, large = _rotations(t, pairs, turn, entries, angles, least)
            if some:
                _rotate(e, pairs, turn, angles)
                _rotate(t, pairs, turn, angles)
            _transpose(t, turned)
            t, turned = turned, t
            if some:
                _rotate(t, pairs, turn, angles)
            again |= large
        if not again:
            break
    for k in range(size):
        place = 0
        for i in range(size):
            place += t[i, i] > t[k, k] or (t[i, i] == t[k, k] and i < k)
        values[place], order[place] = t[k, k], k


@kernel()
def _close(z, q, values, rank):
    """Whether the first `rank` rows of q are eigenvectors, given z = Q G, closely enough."""
    for k in range(rank):
        worst, theta = 0.0, values[k]
        for i in range(q.shape[1]):
            worst = max(worst, abs(z[k, i] - theta * q[k, i]))
        if worst > max(RESIDUAL * theta, DEAD * values[0]):
            return False
    return True


@kernel()
def _eigenpairs(gram, rank, count):
    """`eigenpairs` with a block of `count` vectors; more rows than wanted."""
    size = len(gram)
    padded = count + -count % _LANES
    q, z, columns = np.zeros((count, size)), np.empty((count, size)), np.zeros((size, padded))
    rotated, image = np.empty((count, size)), np.empty((count, size))
    products, norms, pairs = np.empty((count, padded)), np.empty(max(size, count)), _pairs(count)
    t, e, turned = np.empty((count, count)), np.empty((count, count)), np.empty((count, count))
    values, order = np.empty(count), np.empty(count, np.int64)
    _partial_cholesky(gram, norms, q)
    steps = STEPS if count < size else 0
    for _ in range(ROUNDS):
        for step in range(steps + 1):
            if step > 0:
                q, z = z, q
            _orthonormal(q, columns, products, norms)
            _combine(q, gram, z)
        _products(q, z, columns, products)
        for k in range(count):
            for i in range(count):
                t[k, i] = products[k, i]
        _jacobi(t, turned, e, pairs, values, order)
        for k in range(count):
            for i in range(count):
                t[k, i] = e[order[k], i]
        _combine(t, q, rotated)
        _combine(t, z, image)
        q, rotated, z, image = rotated, q, image, z
        if steps == 0 or _close(z, q, values, rank):
            break
    return values, q


def eigenpairs(gram: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Counterpart of :func:`imfnb.factorization.init.reference.eigenpairs`."""
    values, vectors = _eigenpairs(gram, rank, width(len(gram), rank))
    return values[:rank], vectors[:rank]


@kernel()
def _project(x, values, vectors, dead):
    samples, out = x.astype(np.float64), np.empty((len(values), x.shape[1]))
    _combine(vectors, samples, out)
    for k in range(len(values)):
        length = np.sqrt(values[k] if values[k] > values[0] * dead else 1.0)
        for i in range(x.shape[1]):
            out[k, i] /= length
    return out


def project(x: np.ndarray, values: np.ndarray, vectors: np.ndarray, dead: float = DEAD) -> np.ndarray:
    """Counterpart of :func:`imfnb.factorization.init.reference.project`."""
    return _project(np.ascontiguousarray(x), values, vectors, dead)


@kernel()
def _rounded(values, vectors, count, rank, low, high, dead):
    size = vectors.shape[1]
    side = -1.0 if -low > high else 1.0
    row, out = np.empty(size), np.empty((size, rank))
    for k in range(rank):
        if k < count and values[k] > values[0] * dead:
            root, total, largest = np.sqrt(np.sqrt(values[k])), 0.0, 0.0
            for i in range(size):
                row[i] = vectors[k, i] * root
            for i in range(size):
                total += row[i]
                largest = max(largest, abs(row[i]))
            scale = LEAST_START / largest if 0.0 < largest < LEAST_START else 1.0
            if total * side < 0.0:
                scale = -scale
            for i in range(size):
                row[i] *= scale
        else:
            for i in range(size):
                row[i] = 0.0
        for i in range(size):
            out[i, k] = min(max(np.rint(row[i]), low), high) + 0.0
    return out


def rounded(
    values: np.ndarray, vectors: np.ndarray, rank: int, low: float, high: float, dead: float = DEAD
) -> np.ndarray:
    """Counterpart of :func:`imfnb.factorization.init.reference.rounded`."""
    return _rounded(values, vectors, len(values), rank, low, high, dead)


def start_v(gram: np.ndarray, rank: int, low: float, high: float, out: np.ndarray) -> None:
    """Counterpart of :func:`imfnb.factorization.init.reference.start_v`."""
    for squares, v in zip(gram, out, strict=True):
        wanted = min(rank, len(squares))
        values, vectors = _eigenpairs(squares, wanted, width(len(squares), wanted))
        v[...] = _rounded(values, vectors, wanted, rank, low, high, DEAD)
