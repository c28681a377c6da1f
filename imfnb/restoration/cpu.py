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
    TAPS,
    TAPS_PER_PASS,
    THRESHOLD_SHIFT,
)
from ..runtime.jit import kernel
from .reference import CLIPPING_MAX, STEP_LIMIT
from .tiles import CHUNK, IN_REGISTERS, WINDOW, WORDS, classify_row, correct_row, slide_row

__all__ = ["restore", "squared_error"]

# Rows of a plane of int16 that are converted at a time for `squared_error`.
_PIECE = 256

_LOW, _HIGH = np.int32(-SAMPLE_LIMIT), np.int32(SAMPLE_LIMIT)
_LINES = 2 * RADIUS + 2
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
    tables = _pack(filters, taps)
    near = min((step * limits[0]) >> LIMIT_SHIFT, CLIPPING_MAX)
    far = min((step * limits[1]) >> LIMIT_SHIFT, CLIPPING_MAX)
    bounds = np.empty(len(ACTIVITY_THRESHOLDS), np.int32)
    for i in range(len(ACTIVITY_THRESHOLDS)):
        bounds[i] = (step * ACTIVITY_THRESHOLDS[i]) >> THRESHOLD_SHIFT

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
def _load(plane: NDArray[np.int32], row: int, lines: NDArray[np.int16]) -> None:
    """Copy a row to the ring, clamped and continued by RADIUS samples; beyond the border it is the nearest row.

    Rows below the border copy the last one from the ring: in the plane it may have been replaced already.
    """
    height, width = plane.shape
    target = lines[(row + RADIUS) % _LINES]
    if row >= height:
        last = lines[(row - 1 + RADIUS) % _LINES]
        for x in range(target.size):
            target[x] = last[x]
        return
    source = plane[max(row, 0)]
    for x in range(width):
        target[x + RADIUS] = np.int16(min(max(source[x], _LOW), _HIGH))
    target[:RADIUS] = target[RADIUS]
    target[RADIUS + width :] = target[RADIUS + width - 1]  # and beyond, up to whole vectors


@kernel()
def _pack(filters: NDArray[np.int16], taps: int) -> NDArray[np.int32]:
    """Coefficients as words of two, the near one in the low half, in the shape that `correct_row` takes."""
    tables = np.zeros((taps, WORDS) if IN_REGISTERS else (CLASSES, taps), np.int32)
    for k in range(taps):
        for c in range(CLASSES):
            word = (np.int64(filters[c, 0, k]) & 0xFFFF) | (np.int64(filters[c, 1, k]) << 16)
            if IN_REGISTERS:
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
