"""V: integer DCT columns in zig-zag order, and what a basis update makes of them. Section 9.1 of FORMAT.md."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .basis_update import COLUMNS, ROWS, UPDATE_BITS
from .context_model import zigzag

#: round(2**14 cos(k pi / 32)), k = 0 .. 16.
COSINES = (16384, 16305, 16069, 15679, 15137, 14449, 13623, 12665, 11585, 10394, 9102, 7723, 6270, 4756, 3196, 1606, 0)

#: V holds 2**s times the basis, X ~ 2**-s U V^T; s is at least this (see `scale_bits`).
SCALE_BITS = 2

#: Columns shorter than this are scaled up: rounding to integers would make them visibly non-orthogonal.
LENGTH_MIN = 1 << 11

#: Magnitudes of U count up to three times what an 8-bit picture needs, in 1/64 gray level per side of a patch.
MAGNITUDES = 3 * 128 * 64


def cosines(patch_size: int) -> np.ndarray:
    """Return the rows cos((2 y + 1) i pi / (2 p)) of the DCT in 1 / 2**14, the first over sqrt(2), int64 (p, p)."""
    k = (2 * np.arange(patch_size) + 1) * np.arange(patch_size)[:, None] * (16 // patch_size) % 64
    k = np.minimum(k, 64 - k)
    table = np.where(k <= 16, 1, -1) * np.take(COSINES, np.where(k <= 16, k, 32 - k))
    table[0] = COSINES[8]
    return table.astype(np.int64)


def scale_bits(step: int) -> int:
    """Return s of a step: SCALE_BITS, more for short steps so that columns of V have length LENGTH_MIN or more.

    With s = 2 throughout, noise coded at one gray level came back with an RMS error of 8.7 instead of 0.3 (p = 16).
    """
    s = SCALE_BITS
    while step << (s - SCALE_BITS) < LENGTH_MIN:
        s += 1
    return s


def column_length(step: int) -> int:
    """Return the length of a column of the DCT basis before rounding, step * 2**(s - 2)."""
    return step << (scale_bits(step) - SCALE_BITS)


def magnitude_limit(step: int, patch_size: int) -> int:
    """Return the largest magnitude of U that `product` takes; larger ones are clamped to it.

    It is at most 6145, which keeps the sums of hostile files inside int32.
    """
    return MAGNITUDES * patch_size // step + 1


@lru_cache(maxsize=64)
def dct_basis(patch_size: int, step: int) -> np.ndarray:
    """Return V (N x N): column r is the 2-D DCT vector of zig-zag index r, of length step * 2**(s - 2).

    Integers only: with c_i(y) in 1 / 2**15 the entry is (length c_i(y) c_j(x)) / 2**30, rounded half up.

    Parameters
    ----------
    patch_size : int
        8 or 16.
    step : int
        In 1 / 64 gray level, constants.STEP_MIN .. constants.STEP_MAX.

    Returns
    -------
    int32 array of shape (patch_size**2, patch_size**2), read-only
    """
    p, table = patch_size, cosines(patch_size)
    # Rows of length sqrt(p / 2) * 2**14 so far; the product of two needs 2 / p, which is a power of two.
    order = zigzag(p)
    basis = np.einsum("ry,rx->ryx", table[order[:, 0]], table[order[:, 1]]).reshape(p * p, p * p)
    shift = 28 + (2 if p == 8 else 3)
    columns = (basis * column_length(step) + (1 << (shift - 1))) >> shift
    out = np.ascontiguousarray(columns.T).astype(np.int32)
    out.flags.writeable = False
    return out


def updated_basis(patch_size: int, step: int, update: np.ndarray | None) -> np.ndarray:
    """Return V where it may differ from the DCT basis V0: V0 (I + 2^-UPDATE_BITS D) in integers.

    Parameters
    ----------
    patch_size, step
        As in :func:`dct_basis`.
    update : ndarray of int32, shape (ROWS, COLUMNS), or None
        D; None stands for zeros.

    Returns
    -------
    int32 array of shape (patch_size**2, patch_size**2)
        No entry is further than length / patch_size from that of V0, half of the largest in V0.
    """
    basis = dct_basis(patch_size, step)
    if update is None:
        return basis
    moved = (basis[:, :ROWS].astype(np.int64) @ update + (1 << (UPDATE_BITS - 1))) >> UPDATE_BITS
    bound = column_length(step) // patch_size
    out = basis.copy()
    out[:, :COLUMNS] += np.clip(moved, -bound, bound).astype(np.int32)
    return out
