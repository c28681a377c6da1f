"""What the encoder makes of the format's V: its lengths, X V by matrices, and the rows of the proxy's transform."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...format.basis import PLAIN, WEIGHT_ONE, Weighting, column_length, cosines, dct_basis, scaled_basis, weights_of
from ...format.basis_update import COLUMNS, ROWS, UPDATE_BITS

__all__ = ["analysis_basis", "basis_update_matrices", "proxy_cosines", "squared_length"]


def squared_length(step: int) -> int:
    """Return the squared length of a column of the DCT basis before rounding."""
    return column_length(step) ** 2


@lru_cache(maxsize=64)
def analysis_basis(patch_size: int, step: int, weighting: Weighting = PLAIN) -> np.ndarray:
    """Return what X is multiplied with to find U, (N x N): the columns of V, shortened by their weights.

    An error of u_r costs w_r**2 times as much squared error as one of an unweighted component, and counts as much: the
    distortion that RDOQ knows is that of the components in units of their own columns, as the weights mean it. With
    columns of length L / w_r for those of V, of length L w_r, X v_r' = 2**-s L**2 u_r whatever the weights are.

    Parameters
    ----------
    patch_size, step, weighting
        As in :func:`imfnb.format.basis.dct_basis`.

    Returns
    -------
    int32 array of shape (patch_size**2, patch_size**2), read-only
    """
    if weighting == PLAIN:
        return dct_basis(patch_size, step)
    weights = np.array(weights_of(patch_size, weighting), np.int64)
    return scaled_basis(patch_size, (2 * column_length(step) * WEIGHT_ONE + weights) // (2 * weights))


@lru_cache(maxsize=2)
def proxy_cosines(patch_size: int) -> np.ndarray:
    """Return the rows cos((2 y + 1) i pi / (2 p)) of the DCT in 1 / 2**10, the first over sqrt(2), int32 (p, p)."""
    out = ((cosines(patch_size) + 8) >> 4).astype(np.int32)
    out.flags.writeable = False
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
