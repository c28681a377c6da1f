"""The baseline profile, the codec of the paper, from image to bytes and back.

Ashtari et al., "Quantization-free Lossy Image Compression Using Integer Matrix Factorization"::

    image --color, patches--> X --factorization.init, bcd--> U, V --entropy.deflate--> bytes

and back. `encode_stack` and `decode_stack` are tasks for any runner (`imfnb.runtime`): one image on threads of the CPU,
or a stack of equal-shaped images on the GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import groupby
from types import ModuleType
from typing import Any

import numpy as np

from ..entropy import DAMAGED
from ..entropy.deflate import decode_columns, encode_columns
from ..errors import FormatError, OptionError
from ..factorization.bcd import descend, download
from ..factorization.init import init_v
from ..format.baseline_header import MatrixSpec, Parameters, matrices, parse, serialize
from ..format.container import VERSION, Container, Frame, pack, unpack
from ..layout import half, strips
from ..options import EncodeOptions
from ..runtime.run import Run, Task
from .targets import search_levels

__all__ = [
    "STACK_TARGETS",
    "Analysis",
    "Settings",
    "analyse",
    "code",
    "components",
    "decode_stack",
    "encode_image",
    "encode_stack",
    "factorize",
    "join",
    "ranks_for",
    "settings_for",
    "stack_key",
]

#: Targets that a whole stack of images can be encoded for; the others need a search for each image.
STACK_TARGETS = ("quality", "rank")

# Images above this number of pixels are factorized one matrix after the other with all threads on each; those of
# smaller ones go side by side, since a sweep is then shorter than handing it to a thread.
_LARGE = 1 << 21

# Images below this number of pixels, which take 2 ns each, are decoded on one thread: starting another takes as long.
_DECODED_ALONE = 1 << 20


# The stage of the coder with adaptive tables.
_ADAPTIVE = "entropy.columns"


@dataclass(frozen=True)
class Settings:
    """What the encoder works with, whatever the ranks.

    Attributes
    ----------
    color_space, subsample, patch_size, bounds
        As in :class:`imfnb.format.baseline_header.Parameters`.
    iterations : int
        Number of sweeps.
    start : callable
        The task that finds the first V.
    adaptive : bool
        Whether factors are coded by adaptive tables instead of being deflated.
    """

    color_space: str
    subsample: bool
    patch_size: int | None
    bounds: tuple[int, int]
    iterations: int
    start: Callable[..., Task[Any]] = init_v
    adaptive: bool = False

    def parameters(self, ranks: Sequence[int]) -> Parameters:
        """The fields of the header."""
        return Parameters(self.color_space, self.subsample, self.patch_size, self.bounds, tuple(ranks))


def settings_for(options: EncodeOptions, frame: Frame, start: Callable[..., Task[Any]] = init_v) -> Settings:
    """What options stand for; those that are not given are the paper's."""
    color_space = (options.color_space or "YCbCr") if frame.channels >= 3 else "YCbCr"
    chroma = frame.channels >= 3 and color_space == "YCbCr"
    return Settings(
        color_space=color_space,
        subsample=chroma and options.subsampling != "4:4:4",
        patch_size=8 if options.patch_size == "auto" else options.patch_size,
        bounds=options.bounds or (-16, 15),
        iterations=options.iterations or 10,
        start=start,
        adaptive=options.coder == "fast",
    )


@dataclass(frozen=True)
class Analysis:
    """Equal-shaped images as matrices; a search tries several ranks on them.

    Attributes
    ----------
    frame : Frame
        Description of the images.
    settings : Settings
        How they are encoded.
    specs : list of MatrixSpec
        The matrices of each image.
    count : int
        Number of images.
    stacks : list of (list of int, array)
        Numbers of matrices, and X of all of the first for every image, then of the second, and so on. On the GPU
        neighbouring matrices of equal shape share a stack, so that one launch can handle all.
    """

    frame: Frame
    settings: Settings
    specs: list[MatrixSpec]
    count: int
    stacks: list[tuple[list[int], Any]]


# --------------------------------------------------------------------------------------------------------- encoding


def encode_image(
    image: Any, frame: Frame, options: EncodeOptions, run: Run, start: Callable[..., Task[Any]] = init_v
) -> bytes:
    """Encode one image for any target; `start` as in :class:`Settings`."""
    name, value = options.target
    if name in STACK_TARGETS:
        (file,) = run.drive(encode_stack([image], frame, options, run, start))
        return file.result()
    analysis = analyse([image], frame, settings_for(options, frame, start), run)
    levels = max(min(spec.shape) for spec in analysis.specs)

    def encode_level(level: int) -> bytes:
        """Encode at a step of the staircase, which ends at the largest useful rank of any matrix."""
        ranks = ranks_for(analysis.settings, analysis.specs, "quality", 100.0 * level / levels)
        (file,) = run.drive(code(analysis, ranks, run))
        return file.result()

    def decode(data: bytes) -> np.ndarray:
        out = np.empty(image.shape, np.uint8)
        run.drive(decode_stack([unpack(memoryview(data), 2**62, {("baseline", VERSION): parse})], [out], None, run))
        return out

    if name == "psnr" and not isinstance(image, np.ndarray):  # the pixels are compared on the host
        image = image.copy_to_host()
    return search_levels(encode_level, decode, image, levels, name, value)


def encode_stack(
    images: Sequence[Any],
    frame: Frame,
    options: EncodeOptions,
    run: Run,
    start: Callable[..., Task[Any]] = init_v,
) -> Task[list[Future[bytes]]]:
    """Encode equal-shaped images for a quality or a rank; the entropy coder may still be at work at the end."""
    settings = settings_for(options, frame, start)
    specs = matrices(frame, settings.color_space, settings.subsample, settings.patch_size)
    ranks = ranks_for(settings, specs, *options.target)
    return (yield from code(analyse(images, frame, settings, run), ranks, run))


def ranks_for(settings: Settings, specs: Sequence[MatrixSpec], name: str, value: Any) -> list[int]:
    """Ranks of the matrices of an image for a quality or a rank.

    A quality q gives R = max(1, round(min(M, N) q / 100)) (paper, section 4.1), chroma at q / 2. One rank stands
    for luma, and half of it for chroma, as in lrf.
    """
    if isinstance(value, tuple):
        values = [*value, value[0]] if len(value) == len(specs) - 1 and specs[-1].planes == (3,) else list(value)
        if len(values) != len(specs):
            raise OptionError(
                f"{name} has {len(values)} entries; this image has {len(specs)} matrices "
                f"({settings.color_space}, patch_size={settings.patch_size}): give one number or {len(specs)}"
            )
    else:
        values = [value * (0.5 if spec.chroma else 1.0) for spec in specs]
    sizes = [min(spec.shape) for spec in specs]
    if name == "quality":
        return [max(1, round(size * q / 100)) for size, q in zip(sizes, values, strict=True)]
    return [min(max(1, int(rank)), size) for rank, size in zip(values, sizes, strict=True)]


def analyse(images: Sequence[Any], frame: Frame, settings: Settings, run: Run) -> Analysis:
    """image -> planes -> X."""
    patches = run.kernels("patches")
    specs = matrices(frame, settings.color_space, settings.subsample, settings.patch_size)
    pixels, count = run.upload("images", images), len(images)
    stacks = []
    for _, group in groupby(range(len(specs)), key=lambda i: specs[i].shape if run.merges else i):
        indices = list(group)
        shape = patches.matrix_shape(len(indices) * count, *specs[indices[0]].shape)
        stacks.append((indices, run.array(f"x{indices[0]}", shape, np.uint8)))
    x = [stack[k * count : (k + 1) * count] for indices, stack in stacks for k in range(len(indices))]
    converted = 3 if frame.channels >= 3 and settings.color_space == "YCbCr" else 0
    if converted:
        patches.patchify_ycbcr(pixels, settings.subsample, settings.patch_size, *x[:converted], run.array)
    for spec, matrix in zip(specs[converted:], x[converted:], strict=True):
        for position, channel in enumerate(spec.planes):
            plane = _channel(pixels, channel, run)
            patches.patchify(plane, *spec.patch, matrix, position * spec.pixels)
    return Analysis(frame, settings, specs, count, stacks)


def _channel(images: Any, channel: int, run: Run) -> Any:
    """One channel of images as planes."""
    if images.shape[3] == 1:
        return images.reshape(images.shape[:3])
    return run.kernels("color").take_channel(images, channel, run.array(f"plane{channel}", images.shape[:3], np.uint8))


def code(analysis: Analysis, ranks: Sequence[int], run: Run) -> Task[list[Future[bytes]]]:
    """X -> U, V -> bytes: the files of all images."""
    factors = yield from factorize(analysis, ranks, run)
    parameters, frame = analysis.settings.parameters(ranks), analysis.frame
    if analysis.settings.adaptive:
        coder, frame = run.host_kernels(_ADAPTIVE), replace(frame, adaptive=True)
        items = [(coder, spec, *pair) for image in factors for pair, spec in zip(image, analysis.specs, strict=True)]
        pieces = run.submit_all(_encode_adaptive, items)
    else:
        pieces = run.submit_all(encode_columns, [factor for image in factors for pair in image for factor in pair])
    each = len(pieces) // len(factors)
    return [
        run.submit(_to_file, frame, parameters, pieces[first : first + each]) for first in range(0, len(pieces), each)
    ]


def _to_file(frame: Frame, parameters: Parameters, pieces: Sequence[Future[bytes]]) -> bytes:
    """The file with these coded factors: as many for each matrix, one after the other, as its segment is made of."""
    each = len(pieces) // len(parameters.ranks)
    coded = [piece.result() for piece in pieces]
    return pack(frame, serialize(parameters), [b"".join(coded[k : k + each]) for k in range(0, len(coded), each)])


def _encode_adaptive(item: tuple[ModuleType, MatrixSpec, np.ndarray, np.ndarray]) -> bytes:
    """The segment of U and V with adaptive tables."""
    coder, spec, *pair = item
    return coder.encode_factors([np.ascontiguousarray(factor.T, np.int16) for factor in pair], spec.images)


def factorize(analysis: Analysis, ranks: Sequence[int], run: Run) -> Task[list[list[tuple[np.ndarray, np.ndarray]]]]:
    """X -> U, V: for each image, for each matrix U (M, R) and V (N, R) on the host."""
    frame, settings, count = analysis.frame, analysis.settings, analysis.count
    parts = []  # numbers of the matrices that are factorized together, and their X
    for indices, x in analysis.stacks:
        for _, group in groupby(indices, key=ranks.__getitem__):
            same = list(group)
            first, last = same[0] - indices[0], same[-1] - indices[0] + 1
            parts.append((same, x[first * count : last * count]))
    side_by_side = frame.height * frame.width <= _LARGE
    inner = run.alone() if side_by_side else run

    def descent(same: list[int], x: Any) -> Task[Any]:
        rows, rank, name = analysis.specs[same[0]].shape[0], ranks[same[0]], f"{same[0]} "
        bounds, iterations = settings.bounds, settings.iterations
        u, v = yield from descend(x, rows, rank, bounds, iterations, inner, name, start=settings.start)
        if run.retains:  # nothing is on its way: what is laid out for the kernels need not be kept
            return (yield from download([(u, v, rows)], run))[0]
        return u, v, rows

    if side_by_side:
        found = yield from run.together(descent(*part) for part in parts)
    else:
        found = []
        for part in parts:
            found.append((yield from descent(*part)))
    here = found if run.retains else (yield from download(found, run))
    factors = {
        index: stack[k * count : (k + 1) * count]
        for (same, _), stack in zip(parts, here, strict=True)
        for k, index in enumerate(same)
    }
    return [[factors[index][b] for index in range(len(ranks))] for b in range(count)]


# --------------------------------------------------------------------------------------------------------- decoding


def stack_key(container: Container) -> tuple[Any, ...]:
    """What files must have in common to be decoded together: everything in the header."""
    return container.frame, container.parameters


def decode_stack(
    containers: Sequence[Container], outs: Sequence[Any], max_rank: int | None, run: Run, reduce: int = 1
) -> Task[None]:
    """bytes -> U, V -> X -> planes -> image, for files of one :func:`stack_key`; components are columns of U."""
    if reduce > 1:
        yield from _decode_reduced(containers, outs, max_rank, run, reduce)
        return
    frame, p = containers[0].frame, containers[0].parameters
    if frame.height * frame.width < _DECODED_ALONE:
        run = run.alone()
    specs, count = p.matrices(frame), len(containers)
    padded = run.kernels("patches").padded

    def decode_item(item: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        index, b = item
        u, v = _decode_factors(containers[b], index, specs[index], run)
        return _with_length(u, padded(u.shape[1])), v

    items = [(index, b) for index in range(len(specs)) for b in range(count)]
    found = yield from run.wait(run.submit_all(decode_item, items))
    factors = []
    for index in range(len(specs)):
        u, v = zip(*found[index * count : (index + 1) * count], strict=True)
        factors.append((run.upload(f"u{index}", u), run.upload(f"v{index}", v)))
    images = run.canvas(outs, (count, frame.height, frame.width, max(1, frame.channels)))
    whole = slice(0, frame.height)

    def region(rows: slice) -> Task[None]:
        planes = [plane for pair, spec in zip(factors, specs, strict=True) for plane in _multiply(*pair, spec, rows)]
        join(planes, p.color_space, images if rows == whole else images[:, rows], run)
        return
        yield

    def _multiply(u: Any, v: Any, spec: MatrixSpec, rows: slice) -> list[Any]:
        """Rows of the image of all planes of a matrix."""
        patches, (down, _) = run.kernels("patches"), spec.patch
        height, width = spec.plane_shape
        start, stop = (rows.start, rows.stop) if height == frame.height else (rows.start // 2, half(rows.stop))
        if rows != whole:
            u = u[:, :, start // down * spec.grid[1] : -(-stop // down) * spec.grid[1]]
        rank, bound = u.shape[1] if max_rank is None else min(u.shape[1], max_rank), max(-p.bounds[0], p.bounds[1])
        planes = []
        for position, plane in enumerate(spec.planes):
            planes.append(run.array(f"decoded{plane}", (count, stop - start, width), np.uint8))
            patches.depatchify(u, v, rank, *spec.patch, planes[-1], bound, position * spec.pixels)
        return planes

    yield from run.together(map(region, [whole] if run.merges else strips(frame.height, frame.width, run.threads)))
    yield from run.deliver(images, outs)


def _decode_reduced(
    containers: Sequence[Container], outs: Sequence[Any], max_rank: int | None, run: Run, reduce: int
) -> Task[None]:
    """The same for smaller pictures; their products, of hardly any work, are made on the host.

    Chroma of half the size is averaged over half as many samples and has the size of the other planes then.
    """
    frame, p = containers[0].frame, containers[0].parameters
    specs, small = p.matrices(frame), frame.reduced(reduce)

    def planes_of(item: tuple[MatrixSpec, Container]) -> list[np.ndarray]:
        spec, container = item
        u, v = (part[:max_rank] for part in _decode_factors(container, specs.index(spec), spec, run))
        times = reduce // 2 if p.subsample and spec.chroma else reduce
        return [_reduced_plane(u, v, spec, position, times) for position in range(len(spec.planes))]

    items = [(spec, container) for spec in specs for container in containers]
    found = yield from run.wait(run.submit_all(planes_of, items))
    planes = []
    for k, spec in enumerate(specs):
        of_images = found[k * len(containers) : (k + 1) * len(containers)]
        planes += [
            run.upload(f"reduced{n}", same) for n, same in zip(spec.planes, zip(*of_images, strict=True), strict=True)
        ]
    images = run.canvas(outs, (len(containers), small.height, small.width, max(1, small.channels)))
    join(planes, p.color_space, images, run)
    yield from run.deliver(images, outs)


def _reduced_plane(u: np.ndarray, v: np.ndarray, spec: MatrixSpec, position: int, reduce: int) -> np.ndarray:
    """Means over blocks of a plane, uint8, from U^T and V^T: blocks of a patch are summed in V, blocks of patches in U.

    Sums are exact in binary64: the factors are within +-2**15, a block has at most 64 samples.
    """
    entries = u.astype(np.float64).reshape(-1, *spec.grid)
    first = position * spec.pixels
    columns = v[:, first : first + spec.pixels].astype(np.float64).reshape(-1, *spec.patch)
    counts = []
    for axis, side in enumerate(spec.patch, 1):
        inside = min(side, reduce)
        entries, columns = (
            np.add.reduceat(factor, np.arange(0, factor.shape[axis], step), axis=axis)
            for factor, step in ((entries, reduce // inside), (columns, inside))
        )
        ones = np.ones(spec.grid[axis - 1] * side)
        counts.append(np.add.reduceat(ones, np.arange(0, len(ones), reduce)))
    (_, down, across), (_, high, wide) = entries.shape, columns.shape
    product = entries.reshape(len(entries), -1).T @ columns.reshape(len(columns), -1)
    sums = product.reshape(down, across, high, wide).transpose(0, 2, 1, 3).reshape(down * high, across * wide)
    means = np.floor(sums / np.multiply.outer(*counts) + 0.5)
    height, width = (-(-size // reduce) for size in spec.plane_shape)
    return np.ascontiguousarray(np.clip(means, 0, 255).astype(np.uint8)[:height, :width])


def _decode_factors(container: Container, index: int, spec: MatrixSpec, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """U^T (R, M) and V^T (R, N) from a segment."""
    p, (rows, columns) = container.parameters, spec.shape
    segment = container.segment(index)
    rank, (low, high) = p.ranks[index], p.bounds
    if container.frame.adaptive:
        data = bytes(segment.take(segment.left))
        (u, v), overrun = run.host_kernels(_ADAPTIVE).decode_factors(data, rank, spec.images, p.bounds)
        if overrun:
            raise FormatError(DAMAGED)
        return u.astype(p.dtype, copy=False), v.astype(p.dtype, copy=False)
    u = decode_columns(segment, rows, rank, low, high, p.dtype)
    v = decode_columns(segment, columns, rank, low, high, p.dtype)
    segment.end()
    return u.T, v.T


def _with_length(rows: np.ndarray, length: int) -> np.ndarray:
    """Rows of another length; what they hold in addition is undefined."""
    if rows.shape[1] == length:
        return rows
    out = np.empty((len(rows), length), rows.dtype)
    out[:, : rows.shape[1]] = rows
    return out


def join(planes: Sequence[Any], color_space: str, images: Any, run: Run) -> None:
    """planes -> image.

    Parameters
    ----------
    planes : sequence of array of uint8, shape (B, H, W)
        Gray, or three colours with chroma that may have half the size, which is repeated, and perhaps alpha.
    color_space : {"YCbCr", "RGB"}
        What the colours are.
    images : array of uint8, shape (B, H, W, C)
        Receives the images.
    run : Run
        Where they are.
    """
    color, first = run.kernels("color"), 0
    if len(planes) >= 3 and color_space == "YCbCr":
        color.ycbcr_to_rgb(*planes[:3], images)
        first = 3
    for channel in range(first, len(planes)):
        color.put_channel(planes[channel], channel, images)


def components(container: Container) -> dict[str, object]:
    """What :func:`imfnb.info` says with `components`: nothing, since factors are coded as they are."""
    return {}
