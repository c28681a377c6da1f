"""Two entropy coders of integer factors: deflated columns, as in the baseline profile, and the main profile's coder."""

from __future__ import annotations

import numpy as np

from ..entropy import cpu, decode_checked
from ..entropy.deflate import ALL_STRATEGIES, decode_columns, encode_columns
from ..entropy.layout import active_ranks, pad_factors, unpad_factors
from ..errors import FormatError
from ..format.bytestream import Reader, put_varint

__all__ = ["CODERS", "decode_deflated", "decode_mixed", "encode_deflated", "encode_mixed"]

# The main profile's coder knows patches of 8 x 8 and of 16 x 16, which here means at most 64 and 256 columns.
_LARGEST = 256


def encode_deflated(factor: np.ndarray, grid: tuple[int, int]) -> bytes:
    """Deflate each column of a factor, int8 or int16 of shape (M, R), on its own; the grid makes no difference.

    All strategies of zlib are tried: for 8-bit factors those of the baseline profile take up to 10% more bytes than
    zlib's default one.
    """
    return encode_columns(factor, ALL_STRATEGIES)


def decode_deflated(
    reader: Reader, grid: tuple[int, int], rank: int, bounds: tuple[int, int], dtype: type
) -> np.ndarray:
    """The inverse of :func:`encode_deflated`."""
    return decode_columns(reader, grid[0] * grid[1], rank, *bounds, dtype)


def encode_mixed(factor: np.ndarray, grid: tuple[int, int]) -> bytes:
    """Code a factor with the main profile's context-mixing coder.

    Parameters
    ----------
    factor : ndarray of int8 or int16, shape (M, R)
        U, or V. Every column is an image of its own.
    grid : (int, int)
        Shape of these images, M samples.

    Returns
    -------
    bytes
        For each 256 columns the length (varint) and the coded bytes.
    """
    out = bytearray()
    for first in range(0, factor.shape[1], _LARGEST):
        padded = pad_factors(factor[:, first : first + _LARGEST].astype(np.int16), *grid)
        coded = cpu.encode_factors(padded, active_ranks(padded), grid[0], grid[1], _patch_size(len(padded)))
        put_varint(out, len(coded))
        out += coded
    return bytes(out)


def decode_mixed(reader: Reader, grid: tuple[int, int], rank: int, bounds: tuple[int, int], dtype: type) -> np.ndarray:
    """The inverse of :func:`encode_mixed`."""
    factor: np.ndarray = np.zeros((grid[0] * grid[1], rank), dtype)
    for first in range(0, rank, _LARGEST):
        count = min(rank - first, _LARGEST)
        coded = bytes(reader.take(reader.varint()))
        padded, _ = decode_checked(cpu, coded, grid[0], grid[1], _patch_size(count))
        found = unpad_factors(padded, *grid)
        if found.shape[1] > count or found.min() < bounds[0] or found.max() > bounds[1]:
            raise FormatError(f"damaged factor: {found.shape[1]} columns within [{found.min()}, {found.max()}]")
        factor[:, first : first + found.shape[1]] = found
    return factor


def _patch_size(rank: int) -> int:
    return 8 if rank <= 64 else 16


#: Encoder and decoder by what they are called in the names of codecs.
CODERS = {"deflate": (encode_deflated, decode_deflated), "main": (encode_mixed, decode_mixed)}
