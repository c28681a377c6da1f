"""Colour stage: image <-> planes.

An image is an array of shape (H, W, C), uint8. Its planes are 2-D arrays: Y, Cb, Cr for colour (Cb and Cr of half
the size with 4:2:0 subsampling), R, G, B where no conversion is wanted, or gray; an alpha plane comes last.
All arithmetic is fixed point, so every backend gives the same bits.
"""

from __future__ import annotations

import numpy as np

from .._backend import kernels
from .matrix import CENTRE, FRACTION

__all__ = ["half", "join_fine", "join_planes", "split_fine", "split_planes"]


def half(size: int) -> int:
    """Length of a chroma plane along an axis of `size` luma samples: half, rounded up."""
    return (size + 1) // 2


def split_planes(image: np.ndarray, color_space: str, subsample: bool, device: str) -> list[np.ndarray]:
    """Split an image into its planes.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        C is 1 (gray), 3 (RGB) or 4 (RGBA).
    color_space : {"YCbCr", "RGB"}
        Which planes to make of the three colours.
    subsample : bool
        Whether Cb and Cr are averaged over 2x2 pixels.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    list of ndarray of uint8
        The planes, each C-contiguous, shape (H, W) or, for subsampled chroma, (ceil(H/2), ceil(W/2)).
    """
    channels = image.shape[2]
    if channels >= 3 and color_space == "YCbCr":
        planes = list(kernels("color", device).rgb_to_ycbcr(image, subsample))
    else:
        planes = [np.ascontiguousarray(image[:, :, c]) for c in range(min(channels, 3))]
    if channels == 4:
        planes.append(np.ascontiguousarray(image[:, :, 3]))
    return planes


def join_planes(planes: list[np.ndarray], color_space: str, out: np.ndarray, device: str) -> None:
    """Put planes together into an image: the inverse of :func:`split_planes`.

    Parameters
    ----------
    planes : list of ndarray of uint8
        As made by :func:`split_planes`. Half-size chroma is upsampled by repetition.
    color_space : {"YCbCr", "RGB"}
        What the first three planes are.
    out : ndarray of uint8, shape (H, W, C)
        Receives the image.
    device : {"cpu", "reference"}
        Which kernels to use.
    """
    channels = out.shape[2]
    if channels >= 3 and color_space == "YCbCr":
        kernels("color", device).ycbcr_to_rgb(planes[0], planes[1], planes[2], out)
    else:
        for c in range(min(channels, 3)):
            out[:, :, c] = planes[c]
    if channels == 4:
        out[:, :, 3] = planes[3]


def split_fine(image: np.ndarray, subsample: bool, device: str) -> list[np.ndarray]:
    """Split an image into the planes of the main profile, alpha left out.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        C is 1 (gray), 3 (RGB) or 4 (RGBA).
    subsample : bool
        Whether Cb and Cr are averaged over 2x2 pixels.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    list of ndarray of int32
        Gray, or Y, Cb and Cr: centred samples with four fractional bits, sample * 16 - 2048.
    """
    if image.shape[2] < 3:
        return [(image[:, :, 0].astype(np.int32) << FRACTION) - CENTRE]
    return list(kernels("color", device).rgb_to_fine(image, subsample))


def join_fine(planes: list[np.ndarray], out: np.ndarray, device: str, above: int = 0) -> None:
    """Put planes of the main profile together into an image: the inverse of :func:`split_fine`.

    Parameters
    ----------
    planes : list of ndarray of int32
        Gray, or Y, Cb, Cr; a fourth one is alpha. Half-size chroma is upsampled bilinearly.
    out : ndarray of uint8, shape (H, W, C)
        Receives the image.
    device : {"cpu", "reference"}
        Which kernels to use.
    above : {0, 2}, optional
        With how many more rows of the image half-size chroma begins; below it may go on too.
    """
    if len(planes) >= 3:
        kernels("color", device).fine_to_rgb(*planes[:3], out, above)
    for plane, c in ((planes[0], 0),) if len(planes) < 3 else [(p, 3) for p in planes[3:]]:
        out[:, :, c] = np.clip((plane + CENTRE + (1 << (FRACTION - 1))) >> FRACTION, 0, 255)
