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
    _ycbcr_to_rgb(y, cb, cr, out, int(cb.shape != y.shape))


@kernel()
def _rgb_to_ycbcr_444(image, y, cb, cr):
    height, width = y.shape
    for i in range(height):
        for j in range(width):
            r, g, b = _i32(image[i, j, 0]), _i32(image[i, j, 1]), _i32(image[i, j, 2])
            y[i, j] = (_YR * r + _YG * g + _YB * b + _H1) >> _S1
            cb[i, j] = min(((_BR * r + _BG * g + _BB * b + _H1) >> _S1) + _128, _255)
            cr[i, j] = min(((_RR * r + _RG * g + _RB * b + _H1) >> _S1) + _128, _255)


@kernel()
def _rgb_to_ycbcr_420(image, y, cb, cr):
    height, width = y.shape
    sums = np.zeros((3, width + 1), np.int32)
    for i in range(cb.shape[0]):
        top, bottom = 2 * i, min(2 * i + 1, height - 1)
        for j in range(width):
            r, g, b = _i32(image[top, j, 0]), _i32(image[top, j, 1]), _i32(image[top, j, 2])
            r1, g1, b1 = _i32(image[bottom, j, 0]), _i32(image[bottom, j, 1]), _i32(image[bottom, j, 2])
            y[top, j] = (_YR * r + _YG * g + _YB * b + _H1) >> _S1
            y[bottom, j] = (_YR * r1 + _YG * g1 + _YB * b1 + _H1) >> _S1
            sums[0, j] = r + r1
            sums[1, j] = g + g1
            sums[2, j] = b + b1
        if width % 2:
            for c in range(3):
                sums[c, width] = sums[c, width - 1]
        for j in range(cb.shape[1]):
            r = sums[0, 2 * j] + sums[0, 2 * j + 1]
            g = sums[1, 2 * j] + sums[1, 2 * j + 1]
            b = sums[2, 2 * j] + sums[2, 2 * j + 1]
            cb[i, j] = min(((_BR * r + _BG * g + _BB * b + _H4) >> _S4) + _128, _255)
            cr[i, j] = min(((_RR * r + _RG * g + _RB * b + _H4) >> _S4) + _128, _255)


@kernel()
def _ycbcr_to_rgb(y, cb, cr, out, shift):
    height, width = y.shape
    for i in range(height):
        for j in range(width):
            luma = _i32(y[i, j])
            blue = _i32(cb[i >> shift, j >> shift]) - _128
            red = _i32(cr[i >> shift, j >> shift]) - _128
            out[i, j, 0] = min(max(luma + ((_RCR * red + _H1) >> _S1), _0), _255)
            out[i, j, 1] = min(max(luma + ((_GCB * blue + _GCR * red + _H1) >> _S1), _0), _255)
            out[i, j, 2] = min(max(luma + ((_BCB * blue + _H1) >> _S1), _0), _255)
