"""Differences sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

__all__ = ["PEAK", "image_pair", "mae", "psnr"]

#: Largest sample of an 8-bit image.
PEAK = 255.0

_PIECE = 1 << 18


def image_pair(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Both images as arrays; an OptionError if they are not uint8 or cannot be compared."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise OptionError(f"images must be uint8, found {a.dtype} and {b.dtype}; convert with astype(numpy.uint8)")
    if a.shape != b.shape or a.size == 0:
        raise OptionError(f"images must have one shape and at least one sample, found {a.shape} and {b.shape}")
    return a, b


def _differences(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Iterator[NDArray[np.int32]]:
    """a - b in pieces, which bound the memory to a few megabytes for any image."""
    a, b = a.reshape(-1), b.reshape(-1)
    for start in range(0, a.size, _PIECE):
        yield a[start : start + _PIECE].astype(np.int32) - b[start : start + _PIECE]


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio over all samples of two 8-bit images.

    Parameters
    ----------
    a, b : ndarray of uint8, any shape, the same for both
        The images; every sample of every channel weighs the same.

    Returns
    -------
    float
        ``10 log10(255**2 / mean((a - b)**2))`` in dB, ``inf`` when the images are equal.

    Raises
    ------
    OptionError
        If an array is not uint8, the shapes differ or there are no samples.
    """
    a, b = image_pair(a, b)
    # Integers sum without error in any order.
    squared_error = sum(int(np.sum(piece * piece, dtype=np.int64)) for piece in _differences(a, b))
    if squared_error == 0:
        return math.inf
    return 10.0 * math.log10(PEAK * PEAK * a.size / squared_error)


def mae(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean absolute error over all samples of two 8-bit images.

    Parameters
    ----------
    a, b : ndarray of uint8, any shape, the same for both
        The images; every sample of every channel weighs the same.

    Returns
    -------
    float
        ``mean(|a - b|)`` in gray levels, 0 to 255.

    Raises
    ------
    OptionError
        If an array is not uint8, the shapes differ or there are no samples.
    """
    a, b = image_pair(a, b)
    return sum(int(np.sum(np.abs(piece), dtype=np.int64)) for piece in _differences(a, b)) / a.size
