"""Header fields and small segments of the main profile; FORMAT.md describes them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import FormatError
from ..layout import PatchGrid, PlaneSpec, main_planes, strips
from .bytestream import Reader, put_varint
from .constants import ALPHA_VALUES, PATCH_SIZES, STEP_MAX, STEP_MIN
from .container import Frame

__all__ = ["Parameters", "PlaneParameters", "decode_alpha", "parse", "serialize"]


@dataclass(frozen=True)
class PlaneParameters:
    """How one plane is coded.

    Attributes
    ----------
    step : int
        Length of the columns of V in 1/64 gray level.
    patch_size : {8, 16}
        Side of a patch.
    restore : bool
        Whether the restoration filter is on.
    """

    step: int
    patch_size: int
    restore: bool


@dataclass(frozen=True)
class Parameters:
    """Fields of the header that only this profile has.

    Attributes
    ----------
    subsample : bool
        Whether chroma has half the size.
    planes : tuple of PlaneParameters
        One for each plane that is coded lossily: gray or Y, Cb, Cr, and alpha unless it is lossless.
    lossless_alpha : bool
        Whether alpha is stored as it is, in a last segment.
    """

    subsample: bool
    planes: tuple[PlaneParameters, ...]
    lossless_alpha: bool

    def specs(self, frame: Frame) -> tuple[PlaneSpec, ...]:
        """The planes that are coded lossily."""
        return main_planes(frame.height, frame.width, frame.channels, self.subsample, not self.lossless_alpha)

    def grids(self, frame: Frame) -> tuple[PatchGrid, ...]:
        """Their patches."""
        return _grids(self, frame)


@lru_cache(maxsize=64)
def _grids(parameters: Parameters, frame: Frame) -> tuple[PatchGrid, ...]:
    pairs = zip(parameters.specs(frame), parameters.planes, strict=True)
    return tuple(PatchGrid(spec.shape, plane.patch_size) for spec, plane in pairs)


def serialize(parameters: Parameters, frame: Frame) -> bytes:
    """The profile's header fields as bytes."""
    out = bytearray([parameters.subsample | parameters.lossless_alpha << 1])
    put_varint(out, parameters.planes[0].step)
    if frame.channels >= 3:
        put_varint(out, parameters.planes[1].step)
    for plane in parameters.planes:
        out.append(PATCH_SIZES.index(plane.patch_size) | plane.restore << 1)
    return bytes(out)


def parse(reader: Reader, frame: Frame) -> tuple[Parameters, int, int]:
    """Read and check the profile's header fields; see :func:`imfnb.format.container.unpack`."""
    flags = reader.byte()
    subsample, lossless_alpha = bool(flags & 1), bool(flags & 2)
    if flags > 3 or (subsample and frame.channels < 3) or (lossless_alpha and frame.channels != 4):
        raise FormatError(f"damaged file: flags {flags} do not fit {frame.channels} channels")
    luma = reader.varint()
    chroma = reader.varint() if frame.channels >= 3 else luma
    if not (STEP_MIN <= luma <= STEP_MAX and STEP_MIN <= chroma <= STEP_MAX):
        raise FormatError(f"damaged file: steps {luma} and {chroma}; expected {STEP_MIN} to {STEP_MAX}")
    planes = []
    for spec in main_planes(frame.height, frame.width, frame.channels, subsample, not lossless_alpha):
        coding = reader.byte()
        if coding > 3:
            raise FormatError(f"damaged file: coding {coding} of plane {spec.index}")
        planes.append(PlaneParameters(chroma if spec.chroma else luma, PATCH_SIZES[coding & 1], bool(coding & 2)))
    parameters = Parameters(subsample, tuple(planes), lossless_alpha)
    segments = sum(len(grid.slices) for grid in parameters.grids(frame)) + lossless_alpha
    return parameters, segments, _working_bytes(parameters, frame)


def _working_bytes(parameters: Parameters, frame: Frame) -> int:
    """Bytes that this decoder needs besides the image."""
    factors = total = largest = 0
    height = max(rows.stop - rows.start for rows in strips(frame.height, frame.width, 1))
    for grid in parameters.grids(frame):
        p, shape = grid.patch_size, grid.shape
        # The int16 factors with guards, and their magnitudes in bytes while a slice is decoded.
        factors += (3 if len(grid.slices) == 1 else 2) * (shape[0] + 4 * p) * (shape[1] + 5 * p)
        # A strip of int32 samples of every plane, and a copy of one that is cut to size.
        strip = 4 * (min(height + 3 * p, shape[0]) + p) * (shape[1] + p)
        total, largest = total + strip, max(largest, strip)
    return factors + total + largest


def decode_alpha(reader: Reader, out: np.ndarray) -> None:
    """Lossless alpha from its palette and deflated indices."""
    count = reader.byte()
    if not 1 <= count <= ALPHA_VALUES:
        raise FormatError(f"damaged alpha plane: {count} values; expected 1 to {ALPHA_VALUES}")
    values = np.zeros(256, np.uint8)
    values[:count] = np.frombuffer(reader.take(count), np.uint8)
    coder = zlib.decompressobj()
    try:
        raw = coder.decompress(reader.take(reader.left), out.size)
        complete = len(raw) == out.size and not coder.decompress(coder.unconsumed_tail, 1) and coder.eof
    except zlib.error as error:
        raise FormatError(f"damaged alpha plane: {error}") from None
    if not complete or coder.unused_data:
        raise FormatError(f"damaged alpha plane: expected {out.size} samples in one stream; the file is corrupt")
    out[...] = values[np.frombuffer(raw, np.uint8)].reshape(out.shape)
