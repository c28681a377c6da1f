"""Patchification in plain NumPy, written to be read; `cpu` holds the twins that are fast."""

from __future__ import annotations

import numpy as np

__all__ = ["depatchify", "patchify"]


def patchify(plane: np.ndarray, patch_size: int, out: np.ndarray) -> None:
    """Write the patches of `plane` into the columns of `out`, shape (p * p, M) (paper, section 3.1, "patchification").

    The plane is extended to whole patches by reflection without repeating the border sample, as often as needed.
    """
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % patch_size), (0, -width % patch_size)), mode="reflect")
    rows, columns = padded.shape[0] // patch_size, padded.shape[1] // patch_size
    patches = padded.reshape(rows, patch_size, columns, patch_size).transpose(1, 3, 0, 2)
    out[...] = patches.reshape(patch_size * patch_size, rows * columns)


def depatchify(u: np.ndarray, vt: np.ndarray, patch_height: int, patch_width: int, plane: np.ndarray) -> None:
    """Write clip(U V^T) into `plane`, patch by patch; `vt` is V^T, shape (R, N), in the dtype to add in."""
    height, width = plane.shape
    columns = -(-width // patch_width)
    rows = -(-height // patch_height)
    x = np.clip(u.astype(vt.dtype) @ vt, 0, 255).astype(np.uint8)
    tiles = x.reshape(rows, columns, patch_height, patch_width).transpose(0, 2, 1, 3)
    plane[...] = tiles.reshape(rows * patch_height, columns * patch_width)[:height, :width]
