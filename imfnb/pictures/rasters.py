"""Arrays of samples that are more than what Pillow holds: which are taken, and how their dimensions are ordered."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import LimitError, OptionError

__all__ = ["MOST_BANDS", "arrange", "check_array", "check_axes", "check_dtype", "fitting_nodata"]

#: A file has at most so many bands.
MOST_BANDS = 1024

_DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64")

# What becomes of samples of other kinds.
_CONVERT = {
    "b": "make numbers of uint8 of them first",
    "c": "take real and imaginary parts, or magnitudes, as bands first",
    "f": "convert it to float32 first",
    "i": "convert it to int16 or float64 first",
    "u": "convert it to uint16 or float64 first",
}

_KINDS = {"b": "boolean", "c": "complex", "f": "floating point", "i": "signed", "u": "unsigned"}


def check_dtype(dtype: np.dtype) -> None:
    """Refuse samples of kinds that an .imf file cannot hold.

    Parameters
    ----------
    dtype : dtype
        Of any byte order.

    Raises
    ------
    OptionError
        If it is none of uint8, int8, uint16, int16, float32 and float64.
    """
    if dtype.newbyteorder("=").name in _DTYPES:
        return
    name = f"{8 * dtype.itemsize}-bit {_KINDS[dtype.kind]} samples" if dtype.kind in _KINDS else f"dtype {dtype}"
    remedy = _CONVERT.get(dtype.kind, "make numbers of it first")
    raise OptionError(f"the picture has {name}; expected {', '.join(_DTYPES[:-1])} or {_DTYPES[-1]}: {remedy}")


def check_axes(axes: str) -> None:
    """Refuse names of dimensions that mean nothing.

    Raises
    ------
    OptionError
        If `axes` is not made of H and W and at most T and C, each once.
    """
    if not isinstance(axes, str) or len(set(axes)) != len(axes) or not set("HW") <= set(axes) <= set("THWC"):
        raise OptionError(
            f"axes is {axes!r}; expected H (rows) and W (columns), and T (frames) or C (bands) if there are such, "
            "each once in the array's order, such as 'CHW' or 'THWC'"
        )


def check_array(dtype: np.dtype, shape: Sequence[int], axes: str | None, max_pixels: int) -> None:
    """Refuse an array by its header, before its samples are read.

    Parameters
    ----------
    dtype : dtype
        Of its samples.
    shape : sequence of int
        Its shape.
    axes : str or None
        What its dimensions are, in letters of "THWC"; (H, W) or (H, W, C) if None.
    max_pixels : int
        Largest number of pixels, those of all frames together.

    Raises
    ------
    OptionError
        If it is none that an .imf file can hold.
    LimitError
        If it is too large.
    """
    check_dtype(dtype)
    shape = tuple(shape)
    told = " x ".join(map(str, shape)) or "no"
    if axes is None and len(shape) not in (2, 3):
        raise OptionError(
            f"the array has {len(shape)} dimensions ({told}); expected rows and columns and maybe bands: "
            "say what its dimensions are with --axes (axes= in Python), such as THWC"
        )
    names = ("HWC"[: len(shape)] if axes is None else axes).upper()
    if len(names) != len(shape):
        raise OptionError(
            f"axes {axes!r} name {len(names)} dimensions, and the picture has {len(shape)} ({told}); name each once"
        )
    sizes = dict(zip(names, shape, strict=True))
    if min(shape) < 1:
        raise OptionError(f"the array is empty ({told}); expected at least one sample")
    if sizes.get("C", 1) > MOST_BANDS:
        raise OptionError(
            f"the picture has {sizes['C']} bands ({told}); an .imf file holds {MOST_BANDS}: cut it into parts, or say "
            "what its dimensions are with --axes (axes= in Python), such as CHW"
        )
    if math.prod(sizes.get(name, 1) for name in "THW") > max_pixels:
        frames = f"{sizes['T']} frames of " if "T" in sizes else ""
        raise LimitError(
            f"the picture has {frames}{sizes['H']} x {sizes['W']} pixels, more than max_pixels={max_pixels}; "
            "cut it into parts, or raise max_pixels if you trust the file"
        )


def arrange(array: np.ndarray, axes: str | None, frame: int | None) -> np.ndarray:
    """An array with its dimensions in the order T, H, W, C, and one of its frames if that is asked for.

    Parameters
    ----------
    array : ndarray
        As :func:`check_array` has found it to be.
    axes : str or None
        As there.
    frame : int or None
        Which frame to take, in range; all if None. Ignored where there is no T.

    Returns
    -------
    ndarray
        A view where the byte order is that of the machine, else a copy.
    """
    if axes is not None:
        array = array.transpose([axes.index(name) for name in "THWC" if name in axes])
        if "T" in axes and frame is not None:
            array = array[frame]
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def fitting_nodata(value: float, dtype: np.dtype) -> int | float | None:
    """What stands for missing samples, as a number of their kind.

    Parameters
    ----------
    value : float
        What a file says of it.
    dtype : dtype
        Of the samples.

    Returns
    -------
    int, float or None
        None if no sample can have the value.
    """
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return float(dtype.type(value))
    limits = np.iinfo(dtype)
    return int(value) if math.isfinite(value) and value == int(value) and limits.min <= value <= limits.max else None
