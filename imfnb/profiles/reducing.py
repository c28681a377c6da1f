"""Pictures at a smaller size from samples that there are: sums and means over blocks.

The last blocks of rows and columns may be cut off by the border; they are means of what is there.
"""

from __future__ import annotations

import numpy as np

__all__ = ["block_counts", "block_means", "emptied"]


def block_sums(samples: np.ndarray, reduce: int) -> np.ndarray:
    """Sums of samples (H, W, ...) over blocks of `reduce` x `reduce`, binary64: exact for integers of 32 bits."""
    rows, columns = (np.arange(0, size, reduce) for size in samples.shape[:2])
    found = np.add.reduceat(samples, rows, axis=0, dtype=np.float64)
    return np.add.reduceat(found, columns, axis=1)


def block_counts(mask: np.ndarray, reduce: int) -> np.ndarray:
    """How many samples of every block are True, int32."""
    return block_sums(mask, reduce).astype(np.int32)


def block_means(samples: np.ndarray, reduce: int, out: np.ndarray, missing: np.ndarray | None = None) -> None:
    """Fill an array with the means over blocks; of integers rounded, halves up.

    Parameters
    ----------
    samples : ndarray, shape (H, W, C)
        Samples of any type.
    reduce : int
        Side of the blocks.
    out : ndarray of the same type, shape (ceil(H / reduce), ceil(W / reduce), C)
        Receives the means.
    missing : ndarray of bool, shape (H, W, 1) or (H, W, C), optional
        Samples that do not count. What has none that does is left alone.
    """
    if missing is None:
        counts = block_sums(np.ones((*samples.shape[:2], 1), np.bool_), reduce)
    else:
        samples = np.where(missing, samples.dtype.type(0), samples)
        counts = block_sums(~missing, reduce)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        means = block_sums(samples, reduce) / counts
        if samples.dtype.kind in "iu":
            means = np.floor(means + 0.5)
        np.copyto(out, means, where=counts > 0, casting="unsafe")


def emptied(missing: np.ndarray, reduce: int) -> np.ndarray:
    """Which blocks hold nothing but missing samples."""
    rows, columns = (np.arange(0, size, reduce) for size in missing.shape[:2])
    return np.logical_and.reduceat(np.logical_and.reduceat(missing, rows, axis=0), columns, axis=1)
