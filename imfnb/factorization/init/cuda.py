"""The first V as a CUDA kernel: counterpart of `reference` with the same bits, on the current stream.

CUDA fuses multiplications with additions and offers no switch. Here products are rounded, so every operation is asked
for by name: `dmul_rn` and its like are the IEEE operations, which the compiler leaves alone.

A block finds the V of one matrix. Its vectors and the small matrices lie in shared memory; the Gram matrix, which all
threads read along its rows, stays in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.cuda import SHARED_BYTES, SIMULATED, cuda, device_function, stream, template
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

_f64, _i32, _u32 = np.float64, np.int32, np.uint32

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


# Loops count in unsigned numbers of 32 bits, and by `while`: with Python's numbers, which have 64 and may count from
# the end, and with `range`, which counts in 64 whatever it is given, indices were nine of ten instructions.


@device_function
def _largest(values, begin, end):
    """(place, value) of the first of the largest of values[begin : end]; (begin, -inf) if there are none."""
    place, largest = begin, _f64(-np.inf)
    i = begin
    while i < end:
        if values[i] > largest:
            place, largest = i, values[i]
        i = _u32(i + _u32(1))
    return place, largest


@device_function
def _partial_cholesky(gram, z, left, out, found, places, parts, rows, size, t, threads):
    """Counterpart of :func:`imfnb.factorization.init.reference.partial_cholesky` for matrix z.

    The largest diagonal is that of the largest of `parts` parts, each of which a thread looks through.
    """
    each = _u32((size + parts - 1) // parts)
    i = t
    while i < _u32(rows * size):
        out[i // _u32(size), i % _u32(size)] = _f64(0)
        i = _u32(i + threads)
    i = t
    while i < _u32(size):
        left[i] = gram[z, i, i]
        i = _u32(i + threads)
    cuda.syncthreads()
    least = _f64(0)
    k = _u32(0)
    while k < _u32(min(rows, size)):
        i = t
        while i < _u32(parts):
            places[i], found[i] = _largest(left, min(_u32(i * each), _u32(size)), min(_u32((i + 1) * each), _u32(size)))
            i = _u32(i + threads)
        cuda.syncthreads()
        part, largest = _largest(found, _u32(0), _u32(parts))
        pivot = places[part]
        if k == _u32(0):
            least = _times(largest, _f64(LEAST_PIVOT))
        if largest <= least:
            break
        inverse = _over(_f64(1), _root(largest))
        i = t
        while i < _u32(size):
            value = gram[z, pivot, i]
            previous = _u32(0)
            while previous < k:
                value = _add_product(value, -out[previous, pivot], out[previous, i])
                previous = _u32(previous + _u32(1))
            value = _times(value, inverse)
            out[k, i] = value
            left[i] = _f64(0) if i == pivot else _add_product(left[i], -value, value)
            i = _u32(i + threads)
        cuda.syncthreads()
        k = _u32(k + _u32(1))
    cuda.syncthreads()


@device_function
def _multiply(q, gram, z, out, rows, size, t, threads):
    """out = q G for matrix z."""
    i = t
    while i < _u32(rows * size):
        k, n = i // _u32(size), i % _u32(size)
        total = _f64(0)
        j = _u32(0)
        while j < _u32(size):
            total = _add_product(total, q[k, j], gram[z, j, n])
            j = _u32(j + _u32(1))
        out[k, n] = total
        i = _u32(i + threads)
    cuda.syncthreads()


@device_function
def _products(a, b, out, rows, size, t, threads):
    """out = a b^T."""
    i = t
    while i < _u32(rows * rows):
        k, j = i // _u32(rows), i % _u32(rows)
        total = _f64(0)
        n = _u32(0)
        while n < _u32(size):
            total = _add_product(total, a[k, n], b[j, n])
            n = _u32(n + _u32(1))
        out[k, j] = total
        i = _u32(i + threads)
    cuda.syncthreads()


@device_function
def _orthonormal(z, products, norms, inverses, out, rows, size, t, threads):
    """Counterpart of :func:`imfnb.factorization.init.reference.orthonormal`."""
    _products(z, z, products, rows, size, t, threads)
    k = t
    while k < _u32(rows):
        norms[k] = products[k, k]
        k = _u32(k + threads)
    cuda.syncthreads()
    k = _u32(0)
    while k < _u32(rows):
        pivot = products[k, k]
        inverse = _f64(0)
        if pivot > _times(_f64(LEAST_NORM), norms[k]):
            inverse = _over(_f64(1), _root(pivot))
        if t == _u32(0):
            inverses[k] = inverse
        i = t
        while i < _u32(rows * rows):
            j, n = i // _u32(rows), i % _u32(rows)
            if k < j <= n:
                factor = _times(products[k, j], inverse)
                products[j, n] = _add_product(products[j, n], -factor, _times(products[k, n], inverse))
            i = _u32(i + threads)
        cuda.syncthreads()
        k = _u32(k + _u32(1))
    i = t
    while i < _u32(size):
        k = _u32(0)
        while k < _u32(rows):
            value = z[k, i]
            previous = _u32(0)
            while previous < k:
                factor = _times(products[previous, k], inverses[previous])
                value = _add_product(value, -factor, out[previous, i])
                previous = _u32(previous + _u32(1))
            out[k, i] = _times(value, inverses[k])
            k = _u32(k + _u32(1))
        i = _u32(i + threads)
    cuda.syncthreads()


@device_function
def _pair(size, turn, step):
    """A pair of :func:`imfnb.factorization.init.reference.pairs`, the smaller row first."""
    last = _u32(size - 1)
    one, other = _u32(turn + step), _u32(_u32(turn + last) - step)
    one = _u32(one - last) if one >= last else one
    other = _u32(other - last) if other >= last else other
    other = other if step > _u32(0) else last
    return min(one, other), max(one, other)


@device_function
def _rotation(products, p, q, least, angles, flags, step):
    """Counterpart of :func:`imfnb.factorization.init.reference.rotations` for one pair."""
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
    p, q = _pair(size, turn, one)
    r, s = _pair(size, turn, other)
    a, b, c, d = _turn_block(products[p, r], products[p, s], products[q, r], products[q, s], one, other, angles)
    if one != other:
        e, f, g, h = _turn_block(products[r, p], products[r, q], products[s, p], products[s, q], other, one, angles)
        products[p, r], products[p, s], products[q, r], products[q, s] = e, g, f, h
    products[r, p], products[s, p], products[r, q], products[s, q] = a, b, c, d


@device_function
def _jacobi(products, e, values, order, angles, flags, size, t, threads):
    """Counterpart of :func:`imfnb.factorization.init.reference.jacobi`; the vectors are e[order]."""
    half = size // 2
    i = t
    while i < _u32(size * size):
        e[i // _u32(size), i % _u32(size)] = _f64(1) if i // _u32(size) == i % _u32(size) else _f64(0)
        i = _u32(i + threads)
    largest = products[0, 0]
    k = _u32(1)
    while k < _u32(size):
        largest = max(largest, products[k, k])
        k = _u32(k + _u32(1))
    least = _times(_f64(LEAST_ENTRY), _times(largest, largest))
    cuda.syncthreads()
    for _ in range(SWEEPS):
        if t == _u32(0):
            flags[0] = _i32(0)
        cuda.syncthreads()
        turn = _u32(0)
        while turn < _u32(size - 1):
            step = t
            while step < _u32(half):
                p, q = _pair(size, turn, step)
                _rotation(products, p, q, least, angles, flags, step)
                step = _u32(step + threads)
            cuda.syncthreads()
            i = t
            while i < _u32(half * half):
                if i // _u32(half) <= i % _u32(half):
                    _turn_blocks(products, turn, i // _u32(half), i % _u32(half), angles, size)
                i = _u32(i + threads)
            i = t
            while i < _u32(half * size):
                step = i // _u32(size)
                p, q = _pair(size, turn, step)
                _turn_pair(e, p, q, i % _u32(size), angles[0, step], angles[1, step])
                i = _u32(i + threads)
            cuda.syncthreads()
            turn = _u32(turn + _u32(1))
        again = flags[0]
        cuda.syncthreads()
        if again == 0:
            break
    k = t
    while k < _u32(size):
        place = _u32(0)
        i = _u32(0)
        while i < _u32(size):
            if products[i, i] > products[k, k] or (products[i, i] == products[k, k] and i < k):
                place = _u32(place + _u32(1))
            i = _u32(i + _u32(1))
        values[place] = products[k, k]
        order[place] = k
        k = _u32(k + threads)
    cuda.syncthreads()


@device_function
def _combined(e, row, q, n, size):
    """Entry n of row `row` of the product e q."""
    total = _f64(0)
    k = _u32(0)
    while k < _u32(size):
        total = _add_product(total, e[row, k], q[k, n])
        k = _u32(k + _u32(1))
    return total


@device_function
def _look(q, z, e, values, order, flags, rows, size, rank, t, threads):
    """Whether the first `rank` eigenvectors e[order] q are not close enough, given z = q G; z becomes e[order] q."""
    if t == _u32(0):
        flags[0] = _i32(0)
    cuda.syncthreads()
    i = t
    while i < _u32(rank * _u32(size)):
        k, n = i // _u32(size), i % _u32(size)
        theta = values[k]
        vector, image = _combined(e, order[k], q, n, rows), _combined(e, order[k], z, n, rows)
        if abs(_add_product(image, -theta, vector)) > max(_times(_f64(RESIDUAL), theta), _times(_f64(DEAD), values[0])):
            flags[0] = _i32(1)
        i = _u32(i + threads)
    cuda.syncthreads()
    i = t
    while i < _u32(rows * size):
        k, n = i // _u32(size), i % _u32(size)
        z[k, n] = _combined(e, order[k], q, n, rows)
        i = _u32(i + threads)
    cuda.syncthreads()
    return flags[0]


@device_function
def _scale(z, row, theta, largest_theta, size, side):
    """What a vector of length 1 is multiplied by after the fourth root of its eigenvalue; 0 for a dead column."""
    if not theta > _times(largest_theta, _f64(DEAD)):
        return _f64(0)
    root = _root(_root(theta))
    total = largest = _f64(0)
    n = _u32(0)
    while n < _u32(size):
        entry = _times(z[row, n], root)
        total = _add(total, entry)
        largest = max(largest, abs(entry))
        n = _u32(n + _u32(1))
    scale = _f64(1)
    if _f64(0) < largest < _f64(LEAST_START):
        scale = _over(_f64(LEAST_START), largest)
    return -scale if _times(total, side) < _f64(0) else scale


@device_function
def _round_into(out, b, z, values, scales, low, high, rank, wanted, size, t, threads):
    """Counterpart of :func:`imfnb.factorization.init.reference.rounded`."""
    side = _f64(-1) if -low > high else _f64(1)
    k = t
    while k < wanted:
        scales[k] = _scale(z, k, values[k], values[0], size, side)
        k = _u32(k + threads)
    cuda.syncthreads()
    i = t
    while i < _u32(_u32(size) * rank):
        n, k = i // rank, i % rank
        entry = _f64(0)
        if k < wanted and scales[k] != _f64(0):
            entry = _times(_times(z[k, n], _root(_root(values[k]))), scales[k])
        entry = _add(_add(entry, _f64(_ROUND)), _f64(-_ROUND))
        out[b, n, k] = _add(min(max(entry, low), high), _f64(0))
        i = _u32(i + threads)


@template("void(float64[:,:,::1], float64, float64, float64[:,:,::1])", (64, 10), (64, 28), (16, 16), (192, 12))
def _start(size, rows):
    """The kernel for matrices of `size` rows and blocks of `rows` vectors, one for two ranks each."""
    steps, half = STEPS if rows < size else 0, rows // 2
    stride = size + 1  # odd for even sizes: threads that read a column of vectors have banks of their own

    def start(gram, low, high, out):
        q = cuda.shared.array((rows, stride), _f64)
        z = cuda.shared.array((rows, stride), _f64)
        products = cuda.shared.array((rows, rows), _f64)
        e = cuda.shared.array((rows, rows), _f64)
        norms = cuda.shared.array(rows, _f64)
        inverses = cuda.shared.array(rows, _f64)
        angles = cuda.shared.array((2, half), _f64)
        order = cuda.shared.array(rows, _u32)
        flags = cuda.shared.array(1, _i32)
        t, threads, b, rank = _u32(cuda.threadIdx.x), _u32(_THREADS), _u32(cuda.blockIdx.x), _u32(out.shape[2])
        wanted = min(rank, _u32(size))
        _partial_cholesky(gram, b, q[0], z, angles[0], order, half, rows, size, t, threads)
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
    """Counterpart of :func:`imfnb.factorization.init.reference.fits`: whether the vectors fit into shared memory."""
    rows = width(size, rank)
    return 8 * (2 * rows * (size + 1) + 2 * rows * rows + 3 * rows) + 4 * (rows + 1) <= SHARED_BYTES


def start_v(gram: Any, rank: int, low: float, high: float, out: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.init.reference.start_v`; :func:`fits` must hold."""
    size = gram.shape[1]
    _start(size, width(size, rank))[len(gram), _THREADS, stream()](gram, low, high, out)
