"""Colour conversion in plain NumPy, written to be read; `cpu` holds the twins that are fast."""

from __future__ import annotations

import numpy as np

from .matrix import B_CB, BITS, CB_B, CB_G, CB_R, CR_B, CR_G, CR_R, G_CB, G_CR, R_CR, Y_B, Y_G, Y_R

__all__ = ["rgb_to_ycbcr", "ycbcr_to_rgb"]


def rgb_to_ycbcr(image: np.ndarray, subsample: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert RGB to JPEG's YCbCr, rounded to integers (paper, section 3.1, "color space transformation").

    Chroma is the mean of a 2x2 block of pixels if `subsample`; at an odd border the last row or column counts twice.
    There is one rounding only, after the mean. See :func:`imfnb.color.split_planes`.
    """
    rgb = image[:, :, :3].astype(np.int32)
    r, g, b = rgb[:, :, 0], rgb[:, :, 1], rgb[:, :, 2]
    y = (Y_R * r + Y_G * g + Y_B * b + (1 << (BITS - 1))) >> BITS
    bits = BITS
    if subsample:
        height, width = r.shape
        rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        rgb = rgb[0::2, 0::2] + rgb[0::2, 1::2] + rgb[1::2, 0::2] + rgb[1::2, 1::2]
        r, g, b = rgb[:, :, 0], rgb[:, :, 1], rgb[:, :, 2]
        bits += 2
    cb = ((CB_R * r + CB_G * g + CB_B * b + (1 << (bits - 1))) >> bits) + 128
    cr = ((CR_R * r + CR_G * g + CR_B * b + (1 << (bits - 1))) >> bits) + 128
    return y.astype(np.uint8), np.minimum(cb, 255).astype(np.uint8), np.minimum(cr, 255).astype(np.uint8)


def ycbcr_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray) -> None:
    """Convert YCbCr to RGB; chroma planes of half the size are repeated (paper: nearest-neighbour upsampling)."""
    height, width = y.shape
    if cb.shape != y.shape:
        cb = cb.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        cr = cr.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    half = 1 << (BITS - 1)
    luma = y.astype(np.int32)
    blue, red = cb.astype(np.int32) - 128, cr.astype(np.int32) - 128
    out[:, :, 0] = np.clip(luma + ((R_CR * red + half) >> BITS), 0, 255)
    out[:, :, 1] = np.clip(luma + ((G_CB * blue + G_CR * red + half) >> BITS), 0, 255)
    out[:, :, 2] = np.clip(luma + ((B_CB * blue + half) >> BITS), 0, 255)
