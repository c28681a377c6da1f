"""Colour conversion as CUDA kernels; same names and same bits as `reference`, for batches of equal-shaped images.

A thread handles one sample of chroma, with 4:2:0 and the four pixels that it belongs to. All arithmetic is integer.

Work and traffic of the main profile's kernels, per pixel of an RGB image with half-size chroma:

==============  ======================  ===================
kernel          bytes read and written  integer operations
==============  ======================  ===================
rgb_to_fine     3 + 6                   16
fine_to_rgb     6 + 3                   42
gray_to_fine    1 + 4                   2
fine_to_gray    4 + 1                   5
==============  ======================  ===================

They are int32 throughout; `matrix` has the ranges (below 2**30).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cuda import TILE, cuda, device_function, kernel, tile_of_block, tiles
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

__all__ = [
    "fine_to_gray",
    "fine_to_rgb",
    "gray_to_fine",
    "put_channel",
    "rgb_to_fine",
    "rgb_to_ycbcr",
    "take_channel",
    "ycbcr_to_rgb",
]

_i32 = np.int32
_YR, _YG, _YB = _i32(Y_R), _i32(Y_G), _i32(Y_B)
_BR, _BG, _BB = _i32(CB_R), _i32(CB_G), _i32(CB_B)
_RR, _RG, _RB = _i32(CR_R), _i32(CR_G), _i32(CR_B)
_S1, _H1 = _i32(BITS), _i32(1 << (BITS - 1))
_S4, _H4 = _i32(BITS + 2), _i32(1 << (BITS + 1))
_RCR, _GCB, _GCR, _BCB = _i32(R_CR), _i32(G_CB), _i32(G_CR), _i32(B_CB)
_SHIFT, _HALF = _i32(BITS - FRACTION), _i32(1 << (BITS - FRACTION - 1))
_SHIFT_4, _HALF_4 = _i32(BITS - FRACTION + 2), _i32(1 << (BITS - FRACTION + 1))
_BACK, _HALF_BACK = _i32(BITS + FRACTION), _i32(1 << (BITS + FRACTION - 1))
_CENTRE, _LOW, _HIGH = _i32(CENTRE), _i32(-LIMIT), _i32(LIMIT - 1)
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


# Threads of a block across and down.
_ACROSS, _DOWN = TILE


def _blocks(count: int, height: int, width: int) -> int:
    return count * -(-height // _DOWN) * -(-width // _ACROSS)


@device_function
def _position(height, width):
    """(image, row, column) of a thread; the last two may lie outside."""
    b, top, left = tile_of_block((height + _DOWN - 1) // _DOWN, (width + _ACROSS - 1) // _ACROSS)
    return b, top * _DOWN + cuda.threadIdx.y, left * _ACROSS + cuda.threadIdx.x


@device_function
def _fine_luma(r, g, b):
    return _i32(_i32(_YR * r + _YG * g + _YB * b + _HALF) >> _SHIFT) - _CENTRE


@kernel("void(uint8[:,:,:,::1], int32[:,:,::1], int32[:,:,::1], int32[:,:,::1])")
def _rgb_to_fine_444(images, y, cb, cr):
    height, width = y.shape[1], y.shape[2]
    n, i, j = _position(height, width)
    if i < height and j < width:
        r, g, b = _i32(images[n, i, j, 0]), _i32(images[n, i, j, 1]), _i32(images[n, i, j, 2])
        y[n, i, j] = _fine_luma(r, g, b)
        cb[n, i, j] = _i32(_BR * r + _BG * g + _BB * b + _HALF) >> _SHIFT
        cr[n, i, j] = _i32(_RR * r + _RG * g + _RB * b + _HALF) >> _SHIFT


@kernel("void(uint8[:,:,:,::1], int32[:,:,::1], int32[:,:,::1], int32[:,:,::1])")
def _rgb_to_fine_420(images, y, cb, cr):
    """A thread makes one sample of chroma and the four of luma below it; an odd last row or column counts twice."""
    height, width = y.shape[1], y.shape[2]
    n, i, j = _position(cb.shape[1], cb.shape[2])
    if i < cb.shape[1] and j < cb.shape[2]:
        red = green = blue = _i32(0)
        for k in range(4):
            row, column = min(2 * i + (k >> 1), height - 1), min(2 * j + (k & 1), width - 1)
            r, g, b = _i32(images[n, row, column, 0]), _i32(images[n, row, column, 1]), _i32(images[n, row, column, 2])
            y[n, row, column] = _fine_luma(r, g, b)
            red, green, blue = _i32(red + r), _i32(green + g), _i32(blue + b)
        cb[n, i, j] = _i32(_BR * red + _BG * green + _BB * blue + _HALF_4) >> _SHIFT_4
        cr[n, i, j] = _i32(_RR * red + _RG * green + _RB * blue + _HALF_4) >> _SHIFT_4


@device_function
def _store(out, n, i, j, luma, blue, red):
    """Write the RGB of one pixel from centred samples."""
    luma = _i32(_i32((min(max(luma, _LOW), _HIGH) + _CENTRE) << BITS) + _HALF_BACK)
    blue, red = min(max(blue, _LOW), _HIGH), min(max(red, _LOW), _HIGH)
    out[n, i, j, 0] = min(max(_i32(luma + _RCR * red) >> _BACK, 0), 255)
    out[n, i, j, 1] = min(max(_i32(luma + _GCB * blue + _GCR * red) >> _BACK, 0), 255)
    out[n, i, j, 2] = min(max(_i32(luma + _BCB * blue) >> _BACK, 0), 255)


@kernel("void(int32[:,:,::1], int32[:,:,::1], int32[:,:,::1], uint8[:,:,:,::1])")
def _fine_to_rgb_444(y, cb, cr, out):
    n, i, j = _position(y.shape[1], y.shape[2])
    if i < y.shape[1] and j < y.shape[2]:
        _store(out, n, i, j, y[n, i, j], cb[n, i, j], cr[n, i, j])


@device_function
def _upsample(plane, n, i, j, odd, side):
    """One sample of `reference.upsample`: row 2 i + odd, column 2 j + side."""
    far = min(max(i + 2 * odd - 1, 0), plane.shape[1] - 1)
    beside = min(max(j + 2 * side - 1, 0), plane.shape[2] - 1)
    near = _i32(3 * plane[n, i, j] + plane[n, far, j])
    return _i32(3 * near + 3 * plane[n, i, beside] + plane[n, far, beside] + 8) >> _i32(4)


@kernel("void(int32[:,:,::1], int32[:,:,::1], int32[:,:,::1], uint8[:,:,:,::1])")
def _fine_to_rgb_420(y, cb, cr, out):
    """A thread makes the four pixels of one sample of chroma."""
    height, width = y.shape[1], y.shape[2]
    n, i, j = _position(cb.shape[1], cb.shape[2])
    if i < cb.shape[1] and j < cb.shape[2]:
        for k in range(4):
            odd, side = k >> 1, k & 1
            row, column = 2 * i + odd, 2 * j + side
            if row < height and column < width:
                blue, red = _upsample(cb, n, i, j, odd, side), _upsample(cr, n, i, j, odd, side)
                _store(out, n, row, column, y[n, row, column], blue, red)


@kernel("void(uint8[:,:,:,::1], int32, int32[:,:,::1])")
def _gray_to_fine(images, channel, out):
    n, i, j = _position(out.shape[1], out.shape[2])
    if i < out.shape[1] and j < out.shape[2]:
        out[n, i, j] = _i32(_i32(images[n, i, j, channel]) << FRACTION) - _CENTRE


@kernel("void(int32[:,:,::1], uint8[:,:,:,::1], int32)")
def _fine_to_gray(planes, out, channel):
    n, i, j = _position(planes.shape[1], planes.shape[2])
    if i < planes.shape[1] and j < planes.shape[2]:
        value = (planes[n, i, j] + _CENTRE + (1 << (FRACTION - 1))) >> FRACTION
        out[n, i, j, channel] = min(max(value, 0), 255)


def rgb_to_fine(images: Any, y: Any, cb: Any, cr: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.color.reference.rgb_to_fine` for a stack of images on the device.

    Parameters
    ----------
    images : device array of uint8, shape (B, H, W, C)
        C is 3 or 4.
    y, cb, cr : device arrays of int32, shape (B, H, W); chroma of that or of half the size
        Receive the planes.
    stream : stream, optional
        Where to run.
    """
    function = _rgb_to_fine_444 if cb.shape == y.shape else _rgb_to_fine_420
    function[_blocks(*cb.shape), (_ACROSS, _DOWN), stream](images, y, cb, cr)


def fine_to_rgb(y: Any, cb: Any, cr: Any, out: Any, stream: Any = 0) -> None:
    """Twin of :func:`imfnb.color.reference.fine_to_rgb` for stacks of planes on the device.

    Parameters
    ----------
    y, cb, cr : device arrays of int32
        As made by :func:`rgb_to_fine`.
    out : device array of uint8, shape (B, H, W, C)
        Receives the first three channels.
    stream : stream, optional
        Where to run.
    """
    function = _fine_to_rgb_444 if cb.shape == y.shape else _fine_to_rgb_420
    function[_blocks(*cb.shape), (_ACROSS, _DOWN), stream](y, cb, cr, out)


def gray_to_fine(images: Any, channel: int, out: Any, stream: Any = 0) -> None:
    """Make centred planes of one channel (gray or alpha): sample * 16 - 2048, as :func:`imfnb.color.split_fine` does.

    Parameters
    ----------
    images : device array of uint8, shape (B, H, W, C)
        Images.
    channel : int
        Which channel.
    out : device array of int32, shape (B, H, W)
        Receives the planes.
    stream : stream, optional
        Where to run.
    """
    _gray_to_fine[_blocks(*out.shape), (_ACROSS, _DOWN), stream](images, np.int32(channel), out)


def fine_to_gray(planes: Any, out: Any, channel: int, stream: Any = 0) -> None:
    """Write one channel of images from centred planes, as :func:`imfnb.color.join_fine` does.

    Parameters
    ----------
    planes : device array of int32, shape (B, H, W)
        Centred samples.
    out : device array of uint8, shape (B, H, W, C)
        Receives the channel.
    channel : int
        Which channel.
    stream : stream, optional
        Where to run.
    """
    _fine_to_gray[_blocks(*planes.shape), (_ACROSS, _DOWN), stream](planes, out, np.int32(channel))
