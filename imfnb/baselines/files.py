"""The files of the low-rank rivals: from an image to its matrices, one kind of file for all methods, and back.

A file is one byte that names the method and then a container with the header of the baseline profile, so the matrices,
the checks and the overhead are the same as there. What a segment holds is the method's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import FormatError, OptionError
from ..format.baseline_header import MatrixSpec, Parameters, parse, serialize
from ..format.bytestream import Reader
from ..format.container import MAX_PIXELS, VERSION, Container, Frame, pack, unpack
from ..options import EncodeOptions, check_image
from ..patches import from_blocks
from ..profiles import baseline
from ..runtime.run import HostRun

__all__ = [
    "INDEX_BOUNDS",
    "Block",
    "check_settings",
    "joined",
    "matrices",
    "open_file",
    "pack_file",
    "quality_ranks",
    "split",
    "unpack_file",
    "unpatched",
    "write_file",
]

# Methods by the first byte of their files; that of .imf files is 0x89.
_METHODS = ("svd", "svd-lloyd", "svd-main", "svd-lloyd-main", "imf-baseline-main", "jpeg-main", "hosvd", "tt")

#: Smallest and largest quantizer index.
INDEX_BOUNDS = (-128, 127)


@dataclass(frozen=True)
class Block:
    """Geometry of one matrix.

    Attributes
    ----------
    shape : (int, int)
        Rows M and columns N.
    grid : (int, int)
        Patches down and across, M in all: the rows of U seen as an image.
    patch : (int, int, int)
        Planes, rows and columns of a patch, N in all: the rows of V seen as an image.
    rank : int
        Number of columns of U and V.
    """

    shape: tuple[int, int]
    grid: tuple[int, int]
    patch: tuple[int, int, int]
    rank: int

    @property
    def grids(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Shapes of a column of U and of V as images."""
        planes, height, width = self.patch
        return self.grid, (planes * height, width)


def _blocks(frame: Frame, p: Parameters) -> list[Block]:
    return [
        Block(spec.shape, spec.grid, (len(spec.planes), *spec.patch), rank)
        for spec, rank in zip(p.matrices(frame), p.ranks, strict=True)
    ]


def check_settings(**settings: Any) -> EncodeOptions:
    """Options of the matrices (color_space, subsampling, patch_size), checked as those of the baseline profile."""
    return EncodeOptions(profile="baseline", **settings)


def split(image: np.ndarray, options: EncodeOptions) -> baseline.Analysis:
    """Make the matrices of an image; :func:`matrices` are they."""
    pixels, channels = check_image(image)
    frame = Frame("baseline", pixels.shape[0], pixels.shape[1], channels)
    return baseline.analyse([pixels], frame, baseline.settings_for(options, frame), HostRun("cpu", 1))


def matrices(analysis: baseline.Analysis) -> list[np.ndarray]:
    """The matrices of an image, uint8 of shape (M, N) each."""
    blocks = [x[0] for _, x in analysis.stacks]
    return [from_blocks(x, spec.shape[0]) for x, spec in zip(blocks, analysis.specs, strict=True)]


def quality_ranks(analysis: baseline.Analysis, level: float) -> list[int]:
    """Rank of each matrix at a quality in percent, as in the baseline profile: that of chroma is half as high."""
    if not 0.0 <= level <= 100.0:
        raise OptionError(f"level is {level!r}; expected a quality from 0 to 100 percent")
    return baseline.ranks_for(analysis.settings, analysis.specs, "quality", float(level))


def pack_file(
    method: str,
    analysis: baseline.Analysis,
    ranks: list[int],
    encode: Callable[[np.ndarray, Block], bytes],
    bounds: tuple[int, int] = INDEX_BOUNDS,
) -> bytes:
    """Encode the matrices of an image.

    Parameters
    ----------
    method : str
        Name of the codec.
    analysis : Analysis
        The image's matrices.
    ranks : list of int
        Rank of each matrix.
    encode : callable
        From a matrix, uint8 of shape (M, N), and its geometry to its segment.
    bounds : (int, int)
        Smallest and largest integer in the factors.

    Returns
    -------
    bytes
        The file.
    """
    parameters = replace(analysis.settings, bounds=bounds).parameters(ranks)
    blocks = _blocks(analysis.frame, parameters)
    segments = [encode(matrix, block) for matrix, block in zip(matrices(analysis), blocks, strict=True)]
    return write_file(method, analysis.frame, parameters, segments)


def write_file(method: str, frame: Frame, parameters: Parameters, segments: list[bytes]) -> bytes:
    """Put a file together from its segments."""
    return bytes([_METHODS.index(method)]) + pack(frame, serialize(parameters), segments)


def open_file(method: str, data: bytes) -> Container:
    """Take a file apart and check it; raises FormatError if it is damaged or another method's."""
    with memoryview(data).cast("B") as view:
        if not view or view[0] != _METHODS.index(method):
            raise FormatError(f"not a file of the codec {method!r}: it begins with {bytes(view[:1])!r}")
        with view[1:] as rest:
            container = unpack(rest, MAX_PIXELS, {("baseline", VERSION): parse})
    if container.padding:  # nothing pads these files, which never leave the laboratory
        raise FormatError(f"damaged file: {container.padding} bytes left over")
    return container


def unpack_file(method: str, data: bytes, decode: Callable[[Reader, Block], np.ndarray]) -> np.ndarray:
    """Decode a file of :func:`pack_file`.

    Parameters
    ----------
    method : str
        Name of the codec.
    data : bytes
        The file.
    decode : callable
        From the reader of a segment and the geometry of its matrix to the matrix, real numbers of shape (M, N).

    Returns
    -------
    ndarray of uint8, shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        The image.

    Raises
    ------
    FormatError
        If the file is damaged or another method's.
    """
    container = open_file(method, data)
    frame, p = container.frame, container.parameters
    planes = []
    for index, (spec, block) in enumerate(zip(p.matrices(frame), _blocks(frame, p), strict=True)):
        reader = container.segment(index)
        matrix = decode(reader, block)
        reader.end()
        planes += unpatched(np.clip(np.rint(np.nan_to_num(matrix)), 0, 255).astype(np.uint8), spec)
    return joined(planes, p.color_space, frame)


def unpatched(pixels: np.ndarray, spec: MatrixSpec) -> list[np.ndarray]:
    """The planes (H, W) behind a matrix of uint8, shape (M, N)."""
    (height, width), (rows, columns), (down, across) = spec.plane_shape, spec.grid, spec.patch
    tiles = pixels.reshape(rows, columns, len(spec.planes), down, across).transpose(2, 0, 3, 1, 4)
    whole = tiles.reshape(len(spec.planes), rows * down, columns * across)
    return [np.ascontiguousarray(plane[:height, :width]) for plane in whole]


def joined(planes: list[np.ndarray], color_space: str, frame: Frame) -> np.ndarray:
    """The image of planes (H, W) of uint8."""
    out = np.empty((1, frame.height, frame.width, max(1, frame.channels)), np.uint8)
    baseline.join([plane[None] for plane in planes], color_space, out, HostRun("cpu", 1))
    return out.reshape(frame.shape)
