"""What the codecs of arrays share: checks, planes of bands and back, joined streams, errors of other libraries."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, OptionError
from ..extras import need

__all__ = [
    "check_colours",
    "check_level",
    "checked",
    "codecs",
    "joined",
    "parted",
    "planes",
    "read_number",
    "restored",
    "tolerance",
    "unsigned",
    "write_number",
]

_DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64")

#: What a bound of integers may grow by before rounding, with room for the rounding errors of float32 near 65535.
_HALF = 0.49


def codecs(*names: str) -> ModuleType:
    """imagecodecs, if it is installed and was built with the formats named, such as "JPEG2K"."""
    module = need("imagecodecs")
    for name in names:
        if not getattr(getattr(module, name, None), "available", False):  # older ones do not know all of them
            raise OptionError(f"imagecodecs was built without {name}; install one of its wheels")
    return module


def planes(array: np.ndarray) -> np.ndarray:
    """The bands of an array one after the other, shape (C, H, W); complains about what no rival can code."""
    array = np.asarray(array)
    if array.ndim not in (2, 3) or array.size == 0:
        raise OptionError(f"the array has shape {array.shape}; expected (H, W) or (H, W, C) with at least one sample")
    if array.dtype.name not in _DTYPES:
        raise OptionError(f"the array has samples of {array.dtype}; expected {', '.join(_DTYPES)}; convert it")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise OptionError("the array has samples that are not finite, which rivals cannot code; fill them")
    bands = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return np.ascontiguousarray(bands, dtype=array.dtype.newbyteorder("="))


def restored(values: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of a shape and dtype from bands of shape (C, H, W), rounded and clipped where samples are integers."""
    dtype = np.dtype(dtype)
    if dtype.kind != "f" and values.dtype.kind == "f":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    bands = values.astype(dtype, copy=False)
    whole = bands[0] if len(shape) == 2 else bands.transpose(1, 2, 0)
    if whole.shape != tuple(shape):
        raise FormatError(f"the stream has samples of shape {whole.shape}; expected {tuple(shape)}")
    return np.ascontiguousarray(whole)


def check_level(level: float, lossless: bool = False) -> float:
    """A level, which is positive, or 0 where that means something."""
    if not (0.0 < level < float("inf") or (lossless and level == 0)):
        raise OptionError(f"level is {level!r}; expected a positive number{' or 0' if lossless else ''}")
    return float(level)


def check_colours(bands: np.ndarray, colours: bool) -> None:
    """Complain about what is no picture in colour, where one is wanted."""
    if colours and len(bands) != 3:
        raise OptionError(f"the array has {len(bands)} bands; this codec is for pictures in colour: expected 3")


def tolerance(bands: np.ndarray, level: float) -> float:
    """The bound to give to a codec of floats so that the error after rounding to the dtype is at most `level`.

    Integers are rounded after decoding, which forgives almost half a unit; floats lose up to a spacing.
    """
    level = check_level(level, lossless=bands.dtype.kind != "f")
    if bands.dtype.kind != "f":
        return np.floor(level) + _HALF
    bound = level - 2 * float(np.spacing(np.abs(bands).max().astype(np.float32)))
    if bound <= 0:
        raise OptionError(f"level is {level!r}, which is below the spacing of samples of float32; raise it")
    return bound


def unsigned(bands: np.ndarray) -> np.ndarray:
    """Integers of any sign in order as unsigned ones of as many bits; its own inverse for unsigned dtypes."""
    if bands.dtype.kind == "u":
        return bands
    if bands.dtype.kind != "i":
        raise OptionError(f"the array has samples of {bands.dtype}; expected integers, which alone are coded lossless")
    wide = bands.astype(np.int32) - np.iinfo(bands.dtype).min
    return wide.astype(f"u{bands.dtype.itemsize}")


def signed_like(bands: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The inverse of :func:`unsigned`."""
    return bands if dtype.kind == "u" else (bands.astype(np.int32) + np.iinfo(dtype).min).astype(dtype)


def write_number(value: int) -> bytes:
    """A number of any sign, seven bits a byte."""
    value = 2 * value if value >= 0 else -2 * value - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_number(data: bytes, position: int) -> tuple[int, int]:
    """A number of :func:`write_number` and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (-(value + 1) // 2 if value & 1 else value // 2), position


def joined(streams: Iterable[bytes]) -> bytes:
    """Streams one after the other, each but the last behind its length."""
    *most, last = streams
    return b"".join(write_number(len(stream)) + stream for stream in most) + last


def parted(data: bytes, count: int) -> list[bytes]:
    """The inverse of :func:`joined`."""
    found, position = [], 0
    for _ in range(count - 1):
        length, position = read_number(data, position)
        if length < 0 or position + length > len(data):
            raise FormatError(f"a stream of {length} bytes at byte {position} does not fit into {len(data)} bytes")
        found.append(data[position : position + length])
        position += length
    return [*found, data[position:]]


def checked(
    decode: Callable[[bytes, tuple[int, ...], np.dtype], NDArray],
) -> Callable[[bytes, tuple[int, ...], np.dtype], NDArray]:
    """A decoder whose errors, of whatever library, are FormatError."""

    @functools.wraps(decode)
    def wrapped(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
        try:
            return decode(bytes(data), tuple(shape), np.dtype(dtype))
        except FormatError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError, OverflowError, MemoryError, struct.error) as error:
            raise FormatError(f"damaged stream: {type(error).__name__}: {error}") from None

    return wrapped
