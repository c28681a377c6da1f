"""The stage on one thread of Numba: sums of integers in float64, which holds them exactly (see `reference`).

Sums of int64 would take three multiplications each where there is no AVX-512. A row of pixels is turned into rows of
bands first, so that neighbours are the SIMD lanes.
"""

from __future__ import annotations

import numpy as np

from ..format.lapped import INPUT_LIMIT
from ..runtime.jit import kernel
from .tuning import PLANE_LIMIT

__all__ = ["forward", "inverse", "limit"]

# Pixels at a time: the lines of a hundred bands stay in the second cache.
_RUN = 256

_jit = kernel(error_model="numpy")


@_jit
def _forward(samples, offsets, weights, shift, planes):
    height, width, bands = samples.shape
    lines, total = np.empty((bands, _RUN)), np.empty(_RUN)
    half, unit = np.float64((1 << shift) >> 1), 1.0 / np.float64(1 << shift)
    low, high = np.float64(-PLANE_LIMIT), np.float64(PLANE_LIMIT)
    for y in range(height):
        for start in range(0, width, _RUN):
            count = min(_RUN, width - start)
            for b in range(bands):
                offset, line = offsets[b], lines[b]
                for x in range(count):
                    line[x] = np.float64(samples[y, start + x, b] - offset)
            for k in range(planes.shape[0]):
                for x in range(count):
                    total[x] = half
                for b in range(bands):
                    weight, line = weights[b, k], lines[b]
                    for x in range(count):
                        total[x] += weight * line[x]
                target = planes[k, y, start:]
                for x in range(count):
                    target[x] = np.int32(min(max(np.floor(total[x] * unit), low), high))


@_jit
def _inverse(planes, offsets, matrix, shift, low, high, out):
    height, width, bands = out.shape
    columns = planes.shape[0]
    lines, total = np.empty((columns, _RUN)), np.empty(_RUN)
    half, unit = np.float64((1 << shift) >> 1), 1.0 / np.float64(1 << shift)
    for y in range(height):
        for start in range(0, width, _RUN):
            count = min(_RUN, width - start)
            for k in range(columns):
                source, line = planes[k, y, start:], lines[k]
                for x in range(count):
                    line[x] = np.float64(source[x])
            for b in range(bands):
                for x in range(count):
                    total[x] = half
                for k in range(columns):
                    weight, line = matrix[b, k], lines[k]
                    for x in range(count):
                        total[x] += weight * line[x]
                offset = np.float64(offsets[b])
                for x in range(count):
                    out[y, start + x, b] = np.int32(min(max(np.floor(total[x] * unit) + offset, low), high))


@_jit
def _limit(samples):
    low, high = np.int32(-INPUT_LIMIT), np.int32(INPUT_LIMIT)
    for n in range(samples.size):
        samples[n] = min(max(samples[n], low), high)


def forward(samples: np.ndarray, offsets: np.ndarray, weights: np.ndarray, shift: int, planes: np.ndarray) -> None:
    """Counterpart of :func:`imfnb.spectral.reference.forward`."""
    _forward(samples, offsets, weights.astype(np.float64), shift, planes)


def inverse(
    planes: np.ndarray, offsets: np.ndarray, matrix: np.ndarray, shift: int, low: int, high: int, out: np.ndarray
) -> None:
    """Counterpart of :func:`imfnb.spectral.reference.inverse`."""
    _inverse(planes, offsets, matrix.astype(np.float64), shift, float(low), float(high), out)


def limit(planes: np.ndarray) -> None:
    """Counterpart of :func:`imfnb.spectral.reference.limit`."""
    _limit(planes.reshape(-1))
