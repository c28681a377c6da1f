"""Entropy stage: factors <-> bytes, lossless.

`deflate` is the coder of the baseline profile. That of the main profile is an adaptive binary range coder whose
probabilities come from a logistic mixture of eight contexts and a final adaptive map, all integers. U is coded
component by component, each a small image with one sample per patch; `layout` has its memory, `model` that of the
context model, whose numbers are in `format`. `basis_update` codes V where it differs from the DCT basis. Encoder and
decoder are one traversal with one definition of the contexts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import FormatError

__all__ = ["DAMAGED", "component_bytes", "decode_checked"]

#: What is wrong with bytes that end too early.
DAMAGED = "damaged factors: the coded data end too early; the file is corrupt"


def decode_checked(
    coder: Any,
    data: bytes,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    max_rank: int | None = None,
    companion: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Decode U: ``decode_factors`` of a backend, where bytes that end too early are an error.

    Parameters
    ----------
    coder : module
        The backend, `cpu` or `reference` of this package or of `neural`.
    data, grid_h, grid_w, patch_size, max_rank
        As in :func:`imfnb.entropy.reference.decode_factors`.
    companion
        As in :func:`imfnb.entropy.neural.reference.decode_factors`, for that coder only.

    Returns
    -------
    padded : ndarray of int16, shape (R, size)
        Padded component images.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch.

    Raises
    ------
    FormatError
        If the bytes end before the factors do.
    """
    helped = {} if companion is None else {"companion": companion}
    padded, ranks, overrun = coder.decode_factors(data, grid_h, grid_w, patch_size, max_rank, **helped)
    if overrun:
        raise FormatError(DAMAGED)
    return padded, ranks


def component_bytes(
    coder: Any,
    data: bytes,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    companion: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Count the bytes that each part of a segment takes.

    Parameters
    ----------
    coder, data, grid_h, grid_w, patch_size, companion
        As in :func:`decode_checked`.

    Returns
    -------
    spent : ndarray of int64, shape (patch_size**2 + 1,)
        Bytes of the first component (with the byte of the rank and the coder's start), of the map of active ranks, of
        the second component, and so on. Their sum is at most the length of `data`.
    factors : (ndarray of int16, ndarray of int32)
        U and the active ranks, as they are decoded.
    """
    spent = np.zeros(patch_size * patch_size + 1, np.int64)
    helped = {} if companion is None else {"companion": companion}
    padded, ranks, _ = coder.decode_factors(data, grid_h, grid_w, patch_size, None, spent, **helped)
    return np.diff(np.minimum(np.maximum.accumulate(spent) + 1, len(data)), prepend=0), (padded, ranks)
