"""Patchification in plain NumPy, written to be read; `cpu` holds the twins that are fast."""

from __future__ import annotations

import numpy as np

from ..color.reference import rgb_to_ycbcr
from . import to_blocks

__all__ = ["depatchify", "patchify", "patchify_ycbcr"]


def patchify(plane: np.ndarray, patch_size: int, first: int, out: np.ndarray) -> None:
    """Write the patches of `plane` to p * p rows of blocks, from `first` on (paper, section 3.1, "patchification").

    The plane is extended to whole patches by reflection without repeating the border sample, as often as needed.
    """
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % patch_size), (0, -width % patch_size)), mode="reflect")
    rows, columns = padded.shape[0] // patch_size, padded.shape[1] // patch_size
    patches = padded.reshape(rows, patch_size, columns, patch_size).transpose(0, 2, 1, 3)
    blocks = to_blocks(patches.reshape(rows * columns, patch_size * patch_size))
    out[:, first : first + patch_size * patch_size] = blocks


def patchify_ycbcr(
    image: np.ndarray, subsample: bool, patch_size: int, y: np.ndarray, cb: np.ndarray, cr: np.ndarray
) -> None:
    """Convert RGB to YCbCr and write the patches of the three planes to blocks."""
    for plane, out in zip(rgb_to_ycbcr(image, subsample), (y, cb, cr), strict=True):
        patchify(plane, patch_size, 0, out)


def depatchify(u: np.ndarray, vt: np.ndarray, patch_height: int, patch_width: int, plane: np.ndarray) -> None:
    """Write clip(U V^T) into `plane`, patch by patch; `vt` is V^T, shape (R, N), in the dtype to add in."""
    height, width = plane.shape
    columns = -(-width // patch_width)
    rows = -(-height // patch_height)
    x = np.clip(u.astype(vt.dtype) @ vt, 0, 255).astype(np.uint8)
    tiles = x.reshape(rows, columns, patch_height, patch_width).transpose(0, 2, 1, 3)
    plane[...] = tiles.reshape(rows * patch_height, columns * patch_width)[:height, :width]
