"""Patchification as CUDA kernels; same names and same bits as `reference`, for batches of equal-shaped planes.

Patches lie along the last axis, which the factorization reads four at a time: rows of X^T and U^T are padded to whole
groups of four. What the padding holds has no influence on anything.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cuda import blocks, cuda, device_function, kernel, tiles

__all__ = ["depatchify", "padded", "patchify"]


def padded(patches: int) -> int:
    """Length of a row of X^T or U^T on the device for so many patches."""
    return patches + -patches % 4


def patchify(planes: Any, patch_height: int, patch_width: int, out: Any, first: int = 0, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.patches.reference.patchify` for a batch on the device.

    Parameters
    ----------
    planes : device array of uint8, shape (B, H, W)
        The planes.
    patch_height, patch_width : int
        Sides of a patch; 1 and W make X the plane itself.
    out : device array of uint8, shape (B, N, S)
        Receives X^T in its first M columns, from row `first` on.
    first : int
        Where the planes' pixels begin, if patches of several planes are concatenated.
    stream : stream, optional
        Where to launch.
    """
    images, height, width = planes.shape
    rows, columns = blocks(height, patch_height), blocks(width, patch_width)
    grid, block = tiles(columns * patch_width, rows * patch_height, images)
    _patchify[grid, block, stream](planes, patch_height, patch_width, first, out)


def depatchify(
    u: Any, v: Any, rank: int, patch_height: int, patch_width: int, planes: Any, first: int = 0, stream: Any = 0
) -> None:
    """Twin of :func:`imfnb.patches.reference.depatchify` for a batch on the device.

    Parameters
    ----------
    u : device array of int8 or int16, shape (B, R, S)
        U^T; the first M columns count.
    v : device array of the same dtype, shape (B, R, N)
        V^T.
    rank : int
        Number of components to use, at most R.
    patch_height, patch_width : int
        Sides of a patch.
    planes : device array of uint8, shape (B, H, W)
        Receives clip(U V^T).
    first : int
        Where the planes' pixels begin in V, if patches of several planes are concatenated.
    stream : stream, optional
        Where to launch.
    """
    images, height, width = planes.shape
    grid, block = tiles(width, height, images)
    _depatchify[grid, block, stream](u, v, rank, patch_height, patch_width, first, planes)


@device_function
def _reflect(index, size):
    """Position that `index` >= 0 has after reflection at both ends of 0 .. size - 1."""
    if index < size:
        return index
    if size == 1:
        return 0
    period = 2 * (size - 1)
    index %= period
    return index if index < size else period - index


@kernel("void(uint8[:,:,::1], int64, int64, int64, uint8[:,:,::1])")
def _patchify(planes, patch_height, patch_width, first, out):
    """A thread for each pixel of the extended plane; neighbouring threads write to neighbouring patches."""
    k, i = cuda.grid(2)
    z = cuda.blockIdx.z
    height, width = planes.shape[1], planes.shape[2]
    rows, columns = (height + patch_height - 1) // patch_height, (width + patch_width - 1) // patch_width
    if k >= columns * patch_width or i >= rows * patch_height:
        return
    x, column = k // columns, k % columns
    row, y = i // patch_height, i % patch_height
    sample = planes[z, _reflect(i, height), _reflect(column * patch_width + x, width)]
    out[z, first + y * patch_width + x, row * columns + column] = sample


@kernel(
    "void(int8[:,:,::1], int8[:,:,::1], int64, int64, int64, int64, uint8[:,:,::1])",
    "void(int16[:,:,::1], int16[:,:,::1], int64, int64, int64, int64, uint8[:,:,::1])",
)
def _depatchify(u, v, rank, patch_height, patch_width, first, planes):
    """A thread for each pixel. Sums of integers, in 64 bits since R * 2**30 may pass 2**31."""
    j, i = cuda.grid(2)
    z = cuda.blockIdx.z
    if i >= planes.shape[1] or j >= planes.shape[2]:
        return
    columns = (planes.shape[2] + patch_width - 1) // patch_width
    m = i // patch_height * columns + j // patch_width
    n = first + i % patch_height * patch_width + j % patch_width
    total = np.int64(0)
    for r in range(rank):
        total += np.int64(u[z, r, m]) * np.int64(v[z, r, n])
    planes[z, i, j] = min(max(total, np.int64(0)), np.int64(255))
