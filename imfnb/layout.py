"""Geometry: the planes of a picture, the patches of a plane, and the rows of either that are worked on at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from .format.constants import ADAPTED_SAMPLES, SLICE_SAMPLES

__all__ = ["PatchGrid", "PlaneSpec", "Slice", "column_planes", "half", "main_planes", "row_slices", "strips"]


def half(size: int) -> int:
    """Length of a chroma plane along an axis of `size` luma samples with 4:2:0 subsampling: half, rounded up."""
    return (size + 1) // 2


@dataclass(frozen=True)
class PlaneSpec:
    """A plane of a picture.

    Attributes
    ----------
    index : int
        Its number in the file: 0 gray or luma, 1 and 2 chroma, the last alpha; of an array the column of V.
    kind : {"gray", "luma", "chroma", "alpha", "column"}
        What its samples are.
    shape : (int, int)
        Height and width.
    subsampled : bool
        Whether it has half the size of the picture, rounded up.
    """

    index: int
    kind: str
    shape: tuple[int, int]
    subsampled: bool = False

    @property
    def chroma(self) -> bool:
        return self.kind == "chroma"

    def rows_of(self, rows: slice, height: int) -> slice:
        """The rows of this plane on which rows of the picture depend, which has `height` of them.

        Subsampled chroma is interpolated between its rows: it takes one more of them at either end.
        """
        if not self.subsampled:
            return rows
        return slice((rows.start - self.above(rows)) // 2, min(half(rows.stop) + 1, half(height)))

    def above(self, rows: slice) -> int:
        """With how many rows of the picture :meth:`rows_of` begins before the given ones, which begin with an even."""
        return 2 if self.subsampled and rows.start else 0


@lru_cache(maxsize=64)
def main_planes(height: int, width: int, channels: int, subsample: bool, alpha: bool) -> tuple[PlaneSpec, ...]:
    """The planes of a picture in the main profile.

    Parameters
    ----------
    height, width : int
        Of the picture.
    channels : {0, 1, 2, 3, 4}
        Length of its last axis, 0 without one; the second of two channels, and the fourth of four, is alpha.
    subsample : bool
        Whether chroma has half the size.
    alpha : bool
        Whether alpha, the last channel, is a plane like the others (and not stored losslessly).

    Returns
    -------
    tuple of PlaneSpec
        In the order of the file.
    """
    whole = height, width
    planes = [PlaneSpec(0, "gray" if channels < 3 else "luma", whole)]
    if channels >= 3:
        chroma = (half(height), half(width)) if subsample else whole
        planes += [PlaneSpec(i, "chroma", chroma, subsample) for i in (1, 2)]
    if channels in (2, 4) and alpha:
        planes.append(PlaneSpec(len(planes), "alpha", whole))
    return tuple(planes)


@lru_cache(maxsize=64)
def column_planes(height: int, width: int, count: int) -> tuple[PlaneSpec, ...]:
    """The planes of an array in the main profile: the columns of pixels times V."""
    return tuple(PlaneSpec(index, "column", (height, width)) for index in range(count))


@lru_cache(maxsize=64)
def row_slices(height: int, samples: int, limit: int) -> tuple[slice, ...]:
    """Rows cut into as many as have at most `limit` samples, of which each row has `samples`; the last may be fewer."""
    rows = max(1, limit // samples)
    return tuple(slice(top, min(top + rows, height)) for top in range(0, height, rows))


@dataclass(frozen=True)
class PatchGrid:
    """The patches of a plane, the last ones of which may reach beyond it.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the plane.
    patch_size : int
        Side of a patch.
    reduce : int
        How many times smaller plane and patches are than those that are coded. There are as many patches as of the
        plane that is coded, since ceil(ceil(n / r) / (p / r)) = ceil(n / p).
    """

    shape: tuple[int, int]
    patch_size: int
    reduce: int = 1

    @property
    def coded_size(self) -> int:
        """Side of a patch of the plane that is coded."""
        return self.patch_size * self.reduce

    @property
    def rows(self) -> int:
        """Number of patches down."""
        return -(-self.shape[0] // self.patch_size)

    @property
    def columns(self) -> int:
        """Number of patches across."""
        return -(-self.shape[1] // self.patch_size)

    @property
    def extended(self) -> tuple[int, int]:
        """Height and width up to whole patches."""
        return self.rows * self.patch_size, self.columns * self.patch_size

    @property
    def slices(self) -> tuple[Slice, ...]:
        """What is coded in one go: as few slices of whole rows of patches as SLICE_SAMPLES allows, equally long."""
        return _slices(self, SLICE_SAMPLES)


@lru_cache(maxsize=64)
def _slices(grid: PatchGrid, samples: int) -> tuple[Slice, ...]:
    count = -(-grid.rows * grid.columns * grid.coded_size**2 // samples)
    size = -(-grid.rows // min(count, grid.rows))
    return tuple(Slice(grid, first, min(first + size, grid.rows)) for first in range(0, grid.rows, size))


@dataclass(frozen=True)
class Slice:
    """Rows of patches of a plane.

    Attributes
    ----------
    grid : PatchGrid
        The patches of the plane.
    start, stop : int
        First row of patches, and first that does not belong to it.
    """

    grid: PatchGrid
    start: int
    stop: int

    @property
    def patches(self) -> tuple[int, int]:
        """Number of patches down and across."""
        return self.stop - self.start, self.grid.columns

    @property
    def samples(self) -> slice:
        """Its rows of samples."""
        return slice(self.start * self.grid.patch_size, self.stop * self.grid.patch_size)

    @property
    def adapts(self) -> bool:
        """Whether its V may differ from the DCT basis; its segment then says how."""
        down, across = self.patches
        return down * across * self.grid.coded_size**2 >= ADAPTED_SAMPLES


# Pixels of a strip and its least height, so that the rows around it on which it depends, 28, cost little.
_STRIP_PIXELS = 1 << 20
_STRIP_HEIGHT = 256

# Every strip begins with whole patches, of chroma of half the size too.
_STRIP_UNIT = 64


def strips(height: int, width: int, threads: int) -> list[slice]:
    """The rows of a picture that are decoded at a time: as many strips as threads, and more if those were large.

    Parameters
    ----------
    height, width : int
        Of the picture.
    threads : int
        Number of threads.

    Returns
    -------
    list of slice
        The rows of each strip; all begin with whole patches, and none is shorter than a few patches unless the picture
        is.
    """
    least = max(_STRIP_HEIGHT, min(_STRIP_PIXELS // width, height // threads))
    count = max(1, height // least)
    borders = [i * height // count // _STRIP_UNIT * _STRIP_UNIT for i in range(count)] + [height]
    return [slice(*pair) for pair in pairwise(borders)]
