"""Header fields and small segments of the main profile; FORMAT.md describes them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from math import prod

import numpy as np

from ..errors import FormatError
from ..layout import PatchGrid, PlaneSpec, column_planes, main_planes, row_slices, strips
from .basis import FIRST_MAX, FIRST_MIN, PLAIN, STRENGTH_MAX, Weighting
from .bytestream import Reader, put_varint
from .constants import (
    ALPHA_VALUES,
    LISTED_VALUES,
    PATCH_SIZES,
    RESIDUAL_SAMPLES,
    SHIFT_MAX,
    STEP_MAX,
    STEP_MIN,
)
from .container import Frame, newer
from .masking import SIDE_BITS, map_shape

__all__ = [
    "CODERS",
    "AlphaCoding",
    "ArrayParameters",
    "Parameters",
    "PlaneParameters",
    "Restoration",
    "decode_palette",
    "parse_v1",
    "parse_v2",
    "put_values",
    "read_values",
    "serialize",
]


class AlphaCoding(Enum):
    """How alpha is coded."""

    #: There is no alpha.
    NONE = "none"
    #: Version 1: a plane like the others; a palette with deflated indices.
    PLANE = "plane"
    PALETTE = "palette"
    #: Version 2: a plane with a map of the classes of its samples; a map of its values; one value.
    CLASSES = "classes"
    MAP = "map"
    CONSTANT = "constant"

    @property
    def lossy(self) -> bool:
        """Whether there is a plane of it."""
        return self in (AlphaCoding.PLANE, AlphaCoding.CLASSES)

    @property
    def has_segment(self) -> bool:
        """Whether the last segment is its own, beside those of a plane."""
        return self in (AlphaCoding.PALETTE, AlphaCoding.CLASSES, AlphaCoding.MAP)


#: What the two bits of the flags say of alpha in version 2.
_ALPHA_CODINGS = (AlphaCoding.CLASSES, AlphaCoding.MAP, AlphaCoding.CONSTANT)


class Restoration(Enum):
    """How a decoded plane is restored: the bits of its coding that say so.

    By nothing, by two passes of filters (section 10 of FORMAT.md), by a network (10.1) or by one pass (10.2).
    """

    NONE = 0
    FILTER = 2
    NETWORK = 8
    SHORT = 32


# The bits of a coding that say how a plane is restored, of which at most one is set.
_RESTORATION_BITS = sum(kind.value for kind in Restoration)


#: Entropy coders of U: the context model, the one that small networks help, and that of parallel lanes.
CODERS = ("context", "neural", "rans")

# The bits of a coding that say so, of which at most one is set.
_CODER_BITS = (0, 4, 16)


@dataclass(frozen=True)
class PlaneParameters:
    """How one plane is coded.

    Attributes
    ----------
    step : int
        Length of the columns of V in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    restoration : Restoration
        How it is restored.
    weighting : Weighting
        How the lengths of the columns of V grow with the frequency.
    coder : {"context", "neural", "rans"}
        Entropy coder of U, the same for all planes of a file.
    """

    step: int
    patch_size: int
    restoration: Restoration
    weighting: Weighting = PLAIN
    coder: str = CODERS[0]


@dataclass(frozen=True)
class Parameters:
    """Fields of the header that only this profile has.

    Attributes
    ----------
    subsample : bool
        Whether chroma has half the size.
    planes : tuple of PlaneParameters
        One for each plane that is coded lossily: gray or Y, Cb, Cr, and alpha if it is one of them.
    alpha : AlphaCoding
        How alpha is coded.
    alpha_value : int
        All of it, if it is constant.
    local_bits : int or None
        Binary logarithm of the side of the blocks that have steps of their own, in samples of luma; None without.
    """

    subsample: bool
    planes: tuple[PlaneParameters, ...]
    alpha: AlphaCoding = AlphaCoding.NONE
    alpha_value: int = 0
    local_bits: int | None = None

    def specs(self, frame: Frame) -> tuple[PlaneSpec, ...]:
        """The planes that are coded lossily."""
        return main_planes(frame.height, frame.width, frame.channels, self.subsample, self.alpha.lossy)

    def grids(self, frame: Frame) -> tuple[PatchGrid, ...]:
        """Their patches."""
        return _grids(self, frame)

    @property
    def coder(self) -> str:
        """Entropy coder of U."""
        return self.planes[0].coder

    def segments(self, frame: Frame) -> int:
        """Number of segments of the file."""
        return self.slices(frame) + (self.local_bits is not None) + self.alpha.has_segment

    def slices(self, frame: Frame) -> int:
        """Number of slices, whose segments come first; a map of steps and alpha's own segment follow."""
        return sum(len(grid.slices) for grid in self.grids(frame))


@dataclass(frozen=True)
class ArrayParameters:
    """Fields of the header that only arrays have.

    Attributes
    ----------
    planes : tuple of PlaneParameters
        One for each column of V; none where a residual layer is all there is.
    shift : int
        Fractional bits of V.
    """

    planes: tuple[PlaneParameters, ...]
    shift: int = 0

    #: What pictures have beside this.
    subsample, alpha, local_bits = False, AlphaCoding.NONE, None

    def specs(self, frame: Frame) -> tuple[PlaneSpec, ...]:
        """The planes: columns of pixels times V."""
        return column_planes(frame.height, frame.width, len(self.planes))

    def grids(self, frame: Frame) -> tuple[PatchGrid, ...]:
        """Their patches."""
        return _grids(self, frame)

    def slices(self, frame: Frame) -> int:
        """Number of slices, whose segments come first; those of V, of the mask and of residuals follow."""
        return sum(len(grid.slices) for grid in self.grids(frame))

    @property
    def coder(self) -> str:
        """Entropy coder of U."""
        return self.planes[0].coder if self.planes else CODERS[0]

    def basis(self, frame: Frame) -> int:
        """Number of the segment of V, where there is a plane."""
        return self.slices(frame)

    def mask(self, frame: Frame) -> int:
        """Number of the segment of the mask, where there is one."""
        return self.slices(frame) + bool(self.planes)

    def residuals(self, frame: Frame) -> list[tuple[slice, int]]:
        """Rows and the number of the segment of their residuals."""
        if frame.samples.unit is None:
            return []
        first = self.mask(frame) + (frame.samples.mask is not None)
        rows = row_slices(frame.height, frame.width * max(1, frame.channels), RESIDUAL_SAMPLES)
        return [(part, first + number) for number, part in enumerate(rows)]

    def segments(self, frame: Frame) -> int:
        """Number of segments of the file."""
        return self.mask(frame) + (frame.samples.mask is not None) + len(self.residuals(frame))


@lru_cache(maxsize=64)
def _grids(parameters: Parameters | ArrayParameters, frame: Frame) -> tuple[PatchGrid, ...]:
    pairs = zip(parameters.specs(frame), parameters.planes, strict=True)
    return tuple(PatchGrid(spec.shape, plane.patch_size) for spec, plane in pairs)


def serialize(parameters: Parameters | ArrayParameters, frame: Frame) -> bytes:
    """The profile's header fields as bytes, in the version that is written."""
    if isinstance(parameters, ArrayParameters):
        return _serialize_array(parameters)
    coding = _ALPHA_CODINGS.index(parameters.alpha) if frame.alpha else 0
    weighted = any(plane.weighting != PLAIN for plane in parameters.planes)
    local = parameters.local_bits is not None
    out = bytearray([parameters.subsample | coding << 1 | weighted << 3 | local << 4])
    put_varint(out, parameters.planes[0].step)
    if frame.channels >= 3:
        put_varint(out, parameters.planes[1].step)
    if parameters.alpha.lossy:
        put_varint(out, parameters.planes[-1].step)
    elif parameters.alpha is AlphaCoding.CONSTANT:
        out.append(parameters.alpha_value)
    for plane in parameters.planes:
        out.append(_coding(plane))
    if weighted:
        for plane in parameters.planes[: 2 if frame.channels >= 3 else 1]:
            out += bytes([plane.weighting.first, plane.weighting.strength])
    if parameters.local_bits is not None:
        out.append(parameters.local_bits)
    return bytes(out)


def _serialize_array(parameters: ArrayParameters) -> bytes:
    """The header fields of an array."""
    out = bytearray()
    put_varint(out, len(parameters.planes))
    if parameters.planes:
        out.append(parameters.shift)
        put_varint(out, parameters.planes[0].step)
    out += bytes(map(_coding, parameters.planes))
    return bytes(out)


def _parse_array(reader: Reader, frame: Frame) -> tuple[ArrayParameters, int, int]:
    """Read and check the header fields of an array."""
    count = reader.varint()
    channels = max(1, frame.channels)
    if count > channels or (not count and frame.samples.unit is None):
        raise FormatError(f"damaged file: {count} columns of V for {channels} bands")
    shift = reader.byte() if count else 0
    if shift > SHIFT_MAX:
        raise FormatError(f"damaged file: V has {shift} fractional bits; expected at most {SHIFT_MAX}")
    step = _read_step(reader) if count else STEP_MIN
    planes: list[PlaneParameters] = []
    for index in range(count):
        planes.append(_read_plane(reader, index, step, planes))
    parameters = ArrayParameters(tuple(planes), shift)
    return parameters, parameters.segments(frame), _array_working_bytes(parameters, frame)


def _array_working_bytes(parameters: ArrayParameters, frame: Frame) -> int:
    """Bytes that decoding an array needs beside it: factors, residuals, masks and a strip of every plane."""
    factors = planes = 0
    height = max(rows.stop - rows.start for rows in strips(frame.height, frame.width, 1))
    for grid in parameters.grids(frame):
        p, shape = grid.patch_size, grid.shape
        factors += 2 * (shape[0] + 4 * p) * (shape[1] + 5 * p)
        planes += 8 * (min(height + 3 * p, shape[0]) + p) * (shape[1] + p)
    # Residuals of int32, masks, and what numbers of 64 bits are made of in a strip.
    samples = frame.height * frame.width * max(1, frame.channels)
    layers = 4 * (frame.samples.unit is not None) + (frame.samples.mask is not None)
    return factors + planes + layers * samples + 16 * height * frame.width * max(1, frame.channels)


def _coding(plane: PlaneParameters) -> int:
    """The byte that says how a plane is coded."""
    return PATCH_SIZES.index(plane.patch_size) | plane.restoration.value | _CODER_BITS[CODERS.index(plane.coder)]


def parse_v1(reader: Reader, frame: Frame) -> tuple[Parameters, int, int]:
    """Read and check the fields of a file of version 1; see :data:`imfnb.format.container.Parsers`."""
    flags = reader.byte()
    subsample, lossless_alpha = bool(flags & 1), bool(flags & 2)
    if flags > 3 or (subsample and frame.channels < 3) or (lossless_alpha and frame.channels != 4):
        raise FormatError(f"damaged file: flags {flags} do not fit {frame.channels} channels")
    alpha = AlphaCoding.NONE
    if frame.channels == 4:
        alpha = AlphaCoding.PALETTE if lossless_alpha else AlphaCoding.PLANE
    luma = _read_step(reader)
    chroma = _read_step(reader) if frame.channels >= 3 else luma
    planes = []
    for spec in main_planes(frame.height, frame.width, frame.channels, subsample, alpha.lossy):
        coding = reader.byte()
        if coding > 3:
            raise FormatError(f"damaged file: coding {coding} of plane {spec.index}")
        planes.append(_plane(coding, chroma if spec.chroma else luma))
    return _parsed(Parameters(subsample, tuple(planes), alpha), frame)


def parse_v2(reader: Reader, frame: Frame) -> tuple[Parameters | ArrayParameters, int, int]:
    """Read and check the fields of a file of version 2; see :data:`imfnb.format.container.Parsers`."""
    if frame.array is not None:
        return _parse_array(reader, frame)
    flags = reader.byte()
    subsample, mode = bool(flags & 1), flags >> 1 & 3
    if flags > 31:
        raise newer(f"flag {flags.bit_length() - 1} of the main profile")
    if (subsample and frame.channels < 3) or mode > 2 or (mode and not frame.alpha):
        raise FormatError(f"damaged file: flags {flags} do not fit {frame.channels} channels")
    alpha = _ALPHA_CODINGS[mode] if frame.alpha else AlphaCoding.NONE
    luma = _read_step(reader)
    chroma = _read_step(reader) if frame.channels >= 3 else luma
    opacity = _read_step(reader) if alpha.lossy else luma
    value = reader.byte() if alpha is AlphaCoding.CONSTANT else 0
    steps = {"chroma": chroma, "alpha": opacity}
    specs = main_planes(frame.height, frame.width, frame.channels, subsample, alpha.lossy)
    planes: list[PlaneParameters] = []
    for spec in specs:
        planes.append(_read_plane(reader, spec.index, steps.get(spec.kind, luma), planes))
    if flags & 8:
        main = _read_weighting(reader)
        other = _read_weighting(reader) if frame.channels >= 3 else main
        weightings = {"chroma": other, "alpha": PLAIN}
        pairs = zip(planes, specs, strict=True)
        planes = [replace(plane, weighting=weightings.get(spec.kind, main)) for plane, spec in pairs]
    local = _read_local_bits(reader) if flags & 16 else None
    return _parsed(Parameters(subsample, tuple(planes), alpha, value, local), frame)


def _read_weighting(reader: Reader) -> Weighting:
    """The weights of the columns of V, in their range."""
    first, strength = reader.byte(), reader.byte()
    if not FIRST_MIN <= first <= FIRST_MAX or strength > STRENGTH_MAX:
        expected = f"{FIRST_MIN} to {FIRST_MAX} and 0 to {STRENGTH_MAX}"
        raise FormatError(f"damaged file: weights {first} and {strength}; expected {expected}")
    return Weighting(first, strength)


def _read_local_bits(reader: Reader) -> int:
    """The side of blocks with steps of their own, in its range."""
    bits = reader.byte()
    if not SIDE_BITS[0] <= bits <= SIDE_BITS[1]:
        raise FormatError(f"damaged file: blocks of 2**{bits} samples; expected {SIDE_BITS[0]} to {SIDE_BITS[1]}")
    return bits


def _read_step(reader: Reader) -> int:
    """A step, in its range."""
    step = reader.varint()
    if not STEP_MIN <= step <= STEP_MAX:
        raise FormatError(f"damaged file: step {step}; expected {STEP_MIN} to {STEP_MAX}")
    return step


def _plane(coding: int, step: int) -> PlaneParameters:
    """A plane of the byte that says how it is coded."""
    restoration, coder = Restoration(coding & _RESTORATION_BITS), CODERS[_CODER_BITS.index(coding & sum(_CODER_BITS))]
    return PlaneParameters(step, PATCH_SIZES[coding & 1], restoration, PLAIN, coder)


def _read_plane(reader: Reader, index: int, step: int, others: Sequence[PlaneParameters]) -> PlaneParameters:
    """How a plane is coded in version 2, with the coder of the others of its file."""
    coding = reader.byte()
    if coding > 63 or any((coding & bits).bit_count() > 1 for bits in (_RESTORATION_BITS, sum(_CODER_BITS))):
        raise newer(f"coding {coding} of plane {index}")
    plane = _plane(coding, step)
    if others and plane.coder != others[0].coder:
        raise FormatError(f"damaged file: coding {coding} of plane {index} does not fit that of the first plane")
    return plane


def _parsed(parameters: Parameters, frame: Frame) -> tuple[Parameters, int, int]:
    """What a parser returns."""
    return parameters, parameters.segments(frame), _working_bytes(parameters, frame)


def _working_bytes(parameters: Parameters, frame: Frame) -> int:
    """Bytes that this decoder needs besides the image."""
    factors = total = largest = 0
    height = max(rows.stop - rows.start for rows in strips(frame.height, frame.width, 1))
    for grid in parameters.grids(frame):
        p, shape = grid.patch_size, grid.shape
        # The int16 factors with guards, and their magnitudes in bytes while a slice is decoded.
        factors += (3 if len(grid.slices) == 1 else 2) * (shape[0] + 4 * p) * (shape[1] + 5 * p)
        # A step of its own for every patch.
        factors += 4 * grid.rows * grid.columns * (parameters.local_bits is not None)
        # A strip of int32 samples of every plane, and a copy of one that is cut to size.
        strip = 4 * (min(height + 3 * p, shape[0]) + p) * (shape[1] + p)
        total, largest = total + strip, max(largest, strip)
    # Alpha's own segment: symbols with guards, values, and what they are put together with.
    alpha = 4 * frame.height * frame.width if parameters.alpha.has_segment else 0
    symbols = 0 if parameters.local_bits is None else prod(map_shape(frame.height, frame.width, parameters.local_bits))
    return factors + total + largest + alpha + symbols


def put_values(values: Sequence[int]) -> bytes:
    """The beginning of a map of alpha: its values, which rise."""
    out = bytes([len(values) - 1])
    if len(values) <= LISTED_VALUES:
        return out + bytes(values)
    bits = np.zeros(256, np.uint8)
    bits[np.asarray(values)] = 1
    return out + np.packbits(bits, bitorder="little").tobytes()


def read_values(reader: Reader) -> np.ndarray:
    """The inverse of :func:`put_values`, uint8."""
    count = reader.byte() + 1
    if count <= LISTED_VALUES:
        values = np.frombuffer(bytes(reader.take(count)), np.uint8)
        if (np.diff(values.astype(int)) <= 0).any():
            raise FormatError("damaged alpha: its values do not rise; the file is corrupt")
        return values
    field = np.unpackbits(np.frombuffer(bytes(reader.take(32)), np.uint8), bitorder="little")
    if field.sum() != count:
        raise FormatError(f"damaged alpha: {field.sum()} values; expected {count}; the file is corrupt")
    return np.flatnonzero(field).astype(np.uint8)


def decode_palette(reader: Reader, shape: tuple[int, int]) -> np.ndarray:
    """Lossless alpha of version 1, from its palette and deflated indices; uint8 (H, W)."""
    count = reader.byte()
    if not 1 <= count <= ALPHA_VALUES:
        raise FormatError(f"damaged alpha plane: {count} values; expected 1 to {ALPHA_VALUES}")
    values = np.zeros(256, np.uint8)
    values[:count] = np.frombuffer(reader.take(count), np.uint8)
    coder, size = zlib.decompressobj(), shape[0] * shape[1]
    try:
        raw = coder.decompress(reader.take(reader.left), size)
        complete = len(raw) == size and not coder.decompress(coder.unconsumed_tail, 1) and coder.eof
    except zlib.error as error:
        raise FormatError(f"damaged alpha plane: {error}") from None
    if not complete or coder.unused_data:
        raise FormatError(f"damaged alpha plane: expected {size} samples in one stream; the file is corrupt")
    return values[np.frombuffer(raw, np.uint8)].reshape(shape)
