"""Colour conversion as CUDA kernels: counterparts of `reference` with the same bits, on arrays of the device.

With 4:2:0 a thread handles two samples of chroma and the 4 x 2 pixels that they belong to, in words of four bytes where
rows begin at multiples of four; RGB goes through shared memory, so that neighbouring threads write neighbouring words.
The other kernels take images as one row of pixels, of which each thread has four. All arithmetic is integer.

Work and traffic of the kernels, per pixel of an RGB image with half-size chroma whose width is a multiple of 4:

==============  ======================  ==================  ============
kernel          bytes read and written  integer operations  instructions
==============  ======================  ==================  ============
rgb_to_ycbcr    3 + 1.5                 14                  23
ycbcr_to_rgb    1.5 + 3                 12                  26
rgb_to_q4       3 + 6                   16                  23
q4_to_rgb       6 + 3                   42                  47
gray_to_q4      1 + 4                   2                   19
q4_to_gray      4 + 1                   5                   24
==============  ======================  ==================  ============

They are int32 throughout; `format.color` has the ranges (below 2**30).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DeviceError
from ..format.color import B_CB, BITS, CENTRE, FRACTION, G_CB, G_CR, LIMIT, R_CR
from ..runtime.cuda import GRID_LIMIT, TILE, blocks, cuda, device_function, kernel, stream
from ..runtime.cuda_intrinsics import (
    clip4,
    get,
    get_four,
    get_word,
    prmt,
    put,
    put_four,
    put_half,
    put_pair,
    put_word,
    starts_at_multiple,
)
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

_i32, _u32, _i64, _u64 = np.int32, np.uint32, np.int64, np.uint64
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
_128, _255 = _i32(128), _i32(255)

# Threads across and down of a block. A thread of a kernel for 4:2:0 has 4 pixels across and 2 down; others have 4
# pixels that lie _ACROSS apart, so that neighbouring threads have neighbouring pixels.
_ACROSS, _DOWN = TILE
_PIXELS = 4
# Values of a thread's pixels in a row, and words of RGB that a row of threads puts together, in each of two rows.
_VALUES, _WORDS = 3 * _PIXELS, 3 * _ACROSS
_STAGED = 2 * _WORDS * _DOWN


def rgb_to_ycbcr(images: Any, y: Any, cb: Any, cr: Any) -> None:
    """Counterpart of :func:`imfnb.color.reference.rgb_to_ycbcr`."""
    if cb.shape != y.shape:
        grid, fold = _blocks_of_eight(*y.shape)
        whole = _is_whole(images, y, cb, cr)
        _rgb_to_ycbcr_420[grid, TILE, stream()](images, *fold, whole, y, cb, cr)
    else:
        _rgb_to_ycbcr_444[_blocks(y), TILE, stream()](images, y, cb, cr)


def ycbcr_to_rgb(y: Any, cb: Any, cr: Any, out: Any) -> None:
    """Counterpart of :func:`imfnb.color.reference.ycbcr_to_rgb`."""
    if cb.shape != y.shape:
        grid, fold = _blocks_of_eight(*y.shape)
        _ycbcr_to_rgb_420[grid, TILE, stream()](y, cb, cr, *fold, _is_whole(out, y), out)
    else:
        _ycbcr_to_rgb_444[_blocks(y), TILE, stream()](y, cb, cr, out)


def take_channel(images: Any, channel: int, out: Any) -> Any:
    """Counterpart of :func:`imfnb.color.reference.take_channel`: copies to `out`, where NumPy would slice."""
    _take_channel[_blocks(out), TILE, stream()](images, np.int32(channel), out)
    return out


def put_channel(planes: Any, channel: int, out: Any) -> None:
    """Counterpart of :func:`imfnb.color.reference.put_channel`."""
    _put_channel[_blocks(planes), TILE, stream()](planes, np.int32(channel), out)


def rgb_to_q4(images: Any, y: Any, cb: Any, cr: Any) -> None:
    """Counterpart of :func:`imfnb.color.reference.rgb_to_q4`."""
    if cb.shape != y.shape:
        grid, fold = _blocks_of_eight(*y.shape)
        whole = _is_whole(images, y, cb, cr)
        _rgb_to_q4_420[grid, TILE, stream()](images, *fold, whole, y, cb, cr)
    else:
        _rgb_to_q4_444[_blocks(y), TILE, stream()](images, y, cb, cr)


def q4_to_rgb(y: Any, cb: Any, cr: Any, out: Any, above: int = 0) -> None:
    """Counterpart of :func:`imfnb.color.reference.q4_to_rgb` for whole planes.

    Raises
    ------
    ValueError
        If `above` is not 0.
    """
    if above:
        raise ValueError(f"above is {above}; expected 0, since the GPU takes whole planes")
    if cb.shape != y.shape:
        grid, fold = _blocks_of_eight(*y.shape)
        _q4_to_rgb_420[grid, TILE, stream()](y, cb, cr, *fold, _is_whole(out, y), out)
    else:
        _q4_to_rgb_444[_blocks(y), TILE, stream()](y, cb, cr, out)


def gray_to_q4(images: Any, channel: int, out: Any) -> None:
    """Counterpart of :func:`imfnb.color.reference.gray_to_q4`."""
    _gray_to_q4[_blocks(out), TILE, stream()](images, np.int32(channel), out)


def q4_to_gray(planes: Any, out: Any, channel: int) -> None:
    """Counterpart of :func:`imfnb.color.reference.q4_to_gray`."""
    _q4_to_gray[_blocks(planes), TILE, stream()](planes, out, np.int32(channel))


def halve(planes: Any, out: Any) -> None:
    """Counterpart of :func:`imfnb.color.reference.halve`."""
    _halve[_blocks(out), TILE, stream()](planes, out)


def _blocks(planes: Any) -> int:
    """Blocks for all pixels in a row."""
    return blocks(planes.size, _PIXELS * _ACROSS * _DOWN)


def _blocks_of_eight(images: int, height: int, width: int) -> tuple[tuple[int, int], tuple[Any, int, Any]]:
    """Grid for 4 x 2 pixels per thread, and how many blocks lie side by side, with what divides by that.

    Rows of blocks are folded into the first axis, since only that goes beyond 65535. For n < 2**31 the multiplier and
    the shift give n // across as 2 n * multiplier >> 32 + shift: the multiplier exceeds 2**(31 + shift) / across, where
    across <= 2**shift, by less than one, and so the product's quotient exceeds n / across by less than 1 / across.
    """
    across = blocks(width, _PIXELS * _ACROSS)
    if images > GRID_LIMIT or images * height >= 1 << 32:
        raise DeviceError(f"{images} images of {height} rows are more than a launch can take; use device='cpu'")
    shift = (across - 1).bit_length()
    grid = across * blocks(height, 2 * _DOWN), images
    return grid, (np.int32(across), blocks(1 << (31 + shift), across), np.int32(shift))


def _is_whole(images: Any, luma: Any, *chroma: Any) -> np.int32:
    """Whether every four pixels of a row can be read and written at once, and two samples of these chroma planes."""
    return np.int32(
        luma.shape[2] % 4 == 0
        and starts_at_multiple(images, 4 if images.shape[3] == 3 else 16)
        and starts_at_multiple(luma, 4 * luma.dtype.itemsize)
        and all(starts_at_multiple(plane, 2 * plane.dtype.itemsize) for plane in chroma)
    )


# ----------------------------------------------------------------------------------------- four pixels apart per thread


@device_function
def _first():
    """A thread's first pixel of all."""
    return _i64(cuda.blockIdx.x * _DOWN + cuda.threadIdx.y) * (_PIXELS * _ACROSS) + cuda.threadIdx.x


@kernel("void(uint8[:,:,:,::1], int32, uint8[:,:,::1])")
def _take_channel(image, channel, plane):
    for k in range(_PIXELS):
        at = _first() + k * _ACROSS
        if at < plane.size:
            put(plane, at, get(image, at * image.shape[3] + channel))


@kernel("void(uint8[:,:,::1], int32, uint8[:,:,:,::1])")
def _put_channel(plane, channel, out):
    for k in range(_PIXELS):
        at = _first() + k * _ACROSS
        if at < plane.size:
            put(out, at * out.shape[3] + channel, get(plane, at))


@kernel("void(uint8[:,:,:,::1], int32, int32[:,:,::1])")
def _gray_to_q4(images, channel, out):
    for k in range(_PIXELS):
        at = _first() + k * _ACROSS
        if at < out.size:
            sample = _i32(get(images, at * images.shape[3] + channel))
            put(out, at, _i32(_i32(sample << FRACTION) - _CENTRE))


@kernel("void(int32[:,:,::1], uint8[:,:,:,::1], int32)")
def _q4_to_gray(planes, out, channel):
    for k in range(_PIXELS):
        at = _first() + k * _ACROSS
        if at < planes.size:
            value = _i32(min(max(get(planes, at), _LOW), _HIGH) + (_CENTRE + (1 << (FRACTION - 1)))) >> _i32(FRACTION)
            put(out, at * out.shape[3] + channel, np.uint8(min(max(_i32(value), _i32(0)), _255)))


@kernel("void(int32[:,:,::1], int32[:,:,::1])")
def _halve(planes, out):
    height, width, down, across = planes.shape[1], planes.shape[2], out.shape[1], out.shape[2]
    for k in range(_PIXELS):
        at = _first() + k * _ACROSS
        if at < out.size:
            row = at // across
            x, n = (at - row * across) * 2, row // down
            y = (row - n * down) * 2
            # The last row and column count twice where there is no other.
            right = min(x + 1, width - 1)
            upper, lower = (n * height + y) * width, (n * height + min(y + 1, height - 1)) * width
            total = _i32(get(planes, upper + x) + get(planes, upper + right))
            total = _i32(total + _i32(get(planes, lower + x) + get(planes, lower + right)))
            put(out, at, _i32(_i32(total + 2) >> _i32(2)))


@device_function
def _pixel(images, at):
    """R, G and B of pixel `at` of all."""
    place = at * images.shape[3]
    return _i32(get(images, place)), _i32(get(images, place + 1)), _i32(get(images, place + 2))


@device_function
def _put_pixel(out, at, r, g, b):
    """Write the clipped R, G and B of pixel `at` of all."""
    place = at * out.shape[3]
    word = clip4(r, g, b, _i32(0))
    for c in range(3):
        put(out, place + c, np.uint8(_byte(word, c)))


@device_function
def _luma(r, g, b):
    return _i32(_i32(_YR * r + _YG * g + _YB * b + _H1) >> _S1)


@device_function
def _chroma(r, g, b, half, shift):
    """Cb and Cr of sums of pixels; `half` and `shift` take the mean."""
    blue = _i32(_i32(_BR * r + _BG * g + _BB * b + half) >> shift)
    red = _i32(_i32(_RR * r + _RG * g + _RB * b + half) >> shift)
    return blue, red


@device_function
def _q4_luma(r, g, b):
    return _i32(_i32(_i32(_YR * r + _YG * g + _YB * b + _HALF) >> _SHIFT) - _CENTRE)


@device_function
def _lifts(blue, red):
    """What chroma adds to Y for R, G and B."""
    blue, red = _i32(blue - _128), _i32(red - _128)
    r = _i32(_i32(_RCR * red + _H1) >> _S1)
    return r, _i32(_i32(_GCB * blue + _GCR * red + _H1) >> _S1), _i32(_i32(_BCB * blue + _H1) >> _S1)


@device_function
def _q4_rgb(luma, blue, red):
    """R, G and B, to be clipped, of centred samples; chroma is clamped already."""
    luma = _i32(_i32(_i32(min(max(luma, _LOW), _HIGH) + _CENTRE) << BITS) + _HALF_BACK)
    r, g = _i32(luma + _RCR * red) >> _BACK, _i32(luma + _GCB * blue + _GCR * red) >> _BACK
    return _i32(r), _i32(g), _i32(_i32(luma + _BCB * blue) >> _BACK)


@kernel("void(uint8[:,:,:,::1], uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,::1])")
def _rgb_to_ycbcr_444(image, y, cb, cr):
    for k in range(_PIXELS):
        at = _first() + k * _ACROSS
        if at < y.size:
            r, g, b = _pixel(image, at)
            blue, red = _chroma(r, g, b, _H1, _S1)
            put(y, at, np.uint8(_luma(r, g, b)))
            put(cb, at, np.uint8(min(_i32(blue + _128), _255)))
            put(cr, at, np.uint8(min(_i32(red + _128), _255)))


@kernel("void(uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,:,::1])")
def _ycbcr_to_rgb_444(y, cb, cr, out):
    for k in range(_PIXELS):
        at = _first() + k * _ACROSS
        if at < y.size:
            luma = _i32(get(y, at))
            r, g, b = _lifts(_i32(get(cb, at)), _i32(get(cr, at)))
            _put_pixel(out, at, _i32(luma + r), _i32(luma + g), _i32(luma + b))


@kernel("void(uint8[:,:,:,::1], int32[:,:,::1], int32[:,:,::1], int32[:,:,::1])")
def _rgb_to_q4_444(images, y, cb, cr):
    for k in range(_PIXELS):
        at = _first() + k * _ACROSS
        if at < y.size:
            r, g, b = _pixel(images, at)
            blue, red = _chroma(r, g, b, _HALF, _SHIFT)
            put(y, at, _q4_luma(r, g, b))
            put(cb, at, blue)
            put(cr, at, red)


@kernel("void(int32[:,:,::1], int32[:,:,::1], int32[:,:,::1], uint8[:,:,:,::1])")
def _q4_to_rgb_444(y, cb, cr, out):
    for k in range(_PIXELS):
        at = _first() + k * _ACROSS
        if at < y.size:
            blue, red = min(max(get(cb, at), _LOW), _HIGH), min(max(get(cr, at), _LOW), _HIGH)
            r, g, b = _q4_rgb(get(y, at), blue, red)
            _put_pixel(out, at, r, g, b)


# -------------------------------------------------------------------------------------------- 4 x 2 pixels per thread


@device_function
def _position(across, multiplier, shift):
    """Image, row of chroma and first column of luma of a thread; the last two may lie outside."""
    block = _i32(cuda.blockIdx.x)
    down = _i32(_u32(_u64(_u32(2 * block)) * _u64(multiplier) >> _u64(32)) >> _u32(shift))
    i, j = _i32(down * _DOWN + cuda.threadIdx.y), _i32((block - down * across) * _ACROSS + cuda.threadIdx.x)
    return _i32(cuda.blockIdx.y), i, _i32(_PIXELS * j)


@device_function
def _place(n, i, j, height, width):
    """Place of column `j` of row `i` of plane `n` in a stack, which has fewer than 2**32 rows."""
    return _i64(_u32(n * height + i)) * _i64(_u32(width)) + _i64(_u32(j))


@device_function
def _byte(word, k):
    """Byte `k` of a word, in one instruction."""
    return _i32(prmt(word, _u32(0), _u32(0x4440 + k)))


@device_function
def _read_rows(images, n, i, j, whole, upper, lower):
    """R, G and B of a thread's pixels, both rows read before any is used; an odd last row or column counts twice.

    Returns the first pixel's place, that of the row below or of the last row again, and number `last` of its columns.
    """
    height, width = _i32(images.shape[1]), _i32(images.shape[2])
    last = min(_i32(3), _i32(width - 1 - j))
    at = _place(n, _i32(2 * i), j, height, width)
    below = at + _i64(_u32(width)) if _i32(2 * i + 1) < height else at
    if not whole:
        for k in range(_PIXELS):
            column = min(_i32(k), last)
            upper[3 * k], upper[3 * k + 1], upper[3 * k + 2] = _pixel(images, at + column)
            lower[3 * k], lower[3 * k + 1], lower[3 * k + 2] = _pixel(images, below + column)
    elif _i32(images.shape[3]) == 3:
        u0, u1, u2 = _three_words(images, 3 * at)
        w0, w1, w2 = _three_words(images, 3 * below)
        for k in range(4):
            upper[k], upper[4 + k], upper[8 + k] = _byte(u0, k), _byte(u1, k), _byte(u2, k)
            lower[k], lower[4 + k], lower[8 + k] = _byte(w0, k), _byte(w1, k), _byte(w2, k)
    else:
        u0, u1, u2, u3 = get_four(images, 4 * at)
        w0, w1, w2, w3 = get_four(images, 4 * below)
        for c in range(3):
            upper[c], upper[3 + c], upper[6 + c], upper[9 + c] = _byte(u0, c), _byte(u1, c), _byte(u2, c), _byte(u3, c)
            lower[c], lower[3 + c], lower[6 + c], lower[9 + c] = _byte(w0, c), _byte(w1, c), _byte(w2, c), _byte(w3, c)
    return at, below, last


@device_function
def _three_words(images, at):
    return get_word(images, at), get_word(images, at + 4), get_word(images, at + 8)


@device_function
def _sum(upper, lower, k):
    """The sum of R, G or B of 2 x 2 pixels: k = 0 to 2 of the left ones, k = 6 to 8 of the right ones."""
    return _i32(upper[k] + upper[k + 3] + lower[k] + lower[k + 3])


@kernel("void(uint8[:,:,:,::1], int32, int64, int32, int32, uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,::1])")
def _rgb_to_ycbcr_420(image, across, multiplier, shift, whole, y, cb, cr):
    upper, lower = cuda.local.array(_VALUES, np.int32), cuda.local.array(_VALUES, np.int32)
    n, i, j = _position(across, multiplier, shift)
    if _i32(2 * i) >= _i32(y.shape[1]) or j >= _i32(y.shape[2]):
        return
    at, below, last = _read_rows(image, n, i, j, whole, upper, lower)
    _put_lumas(y, at, last, whole, upper)
    _put_lumas(y, below, last, whole, lower)  # the same again for a row that counts twice
    blue0, red0 = _chroma(_sum(upper, lower, 0), _sum(upper, lower, 1), _sum(upper, lower, 2), _H4, _S4)
    blue1, red1 = _chroma(_sum(upper, lower, 6), _sum(upper, lower, 7), _sum(upper, lower, 8), _H4, _S4)
    word = clip4(_i32(blue0 + _128), _i32(blue1 + _128), _i32(red0 + _128), _i32(red1 + _128))
    at = _place(n, i, j >> 1, _i32(cb.shape[1]), _i32(cb.shape[2]))
    if whole:
        put_half(cb, at, np.uint16(word & _u32(0xFFFF)))
        put_half(cr, at, np.uint16(word >> _u32(16)))
    else:
        put(cb, at, np.uint8(_byte(word, 0)))
        put(cr, at, np.uint8(_byte(word, 2)))
        if last >= 2:
            put(cb, at + 1, np.uint8(_byte(word, 1)))
            put(cr, at + 1, np.uint8(_byte(word, 3)))


@device_function
def _put_lumas(y, at, last, whole, rgb):
    """Write the Y of pixels 0 to `last` of four."""
    luma0, luma1 = _luma(rgb[0], rgb[1], rgb[2]), _luma(rgb[3], rgb[4], rgb[5])
    word = clip4(luma0, luma1, _luma(rgb[6], rgb[7], rgb[8]), _luma(rgb[9], rgb[10], rgb[11]))
    if whole:
        put_word(y, at, word)
    else:
        for k in range(_PIXELS):
            if k <= last:
                put(y, at + k, np.uint8(_byte(word, k)))


@device_function
def _put_q4_lumas(y, at, last, whole, rgb):
    """Write the centred Y of pixels 0 to `last` of four."""
    if whole:
        luma0, luma1 = _q4_luma(rgb[0], rgb[1], rgb[2]), _q4_luma(rgb[3], rgb[4], rgb[5])
        put_four(y, at, luma0, luma1, _q4_luma(rgb[6], rgb[7], rgb[8]), _q4_luma(rgb[9], rgb[10], rgb[11]))
    else:
        for k in range(_PIXELS):
            if k <= last:
                put(y, at + k, _q4_luma(rgb[3 * k], rgb[3 * k + 1], rgb[3 * k + 2]))


@kernel("void(uint8[:,:,:,::1], int32, int64, int32, int32, int32[:,:,::1], int32[:,:,::1], int32[:,:,::1])")
def _rgb_to_q4_420(images, across, multiplier, shift, whole, y, cb, cr):
    upper, lower = cuda.local.array(_VALUES, np.int32), cuda.local.array(_VALUES, np.int32)
    n, i, j = _position(across, multiplier, shift)
    if _i32(2 * i) >= _i32(y.shape[1]) or j >= _i32(y.shape[2]):
        return
    at, below, last = _read_rows(images, n, i, j, whole, upper, lower)
    _put_q4_lumas(y, at, last, whole, upper)
    _put_q4_lumas(y, below, last, whole, lower)  # the same again for a row that counts twice
    blue0, red0 = _chroma(_sum(upper, lower, 0), _sum(upper, lower, 1), _sum(upper, lower, 2), _HALF_4, _SHIFT_4)
    blue1, red1 = _chroma(_sum(upper, lower, 6), _sum(upper, lower, 7), _sum(upper, lower, 8), _HALF_4, _SHIFT_4)
    at = _place(n, i, j >> 1, _i32(cb.shape[1]), _i32(cb.shape[2]))
    if whole:
        put_pair(cb, at, blue0, blue1)
        put_pair(cr, at, red0, red1)
    else:
        put(cb, at, blue0)
        put(cr, at, red0)
        if last >= 2:
            put(cb, at + 1, blue1)
            put(cr, at + 1, red1)


@device_function
def _stage(out, at, last, whole, rgb, words, slot):
    """Clip four pixels and put them into `words`, or, with alpha, write numbers 0 to `last` of them from `at` on."""
    if _i32(out.shape[3]) == 3:
        for k in range(3):
            put(words, slot + k, clip4(rgb[4 * k], rgb[4 * k + 1], rgb[4 * k + 2], rgb[4 * k + 3]))
    elif whole:
        w0, w1, w2, w3 = get_four(out, 4 * at)
        w0 = prmt(clip4(rgb[0], rgb[1], rgb[2], _i32(0)), w0, _ALPHA)
        w1 = prmt(clip4(rgb[3], rgb[4], rgb[5], _i32(0)), w1, _ALPHA)
        w2 = prmt(clip4(rgb[6], rgb[7], rgb[8], _i32(0)), w2, _ALPHA)
        put_four(out, 4 * at, w0, w1, w2, prmt(clip4(rgb[9], rgb[10], rgb[11], _i32(0)), w3, _ALPHA))
    else:
        for k in range(_PIXELS):
            if k <= last:
                _put_pixel(out, at + k, rgb[3 * k], rgb[3 * k + 1], rgb[3 * k + 2])


# Bytes 0 to 2 of one word, byte 3 of another.
_ALPHA = _u32(0x7210)


@device_function
def _slot():
    """Where a thread puts the words of its upper row among those of its block."""
    return _i64(_i32(2 * cuda.threadIdx.y * _WORDS + 3 * cuda.threadIdx.x))


@device_function
def _put_staged(out, words, at, i, j, whole):
    """Write what a row of threads put into `words`, unless there is alpha: two rows of RGB.

    `at` is the thread's first pixel of all.
    """
    if _i32(out.shape[3]) != 3:
        return
    cuda.syncthreads()
    lane = _i32(cuda.threadIdx.x)
    height, width = _i32(out.shape[1]), _i32(out.shape[2])
    size = _i32(3 * min(_i32(_PIXELS * _ACROSS), _i32(width - j + _PIXELS * lane)))  # bytes of the row of threads
    rows = _i32(height - 2 * i)
    start, below = 3 * (at - _PIXELS * lane), 3 * _i64(_u32(width))
    first = _i64(_i32(2 * cuda.threadIdx.y * _WORDS))
    if whole and size == 4 * _WORDS and rows > 1:
        start, first = start + 4 * lane, first + lane
        for k in range(_WORDS // _ACROSS):
            put_word(out, start + 4 * k * _ACROSS, get(words, first + k * _ACROSS))
        for k in range(_WORDS // _ACROSS):
            put_word(out, start + below + 4 * k * _ACROSS, get(words, first + (_WORDS + k * _ACROSS)))
        return
    for _ in range(min(rows, _i32(2))):
        if whole:
            for k in range(lane, size >> 2, _i32(_ACROSS)):
                put_word(out, start + 4 * k, get(words, first + k))
        else:
            for k in range(lane, size, _i32(_ACROSS)):
                put(out, start + k, np.uint8(get(words, first + (k >> 2)) >> _u32(8 * (k & 3)) & _u32(255)))
        start, first = start + below, first + _WORDS


@kernel("void(uint8[:,:,::1], uint8[:,:,::1], uint8[:,:,::1], int32, int64, int32, int32, uint8[:,:,:,::1])")
def _ycbcr_to_rgb_420(y, cb, cr, across, multiplier, shift, whole, out):
    words = cuda.shared.array(_STAGED, np.uint32)
    rgb = cuda.local.array(_VALUES, np.int32)
    n, i, j = _position(across, multiplier, shift)
    height, width = _i32(y.shape[1]), _i32(y.shape[2])
    row = _i32(2 * i)
    at = _place(n, row, j, height, width)
    if row < height and j < width:
        last = min(_i32(3), _i32(width - 1 - j))
        left = _place(n, i, j >> 1, _i32(cb.shape[1]), _i32(cb.shape[2]))
        right = left + (last >> 1)  # there is no second sample where there is no third pixel
        r0, g0, b0 = _lifts(_i32(get(cb, left)), _i32(get(cr, left)))
        r1, g1, b1 = _lifts(_i32(get(cb, right)), _i32(get(cr, right)))
        below = at + _i64(_u32(width)) if _i32(row + 1) < height else at
        word0, word1 = _four_bytes(y, at, last, whole), _four_bytes(y, below, last, whole)
        slot = _slot()
        _lift(word0, r0, g0, b0, r1, g1, b1, rgb)
        _stage(out, at, last, whole, rgb, words, slot)
        if _i32(row + 1) < height:
            _lift(word1, r0, g0, b0, r1, g1, b1, rgb)
            _stage(out, below, last, whole, rgb, words, slot + _WORDS)
    _put_staged(out, words, at, i, j, whole)


@device_function
def _lift(word, r0, g0, b0, r1, g1, b1, rgb):
    """Add what chroma adds to the Y of four pixels: first that of two, then that of the other two."""
    for k in range(_PIXELS):
        luma = _byte(word, k)
        rgb[3 * k] = _i32(luma + (r0 if k < 2 else r1))
        rgb[3 * k + 1] = _i32(luma + (g0 if k < 2 else g1))
        rgb[3 * k + 2] = _i32(luma + (b0 if k < 2 else b1))


@device_function
def _four_bytes(plane, at, last, whole):
    """The word of bytes from `at` on; byte `last` stands for those after it."""
    if whole:
        return get_word(plane, at)
    word = _u32(0)
    for k in range(_PIXELS):
        word = _u32(word | _u32(get(plane, at + min(_i32(k), last))) << _u32(8 * k))
    return word


@device_function
def _vertical(plane, at, above, below, left, right, far, above_sums, below_sums):
    """Sums 3 near + far of chroma down columns 2 j - 1 to 2 j + 2, towards the row above and that below.

    `at` is the place of column 2 j; the other places are relative to it.
    """
    for c in range(4):
        place = at + (left if c == 0 else _i64(0) if c == 1 else right if c == 2 else far)
        near = _i32(3 * get(plane, place))
        above_sums[c] = _i32(near + get(plane, place + above))
        below_sums[c] = _i32(near + get(plane, place + below))


@device_function
def _sum_both(cb, cr, n, i, j, blue0, blue1, red0, red1):
    """Sums of :func:`_vertical` of both chroma planes; edges are repeated."""
    height, width = _i32(cb.shape[1]), _i32(cb.shape[2])
    above = -cb.shape[2] if i > 0 else _i64(0)
    below = cb.shape[2] if _i32(i + 1) < height else _i64(0)
    column = j >> 1
    at = _place(n, i, column, height, width)
    if column > 0 and _i32(column + 2) < width:  # distances that are known spare the addresses of most threads
        _vertical(cb, at, above, below, _i64(-1), _i64(1), _i64(2), blue0, blue1)
        _vertical(cr, at, above, below, _i64(-1), _i64(1), _i64(2), red0, red1)
    else:
        left = -_i64(min(column, _i32(1)))
        right, far = _i64(min(_i32(1), _i32(width - 1 - column))), _i64(min(_i32(2), _i32(width - 1 - column)))
        _vertical(cb, at, above, below, left, right, far, blue0, blue1)
        _vertical(cr, at, above, below, left, right, far, red0, red1)


@device_function
def _horizontal(sums, k):
    """Sample `k` of four of `reference.upsample`, clamped: before the shift, which takes an instruction less."""
    near = 1 if k < 2 else 2
    beside = near + 2 * (k & 1) - 1
    total = min(max(_i32(3 * sums[near] + sums[beside] + 8), _i32(_LOW << 4)), _i32((_HIGH << 4) + 15))
    return _i32(total >> _i32(4))


@device_function
def _q4_row(luma, blue, red, rgb):
    """R, G and B of four pixels of Y and of sums of chroma."""
    for k in range(_PIXELS):
        rgb[3 * k], rgb[3 * k + 1], rgb[3 * k + 2] = _q4_rgb(luma[k], _horizontal(blue, k), _horizontal(red, k))


@device_function
def _four_items(plane, at, last, whole, items):
    """Four items from `at` on; item `last` stands for those after it."""
    if whole:
        items[0], items[1], items[2], items[3] = get_four(plane, at)
    else:
        for k in range(_PIXELS):
            items[k] = get(plane, at + min(_i32(k), last))


@kernel("void(int32[:,:,::1], int32[:,:,::1], int32[:,:,::1], int32, int64, int32, int32, uint8[:,:,:,::1])")
def _q4_to_rgb_420(y, cb, cr, across, multiplier, shift, whole, out):
    words = cuda.shared.array(_STAGED, np.uint32)
    rgb = cuda.local.array(_VALUES, np.int32)
    luma0, luma1 = cuda.local.array(_PIXELS, np.int32), cuda.local.array(_PIXELS, np.int32)
    blue0, blue1 = cuda.local.array(_PIXELS, np.int32), cuda.local.array(_PIXELS, np.int32)
    red0, red1 = cuda.local.array(_PIXELS, np.int32), cuda.local.array(_PIXELS, np.int32)
    n, i, j = _position(across, multiplier, shift)
    height, width = _i32(y.shape[1]), _i32(y.shape[2])
    row = _i32(2 * i)
    at = _place(n, row, j, height, width)
    if row < height and j < width:
        last = min(_i32(3), _i32(width - 1 - j))
        below = at + _i64(_u32(width)) if _i32(row + 1) < height else at
        _four_items(y, at, last, whole, luma0)
        _four_items(y, below, last, whole, luma1)
        _sum_both(cb, cr, n, i, j, blue0, blue1, red0, red1)
        slot = _slot()
        _q4_row(luma0, blue0, red0, rgb)
        _stage(out, at, last, whole, rgb, words, slot)
        if _i32(row + 1) < height:
            _q4_row(luma1, blue1, red1, rgb)
            _stage(out, below, last, whole, rgb, words, slot + _WORDS)
    _put_staged(out, words, at, i, j, whole)
