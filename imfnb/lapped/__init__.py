"""Lapped stage: planes <-> planes whose patches overlap (time-domain lapped transform, Tran, Liang and Tu 2003).

`forward` filters across every patch border before patchification, `inverse` undoes it behind the decoder, which removes
block edges and 9% of the bits. For pairs of samples at equal distance to the left and the right of a border, from near
to far::

    s = l + r,  d = V (l - r),  l' = (s + d) / 2,  r' = (s - d) / 2        V orthogonal

The filter is orthogonal: the squared error of the factorization is that of the plane. Image borders are left
unfiltered. `format.lapped` has the definition and the proof of the ranges.
"""

from __future__ import annotations

import numpy as np

__all__ = ["continue_plane", "halo"]


def halo(patch_size: int) -> int:
    """Rows, in either direction, on which a row behind `inverse` depends: those around the next patch border."""
    return patch_size // 2


def continue_plane(plane: np.ndarray, out: np.ndarray) -> None:
    """Copy a plane (H, W) and go on to whole patches: its last column and row are repeated.

    Parameters
    ----------
    plane : ndarray of int32 or int16, shape (H, W)
        Samples.
    out : ndarray of int32, shape (H', W')
        Receives them; H' and W' are at least H and W.
    """
    height, width = plane.shape
    out[:height, :width] = plane
    out[:height, width:] = out[:height, width - 1 : width]
    out[height:] = out[height - 1]
