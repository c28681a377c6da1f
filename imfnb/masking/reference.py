"""The masking stage in plain NumPy, and what it is."""

from __future__ import annotations

import numpy as np

from .tuning import CELL, EDGES, OFFSET, SYMBOLS, WEIGHT, WINDOW

__all__ = ["classify"]


def classify(planes: np.ndarray, bits: int, scratch: np.ndarray, out: np.ndarray) -> None:
    """Find the activity of every block and what it stands for.

    Parameters
    ----------
    planes : ndarray of int32 or int16, shape (K, H, W)
        Luma in 1/16 gray level, within +-2**12.
    bits : int
        Binary logarithm of the side of a block, 3 to 8.
    scratch : ndarray of int64, shape (K, 2, ceil(H / CELL), ceil(W / CELL))
        Memory for the work of the kernels; what is in it is lost.
    out : ndarray of int32, shape (K, rows, columns)
        Receives the symbols, indexes of `format.masking.FACTORS`; rows = ceil(H / 2**bits), columns likewise.
    """
    side = 1 << bits
    reach, size = WINDOW // 2, WINDOW * WINDOW * CELL * CELL
    for plane, symbols in zip(planes, out, strict=True):
        height, width = plane.shape
        whole = np.pad(plane.astype(np.int64), ((0, -height % CELL), (0, -width % CELL)), mode="edge")
        cells = whole.reshape(whole.shape[0] // CELL, CELL, whole.shape[1] // CELL, CELL)
        first, second = (_windows(sums, reach) for sums in (cells.sum(axis=(1, 3)), (cells**2).sum(axis=(1, 3))))
        variance = (size * second - first * first) // (size * size)
        weights = WEIGHT // (variance + OFFSET)
        starts = [np.arange(0, length, side // CELL) for length in weights.shape]
        total = np.add.reduceat(np.add.reduceat(weights, starts[0], axis=0), starts[1], axis=1)
        counts = [np.minimum(side // CELL, n - s) for n, s in zip(weights.shape, starts, strict=True)]
        whole_weight = counts[0][:, None] * counts[1] * WEIGHT
        edges = (total[..., None] * np.array(EDGES, np.int64) <= whole_weight[..., None]).sum(axis=2)
        symbols[...] = np.array(SYMBOLS)[edges]


def _windows(cells: np.ndarray, reach: int) -> np.ndarray:
    """Sums over windows around every cell; beyond the borders the nearest cells count again."""
    padded = np.pad(cells, reach, mode="edge")
    height, width = cells.shape
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    return windows[:height, :width].sum(axis=(2, 3))
