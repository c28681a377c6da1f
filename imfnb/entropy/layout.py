"""How this coder lays out U in memory, and tables of the contexts in the form that the kernels want.

A component is one column of U seen as an image of grid_h x grid_w patches. All components of a plane are kept in one
padded array of shape (R, (grid_h + 3) * (grid_w + 4)), two guard rows above, one below and two guard columns on each
side, so that no neighbour of a patch needs a bounds check. Guards of components >= 1 stay zero; those of component 0
repeat the edge.
"""

from __future__ import annotations

import numpy as np

from ..format.context_model import LEVEL

#: Largest magnitude that is coded, and half of it in the first component: within what the format can express, which is
#: 8201, and its FIRST_LIMIT.
MAGNITUDE_LIMIT = 8191

#: Sums of magnitudes are clamped to this by the kernels. Four of them together, or 14 bytes, are an index of the tables
#: that follow, of levels and of levels up to some as bytes, without being compared with a limit.
SUM_LIMIT = 1000
LEVELS = np.pad(LEVEL, (0, 3 * SUM_LIMIT), mode="edge").astype(np.uint8)
LEVELS_6, LEVELS_7, LEVELS_9, LEVELS_11 = (np.minimum(LEVELS, limit) for limit in (6, 7, 9, 11))

#: Modes of the one traversal: write bytes or read them.
ENCODE, DECODE = 0, 1


def padded_size(grid_h: int, grid_w: int) -> tuple[int, int]:
    """Return (size, stride) of the padded image of one component."""
    stride = grid_w + 4
    return (grid_h + 3) * stride, stride


def pad_factors(factors: np.ndarray, grid_h: int, grid_w: int) -> np.ndarray:
    """Turn U, int16 (grid_h * grid_w, R), into padded component images, int16 (R, size)."""
    padded = np.zeros((factors.shape[1], grid_h + 3, grid_w + 4), np.int16)
    padded[:, 2 : 2 + grid_h, 2 : 2 + grid_w] = factors.T.reshape(factors.shape[1], grid_h, grid_w)
    return padded.reshape(factors.shape[1], -1)


def unpad_factors(padded: np.ndarray, grid_h: int, grid_w: int) -> np.ndarray:
    """Undo `pad_factors`: int16 (R, size) to int16 (grid_h * grid_w, R)."""
    images = padded.reshape(-1, grid_h + 3, grid_w + 4)[:, 2 : 2 + grid_h, 2 : 2 + grid_w]
    return np.ascontiguousarray(images.reshape(len(padded), -1).T)


def active_ranks(padded: np.ndarray) -> np.ndarray:
    """Return the index of the last nonzero component >= 1 of every padded position (0: none), int32 (size,)."""
    ranks = np.zeros(padded.shape[1], np.int32)
    for r in range(1, len(padded)):
        ranks[padded[r] != 0] = r
    return ranks
