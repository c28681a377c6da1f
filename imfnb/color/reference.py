"""Colour conversion in plain NumPy, written to be read; `cpu` holds the twins that are fast."""

from __future__ import annotations

import numpy as np

from .matrix import (
    B_CB,
    BITS,
    CB_B,
    CB_G,
    CB_R,
    CENTRE,
    CR_B,
    CR_G,
    CR_R,
    FRACTION,
    G_CB,
    G_CR,
    LIMIT,
    R_CR,
    Y_B,
    Y_G,
    Y_R,
)

__all__ = ["fine_to_rgb", "rgb_to_fine", "rgb_to_ycbcr", "upsample", "ycbcr_to_rgb"]


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


def rgb_to_fine(image: np.ndarray, subsample: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert RGB to centred YCbCr with four fractional bits, int32: the planes of the main profile.

    As :func:`rgb_to_ycbcr`, without rounding to integers and without the offset of chroma.
    """
    rgb = image[:, :, :3].astype(np.int32)
    r, g, b = rgb[:, :, 0], rgb[:, :, 1], rgb[:, :, 2]
    bits = BITS - FRACTION
    y = ((Y_R * r + Y_G * g + Y_B * b + (1 << (bits - 1))) >> bits) - CENTRE
    if subsample:
        height, width = r.shape
        rgb = np.pad(rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        rgb = rgb[0::2, 0::2] + rgb[0::2, 1::2] + rgb[1::2, 0::2] + rgb[1::2, 1::2]
        r, g, b = rgb[:, :, 0], rgb[:, :, 1], rgb[:, :, 2]
        bits += 2
    cb = (CB_R * r + CB_G * g + CB_B * b + (1 << (bits - 1))) >> bits
    cr = (CR_R * r + CR_G * g + CR_B * b + (1 << (bits - 1))) >> bits
    return y, cb, cr


def upsample(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Double a plane by centred bilinear interpolation: weights 3/4 and 1/4 along each axis, edges repeated.

    The inputs are within +-2**14, so the sum of weight 16 is below 2**19.
    """
    padded = np.pad(plane, 1, mode="edge")
    rows = np.empty((2 * plane.shape[0], padded.shape[1]), np.int32)
    rows[0::2] = 3 * padded[1:-1] + padded[:-2]
    rows[1::2] = 3 * padded[1:-1] + padded[2:]
    out = np.empty((rows.shape[0], 2 * plane.shape[1]), np.int32)
    out[:, 0::2] = 3 * rows[:, 1:-1] + rows[:, :-2]
    out[:, 1::2] = 3 * rows[:, 1:-1] + rows[:, 2:]
    return (out[:height, :width] + 8) >> 4


def fine_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray, above: int = 0) -> None:
    """Convert centred YCbCr with four fractional bits to RGB; half-size chroma is upsampled bilinearly.

    It begins `above` rows of the image before y, an even number, and may end later than y.
    """
    if cb.shape != y.shape:
        cb, cr = (upsample(plane, above + y.shape[0], y.shape[1])[above:] for plane in (cb, cr))
    y, cb, cr = (np.clip(plane, -LIMIT, LIMIT - 1) for plane in (y, cb, cr))
    bits = BITS + FRACTION
    luma = ((y + CENTRE) << BITS) + (1 << (bits - 1))
    out[:, :, 0] = np.clip((luma + R_CR * cr) >> bits, 0, 255)
    out[:, :, 1] = np.clip((luma + G_CB * cb + G_CR * cr) >> bits, 0, 255)
    out[:, :, 2] = np.clip((luma + B_CB * cb) >> bits, 0, 255)
