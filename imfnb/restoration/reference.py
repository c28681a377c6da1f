"""Restoration filter in plain NumPy: the definition that `cpu` and `cuda` must reproduce bit for bit.

All quantities are integers. Samples are clamped to ±SAMPLE_LIMIT on entry, so that every intermediate stays in int32:

- a second difference |2 p - q - r| is at most 4 * 2**14 = 2**16, its sum over the 25 pixels of a window at most
  25 * 2**16 < 2**21, the activity (two such sums) and the multiples compared for the direction below 2**23;
- a step is at most 2**15, its product with a threshold or a clipping limit (at most 2**12 either) at most 2**27;
- a clipped neighbour difference is below 2**14, the sum over a symmetric pair below 2**15, which fits 16 bits, and
  since the absolute coefficients of a class add up to at most COEFFICIENT_SUM_LIMIT = 2**14, the accumulator stays
  within 2**29;
- the correction is then within 2**22, and the corrected sample is clamped to ±SAMPLE_LIMIT again.

In the short filter a second difference is at most SHORT_BEND_MAX < 2**13. The horizontal one and the vertical one of a
pixel add up to less than 2**14 and differ by less than 2**13, which fits 16 bits, as does what two columns add up to;
sums of horizontal and vertical ones over the 32 pixels of a window stay below 2**19.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..format.restoration import (
    ACTIVITY_THRESHOLDS,
    COEFFICIENT_BITS,
    DIRECTIONS,
    LIMIT_SHIFT,
    LIMITS,
    RADIUS,
    SAMPLE_LIMIT,
    SHORT_BEND_MAX,
    SHORT_BLOCK,
    SHORT_REACH,
    SHORT_TAPS,
    SHORT_THRESHOLDS,
    TAPS,
    TAPS_PER_PASS,
    THRESHOLD_SHIFT,
)

__all__ = ["restore", "restore_short", "squared_error"]

STEP_LIMIT = 2**15
"""Largest step, 512 gray levels; a larger one is treated as this one."""
CLIPPING_MAX = 2**14 - 1
"""Largest clipping limit; those of the shipped filters are at most 2**12."""
COEFFICIENT_SUM_LIMIT = 2**14
"""Bound of the sum of absolute coefficients of a class, in units of 2**-COEFFICIENT_BITS."""


def restore(
    planes: NDArray[np.int32],
    step: int,
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
    which: Sequence[int],
    scratch: NDArray[np.int32] | None = None,
) -> None:
    """Restore decoded planes with given filters.

    Every pass corrects every pixel by the filter of its class (see `classify`)::

        out = p + (sum_{k, m} c[class, m, k] (clip(p[+k] - p, ±l_m) + clip(p[-k] - p, ±l_m)) + 128) >> 8

    where k runs over the taps and m over the two clipping limits. A small limit makes an average of similar neighbours
    that an edge does not disturb, the large one measures the edge itself; learned together they replace the linear
    filter by one with a piecewise linear response per tap. Beyond the border the plane is continued by its nearest
    sample. The second pass works on the result of the first and classifies anew.

    Parameters
    ----------
    planes : array of int32, shape (B, H, W), H and W at least 1
        Decoded samples, centred, in 1/16 gray level; those beyond +-SAMPLE_LIMIT are clamped.
    step : int
        Quantization step of the planes in 1/64 gray level, at least 1.
    filters : array of int16, shape (PASSES, CLASSES, LIMITS, len(TAPS))
        Coefficients in units of 2**-COEFFICIENT_BITS; absolute sum per class at most COEFFICIENT_SUM_LIMIT. Those
        beyond the taps of a pass are ignored.
    limits : array of int32, shape (PASSES, LIMITS)
        Clipping limits in sixteenths of a step, 0 to 4096.
    out : array of int32, shape (B, H, W)
        Receives the restored samples; may be `planes` itself.
    which : array of int32, shape (K,), or on the CPU sequence of int
        Numbers of the planes to restore; the others are left alone in `out`.
    scratch : array of int32, shape (K, H, W), optional
        The GPU needs it for the result of the first pass: a tile reaches into its neighbours, so that no pass can work
        in place there. Not used on the CPU.
    """
    step = min(int(step), STEP_LIMIT)
    for n in which:
        plane = planes[n]
        for taps, pass_filters, pass_limits in zip(TAPS_PER_PASS, filters, limits, strict=True):
            _run_pass(plane, step, TAPS[:taps], pass_filters, pass_limits, out[n])
            plane = out[n]


def restore_short(
    planes: NDArray[np.int32],
    step: int,
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
    which: Sequence[int],
) -> None:
    """Restore decoded planes by one pass of short filters, whose classes are those of blocks (see `classify_blocks`).

    Parameters
    ----------
    planes : array of int32, shape (B, H, W), H and W at least 1
        Decoded samples, centred, in 1/16 gray level; those beyond +-SAMPLE_LIMIT are clamped.
    step : int
        Quantization step of the planes in 1/64 gray level, at least 1.
    filters : array of int16, shape (CLASSES, LIMITS, SHORT_TAPS)
        Coefficients in units of 2**-COEFFICIENT_BITS; absolute sum per class at most COEFFICIENT_SUM_LIMIT.
    limits : array of int32, shape (LIMITS,)
        Clipping limits in sixteenths of a step, 0 to 4096.
    out : array of int32, shape (B, H, W)
        Receives the restored samples; on the CPU it may be `planes` itself.
    which : array of int32, shape (K,), or on the CPU sequence of int
        Numbers of the planes to restore; the others are left alone in `out`.
    """
    step = min(int(step), STEP_LIMIT)
    for n in which:
        height, width = planes[n].shape
        margins = [(SHORT_REACH + 1, SHORT_REACH + 1 + -size % SHORT_BLOCK) for size in (height, width)]
        classes = classify_blocks(np.pad(_clamped(planes[n]), margins, mode="edge"), step)
        each = classes.repeat(SHORT_BLOCK, axis=0).repeat(SHORT_BLOCK, axis=1)[:height, :width]
        _correct(planes[n], each, step, TAPS[:SHORT_TAPS], filters, limits, out[n])


def _clamped(plane: NDArray[np.int32]) -> NDArray[np.int32]:
    """The samples within the range that is counted with."""
    return np.clip(plane, -SAMPLE_LIMIT, SAMPLE_LIMIT)


def _run_pass(
    plane: NDArray[np.int32],
    step: int,
    taps: tuple[tuple[int, int], ...],
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """One pass of `restore`; filters of shape (CLASSES, LIMITS, len(TAPS)), limits of shape (LIMITS,)."""
    classes = classify(np.pad(_clamped(plane), RADIUS, mode="edge"), step)
    _correct(plane, classes, step, taps, filters, limits, out)


def _correct(
    plane: NDArray[np.int32],
    classes: NDArray[np.int32],
    step: int,
    taps: tuple[tuple[int, int], ...],
    filters: NDArray[np.int16],
    limits: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """Correct every sample by the filter of its class."""
    height, width = plane.shape
    padded = np.pad(_clamped(plane), RADIUS, mode="edge")

    def shifted(row: int, column: int) -> NDArray[np.int32]:
        return padded[RADIUS + row : RADIUS + row + height, RADIUS + column : RADIUS + column + width]

    centre = shifted(0, 0)
    total = np.zeros((height, width), np.int32)
    for m in range(LIMITS):
        limit = clipping_limit(step, int(limits[m]))
        for k, (row, column) in enumerate(taps):
            ahead = np.clip(shifted(row, column) - centre, -limit, limit)
            behind = np.clip(shifted(-row, -column) - centre, -limit, limit)
            total += filters[classes, m, k].astype(np.int32) * (ahead + behind)
    correction = (total + (1 << (COEFFICIENT_BITS - 1))) >> COEFFICIENT_BITS
    np.clip(centre + correction, -SAMPLE_LIMIT, SAMPLE_LIMIT, out=out)


def classify(padded: NDArray[np.int32], step: int) -> NDArray[np.int32]:
    """Class of every pixel from the second differences in the 5x5 window around it.

    Parameters
    ----------
    padded : ndarray of int32, shape (H + 2 RADIUS, W + 2 RADIUS)
        The plane, continued by RADIUS samples on every side.
    step : int
        Quantization step in 1/64 gray level, at most STEP_LIMIT.

    Returns
    -------
    ndarray of int32, shape (H, W)
        ``DIRECTIONS * activity + direction``. The activity counts the thresholds below the sum of horizontal and
        vertical second differences, relative to the step. The direction is 0 unless the larger of the contrasts
        |horizontal - vertical| and |falling - rising| exceeds a quarter of that sum; then it is 1 or 2 where the first
        contrast is at least the second (1: the horizontal differences are larger, an upright edge), else 3 or 4.
    """
    return _class_of([_window_sum(bend) for bend in _bends(padded)], step, ACTIVITY_THRESHOLDS)


def classify_blocks(padded: NDArray[np.int32], step: int) -> NDArray[np.int32]:
    """Class of every block of SHORT_BLOCK x SHORT_BLOCK pixels.

    The classes are those of `classify`, with other thresholds. The second differences, each at most SHORT_BEND_MAX, are
    those in the block and SHORT_REACH pixels around it, in every other row from the first of them on.

    Parameters
    ----------
    padded : ndarray of int32, shape (SHORT_BLOCK m + 2 r, SHORT_BLOCK n + 2 r), r = SHORT_REACH + 1
        The plane, continued to whole blocks and by r more samples on every side.
    step : int
        Quantization step in 1/64 gray level, at most STEP_LIMIT.

    Returns
    -------
    ndarray of int32, shape (m, n)
        The classes.
    """
    size = SHORT_BLOCK + 2 * SHORT_REACH

    def summed(bend: NDArray[np.int32]) -> NDArray[np.int32]:
        windows = np.lib.stride_tricks.sliding_window_view(np.minimum(bend, SHORT_BEND_MAX), (size, size))
        return windows[::SHORT_BLOCK, ::SHORT_BLOCK, ::2].sum(axis=(2, 3), dtype=np.int32)

    return _class_of([summed(bend) for bend in _bends(padded)], step, SHORT_THRESHOLDS)


def _bends(padded: NDArray[np.int32]) -> tuple[NDArray[np.int32], ...]:
    """Horizontal, vertical, falling and rising second differences, a pixel less on every side."""
    middle = 2 * padded[1:-1, 1:-1]
    return (
        np.abs(middle - padded[1:-1, :-2] - padded[1:-1, 2:]),
        np.abs(middle - padded[:-2, 1:-1] - padded[2:, 1:-1]),
        np.abs(middle - padded[:-2, :-2] - padded[2:, 2:]),
        np.abs(middle - padded[:-2, 2:] - padded[2:, :-2]),
    )


def _class_of(sums: Sequence[NDArray[np.int32]], step: int, thresholds: Sequence[int]) -> NDArray[np.int32]:
    """Classes by sums of horizontal, vertical, falling and rising second differences over a window."""
    horizontal, vertical, falling, rising = sums
    both = horizontal + vertical
    activity = sum((both > activity_bound(step, threshold)).astype(np.int32) for threshold in thresholds)
    straight, diagonal = horizontal - vertical, falling - rising
    along_axes = np.where(straight > 0, 1, 2)
    along_diagonals = np.where(diagonal > 0, 3, 4)
    direction = np.where(np.abs(straight) >= np.abs(diagonal), along_axes, along_diagonals)
    direction = np.where(4 * np.maximum(np.abs(straight), np.abs(diagonal)) > both, direction, 0)
    return DIRECTIONS * activity + direction.astype(np.int32)


def activity_bound(step: int, threshold: int) -> int:
    """Threshold in quarter steps, converted to the unit of samples."""
    return (step * threshold) >> THRESHOLD_SHIFT


def clipping_limit(step: int, limit: int) -> int:
    """Clipping limit in sixteenths of a step, converted to the unit of samples."""
    return min((step * limit) >> LIMIT_SHIFT, CLIPPING_MAX)


def _window_sum(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sums over all 5x5 windows, shape (h - 4, w - 4)."""
    return np.lib.stride_tricks.sliding_window_view(values, (5, 5)).sum(axis=(2, 3), dtype=np.int32)


def squared_error(
    a: NDArray[np.int32],
    b: NDArray[np.int32] | NDArray[np.int16],
    out: NDArray[np.int64],
    rows: tuple[int, int, int] | None = None,
) -> None:
    """Add up the squared differences of planes, exactly.

    Parameters
    ----------
    a, b : arrays of int32, shape (B, H, W)
        Samples within +-2**14. On the CPU `b` may be of int16, too.
    out : array of int64, shape (B,)
        The sum of every plane is added to it.
    rows : (int, int, int), optional
        (first, last, period): the rows y with first <= y % period < last count. None: all of them.
    """
    first, last, period = rows or (0, 1, 1)
    for y in range(a.shape[1]):
        if first <= y % period < last:
            out += np.square(a[:, y] - b[:, y], dtype=np.int64).sum(axis=1)
