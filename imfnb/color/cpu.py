"""Colour conversion as `@njit` kernels; same names and same bits as `reference`."""

from __future__ import annotations

import numpy as np

from .._jit import kernel
from .._vectors import WIDTH
from .matrix import B_CB, BITS, CENTRE, FRACTION, G_CB, G_CR, LIMIT, R_CR
from .tiles import one_row, two_rows

__all__ = [
    "fine_to_rgb",
    "rgb_to_fine",
    "rgb_to_planes_420",
    "rgb_to_planes_444",
    "rgb_to_ycbcr",
    "upsample",
    "ycbcr_to_rgb",
]

# int32 constants: with Python integers Numba computes in int64, at half the SIMD width.
_i32 = np.int32
_S1, _H1 = _i32(BITS), _i32(1 << (BITS - 1))
_RCR, _GCB, _GCR, _BCB = _i32(R_CR), _i32(G_CB), _i32(G_CR), _i32(B_CB)
_0, _128, _255 = _i32(0), _i32(128), _i32(255)
_i16 = np.int16
_BLACK, _WHITE = _i16(0), _i16(255)
_SB, _HB = _i32(BITS + FRACTION), _i32(1 << (BITS + FRACTION - 1))
_CENTRE, _LOW, _HIGH = _i32(CENTRE), _i32(-LIMIT), _i32(LIMIT - 1)


def rgb_to_ycbcr(image: np.ndarray, subsample: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twin of :func:`imfnb.color.reference.rgb_to_ycbcr`."""
    height, width = image.shape[:2]
    chroma = ((height + 1) // 2, (width + 1) // 2) if subsample else (height, width)
    y, cb, cr = np.empty((height, width), np.uint8), np.empty(chroma, np.uint8), np.empty(chroma, np.uint8)
    (rgb_to_planes_420 if subsample else rgb_to_planes_444)(image, y, cb, cr)
    return y, cb, cr


def ycbcr_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray) -> None:
    """Twin of :func:`imfnb.color.reference.ycbcr_to_rgb`."""
    (_ycbcr_to_rgb_444 if cb.shape == y.shape else _ycbcr_to_rgb_420)(y, cb, cr, out)


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


# Back to RGB every kernel works row by row through planar copies of a row: joining the samples in a loop of its own
# lets the arithmetic vectorise. For 768x512 that is 0.17 instead of 0.64 ms.


@kernel()
def _chroma_row(cb, cr, add_r, add_g, add_b):
    """What a row of chroma adds to luma in each colour."""
    for j in range(cb.shape[0]):
        blue, red = _i32(cb[j]) - _128, _i32(cr[j]) - _128
        add_r[j] = (_RCR * red + _H1) >> _S1
        add_g[j] = (_GCB * blue + _GCR * red + _H1) >> _S1
        add_b[j] = (_BCB * blue + _H1) >> _S1


@kernel()
def _interleave_row(r, g, b, row):
    flat = row.reshape(row.size)
    if row.shape[1] == 3:
        for j in range(r.shape[0]):
            flat[3 * j], flat[3 * j + 1], flat[3 * j + 2] = r[j], g[j], b[j]
    else:
        for j in range(r.shape[0]):
            flat[4 * j], flat[4 * j + 1], flat[4 * j + 2] = r[j], g[j], b[j]


@kernel()
def _join_row(y, added, colors, row):
    for c in range(3):
        add, color = added[c], colors[c]
        for j in range(y.shape[0]):  # |add| < 256: sixteen bits hold twice as many lanes
            color[j] = np.uint8(min(max(_i16(_i16(y[j]) + add[j]), _BLACK), _WHITE))
    _interleave_row(colors[0], colors[1], colors[2], row)


@kernel()
def _ycbcr_to_rgb_444(y, cb, cr, out):
    height, width = y.shape
    added, colors = np.empty((3, width), np.int16), np.empty((3, width), np.uint8)
    for i in range(height):
        _chroma_row(cb[i], cr[i], added[0], added[1], added[2])
        _join_row(y[i], added, colors, out[i])


@kernel()
def _ycbcr_to_rgb_420(y, cb, cr, out):
    height, width = y.shape
    half = cb.shape[1]
    small, added = np.empty((3, half), np.int16), np.empty((3, 2 * half), np.int16)
    colors = np.empty((3, width), np.uint8)
    for i in range(height):
        if i % 2 == 0:
            _chroma_row(cb[i // 2], cr[i // 2], small[0], small[1], small[2])
            for c in range(3):
                source, target = small[c], added[c]
                for j in range(half):
                    target[2 * j] = target[2 * j + 1] = source[j]
        _join_row(y[i], added, colors, out[i])


def rgb_to_fine(image: np.ndarray, subsample: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twin of :func:`imfnb.color.reference.rgb_to_fine`."""
    height, width = image.shape[:2]
    chroma = ((height + 1) // 2, (width + 1) // 2) if subsample else (height, width)
    y, cb, cr = np.empty((height, width), np.int32), np.empty(chroma, np.int32), np.empty(chroma, np.int32)
    (rgb_to_planes_420 if subsample else rgb_to_planes_444)(image, y, cb, cr)
    return y, cb, cr


def fine_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray) -> None:
    """Twin of :func:`imfnb.color.reference.fine_to_rgb`."""
    (_fine_to_rgb_444 if cb.shape == y.shape else _fine_to_rgb_420)(y, cb, cr, out)


@kernel()
def _upsample_row(near, far, line, out):
    """One row of doubled width from the nearer and the farther of two rows; `line` is scratch with two guards."""
    half = near.shape[0]
    for j in range(half):
        line[j + 1] = _i32(3) * near[j] + far[j]
    line[0], line[half + 1] = line[1], line[half]
    for j in range(half):
        out[2 * j] = (_i32(3) * line[j + 1] + line[j] + _i32(8)) >> _i32(4)
        out[2 * j + 1] = (_i32(3) * line[j + 1] + line[j + 2] + _i32(8)) >> _i32(4)


@kernel()
def upsample(plane, height, width):
    """Twin of :func:`imfnb.color.reference.upsample`."""
    rows, half = plane.shape
    out = np.empty((height, width), np.int32)
    line, wide = np.empty(half + 2, np.int32), np.empty(2 * half, np.int32)
    for i in range(height):
        near = i // 2
        far = min(max(near + (1 if i % 2 else -1), 0), rows - 1)
        _upsample_row(plane[near], plane[far], line, wide)
        target = out[i]
        for j in range(width):
            target[j] = wide[j]
    return out


@kernel()
def _fine_row(y, cb, cr, colors, row):
    """One row of RGB from rows of centred planes of the same width."""
    r, g, b = colors[0], colors[1], colors[2]
    for j in range(y.shape[0]):
        luma = ((min(max(y[j], _LOW), _HIGH) + _CENTRE) << _S1) + _HB
        blue, red = min(max(cb[j], _LOW), _HIGH), min(max(cr[j], _LOW), _HIGH)
        r[j] = np.uint8(min(max((luma + _RCR * red) >> _SB, _0), _255))
        g[j] = np.uint8(min(max((luma + _GCB * blue + _GCR * red) >> _SB, _0), _255))
        b[j] = np.uint8(min(max((luma + _BCB * blue) >> _SB, _0), _255))
    _interleave_row(r, g, b, row)


@kernel()
def _fine_to_rgb_444(y, cb, cr, out):
    colors = np.empty((3, y.shape[1]), np.uint8)
    for i in range(y.shape[0]):
        _fine_row(y[i], cb[i], cr[i], colors, out[i])


@kernel()
def _fine_to_rgb_420(y, cb, cr, out):
    height, width = y.shape
    rows, half = cb.shape
    colors = np.empty((3, width), np.uint8)
    line = np.empty(half + 2, np.int32)
    blue, red = np.empty(2 * half, np.int32), np.empty(2 * half, np.int32)
    for i in range(height):
        near = i // 2
        far = min(max(near + (1 if i % 2 else -1), 0), rows - 1)
        _upsample_row(cb[near], cb[far], line, blue)
        _upsample_row(cr[near], cr[far], line, red)
        _fine_row(y[i], blue, red, colors, out[i])
