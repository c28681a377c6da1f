"""Quality of decoded images and distances between rate-distortion curves.

SciPy and scikit-image are optional dependencies: they are imported by the functions that need them, so that importing
this module costs NumPy only.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import OptionError

__all__ = ["bd_psnr", "bd_rate", "psnr", "ssim"]

_PEAK = 255.0
_PIECE = 1 << 18


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
    a, b = _image_pair(a, b)
    a, b = a.reshape(-1), b.reshape(-1)
    squared_error = 0
    # Integers sum without error in any order; pieces bound the memory to a few megabytes for any image.
    for start in range(0, a.size, _PIECE):
        difference = a[start : start + _PIECE].astype(np.int32) - b[start : start + _PIECE]
        squared_error += int(np.sum(difference * difference, dtype=np.int64))
    if squared_error == 0:
        return math.inf
    return 10.0 * math.log10(_PEAK * _PEAK * a.size / squared_error)


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean structural similarity of two 8-bit images, as scikit-image computes it.

    The 7x7 uniform window and the mean over channels are scikit-image's defaults; the data range is 255. (The figures
    published with lrf use the range of each image instead and are therefore not comparable.)

    Parameters
    ----------
    a, b : ndarray of uint8, shape (H, W) or (H, W, C), the same for both
        The images; both sides at least 7 samples.

    Returns
    -------
    float
        Mean SSIM, at most 1.

    Raises
    ------
    OptionError
        If an array is not uint8, the shapes differ, are not those of an image, or have a side below 7.
    """
    from skimage.metrics import structural_similarity

    a, b = _image_pair(a, b)
    if a.ndim not in (2, 3) or min(a.shape[:2]) < 7:
        raise OptionError(f"ssim needs images of shape (H, W) or (H, W, C) with H, W >= 7, found {a.shape}")
    channel_axis = 2 if a.ndim == 3 else None
    return float(structural_similarity(a, b, channel_axis=channel_axis, data_range=_PEAK))


def bd_rate(rate_ref: ArrayLike, psnr_ref: ArrayLike, rate: ArrayLike, psnr: ArrayLike) -> float:
    """Bjontegaard delta rate: mean difference in bits at equal quality.

    The logarithm of the rate is interpolated over PSNR by a piecewise cubic (PCHIP, as in the common test conditions of
    the video coding groups), and the difference is averaged over the PSNR range that both curves cover.

    Parameters
    ----------
    rate_ref, rate : array_like of float, shape (n,) and (m,)
        Rates in any unit, the same for both (bits per pixel, bytes); positive.
    psnr_ref, psnr : array_like of float, shape (n,) and (m,)
        Quality in dB at these rates. Points that need at least the rate of a better one are left out, and so are
        points of infinite quality.

    Returns
    -------
    float
        Percent; negative where the curve needs fewer bits than the reference. ``nan`` when the ranges do not overlap
        or a curve keeps fewer than two points.

    Raises
    ------
    OptionError
        If the lengths of a curve's arrays differ or a rate is not positive.
    """
    x_ref, y_ref = _curve(rate_ref, psnr_ref)
    x, y = _curve(rate, psnr)
    mean = _mean_gap(y_ref, x_ref, y, x)
    return 100.0 * math.expm1(mean) if math.isfinite(mean) else math.nan


def bd_psnr(rate_ref: ArrayLike, psnr_ref: ArrayLike, rate: ArrayLike, psnr: ArrayLike) -> float:
    """Bjontegaard delta PSNR: mean difference in quality at equal rate.

    PSNR is interpolated over the logarithm of the rate by a piecewise cubic (PCHIP), and the difference is averaged
    over the range of log rate that both curves cover.

    Parameters
    ----------
    rate_ref, psnr_ref, rate, psnr : array_like of float
        As in `bd_rate`.

    Returns
    -------
    float
        dB; positive where the curve is better than the reference, ``nan`` as in `bd_rate`.

    Raises
    ------
    OptionError
        As in `bd_rate`.
    """
    x_ref, y_ref = _curve(rate_ref, psnr_ref)
    x, y = _curve(rate, psnr)
    return _mean_gap(x_ref, y_ref, x, y)


def _image_pair(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise OptionError(f"images must be uint8, found {a.dtype} and {b.dtype}; convert with astype(numpy.uint8)")
    if a.shape != b.shape or a.size == 0:
        raise OptionError(f"images must have one shape and at least one sample, found {a.shape} and {b.shape}")
    return a, b


def _curve(rate: ArrayLike, quality: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log rate and PSNR of the efficient points, both strictly increasing, as the interpolation wants them."""
    x = np.asarray(rate, np.float64)
    y = np.asarray(quality, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise OptionError(f"a curve is two vectors of one length, found shapes {x.shape} and {y.shape}")
    if not np.all(x > 0.0):
        raise OptionError("rates must be positive")
    finite = np.isfinite(y)
    x, y = x[finite], y[finite]
    order = np.lexsort((-y, x))
    x, y = x[order], y[order]
    # In order of rate, with the best first among equals, a point is efficient when it beats all cheaper ones.
    best_before = np.maximum.accumulate(np.concatenate(([-np.inf], y)))[:-1]
    efficient = y > best_before
    return np.log(x[efficient]), y[efficient]


def _mean_gap(
    x_ref: NDArray[np.float64], y_ref: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> float:
    """Mean of y(x) - y_ref(x) over the common range of x; nan when there is none."""
    if x_ref.size < 2 or x.size < 2:
        return math.nan
    low, high = max(x_ref[0], x[0]), min(x_ref[-1], x[-1])
    if not low < high:
        return math.nan
    from scipy.interpolate import PchipInterpolator

    area_ref = PchipInterpolator(x_ref, y_ref).integrate(low, high)
    area = PchipInterpolator(x, y).integrate(low, high)
    return float((area - area_ref) / (high - low))
