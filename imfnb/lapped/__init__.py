"""Lapped stage: planes <-> planes whose patches overlap (time-domain lapped transform, Tran, Liang and Tu 2003).

`forward` filters across every patch border before patchification, `inverse` undoes it behind the decoder, which removes
block edges and 9% of the bits. The filter is orthogonal: the squared error of the factorization is that of the plane.
Image borders are left unfiltered. `tables` has the definition and the proof of the ranges.
"""

from __future__ import annotations

import numpy as np

from .._backend import kernels

__all__ = ["forward", "inverse"]


def forward(plane: np.ndarray, patch_size: int, device: str) -> np.ndarray:
    """Filter a plane across the borders of its patches.

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W)
        Centred samples with four fractional bits, within +-2048; H and W are multiples of `patch_size`.
    patch_size : {8, 16}
        Side of a patch.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    ndarray of int32, shape (H, W)
        The filtered plane, within +-2**14.
    """
    return kernels("lapped", device).forward(plane, patch_size)


def inverse(plane: np.ndarray, patch_size: int, device: str, out: np.ndarray | None = None) -> np.ndarray:
    """Undo :func:`forward` up to rounding: at most two units of 1/16.

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W)
        A filtered plane; samples beyond +-(2**14 - 1) are clamped first.
    patch_size : {8, 16}
        Side of a patch.
    device : {"cpu", "reference"}
        Which kernels to use.
    out : ndarray of int32, shape (H, W), C-contiguous, optional
        Receives the result; may be `plane` itself.

    Returns
    -------
    ndarray of int32, shape (H, W)
        Centred samples with four fractional bits.
    """
    out = np.empty(plane.shape, np.int32) if out is None else out
    kernels("lapped", device).inverse(plane, patch_size, out)
    return out
