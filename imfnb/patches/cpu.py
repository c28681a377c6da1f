"""Patchification as `@njit` kernels: counterparts of `reference` with the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..color.cpu import rgb_to_planes_420, rgb_to_planes_444, rgb_to_ycbcr
from ..runtime.jit import kernel
from ..runtime.vectors import DOTS, WIDTH
from . import reference, to_blocks
from .reference import from_matrices, host_matrix, matrix_shape, padded, to_matrices
from .tiles import CHUNK, multiply, multiply_bytes, unzip

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


@kernel()
def _reflect(index, size):
    """Position that `index` >= 0 has after reflection at both ends of 0 .. size - 1."""
    if index < size:
        return index
    if size == 1:
        return 0
    period = 2 * (size - 1)
    index %= period
    return index if index < size else period - index


@kernel()
def _unzip(row, column, p, out, position, stride):
    if p == 4:  # the size of a patch is a constant of the machine code
        unzip(row, column, 4, out, position, stride)
    elif p == 8:
        unzip(row, column, 8, out, position, stride)
    elif p == 16:
        unzip(row, column, 16, out, position, stride)
    else:
        unzip(row, column, 32, out, position, stride)


@kernel()
def _patchify_row(plane, top, p, m, row, corner, first, out):
    """Write the patches whose upper row is row `top` of a plane to blocks, from patch m and row `first` of X^T on.

    Below its last row and to its right the plane goes on by reflection. `row` and `corner` are scratch: a row of
    samples, and vectors of patches that do not fit a block.
    """
    height, width = plane.shape
    columns, lanes = -(-width // p), out.shape[2]
    for y in range(p):
        line = plane[_reflect(top + y, height)]
        for x in range(width):
            row[x] = line[x]
        for x in range(width, columns * p):
            row[x] = line[_reflect(x, width)]
        column = 0
        while column < columns:
            block, lane = (m + column) // lanes, (m + column) % lanes
            run, place = min(lanes - lane, columns - column), ((block * out.shape[1]) + first + y * p) * lanes + lane
            # Whole vectors are written. The last one may begin earlier, or go on where the next row will be written.
            if run >= WIDTH or (lane + WIDTH <= lanes and block + 1 < out.shape[0]):
                for i in range(0, run - WIDTH + 1, WIDTH):
                    _unzip(row, column + i, p, out, place + i, lanes)
                if run % WIDTH:
                    last = max(run - WIDTH, 0)
                    _unzip(row, column + last, p, out, place + last, lanes)
            else:
                _unzip(row, column, p, corner, 0, WIDTH)
                for x in range(p):
                    for i in range(run):
                        out[block, first + y * p + x, lane + i] = corner[x, i]
            column += run


@kernel()
def _scratch(width, p):
    """Room for a row of samples and WIDTH patches beyond it, and for WIDTH patches of a row."""
    return np.zeros((-(-width // p) + WIDTH) * p, np.uint8), np.empty((p, WIDTH), np.uint8)


@kernel()
def _patchify(plane, patch_size, first, out):
    """Write the patches of a plane to blocks, to rows of X^T from `first` on."""
    columns = -(-plane.shape[1] // patch_size)
    row, corner = _scratch(plane.shape[1], patch_size)
    for k in range(-(-plane.shape[0] // patch_size)):
        _patchify_row(plane, k * patch_size, patch_size, k * columns, row, corner, first, out)


def patchify(planes: np.ndarray, patch_height: int, patch_width: int, out: np.ndarray, first: int = 0) -> None:
    """Counterpart of :func:`imfnb.patches.reference.patchify`."""
    for plane, blocks in zip(planes, out, strict=True):
        if patch_height == 1:
            to_blocks(plane, blocks[:, first : first + patch_width])
            continue
        blocks[-1, first : first + patch_height * patch_width] = 0  # all but lanes of the last block will be written
        _patchify(plane, patch_height, first, blocks)


@kernel()
def _patchify_strip(strip, first, p, start, stop, row, corner, out):
    """Write the rows `start` to `stop` of patches to blocks; `strip` begins with row `first` of patches."""
    for k in range(start, stop):
        _patchify_row(strip, (k - first) * p, p, k * -(-strip.shape[1] // p), row, corner, 0, out)


@kernel()
def _patchify_ycbcr(image, subsample, patch_size, y, cb, cr):
    """Convert an image and write the patches of its planes to blocks.

    A strip of the image goes through both stages while it is in the cache.
    """
    height, width = image.shape[:2]
    p, scale = patch_size, 2 if subsample else 1
    half_width = -(-width // scale)
    luma = np.empty((2 * scale * p, width), np.uint8)
    blue, red = np.empty((2 * p, half_width), np.uint8), np.empty((2 * p, half_width), np.uint8)
    row, corner = _scratch(width, p)
    half_row, _ = _scratch(half_width, p)
    rows = -(-height // p)
    strips = -(-height // (scale * p))
    for k in range(strips):
        # Reflection in the last strip may reach into the one before it.
        first = k - 1 if k and k == strips - 1 else k
        top, bottom = first * scale * p, min((k + 1) * scale * p, height)
        visible, half_visible = bottom - top, -(-(bottom - top) // scale)
        luma_strip, blue_strip, red_strip = luma[:visible], blue[:half_visible], red[:half_visible]
        if subsample:
            rgb_to_planes_420(image[top:bottom], luma_strip, blue_strip, red_strip)
        else:
            rgb_to_planes_444(image[top:bottom], luma_strip, blue_strip, red_strip)
        _patchify_strip(luma_strip, first * scale, p, k * scale, min((k + 1) * scale, rows), row, corner, y)
        _patchify_strip(blue_strip, first, p, k, k + 1, half_row, corner, cb)
        _patchify_strip(red_strip, first, p, k, k + 1, half_row, corner, cr)


def patchify_ycbcr(
    images: np.ndarray,
    subsample: bool,
    patch_size: int | None,
    y: np.ndarray,
    cb: np.ndarray,
    cr: np.ndarray,
    array: Callable[..., Any],
) -> None:
    """Counterpart of :func:`imfnb.patches.reference.patchify_ycbcr`; for patches in one pass over the image."""
    if patch_size is None:
        planes = reference.ycbcr_planes(images, subsample, array)
        rgb_to_ycbcr(images, *planes)
        for plane, out in zip(planes, (y, cb, cr), strict=True):
            patchify(plane, 1, plane.shape[2], out)
        return
    for image, *blocks in zip(images, y, cb, cr, strict=True):
        for x in blocks:
            x[-1] = 0  # all but lanes of the last block will be written
        _patchify_ycbcr(image, subsample, patch_size, *blocks)


@kernel()
def _place(patch, top, left, patch_height, patch_width, plane):
    """Write a patch to its place in a plane, as far as that goes."""
    visible_rows, visible = min(patch_height, plane.shape[0] - top), min(patch_width, plane.shape[1] - left)
    for y in range(visible_rows):
        for x in range(visible):
            plane[top + y, left + x] = patch[y * patch_width + x]


@kernel()
def _depatchify_floats(u, vt, patch_height, patch_width, plane):
    """`depatchify` in the dtype of vt."""
    rank, pixels = vt.shape
    rows, columns = -(-plane.shape[0] // patch_height), -(-plane.shape[1] // patch_width)
    basis = np.zeros((rank, -(-pixels // CHUNK) * CHUNK), vt.dtype)
    for r in range(rank):
        for n in range(pixels):
            basis[r, n] = vt[r, n]
    patch = np.empty(basis.shape[1], np.uint8)
    weights = np.empty(rank, vt.dtype)
    for row in range(rows):
        for column in range(columns):
            for r in range(rank):
                weights[r] = u[row * columns + column, r]
            top, left = row * patch_height, column * patch_width
            if patch_height == patch_width == 8 and top + 8 <= plane.shape[0] and left + 8 <= plane.shape[1]:
                multiply(weights, basis, 0, plane, top * plane.shape[1] + left, plane.shape[1], 8)
                continue
            for chunk in range(0, pixels, CHUNK):
                multiply(weights, basis, chunk, patch, chunk, 0, 0)
            _place(patch, top, left, patch_height, patch_width, plane)


@kernel()
def _depatchify_bytes(u, vt, patch_height, patch_width, plane):
    """`depatchify` for factors of bytes, of which those in u are made unsigned by 128 that the sums begin without."""
    rank, pixels = vt.shape
    rows, columns = -(-plane.shape[0] // patch_height), -(-plane.shape[1] // patch_width)
    quads, padded = -(-rank // 4), -(-pixels // CHUNK) * CHUNK
    basis, start = np.zeros((quads, padded), np.int32), np.zeros(padded, np.int32)
    for r in range(rank):
        for n in range(pixels):
            basis[r // 4, n] |= np.int32((np.int64(vt[r, n]) & 0xFF) << (8 * (r % 4)))
            start[n] -= np.int32(128 * vt[r, n])
    patch, weights = np.empty(padded, np.uint8), np.empty((quads, columns), np.int32)
    for row in range(rows):
        weights[:] = 0
        for r in range(rank):
            line, column, shift = weights[r // 4], u[row * columns : (row + 1) * columns, r], np.int32(8 * (r % 4))
            for x in range(columns):
                line[x] |= np.int32(np.int32(np.int32(column[x]) + np.int32(128)) << shift)
        for column in range(columns):
            top, left = row * patch_height, column * patch_width
            if patch_height == patch_width == 8 and top + 8 <= plane.shape[0] and left + 8 <= plane.shape[1]:
                multiply_bytes(weights, column, basis, start, 0, plane, top * plane.shape[1] + left, plane.shape[1], 8)
                continue
            for chunk in range(0, pixels, CHUNK):
                multiply_bytes(weights, column, basis, start, chunk, patch, chunk, 0, 0)
            _place(patch, top, left, patch_height, patch_width, plane)


def depatchify(
    u: np.ndarray,
    v: np.ndarray,
    rank: int,
    patch_height: int,
    patch_width: int,
    planes: np.ndarray,
    bound: int,
    first: int = 0,
) -> None:
    """Counterpart of :func:`imfnb.patches.reference.depatchify`; adds factors of bytes in integers where it can."""
    dtype = np.float32 if rank * bound * bound < 2**24 else np.float64
    chosen = slice(first, first + patch_height * patch_width)
    for left, right, plane in zip(u, v, planes, strict=True):
        vt = np.ascontiguousarray(right[:rank, chosen], dtype)
        small = left.dtype == np.int8 and dtype == np.float32 and vt.min() >= -128 and vt.max() <= 127
        multiply_factors = _depatchify_bytes if small and DOTS else _depatchify_floats
        multiply_factors(np.ascontiguousarray(left[:rank]).T, vt, patch_height, patch_width, plane)
