"""Colour conversion as `@njit` kernels; same names and same bits as `reference`."""

from __future__ import annotations

import numpy as np

from .._jit import kernel
from .matrix import B_CB, BITS, CB_B, CB_G, CB_R, CR_B, CR_G, CR_R, G_CB, G_CR, R_CR, Y_B, Y_G, Y_R

__all__ = ["rgb_to_ycbcr", "ycbcr_to_rgb"]

# int32 constants: with Python integers Numba computes in int64, at half the SIMD width.
_i32 = np.int32
_YR, _YG, _YB = _i32(Y_R), _i32(Y_G), _i32(Y_B)
_BR, _BG, _BB = _i32(CB_R), _i32(CB_G), _i32(CB_B)
_RR, _RG, _RB = _i32(CR_R), _i32(CR_G), _i32(CR_B)
_S1, _H1 = _i32(BITS), _i32(1 << (BITS - 1))
_S4, _H4 = _i32(BITS + 2), _i32(1 << (BITS + 1))
_RCR, _GCB, _GCR, _BCB = _i32(R_CR), _i32(G_CB), _i32(G_CR), _i32(B_CB)
_0, _128, _255 = _i32(0), _i32(128), _i32(255)


def rgb_to_ycbcr(image: np.ndarray, subsample: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twin of :func:`imfnb.color.reference.rgb_to_ycbcr`."""
    height, width = image.shape[:2]
    chroma = ((height + 1) // 2, (width + 1) // 2) if subsample else (height, width)
    y, cb, cr = np.empty((height, width), np.uint8), np.empty(chroma, np.uint8), np.empty(chroma, np.uint8)
    (_rgb_to_ycbcr_420 if subsample else _rgb_to_ycbcr_444)(image, y, cb, cr)
    return y, cb, cr


def ycbcr_to_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, out: np.ndarray) -> None:
    """Twin of :func:`imfnb.color.reference.ycbcr_to_rgb`."""
    (_ycbcr_to_rgb_444 if cb.shape == y.shape else _ycbcr_to_rgb_420)(y, cb, cr, out)


# Every kernel works row by row through planar copies of a row: splitting and joining the interleaved samples in loops of
# their own lets the arithmetic vectorise. For 768x512 that is 0.17 instead of 0.64 ms back to RGB, and 0.08 instead of
# 0.5 ms for Y.


@kernel()
def _split_row(row, r, g, b):
    flat = row.reshape(row.size)
    if row.shape[1] == 3:  # a literal stride vectorises, a variable one does not
        for j in range(r.shape[0]):
            r[j], g[j], b[j] = flat[3 * j], flat[3 * j + 1], flat[3 * j + 2]
    else:
        for j in range(r.shape[0]):
            r[j], g[j], b[j] = flat[4 * j], flat[4 * j + 1], flat[4 * j + 2]


@kernel()
def _luma_row(r, g, b, y):
    for j in range(y.shape[0]):
        y[j] = (_YR * _i32(r[j]) + _YG * _i32(g[j]) + _YB * _i32(b[j]) + _H1) >> _S1


@kernel()
def _rgb_to_ycbcr_444(image, y, cb, cr):
    height, width = y.shape
    r, g, b = np.empty(width, np.uint8), np.empty(width, np.uint8), np.empty(width, np.uint8)
    for i in range(height):
        _split_row(image[i], r, g, b)
        _luma_row(r, g, b, y[i])
        blue, red = cb[i], cr[i]
        for j in range(width):
            blue[j] = min(((_BR * _i32(r[j]) + _BG * _i32(g[j]) + _BB * _i32(b[j]) + _H1) >> _S1) + _128, _255)
            red[j] = min(((_RR * _i32(r[j]) + _RG * _i32(g[j]) + _RB * _i32(b[j]) + _H1) >> _S1) + _128, _255)


@kernel()
def _rgb_to_ycbcr_420(image, y, cb, cr):
    height, width = y.shape
    half = cb.shape[1]
    r, g, b = np.empty(2 * half, np.uint8), np.empty(2 * half, np.uint8), np.empty(2 * half, np.uint8)
    r1, g1, b1 = np.empty(2 * half, np.uint8), np.empty(2 * half, np.uint8), np.empty(2 * half, np.uint8)
    sum_r, sum_g, sum_b = np.empty(half, np.int32), np.empty(half, np.int32), np.empty(half, np.int32)
    for i in range(cb.shape[0]):
        top, bottom = 2 * i, min(2 * i + 1, height - 1)
        _split_row(image[top], r[:width], g[:width], b[:width])
        _split_row(image[bottom], r1[:width], g1[:width], b1[:width])
        _luma_row(r[:width], g[:width], b[:width], y[top])
        _luma_row(r1[:width], g1[:width], b1[:width], y[bottom])
        if width % 2:
            for line in (r, g, b, r1, g1, b1):
                line[width] = line[width - 1]
        for j in range(half):
            k = 2 * j
            sum_r[j] = _i32(r[k]) + _i32(r[k + 1]) + _i32(r1[k]) + _i32(r1[k + 1])
            sum_g[j] = _i32(g[k]) + _i32(g[k + 1]) + _i32(g1[k]) + _i32(g1[k + 1])
            sum_b[j] = _i32(b[k]) + _i32(b[k + 1]) + _i32(b1[k]) + _i32(b1[k + 1])
        blue, red = cb[i], cr[i]
        for j in range(half):
            blue[j] = min(((_BR * sum_r[j] + _BG * sum_g[j] + _BB * sum_b[j] + _H4) >> _S4) + _128, _255)
            red[j] = min(((_RR * sum_r[j] + _RG * sum_g[j] + _RB * sum_b[j] + _H4) >> _S4) + _128, _255)


@kernel()
def _chroma_row(cb, cr, add_r, add_g, add_b):
    """What a row of chroma adds to luma in each colour."""
    for j in range(cb.shape[0]):
        blue, red = _i32(cb[j]) - _128, _i32(cr[j]) - _128
        add_r[j] = (_RCR * red + _H1) >> _S1
        add_g[j] = (_GCB * blue + _GCR * red + _H1) >> _S1
        add_b[j] = (_BCB * blue + _H1) >> _S1


@kernel()
def _join_row(y, added, colors, row):
    for c in range(3):
        add, color = added[c], colors[c]
        for j in range(y.shape[0]):
            color[j] = np.uint8(min(max(_i32(y[j]) + add[j], _0), _255))
    flat = row.reshape(row.size)
    r, g, b = colors[0], colors[1], colors[2]
    if row.shape[1] == 3:
        for j in range(y.shape[0]):
            flat[3 * j], flat[3 * j + 1], flat[3 * j + 2] = r[j], g[j], b[j]
    else:
        for j in range(y.shape[0]):
            flat[4 * j], flat[4 * j + 1], flat[4 * j + 2] = r[j], g[j], b[j]


@kernel()
def _ycbcr_to_rgb_444(y, cb, cr, out):
    height, width = y.shape
    added, colors = np.empty((3, width), np.int32), np.empty((3, width), np.uint8)
    for i in range(height):
        _chroma_row(cb[i], cr[i], added[0], added[1], added[2])
        _join_row(y[i], added, colors, out[i])


@kernel()
def _ycbcr_to_rgb_420(y, cb, cr, out):
    height, width = y.shape
    half = cb.shape[1]
    small, added = np.empty((3, half), np.int32), np.empty((3, 2 * half), np.int32)
    colors = np.empty((3, width), np.uint8)
    for i in range(height):
        if i % 2 == 0:
            _chroma_row(cb[i // 2], cr[i // 2], small[0], small[1], small[2])
            for c in range(3):
                source, target = small[c], added[c]
                for j in range(half):
                    target[2 * j] = target[2 * j + 1] = source[j]
        _join_row(y[i], added, colors, out[i])
