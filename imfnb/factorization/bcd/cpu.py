"""Block coordinate descent as `@njit` kernels: counterparts of `reference`, for integer X with the same bits.

The patch is the SIMD lane: a block of patches goes through the product X V, the column updates and both accumulations
while it is in cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ...patches import LANES
from ...runtime.jit import EXACT, kernel
from ...runtime.vectors import DOTS
from ..bounds import exact_in_float32
from . import bands, dots
from .bands import Each, add_bands
from .tiles import PARTS, PIXELS, TILE, accumulate, narrow, product, update, widen

__all__ = ["gram", "sweeps", "update_columns", "update_u"]

#: Blocks after which the sums of `_accumulate`, each over LANES / PARTS patches of a block, move to float64: over 256
#: patches they are exact in float32.
FLUSH = 256 * PARTS // LANES

# Blocks of bytes that go into the sums of X^T U at a time, and blocks after which those move to float64: 512 * 64 * 255
# * 128 < 2**31.
_GROUP, _FLUSH_BYTES = 8, 512

# X of at most this many bytes is kept in words of four rows too, for all sweeps: beside X itself that fits a
# second-level cache, where it spares a tenth to a fifth of a sweep. Larger ones would come from memory twice.
_KEPT_WORDS = 1 << 20


@kernel(fastmath=EXACT)
def _round_quotient(numerator, denominator, inverse):
    """rint(numerator / denominator), exactly: halves to even, for any integers that the dtype holds.

    Multiplying by the inverse is off by at most one, which the remainder reveals; it is exact in the same dtype.
    """
    q = np.rint(numerator * inverse)
    twice = 2 * (numerator - q * denominator)
    odd = q - 2 * np.rint(q / 2)
    up = twice > denominator or (twice == denominator and odd != 0)
    down = twice < -denominator or (twice == -denominator and odd != 0)
    if up:
        q += 1
    if down:
        q -= 1
    return q


@kernel(fastmath=EXACT)
def update_column(a, b, factor, r, low, high):
    """Counterpart of :func:`imfnb.factorization.bcd.reference.update_column`."""
    rows, rank = factor.shape
    denominator = b[r, r]
    if denominator == 0:
        factor[:, r] = min(max(1.0, low), high)
        return
    for i in range(rows):
        numerator = a[i, r]
        for s in range(rank):
            if s != r:
                numerator -= factor[i, s] * b[s, r]
        factor[i, r] = min(max(_round_quotient(numerator, denominator, 1.0 / denominator), low), high)


@kernel(fastmath=EXACT)
def _update_columns(a, b, factor, low, high):
    for r in range(factor.shape[1]):
        update_column(a, b, factor, r, low, high)


def update_columns(a: np.ndarray, b: np.ndarray, factor: np.ndarray, low: float, high: float) -> None:
    """Counterpart of :func:`imfnb.factorization.bcd.reference.update_columns`."""
    for matrices in zip(a, b, factor, strict=True):
        _update_columns(*matrices, low, high)


@kernel()
def _tile(left):
    """Rows of the next register tile when `left` are to do: as few tiles as possible, of about the same size."""
    return -(-left // -(-left // TILE))


@kernel()
def _product(x, vt, a):
    """a = V^T X for a block: x (N, LANES), vt (R, N), a (R, LANES)."""
    r = 0
    while r < vt.shape[0]:
        count = _tile(vt.shape[0] - r)
        if count == 1:  # the size of a register tile is a constant of the machine code
            product(x, vt, a, r, 1)
        elif count == 2:
            product(x, vt, a, r, 2)
        elif count == 3:
            product(x, vt, a, r, 3)
        elif count == 4:
            product(x, vt, a, r, 4)
        elif count == 5:
            product(x, vt, a, r, 5)
        else:
            product(x, vt, a, r, 6)
        r += count


@kernel()
def _accumulate(x, u, rank, triangle, sums):
    """Add X U^T for a block, x (N, LANES) and u (R, LANES), to sums, tile by tile as `_gather` reads them.

    Both have zero rows up to a multiple of PIXELS. With `triangle`, x is u and only half of the result is made.
    """
    r = position = 0
    while r < rank:
        count = _tile(rank - r)
        for n in range(r - r % PIXELS if triangle else 0, x.shape[0], PIXELS):
            if count == 1:
                accumulate(x, u, sums, position, n, r, 1)
            elif count == 2:
                accumulate(x, u, sums, position, n, r, 2)
            elif count == 3:
                accumulate(x, u, sums, position, n, r, 3)
            elif count == 4:
                accumulate(x, u, sums, position, n, r, 4)
            elif count == 5:
                accumulate(x, u, sums, position, n, r, 5)
            else:
                accumulate(x, u, sums, position, n, r, 6)
            position += PIXELS * count * PARTS
        r += count


@kernel(fastmath=EXACT)
def _gather(sums, triangle, out):
    """Add the sums of all tiles to the matrix X U^T, shape (N, R), or its lower half; set them to zero."""
    rows, rank = out.shape
    r = position = 0
    while r < rank:
        count = _tile(rank - r)
        for n in range(r - r % PIXELS if triangle else 0, rows, PIXELS):
            for k in range(PIXELS):
                for c in range(count):
                    total = 0.0
                    for i in range(position, position + PARTS):
                        total += sums[i]
                        sums[i] = 0
                    position += PARTS
                    if n + k < rows:
                        out[n + k, r + c] += total
        r += count


@kernel()
def _mirror(out):
    """Write the triangle above the diagonal of a symmetric matrix from the one below it."""
    for n in range(len(out)):
        for k in range(n):
            out[k, n] = out[n, k]


@kernel()
def _gram(blocks, dtype):
    pixels = blocks.shape[1]
    padded = pixels + -pixels % PIXELS
    x = np.zeros((padded, LANES), dtype)
    sums, out = np.zeros(padded * pixels * PARTS, dtype), np.zeros((pixels, pixels))
    for b in range(len(blocks)):
        widen(blocks[b], x)
        _accumulate(x, x, pixels, True, sums)
        if b % FLUSH == FLUSH - 1:
            _gather(sums, True, out)
    _gather(sums, True, out)
    _mirror(out)
    return out


@kernel()
def _accumulate_bytes(x, u, begin, end, triangle, sums):
    """`_accumulate` for the blocks begin .. end - 1 of bytes."""
    rank = u.shape[1]
    r = position = 0
    while r < rank:
        count = _tile(rank - r)
        for n in range(r - r % PIXELS if triangle else 0, x.shape[1], PIXELS):
            if count == 1:
                dots.accumulate(x, u, begin, end, sums, position, n, r, 1)
            elif count == 2:
                dots.accumulate(x, u, begin, end, sums, position, n, r, 2)
            elif count == 3:
                dots.accumulate(x, u, begin, end, sums, position, n, r, 3)
            elif count == 4:
                dots.accumulate(x, u, begin, end, sums, position, n, r, 4)
            elif count == 5:
                dots.accumulate(x, u, begin, end, sums, position, n, r, 5)
            else:
                dots.accumulate(x, u, begin, end, sums, position, n, r, 6)
            position += PIXELS * count * PARTS
        r += count


@kernel()
def _sums_for(rows, rank):
    """Room for the sums of `_accumulate_bytes`."""
    return np.zeros((rows + -rows % PIXELS) * rank * PARTS, np.int32)


@kernel()
def _gram_bytes(blocks):
    pixels = blocks.shape[1]
    sums, out = _sums_for(pixels, pixels), np.zeros((pixels, pixels))
    for begin in range(0, len(blocks), _GROUP):
        end = min(begin + _GROUP, len(blocks))
        _accumulate_bytes(blocks, blocks, begin, end, True, sums)
        if end % _FLUSH_BYTES == 0 or end == len(blocks):
            _gather(sums, True, out)
    _mirror(out)
    return out


def gram(x: np.ndarray, rows: int, out: np.ndarray, each: Each) -> None:
    """Counterpart of :func:`imfnb.factorization.bcd.reference.gram`.

    For uint8 the products of 256 patches are added in float32, which is exact: 256 * 255**2 < 2**24.
    """

    def square(blocks: np.ndarray, first: int, last: int) -> tuple[np.ndarray]:
        blocks = blocks[first:last]
        if blocks.dtype == np.uint8 and DOTS:
            return (_gram_bytes(blocks),)
        return (_gram(blocks, np.float32 if blocks.dtype == np.uint8 else np.float64),)

    for blocks, total in zip(x, out, strict=True):
        (total[...],) = add_bands(partial(square, blocks), len(blocks), each)


@kernel(fastmath=EXACT)
def _products_of_columns(vt):
    """V^T V, in the dtype of vt."""
    rank, pixels = vt.shape
    b = np.zeros((rank, rank), vt.dtype)
    for r in range(rank):
        for s in range(r + 1):
            total = vt.dtype.type(0)
            for n in range(pixels):
                total += vt[r, n] * vt[s, n]
            b[r, s] = b[s, r] = total
    return b


@kernel(fastmath=EXACT)
def _update_block(a, b, lanes, w, block, low, high):
    """Update a block of U given a = V^T X and b = V^T V; w (R, LANES) is the block in their dtype."""
    rank = len(b)
    for r in range(rank):
        if b[r, r] == 0:
            w[r] = min(max(w.dtype.type(1), low), high)
        else:
            update(a, b, w, r, low, high)
    if lanes < LANES:
        w[:, lanes:] = w.dtype.type(0)
    narrow(w, block)


@kernel()
def _product_bytes(words, weights, a):
    """`_product` for a block of bytes: words (Q, LANES), weights (R, Q), a (R, LANES)."""
    r = 0
    while r < weights.shape[0]:
        count = _tile(weights.shape[0] - r)
        if count == 1:
            dots.product(words, weights, a, r, 1)
        elif count == 2:
            dots.product(words, weights, a, r, 2)
        elif count == 3:
            dots.product(words, weights, a, r, 3)
        elif count == 4:
            dots.product(words, weights, a, r, 4)
        elif count == 5:
            dots.product(words, weights, a, r, 5)
        else:
            dots.product(words, weights, a, r, 6)
        r += count


@kernel()
def _words_of(blocks, count):
    """The first `count` blocks in words of four rows, (count, N / 4, LANES); of one only the room."""
    words = np.empty((count, blocks.shape[1] // 4, LANES), np.int32)
    if count > 1:
        for k in range(count):
            dots.quads(blocks[k], words[k])
    return words


@kernel()
def _update_u_bytes(blocks, words, rows, vt, u, first, last, low, high):
    """`update_u` for X and factors of bytes; vt is of float32, which holds all numerators."""
    rank, pixels = vt.shape
    b = _products_of_columns(vt)
    weights = np.zeros((rank, pixels // 4), np.int32)
    for r in range(rank):
        for n in range(pixels):
            weights[r, n // 4] |= np.int32((np.int64(vt[r, n]) & 0xFF) << (8 * (n % 4)))
    a, w = np.empty((rank, LANES), vt.dtype), np.empty((rank, LANES), vt.dtype)
    sums_x, sums_u = _sums_for(pixels, rank), _sums_for(rank, rank)
    xtu, utu = np.zeros((pixels, rank)), np.zeros((rank, rank))
    lo, hi = vt.dtype.type(low), vt.dtype.type(high)
    for begin in range(first, last, _GROUP):
        end = min(begin + _GROUP, last)
        for k in range(begin, end):
            if len(words) > 1:
                quads = words[k]
            else:
                quads = words[0]
                dots.quads(blocks[k], quads)
            _product_bytes(quads, weights, a)
            widen(u[k], w)
            _update_block(a, b, min(LANES, rows - k * LANES), w, u[k], lo, hi)
        _accumulate_bytes(blocks, u, begin, end, False, sums_x)
        _accumulate_bytes(u, u, begin, end, True, sums_u)
        if (end - first) % _FLUSH_BYTES == 0 or end == last:
            _gather(sums_x, False, xtu)
            _gather(sums_u, True, utu)
    _mirror(utu)
    return xtu, utu


@kernel(fastmath=EXACT)
def _update_u_floats(blocks, rows, vt, u, first, last, low, high):
    """`update_u` in the dtype of `vt`."""
    rank, pixels = vt.shape
    b = _products_of_columns(vt)
    padded, wide = pixels + -pixels % PIXELS, rank + -rank % PIXELS
    x, w = np.zeros((padded, LANES), vt.dtype), np.zeros((wide, LANES), vt.dtype)
    a = np.empty((rank, LANES), vt.dtype)
    sums_x, sums_u = np.zeros(padded * rank * PARTS, vt.dtype), np.zeros(wide * rank * PARTS, vt.dtype)
    xtu, utu = np.zeros((pixels, rank)), np.zeros((rank, rank))
    lo, hi = vt.dtype.type(low), vt.dtype.type(high)
    for k in range(first, last):
        widen(blocks[k], x)
        widen(u[k], w)
        _product(x, vt, a)
        _update_block(a, b, min(LANES, rows - k * LANES), w, u[k], lo, hi)
        _accumulate(x, w, rank, False, sums_x)
        _accumulate(w, w, rank, True, sums_u)
        if (k - first) % FLUSH == FLUSH - 1 or k == last - 1:
            _gather(sums_x, False, xtu)
            _gather(sums_u, True, utu)
    _mirror(utu)
    return xtu, utu


@kernel(fastmath=EXACT)
def _sweeps_bytes(blocks, rows, u, v, size, iterations, low, high):
    words = _words_of(blocks, len(blocks) if blocks.size <= _KEPT_WORDS else 1)
    for _ in range(iterations):
        vt = np.ascontiguousarray(v.T.astype(np.float32))
        xtu, utu = np.zeros(v.shape), np.zeros((v.shape[1], v.shape[1]))
        for first in range(0, len(blocks), size):
            sums = _update_u_bytes(blocks, words, rows, vt, u, first, min(first + size, len(blocks)), low, high)
            xtu += sums[0]
            utu += sums[1]
        _update_columns(xtu, utu, v, low, high)


def _working_dtype(x: np.ndarray, v: np.ndarray, low: float, high: float) -> type:
    """What the U step adds in: float32 where that holds all sums of integers exactly."""
    small = x.dtype == np.uint8 and exact_in_float32(v.shape[1], v.shape[2], low, high)
    return np.float32 if small else np.float64


def _takes_bytes(x: np.ndarray, u: np.ndarray, working: type) -> bool:
    """Whether the U step may be done with dot products of bytes."""
    small = x.dtype == np.uint8 and u.dtype == np.int8 and working == np.float32
    return DOTS and small and x.shape[2] % 4 == 0


def update_u(
    x: np.ndarray, v: np.ndarray, u: np.ndarray, rows: int, low: float, high: float, each: Each
) -> tuple[np.ndarray, np.ndarray]:
    """Counterpart of :func:`imfnb.factorization.bcd.reference.update_u`; adds in float32 where that is exact."""
    working, sums = _working_dtype(x, v, low, high), []
    small = _takes_bytes(x, u, working)
    for blocks, basis, factors in zip(x, v, u, strict=True):
        vt: np.ndarray = np.ascontiguousarray(basis.T, working)

        def step(
            first: int, last: int, blocks: np.ndarray = blocks, vt: np.ndarray = vt, factors: np.ndarray = factors
        ) -> tuple[np.ndarray, np.ndarray]:
            if small:
                return _update_u_bytes(blocks, _words_of(blocks, 1), rows, vt, factors, first, last, low, high)
            return _update_u_floats(blocks, rows, vt, factors, first, last, low, high)

        sums.append(add_bands(step, len(blocks), each))
    if len(sums) == 1:  # on small images putting one into a stack took a third of the time of a sweep
        return sums[0][0][None], sums[0][1][None]
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
    """Counterpart of :func:`imfnb.factorization.bcd.reference.sweeps`, on one thread.

    Calls from Python took a tenth of the time of a 768x512 image at rank 2: with bytes there is one for all sweeps.
    """
    count = x.shape[1]
    if threads > 1 and count > bands.BAND:
        return False
    working = _working_dtype(x, v, low, high)
    small = _takes_bytes(x, u, working)
    for blocks, factors, basis in zip(x, u, v, strict=True):
        if small:
            _sweeps_bytes(blocks, rows, factors, basis, bands.BAND, iterations, low, high)
            continue
        for _ in range(iterations):
            vt: np.ndarray = np.ascontiguousarray(basis.T, working)
            xtu, utu = _update_u_floats(blocks, rows, vt, factors, 0, min(bands.BAND, count), low, high)
            for first in range(bands.BAND, count, bands.BAND):
                sums = _update_u_floats(blocks, rows, vt, factors, first, min(first + bands.BAND, count), low, high)
                xtu += sums[0]
                utu += sums[1]
            _update_columns(xtu, utu, basis, low, high)
    return True
