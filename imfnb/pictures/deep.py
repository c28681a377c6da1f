"""Samples of sixteen bits and floating point that Pillow would cut: PNG through imagecodecs, and Netpbm by hand."""

from __future__ import annotations

import re

import numpy as np

from ..extras import need
from .plugins import check_pixels

__all__ = ["load_netpbm", "load_pfm", "load_png", "load_text"]


def load_png(data: bytes, size: tuple[int, int], max_pixels: int) -> np.ndarray:
    """Samples of a PNG of sixteen bits.

    Parameters
    ----------
    data : bytes
        The file.
    size : (int, int)
        Width and height.
    max_pixels : int
        Largest number of pixels to accept.

    Returns
    -------
    ndarray of uint16, shape (H, W) or (H, W, C)
        As they are stored; one colour that stands for transparency becomes alpha.
    """
    check_pixels(size, max_pixels)
    return need("imagecodecs", "tiff").png_decode(data)


def load_netpbm(data: bytes, start: int, size: tuple[int, int], bands: int, max_pixels: int) -> np.ndarray:
    """Samples of a binary Netpbm file of more than eight bits.

    Parameters
    ----------
    data : bytes
        The file.
    start : int
        Where its samples begin.
    size, max_pixels
        As for :func:`load_png`.
    bands : {1, 3}
        Samples of a pixel.

    Returns
    -------
    ndarray of uint16, shape (H, W) or (H, W, 3)
        As they are stored, not stretched to sixteen bits.
    """
    check_pixels(size, max_pixels)
    samples = np.frombuffer(data, ">u2", size[0] * size[1] * bands, start).astype(np.uint16)
    return samples.reshape(_shape(size, bands))


def load_text(data: bytes, start: int, size: tuple[int, int], bands: int, max_pixels: int) -> np.ndarray:
    """The same for a Netpbm file that is written as text."""
    check_pixels(size, max_pixels)
    numbers = re.sub(rb"#[^\r\n]*", b"", data[start:]).split()
    samples = np.array(numbers[: size[0] * size[1] * bands]).astype(np.int64)
    if samples.size and (samples.min() < 0 or samples.max() > 65535):
        raise ValueError("a sample is not one of 0 to 65535")
    return samples.astype(np.uint16).reshape(_shape(size, bands))


def load_pfm(data: bytes, start: int, size: tuple[int, int], bands: int, order: str, max_pixels: int) -> np.ndarray:
    """The same for a PFM file, whose samples are float32 of the byte order `order`, the last row first."""
    check_pixels(size, max_pixels)
    samples = np.frombuffer(data, f"{order}f4", size[0] * size[1] * bands, start).astype(np.float32)
    return samples.reshape(_shape(size, bands))[::-1]


def _shape(size: tuple[int, int], bands: int) -> tuple[int, ...]:
    return (size[1], size[0]) if bands == 1 else (size[1], size[0], bands)
