"""Lapped pre- and post-filter, one thread of Numba. Same integers as `reference.py`."""
from __future__ import annotations

import numpy as np

from .._jit import kernel
from .tables import INPUT_LIMIT, ROTATION_BITS, rotation

_HALF_UNIT = 1 << ROTATION_BITS


@kernel()
def _filter_rows(plane, p, matrix):
    """Filter across the horizontal patch borders of an (H, W) int32 plane, in place; x is the SIMD lane."""
    height, width = plane.shape
    half = p // 2
    difference = np.empty((half, width), np.int32)
    rotated = np.empty(width, np.int32)
    for border in range(p, height, p):
        for i in range(half):
            for x in range(width):
                difference[i, x] = plane[border - 1 - i, x] - plane[border + i, x]
        for i in range(half):
            rotated[:] = 0
            for j in range(half):
                weight = matrix[i, j]
                for x in range(width):
                    rotated[x] += np.int32(weight * difference[j, x])
            for x in range(width):
                total = np.int32((plane[border - 1 - i, x] + plane[border + i, x]) << ROTATION_BITS)
                turned = rotated[x]
                plane[border - 1 - i, x] = (total + turned + _HALF_UNIT) >> (ROTATION_BITS + 1)
                plane[border + i, x] = (total - turned + _HALF_UNIT) >> (ROTATION_BITS + 1)


@kernel()
def _transpose(source, target):
    """Write source (H, W) turned to target (W, H), in 16 x 16 tiles so that both stay in cache."""
    height, width = source.shape
    for y0 in range(0, height, 16):
        for x0 in range(0, width, 16):
            for x in range(x0, min(x0 + 16, width)):
                for y in range(y0, min(y0 + 16, height)):
                    target[x, y] = source[y, x]


@kernel()
def _forward(plane, p, matrix):
    out = plane.copy()
    turned = np.empty((plane.shape[1], plane.shape[0]), np.int32)
    _filter_rows(out, p, matrix)
    _transpose(out, turned)
    _filter_rows(turned, p, matrix)
    _transpose(turned, out)
    return out


@kernel()
def _inverse(plane, p, matrix):
    out = np.empty_like(plane)
    turned = np.empty((plane.shape[1], plane.shape[0]), np.int32)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            out[y, x] = min(max(plane[y, x], -INPUT_LIMIT), INPUT_LIMIT)
    _transpose(out, turned)
    _filter_rows(turned, p, matrix)
    _transpose(turned, out)
    _filter_rows(out, p, matrix)
    return out


def forward(plane: np.ndarray, patch_size: int) -> np.ndarray:
    """Return the pre-filtered copy of a plane, int32 (H, W); see `reference.forward`."""
    return _forward(np.ascontiguousarray(plane, np.int32), patch_size, rotation(patch_size))


def inverse(plane: np.ndarray, patch_size: int) -> np.ndarray:
    """Return the post-filtered copy of a plane, int32 (H, W); see `reference.inverse`."""
    return _inverse(np.ascontiguousarray(plane, np.int32), patch_size, np.ascontiguousarray(rotation(patch_size).T))
