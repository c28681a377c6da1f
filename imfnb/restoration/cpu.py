"""Restoration filter compiled for the CPU; `reference` is its definition and proves the ranges.

Rows pass through a ring of a few padded lines; every row is classified from sliding column sums and filtered while its
neighbours are in the first-level cache, all in vectors (`tiles`). As loops that fetched coefficients and added one tap
each both passes took 9.5 ms for the luma of a 768x512 image, with vectors for the filter only 3.1 (one Xeon core). With
AVX2 all planes of such an image take 3.1 to 3.4 ms; with coefficients fetched one by one 4.1 to 4.3 (one EPYC core).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..format.restoration import (
    ACTIVITY_THRESHOLDS,
    CLASSES,
    LIMIT_SHIFT,
    RADIUS,
    SAMPLE_LIMIT,
    SHORT_BLOCK,
    SHORT_REACH,
    SHORT_TAPS,
    SHORT_THRESHOLDS,
    TAPS,
    TAPS_PER_PASS,
    THRESHOLD_SHIFT,
)
from ..runtime.jit import kernel
from ..runtime.vectors import WIDTH
from .blocks import bend_row, classify_blocks, correct_rows
from .reference import CLIPPING_MAX, STEP_LIMIT
from .tiles import CHUNK, IN_REGISTERS, WINDOW, WORDS, classify_row, correct_row, slide_row

__all__ = ["restore", "restore_short", "squared_error"]

# Rows of a plane of int16 that are converted at a time for `squared_error`.
_PIECE = 256

_LOW, _HIGH = np.int32(-SAMPLE_LIMIT), np.int32(SAMPLE_LIMIT)
_LINES = 2 * RADIUS + 2
# The same for the short filter, of which four rows go at once; rows of second differences in its window.
_SHORT_LINES = 16
_SHORT_ROWS = (SHORT_BLOCK + 2 * SHORT_REACH) // 2
_ROWS = tuple(row for row, _ in TAPS)
_COLUMNS = tuple(column for _, column in TAPS)


def restore(
    planes: NDArray[np.int32],
    step: int,
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
    which: Sequence[int],
    scratch: None = None,
) -> None:
    """Counterpart of :func:`imfnb.restoration.reference.restore`."""
    for n in which:
        _restore(planes[n], step, filters, limits, out[n])


@kernel()
def _restore(
    plane: NDArray[np.int32],
    step: int,
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """Restore one plane."""
    step = min(step, STEP_LIMIT)
    for p in range(len(TAPS_PER_PASS)):
        _run_pass(plane if p == 0 else out, step, TAPS_PER_PASS[p], filters[p], limits[p], out)


@kernel()
def _run_pass(
    plane: NDArray[np.int32],
    step: int,
    taps: int,
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """One pass of `restore`; filters of shape (CLASSES, LIMITS, len(TAPS)), limits of shape (LIMITS,)."""
    height, width = plane.shape
    padded = width + -width % CHUNK
    # The rows around the current one, continued beyond the border: a ring, so that out may be the plane itself.
    lines = np.zeros((_LINES, padded + 2 * RADIUS + CHUNK), np.int16)
    tables = _pack(filters, taps, IN_REGISTERS)
    near, far = _clipping_limit(step, limits[0]), _clipping_limit(step, limits[1])
    bounds = _activity_bounds(step, ACTIVITY_THRESHOLDS)

    # What the classes depend on, three sums and differences of second differences: of the last five rows (a ring), and
    # added up per column.
    span = padded + CHUNK
    ring = np.zeros((WINDOW, 3, span), np.int32)
    sums = np.zeros((3, span), np.int32)
    classes, corrected = np.zeros(padded, np.int32), np.empty(padded, np.int32)
    places = np.empty((taps, 2), np.int64)
    for row in range(-RADIUS, RADIUS):
        _load(plane, row, lines)
    for row in range(WINDOW - 1):
        _slide(lines, row, ring, sums)
    for row in range(height):
        _load(plane, row + RADIUS, lines)
        _slide(lines, row + WINDOW - 1, ring, sums)
        classify_row(sums, bounds, classes)
        middle, stride = row + RADIUS, lines.shape[1]
        for k in range(taps):
            dy, dx = _ROWS[k], _COLUMNS[k]
            places[k, 0] = (middle + dy) % _LINES * stride + RADIUS + dx
            places[k, 1] = (middle - dy) % _LINES * stride + RADIUS - dx
        correct_row(lines, middle % _LINES * stride + RADIUS, places, tables, classes, near, far, corrected)
        target = out[row]
        for x in range(width):
            target[x] = corrected[x]


@kernel()
def _clipping_limit(step: int, limit: int) -> int:
    """`reference.clipping_limit`."""
    return min((step * limit) >> LIMIT_SHIFT, CLIPPING_MAX)


@kernel()
def _activity_bounds(step: int, thresholds: tuple[int, ...]) -> NDArray[np.int32]:
    """`reference.activity_bound` of every threshold."""
    bounds = np.empty(len(thresholds), np.int32)
    for i in range(len(thresholds)):
        bounds[i] = (step * thresholds[i]) >> THRESHOLD_SHIFT
    return bounds


@kernel()
def _load(plane: NDArray[np.int32], row: int, lines: NDArray[np.int16]) -> None:
    """Copy a row to the ring, clamped and continued by RADIUS samples; beyond the border it is the nearest row.

    Rows below the border copy the last one from the ring: in the plane it may have been replaced already.
    """
    height, width = plane.shape
    count = len(lines)
    target = lines[(row + RADIUS) % count]
    if row >= height:
        last = lines[(row - 1 + RADIUS) % count]
        for x in range(target.size):
            target[x] = last[x]
        return
    source = plane[max(row, 0)]
    for x in range(width):
        target[x + RADIUS] = np.int16(min(max(source[x], _LOW), _HIGH))
    target[:RADIUS] = target[RADIUS]
    target[RADIUS + width :] = target[RADIUS + width - 1]  # and beyond, up to whole vectors


@kernel()
def _pack(filters: NDArray[np.int16], taps: int, by_tap: bool) -> NDArray[np.int32]:
    """Coefficients as words of two, the near one in the low half: (taps, WORDS) or (CLASSES, taps)."""
    tables = np.zeros((taps, WORDS) if by_tap else (CLASSES, taps), np.int32)
    for k in range(taps):
        for c in range(CLASSES):
            word = (np.int64(filters[c, 0, k]) & 0xFFFF) | (np.int64(filters[c, 1, k]) << 16)
            if by_tap:
                tables[k, c] = word
            else:
                tables[c, k] = word
    return tables


@kernel()
def _slide(lines: NDArray[np.int16], row: int, ring: NDArray[np.int32], sums: NDArray[np.int32]) -> None:
    """Replace the oldest row of second differences by that around line `row` + 1; update the column sums."""
    stride = lines.shape[1]
    above, beside, below = row % _LINES * stride, (row + 1) % _LINES * stride, (row + 2) % _LINES * stride
    slide_row(lines, above, beside, below, ring[row % WINDOW], sums)


def restore_short(
    planes: NDArray[np.int32],
    step: int,
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
    which: Sequence[int],
) -> None:
    """Counterpart of :func:`imfnb.restoration.reference.restore_short`."""
    for n in which:
        _restore_short(planes[n], step, filters, limits, out[n])


@kernel()
def _restore_short(
    plane: NDArray[np.int32],
    step: int,
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """Restore one plane, a line of blocks after the other."""
    height, width = plane.shape
    step = min(step, STEP_LIMIT)
    padded = width + -width % WIDTH
    # A line of blocks needs its rows and what is around them: a ring, so that out may be the plane itself.
    lines = np.zeros((_SHORT_LINES, padded + 4 * WIDTH), np.int16)
    stride = lines.shape[1]
    tables = _pack(filters, SHORT_TAPS, False)
    near, far = _clipping_limit(step, limits[0]), _clipping_limit(step, limits[1])
    bounds = _activity_bounds(step, SHORT_THRESHOLDS)

    # Sums of the second differences of pairs of columns: of the last rows that count, from SHORT_REACH before the first
    # block on.
    span = padded // 2 + WIDTH // 2
    bends = np.zeros((_SHORT_ROWS, 3, span), np.int32)
    classes = np.zeros(padded // 2, np.int32)
    corrected = np.empty((SHORT_BLOCK, padded), np.int32)
    centres, places = np.empty(SHORT_BLOCK, np.int64), np.empty((SHORT_BLOCK * SHORT_TAPS, 2), np.int64)
    for row in range(-RADIUS, RADIUS - 1):
        _load(plane, row, lines)
    for row in range(-SHORT_REACH, SHORT_REACH, 2):
        _bend(lines, row, bends)
    for top in range(0, height, SHORT_BLOCK):
        for row in range(top + RADIUS - 1, top + RADIUS - 1 + SHORT_BLOCK):
            _load(plane, row, lines)
        for row in range(top + SHORT_REACH, top + SHORT_REACH + SHORT_BLOCK, 2):
            _bend(lines, row, bends)
        classify_blocks(bends, bounds, classes)
        for row in range(SHORT_BLOCK):
            middle = top + row + RADIUS
            centres[row] = middle % _SHORT_LINES * stride + RADIUS
            for k in range(SHORT_TAPS):
                dy, dx = _ROWS[k], _COLUMNS[k]
                places[row * SHORT_TAPS + k, 0] = (middle + dy) % _SHORT_LINES * stride + RADIUS + dx
                places[row * SHORT_TAPS + k, 1] = (middle - dy) % _SHORT_LINES * stride + RADIUS - dx
        correct_rows(lines, centres, places, tables, classes, near, far, corrected)
        for row in range(min(SHORT_BLOCK, height - top)):
            source, target = corrected[row], out[top + row]
            for x in range(width):
                target[x] = source[x]


@kernel()
def _bend(lines: NDArray[np.int16], row: int, bends: NDArray[np.int32]) -> None:
    """Put second differences around a row in the place of the oldest."""
    stride = lines.shape[1]
    middle = row + RADIUS
    above, beside, below = (
        (middle - 1) % _SHORT_LINES * stride,
        middle % _SHORT_LINES * stride,
        (middle + 1) % _SHORT_LINES * stride,
    )
    bend_row(lines, above, beside, below, bends[(row + SHORT_REACH) // 2 % _SHORT_ROWS])


def squared_error(
    a: NDArray[np.int32],
    b: NDArray[np.int32] | NDArray[np.int16],
    out: NDArray[np.int64],
    rows: tuple[int, int, int] | None = None,
) -> None:
    """Counterpart of :func:`imfnb.restoration.reference.squared_error`, which converts some rows of `b` at a time."""
    height = a.shape[1]
    first, last, period = rows or (0, height, height)
    for n in range(len(a)):
        for start in range(first, height, period):
            stop = min(start + last - first, height)
            for top in range(start, stop, _PIECE):
                piece = slice(top, min(top + _PIECE, stop))
                out[n] += _squared_error(a[n, piece], np.asarray(b[n, piece], np.int32))


@kernel()
def _squared_error(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """Sum of the squared differences of two planes (six calls of an encoding at 768x512: 0.3 ms, with NumPy 8.8)."""
    total = np.int64(0)
    for row in range(a.shape[0]):
        one, other = a[row], b[row]
        for x in range(one.size):
            difference = np.int64(np.int32(one[x] - other[x]))
            total += difference * difference
    return total
