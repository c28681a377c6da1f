"""Rate-distortion factorization as CUDA kernels: those of `cpu.py` for stacks of planes, same names, same integers.

Every patch is independent but for the first component (see `choose_first`), so a thread is a patch; the two products
with V are tiled multiplications of matrices. Planes of one shape go through one launch.

Per sample, with R the active rank of a patch and N = p * p samples (operations counted by hand, about):

================  =====================  ============================================
kernel            bytes                  integer operations
================  =====================  ============================================
numerators        4 + 4                  N multiplications and additions
quantize          4 + 4 R / N + 2        3 + 75 R / N (64-bit divisions)
mix               8 + 2 R / N            up to 128 multiplications and additions (64-bit), where V has left the prior
first_counts      8 / N                  60 / N
cost_table        none                   (one entry of a table per thread)
magnitude_prices  none                   (some rows of a table per thread)
choose_first      30 / N                 520 / N
count_magnitudes  26 R / N               60 R / N
rank_classes      24 / N                 25 / N
choose            14 R / N               75 R / N (64-bit)
reconstruct       2 R / N + 4            R multiplications and additions
proxy             8                      2 p multiplications and additions, 15 for the cost
================  =====================  ============================================

Samples, numerators and the sums of both products are int32 by the proofs in `cpu`; distortions and costs need 64 bits:
u**2 |v|**2 reaches 2**52 and lambda * bits 2**46. Counts are at most 2**22, the samples of a band, and int32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import int32, int64

from ..._cuda import SIMULATED, device_function, kernel, template, tile_of_block
from ..._cuda import cuda as _cuda
from ...entropy.layout import GROUPS, LEVEL, MAGNITUDE_LIMIT
from .basis import proxy_cosines
from .costs import (
    FIRST_CLASSES,
    FIRST_CONTEXTS,
    INSIDE_CONTEXTS,
    MAGNITUDE_CLASSES,
    MAGNITUDE_CONTEXTS,
    MANTISSAS,
    PRIOR,
    PROXY_COSTS,
    PROXY_FIRST,
)

__all__ = [
    "RANK_CLASSES",
    "choose",
    "choose_first",
    "cost_table",
    "count_magnitudes",
    "first_counts",
    "magnitude_prices",
    "mix",
    "numerators",
    "proxy",
    "quantize",
    "rank_classes",
    "reconstruct",
]

#: Classes of neighbours and bit lengths of a rank below 256.
RANK_CLASSES = 9

# Threads of a block where a thread is a patch; the simulator starts a Python thread for each.
_THREADS = 16 if SIMULATED else 64

# Threads of the block that makes the prices of a plane.
_PRICE_THREADS = 16 if SIMULATED else 256

# Entries of a table that a thread makes.
_CLASSES = 16

# The products: a block of _SIDE x _SIDE threads makes _TILE x _TILE sums, _MICRO x _MICRO in the registers of each.
_TILE, _SIDE, _MICRO = 32, 8, 4

# Components that `reconstruct` adds between two exchanges.
_DEPTH = 8

# Lambda times bits of one cost, and of the sum of two whose mean is meant.
_BIT_SHIFT, _TWO_SHIFT = np.int64(16), np.int64(17)

# Cost of a sign in 1/256 bit.
_SIGN = np.int32(256)

# The range of X V.
_LOWEST, _HIGHEST = np.int64(-(2**31) + 1), np.int64(2**31 - 1)

_LEVEL = LEVEL.astype(np.uint8)
_PROXY_COSTS, _PROXY_FIRST = PROXY_COSTS.astype(np.int32), PROXY_FIRST.astype(np.int32)
_PROXY_TOP = np.uint32(len(PROXY_COSTS) - 1)
_MAGNITUDE_TOP, _FIRST_TOP = np.int32(MAGNITUDE_CLASSES - 1), np.int32(FIRST_CLASSES - 1)


def _blocks(items: int, threads: int = _THREADS) -> int:
    return -(-items // threads)


def _sides(grid: tuple[int, int]) -> tuple[np.int32, np.int32]:
    """Scalars of a launch have the width of their type: a Python integer would make 64-bit kernels."""
    return np.int32(grid[0]), np.int32(grid[1])


@device_function
def _item(items):
    """(plane, number) of a thread where every plane has `items`; the number may lie beyond."""
    b, _, tile = tile_of_block(1, (items + _THREADS - 1) // _THREADS)
    return b, np.int32(tile * _THREADS + _cuda.threadIdx.x)


@device_function
def _row_of(patch, gw):
    return np.int32(np.uint32(patch) // np.uint32(gw))


@device_function
def _at(patch, gw):
    """Position of a patch in a padded component."""
    y = _row_of(patch, gw)
    return np.int32((y + 2) * (gw + 4) + 2 + patch - y * gw)


@device_function
def _length(value):
    """Bit length of an int32 that is not negative."""
    return np.int32(32 - _cuda.clz(np.int32(value)))


@device_function
def _multiply(rows, columns, depth, part, lane, sums):
    """Add the products of `depth` pairs of tile rows: sums[a, e] += rows[k, 4 part + a] * columns[k, 4 lane + e]."""
    for k in range(depth):
        for a in range(_MICRO):
            weight = rows[k, part * _MICRO + a]
            for e in range(_MICRO):
                sums[a, e] = np.int32(sums[a, e] + weight * columns[k, lane * _MICRO + e])


@kernel("void(int32[:,:,::1])")
def _clear(counts):
    """A block per plane."""
    columns = counts.shape[2]
    for index in range(_cuda.threadIdx.x, counts.shape[1] * columns, _THREADS):
        row = _row_of(index, columns)
        counts[_cuda.blockIdx.x, row, index - row * columns] = 0


@template("void(int32[:,:,::1], int32[:,::1], int32[:,:,::1])", (8,), (16,))
def _numerators(p: int) -> Callable[..., None]:
    # Threads beside each other load samples of one patch row: this pitch puts them into different banks.
    pitch, loads, patches_per_step = _TILE + 32 // p, _TILE * p // (_SIDE * _SIDE), _SIDE * _SIDE // p

    def numerators(planes, basis, out):
        samples = _cuda.shared.array((p, pitch), int32)
        weights = _cuda.shared.array((p, _TILE), int32)
        sums = _cuda.local.array((_MICRO, _MICRO), int32)
        rows = _cuda.local.array(loads, int32)
        columns = _cuda.local.array(loads, int32)
        gw = planes.shape[2] // p
        patches = planes.shape[1] // p * gw
        n, component, tile = tile_of_block(p * p // _TILE, (patches + _TILE - 1) // _TILE)
        first_component, first = component * _TILE, tile * _TILE
        thread = _cuda.threadIdx.x
        lane, part = thread % _SIDE, thread // _SIDE
        j, place = thread % p, thread // p
        for s in range(loads):
            patch = np.int32(first + place + s * patches_per_step)
            y = _row_of(patch, gw)
            rows[s] = y * p if patch < patches else -1
            columns[s] = (patch - y * gw) * p + j
        for a in range(_MICRO):
            for e in range(_MICRO):
                sums[a, e] = 0
        for i in range(p):
            for s in range(loads):
                value = np.int32(0)
                if rows[s] >= 0:
                    value = planes[n, rows[s] + i, columns[s]]
                samples[j, place + s * patches_per_step] = value
            for k in range(thread, p * _TILE, _SIDE * _SIDE):
                weights[k // _TILE, k % _TILE] = basis[i * p + k // _TILE, first_component + k % _TILE]
            _cuda.syncthreads()
            if first + lane * _MICRO < patches:
                _multiply(weights, samples, p, part, lane, sums)
            _cuda.syncthreads()
        for e in range(_MICRO):
            patch = np.int32(first + lane * _MICRO + e)
            if patch < patches:
                m = _at(patch, gw)
                for a in range(_MICRO):
                    out[n, first_component + part * _MICRO + a, m] = sums[a, e]

    return numerators


def numerators(planes: Any, patch_size: int, basis: Any, out: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.numerators`; the guards are left alone.

    Parameters
    ----------
    planes : device array of int32, shape (B, H, W)
        Pre-filtered planes of whole patches.
    patch_size : {8, 16}
        Side of a patch.
    basis : device array of int32, shape (N, N)
        V.
    out : device array of int32, shape (B, N, size)
        Receives X V.
    stream : stream, optional
        Where to run.
    """
    patches = (planes.shape[1] // patch_size) * (planes.shape[2] // patch_size)
    blocks = len(planes) * (patch_size * patch_size // _TILE) * _blocks(patches, _TILE)
    _numerators(patch_size)[blocks, _SIDE * _SIDE, stream](planes, basis, out)


@kernel("void(int32[:,:,::1], int64[::1], int32, int32, int32, int32, int16[:,:,::1], int32[:,::1])")
def _quantize(num, lengths, scale, trail, gh, gw, factors, ranks):
    n, m = _item(factors.shape[2])
    if m >= factors.shape[2]:
        return
    stride = gw + 4
    y = _row_of(m, stride)
    x = m - y * stride
    inside = 2 <= y < gh + 2 and 2 <= x < gw + 2
    rank = np.int32(0)
    if inside:
        for k in range(num.shape[1] - 1):
            r = num.shape[1] - 1 - k
            # |X v| * 2**(s + 1) needs 39 bits.
            if abs(np.int64(num[n, r, m])) >= (lengths[r] * trail) >> (8 + scale):
                rank = np.int32(r)
                break
    ranks[n, m] = rank
    for r in range(num.shape[1]):
        q = np.int64(0)
        if inside and r <= rank:
            v = np.int64(num[n, r, m])
            a, den = abs(v), lengths[r]
            if a >= den >> (scale + 1):
                q = min(((a << (scale + 1)) + den) // (2 * den), np.int64(MAGNITUDE_LIMIT >> 1))
                q = q if v > 0 else -q
        factors[n, r, m] = q


def quantize(
    num: Any, lengths: Any, scale: int, trail: int, grid: tuple[int, int], factors: Any, ranks: Any, stream: Any = 0
) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.quantize`, which writes all of its results, zero in the guards.

    Parameters
    ----------
    num : device array of int32, shape (B, N, size)
        X V.
    lengths : device array of int64, shape (N,)
        Squared lengths of the columns of V.
    scale, trail : int
        As on the CPU, `trail` at least 128.
    grid : (int, int)
        Patches down and across.
    factors : device array of int16, shape (B, N, size)
        Receives U.
    ranks : device array of int32, shape (B, size)
        Receives the active ranks.
    stream : stream, optional
        Where to run.
    """
    blocks = len(factors) * _blocks(factors.shape[2])
    _quantize[blocks, _THREADS, stream](
        num, lengths, np.int32(scale), np.int32(trail), *_sides(grid), factors, ranks
    )


@kernel(
    "void(int32[:,:,::1], int16[:,:,::1], int64[:,::1], int64[:,::1], int32, int32, int32, int32, int32[:,:,::1])"
)
def _mix(num, factors, mixing, gram, bits, scale, gh, gw, out):
    patches = gh * gw
    n, r, tile = tile_of_block(num.shape[1], (patches + _THREADS - 1) // _THREADS)
    patch = np.int32(tile * _THREADS + _cuda.threadIdx.x)
    if patch >= patches:
        return
    m = _at(patch, gw)
    value = np.int64(num[n, r, m])
    if r < mixing.shape[0]:
        if r < mixing.shape[1]:
            value = np.int64(0)
            for s in range(mixing.shape[0]):
                value += mixing[s, r] * np.int64(num[n, s, m])
            value >>= bits
        others = np.int64(0)
        for s in range(mixing.shape[0]):
            if s != r:
                others += gram[s, r] * np.int64(factors[n, s, m])
        value = min(max(value - (others >> scale), _LOWEST), _HIGHEST)
    out[n, r, m] = value


def mix(
    num: Any,
    factors: Any,
    mixing: Any,
    gram: Any,
    bits: int,
    scale: int,
    grid: tuple[int, int],
    out: Any,
    stream: Any = 0,
) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.mix`; the guards are left alone.

    Parameters
    ----------
    num : device array of int32, shape (B, N, size)
        X V of the prior.
    factors : device array of int16, shape (B, N, size)
        U.
    mixing, gram : device arrays of int64, shapes (rows, columns) and (rows, rows)
        V in terms of the prior, in 1/2**bits, and V^T V; the same for all planes.
    bits, scale : int
        As on the CPU.
    grid : (int, int)
        Patches down and across.
    out : device array of int32, shape (B, N, size)
        Receives X V less what the other columns of U stand for.
    stream : stream, optional
        Where to run.
    """
    blocks = len(num) * num.shape[1] * _blocks(grid[0] * grid[1])
    _mix[blocks, _THREADS, stream](
        num, factors, mixing, gram, np.int32(bits), np.int32(scale), *_sides(grid), out
    )


@device_function
def _first_class(d, w, n, nw, ne, top, left, right):
    """(context, class) of the residual of component 0; see `reference._first_residual`."""
    if top:
        n = nw = w
    elif left:
        w = nw = n
    if top or right:
        ne = n
    low, high = min(w, n), max(w, n)
    median = np.int32(w + n - nw)
    if nw >= high:
        median = low
    elif nw <= low:
        median = high
    activity = abs(np.int32(w - nw)) + abs(np.int32(n - nw)) + abs(np.int32(ne - n))
    context = min(_length(activity), np.int32(FIRST_CONTEXTS - 1))
    return context, min(np.int32(abs(np.int32(d - median))), _FIRST_TOP)


@kernel("void(int16[:,:,::1], int32, int32, int32[:,:,::1])")
def _first_counts(factors, gh, gw, counts):
    n, patch = _item(gh * gw)
    if patch < gh * gw:
        stride, m = gw + 4, _at(patch, gw)
        y = _row_of(patch, gw)
        x = patch - y * gw
        image = factors[n, 0]
        context, size = _first_class(
            np.int32(image[m]),
            np.int32(image[m - 1]),
            np.int32(image[m - stride]),
            np.int32(image[m - stride - 1]),
            np.int32(image[m - stride + 1]),
            y == 0,
            x == 0,
            x == gw - 1,
        )
        _cuda.atomic.add(counts, (n, context, size), 1)


def first_counts(factors: Any, grid: tuple[int, int], counts: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.first_counts`.

    Parameters
    ----------
    factors : device array of int16, shape (B, N, size)
        U; the guards of the first component are zero.
    grid : (int, int)
        Patches down and across.
    counts : device array of int32, shape (B, FIRST_CONTEXTS, FIRST_CLASSES)
        Receives the counts.
    stream : stream, optional
        Where to run.
    """
    _clear[len(counts), _THREADS, stream](counts)
    _first_counts[len(factors) * _blocks(grid[0] * grid[1]), _THREADS, stream](factors, *_sides(grid), counts)


@device_function
def _log2(mantissas, value):
    """`costs.log2` of a positive int64 below 2**52, given costs.MANTISSAS."""
    high = np.int32(value >> 31)
    whole = np.int32(_length(high) + 30 if high else _length(np.int32(value)) - 1)
    leading = value >> (whole - 12) if whole > 12 else value << (12 - whole)
    return np.int32(whole * 256 + np.int32(mantissas[np.int32(leading & 4095)]))


@kernel("void(int32[:,:,::1], int32, int32[:,:,::1])")
def _cost_table(counts, sign, out):
    """A thread makes up to _CLASSES entries of a row; most are those of no count, whose logarithm is zero."""
    mantissas = _cuda.const.array_like(MANTISSAS)
    rows, columns = counts.shape[1], counts.shape[2]
    parts = (columns + _CLASSES - 1) // _CLASSES
    n, index = _item(rows * parts)
    if index < rows * parts:
        row = _row_of(index, parts)
        start = (index - row * parts) * _CLASSES
        total = np.int32(0)
        for k in range(columns):
            total += np.int32(16 * counts[n, row, k] + 1)
        whole = _log2(mantissas, np.int64(total))
        for k in range(start, min(start + _CLASSES, columns)):
            cost = whole
            if counts[n, row, k]:
                cost -= _log2(mantissas, np.int64(16 * counts[n, row, k] + 1))
            out[n, row, k] = cost + sign if k else cost


def cost_table(counts: Any, sign: int, out: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.factorization.rd.costs.cost_table`, one table per plane.

    Parameters
    ----------
    counts : device array of int32, shape (B, contexts, classes)
        Frequencies; those of a row add up to less than 2**26.
    sign : int
        Added to the cost of every class but 0, in 1/256 bit.
    out : device array of int32, shape (B, contexts, classes)
        Receives the costs in 1/256 bit.
    stream : stream, optional
        Where to run.
    """
    items = counts.shape[1] * -(-counts.shape[2] // _CLASSES)
    _cost_table[len(counts) * _blocks(items), _THREADS, stream](
        counts, np.int32(sign), out
    )


@device_function
def _first_cost(table, plane, d, w, n, nw, ne, top, left, right):
    context, size = _first_class(d, w, n, nw, ne, top, left, right)
    return np.int64(table[plane, context, size])


@kernel("void(int32[:,:,::1], int64, int32, int64, int32[:,:,::1], int32, int32, int16[:,:,::1])")
def _choose_first(num, den, scale, lam, table, gh, gw, factors):
    """A block per plane, a thread per patch of a wave.

    The CPU goes through the patches in raster order, and the choice at (y, x) reads its own residual and the three
    that it predicts, at (y, x + 1), (y + 1, x) and (y + 1, x + 1), with their neighbours. That is, of row y - 1 columns
    x - 1 .. x + 2, of its own row x - 1 .. x + 2, and of row y + 1 columns x - 1 .. x + 1. In raster order it finds the
    first four and (y, x - 1) chosen, and all others as they were. Here wave t holds the patches with x + 3 y = t:

    - row y - 1, columns up to x + 2, are in waves up to (x + 2) + 3 (y - 1) = t - 1, and (y, x - 1) is in wave t - 1:
      all chosen before;
    - (y, x + 1) and (y, x + 2) are in waves t + 1 and t + 2, and row y + 1 from column x - 1 on in waves from
      (x - 1) + 3 (y + 1) = t + 2 on: all as they were.

    No patch reads another of its own wave, the nearest being (y - 1, x + 3) and (y + 1, x - 3), so the values are those
    of the raster order. With x + 2 y the patch (y - 1, x + 2), the north-east neighbour of (y, x + 1), would be in the
    same wave: three is the least slope.
    """
    n = _cuda.blockIdx.x
    thread, threads = _cuda.threadIdx.x, _cuda.blockDim.x
    stride = gw + 4
    image, products = factors[n, 0], num[n, 0]
    for wave in range(gw + 3 * (gh - 1)):
        first = max((wave - gw + 3) // 3, 0)
        last = min(wave // 3, gh - 1)
        for y in range(first + thread, last + 1, threads):
            x = wave - 3 * y
            m = (y + 2) * stride + x + 2
            top, left, right = y == 0, x == 0, x == gw - 1
            # Above, beside and below, from the column before on.
            a0, a1 = np.int32(image[m - stride - 1]), np.int32(image[m - stride])
            a2, a3 = np.int32(image[m - stride + 1]), np.int32(image[m - stride + 2])
            b0, b2, b3 = np.int32(image[m - 1]), np.int32(image[m + 1]), np.int32(image[m + 2])
            c0, c1, c2 = np.int32(image[m + stride - 1]), np.int32(image[m + stride]), np.int32(image[m + stride + 1])
            centre = np.int32(image[m])
            v = np.int64(products[m]) << (scale + 1)
            best, kept = np.int64(0), centre
            for k in range(3):
                u = np.int32(centre + (k if k < 2 else -1))
                bits = _first_cost(table, n, u, b0, a1, a0, a2, top, left, right)
                if not right:
                    bits += _first_cost(table, n, b2, u, a2, a1, a3, top, False, x == gw - 2)
                if y < gh - 1:
                    bits += _first_cost(table, n, c1, c0, u, b0, b2, False, left, right)
                    if not right:
                        bits += _first_cost(table, n, c2, c1, b2, u, b3, False, False, x == gw - 2)
                wide = np.int64(u)
                cost = wide * (wide * den - v) + ((lam * bits) >> _BIT_SHIFT)
                if k == 0 or cost < best:
                    best, kept = cost, u
            image[m] = kept
        _cuda.syncthreads()


def choose_first(
    num: Any, den: int, scale: int, lam: int, table: Any, grid: tuple[int, int], factors: Any, stream: Any = 0
) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.choose_first`.

    Parameters
    ----------
    num : device array of int32, shape (B, N, size)
        X V.
    den, scale, lam : int
        As on the CPU.
    table : device array of int32, shape (B, FIRST_CONTEXTS, FIRST_CLASSES)
        Costs in 1/256 bit.
    grid : (int, int)
        Patches down and across.
    factors : device array of int16, shape (B, N, size)
        U, whose first component is changed; its guards are zero.
    stream : stream, optional
        Where to run.
    """
    widest = min(grid[0], (grid[1] + 2) // 3)  # patches of the largest wave
    threads = min(256, 32 * -(-widest // 32))
    _choose_first[len(factors), threads, stream](
        num, np.int64(den), np.int32(scale), np.int64(lam), table, *_sides(grid), factors
    )


@device_function
def _magnitude(factors, n, r, m):
    return np.int32(abs(np.int32(factors[n, r, m])))


@kernel("void(int16[:,:,::1], int32[:,::1], int32[:,::1], int32, int32, uint16[:,:,:,::1], int32[:,:,::1])")
def _count_magnitudes(factors, ranks, table, gh, gw, contexts, counts):
    levels = _cuda.const.array_like(_LEVEL)
    n, patch = _item(gh * gw)
    if patch >= gh * gw:
        return
    m, stride = _at(patch, gw), gw + 4
    rank = ranks[n, m]
    own = np.int32(0)
    for r in range(1, rank + 1):
        near = 2 * (_magnitude(factors, n, r, m - 1) + _magnitude(factors, n, r, m - stride))
        near += _magnitude(factors, n, r, m - stride - 1) + _magnitude(factors, n, r, m - stride + 1)
        for k in range(2):
            other = table[r, k]
            if other:
                near += 2 * _magnitude(factors, n, other, m)
                near += _magnitude(factors, n, other, m + 1) + _magnitude(factors, n, other, m + stride)
        rest = np.int32(rank - r)
        inside = min(np.int32(levels[min(own, 1023)]), np.int32(11)) * 10
        inside = np.int32((inside + min(np.int32(levels[rest]), np.int32(9))) * 6 + table[r, 4])
        around = np.int32(INSIDE_CONTEXTS + table[r, 3] * 16 + levels[min(near, 1023)])
        if rest == 0:
            around += GROUPS * 16
        a = _magnitude(factors, n, r, m)
        contexts[n, 0, r, m] = inside
        contexts[n, 1, r, m] = around
        # Straight into the table of the plane: 93 KB of counts of its own would leave a multiprocessor two blocks.
        _cuda.atomic.add(counts, (n, inside, min(a, _MAGNITUDE_TOP)), 1)
        _cuda.atomic.add(counts, (n, around, min(a, _MAGNITUDE_TOP)), 1)
        own = np.int32(own + min(a, np.int32(40)))


def count_magnitudes(
    factors: Any, ranks: Any, table: Any, grid: tuple[int, int], contexts: Any, counts: Any, stream: Any = 0
) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.count_magnitudes`.

    Parameters
    ----------
    factors : device array of int16, shape (B, N, size)
        U; the guards are zero.
    ranks : device array of int32, shape (B, size)
        Active ranks.
    table : device array of int32, shape (N, 5)
        `entropy.layout.component_table`.
    grid : (int, int)
        Patches down and across.
    contexts : device array of uint16, shape (B, 2, N, size)
        Receives the contexts of the components from 1 to the active rank.
    counts : device array of int32, shape (B, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Receives the counts.
    stream : stream, optional
        Where to run.
    """
    _clear[len(counts), _THREADS, stream](counts)
    blocks = len(factors) * _blocks(grid[0] * grid[1])
    _count_magnitudes[blocks, _THREADS, stream](factors, ranks, table, *_sides(grid), contexts, counts)


@kernel("void(int32[:,:,::1], uint16[:,:,::1])")
def _magnitude_prices(counts, prices):
    """A block is a plane, a thread makes some of the rows; those of no count, most of them, are all the same."""
    mantissas = _cuda.const.array_like(MANTISSAS)
    total = _cuda.shared.array(MAGNITUDE_CLASSES, int32)
    shares = _cuda.shared.array(MAGNITUDE_CLASSES, int32)
    n, t = _cuda.blockIdx.x, _cuda.threadIdx.x
    if t < MAGNITUDE_CLASSES:
        total[t] = 0
    _cuda.syncthreads()
    mine = np.int32(0)
    for row in range(t // MAGNITUDE_CLASSES, INSIDE_CONTEXTS, _PRICE_THREADS // MAGNITUDE_CLASSES):
        mine += counts[n, row, t % MAGNITUDE_CLASSES]
    _cuda.atomic.add(total, t % MAGNITUDE_CLASSES, mine)
    _cuda.syncthreads()
    every = np.int64(0)
    for k in range(MAGNITUDE_CLASSES):
        every += total[k]
    if t < MAGNITUDE_CLASSES:
        shares[t] = _log2(mantissas, np.int64(PRIOR * total[t]) + 1)
    _cuda.syncthreads()
    nothing = _log2(mantissas, PRIOR * every + MAGNITUDE_CLASSES)
    for context in range(t, MAGNITUDE_CONTEXTS, _PRICE_THREADS):
        here = np.int64(0)
        for k in range(MAGNITUDE_CLASSES):
            here += counts[n, context, k]
        whole = nothing
        if here:
            whole = _log2(mantissas, (here + PRIOR) * every + MAGNITUDE_CLASSES)
        for k in range(MAGNITUDE_CLASSES):
            share = shares[k]
            if here:
                share = _log2(mantissas, np.int64(counts[n, context, k]) * every + np.int64(PRIOR * total[k]) + 1)
            prices[n, context, k] = whole - share + _SIGN if k else whole - share
        last = context // 6 % 10 == 0
        if context >= INSIDE_CONTEXTS:
            last = context >= INSIDE_CONTEXTS + GROUPS * 16
        if last:
            prices[n, context, 0] = 0


def magnitude_prices(counts: Any, prices: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.factorization.rd.reference.magnitude_prices`.

    Parameters
    ----------
    counts : device array of int32, shape (B, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Frequencies.
    prices : device array of uint16, shape (B, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Receives the costs in 1/256 bit.
    stream : stream, optional
        Where to run.
    """
    _magnitude_prices[len(counts), _PRICE_THREADS, stream](counts, prices)


@kernel("void(int32[:,::1], int32, int32, int32[:,::1], int32[:,:,::1])")
def _rank_classes(ranks, gh, gw, out, counts):
    n, patch = _item(gh * gw)
    if patch < gh * gw:
        m, stride = _at(patch, gw), gw + 4
        around = ranks[n, m - 1] + ranks[n, m - stride] + ranks[n, m + 1] + ranks[n, m + stride]
        kind = _length((around + 2) >> 2)
        out[n, m] = kind
        _cuda.atomic.add(counts, (n, kind, _length(ranks[n, m])), 1)


def rank_classes(ranks: Any, grid: tuple[int, int], out: Any, counts: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.rank_classes`, which also counts what `costs.rank_costs` counts.

    Parameters
    ----------
    ranks : device array of int32, shape (B, size)
        Active ranks, zero in the guards.
    grid : (int, int)
        Patches down and across.
    out : device array of int32, shape (B, size)
        Receives the classes; the guards are left alone.
    counts : device array of int32, shape (B, RANK_CLASSES, RANK_CLASSES)
        Receives the number of patches of each class and bit length of the rank.
    stream : stream, optional
        Where to run.
    """
    _clear[len(counts), _THREADS, stream](counts)
    _rank_classes[len(ranks) * _blocks(grid[0] * grid[1]), _THREADS, stream](ranks, *_sides(grid), out, counts)


@device_function
def _rank_cost(table, n, kind, rank):
    """Entry (kind, rank) of `costs.rank_costs`: the bit length by its frequency, each further bit one bit."""
    length = _length(rank)
    return np.int64(table[n, kind, length]) + np.int64(256) * max(length - np.int32(1), np.int32(0))


@kernel(
    "void(int32[:,:,::1], int64[::1], int32, int64, uint16[:,:,:,::1], uint16[:,:,::1], int32[:,::1], "
    "int32[:,:,::1], int32, int32, int16[:,:,::1], int32[:,::1])"
)
def _choose(num, lengths, scale, lam, contexts, prices, classes, rank_table, gh, gw, factors, ranks):
    n, patch = _item(gh * gw)
    if patch >= gh * gw:
        return
    m = _at(patch, gw)
    rank, kind = ranks[n, m], classes[n, m]
    kept, total = np.int32(0), np.int64(0)
    best = (lam * _rank_cost(rank_table, n, kind, np.int32(0))) >> _BIT_SHIFT
    for r in range(1, rank + 1):
        den, product = lengths[r], num[n, r, m]
        a = abs(np.int64(factors[n, r, m]))
        one, two, top = contexts[n, 0, r, m], contexts[n, 1, r, m], min(a, np.int64(_MAGNITUDE_TOP))
        cost = (lam * (np.int64(prices[n, one, 0]) + np.int64(prices[n, two, 0]))) >> _TWO_SHIFT
        if a:
            v = abs(np.int64(product)) << (scale + 1)
            u = np.int64(0)
            bits = np.int64(prices[n, one, top]) + np.int64(prices[n, two, top])
            high = a * (a * den - v) + ((lam * bits) >> _TWO_SHIFT)
            if high < cost:
                u, cost = a, high
            if a > 1:
                bits = np.int64(prices[n, one, top - 1]) + np.int64(prices[n, two, top - 1])
                low = (a - 1) * ((a - 1) * den - v) + ((lam * bits) >> _TWO_SHIFT)
                if low < cost:
                    u, cost = a - 1, low
            factors[n, r, m] = u if product > 0 else -u
            if u:
                whole = total + cost + ((lam * _rank_cost(rank_table, n, kind, np.int32(r))) >> _BIT_SHIFT)
                if whole < best:
                    best, kept = whole, np.int32(r)
        total += cost
    for r in range(kept + 1, rank + 1):
        factors[n, r, m] = 0
    ranks[n, m] = kept


def choose(
    num: Any,
    lengths: Any,
    scale: int,
    lam: int,
    contexts: Any,
    prices: Any,
    classes: Any,
    rank_table: Any,
    grid: tuple[int, int],
    factors: Any,
    ranks: Any,
    stream: Any = 0,
) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.choose`.

    Parameters
    ----------
    num : device array of int32, shape (B, N, size)
        X V.
    lengths : device array of int64, shape (N,)
        Squared lengths of the columns of V.
    scale, lam : int
        As on the CPU.
    contexts : device array of uint16, shape (B, 2, N, size)
        Contexts by `count_magnitudes`.
    prices : device array of uint16, shape (B, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES)
        Cost of every magnitude in its context, in 1/256 bit.
    classes : device array of int32, shape (B, size)
        As by `rank_classes`.
    rank_table : device array of int32, shape (B, RANK_CLASSES, RANK_CLASSES)
        Cost of every bit length of a rank for each class of neighbours, in 1/256 bit.
    grid : (int, int)
        Patches down and across.
    factors, ranks : device arrays of int16, shape (B, N, size), and of int32, shape (B, size)
        U and the active ranks, changed in place.
    stream : stream, optional
        Where to run.
    """
    _choose[len(factors) * _blocks(grid[0] * grid[1]), _THREADS, stream](
        num,
        lengths,
        np.int32(scale),
        np.int64(lam),
        contexts,
        prices,
        classes,
        rank_table,
        *_sides(grid),
        factors,
        ranks,
    )


@template("void(int16[:,:,::1], int32[:,::1], int32[:,::1], int32, int32, int32[:,:,::1])", (8,), (16,))
def _reconstruct(p: int) -> Callable[..., None]:
    pitch, lines = _TILE + 32 // p, _TILE // p

    def reconstruct(factors, ranks, columns, limit, scale, planes):
        """Sums of 32 samples of 32 patches, over the components up to the largest active rank among those patches."""
        weights = _cuda.shared.array((_DEPTH, _TILE), int32)
        entries = _cuda.shared.array((_DEPTH, _TILE), int32)
        samples = _cuda.shared.array((_TILE, pitch), int32)
        deepest = _cuda.shared.array(1, int32)
        sums = _cuda.local.array((_MICRO, _MICRO), int32)
        gw = planes.shape[2] // p
        patches = planes.shape[1] // p * gw
        n, part_of_patch, tile = tile_of_block(p * p // _TILE, (patches + _TILE - 1) // _TILE)
        first_sample, first = part_of_patch * _TILE, tile * _TILE
        thread = _cuda.threadIdx.x
        lane, part = thread % _SIDE, thread // _SIDE
        # Threads 0 .. 31 and 32 .. 63 each load the entries of the tile's patches, of every other component.
        mine = np.int32(first + thread % _TILE)
        m, rank = np.int32(0), np.int32(-1)
        if mine < patches:
            m = _at(mine, gw)
            rank = min(ranks[n, m], np.int32(factors.shape[1] - 1))
        if thread == 0:
            deepest[0] = 0
        _cuda.syncthreads()
        _cuda.atomic.max(deepest, 0, rank)
        _cuda.syncthreads()
        for a in range(_MICRO):
            for e in range(_MICRO):
                sums[a, e] = 1 << (scale - 1)
        for start in range(0, deepest[0] + 1, _DEPTH):
            for k in range(thread // _TILE, _DEPTH, 2):
                r = start + k
                entry = np.int32(0)
                weight = np.int32(0)
                if r <= rank:
                    entry = min(max(np.int32(factors[n, r, m]), -limit), limit)
                if r <= deepest[0]:
                    weight = columns[r, first_sample + thread % _TILE]
                entries[k, thread % _TILE] = entry
                weights[k, thread % _TILE] = weight
            _cuda.syncthreads()
            if first + lane * _MICRO < patches:
                _multiply(weights, entries, _DEPTH, part, lane, sums)
            _cuda.syncthreads()
        for a in range(_MICRO):
            for e in range(_MICRO):
                samples[part * _MICRO + a, lane * _MICRO + e] = sums[a, e] >> scale
        _cuda.syncthreads()
        # Threads beside each other write samples of one row.
        j, place = thread % p, thread // p
        for s in range(place, _TILE, _SIDE * _SIDE // p):
            patch = np.int32(first + s)
            if patch < patches:
                y = _row_of(patch, gw)
                top, x = y * p + first_sample // p, (patch - y * gw) * p + j
                for i in range(lines):
                    planes[n, top + i, x] = samples[i * p + j, s]

    return reconstruct


def reconstruct(
    factors: Any, ranks: Any, columns: Any, limit: int, scale: int, patch_size: int, planes: Any, stream: Any = 0
) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.reconstruct`.

    Parameters
    ----------
    factors : device array of int16, shape (B, R, size)
        U; components beyond a patch's active rank are not read.
    ranks : device array of int32, shape (B, size)
        Active ranks.
    columns : device array of int32, shape (N, N)
        V^T.
    limit, scale : int
        As on the CPU.
    patch_size : {8, 16}
        Side of a patch.
    planes : device array of int32, shape (B, H, W)
        Receives the planes, still pre-filtered.
    stream : stream, optional
        Where to run.
    """
    patches = (planes.shape[1] // patch_size) * (planes.shape[2] // patch_size)
    blocks = len(planes) * (patch_size * patch_size // _TILE) * _blocks(patches, _TILE)
    _reconstruct(patch_size)[blocks, _SIDE * _SIDE, stream](
        factors, ranks, columns, np.int32(limit), np.int32(scale), planes
    )


@template("void(int32[:,:,::1], int32, int64[::1])", (8,), (16,))
def _proxy(p: int) -> Callable[..., None]:
    pitch, matrix = _THREADS + 1, proxy_cosines(p)

    def proxy(planes, step, out):
        """A block takes _THREADS columns of one row of patches; a thread transforms a column, then a row of a patch."""
        cosines = _cuda.const.array_like(matrix)
        costs = _cuda.const.array_like(_PROXY_COSTS)
        first_costs = _cuda.const.array_like(_PROXY_FIRST)
        half = _cuda.shared.array((p, pitch), int32)
        above = _cuda.shared.array(_THREADS, int32)
        total = _cuda.shared.array(1, int64)
        line = _cuda.local.array(p, int32)
        width = planes.shape[2]
        n, y, tile = tile_of_block(planes.shape[1] // p, (width + _THREADS - 1) // _THREADS)
        t = _cuda.threadIdx.x
        x = tile * _THREADS + t
        if t == 0:
            total[0] = 0
        if x < width:
            for k in range(p):
                line[k] = planes[n, y * p + k, x]
            for i in range(p):
                value = np.int32(1 << 11)
                for k in range(p):
                    value = np.int32(value + cosines[i, k] * line[k])
                half[i, t] = value >> 12
            # The first component of the patch above is made again: less work than an exchange between blocks.
            value = np.int32(1 << 11)
            for k in range(p):
                if y:
                    value = np.int32(value + cosines[0, k] * planes[n, y * p - p + k, x])
            above[t] = value >> 12
        _cuda.syncthreads()
        row, first = t % p, t // p * p
        if tile * _THREADS + first < width:
            for k in range(p):
                line[k] = half[row, first + k]
            unit = np.uint32(2 * p * step)
            mine = np.int32(0)
            for j in range(p):
                value = np.int32(0)
                for k in range(p):
                    value = np.int32(value + cosines[j, k] * line[k])
                if row + j:
                    mine += costs[np.int32(min(np.uint32(abs(value)) // unit, _PROXY_TOP))]
                else:
                    before = np.int32(0)
                    for k in range(p):
                        before = np.int32(before + cosines[0, k] * above[first + k])
                    # Both are within +-2**30: the difference needs all 32 bits.
                    change = np.uint32(abs(np.int64(value) - np.int64(before))) if y else np.uint32(0)
                    mine += first_costs[np.int32(min(change // unit, _PROXY_TOP))]
            _cuda.atomic.add(total, 0, np.int64(mine))
        _cuda.syncthreads()
        if t == 0:
            _cuda.atomic.add(out, n, total[0])

    return proxy


def proxy(planes: Any, patch_size: int, step: int, out: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.factorization.rd.cpu.proxy`.

    Parameters
    ----------
    planes : device array of int32, shape (B, H, W)
        Pre-filtered planes of whole patches.
    patch_size : {8, 16}
        Side of a patch.
    step : int
        Step in 1/64 gray level.
    out : device array of int64, shape (B,)
        The costs are added to it.
    stream : stream, optional
        Where to run.
    """
    blocks = len(planes) * (planes.shape[1] // patch_size) * _blocks(planes.shape[2])
    _proxy(patch_size)[blocks, _THREADS, stream](planes, np.int32(step), out)
