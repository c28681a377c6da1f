"""Restoration filter: removes part of the quantization noise of a decoded plane.

Every pixel falls into one of 25 classes (five activities by five directions, from second differences in a 5x5 window,
relative to the step) and is corrected by its class's symmetric 7x7 diamond filter on clipped neighbour differences; a
second pass with a 5x5 diamond follows. The filters were learned by least squares
(``benchmarks/train_restoration.py``), one set per range of the step for luma and one for chroma. All arithmetic is
integer: every backend gives the same samples.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .._backend import kernels

__all__ = ["filter_set", "restore", "squared_error"]


def restore(
    plane: NDArray[np.int32], step: int, chroma: bool, device: str, out: NDArray[np.int32] | None = None
) -> NDArray[np.int32]:
    """Restore a decoded plane.

    Parameters
    ----------
    plane : ndarray of int32, shape (H, W), H and W at least 1
        Decoded samples, centred, in sixteenths of a gray level. Values beyond +-2**14 are clamped.
    step : int
        Step of the plane in 1/64 gray level, at least 1.
    chroma : bool
        Whether the plane is a chroma plane; the filters differ.
    device : {"cpu", "reference"}
        Which kernels to use; both give the same samples.
    out : ndarray of int32, shape (H, W), optional
        Receives the result; may be `plane` itself.

    Returns
    -------
    ndarray of int32, shape (H, W)
        Restored samples in the unit of `plane`, within +-2**14.
    """
    filters, limits = filter_set(step, chroma)
    out = np.empty(plane.shape, np.int32) if out is None else out
    kernels("restoration", device).restore(plane, step, filters, limits, out)
    return out


def squared_error(a: NDArray[np.int32], b: NDArray[np.int32], device: str) -> int:
    """Sum of the squared differences of two planes, exactly.

    Parameters
    ----------
    a, b : ndarray of int32, shape (H, W)
        Samples within +-2**14.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    int
        The sum.
    """
    return int(kernels("restoration", device).squared_error(a, b))


@lru_cache(maxsize=64)
def filter_set(step: int, chroma: bool) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Filters and clipping limits for a step.

    Parameters
    ----------
    step : int
        Quantization step in 1/64 gray level.
    chroma : bool
        Whether the plane is a chroma plane.

    Returns
    -------
    filters : ndarray of int16, shape (2, 25, 2, 12), read-only
        Coefficients per pass, class, clipping limit and tap, in 1/256.
    limits : ndarray of int32, shape (2, 2), read-only
        Clipping limits per pass, in sixteenths of the step.
    """
    from . import tables
    from .reference import CLASSES, LIMITS, PASSES, TAPS, TAPS_PER_PASS

    index = bisect_right(tables.STEP_BORDERS, step)
    filters = np.zeros((PASSES, CLASSES, LIMITS, len(TAPS)), np.int16)
    texts = (tables.CHROMA if chroma else tables.LUMA)[index]
    for target, text, taps in zip(filters, texts, TAPS_PER_PASS, strict=True):
        target[:, :, :taps] = np.array(text.split(), np.int16).reshape(CLASSES, LIMITS, taps)
    limits = np.array(tables.CLIPPING_LIMITS[index], np.int32)
    filters.flags.writeable = limits.flags.writeable = False
    return filters, limits
