"""Colour conversion as CUDA kernels; same names and same bits as `reference`, for batches of equal-shaped images.

A thread handles one sample of chroma, with 4:2:0 and the four pixels that it belongs to. All arithmetic is integer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cuda import cuda, device_function, kernel, tiles
from .matrix import (
    B_CB,
    BITS,
    CB_B,
    CB_G,
    CB_R,
    CR_B,
    CR_G,
    CR_R,
    G_CB,
    G_CR,
    R_CR,
    Y_B,
    Y_G,
    Y_R,
)

__all__ = ["put_channel", "rgb_to_ycbcr", "take_channel", "ycbcr_to_rgb"]

_i32 = np.int32
_YR, _YG, _YB = _i32(Y_R), _i32(Y_G), _i32(Y_B)
_BR, _BG, _BB = _i32(CB_R), _i32(CB_G), _i32(CB_B)
_RR, _RG, _RB = _i32(CR_R), _i32(CR_G), _i32(CR_B)
_S1, _H1 = _i32(BITS), _i32(1 << (BITS - 1))
_S4, _H4 = _i32(BITS + 2), _i32(1 << (BITS + 1))
_RCR, _GCB, _GCR, _BCB = _i32(R_CR), _i32(G_CB), _i32(G_CR), _i32(B_CB)
_0, _128, _255 = _i32(0), _i32(128), _i32(255)


def rgb_to_ycbcr(image: Any, subsample: bool, y: Any, cb: Any, cr: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.color.reference.rgb_to_ycbcr` for a batch on the device.

    Parameters
    ----------
    image : device array of uint8, shape (B, H, W, C)
        C is 3 or 4.
    subsample : bool
        Whether Cb and Cr are averaged over 2x2 pixels.
    y, cb, cr : device array of uint8, shape (B, H, W) and (B, ceil(H/2), ceil(W/2)) or (B, H, W)
        Receive the planes.
    stream : stream, optional
        Where to launch.
    """
    images, height, width = cb.shape
    grid, block = tiles(width, height, images)
    (_rgb_to_ycbcr_420 if subsample else _rgb_to_ycbcr_444)[grid, block, stream](image, y, cb, cr)


def ycbcr_to_rgb(y: Any, cb: Any, cr: Any, out: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.color.reference.ycbcr_to_rgb` for a batch; shapes as in :func:`rgb_to_ycbcr`."""
    images, height, width = y.shape
    grid, block = tiles(width, height, images)
    (_ycbcr_to_rgb_420 if cb.shape != y.shape else _ycbcr_to_rgb_444)[grid, block, stream](y, cb, cr, out)


def take_channel(image: Any, channel: int, plane: Any, stream: Any = 0) -> None:
    """Copy one channel of a batch (B, H, W, C) of uint8 to planes (B, H, W), where NumPy would slice."""
    grid, block = tiles(plane.shape[2], plane.shape[1], plane.shape[0])
    _take_channel[grid, block, stream](image, channel, plane)


def put_channel(plane: Any, channel: int, out: Any, stream: Any = 0) -> None:
    """Copy planes (B, H, W) of uint8 to one channel of a batch (B, H, W, C)."""
    grid, block = tiles(plane.shape[2], plane.shape[1], plane.shape[0])
    _put_channel[grid, block, stream](plane, channel, out)


@kernel("void(uint8[:,:,:,::1], int64, uint8[:,:,::1])")
def _take_channel(image, channel, plane):
    j, i = cuda.grid(2)
    z = cuda.blockIdx.z
    if i < plane.shape[1] and j < plane.shape[2]:
        plane[z, i, j] = image[z, i, j, channel]


@kernel("void(uint8[:,:,::1], int64, uint8[:,:,:,::1])")
def _put_channel(plane, channel, out):
    j, i = cuda.grid(2)
    z = cuda.blockIdx.z
    if i < plane.shape[1] and j < plane.shape[2]:
        out[z, i, j, channel] = plane[z, i, j]


@device_function
def _luma(r, g, b):
    return (_YR * r + _YG * g + _YB * b + _H1) >> _S1


@kernel("void(uint8[:,:,:,::1], uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,::1])")
def _rgb_to_ycbcr_444(image, y, cb, cr):
    j, i = cuda.grid(2)
    z = cuda.blockIdx.z
    if i >= y.shape[1] or j >= y.shape[2]:
        return
    r, g, b = _i32(image[z, i, j, 0]), _i32(image[z, i, j, 1]), _i32(image[z, i, j, 2])
    y[z, i, j] = _luma(r, g, b)
    cb[z, i, j] = min(((_BR * r + _BG * g + _BB * b + _H1) >> _S1) + _128, _255)
    cr[z, i, j] = min(((_RR * r + _RG * g + _RB * b + _H1) >> _S1) + _128, _255)


@kernel("void(uint8[:,:,:,::1], uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,::1])")
def _rgb_to_ycbcr_420(image, y, cb, cr):
    j, i = cuda.grid(2)
    z = cuda.blockIdx.z
    if i >= cb.shape[1] or j >= cb.shape[2]:
        return
    r, g, b = _0, _0, _0
    for k in range(4):  # an odd last row or column counts twice
        row, column = min(2 * i + k // 2, y.shape[1] - 1), min(2 * j + k % 2, y.shape[2] - 1)
        red, green, blue = (
            _i32(image[z, row, column, 0]),
            _i32(image[z, row, column, 1]),
            _i32(image[z, row, column, 2]),
        )
        y[z, row, column] = _luma(red, green, blue)
        r, g, b = r + red, g + green, b + blue
    cb[z, i, j] = min(((_BR * r + _BG * g + _BB * b + _H4) >> _S4) + _128, _255)
    cr[z, i, j] = min(((_RR * r + _RG * g + _RB * b + _H4) >> _S4) + _128, _255)


@device_function
def _write_pixel(luma, cb, cr, pixel):
    blue, red = _i32(cb) - _128, _i32(cr) - _128
    pixel[0] = min(max(luma + ((_RCR * red + _H1) >> _S1), _0), _255)
    pixel[1] = min(max(luma + ((_GCB * blue + _GCR * red + _H1) >> _S1), _0), _255)
    pixel[2] = min(max(luma + ((_BCB * blue + _H1) >> _S1), _0), _255)


@kernel("void(uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,:,::1])")
def _ycbcr_to_rgb_444(y, cb, cr, out):
    j, i = cuda.grid(2)
    z = cuda.blockIdx.z
    if i < y.shape[1] and j < y.shape[2]:
        _write_pixel(_i32(y[z, i, j]), cb[z, i, j], cr[z, i, j], out[z, i, j])


@kernel("void(uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,:,::1])")
def _ycbcr_to_rgb_420(y, cb, cr, out):
    j, i = cuda.grid(2)
    z = cuda.blockIdx.z
    if i < y.shape[1] and j < y.shape[2]:
        _write_pixel(_i32(y[z, i, j]), cb[z, i // 2, j // 2], cr[z, i // 2, j // 2], out[z, i, j])
