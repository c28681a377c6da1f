"""Patchification in plain NumPy, written to be read; `cpu` and `cuda` hold the counterparts that are fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..color.reference import rgb_to_ycbcr
from ..layout import half
from . import block_shape, from_blocks, to_blocks

__all__ = [
    "depatchify",
    "from_matrices",
    "host_matrix",
    "matrix_shape",
    "padded",
    "patchify",
    "patchify_ycbcr",
    "to_matrices",
]


def matrix_shape(count: int, rows: int, columns: int) -> tuple[int, ...]:
    """Shape of a stack of matrices in the layout of this backend: X (M x N), or U with R columns.

    Parameters
    ----------
    count : int
        Number of matrices B.
    rows, columns : int
        Shape of each.

    Returns
    -------
    tuple of int
        (B, blocks, N, LANES) on the CPU, (B, N, S) on the GPU.
    """
    return count, *block_shape(rows, columns)


def padded(patches: int) -> int:
    """Length of a row of the U^T that :func:`depatchify` takes, for so many patches."""
    return patches


def patchify(planes: np.ndarray, patch_height: int, patch_width: int, out: np.ndarray, first: int = 0) -> None:
    """Cut planes into patches (paper, section 3.1, "patchification").

    A plane is extended to whole patches by reflection without repeating the border sample, as often as needed.

    Parameters
    ----------
    planes : array of uint8, shape (B, H, W)
        The planes; on the CPU they may be channels of images.
    patch_height, patch_width : int
        Sides of a patch: 4, 8, 16 or 32 both, or 1 and W, which makes X the plane itself.
    out : array of uint8, of :func:`matrix_shape`
        Receives X, in the columns from `first` on.
    first : int
        Where the planes' pixels begin, if patches of several planes are concatenated.
    """
    height, width = planes.shape[1:]
    for plane, blocks in zip(planes, out, strict=True):
        extended = np.pad(plane, ((0, -height % patch_height), (0, -width % patch_width)), mode="reflect")
        rows, columns = extended.shape[0] // patch_height, extended.shape[1] // patch_width
        patches = extended.reshape(rows, patch_height, columns, patch_width).transpose(0, 2, 1, 3)
        pixels = patch_height * patch_width
        to_blocks(patches.reshape(rows * columns, pixels), blocks[:, first : first + pixels])


def ycbcr_planes(images: Any, subsample: bool, array: Callable[..., Any]) -> list[Any]:
    """Memory for Y, Cb and Cr of images, see :func:`patchify_ycbcr`."""
    count, height, width = images.shape[:3]
    chroma = (half(height), half(width)) if subsample else (height, width)
    shapes = (height, width), chroma, chroma
    return [array(f"plane{i}", (count, *shape), np.uint8) for i, shape in enumerate(shapes)]


def patchify_ycbcr(
    images: np.ndarray,
    subsample: bool,
    patch_size: int | None,
    y: np.ndarray,
    cb: np.ndarray,
    cr: np.ndarray,
    array: Callable[..., Any],
) -> None:
    """Convert RGB to YCbCr and cut the three planes into patches.

    Parameters
    ----------
    images : array of uint8, shape (B, H, W, C)
        RGB or RGBA.
    subsample : bool
        Whether Cb and Cr are averaged over 2x2 pixels.
    patch_size : int or None
        Side of a patch. None makes each X the plane itself.
    y, cb, cr : array of uint8, of :func:`matrix_shape`
        Receive X of each plane.
    array : callable
        Gives memory for a name, a shape and a dtype: for the planes, where they are made.
    """
    planes = ycbcr_planes(images, subsample, array)
    rgb_to_ycbcr(images, *planes)
    for plane, out in zip(planes, (y, cb, cr), strict=True):
        height, width = (1, plane.shape[2]) if patch_size is None else (patch_size, patch_size)
        patchify(plane, height, width, out)


def depatchify(
    u: np.ndarray,
    v: np.ndarray,
    rank: int,
    patch_height: int,
    patch_width: int,
    planes: np.ndarray,
    bound: int,
    first: int = 0,
) -> None:
    """Multiply the factors and put the patches back: clip(U V^T, 0, 255).

    Parameters
    ----------
    u : array of int8 or int16, shape (B, R, S)
        U^T; the first M columns count.
    v : array of the same dtype, shape (B, R, N)
        V^T.
    rank : int
        Number of components to use, at most R.
    patch_height, patch_width : int
        Sides of a patch, as in :func:`patchify`.
    planes : array of uint8, shape (B, H, W), C-contiguous
        Receives the planes.
    bound : int
        Largest magnitude in the factors. Every sum is at most `rank` * bound**2; the CPU adds in float32 where that is
        below 2**24 and in float64 otherwise (R * 2**30 < 2**53), the GPU in integers, so that all sums are exact.
    first : int
        Where the planes' pixels begin in V, if patches of several planes are concatenated.
    """
    height, width = planes.shape[1:]
    rows, columns = -(-height // patch_height), -(-width // patch_width)
    dtype = np.float32 if rank * bound * bound < 2**24 else np.float64
    chosen = slice(first, first + patch_height * patch_width)
    for left, right, plane in zip(u, v, planes, strict=True):
        product = left[:rank, : rows * columns].T.astype(dtype) @ right[:rank, chosen].astype(dtype)
        x = np.clip(product, 0, 255).astype(np.uint8)
        tiles = x.reshape(rows, columns, patch_height, patch_width).transpose(0, 2, 1, 3)
        plane[...] = tiles.reshape(rows * patch_height, columns * patch_width)[:height, :width]


def from_matrices(matrices: np.ndarray, out: np.ndarray) -> None:
    """Put matrices of any origin into the layout of this backend.

    Parameters
    ----------
    matrices : array, shape (B, M, N)
        The matrices.
    out : array of the same dtype, of :func:`matrix_shape`
        Receives them.
    """
    for matrix, blocks in zip(matrices, out, strict=True):
        to_blocks(matrix, blocks)


def to_matrices(x: np.ndarray, out: np.ndarray) -> None:
    """The inverse of :func:`from_matrices`."""
    for blocks, matrix in zip(x, out, strict=True):
        matrix[...] = from_blocks(blocks, len(matrix))


def host_matrix(x: np.ndarray, rows: int) -> np.ndarray:
    """One matrix of a stack that has been fetched to the host.

    Parameters
    ----------
    x : ndarray, shape (blocks, N, LANES) on the CPU, (N, S) on the GPU
        The matrix in the layout of this backend.
    rows : int
        Number of rows M.

    Returns
    -------
    ndarray, shape (M, N), Fortran order
        The matrix; from the GPU a copy, since the memory that it was fetched to is used again.
    """
    return from_blocks(x, rows)
