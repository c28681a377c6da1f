"""Search for a rate or a quality target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .errors import OptionError
from .metrics import psnr

__all__ = ["search_levels"]


def search_levels(
    encode: Callable[[int], bytes],
    decode: Callable[[bytes], np.ndarray],
    image: np.ndarray,
    levels: int,
    name: str,
    value: float,
) -> bytes:
    """Find the best level of a staircase for a target, by bisection.

    Parameters
    ----------
    encode : callable
        From a level 1 .. `levels` to a file.
    decode : callable
        From a file to pixels of the shape of `image`; called for a PSNR target only.
    image : ndarray of uint8, shape (H, W, C)
        What the pixels are compared with.
    levels : int
        Number of levels.
    name : {"bpp", "size", "psnr"}
        Kind of target.
    value : float
        Bits per pixel or bytes, not to be exceeded; or decibels, to be reached.

    Returns
    -------
    bytes
        The highest level whose file is not above the target, or the lowest that reaches the PSNR.

    Raises
    ------
    OptionError
        If no level meets the target; it says what can be met.
    """
    pixels = image.shape[0] * image.shape[1]
    limit = value * pixels / 8 if name == "bpp" else value

    def meets(data: bytes) -> bool:
        return psnr(image, decode(data)) >= value if name == "psnr" else len(data) <= limit

    # `inner` is the level that must meet the target for there to be an answer; the search moves from it towards the
    # other end for as long as the target is met.
    inner, outer = (levels, 0) if name == "psnr" else (1, levels + 1)
    best = encode(inner)
    if not meets(best):
        if name == "psnr":
            reach = f"at most {psnr(image, decode(best)):.2f} dB; lower psnr, or raise bounds or iterations"
        else:
            reach = f"at least {len(best)} bytes ({8 * len(best) / pixels:.4f} bpp); raise the target"
        raise OptionError(f"{name}={value:g} cannot be met: this image in this profile takes {reach}")
    while abs(outer - inner) > 1:
        middle = (inner + outer) // 2
        data = encode(middle)
        if meets(data):
            inner, best = middle, data
        else:
            outer = middle
    return best
