"""V: integer DCT columns in zig-zag order, and what a basis update makes of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...entropy.basis_update import COLUMNS, ROWS, UPDATE_BITS
from ...entropy.layout import zigzag

__all__ = [
    "SCALE_BITS",
    "STEP_LIMIT",
    "STEP_MIN",
    "basis_update_matrices",
    "dct_basis",
    "magnitude_limit",
    "proxy_cosines",
    "scale_bits",
    "squared_length",
    "updated_basis",
]

#: round(2**14 cos(k pi / 32)), k = 0 .. 16.
_COSINES = (16384, 16305, 16069, 15679, 15137, 14449, 13623, 12665, 11585, 10394, 9102, 7723, 6270, 4756, 3196, 1606, 0)
#: V holds 2**s times the basis, X ~ 2**-s U V^T; s is at least this (see `scale_bits`).
SCALE_BITS = 2
#: A step is given in 1 / 2**STEP_BITS gray level (4 fractional bits and SCALE_BITS).
STEP_BITS = 6
#: Columns shorter than this are scaled up: rounding to integers would make them visibly non-orthogonal.
LENGTH_MIN = 1 << 11
#: Shortest step: below one gray level the magnitudes of component 0 could pass layout.MAGNITUDE_LIMIT / 2.
STEP_MIN = 1 << STEP_BITS
#: Longest step: 256 gray levels; keeps X V inside int32 (see `cpu.project`).
STEP_LIMIT = 1 << 14


def _cosine(k: int) -> int:
    """Return round(2**14 cos(k pi / 32)) of any integer k."""
    k %= 64
    if k > 32:
        k = 64 - k
    return _COSINES[k] if k <= 16 else -_COSINES[32 - k]


def scale_bits(step: int) -> int:
    """Return s of a step: SCALE_BITS, more for short steps so that columns of V have length LENGTH_MIN or more.

    With s = 2 throughout, noise coded at one gray level came back with an RMS error of 8.7 instead of 0.3 (p = 16).
    """
    s = SCALE_BITS
    while step << (s - SCALE_BITS) < LENGTH_MIN:
        s += 1
    return s


def squared_length(step: int) -> int:
    """Return the squared length of a column of the DCT basis before rounding."""
    return (step << (scale_bits(step) - SCALE_BITS)) ** 2


def magnitude_limit(step: int, patch_size: int) -> int:
    """Return the largest magnitude of U that `product` takes; larger ones are clamped to it.

    It is no more than three times what an 8-bit picture needs, which keeps the sums of hostile files inside int32.
    """
    return min(8191, 3 * 128 * 64 * patch_size // step + 1)


@lru_cache(maxsize=64)
def dct_basis(patch_size: int, step: int) -> np.ndarray:
    """Return V (N x N): column r is the 2-D DCT vector of zig-zag index r, of length step * 2**(s - 2).

    Integers only: with c_i(y) in 1 / 2**15 the entry is (length c_i(y) c_j(x)) / 2**30, rounded half up.

    Parameters
    ----------
    patch_size : int
        8 or 16.
    step : int
        In 1 / 64 gray level, STEP_MIN .. STEP_LIMIT.

    Returns
    -------
    int32 array of shape (patch_size**2, patch_size**2), read-only
    """
    p = patch_size
    stretch = 32 // (2 * p)
    table = np.array([[_cosine((2 * y + 1) * i * stretch) for y in range(p)] for i in range(p)], np.int64)
    table[0] = 11585
    # Rows of length sqrt(p / 2) * 2**14 so far; the product of two needs 2 / p, which is a power of two.
    order = zigzag(p)
    basis = np.einsum("ry,rx->ryx", table[order[:, 0]], table[order[:, 1]]).reshape(p * p, p * p)
    shift = 28 + (2 if p == 8 else 3)
    length = step << (scale_bits(step) - SCALE_BITS)
    columns = (basis * length + (1 << (shift - 1))) >> shift
    out = np.ascontiguousarray(columns.T).astype(np.int32)
    out.flags.writeable = False
    return out


@lru_cache(maxsize=2)
def proxy_cosines(patch_size: int) -> np.ndarray:
    """Return the rows cos((2 y + 1) i pi / (2 p)) of the DCT in 1 / 2**10, the first over sqrt(2), int32 (p, p)."""
    p = patch_size
    table = np.array([[_cosine((2 * y + 1) * i * (16 // p)) for y in range(p)] for i in range(p)], np.int32)
    table[0] = 11585
    out = (table + 8) >> 4
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
    bound = (step << (scale_bits(step) - SCALE_BITS)) // patch_size
    out = basis.copy()
    out[:, :COLUMNS] += np.clip(moved, -bound, bound).astype(np.int32)
    return out


def basis_update_matrices(update: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Return V in terms of the DCT basis, as `rebase` takes it.

    Parameters
    ----------
    update : ndarray of int32, shape (ROWS, COLUMNS)
        How V differs from the DCT basis.
    step : int
        Step in 1/64 gray level.

    Returns
    -------
    right : ndarray of int64, shape (ROWS, COLUMNS)
        C (see :mod:`imfnb.factorization.rdoq`) of the columns that may differ, in 1/2**UPDATE_BITS.
    gram : ndarray of int64, shape (ROWS, ROWS)
        V^T V of the columns that others may take up.
    """
    right = np.eye(ROWS, dtype=np.int64) << UPDATE_BITS
    right[:, :COLUMNS] += update
    gram = (right.T @ right * squared_length(step)) >> (2 * UPDATE_BITS)
    return np.ascontiguousarray(right[:, :COLUMNS]), gram
