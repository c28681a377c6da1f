"""Rows of a picture that are decoded at a time, and the rows around them on which they depend.

The decoder takes a picture stripe by stripe from factors to pixels, so that a large one never exists as planes of
samples. The encoder decides on restoration by stripes.
"""

from __future__ import annotations

import numpy as np

from . import lapped, restoration
from .factorization import rd

__all__ = ["Stripe", "cut", "whole_patches"]

# Pixels of a stripe and its least height, so that the rows around it, of which the main profile needs 28, cost little.
_PIXELS = 1 << 20
_HEIGHT = 256

# Every stripe begins with whole patches, of chroma of half the size too.
_UNIT = 64

# Rows on which the restoration of a row depends, in either direction: each of its passes reaches three.
_RESTORED = 6

# The same for those that the lapped filter makes: half a patch more.
_REACH = _RESTORED + 8

# Up to so many samples are copied to cut them to size.
_COPIED = 1 << 22


def cut(height: int, width: int, threads: int) -> list[slice]:
    """The rows of a picture that are decoded at a time: as many stripes as threads, and more if those were large.

    Parameters
    ----------
    height, width : int
        Of the picture.
    threads : int
        Number of threads.

    Returns
    -------
    list of slice
        The rows of each stripe; all begin with whole patches, and none is shorter than a few patches unless the picture
        is.
    """
    least = max(_HEIGHT, min(_PIXELS // width, height // threads))
    count = max(1, height // least)
    borders = [i * height // count // _UNIT * _UNIT for i in range(count)] + [height]
    return [slice(*pair) for pair in zip(borders[:-1], borders[1:], strict=True)]


def whole_patches(shape: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Height and width up to whole patches."""
    return shape[0] + -shape[0] % patch_size, shape[1] + -shape[1] % patch_size


class Stripe:
    """Some rows of a plane of the main profile, from its factors to samples.

    Parameters
    ----------
    rows : slice
        Which.
    shape : (int, int)
        Height and width of the plane.
    step : int
        Its step in 1/64 gray level.
    patch_size : int
        The side of its patches.
    device : {"cpu", "reference"}
        Which kernels to use.
    """

    def __init__(self, rows: slice, shape: tuple[int, int], step: int, patch_size: int, device: str) -> None:
        self.rows, self.shape, self.step, self.patch_size, self.device = rows, shape, step, patch_size, device
        height, width = whole_patches(shape, patch_size)
        self.start = max(rows.start - _REACH, 0) // patch_size * patch_size
        stop = min(-(-(rows.stop + _REACH) // patch_size) * patch_size, height)
        self.samples = np.empty((stop - self.start, width), np.int32)

    def fill(self, factors: rd.Factors, first: int) -> None:
        """Multiply the factors of a band, which begins with row `first` of patches, as far as the stripe reaches."""
        p = self.patch_size
        start, stop = max(first, self.start // p), min(first + factors.grid[0], (self.start + len(self.samples)) // p)
        if start < stop:
            out = self.samples[start * p - self.start : stop * p - self.start]
            rd.reconstruct(rd.rows_of(factors, start - first, stop - first), self.step, p, out, self.device)

    def smooth(self) -> None:
        """Go on from the product of all factors to the samples before restoration."""
        samples = self.samples
        lapped.inverse(samples, self.patch_size, self.device, samples)
        height, width = min(len(samples), self.shape[0] - self.start), self.shape[1]
        if samples.shape[1] == width or samples.size <= _COPIED:
            self.samples = np.ascontiguousarray(samples[:height, :width])
            return
        flat = samples.reshape(-1)
        for row in range(1, height):  # a copy of a large plane would cost too much memory
            flat[row * width : (row + 1) * width] = samples[row, :width]
        self.samples = flat[: height * width].reshape(height, width)

    def decoded(self) -> np.ndarray:
        """The samples of the rows, int32."""
        return self.samples[self.rows.start - self.start : self.rows.stop - self.start]

    def restored(self, chroma: bool, overwrite: bool) -> np.ndarray:
        """The samples of the rows after restoration, in the place of those before if they may be overwritten."""
        top = max(self.rows.start - _RESTORED, 0)
        samples = self.samples[top - self.start : self.rows.stop + _RESTORED - self.start]
        samples = restoration.restore(samples, self.step, chroma, self.device, samples if overwrite else None)
        return samples[self.rows.start - top : self.rows.stop - top]
