"""Lapped pre- and post-filter, one thread of Numba. Same integers as `reference.py`."""
from __future__ import annotations

import numpy as np

from .._jit import kernel
from .tables import INPUT_LIMIT, rotation
from .tiles import filter_across, filter_border

_LOW, _HIGH = np.int32(-INPUT_LIMIT), np.int32(INPUT_LIMIT)


@kernel()
def _filter(plane, p, matrix, inverted):
    """Filter a plane in both directions, in place.

    Both directions take turns from one patch border to the next, so that rows are still in the cache for the second.
    """
    height, half = plane.shape[0], p // 2
    for border in range(p, height + p, p):
        first, last = (0 if border == p else border - half), min(border + half, height)
        if inverted:
            _across(plane, first, last, matrix, p)
        if border < height and p == 8:  # the size of a patch is a constant of the machine code
            filter_border(plane, border, matrix, 8)
        elif border < height:
            filter_border(plane, border, matrix, 16)
        if not inverted:
            _across(plane, first, last, matrix, p)


@kernel()
def _across(plane, first, last, matrix, p):
    if p == 8:
        filter_across(plane, first, last, matrix, 8)
    else:
        filter_across(plane, first, last, matrix, 16)


@kernel()
def _clamp(plane, out):
    for y in range(plane.shape[0]):
        source, target = plane[y], out[y]
        for x in range(source.size):
            target[x] = min(max(source[x], _LOW), _HIGH)


def forward(plane: np.ndarray, patch_size: int) -> np.ndarray:
    """Return the pre-filtered copy of a plane, int32 (H, W); see `reference.forward`."""
    out = np.array(plane, np.int32, order="C")
    _filter(out, patch_size, rotation(patch_size), False)
    return out


def inverse(plane: np.ndarray, patch_size: int, out: np.ndarray | None = None) -> np.ndarray:
    """Return the post-filtered plane, int32 (H, W), in out if given; see `reference.inverse`."""
    out = np.empty(plane.shape, np.int32) if out is None else out
    _clamp(np.ascontiguousarray(plane, np.int32), out)
    _filter(out, patch_size, np.ascontiguousarray(rotation(patch_size).T), True)
    return out
