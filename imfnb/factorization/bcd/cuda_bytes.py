"""Gram matrices and sweeps over patches of bytes with factors of bytes, by tensor cores; the rest is in `cuda`.

All arrays lie on the device and have a leading axis B of equal-shaped matrices, which are handled in one launch, on the
current stream. Rows of X^T and U^T have S >= M entries; what those from M on hold has no influence.

The bits are those of `reference`. Every product and every sum is an integer that its type holds exactly: below 2**31 in
int32 (what a block adds up), below 2**24 in float32 (numerators and remainders of U's entries), below 2**53 in float64.
Fused or not, in whatever order, an exact sum is the same sum. Quotients are rounded exactly through their remainder.

Functions named `_warp_` are those of a device, where the 32 threads of a warp work together; in the simulator, where
threads are on their own, counterparts named `_lane_` take their place.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...runtime.cuda import SHARED_BYTES, SIMULATED, blocks, cuda, device_function, kernel, stream, template
from ...runtime.cuda_intrinsics import (
    await_previous,
    begin_next,
    dp4a_ss,
    fetch_four,
    get,
    get_four,
    get_pair,
    low_bytes,
    mma_ss,
    mma_us,
    mma_uu,
    prefetch,
    prmt,
    put,
    put_four,
    transpose4,
    wait_for_fours,
)
from .cuda_rounding import quotient

__all__ = ["gram", "sweep", "warps_for"]

_f32, _f64, _i32, _i64, _u32 = np.float32, np.float64, np.int32, np.int64, np.uint32

# Threads of a warp.
_LANES = 4 if SIMULATED else 32

# Columns of a product of the tensor cores.
_COLUMNS = 8


@device_function
def _live(patches):
    """Which bytes of a word are patches, if so many remain."""
    if patches >= 4:
        return _u32(0xFFFFFFFF)
    return _u32((1 << (8 * patches)) - 1) if patches > 0 else _u32(0)


@device_function
def _meet():
    """What a lane has written, the others of its warp see after it."""
    if SIMULATED:
        cuda.syncthreads()
    else:
        cuda.syncwarp()


# --------------------------------------------------------------------------------------------------------- Gram matrix


# Side of a tile of the Gram matrix that a block makes, and words of four patches that its warps take at a time.
_SIDE, _STEP = 64, 4 if SIMULATED else 16
_SQUARE = _SIDE * _SIDE

# Warps of such a block, and blocks that keep a device busy: with some 200 registers a thread, two fit a multiprocessor.
_GRAM_WARPS, _GRAM_WANTED = (1, 2) if SIMULATED else (4, 2 * 132)

# Words whose sums one block makes, at most: 4 * 255**2 times as many are below 2**31.
_GRAM_WORDS = 8192


@device_function
def _announce(xt, base, first, words, word, lane):
    """Have the cache read the words of one side of 64 rows that a warp takes next: 62 us for 256 matrices, not 72."""
    pixels, across = _u32(xt.shape[1]), _u32(xt.shape[2])
    at = _u32(word + (lane & _u32(1)) * _u32(_STEP // 2))
    for i in range(4):
        row = _u32(_u32(first + (lane >> _u32(1))) + _u32(16 * i))
        if row < pixels and at < words:
            prefetch(xt, base + _i64(row) * _i64(across) + _i64(at))


def _warp_gram(xt, base, e0, k0, words, count, word, lane, sums):
    """Add up the products of two sides of 64 rows over 64 patches, from a word on.

    Rows are read as both factors of the tensor cores take them: word t of row g, and of the sixteen words of a row four
    at once, since in which order patches are added up makes no difference.
    """
    x = cuda.local.array(32, _u32)
    y = cuda.local.array(32, _u32)
    following = _u32(word + _u32(_GRAM_WARPS * _STEP))
    _announce(xt, base, e0, words, following, lane)
    if k0 != e0:
        _announce(xt, base, k0, words, following, lane)
    t, g = _u32(lane & _u32(3)), _u32(lane >> _u32(2))
    first = _u32(_u32(word) + t * _u32(4))
    rest = _i32(count - _i32(4) * _i32(first))
    live0, live1 = _live(rest), _live(_i32(rest - _i32(4)))
    live2, live3 = _live(_i32(rest - _i32(8))), _live(_i32(rest - _i32(12)))
    pixels, across = _u32(xt.shape[1]), _u32(xt.shape[2])
    for j in range(8):
        for i in range(4):
            x[4 * j + i], y[4 * j + i] = _u32(0), _u32(0)
        row = _u32(_u32(e0 + g) + _u32(8 * j))
        if row < pixels and first < words:
            w0, w1, w2, w3 = get_four(xt, base + _i64(row) * _i64(across) + _i64(first))
            x[4 * j], x[4 * j + 1], x[4 * j + 2], x[4 * j + 3] = w0 & live0, w1 & live1, w2 & live2, w3 & live3
        row = _u32(_u32(k0 + g) + _u32(8 * j))
        if row < pixels and first < words:
            w0, w1, w2, w3 = get_four(xt, base + _i64(row) * _i64(across) + _i64(first))
            y[4 * j], y[4 * j + 1], y[4 * j + 2], y[4 * j + 3] = w0, w1, w2, w3
    _meet()
    for k in range(2):
        for i in range(4):
            a0, a1, a2, a3 = x[8 * i + 2 * k], x[8 * i + 4 + 2 * k], x[8 * i + 2 * k + 1], x[8 * i + 5 + 2 * k]
            for j in range(8):
                at = 32 * i + 4 * j
                b0, b1 = y[4 * j + 2 * k], y[4 * j + 2 * k + 1]
                c0, c1, c2, c3 = sums[at], sums[at + 1], sums[at + 2], sums[at + 3]
                c0, c1, c2, c3 = mma_uu(a0, a1, a2, a3, b0, b1, c0, c1, c2, c3)
                sums[at], sums[at + 1], sums[at + 2], sums[at + 3] = c0, c1, c2, c3


def _warp_gram_add(sums, lane, total):
    """Add a lane's sums to those of its block."""
    t, g = _u32(lane & _u32(3)), _u32(lane >> _u32(2))
    for i in range(4):
        for j in range(8):
            for k in range(4):
                row = _u32(_u32(16 * i + k // 2 * 8) + g)
                at = _u32(_u32(row * _u32(_SIDE)) + _u32(t * _u32(2) + _u32(8 * j + k % 2)))
                cuda.atomic.add(total, at, sums[32 * i + 4 * j + k])


def _lane_gram(xt, base, e0, k0, words, count, word, lane, sums):
    """`_warp_gram` for the simulator, where threads do not work together: one word of this lane alone."""
    pixels, across, q = xt.shape[1], xt.shape[2], int(word + lane)
    if q < words:
        live = np.array([_live(count - 4 * q)], _u32).view(np.uint8) // 255
        at = int(base) + across * np.arange(pixels) + q
        x = np.array([get(xt, i) for i in at], _u32).view(np.uint8).reshape(pixels, 4).astype(_i32)
        found = (x * live)[e0 : e0 + _SIDE] @ x[k0 : k0 + _SIDE].T
        for i, j in np.ndindex(found.shape):
            sums[i * _SIDE + j] += found[i, j]


def _lane_gram_add(sums, lane, total):
    """Counterpart of `_warp_gram_add` for the simulator."""
    for i in range(_SQUARE):
        cuda.atomic.add(total, i, sums[i])


_gram_step = device_function(_lane_gram if SIMULATED else _warp_gram)
_gram_add = device_function(_lane_gram_add if SIMULATED else _warp_gram_add)
_GRAM_SUMS = _SQUARE if SIMULATED else 128


@kernel("void(uint32[:,:,::1], int32, int32, float64[:,:,::1])")
def _gram_bytes(xt, words, count, out):
    """A block adds up a tile of X^T X over some words of patches; float64 holds all sums exactly, in any order."""
    total = cuda.shared.array(_SQUARE, _i32)
    sums = cuda.local.array(_GRAM_SUMS, _i32)
    pixels, stride = _u32(xt.shape[1]), _u32(xt.shape[2])
    across = _u32((pixels + _u32(_SIDE - 1)) // _u32(_SIDE))
    e0 = _u32(_u32(cuda.blockIdx.x) // across * _u32(_SIDE))
    k0 = _u32(_u32(cuda.blockIdx.x) % across * _u32(_SIDE))
    t, z = _u32(cuda.threadIdx.x), cuda.blockIdx.z
    lane, warp = _u32(t & _u32(_LANES - 1)), _u32(t // _u32(_LANES))
    base = _i64(z) * _i64(pixels) * _i64(stride)
    for i in range(_GRAM_SUMS):
        sums[i] = _i32(0)
    for i in range(t, _u32(_SQUARE), _u32(_GRAM_WARPS * _LANES)):
        total[i] = _i32(0)
    cuda.syncthreads()
    first = _u32(cuda.blockIdx.y * words)
    last = min(_u32(first + _u32(words)), stride)
    for word in range(first + warp * _u32(_STEP), last, _u32(_GRAM_WARPS * _STEP)):
        _gram_step(xt, base, e0, k0, last, count, word, lane, sums)
    _gram_add(sums, lane, total)
    cuda.syncthreads()
    for i in range(t, _u32(_SQUARE), _u32(_GRAM_WARPS * _LANES)):
        e, n = _u32(e0 + i // _u32(_SIDE)), _u32(k0 + i % _u32(_SIDE))
        if e < pixels and n < pixels:
            cuda.atomic.add(out, (z, e, n), _f64(total[i]))


def gram(xt: Any, count: int, out: Any) -> None:
    """X^T X of a stack of matrices of bytes.

    Parameters
    ----------
    xt : device array of uint8, shape (B, N, S)
        X^T; S is a multiple of 16, and so is the address.
    count : int
        Number of patches M.
    out : device array of float64, shape (B, N, N)
        Zeros. Receives X^T X.
    """
    images, pixels = xt.shape[0], xt.shape[1]
    tiles, steps = blocks(pixels, _SIDE) ** 2, blocks(blocks(count, 4), _STEP)
    # Enough blocks for one image to keep a device busy, as few as a batch allows.
    parts = max(blocks(steps * _STEP, _GRAM_WORDS), min(steps, blocks(_GRAM_WANTED, tiles * images)))
    words = blocks(steps, parts) * _STEP
    grid = tiles, blocks(steps * _STEP, words), images
    _gram_bytes[grid, _GRAM_WARPS * _LANES, stream()](xt.view(np.uint32), _i32(words), _i32(count), out)


# ----------------------------------------------------------------------------------------- quotients in float32

# Adding and subtracting it rounds a float32 to the nearest integer, which the sum has in its lowest bits.
_ROUNDER = _f32(1.5 * 2**23)

if SIMULATED:
    _least, _most = min, max

    def _bits(value):
        return _f32(value).view(_u32)

    def _float(bits):
        return _u32(bits).view(_f32)

else:  # min() and max() have a word to say about NaN
    _least, _most = cuda.libdevice.fminf, cuda.libdevice.fmaxf
    _bits, _float = cuda.libdevice.float_as_int, cuda.libdevice.int_as_float


@device_function
def _entries(word):
    """The signed bytes of a word as float32, made of the lowest bits of 2**23: conversions take eight times as long."""
    unsigned, exponent, offset = word ^ _u32(0x80808080), _u32(0x4B000000), _f32(2**23 + 128)
    return (
        _float(prmt(unsigned, exponent, _u32(0x7440))) - offset,
        _float(prmt(unsigned, exponent, _u32(0x7441))) - offset,
        _float(prmt(unsigned, exponent, _u32(0x7442))) - offset,
        _float(prmt(unsigned, exponent, _u32(0x7443))) - offset,
    )


@device_function
def _corrected(q, twice, denominator):
    """An integer next to a quotient, made the nearest one by twice the remainder that it leaves; halves to even."""
    odd = q - _f32(2) * _f32(math.floor(q * _f32(0.5)))
    if twice > denominator or (twice == denominator and odd != 0):
        return q + _f32(1)
    if twice < -denominator or (twice == -denominator and odd != 0):
        return q - _f32(1)
    return q


@device_function
def _divide_four(values, first, denominator, inverse, low, high, out):
    """`quotient` of four float32 from position `first` on, for bounds within a byte.

    A quotient of 2**22 or more is rounded to an even number: it is beyond the bounds, whatever the remainder says. The
    remainder is rarely half the denominator or more: one branch for all four.
    """
    worst = _f32(0)
    for i in range(4):
        q = (values[first + i] * inverse + _ROUNDER) - _ROUNDER
        rest = values[first + i] - q * denominator
        values[first + i] = rest + rest
        worst = _most(worst, abs(rest + rest))
        out[first + i] = q
    if worst >= denominator:
        for i in range(4):
            out[first + i] = _corrected(out[first + i], values[first + i], denominator)
    for i in range(4):
        out[first + i] = _least(_most(out[first + i], low), high)


# ------------------------------------------------------------------------------------------------------------ sweeps

# By how much the words of a row of a warp's tile change places for each of the two lowest bits of its number: eight
# words of each of four neighbouring rows are then in 32 different banks.
_TURN = 0 if SIMULATED else 8

# Words of a row of a warp's products: rows two apart begin eight banks apart.
_PITCH = 4 * _LANES + 4


# Components that are found at a time, at most. With five the loops over them are unrolled and all that they need is in
# registers; with seven the compiler gave up and put it into local memory.
_GROUP = 5
_ENTRIES = 4 * _GROUP


def _layout(rank: int) -> tuple[int, int]:
    """Components that are found at a time, and how often that is done."""
    groups = blocks(rank, _GROUP)
    return blocks(rank, groups), groups


@device_function
def _place(row, word):
    """Where a word of a row of a warp's tile is."""
    return _u32(_u32(row * _u32(_LANES)) + (word ^ _u32((row & _u32(3)) * _u32(_TURN))))


@device_function
def _fetch(tile, to, array, at, row, rows):
    """Begin to copy a lane's words to a tile: of the rows of an array from `row` on, every fourth one."""
    stride = _i64(array.shape[2])
    for i in range((rows + 3) // 4):
        if rows % 4 == 0 or row + _u32(4 * i) < _u32(rows):
            fetch_four(tile, to + _i64(4 * i * _LANES), array, at)
        at += _i64(4) * stride


# The two products of a sweep, by tensor cores. A warp has 128 patches: in its tile the 32 words of every row of X^T,
# and below them of U^T. In X V rows are patches and columns pixels, so that words must be turned around; a lane takes
# those of pixels t, t + 4, t + 8 and t + 12, whose banks differ from those of its neighbours, and the rows of V follow
# that order. In X^T U columns are patches, and words are taken as they are.


def _warp_project(tile, base, weights, rows, width, group, lane, products, start):
    """X V of a warp's patches and a group's components; component j is in row j of its products."""
    x = cuda.local.array(12, _u32)
    sums = cuda.local.array(8, _i32)
    t, g = _u32(lane & _u32(3)), _u32(lane >> _u32(2))
    place = _i64(group) * _i64(2 * rows) + _i64(lane * _u32(2))
    for part in range(4):
        word = _u32(_u32(8 * part) + g)
        at = _i64(base + _place(t, word))
        for i in range(8):
            sums[i] = _i32(0)
        for step in range(rows // 32):
            for j in range(2):
                for i in range(4):
                    x[8 + i] = get(tile, at + _i64((32 * step + 16 * j + 4 * i) * _LANES))
                x[4 * j], x[4 * j + 1], x[4 * j + 2], x[4 * j + 3] = transpose4(x[8], x[9], x[10], x[11])
            b0, b1 = get_pair(weights, place + _i64(64 * step))
            for k in range(2):  # the first two patches of every word, and the others
                c0, c1, c2, c3 = sums[4 * k], sums[4 * k + 1], sums[4 * k + 2], sums[4 * k + 3]
                c0, c1, c2, c3 = mma_us(x[2 * k], x[2 * k + 1], x[2 * k + 4], x[2 * k + 5], b0, b1, c0, c1, c2, c3)
                sums[4 * k], sums[4 * k + 1], sums[4 * k + 2], sums[4 * k + 3] = c0, c1, c2, c3
        to = _i64(start) + _i64(t * _u32(2 * _PITCH)) + _i64(word * _u32(4))
        for j in range(2):
            if t * _u32(2) + _u32(j) < _u32(width):
                put_four(products, to + _i64(j * _PITCH), sums[j], sums[2 + j], sums[4 + j], sums[6 + j])


def _lane_project(tile, base, weights, rows, width, group, lane, products, start):
    """`_warp_project` for the simulator, where threads do not work together: the patches of this lane alone."""
    words = np.array([weights[2 * rows * group + i] for i in range(2 * rows)], _u32).view(np.int8)
    v = words.reshape(rows // 32, 8, 4, 2, 4).transpose(0, 3, 4, 2, 1).reshape(rows, 8)
    words = np.array([tile[base + _place(_u32(n), lane)] for n in range(rows)], _u32)
    found = words.view(np.uint8).reshape(rows, 4).T.astype(_i32) @ v.astype(_i32)
    for j in range(width):
        for i in range(4):
            products[start + j * _PITCH + 4 * lane + i] = found[i, j]


def _warp_kept(rank: int) -> int:
    """Sums that a lane has of 16 rows of X^T U or U^T U."""
    return 4 * blocks(rank, _COLUMNS)


def _lane_kept(rank: int) -> int:
    """Counterpart of `_warp_kept` for the simulator."""
    return 16 * rank


# The rows of X^T and of U^T, strips of 16 of each: those of X first.


def _warp_correlate(tile, base, strip, pixels, rows, rank, lane, sums, start):
    """Add up a strip of the rows of the tile (U from row `rows` on) times U."""
    t, g = _u32(lane & _u32(3)), _u32(lane >> _u32(2))
    of_x, last = (pixels + 15) // 16, _u32(rank - 1)
    for part in range(4):
        word = _u32(_u32(8 * part) + t * _u32(2))
        if strip < of_x:
            at = _i64(base + _place(g, word)) + _i64(16 * strip * _LANES)
            a0, a2 = get_pair(tile, at)
            a1, a3 = get_pair(tile, at + _i64(8 * _LANES))
        else:
            first = _u32(_u32(16 * (strip - of_x)) + g)
            upper, lower = min(first, last), min(_u32(first + _u32(8)), last)
            a0, a2 = get_pair(tile, _i64(base + _place(_u32(_u32(rows) + upper), word)))
            a1, a3 = get_pair(tile, _i64(base + _place(_u32(_u32(rows) + lower), word)))
        for k in range((rank + _COLUMNS - 1) // _COLUMNS):
            row = _u32(_u32(rows) + min(_u32(_u32(_COLUMNS * k) + g), last))
            b0, b1 = get_pair(tile, _i64(base + _place(row, word)))
            at = start + 4 * k
            c0, c1, c2, c3 = sums[at], sums[at + 1], sums[at + 2], sums[at + 3]
            if strip < of_x:
                c0, c1, c2, c3 = mma_us(a0, a1, a2, a3, b0, b1, c0, c1, c2, c3)
            else:
                c0, c1, c2, c3 = mma_ss(a0, a1, a2, a3, b0, b1, c0, c1, c2, c3)
            sums[at], sums[at + 1], sums[at + 2], sums[at + 3] = c0, c1, c2, c3


def _warp_add(sums, start, strip, pixels, rank, lane, total):
    """Add the sums of a strip to those of the block, of X^T U and below it U^T U, and forget them."""
    t, g = _i32(lane & _u32(3)), _i32(lane >> _u32(2))
    of_x = (pixels + 15) // 16
    first, end = (16 * strip, pixels) if strip < of_x else (pixels + 16 * (strip - of_x), pixels + rank)
    for k in range((rank + _COLUMNS - 1) // _COLUMNS):
        for i in range(4):
            row, column = first + g + i // 2 * 8, _COLUMNS * k + 2 * t + i % 2
            if row < end and column < rank:
                cuda.atomic.add(total, _u32(row * rank + column), sums[start + 4 * k + i])
            sums[start + 4 * k + i] = _i32(0)


def _lane_correlate(tile, base, strip, pixels, rows, rank, lane, sums, start):
    """Counterpart of `_warp_correlate` for the simulator: the patches of this lane alone."""
    of_x = (pixels + 15) // 16
    first, end, kind = 16 * strip, pixels, np.uint8
    if strip >= of_x:
        first, end, kind = rows + 16 * (strip - of_x), rows + rank, np.int8
    u = np.array([tile[base + _place(_u32(rows + r), lane)] for r in range(rank)], _u32).view(np.int8)
    for i in range(min(16, end - first)):
        row = np.array([tile[base + _place(_u32(first + i), lane)]], _u32).view(kind)
        found = u.reshape(rank, 4).astype(_i32) @ row.astype(_i32)
        for r in range(rank):
            sums[start + i * rank + r] += found[r]


def _lane_add(sums, start, strip, pixels, rank, lane, total):
    """Counterpart of `_warp_add` for the simulator."""
    of_x = (pixels + 15) // 16
    first, end = (16 * strip, pixels) if strip < of_x else (pixels + 16 * (strip - of_x), pixels + rank)
    for i in range(min(16, end - first) * rank):
        cuda.atomic.add(total, first * rank + i, sums[start + i])
        sums[start + i] = _i32(0)


_project = device_function(_lane_project if SIMULATED else _warp_project)
_correlate = device_function(_lane_correlate if SIMULATED else _warp_correlate)
_add = device_function(_lane_add if SIMULATED else _warp_add)
_kept = _lane_kept if SIMULATED else _warp_kept


@device_function
def _put_weights(v, z, weights, rows, width, groups, pixels, rank, t, threads):
    """V in bytes as `_warp_project` takes it.

    Byte k of word j of lane 4 g + m of a step belongs to pixel 32 step + 16 j + 4 k + m and component g.
    """
    i = t
    while i < _u32(groups * 2 * rows):
        step, r = i // _u32(64), _u32((i >> _u32(3)) & _u32(7))
        n = _u32(step % _u32(rows // 32) * _u32(32) + (i & _u32(1)) * _u32(16) + ((i >> _u32(1)) & _u32(3)))
        c = _u32(step // _u32(rows // 32) * _u32(width) + r)
        word = _u32(0)
        if r < _u32(width) and c < _u32(rank):
            for k in range(4):
                if n + _u32(4 * k) < _u32(pixels):
                    word |= _u32(_u32(_i32(v[z, n + _u32(4 * k), c]) & _i32(255)) << _u32(8 * k))
        weights[i] = word
        i = _u32(i + _u32(threads))


@device_function
def _put_cross(weights, cross, rows, width, columns, t, threads):
    """V^T V from the weights; zero for components that only fill a group."""
    i = t
    while i < _u32(columns * columns):
        r, s = i // _u32(columns), i % _u32(columns)
        left = _u32(r // _u32(width) * _u32(2 * rows) + r % _u32(width) * _u32(8))
        right = _u32(s // _u32(width) * _u32(2 * rows) + s % _u32(width) * _u32(8))
        value = _i32(0)
        for step in range(rows // 32):
            for k in range(8):
                at = _u32(64 * step + k)
                value = dp4a_ss(weights[left + at], weights[right + at], value)
        cross[i] = _f32(value)
        i = _u32(i + _u32(threads))


@device_function
def _update(tile, base, products, start, cross, r0, lane, live, low, high, rows, width, columns, rank):
    """Update the components of a group, from r0 on, of a lane's four patches in the tile."""
    numerators = cuda.local.array(_ENTRIES, _f32)
    factors = cuda.local.array(_ENTRIES, _f32)
    for j in range(width):
        word = _u32(0)
        if rank % width == 0 or r0 + _u32(j) < _u32(rank):
            word = tile[base + _place(_u32(_u32(rows + j) + r0), lane)]
        n0, n1, n2, n3 = get_four(products, _i64(start) + _i64(lane * _u32(4)) + _i64(j * _PITCH))
        numerators[4 * j], numerators[4 * j + 1] = _f32(n0), _f32(n1)
        numerators[4 * j + 2], numerators[4 * j + 3] = _f32(n2), _f32(n3)
        u0, u1, u2, u3 = _entries(word)
        factors[4 * j], factors[4 * j + 1] = u0, u1
        factors[4 * j + 2], factors[4 * j + 3] = u2, u3
    # What the components of other groups stand for is the same for all of this group.
    s = _u32(0) if r0 else _u32(width)
    while s < _u32(rank):
        u0, u1, u2, u3 = _entries(tile[base + _place(_u32(_u32(rows) + s), lane)])
        at = _i64(_u32(s * _u32(columns)) + r0)
        for j in range(width):
            w = get(cross, at + _i64(j))
            numerators[4 * j] -= u0 * w
            numerators[4 * j + 1] -= u1 * w
            numerators[4 * j + 2] -= u2 * w
            numerators[4 * j + 3] -= u3 * w
        s = _u32(s + _u32(1))
        if s == r0:
            s = _u32(s + _u32(width))
    corner = _i64(r0) * _i64(columns + 1)
    for j in range(width):
        denominator = get(cross, corner + _i64(j * (columns + 1)))
        inverse = _f32(1) / denominator if denominator != _f32(0) else _f32(0)
        for s in range(width):
            if s != j:
                w = get(cross, corner + _i64(s * columns + j))
                for i in range(4):
                    numerators[4 * j + i] -= factors[4 * s + i] * w
        for i in range(4):
            factors[4 * j + i] = _least(_most(_f32(1), low), high)
        if denominator != _f32(0):
            _divide_four(numerators, 4 * j, denominator, inverse, low, high, factors)
        if rank % width == 0 or r0 + _u32(j) < _u32(rank):
            word = live & low_bytes(
                _bits(factors[4 * j] + _ROUNDER),
                _bits(factors[4 * j + 1] + _ROUNDER),
                _bits(factors[4 * j + 2] + _ROUNDER),
                _bits(factors[4 * j + 3] + _ROUNDER),
            )
            tile[base + _place(_u32(_u32(rows + j) + r0), lane)] = word


if SIMULATED:

    def _low_word(value):
        return np.array([value], _f64).view(_u32)[0]

    def _high_word(value):
        return np.array([value], _f64).view(_u32)[1]

    def _joined(high, low):
        return np.array([low, high], _u32).view(_f64)[0]

else:
    _low_word, _high_word = cuda.libdevice.double2loint, cuda.libdevice.double2hiint
    _joined = cuda.libdevice.hiloint2double


@device_function
def _held(words, index):
    """A float64 that is kept in two words."""
    return _joined(words[_u32(2) * index + _u32(1)], words[_u32(2) * index])


@device_function
def _hold(words, index, value):
    """Keep a float64 in two words."""
    words[_u32(2) * index], words[_u32(2) * index + _u32(1)] = _low_word(value), _high_word(value)


@device_function
def _weight(weights, rows, width, n, c):
    """Entry (n, c) of V from what `_put_weights` has made of it."""
    step = _u32(c // _u32(width) * _u32(rows // 32) + (n >> _u32(5)))
    at = _u32(step * _u32(64) + c % _u32(width) * _u32(8) + (n & _u32(3)) * _u32(2) + ((n >> _u32(4)) & _u32(1)))
    return np.int8((weights[at] >> _u32(((n >> _u32(2)) & _u32(3)) * _u32(8))) & _u32(255))


def _step_pitch(rank: int) -> int:
    """Sums of a row in `_update_v`; odd, so that threads with a row each read different banks."""
    return rank + 1 - rank % 2


def _step_words(pixels: int, rank: int) -> int:
    """Words that `_update_v` needs: for the sums, and the inverses of the denominators."""
    return 2 * ((pixels + rank) * _step_pitch(rank) + rank)


@device_function
def _update_v(sums, total, v, z, weights, tile, single, pixels, rank, pitch, width, rows, low, high, t, threads):
    """The step of V from the sums of all blocks, which are zero again afterwards; of this one, if it is single.

    The whole device waits for the last block. So a thread asks for four sums at a time, every sum is begun with the
    components that have yet to change, by all threads, and only quotients wait for each other.
    """
    held, first = (pixels + rank) * rank, _i64(z) * _i64((pixels + rank) * rank)
    inverses = (pixels + rank) * pitch
    values = cuda.local.array(4, _f64)
    i = t
    while i < _u32(held):
        for k in range(4):
            at = _u32(i + _u32(k * threads))
            if at < _u32(held):
                values[k] = _f64(total[at]) if single else _f64(get(sums, first + _i64(at)))
        for k in range(4):
            at = _u32(i + _u32(k * threads))
            if at < _u32(held):
                _hold(tile, _u32(at // _u32(rank) * _u32(pitch) + at % _u32(rank)), values[k])
                if not single:
                    put(sums, first + _i64(at), _i64(0))
        i = _u32(i + _u32(4 * threads))
    cuda.syncthreads()
    i = t
    while i < _u32(pixels * rank):  # V, turned around, where the block's own sums were
        total[i] = _weight(weights, rows, width, i % _u32(pixels), i // _u32(pixels))
        i = _u32(i + _u32(threads))
    r = _u32(_u32(threads - 1) - t)  # the last threads have the least to do
    while r < _u32(rank):
        d = _held(tile, _u32(_u32(_u32(pixels) + r) * _u32(pitch) + r))
        _hold(tile, _u32(_u32(inverses) + r), _f64(1) / d if d != _f64(0) else _f64(0))
        r = _u32(r + _u32(threads))
    cuda.syncthreads()
    i = t
    while i < _u32(pixels * rank):
        n, r = i % _u32(pixels), i // _u32(pixels)
        e = _held(tile, _u32(n * _u32(pitch) + r))
        s = _u32(r + _u32(1))
        while s < _u32(rank):
            weight = _held(tile, _u32(_u32(_u32(pixels) + s) * _u32(pitch) + r))
            e -= _f64(total[_u32(s * _u32(pixels)) + n]) * weight
            s = _u32(s + _u32(1))
        _hold(tile, _u32(n * _u32(pitch) + r), e)
        i = _u32(i + _u32(threads))
    cuda.syncthreads()
    n = t
    while n < _u32(pixels):
        r = _u32(0)
        while r < _u32(rank):
            row, e = _u32(_u32(_u32(pixels) + r) * _u32(pitch)), _u32(n * _u32(pitch))
            d, inverse = _held(tile, row + r), _held(tile, _u32(_u32(inverses) + r))
            value = min(max(_f64(1), _f64(low)), _f64(high))
            if d != _f64(0):
                value = quotient(_held(tile, e + r), d, inverse, _f64(low), _f64(high))
            v[z, n, r] = value
            s = _u32(r + _u32(1))
            while s < _u32(rank):
                _hold(tile, e + s, _held(tile, e + s) - value * _held(tile, row + s))
                s = _u32(s + _u32(1))
            r = _u32(r + _u32(1))
        n = _u32(n + _u32(threads))


# Sums of X^T U and U^T U that a lane keeps over all tiles, at most; more of them go to shared memory tile by tile. With
# the 36 of 128 pixels the loop over strips is not unrolled any more, and they would be in local memory. (At 64 pixels
# and rank 20, with 72, one loop for X^T and one for U^T are, for 6% fewer instructions.)
_MOST_KEPT = 32


def _rows(pixels: int) -> int:
    """Rows that X^T has in a tile: those beyond its pixels meet weights of zero, and nobody takes their X^T U."""
    return 32 * blocks(pixels, 32)


def _cells(pixels: int, rank: int, warps: int) -> int:
    """Words of the tiles of a block of `sweep`, which hold what the step of V needs afterwards."""
    return max(warps * (_rows(pixels) + rank) * _LANES, _step_words(pixels, rank))


def _shared_bytes(pixels: int, rank: int, warps: int) -> int:
    """Shared memory of a block of `sweep`."""
    width, groups = _layout(rank)
    products, weights = warps * width * _PITCH, groups * 2 * _rows(pixels)
    cross = (groups * width) ** 2
    return 4 * (_cells(pixels, rank, warps) + products + weights + cross + (pixels + rank) * rank + 1)


@template(
    "void(uint32[:,:,::1], float64[:,:,::1], uint32[:,:,::1], int64[:,:,::1], int32[::1], int32, int32, float32, "
    "float32)",
    (16, 1, 4),
    (64, 2, 4),
    (64, 5, 4),
    (64, 20, 2),
    (192, 12, 1),
)
def _sweep(pixels, rank, warps):
    """One sweep over the patches of matrices with so many pixels and components; each lane has four patches.

    Warps are on their own: each copies the words of 128 patches of X^T and U^T to its tile, multiplies them with V,
    updates U, a lane its four patches, and multiplies the tile with U. Numerators and U are float32 in between, which
    holds them exactly and is twice as fast as int32. A third of the time they wait for their tiles; to have the L2
    cache read the next ones meanwhile made ten sweeps over 256 pictures take 632 us instead of 612.
    """
    width, groups = _layout(rank)
    pitch = _step_pitch(rank)
    rows, quads, cells = _rows(pixels), warps * _LANES, _cells(pixels, rank, warps)
    strips, part = blocks(pixels, 16) + blocks(rank, 16), _kept(rank)
    alone = strips * part <= _MOST_KEPT
    kept_words = strips * part if alone else part
    columns = groups * width
    weighed, squared, held = groups * 2 * rows, columns * columns, (pixels + rank) * rank
    chunks, tile_words, product_words = _LANES // 4, (rows + rank) * _LANES, width * _PITCH
    all_products, fours_of_u = warps * product_words, blocks(rank, 4)

    def sweep(xt, v, ut, sums, tickets, count, tiles, low, high):
        if SIMULATED:
            tile = cuda.shared.array(cells, _u32)
            products = cuda.shared.array(all_products, _i32)
            weights = cuda.shared.array(weighed, _u32)
        else:  # two or four words are read at once
            tile = cuda.shared.array(cells, _u32, alignment=16)
            products = cuda.shared.array(all_products, _i32, alignment=16)
            weights = cuda.shared.array(weighed, _u32, alignment=16)
        cross = cuda.shared.array(squared, _f32)
        total = cuda.shared.array(held, _i32)
        ticket = cuda.shared.array(1, _i32)
        kept = cuda.local.array(kept_words, _i32)
        t, z = _u32(cuda.threadIdx.x), _u32(cuda.blockIdx.y)
        lane, warp = _u32(t & _u32(_LANES - 1)), _u32(t // _u32(_LANES))
        base, start = _u32(warp * _u32(tile_words)), _u32(warp * _u32(product_words))
        for i in range(kept_words):
            kept[i] = _i32(0)

        # Each lane copies sixteen bytes of every fourth row of X^T and of U^T. What lies beyond a row is multiplied by
        # zeros of U.
        across, stride = _u32(xt.shape[2]), _i64(xt.shape[2])
        row, word = lane // _u32(chunks), _u32(_u32(lane % _u32(chunks)) * _u32(4) + _u32(warp * _u32(_LANES)))
        to = _i64(base + _place(row, word & _u32(_LANES - 1)))
        to_u = to + _i64(rows * _LANES)
        x_row = (_i64(z) * _i64(pixels) + _i64(row)) * stride
        u_row = (_i64(z) * _i64(rank) + _i64(row)) * stride
        first = _i32(cuda.blockIdx.x * tiles)
        stop = min(_i32(first + tiles), _i32((count + 4 * quads - 1) // (4 * quads)))
        source = _u32(_u32(first) * _u32(quads) + word)
        if source < across:
            _fetch(tile, to, xt, x_row + _i64(source), row, pixels)
        await_previous()  # it may still be at work on V and on U
        if source < across:
            _fetch(tile, to_u, ut, u_row + _i64(source), row, rank)

        _put_weights(v, z, weights, rows, width, groups, pixels, rank, t, quads)
        i = t
        while i < _u32(held):
            total[i] = _i32(0)
            i = _u32(i + _u32(quads))
        cuda.syncthreads()
        _put_cross(weights, cross, rows, width, columns, t, quads)
        cuda.syncthreads()

        for k in range(first, stop):
            live = _live(_i32(count - _i32(4) * _i32(_u32(_u32(k) * _u32(quads) + t))))
            wait_for_fours()
            _meet()

            for group in range(groups):
                r0 = _u32(group * width)
                _project(tile, base, weights, rows, width, group, lane, products, start)
                _meet()
                _update(tile, base, products, start, cross, r0, lane, live, low, high, rows, width, columns, rank)
                _meet()
            if source < across:
                at = u_row + _i64(source)
                for i in range(fours_of_u):
                    if row + _u32(4 * i) < _u32(rank):
                        w0, w1, w2, w3 = get_four(tile, to_u + _i64(4 * i * _LANES))
                        put_four(ut, at, w0, w1, w2, w3)
                    at += _i64(4) * stride

            for strip in range(strips):
                at = strip * part if alone else 0
                _correlate(tile, base, strip, pixels, rows, rank, lane, kept, at)
                if not alone:
                    _add(kept, at, strip, pixels, rank, lane, total)
            _meet()
            source = _u32(_u32(k + 1) * _u32(quads) + word)
            if k + 1 < stop and source < across:
                _fetch(tile, to, xt, x_row + _i64(source), row, pixels)
                _fetch(tile, to_u, ut, u_row + _i64(source), row, rank)
        begin_next()
        if alone:
            for strip in range(strips):
                _add(kept, strip * part, strip, pixels, rank, lane, total)
        cuda.syncthreads()

        # The block that finishes last sees all sums of its matrix, and takes the step of V.
        single = cuda.gridDim.x == 1
        if not single:
            i = t
            while i < _u32(held):
                cuda.atomic.add(sums, (z, i // _u32(rank), i % _u32(rank)), _i64(total[i]))
                i = _u32(i + _u32(quads))
            cuda.syncthreads()
            if t == _u32(0):
                cuda.threadfence()
                ticket[0] = cuda.atomic.add(tickets, z, _i32(1))
                cuda.threadfence()
            cuda.syncthreads()
        if single or ticket[0] == _i32(cuda.gridDim.x) - _i32(1):
            _update_v(sums, total, v, z, weights, tile, single, pixels, rank, pitch, width, rows, low, high, t, quads)
            if t == _u32(0) and not single:
                tickets[z] = _i32(0)

    return sweep


#: Warps of a block of `sweep`, the most that shared memory allows.
_WARPS = (1,) if SIMULATED else (4, 2, 1)

# Multiprocessors, and what one has for blocks of `sweep`: registers for sixteen warps, and bytes of shared memory, of
# which the driver takes some for each block. (Compute capability 9.0; where there is less, blocks wait for others.)
_PROCESSORS, _WARPS_EACH, _SHARED_EACH, _TAKEN = 132, 16, 227 * 1024, 1024


def _wanted(pixels: int, rank: int, warps: int) -> int:
    """Blocks of `sweep` that are on the device at a time: a second turn would often leave most of it idle."""
    fit = _SHARED_EACH // (_shared_bytes(pixels, rank, warps) + _TAKEN)
    return _PROCESSORS * max(1, min(_WARPS_EACH // warps, fit))


def warps_for(pixels: int, rank: int) -> int:
    """Warps of a block of `sweep`.

    Parameters
    ----------
    pixels : int
        Rows N of X^T.
    rank : int
        Number of components R.

    Returns
    -------
    int
        Zero where shared memory does not suffice for one.
    """
    return next((warps for warps in _WARPS if _shared_bytes(pixels, rank, warps) <= SHARED_BYTES), 0)


def sweep(
    xt: Any,
    v: Any,
    ut: Any,
    sums: Any,
    tickets: Any,
    count: int,
    low: float,
    high: float,
    sweeps: int = 1,
) -> None:
    """`update_u` and then `update_columns` of V in one launch, as often as wanted, for uint8 X and int8 factors.

    The sums of the U step must be exact in float32 (:func:`imfnb.factorization.bounds.exact_in_float32`) and
    :func:`warps_for` must not be zero.

    Parameters
    ----------
    xt : device array of uint32, shape (B, N, S / 4)
        X^T, four patches in a word; S is a multiple of 16, and so is the address.
    v : device array of float64, shape (B, N, R)
        V, integers; changed in place.
    ut : device array of uint32, shape (B, R, S / 4)
        U^T, four patches of int8 in a word; changed in place.
    sums : device array of int64, shape (B, N + R, R)
        Zeros, and zeros again afterwards: for X^T U and below it U^T U.
    tickets : device array of int32, shape (B,)
        Zeros, and zeros again afterwards.
    count : int
        Number of patches M.
    low, high : float
        Bounds of the entries.
    sweeps : int
        Number of sweeps.
    """
    images, pixels, rank = v.shape
    warps = warps_for(pixels, rank)
    patches = 4 * _LANES * warps
    tiles = blocks(count, patches)
    # A block's sums over 255 * 128 times its patches must stay below 2**31.
    each = min(2**16 // patches, blocks(tiles, max(1, _wanted(pixels, rank, warps) // images)))
    grid = blocks(tiles, each), images
    arguments = xt, v, ut, sums, tickets, _i32(count), _i32(each), _f32(low), _f32(high)
    _sweep(pixels, rank, warps).repeat(sweeps, (grid, patches // 4, stream()), *arguments)
