"""Header fields of the baseline profile and the matrices that they describe; FORMAT.md describes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import FormatError
from ..layout import main_planes
from .bytestream import Reader, put_signed, put_varint
from .container import Frame

__all__ = ["BOUND_LIMIT", "COLOR_SPACES", "PATCH_SIZES", "MatrixSpec", "Parameters", "matrices", "parse", "serialize"]

#: What the three colour planes are, in the order of their numbers in the header.
COLOR_SPACES = ("YCbCr", "RGB")

#: Sides of a patch; None: a plane is a matrix itself.
PATCH_SIZES = (4, 8, 16, 32, None)

#: Largest magnitude of a factor's entry.
BOUND_LIMIT = 2**15 - 1


@dataclass(frozen=True)
class MatrixSpec:
    """One of the matrices of an image.

    Attributes
    ----------
    planes : tuple of int
        Numbers of the planes whose patches are concatenated to its rows.
    chroma : bool
        Whether they are chroma.
    plane_shape : (int, int)
        Height and width of the planes.
    patch : (int, int)
        Height and width of a patch; without patches each row of the plane is one.
    """

    planes: tuple[int, ...]
    chroma: bool
    plane_shape: tuple[int, int]
    patch: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """Number of patches down and across."""
        return -(-self.plane_shape[0] // self.patch[0]), -(-self.plane_shape[1] // self.patch[1])

    @property
    def pixels(self) -> int:
        """Number of pixels of a patch of one plane."""
        return self.patch[0] * self.patch[1]

    @property
    def images(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Shapes of the images that the columns of U and those of V are."""
        return self.grid, (len(self.planes) * self.patch[0], self.patch[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows M and columns N."""
        return self.grid[0] * self.grid[1], len(self.planes) * self.pixels


@dataclass(frozen=True)
class Parameters:
    """Fields of the header that only this profile has.

    Attributes
    ----------
    color_space : {"YCbCr", "RGB"}
        What the three colour planes are.
    subsample : bool
        Whether chroma has half the size.
    patch_size : int or None
        Side of a patch; None: a plane is factorized as it is.
    bounds : (int, int)
        Smallest and largest entry of the factors.
    ranks : tuple of int
        Rank of each matrix.
    """

    color_space: str
    subsample: bool
    patch_size: int | None
    bounds: tuple[int, int]
    ranks: tuple[int, ...]

    @property
    def dtype(self) -> type:
        """Of the entries of the factors: as few bytes as hold the bounds."""
        return np.int8 if -128 <= self.bounds[0] and self.bounds[1] <= 127 else np.int16

    def matrices(self, frame: Frame) -> list[MatrixSpec]:
        """The matrices, in the order of their segments."""
        return matrices(frame, self.color_space, self.subsample, self.patch_size)


def matrices(frame: Frame, color_space: str, subsample: bool, patch_size: int | None) -> list[MatrixSpec]:
    """The matrices of an image: one for all colours of RGB patches, otherwise one for each plane; alpha has its own."""
    planes = main_planes(frame.height, frame.width, frame.channels, subsample, True)
    joint = color_space == "RGB" and patch_size is not None and len(planes) >= 3
    groups = [(0, 1, 2), (3,)][: len(planes) - 2] if joint else [(plane.index,) for plane in planes]
    specs = []
    for group in groups:
        plane = planes[group[0]]
        patch = (1, plane.shape[1]) if patch_size is None else (patch_size, patch_size)
        specs.append(MatrixSpec(group, plane.chroma and color_space == "YCbCr", plane.shape, patch))
    return specs


def serialize(parameters: Parameters) -> bytes:
    """The profile's header fields as bytes."""
    out = bytearray([COLOR_SPACES.index(parameters.color_space) | parameters.subsample << 1])
    put_varint(out, parameters.patch_size or 0)
    put_signed(out, parameters.bounds[0])
    put_signed(out, parameters.bounds[1])
    for rank in parameters.ranks:
        put_varint(out, rank)
    return bytes(out)


def parse(reader: Reader, frame: Frame) -> tuple[Parameters, int, int]:
    """Read and check the profile's header fields; see :func:`imfnb.format.container.unpack`."""
    flags = reader.byte()
    if flags > 2 or (flags and frame.channels < 3):
        raise FormatError(f"damaged file: colour flags {flags} do not fit {frame.channels} channels")
    color_space, subsample = COLOR_SPACES[flags & 1], bool(flags & 2)
    patch_size = reader.varint() or None
    if patch_size not in PATCH_SIZES:
        raise FormatError(f"damaged file: patch size {patch_size}; expected one of {PATCH_SIZES}")
    low, high = reader.signed(), reader.signed()
    if not -BOUND_LIMIT <= low < high <= BOUND_LIMIT:
        raise FormatError(f"damaged file: factor bounds [{low}, {high}]")
    ranks = []
    entries = around = 0
    for spec in matrices(frame, color_space, subsample, patch_size):
        rank, (rows, columns) = reader.varint(), spec.shape
        if not 1 <= rank <= min(rows, columns):
            raise FormatError(f"damaged file: rank {rank} of a {rows} x {columns} matrix")
        ranks.append(rank)
        entries += (rows + columns) * rank
        around += 3 * max((height + 2) * (width + 2) for height, width in spec.images)
    parameters = Parameters(color_space, subsample, patch_size, (low, high), tuple(ranks))
    working = entries * np.dtype(parameters.dtype).itemsize + frame.height * frame.width * max(1, frame.channels)
    if frame.adaptive:  # entries are of two bytes at first, and magnitudes of three columns are kept with a border
        working += 2 * entries + around
    return parameters, len(ranks), working
