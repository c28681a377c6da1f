"""Distances between rate-distortion curves (Bjontegaard 2001)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import OptionError

__all__ = ["bd_psnr", "bd_rate"]

_METHODS = ("pchip", "akima")


def bd_rate(
    rate_ref: ArrayLike, psnr_ref: ArrayLike, rate: ArrayLike, psnr: ArrayLike, *, method: str = "pchip"
) -> float:
    """Bjontegaard delta rate: mean difference in bits at equal quality.

    The logarithm of the rate is interpolated over PSNR by piecewise cubics, and the difference is averaged over the
    PSNR range that both curves cover.

    Parameters
    ----------
    rate_ref : array_like of float, shape (n,)
        Rates of the reference in any unit (bits per pixel, bytes); positive.
    psnr_ref : array_like of float, shape (n,)
        Quality in dB at these rates. Points that need at least the rate of a better one are left out, and so are
        points of infinite quality.
    rate : array_like of float, shape (m,)
        Rates of the curve, in the same unit.
    psnr : array_like of float, shape (m,)
        Its quality at these rates.
    method : {"pchip", "akima"}, default "pchip"
        The piecewise cubic: monotone PCHIP, as in the common test conditions of the video coding groups, or Akima's,
        which Herglotz et al. (2022) found to be more accurate.

    Returns
    -------
    float
        Percent; negative where the curve needs fewer bits than the reference. ``nan`` when the ranges do not overlap
        or a curve keeps fewer than two points.

    Raises
    ------
    OptionError
        If the lengths of a curve's arrays differ, a rate is not positive or there is no such method.

    See Also
    --------
    bd_psnr : Difference in quality at equal rate.
    imfnb.evaluate.rate_distortion.run : Measures curves of codecs.

    Examples
    --------
    >>> from imfnb import metrics
    >>> rate, psnr = [0.2, 0.4, 0.8, 1.6], [28.0, 31.0, 34.0, 37.0]
    >>> round(metrics.bd_rate(rate, psnr, [0.1, 0.2, 0.4, 0.8], psnr), 6)
    -50.0
    """
    x_ref, y_ref = _curve(rate_ref, psnr_ref)
    x, y = _curve(rate, psnr)
    mean = _mean_gap(y_ref, x_ref, y, x, method)
    return 100.0 * math.expm1(mean) if math.isfinite(mean) else math.nan


def bd_psnr(
    rate_ref: ArrayLike, psnr_ref: ArrayLike, rate: ArrayLike, psnr: ArrayLike, *, method: str = "pchip"
) -> float:
    """Bjontegaard delta PSNR: mean difference in quality at equal rate.

    PSNR is interpolated over the logarithm of the rate by piecewise cubics, and the difference is averaged
    over the range of log rate that both curves cover.

    Parameters
    ----------
    rate_ref, psnr_ref, rate, psnr : array_like of float
        As in `bd_rate`.
    method : {"pchip", "akima"}, default "pchip"
        As in `bd_rate`.

    Returns
    -------
    float
        Decibels; positive where the curve is better than the reference, ``nan`` as in `bd_rate`.

    Raises
    ------
    OptionError
        As in `bd_rate`.

    See Also
    --------
    bd_rate : Difference in bits at equal quality.

    Examples
    --------
    >>> from imfnb import metrics
    >>> rate = [0.2, 0.4, 0.8, 1.6]
    >>> round(metrics.bd_psnr(rate, [28.0, 31.0, 34.0, 37.0], rate, [29.0, 32.0, 35.0, 38.0]), 6)
    1.0
    """
    x_ref, y_ref = _curve(rate_ref, psnr_ref)
    x, y = _curve(rate, psnr)
    return _mean_gap(x_ref, y_ref, x, y, method)


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
    x_ref: NDArray[np.float64],
    y_ref: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    method: str,
) -> float:
    """Mean of y(x) - y_ref(x) over the common range of x; nan when there is none."""
    if method not in _METHODS:
        raise OptionError(f"method is {method!r}; expected one of {', '.join(map(repr, _METHODS))}")
    if x_ref.size < 2 or x.size < 2:
        return math.nan
    low, high = max(x_ref[0], x[0]), min(x_ref[-1], x[-1])
    if not low < high:
        return math.nan
    from scipy.interpolate import Akima1DInterpolator, PchipInterpolator

    interpolator = Akima1DInterpolator if method == "akima" else PchipInterpolator
    area_ref = interpolator(x_ref, y_ref).integrate(low, high)
    area = interpolator(x, y).integrate(low, high)
    return float((area - area_ref) / (high - low))
