"""Numbers of the restoration filters: sections 10 and 10.2 of FORMAT.md.

``filters.bin`` holds the coefficients, in 1/256, as little-endian int16 of shape (2, 10, 2, 25, 2, 12): luma or chroma,
range of the step, pass, class, clipping limit (near or far) and tap, the last one fastest. The second pass has six
taps; the rest of its rows is zero. ``filters_short.bin`` holds those of the short filter, of shape (2, 10, 25, 2, 6):
luma or chroma, range of the step, class, clipping limit and tap.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from .color import FRACTION
from .constants import STEP_UNIT

SAMPLE_LIMIT = 2**14
"""Largest magnitude of a sample, 1024 gray levels: eight times what a centred 8-bit sample needs."""
COEFFICIENT_BITS = 8
"""Fractional bits of the filter coefficients."""

RADIUS = 3
"""Reach of the filter, and of the classification (window of radius 2, second differences of radius 1)."""
TAPS = ((0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0), (0, 3), (1, -2), (1, 2), (2, -1), (2, 1), (3, 0))
"""(row, column) offsets of one half of the 7x7 diamond, those of the 5x5 diamond first; each tap stands for itself and
its point reflection."""
TAPS_PER_PASS = (12, 6)
"""Taps used by each pass: the second is a 5x5 diamond, which gains nearly what a second 7x7 diamond would."""
PASSES = len(TAPS_PER_PASS)
LIMITS = 2
"""Clipping limits per pass; every tap has one coefficient for each."""
ACTIVITIES = 5
DIRECTIONS = 5
CLASSES = ACTIVITIES * DIRECTIONS
ACTIVITY_THRESHOLDS = (3, 10, 30, 80)
"""Bounds between activities, in quarter steps summed over the window: 3 is a mean second difference of 0.03 steps."""

# Fractional bits of steps.
_STEP_BITS = STEP_UNIT.bit_length() - 1

THRESHOLD_SHIFT = 2 + _STEP_BITS - FRACTION
"""From (step * threshold in quarter steps) to the unit of samples."""
LIMIT_SHIFT = 4 + _STEP_BITS - FRACTION
"""From (step * clipping limit in sixteenths of a step) to the unit of samples."""

#: First step of every range but the lowest, in 1/64 gray level: the centres of the ranges go from 3.2 to 200 gray
#: levels by equal factors.
STEP_BORDERS = (258, 408, 646, 1023, 1619, 2563, 4058, 6425, 10173)

#: Near and far clipping limit of both passes for every range, in sixteenths of a step. The near one was best at 0.2
#: steps over all ranges. The far one is best where edges begin, which does not move with the step: about 80 gray
#: levels, but never more than four steps or less than one. After the first pass less noise is left, and lower limits
#: are better.
CLIPPING_LIMITS = (
    ((3, 64), (2, 48)),
    ((3, 64), (2, 48)),
    ((3, 64), (2, 48)),
    ((3, 64), (2, 48)),
    ((3, 64), (2, 48)),
    ((3, 40), (2, 30)),
    ((3, 25), (2, 19)),
    ((3, 16), (2, 12)),
    ((3, 16), (2, 12)),
    ((3, 16), (2, 12)),
)

SHORT_TAPS = 6
"""Taps of the short filter, a 5x5 diamond: the first of `TAPS`."""
SHORT_BLOCK = 4
"""Side of the blocks whose samples share a class of the short filter."""
SHORT_REACH = 2
"""How far the window of a block goes beyond it; of its rows every other one counts, beginning with the first."""
SHORT_THRESHOLDS = (5, 19, 58, 154)
"""Bounds between activities, in quarter steps summed over the window of a block."""
SHORT_BEND_MAX = 8191
"""Largest second difference that counts, 512 gray levels: what is made of two then fits 16 bits."""
SHORT_LIMITS = tuple((4, far) for (_, far), _ in CLIPPING_LIMITS)
"""Near and far clipping limit of the short filter for every range, in sixteenths of a step."""


def filter_set(step: int, chroma: bool) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Filters and clipping limits for a step.

    Parameters
    ----------
    step : int
        Quantization step in 1/64 gray level.
    chroma : bool
        Whether the plane is a chroma plane.

    Returns
    -------
    filters : ndarray of int16, shape (2, 25, 2, 12), read-only
        Coefficients per pass, class, clipping limit and tap, in 1/256.
    limits : ndarray of int32, shape (2, 2), read-only
        Clipping limits per pass, in sixteenths of the step.
    """
    index = bisect_right(STEP_BORDERS, step)
    return _filters()[int(chroma), index], _limits()[index]


@cache
def _limits() -> NDArray[np.int32]:
    """The clipping limits as an array."""
    limits = np.array(CLIPPING_LIMITS, np.int32)
    limits.flags.writeable = False
    return limits


def short_filter_set(step: int, chroma: bool) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Coefficients and clipping limits of the short filter for a step.

    Parameters
    ----------
    step : int
        Quantization step in 1/64 gray level.
    chroma : bool
        Whether the plane is a chroma plane.

    Returns
    -------
    filters : ndarray of int16, shape (25, 2, 6), read-only
        Coefficients per class, clipping limit and tap, in 1/256.
    limits : ndarray of int32, shape (2,), read-only
        Clipping limits, in sixteenths of the step.
    """
    index = bisect_right(STEP_BORDERS, step)
    limits = np.array(SHORT_LIMITS[index], np.int32)
    limits.flags.writeable = False
    return _short_filters()[int(chroma), index], limits


@cache
def _filters() -> NDArray[np.int16]:
    """The contents of ``filters.bin``."""
    return _coefficients("filters.bin").reshape(2, len(CLIPPING_LIMITS), PASSES, CLASSES, LIMITS, len(TAPS))


@cache
def _short_filters() -> NDArray[np.int16]:
    """The contents of ``filters_short.bin``."""
    return _coefficients("filters_short.bin").reshape(2, len(SHORT_LIMITS), CLASSES, LIMITS, SHORT_TAPS)


def _coefficients(name: str) -> NDArray[np.int16]:
    """The numbers of a file."""
    coefficients = np.frombuffer(files(__package__).joinpath(name).read_bytes(), "<i2").astype(np.int16)
    coefficients.flags.writeable = False
    return coefficients
