"""The main profile for batches of equal-shaped images on the device; the bytes and pixels of :mod:`imfnb.main`.

encode: images -> fine planes -> lapped filter -> factors -> coded on the CPU; product of the factors -> lapped filter ->
restored, to decide on that. decode: decoded on the CPU -> product of the factors -> lapped filter -> restored -> images.

Planes of equal shape, step and kind are one stack: luma of all images with their alpha, and both chroma planes of all
images. A stack goes through every stage in one launch per patch size. All decisions are those of :mod:`imfnb.main`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import entropy
from .. import main as host
from .._backend import kernels, map_threads
from .._cuda import cuda
from ..container import Container, Frame, pack
from ..factorization import rd
from ..metrics import psnr
from ..options import EncodeOptions
from ..restoration import filter_set
from .factors import download, factorize, reconstruct, upload

__all__ = ["decode", "encode"]

# Number of a plane in its image, and of its image.
_Owner = tuple[int, int]


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


def _stacks(frame: Frame, count: int, subsample: bool, alphas: list[int], stream: Any) -> list[_Stack]:
    """Empty stacks for the planes of `count` images; `alphas` are those whose alpha is coded lossily."""

    def stack(owners: list[_Owner]) -> _Stack:
        index = owners[0][1]
        shape = len(owners), *host._plane_shape(frame, index, subsample)
        return _Stack(cuda.device_array(shape, np.int32, stream=stream), owners, host._is_chroma(frame, index))

    images = range(count)
    stacks = [stack([(b, 0) for b in images] + [(b, 3) for b in alphas])]
    if frame.channels >= 3:
        stacks.append(stack([(b, c) for c in (1, 2) for b in images]))
    return stacks


def _groups(sizes: list[int], shape: tuple[int, int]) -> Iterator[tuple[int, list[int], list[tuple[int, int]]]]:
    """(patch size, numbers of planes, bands) of what goes through a stage at once: large planes go one by one."""
    for p in host._PATCH_SIZES:
        which = [n for n, size in enumerate(sizes) if size == p]
        bands = host._bands(shape, p)
        whole = host._whole_patches(shape, p)
        alone = len(bands) > 1 or host._may_mix(whole)
        for group in ([[n] for n in which] if alone else [which] if which else []):
            yield p, group, bands


def _rows(planes: Any, start: int, stop: int) -> Any:
    """Rows of a stack, which are all of them or those of a single plane."""
    count, height, width = planes.shape
    if (start, stop) == (0, height):
        return planes
    return planes.reshape(height, width)[start:stop].reshape(1, stop - start, width)


def _numbers(which: list[int] | range, stream: Any) -> Any:
    return upload(np.array(which, np.int32), stream)


def _restore(planes: Any, step: int, chroma: bool, out: Any, which: list[int] | range, stream: Any) -> None:
    """Restore the given planes of a stack."""
    filters, limits = (upload(table, stream) for table in filter_set(step, chroma))
    scratch = cuda.device_array((len(which), *planes.shape[1:]), np.int32, stream=stream)
    chosen = _numbers(which, stream)
    kernels("restoration", "cuda").restore(planes, step, filters, limits, out, chosen, scratch, stream)


def _squared_errors(a: Any, b: Any, stream: Any) -> list[int]:
    """Sum of squared differences of every plane of two stacks."""
    sums = upload(np.zeros(len(a), np.int64), stream)
    kernels("restoration", "cuda").squared_error(a, b, sums, stream)
    return download(sums, stream).tolist()


def _join(stacks: list[_Stack], out: Any, stream: Any) -> None:
    """Put planes together into images: the twin of :func:`imfnb.color.join_fine`."""
    color = kernels("color", "cuda")
    count = len(out)
    luma = stacks[0].planes
    if len(stacks) == 1:
        color.fine_to_gray(luma, out, 0, stream)
    else:
        chroma = stacks[1].planes
        color.fine_to_rgb(luma[:count], chroma[:count], chroma[count:], out, stream)
    for n, (b, index) in enumerate(stacks[0].owners):
        if index == 3:
            color.fine_to_gray(luma[n : n + 1], out[b : b + 1], 3, stream)


class BatchCoder:
    """Images of one shape on their way to files; a search comes back with other steps.

    Parameters
    ----------
    images : array or device array of uint8, shape (B, H, W, C)
        The images.
    frame : Frame
        The description of each.
    options : EncodeOptions
        The validated options.
    threads : int
        Largest number of threads for entropy coding.
    stream : stream
        Where to run.
    """

    def __init__(self, images: Any, frame: Frame, options: EncodeOptions, threads: int, stream: Any) -> None:
        self.frame, self.options, self.threads, self.stream = frame, options, threads, stream
        self._alphas: list[bytes | None] = [None] * len(images)
        if frame.channels == 4:
            pixels = images if isinstance(images, np.ndarray) else download(images, stream)
            self._alphas = map_threads(lambda image: host._encode_alpha(image[:, :, 3]), pixels, threads)
        self._images = upload(images, stream) if isinstance(images, np.ndarray) else images
        self._split_stacks: dict[bool, list[_Stack]] = {}

    def encode(
        self, luma: int, choice: host._Choice | None = None
    ) -> tuple[list[bytes], list[host.Parameters], list[_Stack]]:
        """Encode with a step of luma and, unless they are to be made, choices.

        Returns the files, their parameters, and the planes that the decoder will make.
        """
        subsample = host._subsamples(self.options, self.frame, luma) if choice is None else choice[0]
        chroma = host._chroma_step(luma, subsample)
        decoded = []
        codings: dict[_Owner, host.PlaneParameters] = {}
        segments: dict[_Owner, list[bytes]] = {}
        for stack in self._split(subsample):
            step = chroma if stack.chroma else luma
            if choice is None:
                sizes = self._patch_sizes(stack, step)
            else:
                sizes = [choice[1][index] for _, index in stack.owners]
            planes, coded = self._code(stack, step, sizes)
            restored = self._decide(stack, step, planes)
            for n, owner in enumerate(stack.owners):
                codings[owner] = host.PlaneParameters(step, sizes[n], restored[n])
                segments[owner] = coded[n]
            decoded.append(_Stack(planes, stack.owners, stack.chroma))
        files, parameters = [], []
        for b, alpha in enumerate(self._alphas):
            owners = [(b, c) for c in range(max(1, self.frame.channels)) if (b, c) in codings]
            fields = host.Parameters(subsample, tuple(codings[owner] for owner in owners), alpha is not None)
            parts = [band for owner in owners for band in segments[owner]]
            files.append(pack(self.frame, host._serialize(fields, self.frame), parts + [alpha] * (alpha is not None)))
            parameters.append(fields)
        return files, parameters, decoded

    def _split(self, subsample: bool) -> list[_Stack]:
        """The planes to be coded lossily: the twin of :func:`imfnb.color.split_fine`."""
        if subsample not in self._split_stacks:
            color = kernels("color", "cuda")
            images, stream = self._images, self.stream
            count = len(images)
            lossy = [b for b, alpha in enumerate(self._alphas) if alpha is None] if self.frame.channels == 4 else []
            stacks = _stacks(self.frame, count, subsample, lossy, stream)
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

    def _filter(self, planes: Any, patch_size: int, which: list[int] | range) -> Any:
        """The given planes behind the lapped filter."""
        shape = len(which), *host._whole_patches(planes.shape[1:], patch_size)
        out = cuda.device_array(shape, np.int32, stream=self.stream)
        kernels("lapped", "cuda").forward(planes, patch_size, out, _numbers(which, self.stream), self.stream)
        return out

    def _estimate(self, planes: Any, step: int, patch_size: int) -> list[int]:
        """Estimated cost of every plane."""
        costs = upload(np.zeros(len(planes), np.int64), self.stream)
        filtered = self._filter(planes, patch_size, range(len(planes)))
        kernels("factorization.rd", "cuda").proxy(filtered, patch_size, step, costs, self.stream)
        return download(costs, self.stream).tolist()

    def _patch_sizes(self, stack: _Stack, step: int) -> list[int]:
        """The patch size of every plane; see `MainCoder._choose_patch_size`."""
        if self.options.patch_size != "auto":
            return [self.options.patch_size] * len(stack.owners)
        if step < host._LONG_PATCH_STEP:
            return [8] * len(stack.owners)
        height, width = stack.shape
        if height * width <= host._BAND_SAMPLES:
            costs = [self._estimate(stack.planes, step, p) for p in host._PATCH_SIZES]
        else:
            planes = [stack.planes[n] for n in range(len(stack.owners))]
            costs = [[self._sample(plane, step, p) for plane in planes] for p in host._PATCH_SIZES]
        return [16 if host._long_patches_pay(*pair) else 8 for pair in zip(*costs, strict=True)]

    def _sample(self, plane: Any, step: int, patch_size: int) -> int:
        """Estimate of the cost of every fourth stripe of a large plane."""
        height, width = plane.shape
        total = 0
        for top in range(0, height, 4 * host._STRIPE):
            stripe = plane[top : min(top + host._STRIPE, height)]
            total += self._estimate(stripe.reshape(1, *stripe.shape), step, patch_size)[0]
        return total

    def _code(self, stack: _Stack, step: int, sizes: list[int]) -> tuple[Any, list[list[bytes]]]:
        """Code the planes of a stack: the planes that the decoder has before restoration, and segments of each."""
        decoded = cuda.device_array(stack.planes.shape, np.int32, stream=self.stream)
        segments: list[list[bytes]] = [[] for _ in sizes]
        for p, which, bands in _groups(sizes, stack.shape):
            filtered = self._filter(stack.planes, p, which)
            for start, stop in bands:
                rows = _rows(filtered, start * p, stop * p)
                for n, segment in zip(which, self._code_band(rows, step, p), strict=True):
                    segments[n].append(segment)
            kernels("lapped", "cuda").inverse(filtered, p, decoded, _numbers(which, self.stream), self.stream)
        return decoded, segments

    def _code_band(self, rows: Any, step: int, patch_size: int) -> list[bytes]:
        """Code a band of several planes, and replace its samples by the product of the factors."""
        stream = self.stream
        padded, ranks, factors = factorize(rows, step, patch_size, self.threads, stream)
        if not host._may_mix(rows.shape[1:]):
            reconstruct(padded, ranks, None, step, patch_size, rows, stream)  # while the CPU codes
            return map_threads(lambda f: host._encode_factors(f, patch_size, "cpu"), factors, self.threads)
        plane, (kept,) = download(rows, stream)[0], factors
        coded = host._encode_factors(kept, patch_size, "cpu")
        product, mixed_product = (cuda.device_array(rows.shape, np.int32, stream=stream) for _ in range(2))
        reconstruct(padded, ranks, None, step, patch_size, product, stream)
        mixed = rd.refine(plane, kept, step, patch_size, "cpu")
        _multiply([mixed], step, patch_size, mixed_product, stream)
        longer = host._encode_factors(mixed, patch_size, "cpu")
        (error,), (mixed_error,) = (_squared_errors(p, rows, stream) for p in (product, mixed_product))
        if host._mixing_pays(step, error, len(coded), mixed_error, len(longer)):
            product, coded = mixed_product, longer
        rows.copy_to_device(product, stream=stream)
        return [coded]

    def _decide(self, stack: _Stack, step: int, decoded: Any) -> list[bool]:
        """Decide on the restoration filter of every plane, and apply it where it is on."""
        stream = self.stream
        everything = range(len(stack.owners))
        restored = cuda.device_array(decoded.shape, np.int32, stream=stream)
        _restore(decoded, step, stack.chroma, restored, everything, stream)
        errors, restored_errors = (_squared_errors(planes, stack.planes, stream) for planes in (decoded, restored))
        flags = [after < before for before, after in zip(errors, restored_errors, strict=True)]
        for n in everything:
            if flags[n]:
                decoded[n].copy_to_device(restored[n], stream=stream)
        return flags


def _multiply(factors: list[rd.Factors], step: int, patch_size: int, out: Any, stream: Any) -> None:
    """Multiply factors from the host; where V has left its prior there is only one plane."""
    deepest = max(len(f.padded) for f in factors)
    padded = np.zeros((len(factors), deepest, factors[0].padded.shape[1]), np.int16)
    for target, f in zip(padded, factors, strict=True):
        target[: len(f.padded)] = f.padded
    ranks = np.stack([np.minimum(f.ranks, len(f.padded) - 1) for f in factors])
    reconstruct(upload(padded, stream), upload(ranks, stream), factors[0].mixing, step, patch_size, out, stream)


class _Search(host.MainCoder):
    """The search for a target with one image on the device."""

    def __init__(self, image: np.ndarray, frame: Frame, options: EncodeOptions, threads: int, stream: Any) -> None:
        super().__init__(image, frame, options, "cuda", threads)
        self._stream = stream
        self._batch = BatchCoder(image[None], frame, options, threads, stream)
        self._decoded: list[_Stack] = []

    def _encode_step(self, luma: int, choice: host._Choice | None = None) -> tuple[bytes, list[host.CodedPlane]]:
        (data,), (parameters,), self._decoded = self._batch.encode(luma, choice)
        return data, [host.CodedPlane(plane, None) for plane in parameters.planes]

    def _psnr(self, coded: list[host.CodedPlane]) -> float:
        out = cuda.device_array((1, *self.image.shape), np.uint8, stream=self._stream)
        _join(self._decoded, out, self._stream)
        pixels = download(out, self._stream)[0]
        if self._alpha is not None:
            pixels[:, :, 3] = self.image[:, :, 3]
        return psnr(self.image, pixels)


def encode(images: Any, frame: Frame, options: EncodeOptions, threads: int, stream: Any = 0) -> list[bytes]:
    """Compress images of one shape: the files that :func:`imfnb.encode` makes of each on the CPU.

    Parameters
    ----------
    images : ndarray or device array of uint8, shape (B, H, W, C)
        The images; C is 1 for gray.
    frame : Frame
        The description of each.
    options : EncodeOptions
        The validated options. With a target that has to be searched every image is encoded on its own.
    threads : int
        Largest number of threads for entropy coding.
    stream : stream, optional
        Where to run. Calls from several threads, each with a stream of its own, overlap.

    Returns
    -------
    list of bytes
        The contents of an .imf file for each image.

    Raises
    ------
    OptionError
        If a target cannot be met.
    """
    step = host._fixed_step(*options.target)
    if step is not None:
        return BatchCoder(images, frame, options, threads, stream).encode(step)[0]
    pixels = images if isinstance(images, np.ndarray) else download(images, stream)
    return [_Search(image, frame, options, threads, stream).encode(*options.target) for image in pixels]


def decode(containers: list[Container], threads: int, max_rank: int | None = None, stream: Any = 0) -> Any:
    """Decode files of one frame: the pixels that :func:`imfnb.decode` makes of each on the CPU.

    Parameters
    ----------
    containers : list of Container
        The files; height, width and channels are the same.
    threads : int
        Largest number of threads for entropy decoding.
    max_rank : int, optional
        Use only the first components of every plane.
    stream : stream, optional
        Where to run.

    Returns
    -------
    device array of uint8, shape (B, H, W, C)
        The images; C is 1 for gray.

    Raises
    ------
    FormatError
        If a segment is damaged.
    """
    frame = containers[0].frame
    kinds: dict[Any, list[int]] = {}
    for b, container in enumerate(containers):
        p = container.parameters
        kinds.setdefault((p.subsample, tuple(plane.step for plane in p.planes)), []).append(b)
    shape = frame.height, frame.width, max(1, frame.channels)
    out = cuda.device_array((len(containers), *shape), np.uint8, stream=stream)
    for which in kinds.values():
        target = out if len(kinds) == 1 else cuda.device_array((len(which), *shape), np.uint8, stream=stream)
        _decode_kind([containers[b] for b in which], target, threads, max_rank, stream)
        if target is not out:
            for k, b in enumerate(which):
                out[b].copy_to_device(target[k], stream=stream)
    return out


def _decode_kind(containers: list[Container], out: Any, threads: int, max_rank: int | None, stream: Any) -> None:
    """Decode files with the same planes and steps."""
    frame, first = containers[0].frame, containers[0].parameters
    alphas = [] if len(first.planes) < 4 else list(range(len(containers)))
    stacks = _stacks(frame, len(containers), first.subsample, alphas, stream)
    starts: dict[_Owner, int] = {}
    for b, container in enumerate(containers):
        number = 0
        for index, coding in enumerate(container.parameters.planes):
            starts[b, index] = number
            number += len(host._bands(host._plane_shape(frame, index, first.subsample), coding.patch_size))
        if container.parameters.lossless_alpha:
            starts[b, 3] = number

    for stack in stacks:
        codings = [containers[b].parameters.planes[index] for b, index in stack.owners]
        step = codings[0].step
        for p, which, bands in _groups([coding.patch_size for coding in codings], stack.shape):
            samples = cuda.device_array((len(which), *host._whole_patches(stack.shape, p)), np.int32, stream=stream)
            for band, (start, stop) in enumerate(bands):
                rows = _rows(samples, start * p, stop * p)

                def decode_band(n: int, band: int = band, p: int = p, rows: Any = rows, owners=stack.owners):
                    b, index = owners[n]
                    segment = containers[b].segment(starts[b, index] + band)
                    grid = rows.shape[1] // p, rows.shape[2] // p
                    mixing = host._read_mixing(segment, rows.shape[1:], p)
                    data = bytes(segment.take(segment.left))
                    return rd.Factors(*entropy.decode_factors(data, *grid, p, max_rank, "cpu"), grid, mixing)

                _multiply(map_threads(decode_band, which, threads), step, p, rows, stream)
            kernels("lapped", "cuda").inverse(samples, p, stack.planes, _numbers(which, stream), stream)
        flagged = [n for n, coding in enumerate(codings) if coding.restore]
        if flagged:
            _restore(stack.planes, step, stack.chroma, stack.planes, flagged, stream)
    _join(stacks, out, stream)
    if first.lossless_alpha:
        alpha = np.empty((*out.shape[:3], 1), np.uint8)
        for b, container in enumerate(containers):
            host._decode_alpha(container.segment(starts[b, 3]), alpha[b, :, :, 0])
        color, planes = kernels("color", "cuda"), cuda.device_array(out.shape[:3], np.int32, stream=stream)
        color.gray_to_fine(upload(alpha, stream), 0, planes, stream)
        color.fine_to_gray(planes, out, 3, stream)
