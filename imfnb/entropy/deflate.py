"""The baseline profile's entropy coder: every factor column deflated on its own (paper, section 3.4)."""

from __future__ import annotations

import zlib

import numpy as np

from ..errors import FormatError
from ..format.bytestream import Reader, put_varint

__all__ = ["ALL_STRATEGIES", "decode_columns", "encode_columns"]

# Columns hold small, noisy, centred integers, in which long matches are rare. Measured on every fourth of bsd34,
# bytes at ranks (2, 1, 1) / (5, 2, 2) / (20, 10, 10) with the paper's choice, level 9 and the default strategy, as 100:
# "filtered" level 9 96 / 94 / 92; run lengths only 96 / 92 / 88 in a tenth of the time. Only the first column, a small
# image of the means, gains from "filtered": trying both there and run lengths elsewhere gives 95 / 91 / 88, within 0.2%
# of trying both everywhere, in a third of the time.
_RUN_LENGTHS = ((9, zlib.Z_RLE),)
_FIRST_COLUMN = ((5, zlib.Z_FILTERED), *_RUN_LENGTHS)

#: All of zlib's strategies that can pay, for factors of any kind: the rivals' have other statistics.
ALL_STRATEGIES = ((9, zlib.Z_DEFAULT_STRATEGY), (9, zlib.Z_FILTERED), *_RUN_LENGTHS)


def _deflate(raw: bytes, strategies: tuple[tuple[int, int], ...]) -> bytes:
    """`raw` as the shortest raw deflate stream that the strategies give."""
    streams = []
    for level, strategy in strategies:
        coder = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
        streams.append(coder.compress(raw) + coder.flush())
    return min(streams, key=len)


def _inflate(stream: memoryview, size: int) -> bytes:
    """The `size` bytes behind a raw deflate stream; never allocates more."""
    coder = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        raw = coder.decompress(stream, size)
        complete = len(raw) == size and not coder.unconsumed_tail and not coder.decompress(b"", 1) and coder.eof
    except zlib.error as error:
        raise FormatError(f"damaged factor column: {error}") from None
    if not complete or coder.unused_data:
        raise FormatError(f"damaged factor column: expected {size} bytes in one deflate stream; the file is corrupt")
    return raw


def encode_columns(factor: np.ndarray, strategies: tuple[tuple[int, int], ...] | None = None) -> bytes:
    """Code a factor losslessly.

    Parameters
    ----------
    factor : ndarray of int8 or int16, shape (M, R)
        U or V.
    strategies : tuple of (int, int), optional
        zlib's levels and strategies to try on each column; by default those that pay for the factors of IMF.

    Returns
    -------
    bytes
        For each column its length in bytes (varint) and its deflate stream, little-endian values.
    """
    out = bytearray()
    for r in range(factor.shape[1]):
        raw = factor[:, r].astype(factor.dtype.newbyteorder("<")).tobytes()
        stream = _deflate(raw, strategies or (_RUN_LENGTHS if r else _FIRST_COLUMN))
        put_varint(out, len(stream))
        out += stream
    return bytes(out)


def decode_columns(reader: Reader, rows: int, rank: int, low: int, high: int, dtype: type) -> np.ndarray:
    """Decode a factor; the inverse of :func:`encode_columns`.

    Parameters
    ----------
    reader : Reader
        Positioned at the first column.
    rows, rank : int
        Shape (M, R) of the factor.
    low, high : int
        Bounds that every entry must respect.
    dtype : type
        numpy.int8 or numpy.int16.

    Returns
    -------
    ndarray of `dtype`, shape (M, R), Fortran order
        The factor.

    Raises
    ------
    FormatError
        If a stream is damaged, has another length, or holds a value outside the bounds.
    """
    transposed: np.ndarray = np.empty((rank, rows), dtype)
    stored = np.dtype(dtype).newbyteorder("<")
    for r in range(rank):
        raw = _inflate(reader.take(reader.varint()), rows * stored.itemsize)
        transposed[r] = np.frombuffer(raw, stored)
    if transposed.min() < low or transposed.max() > high:
        raise FormatError(f"damaged factor: a value lies outside the declared bounds [{low}, {high}]")
    return transposed.T
