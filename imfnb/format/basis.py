"""V: integer DCT columns in zig-zag order, and what a basis update makes of them. Section 9.1 of FORMAT.md."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np

from .basis_update import COLUMNS, ROWS, UPDATE_BITS
from .context_model import zigzag

__all__ = [
    "PLAIN",
    "Weighting",
    "column_length",
    "cosines",
    "dct_basis",
    "magnitude_limit",
    "scale_bits",
    "scaled_basis",
    "updated_basis",
    "weights_of",
]

#: round(2**14 cos(k pi / 32)), k = 0 .. 16.
COSINES = (16384, 16305, 16069, 15679, 15137, 14449, 13623, 12665, 11585, 10394, 9102, 7723, 6270, 4756, 3196, 1606, 0)

#: V holds 2**s times the basis, X ~ 2**-s U V^T; s is at least this (see `scale_bits`).
SCALE_BITS = 2

#: Columns shorter than this are scaled up: rounding to integers would make them visibly non-orthogonal.
LENGTH_MIN = 1 << 11

#: Magnitudes of U count up to three times what an 8-bit picture needs, in 1/64 gray level per side of a patch.
MAGNITUDES = 3 * 128 * 64


#: Weights of columns are given in 1/WEIGHT_ONE; no column is longer than WEIGHT_MAX says.
WEIGHT_ONE, WEIGHT_MAX = 64, 320

#: Range of the weight of the first column, in 1/WEIGHT_ONE, and largest strength, in 1/16. An encoder's X V of a first
#: column that is shorter by 1.6 stays within int32: |X v| <= 2**16 * 2**14 * 1.6.
FIRST_MIN, FIRST_MAX, STRENGTH_MAX = 40, 64, 64


@dataclass(frozen=True)
class Weighting:
    """How the lengths of the columns of V grow with the frequency, so that errors go where the eye sees them least.

    Attributes
    ----------
    first : int
        Weight of the first column, the mean of a patch, in 1/WEIGHT_ONE.
    strength : int
        a of the weights 1 + a f**1.5 of the others, in 1/16; f is sqrt(i**2 + j**2) / p.
    """

    first: int = WEIGHT_ONE
    strength: int = 0


#: All columns have the length of the step.
PLAIN = Weighting()


@lru_cache(maxsize=64)
def weights_of(patch_size: int, weighting: Weighting) -> tuple[int, ...]:
    """Return the weight of every column of V in 1/WEIGHT_ONE.

    With (i, j) the frequency of a component, n = i**2 + j**2 and a the strength in 1/16, it is 64 + 4 a f**1.5 rounded
    half up, f**1.5 being the fourth root of (n / p**2)**3 rounded down to 12 bits, and at most WEIGHT_MAX.
    """
    found = [weighting.first]
    for i, j in zigzag(patch_size)[1:].tolist():
        root = isqrt(isqrt(((i * i + j * j) ** 3 << 48) // patch_size**6))
        found.append(min(WEIGHT_ONE + ((4 * weighting.strength * root + (1 << 11)) >> 12), WEIGHT_MAX))
    return tuple(found)


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


def _lengths(patch_size: int, step: int, weighting: Weighting) -> np.ndarray:
    """Lengths of the columns of V: that of the step times the weight, rounded half up, int64 (p * p,)."""
    weights = np.array(weights_of(patch_size, weighting), np.int64)
    return (column_length(step) * weights + WEIGHT_ONE // 2) // WEIGHT_ONE


def dct_basis(patch_size: int, step: int, weighting: Weighting = PLAIN) -> np.ndarray:
    """Return V (N x N): column r is the 2-D DCT vector of zig-zag index r, of length step * 2**(s - 2) w_r.

    Integers only: with c_i(y) in 1 / 2**15 the entry is (length c_i(y) c_j(x)) / 2**30, rounded half up.

    Parameters
    ----------
    patch_size : int
        8 or 16.
    step : int
        In 1 / 64 gray level, constants.STEP_MIN .. constants.STEP_MAX.
    weighting : Weighting
        The weights w_r.

    Returns
    -------
    int32 array of shape (patch_size**2, patch_size**2), read-only
    """
    return _dct_basis(patch_size, step, weighting)


@lru_cache(maxsize=64)
def _dct_basis(patch_size: int, step: int, weighting: Weighting) -> np.ndarray:
    return scaled_basis(patch_size, _lengths(patch_size, step, weighting))


def scaled_basis(patch_size: int, lengths: np.ndarray) -> np.ndarray:
    """Return the DCT vectors in zig-zag order as columns of given lengths, int32 (p * p, p * p), read-only."""
    p, table = patch_size, cosines(patch_size)
    # Rows of length sqrt(p / 2) * 2**14 so far; the product of two needs 2 / p, which is a power of two.
    order = zigzag(p)
    basis = np.einsum("ry,rx->ryx", table[order[:, 0]], table[order[:, 1]]).reshape(p * p, p * p)
    shift = 28 + (2 if p == 8 else 3)
    columns = (basis * lengths[:, None] + (1 << (shift - 1))) >> shift
    out = np.ascontiguousarray(columns.T).astype(np.int32)
    out.flags.writeable = False
    return out


def updated_basis(patch_size: int, step: int, update: np.ndarray | None, weighting: Weighting = PLAIN) -> np.ndarray:
    """Return V where it may differ from the DCT basis V0: V0 (I + 2^-UPDATE_BITS D) in integers.

    Parameters
    ----------
    patch_size, step
        As in :func:`dct_basis`.
    update : ndarray of int32, shape (ROWS, COLUMNS), or None
        D; None stands for zeros.
    weighting : Weighting
        As in :func:`dct_basis`.

    Returns
    -------
    int32 array of shape (patch_size**2, patch_size**2)
        No entry is further than the length of its column / patch_size from that of V0, half of the largest there.
    """
    basis = dct_basis(patch_size, step, weighting)
    if update is None:
        return basis
    moved = (basis[:, :ROWS].astype(np.int64) @ update + (1 << (UPDATE_BITS - 1))) >> UPDATE_BITS
    bound = _lengths(patch_size, step, weighting)[:COLUMNS] // patch_size
    out = basis.copy()
    out[:, :COLUMNS] += np.clip(moved, -bound, bound).astype(np.int32)
    return out
