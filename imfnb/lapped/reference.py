"""Lapped pre- and post-filter, plain NumPy. `format.lapped` holds the definition and the proof of the ranges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..format.lapped import INPUT_LIMIT, ROTATION_BITS, rotation
from . import continue_plane

__all__ = ["forward", "inverse"]


def _filter_rows(plane: np.ndarray, p: int, matrix: np.ndarray) -> None:
    """Filter across the horizontal patch borders of an (H, W) int32 plane, in place."""
    half = p // 2
    shape = (plane.shape[0] // p - 1, p, plane.shape[1])
    bands = plane[half : plane.shape[0] - half].reshape(shape)
    upper = bands[:, half - 1 :: -1]
    lower = bands[:, half:]
    total = upper + lower
    rotated = np.einsum("ij,bjx->bix", matrix, upper - lower)
    bands[:, half - 1 :: -1] = ((total << ROTATION_BITS) + rotated + (1 << ROTATION_BITS)) >> (ROTATION_BITS + 1)
    bands[:, half:] = ((total << ROTATION_BITS) - rotated + (1 << ROTATION_BITS)) >> (ROTATION_BITS + 1)


def forward(
    planes: np.ndarray, patch_size: int, out: np.ndarray, which: Sequence[int], rows: slice | None = None
) -> None:
    """Filter planes, continued to whole patches on the way, across the borders of their patches.

    Parameters
    ----------
    planes : array of int32, shape (B, H, W)
        Centred samples with four fractional bits, within +-2048. On the CPU they may be of int16, too.
    patch_size : {8, 16}
        Side of a patch.
    out : array of int32, shape (K, H', W')
        Receives the filtered planes, within +-2**14; H' and W' are H (or the number of `rows`) and W rounded up to
        whole patches, and the last row and column of a plane are repeated. Not `planes`.
    which : array of int32, shape (K,), or on the CPU sequence of int
        Numbers of the planes to filter.
    rows : slice, optional
        Filter these rows as if they were all; with start and stop.
    """
    matrix = rotation(patch_size)
    for target, n in zip(out, which, strict=True):
        continue_plane(planes[n] if rows is None else planes[n, rows], target)
        _filter_rows(target, patch_size, matrix)
        turned = np.ascontiguousarray(target.T)
        _filter_rows(turned, patch_size, matrix)
        target[...] = turned.T


def inverse(planes: np.ndarray, patch_size: int, out: np.ndarray, which: Sequence[int]) -> None:
    """Undo :func:`forward` up to rounding (at most two units of 1/16), and cut planes to their own size.

    Parameters
    ----------
    planes : array of int32, shape (K, H', W')
        Filtered planes of whole patches; samples beyond +-(2**14 - 1) are clamped first. The CPU overwrites them where
        H' or W' is not H or W.
    patch_size : {2, 4, 8, 16}
        Side of a patch; below 8 in pictures that are decoded at a smaller size.
    out : array of int32, shape (B, H, W)
        Receives the planes; samples beyond H and W are dropped. On the CPU a single plane may stay where it is: `out`
        then begins where `planes` begins. On the GPU they share no memory.
    which : array of int32, shape (K,), or on the CPU sequence of int
        Numbers of the planes of `out` that are written.
    """
    matrix = rotation(patch_size).T
    height, width = out.shape[1:]
    for plane, n in zip(planes, which, strict=True):
        turned = np.ascontiguousarray(np.clip(plane, -INPUT_LIMIT, INPUT_LIMIT).astype(np.int32).T)
        _filter_rows(turned, patch_size, matrix)
        whole = np.ascontiguousarray(turned.T)
        _filter_rows(whole, patch_size, matrix)
        out[n] = whole[:height, :width]
