"""Candidates of a search in the main profile: an image with its factors, never changed, and what others come of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..factorization import rdoq
from ..format.main_header import Restoration
from ..layout import Slice
from ..runtime.run import Task
from .alpha import NO_ALPHA, CodedAlpha
from .local import LocalMap
from .main import Coded, factorize, local_maps, plan, prepare_slice, works_of
from .restoring import Region, Restored, restorations, watch
from .slices import coder_of, encode_slice, helped
from .stacks import Analysis, PlaneChoices
from .synthesis import Coding, Work

__all__ = [
    "Candidate",
    "splice",
    "to_coded",
    "try_choices",
    "with_bytes",
    "with_lambda",
    "with_pixels",
    "with_restoration",
]


@dataclass(frozen=True)
class SliceCandidate:
    """A slice of a plane with its factors, in a search.

    Attributes
    ----------
    part : Slice
        Which rows of patches.
    factors : Factors
        U and V.
    last_choice : LastChoice or None
        What U can be chosen from again with another lambda, unless the slice is large.
    segment : Future of bytes or None
        The factors as bytes, once they are wanted.
    """

    part: Slice
    factors: rdoq.Factors
    last_choice: rdoq.LastChoice | None
    segment: Future[bytes] | None = None


@dataclass(frozen=True)
class PlaneCandidate:
    """A plane with its factors, in a search.

    Attributes
    ----------
    coding : Coding
        How it is coded.
    patch_size : int
        Side of its patches.
    slices : tuple of SliceCandidate
        Its slices.
    restoration : Restoration or None
        How it is restored; None where that is not decided yet.
    """

    coding: Coding
    patch_size: int
    slices: tuple[SliceCandidate, ...]
    restoration: Restoration | None = None


@dataclass(frozen=True)
class Candidate:
    """An image with its factors, in a search.

    Attributes
    ----------
    choices : Choices
        What was chosen.
    planes : tuple of PlaneCandidate
        Its planes in the order of the file.
    alpha : CodedAlpha
        Alpha but for its plane.
    local : LocalMap or None
        The steps of its patches, if they have any of their own.
    """

    choices: PlaneChoices
    planes: tuple[PlaneCandidate, ...]
    alpha: CodedAlpha
    local: LocalMap | None


def try_choices(analysis: Analysis, choices: PlaneChoices) -> Task[Candidate]:
    """planes -> X -> U, V for the only image; `with_bytes` and `with_pixels` go on from there."""
    groups = yield from plan(analysis, choices)

    def keep(
        work: Work, part: Slice, factors: list[rdoq.Factors], there: tuple[Any, Any], last: rdoq.LastChoice | None
    ) -> Task[list[SliceCandidate]]:
        return [SliceCandidate(part, each, last) for each in factors]
        yield

    slices = yield from factorize(analysis, groups, keep, keep=True)
    works = {owner: work for group in groups for work in group for owner in work.owners}
    planes = {
        index: PlaneCandidate(work.coding, work.unit.grid.patch_size, tuple(slices[0, index]))
        for (_, index), work in sorted(works.items(), key=lambda item: item[0])
    }
    sizes = tuple(planes[index].patch_size if index in planes else None for index in range(len(choices.patch_sizes)))
    alpha = choices.coded(analysis.alphas[0]) if analysis.alphas else NO_ALPHA
    made = choices.settled(sizes, alpha.coding.lossy)
    maps = yield from local_maps(analysis, choices)
    return Candidate(made, tuple(planes.values()), alpha, maps[0] if maps else None)


def with_lambda(analysis: Analysis, base: Candidate, lambda_scale: int) -> Task[Candidate]:
    """The same with another lambda of the last choice of U."""
    run = analysis.run

    def again(work: Work, old: SliceCandidate) -> Task[SliceCandidate]:
        unit, last, update = work.unit, old.last_choice, old.factors.basis_update
        if last is None:
            filtered = analysis.filtered(work.stack, work.planes, unit)
            last = prepare_slice(analysis, work, filtered, update, old.part)
        there = rdoq.choose_last(last, run, unit.name, lambda_scale, keep=True)
        (factors,) = yield from rdoq.download(*there, old.part.patches, update, run, unit.name)
        return SliceCandidate(old.part, factors, old.last_choice)

    jobs = [
        (work, old)
        for group in _groups_of(analysis, base)
        for work in group
        for _, index in work.owners
        for old in base.planes[index].slices
    ]
    new = iter((yield from run.together(again(*job) for job in jobs)))
    return _with_slices(replace(base, choices=base.choices.scaled(lambda_scale)), new, decided=False)


def splice(one: Candidate, other: Candidate, share: float) -> Candidate:
    """A share of the patches from the other of two candidates that differ in `lambda_scale`."""
    pairs = [
        (a, b)
        for first, second in zip(one.planes, other.planes, strict=True)
        for a, b in zip(first.slices, second.slices, strict=True)
    ]
    new = (SliceCandidate(a.part, rdoq.splice(a.factors, b.factors, share), None) for a, b in pairs)
    return _with_slices(one, new, decided=False)


def with_bytes(analysis: Analysis, old: Candidate) -> Task[Candidate]:
    """A candidate with the bytes of its slices."""
    run, coder = analysis.run, coder_of(old.choices.effort.coder, analysis.run)
    slices = [part for plane in old.planes for part in plane.slices]
    helps = helped(old.choices.effort.coder, analysis.frame, [plane.patch_size for plane in old.planes])
    companions = [
        old.planes[1].slices[number].factors if helps and index == 2 else None
        for index, plane in enumerate(old.planes)
        for number in range(len(plane.slices))
    ]

    def code(job: tuple[SliceCandidate, rdoq.Factors | None]) -> bytes:
        return encode_slice(job[0].factors, job[0].part, coder, analysis.parts, job[1])

    missing = [pair for pair in zip(slices, companions, strict=True) if pair[0].segment is None]
    made = iter(run.submit_all(code, missing))
    return _with_slices(old, (replace(s, segment=next(made)) if s.segment is None else s for s in slices), decided=True)
    yield


def _with_slices(old: Candidate, slices: Iterator[SliceCandidate], decided: bool) -> Candidate:
    """A candidate with other slices; a decision on restoration stands if it was made for their factors."""
    planes = [
        replace(
            plane,
            slices=tuple(itertools.islice(slices, len(plane.slices))),
            restoration=plane.restoration if decided else None,
        )
        for plane in old.planes
    ]
    return replace(old, planes=tuple(planes))


def with_pixels(analysis: Analysis, old: Candidate) -> Task[tuple[Candidate, np.ndarray]]:
    """A candidate with a decision on restoration, and what the decoder makes of it but for alpha."""
    found = yield from _resynthesize(analysis, old, whole=True)
    samples = yield from analysis.joined(old.choices.variant, [(stack, planes) for stack, _, planes in found])
    return _with_flags(old, found), samples


def with_restoration(analysis: Analysis, old: Candidate) -> Task[Candidate]:
    """A candidate with a decision on restoration."""
    if old.planes[0].restoration is not None:
        return old
    return _with_flags(old, (yield from _resynthesize(analysis, old)))


def _groups_of(analysis: Analysis, old: Candidate) -> list[list[Work]]:
    """The planes of a candidate, as `plan` has them."""
    found = []
    for stack, planes in analysis.planes(old.choices.variant, (0,) if old.alpha.coding.lossy else ()):
        sizes = [old.planes[index].patch_size for _, index in stack.owners]
        maps = [] if old.local is None else [old.local]
        found.append(works_of(stack, planes, old.choices, sizes, maps, analysis.run))
    return found


def _resynthesize(analysis: Analysis, old: Candidate, whole: bool = False) -> Task[list[Restored]]:
    """:func:`imfnb.profiles.restoring.restorations` of the stacks of a candidate, from its factors."""
    run, groups = analysis.run, _groups_of(analysis, old)
    originals = {group[0].stack.name: group[0].planes for group in groups}

    def restored(regions: list[Region]) -> Task[list[Restored]]:
        for region in regions:
            for group in groups:
                yield from _add(region, group, old)
        return (yield from restorations(regions, originals, run))

    found = yield from run.together(
        map(restored, watch(groups, analysis.frame.height, old.choices.effort.restorations, run, whole))
    )
    return [stack for some in found for stack in some]


def _add(region: Region, group: Sequence[Work], old: Candidate) -> Task[None]:
    """Bring the factors of a stack to a region."""
    for work in group:
        planes = [old.planes[index] for _, index in work.owners]
        for number, part in enumerate(work.unit.grid.slices):
            factors = [plane.slices[number].factors for plane in planes]
            yield from region.add(work.stack, work.unit, part, factors, None)


def _with_flags(old: Candidate, found: Sequence[Restored]) -> Candidate:
    """A candidate with what was decided for each plane of each stack."""
    chosen = {index: kind for stack, kinds, _ in found for (_, index), kind in zip(stack.owners, kinds, strict=True)}
    return replace(old, planes=tuple(replace(plane, restoration=chosen[i]) for i, plane in enumerate(old.planes)))


def to_coded(old: Candidate) -> Coded:
    """A candidate that has its bytes on its way to a file, whose length does not depend on restoration."""
    planes = tuple(
        plane.coding.of_plane(plane.patch_size, plane.restoration or Restoration.NONE) for plane in old.planes
    )
    segments = tuple(part.segment for plane in old.planes for part in plane.slices if part.segment is not None)
    return Coded(old.choices.subsample, planes, segments, old.alpha, old.local)
