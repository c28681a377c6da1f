"""Rows of a stack of planes of the main profile on their way from factors to samples, for decoder and encoder alike.

    U, V --product--> filtered samples --lapped, inverse--> decoded samples --restoration--> restored samples

The types follow that order: `Products` become `Samples`. Rows depend on rows around them: those that restoration reads
and, around these, those that the lapped filter mixes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import lapped, restoration
from ..factorization import rdoq
from ..format.basis import Weighting
from ..format.restoration import filter_set
from ..layout import PatchGrid, Slice
from ..runtime.run import Run, Task
from . import decide

if TYPE_CHECKING:
    from .stacks import Owner, Stack

__all__ = ["Products", "Samples", "Unit", "Watched", "Work", "decoded", "restoration_of", "rows_of", "units", "watch"]


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
class Work:
    """A unit of a stack with what it is coded with.

    Attributes
    ----------
    stack : imfnb.profiles.stacks.Stack
        The stack.
    planes : array of int32, shape (P, H, W)
        All planes of the stack.
    step : int
        Their step in 1/64 gray level.
    unit : Unit
        Which of them.
    weighting : Weighting
        Weights of the columns of V.
    """

    stack: Stack
    planes: Any
    step: int
    unit: Unit
    weighting: Weighting

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
        Rows of the planes that are wanted in the end.
    step : int
        Step of the planes in 1/64 gray level.
    weighting : Weighting
        Weights of the columns of V.
    chroma : bool
        Whether they are chroma.
    name : str
        Prefix of the names of the stack's memory.
    run : Run
        Where to work.
    """

    def __init__(
        self,
        parts: Sequence[Unit],
        rows: slice,
        step: int,
        weighting: Weighting,
        chroma: bool,
        name: str,
        run: Run,
    ) -> None:
        self._units, self._rows, self._step, self._weighting = parts, rows, step, weighting
        self._chroma, self._name, self._run = chroma, name, run
        self._starts, self._samples = [], []
        for unit in parts:
            p, (height, width) = unit.grid.patch_size, unit.grid.extended
            reach = restoration.HALO + lapped.halo(p)
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
            The factors of every plane, on the host.
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
        rdoq.product(*there, self._step, size, update, out, self._run, unit.name, self._weighting, local, reduce)
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
        return Samples(out, start, self._rows, self._step, self._chroma, self._name, run)


class Samples:
    """Rows of decoded planes before restoration, which is made when it is asked for."""

    def __init__(self, planes: Any, first: int, rows: slice, step: int, chroma: bool, name: str, run: Run) -> None:
        self._planes, self._first, self._rows = planes, first, rows
        self._step, self._chroma, self._name, self._run = step, chroma, name, run

    @property
    def decoded(self) -> Any:
        """The rows before restoration, int32 (P, H, W)."""
        return self._window(self._planes, self._first)

    def restored(self, which: Sequence[int], overwrite: bool) -> Any:
        """The rows with the given planes restored; those before may be overwritten, or there are only those planes."""
        run, name, height = self._run, f"{self._name}restored ", self._planes.shape[1]
        top = max(self._rows.start - restoration.HALO - self._first, 0)
        stop = min(self._rows.stop + restoration.HALO - self._first, height)
        planes = rows_of(self._planes, slice(top, stop))
        out = planes if overwrite else run.array(name.strip(), planes.shape, np.int32)
        filters, limits = filter_set(self._step, self._chroma)
        tables = run.constant(f"{name}filters", filters), run.constant(f"{name}limits", limits)
        scratch = None if run.in_place else run.array(f"{name}scratch", (len(which), *planes.shape[1:]), np.int32)
        numbers = run.constant(f"{name}which", np.array(which, np.int32))
        run.kernels("restoration").restore(planes, self._step, *tables, out, numbers, scratch)
        return self._window(out, self._first + top)

    def _window(self, planes: Any, first: int) -> Any:
        return rows_of(planes, slice(self._rows.start - first, self._rows.stop - first))


# ----------------------------------------------------------------------------------------- decoding in the encoder


# Rows of a stack that decide on its restoration, and what becomes of them.
Watched = list[tuple[slice, Products]]


def watch(group: Sequence[Work], run: Run, whole: bool = False) -> Watched:
    """Rows of a stack that decide on its restoration: sampled ones on the CPU, all on the GPU or where it is asked."""
    stack = group[0].stack
    height, parts = stack.spec.shape[0], [work.unit for work in group]
    rows = [slice(0, height)] if whole or run.merges else decide.sampled_rows(height)
    first = group[0]
    numbers = first.step, first.weighting, stack.spec.chroma, stack.name, run
    return [(part, Products(parts, part, *numbers)) for part in rows]


def restoration_of(group: Sequence[Work], watched: Watched, run: Run) -> Task[list[bool]]:
    """Whether to restore each plane of a stack."""
    flags, _ = yield from decoded(group, watched, run)
    return flags


def decoded(group: Sequence[Work], watched: Watched, run: Run) -> Task[tuple[list[bool], Any]]:
    """Whether to restore each plane of a stack, and what the decoder makes of the last of the watched rows."""
    stack, planes = group[0].stack, group[0].planes
    count, height = len(stack.owners), stack.spec.shape[0]
    error = run.kernels("restoration").squared_error
    sums = run.zeros(f"{stack.name}errors", (2, count), np.int64)
    before = after = None
    while watched:
        rows, products = watched.pop()
        samples = products.samples()
        del products
        before, after = samples.decoded, samples.restored(range(count), False)
        counted = decide.sampled(height) if rows == slice(0, height) else None
        for total, found in zip(sums, (before, after), strict=True):
            error(found, rows_of(planes, rows), total, counted)
    (found,) = yield from run.fetch(f"{stack.name}errors", sums)
    flags = [decide.restoration_pays(*pair) for pair in zip(*found.tolist(), strict=True)]
    return flags, run.select(flags, after, before)
