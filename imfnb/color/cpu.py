"""Colour conversion as `@njit` kernels: counterparts of `reference` with the same bits."""

from __future__ import annotations

import numpy as np

from ..runtime.jit import kernel
from ..runtime.vectors import WIDTH
from .reference import gray_to_q4, put_channel, q4_to_gray, take_channel
from .tiles import join_row, join_two_rows, one_row, q4_row, q4_wide_row, two_rows

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

# With Python integers Numba computes in int64, at half the SIMD width.
_i32 = np.int32


def rgb_to_ycbcr(images: np.ndarray, y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> None:
    """Counterpart of :func:`imfnb.color.reference.rgb_to_ycbcr`."""
    convert = rgb_to_planes_444 if cb.shape == y.shape else rgb_to_planes_420
    for image, *planes in zip(images, y, cb, cr, strict=True):
        convert(image, *planes)


def rgb_to_q4(images: np.ndarray, y: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> None:
    """Counterpart of :func:`imfnb.color.reference.rgb_to_q4`: the dtype of the planes says what the kernels make."""
    rgb_to_ycbcr(images, y, cb, cr)


def ycbcr_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray) -> None:
    """Counterpart of :func:`imfnb.color.reference.ycbcr_to_rgb`."""
    convert = _ycbcr_to_rgb_444 if cb.shape == y.shape else _ycbcr_to_rgb_420
    for planes in zip(y, cb, cr, out, strict=True):
        convert(*planes)


def q4_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray, above: int = 0) -> None:
    """Counterpart of :func:`imfnb.color.reference.q4_to_rgb`."""
    for luma, blue, red, image in zip(y, cb, cr, out, strict=True):
        if cb.shape == y.shape:
            _q4_to_rgb_444(luma, blue, red, image)
        else:
            _q4_to_rgb_420(luma, blue, red, above, image)


@kernel()
def halve(planes, out):
    """Counterpart of :func:`imfnb.color.reference.halve`."""
    height, width = planes.shape[1:]
    for n in range(len(planes)):
        for y in range(out.shape[1]):
            upper, lower, row = planes[n, 2 * y], planes[n, min(2 * y + 1, height - 1)], out[n, y]
            for x in range(width >> 1):
                total = upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]
                row[x] = np.int32(total + 2) >> np.int32(2)
            if width & 1:
                row[width >> 1] = np.int32(2 * (upper[width - 1] + lower[width - 1]) + 2) >> np.int32(2)


@kernel(forceinline=True)
def _one_row(image, pixel, y, cb, cr, place):
    if image.shape[2] == 3:  # the number of channels is a constant of the machine code
        one_row(image, pixel, y, cb, cr, place, 3)
    else:
        one_row(image, pixel, y, cb, cr, place, 4)


@kernel(forceinline=True)
def _two_rows(image, top, bottom, y, cb, cr, upper, lower, place):
    if image.shape[2] == 3:
        two_rows(image, top, bottom, y, cb, cr, upper, lower, place, 3)
    else:
        two_rows(image, top, bottom, y, cb, cr, upper, lower, place, 4)


@kernel()
def _copy_edge(image, row, column, edge):
    """Write the pixels from a column on to one row of `edge`; the last one goes on to its end."""
    last = image.shape[1] - 1
    for x in range(edge.shape[0]):
        for c in range(edge.shape[1]):
            edge[x, c] = image[row, min(column + x, last), c]


@kernel()
def rgb_to_planes_444(image, y, cb, cr):
    """Y, Cb and Cr of full size: uint8, or int32 and centred with fractional bits.

    With loops that LLVM vectorises, which had to take the colours apart first, a 768x512 image took 0.38 ms, and
    0.30 ms in `rgb_to_planes_420`; with vectors of pixels a third of that.
    """
    height, width = y.shape
    edge, planes = np.empty((1, WIDTH, image.shape[2]), np.uint8), np.empty((3, 1, WIDTH), y.dtype)
    for i in range(height):
        for column in range(0, width, WIDTH):
            place = i * width + column
            if column + WIDTH <= width:
                _one_row(image, place, y, cb, cr, place)
                continue
            _copy_edge(image, i, column, edge[0])
            _one_row(edge, 0, planes[0], planes[1], planes[2], 0)
            for x in range(width - column):
                y[i, column + x] = planes[0, 0, x]
                cb[i, column + x], cr[i, column + x] = planes[1, 0, x], planes[2, 0, x]


@kernel()
def rgb_to_planes_420(image, y, cb, cr):
    """As `rgb_to_planes_444`, with Cb and Cr averaged over 2x2 pixels; odd last ones count twice."""
    height, width = y.shape
    half, step = cb.shape[1], 2 * WIDTH
    edge, planes = np.empty((2, step, image.shape[2]), np.uint8), np.empty((3, 2, step), y.dtype)
    for i in range(cb.shape[0]):
        top, bottom = 2 * i, min(2 * i + 1, height - 1)
        for column in range(0, width, step):
            upper, lower, place = top * width + column, bottom * width + column, i * half + column // 2
            if column + step <= width:
                _two_rows(image, upper, lower, y, cb, cr, upper, lower, place)
                continue
            _copy_edge(image, top, column, edge[0])
            _copy_edge(image, bottom, column, edge[1])
            _two_rows(edge, 0, step, planes[0], planes[1], planes[2], 0, step, 0)
            for x in range(width - column):
                y[top, column + x], y[bottom, column + x] = planes[0, 0, x], planes[0, 1, x]
            for x in range(half - column // 2):
                cb[i, column // 2 + x], cr[i, column // 2 + x] = planes[1, 0, x], planes[2, 0, x]


@kernel(forceinline=True)
def _join_row(y, cb, cr, place, out, pixel):
    if out.shape[2] == 3:
        join_row(y, cb, cr, place, out, pixel, 3)
    else:
        join_row(y, cb, cr, place, out, pixel, 4)


@kernel(forceinline=True)
def _join_two_rows(y, upper, lower, cb, cr, place, out, top, bottom):
    if out.shape[2] == 3:
        join_two_rows(y, upper, lower, cb, cr, place, out, top, bottom, 3)
    else:
        join_two_rows(y, upper, lower, cb, cr, place, out, top, bottom, 4)


@kernel(forceinline=True)
def _q4_row(y, place, blue, red, column, out, pixel):
    if out.shape[2] == 3:
        q4_row(y, place, blue, red, column, out, pixel, 3)
    else:
        q4_row(y, place, blue, red, column, out, pixel, 4)


@kernel(forceinline=True)
def _q4_wide_row(y, place, blue, red, column, out, pixel):
    if out.shape[2] == 3:
        q4_wide_row(y, place, blue, red, column, out, pixel, 3)
    else:
        q4_wide_row(y, place, blue, red, column, out, pixel, 4)


@kernel()
def _put_edge(edge, row, column, out):
    """Write the colours of `edge` to a row of the image from a column on, as far as that goes."""
    for x in range(out.shape[1] - column):
        for c in range(3):
            out[row, column + x, c] = edge[x, c]


@kernel()
def _ycbcr_to_rgb_444(y, cb, cr, out):
    height, width = y.shape
    planes, edge = np.empty((3, 1, WIDTH), np.uint8), np.empty((1, WIDTH, out.shape[2]), np.uint8)
    for i in range(height):
        for column in range(0, width, WIDTH):
            place = i * width + column
            if column + WIDTH <= width:
                _join_row(y, cb, cr, place, out, place)
                continue
            for x in range(width - column):
                planes[0, 0, x] = y[i, column + x]
                planes[1, 0, x], planes[2, 0, x] = cb[i, column + x], cr[i, column + x]
            _join_row(planes[0], planes[1], planes[2], 0, edge, 0)
            _put_edge(edge[0], i, column, out)


@kernel()
def _ycbcr_to_rgb_420(y, cb, cr, out):
    """Every sample of chroma stands for 2x2 pixels.

    With loops that LLVM vectorises and that joined the colours afterwards, 768x512 pixels took 0.29 ms, with vectors
    of pixels 0.11.
    """
    height, width = y.shape
    half, step = cb.shape[1], 2 * WIDTH
    planes, edge = np.empty((3, 2, step), np.uint8), np.empty((2, step, out.shape[2]), np.uint8)
    for i in range(cb.shape[0]):
        top, bottom = 2 * i, min(2 * i + 1, height - 1)
        for column in range(0, width, step):
            upper, lower, place = top * width + column, bottom * width + column, i * half + column // 2
            if column + step <= width:
                _join_two_rows(y, upper, lower, cb, cr, place, out, upper, lower)
                continue
            for x in range(width - column):
                planes[0, 0, x], planes[0, 1, x] = y[top, column + x], y[bottom, column + x]
            for x in range(half - column // 2):
                planes[1, 0, x], planes[2, 0, x] = cb[i, column // 2 + x], cr[i, column // 2 + x]
            _join_two_rows(planes[0], 0, step, planes[1], planes[2], 0, edge, 0, step)
            _put_edge(edge[0], top, column, out)
            _put_edge(edge[1], bottom, column, out)


@kernel()
def _q4_to_rgb_444(y, cb, cr, out):
    width = y.shape[1]
    planes, edge = np.zeros((3, WIDTH), np.int32), np.empty((1, WIDTH, out.shape[2]), np.uint8)
    for i in range(y.shape[0]):
        for column in range(0, width, WIDTH):
            place = i * width + column
            if column + WIDTH <= width:
                _q4_row(y, place, cb[i], cr[i], column, out, place)
                continue
            for x in range(width - column):
                planes[0, x], planes[1, x], planes[2, x] = y[i, column + x], cb[i, column + x], cr[i, column + x]
            _q4_row(planes, 0, planes[1], planes[2], 0, edge, 0)
            _put_edge(edge[0], i, column, out)


@kernel()
def _weigh_rows(near, far, out):
    """The row between two of chroma, in quarters, with a guard on either side."""
    half = near.shape[0]
    for j in range(half):
        out[j + 1] = _i32(3) * near[j] + far[j]
    out[0], out[half + 1] = out[1], out[half]


@kernel()
def _q4_to_rgb_420(y, cb, cr, above, out):
    """With the interpolated rows written and read again 768x512 pixels took 0.42 ms, as vectors of them 0.28."""
    rows, half = cb.shape
    width, step = y.shape[1], 2 * WIDTH
    luma, edge = np.zeros(step, np.int32), np.empty((1, step, out.shape[2]), np.uint8)
    blue, red = np.zeros(half + WIDTH + 2, np.int32), np.zeros(half + WIDTH + 2, np.int32)
    for i in range(y.shape[0]):
        near = (above + i) // 2
        far = min(max(near + (1 if i % 2 else -1), 0), rows - 1)
        _weigh_rows(cb[near], cb[far], blue)
        _weigh_rows(cr[near], cr[far], red)
        for column in range(0, width, step):
            place = i * width + column
            if column + step <= width:
                _q4_wide_row(y, place, blue, red, column // 2, out, place)
                continue
            for x in range(width - column):
                luma[x] = y[i, column + x]
            _q4_wide_row(luma, 0, blue, red, column // 2, edge, 0)
            _put_edge(edge[0], i, column, out)
