"""The SVD view of degradation: what a codec does to the singular values of an image, and what to its singular vectors.

Chen et al., "Optimizing Image Compression: Perspectives on SVD-Based Restoration". Each channel is a matrix of its own,
L = U_lq S_lq V_lq^T after compression and H = U_hq S_hq V_hq^T before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .samples import PEAK, image_pair, psnr

__all__ = ["basis_distortion", "rd_cost", "recompose", "recomposition_gain"]


def recompose(lq: NDArray[np.uint8], hq: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The degraded image's singular values with the original's singular vectors, U_hq S_lq V_hq^T for each channel.

    What would be left of the error if a restoration got all singular vectors right. By Mirsky's theorem the squared
    error is never above that of `lq`.

    Parameters
    ----------
    lq, hq : ndarray of uint8, shape (H, W) or (H, W, C), the same for both
        The image after compression, and the original.

    Returns
    -------
    ndarray of float64, shape of `hq`
        Neither rounded nor clipped.

    Raises
    ------
    OptionError
        If an array is not uint8, the shapes differ or are not those of an image.

    See Also
    --------
    recomposition_gain : What that is worth in PSNR.
    basis_distortion : How far the singular vectors have turned.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> image = np.random.default_rng(0).integers(0, 256, (16, 12), np.uint8)
    >>> bool(np.allclose(metrics.recompose(image, image), image))
    True
    """
    from scipy.linalg import svdvals

    channels = []
    for low, high in _channels(lq, hq):
        u, _, vt = _svd(high)
        channels.append((u * svdvals(low, check_finite=False)) @ vt)
    return np.stack(channels, axis=-1).reshape(np.shape(hq))


def recomposition_gain(lq: NDArray[np.uint8], hq: NDArray[np.uint8]) -> float:
    """How much PSNR the original's singular vectors would restore.

    Parameters
    ----------
    lq, hq : ndarray of uint8, shape (H, W) or (H, W, C), the same for both
        The image after compression, and the original.

    Returns
    -------
    float
        PSNR of `recompose(lq, hq)`, rounded and clipped to 8 bits, less that of `lq`, in dB. 0 for equal images.

    Raises
    ------
    OptionError
        As in `recompose`.

    See Also
    --------
    recompose : The image itself.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> image = np.random.default_rng(0).integers(0, 256, (16, 12), np.uint8)
    >>> coarse = image // 64 * 64 + 32
    >>> metrics.recomposition_gain(coarse, image) > 0
    True
    """
    restored = np.clip(np.rint(recompose(lq, hq)), 0, 255).astype(np.uint8)
    before = psnr(lq, hq)
    return psnr(restored, hq) - before if np.isfinite(before) else 0.0


def basis_distortion(lq: NDArray[np.uint8], hq: NDArray[np.uint8]) -> float:
    """Basis distortion ``|U_hq V_hq^T - U_lq V_lq^T|_1``, as the mean over all samples of all channels.

    U V^T is the image with all singular values set to 1, the orthogonal factor of its polar decomposition. Where an
    image does not have full rank it is not unique; singular values below the rounding error of the SVD are set to 0.

    Parameters
    ----------
    lq, hq : ndarray of uint8, shape (H, W) or (H, W, C), the same for both
        The image after compression, and the original.

    Returns
    -------
    float
        Mean absolute difference. A sample of U V^T has a root mean square of at most max(H, W)**-0.5.

    Raises
    ------
    OptionError
        As in `recompose`.

    See Also
    --------
    rd_cost : A cost that counts it.
    recomposition_gain : The same matter in PSNR.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> image = np.random.default_rng(0).integers(0, 256, (16, 12), np.uint8)
    >>> metrics.basis_distortion(image, image)
    0.0
    >>> 0 < metrics.basis_distortion(image // 64 * 64 + 32, image) < 1
    True
    """
    return float(np.mean([np.mean(np.abs(_basis(high) - _basis(low))) for low, high in _channels(lq, hq)]))


def rd_cost(
    bits_per_pixel: float, lq: NDArray[np.uint8], hq: NDArray[np.uint8], weight: float, mu: float = 10.0
) -> float:
    """Rate-distortion cost R + lambda (MSE + mu B) with the basis distortion B.

    Samples count from 0 to 1 here, as in networks. B does not depend on that scale, so at 30 dB the squared error is
    0.001 and mu B about 0.3; with gray levels of 0 to 255 the first would hide the second.

    Parameters
    ----------
    bits_per_pixel : float
        Rate R.
    lq, hq : ndarray of uint8, shape (H, W) or (H, W, C), the same for both
        The image after compression, and the original.
    weight : float
        The factor lambda, in bits per pixel.
    mu : float, default 10
        Weight of the basis distortion; 0 leaves the cost of the squared error alone.

    Returns
    -------
    float
        Bits per pixel.

    Raises
    ------
    OptionError
        As in `recompose`.

    See Also
    --------
    basis_distortion : The B in it.
    imfnb.encode : Minimizes this cost with ``objective="svd"``.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> image = np.random.default_rng(0).integers(0, 256, (16, 12), np.uint8)
    >>> metrics.rd_cost(0.5, image, image, weight=2.0)
    0.5
    """
    a, b = image_pair(lq, hq)
    mean_squared_error = float(np.mean((a.astype(np.float64) - b) ** 2)) / PEAK**2
    return bits_per_pixel + weight * (mean_squared_error + (mu * basis_distortion(lq, hq) if mu else 0.0))


def _channels(lq: NDArray[np.uint8], hq: NDArray[np.uint8]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Pairs of matrices."""
    lq, hq = image_pair(lq, hq)
    if hq.ndim not in (2, 3):
        raise OptionError(f"images must have shape (H, W) or (H, W, C), found {hq.shape}")
    a, b = (np.atleast_3d(image).astype(np.float64) for image in (lq, hq))
    return [(a[:, :, c], b[:, :, c]) for c in range(b.shape[2])]


def _svd(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    from scipy.linalg import svd

    return svd(matrix, full_matrices=False, check_finite=False)


def _basis(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """U V^T over the singular values that are not rounding errors."""
    u, s, vt = _svd(matrix)
    alive = s > max(matrix.shape) * np.finfo(np.float64).eps * s[0]
    return u[:, alive] @ vt[alive]
