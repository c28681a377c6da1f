"""What a codec of independent patches could reach: the Gaussian rate-distortion function of an image's patch matrix.

The rows of the patch matrix (the p x p patches of all channels) are taken for independent draws from one Gaussian
distribution with the image's own mean and covariance C. With the eigenvalues s_i of C, in squared gray levels, reverse
water-filling (Cover and Thomas, "Elements of Information Theory", section 10.3.3) gives for a water level t

    D(t) = sum_i min(t, s_i)            R(t) = sum_i max(0, log2(s_i / t) / 2)        for each patch.

What this assumes, and what follows from it:

- *Gaussian*: of all sources with this covariance the Gaussian one needs the most bits. Coefficients of photographs are
  far from Gaussian (many zeros, a few large values), and a coder whose contexts know this can stay below the curve.
- *Stationary across patches*: one covariance for the whole image. A codec that adapts to regions can do better.
- *Independent patches*: correlation between patches is ignored. Codecs that predict the mean of a patch from its
  neighbours do better at low rates. The lapped matrix (`lapped=True`) takes up what correlation lies within half a
  patch of the borders, and its curve is lower.
- The distribution is known to the decoder at no cost, patches are coded in infinitely long blocks, samples are real
  numbers: no real codec has any of this.

So the curve bounds codecs of exactly this model (SVD or IMF of the patch matrix with ideal quantization and entropy
coding that knows variances only), and shows by how much those that pass it gain from what the model leaves out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import OptionError
from .metrics.samples import PEAK
from .options import check_image

__all__ = ["gaussian_rate_distortion", "patch_spectrum", "rate_distortion_limit"]

# Lowest and highest PSNR, in dB, of the default points.
_PSNR_RANGE = (18.0, 48.0)
_POINTS = 61


def gaussian_rate_distortion(spectrum: ArrayLike, levels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rate-distortion function of a Gaussian vector by reverse water-filling.

    Parameters
    ----------
    spectrum : array_like of float, shape (N,)
        Eigenvalues of the covariance, not negative.
    levels : array_like of float, shape (K,)
        Water levels t, positive: the squared error that each component at most has.

    Returns
    -------
    rate : ndarray of float64, shape (K,)
        Bits for one vector.
    distortion : ndarray of float64, shape (K,)
        Squared error of one vector, at most the sum of the spectrum.

    Raises
    ------
    OptionError
        If an eigenvalue is negative or not finite, or a level is not positive.

    See Also
    --------
    patch_spectrum : The spectrum of an image.
    rate_distortion_limit : Both at once.

    Examples
    --------
    >>> from imfnb import limits
    >>> rate, distortion = limits.gaussian_rate_distortion([16.0, 4.0, 1.0], [1.0, 4.0])
    >>> rate.tolist(), distortion.tolist()
    ([3.0, 1.0], [3.0, 9.0])
    """
    values, water = np.asarray(spectrum, np.float64), np.asarray(levels, np.float64)
    if values.ndim != 1 or not values.size or not np.all((values >= 0) & (values < np.inf)):
        raise OptionError("spectrum must be a vector of eigenvalues that are not negative, and not empty")
    if water.ndim != 1 or not np.all(water > 0):
        raise OptionError("levels must be a vector of positive water levels")
    ratio = np.maximum(values / water[:, None], 1.0)
    return np.log2(ratio).sum(axis=1) / 2, np.minimum(values, water[:, None]).sum(axis=1)


def patch_spectrum(image: Any, *, patch_size: int = 8, lapped: bool = False) -> NDArray[np.float64]:
    """Spectrum of an image's patch matrix: the eigenvalues of the covariance of its patches.

    Channels are joined, so the spectrum knows the correlation of colours and no colour transform is needed; alpha
    counts as a channel.

    Parameters
    ----------
    image : array_like of uint8, shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        The image. It is extended to whole patches by reflection, or, for `lapped`, by repeating its border.
    patch_size : int, default 8
        Side of a patch; 8 or 16 for `lapped`.
    lapped : bool, default False
        Filter across the borders of the patches first, as the main profile does. The filter is orthogonal.

    Returns
    -------
    ndarray of float64, shape (C patch_size**2,)
        Eigenvalues in squared gray levels, largest first.

    Raises
    ------
    OptionError
        If the image or the patch size cannot be used.

    See Also
    --------
    gaussian_rate_distortion : The rates that follow from it.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import limits
    >>> image = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    >>> spectrum = limits.patch_spectrum(image)
    >>> spectrum.shape, bool(spectrum[0] > 0.9 * spectrum.sum())
    ((64,), True)
    """
    pixels, _ = check_image(image)
    sizes = (8, 16) if lapped else (4, 8, 16, 32)
    if isinstance(patch_size, bool) or patch_size not in sizes:
        raise OptionError(f"patch_size is {patch_size!r}; expected one of {', '.join(map(str, sizes))}")
    planes = [np.ascontiguousarray(pixels[:, :, c]) for c in range(pixels.shape[2])]
    x = _lapped_patches(planes, patch_size) if lapped else _patches(planes, patch_size)
    centred = x - x.mean(axis=0)
    from scipy.linalg import eigvalsh

    values = eigvalsh(centred.T @ centred / len(x))
    return np.maximum(values[::-1], 0.0)


def rate_distortion_limit(
    image: Any, *, patch_size: int = 8, lapped: bool = False, psnr: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rate-distortion curve of the model for one image; see the module for its assumptions.

    Parameters
    ----------
    image : array_like of uint8, shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        The image.
    patch_size : int, default 8
        As in :func:`patch_spectrum`.
    lapped : bool, default False
        As in :func:`patch_spectrum`.
    psnr : array_like of float, shape (K,), optional
        Where to evaluate the curve, in dB; by default every half dB from 18 to 48. Points below the PSNR of the mean
        patch, which needs no bits, are left out.

    Returns
    -------
    bpp : ndarray of float64, shape (L,), L <= K
        Bits per pixel, increasing with the PSNR.
    psnr : ndarray of float64, shape (L,)
        The PSNR of these points in dB.

    Raises
    ------
    OptionError
        If the image, the patch size or a PSNR cannot be used.

    See Also
    --------
    patch_spectrum : What it is computed from.
    imfnb.evaluate.rate_distortion.run : Draws it beside curves of codecs with ``limits=True``.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import limits
    >>> image = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    >>> bpp, psnr = limits.rate_distortion_limit(image, psnr=[20.0, 30.0])
    >>> psnr.tolist(), bool(bpp[0] < bpp[1])
    ([20.0, 30.0], True)
    """
    spectrum = patch_spectrum(image, patch_size=patch_size, lapped=lapped)
    wanted = np.linspace(*_PSNR_RANGE, _POINTS) if psnr is None else np.asarray(psnr, np.float64)
    if wanted.ndim != 1 or not np.all(np.isfinite(wanted)):
        raise OptionError("psnr must be a vector of numbers of decibels")
    error = PEAK**2 * 10.0 ** (-wanted / 10.0) * spectrum.size  # squared error of a patch
    inside = error < spectrum.sum()
    rate, _ = gaussian_rate_distortion(spectrum, _water_levels(spectrum, error[inside]))
    return rate / patch_size**2, wanted[inside]


def _water_levels(spectrum: NDArray[np.float64], distortion: NDArray[np.float64]) -> NDArray[np.float64]:
    """The water level of each distortion below the sum of the spectrum, which is in decreasing order."""
    # With the water at eigenvalue k, the first k components have that much error and the others all they can have.
    tails = np.append(np.cumsum(spectrum[::-1])[::-1], 0.0)
    at_eigenvalue = np.arange(1, spectrum.size + 1) * spectrum + tails[1:]
    # Between two eigenvalues the same components are above the water, and the distortion is linear in the level.
    above = spectrum.size - np.searchsorted(at_eigenvalue[::-1], distortion, side="right")
    return (distortion - tails[above]) / np.maximum(above, 1)


def _patches(planes: list[NDArray[np.uint8]], patch_size: int) -> NDArray[np.float64]:
    from .patches import cpu, patch_matrix

    return np.hstack([patch_matrix(cpu, plane, patch_size) for plane in planes]).astype(np.float64)


def _lapped_patches(planes: list[NDArray[np.uint8]], patch_size: int) -> NDArray[np.float64]:
    """Patches of filtered planes in gray levels."""
    from .color.cpu import gray_to_q4
    from .format.color import FRACTION
    from .lapped.cpu import forward
    from .layout import PatchGrid

    blocks = []
    for plane in planes:
        grid = PatchGrid((plane.shape[0], plane.shape[1]), patch_size)
        samples = np.empty((1, *plane.shape), np.int32)
        filtered = np.empty((1, *grid.extended), np.int32)
        gray_to_q4(plane[None, :, :, None], 0, samples)
        forward(samples, patch_size, filtered, [0])
        tiles = filtered.reshape(grid.rows, patch_size, grid.columns, patch_size).transpose(0, 2, 1, 3)
        blocks.append(tiles.reshape(grid.rows * grid.columns, -1) / 2.0**FRACTION)
    return np.hstack(blocks)
