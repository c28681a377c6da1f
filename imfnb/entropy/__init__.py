"""Entropy stage: factors <-> bytes, lossless.

`deflate` is the coder of the baseline profile. The functions here are that of the main profile: an adaptive binary
range coder whose probabilities come from a logistic mixture of eight contexts and a final adaptive map, all integers.
U is coded component by component, each a small image with one sample per patch; `layout` has its memory, `model` that
of the context model, whose numbers are in `format`. `basis_update` codes V where it differs from the DCT basis. Encoder
and decoder are one traversal with one definition of the contexts.
"""

from __future__ import annotations

import numpy as np

from ..runtime.devices import kernels
from ..errors import FormatError

__all__ = ["component_bytes", "decode_basis_update", "decode_factors", "encode_basis_update", "encode_factors"]


def encode_factors(
    padded: np.ndarray, ranks: np.ndarray, grid_h: int, grid_w: int, patch_size: int, device: str
) -> bytes:
    """Code U losslessly.

    Parameters
    ----------
    padded : ndarray of int16, shape (R, size)
        `layout.pad_factors` of U: magnitudes at most layout.MAGNITUDE_LIMIT / 2 in the first component and
        layout.MAGNITUDE_LIMIT elsewhere. The guards of the first component are overwritten.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch, the index of its last nonzero component; zero in the guards.
    grid_h, grid_w : int
        Patches down and across.
    patch_size : {8, 16}
        Side of a patch; R <= patch_size**2.
    device : {"cpu", "reference"}
        Which kernels to use.

    Returns
    -------
    bytes
        One segment.
    """
    return kernels("entropy", device).encode_factors(padded, ranks, grid_h, grid_w, patch_size)


def decode_factors(
    data: bytes, grid_h: int, grid_w: int, patch_size: int, max_rank: int | None, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Decode U: the inverse of :func:`encode_factors`.

    The work is bounded by the grid and the rank for any bytes, and no byte can lead to an access outside of an array.

    Parameters
    ----------
    data : bytes
        One segment.
    grid_h, grid_w : int
        Patches down and across.
    patch_size : {8, 16}
        Side of a patch.
    max_rank : int or None
        Stop after this number of components.
    device : {"cpu", "reference"}
        Which kernels to use.

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
    padded, ranks, overrun = kernels("entropy", device).decode_factors(data, grid_h, grid_w, patch_size, max_rank)
    if overrun:
        raise FormatError("damaged factors: the coded data end too early; the file is corrupt")
    return padded, ranks


def encode_basis_update(update: np.ndarray, patch_size: int) -> bytes:
    """Code V losslessly, as its difference from the DCT basis.

    Parameters
    ----------
    update : ndarray of int32, shape (ROWS, COLUMNS) of `format.basis_update`
        How much of each column of the DCT basis is added to the columns of V, in 2^-UPDATE_BITS;
        magnitudes at most UPDATE_LIMIT. Multiples of a power of two per column cost fewer bits.
    patch_size : {8, 16}
        Side of a patch.

    Returns
    -------
    bytes
        A few dozen bytes.
    """
    from .basis_update import encode_basis_update

    return encode_basis_update(update, patch_size)


def decode_basis_update(data: bytes, patch_size: int) -> np.ndarray:
    """Decode V: the inverse of :func:`encode_basis_update`. Any bytes give entries within the limit, in bounded time.

    Raises
    ------
    FormatError
        If the bytes end before V does.
    """
    from .basis_update import decode_basis_update

    return decode_basis_update(data, patch_size)


def component_bytes(data: bytes, grid_h: int, grid_w: int, patch_size: int) -> np.ndarray:
    """Count the bytes that each part of a segment takes.

    Parameters
    ----------
    data, grid_h, grid_w, patch_size
        As in :func:`decode_factors`.

    Returns
    -------
    ndarray of int64, shape (patch_size**2 + 1,)
        Bytes of the first component (with the byte of the rank and the coder's start), of the map of active ranks, of
        the second component, and so on. Their sum is at most the length of `data`.
    """
    spent = np.zeros(patch_size * patch_size + 1, np.int64)
    kernels("entropy", "cpu").decode_factors(data, grid_h, grid_w, patch_size, None, spent)
    return np.diff(np.minimum(np.maximum.accumulate(spent) + 1, len(data)), prepend=0)
