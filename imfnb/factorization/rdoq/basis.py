"""What the encoder makes of the format's V: its lengths, X V by matrices, and the rows of the proxy's transform."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...format.basis import column_length, cosines
from ...format.basis_update import COLUMNS, ROWS, UPDATE_BITS

__all__ = ["basis_update_matrices", "proxy_cosines", "squared_length"]


def squared_length(step: int) -> int:
    """Return the squared length of a column of the DCT basis before rounding."""
    return column_length(step) ** 2


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
