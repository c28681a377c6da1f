"""Bounds of the entries of factors, and what follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import OptionError

__all__ = ["check_bounds", "exact_in_float32", "factor_dtype", "limits"]


def check_bounds(bounds: Any, limit: int) -> tuple[int, int]:
    """Validate a pair of factor bounds.

    Parameters
    ----------
    bounds : pair of int
        Smallest and largest value of an entry.
    limit : int
        Largest magnitude allowed.

    Returns
    -------
    (int, int)
        The bounds as Python integers.

    Raises
    ------
    OptionError
        If they are not two integers lo < hi within +-`limit`.
    """
    try:
        low, high = bounds
    except (TypeError, ValueError):
        low = high = None
    integers = all(isinstance(b, (int, np.integer)) and not isinstance(b, (bool, np.bool_)) for b in (low, high))
    if not integers or not -limit <= low < high <= limit:
        raise OptionError(f"bounds is {bounds!r}; expected two integers (low, high), -{limit} <= low < high <= {limit}")
    return int(low), int(high)


def limits(bounds: tuple[int, int] | None) -> tuple[float, float]:
    """The bounds as floats, infinite for None."""
    return (-np.inf, np.inf) if bounds is None else (float(bounds[0]), float(bounds[1]))


def factor_dtype(bounds: tuple[int, int] | None) -> type:
    """Smallest of int8, int16, int32 that holds both bounds; int64 for unbounded factors."""
    if bounds is None:
        return np.int64
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= bounds[0] and bounds[1] <= np.iinfo(dtype).max:
            return dtype
    return np.int64


def exact_in_float32(columns: int, rank: int, low: float, high: float) -> bool:
    """Whether every partial sum of the U step on uint8 input, over pixels or over 256 patches, is below 2**24.

    The sums of the U step are below N b (255 + R b^2) for b the largest magnitude of an entry.
    """
    largest = max(-low, high)
    over_patches = 256 * largest * max(255, largest)
    return max(over_patches, columns * largest * (255 + rank * largest * largest)) < 2**24
