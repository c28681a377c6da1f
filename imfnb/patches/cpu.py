"""Patchification as `@njit` kernels; same names and same bits as `reference`."""

from __future__ import annotations

import numpy as np

from .._jit import EXACT, kernel

__all__ = ["depatchify", "patchify"]


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
def patchify(plane, patch_size, out):
    """Twin of :func:`imfnb.patches.reference.patchify`."""
    height, width = plane.shape
    rows, columns = -(-height // patch_size), -(-width // patch_size)
    inside = width // patch_size
    for row in range(rows):
        for y in range(patch_size):
            line = plane[_reflect(row * patch_size + y, height)]
            for x in range(patch_size):
                target = out[y * patch_size + x, row * columns : (row + 1) * columns]
                for column in range(inside):
                    target[column] = line[column * patch_size + x]
                if inside < columns:
                    target[inside] = line[_reflect(inside * patch_size + x, width)]


@kernel(fastmath=EXACT)
def depatchify(u, vt, patch_height, patch_width, plane):
    """Twin of :func:`imfnb.patches.reference.depatchify`."""
    height, width = plane.shape
    rank, pixels = vt.shape
    rows, columns = -(-height // patch_height), -(-width // patch_width)
    zero, white = vt.dtype.type(0), vt.dtype.type(255)
    total = np.empty(pixels, vt.dtype)
    patch = np.empty(pixels, np.uint8)
    for row in range(rows):
        visible_rows = min(patch_height, height - row * patch_height)
        for column in range(columns):
            m = row * columns + column
            total[:] = zero
            for r in range(0, rank - 1, 2):  # two components at a time halve the loads and stores of the sums
                first, second = vt.dtype.type(u[m, r]), vt.dtype.type(u[m, r + 1])
                basis, other = vt[r], vt[r + 1]
                for n in range(pixels):
                    total[n] += first * basis[n] + second * other[n]
            if rank % 2:
                first, basis = vt.dtype.type(u[m, rank - 1]), vt[rank - 1]
                for n in range(pixels):
                    total[n] += first * basis[n]
            # Clamping a whole patch at once, before the short rows are copied, is what vectorises.
            for n in range(pixels):
                patch[n] = np.uint8(min(max(total[n], zero), white))
            x0 = column * patch_width
            visible = min(patch_width, width - x0)
            for y in range(visible_rows):
                line = plane[row * patch_height + y, x0 : x0 + visible]
                source = patch[y * patch_width : y * patch_width + visible]
                if visible == 8:  # a literal length becomes one move: 0.5 instead of 0.9 ms for 768x512
                    for x in range(8):
                        line[x] = source[x]
                else:
                    for x in range(visible):
                        line[x] = source[x]
