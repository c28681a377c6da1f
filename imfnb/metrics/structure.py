"""Structural similarity, on one scale and on five."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..extras import need
from .samples import PEAK, image_pair

__all__ = ["ms_ssim", "ssim"]

# Exponents of the five scales, finest first (Wang, Simoncelli and Bovik 2003).
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

# The Gaussian window of SSIM: standard deviation and half its width in samples.
_SIGMA, _RADIUS = 1.5, 5

# Sides of at most this length leave less than a window on the coarsest scale.
_SIDE = 2 * _RADIUS << len(_WEIGHTS) - 1

# Stabilizing constants of SSIM.
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


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
        If an array is not uint8, the shapes differ, are not those of an image, or have a side below 7, or scikit-image
        is not installed.

    See Also
    --------
    ms_ssim : On five scales.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> image = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    >>> round(metrics.ssim(image, image), 6), metrics.ssim(image, image // 64 * 64 + 32) < 1
    (1.0, True)
    """
    a, b = image_pair(a, b)
    if a.ndim not in (2, 3) or min(a.shape[:2]) < 7:
        raise OptionError(f"ssim needs images of shape (H, W) or (H, W, C) with H, W >= 7, found {a.shape}")
    channel_axis = 2 if a.ndim == 3 else None
    similarity = need("skimage.metrics").structural_similarity(a, b, channel_axis=channel_axis, data_range=PEAK)
    return float(similarity)


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Multi-scale structural similarity of two 8-bit images (Wang, Simoncelli and Bovik 2003).

    Five scales with the authors' weights, each half the size of the one before (means of 2x2 samples, the last row or
    column repeated where a side is odd); Gaussian windows of 11x11 with a standard deviation of 1.5, only where they
    fit; contrast and structure on every scale, luminance on the coarsest. The data range is 255. Channels are
    measured one by one and averaged. Scales on which contrast and structure are negatively correlated count as 0.

    Parameters
    ----------
    a, b : ndarray of uint8, shape (H, W) or (H, W, C), the same for both
        The images; both sides longer than 160 samples.

    Returns
    -------
    float
        MS-SSIM, 0 to 1. In decibels, -10 log10(1 - x), as many publications print it.

    Raises
    ------
    OptionError
        If an array is not uint8, the shapes differ, are not those of an image, or have a side of at most 160.

    See Also
    --------
    ssim : On one scale.
    ssimulacra2 : Fitted to what people said.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> image = np.random.default_rng(0).integers(0, 256, (168, 170), np.uint8)
    >>> round(metrics.ms_ssim(image, image), 6), metrics.ms_ssim(image, image // 64 * 64 + 32) < 1
    (1.0, True)
    """
    a, b = image_pair(a, b)
    if a.ndim not in (2, 3):
        raise OptionError(f"ms_ssim needs images of shape (H, W) or (H, W, C), found {a.shape}")
    if min(a.shape[:2]) <= _SIDE:
        raise OptionError(
            f"ms_ssim needs images with both sides longer than {_SIDE}, found {a.shape}: with less, the window of 11 x "
            "11 does not fit on the fifth scale; use ssim, or join several small images to a larger one"
        )
    a, b = np.atleast_3d(a), np.atleast_3d(b)
    return float(np.mean([_ms_ssim_plane(a[:, :, c], b[:, :, c]) for c in range(a.shape[2])]))


def _ms_ssim_plane(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """MS-SSIM of one channel."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    product = 1.0
    for scale, weight in enumerate(_WEIGHTS):
        if scale:
            x, y = _halve(x), _halve(y)
        luminance, contrast = _similarity(x, y)
        similarity = luminance * contrast if scale == len(_WEIGHTS) - 1 else contrast
        product *= max(0.0, float(np.mean(similarity))) ** weight
    return product


def _similarity(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Luminance, and contrast times structure, of two planes wherever the window fits; their product is SSIM."""
    from scipy.ndimage import gaussian_filter

    def blur(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        blurred = gaussian_filter(plane, _SIGMA, radius=_RADIUS)
        return blurred[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]

    mean_x, mean_y = blur(x), blur(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance, variances = blur(x * y) - product, blur(x * x) + blur(y * y) - squares
    return (2 * product + _C1) / (squares + _C1), (2 * covariance + _C2) / (variances + _C2)


def _halve(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2x2 samples."""
    height, width = plane.shape
    plane = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    return (plane[0::2, 0::2] + plane[0::2, 1::2] + plane[1::2, 0::2] + plane[1::2, 1::2]) / 4
