"""The baseline profile on the GPU: image -> planes -> X -> U, V on the device, bytes on the CPU, and back."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from itertools import groupby
from typing import Any

import numpy as np

from .._backend import is_device_array
from ..baseline import BaselineCoder, decode_factors, matrix_shapes, parse, plane_shape
from ..color import cuda as color
from ..container import Container, Frame, unpack
from ..options import EncodeOptions
from ..patches import cuda as patches
from . import streams
from .descent import descend
from .transfer import Half, copy_all

__all__ = ["CHUNK_TARGETS", "Coder", "batch_key", "decode_chunk", "encode_chunk"]

#: Targets that a whole chunk of images can be encoded for; the others need a search for each image.
CHUNK_TARGETS = ("quality", "rank")


def _sides(shape: tuple[int, int], patch_size: int | None) -> tuple[int, int]:
    """Height and width of a patch: without patches, each row of the plane is one."""
    return (1, shape[1]) if patch_size is None else (patch_size, patch_size)


class Coder(BaselineCoder):
    """Equal-shaped images on their way to files; what is searched for concerns the first.

    Parameters
    ----------
    images : sequence of ndarray or device array of uint8, shape (H, W, C)
        The images.
    frame : Frame
        Their description.
    options : EncodeOptions
        The validated options.
    threads : int
        Largest number of threads for the entropy coder of one image.
    half : Half
        Stream and memory.
    pool : Executor
        Threads for starts that are found on the host, and for the entropy coder.
    """

    def __init__(
        self,
        images: Sequence[Any],
        frame: Frame,
        options: EncodeOptions,
        threads: int,
        half: Half,
        pool: Executor,
    ) -> None:
        self.images, self.half, self.pool = images, half, pool
        super().__init__(images[0], frame, options, "cuda", threads)

    def encode(self, name: str, value: Any) -> bytes:
        """Encode the first image for a target: quality, rank, bpp, size or psnr."""
        if name == "psnr" and is_device_array(self.image):  # the pixels are compared on the CPU
            self.image = self.image.copy_to_host()
        return super().encode(name, value)

    def _prepare(self) -> None:
        """Queue the making of the patch matrices: X^T of all images for each group of planes.

        Neighbouring groups of equal shape share an array, so that one launch can handle both.
        """
        images = self.half.upload("image", self.images)
        planes, count = self._planes(images), images.shape[0]
        self.runs = [list(run) for _, run in groupby(range(len(self.shapes)), key=lambda i: self.shapes[i][1])]
        self.matrices = []
        for run in self.runs:
            rows, columns = self.shapes[run[0]][1]
            xt = self.half.array(f"xt{run[0]}", (len(run) * count, columns, patches.padded(rows)), np.uint8)
            for place, index in enumerate(run):
                for position, i in enumerate(self.groups[index]):
                    sides = _sides((planes[i].shape[1], planes[i].shape[2]), self.patch_size)
                    part = xt[place * count : (place + 1) * count]
                    patches.patchify(planes[i], *sides, part, position * sides[0] * sides[1], self.half.stream)
            self.matrices.append(xt)

    def _planes(self, images: Any) -> list[Any]:
        """The planes of all images, as :func:`imfnb.color.split_planes` makes them of one."""
        count, half, stream = images.shape[0], self.half, self.half.stream
        channels = max(1, self.frame.channels)
        if channels == 1:
            return [images.reshape(count, self.frame.height, self.frame.width)]
        planes = [
            half.array(f"plane{i}", (count, *plane_shape(self.frame, i, self.subsample)), np.uint8)
            for i in range(channels)
        ]
        if self.color_space == "YCbCr":
            color.rgb_to_ycbcr(images, self.subsample, *planes[:3], stream)
        for i in range(3 if self.color_space == "YCbCr" else 0, channels):
            color.take_channel(images, i, planes[i], stream)
        return planes

    def _factors(self, ranks: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """U and V of every matrix of the first image."""
        pairs = streams.drive(self.factors(ranks), self.half)
        return [(u[0].T, v[0].T) for u, v in pairs]

    def factors(self, ranks: list[int]) -> streams.Task:
        """U^T (B, R, M), overwritten by the half's next task, and V^T (B, R, N) of every matrix."""
        queued, count = [], len(self.images)
        for xt, run in zip(self.matrices, self.runs, strict=True):
            rows = self.shapes[run[0]][1][0]
            for rank, same in groupby(run, key=lambda i: ranks[i]):
                indices = list(same)
                first = (indices[0] - run[0]) * count
                part = xt[first : first + len(indices) * count]
                name = f"{indices[0]} "
                arguments = part, rows, rank, self.bounds, self.iterations, self.half, self.pool, name
                ut, v = yield from descend(*arguments)
                both = self.half.download(f"{name}u out", ut), self.half.download(f"{name}v out", v)
                queued += [(*(array[i * count : (i + 1) * count] for array in both), rows) for i in range(len(indices))]
        yield None
        return [(u[:, :, :rows], np.ascontiguousarray(v.transpose(0, 2, 1)).astype(u.dtype)) for u, v, rows in queued]

    def _decode(self, data: bytes) -> np.ndarray:
        """The pixels of a file that this coder made."""
        out = np.empty(self.image.shape, np.uint8)
        container = unpack(memoryview(data), 2**62, {"baseline": parse})
        streams.drive(decode_chunk([container], [out], None, self.half, self.pool), self.half)
        return out


def encode_chunk(
    images: Sequence[Any], frame: Frame, options: EncodeOptions, half: Half, pool: Executor
) -> streams.Task:
    """Encode equal-shaped images for a quality or a rank.

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
        Threads for the work that stays on the CPU.

    Returns
    -------
    list of Future of bytes
        Through the task; the entropy coder may still be at work.
    """
    coder = Coder(images, frame, options, 1, half, pool)
    ranks = coder.ranks(*options.target)
    pairs = yield from coder.factors(ranks)
    files: list[Future] = []
    for i in range(len(images)):
        mine = [(u[i].T.copy(order="F"), v[i].T) for u, v in pairs]  # the half's memory is about to be used again
        files.append(pool.submit(coder.pack, ranks, mine))
    return files


def batch_key(container: Container) -> tuple[Any, ...]:
    """What files must have in common to be decoded together: everything in the header."""
    return container.frame, container.parameters


def decode_chunk(
    containers: Sequence[Container], outs: Sequence[Any], max_rank: int | None, half: Half, pool: Executor
) -> streams.Task:
    """Decode files with equal headers.

    Parameters
    ----------
    containers : sequence of Container
        The files; their frames and parameters are equal.
    outs : sequence of ndarray or device array of uint8, shape (H, W, C), C-contiguous
        Receive the images.
    max_rank : int, optional
        Use only the first components.
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
    frame, p = containers[0].frame, containers[0].parameters
    count, stream = len(containers), half.stream
    shapes = matrix_shapes(frame, p.color_space, p.subsample, p.patch_size)
    futures = [[pool.submit(decode_factors, c, index) for c in containers] for index in range(len(shapes))]
    yield [future for row in futures for future in row]
    planes: list[Any] = []
    for index, (group, (rows, _)) in enumerate(shapes):
        pairs = [future.result() for future in futures[index]]
        rank, dtype = p.ranks[index], pairs[0][0].dtype
        staging = half.pinned(f"u{index}", (count, rank, patches.padded(rows)), dtype)
        yield from copy_all([slot[:, :rows] for slot in staging], [u.T for u, _ in pairs], half.threads)
        ut = half.array(f"u{index}", staging.shape, dtype)
        ut.copy_to_device(staging, stream=stream)
        vt = half.upload(f"v{index}", [np.ascontiguousarray(v.T) for _, v in pairs])
        shape = plane_shape(frame, group[0], p.subsample)
        sides = _sides(shape, p.patch_size)
        for position, i in enumerate(group):
            plane = half.array(f"decoded{i}", (count, *shape), np.uint8)
            used = rank if max_rank is None else min(rank, max_rank)
            patches.depatchify(ut, vt, used, *sides, plane, position * sides[0] * sides[1], stream)
            planes.append(plane)
    channels = max(1, frame.channels)
    images = streams.canvas(outs, (count, frame.height, frame.width, channels), half)
    if channels >= 3 and p.color_space == "YCbCr":
        color.ycbcr_to_rgb(*planes[:3], images, stream)
    for i in range(3 if channels >= 3 and p.color_space == "YCbCr" else 0, channels):
        color.put_channel(planes[i], i, images, stream)
    yield from streams.deliver(images, outs, half)
