"""Lapped pre- and post-filter, plain NumPy. `tables.py` holds the definition and the proof of the ranges."""
from __future__ import annotations

import numpy as np

from .tables import INPUT_LIMIT, ROTATION_BITS, rotation


def _filter_rows(plane: np.ndarray, p: int, matrix: np.ndarray) -> None:
    """Filter across the horizontal patch borders of an (H, W) int32 plane, in place."""
    half = p // 2
    shape = (plane.shape[0] // p - 1, p, plane.shape[1])
    bands = plane[half:plane.shape[0] - half].reshape(shape)
    upper = bands[:, half - 1::-1]
    lower = bands[:, half:]
    total = upper + lower
    rotated = np.einsum("ij,bjx->bix", matrix, upper - lower)
    bands[:, half - 1::-1] = ((total << ROTATION_BITS) + rotated + (1 << ROTATION_BITS)) >> (ROTATION_BITS + 1)
    bands[:, half:] = ((total << ROTATION_BITS) - rotated + (1 << ROTATION_BITS)) >> (ROTATION_BITS + 1)


def forward(plane: np.ndarray, patch_size: int) -> np.ndarray:
    """Return the pre-filtered copy of a plane.

    Parameters
    ----------
    plane : int32 array of shape (H, W)
        Centred samples with 4 fractional bits, |sample| <= 2048; H and W multiples of patch_size.
    patch_size : int
        8 or 16.

    Returns
    -------
    int32 array of shape (H, W)
    """
    out = plane.astype(np.int32)
    matrix = rotation(patch_size)
    _filter_rows(out, patch_size, matrix)
    turned = np.ascontiguousarray(out.T)
    _filter_rows(turned, patch_size, matrix)
    return np.ascontiguousarray(turned.T)


def inverse(plane: np.ndarray, patch_size: int, out: np.ndarray | None = None) -> np.ndarray:
    """Return the post-filtered plane, in out if given: undoes `forward` up to rounding (at most 2 units of 1 / 16).

    Same parameters and result as `forward` otherwise; samples beyond +-INPUT_LIMIT are clamped first.
    """
    turned = np.ascontiguousarray(np.clip(plane, -INPUT_LIMIT, INPUT_LIMIT).astype(np.int32).T)
    matrix = rotation(patch_size).T
    _filter_rows(turned, patch_size, matrix)
    out = np.empty(plane.shape, np.int32) if out is None else out
    out[:] = turned.T
    _filter_rows(out, patch_size, matrix)
    return out
