"""The main profile, from image to bytes and back: rate-distortion IMF between a lapped and a restoration filter.

    image --color--> planes --lapped--> X --factorization.rdoq--> U, V --entropy--> bytes

and back. A plane is centred and has four fractional bits (q4). X ~ 2^-s U V^T, V is the DCT basis or near to it, U is
chosen by rate and distortion. Everything behind the entropy decoder is integer arithmetic: the pixels are the same on
every backend. `encode` and `decode` are tasks for any runner (`imfnb.runtime`): one image on threads of the CPU, or a
stack of equal-shaped images on the GPU. `search` meets targets, `decide` makes the encoder's choices.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..entropy import component_bytes, decode_basis_update, encode_basis_update
from ..errors import FormatError
from ..factorization import rdoq
from ..format.bytestream import Reader, put_varint
from ..format.constants import ALPHA_VALUES, PATCH_SIZES, STEP_UNIT
from ..format.container import Container, Frame, pack
from ..format.main_header import Parameters, PlaneParameters, decode_alpha, serialize
from ..layout import PatchGrid, PlaneSpec, Slice, main_planes, strips
from ..options import EncodeOptions
from ..runtime.run import Run, Task
from . import decide
from .synthesis import Products, Unit, rows_of, units
from .tuning import COMPACT_SAMPLES

__all__ = [
    "ALL_PARTS",
    "STACK_TARGETS",
    "Analysis",
    "Candidate",
    "Choices",
    "Parts",
    "analyse",
    "code",
    "decode_slice",
    "decode_stack",
    "describe",
    "encode_image",
    "encode_slice",
    "encode_stack",
    "first_choices",
    "join",
    "splice",
    "split",
    "stack_key",
    "to_file",
    "with_bytes",
    "with_pixels",
    "with_restoration",
]

#: Targets that a whole stack of images can be encoded for; the others need a search for each image.
STACK_TARGETS = ("quality", "step")

# Number of an image in the stack, and of a plane in it.
Owner = tuple[int, int]


@dataclass(frozen=True)
class Stack:
    """Planes of equal shape and kind.

    Attributes
    ----------
    spec : PlaneSpec
        What the first of them is; for the others only the number differs (and luma's stack may have alpha in it).
    owners : tuple of (int, int)
        Number of the image, and of the plane in it, of each.
    name : str
        Prefix of the names of their memory.
    """

    spec: PlaneSpec
    owners: tuple[Owner, ...]
    name: str

    def places(self, index: int) -> slice:
        """Where the planes of this number are."""
        found = [n for n, owner in enumerate(self.owners) if owner[1] == index]
        return slice(found[0], found[-1] + 1) if found else slice(0)


def stacks(frame: Frame, count: int, subsample: bool, alphas: Sequence[int], run: Run) -> list[Stack]:
    """The planes of `count` images as stacks; `alphas` are the images whose alpha is coded like a plane."""
    specs = main_planes(frame.height, frame.width, frame.channels, subsample, bool(alphas))
    members = {spec.index: [(b, spec.index) for b in (alphas if spec.kind == "alpha" else range(count))] for spec in specs}
    groups = [(0, 3), (1, 2)] if run.merges else [(spec.index,) for spec in specs]
    found = []
    for group in groups:
        owners = [owner for index in group for owner in members.get(index, ())]
        if owners:
            spec = specs[group[0]]
            found.append(Stack(spec, tuple(owners), f"{spec.kind} {spec.index if not run.merges else ''}{subsample} "))
    return found


@dataclass(frozen=True)
class Choices:
    """What an encoder chooses for a picture; None is still to be chosen.

    Attributes
    ----------
    step : int
        Step of luma in 1/64 gray level.
    subsample : bool
        Whether chroma has half the size.
    patch_sizes : tuple of (int or None)
        Side of the patches of planes 0 to 3.
    lambda_scale : int
        Lambda of the last choice of RDOQ in units of rdoq.LAMBDA_ONE.
    """

    step: int
    subsample: bool
    patch_sizes: tuple[int | None, ...]
    lambda_scale: int = rdoq.LAMBDA_ONE

    def plane_step(self, spec: PlaneSpec) -> int:
        """Step of a plane."""
        return decide.chroma_step(self.step, self.subsample) if spec.chroma else self.step


@dataclass(frozen=True)
class CodedSlice:
    """A slice of a plane with its factors, or its bytes, or both.

    Attributes
    ----------
    part : Slice
        Which rows of patches.
    factors : Factors or None
        U and V, where a search goes on with them.
    last_choice : LastChoice or None
        What U can be chosen from again with another lambda, unless the slice is large.
    segment : Future of bytes or None
        The same as bytes.
    """

    part: Slice
    factors: rdoq.Factors | None
    last_choice: rdoq.LastChoice | None
    segment: Future[bytes] | None


@dataclass(frozen=True)
class CodedPlane:
    """A plane with its factors.

    Attributes
    ----------
    step, patch_size : int
        Its step in 1/64 gray level, and the side of its patches.
    basis_update : ndarray of int32 or None
        How V of its large slices differs from the DCT basis.
    slices : tuple of CodedSlice
        Its slices.
    restore : bool or None
        Whether restoration is on; None where that is not decided yet.
    """

    step: int
    patch_size: int
    basis_update: np.ndarray | None
    slices: tuple[CodedSlice, ...]
    restore: bool | None = None


@dataclass(frozen=True)
class Candidate:
    """An image with its factors, on its way to a file.

    Attributes
    ----------
    choices : Choices
        What was chosen.
    planes : tuple of CodedPlane
        Its planes in the order of the file.
    alpha : bytes or None
        Alpha stored losslessly.
    """

    choices: Choices
    planes: tuple[CodedPlane, ...]
    alpha: bytes | None


@dataclass(frozen=True)
class Parts:
    """What a study may switch off (see `imfnb.evaluate.parts`); a file made so is read with the same parts only.

    Attributes
    ----------
    rdoq : Settings
        How U is chosen.
    adapt_basis : bool
        Whether V of large slices may leave the DCT basis.
    """

    rdoq: rdoq.Settings = rdoq.Settings()
    adapt_basis: bool = True

    def adapts(self, part: Slice) -> bool:
        """Whether a slice says how its V differs from the DCT basis."""
        return self.adapt_basis and part.adapts


ALL_PARTS = Parts()


@dataclass
class Analysis:
    """Equal-shaped images and all that does not depend on the step, made when it is first asked for.

    Attributes
    ----------
    images : array of uint8, shape (B, H, W, C)
        The images where the kernels read them.
    frame : Frame
        Their description.
    alphas : list of (bytes or None)
        Alpha of each as a segment, where it has few values.
    run : Run
        Where to work.
    parts : Parts
        What is switched on.
    """

    images: Any
    frame: Frame
    alphas: list[bytes | None]
    run: Run
    parts: Parts = ALL_PARTS
    _planes: dict[bool, list[tuple[Stack, Any]]] = field(default_factory=dict)
    _filtered: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def planes(self, subsample: bool) -> list[tuple[Stack, Any]]:
        """The planes to be coded lossily: stacks, and int32 (P, H, W) for each."""
        if subsample not in self._planes:
            lossy = [b for b, alpha in enumerate(self.alphas) if alpha is None and self.frame.channels == 4]
            found = stacks(self.frame, len(self.alphas), subsample, lossy, self.run)
            arrays = [self.run.array(s.name, (len(s.owners), *s.spec.shape), np.int32) for s in found]
            split(self.images, list(zip(found, arrays, strict=True)), self.run)
            if self.run.retains:  # samples are within +-2048; the copy halves the memory
                arrays = [a.astype(np.int16) if a.size > COMPACT_SAMPLES else a for a in arrays]
            self._planes[subsample] = list(zip(found, arrays, strict=True))
        return self._planes[subsample]

    def filtered(self, stack: Stack, planes: Any, unit: Unit) -> Any:
        """Planes of a stack behind the lapped filter, extended to whole patches; kept, if arrays are."""
        key = stack.owners, unit.grid
        if key in self._filtered:
            return self._filtered[key]
        run, shape = self.run, (len(unit.which), *unit.grid.extended)
        out = run.array(f"{unit.name}filtered", shape, np.int32)
        which = run.constant(f"{unit.name}which", np.array(unit.which, np.int32))
        run.kernels("lapped").forward(planes, unit.grid.patch_size, out, which)
        if run.retains:
            self._filtered[key] = out
        return out

    def strip(self, stack: Stack, planes: Any, patch_size: int, rows: slice) -> Any:
        """Rows of all planes of a stack behind the lapped filter, as if they were all."""
        grid = PatchGrid(stack.spec.shape, patch_size)
        everything = tuple(range(len(stack.owners)))
        if rows == slice(0, stack.spec.shape[0]) and self.run.retains:
            return self.filtered(stack, planes, Unit(grid, everything, stack.name))
        run, shape = self.run, PatchGrid((rows.stop - rows.start, grid.shape[1]), patch_size).extended
        out = run.array(f"{stack.name}{patch_size} strip", (len(everything), *shape), np.int32)
        which = run.constant(f"{stack.name}all", np.array(everything, np.int32))
        run.kernels("lapped").forward(planes, patch_size, out, which, rows)
        return out

    def forget(self, planes: bool = False) -> None:
        """Keep no filtered planes, and no others either if that is asked."""
        self._filtered.clear()
        if planes:
            self._planes.clear()


def analyse(images: Sequence[Any], frame: Frame, run: Run, parts: Parts = ALL_PARTS) -> Task[Analysis]:
    """Begin with images; those whose alpha has few values get it stored losslessly."""
    alphas: list[bytes | None] = [None] * len(images)
    if frame.channels == 4:
        channels = [(image if isinstance(image, np.ndarray) else image.copy_to_host())[:, :, 3] for image in images]
        alphas = yield from run.wait(run.submit_all(_pack_alpha, channels))
    return Analysis(run.upload("images", images), frame, alphas, run, parts)


def _pack_alpha(alpha: np.ndarray) -> bytes | None:
    """Alpha as its palette and deflated indices, or None if it has many values."""
    values, indices = np.unique(alpha, return_inverse=True)
    if len(values) > ALPHA_VALUES:
        return None
    packed = indices.astype(np.uint8).reshape(alpha.shape)
    return bytes([len(values)]) + values.tobytes() + zlib.compress(packed.tobytes(), 9)


# ------------------------------------------------------------------------------------------------- image <-> planes


def split(images: Any, target: Sequence[tuple[Stack, Any]], run: Run) -> None:
    """image -> planes: fill the stacks of planes of images (B, H, W, C)."""
    color, views = run.kernels("color"), _views(target)
    if 1 in views:
        color.rgb_to_q4(images, views[0], views[1], views[2])
    else:
        color.gray_to_q4(images, 0, views[0])
    for b, plane in _alphas(target):
        color.gray_to_q4(images[b : b + 1], 3, plane)


def join(source: Sequence[tuple[Stack, Any]], images: Any, run: Run, above: int = 0) -> None:
    """planes -> image: fill images (B, H, W, C); subsampled chroma may begin `above` rows of the image earlier."""
    color, views = run.kernels("color"), _views(source)
    if 1 in views:
        color.q4_to_rgb(views[0], views[1], views[2], images, above)
    else:
        color.q4_to_gray(views[0], images, 0)
    for b, plane in _alphas(source):
        color.q4_to_gray(plane, images[b : b + 1], 3)


def _views(source: Sequence[tuple[Stack, Any]]) -> dict[int, Any]:
    """The planes of every number but alpha's, of all images."""
    return {
        index: planes[stack.places(index)]
        for stack, planes in source
        for index in sorted({index for _, index in stack.owners} - {3})
    }


def _alphas(source: Sequence[tuple[Stack, Any]]) -> Iterator[tuple[int, Any]]:
    """Number of the image and plane (1, H, W) of every alpha."""
    for stack, planes in source:
        for n, (b, index) in enumerate(stack.owners):
            if index == 3:
                yield b, planes[n : n + 1]


# --------------------------------------------------------------------------------------------------------- encoding


def encode_stack(
    images: Sequence[Any], frame: Frame, options: EncodeOptions, run: Run, parts: Parts = ALL_PARTS
) -> Task[list[Future[bytes]]]:
    """Encode equal-shaped images for a quality or a step; the entropy coder may still be at work at the end."""
    analysis = yield from analyse(images, frame, run, parts)
    choices = first_choices(options, frame, decide.fixed_step(*options.target))
    candidates = yield from code(analysis, choices)
    return [run.submit(to_file, candidate, frame) for candidate in candidates]


def encode_image(
    image: Any, frame: Frame, options: EncodeOptions, run: Run, parts: Parts = ALL_PARTS
) -> bytes:
    """Encode one image for any target."""
    if options.target[0] in STACK_TARGETS:
        (file,) = run.drive(encode_stack([image], frame, options, run, parts))
        return file.result()
    from .search import search

    return search(image, frame, options, run, parts)


def first_choices(options: EncodeOptions, frame: Frame, step: int) -> Choices:
    """What the options and a step of luma leave to choose."""
    size = None if options.patch_size == "auto" else options.patch_size
    return Choices(step, decide.subsamples(options.subsampling, frame.channels, step), (size,) * 4)


@dataclass(frozen=True)
class _Work:
    """A unit of a stack with what it is coded with."""

    stack: Stack
    planes: Any
    step: int
    unit: Unit

    @property
    def owners(self) -> list[Owner]:
        return [self.stack.owners[n] for n in self.unit.which]


# Rows of a stack that decide on its restoration, and what becomes of them.
_Watched = list[tuple[slice, Products]]


def code(
    analysis: Analysis, choices: Choices, keep: bool = False, base: Candidate | None = None
) -> Task[list[Candidate]]:
    """planes -> X -> U, V -> bytes.

    Parameters
    ----------
    analysis : Analysis
        The images.
    choices : Choices
        What is chosen already.
    keep : bool
        Whether a search goes on with the candidates: they have their factors, but neither bytes nor a decision on
        restoration. Otherwise factors are given up as soon as they are coded.
    base : Candidate, optional
        A candidate of the only image that differs from what is wanted in nothing but `lambda_scale`.

    Returns
    -------
    list of Candidate
        One for each image.
    """
    run, sources = analysis.run, analysis.planes(choices.subsample)
    steps = [choices.plane_step(stack.spec) for stack, _ in sources]
    sizes = yield from run.together(
        _patch_sizes(analysis, *source, step, choices) for source, step in zip(sources, steps, strict=True)
    )
    groups = [
        [_Work(*source, step, unit) for unit in units(source[0].spec.shape, size, source[0].name, run)]
        for source, step, size in zip(sources, steps, sizes, strict=True)
    ]
    watched: list[_Watched] = [[] if keep else _watch(group, run) for group in groups]
    beside = {work.stack: part for group, part in zip(groups, watched, strict=True) for work in group}
    slices: dict[Owner, list[CodedSlice]] = {}
    updates: dict[Owner, np.ndarray | None] = {}
    # On the GPU one unit after the other, which use the same memory; on the CPU all at once, on its threads.
    works = [work for group in groups for work in group]
    for batch in [[work] for work in works] if run.merges else [works]:
        ready = yield from run.together(_prepare(analysis, work, base) for work in batch)
        jobs = [(work, *made, part) for work, made in zip(batch, ready, strict=True) for part in work.unit.grid.slices]
        del ready
        coded = yield from run.together(
            _code_slice(analysis, *job, choices.lambda_scale, keep, base, beside[job[0].stack]) for job in jobs
        )
        for (work, _, update, _), parts in zip(jobs, coded, strict=True):
            for owner, part in zip(work.owners, parts, strict=True):
                slices.setdefault(owner, []).append(part)
                updates[owner] = update
        del jobs
    flags: list[list[bool] | None] = [None] * len(groups)
    if not keep:
        analysis.forget()
        flags = yield from run.together(
            _restoration(*group, part, run) for group, part in zip(sources, watched, strict=True)
        )
    planes = {
        owner: CodedPlane(step, size[n], updates[owner], tuple(slices[owner]), None if restore is None else restore[n])
        for (stack, _), step, size, restore in zip(sources, steps, sizes, flags, strict=True)
        for n, owner in enumerate(stack.owners)
    }
    return [_candidate(choices, b, planes, alpha) for b, alpha in enumerate(analysis.alphas)]


def _candidate(choices: Choices, image: int, planes: dict[Owner, CodedPlane], alpha: bytes | None) -> Candidate:
    """What was found for one image."""
    mine = {index: plane for (b, index), plane in planes.items() if b == image}
    sizes = tuple(mine[index].patch_size if index in mine else None for index in range(4))
    return Candidate(replace(choices, patch_sizes=sizes), tuple(mine[index] for index in sorted(mine)), alpha)


def _patch_sizes(analysis: Analysis, stack: Stack, planes: Any, step: int, choices: Choices) -> Task[list[int]]:
    """The side of the patches of every plane of a stack: as chosen, or what is likely to cost least."""
    run = analysis.run
    wishes = [choices.patch_sizes[index] or decide.known_patch_size(step) for _, index in stack.owners]
    if None not in wishes:
        return wishes
    costs = run.zeros(f"{stack.name}costs", (len(PATCH_SIZES), len(wishes)), np.int64)
    for total, p in zip(costs, PATCH_SIZES, strict=True):
        for rows in decide.estimated_rows(stack.spec.shape):
            run.kernels("factorization.rdoq").proxy(analysis.strip(stack, planes, p, rows), p, step, total)
    (found,) = yield from run.fetch(f"{stack.name}costs", costs)
    short, long = found.tolist()
    return [wish or (16 if decide.long_patches_pay(*pair) else 8) for wish, *pair in zip(wishes, short, long, strict=True)]


def _prepare(analysis: Analysis, work: _Work, base: Candidate | None) -> Task[tuple[Any, np.ndarray | None]]:
    """The filtered planes of a unit, and how V of their large slices differs from the DCT basis."""
    run, unit = analysis.run, work.unit
    filtered = analysis.filtered(work.stack, work.planes, unit)
    if base is not None:
        return filtered, base.planes[work.owners[0][1]].basis_update
    height, width = filtered.shape[1:]
    searched = decide.searched_rows((height, width)) if analysis.parts.adapt_basis else []
    if not searched:
        return filtered, None
    plane = filtered.reshape(height, width)
    sample = yield from run.gather(f"{unit.name}sample", [plane[rows] for rows in searched])
    # V serves all of a slice, and every slice has its bits.
    weight = max(1, height // len(sample) // len(unit.grid.slices))
    numbers = work.step, unit.grid.patch_size, run.host, weight, analysis.parts.rdoq
    search = run.submit(rdoq.find_basis_update, sample, *numbers)
    (update,) = yield from run.wait([search])
    return filtered, update


def _code_slice(
    analysis: Analysis,
    work: _Work,
    filtered: Any,
    update: np.ndarray | None,
    part: Slice,
    lambda_scale: int,
    keep: bool,
    base: Candidate | None,
    watched: _Watched,
) -> Task[list[CodedSlice]]:
    """X -> U, V -> bytes for a slice of the planes of a unit, of which `watched` gets the product."""
    run, unit, adapts = analysis.run, work.unit, analysis.parts.adapts(part)
    update = update if adapts else None
    last = None
    if base is not None:
        last = base.planes[work.owners[0][1]].slices[unit.grid.slices.index(part)].last_choice
    if last is None:
        rows = rows_of(filtered, part.samples)
        last = rdoq.prepare(rows, work.step, unit.grid.patch_size, run, unit.name, update, analysis.parts.rdoq)
    again = keep and run.retains and not adapts
    there = rdoq.choose_last(last, run, unit.name, lambda_scale, again)
    last = last if again else None  # larger than the slice
    factors = yield from rdoq.download(*there, part.patches, update, run, unit.name)
    if keep:
        return [CodedSlice(part, each, last, None) for each in factors]
    coder = run.host_kernels("entropy")
    segments = [run.submit(encode_slice, each, part, coder, analysis.parts) for each in factors]
    for _, products in watched:
        yield from products.add(unit, part, factors, there)
    return [CodedSlice(part, None, None, segment) for segment in segments]


# ------------------------------------------------------------------------------------------ decoding in the encoder


def _watch(group: Sequence[_Work], run: Run, whole: bool = False) -> _Watched:
    """Rows of a stack that decide on its restoration: sampled ones on the CPU, all on the GPU or where that is asked."""
    height = group[0].stack.spec.shape[0]
    rows = [slice(0, height)] if whole or run.merges else decide.sampled_rows(height)
    return [(part, _products(group, part, run)) for part in rows]


def _products(group: Sequence[_Work], rows: slice, run: Run) -> Products:
    stack = group[0].stack
    return Products([work.unit for work in group], rows, group[0].step, stack.spec.chroma, stack.name, run)


def _restoration(stack: Stack, planes: Any, watched: _Watched, run: Run) -> Task[list[bool]]:
    """Whether to restore each plane of a stack."""
    flags, _ = yield from _decoded(stack, planes, watched, run)
    return flags


def _decoded(stack: Stack, planes: Any, watched: _Watched, run: Run) -> Task[tuple[list[bool], Any]]:
    """Whether to restore each plane of a stack, and what the decoder makes of the last of the rows that were watched."""
    count, height = len(stack.owners), stack.spec.shape[0]
    error = run.kernels("restoration").squared_error
    sums = run.zeros(f"{stack.name}errors", (2, count), np.int64)
    decoded = restored = None
    while watched:
        rows, products = watched.pop()
        samples = products.samples()
        del products
        decoded, restored = samples.decoded, samples.restored(range(count), False)
        counted = decide.sampled(height) if rows == slice(0, height) else None
        for total, found in zip(sums, (decoded, restored), strict=True):
            error(found, rows_of(planes, rows), total, counted)
    (found,) = yield from run.fetch(f"{stack.name}errors", sums)
    flags = [decide.restoration_pays(*pair) for pair in zip(*found.tolist(), strict=True)]
    return flags, run.select(flags, restored, decoded)


def _groups_of(analysis: Analysis, candidate: Candidate) -> list[list[_Work]]:
    """The planes of a candidate of the only image, as `code` went through them."""
    found = []
    for stack, planes in analysis.planes(candidate.choices.subsample):
        mine = [candidate.planes[index] for _, index in stack.owners]
        parts = units(stack.spec.shape, [plane.patch_size for plane in mine], stack.name, analysis.run)
        found.append([_Work(stack, planes, mine[0].step, unit) for unit in parts])
    return found


def _multiply(group: Sequence[_Work], candidate: Candidate, watched: _Watched) -> Task[None]:
    """Fill the rows that are watched from the factors of a candidate."""
    for _, products in watched:
        for work in group:
            planes = [candidate.planes[index] for _, index in work.owners]
            for number, part in enumerate(work.unit.grid.slices):
                yield from products.add(work.unit, part, [plane.slices[number].factors for plane in planes], None)


def with_pixels(analysis: Analysis, candidate: Candidate) -> Task[tuple[Candidate, np.ndarray]]:
    """A candidate of the only image with a decision on restoration, and what the decoder makes of it but for alpha."""
    run, groups = analysis.run, _groups_of(analysis, candidate)

    def stack(group: Sequence[_Work]) -> Task[tuple[list[bool], Any]]:
        watched = _watch(group, run, whole=True)
        yield from _multiply(group, candidate, watched)
        return (yield from _decoded(group[0].stack, group[0].planes, watched, run))

    found = yield from run.together(map(stack, groups))
    out = run.array("pixels", analysis.images.shape, np.uint8)
    join([(group[0].stack, planes) for group, (_, planes) in zip(groups, found, strict=True)], out, run)
    (pixels,) = yield from run.fetch("pixels", out)
    return _with_flags(candidate, groups, [flags for flags, _ in found]), pixels[0]


def with_restoration(analysis: Analysis, candidate: Candidate) -> Task[Candidate]:
    """A candidate of the only image with a decision on restoration."""
    if candidate.planes[0].restore is not None:
        return candidate
    run, groups = analysis.run, _groups_of(analysis, candidate)

    def stack(group: Sequence[_Work]) -> Task[list[bool]]:
        watched = _watch(group, run)
        yield from _multiply(group, candidate, watched)
        return (yield from _restoration(group[0].stack, group[0].planes, watched, run))

    flags = yield from run.together(map(stack, groups))
    return _with_flags(candidate, groups, flags)


def _with_flags(candidate: Candidate, groups: Sequence[Sequence[_Work]], flags: Sequence[Sequence[bool]]) -> Candidate:
    """A candidate with what was decided for each plane of each stack."""
    by_owner = {
        owner: flag for group, some in zip(groups, flags, strict=True) for owner, flag in zip(group[0].stack.owners, some)
    }
    restore = [by_owner[owner] for owner in sorted(by_owner)]
    planes = tuple(replace(plane, restore=flag) for plane, flag in zip(candidate.planes, restore, strict=True))
    return replace(candidate, planes=planes)


def with_bytes(analysis: Analysis, candidate: Candidate) -> Task[Candidate]:
    """A candidate with the bytes of its slices."""
    run = analysis.run
    coder = run.host_kernels("entropy")
    missing = [part for plane in candidate.planes for part in plane.slices if part.segment is None]
    made = iter(run.submit_all(lambda part: encode_slice(part.factors, part.part, coder, analysis.parts), missing))
    planes = tuple(
        replace(plane, slices=tuple(replace(s, segment=next(made)) if s.segment is None else s for s in plane.slices))
        for plane in candidate.planes
    )
    return replace(candidate, planes=planes)
    yield


def splice(one: Candidate, other: Candidate, share: float) -> Candidate:
    """A share of the patches from the other of two candidates that differ in `lambda_scale`."""
    planes = []
    for first, second in zip(one.planes, other.planes, strict=True):
        slices = tuple(
            CodedSlice(a.part, rdoq.splice(a.factors, b.factors, share), None, None)
            for a, b in zip(first.slices, second.slices, strict=True)
        )
        planes.append(replace(first, slices=slices, restore=None))
    return replace(one, planes=tuple(planes))


# ------------------------------------------------------------------------------------------------ factors <-> bytes


def encode_slice(factors: rdoq.Factors, part: Slice, coder: Any, parts: Parts = ALL_PARTS) -> bytes:
    """One segment: V where it may leave the DCT basis, then U."""
    p = part.grid.patch_size
    coded = coder.encode_factors(factors.padded, factors.ranks, *factors.grid, p)
    if not parts.adapts(part):
        return coded
    update = b"" if factors.basis_update is None else encode_basis_update(factors.basis_update, p)
    out = bytearray()
    put_varint(out, len(update))
    return bytes(out) + update + coded


def decode_slice(
    segment: Reader, part: Slice, max_rank: int | None, coder: Any, parts: Parts = ALL_PARTS
) -> rdoq.Factors:
    """The inverse of :func:`encode_slice`."""
    update = _read_update(segment, part, parts)
    data = bytes(segment.take(segment.left))
    padded, ranks, overrun = coder.decode_factors(data, *part.patches, part.grid.patch_size, max_rank)
    if overrun:
        raise FormatError("damaged factors: the coded data end too early; the file is corrupt")
    return rdoq.Factors(padded, ranks, part.patches, update)


def _read_update(segment: Reader, part: Slice, parts: Parts) -> np.ndarray | None:
    """How V differs from the DCT basis in a slice, None where it does not."""
    if not parts.adapts(part):
        return None
    data = bytes(segment.take(segment.varint()))
    return decode_basis_update(data, part.grid.patch_size) if data else None


def to_file(candidate: Candidate, frame: Frame) -> bytes:
    """The file of a candidate that has its bytes; its length does not depend on the decision on restoration."""
    segments = [part.segment.result() for plane in candidate.planes for part in plane.slices]
    planes = tuple(PlaneParameters(plane.step, plane.patch_size, bool(plane.restore)) for plane in candidate.planes)
    parameters = Parameters(candidate.choices.subsample, planes, candidate.alpha is not None)
    if candidate.alpha is not None:
        segments.append(candidate.alpha)
    return pack(frame, serialize(parameters, frame), segments)


# --------------------------------------------------------------------------------------------------------- decoding


def stack_key(container: Container) -> tuple[Any, ...]:
    """What files must have in common to be decoded together; patch sizes and restoration may differ."""
    p = container.parameters
    return container.frame, p.subsample, tuple(plane.step for plane in p.planes)


def decode_stack(
    containers: Sequence[Container], outs: Sequence[Any], max_rank: int | None, run: Run, parts: Parts = ALL_PARTS
) -> Task[None]:
    """bytes -> U, V -> X -> planes -> image, for files of one :func:`stack_key`.

    Parameters
    ----------
    containers : sequence of Container
        The files.
    outs : sequence of array of uint8, shape (H, W, C), C-contiguous
        Receive the images.
    max_rank : int or None
        Use only the first components of every plane.
    run : Run
        Where to work; on the CPU there is one file.
    parts : Parts
        What the files were made with.

    Raises
    ------
    FormatError
        If a segment is damaged.
    """
    frame, first = containers[0].frame, containers[0].parameters
    count, whole = len(containers), slice(0, frame.height)
    lossy = range(count) if len(first.planes) == 4 else ()
    groups, items = [], []
    for stack in stacks(frame, count, first.subsample, lossy, run):
        codings = [containers[b].parameters.planes[index] for b, index in stack.owners]
        parts_of = units(stack.spec.shape, [coding.patch_size for coding in codings], stack.name, run)
        groups.append((stack, codings, parts_of))
        items += [
            (stack.owners[n], part) for unit in parts_of for part in unit.grid.slices for n in unit.which
        ]
    coder = run.host_kernels("entropy")

    def decode_item(item: tuple[Owner, Slice]) -> rdoq.Factors:
        (b, index), part = item
        return decode_slice(_segment(containers[b], index, part), part, max_rank, coder, parts)

    alphas = run.submit_all(_lossless_alpha, containers) if first.lossless_alpha else []
    factors = dict(zip(items, run.submit_all(decode_item, items), strict=True))
    images = run.canvas(outs, (count, frame.height, frame.width, max(1, frame.channels)))

    def region(rows: slice) -> Task[None]:
        joined = []
        above = 0
        for stack, codings, mine in groups:
            inner = stack.spec.rows_of(rows, frame.height)
            above = max(above, stack.spec.above(rows))
            products = Products(mine, inner, codings[0].step, stack.spec.chroma, stack.name, run)
            for unit in mine:
                for part in unit.grid.slices:
                    found = yield from run.wait([factors[stack.owners[n], part] for n in unit.which])
                    yield from products.add(unit, part, found, None)
            samples = products.samples()
            flagged = [n for n, coding in enumerate(codings) if coding.restore]
            joined.append((stack, samples.restored(flagged, True) if flagged else samples.decoded))
        join(joined, images if rows == whole else images[:, rows], run, above)

    regions = [whole] if run.merges else strips(frame.height, frame.width, run.threads)
    yield from run.together(map(region, regions))
    if alphas:
        found = yield from run.wait(alphas)
        run.kernels("color").put_channel(run.upload("alpha", found), 3, images)
    yield from run.deliver(images, outs)


def _segment(container: Container, index: int, part: Slice) -> Reader:
    """The segment of a slice of a plane."""
    grids = container.parameters.grids(container.frame)
    return container.segment(sum(len(grid.slices) for grid in grids[:index]) + grids[index].slices.index(part))


def _lossless_alpha(container: Container) -> np.ndarray:
    """The alpha of a file that stores it as it is, in its last segment."""
    alpha = np.empty((container.frame.height, container.frame.width), np.uint8)
    decode_alpha(container.segment(len(container.sizes) - 1), alpha)
    return alpha


def describe(container: Container) -> dict[str, object]:
    """The profile's part of :func:`imfnb.info`."""
    frame, p = container.frame, container.parameters
    names = ["gray"] if frame.channels < 3 else ["Y", "Cb", "Cr", "alpha"]
    segments, components, ranks, adapted, number = {}, {}, [], [], 0
    for name, grid in zip(names, p.grids(frame), strict=False):
        count = len(grid.slices)
        segments[name] = sum(container.sizes[number : number + count])
        total, free, rank = np.zeros(grid.patch_size**2 + 1, np.int64), 0, 1
        for part in grid.slices:
            segment = container.segment(number)
            _read_update(segment, part, ALL_PARTS)
            total[0] += segment.position
            free += segment.position > 1
            data = bytes(segment.take(segment.left))
            rank = max(rank, data[0] + 1 if data else 1)  # a segment begins with its largest rank
            total += component_bytes(data, *part.patches, grid.patch_size)
            number += 1
        last = int(np.flatnonzero(total)[-1]) + 1 if total.any() else 1
        components[name] = total[:last].tolist()
        ranks.append(rank)
        adapted.append(free)
    if p.lossless_alpha:
        segments["alpha"] = container.sizes[-1]
    return {
        "color_space": "YCbCr" if frame.channels >= 3 else "gray",
        "subsampling": "4:2:0" if p.subsample else "4:4:4",
        "steps": tuple(plane.step / STEP_UNIT for plane in p.planes),
        "patch_sizes": tuple(plane.patch_size for plane in p.planes),
        "restoration": tuple(plane.restore for plane in p.planes),
        "segments": segments,
        "ranks": tuple(ranks),
        "free_v": tuple(adapted),
        "components": components,
    }
