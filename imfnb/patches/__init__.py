"""Patch stage: planes <-> the patch matrix X.

Row m of X is the m-th p x p patch in raster order, flattened row by row; N = p * p columns. X is stored column by
column (Fortran order), so that one pixel of consecutive patches is contiguous: the patch is the SIMD lane of the
kernels that follow.
"""

from __future__ import annotations

import numpy as np

from .._backend import kernels

__all__ = ["depatchify", "grid_shape", "patchify"]


def grid_shape(shape: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Number of patches along the height and the width of a plane, the last ones padded if need be."""
    return -(-shape[0] // patch_size), -(-shape[1] // patch_size)


def patchify(planes: list[np.ndarray], patch_size: int | None, device: str) -> np.ndarray:
    """Cut planes into patches.

    Parameters
    ----------
    planes : list of ndarray of uint8, shape (H, W)
        Planes of one size; with several (RGB), their patches are concatenated along the columns.
    patch_size : int or None
        Side p of a patch. Where p does not divide H or W, the plane is extended by reflection at the bottom and the
        right. None stands for no patches: X is the (only) plane itself.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    ndarray of uint8, shape (M, N), Fortran order
        The patch matrix; M = ceil(H / p) * ceil(W / p), N = len(planes) * p * p.
    """
    if patch_size is None:
        return np.asfortranarray(planes[0])
    rows, columns = grid_shape(planes[0].shape, patch_size)
    pixels = patch_size * patch_size
    transposed = np.empty((len(planes) * pixels, rows * columns), np.uint8)
    for c, plane in enumerate(planes):
        kernels("patches", device).patchify(plane, patch_size, transposed[c * pixels : (c + 1) * pixels])
    return transposed.T


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
