"""Block coordinate descent as CUDA kernels; same names and, for integer X, same bits as `reference`, for batches.

All arrays lie on the device and have a leading axis B of equal-shaped matrices, which are handled in one launch. Rows
of X^T and U^T have S >= M entries; what those from M on hold has no influence.

Why the bits are the same. CUDA fuses multiplications with additions and offers no switch, so nothing here may depend
on how an intermediate result is rounded; nothing does, because none is. For integer X every product and every partial
sum is an integer that its type holds exactly: below 2**24 in float32 (`sweep` within a tile of patches, `gram` within
a strip), below 2**31 in int32 (the sums of `sweep` over a block), below 2**53 in float64 (everything else). Fused or
not, in whatever order, an exact sum is the same sum. Quotients are rounded exactly through their remainder, which is
such an integer too.
For X that is not integer the sums of `update_u` and `gram` are rounded. They are then added in one fixed order, that of
the patches in chunks of :data:`CHUNK`, without atomics: the result is the same in every run, but may differ from the
CPU's in the last bits, as the CPU's does from the reference's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._cuda import SIMULATED, blocks, cuda, device_function, kernel, template

__all__ = ["CHUNK", "gram", "quads_for", "sweep", "update_column", "update_columns", "update_u"]

#: Patches whose sums are added up by one block of `update_u` and `gram` before they meet those of other blocks.
CHUNK = 4096

# Threads of a block where a thread has a row, a patch or an entry to itself. The simulator starts as many of Python's.
_THREADS = 8 if SIMULATED else 128

# Tile of `_accumulate`: 64 x 32 sums, 4 x 2 for each thread, from strips of 32 patches in shared memory.
_HEIGHT, _WIDTH, _STRIP = (16, 8, 8) if SIMULATED else (64, 32, 32)
_DOWN, _ACROSS = _HEIGHT // 4, _WIDTH // 2

# Shared memory that every device gives a block without being asked.
_SHARED = 48 * 1024

_f32, _f64, _i32, _i64, _u8, _u32 = np.float32, np.float64, np.int32, np.int64, np.uint8, np.uint32


# ------------------------------------------------------------------------------------------------------ exact rounding


@device_function
def _quotient64(numerator, denominator, low, high):
    """clamp(rint(numerator / denominator)) in float64, exactly: halves to even, for any integers that it holds.

    Multiplying by the inverse and taking the floor is off by at most one, which the remainder reveals. (There is no
    np.rint here, and round() goes through 64-bit integers.)
    """
    q = _f64(math.floor(numerator * (_f64(1) / denominator) + _f64(0.5)))
    rest = numerator - q * denominator
    odd = q - _f64(2) * _f64(math.floor(q * _f64(0.5)))
    if rest + rest > denominator or (rest + rest == denominator and odd != 0):
        q += _f64(1)
    elif rest + rest < -denominator or (rest + rest == -denominator and odd != 0):
        q -= _f64(1)
    return min(max(q, low), high)


@device_function
def _quotient32(numerator, denominator, inverse, low, high):
    """Twin of `_quotient64` in float32."""
    q = _f32(math.floor(numerator * inverse + _f32(0.5)))
    rest = numerator - q * denominator
    odd = q - _f32(2) * _f32(math.floor(q * _f32(0.5)))
    if rest + rest > denominator or (rest + rest == denominator and odd != 0):
        q += _f32(1)
    elif rest + rest < -denominator or (rest + rest == -denominator and odd != 0):
        q -= _f32(1)
    return min(max(q, low), high)


# -------------------------------------------------------------------------------------------- sums of products of rows


@template(
    "void({0}[:,:,::1], {1}[:,:,::1], int64, int64, float64[:,:,:,::1])",
    ("uint8", "uint8"),
    ("float64", "float64"),
    ("uint8", "int8"),
    ("int8", "int8"),
    ("float64", "int64"),
    ("int64", "int64"),
)
def _accumulate(left_dtype, right_dtype):
    """Sums over a chunk of patches of left[b, e, m] * right[b, k, m], in the order of the patches."""
    # 32 products of two bytes add up to less than 2**24: within a strip float32 is exact, at twice the speed or more.
    small = ("uint8", "int8")
    working = _f32 if left_dtype in small and right_dtype in small else _f64
    chunk, height, width, strip, down, across = CHUNK, _HEIGHT, _WIDTH, _STRIP, _DOWN, _ACROSS
    threads, stride = down * across, strip + 1

    def accumulate(left, right, count, tiles_across, partial):
        a = cuda.shared.array((height, stride), working)
        b = cuda.shared.array((width, stride), working)
        t = cuda.threadIdx.x
        down_t, across_t = t // across, t % across
        e0, k0 = cuda.blockIdx.x // tiles_across * height, cuda.blockIdx.x % tiles_across * width
        z = cuda.blockIdx.z
        first = cuda.blockIdx.y * chunk
        last = min(first + chunk, count)
        s00 = s10 = s20 = s30 = s01 = s11 = s21 = s31 = _f64(0)
        for m0 in range(first, last, strip):
            for i in range(t, height * strip, threads):
                e, m = e0 + i // strip, m0 + i % strip
                inside = e < left.shape[1] and m < last
                a[i // strip, i % strip] = working(left[z, e, m]) if inside else working(0)
            for i in range(t, width * strip, threads):
                k, m = k0 + i // strip, m0 + i % strip
                inside = k < right.shape[1] and m < last
                b[i // strip, i % strip] = working(right[z, k, m]) if inside else working(0)
            cuda.syncthreads()
            t00 = t10 = t20 = t30 = t01 = t11 = t21 = t31 = working(0)
            for m in range(strip):
                x0, x1 = a[down_t, m], a[down_t + down, m]
                x2, x3 = a[down_t + 2 * down, m], a[down_t + 3 * down, m]
                y0, y1 = b[across_t, m], b[across_t + across, m]
                t00, t10, t20, t30 = t00 + x0 * y0, t10 + x1 * y0, t20 + x2 * y0, t30 + x3 * y0
                t01, t11, t21, t31 = t01 + x0 * y1, t11 + x1 * y1, t21 + x2 * y1, t31 + x3 * y1
            s00, s10, s20, s30 = s00 + t00, s10 + t10, s20 + t20, s30 + t30
            s01, s11, s21, s31 = s01 + t01, s11 + t11, s21 + t21, s31 + t31
            cuda.syncthreads()
        for j in range(2):
            k = k0 + across_t + j * across
            if k < partial.shape[3]:
                for i in range(4):
                    e = e0 + down_t + i * down
                    if e < partial.shape[2]:
                        upper = (s00 if i == 0 else s10) if i < 2 else (s20 if i == 2 else s30)
                        lower = (s01 if i == 0 else s11) if i < 2 else (s21 if i == 2 else s31)
                        partial[cuda.blockIdx.y, z, e, k] = upper if j == 0 else lower

    return accumulate


@kernel("void(float64[:,:,:,::1], float64[:,:,::1])")
def _reduce(partial, out):
    """Add the chunks' sums in their order."""
    i = cuda.grid(1)
    z = cuda.blockIdx.y
    if i >= out.shape[1] * out.shape[2]:
        return
    e, k = i // out.shape[2], i % out.shape[2]
    total = _f64(0)
    for c in range(partial.shape[0]):
        total += partial[c, z, e, k]
    out[z, e, k] = total


def _products(left: Any, right: Any, count: int, stream: Any) -> Any:
    """left right^T over the first `count` columns: (B, E, S) and (B, K, S) to (B, E, K) in float64."""
    images, height, width = left.shape[0], left.shape[1], right.shape[1]
    chunks = blocks(count, CHUNK)
    partial = cuda.device_array((chunks, images, height, width), _f64, stream=stream)
    across = blocks(width, _WIDTH)
    grid = blocks(height, _HEIGHT) * across, chunks, images
    member = _accumulate(str(left.dtype), str(right.dtype))
    member[grid, _DOWN * _ACROSS, stream](left, right, count, across, partial)
    if chunks == 1:
        return partial.reshape(images, height, width)
    out = cuda.device_array((images, height, width), _f64, stream=stream)
    _reduce[(blocks(height * width, _THREADS), images), _THREADS, stream](partial, out)
    return out


def gram(xt: Any, count: int, stream: Any = 0) -> Any:
    """Twin of :func:`imfnb.factorization.reference.gram` for a batch.

    Parameters
    ----------
    xt : device array of uint8 or float64, shape (B, N, S)
        X^T.
    count : int
        Number of patches M.
    stream : stream, optional
        Where to launch.

    Returns
    -------
    device array of float64, shape (B, N, N)
        X^T X.
    """
    return _products(xt, xt, count, stream)


# -------------------------------------------------------------------------------------------- any matrix, any bounds


@kernel("void(float64[:,:,::1], float64[:,:,::1], float64[:,:,::1], int64, int64, float64, float64)")
def _update_columns(a, b, factor, first, stop, low, high):
    """A thread for each row of the factor."""
    i = cuda.grid(1)
    z = cuda.blockIdx.y
    if i >= factor.shape[1]:
        return
    for r in range(first, stop):
        denominator = b[z, r, r]
        if denominator == 0:
            factor[z, i, r] = min(max(_f64(1), low), high)
            continue
        numerator = a[z, i, r]
        for s in range(factor.shape[2]):
            if s != r:
                numerator -= factor[z, i, s] * b[z, s, r]
        factor[z, i, r] = _quotient64(numerator, denominator, low, high)


def update_columns(a: Any, b: Any, factor: Any, low: float, high: float, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.factorization.reference.update_columns` for a batch: (B, M, R), (B, R, R), (B, M, R)."""
    grid = blocks(factor.shape[1], _THREADS), factor.shape[0]
    _update_columns[grid, _THREADS, stream](a, b, factor, 0, factor.shape[2], low, high)


def update_column(a: Any, b: Any, factor: Any, r: int, low: float, high: float, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.factorization.reference.update_column` for a batch."""
    grid = blocks(factor.shape[1], _THREADS), factor.shape[0]
    _update_columns[grid, _THREADS, stream](a, b, factor, r, r + 1, low, high)


@kernel("void(float64[:,:,::1], float64[:,:,::1])")
def _cross(v, out):
    """V^T V, a thread for each entry; v (B, N, R)."""
    i = cuda.grid(1)
    z = cuda.blockIdx.y
    rank = v.shape[2]
    if i >= rank * rank:
        return
    r, s = i // rank, i % rank
    total = _f64(0)
    for n in range(v.shape[1]):
        total += v[z, n, r] * v[z, n, s]
    out[z, r, s] = total


@kernel(
    *(
        f"void({x}[:,:,::1], float64[:,:,::1], float64[:,:,::1], {u}[:,:,::1], int64, float64, float64)"
        for x in ("uint8", "float64")
        for u in ("int8", "int16", "int32", "int64")
    )
)
def _update_u(xt, v, b, ut, count, low, high):
    """A thread for each patch: the product with V and the update, component by component."""
    m = cuda.grid(1)
    z = cuda.blockIdx.y
    if m >= count:
        return
    for r in range(ut.shape[1]):
        denominator = b[z, r, r]
        if denominator == 0:
            ut[z, r, m] = _i64(min(max(_f64(1), low), high))
            continue
        numerator = _f64(0)
        for n in range(xt.shape[1]):
            numerator += _f64(xt[z, n, m]) * v[z, n, r]
        for s in range(ut.shape[1]):
            if s != r:
                numerator -= _f64(ut[z, s, m]) * b[z, s, r]
        ut[z, r, m] = _i64(_quotient64(numerator, denominator, low, high))


def update_u(xt: Any, v: Any, ut: Any, count: int, low: float, high: float, stream: Any = 0) -> tuple[Any, Any]:
    """Twin of :func:`imfnb.factorization.reference.update_u` for a batch of any shape, rank and bounds, in float64.

    Parameters
    ----------
    xt : device array of uint8 or float64, shape (B, N, S)
        X^T.
    v : device array of float64, shape (B, N, R)
        V, integers.
    ut : device array of integer, shape (B, R, S)
        U^T; changed in place.
    count : int
        Number of patches M.
    low, high : float
        Bounds of the entries.
    stream : stream, optional
        Where to launch.

    Returns
    -------
    xtu : device array of float64, shape (B, N, R)
        X^T U with the new U.
    utu : device array of float64, shape (B, R, R)
        U^T U with the new U.
    """
    images, rank = ut.shape[0], ut.shape[1]
    b = cuda.device_array((images, rank, rank), _f64, stream=stream)
    _cross[(blocks(rank * rank, _THREADS), images), _THREADS, stream](v, b)
    _update_u[(blocks(count, _THREADS), images), _THREADS, stream](xt, v, b, ut, count, low, high)
    return _products(xt, ut, count, stream), _products(ut, ut, count, stream)


# -------------------------------------------------------------------------------- patches of bytes, factors of bytes


@device_function
def _unsigned(word, shift):
    """A byte of a word, 0 to 255, as float32."""
    return _f32(_u8((word >> shift) & _u32(255)))


@device_function
def _signed(word, shift):
    """A byte of a word, -128 to 127, as float32."""
    return _f32(np.int8((word >> shift) & _u32(255)))


@device_function
def _byte(value, live):
    """An integer of one byte as the lowest bits of a word, or 0."""
    return _u32(_i32(value) & _i32(255)) if live else _u32(0)


def _layout(rank: int) -> tuple[int, int]:
    """Components that a thread handles at once, at most five, and their number padded to a multiple of it.

    With five the loops over them are unrolled and their sums are in registers; with seven the compiler gave up and
    put them into local memory.
    """
    parts = blocks(rank, 5)
    width = blocks(rank, parts)
    return width, parts * width


def _shared_bytes(pixels: int, rank: int, quads: int) -> int:
    """Shared memory of a block of `sweep`."""
    rows, columns = pixels + rank + 1, _layout(rank)[1]
    return 4 * (rows * (quads + 1) + pixels * columns + rank * rank + rows * rank + 1)


@template(
    "void(uint32[:,:,::1], float64[:,:,::1], uint32[:,:,::1], int64[:,:,::1], int32[::1], int64, int64, float32, "
    "float32, boolean)",
    (16, 1, 64),
    (64, 5, 64),
    (64, 20, 64),
    (192, 12, 32),
)
def _sweep(pixels, rank, quads):
    """One sweep over the patches of matrices with so many pixels and components; each thread has four patches.

    A tile of 4 * `quads` patches is in shared memory as words of four bytes: X^T, below it U^T, and a row of ones. Each
    thread updates U of its four patches, so that an entry of V or V^T V read from shared memory serves four times. Then
    the tile is multiplied with U: all rows of X^T U and U^T U in one loop, a thread taking 4 rows by at most 5
    components. There U stands for U + 128 on the left, which is a byte like those of X; the row of ones gives what to
    take off again.
    """
    width, columns = _layout(rank)
    rows, stride, sums_held = pixels + rank + 1, quads + 1, 4 * width
    groups = blocks(rows, 4)
    items = groups * (columns // width)
    subsets = max(1, quads // items)
    ones, bias = 0x01010101, 0x80808080
    b0, b1, b2, b3 = _u32(0), _u32(8), _u32(16), _u32(24)

    def sweep(xt, v, ut, sums, tickets, count, tiles, low, high, finish):
        tile = cuda.shared.array((rows, stride), _u32)
        basis = cuda.shared.array((pixels, columns), _f32)
        cross = cuda.shared.array((rank, rank), _f32)
        total = cuda.shared.array((rows, rank), _i32)
        ticket = cuda.shared.array(1, _i32)
        a = cuda.local.array(sums_held, _f32)
        t = cuda.threadIdx.x
        z = cuda.blockIdx.y

        for i in range(t, pixels * columns, quads):
            n, r = i // columns, i % columns
            basis[n, r] = _f32(v[z, n, r]) if r < rank else _f32(0)
        for i in range(t, rows * rank, quads):
            total[i // rank, i % rank] = _i32(0)
        tile[rows - 1, t] = _u32(ones)
        cuda.syncthreads()
        for i in range(t, rank * rank, quads):
            value = _f32(0)
            for n in range(pixels):
                value += basis[n, i // rank] * basis[n, i % rank]
            cross[i // rank, i % rank] = value
        cuda.syncthreads()

        first = cuda.blockIdx.x * tiles
        stop = min(first + tiles, (count + 4 * quads - 1) // (4 * quads))
        for k in range(first, stop):
            q = k * quads + t
            inside = q < xt.shape[2]
            for n in range(pixels):
                tile[n, t] = xt[z, n, q] if inside else _u32(0)
            for r in range(rank):
                tile[pixels + r, t] = ut[z, r, q] if inside else _u32(0)

            for r0 in range(0, columns, width):
                for i in range(sums_held):
                    a[i] = _f32(0)
                for n in range(pixels):
                    word = tile[n, t]
                    x0, x1, x2, x3 = _unsigned(word, b0), _unsigned(word, b1), _unsigned(word, b2), _unsigned(word, b3)
                    for j in range(width):
                        w = basis[n, r0 + j]
                        a[4 * j] += x0 * w
                        a[4 * j + 1] += x1 * w
                        a[4 * j + 2] += x2 * w
                        a[4 * j + 3] += x3 * w
                for j in range(width):
                    r = r0 + j
                    if r < rank:
                        denominator = cross[r, r]
                        n0, n1, n2, n3 = a[4 * j], a[4 * j + 1], a[4 * j + 2], a[4 * j + 3]
                        if denominator == _f32(0):
                            n0 = n1 = n2 = n3 = min(max(_f32(1), low), high)
                        else:
                            for s in range(rank):
                                if s != r:
                                    w = cross[s, r]
                                    word = tile[pixels + s, t]
                                    n0 -= _signed(word, b0) * w
                                    n1 -= _signed(word, b1) * w
                                    n2 -= _signed(word, b2) * w
                                    n3 -= _signed(word, b3) * w
                            inverse = _f32(1) / denominator
                            n0 = _quotient32(n0, denominator, inverse, low, high)
                            n1 = _quotient32(n1, denominator, inverse, low, high)
                            n2 = _quotient32(n2, denominator, inverse, low, high)
                            n3 = _quotient32(n3, denominator, inverse, low, high)
                        m = 4 * q
                        word = _u32(
                            _byte(n0, m < count)
                            | (_byte(n1, m + 1 < count) << b1)
                            | (_byte(n2, m + 2 < count) << b2)
                            | (_byte(n3, m + 3 < count) << b3)
                        )
                        tile[pixels + r, t] = word
                        if inside:
                            ut[z, r, q] = word
            cuda.syncthreads()

            for i in range(t, items * subsets, quads):
                item, subset = i % items, i // items
                c0 = item // groups * width
                e0 = item % groups
                e1, e2, e3 = e0 + groups, e0 + 2 * groups, min(e0 + 3 * groups, rows - 1)
                e2 = min(e2, rows - 1)
                m0 = _u32(bias) if pixels <= e0 < rows - 1 else _u32(0)
                m1 = _u32(bias) if pixels <= e1 < rows - 1 else _u32(0)
                m2 = _u32(bias) if pixels <= e2 < rows - 1 else _u32(0)
                m3 = _u32(bias) if pixels <= e3 < rows - 1 else _u32(0)
                for j in range(sums_held):
                    a[j] = _f32(0)
                for p in range(subset, quads, subsets):
                    w0, w1, w2, w3 = tile[e0, p] ^ m0, tile[e1, p] ^ m1, tile[e2, p] ^ m2, tile[e3, p] ^ m3
                    for j in range(width):
                        word = tile[pixels + min(c0 + j, rank - 1), p]
                        u0, u1, u2, u3 = _signed(word, b0), _signed(word, b1), _signed(word, b2), _signed(word, b3)
                        a[4 * j] += _unsigned(w0, b0) * u0 + _unsigned(w0, b1) * u1 + _unsigned(w0, b2) * u2
                        a[4 * j] += _unsigned(w0, b3) * u3
                        a[4 * j + 1] += _unsigned(w1, b0) * u0 + _unsigned(w1, b1) * u1 + _unsigned(w1, b2) * u2
                        a[4 * j + 1] += _unsigned(w1, b3) * u3
                        a[4 * j + 2] += _unsigned(w2, b0) * u0 + _unsigned(w2, b1) * u1 + _unsigned(w2, b2) * u2
                        a[4 * j + 2] += _unsigned(w2, b3) * u3
                        a[4 * j + 3] += _unsigned(w3, b0) * u0 + _unsigned(w3, b1) * u1 + _unsigned(w3, b2) * u2
                        a[4 * j + 3] += _unsigned(w3, b3) * u3
                for j in range(width):
                    if c0 + j < rank:
                        cuda.atomic.add(total, (e0, c0 + j), _i32(a[4 * j]))
                        cuda.atomic.add(total, (e1, c0 + j), _i32(a[4 * j + 1]))
                        if e0 + 2 * groups < rows:
                            cuda.atomic.add(total, (e2, c0 + j), _i32(a[4 * j + 2]))
                        if e0 + 3 * groups < rows:
                            cuda.atomic.add(total, (e3, c0 + j), _i32(a[4 * j + 3]))
            cuda.syncthreads()

        for i in range(t, (pixels + rank) * rank, quads):
            e, r = i // rank, i % rank
            value = _i64(total[e, r])
            if e >= pixels:
                value -= _i64(128) * _i64(total[rows - 1, r])
            cuda.atomic.add(sums, (z, e, r), value)

        # The block that finishes last sees all sums of its matrix, and takes the step of V.
        cuda.threadfence()
        cuda.syncthreads()
        if t == 0:
            ticket[0] = cuda.atomic.add(tickets, z, _i32(1))
        cuda.syncthreads()
        if ticket[0] == cuda.gridDim.x - 1:
            cuda.threadfence()
            if finish:
                for n in range(t, pixels, quads):
                    for r in range(rank):
                        d = _f64(sums[z, pixels + r, r])
                        if d == _f64(0):
                            v[z, n, r] = min(max(_f64(1), _f64(low)), _f64(high))
                        else:
                            e = _f64(sums[z, n, r])
                            for s in range(rank):
                                if s != r:
                                    e -= v[z, n, s] * _f64(sums[z, pixels + s, r])
                            v[z, n, r] = _quotient64(e, d, _f64(low), _f64(high))
                cuda.syncthreads()
                for i in range(t, (pixels + rank) * rank, quads):
                    sums[z, i // rank, i % rank] = _i64(0)
            if t == 0:
                tickets[z] = _i32(0)

    return sweep


#: Threads of a block of `sweep`, the most that shared memory allows.
_QUADS = (4,) if SIMULATED else (64, 32)

# Tiles that a block may handle before a sum of 255 * 128 over its patches could pass 2**31.
_TILES = 256

# Blocks of `sweep` that keep a device busy: with 20 to 40 KiB of shared memory each, about five fit a multiprocessor.
_WANTED = 8 * 132


def quads_for(pixels: int, rank: int) -> int | None:
    """Threads of a block of `sweep` for matrices with so many pixels and components; None where none fits."""
    return next((quads for quads in _QUADS if _shared_bytes(pixels, rank, quads) <= _SHARED), None)


def sweep(
    xt: Any,
    v: Any,
    ut: Any,
    sums: Any,
    tickets: Any,
    count: int,
    low: float,
    high: float,
    finish: bool = True,
    stream: Any = 0,
) -> None:
    """`update_u` and then `update_columns` of V in one launch, for uint8 X and int8 factors.

    The sums of the U step must be exact in float32 (:func:`imfnb.factorization.exact_in_float32`) and
    :func:`quads_for` must not be None.

    Parameters
    ----------
    xt : device array of uint32, shape (B, N, S / 4)
        X^T, four patches in a word.
    v : device array of float64, shape (B, N, R)
        V, integers; changed in place if `finish`.
    ut : device array of uint32, shape (B, R, S / 4)
        U^T, four patches of int8 in a word; changed in place.
    sums : device array of int64, shape (B, N + R, R)
        Zeros. Receives X^T U and below it U^T U, and is zero again afterwards if `finish`.
    tickets : device array of int32, shape (B,)
        Zeros, and zeros again afterwards.
    count : int
        Number of patches M.
    low, high : float
        Bounds of the entries.
    finish : bool
        Whether to take the step of V too.
    stream : stream, optional
        Where to launch.
    """
    images, pixels, rank = v.shape
    quads = quads_for(pixels, rank)
    tiles = blocks(count, 4 * quads)
    each = min(_TILES, blocks(tiles, max(1, _WANTED // images)))
    grid = blocks(tiles, each), images
    member = _sweep(pixels, rank, quads)
    member[grid, quads, stream](xt, v, ut, sums, tickets, count, each, _f32(low), _f32(high), finish)
