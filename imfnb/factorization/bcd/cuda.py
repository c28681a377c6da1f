"""Block coordinate descent as CUDA kernels: counterparts of `reference`, for integer X with the same bits.

Any shape, rank and bounds, in float64. Where X and the factors are bytes, which is usual, `cuda_bytes` is fast.

All arrays lie on the device and have a leading axis B of equal-shaped matrices, which are handled in one launch, on the
current stream. Rows of X^T and U^T have S >= M entries; what those from M on hold has no influence.

Why the bits are the same. CUDA fuses multiplications with additions and offers no switch, so nothing here may depend
on how an intermediate result is rounded; nothing does, because none is. For integer X every product and every partial
sum is an integer that its type holds exactly: below 2**24 in float32 (strips of `_accumulate`), below 2**53 in float64
(everything else). Fused or not, in whatever order, an exact sum is the same sum. Quotients are rounded exactly through
their remainder, which is such an integer too.
For X that is not integer the sums of `update_u` and `gram` are rounded. They are then added in one fixed order, that of
the patches in chunks of :data:`CHUNK`, without atomics: the result is the same in every run, but may differ from the
CPU's in the last bits, as the CPU's does from the reference's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...runtime.cuda import SIMULATED, blocks, cuda, kernel, stream, template
from ..bounds import exact_in_float32
from . import cuda_bytes
from .bands import Each
from .cuda_rounding import quotient

__all__ = ["gram", "sweeps", "update_columns", "update_u"]

#: Patches whose sums one block of `update_u`, or of `gram` of floats, adds up before they meet those of other blocks.
CHUNK = 4096

# Threads of a block where a thread has a row, a patch or an entry to itself. The simulator starts as many of Python's.
_THREADS = 8 if SIMULATED else 128

# Tile of `_accumulate`: 64 x 32 sums, 4 x 2 for each thread, from strips of 32 patches in shared memory.
_HEIGHT, _WIDTH, _STRIP = (16, 8, 8) if SIMULATED else (64, 32, 32)
_DOWN, _ACROSS = _HEIGHT // 4, _WIDTH // 2

_f32, _f64, _i64 = np.float32, np.float64, np.int64


# -------------------------------------------------------------------------------------------- sums of products of rows


@template(
    "void({0}[:,:,::1], {1}[:,:,::1], int64, int64, float64[:,:,:,::1])",
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
    working = _f32 if left_dtype in small and right_dtype == "int8" else _f64
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


def _products(left: Any, right: Any, count: int, out: Any = None) -> Any:
    """left right^T over the first `count` columns: (B, E, S) and (B, K, S) to (B, E, K) in float64."""
    images, height, width = left.shape[0], left.shape[1], right.shape[1]
    chunks = blocks(count, CHUNK)
    if out is None:
        out = cuda.device_array((images, height, width), _f64, stream=stream())
    partial = cuda.device_array((chunks, images, height, width), _f64, stream=stream())
    across = blocks(width, _WIDTH)
    grid = blocks(height, _HEIGHT) * across, chunks, images
    member = _accumulate(str(left.dtype), str(right.dtype))
    member[grid, _DOWN * _ACROSS, stream()](left, right, count, across, partial)
    _reduce[(blocks(height * width, _THREADS), images), _THREADS, stream()](partial, out)
    return out


# -------------------------------------------------------------------------------------------- any matrix, any bounds


@kernel("void(float64[:,:,::1], float64[:,:,::1], float64[:,:,::1], float64, float64)")
def _update_columns(a, b, factor, low, high):
    """A thread for each row of the factor."""
    i = cuda.grid(1)
    z = cuda.blockIdx.y
    if i >= factor.shape[1]:
        return
    for r in range(factor.shape[2]):
        denominator = b[z, r, r]
        if denominator == 0:
            factor[z, i, r] = min(max(_f64(1), low), high)
            continue
        numerator = a[z, i, r]
        for s in range(factor.shape[2]):
            if s != r:
                numerator -= factor[z, i, s] * b[z, s, r]
        factor[z, i, r] = quotient(numerator, denominator, _f64(1) / denominator, low, high)


def update_columns(a: Any, b: Any, factor: Any, low: float, high: float) -> None:
    """Counterpart of :func:`imfnb.factorization.bcd.reference.update_columns`."""
    grid = blocks(factor.shape[1], _THREADS), factor.shape[0]
    _update_columns[grid, _THREADS, stream()](a, b, factor, low, high)


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
        ut[z, r, m] = _i64(quotient(numerator, denominator, _f64(1) / denominator, low, high))


def update_u(x: Any, v: Any, u: Any, rows: int, low: float, high: float, each: Each) -> tuple[Any, Any]:
    """Counterpart of :func:`imfnb.factorization.bcd.reference.update_u`."""
    images, rank = u.shape[0], u.shape[1]
    b = cuda.device_array((images, rank, rank), _f64, stream=stream())
    _cross[(blocks(rank * rank, _THREADS), images), _THREADS, stream()](v, b)
    _update_u[(blocks(rows, _THREADS), images), _THREADS, stream()](x, v, b, u, rows, low, high)
    return _products(x, u, rows), _products(u, u, rows)


def gram(x: Any, rows: int, out: Any, each: Each) -> None:
    """Counterpart of :func:`imfnb.factorization.bcd.reference.gram`."""
    if x.dtype == np.uint8:
        cuda_bytes.gram(x, rows, out)
    else:
        _products(x, x, rows, out)


def sweeps(
    x: Any, rows: int, v: Any, u: Any, low: float, high: float, iterations: int, zeros: Callable[..., Any], threads: int
) -> bool:
    """Counterpart of :func:`imfnb.factorization.bcd.reference.sweeps`, for X and factors of bytes."""
    images, pixels, rank = v.shape
    small = x.dtype == np.uint8 and u.dtype == np.int8 and exact_in_float32(pixels, rank, low, high)
    if not small or not cuda_bytes.warps_for(pixels, rank):
        return False
    sums, tickets = zeros("sums", (images, pixels + rank, rank), np.int64), zeros("tickets", (images,), np.int32)
    cuda_bytes.sweep(x.view(np.uint32), v, u.view(np.uint32), sums, tickets, rows, low, high, iterations)
    return True
