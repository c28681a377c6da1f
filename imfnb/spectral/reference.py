"""The stage in plain NumPy, and what each kernel does.

Ranges: a sample less its offset is within +-2**25, a weight of `forward` within +-2**18 and there are at most 2**10 of
them; a plane is within +-2**17, an entry of V within +-2**24 and there are at most 2**10 columns. So all sums stay
below 2**53, and are exact in int64 and, in any order, in float64.
"""

from __future__ import annotations

import numpy as np

from ..format.lapped import INPUT_LIMIT
from .tuning import PLANE_LIMIT

__all__ = ["forward", "inverse", "limit"]


def forward(samples: np.ndarray, offsets: np.ndarray, weights: np.ndarray, shift: int, planes: np.ndarray) -> None:
    """Pixels to planes: U = (X - offsets) W, rounded half up and clamped.

    Parameters
    ----------
    samples : array of int32, shape (H, W, C)
        The array, within +-RANGE_LIMIT.
    offsets : array of int32, shape (C,)
        What is taken from every band.
    weights : array of int32, shape (C, K)
        W in 2**-shift, within +-2**18.
    shift : int
        Fractional bits of the weights, 0 to 40.
    planes : array of int32, shape (K, H, W)
        Receives the planes, within +-PLANE_LIMIT.
    """
    sums = (samples.astype(np.int64) - offsets) @ weights.astype(np.int64)
    found = (sums + ((1 << shift) >> 1)) >> shift
    planes[...] = np.moveaxis(np.clip(found, -PLANE_LIMIT, PLANE_LIMIT), 2, 0)


def inverse(
    planes: np.ndarray, offsets: np.ndarray, matrix: np.ndarray, shift: int, low: int, high: int, out: np.ndarray
) -> None:
    """Planes to pixels: X = offsets + 2**-shift U V^T, rounded half up and clamped to [low, high].

    Parameters
    ----------
    planes : array of int32, shape (K, H, W)
        Decoded planes, within +-2**17.
    offsets : array of int32, shape (C,)
        What is added to every band.
    matrix : array of int32, shape (C, K)
        V, of the bands that are wanted.
    shift : int
        Fractional bits of V, 0 to SHIFT_MAX.
    low, high : int
        Range of the samples.
    out : array of int32, shape (H, W, C)
        Receives the array.
    """
    sums = np.moveaxis(planes, 0, 2).astype(np.int64) @ matrix.T.astype(np.int64)
    out[...] = np.clip(offsets + ((sums + ((1 << shift) >> 1)) >> shift), low, high)


def limit(planes: np.ndarray) -> None:
    """Clamp filtered planes, in place, to what the lapped filter of a decoder does not clamp.

    Planes of fine steps use more than the range of 8-bit pictures, for which the filter proves that it is never left.

    Parameters
    ----------
    planes : array of int32, C-contiguous
        Filtered planes.
    """
    np.clip(planes, -INPUT_LIMIT, INPUT_LIMIT, out=planes)
