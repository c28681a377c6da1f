"""The main profile, from image to bytes and back: rate-distortion IMF between a lapped and a restoration filter.

    image --color--> planes --lapped--> X --factorization.rdoq--> U, V --entropy--> bytes

and back. A plane is centred and has four fractional bits (q4). X ~ 2^-s U V^T, V is the DCT basis or near to it, U is
chosen by rate and distortion. Everything behind the entropy decoder is integer arithmetic: the pixels are the same on
every backend. `encode` and `decode` are tasks for any runner (`imfnb.runtime`): one image on threads of the CPU, or a
stack of equal-shaped images on the GPU. `search` meets targets, `decide` makes the encoder's choices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from ..entropy import component_bytes
from ..factorization import rdoq
from ..format.basis import PLAIN, Weighting
from ..format.bytestream import Reader
from ..format.constants import PATCH_SIZES
from ..format.container import Container, Frame, pack
from ..format.main_header import AlphaCoding, Parameters, PlaneParameters, Restoration, serialize
from ..layout import PatchGrid, PlaneSpec, Slice, half, strips
from ..options import EncodeOptions
from ..runtime.run import HostRun, Run, Task
from . import decide
from .alpha import NO_ALPHA, Alpha, CodedAlpha, put_alpha, stored_alpha
from .device_slices import DeviceSlices, decode_on_device, decodes_on_device
from .local import LocalMap, read_map, with_local
from .resolution import subsampled
from .restoring import RESTORATIONS, Member, Region, restorations, restored_planes, watch
from .slices import coder_of, decode_slice, encode_slice, helped, read_update, reduced
from .stacks import ALL_PARTS, Analysis, Owner, Parts, PlaneChoices, Stack, analyse, join, stacks
from .synthesis import Coding, Unit, Work, rows_of, units
from .tuning import EFFORTS, NORMAL, TUNES, Effort, Tune

__all__ = [
    "STACK_TARGETS",
    "Choices",
    "Coded",
    "CodedPlanes",
    "bytes_of_components",
    "coded_planes",
    "components",
    "decode_stack",
    "encode_image",
    "encode_planes",
    "encode_stack",
    "excess",
    "factorize",
    "first_choices",
    "local_maps",
    "plan",
    "prepare_slice",
    "reconstruct",
    "stack_key",
    "to_file",
    "works_of",
]

_T = TypeVar("_T")

#: Targets that a whole stack of images can be encoded for; the others need a search for each image.
STACK_TARGETS = ("quality", "step")


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
    tune : Tune
        What errors are to be small for.
    alpha_quality : float or "lossless" or None
        The option: what the step of alpha follows from.
    lossy_alpha : bool or None
        Whether there is a plane of alpha, where it has samples between 0 and 255.
    lambda_scale : int
        Lambda of the last choice of RDOQ in units of rdoq.LAMBDA_ONE.
    effort : Effort
        What the file may cost.
    """

    step: int
    subsample: bool
    patch_sizes: tuple[int | None, ...]
    tune: Tune
    alpha_quality: float | str | None = None
    lossy_alpha: bool | None = None
    lambda_scale: int = rdoq.LAMBDA_ONE
    effort: Effort = NORMAL

    @property
    def variant(self) -> int:
        """Which planes of the image are coded."""
        return int(self.subsample)

    @property
    def alpha_step(self) -> int:
        """Step of alpha."""
        return decide.alpha_step(self.alpha_quality, self.step, self.tune)

    def plane_step(self, spec: PlaneSpec) -> int:
        """Step of a plane."""
        if spec.kind == "alpha":
            return self.alpha_step
        return decide.chroma_step(self.step, self.subsample, self.tune) if spec.chroma else self.step

    def weighting(self, spec: PlaneSpec) -> Weighting:
        """Weights of the columns of V of a plane."""
        return PLAIN if spec.kind == "alpha" else self.tune.chroma if spec.chroma else self.tune.luma

    @property
    def local_bits(self) -> int | None:
        """Binary logarithm of the side of blocks with steps of their own; None without."""
        return decide.local_bits(self.step) if self.tune.local else None

    def settled(self, patch_sizes: tuple[int | None, ...], lossy_alpha: bool) -> Choices:
        """The same with what was still to be chosen."""
        return replace(self, patch_sizes=patch_sizes, lossy_alpha=lossy_alpha)

    def scaled(self, lambda_scale: int) -> Choices:
        """The same with another lambda."""
        return replace(self, lambda_scale=lambda_scale)

    def coded(self, alpha: Alpha) -> CodedAlpha:
        """What becomes of the alpha of an image."""
        return alpha.coded(self.alpha_step, self.lossy_alpha)


@dataclass(frozen=True)
class Coded:
    """An image as bytes, on its way to a file.

    Attributes
    ----------
    subsample : bool
        Whether chroma has half the size.
    planes : tuple of PlaneParameters
        How its planes are coded.
    segments : tuple of Future of bytes
        Their slices, in the order of the file.
    alpha : CodedAlpha
        Alpha but for its plane.
    local : LocalMap or None
        The steps of its patches, if they have any of their own.
    """

    subsample: bool
    planes: tuple[PlaneParameters, ...]
    segments: tuple[Future[bytes], ...]
    alpha: CodedAlpha
    local: LocalMap | None


# --------------------------------------------------------------------------------------------------------- encoding


def encode_image(image: Any, frame: Frame, options: EncodeOptions, run: Run, parts: Parts = ALL_PARTS) -> bytes:
    """Encode one image for any target."""
    if options.target[0] in STACK_TARGETS:
        (file,) = run.drive(encode_stack([image], frame, options, run, parts))
        return file.result()
    from .search import search

    return search(image, frame, options, run, parts)


def encode_stack(
    images: Sequence[Any], frame: Frame, options: EncodeOptions, run: Run, parts: Parts = ALL_PARTS
) -> Task[list[Future[bytes]]]:
    """image -> planes -> X -> U, V -> bytes, for equal-shaped images and a quality or a step.

    Large planes pass through: of their factors only bytes are left, and rows that decide on restoration. The entropy
    coder may still be at work at the end.
    """
    analysis = yield from analyse(images, frame, run, parts, options.keep_hidden)
    tune = TUNES[options.tuned]
    step = decide.step_for(*options.target, tune)
    halves = yield from subsampled(analysis, options.subsampling, step, tune)
    if len(set(halves)) > 1:
        return (yield from _encode_by_resolution(images, halves, frame, options, run, parts))
    choices = first_choices(options, halves[0], step)
    maps = yield from local_maps(analysis, choices)
    planes, segments = yield from encode_planes(analysis, choices)
    coded = []
    for image in range(len(images)):
        mine = sorted(owner for owner in planes if owner[0] == image)
        parts_of = tuple(segment for owner in mine for segment in segments[owner])
        alpha = choices.coded(analysis.alphas[image]) if analysis.alphas else NO_ALPHA
        of_planes = tuple(planes[owner] for owner in mine)
        coded.append(Coded(choices.subsample, of_planes, parts_of, alpha, maps[image] if maps else None))
    return [run.submit(to_file, each, frame) for each in coded]


def encode_planes(
    analysis: Analysis, choices: PlaneChoices
) -> Task[tuple[dict[Owner, PlaneParameters], dict[Owner, list[Future[bytes]]]]]:
    """planes -> X -> U, V -> bytes: how every plane is coded, and the segments of its slices."""
    run, parts = analysis.run, analysis.parts
    groups = yield from plan(analysis, choices)
    watched = watch(groups, analysis.frame.height, choices.effort.restorations, run)
    coder = coder_of(choices.effort.coder, run)

    sizes: dict[int, dict[int, int]] = {}
    for work in (work for group in groups for work in group):
        for image, index in work.owners:
            sizes.setdefault(image, {})[index] = work.unit.grid.patch_size
    pairs = {image for image in sizes if helped(choices.effort.coder, analysis.frame, sizes[image])}
    # Factors of Cb and Cr until both are there: Cr is coded last, and its bytes have an empty place meanwhile.
    kept: dict[tuple[Owner, Slice], rdoq.Factors] = {}

    def code(
        work: Work, part: Slice, factors: list[rdoq.Factors], there: tuple[Any, Any], last: rdoq.LastChoice | None
    ) -> Task[list[Future[bytes]]]:
        segments = []
        for owner, each in zip(work.owners, factors, strict=True):
            if owner[0] in pairs and owner[1] in (1, 2):
                kept[owner, part] = each
            waits = owner[0] in pairs and owner[1] == 2
            segments.append(Future() if waits else run.submit(encode_slice, each, part, coder, parts))
        for regions in watched:
            for region in regions:
                yield from region.add(work.stack, work.unit, part, factors, there)
        return segments

    segments = yield from factorize(analysis, groups, code)
    analysis.forget()
    for (image, index), part in list(kept):
        if index == 2:
            numbers = kept.pop(((image, 2), part)), part, coder, parts, kept.pop(((image, 1), part))
            segments[image, 2][part.grid.slices.index(part)] = run.submit(encode_slice, *numbers)
    originals = {group[0].stack.name: group[0].planes for group in groups}
    chosen = yield from run.together(restorations(regions, originals, run) for regions in watched)
    restored = {stack.name: kinds for some in chosen for stack, kinds, _ in some}
    planes = {
        owner: work.coding.of_plane(work.unit.grid.patch_size, restored[work.stack.name][n])
        for group in groups
        for work in group
        for n, owner in zip(work.unit.which, work.owners, strict=True)
    }
    return planes, segments


def _encode_by_resolution(
    images: Sequence[Any], halves: Sequence[bool], frame: Frame, options: EncodeOptions, run: Run, parts: Parts
) -> Task[list[Future[bytes]]]:
    """`encode_stack` of images that differ in chroma's resolution, whose planes cannot share a stack."""
    files: dict[int, Future[bytes]] = {}
    for subsample in (True, False):
        mine = [number for number, choice in enumerate(halves) if choice == subsample]
        wish = replace(options, subsampling="4:2:0" if subsample else "4:4:4")
        coded = yield from encode_stack([images[number] for number in mine], frame, wish, run, parts)
        files.update(zip(mine, coded, strict=True))
    return [files[number] for number in range(len(images))]


def first_choices(options: EncodeOptions, subsample: bool, step: int) -> Choices:
    """What the options, the resolution of chroma and a step of luma leave to choose."""
    size = None if options.patch_size == "auto" else options.patch_size
    quality = options.alpha_quality
    numbers = TUNES[options.tuned], quality, decide.lossy_alpha(quality)
    return Choices(step, subsample, (size,) * 4, *numbers, effort=EFFORTS[options.effort])


def plan(analysis: Analysis, choices: PlaneChoices) -> Task[list[list[Work]]]:
    """What there is to do: for every stack its units, with the side of the patches of each plane chosen."""
    lossy = tuple(b for b, alpha in enumerate(analysis.alphas) if choices.coded(alpha).coding.lossy)
    run, sources = analysis.run, analysis.planes(choices.variant, lossy)
    steps = [choices.plane_step(stack.spec) for stack, _ in sources]
    sizes = yield from run.together(
        _patch_sizes(analysis, *source, step, choices) for source, step in zip(sources, steps, strict=True)
    )
    maps = yield from local_maps(analysis, choices)
    return [
        works_of(stack, planes, choices, size, maps, run) for (stack, planes), size in zip(sources, sizes, strict=True)
    ]


def local_maps(analysis: Analysis, choices: PlaneChoices) -> Task[list[LocalMap]]:
    """The steps of patches of every image; none where all are that of the plane."""
    if choices.local_bits is None:
        return []
    return (yield from analysis.maps(choices.subsample, choices.local_bits))


def works_of(
    stack: Stack, planes: Any, choices: PlaneChoices, sizes: Sequence[int], maps: Sequence[LocalMap], run: Run
) -> list[Work]:
    """What there is to do for a stack, given the side of the patches of each plane."""
    parts = units(stack.spec.shape, sizes, stack.name, run)
    if maps and stack.spec.kind != "alpha":
        symbols = [maps[b].symbols for b, _ in stack.owners]
        parts = with_local(parts, stack.spec, symbols, maps[0].bits, run)
    coding = Coding(choices.plane_step(stack.spec), choices.weighting(stack.spec), choices.effort.coder)
    return [Work(stack, planes, unit, coding, choices.effort.sweeps) for unit in parts]


def _patch_sizes(analysis: Analysis, stack: Stack, planes: Any, step: int, choices: PlaneChoices) -> Task[list[int]]:
    """The side of the patches of every plane of a stack: as chosen, or what is likely to cost least."""
    run = analysis.run
    wishes = [choices.patch_sizes[index] or decide.known_patch_size(step) for _, index in stack.owners]
    known = [wish for wish in wishes if wish is not None]
    if len(known) == len(wishes):
        return known
    costs = run.zeros(f"{stack.name}costs", (len(PATCH_SIZES), len(wishes)), np.int64)
    for total, p in zip(costs, PATCH_SIZES, strict=True):
        for rows in decide.estimated_rows(stack.spec.shape):
            run.kernels("factorization.rdoq").proxy(analysis.strip(stack, planes, p, rows), p, step, total)
    (found,) = yield from run.fetch(f"{stack.name}costs", costs)
    short, long = found.tolist()
    return [
        wish or (16 if decide.long_patches_pay(*pair) else 8) for wish, *pair in zip(wishes, short, long, strict=True)
    ]


# What becomes of a slice of the planes of a unit: from their factors, on the host and where the kernels read them, to
# something for each plane. Who keeps what the last choice of U is made from gets that, too.
_Visit = Callable[[Work, Slice, "list[rdoq.Factors]", "tuple[Any, Any]", "rdoq.LastChoice | None"], "Task[list[_T]]"]


def factorize(
    analysis: Analysis, groups: Sequence[Sequence[Work]], visit: _Visit[_T], keep: bool = False
) -> Task[dict[Owner, list[_T]]]:
    """X -> U, V: for every plane what `visit` makes of its slices."""
    run = analysis.run
    results: dict[Owner, list[_T]] = {}
    # On the GPU one unit after the other, which use the same memory; on the CPU all at once, on its threads, unless
    # they are so large that a slice of one is enough work.
    works = [work for group in groups for work in group]
    one_by_one = run.merges or (not keep and len(works[0].unit.grid.slices) > 1)
    for batch in [[work] for work in works] if one_by_one else [works]:
        ready = yield from run.together(_prepare(analysis, work) for work in batch)
        jobs = [(work, *made, part) for work, made in zip(batch, ready, strict=True) for part in work.unit.grid.slices]
        del ready
        found = yield from run.together(_factorize_slice(analysis, *job, visit, keep) for job in jobs)
        for (work, *_), parts in zip(jobs, found, strict=True):
            for owner, part in zip(work.owners, parts, strict=True):
                results.setdefault(owner, []).append(part)
        del jobs
        if one_by_one and not keep:
            analysis.forget()
    return results


def _prepare(analysis: Analysis, work: Work) -> Task[tuple[Any, np.ndarray | None]]:
    """The filtered planes of a unit, and how V of their large slices differs from the DCT basis."""
    run, unit = analysis.run, work.unit
    filtered = analysis.filtered(work.stack, work.planes, unit)
    height, width = filtered.shape[1:]
    searched = decide.searched_rows((height, width)) if analysis.parts.adapt_basis else []
    if not searched:
        return filtered, None
    plane = filtered.reshape(height, width)
    sample = yield from run.gather(f"{unit.name}sample", [plane[rows] for rows in searched])
    # V serves all of a slice, and every slice has its bits.
    weight = max(1, height // len(sample) // len(unit.grid.slices))
    numbers = work.coding.step, unit.grid.patch_size, run.host, weight, analysis.parts.rdoq, work.coding.weighting
    (update,) = yield from run.wait([run.submit(rdoq.find_basis_update, sample, *numbers)])
    return filtered, update


def _factorize_slice(
    analysis: Analysis,
    work: Work,
    filtered: Any,
    update: np.ndarray | None,
    part: Slice,
    visit: _Visit[_T],
    keep: bool,
) -> Task[list[_T]]:
    """X -> U, V for a slice of the planes of a unit."""
    run, unit, adapts = analysis.run, work.unit, analysis.parts.adapts(part)
    update = update if adapts else None
    last = prepare_slice(analysis, work, filtered, update, part)
    again = keep and run.retains and not adapts
    there = rdoq.choose_last(last, run, unit.name, keep=again)
    kept = last if again else None
    del last  # larger than the slice
    factors = yield from rdoq.download(*there, part.patches, update, run, unit.name)
    return (yield from visit(work, part, factors, there, kept))


def prepare_slice(
    analysis: Analysis, work: Work, filtered: Any, update: np.ndarray | None, part: Slice
) -> rdoq.LastChoice:
    """X -> U, V but for the last choice of U."""
    unit, coding, settings = work.unit, work.coding, analysis.parts.rdoq
    if work.sweeps is not None:
        settings = replace(settings, sweeps=min(settings.sweeps, work.sweeps))
    numbers = coding.step, unit.grid.patch_size, analysis.run, unit.name, update, settings
    return rdoq.prepare(rows_of(filtered, part.samples), *numbers, coding.weighting, unit.local_of(part))


def to_file(coded: Coded, frame: Frame) -> bytes:
    """The file of an image that is coded."""
    segments, alpha = [segment.result() for segment in coded.segments], coded.alpha
    local = None if coded.local is None else coded.local.bits
    parameters = Parameters(coded.subsample, coded.planes, alpha.coding, alpha.value, local)
    if coded.local is not None:
        segments.append(coded.local.segment.result())
    if alpha.coding.has_segment:
        segments.append(alpha.segment)
    return pack(frame, serialize(parameters, frame), segments)


# --------------------------------------------------------------------------------------------------------- decoding


def stack_key(container: Container) -> tuple[Any, ...]:
    """What files must have in common to be decoded together; patch sizes and restoration may differ."""
    p = container.parameters
    lengths = tuple((plane.step, plane.weighting, plane.coder) for plane in p.planes)
    return container.frame, p.subsample, p.alpha, lengths, p.local_bits


def decode_stack(
    containers: Sequence[Container],
    outs: Sequence[Any],
    max_rank: int | None,
    run: Run,
    parts: Parts = ALL_PARTS,
    reduce: int = 1,
) -> Task[None]:
    """bytes -> U, V -> X -> planes -> image, for files of one :func:`stack_key` that were made with these `parts`."""
    frame, first = containers[0].frame.reduced(reduce), containers[0].parameters
    larger = containers[0].frame.reduced(excess(reduce))
    count, whole = len(containers), slice(0, frame.height)
    lossy = range(count) if first.alpha.lossy else ()
    symbols: list[np.ndarray] = []
    if first.local_bits is not None:
        symbols = yield from run.wait(run.submit_all(lambda container: read_map(container, run), containers))
    groups = []
    for stack in stacks(larger, count, first.subsample, lossy, run):
        group = coded_planes(containers, stack, run, excess(reduce))
        if symbols and stack.spec.kind != "alpha":
            mine = [symbols[b] for b, _ in stack.owners]
            group = replace(group, units=with_local(group.units, stack.spec, mine, first.local_bits, run))
        groups.append(group)
    stored = first.alpha not in (AlphaCoding.NONE, AlphaCoding.PLANE)
    alphas = run.submit_all(lambda container: stored_alpha(container, run, reduce), containers) if stored else []
    images = run.canvas(outs, (count, frame.height, frame.width, max(1, frame.channels)))

    def put(rows: slice, decoded: list[tuple[Stack, Any]], above: int) -> Task[None]:
        join(decoded, images if rows == whole else images[:, rows], run, above)
        return
        yield

    yield from reconstruct(containers, groups, max_rank, run, put, parts, reduce)
    if alphas:
        yield from put_alpha((yield from run.wait(alphas)), images, first.alpha.lossy, run, reduce)
    yield from run.deliver(images, outs)


@dataclass(frozen=True)
class CodedPlanes:
    """A stack of planes in files.

    Attributes
    ----------
    stack : Stack
        The stack.
    codings : tuple of PlaneParameters
        How each of them is coded.
    units : sequence of Unit
        Those with patches of one side.
    """

    stack: Stack
    codings: tuple[PlaneParameters, ...]
    units: Sequence[Unit]

    def member(self, kinds: tuple[Restoration, ...]) -> Member:
        """The stack in a region; `kinds` are how its planes are restored."""
        first = self.codings[0]
        return Member(self.stack, self.units, Coding(first.step, first.weighting, first.coder), kinds)


def coded_planes(containers: Sequence[Container], stack: Stack, run: Run, reduce: int = 1) -> CodedPlanes:
    """A stack of planes of some files; `reduce` says how many times smaller they are than those that are coded."""
    codings = tuple(containers[b].parameters.planes[index] for b, index in stack.owners)
    sizes = [coding.patch_size for coding in codings]
    return CodedPlanes(stack, codings, units(stack.spec.shape, sizes, stack.name, run, reduce))


# What becomes of decoded planes: of the rows of the image, with the stacks, which may begin some rows of it above.
_Put = Callable[[slice, "list[tuple[Stack, Any]]", int], "Task[None]"]


def reconstruct(
    containers: Sequence[Container],
    groups: Sequence[CodedPlanes],
    max_rank: int | None,
    run: Run,
    put: _Put,
    parts: Parts = ALL_PARTS,
    reduce: int = 1,
) -> Task[None]:
    """bytes -> U, V -> X -> planes, for some rows after the other; `put` takes each.

    For pictures that are so many times smaller than coded, the groups are those of planes that are :func:`excess` times
    smaller. These are averaged over 2 x 2 samples, but for subsampled chroma, which has the size that is wanted.
    """
    frame = containers[0].frame.reduced(reduce)
    slices = [(group.stack, unit, part) for group in groups for unit in group.units for part in unit.grid.slices]
    on_device: DeviceSlices | None = None
    if decodes_on_device(containers[0].parameters.coder, max_rank, reduce, run):
        opened = [
            (part, [partial(_segment, containers[b], index, part) for b, index in _owners(stack, unit)])
            for stack, unit, part in slices
        ]
        on_device = yield from decode_on_device(opened, parts, run)
    else:
        factors = _decode_on_host(containers, groups, max_rank, run, parts, reduce)

    # The network of chroma takes both planes, whichever it restores.
    used = {(group.stack.spec.kind, coding.restoration) for group in groups for coding in group.codings}
    members = [
        group.member(tuple(kind for kind in RESTORATIONS if (group.stack.spec.kind, kind) in used)) for group in groups
    ]
    # Restoration would take a quarter of the time of a whole picture, for at most 0.8 dB of a smaller one.
    kinds = [[Restoration.NONE if reduce > 1 else coding.restoration for coding in group.codings] for group in groups]

    def finish(rows: slice) -> Task[None]:
        if reduce == 1:
            inner = [member.stack.spec.rows_of(rows, frame.height) for member in members]
        else:
            inner = [
                rows if spec.subsampled else slice(2 * rows.start, min(2 * rows.stop, spec.shape[0]))
                for spec in (member.stack.spec for member in members)
            ]
        region = Region(members, inner, run, restores=reduce == 1)
        for place, (stack, unit, part) in enumerate(slices):
            if on_device:
                one = on_device.factors[place]
                yield from region.add(stack, unit, part, [one], (one.padded, one.ranks))
                continue
            mine = [factors[owner, part] for owner in _owners(stack, unit)]
            done = yield from run.wait([future for future, _ in mine])
            found = [job[number] for job, (_, number) in zip(done, mine, strict=True)]
            yield from region.add(stack, unit, part, found, None)
        decoded = yield from restored_planes(region, kinds, run)
        if on_device:
            yield from on_device.check(run)
        if reduce > 1:
            decoded = [(s, planes if s.spec.subsampled else _halved(planes, s.name, run)) for s, planes in decoded]
            yield from put(rows, decoded, 0)
        else:
            yield from put(rows, decoded, max(member.stack.spec.above(rows) for member in members))

    regions = [slice(0, frame.height)] if run.merges else strips(frame.height, frame.width, run.threads)
    yield from run.together(map(finish, regions))


def _owners(stack: Stack, unit: Unit) -> list[Owner]:
    """Image and number of each plane of a unit of a stack."""
    return [stack.owners[n] for n in unit.which]


def _decode_on_host(
    containers: Sequence[Container],
    groups: Sequence[CodedPlanes],
    max_rank: int | None,
    run: Run,
    parts: Parts,
    reduce: int,
) -> dict[tuple[Owner, Slice], tuple[Future[list[rdoq.Factors]], int]]:
    """Decode all slices on the host: the job of each, and its number in what comes of that."""
    items = [
        (group.stack.owners[n], part)
        for group in groups
        for unit in group.units
        for part in unit.grid.slices
        for n in unit.which
    ]
    coder = coder_of(containers[0].parameters.coder, run)
    subsampled = {index for group in groups if group.stack.spec.subsampled for _, index in group.stack.owners}

    def decode_item(item: tuple[Owner, Slice], companion: rdoq.Factors | None) -> rdoq.Factors:
        (b, index), part = item
        needed = rdoq.needed_rank(part.grid.coded_size, excess(reduce) if index in subsampled else reduce)
        limits = [limit for limit in (needed, max_rank) if limit is not None]
        segment = _segment(containers[b], index, part)
        return decode_slice(segment, part, min(limits, default=None), coder, parts, companion)

    def decode_job(job: Sequence[tuple[Owner, Slice]]) -> list[rdoq.Factors]:
        found: list[rdoq.Factors] = []
        for item in job:
            found.append(decode_item(item, found[0] if found else None))
        return [reduced(factors, part) for factors, (_, part) in zip(found, job, strict=True)]

    jobs = _jobs(containers, items)
    made = zip(jobs, run.submit_all(decode_job, jobs), strict=True)
    return {item: (future, place) for job, future in made for place, item in enumerate(job)}


def _jobs(containers: Sequence[Container], items: Sequence[tuple[Owner, Slice]]) -> list[list[tuple[Owner, Slice]]]:
    """What is decoded on one thread: a slice of a plane, or one of Cb and then that of Cr which it helps."""
    pairs = {
        b
        for b, container in enumerate(containers)
        if helped(container.parameters.coder, container.frame, [p.patch_size for p in container.parameters.planes])
    }
    jobs = []
    for (b, index), part in items:
        if b not in pairs or index not in (1, 2):
            jobs.append([((b, index), part)])
        elif index == 1:
            jobs.append([((b, 1), part), ((b, 2), part)])
    return jobs


def excess(reduce: int) -> int:
    """How many times smaller planes are decoded for a picture that is `reduce` times smaller.

    Where they have twice the size that is wanted, components of frequencies that the smaller picture has not got do
    not come back as lower ones, and the lapped filter is nearer to that of the whole: together 2 to 8 dB.
    """
    return max(1, reduce // 2)


def _halved(planes: Any, name: str, run: Run) -> Any:
    """Means over 2 x 2 samples."""
    out = run.array(f"{name}halved", (len(planes), half(planes.shape[1]), half(planes.shape[2])), np.int32)
    run.kernels("color").halve(planes, out)
    return out


def _segment(container: Container, index: int, part: Slice) -> Reader:
    """The segment of a slice of a plane."""
    grids = container.parameters.grids(container.frame)
    return container.segment(sum(len(grid.slices) for grid in grids[:index]) + part.grid.slices.index(part))


def bytes_of_components(
    container: Container, numbers: range, grid: PatchGrid, companions: Sequence[tuple[np.ndarray, np.ndarray]] = ()
) -> tuple[list[int], int, int, list[tuple[np.ndarray, np.ndarray]]]:
    """Bytes of the components of a plane, the number that are used, in how many slices V is not the DCT basis, and U.

    `companions` are U and the active ranks of the slices of another plane that helps this one.
    """
    coder = coder_of(container.parameters.coder, HostRun("cpu", 1))
    factors: list[tuple[np.ndarray, np.ndarray]] = []
    total, free, rank = np.zeros(grid.patch_size**2 + 1, np.int64), 0, 1
    for number, part in zip(numbers, grid.slices, strict=True):
        segment = container.segment(number)
        read_update(segment, part, ALL_PARTS)
        total[0] += segment.position
        free += segment.position > 1
        data = bytes(segment.take(segment.left))
        rank = max(rank, data[0] + 1 if data else 1)  # a segment begins with its largest rank
        down, across = part.patches
        companion = companions[len(factors)] if companions else None
        spent, decoded = component_bytes(coder, data, down, across, grid.patch_size, companion)
        factors.append(decoded)
        total += spent
    last = int(np.flatnonzero(total)[-1]) + 1 if total.any() else 1
    return total[:last].tolist(), rank, free, factors


def components(container: Container) -> dict[str, object]:
    """What :func:`imfnb.info` says with `components`."""
    frame, p = container.frame, container.parameters
    names = [*(["gray"] if frame.channels < 3 else ["Y", "Cb", "Cr"]), "alpha"]
    found, ranks, adapted, number = {}, [], [], 0
    factors: list[tuple[np.ndarray, np.ndarray]] = []
    help_ = helped(p.coder, frame, [plane.patch_size for plane in p.planes])
    for name, grid in zip(names, p.grids(frame), strict=False):
        numbers = range(number, number + len(grid.slices))
        companions = factors if help_ and name == "Cr" else ()
        found[name], rank, free, factors = bytes_of_components(container, numbers, grid, companions)
        ranks.append(rank)
        adapted.append(free)
        number = numbers.stop
    return {"ranks": tuple(ranks), "free_v": tuple(adapted), "components": found}
