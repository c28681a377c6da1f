"""Bands of blocks of patches, which threads of the CPU work on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

__all__ = ["BAND", "Each", "add_bands"]

#: Blocks of patches of a band. Fixed, whatever the number of threads, so that the order of floating-point sums is fixed
#: too when X is not integer.
BAND = 512

#: What applies a function to items, perhaps on threads, and lists the results; see `imfnb.runtime.run.Run.each`.
Each = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]


def add_bands(function: Callable[[int, int], tuple[np.ndarray, ...]], count: int, each: Each) -> tuple[np.ndarray, ...]:
    """Sums over `count` blocks of patches, band by band, added in the order of the bands.

    Parameters
    ----------
    function : callable
        From the first block of a band, and the one after its last, to sums over the band, which become the caller's.
    count : int
        Number of blocks.
    each : callable
        Applies it to the bands.

    Returns
    -------
    tuple of ndarray
        The sums.
    """
    bands = [(first, min(first + BAND, count)) for first in range(0, count, BAND)]
    total, *others = each(lambda band: function(*band), bands)
    for sums in others:
        for mine, more in zip(total, sums, strict=True):
            mine += more
    return total
