"""Objects that callers give for images: arrays of samples, and what is more than that."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..errors import OptionError, naming
from ..errors import name_of as path_of
from ..kinds import is_path
from .color import check_mode, to_pixels
from .formats import name_of
from .reading import one_error

__all__ = ["as_samples"]

# Names of dimensions that are bands, which come last here.
_BANDS = {"band", "bands", "channel", "channels", "c", "rgb", "rgba", "color", "colour"}

_MISSING = "fill or interpolate them first"


def as_samples(image: Any) -> np.ndarray:
    """The samples that an object on the CPU holds.

    Parameters
    ----------
    image : object
        Anything that NumPy makes an array of. A Pillow image of any mode with up to eight bits becomes what it shows,
        as with files (palettes and CMYK become RGB, transparency becomes alpha, profiles other than sRGB are
        converted), but is not turned as its EXIF orientation says: nor does Pillow show it so.

    Returns
    -------
    ndarray
        Of any dtype and shape, for the caller to check.

    Raises
    ------
    OptionError
        If the object is no array, or more than its samples: masked or missing values, units, a path, a file.
    """
    _refuse_files(image)
    pillow = sys.modules.get("PIL.Image")  # nobody has a Pillow image who has not imported Pillow
    if pillow is not None and isinstance(image, pillow.Image):
        return _from_pillow(image)
    kind = type(image).__name__
    try:
        _refuse_dimensions(image)
        if type(image) is not np.ndarray:
            _refuse_more(image)
        array = np.asanyarray(_table(image))
        if type(array) is not np.ndarray:
            _refuse_more(array)
        array = np.asarray(array)
    except (OptionError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:200] or type(error).__name__
        raise OptionError(f"image, of type {kind}, is not an array: {text}; expected uint8 samples") from error
    if array.ndim == 0 and array.dtype == object:
        raise OptionError(f"image has dtype object, being of type {kind}; expected uint8 samples in an array")
    if array.dtype == object and any(value is None for value in array.flat):
        raise OptionError(f"image has missing values; {_MISSING}")
    return array


def _refuse_files(image: Any) -> None:
    """Tell callers who give a file, or its name or contents, what reads it."""
    if is_path(image):
        raise OptionError(
            f"image is the path {path_of(image)!r}, not an array; imfnb.encode_batch([path]) reads pictures, "
            "or read it first, for example with imageio.v3.imread(path)"
        )
    flat = isinstance(image, memoryview) and image.ndim == 1
    if isinstance(image, (bytes, bytearray)) or flat:
        what = name_of(bytes(image[:512]))
        raise OptionError(
            f"image is {len(image)} bytes{f' of what looks like {what}' if what else ''}, not an array of samples; "
            "imfnb.encode_batch([io.BytesIO(data)]) reads the contents of a picture's file; numpy.frombuffer(data, "
            "numpy.uint8).reshape(height, width, -1) makes an array of raw samples"
        )
    if hasattr(image, "read") and hasattr(image, "seek") and not hasattr(image, "__array__"):
        raise OptionError("image is a file object, not an array; imfnb.encode_batch([file]) reads pictures")


def _from_pillow(image: Any) -> np.ndarray:
    with naming(getattr(image, "filename", None) or None), one_error("a Pillow image"):
        depth = check_mode(image)
        image.load()
        return to_pixels(image, depth, image.info.get("icc_profile"))[0]


def _refuse_dimensions(image: Any) -> None:
    """Refuse labelled axes that NumPy would take in another order than is meant."""
    dims = getattr(image, "dims", None)
    if isinstance(dims, tuple) and len(dims) == 3:
        bands = [dim for dim in dims if str(dim).lower() in _BANDS]
        if bands and bands[0] != dims[-1]:
            order = ", ".join(repr(dim) for dim in (*(dim for dim in dims if dim != bands[0]), bands[0]))
            raise OptionError(f"image has the dimensions {dims}; expected bands last: give x.transpose({order})")


def _table(image: Any) -> Any:
    """A table of pandas or Polars without holes, its samples of uint8 where all of its columns are."""
    if type(image).__module__.split(".")[0] not in ("pandas", "polars"):
        return image
    if np.asarray(image.isna() if hasattr(image, "isna") else image.null_count()).any():
        raise OptionError(f"image has missing values; {_MISSING}")
    if hasattr(image, "isna") and image.ndim == 2 and all(str(dtype) == "UInt8" for dtype in image.dtypes):
        return image.to_numpy(dtype=np.uint8)  # columns that allow for holes would become objects
    return image


def _refuse_more(image: Any) -> None:
    """Refuse what an object says beside its samples: a mask, or a unit."""
    mask = getattr(image, "mask", None)
    if mask is not None and not callable(mask) and np.any(mask):
        raise OptionError(
            f"image has {np.count_nonzero(mask)} masked values, which an .imf file cannot hold; "
            "fill them first, for example with x.filled(0)"
        )
    # Objects that only have the attribute "units", such as those of xarray and netCDF4, use it as a label.
    quantity = isinstance(image, np.ndarray) or hasattr(image, "magnitude")
    unit = getattr(image, "unit", None) if not quantity else getattr(image, "unit", getattr(image, "units", None))
    if unit is not None and not callable(unit):
        numbers = next((name for name in ("magnitude", "value", "data") if hasattr(image, name)), "value")
        raise OptionError(
            f"image has the unit {str(unit) or 'dimensionless'}, which an .imf file cannot hold; "
            f"give x.{numbers}, the plain numbers"
        )
