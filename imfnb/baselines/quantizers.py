"""Scalar quantizers of real factors. A quantizer is its codebook: the values it knows, in increasing order."""

from __future__ import annotations

import numpy as np

from ..errors import FormatError
from ..format.bytestream import Reader

__all__ = ["lloyd_max", "quantize", "read_codebook", "read_uniform", "uniform"]

# Lloyd's iterations stop when the squared error falls by less than this share.
_TOLERANCE = 1e-4
_ITERATIONS = 200

# Entries of the factors of an image are below 255 sqrt(M N), those of balanced ones much smaller.
_LARGEST = 1e7


def uniform(values: np.ndarray, levels: int) -> np.ndarray:
    """Evenly spaced values from the least to the greatest, float32 of shape (levels,)."""
    return np.linspace(values.min(), values.max(), levels, dtype=np.float32)


def quantize(values: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """Index of the nearest entry of the codebook for each value, int64 of the shape of `values`."""
    return np.searchsorted((codebook[1:] + codebook[:-1]) / 2, values)


def lloyd_max(values: np.ndarray, levels: int, start: np.ndarray | None = None) -> np.ndarray:
    """Optimal scalar quantizer of given data (Lloyd 1982; Max 1960).

    Two steps in turn, of which neither can raise the squared error: each entry becomes the mean of the values of its
    cell, and the borders of the cells move midway between the entries.

    Parameters
    ----------
    values : ndarray of float
        The data, any shape.
    levels : int
        Number of entries.
    start : ndarray of float, shape (levels,), optional
        Codebook to start from; by default the uniform one.

    Returns
    -------
    ndarray of float32, shape (levels,)
        The codebook, in increasing order.
    """
    ordered = np.sort(values, axis=None).astype(np.float64)
    sums = np.concatenate(([0.0], np.cumsum(ordered)))
    codebook = np.asarray(uniform(ordered, levels) if start is None else start, np.float64)
    energy, previous = float(ordered @ ordered), np.inf
    for _ in range(_ITERATIONS):
        borders = np.searchsorted(ordered, (codebook[1:] + codebook[:-1]) / 2)
        starts, stops = np.concatenate(([0], borders)), np.concatenate((borders, [ordered.size]))
        counts, totals = stops - starts, sums[stops] - sums[starts]
        # The entry of an empty cell stays where it is.
        codebook = np.where(counts > 0, totals / np.maximum(counts, 1), codebook)
        error = energy - float(np.sum(totals**2 / np.maximum(counts, 1)))
        if error >= previous * (1.0 - _TOLERANCE):
            break
        previous = error
    return codebook.astype(np.float32)


def read_codebook(reader: Reader, levels: int) -> np.ndarray:
    """Read a codebook of float16 entries."""
    return _checked(np.frombuffer(reader.take(2 * levels), "<f2").astype(np.float32))


def read_uniform(reader: Reader, levels: int) -> np.ndarray:
    """Read a uniform codebook, of which the ends are stored as float32."""
    return uniform(_checked(np.frombuffer(reader.take(8), "<f4")), levels)


def _checked(codebook: np.ndarray) -> np.ndarray:
    if not np.all(np.abs(codebook) < _LARGEST):
        raise FormatError(f"damaged codebook: it has values beyond +-{_LARGEST:g}; the file is corrupt")
    return codebook
