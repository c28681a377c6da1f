"""Residual stage: integer arrays of one or more bands <-> bytes, lossless.

Samples are predicted by a weighted sum of neighbours in their band and in up to three earlier ones, weights that least
squares find again for every block of 32 columns from what surrounds it; what the prediction misses is coded in units
that follow the misses around, by bins that are mixed of eight contexts as those of U are. Everything a decoder does
are integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import FormatError

__all__ = ["decode_residual_checked"]


def decode_residual_checked(
    coder: Any, data: bytes, shape: tuple[int, int, int], valid: np.ndarray | None = None
) -> np.ndarray:
    """Decode an array: ``decode_residual`` of a backend, where bytes that end too early are an error.

    Parameters
    ----------
    coder : module
        The backend, `cpu` or `reference`.
    data, shape, valid
        As in :func:`imfnb.entropy.residual.reference.decode_residual`.

    Returns
    -------
    ndarray of int32, shape (C, H, W)
        The samples.

    Raises
    ------
    FormatError
        If the bytes end before the array does.
    """
    samples, overrun = coder.decode_residual(data, shape, valid)
    if overrun:
        raise FormatError("damaged residual array: the coded data end too early; the file is corrupt")
    return samples
