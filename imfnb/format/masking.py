"""Steps of patches of their own: what a map of symbols stands for. Section 9.2 of FORMAT.md."""

from __future__ import annotations

import numpy as np

from ..layout import PatchGrid, PlaneSpec

__all__ = ["FACTORS", "FAR_LIMIT", "SIDE_BITS", "map_shape", "steps_of_patches"]

#: Step of a patch relative to that of its plane, in 1/16, by symbol: quarter octaves around 1.
FACTORS = (8, 10, 11, 13, 16, 19, 23, 27, 32)

_FACTORS = np.array(FACTORS, np.int32)

#: Smallest and largest binary logarithm of the side of a block, in samples of luma.
SIDE_BITS = (3, 8)

#: Differences from the mean of a patch are clamped to this before they are multiplied.
FAR_LIMIT = 1 << 20


def map_shape(height: int, width: int, bits: int) -> tuple[int, int]:
    """Number of blocks down and across of a picture."""
    return -(-height >> bits), -(-width >> bits)


def steps_of_patches(symbols: np.ndarray, bits: int, spec: PlaneSpec, grid: PatchGrid) -> np.ndarray:
    """The step of every patch of a plane: that of the block in which its centre lies.

    Parameters
    ----------
    symbols : ndarray of uint8, shape by :func:`map_shape`
        A symbol for every block.
    bits : int
        Binary logarithm of the side of a block, in samples of luma.
    spec : PlaneSpec
        The plane.
    grid : PatchGrid
        Its patches.

    Returns
    -------
    ndarray of int32, shape (rows, columns) of the grid
        In 1/16 of the step of the plane.
    """
    p = grid.coded_size
    centres = [((np.arange(count) * p + p // 2) << spec.subsampled) >> bits for count in (grid.rows, grid.columns)]
    rows, columns = (np.minimum(found, size - 1) for found, size in zip(centres, symbols.shape, strict=True))
    return np.take(_FACTORS, symbols[rows[:, None], columns])
