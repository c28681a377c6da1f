"""Rate-distortion factorization as CUDA kernels: those of `cpu.py` for stacks of planes, same integers.

Every patch is independent but for the first component (see `choose_first`), so a thread is a patch; the two products
with V are tiled multiplications of matrices by the tensor cores. Planes of one shape go through one launch.

Per sample, with R the active rank of a patch and N = p * p samples (operations counted by hand, about):

================  =====================  ============================================
kernel            bytes                  integer operations
================  =====================  ============================================
project           4 + 4                  10, and 4 N products of bytes by the tensor cores
quantize          4 + 2                  25 + 10 R / N
rebase            8 + 2 R / N            up to 128 multiplications and additions (64-bit), where V is not the DCT basis
first_counts      8 / N                  60 / N
cost_table        none                   (one entry of a table per thread)
magnitude_prices  none                   (some rows of a table per thread)
choose_first      30 / N                 520 / N
count_magnitudes  26 R / N               90 R / N
rank_classes      24 / N                 25 / N
choose            14 R / N               75 R / N (64-bit)
product           2 R / N + 4            15, and 4 R products of bytes by the tensor cores, R in steps of 32
proxy             8                      2 p multiplications and additions, 15 for the cost
================  =====================  ============================================

Samples, projections and the sums of both products are int32 by the proofs in `cpu`; distortions and costs need 64 bits:
u**2 |v|**2 reaches 2**52 and lambda * bits 2**46. Counts are at most 2**22, the samples of a slice, and int32.

Tensor cores multiply bytes and add up int32, modulo 2**32. A sample behind the lapped filter, an entry of V (at most
3 / p times 2**14) and one of U (at most 8191) are within +-2**14, so that each is 256 * high + low with two signed
bytes, and four products of bytes make one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float64, int32, int64, uint8, uint32, uint64

from ...entropy.layout import MAGNITUDE_LIMIT
from ...format.context_model import GROUPS, LEVEL
from ...format.masking import FAR_LIMIT
from ...runtime.cuda import SIMULATED, device_function, kernel, stream, template, tile_of_block
from ...runtime.cuda import cuda as _cuda
from ...runtime.cuda_intrinsics import get, get_four, low_bytes, mma_ss, prmt, put, put_four
from .basis import proxy_cosines
from .costs import (
    FIRST_CLASSES,
    FIRST_CONTEXTS,
    INSIDE_CONTEXTS,
    MAGNITUDE_CLASSES,
    MAGNITUDE_CONTEXTS,
    MANTISSAS,
    NEAR_LIMIT,
    PROXY_COSTS,
    PROXY_FIRST,
)
from .tuning import INVERSE_BITS, PRIOR

__all__ = [
    "COUNTS",
    "choose",
    "choose_first",
    "cost_table",
    "count_magnitudes",
    "denormalize",
    "extent",
    "first_counts",
    "magnitude_prices",
    "normalize",
    "product",
    "project",
    "proxy",
    "quantize",
    "rank_classes",
    "rebase",
    "weights",
]

#: The type of frequencies.
COUNTS = np.int32

# Threads of a block where a thread is a patch; the simulator starts a Python thread for each.
_THREADS = 16 if SIMULATED else 64

# Counts that a thread sets to zero: the simulator takes half a millisecond to start one.
_CLEARED = 1500 if SIMULATED else 1

# Threads of the block that makes the prices of a plane.
_PRICE_THREADS = 16 if SIMULATED else 256

# Rows of patches of a block of `choose_first`: a multiple of the one, at most the other.
_FIRST_STEP, _FIRST_ROWS = (1, 4) if SIMULATED else (32, 128)

# Threads of a block of `count_magnitudes`, and words of its counts.
_COUNT_THREADS = 16 if SIMULATED else 256
_COUNT_WORDS = MAGNITUDE_CONTEXTS * MAGNITUDE_CLASSES // 2

# Components of a patch, at most.
_COMPONENTS = 256

# Products that a thread of `quantize` loads together.
_BATCH = 8

# Entries of a table that a thread makes.
_CLASSES = 16

# The products: a block has all of _TILE patches, a lane loads those of one. The tensor cores take _GROUPS times eight
# patches; in the simulator a block is one warp.
_TILE, _GROUPS, _WARPS = 32, 4, 1 if SIMULATED else 4

# Samples of a patch, at least, for the tensor cores.
_TENSOR_SAMPLES = 64

# Rows of their results that are exchanged at a time.
_ROWS = 16 * _WARPS

# Patches beside each other in shared memory: lanes of a warp find their words in different banks.
_PITCH = 36

# Bits of a word.
_WORD = np.uint64(32)

# Lambda times bits of one cost, and of the sum of two whose mean is meant.
_BIT_SHIFT, _TWO_SHIFT = np.int64(16), np.int64(17)

# Cost of a sign in 1/256 bit.
_SIGN = np.int32(256)

# The range of X V.
_LOWEST, _HIGHEST = np.int64(-(2**31) + 1), np.int64(2**31 - 1)

# Rounding, shift and range of what `normalize` and `denormalize` multiply.
_INVERSE_HALF, _INVERSE_SHIFT = np.int64(1 << (INVERSE_BITS - 1)), np.int64(INVERSE_BITS)
_NEAREST, _FARTHEST = np.int32(-FAR_LIMIT), np.int32(FAR_LIMIT)

# Levels are the same from far below this on.
_LEVELS, _LEVEL_TOP = 256, np.int32(255)
_LEVEL = LEVEL[:_LEVELS].astype(np.uint8)
_PROXY_COSTS, _PROXY_FIRST = PROXY_COSTS.astype(np.int32), PROXY_FIRST.astype(np.int32)
_PROXY_TOP = np.uint32(len(PROXY_COSTS) - 1)
_MAGNITUDE_MOST = np.int32(MAGNITUDE_LIMIT >> 1)
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
def _lane_and_warp():
    """Unsigned, like all that depends on them: a negative index counts from the end, which takes two instructions."""
    thread = np.uint32(_cuda.threadIdx.x)
    return np.uint32(thread & np.uint32(_TILE - 1)), np.uint32(thread // np.uint32(_TILE))


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


def weights(matrix: np.ndarray) -> np.ndarray:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.weights`: fragments as the tensor cores take them.

    For every 16 rows, 32 columns of those and byte (low, high), the four words of each lane, int32 in one axis. Byte b
    of word 2 w + v of lane 4 g + t belongs to row g + 8 v and column 8 t + 4 w + b. Of patches with fewer samples they
    are the columns, one after the other.
    """
    if len(matrix) < _TENSOR_SAMPLES:
        return np.ascontiguousarray(matrix.T).ravel()
    tiles, steps = matrix.shape[0] // 16, matrix.shape[1] // 32
    parts = np.stack([matrix, (matrix + 128) >> 8]).astype(np.int8).reshape(2, tiles, 2, 8, steps, 4, 2, 4)
    return np.ascontiguousarray(parts.transpose(1, 4, 0, 3, 5, 6, 2, 7)).view(np.int32).ravel()


def _warp_product(weights, entries, tile, all_steps, steps, lane, sums):
    """16 rows of weights times the entries of 32 patches, over `steps` times 32 components or samples.

    sums[j, i] of lane 4 g + t is that of row g + i // 2 * 8 and patch 8 j + 2 t + i % 2. Numbers are
    256 * high + low, both signed bytes; low * low, the sum of both mixed products and high * high stay apart until the
    end. Each of them may wrap, the total is exact as long as it fits 32 bits.
    """
    parts = _cuda.local.array((_GROUPS, 3, 4), int32)
    for j in range(_GROUPS):
        for k in range(3):
            for i in range(4):
                parts[j, k, i] = 0
    place = np.uint32(np.uint32(tile) * np.uint32(all_steps * 256) + lane * np.uint32(4))
    row, column = np.uint32(lane & np.uint32(3)), np.uint32(lane >> np.uint32(2))
    for _ in range(steps):
        l0, l1, l2, l3 = get_four(weights, place)
        h0, h1, h2, h3 = get_four(weights, place + 128)
        for j in range(_GROUPS):
            patch = np.uint32(column + np.uint32(8 * j))
            low, high = entries[0, row, patch], entries[1, row, patch]
            first, second = np.int32(low), np.int32(low >> _WORD)
            _accumulate(parts, j, 0, l0, l1, l2, l3, first, second)
            _accumulate(parts, j, 1, h0, h1, h2, h3, first, second)
            first, second = np.int32(high), np.int32(high >> _WORD)
            _accumulate(parts, j, 1, l0, l1, l2, l3, first, second)
            _accumulate(parts, j, 2, h0, h1, h2, h3, first, second)
        place, row = np.uint32(place + np.uint32(256)), np.uint32(row + np.uint32(4))
    for j in range(_GROUPS):
        for i in range(4):
            sums[j, i] = np.int32(np.int32(np.int32(parts[j, 2, i] << 8) + parts[j, 1, i]) << 8) + parts[j, 0, i]


@device_function
def _accumulate(parts, j, k, a0, a1, a2, a3, b0, b1):
    """Add the products of 16 rows and eight patches of a group."""
    c0, c1, c2, c3 = mma_ss(a0, a1, a2, a3, b0, b1, parts[j, k, 0], parts[j, k, 1], parts[j, k, 2], parts[j, k, 3])
    parts[j, k, 0], parts[j, k, 1], parts[j, k, 2], parts[j, k, 3] = c0, c1, c2, c3


def _lane_product(weights, entries, tile, all_steps, steps, lane, sums):
    """`_warp_product` for the simulator, where threads do not work together: the sums of this lane alone."""
    words = np.asarray(weights[:]).reshape(-1, all_steps, 2, 8, 4, 2, 2, 1)[tile, :steps].view(np.int8)
    low, high = words.transpose(1, 5, 2, 0, 3, 4, 6).reshape(2, 16, 32 * steps).astype(np.int64)
    columns = np.array([[entries[k, row] for row in range(4 * steps)] for k in range(2)], np.uint64)
    patches = columns[..., None].view(np.int8)[:, :, :_TILE].transpose(0, 1, 3, 2).reshape(2, 32 * steps, -1)
    total = (256 * high + low) @ (256 * patches[1].astype(np.int64) + patches[0])
    for j in range(_GROUPS):
        for i in range(4):
            value = total[lane // 4 + i // 2 * 8, 8 * j + lane % 4 * 2 + i % 2]
            sums[j, i] = (value + 2**31) % 2**32 - 2**31


_product = device_function(_lane_product if SIMULATED else _warp_product)


@device_function
def _high_bytes(a, b, c, d):
    """The bytes above the lowest ones, rounded so that 256 times them and the lowest, signed, are the numbers."""
    low = prmt(np.uint32(a + 128), np.uint32(b + 128), np.uint32(0x51))
    high = prmt(np.uint32(c + 128), np.uint32(d + 128), np.uint32(0x51))
    return prmt(low, high, np.uint32(0x5410))


@device_function
def _split(entries, octet, lane, v0, v1, v2, v3, v4, v5, v6, v7):
    """Write the bytes of eight numbers within +-2**14 of a patch, which are int32."""
    octet = np.uint32(octet)
    low = np.uint64(low_bytes(v0, v1, v2, v3)) | np.uint64(low_bytes(v4, v5, v6, v7)) << _WORD
    high = np.uint64(_high_bytes(v0, v1, v2, v3)) | np.uint64(_high_bytes(v4, v5, v6, v7)) << _WORD
    entries[0, octet, lane], entries[1, octet, lane] = low, high


@device_function
def _exchange(sums, results, warp, lane):
    """Write the sums of a lane to the 16 rows of its warp."""
    row = np.uint32(warp * np.uint32(16) + (lane >> np.uint32(2)))
    column = np.uint32((lane & np.uint32(3)) * np.uint32(2))
    for j in range(_GROUPS):
        for i in range(4):
            results[np.uint32(row + np.uint32(i // 2 * 8)), np.uint32(column + np.uint32(8 * j + i % 2))] = sums[j, i]


@kernel("void(int32[:,:,::1])")
def _clear(counts):
    """A thread for each _CLEARED counts."""
    items = np.int32(counts.shape[1] * counts.shape[2])
    n, part = _item(np.int32((items + _CLEARED - 1) // _CLEARED))
    for k in range(_CLEARED):
        index = np.int32(part * _CLEARED + k)
        if index < items:
            put(counts, np.int64(n) * items + index, np.int32(0))


def _set_to_zero(counts: Any) -> None:
    parts = _blocks(counts.shape[1] * counts.shape[2], _CLEARED)
    _clear[len(counts) * _blocks(parts), _THREADS, stream()](counts)


@template("void(int32[:,:,::1], int32[::1], int32[:,:,::1])", (8,), (16,))
def _project(p: int) -> Callable[..., None]:
    octets, tiles, steps = p * p // 8, p * p // 16, p * p // 32

    def project(planes, weights, out):
        """All products of 32 patches: a lane is a patch, a warp makes 16 components at a time."""
        entries = _cuda.shared.array((2, octets, _PITCH), uint64)
        results = _cuda.shared.array((_ROWS, _PITCH), int32)
        sums = _cuda.local.array((_GROUPS, 4), int32)
        height, width = planes.shape[1], planes.shape[2]
        gw = np.int32(width // p)
        patches = np.int32(height // p * gw)
        n, _, part = tile_of_block(1, (patches + _TILE - 1) // _TILE)
        lane, warp = _lane_and_warp()
        patch = np.int32(part * _TILE + lane)
        # Lanes beyond the last patch load that one.
        source = min(patch, np.int32(patches - 1))
        y = _row_of(source, gw)
        start = (np.int64(n) * height + y * p) * width + (source - y * gw) * p
        m = np.uint32(_at(source, gw))
        for k in range(octets // _WARPS):
            octet = np.uint32(warp + np.uint32(k * _WARPS))
            row = np.uint32(octet * np.uint32(8) // np.uint32(p))
            place = start + row * width + np.uint32(octet * np.uint32(8) - row * np.uint32(p))
            v0, v1, v2, v3 = get_four(planes, place)
            v4, v5, v6, v7 = get_four(planes, place + 4)
            _split(entries, octet, lane, v0, v1, v2, v3, v4, v5, v6, v7)
        _cuda.syncthreads()
        for k in range(tiles // _WARPS):
            tile = np.uint32(warp + np.uint32(k * _WARPS))
            _product(weights, entries, tile, steps, steps, lane, sums)
            _exchange(sums, results, warp, lane)
            _cuda.syncthreads()
            if patch < patches:
                for a in range(16):
                    row = np.uint32(warp * np.uint32(16) + np.uint32(a))
                    out[np.uint32(n), np.uint32(tile * np.uint32(16) + np.uint32(a)), m] = results[row, lane]
            _cuda.syncthreads()

    return project


def project(planes: Any, patch_size: int, weights: Any, out: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.project`; the guards are left alone."""
    patches = (planes.shape[1] // patch_size) * (planes.shape[2] // patch_size)
    blocks = len(planes) * _blocks(patches, _TILE)
    _project(patch_size)[blocks, _TILE * _WARPS, stream()](planes, weights, out)


@kernel("void(int32[:,:,::1], int64[::1], int32, int32, int32, int32, int16[:,:,::1], int32[:,::1])")
def _quantize(num, lengths, scale, trail, gh, gw, factors, ranks):
    """Every product is read once, from the last component on: what is kept depends on those behind it.

    The quotient is that of `cpu.quantize`: exact, and the sum in it too, fused or not. Both limits fit int32 as there.
    """
    halves = _cuda.shared.array(_COMPONENTS, int32)
    lasts = _cuda.shared.array(_COMPONENTS, int32)
    inverses = _cuda.shared.array(_COMPONENTS, float64)
    starts = _cuda.shared.array(_COMPONENTS, float64)
    values = _cuda.local.array(_BATCH, int32)
    components = np.int32(num.shape[1])
    for r in range(np.int32(_cuda.threadIdx.x), components, _THREADS):
        den = lengths[r]
        halves[r], lasts[r] = den >> (scale + 1), (den * trail) >> (8 + scale)
        inverses[r], starts[r] = 0.5 / np.float64(den), np.float64(den) + 0.5
    _cuda.syncthreads()
    n, m = _item(np.int32(factors.shape[2]))
    if m >= factors.shape[2]:
        return
    size = np.int64(np.uint32(factors.shape[2]))
    first = np.int64(n) * components * size + m
    stride = gw + 4
    y = _row_of(m, stride)
    x = m - y * stride
    inside = 2 <= y < gh + 2 and 2 <= x < gw + 2
    factor, rank = np.float64(np.int32(2) << scale), np.uint32(0)
    for last in range(components - 1, -1, -_BATCH):
        # All loads of a batch before the first store, behind which they would have to wait. The last batch may hold
        # component 0 more than once.
        for k in range(_BATCH):
            values[k] = 0
            if inside:
                values[k] = get(num, first + np.int64(np.uint32(max(last - k, 0))) * size)
        for k in range(_BATCH):
            r = np.uint32(max(last - k, 0))
            a, least, strong = np.int32(abs(values[k])), halves[r], lasts[r]
            rank = r if (rank == 0) & (a >= strong) else rank
            q = np.int32(0)
            if (r <= rank) & (a >= least):
                q = min(np.int32((np.float64(a) * factor + starts[r]) * inverses[r]), _MAGNITUDE_MOST)
                q = q if values[k] > 0 else np.int32(-q)
            put(factors, first + np.int64(r) * size, np.int16(q))
    ranks[n, m] = rank


def quantize(
    products: Any, lengths: Any, scale: int, trail: int, grid: tuple[int, int], factors: Any, ranks: Any
) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.quantize`."""
    blocks = len(factors) * _blocks(factors.shape[2])
    numbers = np.int32(scale), np.int32(trail), *_sides(grid)
    _quantize[blocks, _THREADS, stream()](products, lengths, *numbers, factors, ranks)


@kernel("void(int32[:,:,::1], int16[:,:,::1], int64[:,::1], int64[:,::1], int32, int32, int32, int32, int32[:,:,::1])")
def _rebase(num, factors, basis, gram, bits, scale, gh, gw, out):
    patches = gh * gw
    n, r, tile = tile_of_block(num.shape[1], (patches + _THREADS - 1) // _THREADS)
    patch = np.int32(tile * _THREADS + _cuda.threadIdx.x)
    if patch >= patches:
        return
    m = _at(patch, gw)
    rows, row = np.uint32(basis.shape[0]), np.uint32(r)
    # Most weights are zero, for all patches alike. (`range` would count in 64 bits.)
    size, first = num.shape[2], np.int64(n) * num.shape[1] * num.shape[2] + m
    value = np.int64(get(num, first + r * size))
    if row < rows:
        if row < np.uint32(basis.shape[1]):
            value = np.int64(0)
            s = np.uint32(0)
            while s < rows:
                weight = basis[s, row]
                if weight:
                    value += weight * np.int64(get(num, first + s * size))
                s = np.uint32(s + np.uint32(1))
            value >>= bits
        others = np.int64(0)
        s = np.uint32(0)
        while s < rows:
            weight = gram[s, row]
            if weight and s != row:
                others += weight * np.int64(get(factors, first + s * size))
            s = np.uint32(s + np.uint32(1))
        value = min(max(value - (others >> scale), _LOWEST), _HIGHEST)
    put(out, first + r * size, np.int32(value))


def rebase(
    products: Any, factors: Any, right: Any, gram: Any, bits: int, scale: int, grid: tuple[int, int], out: Any
) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.rebase`; the guards are left alone."""
    blocks = len(products) * products.shape[1] * _blocks(grid[0] * grid[1])
    numbers = np.int32(bits), np.int32(scale), *_sides(grid)
    _rebase[blocks, _THREADS, stream()](products, factors, right, gram, *numbers, out)


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


def first_counts(factors: Any, grid: tuple[int, int], counts: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.first_counts`."""
    _set_to_zero(counts)
    _first_counts[len(factors) * _blocks(grid[0] * grid[1]), _THREADS, stream()](factors, *_sides(grid), counts)


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


def cost_table(counts: Any, sign: int, out: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.cost_table`."""
    items = counts.shape[1] * -(-counts.shape[2] // _CLASSES)
    _cost_table[len(counts) * _blocks(items), _THREADS, stream()](counts, np.int32(sign), out)


@device_function
def _value(image, stride, y, x, gh, gw):
    """Entry (y, x) of an image of patches; zero outside."""
    if 0 <= y < gh and 0 <= x < gw:
        return np.int32(image[np.uint32((y + 2) * stride + x + 2)])
    return np.int32(0)


@kernel("void(int32[:,:,::1], int64, int32, int64, int32[:,:,::1], int32, int32, int16[:,:,::1])")
def _choose_first(num, den, scale, lam, table, gh, gw, factors):
    """A block per plane, four threads per row of patches: one for each of the residuals that depend on a choice.

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

    A thread keeps to its row, and the values around its patch move through its registers. Each wave brings one chosen
    value, (y - 1, x + 2), through shared memory, and two as they were, (y, x + 2) and (y + 1, x + 1), which are loaded
    two waves ahead, like the product: nobody writes to them before waves t + 2 and t + 4. A plane of more rows than the
    block has is done in strips of rows; above a strip all is chosen.
    """
    costs = _cuda.shared.array((FIRST_CONTEXTS, FIRST_CLASSES), int32)
    bits = _cuda.shared.array((3, 4, _FIRST_ROWS), int32)
    chosen = _cuda.shared.array(_FIRST_ROWS, int32)
    n = np.uint32(_cuda.blockIdx.x)
    thread, threads = np.uint32(_cuda.threadIdx.x), np.uint32(_cuda.blockDim.x)
    rows = np.uint32(threads // np.uint32(4))
    # Residual j is that of the patch itself or of one to the east, to the south and to the south-east. All threads of a
    # warp have the same, where a block has a multiple of 32 rows.
    j = np.uint32(thread // rows)
    row = np.uint32(thread - j * rows)
    down, right = np.int32(j // np.uint32(2)), np.int32(j & np.uint32(1))
    stride = np.int32(gw + 4)
    image, products = factors[n, 0], num[n, 0]
    for k in range(np.int32(thread), FIRST_CONTEXTS * FIRST_CLASSES, np.int32(threads)):
        context, size = np.uint32(np.uint32(k) // np.uint32(FIRST_CLASSES)), np.uint32(k & (FIRST_CLASSES - 1))
        costs[context, size] = table[n, context, size]
    for strip in range(0, gh, np.int32(rows)):
        y = np.int32(strip + np.int32(row))
        x = np.int32(-2 - 3 * np.int32(row))
        if j == 0:
            chosen[row] = 0
        _cuda.syncthreads()
        # What is new in this wave, in the next one, and in the one after: above (for the first row), beside, below.
        a, following_a = _value(image, stride, y - 1, x + 2, gh, gw), _value(image, stride, y - 1, x + 3, gh, gw)
        b, following_b = _value(image, stride, y, x + 2, gh, gw), _value(image, stride, y, x + 3, gh, gw)
        c, following_c = _value(image, stride, y + 1, x + 1, gh, gw), _value(image, stride, y + 1, x + 2, gh, gw)
        product, following = _value(products, stride, y, x, gh, gw), _value(products, stride, y, x + 1, gh, gw)
        a0 = a1 = a2 = centre = b2 = c0 = c1 = np.int32(0)
        for _ in range(gw + 2 + 3 * (min(np.int32(rows), np.int32(gh - strip)) - 1)):
            last_a = np.int32(0)
            if row == 0:
                last_a = _value(image, stride, y - 1, x + 4, gh, gw)
            last_b = _value(image, stride, y, x + 4, gh, gw)
            last_c = _value(image, stride, y + 1, x + 3, gh, gw)
            last = _value(products, stride, y, x + 2, gh, gw)
            a3 = a if row == 0 else chosen[np.uint32(row - np.uint32(1))]
            b0, b3, c2 = chosen[row], b, c
            active = 0 <= x < gw and y < gh
            if active:
                own_y, own_x = np.int32(y + down), np.int32(x + right)
                # The residual's own value and those to its west, north, north-west and north-east.
                d = b2 if j == 1 else c1 if j == 2 else c2
                west = b0 if j == 0 else c0 if j == 2 else c1
                north = a1 if j == 0 else a2 if j == 1 else b2
                corner = a0 if j == 0 else a1 if j == 1 else b0
                east = a2 if j == 0 else a3 if j == 1 else b2 if j == 2 else b3
                for k in range(3):
                    u = np.int32(centre + (k if k < 2 else -1))
                    context, size = _first_class(
                        u if j == 0 else d,
                        u if j == 1 else west,
                        u if j == 2 else north,
                        u if j == 3 else corner,
                        east,
                        own_y == 0,
                        own_x == 0,
                        own_x == gw - 1,
                    )
                    cost = np.int32(0)
                    if own_y < gh and own_x < gw:
                        cost = costs[np.uint32(context), np.uint32(size)]
                    bits[k, j, row] = cost
            _cuda.syncthreads()
            if j == 0:
                kept = np.int32(0)
                if active:
                    v, best = np.int64(product) << (scale + 1), np.int64(0)
                    for k in range(3):
                        wide = np.int64(centre + (k if k < 2 else -1))
                        together = bits[k, 0, row] + bits[k, 1, row] + bits[k, 2, row] + bits[k, 3, row]
                        cost = wide * (wide * den - v) + ((lam * np.int64(together)) >> _BIT_SHIFT)
                        if k == 0 or cost < best:
                            best, kept = cost, np.int32(wide)
                    image[np.uint32((y + 2) * stride + x + 2)] = kept
                chosen[row] = kept
            _cuda.syncthreads()
            a0, a1, a2 = a1, a2, a3
            centre, b2 = b2, b3
            c0, c1 = c1, c2
            a, b, c, product = following_a, following_b, following_c, following
            following_a, following_b, following_c, following = last_a, last_b, last_c, last
            x = np.int32(x + 1)


def choose_first(
    products: Any, length: int, scale: int, lam: int, table: Any, grid: tuple[int, int], factors: Any
) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.choose_first`."""
    strips = _blocks(grid[0], _FIRST_ROWS)
    rows = _FIRST_STEP * _blocks(grid[0], strips * _FIRST_STEP)
    numbers = np.int64(length), np.int32(scale), np.int64(lam)
    _choose_first[len(factors), 4 * rows, stream()](products, *numbers, table, *_sides(grid), factors)


def extent(ranks: Any, components: int) -> int:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.extent`: all components, to wait for nothing."""
    return components


@device_function
def _five(image, place, stride):
    """Entries of one component: of the patch itself, and of those to its west, north, northwest and northeast."""
    north = place - stride
    return get(image, place), get(image, place - 1), get(image, north), get(image, north - 1), get(image, north + 1)


@device_function
def _three(image, place, stride):
    """Entries of a component of lower frequency: of the patch itself, and of those to its east and to its south."""
    return get(image, place), get(image, place + 1), get(image, place + stride)


@device_function
def _parent(here, east, south):
    return 2 * abs(np.int32(here)) + abs(np.int32(east)) + abs(np.int32(south))


@device_function
def _count(table, context, magnitude):
    """One more in a table of two 16-bit counts in each word."""
    index = np.uint32(np.uint32(context) * np.uint32(MAGNITUDE_CLASSES) + np.uint32(magnitude))
    one = np.uint32(1 << 16) if index & np.uint32(1) else np.uint32(1)
    _cuda.atomic.add(table, np.uint32(index >> np.uint32(1)), one)


@kernel("void(int16[:,:,::1], int32[:,::1], int32[:,::1], int32, int32, uint16[:,:,:,::1], int32[:,:,::1])")
def _count_magnitudes(factors, ranks, table, gh, gw, contexts, counts):
    """A block counts in shared memory and adds that to the counts of the plane: most of its contexts are the same few.

    No count of a block of 256 patches reaches 2**16, since each patch adds at most 255 to it.
    """
    mine = _cuda.shared.array(_COUNT_WORDS, uint32)
    levels = _cuda.shared.array(_LEVELS, uint8)
    kinds = _cuda.shared.array(_COMPONENTS, uint32)
    constant = _cuda.const.array_like(_LEVEL)
    thread, patches = np.uint32(_cuda.threadIdx.x), gh * gw
    for k in range(np.int32(thread), _COUNT_WORDS, _COUNT_THREADS):
        mine[np.uint32(k)] = 0
    for k in range(np.int32(thread), _LEVELS, _COUNT_THREADS):
        levels[np.uint32(k)] = constant[np.uint32(k)]
    for k in range(np.int32(thread), np.int32(table.shape[0]), _COUNT_THREADS):
        r = np.uint32(k)
        kinds[r] = table[r, 0] | table[r, 1] << 8 | table[r, 3] << 16 | table[r, 4] << 24
    _cuda.syncthreads()
    n, _, tile = tile_of_block(1, (patches + _COUNT_THREADS - 1) // _COUNT_THREADS)
    patch = np.int32(tile * _COUNT_THREADS + np.int32(thread))
    if patch < patches:
        m, own = _at(patch, gw), np.int32(0)
        rank = ranks[n, m]
        # Places in whole arrays, with 64 bits: those beside each other are then one address and constants.
        size, stride = factors.shape[2], np.int64(gw + 4)
        first = np.int64(n) * factors.shape[1] * size + m
        further = contexts.shape[2] * size
        place, target = first + np.int64(min(rank, 1)) * size, 2 * np.int64(n) * further + m
        here, west, north, corner, other = _five(factors, place, stride)
        for r in range(np.int32(1), np.int32(rank + 1)):
            kind = kinds[np.uint32(r)]
            # Without branches, so that all loads are under way together: there is a component 0 in the place of none.
            one, two = np.uint32(kind & np.uint32(255)), np.uint32(kind >> np.uint32(8) & np.uint32(255))
            e0, e1, e2 = _three(factors, first + one * size, stride)
            d0, d1, d2 = _three(factors, first + two * size, stride)
            a = np.int32(abs(np.int32(here)))
            near = 2 * (abs(np.int32(west)) + abs(np.int32(north))) + abs(np.int32(corner)) + abs(np.int32(other))
            if r < rank:  # the loads of the next component are under way meanwhile
                place += size
                here, west, north, corner, other = _five(factors, place, stride)
            near += np.int32(min(one, np.uint32(1))) * _parent(e0, e1, e2)
            near += np.int32(min(two, np.uint32(1))) * _parent(d0, d1, d2)
            rest = np.int32(rank - r)
            inside = min(np.int32(levels[np.uint32(min(own, _LEVEL_TOP))]), np.int32(11)) * np.int32(10)
            inside += min(np.int32(levels[np.uint32(min(rest, _LEVEL_TOP))]), np.int32(9))
            inside = np.int32(inside * np.int32(6) + np.int32(kind >> np.uint32(24)))
            around = np.int32(levels[np.uint32(min(np.int32(near), _LEVEL_TOP))])
            around += np.int32(kind >> np.uint32(16) & np.uint32(255)) * np.int32(16) + np.int32(INSIDE_CONTEXTS)
            if rest == 0:
                around += np.int32(GROUPS * 16)
            target += size
            put(contexts, target, np.uint16(inside))
            put(contexts, target + further, np.uint16(around))
            _count(mine, inside, min(a, _MAGNITUDE_TOP))
            _count(mine, around, min(a, _MAGNITUDE_TOP))
            own = np.int32(own + min(a, np.int32(NEAR_LIMIT)))
    _cuda.syncthreads()
    for k in range(np.int32(thread), _COUNT_WORDS, _COUNT_THREADS):
        pair = mine[np.uint32(k)]
        if pair:
            context = np.uint32(np.uint32(k) // np.uint32(MAGNITUDE_CLASSES // 2))
            magnitude = np.uint32(2 * k) % np.uint32(MAGNITUDE_CLASSES)
            low, high = np.int32(pair & np.uint32(0xFFFF)), np.int32(pair >> np.uint32(16))
            if low:
                _cuda.atomic.add(counts, (np.uint32(n), context, np.uint32(magnitude)), low)
            if high:
                _cuda.atomic.add(counts, (np.uint32(n), context, np.uint32(magnitude + np.uint32(1))), high)


def count_magnitudes(factors: Any, ranks: Any, table: Any, grid: tuple[int, int], contexts: Any, counts: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.count_magnitudes`."""
    _set_to_zero(counts)
    blocks = len(factors) * _blocks(grid[0] * grid[1], _COUNT_THREADS)
    _count_magnitudes[blocks, _COUNT_THREADS, stream()](factors, ranks, table, *_sides(grid), contexts, counts)


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


def magnitude_prices(counts: Any, prices: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.magnitude_prices`."""
    _magnitude_prices[len(counts), _PRICE_THREADS, stream()](counts, prices)


@kernel("void(int32[:,::1], int32, int32, int32[:,::1], int32[:,:,::1])")
def _rank_classes(ranks, gh, gw, out, counts):
    n, patch = _item(gh * gw)
    if patch < gh * gw:
        m, stride = _at(patch, gw), gw + 4
        around = ranks[n, m - 1] + ranks[n, m - stride] + ranks[n, m + 1] + ranks[n, m + stride]
        kind = _length((around + 2) >> 2)
        out[n, m] = kind
        _cuda.atomic.add(counts, (n, kind, _length(ranks[n, m])), 1)


def rank_classes(ranks: Any, grid: tuple[int, int], out: Any, counts: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.rank_classes`; the guards are left alone."""
    _set_to_zero(counts)
    _rank_classes[len(ranks) * _blocks(grid[0] * grid[1]), _THREADS, stream()](ranks, *_sides(grid), out, counts)


@device_function
def _rank_cost(table, n, kind, rank):
    """Entry (kind, rank) of `costs.rank_costs`: the bit length by its frequency, each further bit one bit."""
    length = _length(rank)
    further = max(length - np.int32(1), np.int32(0))
    return np.int64(table[np.uint32(n), np.uint32(kind), np.uint32(length)]) + np.int64(256) * further


@device_function
def _sum_of_prices(prices, one, two):
    return np.int64(np.uint32(np.uint32(get(prices, one)) + np.uint32(get(prices, two))))


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
    # Places in whole arrays, as in `_count_magnitudes`.
    size, table = factors.shape[2], np.int64(n) * (MAGNITUDE_CONTEXTS * MAGNITUDE_CLASSES)
    first = np.int64(n) * factors.shape[1] * size + m
    further = contexts.shape[2] * size
    # Without components, what is loaded here is of no use.
    begin = np.int64(min(rank, 1)) * size
    place, source = first + begin, 2 * np.int64(n) * further + m + begin
    best = (lam * _rank_cost(rank_table, n, kind, np.int32(0))) >> _BIT_SHIFT
    product, entry = get(num, place), get(factors, place)
    inside, around = get(contexts, source), get(contexts, source + further)
    for r in range(np.int32(1), np.int32(rank + 1)):
        v, positive, a = np.int64(np.uint32(abs(product))) << (scale + 1), product > 0, np.uint32(abs(np.int32(entry)))
        one = table + np.uint32(np.uint32(inside) * np.uint32(MAGNITUDE_CLASSES))
        two = table + np.uint32(np.uint32(around) * np.uint32(MAGNITUDE_CLASSES))
        here = place
        if r < rank:  # the loads of the next component are under way meanwhile
            place += size
            source += size
            product, entry = get(num, place), get(factors, place)
            inside, around = get(contexts, source), get(contexts, source + further)
        # So are all prices that may be wanted; they used to wait for each other.
        top = min(a, np.uint32(_MAGNITUDE_TOP))
        below = np.uint32(top - min(top, np.uint32(1)))
        cost = (lam * _sum_of_prices(prices, one, two)) >> _TWO_SHIFT
        most, fewer = _sum_of_prices(prices, one + top, two + top), _sum_of_prices(prices, one + below, two + below)
        if a:
            # Squared lengths are at most 9 * 2**28, see `basis.updated_basis`.
            den = np.int64(np.uint32(lengths[np.uint32(r)]))
            u = np.uint32(0)
            high = np.int64(a) * (np.int64(a) * den - v) + ((lam * most) >> _TWO_SHIFT)
            if high < cost:
                u, cost = a, high
            if a > 1:
                less = np.int64(np.uint32(a - np.uint32(1)))
                low = less * (less * den - v) + ((lam * fewer) >> _TWO_SHIFT)
                if low < cost:
                    u, cost = np.uint32(a - np.uint32(1)), low
            put(factors, here, np.int16(np.int32(u) if positive else -np.int32(u)))
            if u:
                whole = total + cost + ((lam * _rank_cost(rank_table, n, kind, np.int32(r))) >> _BIT_SHIFT)
                if whole < best:
                    best, kept = whole, np.int32(r)
        total += cost
    place = first + kept * size
    for _ in range(kept, rank):
        place += size
        put(factors, place, np.int16(0))
    ranks[n, m] = kept


def choose(
    products: Any,
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
) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.choose`."""
    numbers = np.int32(scale), np.int64(lam), contexts, prices, classes, rank_table, *_sides(grid)
    _choose[len(factors) * _blocks(grid[0] * grid[1]), _THREADS, stream()](products, lengths, *numbers, factors, ranks)


@device_function
def _entry(factors, place, r, rank, limit):
    """Component r of a patch, zero beyond its rank."""
    value = np.int32(0)
    if r <= rank:
        value = min(max(np.int32(get(factors, place)), np.int32(-limit)), limit)
    return value


@template("void(int16[:,:,::1], int32[:,::1], int32[::1], int32, int32, int32[:,:,::1])", (8,), (16,))
def _multiply(p: int) -> Callable[..., None]:
    octets, tiles, steps = p * p // 8, p * p // 16, p * p // 32
    quads, lines = p // 4, 16 // p

    def multiply(factors, ranks, weights, limit, scale, planes):
        """All samples of 32 patches, over the components up to the largest active rank among those patches.

        A lane is a patch, a warp makes 16 samples at a time.
        """
        entries = _cuda.shared.array((2, octets, _PITCH), uint64)
        results = _cuda.shared.array((_ROWS, _PITCH), int32)
        starts = _cuda.shared.array(_TILE, int64)
        deepest = _cuda.shared.array(1, int32)
        sums = _cuda.local.array((_GROUPS, 4), int32)
        height, width = planes.shape[1], planes.shape[2]
        gw = np.int32(width // p)
        patches = np.int32(height // p * gw)
        n, _, part = tile_of_block(1, (patches + _TILE - 1) // _TILE)
        lane, warp = _lane_and_warp()
        patch = np.int32(part * _TILE + lane)
        m, rank = np.int32(0), np.int32(-1)
        if patch < patches:
            m = _at(patch, gw)
            rank = min(ranks[n, m], np.int32(factors.shape[1] - 1))
        size = factors.shape[2]
        first = np.int64(n) * factors.shape[1] * size + m
        if warp == 0:
            if lane == 0:
                deepest[0] = 0
            y = _row_of(patch, gw)
            starts[lane] = -1
            if patch < patches:
                starts[lane] = (np.int64(n) * height + y * p) * width + (patch - y * gw) * p
        _cuda.syncthreads()
        if warp == 0:
            _cuda.atomic.max(deepest, 0, rank)
        _cuda.syncthreads()
        used = np.int32(deepest[0] // 32 + 1)
        for octet in range(np.int32(warp), np.int32(used * 4), _WARPS):
            r = np.int32(octet * 8)
            place = first + r * size
            _split(
                entries,
                octet,
                lane,
                _entry(factors, place, r, rank, limit),
                _entry(factors, place + size, r + 1, rank, limit),
                _entry(factors, place + 2 * size, r + 2, rank, limit),
                _entry(factors, place + 3 * size, r + 3, rank, limit),
                _entry(factors, place + 4 * size, r + 4, rank, limit),
                _entry(factors, place + 5 * size, r + 5, rank, limit),
                _entry(factors, place + 6 * size, r + 6, rank, limit),
                _entry(factors, place + 7 * size, r + 7, rank, limit),
            )
        _cuda.syncthreads()
        half = np.int32(1 << (scale - 1))
        for t in range(tiles // _WARPS):
            tile = np.uint32(warp + np.uint32(t * _WARPS))
            _product(weights, entries, tile, steps, used, lane, sums)
            for j in range(_GROUPS):
                for i in range(4):
                    sums[j, i] = np.int32(sums[j, i] + half) >> scale
            _exchange(sums, results, warp, lane)
            _cuda.syncthreads()
            # Lanes beside each other write four samples each of one row.
            column = np.uint32((lane & np.uint32(quads - 1)) * np.uint32(4))
            for k in range(quads):
                s = np.uint32((lane // np.uint32(quads)) + np.uint32(k * (_TILE // quads)))
                start = starts[s]
                if start >= 0:
                    start += tile * lines * width + column
                    for i in range(lines):
                        row = np.uint32(warp * np.uint32(16) + column + np.uint32(i * p))
                        put_four(
                            planes,
                            start + i * width,
                            results[row, s],
                            results[np.uint32(row + np.uint32(1)), s],
                            results[np.uint32(row + np.uint32(2)), s],
                            results[np.uint32(row + np.uint32(3)), s],
                        )
            _cuda.syncthreads()

    return multiply


@template("void(int16[:,:,::1], int32[:,::1], int32[::1], int32, int32, int32[:,:,::1])", (2,), (4,))
def _multiply_few(p: int) -> Callable[..., None]:
    count = p * p  # the size of an array that is none of the memory's has to be a constant

    def multiply_few(factors, ranks, weights, limit, scale, planes):
        """A thread is a patch: its samples stay in registers."""
        sums = _cuda.local.array(count, int32)
        width, gw = planes.shape[2], np.int32(planes.shape[2] // p)
        patches = np.int32(planes.shape[1] // p * gw)
        n, patch = _item(patches)
        if patch >= patches:
            return
        m, y = _at(patch, gw), _row_of(patch, gw)
        size = factors.shape[2]
        place = np.int64(n) * factors.shape[1] * size + m
        for k in range(count):
            sums[k] = np.int32(1 << (scale - 1))
        rank = min(ranks[n, m], np.int32(factors.shape[1] - 1))
        for r in range(np.int32(rank + 1)):
            u = _entry(factors, place + r * size, r, rank, limit)
            for k in range(count):
                sums[k] = np.int32(sums[k] + u * weights[np.int32(r * count + k)])
        start = (np.int64(n) * planes.shape[1] + y * p) * width + (patch - y * gw) * p
        for k in range(count):
            put(planes, start + k // p * width + k % p, np.int32(sums[k] >> scale))

    return multiply_few


def product(factors: Any, ranks: Any, weights: Any, limit: int, scale: int, patch_size: int, out: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.product`."""
    patches = (out.shape[1] // patch_size) * (out.shape[2] // patch_size)
    numbers = np.int32(limit), np.int32(scale)
    if patch_size**2 < _TENSOR_SAMPLES:
        blocks = len(out) * _blocks(patches)
        _multiply_few(patch_size)[blocks, _THREADS, stream()](factors, ranks, weights, *numbers, out)
        return
    blocks = len(out) * _blocks(patches, _TILE)
    _multiply(patch_size)[blocks, _TILE * _WARPS, stream()](factors, ranks, weights, *numbers, out)


@kernel("void(int32[:,:,::1], int32[:,:,::1])")
def _normalize(products, local):
    """A thread is a patch, which runs through the components; those beside each other read neighbouring words."""
    gw = np.int32(local.shape[2])
    patches = np.int32(local.shape[1] * gw)
    n, patch = _item(patches)
    if patch >= patches:
        return
    m, y = _at(patch, gw), _row_of(patch, gw)
    step = local[n, y, np.int32(patch - y * gw)]
    inverse = np.int64(np.uint32((32 << INVERSE_BITS) + step) // np.uint32(2 * step))
    size = products.shape[2]
    place = np.int64(n) * products.shape[1] * size + m
    for _ in range(1, products.shape[1]):
        place += size
        found = (np.int64(get(products, place)) * inverse + _INVERSE_HALF) >> _INVERSE_SHIFT
        put(products, place, np.int32(min(max(found, _LOWEST), _HIGHEST)))


def normalize(products: Any, local: Any, grid: tuple[int, int]) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.normalize`; the guards are left alone."""
    _normalize[len(products) * _blocks(grid[0] * grid[1]), _THREADS, stream()](products, local)


@template("void(int16[:,:,::1], int32[:,:,::1], int32, int32, int32, int32[:,:,::1])", (2,), (4,), (8,), (16,))
def _denormalize(p: int) -> Callable[..., None]:
    def denormalize(factors, local, first, limit, scale, planes):
        """A thread is a column of a row of patches: p samples, one below the other."""
        width, gw = np.int32(planes.shape[2]), np.int32(local.shape[2])
        n, column = _item(np.int32(local.shape[1] * width))
        y = _row_of(column, width)
        if y >= local.shape[1]:
            return
        x = np.int32(column - y * width)
        patch = np.int32(np.uint32(x) // np.uint32(p))
        u = np.int32(factors[n, 0, np.int32((y + 2) * (gw + 4) + 2 + patch)])
        u = min(max(u, np.int32(-limit)), limit)
        mean = np.int32(np.int32(u * first) + np.int32(1 << (scale - 1))) >> scale
        step = local[n, y, patch]
        for i in range(p):
            far = min(max(np.int32(planes[n, y * p + i, x] - mean), _NEAREST), _FARTHEST)
            planes[n, y * p + i, x] = np.int32(mean + (np.int32(np.int32(far * step) + 8) >> 4))

    return denormalize


def denormalize(factors: Any, local: Any, first: int, limit: int, scale: int, patch_size: int, out: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.denormalize`."""
    blocks = len(out) * _blocks(local.shape[1] * out.shape[2])
    numbers = np.int32(first), np.int32(limit), np.int32(scale)
    _denormalize(patch_size)[blocks, _THREADS, stream()](factors, local, *numbers, out)


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


def proxy(planes: Any, patch_size: int, step: int, out: Any) -> None:
    """Counterpart of :func:`imfnb.factorization.rdoq.reference.proxy`."""
    blocks = len(planes) * (planes.shape[1] // patch_size) * _blocks(planes.shape[2])
    _proxy(patch_size)[blocks, _THREADS, stream()](planes, np.int32(step), out)
