"""Restoration stage: removes part of the quantization noise of decoded planes.

Every sample p falls into one of 25 classes (five activities by five directions, from second differences in a 5x5
window, relative to the step) and is corrected by its class's symmetric 7x7 diamond filter on clipped differences to its
neighbours; a second pass with a 5x5 diamond follows::

    out = p + sum_{k, m} c[class, m, k] (clip(p[+k] - p, +-l_m) + clip(p[-k] - p, +-l_m))

The filters were learned by least squares (``benchmarks/train_restoration.py``), one set per range of the step for luma
and one for chroma. All arithmetic is integer: every backend gives the same samples.

``filters.bin`` holds the coefficients, in 1/256, as little-endian int16 of shape (2, 10, 2, 25, 2, 12): luma or chroma,
range of the step, pass, class, clipping limit (near or far) and tap, the last one fastest. The second pass has six
taps; the rest of its rows is zero.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from .reference import CLASSES, LIMITS, PASSES, RADIUS, TAPS

__all__ = ["CLIPPING_LIMITS", "HALO", "STEP_BORDERS", "filter_set"]

#: Rows, in either direction, on which a restored row depends.
HALO = PASSES * RADIUS

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
    limits = np.array(CLIPPING_LIMITS[index], np.int32)
    limits.flags.writeable = False
    return _filters()[int(chroma), index], limits


@cache
def _filters() -> NDArray[np.int16]:
    """The contents of ``filters.bin``."""
    data = files(__name__).joinpath("filters.bin").read_bytes()
    filters = np.frombuffer(data, "<i2").astype(np.int16)
    filters.flags.writeable = False
    return filters.reshape(2, len(CLIPPING_LIMITS), PASSES, CLASSES, LIMITS, len(TAPS))
