"""What a file says of the samples of an array: their type and range, which of them are missing, the largest error."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace

import numpy as np

from ..errors import FormatError
from .bytestream import Reader, put_signed, put_varint

__all__ = [
    "CHANNEL_LIMIT",
    "DTYPES",
    "RANGE_LIMIT",
    "ArrayFields",
    "read_mask",
    "read_samples",
    "read_unit",
    "serialize_mask",
    "serialize_samples",
    "serialize_unit",
]

#: Types of samples, in the order of their numbers in the header.
DTYPES = ("uint8", "int8", "uint16", "int16", "float32", "float64")

#: Samples as they are coded are integers within +-RANGE_LIMIT; a unit of residuals is at most twice that.
RANGE_LIMIT = 1 << 24

#: Largest number of bands.
CHANNEL_LIMIT = 1024

#: How masks are coded: one for all bands, one for each.
MASKS = ("pixels", "samples")


@dataclass(frozen=True)
class ArrayFields:
    """What the header says of an array that is no picture of 8 bits.

    Attributes
    ----------
    dtype : str
        Type of the samples, one of DTYPES.
    low, high : int
        Smallest and largest value of a coded sample n.
    scale, offset : float
        Samples of floats are offset + scale n, in binary64; 1 and 0 for integers.
    bands : bool
        Whether the last axis is one of bands, and not that of a gray, RGB or RGBA picture.
    mask : {"pixels", "samples"} or None
        How it is coded which samples have no data.
    nodata : float
        What stands for these.
    unit : int or None
        What a residual counts, so that no n is off by more than half of it; None without a residual layer.
    """

    dtype: str = "uint8"
    low: int = 0
    high: int = 255
    scale: float = 1.0
    offset: float = 0.0
    bands: bool = False
    mask: str | None = None
    nodata: float = 0.0
    unit: int | None = None

    @property
    def real(self) -> bool:
        """Whether samples are floats."""
        return self.dtype.startswith("float")


def serialize_samples(array: ArrayFields) -> bytes:
    """Type and range of the samples."""
    out = bytearray([DTYPES.index(array.dtype)])
    put_signed(out, array.low)
    put_signed(out, array.high)
    if array.real:
        out += struct.pack("<dd", array.scale, array.offset)
    return bytes(out)


def read_samples(reader: Reader, array: ArrayFields) -> ArrayFields:
    """The inverse of :func:`serialize_samples`."""
    number = reader.byte()
    if number >= len(DTYPES):
        raise FormatError(f"damaged file: samples of type {number}; expected 0 to {len(DTYPES) - 1}")
    dtype, low, high = DTYPES[number], reader.signed(), reader.signed()
    limits = (-RANGE_LIMIT, RANGE_LIMIT)
    if not dtype.startswith("float"):
        info = np.iinfo(dtype)
        limits = int(info.min), int(info.max)
    if not limits[0] <= low <= high <= limits[1]:
        raise FormatError(f"damaged file: samples of {dtype} from {low} to {high}; expected {limits[0]} to {limits[1]}")
    scale, offset = struct.unpack("<dd", reader.take(16)) if dtype.startswith("float") else (1.0, 0.0)
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(offset)):
        raise FormatError(f"damaged file: samples in units of {scale} from {offset}; expected finite numbers")
    return replace(array, dtype=dtype, low=low, high=high, scale=scale, offset=offset)


def serialize_mask(array: ArrayFields) -> bytes:
    """How the mask is coded and what stands in its place; nothing without one."""
    if array.mask is None:
        return b""
    return bytes([MASKS.index(array.mask)]) + struct.pack("<d", array.nodata)


def read_mask(reader: Reader, array: ArrayFields) -> ArrayFields:
    """The inverse of :func:`serialize_mask`, where there is one."""
    kind = reader.byte()
    (value,) = struct.unpack("<d", reader.take(8))
    if kind >= len(MASKS):
        raise FormatError(f"damaged file: a mask of kind {kind}; expected 0 or 1")
    if not array.real:
        info = np.iinfo(array.dtype)
        if not (math.isfinite(value) and value == int(value) and info.min <= value <= info.max):
            raise FormatError(f"damaged file: {value} stands for missing samples of {array.dtype}")
    return replace(array, mask=MASKS[kind], nodata=value)


def serialize_unit(array: ArrayFields) -> bytes:
    """The unit of residuals; nothing without a residual layer."""
    out = bytearray()
    if array.unit is not None:
        put_varint(out, array.unit)
    return bytes(out)


def read_unit(reader: Reader, array: ArrayFields) -> ArrayFields:
    """The inverse of :func:`serialize_unit`, where there is one."""
    unit = reader.varint()
    if not 1 <= unit <= 2 * RANGE_LIMIT + 1:
        raise FormatError(f"damaged file: residuals in units of {unit}; expected 1 to {2 * RANGE_LIMIT + 1}")
    return replace(array, unit=unit)
