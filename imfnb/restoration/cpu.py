"""Restoration filter compiled for the CPU; `reference` is its definition and proves the ranges.

Rows pass through a ring of a few padded lines; every row is classified from sliding column sums and filtered
while its neighbours are in the first-level cache. Every inner loop runs over one row, with few arrays and 32-bit
arithmetic only, which is what the vectoriser needs:

- coefficients are fetched into a row of their own first, since a loop that fetches and computes stays scalar (24 ms
  instead of 3.2 for one pass of 12 taps over 768x512; one Zen 5 core);
- both coefficients of a tap share one word, so there is one fetch per tap and pixel, not two. The fetches are 1.4 of
  the 3.2 ms, the arithmetic 0.9, the classification 0.55. Words of two taps (64 bits) saved
  0.2 ms more and were not worth the code.

Both passes take 5.2 ms for 768x512.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .._jit import kernel
from .reference import (
    ACTIVITY_THRESHOLDS,
    CLASSES,
    COEFFICIENT_BITS,
    DIRECTIONS,
    LIMIT_SHIFT,
    RADIUS,
    SAMPLE_LIMIT,
    STEP_LIMIT,
    TAPS,
    TAPS_PER_PASS,
    THRESHOLD_SHIFT,
)

_LOW, _HIGH = np.int32(-SAMPLE_LIMIT), np.int32(SAMPLE_LIMIT)
_WINDOW = 5
_LINES = 2 * RADIUS + 2
_ROWS = tuple(row for row, _ in TAPS)
_COLUMNS = tuple(column for _, column in TAPS)


@kernel()
def restore(
    plane: NDArray[np.int32],
    step: int,
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """Restore a decoded plane with given filters; parameters as in `reference.restore`."""
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
    # The rows around the current one, continued beyond the border: a ring, so that out may be the plane itself.
    lines = np.empty((_LINES, width + 2 * RADIUS), np.int32)
    packed = _pack(filters)
    near = np.int32(min((step * limits[0]) >> LIMIT_SHIFT, 2 * SAMPLE_LIMIT))
    far = np.int32(min((step * limits[1]) >> LIMIT_SHIFT, 2 * SAMPLE_LIMIT))
    bounds = np.empty(len(ACTIVITY_THRESHOLDS), np.int32)
    for i in range(len(ACTIVITY_THRESHOLDS)):
        bounds[i] = (step * ACTIVITY_THRESHOLDS[i]) >> THRESHOLD_SHIFT

    # Second differences of the last five rows (a ring), in four directions, and their sums per column.
    span = width + _WINDOW - 1
    ring = np.zeros((_WINDOW, 4, span), np.int32)
    sums = np.zeros((4, span), np.int32)
    class_row = np.empty(width, np.uint32)
    pairs = np.empty(width, np.int32)
    total = np.empty(width, np.int32)
    for row in range(-RADIUS, RADIUS):
        _load(plane, row, lines)
    for row in range(_WINDOW - 1):
        _slide(lines, row, ring[row], sums)
    for row in range(height):
        _load(plane, row + RADIUS, lines)
        _slide(lines, row + _WINDOW - 1, ring[(row + _WINDOW - 1) % _WINDOW], sums)
        _classify_row(sums[0], sums[1], sums[2], sums[3], bounds, class_row)
        total[:] = 1 << (COEFFICIENT_BITS - 1)
        middle = row + RADIUS
        centre = lines[middle % _LINES, RADIUS : RADIUS + width]
        for k in range(taps):
            dy, dx = _ROWS[k], _COLUMNS[k]
            ahead = lines[(middle + dy) % _LINES, RADIUS + dx : RADIUS + dx + width]
            behind = lines[(middle - dy) % _LINES, RADIUS - dx : RADIUS - dx + width]
            _fetch(packed[k], class_row, pairs)
            _add_tap(centre, ahead, behind, pairs, near, far, total)
        _correct_row(centre, total, out[row])


@kernel()
def _load(plane: NDArray[np.int32], row: int, lines: NDArray[np.int32]) -> None:
    """Copy a row to the ring, clamped and continued by RADIUS samples; beyond the border it is the nearest row.

    Rows below the border copy the last one from the ring: in the plane it may have been replaced already.
    """
    height, width = plane.shape
    target = lines[(row + RADIUS) % _LINES]
    if row >= height:
        target[:] = lines[(row - 1 + RADIUS) % _LINES]
        return
    source = plane[max(row, 0)]
    for x in range(width):
        target[x + RADIUS] = min(max(source[x], _LOW), _HIGH)
    target[:RADIUS] = target[RADIUS]
    target[RADIUS + width :] = target[RADIUS + width - 1]


@kernel()
def _pack(filters: NDArray[np.int16]) -> NDArray[np.int32]:
    """Coefficients as words of two, shape (len(TAPS), CLASSES): the near one in the low half, the far one above."""
    packed = np.empty((len(TAPS), CLASSES), np.int32)
    for k in range(len(TAPS)):
        for c in range(CLASSES):
            packed[k, c] = (np.int64(filters[c, 0, k]) & 0xFFFF) | (np.int64(filters[c, 1, k]) << 16)
    return packed


@kernel()
def _slide(lines: NDArray[np.int32], row: int, oldest: NDArray[np.int32], sums: NDArray[np.int32]) -> None:
    """Replace the oldest row of second differences by that around line `row` + 1; update the column sums."""
    end = sums.shape[1]
    above, beside, below = lines[row % _LINES], lines[(row + 1) % _LINES], lines[(row + 2) % _LINES]
    middle = beside[1 : end + 1]
    _slide_direction(beside[:end], middle, beside[2:], oldest[0], sums[0])
    _slide_direction(above[1 : end + 1], middle, below[1 : end + 1], oldest[1], sums[1])
    _slide_direction(above[:end], middle, below[2:], oldest[2], sums[2])
    _slide_direction(above[2:], middle, below[:end], oldest[3], sums[3])


@kernel()
def _slide_direction(
    before: NDArray[np.int32],
    middle: NDArray[np.int32],
    after: NDArray[np.int32],
    oldest: NDArray[np.int32],
    sums: NDArray[np.int32],
) -> None:
    """Second differences of one direction, in the place of the oldest, and the column sums."""
    for x in range(sums.size):
        new = np.int32(abs(np.int32(2 * middle[x] - before[x] - after[x])))
        sums[x] += np.int32(new - oldest[x])
        oldest[x] = new


@kernel()
def _classify_row(
    horizontal: NDArray[np.int32],
    vertical: NDArray[np.int32],
    falling: NDArray[np.int32],
    rising: NDArray[np.int32],
    bounds: NDArray[np.int32],
    class_row: NDArray[np.uint32],
) -> None:
    """Classes of one row from the column sums of its window."""
    bound0, bound1, bound2, bound3 = bounds[0], bounds[1], bounds[2], bounds[3]
    for x in range(class_row.size):
        h = np.int32(horizontal[x] + horizontal[x + 1] + horizontal[x + 2] + horizontal[x + 3] + horizontal[x + 4])
        v = np.int32(vertical[x] + vertical[x + 1] + vertical[x + 2] + vertical[x + 3] + vertical[x + 4])
        f = np.int32(falling[x] + falling[x + 1] + falling[x + 2] + falling[x + 3] + falling[x + 4])
        r = np.int32(rising[x] + rising[x + 1] + rising[x + 2] + rising[x + 3] + rising[x + 4])
        both = np.int32(h + v)
        activity = np.int32(both > bound0) + np.int32(both > bound1) + np.int32(both > bound2) + np.int32(both > bound3)
        straight, diagonal = np.int32(abs(np.int32(h - v))), np.int32(abs(np.int32(f - r)))
        axis = np.int32(1) if h > v else np.int32(2)
        slope = np.int32(3) if f > r else np.int32(4)
        direction = axis if straight >= diagonal else slope
        direction = direction if np.int32(4 * max(straight, diagonal)) > both else np.int32(0)
        class_row[x] = np.uint32(DIRECTIONS * activity + direction)


@kernel()
def _fetch(words: NDArray[np.int32], class_row: NDArray[np.uint32], pairs: NDArray[np.int32]) -> None:
    """Word of coefficients of every pixel's class."""
    for x in range(pairs.size):
        pairs[x] = words[class_row[x]]


@kernel()
def _add_tap(
    centre: NDArray[np.int32],
    ahead: NDArray[np.int32],
    behind: NDArray[np.int32],
    pairs: NDArray[np.int32],
    near: np.int32,
    far: np.int32,
    total: NDArray[np.int32],
) -> None:
    """Add the contribution of one tap, at both limits, to a row of accumulators."""
    minus_near, minus_far = np.int32(-near), np.int32(-far)
    for x in range(total.size):
        a = np.int32(ahead[x] - centre[x])
        b = np.int32(behind[x] - centre[x])
        inner = np.int32(min(max(a, minus_near), near)) + np.int32(min(max(b, minus_near), near))
        outer = np.int32(min(max(a, minus_far), far)) + np.int32(min(max(b, minus_far), far))
        pair = pairs[x]
        low, high = np.int32(np.int16(pair)), np.int32(pair >> 16)
        total[x] += np.int32(low * np.int32(inner)) + np.int32(high * np.int32(outer))


@kernel()
def _correct_row(centre: NDArray[np.int32], total: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    """Add the rounded accumulators to the samples."""
    for x in range(out.size):
        value = np.int32(centre[x] + np.int32(total[x] >> COEFFICIENT_BITS))
        out[x] = min(max(value, _LOW), _HIGH)


@kernel()
def squared_error(a: NDArray[np.int32], b: NDArray[np.int32]) -> int:
    """Sum of the squared differences of two planes (six calls of an encoding at 768x512: 0.3 ms, with NumPy 8.8)."""
    total = np.int64(0)
    for row in range(a.shape[0]):
        one, other = a[row], b[row]
        for x in range(one.size):
            difference = np.int64(np.int32(one[x] - other[x]))
            total += difference * difference
    return total
