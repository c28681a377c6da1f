"""Patchification as CUDA kernels: counterparts of `reference` with the same bits, on the current stream.

Patches lie along the last axis, which the factorization reads sixteen at a time: rows of X^T and U^T are padded to
whole groups of sixteen. What the padding holds has no influence on anything.

Both directions work on groups of at most eight pixels of a row of a patch, and on four patches at a time: a word of X^T
or U^T. Work and traffic with 8 x 8 patches, per pixel of a plane whose width is a multiple of 8:

==========  ======================  =======================
kernel      bytes read and written  instructions
==========  ======================  =======================
patchify    1 + 1                   6
depatchify  R / 64 + 1              11 + 1.4 * ceil(R / 4)
==========  ======================  =======================

Numbers of rows, columns and patches are 32-bit, places in arrays 64-bit. Sums of int8 products are at most R * 2**14,
and so exact in int32 for the R < 2**15 that are added there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..color.cuda import rgb_to_ycbcr
from ..runtime.cuda import GRID_LIMIT, SIMULATED, TILE, blocks, cuda, device_function, kernel, stream, tiles
from ..runtime.cuda_intrinsics import (
    clip4,
    dp4a_ss,
    get,
    get_pair,
    get_word,
    put,
    put_pair,
    put_word,
    starts_at_multiple,
    transpose4,
)
from .reference import ycbcr_planes

__all__ = [
    "depatchify",
    "from_matrices",
    "host_matrix",
    "matrix_shape",
    "padded",
    "patchify",
    "patchify_ycbcr",
    "to_matrices",
]

_i32, _u32, _i64, _u64 = np.int32, np.uint32, np.int64, np.uint64

#: Pixels of a row of a patch that a thread handles.
_GROUP = 8

# Columns up to which X of bytes is turned around as a plane that is cut into its rows, which is fast, but whose grid is
# limited; and threads of a block that turns around anything else.
_WIDEST, _THREADS = 1 << 20, 8 if SIMULATED else 128


def matrix_shape(count: int, rows: int, columns: int) -> tuple[int, ...]:
    """Counterpart of :func:`imfnb.patches.reference.matrix_shape`: that of X^T."""
    return count, columns, padded(rows)


def padded(patches: int) -> int:
    """Counterpart of :func:`imfnb.patches.reference.padded`: as many bytes as a thread copies at once."""
    return patches + -patches % 16


def patchify(planes: Any, patch_height: int, patch_width: int, out: Any, first: int = 0) -> None:
    """Counterpart of :func:`imfnb.patches.reference.patchify`.

    S, the length of a row of `out`, is a multiple of 4, and so is its address.
    """
    images, height, width = planes.shape
    rows, columns, groups = _counts(height, width, patch_height, patch_width)
    grid, block = tiles(blocks(rows * columns, 4), patch_height * groups, images)
    numbers = patch_height, patch_width, rows, columns, groups, first, _unit(planes, patch_width)
    _patchify[grid, block, stream()](planes, *map(np.int32, numbers), out)


def patchify_ycbcr(
    images: Any, subsample: bool, patch_size: int | None, y: Any, cb: Any, cr: Any, array: Callable[..., Any]
) -> None:
    """Counterpart of :func:`imfnb.patches.reference.patchify_ycbcr`."""
    planes = ycbcr_planes(images, subsample, array)
    rgb_to_ycbcr(images, *planes)
    for plane, out in zip(planes, (y, cb, cr), strict=True):
        height, width = (1, plane.shape[2]) if patch_size is None else (patch_size, patch_size)
        patchify(plane, height, width, out)


def depatchify(
    u: Any, v: Any, rank: int, patch_height: int, patch_width: int, planes: Any, bound: int, first: int = 0
) -> None:
    """Counterpart of :func:`imfnb.patches.reference.depatchify`; S should be that of :func:`padded`."""
    images, height, width = planes.shape
    rows, columns, groups = _counts(height, width, patch_height, patch_width)
    down = min(_DOWN, patch_height * groups)
    grid = blocks(rows * columns, _PATCHES), blocks(patch_height * groups, down), images
    if _in_words(u, v, patch_width, first) and max(grid[1:]) <= GRID_LIMIT:
        sides = patch_height, patch_width, rows, columns, groups, _LANES // columns, _LANES % columns
        numbers = rank, *sides, first, _unit(planes, patch_width)
        _depatchify_words[grid, (_LANES, down), stream()](u, v, *map(np.int32, numbers), planes)
    else:
        grid, block = tiles(width, height, images)
        few = rank, patch_height, patch_width, columns, first
        _depatchify[grid, block, stream()](u, v, *map(np.int32, few), planes)


def from_matrices(matrices: Any, out: Any) -> None:
    """Counterpart of :func:`imfnb.patches.reference.from_matrices`."""
    if matrices.dtype == np.uint8 and matrices.shape[2] <= _WIDEST:
        patchify(matrices, 1, matrices.shape[2], out)
    else:
        to_matrices(matrices, out)


def to_matrices(x: Any, out: Any) -> None:
    """Counterpart of :func:`imfnb.patches.reference.to_matrices`."""
    grid = blocks(out.shape[1] * out.shape[2], _THREADS), out.shape[0]
    _transpose[grid, _THREADS, stream()](x, out)


def host_matrix(x: np.ndarray, rows: int) -> np.ndarray:
    """Counterpart of :func:`imfnb.patches.reference.host_matrix`."""
    return x[:, :rows].T.copy(order="F")


@kernel(*(f"void({x}[:,:,::1], {x}[:,:,::1])" for x in ("int8", "int16", "int32", "int64", "uint8", "float64")))
def _transpose(source, out):
    """A thread for each entry of the result, of which those beyond the source are left alone."""
    i, z = cuda.grid(1), cuda.blockIdx.y
    row, column = i // out.shape[2], i % out.shape[2]
    if row < out.shape[1] and column < source.shape[1]:
        out[z, row, column] = source[z, column, row]


def _in_words(u: Any, v: Any, patch_width: int, first: int) -> bool:
    """Whether factors are bytes that can be read four at a time. (2**15 components: numbers of rows fit an int32.)"""
    whole = u.shape[2] | v.shape[2] | first | patch_width
    small = u.dtype == np.int8 and u.shape[1] < 1 << 15
    return small and whole % 4 == 0 and starts_at_multiple(u, 4) and starts_at_multiple(v, 4)


def _counts(height: int, width: int, patch_height: int, patch_width: int) -> tuple[int, int, int]:
    """Rows and columns of patches of a plane, and groups of pixels of a row of a patch."""
    return blocks(height, patch_height), blocks(width, patch_width), blocks(patch_width, _GROUP)


def _unit(planes: Any, patch_width: int) -> int:
    """Bytes that kernels may read or write at once (8, 4 or 1): the rows of every patch begin at multiples of that."""
    for size in (8, 4):
        if planes.shape[2] % size == 0 and patch_width % size == 0 and starts_at_multiple(planes, size):
            return size
    return 1


@device_function
def _reflect(index, size):
    """Position that `index` >= 0 has after reflection at both ends of 0 .. size - 1."""
    if index < size:
        return index
    if size == 1:
        return _i32(0)
    period = _u32(2 * (size - 1))
    index = _i32(_u32(index) % period)
    return index if index < size else _i32(_i32(period) - index)


@device_function
def _split(index, size):
    """Quotient and remainder of int32 that are not negative; the unsigned division is the short one."""
    quotient = _i32(_u32(index) // _u32(size))
    return quotient, _i32(index - quotient * size)


@device_function
def _grid():
    """Column, row and plane of a thread in the grid of `tiles`."""
    x = _i32(cuda.blockIdx.x * TILE[0] + cuda.threadIdx.x)
    y = _i32(cuda.blockIdx.y * TILE[1] + cuda.threadIdx.y)
    return x, y, _i32(cuda.blockIdx.z)


@device_function
def _group(index, groups):
    """Row and first column in a patch of a group of pixels."""
    if groups == 1:  # spares 8 x 8 patches a division
        return index, _i32(0)
    y, x = _split(index, groups)
    return y, _i32(_GROUP * x)


@device_function
def _next(row, column, rows, columns):
    """Row and column of the patch after another, or of itself where that is the last."""
    if _i32(column + 1) < columns:
        return row, _i32(column + 1)
    if _i32(row + 1) < rows:
        return _i32(row + 1), _i32(0)
    return row, column


@device_function
def _place(i, width, j):
    """Place of column `j` of row `i` in a plane."""
    return _i64(_u32(i)) * _i64(_u32(width)) + _i64(_u32(j))


@device_function
def _four_pixels(planes, start, j, width, unit):
    """The word of columns `j` to `j` + 3, a multiple of 4, of the row of the extended plane that begins at `start`."""
    if unit >= 4 and _i32(j + 4) <= width:
        return get_word(planes, start + j)
    word = _u32(0)
    for k in range(4):
        word = _u32(word | _u32(get(planes, start + _reflect(_i32(j + k), width))) << _u32(8 * k))
    return word


@kernel("void(uint8[:,:,::1], int32, int32, int32, int32, int32, int32, int32, uint8[:,:,::1])")
def _patchify(planes, patch_height, patch_width, rows, columns, groups, first, unit, out):
    """A thread makes a word of X^T, four patches, for each pixel of a group; neighbours make neighbouring words.

    A word that reaches beyond the last patch repeats that.
    """
    quad, group, z = _grid()
    height, width = _i32(planes.shape[1]), _i32(planes.shape[2])
    y, x = _group(group, groups)
    row0, column0 = _split(_i32(4 * quad), columns)
    if row0 >= rows or y >= patch_height:
        return
    row1, column1 = _next(row0, column0, rows, columns)
    row2, column2 = _next(row1, column1, rows, columns)
    row3, column3 = _next(row2, column2, rows, columns)
    i0, i1 = _i32(row0 * patch_height + y), _i32(row1 * patch_height + y)
    i2, i3 = _i32(row2 * patch_height + y), _i32(row3 * patch_height + y)
    j0, j1 = _i32(column0 * patch_width + x), _i32(column1 * patch_width + x)
    j2, j3 = _i32(column2 * patch_width + x), _i32(column3 * patch_width + x)
    plane = _i64(z) * planes.shape[1] * planes.shape[2]
    step = out.shape[2]
    target = (_i64(z) * out.shape[1] + _i32(first + y * patch_width + x)) * step + _i32(4 * quad)
    if unit == 8 and i3 < height and _i32(max(max(j0, j1), max(j2, j3)) + _GROUP) <= width:
        a0, b0 = get_pair(planes, plane + _place(i0, width, j0))
        a1, b1 = get_pair(planes, plane + _place(i1, width, j1))
        a2, b2 = get_pair(planes, plane + _place(i2, width, j2))
        a3, b3 = get_pair(planes, plane + _place(i3, width, j3))
        _put_column(out, target, step, _i32(4), a0, a1, a2, a3)
        _put_column(out, target + 4 * step, step, _i32(4), b0, b1, b2, b3)
        return
    i0, i1, i2, i3 = _reflect(i0, height), _reflect(i1, height), _reflect(i2, height), _reflect(i3, height)
    start0, start1 = plane + _place(i0, width, _i32(0)), plane + _place(i1, width, _i32(0))
    start2, start3 = plane + _place(i2, width, _i32(0)), plane + _place(i3, width, _i32(0))
    for k in range(_i32(0), min(_i32(_GROUP), _i32(patch_width - x)), _i32(4)):
        a0 = _four_pixels(planes, start0, _i32(j0 + k), width, unit)
        a1 = _four_pixels(planes, start1, _i32(j1 + k), width, unit)
        a2 = _four_pixels(planes, start2, _i32(j2 + k), width, unit)
        a3 = _four_pixels(planes, start3, _i32(j3 + k), width, unit)
        _put_column(out, target + k * step, step, _i32(patch_width - x - k), a0, a1, a2, a3)


@device_function
def _put_column(out, target, step, size, a0, a1, a2, a3):
    """Write up to four words, `step` bytes apart: those of the pixels of four patches."""
    b0, b1, b2, b3 = transpose4(a0, a1, a2, a3)
    put_word(out, target, b0)
    if size > 1:
        put_word(out, target + step, b1)
    if size > 2:
        put_word(out, target + 2 * step, b2)
    if size > 3:
        put_word(out, target + 3 * step, b3)


@kernel(
    "void(int8[:,:,::1], int8[:,:,::1], int32, int32, int32, int32, int32, uint8[:,:,::1])",
    "void(int16[:,:,::1], int16[:,:,::1], int32, int32, int32, int32, int32, uint8[:,:,::1])",
)
def _depatchify(u, v, rank, patch_height, patch_width, columns, first, planes):
    """A thread for each pixel. Sums of integers, in 64 bits since R * 2**30 may pass 2**31."""
    j, i, z = _grid()
    height, width = _i32(planes.shape[1]), _i32(planes.shape[2])
    if i >= height or j >= width:
        return
    row, y = _split(i, patch_height)
    column, x = _split(j, patch_width)
    left = _i64(z) * u.shape[1] * u.shape[2] + _place(row, columns, column)
    right = _i64(z) * v.shape[1] * v.shape[2] + _i32(first + y * patch_width + x)
    total = _i64(0)
    for _ in range(rank):
        total += _i64(_i32(get(u, left))) * _i64(_i32(get(v, right)))
        left, right = left + u.shape[2], right + v.shape[2]
    put(planes, (_i64(z) * height + i) * width + j, np.uint8(min(max(total, _i64(0)), _i64(255))))


# Threads across and down of a block of `_depatchify_words`: each thread has one group of pixels of four patches, which
# lie _LANES patches apart so that neighbours write to neighbouring patches. Components come in tiles of _TILE fours.
_LANES, _DOWN, _TILE = TILE[0], 2 * TILE[1], TILE[0] // 4
_PATCHES, _SUMS, _PAIRS = 4 * _LANES, 4 * _GROUP, _GROUP // 2
# The words of patch m of a tile lie at m % 4 * _SPREAD + m // 4: no two threads of a warp meet in a bank.
_SPREAD = _LANES + _LANES // 4
_WORDS_OF_U, _PAIRS_OF_V = 4 * _SPREAD, _DOWN * _PAIRS
_ALL_OF_U, _ALL_OF_V = _TILE * _WORDS_OF_U, _TILE * _PAIRS_OF_V


@device_function
def _four_components(factor, image, component, rank, at):
    """Words of four neighbouring columns of a factor, from `at` on: four components of each, zero from `rank` on."""
    step = _i64(_u32(factor.shape[2]))
    start = _place(_i32(image * _i32(factor.shape[1]) + component), step, at)
    first = get_word(factor, start)
    second = get_word(factor, start + step) if _i32(component + 1) < rank else _u32(0)
    third = get_word(factor, start + 2 * step) if _i32(component + 2) < rank else _u32(0)
    fourth = get_word(factor, start + 3 * step) if _i32(component + 3) < rank else _u32(0)
    return transpose4(first, second, third, fourth)


@device_function
def _stage_u(u, image, r, rank, words):
    """Put components from `r` on of a block's patches into `words`."""
    lane, k = _i32(cuda.threadIdx.x), _i32(cuda.threadIdx.y)
    at = _i32(cuda.blockIdx.x * _PATCHES + 4 * lane)
    component = _i32(r + 4 * k)
    while at < _i32(u.shape[2]) and k < _TILE and component < rank:
        w0, w1, w2, w3 = _four_components(u, image, component, rank, at)
        place = _i32(k * _WORDS_OF_U + lane)
        put(words, place, w0)
        put(words, _i32(place + _SPREAD), w1)
        put(words, _i32(place + 2 * _SPREAD), w2)
        put(words, _i32(place + 3 * _SPREAD), w3)
        k = _i32(k + cuda.blockDim.y)
        component = _i32(component + 4 * cuda.blockDim.y)


@device_function
def _stage_v(v, image, r, rank, n, size, pairs):
    """Put components from `r` on of the `size` pixels from `n` on, those of a row of threads, into `pairs` of words."""
    lane = _i32(cuda.threadIdx.x)
    k, c = lane >> 1, _i32(4 * (lane & 1))
    component = _i32(r + 4 * k)
    if k < _TILE and component < rank and c < size:
        w0, w1, w2, w3 = _four_components(v, image, component, rank, _i32(n + c))
        place = _i32(k * _PAIRS_OF_V + cuda.threadIdx.y * _PAIRS + (c >> 1))
        put(pairs, place, _u64(w0) | _u64(w1) << _u64(32))
        put(pairs, _i32(place + 1), _u64(w2) | _u64(w3) << _u64(32))


@kernel(
    "void(int8[:,:,::1], int8[:,:,::1], int32, int32, int32, int32, int32, int32, int32, int32, int32, int32, "
    "uint8[:,:,::1])"
)
def _depatchify_words(
    u, v, rank, patch_height, patch_width, rows, columns, groups, step_rows, step_columns, first, unit, planes
):
    """Dot products of four components at a time, from words that a block puts together for its patches.

    Patches and pixels that are not there are computed from whatever memory holds, and not written. `step_rows` and
    `step_columns` lead from a patch to that _LANES patches on.
    """
    of_u = cuda.shared.array(_ALL_OF_U, np.uint32)
    of_v = cuda.shared.array(_ALL_OF_V, np.uint64)
    sums = cuda.local.array(_SUMS, np.int32)
    for s in range(_SUMS):
        sums[s] = 0
    lane, down, image = _i32(cuda.threadIdx.x), _i32(cuda.threadIdx.y), _i32(cuda.blockIdx.z)
    y, x = _group(_i32(cuda.blockIdx.y * cuda.blockDim.y + down), groups)
    size = min(_i32(_GROUP), _i32(patch_width - x)) if y < patch_height else _i32(0)
    r = _i32(0)
    while r < rank:
        _stage_u(u, image, r, rank, of_u)
        _stage_v(v, image, r, rank, _i32(first + y * patch_width + x), size, of_v)
        cuda.syncthreads()
        left, right = _i64((lane & 3) * _SPREAD + (lane >> 2)), _i64(down * _PAIRS)
        last = _i32(min(_i32(rank - r + 3) >> 2, _i32(_TILE)) - 1) * _PAIRS_OF_V
        while right <= last + down * _PAIRS:
            for c in range(_PAIRS):
                pair = get(of_v, right + c)
                low, high = _u32(pair), _u32(pair >> _u64(32))
                for place in range(4):
                    word = get(of_u, left + place * (_LANES // 4))
                    s = place * _GROUP + 2 * c
                    sums[s] = dp4a_ss(word, low, sums[s])
                    sums[s + 1] = dp4a_ss(word, high, sums[s + 1])
            left, right = left + _WORDS_OF_U, right + _PAIRS_OF_V
        cuda.syncthreads()
        r = _i32(r + 4 * _TILE)
    row, column = _split(_i32(cuda.blockIdx.x * _PATCHES + lane), columns)
    for place in range(4):
        s = place * _GROUP
        low = clip4(sums[s], sums[s + 1], sums[s + 2], sums[s + 3])
        high = clip4(sums[s + 4], sums[s + 5], sums[s + 6], sums[s + 7])
        if row < rows:
            i, j = _i32(row * patch_height + y), _i32(column * patch_width + x)
            _put_group(planes, image, i, j, size, low, high, unit)
        row, column = _i32(row + step_rows), _i32(column + step_columns)
        if column >= columns:
            row, column = _i32(row + 1), _i32(column - columns)


@device_function
def _put_group(planes, image, i, j, size, low, high, unit):
    """Write up to `size` bytes of two words to row `i` from column `j` on, as far as the plane reaches."""
    height, width = _i32(planes.shape[1]), _i32(planes.shape[2])
    size = min(size, _i32(width - j))
    if i >= height or size <= 0:
        return
    at = _i64(_u32(image)) * _i64(_u32(planes.shape[1])) * planes.shape[2] + _place(i, width, j)
    if unit == 8:
        put_pair(planes, at, low, high)
    elif unit == 4:
        put_word(planes, at, low)
        if size == _GROUP:
            put_word(planes, at + 4, high)
    else:
        for c in range(_GROUP):
            if c < size:
                put(planes, at + c, np.uint8((low if c < 4 else high) >> _u32(8 * (c % 4)) & _u32(255)))
