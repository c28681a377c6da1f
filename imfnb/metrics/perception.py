"""What the eye sees of a difference, by a model that was fitted to what people said."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..extras import need
from .samples import image_pair

__all__ = ["ssimulacra2"]

# Sides below leave fewer than 8 samples on the sixth scale, which SSIMULACRA 2 then leaves out.
_SIDE = 225


def ssimulacra2(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """SSIMULACRA 2 of an 8-bit sRGB image and what was decoded of it, as the package ssimulacra2 computes it.

    Structural similarity, added edges and lost detail on six scales in a perceptual colour space, weighed as people
    judged compressed pictures.

    Parameters
    ----------
    a, b : ndarray of uint8, shape (H, W), (H, W, 1) or (H, W, 3), the same for both
        The original and the decoded image, which are not exchangeable; both sides at least 225 samples. Gray images
        are measured as colour images with three equal channels.

    Returns
    -------
    float
        100 for equal images; 90 is visually lossless, 70 high, 50 medium and 30 low quality; below 0 for worse.

    Raises
    ------
    OptionError
        If an array is not uint8, the shapes differ, are not those of a gray or RGB image or have a side below 225, or
        the package is not installed.

    See Also
    --------
    ms_ssim : Structural similarity, which needs no further package.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> image = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    >>> metrics.ssimulacra2(image, image)
    100.0
    """
    from PIL import Image

    a, b = image_pair(a, b)
    if a.ndim not in (2, 3) or (a.ndim == 3 and a.shape[2] not in (1, 3)):
        raise OptionError(f"ssimulacra2 needs images of shape (H, W), (H, W, 1) or (H, W, 3), found {a.shape}")
    if min(a.shape[:2]) < _SIDE:
        raise OptionError(
            f"ssimulacra2 needs images with both sides of at least {_SIDE}, found {a.shape}: with less the sixth scale "
            "is missing, and the weights of the others mean something else; join several small images to a larger one"
        )
    files = [io.BytesIO(), io.BytesIO()]
    for image, file in zip((a, b), files, strict=True):
        pixels = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PPM")  # lossless, and the fastest to write and read
        file.seek(0)
    return float(need("ssimulacra2").compute_ssimulacra2(*files))
