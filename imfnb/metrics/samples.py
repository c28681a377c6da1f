"""Differences sample by sample."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

__all__ = [
    "PEAK",
    "array_pair",
    "default_peak",
    "image_pair",
    "mae",
    "max_error",
    "mse",
    "psnr",
    "snr",
    "spectral_angle",
]

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


def array_pair(
    a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Both arrays and, in their shape, where samples count, None for everywhere.

    Raises an OptionError if the arrays cannot be compared, the mask does not fit, or nothing is left to compare.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind not in "uif" or a.dtype.newbyteorder("=") != b.dtype.newbyteorder("="):
        raise OptionError(
            f"arrays must have one dtype of integers or floats, found {a.dtype} and {b.dtype}; convert one with astype"
        )
    if a.shape != b.shape or a.size == 0:
        raise OptionError(f"arrays must have one shape and at least one sample, found {a.shape} and {b.shape}")
    if mask is None:
        return a, b, None
    mask = np.asarray(mask)
    if mask.dtype != np.bool_ or mask.shape not in (a.shape, a.shape[:2]):
        raise OptionError(
            f"the mask has samples of {mask.dtype} and shape {mask.shape}; expected bool, shape {a.shape[:2]} or "
            f"{a.shape}, True where nothing counts"
        )
    counted = np.broadcast_to(~mask if mask.shape == a.shape else ~mask[..., None], a.shape)
    if not counted.any():
        raise OptionError("the mask leaves no sample to compare; expected False for at least one")
    return a, b, counted


def _pieces(a: np.ndarray, b: np.ndarray, counted: np.ndarray | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples of both that count, in pieces, which bound the memory to a few megabytes for any array.

    Samples of 8 and 16 bits become int32 and int64, in which squares of differences are exact, others float64.
    """
    dtype = {1: np.int32, 2: np.int64}.get(a.dtype.itemsize, np.float64) if a.dtype.kind != "f" else np.float64
    flat = [array.reshape(-1) for array in (a, b)]
    where = None if counted is None else counted.reshape(-1)
    for start in range(0, a.size, _PIECE):
        x, y = (array[start : start + _PIECE].astype(dtype) for array in flat)
        if where is not None:
            chosen = where[start : start + _PIECE]
            x, y = x[chosen], y[chosen]
        if dtype is np.float64 and not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise OptionError("samples that count must be finite; name the others with mask=, such as numpy.isnan(a)")
        yield x, y


def _squared_error(a: np.ndarray, b: np.ndarray, counted: np.ndarray | None) -> tuple[int, float]:
    """Number of samples that count, and the sum of the squares of their differences."""
    count, error = 0, 0.0
    for x, y in _pieces(a, b, counted):
        difference = x - y
        count += x.size
        error += float(np.sum(difference * difference, dtype=np.int64 if x.dtype.kind == "i" else None))
    return count, error


def psnr(a: np.ndarray, b: np.ndarray, peak: float | None = None, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio over all samples of two arrays.

    Parameters
    ----------
    a, b : ndarray, any shape, the same for both
        The original and the decoded array, of one dtype; every sample of every channel weighs the same.
    peak : float, optional
        The largest difference that there could be, in units of the samples. By default that of the dtype for integers
        of up to 16 bits, 255 or 65535, and for floats the largest less the smallest sample of `a` that counts.
    mask : ndarray of bool, shape of the arrays or (H, W), optional
        True for samples, or pixels, that do not count.

    Returns
    -------
    float
        ``10 log10(peak**2 / mean((a - b)**2))`` in dB, ``inf`` when the arrays are equal where they count.

    Raises
    ------
    OptionError
        If dtypes or shapes differ, nothing counts, what counts is not finite, or the peak is missing or not positive.

    See Also
    --------
    mse : The mean squared error in it.
    snr : Against the variance instead of the peak.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> a = np.array([[0, 655, 0]], np.uint16)
    >>> round(metrics.psnr(a, a + np.uint16(1)), 2), round(metrics.psnr(a, a + np.uint16(1), peak=4095), 2)
    (96.33, 72.25)
    """
    a, b, counted = array_pair(a, b, mask)
    count, error = _squared_error(a, b, counted)
    if error == 0:
        return math.inf
    if peak is None:
        peak = default_peak(a, counted)
    if not 0.0 < peak < math.inf:
        raise OptionError(f"peak is {peak!r}; expected a positive number (for floats that are all equal, give one)")
    return 10.0 * math.log10(peak * peak * count / error)


def default_peak(a: np.ndarray, counted: np.ndarray | None = None) -> float:
    """The peak of a dtype: the width of its range, or that of the samples that count for floats."""
    if a.dtype.kind == "f":
        ends = [(x.min(), x.max()) for x, _ in _pieces(a, a, counted) if x.size]
        return float(max(high for _, high in ends) - min(low for low, _ in ends))
    if a.dtype.itemsize > 2:
        raise OptionError(f"samples of {a.dtype} have no peak of their own; give peak=")
    return float(2 ** (8 * a.dtype.itemsize) - 1)


def mse(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean squared difference of two arrays.

    Parameters
    ----------
    a, b : ndarray, any shape, the same for both
        The arrays, of one dtype.
    mask : ndarray of bool, shape of the arrays or (H, W), optional
        True for samples, or pixels, that do not count.

    Returns
    -------
    float
        ``mean((a - b)**2)`` in squared units of the samples.

    Raises
    ------
    OptionError
        If dtypes or shapes differ, nothing counts or what counts is not finite.

    See Also
    --------
    psnr : The same in decibels against a peak.
    mae : Differences instead of their squares.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> metrics.mse(np.array([[1, 2, 3]], np.uint8), np.array([[1, 2, 6]], np.uint8))
    3.0
    """
    count, error = _squared_error(*array_pair(a, b, mask))
    return error / count


def snr(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Signal-to-noise ratio: variance of the original over mean squared error.

    Parameters
    ----------
    a, b : ndarray, any shape, the same for both
        The original and the decoded array, of one dtype.
    mask : ndarray of bool, shape of the arrays or (H, W), optional
        True for samples, or pixels, that do not count.

    Returns
    -------
    float
        ``10 log10(var(a) / mean((a - b)**2))`` in dB, whatever the unit and offset of the samples; ``inf`` when the
        arrays are equal where they count, ``-inf`` when only `a` is constant.

    Raises
    ------
    OptionError
        If dtypes or shapes differ, nothing counts or what counts is not finite.

    See Also
    --------
    psnr : Against a peak instead of the variance.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> a = np.array([[0.0, 20.0]])
    >>> round(metrics.snr(a, a + 1), 6)
    20.0
    """
    a, b, counted = array_pair(a, b, mask)
    count, error = _squared_error(a, b, counted)
    if error == 0:
        return math.inf
    mean = sum(float(x.sum()) for x, _ in _pieces(a, b, counted)) / count
    energy = sum(float(np.square(x - mean).sum()) for x, _ in _pieces(a, b, counted))
    return 10.0 * math.log10(energy / error) if energy > 0 else -math.inf


def max_error(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Largest absolute difference of two arrays.

    Parameters
    ----------
    a, b : ndarray, any shape, the same for both
        The arrays, of one dtype.
    mask : ndarray of bool, shape of the arrays or (H, W), optional
        True for samples, or pixels, that do not count.

    Returns
    -------
    float
        ``max(|a - b|)`` in units of the samples.

    Raises
    ------
    OptionError
        If dtypes or shapes differ, nothing counts or what counts is not finite.

    See Also
    --------
    mae : The mean instead of the largest.
    imfnb.encode : Keeps it to a bound with ``max_error=``.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> metrics.max_error(np.array([[1, 2, 3]], np.int16), np.array([[1, 2, -3]], np.int16))
    6.0
    """
    a, b, counted = array_pair(a, b, mask)
    return max(float(np.abs(x - y).max()) for x, y in _pieces(a, b, counted) if x.size)


def spectral_angle(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean angle between the vectors of bands of two arrays, pixel by pixel.

    Parameters
    ----------
    a, b : ndarray, shape (H, W, C), the same for both
        The original and the decoded array, of one dtype.
    mask : ndarray of bool, shape (H, W) or (H, W, C), optional
        True for pixels that do not count, or for samples that are left out of both vectors.

    Returns
    -------
    float
        Degrees from 0 to 180. Two vectors of zeros have an angle of 0, a vector of zeros and another one of 90.

    Raises
    ------
    OptionError
        If dtypes or shapes differ, there is no axis of bands, nothing counts or what counts is not finite.

    See Also
    --------
    snr : Differences in length count there, too.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> a = np.array([[[10, 0]]], np.uint16)
    >>> round(metrics.spectral_angle(a, np.array([[[5, 5]]], np.uint16)), 6)
    45.0
    """
    a, b, counted = array_pair(a, b, mask)
    if a.ndim != 3:
        raise OptionError(f"the arrays have shape {a.shape}; expected (H, W, C): a spectral angle is one between bands")
    total, pixels = 0.0, 0
    rows = max(1, _PIECE // (a.shape[1] * a.shape[2]))
    for start in range(0, a.shape[0], rows):
        x, y = (array[start : start + rows].astype(np.float64).reshape(-1, a.shape[2]) for array in (a, b))
        if counted is not None:
            chosen = counted[start : start + rows].reshape(-1, a.shape[2])
            x, y = np.where(chosen, x, 0.0), np.where(chosen, y, 0.0)
            alive = chosen.any(axis=1)
            x, y = x[alive], y[alive]
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise OptionError("samples that count must be finite; name the others with mask=, such as numpy.isnan(a)")
        long_x, long_y = (np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
        u, v = (w / np.where(length > 0, length, 1) for w, length in ((x, long_x), (y, long_y)))
        # Half an angle from the difference and the sum of unit vectors is exact for small ones, an arccosine is not.
        angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=1), np.linalg.norm(u + v, axis=1))
        total, pixels = total + float(angle.sum()), pixels + len(angle)
    return math.degrees(total / pixels)


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

    See Also
    --------
    mse : Squares of differences.
    max_error : The largest difference.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> metrics.mae(np.array([[1, 2, 3]], np.uint8), np.array([[1, 2, 6]], np.uint8))
    1.0
    """
    a, b = image_pair(a, b)
    return sum(int(np.sum(np.abs(x - y), dtype=np.int64)) for x, y in _pieces(a, b, None)) / a.size
