"""The first V as a CUDA kernel; same bits as `reference`, for batches of Gram matrices on the device.

CUDA fuses multiplications with additions and offers no switch. Here products are rounded, so every operation is asked
for by name: `dmul_rn` and its like are the IEEE operations, which the compiler leaves alone.

A block finds the V of one matrix. Its vectors and the small matrices lie in shared memory; the Gram matrix, which all
threads read along its rows, stays in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._cuda import SHARED_BYTES, SIMULATED, cuda, device_function, template
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
    width,
)

__all__ = ["fits", "start_v"]

# Threads of a block, for up to 255 registers each. The simulator starts as many of Python's, and is slow at barriers.
_THREADS = 4 if SIMULATED else 256

# Adding and subtracting it rounds numbers below 2**51 to integers, halves to even.
_ROUND = 1.5 * 2.0**52

_f64, _i32 = np.float64, np.int32

if SIMULATED:  # which has no libdevice, nothing fused, and calls of device functions that take 10 us each

    def _add(a, b):
        return a + b

    def _times(a, b):
        return a * b

    def _over(a, b):
        return a / b

    def _root(a):
        return np.sqrt(a)

    def _add_product(total, a, b):
        return total + a * b

else:

    @device_function
    def _add(a, b):
        return cuda.libdevice.dadd_rn(a, b)

    @device_function
    def _times(a, b):
        return cuda.libdevice.dmul_rn(a, b)

    @device_function
    def _over(a, b):
        return cuda.libdevice.ddiv_rn(a, b)

    @device_function
    def _root(a):
        return cuda.libdevice.dsqrt_rn(a)

    @device_function
    def _add_product(total, a, b):
        return cuda.libdevice.dadd_rn(total, cuda.libdevice.dmul_rn(a, b))


@device_function
def _partial_cholesky(gram, z, left, out, rows, size, t, threads):
    """Twin of :func:`imfnb.factorization.start.reference.partial_cholesky` for matrix z."""
    for i in range(t, rows * size, threads):
        out[i // size, i % size] = _f64(0)
    for i in range(t, size, threads):
        left[i] = gram[z, i, i]
    cuda.syncthreads()
    least = _f64(0)
    for k in range(min(rows, size)):
        pivot, largest = 0, left[0]
        for i in range(1, size):
            if left[i] > largest:
                pivot, largest = i, left[i]
        if k == 0:
            least = _times(largest, _f64(LEAST_PIVOT))
        cuda.syncthreads()
        if largest <= least:
            break
        inverse = _over(_f64(1), _root(largest))
        for i in range(t, size, threads):
            value = gram[z, pivot, i]
            for previous in range(k):
                value = _add_product(value, -out[previous, pivot], out[previous, i])
            value = _times(value, inverse)
            out[k, i] = value
            left[i] = _f64(0) if i == pivot else _add_product(left[i], -value, value)
        cuda.syncthreads()
    cuda.syncthreads()


@device_function
def _multiply(q, gram, z, out, rows, size, t, threads):
    """out = q G for matrix z."""
    for i in range(t, rows * size, threads):
        k, n = i // size, i % size
        total = _f64(0)
        for j in range(size):
            total = _add_product(total, q[k, j], gram[z, j, n])
        out[k, n] = total
    cuda.syncthreads()


@device_function
def _products(a, b, out, rows, size, t, threads):
    """out = a b^T."""
    for i in range(t, rows * rows, threads):
        k, j = i // rows, i % rows
        total = _f64(0)
        for n in range(size):
            total = _add_product(total, a[k, n], b[j, n])
        out[k, j] = total
    cuda.syncthreads()


@device_function
def _orthonormal(z, products, norms, inverses, out, rows, size, t, threads):
    """Twin of :func:`imfnb.factorization.start.reference.orthonormal`."""
    _products(z, z, products, rows, size, t, threads)
    for k in range(t, rows, threads):
        norms[k] = products[k, k]
    cuda.syncthreads()
    for k in range(rows):
        pivot = products[k, k]
        inverse = _f64(0)
        if pivot > _times(_f64(LEAST_NORM), norms[k]):
            inverse = _over(_f64(1), _root(pivot))
        if t == 0:
            inverses[k] = inverse
        for i in range(t, rows * rows, threads):
            j, n = i // rows, i % rows
            if k < j <= n:
                factor = _times(products[k, j], inverse)
                products[j, n] = _add_product(products[j, n], -factor, _times(products[k, n], inverse))
        cuda.syncthreads()
    for i in range(t, size, threads):
        for k in range(rows):
            value = z[k, i]
            for previous in range(k):
                factor = _times(products[previous, k], inverses[previous])
                value = _add_product(value, -factor, out[previous, i])
            out[k, i] = _times(value, inverses[k])
    cuda.syncthreads()


@device_function
def _one_of_pair(size, turn, step):
    """The smaller row of a pair of :func:`imfnb.factorization.start.reference.pairs`."""
    one = (turn + step) % (size - 1)
    other = (turn + size - 1 - step) % (size - 1) if step > 0 else size - 1
    return min(one, other)


@device_function
def _other_of_pair(size, turn, step):
    """The larger row of a pair."""
    one = (turn + step) % (size - 1)
    other = (turn + size - 1 - step) % (size - 1) if step > 0 else size - 1
    return max(one, other)


@device_function
def _rotation(products, p, q, least, angles, flags, step):
    """Twin of :func:`imfnb.factorization.start.reference.rotations` for one pair."""
    a, b, d = products[p, p], products[p, q], products[q, q]
    square, product = _times(b, b), abs(_times(a, d))
    cosine, sine = _f64(1), _f64(0)
    if square > _add_product(least, _f64(LEAST_ANGLE), product):
        half = _times(_f64(0.5), _add(d, -a))
        root = _root(_add_product(square, half, half))
        tangent = _over(b, _add(half, -root if half < _f64(0) else root))
        cosine = _over(_f64(1), _root(_add_product(_f64(1), tangent, tangent)))
        sine = _times(tangent, cosine)
        if square > _times(_f64(AGAIN), product):
            flags[0] = _i32(1)
    angles[0, step], angles[1, step] = cosine, sine


@device_function
def _turn_pair(rows, p, q, column, cosine, sine):
    """Rotate two entries of a column."""
    one, other = rows[p, column], rows[q, column]
    rows[p, column] = _add(_times(cosine, one), -_times(sine, other))
    rows[q, column] = _add_product(_times(sine, one), cosine, other)


@device_function
def _turn_block(a, b, c, d, one, other, angles):
    """Entries ((a, b), (c, d)) of two rows and two columns after both rotations, rows first."""
    cosine, sine = angles[0, one], angles[1, one]
    e, f = _add(_times(cosine, a), -_times(sine, c)), _add(_times(cosine, b), -_times(sine, d))
    g, h = _add_product(_times(sine, a), cosine, c), _add_product(_times(sine, b), cosine, d)
    cosine, sine = angles[0, other], angles[1, other]
    a, c = _add(_times(cosine, e), -_times(sine, f)), _add(_times(cosine, g), -_times(sine, h))
    b, d = _add_product(_times(sine, e), cosine, f), _add_product(_times(sine, g), cosine, h)
    return a, b, c, d


@device_function
def _turn_blocks(products, turn, one, other, angles, size):
    """Rotate the rows of pair `one` and the columns of pair `other`, and the other way round; transpose."""
    p, q = _one_of_pair(size, turn, one), _other_of_pair(size, turn, one)
    r, s = _one_of_pair(size, turn, other), _other_of_pair(size, turn, other)
    a, b, c, d = _turn_block(products[p, r], products[p, s], products[q, r], products[q, s], one, other, angles)
    if one != other:
        e, f, g, h = _turn_block(products[r, p], products[r, q], products[s, p], products[s, q], other, one, angles)
        products[p, r], products[p, s], products[q, r], products[q, s] = e, g, f, h
    products[r, p], products[s, p], products[r, q], products[s, q] = a, b, c, d


@device_function
def _jacobi(products, e, values, order, angles, flags, size, t, threads):
    """Twin of :func:`imfnb.factorization.start.reference.jacobi`; the vectors are e[order]."""
    half = size // 2
    for i in range(t, size * size, threads):
        e[i // size, i % size] = _f64(1) if i // size == i % size else _f64(0)
    largest = products[0, 0]
    for k in range(1, size):
        largest = max(largest, products[k, k])
    least = _times(_f64(LEAST_ENTRY), _times(largest, largest))
    cuda.syncthreads()
    for _ in range(SWEEPS):
        if t == 0:
            flags[0] = _i32(0)
        cuda.syncthreads()
        for turn in range(size - 1):
            for step in range(t, half, threads):
                p, q = _one_of_pair(size, turn, step), _other_of_pair(size, turn, step)
                _rotation(products, p, q, least, angles, flags, step)
            cuda.syncthreads()
            for i in range(t, half * half, threads):
                if i // half <= i % half:
                    _turn_blocks(products, turn, i // half, i % half, angles, size)
            for i in range(t, half * size, threads):
                step = i // size
                p, q = _one_of_pair(size, turn, step), _other_of_pair(size, turn, step)
                _turn_pair(e, p, q, i % size, angles[0, step], angles[1, step])
            cuda.syncthreads()
        again = flags[0]
        cuda.syncthreads()
        if again == 0:
            break
    for k in range(t, size, threads):
        place = 0
        for i in range(size):
            if products[i, i] > products[k, k] or (products[i, i] == products[k, k] and i < k):
                place += 1
        values[place] = products[k, k]
        order[place] = _i32(k)
    cuda.syncthreads()


@device_function
def _combined(e, row, q, n, size):
    """Entry n of row `row` of the product e q."""
    total = _f64(0)
    for k in range(size):
        total = _add_product(total, e[row, k], q[k, n])
    return total


@device_function
def _look(q, z, e, values, order, flags, rows, size, rank, t, threads):
    """Whether the first `rank` eigenvectors e[order] q are not close enough, given z = q G; z becomes e[order] q."""
    if t == 0:
        flags[0] = _i32(0)
    cuda.syncthreads()
    for i in range(t, rank * size, threads):
        k, n = i // size, i % size
        theta = values[k]
        vector, image = _combined(e, order[k], q, n, rows), _combined(e, order[k], z, n, rows)
        if abs(_add_product(image, -theta, vector)) > max(
            _times(_f64(RESIDUAL), theta), _times(_f64(DEAD), values[0])
        ):
            flags[0] = _i32(1)
    cuda.syncthreads()
    for i in range(t, rows * size, threads):
        z[i // size, i % size] = _combined(e, order[i // size], q, i % size, rows)
    cuda.syncthreads()
    return flags[0]


@device_function
def _scale(row, theta, largest_theta, size, side):
    """What a vector of length 1 is multiplied by after the fourth root of its eigenvalue; 0 for a dead column."""
    if not theta > _times(largest_theta, _f64(DEAD)):
        return _f64(0)
    root = _root(_root(theta))
    total = largest = _f64(0)
    for n in range(size):
        entry = _times(row[n], root)
        total = _add(total, entry)
        largest = max(largest, abs(entry))
    scale = _f64(1)
    if _f64(0) < largest < _f64(LEAST_START):
        scale = _over(_f64(LEAST_START), largest)
    return -scale if _times(total, side) < _f64(0) else scale


@device_function
def _round_into(out, b, z, values, scales, low, high, rank, wanted, size, t, threads):
    """Twin of :func:`imfnb.factorization.start.reference.rounded`."""
    side = _f64(-1) if -low > high else _f64(1)
    for k in range(t, wanted, threads):
        scales[k] = _scale(z[k], values[k], values[0], size, side)
    cuda.syncthreads()
    for i in range(t, size * rank, threads):
        n, k = i // rank, i % rank
        entry = _f64(0)
        if k < wanted and scales[k] != _f64(0):
            entry = _times(_times(z[k, n], _root(_root(values[k]))), scales[k])
        entry = _add(_add(entry, _f64(_ROUND)), _f64(-_ROUND))
        out[b, n, k] = _add(min(max(entry, low), high), _f64(0))


@template("void(float64[:,:,::1], float64, float64, float64[:,:,::1])", (64, 10), (64, 28), (16, 16), (192, 12))
def _start(size, rows):
    """The kernel for matrices of `size` rows and blocks of `rows` vectors, one for two ranks each."""
    steps, half, threads = STEPS if rows < size else 0, rows // 2, _THREADS
    stride = size + 1  # odd for even sizes: threads that read a column of vectors have banks of their own

    def start(gram, low, high, out):
        q = cuda.shared.array((rows, stride), _f64)
        z = cuda.shared.array((rows, stride), _f64)
        products = cuda.shared.array((rows, rows), _f64)
        e = cuda.shared.array((rows, rows), _f64)
        norms = cuda.shared.array(rows, _f64)
        inverses = cuda.shared.array(rows, _f64)
        angles = cuda.shared.array((2, half), _f64)
        order = cuda.shared.array(rows, _i32)
        flags = cuda.shared.array(1, _i32)
        t, b, rank = cuda.threadIdx.x, cuda.blockIdx.x, out.shape[2]
        wanted = min(rank, size)
        _partial_cholesky(gram, b, q[0], z, rows, size, t, threads)
        for _ in range(ROUNDS):
            for _ in range(steps + 1):
                _orthonormal(z, products, norms, inverses, q, rows, size, t, threads)
                _multiply(q, gram, b, z, rows, size, t, threads)
            _products(q, z, products, rows, size, t, threads)
            _jacobi(products, e, norms, order, angles, flags, rows, t, threads)
            far = _look(q, z, e, norms, order, flags, rows, size, wanted, t, threads)
            if steps == 0 or far == 0:
                break
        _round_into(out, b, z, norms, inverses, low, high, rank, wanted, size, t, threads)

    return start


def fits(size: int, rank: int) -> bool:
    """Whether the vectors of matrices of so many rows fit into shared memory."""
    rows = width(size, rank)
    return 8 * (2 * rows * (size + 1) + 2 * rows * rows + 3 * rows) + 4 * (rows + 1) <= SHARED_BYTES


def start_v(gram: Any, rank: int, low: float, high: float, out: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.factorization.start.reference.start_v` for a batch.

    :func:`fits` must hold.

    Parameters
    ----------
    gram : device array of float64, shape (B, N, N)
        X^T X.
    rank : int
        Number of columns R.
    low, high : float
        Bounds of the entries.
    out : device array of float64, shape (B, N, R)
        Receives V.
    stream : stream, optional
        Where to launch.
    """
    size = gram.shape[1]
    _start(size, width(size, rank))[len(gram), _THREADS, stream](gram, low, high, out)
