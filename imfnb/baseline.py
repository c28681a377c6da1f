"""The baseline profile: the codec of the paper, from image to bytes and back.

Ashtari et al., "Quantization-free Lossy Image Compression Using Integer Matrix Factorization".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._backend import map_threads
from .bytestream import Reader, put_signed, put_varint
from .color import half, join_planes
from .container import Container, Frame, pack, unpack
from .entropy.deflate import decode_columns, encode_columns
from .errors import FormatError, OptionError
from .factorization import bcd, factor_dtype
from .options import BOUND_LIMIT, PATCH_SIZES, EncodeOptions
from .patches import depatchify, grid_shape, patchify
from .rate import search_levels
from .stripes import cut

__all__ = [
    "BaselineCoder",
    "Parameters",
    "decode_factors",
    "decode_image",
    "describe",
    "matrix_shapes",
    "parse",
    "plane_shape",
    "serialize",
]

# Planes above this number of pixels are factorized one after the other with all threads on each; smaller ones side
# by side, since a sweep is then shorter than handing it to a thread.
_LARGE = 1 << 21

# Images below this number of pixels, which take 2 ns each, are decoded on one thread: starting another takes as long.
_DECODED_ALONE = 1 << 20

COLOR_SPACES = ("YCbCr", "RGB")


@dataclass(frozen=True)
class Parameters:
    """Fields of the header that only this profile has.

    Attributes
    ----------
    color_space : {"YCbCr", "RGB"}
        What the three colour planes are.
    subsample : bool
        Whether chroma has half the size.
    patch_size : int or None
        Side of a patch; None: a plane is factorized as it is.
    bounds : (int, int)
        Smallest and largest entry of the factors.
    ranks : tuple of int
        Rank of each matrix.
    """

    color_space: str
    subsample: bool
    patch_size: int | None
    bounds: tuple[int, int]
    ranks: tuple[int, ...]


def _groups(frame: Frame, color_space: str, patch_size: int | None) -> list[list[int]]:
    """Which planes share a matrix: all three colours of RGB patches, otherwise each plane has its own."""
    if frame.channels < 3:
        return [[0]]
    joint = color_space == "RGB" and patch_size is not None
    groups = [[0, 1, 2]] if joint else [[0], [1], [2]]
    return groups + [[3]] if frame.channels == 4 else groups


def plane_shape(frame: Frame, plane: int, subsample: bool) -> tuple[int, int]:
    """Height and width of a plane."""
    if subsample and frame.channels >= 3 and plane in (1, 2):
        return half(frame.height), half(frame.width)
    return frame.height, frame.width


def matrix_shapes(
    frame: Frame, color_space: str, subsample: bool, patch_size: int | None
) -> list[tuple[list[int], tuple[int, int]]]:
    """For each matrix its planes and its shape (M, N)."""
    shapes = []
    for group in _groups(frame, color_space, patch_size):
        shape = plane_shape(frame, group[0], subsample)
        if patch_size is not None:
            rows, columns = grid_shape(shape, patch_size)
            shape = rows * columns, len(group) * patch_size * patch_size
        shapes.append((group, shape))
    return shapes


def _weights(groups: list[list[int]], frame: Frame, color_space: str) -> list[float]:
    """Share of the quality that each matrix gets: half for chroma (paper, section 4.1)."""
    chroma = frame.channels >= 3 and color_space == "YCbCr"
    return [0.5 if chroma and group[0] in (1, 2) else 1.0 for group in groups]


class BaselineCoder:
    """One image on its way to a file; a rate search tries several ranks on the same patch matrices.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        The image.
    frame : Frame
        Its description.
    options : EncodeOptions
        The validated options.
    device : {"cpu", "reference"}
        Which kernels to use.
    threads : int
        Largest number of threads.
    """

    def __init__(self, image: np.ndarray, frame: Frame, options: EncodeOptions, device: str, threads: int) -> None:
        self.image, self.frame, self.options, self.device, self.threads = image, frame, options, device, threads
        self.color_space = (options.color_space or "YCbCr") if frame.channels >= 3 else "YCbCr"
        chroma = frame.channels >= 3 and self.color_space == "YCbCr"
        self.subsample = chroma and options.subsampling != "4:4:4"
        self.patch_size = 8 if options.patch_size == "auto" else options.patch_size
        self.bounds = options.bounds or (-16, 15)
        self.iterations = options.iterations or 10
        self.shapes = matrix_shapes(frame, self.color_space, self.subsample, self.patch_size)
        self.groups = [group for group, _ in self.shapes]
        self.sizes = [min(shape) for _, shape in self.shapes]
        self._prepare()

    def _prepare(self) -> None:
        """Make the patch matrices."""
        self.matrices = patchify(self.image, self.color_space, self.subsample, self.patch_size, self.device)

    @property
    def levels(self) -> int:
        """Number of steps of the rank staircase: the largest useful rank of any matrix."""
        return max(self.sizes)

    def encode(self, name: str, value: Any) -> bytes:
        """Encode for a target: quality, rank, bpp, size or psnr."""
        if name in ("quality", "rank"):
            return self._encode(self.ranks(name, value))
        return search_levels(self.encode_level, self._decode, self.image, self.levels, name, value)

    def ranks(self, name: str, value: Any) -> list[int]:
        """Ranks of the matrices for a quality or a rank.

        A quality q gives R = max(1, round(min(M, N) q / 100)) (paper, section 4.1), chroma at q / 2. One rank stands
        for luma, and half of it for chroma, as in lrf.
        """
        if isinstance(value, tuple):
            values = self._per_matrix(value, name)
        else:
            values = [value * weight for weight in _weights(self.groups, self.frame, self.color_space)]
        if name == "quality":
            return [max(1, round(size * q / 100)) for size, q in zip(self.sizes, values, strict=True)]
        return [min(max(1, int(rank)), size) for rank, size in zip(values, self.sizes, strict=True)]

    def encode_level(self, level: int) -> bytes:
        """Encode at a step 1 .. `levels` of the staircase."""
        return self._encode(self.ranks("quality", 100.0 * level / self.levels))

    def _decode(self, data: bytes) -> np.ndarray:
        """The pixels of a file that this coder made."""
        out = np.empty_like(self.image)
        decode_image(unpack(memoryview(data), 2**62, {"baseline": parse}), out, self.device, self.threads)
        return out

    def _per_matrix(self, values: tuple, name: str) -> list:
        if len(values) == len(self.groups) - 1 and self.frame.channels == 4:
            values = (*values, values[0])  # alpha like luma
        if len(values) != len(self.groups):
            raise OptionError(
                f"{name} has {len(values)} entries; this image has {len(self.groups)} matrices "
                f"({self.color_space}, patch_size={self.patch_size}): give one number or {len(self.groups)}"
            )
        return list(values)

    def _encode(self, ranks: list[int]) -> bytes:
        return self.pack(ranks, self._factors(ranks))

    def _factors(self, ranks: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        """U (M x R) and V (N x R) of every matrix."""
        large = self.image.shape[0] * self.image.shape[1] > _LARGE

        def factors(index: int) -> tuple[np.ndarray, np.ndarray]:
            inner = self.threads if large else 1
            blocks, rows = self.matrices[index], self.shapes[index][1][0]
            return bcd(blocks, rows, ranks[index], self.bounds, self.iterations, self.device, inner)

        return map_threads(factors, range(len(ranks)), 1 if large else self.threads)

    def pack(self, ranks: list[int], pairs: list[tuple[np.ndarray, np.ndarray]]) -> bytes:
        """The file that holds these factors."""
        halves = [factor for pair in pairs for factor in pair]
        coded = map_threads(encode_columns, halves, self.threads)
        segments = [coded[i] + coded[i + 1] for i in range(0, len(coded), 2)]
        parameters = Parameters(self.color_space, self.subsample, self.patch_size, self.bounds, tuple(ranks))
        return pack(self.frame, serialize(parameters), segments)


def serialize(parameters: Parameters) -> bytes:
    """The profile's header fields as bytes."""
    out = bytearray([COLOR_SPACES.index(parameters.color_space) | parameters.subsample << 1])
    put_varint(out, parameters.patch_size or 0)
    put_signed(out, parameters.bounds[0])
    put_signed(out, parameters.bounds[1])
    for rank in parameters.ranks:
        put_varint(out, rank)
    return bytes(out)


def parse(reader: Reader, frame: Frame) -> tuple[Parameters, int, int]:
    """Read and check the profile's header fields; see :func:`imfnb.container.unpack`."""
    flags = reader.byte()
    if flags > 2 or (flags and frame.channels < 3):
        raise FormatError(f"damaged file: colour flags {flags} do not fit {frame.channels} channels")
    color_space, subsample = COLOR_SPACES[flags & 1], bool(flags & 2)
    patch_size = reader.varint() or None
    if patch_size not in PATCH_SIZES:
        raise FormatError(f"damaged file: patch size {patch_size}; expected one of {PATCH_SIZES}")
    low, high = reader.signed(), reader.signed()
    if not -BOUND_LIMIT <= low < high <= BOUND_LIMIT:
        raise FormatError(f"damaged file: factor bounds [{low}, {high}]")
    shapes = matrix_shapes(frame, color_space, subsample, patch_size)
    ranks = []
    working = 0
    for _, (rows, columns) in shapes:
        rank = reader.varint()
        if not 1 <= rank <= min(rows, columns):
            raise FormatError(f"damaged file: rank {rank} of a {rows} x {columns} matrix")
        ranks.append(rank)
        working += (rows + columns) * rank * np.dtype(factor_dtype((low, high))).itemsize
    working += frame.height * frame.width * max(1, frame.channels)
    parameters = Parameters(color_space, subsample, patch_size, (low, high), tuple(ranks))
    return parameters, len(shapes), working


def decode_factors(container: Container, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Decode one segment of a file.

    Parameters
    ----------
    container : Container
        The file.
    index : int
        Number of the matrix.

    Returns
    -------
    u : ndarray of int8 or int16, shape (M, R), Fortran order
        Left factor.
    v : ndarray of the same dtype, shape (N, R), Fortran order
        Right factor.

    Raises
    ------
    FormatError
        If the segment is damaged.
    """
    p = container.parameters
    _, (rows, columns) = matrix_shapes(container.frame, p.color_space, p.subsample, p.patch_size)[index]
    reader = container.segment(index)
    dtype = factor_dtype(p.bounds)
    u = decode_columns(reader, rows, p.ranks[index], *p.bounds, dtype)
    v = decode_columns(reader, columns, p.ranks[index], *p.bounds, dtype)
    reader.end()
    return u, v


def decode_image(container: Container, out: np.ndarray, device: str, threads: int, max_rank: int | None = None) -> None:
    """Decode the segments of a file into an image.

    Parameters
    ----------
    container : Container
        The file.
    out : ndarray of uint8, shape (H, W, C)
        Receives the image.
    device : {"cpu", "reference"}
        Which kernels to use.
    threads : int
        Largest number of threads.
    max_rank : int, optional
        Use only the first columns of every factor.

    Raises
    ------
    FormatError
        If a segment is damaged.
    """
    frame, p = container.frame, container.parameters
    groups = [group for group, _ in matrix_shapes(frame, p.color_space, p.subsample, p.patch_size)]
    threads = threads if frame.height * frame.width >= _DECODED_ALONE else 1
    factors = map_threads(lambda index: decode_factors(container, index), range(len(groups)), threads)

    def pixels(rows: slice) -> None:
        planes = []
        for group, (u, v) in zip(groups, factors, strict=True):
            height, width = plane_shape(frame, group[0], p.subsample)
            start, stop = (rows.start, rows.stop) if height == frame.height else (rows.start // 2, half(rows.stop))
            patch, columns = (1, 1) if p.patch_size is None else (p.patch_size, -(-width // p.patch_size))
            part = np.asfortranarray(u[start // patch * columns : -(-stop // patch) * columns, :max_rank])
            shape = stop - start, width
            planes += depatchify(part, v[:, :max_rank], shape, p.patch_size, max(-p.bounds[0], p.bounds[1]), device)
        join_planes(planes, p.color_space, out[rows], device)

    map_threads(pixels, cut(frame.height, frame.width, threads), threads)


def describe(container: Container) -> dict[str, object]:
    """The profile's part of :func:`imfnb.info`."""
    p = container.parameters
    shapes = matrix_shapes(container.frame, p.color_space, p.subsample, p.patch_size)
    if container.frame.channels < 3:
        names = ["gray"]
    else:
        names = [*(("Y", "Cb", "Cr") if p.color_space == "YCbCr" else ("R", "G", "B")), "alpha"]
    segments = {"".join(names[i] for i in group): n for (group, _), n in zip(shapes, container.sizes, strict=True)}
    return {
        "color_space": p.color_space if container.frame.channels >= 3 else "gray",
        "subsampling": "4:2:0" if p.subsample else "4:4:4",
        "patch_size": p.patch_size,
        "bounds": p.bounds,
        "ranks": p.ranks,
        "segments": segments,
    }
