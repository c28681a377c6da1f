"""Rates of files."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

__all__ = ["bpp", "compression_ratio"]


def bpp(data: bytes | int, image: NDArray[np.uint8]) -> float:
    """Bits per pixel of a file; a pixel is one position, whatever the number of channels.

    Parameters
    ----------
    data : bytes or int
        The file, or its length in bytes.
    image : ndarray, shape (H, W) or (H, W, C)
        The image that the file stands for.

    Returns
    -------
    float
        ``8 bytes / (H W)``.

    Raises
    ------
    OptionError
        If the image has no pixels or another number of dimensions.

    See Also
    --------
    compression_ratio : The same as a ratio.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> metrics.bpp(2000, np.zeros((100, 160, 3), np.uint8))
    1.0
    """
    return 8.0 * _size(data) / _pixels(image)


def compression_ratio(data: bytes | int, image: NDArray[np.uint8]) -> float:
    """How many times shorter a file is than the samples of its image at one byte each.

    Parameters
    ----------
    data : bytes or int
        The file, or its length in bytes.
    image : ndarray, shape (H, W) or (H, W, C)
        The image that the file stands for.

    Returns
    -------
    float
        ``H W C / bytes``.

    Raises
    ------
    OptionError
        If the image has no pixels or another number of dimensions, or the file is empty.

    See Also
    --------
    bpp : The same in bits per pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import metrics
    >>> metrics.compression_ratio(2000, np.zeros((100, 160, 3), np.uint8))
    24.0
    """
    _pixels(image)
    size = _size(data)
    if not size:
        raise OptionError("the file is empty; expected at least one byte")
    return np.asarray(image).size / size


def _size(data: bytes | int) -> int:
    return int(data) if isinstance(data, (int, np.integer)) else memoryview(data).nbytes


def _pixels(image: NDArray[np.uint8]) -> int:
    shape = np.shape(image)
    if len(shape) not in (2, 3) or 0 in shape:
        raise OptionError(f"image has shape {shape}; expected (H, W) or (H, W, C) with at least one pixel")
    return shape[0] * shape[1]
