"""Patch stage: image <-> the patch matrices X of its planes.

Row m of X is the m-th p x p patch in raster order, flattened row by row; N = p * p columns. X is stored in blocks of
LANES patches, shape (B, N, LANES): one pixel of consecutive patches is contiguous, since the patch is the SIMD lane of
the kernels that follow, and a block is contiguous too, since they work block by block. Lanes beyond the last patch are
zero.
"""

from __future__ import annotations

import numpy as np

from .._backend import kernels
from ..color import half, split_planes

__all__ = ["LANES", "depatchify", "from_blocks", "grid_shape", "patch_matrix", "patchify", "to_blocks"]

#: Patches per block. 64 pixels * 64 patches in float32 are 16 KiB, which leaves room in a first-level cache for U and
#: the sums; with 128 and 256 patches the product X V and the conversion from uint8 took 1.2 and 2.5 times as long.
LANES = 64


def grid_shape(shape: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Number of patches along the height and the width of a plane, the last ones padded if need be."""
    return -(-shape[0] // patch_size), -(-shape[1] // patch_size)


def to_blocks(matrix: np.ndarray) -> np.ndarray:
    """A matrix (M, N) in blocks of rows, shape (B, N, LANES), with zeros beyond row M."""
    rows, columns = matrix.shape
    whole = rows // LANES
    out = np.zeros((-(-rows // LANES), columns, LANES), matrix.dtype)
    out[:whole] = matrix.T[:, : whole * LANES].reshape(columns, whole, LANES).transpose(1, 0, 2)
    out[whole:, :, : rows - whole * LANES] = matrix[whole * LANES :].T
    return out


def from_blocks(blocks: np.ndarray, rows: int) -> np.ndarray:
    """The matrix (M, N), Fortran order, behind blocks of its rows; the inverse of :func:`to_blocks`."""
    return blocks.transpose(1, 0, 2).reshape(blocks.shape[1], -1)[:, :rows].T


def patchify(
    image: np.ndarray, color_space: str, subsample: bool, patch_size: int | None, device: str
) -> list[np.ndarray]:
    """Split an image into planes and cut those into patches, in one pass over the image.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        C is 1 (gray), 3 (RGB) or 4 (RGBA).
    color_space : {"YCbCr", "RGB"}
        Planes to make of three colours. The patches of R, G and B are concatenated to one matrix of 3 p^2 columns.
    subsample : bool
        Whether Cb and Cr are averaged over 2x2 pixels.
    patch_size : int or None
        Side p of a patch. Where p does not divide the height or width of a plane, it is extended by reflection at the
        bottom and the right. None stands for no patches: each X is a plane itself, M = H, N = W.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    list of ndarray of uint8, shape (B, N, LANES)
        The patch matrices in blocks: gray, or Y, Cb, Cr, or RGB (without patches R, G, B), and alpha.
    """
    if patch_size is None:
        return [to_blocks(plane) for plane in split_planes(image, color_space, subsample, device)]
    height, width, channels = image.shape
    pixels = patch_size * patch_size

    def room(shape: tuple[int, int], count: int = 1) -> np.ndarray:
        rows, columns = grid_shape(shape, patch_size)
        blocks = np.empty((-(-rows * columns // LANES), count * pixels, LANES), np.uint8)
        blocks[-1] = 0  # all but lanes of the last block will be written
        return blocks

    backend = kernels("patches", device)
    chroma = (half(height), half(width)) if subsample else (height, width)
    if channels >= 3 and color_space == "YCbCr":
        out = [room((height, width)), room(chroma), room(chroma)]
        backend.patchify_ycbcr(image, subsample, patch_size, *out)
    else:
        out = [room((height, width), min(channels, 3))]
        for c in range(min(channels, 3)):
            backend.patchify(image[:, :, c], patch_size, c * pixels, out[0])
    if channels == 4:
        out.append(room((height, width)))
        backend.patchify(image[:, :, 3], patch_size, 0, out[-1])
    return out


def patch_matrix(plane: np.ndarray, patch_size: int, device: str) -> np.ndarray:
    """The patches of one plane as the rows of a matrix.

    Parameters
    ----------
    plane : ndarray of uint8, shape (H, W)
        The plane.
    patch_size : int
        Side p of a patch.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    ndarray of uint8, shape (M, p * p), Fortran order
        The matrix X.
    """
    rows, columns = grid_shape(plane.shape, patch_size)
    (blocks,) = patchify(plane[:, :, None], "YCbCr", False, patch_size, device)
    return from_blocks(blocks, rows * columns)


def depatchify(
    u: np.ndarray, v: np.ndarray, shape: tuple[int, int], patch_size: int | None, bound: int, device: str
) -> list[np.ndarray]:
    """Multiply the factors and put the patches back into planes.

    Parameters
    ----------
    u : ndarray of int8 or int16, shape (M, R)
        Left factor.
    v : ndarray of int8 or int16, shape (N, R)
        Right factor.
    shape : (int, int)
        Height and width of the planes.
    patch_size : int or None
        Side of a patch, or None if U V^T is the plane itself.
    bound : int
        Largest magnitude in the factors. Every sum is at most R * bound**2; the kernels add in float32 where that is
        below 2**24 and in float64 otherwise (R * 2**30 < 2**53), so all sums are exact.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    list of ndarray of uint8, shape `shape`
        round(clip(U V^T, 0, 255)): as many planes as V has rows for.
    """
    dtype = np.float32 if u.shape[1] * bound * bound < 2**24 else np.float64
    if patch_size is None:
        height, width = 1, shape[1]
    else:
        height = width = patch_size
    count = v.shape[0] // (width * height)
    planes = []
    for c in range(count):
        plane = np.empty(shape, np.uint8)
        vt = np.ascontiguousarray(v[c * width * height : (c + 1) * width * height].T.astype(dtype))
        kernels("patches", device).depatchify(u, vt, height, width, plane)
        planes.append(plane)
    return planes
