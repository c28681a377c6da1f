"""The main profile for equal-shaped images on the device; the bytes and pixels of :mod:`imfnb.main`.

encode: images -> fine planes -> lapped filter -> factors -> coded on the CPU, and product of the factors -> lapped
filter -> restored, to decide on that. decode: factors from the CPU -> product -> lapped filter -> restored -> images.

Planes of equal shape, step and kind are one stack: luma of all images with their alpha, and both chroma planes of all
images. A stack goes through every stage in one launch per patch size. All decisions are those of :mod:`imfnb.main`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import entropy
from .. import main as host
from ..color import cuda as color
from ..container import Container, Frame, pack
from ..factorization import rd
from ..factorization.rd import cuda as rd_kernels
from ..lapped import cuda as lapped
from ..metrics import psnr
from ..options import EncodeOptions
from ..restoration import cuda as restoration
from ..restoration import filter_set
from ..stripes import whole_patches
from . import streams
from .factors import constant, factorize, multiply, reconstruct
from .transfer import Half

__all__ = ["CHUNK_TARGETS", "Coder", "batch_key", "decode_chunk", "encode_chunk"]

#: Targets that a whole chunk of images can be encoded for; the others need a search for each image.
CHUNK_TARGETS = ("quality", "step")

# Number of an image, and of a plane in it.
_Owner = tuple[int, int]

# What a search tries: the file, on which the entropy coder may still be at work, and its header fields.
_Attempt = tuple[Future, host.Parameters]


@dataclass
class _Stack:
    """Planes of equal shape, step and kind.

    Attributes
    ----------
    planes : device array of int32, shape (P, H, W)
        Centred samples with four fractional bits.
    owners : list of (int, int)
        Number of the image and of the plane in it.
    chroma : bool
        Whether they are chroma.
    """

    planes: Any
    owners: list[_Owner]
    chroma: bool

    @property
    def shape(self) -> tuple[int, int]:
        return self.planes.shape[1:]

    @property
    def name(self) -> str:
        """Prefix of the names of its memory."""
        return "chroma " if self.chroma else "luma "


def _make_stacks(frame: Frame, count: int, subsample: bool, alphas: Sequence[int], half: Half) -> list[_Stack]:
    """Empty stacks for the planes of `count` images; `alphas` are those whose alpha is coded lossily."""

    def stack(owners: list[_Owner], name: str) -> _Stack:
        index = owners[0][1]
        shape = len(owners), *host._plane_shape(frame, index, subsample)
        return _Stack(half.array(name, shape, np.int32), owners, host._is_chroma(frame, index))

    images = range(count)
    stacks = [stack([(b, 0) for b in images] + [(b, 3) for b in alphas], "luma")]
    if frame.channels >= 3:  # a search may want both resolutions
        stacks.append(stack([(b, c) for c in (1, 2) for b in images], f"chroma {subsample}"))
    return stacks


def _groups(sizes: Sequence[int], shape: tuple[int, int]) -> Iterator[tuple[int, list[int], list[tuple[int, int]]]]:
    """(patch size, numbers of planes, bands) of what goes through a stage at once: large planes go one by one."""
    for p in host._PATCH_SIZES:
        which = [n for n, size in enumerate(sizes) if size == p]
        bands = host._bands(shape, p)
        alone = len(bands) > 1 or host._may_mix(whole_patches(shape, p))
        for group in ([[n] for n in which] if alone else [which] if which else []):
            yield p, group, bands


def _rows(planes: Any, start: int, stop: int) -> Any:
    """Rows of a stack: all of them, or those of a single plane."""
    _, height, width = planes.shape
    if (start, stop) == (0, height):
        return planes
    return planes.reshape(height, width)[start:stop].reshape(1, stop - start, width)


def _numbers(which: Sequence[int], half: Half, name: str) -> Any:
    return constant(half, name + "which", np.array(which, np.int32))


def _restore(stack: _Stack, step: int, out: Any, which: Sequence[int], half: Half) -> None:
    """Restore the given planes of a stack."""
    filters, limits = filter_set(step, stack.chroma)
    name = stack.name + "restored "
    scratch = half.array(name + "scratch", (len(which), *stack.shape), np.int32)
    tables = constant(half, name + "filters", filters), constant(half, name + "limits", limits)
    restoration.restore(stack.planes, step, *tables, out, _numbers(which, half, name), scratch, half.stream)


def _join(stacks: list[_Stack], out: Any, stream: Any) -> None:
    """Put planes together into images: the twin of :func:`imfnb.color.join_fine`."""
    count, luma = len(out), stacks[0].planes
    if len(stacks) == 1:
        color.fine_to_gray(luma, out, 0, stream)
    else:
        chroma = stacks[1].planes
        color.fine_to_rgb(luma[:count], chroma[:count], chroma[count:], out, stream)
    for n, (b, index) in enumerate(stacks[0].owners):
        if index == 3:
            color.fine_to_gray(luma[n : n + 1], out[b : b + 1], 3, stream)


class Coder(host.MainCoder):
    """Equal-shaped images on their way to files; a search concerns the first and comes back with other steps.

    Parameters
    ----------
    images : sequence of ndarray or device array of uint8, shape (H, W, C)
        The images.
    frame : Frame
        Their description.
    options : EncodeOptions
        The validated options.
    threads : int
        Not used: `pool` has the threads.
    half : Half
        Stream and memory.
    pool : Executor
        Threads for the entropy coder.
    """

    def __init__(
        self, images: Sequence[Any], frame: Frame, options: EncodeOptions, threads: int, half: Half, pool: Executor
    ) -> None:
        self.images, self.frame, self.options, self.half, self.pool = images, frame, options, half, pool
        self._alphas: list[bytes | None] = []
        self._device: Any = None
        self._split_stacks: dict[bool, list[_Stack]] = {}
        self._trial: list[_Stack] = []
        self._host: host.MainCoder | None = None
        self._last_twin: tuple[_Attempt, host._Attempt] | None = None

    def _try(self, luma: int, choice: host._Choice | None = None) -> _Attempt:
        """As that of `MainCoder`, for the first image; what it decodes to stays on the device, until the next one."""
        keep = self.options.target[0] == "psnr"
        task = self.encode_step(luma, choice, keep)
        (future,), (parameters,), self._trial = streams.drive(task, self.half)
        return future, parameters

    def _vary(self, attempt: _Attempt | host._Attempt, thrift: int) -> host._Attempt:
        return self._on_host()._vary(self._twin(attempt), thrift)

    def _blend(self, one: _Attempt | host._Attempt, other: host._Attempt, share: float) -> host._Attempt:
        return self._on_host()._blend(self._twin(one), other, share)

    def _twin(self, attempt: _Attempt | host._Attempt) -> host._Attempt:
        """The same on the CPU, where a search goes on that no step can end; made once for all that it tries there."""
        if isinstance(attempt, host._Attempt):
            return attempt
        if self._last_twin is None or self._last_twin[0] is not attempt:
            twin = self._on_host()._try(attempt[1].planes[0].step, self._choice(attempt))
            self._last_twin = attempt, twin
        return self._last_twin[1]

    def _choice(self, attempt: _Attempt) -> host._Choice:
        parameters = attempt[1]
        return parameters.subsample, tuple(plane.patch_size for plane in parameters.planes)

    def _size(self, attempt: _Attempt | host._Attempt) -> int:
        return self._on_host()._size(attempt) if isinstance(attempt, host._Attempt) else len(self._file(attempt))

    def _file(self, attempt: _Attempt | host._Attempt) -> bytes:
        return self._on_host()._file(attempt) if isinstance(attempt, host._Attempt) else attempt[0].result()

    def _on_host(self) -> host.MainCoder:
        """What looks at the first image before a search and at its end, on the CPU: a small part of the work."""
        if self._host is None:
            self._host = host.MainCoder(self._pixels()[0], self.frame, self.options, "cpu", 1)
        return self._host

    def _first_choice(self, name: str, value: float) -> host._Choice | None:
        return self._on_host()._first_choice(name, value)

    def _curves(self, subsample: bool, name: str) -> list[np.ndarray]:
        return self._on_host()._curves(subsample, name)

    def _psnr(self, attempt: _Attempt | host._Attempt) -> float:
        """PSNR of the image that the decoder will make of the last attempt."""
        if isinstance(attempt, host._Attempt):
            return self._on_host()._psnr(attempt)
        image, pixels = self._pixels()[0], streams.drive(self._download(), self.half)
        if self._alphas[0] is not None:
            pixels[:, :, 3] = image[:, :, 3]
        return psnr(image, pixels)

    def _download(self) -> streams.Task:
        """The image that the decoder will make, but for a lossless alpha."""
        out = self.half.array("trial", self._device.shape, np.uint8)
        _join(self._trial, out, self.half.stream)
        pixels = self.half.download("trial", out)
        yield None
        return pixels[0]

    def _pixels(self) -> list[np.ndarray]:
        """The images on the host."""
        return [image if isinstance(image, np.ndarray) else image.copy_to_host() for image in self.images]

    def encode_step(self, luma: int, choice: host._Choice | None = None, keep: bool = False) -> streams.Task:
        """Encode with a step of luma and, unless they are to be made, choices.

        Returns
        -------
        files : list of Future of bytes
            Through the task; the entropy coder may still be at work.
        parameters : list of Parameters
            The header fields of each file.
        decoded : list of _Stack
            If `keep` is true, the planes that the decoder will make.
        """
        if self._device is None:
            yield from self._upload()
        subsample = host._subsamples(self.options, self.frame, luma) if choice is None else choice[0]
        chroma = host._chroma_step(luma, subsample)
        decoded: list[_Stack] = []
        codings: dict[_Owner, host.PlaneParameters] = {}
        segments: dict[_Owner, list[Future]] = {}
        for stack in self._split(subsample):
            step = chroma if stack.chroma else luma
            if choice is None or None in choice[1]:
                sizes = yield from self._patch_sizes(stack, step)
            else:
                sizes = [choice[1][index] for _, index in stack.owners]
            result, coded = yield from self._code(stack, step, sizes)
            flags = yield from self._decide(stack, step, result, keep)
            for owner, size, flag, bands in zip(stack.owners, sizes, flags, coded, strict=True):
                codings[owner] = host.PlaneParameters(step, size, flag)
                segments[owner] = bands
            decoded.append(result)
        files, parameters = [], []
        for b, alpha in enumerate(self._alphas):
            owners = [(b, c) for c in range(max(1, self.frame.channels)) if (b, c) in codings]
            fields = host.Parameters(subsample, tuple(codings[owner] for owner in owners), alpha is not None)
            # The pool takes its work in order: those that this one waits for have begun before it.
            parts = [band for owner in owners for band in segments[owner]]
            files.append(self.pool.submit(_pack, self.frame, fields, parts, alpha))
            parameters.append(fields)
        return files, parameters, decoded

    def _upload(self) -> streams.Task:
        """Queue the images, and store alpha losslessly where it has few values."""
        self._alphas = [None] * len(self.images)
        if self.frame.channels == 4:
            futures = [self.pool.submit(host._encode_alpha, image[:, :, 3]) for image in self._pixels()]
            yield futures
            self._alphas = [future.result() for future in futures]
        self._device = self.half.upload("images", self.images)

    def _split(self, subsample: bool) -> list[_Stack]:
        """The planes to be coded lossily: the twin of :func:`imfnb.color.split_fine`."""
        if subsample not in self._split_stacks:
            images, count, stream = self._device, len(self.images), self.half.stream
            lossy = [b for b, alpha in enumerate(self._alphas) if alpha is None and self.frame.channels == 4]
            stacks = _make_stacks(self.frame, count, subsample, lossy, self.half)
            luma = stacks[0].planes
            if len(stacks) == 1:
                color.gray_to_fine(images, 0, luma, stream)
            else:
                chroma = stacks[1].planes
                color.rgb_to_fine(images, luma[:count], chroma[:count], chroma[count:], stream)
            for n, b in enumerate(lossy, count):
                color.gray_to_fine(images[b : b + 1], 3, luma[n : n + 1], stream)
            self._split_stacks[subsample] = stacks
        return self._split_stacks[subsample]

    def _filter(
        self, planes: Any, patch_size: int, which: Sequence[int], name: str, rows: slice | None = None
    ) -> Any:
        """The given planes behind the lapped filter, or these rows of theirs as if they were all."""
        height, width = planes.shape[1:]
        height = height if rows is None else rows.stop - rows.start
        shape = len(which), *whole_patches((height, width), patch_size)
        out = self.half.array(name + "filtered", shape, np.int32)
        lapped.forward(planes, patch_size, out, _numbers(which, self.half, name), self.half.stream, rows)
        return out

    def _patch_sizes(self, stack: _Stack, step: int) -> streams.Task:
        """The patch size of every plane; see `MainCoder._choose_patch_size`."""
        if self.options.patch_size != "auto":
            return [self.options.patch_size] * len(stack.owners)
        if step < host._LONG_PATCH_STEP:
            return [8] * len(stack.owners)
        costs = [self._estimate(stack, step, p) for p in host._PATCH_SIZES]
        yield None
        return [16 if host._long_patches_pay(int(short), int(long)) else 8 for short, long in zip(*costs, strict=True)]

    def _estimate(self, stack: _Stack, step: int, patch_size: int) -> np.ndarray:
        """Queue estimates of the cost of every plane by its sampled rows if it is large."""
        half, name = self.half, f"{stack.name}{patch_size} estimate "
        count, (height, width) = len(stack.owners), stack.shape
        sums = half.zeros(name + "sums", (count,), np.int64)
        for rows in [slice(0, height)] if height * width <= host._BAND_SAMPLES else host._samples(height):
            filtered = self._filter(stack.planes, patch_size, range(count), name, rows)
            rd_kernels.proxy(filtered, patch_size, step, sums, half.stream)
        return half.download(name + "sums", sums)

    def _code(self, stack: _Stack, step: int, sizes: Sequence[int]) -> streams.Task:
        """Code the planes of a stack.

        Returns
        -------
        decoded : _Stack
            Through the task: the planes that the decoder has before restoration.
        segments : list of list of Future of bytes
            The bands of every plane.
        """
        half = self.half
        decoded = half.array(stack.name + "decoded", stack.planes.shape, np.int32)
        segments: list[list[Future]] = [[] for _ in sizes]
        for p, which, bands in _groups(sizes, stack.shape):
            name = f"{stack.name}{p} "
            filtered = self._filter(stack.planes, p, which, name)
            mixing = yield from self._find_v(filtered, step, p, name)
            for start, stop in bands:
                coded = yield from self._code_band(_rows(filtered, start * p, stop * p), step, p, name, mixing)
                for n, segment in zip(which, coded, strict=True):
                    segments[n].append(segment)
            lapped.inverse(filtered, p, decoded, _numbers(which, half, name), half.stream)
        return _Stack(decoded, stack.owners, stack.chroma), segments

    def _find_v(self, filtered: Any, step: int, patch_size: int, name: str) -> streams.Task:
        """How V of a large plane differs from the prior. The search stays on the CPU: it sees a megapixel."""
        height, width = filtered.shape[1:]
        stripes = host._searched_rows(height, width)
        if not stripes:
            return None
        half, plane = self.half, filtered.reshape(height, width)
        sample = half.array(name + "sample", (sum(rows.stop - rows.start for rows in stripes), width), np.int32)
        top = 0
        for rows in stripes:
            bottom = top + rows.stop - rows.start
            sample[top:bottom].copy_to_device(plane[rows], stream=half.stream)
            top = bottom
        found = half.download(name + "sample", sample)
        yield None
        search = self.pool.submit(host._find_v, [found], (height, width), step, patch_size, "cpu")
        yield [search]
        return search.result()

    def _code_band(
        self, rows: Any, step: int, patch_size: int, name: str, mixing: np.ndarray | None
    ) -> streams.Task:
        """Code a band of several planes, and replace its samples by the product of the factors."""
        mixing = mixing if host._may_mix(rows.shape[1:]) else None
        padded, ranks, factors = yield from factorize(rows, step, patch_size, self.half, name, mixing)
        coded = [self.pool.submit(host._encode_factors, f, patch_size, "cpu") for f in factors]
        reconstruct(padded, ranks, mixing, step, patch_size, rows, self.half, name)
        return coded

    def _decide(self, stack: _Stack, step: int, decoded: _Stack, keep: bool) -> streams.Task:
        """Whether to restore each plane; if `keep` is true, `decoded` is restored where that is so."""
        half, count = self.half, len(stack.owners)
        restored = half.array(stack.name + "restored", decoded.planes.shape, np.int32)
        _restore(decoded, step, restored, range(count), half)
        sums = half.zeros(stack.name + "errors", (2, count), np.int64)
        rows = host._sampled_rows(stack.shape[0])
        restoration.squared_error(decoded.planes, stack.planes, sums[0], half.stream, rows)
        restoration.squared_error(restored, stack.planes, sums[1], half.stream, rows)
        before, after = half.download(stack.name + "errors", sums)
        yield None
        flags = [host._restoration_pays(*pair) for pair in zip(before.tolist(), after.tolist(), strict=True)]
        for n in np.flatnonzero(flags) if keep else ():
            decoded.planes[int(n)].copy_to_device(restored[int(n)], stream=half.stream)
        return flags


def _pack(frame: Frame, parameters: host.Parameters, bands: list[Future], alpha: bytes | None) -> bytes:
    """The file of one image."""
    segments = [band.result() for band in bands] + ([] if alpha is None else [alpha])
    return pack(frame, host._serialize(parameters, frame), segments)


def encode_chunk(
    images: Sequence[Any], frame: Frame, options: EncodeOptions, half: Half, pool: Executor
) -> streams.Task:
    """Encode equal-shaped images for a quality or a step.

    Parameters
    ----------
    images : sequence of ndarray or device array of uint8, shape (H, W, C)
        The images.
    frame : Frame
        Their description.
    options : EncodeOptions
        The validated options.
    half : Half
        Stream and memory.
    pool : Executor
        Threads for the work that stays on the CPU; it takes its work in order.

    Returns
    -------
    list of Future of bytes
        Through the task; the entropy coder may still be at work.
    """
    step = host._fixed_step(*options.target)
    files, _, _ = yield from Coder(images, frame, options, 1, half, pool).encode_step(step)
    return files


def batch_key(container: Container) -> tuple[Any, ...]:
    """What files must have in common to be decoded together; patch sizes and restoration may differ."""
    p = container.parameters
    return container.frame, p.subsample, tuple(plane.step for plane in p.planes)


def decode_chunk(
    containers: Sequence[Container], outs: Sequence[Any], max_rank: int | None, half: Half, pool: Executor
) -> streams.Task:
    """Decode files of one :func:`batch_key`.

    Parameters
    ----------
    containers : sequence of Container
        The files.
    outs : sequence of ndarray or device array of uint8, shape (H, W, C), C-contiguous
        Receive the images.
    max_rank : int, optional
        Use only the first components of every plane.
    half : Half
        Stream and memory.
    pool : Executor
        Threads for the entropy decoder.

    Returns
    -------
    None
        Through the task, when `outs` are filled.

    Raises
    ------
    FormatError
        If a segment is damaged.
    """
    frame, first = containers[0].frame, containers[0].parameters
    count, stream = len(containers), half.stream
    alphas = range(count) if len(first.planes) == 4 else ()
    stacks = _make_stacks(frame, count, first.subsample, alphas, half)
    lossless = []
    if first.lossless_alpha:
        lossless = [pool.submit(_lossless_alpha, container) for container in containers]
    for stack in stacks:
        yield from _decode_stack(stack, containers, max_rank, half, pool)
    shape = count, frame.height, frame.width, max(1, frame.channels)
    images = streams.canvas(outs, shape, half)
    _join(stacks, images, stream)
    if lossless:
        yield lossless
        alpha, planes = half.upload("alpha", [f.result() for f in lossless]), half.array("fine", shape[:3], np.int32)
        color.gray_to_fine(alpha, 0, planes, stream)
        color.fine_to_gray(planes, images, 3, stream)
    yield from streams.deliver(images, outs, half)


def _lossless_alpha(container: Container) -> np.ndarray:
    """The alpha of a file that stores it as it is, uint8 (H, W, 1); it is the last segment."""
    alpha = np.empty((container.frame.height, container.frame.width, 1), np.uint8)
    host._decode_alpha(container.segment(len(container.sizes) - 1), alpha[:, :, 0])
    return alpha


def _decode_stack(
    stack: _Stack, containers: Sequence[Container], max_rank: int | None, half: Half, pool: Executor
) -> streams.Task:
    """Fill the planes of a stack."""
    codings = [containers[b].parameters.planes[index] for b, index in stack.owners]
    step, stream = codings[0].step, half.stream
    groups = list(_groups([coding.patch_size for coding in codings], stack.shape))

    def submit(n: int, band: int) -> Future:
        b, index = stack.owners[n]
        return pool.submit(_decode_band, containers[b], index, band, max_rank)

    futures = [[[submit(n, band) for n in which] for band in range(len(bands))] for _, which, bands in groups]
    for (p, which, bands), coded in zip(groups, futures, strict=True):
        name = f"{stack.name}{p} "
        shape = len(which), *whole_patches(stack.shape, p)
        samples = half.array(name + "samples", shape, np.int32)
        for (start, stop), band in zip(bands, coded, strict=True):
            yield band
            factors = [future.result() for future in band]
            yield from multiply(factors, step, p, _rows(samples, start * p, stop * p), half, name)
            yield None  # the next band uses the same memory
        lapped.inverse(samples, p, stack.planes, _numbers(which, half, name), stream)
    flagged = [n for n, coding in enumerate(codings) if coding.restore]
    if flagged:
        _restore(stack, step, stack.planes, flagged, half)


def _decode_band(container: Container, index: int, band: int, max_rank: int | None) -> rd.Factors:
    """Decode the factors of one band of a plane."""
    frame, p = container.frame, container.parameters
    bands = [host._bands(host._plane_shape(frame, i, p.subsample), q.patch_size) for i, q in enumerate(p.planes)]
    segment = container.segment(sum(map(len, bands[:index])) + band)
    size = p.planes[index].patch_size
    start, stop = bands[index][band]
    _, width = whole_patches(host._plane_shape(frame, index, p.subsample), size)
    grid = stop - start, width // size
    mixing = host._read_mixing(segment, (grid[0] * size, width), size)
    data = bytes(segment.take(segment.left))
    return rd.Factors(*entropy.decode_factors(data, *grid, size, max_rank, "cpu"), grid, mixing)
