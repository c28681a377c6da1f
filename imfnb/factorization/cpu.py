"""Block coordinate descent as `@njit` kernels; same names and, for integer X, same bits as `reference`.

The patch is the SIMD lane: X^T and U^T have one row per pixel or component, and a block of patches goes through the
product X V, the column updates and both accumulations while it is in cache.
"""

from __future__ import annotations

import numpy as np

from .._jit import EXACT, kernel

__all__ = ["gram", "update_column", "update_columns", "update_u"]

# Patches per block: 64 pixels * 256 patches * 4 bytes = 64 KiB, which stays in a core's second-level cache. 512 was no
# faster, and 256 * 255**2 < 2**24 keeps the sums of a block exact in float32.
LANES = 256


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
    """Twin of :func:`imfnb.factorization.reference.update_column`."""
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
def update_columns(a, b, factor, low, high):
    """Twin of :func:`imfnb.factorization.reference.update_columns`."""
    for r in range(factor.shape[1]):
        update_column(a, b, factor, r, low, high)


@kernel(fastmath=EXACT)
def _product(x, vt, a):
    """a = V^T X for a block: x (N, LANES), vt (R, N), a (R, LANES). Tiles of 2 components by 8 pixels."""
    pixels = x.shape[0]
    rank = vt.shape[0]
    whole = pixels - pixels % 8
    for r0 in range(0, rank, 2):
        r1 = min(r0 + 1, rank - 1)  # an odd last component is computed twice, which is cheaper than a second loop
        a0, a1 = a[r0], a[r1]
        a0[:] = 0
        a1[:] = 0
        for n in range(0, whole, 8):
            p0, p1, p2, p3 = vt[r0, n], vt[r0, n + 1], vt[r0, n + 2], vt[r0, n + 3]
            p4, p5, p6, p7 = vt[r0, n + 4], vt[r0, n + 5], vt[r0, n + 6], vt[r0, n + 7]
            q0, q1, q2, q3 = vt[r1, n], vt[r1, n + 1], vt[r1, n + 2], vt[r1, n + 3]
            q4, q5, q6, q7 = vt[r1, n + 4], vt[r1, n + 5], vt[r1, n + 6], vt[r1, n + 7]
            x0, x1, x2, x3 = x[n], x[n + 1], x[n + 2], x[n + 3]
            x4, x5, x6, x7 = x[n + 4], x[n + 5], x[n + 6], x[n + 7]
            for i in range(LANES):
                y0, y1, y2, y3 = x0[i], x1[i], x2[i], x3[i]
                y4, y5, y6, y7 = x4[i], x5[i], x6[i], x7[i]
                s0 = a0[i] + p0 * y0 + p1 * y1 + p2 * y2 + p3 * y3 + p4 * y4 + p5 * y5 + p6 * y6 + p7 * y7
                s1 = a1[i] + q0 * y0 + q1 * y1 + q2 * y2 + q3 * y3 + q4 * y4 + q5 * y5 + q6 * y6 + q7 * y7
                if r1 != r0:
                    a1[i] = s1
                a0[i] = s0
        for n in range(whole, pixels):
            for i in range(LANES):
                a0[i] += vt[r0, n] * x[n, i]
            if r1 != r0:
                for i in range(LANES):
                    a1[i] += vt[r1, n] * x[n, i]


@kernel(fastmath=EXACT)
def _accumulate(x, u, out, tile):
    """out += X U for a block: x (N, LANES), u (R, LANES), out (N, R) float64. Tiles of 4 pixels by 2 components."""
    pixels, rank = x.shape[0], u.shape[0]
    zero = x.dtype.type(0)
    for n in range(0, pixels, 4):
        # Rows beyond the last stand for the last one; their sums are left out below.
        n1, n2, n3 = min(n + 1, pixels - 1), min(n + 2, pixels - 1), min(n + 3, pixels - 1)
        x0, x1, x2, x3 = x[n], x[n1], x[n2], x[n3]
        for r in range(0, rank, 2):
            u0, u1 = u[r], u[min(r + 1, rank - 1)]
            s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = zero
            for i in range(LANES):
                s0 += x0[i] * u0[i]
                s1 += x1[i] * u0[i]
                s2 += x2[i] * u0[i]
                s3 += x3[i] * u0[i]
                t0 += x0[i] * u1[i]
                t1 += x1[i] * u1[i]
                t2 += x2[i] * u1[i]
                t3 += x3[i] * u1[i]
            tile[0, 0], tile[1, 0], tile[2, 0], tile[3, 0] = s0, s1, s2, s3
            tile[0, 1], tile[1, 1], tile[2, 1], tile[3, 1] = t0, t1, t2, t3
            for row in range(min(4, pixels - n)):
                for column in range(min(2, rank - r)):
                    out[n + row, r + column] += tile[row, column]


@kernel(fastmath=EXACT)
def _update_lanes(a, b, u, low, high):
    """:func:`update_columns` for a block: a (R, LANES), which is used up, b (R, R), u (R, LANES)."""
    rank = a.shape[0]
    lo, hi, one = a.dtype.type(low), a.dtype.type(high), a.dtype.type(1)
    for r in range(rank):
        row, target = a[r], u[r]
        denominator = b[r, r]
        if denominator == 0:
            target[:] = min(max(one, lo), hi)
            continue
        for s in range(0, rank - rank % 4, 4):
            w0, w1, w2, w3 = b[s, r], b[s + 1, r], b[s + 2, r], b[s + 3, r]
            u0, u1, u2, u3 = u[s], u[s + 1], u[s + 2], u[s + 3]
            for i in range(LANES):
                row[i] -= (u0[i] * w0 + u1[i] * w1) + (u2[i] * w2 + u3[i] * w3)
        for s in range(rank - rank % 4, rank):
            w0, u0 = b[s, r], u[s]
            for i in range(LANES):
                row[i] -= u0[i] * w0
        inverse = one / denominator
        for i in range(LANES):  # the loops above have subtracted the column's own part too
            numerator = row[i] + target[i] * denominator
            target[i] = min(max(_round_quotient(numerator, denominator, inverse), lo), hi)


@kernel(fastmath=EXACT)
def _gram(xt, dtype):
    pixels, rows = xt.shape
    total = np.zeros((pixels, pixels))
    x = np.empty((pixels, LANES), dtype)
    tile = np.empty((4, 2), dtype)
    for first in range(0, rows, LANES):
        lanes = min(LANES, rows - first)
        if lanes < LANES:
            x[:] = 0
        for n in range(pixels):
            source, target = xt[n, first : first + lanes], x[n]
            for i in range(lanes):
                target[i] = source[i]
        for n in range(0, pixels, 4):  # the upper triangle, in strips
            _accumulate(x[n : n + 4], x[n:], total[n : n + 4, n:], tile)
    for n in range(pixels):
        for k in range(n):
            total[n, k] = total[k, n]
    return total


def gram(xt: np.ndarray) -> np.ndarray:
    """Twin of :func:`imfnb.factorization.reference.gram`.

    For uint8 the products of a block are added in float32, which is exact: 256 * 255**2 < 2**24.
    """
    return _gram(xt, np.float32 if xt.dtype == np.uint8 else np.float64)


@kernel(fastmath=EXACT)
def update_u(xt, vt, ut, start, stop, low, high):
    """Twin of :func:`imfnb.factorization.reference.update_u`; adds in the dtype of `vt`."""
    pixels = xt.shape[0]
    rank = ut.shape[0]
    zero = vt.dtype.type(0)
    b = np.zeros((rank, rank), vt.dtype)
    for r in range(rank):
        for s in range(r + 1):
            total = zero
            for n in range(pixels):
                total += vt[r, n] * vt[s, n]
            b[r, s] = b[s, r] = total
    xtu, utu = np.zeros((pixels, rank)), np.zeros((rank, rank))
    # Blocks have a fixed width and their unused lanes are zero: the loops above have constant trip counts and unit
    # strides, without which they do not vectorise (16 ms instead of 2 for the planes of a 768x512 image).
    x = np.empty((pixels, LANES), vt.dtype)
    u = np.empty((rank, LANES), vt.dtype)
    a = np.empty((rank, LANES), vt.dtype)
    tile = np.empty((4, 2), vt.dtype)
    for first in range(start, stop, LANES):
        lanes = min(LANES, stop - first)
        if lanes < LANES:
            x[:] = zero
            u[:] = zero
        for n in range(pixels):
            source, target = xt[n, first : first + lanes], x[n]
            for i in range(lanes):
                target[i] = source[i]
        for r in range(rank):
            source, target = ut[r, first : first + lanes], u[r]
            for i in range(lanes):
                target[i] = source[i]
        _product(x, vt, a)
        _update_lanes(a, b, u, low, high)
        for r in range(rank):
            source, target = u[r], ut[r, first : first + lanes]
            for i in range(lanes):
                target[i] = ut.dtype.type(source[i])
            source[lanes:] = zero  # a dead column is 1 in unused lanes too
        _accumulate(x, u, xtu, tile)
        _accumulate(u, u, utu, tile)
    return xtu, utu
