"""Colour conversion in plain NumPy, written to be read; `cpu` and `cuda` hold the counterparts that are fast."""

from __future__ import annotations

import numpy as np

from ..format.color import B_CB, BITS, CENTRE, FRACTION, G_CB, G_CR, LIMIT, R_CR
from .matrix import CB_B, CB_G, CB_R, CR_B, CR_G, CR_R, Y_B, Y_G, Y_R

__all__ = [
    "gray_to_q4",
    "halve",
    "put_channel",
    "q4_to_gray",
    "q4_to_rgb",
    "rgb_to_q4",
    "rgb_to_ycbcr",
    "take_channel",
    "ycbcr_to_rgb",
]


def rgb_to_ycbcr(images: np.ndarray, y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> None:
    """Convert RGB to JPEG's YCbCr, rounded to integers (paper, section 3.1, "color space transformation").

    Chroma planes of another shape than `y` are subsampled: a sample is the mean of 2x2 pixels; at an odd border the
    last row or column counts twice. There is one rounding only, after the mean.

    Parameters
    ----------
    images : array of uint8, shape (B, H, W, C)
        C is 3, or 4 with alpha, which is not looked at.
    y : array of uint8, shape (B, H, W)
        Receives luma.
    cb, cr : arrays of uint8, shape (B, H, W) or (B, ceil(H/2), ceil(W/2))
        Receive chroma.
    """
    luma, blue, red = _convert(images, 0, cb.shape != y.shape)
    y[...] = luma
    cb[...] = np.minimum(blue + 128, 255)
    cr[...] = np.minimum(red + 128, 255)


def rgb_to_q4(images: np.ndarray, y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> None:
    """Convert RGB to centred YCbCr with four fractional bits: the planes of the main profile.

    As :func:`rgb_to_ycbcr`, without rounding to integers and without the offset of chroma.

    Parameters
    ----------
    images : array of uint8, shape (B, H, W, C)
        C is 3, or 4 with alpha, which is not looked at.
    y : array of int32, shape (B, H, W)
        Receives luma, within +-2048.
    cb, cr : arrays of int32, shape (B, H, W) or (B, ceil(H/2), ceil(W/2))
        Receive chroma, within +-2048.
    """
    luma, cb[...], cr[...] = _convert(images, FRACTION, cb.shape != y.shape)
    y[...] = luma - CENTRE


def _convert(images: np.ndarray, fraction: int, subsample: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y, Cb and Cr of images, int32 with `fraction` fractional bits; Cb and Cr are centred."""
    rgb = images[..., :3].astype(np.int32)
    r, g, b = np.moveaxis(rgb, -1, 0)
    bits = BITS - fraction
    y = (Y_R * r + Y_G * g + Y_B * b + (1 << (bits - 1))) >> bits
    if subsample:
        height, width = images.shape[1:3]
        rgb = np.pad(rgb, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        rgb = rgb[:, 0::2, 0::2] + rgb[:, 0::2, 1::2] + rgb[:, 1::2, 0::2] + rgb[:, 1::2, 1::2]
        r, g, b = np.moveaxis(rgb, -1, 0)
        bits += 2
    cb = (CB_R * r + CB_G * g + CB_B * b + (1 << (bits - 1))) >> bits
    cr = (CR_R * r + CR_G * g + CR_B * b + (1 << (bits - 1))) >> bits
    return y, cb, cr


def ycbcr_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray) -> None:
    """Convert YCbCr to RGB; chroma planes of half the size are repeated (paper: nearest-neighbour upsampling).

    Parameters
    ----------
    y, cb, cr : arrays of uint8
        As made by :func:`rgb_to_ycbcr`.
    out : array of uint8, shape (B, H, W, C)
        Receives the first three channels.
    """
    height, width = y.shape[1:]
    if cb.shape != y.shape:
        cb = cb.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
        cr = cr.repeat(2, axis=1).repeat(2, axis=2)[:, :height, :width]
    rounding = 1 << (BITS - 1)
    luma = y.astype(np.int32)
    blue, red = cb.astype(np.int32) - 128, cr.astype(np.int32) - 128
    out[..., 0] = np.clip(luma + ((R_CR * red + rounding) >> BITS), 0, 255)
    out[..., 1] = np.clip(luma + ((G_CB * blue + G_CR * red + rounding) >> BITS), 0, 255)
    out[..., 2] = np.clip(luma + ((B_CB * blue + rounding) >> BITS), 0, 255)


def q4_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray, above: int = 0) -> None:
    """Convert centred YCbCr with four fractional bits to RGB; half-size chroma is upsampled bilinearly.

    Parameters
    ----------
    y, cb, cr : arrays of int32
        As made by :func:`rgb_to_q4`; anything within +-2**14 is clamped to what pictures can have.
    out : array of uint8, shape (B, H, W, C)
        Receives the first three channels.
    above : int, optional
        How many rows of the image half-size chroma begins before `y`, an even number; it may also end later. On the GPU
        planes are whole and `above` is 0.
    """
    if cb.shape != y.shape:
        cb, cr = (upsample(planes, above + y.shape[1], y.shape[2])[:, above:] for planes in (cb, cr))
    y, cb, cr = (np.clip(planes, -LIMIT, LIMIT - 1) for planes in (y, cb, cr))
    bits = BITS + FRACTION
    luma = ((y + CENTRE) << BITS) + (1 << (bits - 1))
    out[..., 0] = np.clip((luma + R_CR * cr) >> bits, 0, 255)
    out[..., 1] = np.clip((luma + G_CB * cb + G_CR * cr) >> bits, 0, 255)
    out[..., 2] = np.clip((luma + B_CB * cb) >> bits, 0, 255)


def upsample(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Double planes by centred bilinear interpolation: weights 3/4 and 1/4 along each axis, edges repeated.

    The inputs are within +-2**14, so the sum of weight 16 is below 2**19.
    """
    count, rows, columns = planes.shape
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    tall = np.empty((count, 2 * rows, columns + 2), np.int32)
    tall[:, 0::2] = 3 * padded[:, 1:-1] + padded[:, :-2]
    tall[:, 1::2] = 3 * padded[:, 1:-1] + padded[:, 2:]
    out = np.empty((count, 2 * rows, 2 * columns), np.int32)
    out[..., 0::2] = 3 * tall[..., 1:-1] + tall[..., :-2]
    out[..., 1::2] = 3 * tall[..., 1:-1] + tall[..., 2:]
    return (out[:, :height, :width] + 8) >> 4


def halve(planes: np.ndarray, out: np.ndarray) -> None:
    """Average planes over blocks of 2 x 2, halves rounded up.

    Parameters
    ----------
    planes : array of int32, shape (P, H, W)
        Samples within +-2**28; the last row and column count twice where a block has one only.
    out : array of int32, shape (P, ceil(H / 2), ceil(W / 2))
        Receives the means.
    """
    height, width = planes.shape[1:]
    whole = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    rows = whole[:, 0::2] + whole[:, 1::2]
    out[...] = (rows[..., 0::2] + rows[..., 1::2] + 2) >> 2


def gray_to_q4(images: np.ndarray, channel: int, out: np.ndarray) -> None:
    """Make centred planes with four fractional bits of one channel, gray or alpha.

    Parameters
    ----------
    images : array of uint8, shape (B, H, W, C)
        Images.
    channel : int
        Which channel.
    out : array of int32, shape (B, H, W)
        Receives sample * 16 - 2048.
    """
    np.left_shift(images[..., channel], FRACTION, out=out, dtype=np.int32)
    np.subtract(out, CENTRE, out=out)


def q4_to_gray(planes: np.ndarray, out: np.ndarray, channel: int) -> None:
    """Write one channel of images from centred planes: (sample + 2048 + 8) >> 4, clipped.

    Parameters
    ----------
    planes : array of int32, shape (B, H, W)
        Centred samples with four fractional bits.
    out : array of uint8, shape (B, H, W, C)
        Receives the channel.
    channel : int
        Which channel.
    """
    samples = np.clip(planes, -LIMIT, LIMIT - 1)
    samples += CENTRE + (1 << (FRACTION - 1))
    samples >>= FRACTION
    out[..., channel] = np.clip(samples, 0, 255, out=samples)


def take_channel(images: np.ndarray, channel: int, out: np.ndarray | None) -> np.ndarray:
    """Return one channel of images as planes.

    Parameters
    ----------
    images : array of uint8, shape (B, H, W, C)
        Images.
    channel : int
        Which channel.
    out : array of uint8, shape (B, H, W), or None
        Memory for the planes, which only the GPU needs: on the CPU they are a view of `images`.

    Returns
    -------
    array of uint8, shape (B, H, W)
        The planes.
    """
    return images[..., channel]


def put_channel(planes: np.ndarray, channel: int, out: np.ndarray) -> None:
    """Copy planes to one channel of images.

    Parameters
    ----------
    planes : array of uint8, shape (B, H, W)
        The planes.
    channel : int
        Which channel.
    out : array of uint8, shape (B, H, W, C)
        Receives the channel.
    """
    out[..., channel] = planes
