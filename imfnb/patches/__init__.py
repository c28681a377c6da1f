"""Patch stage: planes <-> the patch matrices X.

Row m of X is the m-th patch in raster order, flattened row by row; it has a column for each pixel of a patch, N = p * p
for patches of p x p. A plane that is factorized as it is has its own rows for patches.

Each backend keeps a stack of B matrices in a layout of its own (`matrix_shape`). On the CPU and in the reference those
are blocks of LANES patches, shape (B, blocks, N, LANES): one pixel of consecutive patches is contiguous, since the
patch is the SIMD lane of the kernels that follow, and a block is contiguous too, since they work block by block; lanes
beyond the last patch are zero. On the GPU it is X^T, shape (B, N, S), with rows padded to S >= M entries. U, whose rows
are those of X, is laid out likewise. What is decoded is U^T, shape (B, R, M), on every backend.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layout import PatchGrid

__all__ = ["LANES", "block_shape", "from_blocks", "patch_matrix", "to_blocks"]

#: Patches per block. 64 pixels * 64 patches in float32 are 16 KiB, which leaves room in a first-level cache for U and
#: the sums; with 128 and 256 patches the product X V and the conversion from uint8 took 1.2 and 2.5 times as long.
LANES = 64


def block_shape(rows: int, columns: int) -> tuple[int, int, int]:
    """Shape of a matrix (M, N) in blocks of rows."""
    return -(-rows // LANES), columns, LANES


def to_blocks(matrix: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """A matrix (M, N) in blocks of rows, zero beyond row M, in `out` if that is given; see :func:`block_shape`."""
    rows, columns = matrix.shape
    whole = rows // LANES
    rest = rows - whole * LANES
    if out is None:
        out = np.empty(block_shape(rows, columns), matrix.dtype)
    out[:whole] = matrix.T[:, : whole * LANES].reshape(columns, whole, LANES).transpose(1, 0, 2)
    out[whole:, :, :rest] = matrix[whole * LANES :].T
    out[whole:, :, rest:] = 0
    return out


def from_blocks(blocks: np.ndarray, rows: int) -> np.ndarray:
    """The matrix (M, N), Fortran order, behind blocks of its rows; the inverse of :func:`to_blocks`."""
    return blocks.transpose(1, 0, 2).reshape(blocks.shape[1], -1)[:, :rows].T


def patch_matrix(backend: Any, plane: np.ndarray, patch_size: int) -> np.ndarray:
    """The patches of one plane as the rows of a matrix.

    Parameters
    ----------
    backend : module
        `cpu` or `reference`.
    plane : ndarray of uint8, shape (H, W)
        The plane.
    patch_size : int
        Side p of a patch.

    Returns
    -------
    ndarray of uint8, shape (M, p * p), Fortran order
        The matrix X.
    """
    height, width = plane.shape
    grid = PatchGrid((height, width), patch_size)
    x = np.empty(backend.matrix_shape(1, grid.rows * grid.columns, patch_size * patch_size), np.uint8)
    backend.patchify(plane[None], patch_size, patch_size, x)
    return from_blocks(x[0], grid.rows * grid.columns)
