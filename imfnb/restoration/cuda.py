"""Restoration filter as CUDA kernels; `reference` is its definition and proves the ranges (all of it is int32).

A block restores a tile of 32 x 16 samples: it loads the tile with the filter's reach around it, continued beyond the
border, into shared memory, takes the second differences of four directions there and their sums over rows of five, and
each thread then sums five rows, classifies and filters four samples.

Per sample and pass: 8 bytes (read and written once; the reach adds two thirds more reads from the cache), about 70
integer operations for the class and 15 per tap: 250 in the first pass, 160 in the second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import int32, int64

from .._cuda import SIMULATED, device_function, kernel, template, tile_of_block
from .._cuda import cuda as _cuda
from .reference import (
    ACTIVITY_THRESHOLDS,
    CLASSES,
    CLIPPING_MAX,
    COEFFICIENT_BITS,
    DIRECTIONS,
    LIMIT_SHIFT,
    PASSES,
    RADIUS,
    SAMPLE_LIMIT,
    STEP_LIMIT,
    TAPS,
    TAPS_PER_PASS,
    THRESHOLD_SHIFT,
)

__all__ = ["restore", "squared_error"]

_THRESHOLDS = np.array(ACTIVITY_THRESHOLDS, np.int32)
_BOUNDS = len(ACTIVITY_THRESHOLDS)
_LOW, _HIGH = np.int32(-SAMPLE_LIMIT), np.int32(SAMPLE_LIMIT)

# Samples of a tile across and down, and rows of threads: a warp is one row of the tile. The simulator starts a Python
# thread for each.
_ACROSS, _DOWN, _ROWS = (16, 8, 1) if SIMULATED else (32, 16, 4)
_WINDOW = 5
# Tile with the reach of the filter; second differences around it; their sums over rows of the window.
_LINES, _PITCH = _DOWN + 2 * RADIUS, _ACROSS + 2 * RADIUS
_TILE = _LINES * _PITCH
_DIFFERENCES = (4, _DOWN + _WINDOW - 1, _ACROSS + _WINDOW - 1)
_SUMS = (4, _DOWN + _WINDOW - 1, _ACROSS)
_THREADS = _ACROSS * _ROWS

# Threads of a block and samples of a thread in `squared_error`.
_ERROR_THREADS, _ERROR_SAMPLES = (4, 128) if SIMULATED else (128, 32)


@device_function
def _bent(before, middle, after):
    """Second difference, at most 2**16."""
    return np.int32(abs(np.int32(2 * middle - before - after)))


@device_function
def _classify(h, v, f, r, bounds):
    """`reference.classify` of one sample, from the sums of the four second differences over its window."""
    both = np.int32(h + v)
    activity = np.int32(0)
    for i in range(_BOUNDS):
        if both > bounds[i]:
            activity += np.int32(1)
    straight, diagonal = np.int32(abs(np.int32(h - v))), np.int32(abs(np.int32(f - r)))
    direction = np.int32(0)
    if np.int32(4 * max(straight, diagonal)) > both:
        if straight >= diagonal:
            direction = np.int32(1) if h > v else np.int32(2)
        else:
            direction = np.int32(3) if f > r else np.int32(4)
    return np.int32(DIRECTIONS * activity + direction)


@template(
    "void(int32[:,:,::1], int32, int16[:,:,:,::1], int32[:,::1], int32[:,:,::1], int32[::1])",
    *((number,) for number in range(PASSES)),
)
def _restore(number: int) -> Callable[..., None]:
    """The kernel of one pass, with its taps built in: from the chosen planes to scratch in their order, and back."""
    taps = TAPS_PER_PASS[number]
    first, count = number == 0, taps * CLASSES
    offsets = np.array([row * _PITCH + column for row, column in TAPS[:taps]], np.int32)

    def run_pass(planes, step, filters, limits, out, which):
        thresholds = _cuda.const.array_like(_THRESHOLDS)
        reach = _cuda.const.array_like(offsets)
        tile = _cuda.shared.array(_TILE, int32)
        differences = _cuda.shared.array(_DIFFERENCES, int32)
        sums = _cuda.shared.array(_SUMS, int32)
        words = _cuda.shared.array(count, int32)
        height, width = planes.shape[1], planes.shape[2]
        n, down, across = tile_of_block((height + _DOWN - 1) // _DOWN, (width + _ACROSS - 1) // _ACROSS)
        origin, goal = which[n] if first else n, n if first else which[n]
        top, left = down * _DOWN, across * _ACROSS
        lane, row = _cuda.threadIdx.x, _cuda.threadIdx.y
        thread = row * _ACROSS + lane
        # Both coefficients of a tap share one word: the near one in the low half, the far one above.
        for i in range(thread, count, _THREADS):
            k, c = i // CLASSES, i % CLASSES
            near_word = np.int32(filters[number, c, 0, k]) & np.int32(0xFFFF)
            words[i] = np.int32(np.int32(filters[number, c, 1, k]) << np.int32(16)) | near_word
        for y in range(row, _LINES, _ROWS):
            line = min(max(top + y - RADIUS, 0), height - 1)
            for x in range(lane, _PITCH, _ACROSS):
                value = planes[origin, line, min(max(left + x - RADIUS, 0), width - 1)]
                tile[y * _PITCH + x] = min(max(value, _LOW), _HIGH)
        _cuda.syncthreads()
        for y in range(row, _DIFFERENCES[1], _ROWS):
            for x in range(lane, _DIFFERENCES[2], _ACROSS):
                above = y * _PITCH + x
                beside, below = above + _PITCH, above + 2 * _PITCH
                middle = tile[beside + 1]
                differences[0, y, x] = _bent(tile[beside], middle, tile[beside + 2])
                differences[1, y, x] = _bent(tile[above + 1], middle, tile[below + 1])
                differences[2, y, x] = _bent(tile[above], middle, tile[below + 2])
                differences[3, y, x] = _bent(tile[above + 2], middle, tile[below])
        _cuda.syncthreads()
        for y in range(row, _SUMS[1], _ROWS):
            for d in range(4):
                total = np.int32(0)
                for i in range(_WINDOW):
                    total = np.int32(total + differences[d, y, lane + i])
                sums[d, y, lane] = total
        _cuda.syncthreads()
        near = np.int32(min(np.int32(step * limits[number, 0]) >> LIMIT_SHIFT, CLIPPING_MAX))
        far = np.int32(min(np.int32(step * limits[number, 1]) >> LIMIT_SHIFT, CLIPPING_MAX))
        bounds = _cuda.local.array(_BOUNDS, int32)
        for i in range(_BOUNDS):
            bounds[i] = np.int32(step * thresholds[i]) >> THRESHOLD_SHIFT
        window = _cuda.local.array(4, int32)
        for y in range(row, _DOWN, _ROWS):
            if top + y < height and left + lane < width:
                for d in range(4):
                    window[d] = 0
                    for i in range(_WINDOW):
                        window[d] = np.int32(window[d] + sums[d, y + i, lane])
                kind = _classify(window[0], window[1], window[2], window[3], bounds)
                at = (y + RADIUS) * _PITCH + lane + RADIUS
                centre = tile[at]
                total = np.int32(1 << (COEFFICIENT_BITS - 1))
                for k in range(taps):
                    a = np.int32(tile[at + reach[k]] - centre)
                    b = np.int32(tile[at - reach[k]] - centre)
                    inner = np.int32(min(max(a, -near), near) + min(max(b, -near), near))
                    outer = np.int32(min(max(a, -far), far) + min(max(b, -far), far))
                    word = words[k * CLASSES + kind]
                    low, high = np.int32(np.int32(word << np.int32(16)) >> 16), np.int32(word >> 16)
                    total = np.int32(total + np.int32(low * inner) + np.int32(high * outer))
                value = np.int32(centre + (total >> COEFFICIENT_BITS))
                out[goal, top + y, left + lane] = min(max(value, _LOW), _HIGH)

    return run_pass


@kernel("void(int32[:,:,::1], int32[:,:,::1], int32, int32, int32, int64[::1])")
def _squared_error(a, b, first, last, period, out):
    """Differences are below 2**16: their squares need 64 bits from two terms on."""
    total = _cuda.shared.array(1, int64)
    width = a.shape[2]
    size = a.shape[1] * width
    n, _, part = tile_of_block(1, (size + _ERROR_THREADS * _ERROR_SAMPLES - 1) // (_ERROR_THREADS * _ERROR_SAMPLES))
    thread = _cuda.threadIdx.x
    if thread == 0:
        total[0] = 0
    _cuda.syncthreads()
    mine = np.int64(0)
    start = part * np.int64(_ERROR_THREADS * _ERROR_SAMPLES)
    for i in range(start + thread, min(start + _ERROR_THREADS * _ERROR_SAMPLES, size), _ERROR_THREADS):
        y = np.int64(np.uint32(i) // np.uint32(width))
        x = i - y * width
        place = np.uint32(y) % np.uint32(period)
        if first <= place and place < last:
            difference = np.int64(a[n, y, x]) - np.int64(b[n, y, x])
            mine += difference * difference
    _cuda.atomic.add(total, 0, mine)  # sums of integers have no order
    _cuda.syncthreads()
    if thread == 0:
        _cuda.atomic.add(out, n, total[0])


def restore(
    planes: Any, step: int, filters: Any, limits: Any, out: Any, which: Any, scratch: Any, stream: Any = 0
) -> None:
    """Twin of :func:`imfnb.restoration.reference.restore` for planes of a stack.

    Parameters
    ----------
    planes : device array of int32, shape (B, H, W)
        Decoded samples.
    step : int
        Step of all planes in 1/64 gray level.
    filters : device array of int16, shape (PASSES, CLASSES, LIMITS, len(TAPS))
        As in the reference.
    limits : device array of int32, shape (PASSES, LIMITS)
        As in the reference.
    out : device array of int32, shape (B, H, W)
        Receives the restored planes; may be `planes` itself.
    which : device array of int32, shape (K,)
        Numbers of the planes to restore; the others are left alone.
    scratch : device array of int32, shape (K, H, W)
        Receives the result of the first pass: a tile reaches into its neighbours, so no pass can work in place.
    stream : stream, optional
        Where to run.
    """
    count, height, width = scratch.shape
    blocks = count * -(-height // _DOWN) * -(-width // _ACROSS)
    step = np.int32(min(int(step), STEP_LIMIT))
    _restore(0)[blocks, (_ACROSS, _ROWS), stream](planes, step, filters, limits, scratch, which)
    _restore(1)[blocks, (_ACROSS, _ROWS), stream](scratch, step, filters, limits, out, which)


def squared_error(
    a: Any, b: Any, out: Any, stream: Any = 0, rows: tuple[int, int, int] = (0, 1, 1)
) -> None:
    """Twin of :func:`imfnb.restoration.reference.squared_error` for stacks of planes.

    Parameters
    ----------
    a, b : device arrays of int32, shape (B, H, W)
        Samples within +-2**14.
    out : device array of int64, shape (B,)
        The sums are added to it.
    stream : stream, optional
        Where to run.
    rows : (int, int, int), optional
        Which rows count: from the first up to the second in every so many.
    """
    count, height, width = a.shape
    blocks = count * -(-(height * width) // (_ERROR_THREADS * _ERROR_SAMPLES))
    _squared_error[blocks, _ERROR_THREADS, stream](a, b, *rows, out)
