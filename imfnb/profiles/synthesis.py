"""Rows of a stack of planes of the main profile on their way from factors to samples, for decoder and encoder alike.

    U, V --product--> filtered samples --lapped, inverse--> decoded samples --restoration--> restored samples

The types follow that order: `Products` become `Samples`; `restoring` goes on with those of all planes. Rows depend on
rows around them: those that restoration reads and, around these, those that the lapped filter mixes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import lapped
from ..factorization import rdoq
from ..format.basis import Weighting
from ..format.main_header import PlaneParameters, Restoration
from ..layout import PatchGrid, Slice
from ..runtime.run import Run, Task

if TYPE_CHECKING:
    from .stacks import Owner, Stack

__all__ = ["Coding", "Products", "Samples", "Unit", "Work", "rows_of", "units"]


@dataclass(frozen=True)
class Unit:
    """Planes of a stack that go through a stage in one call: those with patches of one side.

    Attributes
    ----------
    grid : PatchGrid
        Their patches.
    which : tuple of int
        Their numbers in the stack.
    name : str
        Prefix of the names of their memory.
    local : array of int32, shape (P, rows, columns), or None
        The step of every patch relative to that of its plane, in 1/16, where the kernels read it; None if all are 16.
    """

    grid: PatchGrid
    which: tuple[int, ...]
    name: str
    local: Any = field(default=None, compare=False)

    def local_of(self, part: Slice) -> Any:
        """The steps of the patches of a slice."""
        return None if self.local is None else rows_of(self.local, slice(part.start, part.stop))


def units(shape: tuple[int, int], sizes: Sequence[int], name: str, run: Run, reduce: int = 1) -> list[Unit]:
    """The planes of a stack, given their shape and the side of the patches of each; large ones go one by one.

    Where they are `reduce` times smaller than what is coded, the sides are those of the patches that are coded.
    """
    found = []
    for p in sorted(set(sizes)):
        grid = PatchGrid(shape, p // reduce, reduce)
        which = tuple(n for n, size in enumerate(sizes) if size == p)
        alone = len(grid.slices) > 1 or grid.slices[0].adapts
        found += [Unit(grid, part, f"{name}{p} ") for part in ([(n,) for n in which] if alone else [which])]
    return found


def rows_of(planes: Any, rows: slice) -> Any:
    """Rows of a stack, contiguous: all of them, or those of a single plane."""
    count, height, width = planes.shape
    if (rows.start, rows.stop) == (0, height):
        return planes
    return planes.reshape(count * height, width)[rows].reshape(1, rows.stop - rows.start, width)


@dataclass(frozen=True)
class Coding:
    """How all planes of a stack are coded.

    Attributes
    ----------
    step : int
        Their step in 1/64 gray level.
    weighting : Weighting
        Weights of the columns of V.
    coder : {"context", "neural", "rans"}
        Entropy coder of U.
    """

    step: int
    weighting: Weighting
    coder: str

    def of_plane(self, patch_size: int, restoration: Restoration) -> PlaneParameters:
        """What the header says of a plane."""
        return PlaneParameters(self.step, patch_size, restoration, self.weighting, self.coder)


@dataclass(frozen=True)
class Work:
    """A unit of a stack with what it is coded with.

    Attributes
    ----------
    stack : imfnb.profiles.stacks.Stack
        The stack.
    planes : array of int32, shape (P, H, W)
        All planes of the stack.
    unit : Unit
        Which of them.
    coding : Coding
        How they are coded.
    sweeps : int or None
        How often their factors are chosen at most; None for as often as is best.
    """

    stack: Stack
    planes: Any
    unit: Unit
    coding: Coding
    sweeps: int | None

    @property
    def owners(self) -> list[Owner]:
        """Image and number of each plane of the unit."""
        return [self.stack.owners[n] for n in self.unit.which]


class Products:
    """Rows of the products of the factors of a stack of planes.

    Parameters
    ----------
    parts : sequence of Unit
        The planes of the stack. Where there are several units, the rows must be all.
    rows : slice
        Rows of the planes that are to be decoded.
    coding : Coding
        How they are coded.
    name : str
        Prefix of the names of the stack's memory.
    run : Run
        Where to work.
    """

    def __init__(self, parts: Sequence[Unit], rows: slice, coding: Coding, name: str, run: Run) -> None:
        self._units, self._coding, self._name, self._run = parts, coding, name, run
        self._starts, self._samples = [], []
        for unit in parts:
            p, (height, width) = unit.grid.patch_size, unit.grid.extended
            reach = lapped.halo(p)
            start = max(rows.start - reach, 0) // p * p
            stop = min(-(-(rows.stop + reach) // p) * p, height)
            self._starts.append(start)
            self._samples.append(
                run.array(f"{unit.name}samples {unit.which[0]}", (len(unit.which), stop - start, width), np.int32)
            )

    def add(
        self, unit: Unit, part: Slice, factors: Sequence[rdoq.Factors], there: tuple[Any, Any] | None
    ) -> Task[None]:
        """Multiply the factors of a slice, as far as the rows reach.

        Parameters
        ----------
        unit : Unit
            Whose.
        part : Slice
            Which slice of its planes.
        factors : sequence of Factors
            The factors of every plane, on the host; only the first, for its V, where they are there.
        there : (array, array), optional
            U and the active ranks where the kernels read them, if they are there.
        """
        number, p = self._units.index(unit), unit.grid.patch_size
        first, samples = self._starts[number], self._samples[number]
        start, stop = max(part.start, first // p), min(part.stop, (first + samples.shape[1]) // p)
        if start >= stop:
            return
        if there is None or (start, stop) != (part.start, part.stop):
            if (start, stop) != (part.start, part.stop):
                factors = [rdoq.rows_of(f, start - part.start, stop - part.start) for f in factors]
            there = yield from rdoq.upload(factors, self._run, unit.name)
        out = rows_of(samples, slice(start * p - first, stop * p - first))
        local, update = unit.local_of(Slice(unit.grid, start, stop)), factors[0].basis_update
        size, reduce = unit.grid.coded_size, unit.grid.reduce
        step, weighting = self._coding.step, self._coding.weighting
        rdoq.product(*there, step, size, update, out, self._run, unit.name, weighting, local, reduce)
        if not self._run.retains:
            yield None  # the next slice uses the same memory

    def samples(self) -> Samples:
        """Go on to the samples of the planes; the products are overwritten."""
        run, grid = self._run, self._units[0].grid
        start, whole = self._starts[0], self._samples[0]
        count = sum(len(unit.which) for unit in self._units)
        shape = count, min(whole.shape[1], grid.shape[0] - start), grid.shape[1]
        if run.in_place and count == 1:  # cut where it is, since a copy of a large plane would cost memory
            out = whole.reshape(-1)[: math.prod(shape)].reshape(shape)
        else:
            out = run.array(f"{self._name}decoded", shape, np.int32)
        for unit, samples in zip(self._units, self._samples, strict=True):
            which = run.constant(f"{unit.name}which", np.array(unit.which, np.int32))
            run.kernels("lapped").inverse(samples, unit.grid.patch_size, out, which)
        self._samples = []
        return Samples(out, start)


@dataclass(frozen=True)
class Samples:
    """Rows of decoded planes before restoration.

    Attributes
    ----------
    planes : array of int32, shape (P, H, W)
        The rows.
    first : int
        Number of the first of them in the planes.
    """

    planes: Any
    first: int

    def part(self, rows: slice) -> Any:
        """Some of the rows, by their numbers in the planes."""
        return rows_of(self.planes, slice(rows.start - self.first, rows.stop - self.first))
