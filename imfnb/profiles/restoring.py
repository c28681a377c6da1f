"""Rows of all planes of a picture from factors to restored samples, and whether restoration pays.

Filters restore every plane by itself. The network of chroma takes restored luma along: luma goes first, with as many
more rows as chroma's network reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import network, restoration
from ..factorization import rdoq
from ..format.main_header import Restoration
from ..format.network import network as network_of
from ..format.restoration import SHORT_BLOCK, filter_set, short_filter_set
from ..layout import Slice, half
from ..runtime.run import Run, Task
from . import decide
from .stacks import Stack
from .synthesis import Coding, Products, Samples, Unit, Work, rows_of

__all__ = ["RESTORATIONS", "Member", "Region", "Restored", "restorations", "restored_planes", "watch"]


# How many more rows each kind reads, in either direction.
_HALOS = {
    Restoration.FILTER: restoration.HALO,
    Restoration.SHORT: restoration.SHORT_HALO,
    Restoration.NETWORK: network.HALO,
}

#: What there is beside no restoration.
RESTORATIONS = tuple(_HALOS)


@dataclass(frozen=True)
class Member:
    """A stack of planes of a region.

    Attributes
    ----------
    stack : Stack
        The stack.
    units : sequence of Unit
        Its planes with patches of one side.
    coding : Coding
        How they are coded.
    kinds : tuple of Restoration
        How they may be restored beside not at all; the network of chroma restores both of its planes.
    """

    stack: Stack
    units: Sequence[Unit]
    coding: Coding
    kinds: tuple[Restoration, ...]

    @property
    def height(self) -> int:
        """Rows of its planes."""
        return self.stack.spec.shape[0]

    @property
    def guided(self) -> bool:
        """Whether it may be restored with the help of luma."""
        return self.stack.spec.chroma and Restoration.NETWORK in self.kinds

    @property
    def halo(self) -> int:
        """How many more rows, in either direction, restoration reads."""
        return max((_HALOS[kind] for kind in self.kinds), default=0)

    @property
    def scale(self) -> int:
        """Rows of luma for one of its own."""
        return 2 if self.stack.spec.subsampled else 1

    def guide(self, rows: slice) -> slice:
        """The rows of luma by which some of its rows are restored."""
        found = widened(rows, self.halo, self.height)
        return slice(self.scale * found.start, self.scale * found.stop)


def widened(rows: slice, halo: int, height: int) -> slice:
    """Rows with those around them, in whole blocks of the short filter; the cells of networks are half as high."""
    return slice(
        max(rows.start - halo, 0) // SHORT_BLOCK * SHORT_BLOCK,
        min(-(-(rows.stop + halo) // SHORT_BLOCK) * SHORT_BLOCK, height),
    )


class Region:
    """Rows of stacks of planes that are restored together.

    Parameters
    ----------
    members : sequence of Member
        The stacks; luma is the first of them where another one is restored with its help.
    rows : sequence of slice
        The rows of each that are wanted. Where there are several planes in a stack, all.
    run : Run
        Where to work.
    restores : bool, default True
        Whether anything is to be restored.
    """

    def __init__(self, members: Sequence[Member], rows: Sequence[slice], run: Run, restores: bool = True) -> None:
        self.members, self.rows, self._run = members, rows, run
        self._read = list(rows)
        guides = [member.guide(part) for member, part in zip(members, rows, strict=True) if member.guided and restores]
        if guides:
            first, height = rows[0], members[0].height
            start = min([first.start, *(guide.start for guide in guides)])
            self._read[0] = slice(start, min(max([first.stop, *(guide.stop for guide in guides)]), height))
        self._products = [
            Products(m.units, widened(part, m.halo, m.height) if restores else part, m.coding, m.stack.name, run)
            for m, part in zip(members, self._read, strict=True)
        ]
        self._samples: dict[int, Samples] = {}
        self._settled: dict[int, Any] = {}

    @property
    def rounds(self) -> list[list[list[int]]]:
        """The members in the order in which they can be restored: lists of those that are restored together."""
        alone = [[number] for number, member in enumerate(self.members) if not member.guided]
        guided = [number for number, member in enumerate(self.members) if member.guided]
        return [alone, [guided]] if guided else [alone]

    def add(
        self, stack: Stack, unit: Unit, part: Slice, factors: Sequence[rdoq.Factors], there: tuple[Any, Any] | None
    ) -> Task[None]:
        """Multiply the factors of a slice of a stack, if it is one of the region; see :meth:`Products.add`."""
        for number, member in enumerate(self.members):
            if member.stack == stack:
                yield from self._products[number].add(unit, part, factors, there)

    def decoded(self, number: int) -> Any:
        """The rows of a member before restoration: of luma with those that others are restored by."""
        return self._of(number).part(self._read[number])

    def restored(
        self, numbers: Sequence[int], kind: Restoration, which: Sequence[Sequence[int]], overwrite: bool
    ) -> list[Any]:
        """The same of members that are restored together, with some planes of each restored.

        What was before may be overwritten; otherwise there are only those planes.
        """
        if kind is Restoration.NETWORK:
            return self._corrected(numbers, which, overwrite)
        if kind is Restoration.SHORT:
            return [self._smoothed(n, some, overwrite) for n, some in zip(numbers, which, strict=True)]
        return [self._filtered(n, some, overwrite) for n, some in zip(numbers, which, strict=True)]

    def settle(self, number: int, planes: Any) -> None:
        """Say what becomes of the rows of :meth:`decoded`."""
        self._settled[number] = planes
        self.drop([number])

    def drop(self, numbers: Sequence[int]) -> None:
        """Keep nothing of members but what is settled."""
        for number in numbers:
            self._samples.pop(number)

    def settled(self, number: int) -> Any:
        """The rows that are wanted of a member."""
        return self.wanted(number, self._settled[number])

    def wanted(self, number: int, planes: Any) -> Any:
        """Those rows out of the rows of :meth:`decoded`."""
        read, rows = self._read[number], self.rows[number]
        return rows_of(planes, slice(rows.start - read.start, rows.stop - read.start))

    def _of(self, number: int) -> Samples:
        """All that there is of a member."""
        if number not in self._samples:
            self._samples[number] = self._products[number].samples()
        return self._samples[number]

    def _filtered(self, number: int, which: Sequence[int], overwrite: bool) -> Any:
        """A member behind the restoration filter."""
        run, member, rows = self._run, self.members[number], self._read[number]
        part = widened(rows, member.halo, member.height)
        planes, name = self._of(number).part(part), f"{member.stack.name}restored "
        out = planes if overwrite else run.array(name.strip(), planes.shape, np.int32)
        tables = self._tables(name, filter_set, member)
        scratch = None if run.in_place else run.array(f"{name}scratch", (len(which), *planes.shape[1:]), np.int32)
        numbers = run.constant(f"{name}which", np.array(which, np.int32))
        run.kernels("restoration").restore(planes, member.coding.step, *tables, out, numbers, scratch)
        return rows_of(out, slice(rows.start - part.start, rows.stop - part.start))

    def _smoothed(self, number: int, which: Sequence[int], overwrite: bool) -> Any:
        """A member behind the short filter."""
        run, member, rows = self._run, self.members[number], self._read[number]
        part = widened(rows, member.halo, member.height)
        planes, name = self._of(number).part(part), f"{member.stack.name}smoothed "
        out = planes if overwrite and run.in_place else run.array(name.strip(), planes.shape, np.int32)
        numbers = run.constant(f"{name}which", np.array(which, np.int32))
        tables = self._tables(name, short_filter_set, member)
        run.kernels("restoration").restore_short(planes, member.coding.step, *tables, out, numbers)
        if overwrite and out is not planes and len(which) < len(planes):
            out = run.select([n in which for n in range(len(planes))], out, planes)
        return rows_of(out, slice(rows.start - part.start, rows.stop - part.start))

    def _tables(self, name: str, filters_of: FilterSets, member: Member) -> list[Any]:
        """Filters and clipping limits for a member, where they are read."""
        found = filters_of(member.coding.step, member.stack.spec.chroma)
        return [
            self._run.constant(f"{name}{what}", table) for what, table in zip(("filters", "limits"), found, strict=True)
        ]

    def _corrected(self, numbers: Sequence[int], which: Sequence[Sequence[int]], overwrite: bool) -> list[Any]:
        """Members behind their network: luma or another plane alone, or both planes of chroma."""
        run, first, rows = self._run, self.members[numbers[0]], self._read[numbers[0]]
        part = widened(rows, first.halo, first.height)
        before = [self._of(number).part(part) for number in numbers]
        stacks = [self.members[number].stack for number in numbers]
        whole = all(len(some) == len(stack.owners) for some, stack in zip(which, stacks, strict=True))
        if overwrite and whole and run.in_place:
            after = before
        else:
            after = [
                run.array(f"{stack.name}corrected", planes.shape, np.int32)
                for stack, planes in zip(stacks, before, strict=True)
            ]
        inputs, outs, kind = before, after, "luma"
        if first.guided:
            inputs, outs = _by_plane(stacks, before), _by_plane(stacks, after)
            inputs.append(self._guide(first, part))
            kind = "half" if first.stack.spec.subsampled else "chroma"
        weights, biases = network_of(first.coding.step, kind)
        name = f"{stacks[0].name}network "
        tables = run.constant(f"{name}weights", weights), run.constant(f"{name}biases", biases)
        everything = run.constant(f"{name}which", np.arange(len(inputs[0]), dtype=np.int32))
        run.kernels("network").correct(inputs, first.coding.step, *tables, outs, everything)
        if overwrite and not whole:
            flags = [[n in some for n in range(len(s.owners))] for some, s in zip(which, stacks, strict=True)]
            after = [run.select(*found) for found in zip(flags, after, before, strict=True)]
        return [rows_of(planes, slice(rows.start - part.start, rows.stop - part.start)) for planes in after]

    def _guide(self, member: Member, rows: slice) -> Any:
        """Restored luma for rows of a member, at its resolution."""
        run, read, settled = self._run, self._read[0], self._settled[0]
        start, stop = member.scale * rows.start, min(member.scale * rows.stop, read.stop)
        luma = rows_of(settled, slice(start - read.start, stop - read.start))
        if member.scale == 1:
            return luma
        out = run.array("guide", (len(luma), half(luma.shape[1]), half(luma.shape[2])), np.int32)
        run.kernels("network").guide(luma, out)
        return out


def _by_plane(stacks: Sequence[Stack], planes: Sequence[Any]) -> list[Any]:
    """Stacks as one for each number of a plane."""
    return [
        some[stack.places(index)]
        for stack, some in zip(stacks, planes, strict=True)
        for index in sorted({index for _, index in stack.owners})
    ]


def restored_planes(region: Region, kinds: Sequence[Sequence[Restoration]], run: Run) -> Task[list[tuple[Stack, Any]]]:
    """The stacks of a region with the rows that are wanted, every plane restored in its way."""

    def finish(numbers: Sequence[int]) -> Task[None]:
        mine = [kinds[number] for number in numbers]
        used = [kind for kind in RESTORATIONS if any(kind in some for some in mine)]
        before = [region.decoded(number) for number in numbers]
        found = {}
        for kind in used:
            which = [[n for n, one in enumerate(some) if one is kind] for some in mine]
            found[kind] = region.restored(numbers, kind, which, overwrite=len(used) == 1)
        for place, number in enumerate(numbers):
            after = {kind: planes[place] for kind, planes in found.items()}
            if len(used) == 1:
                region.settle(number, after[used[0]])
            else:
                region.settle(number, _selected(mine[place], before[place], after, run))
        return
        yield

    for batches in region.rounds:
        yield from run.together(map(finish, batches))
    return [(member.stack, region.settled(number)) for number, member in enumerate(region.members)]


def _selected(kinds: Sequence[Restoration], before: Any, after: Mapping[Restoration, Any], run: Run) -> Any:
    """A stack of planes that are each restored in one way; what is before may be overwritten."""
    for kind, planes in after.items():
        before = run.select([one is kind for one in kinds], planes, before)
    return before


# ----------------------------------------------------------------------------------------- decoding in the encoder


def watch(
    groups: Sequence[Sequence[Work]], height: int, kinds: tuple[Restoration, ...], run: Run, whole: bool = False
) -> list[list[Region]]:
    """Rows of the stacks of a picture that decide on restoration: those of stacks that are restored together in a list.

    These are sampled rows on the CPU, all on the GPU or where it is asked; `kinds` may restore planes.
    """
    members = [Member(group[0].stack, [work.unit for work in group], group[0].coding, kinds) for group in groups]
    whole = whole or run.merges

    def watched(size: int) -> list[slice]:
        return [slice(0, size)] if whole else decide.sampled_rows(size)

    if not any(member.guided for member in members):
        return [[Region([member], [rows], run) for rows in watched(member.height)] for member in members]
    return [
        [
            Region(members, [member.stack.spec.rows_of(rows, height) for member in members], run)
            for rows in watched(height)
        ]
    ]


# Filters and clipping limits for a step, of chroma or not.
FilterSets = Callable[[int, bool], "tuple[np.ndarray, np.ndarray]"]

#: How to restore each plane of a stack, and what the decoder makes of it.
Restored = tuple[Stack, "list[Restoration]", Any]


def restorations(regions: list[Region], planes: Mapping[str, Any], run: Run) -> Task[list[Restored]]:
    """How to restore each plane of some stacks, and what the decoder makes of the last of the regions.

    Parameters
    ----------
    regions : list of Region
        The rows of the same stacks that decide; spent.
    planes : dict of str to array of int32, shape (P, H, W)
        What was coded, by the names of the stacks.
    run : Run
        Where to work.

    Returns
    -------
    list of (Stack, list of Restoration, array)
        Through the task: for every stack the choice for each plane, and rows.
    """
    members = regions[0].members
    chosen: dict[int, list[Restoration]] = {}
    square = run.kernels("restoration").squared_error
    # Rows that others are restored by, and those that are handed out.
    kept = regions if len(regions[0].rounds) > 1 else regions[-1:]

    def choose(numbers: Sequence[int]) -> Task[None]:
        kinds = members[numbers[0]].kinds
        everything = [range(len(members[number].stack.owners)) for number in numbers]
        errors = [
            run.zeros(f"{members[number].stack.name}errors", (1 + len(kinds), len(some)), np.int64)
            for number, some in zip(numbers, everything, strict=True)
        ]
        found = []
        for region in regions:
            before = [region.decoded(number) for number in numbers]
            after = {kind: region.restored(numbers, kind, everything, overwrite=False) for kind in kinds}
            for place, number in enumerate(numbers):
                rows, height = region.rows[number], members[number].height
                original = rows_of(planes[members[number].stack.name], rows)
                counted = decide.sampled(height) if rows == slice(0, height) else None
                tried = [before, *after.values()]
                for total, some in zip(errors[place], tried, strict=True):
                    square(region.wanted(number, some[place]), original, total, counted)
            if region in kept:
                found.append((region, before, after))
            else:
                region.drop(numbers)
        for place, number in enumerate(numbers):
            (sums,) = yield from run.fetch(f"{members[number].stack.name}errors", errors[place])
            chosen[number] = [_best(kinds, *plane) for plane in zip(*sums.tolist(), strict=True)]
            for region, before, restored in found:
                mine = {kind: made[place] for kind, made in restored.items()}
                region.settle(number, _selected(chosen[number], before[place], mine, run))

    for batches in regions[0].rounds:
        yield from run.together(map(choose, batches))
    last = regions[-1]
    return [(member.stack, chosen[number], last.settled(number)) for number, member in enumerate(members)]


def _best(kinds: Sequence[Restoration], before: int, *after: int) -> Restoration:
    """What restores a plane best, by the squared errors without and with each kind, if it pays at all."""
    least = min(after)
    return kinds[after.index(least)] if decide.restoration_pays(before, least) else Restoration.NONE
