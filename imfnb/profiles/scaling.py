"""Samples of any type <-> the integers that are coded."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..errors import OptionError
from ..format.samples import RANGE_LIMIT, ArrayFields
from ..metrics.samples import default_peak, max_error, mse
from ..rasters import Raster
from .tuning import FLOAT_LEVELS

__all__ = ["in_units", "largest_error", "peak_of", "scaled", "squared_error", "to_integers", "to_samples"]


# Shares of a bound that are left for the rounding of floats; the least that does is taken. They are few and far between
# so that arrays of about the same size have the same scale.
_SPARE = (2.0**-24, 2.0**-20, 2.0**-16, 2.0**-12, 2.0**-8)


def _range(raster: Raster) -> tuple[float, float]:
    """Smallest and largest sample with data; zeros if there is none."""
    samples, valid = raster.samples, raster.valid
    if _nothing(raster):
        return 0.0, 0.0
    if valid is not None:
        samples = samples[valid]
    return samples.min(), samples.max()


def peak_of(raster: Raster) -> float:
    """What a PSNR is relative to: the range of the type of integers, the range of the samples of floats."""
    if _nothing(raster):
        return 1.0
    return default_peak(raster.samples, raster.valid) or 1.0


def _nothing(raster: Raster) -> bool:
    """Whether no sample has data."""
    return raster.missing is not None and bool(raster.missing.all())


def scaled(raster: Raster, array: ArrayFields, bound: float | None = None) -> ArrayFields:
    """The fields with the range of the integers and, for floats, the scale.

    Parameters
    ----------
    raster : Raster
        The samples.
    array : ArrayFields
        The fields without these.
    bound : float, optional
        Largest error in units of the data; of floats it is what rounding to integers takes, half a unit, so that a
        lossless coder of integers meets it. Without one, floats have FLOAT_LEVELS levels.

    Raises
    ------
    OptionError
        If the bound takes more integers than a file can hold.
    """
    low, high = _range(raster)
    if not array.real:
        return replace(array, low=int(low), high=int(high))
    extent = float(high) - float(low)
    if not math.isfinite(extent):
        raise OptionError(f"image has samples from {low} to {high}, too far apart for binary64; scale them first")
    if not extent:
        return replace(array, low=0, high=0, scale=1.0, offset=float(low))
    if bound is None:
        scale = extent / FLOAT_LEVELS or extent
    else:
        # What is left of the bound is for the rounding of the product, of the sum, and to the type of the samples.
        size, kind = max(abs(float(low)), abs(float(high))), np.finfo(array.dtype)
        spare = size * (float(kind.eps) + 2.0**-51) + float(kind.smallest_subnormal)
        scale = 2 * (bound - spare)
        for share in _SPARE:
            if spare <= share * bound and extent / scale < 2 * RANGE_LIMIT - 2 and size + 2 * bound < float(kind.max):
                return _on_lattice(array, float(low), float(high), 2 * (1 - share) * bound)
        if scale <= 0 or extent / scale >= 2 * RANGE_LIMIT:
            least = (extent / (4 * RANGE_LIMIT) + spare) * 1.01
            raise OptionError(
                f"max_error={bound:g} is too small for samples of {array.dtype} from {low:g} to {high:g}; "
                f"expected at least {least:g}"
            )
    levels = math.ceil(extent / scale)
    offset = float(low) + scale * (levels // 2)
    if offset + scale * (levels - levels // 2) > np.finfo(array.dtype).max:
        raise OptionError(f"image has samples up to {high:g}, the end of the range of {array.dtype}; scale them first")
    return replace(array, low=-(levels // 2), high=levels - levels // 2, scale=scale, offset=offset)


def _on_lattice(array: ArrayFields, low: float, high: float, scale: float) -> ArrayFields:
    """Fields of floats that become multiples of a scale.

    These do not depend on the samples: rounded ones are not rounded to others when they are encoded again, whatever is
    changed in the array between, as for integers; see :func:`in_units`.
    """
    first, last = round(low / scale), round(high / scale)
    middle = first + (last - first) // 2
    return replace(array, low=first - middle, high=last - middle, scale=scale, offset=scale * middle)


def in_units(array: ArrayFields, unit: int) -> ArrayFields:
    """Fields of integers with a unit, and a lowest one that stands at a multiple of it whatever the samples are.

    Without a lossy layer samples are then rounded to the same integers however often they are decoded and encoded
    again, and whatever is changed in the array between: errors do not add up. With a lowest one at the smallest sample,
    which is itself rounded, all of them would move by half a unit each time.
    """
    lowest = int(np.iinfo(array.dtype).min)
    return replace(array, unit=unit, low=lowest + (array.low - lowest) // unit * unit)


def to_integers(samples: np.ndarray, array: ArrayFields) -> np.ndarray:
    """Samples as the nearest of the integers that are coded, int32; what is not finite becomes the lowest."""
    if not array.real:
        return samples.astype(np.int32)
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.rint((samples.astype(np.float64) - array.offset) / array.scale)
    return np.clip(np.nan_to_num(found, nan=array.low), array.low, array.high).astype(np.int32)


def to_samples(integers: np.ndarray, array: ArrayFields, out: np.ndarray) -> None:
    """The inverse, in place: offset + scale n in binary64, rounded to the type of the samples."""
    if array.real:
        with np.errstate(over="ignore"):
            out[...] = array.scale * integers + array.offset
    else:
        out[...] = integers


def largest_error(raster: Raster, decoded: np.ndarray) -> float:
    """Largest absolute difference of samples with data; 0 if there are none."""
    return 0.0 if _nothing(raster) else max_error(raster.samples, decoded, raster.missing)


def squared_error(raster: Raster, decoded: np.ndarray) -> float:
    """Mean squared difference of samples with data; 0 if there are none."""
    return 0.0 if _nothing(raster) else mse(raster.samples, decoded, raster.missing)
