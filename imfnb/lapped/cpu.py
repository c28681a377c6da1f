"""Lapped pre- and post-filter, one thread of Numba. Same integers as `reference.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..format.lapped import INPUT_LIMIT, rotation
from ..runtime.jit import kernel
from . import continue_plane
from .tiles import filter_across, filter_border

__all__ = ["forward", "inverse"]

# Rows that are copied at a time where a plane is cut to its own size: what is read of one piece is behind all that the
# pieces before have written, so that the target may begin where the source does.
_PIECE = 256

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
        if border < height:
            if p == 8:  # the size of a patch is a constant of the machine code
                filter_border(plane, border, matrix, 8)
            elif p == 16:
                filter_border(plane, border, matrix, 16)
            elif p == 4:
                filter_border(plane, border, matrix, 4)
            else:
                filter_border(plane, border, matrix, 2)
        if not inverted:
            _across(plane, first, last, matrix, p)


@kernel()
def _across(plane, first, last, matrix, p):
    if p == 8:
        filter_across(plane, first, last, matrix, 8)
    elif p == 16:
        filter_across(plane, first, last, matrix, 16)
    elif p == 4:
        filter_across(plane, first, last, matrix, 4)
    else:
        filter_across(plane, first, last, matrix, 2)


@kernel()
def _clamp(plane, out):
    for y in range(plane.shape[0]):
        source, target = plane[y], out[y]
        for x in range(source.size):
            target[x] = min(max(source[x], _LOW), _HIGH)


def forward(
    planes: np.ndarray, patch_size: int, out: np.ndarray, which: Sequence[int], rows: slice | None = None
) -> None:
    """Counterpart of :func:`imfnb.lapped.reference.forward`."""
    for target, n in zip(out, which, strict=True):
        continue_plane(planes[n] if rows is None else planes[n, rows], target)
        _filter(target, patch_size, rotation(patch_size), False)


def inverse(planes: np.ndarray, patch_size: int, out: np.ndarray, which: Sequence[int]) -> None:
    """Counterpart of :func:`imfnb.lapped.reference.inverse`, without a copy of a plane that has whole patches anyway.

    Others are filtered where they are, and then copied as far as `out` has samples.
    """
    height, width = out.shape[1:]
    matrix = np.ascontiguousarray(rotation(patch_size).T)
    for plane, n in zip(planes, which, strict=True):
        plane = np.ascontiguousarray(plane, np.int32)
        whole = out[n] if plane.shape == (height, width) else plane
        _clamp(plane, whole)
        _filter(whole, patch_size, matrix, True)
        if whole is plane:
            for top in range(0, height, _PIECE):
                piece = slice(top, min(top + _PIECE, height))
                out[n, piece] = plane[piece, :width]
