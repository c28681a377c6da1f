"""Samples of any type <-> the integers that are coded."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..errors import OptionError
from ..format.samples import RANGE_LIMIT, ArrayFields
from ..rasters import Raster
from .tuning import FLOAT_LEVELS

__all__ = ["largest_error", "peak_of", "scaled", "squared_error", "to_integers", "to_samples"]


def _range(raster: Raster) -> tuple[float, float]:
    """Smallest and largest sample with data; zeros if there is none."""
    samples, valid = raster.samples, raster.valid
    if valid is not None:
        if not valid.any():
            return 0.0, 0.0
        samples = samples[valid]
    return samples.min(), samples.max()


def peak_of(raster: Raster) -> float:
    """What a PSNR is relative to: the range of the type of integers, the range of the samples of floats."""
    dtype = raster.samples.dtype
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return float(int(info.max) - int(info.min))
    low, high = _range(raster)
    return float(high) - float(low) or 1.0


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


def largest_error(one: np.ndarray, other: np.ndarray, valid: np.ndarray | None) -> float:
    """Largest absolute difference of samples with data."""
    wide = np.float64 if one.dtype.kind == "f" else np.int64
    errors = np.abs(one.astype(wide) - other.astype(wide))
    return float(errors.max(where=True if valid is None else valid, initial=0))


def squared_error(one: np.ndarray, other: np.ndarray, valid: np.ndarray | None) -> float:
    """Mean squared difference of samples with data; 0 if there are none."""
    errors = (one.astype(np.float64) - other.astype(np.float64)) ** 2
    if valid is None:
        return float(errors.mean())
    return float(errors.sum(where=valid) / max(np.count_nonzero(valid), 1))
