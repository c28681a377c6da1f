"""The stage as CUDA kernels: sums of int64, which hold them exactly (see `reference`).

A thread has one pixel and some columns, or bands, whose sums are in its registers; neighbours have neighbouring pixels,
so that planes are read and written in whole lines. In the array the bands of a pixel are neighbours: a block takes some
bands of its pixels through shared memory, where threads can turn them. Weights are the same for all threads at a time.

Per pixel, for C bands and K columns: C K products of 32 by 32 bits, and 4 (C K / 8 + K) bytes, or 4 (C K / 16 + C).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int32, int64

from ..format.lapped import INPUT_LIMIT
from ..runtime.cuda import SIMULATED, blocks, kernel, stream, tile_of_block
from ..runtime.cuda import cuda as _cuda
from .tuning import PLANE_LIMIT

__all__ = ["forward", "inverse", "limit"]

# Pixels of a block, which has a thread for each; the simulator starts a Python thread for each.
_PIXELS = 16 if SIMULATED else 128

# Columns whose sums a thread of `forward` has, and bands that are read at a time; bands whose sums one of `inverse`
# has, and columns read at a time. Both products are the threads of a block, each of which reads a weight.
_SUMS, _BANDS = 8, _PIXELS // 8
_WIDE, _COLUMNS = (8, 2) if SIMULATED else (16, 8)

# Rows of pixels in shared memory begin in different banks.
_PITCH, _WIDE_PITCH = _BANDS + 1, _WIDE + 1

_LOW, _HIGH = np.int64(-PLANE_LIMIT), np.int64(PLANE_LIMIT)
_LEAST, _MOST = np.int32(-INPUT_LIMIT), np.int32(INPUT_LIMIT)


@kernel("void(int32[:,::1], int32[::1], int32[:,::1], int32, int32[:,::1])")
def _forward(samples, offsets, weights, shift, planes):
    tile = _cuda.shared.array((_PIXELS, _PITCH), int32)
    part = _cuda.shared.array((_BANDS, _SUMS), int32)
    total = _cuda.local.array(_SUMS, int64)
    pixels, bands, columns = samples.shape[0], np.int32(samples.shape[1]), np.int32(planes.shape[0])
    _, group, place = tile_of_block((columns + _SUMS - 1) // _SUMS, (pixels + _PIXELS - 1) // _PIXELS)
    start, t = int64(place) * _PIXELS, np.int32(_cuda.threadIdx.x)
    column = np.int32(group * _SUMS)
    for j in range(_SUMS):
        total[j] = int64(0)
    for first in range(np.int32(0), bands, np.int32(_BANDS)):
        for i in range(_BANDS):
            entry = np.int32(i * _PIXELS + t)
            pixel, band = np.int32(entry // _BANDS), np.int32(entry % _BANDS)
            value = np.int32(0)
            if start + pixel < pixels and first + band < bands:
                value = np.int32(samples[start + pixel, first + band] - offsets[first + band])
            tile[pixel, band] = value
        row, across = np.int32(t // _SUMS), np.int32(t % _SUMS)
        weight = np.int32(0)
        if first + row < bands and column + across < columns:
            weight = weights[first + row, column + across]
        part[row, across] = weight
        _cuda.syncthreads()
        for b in range(_BANDS):
            value = tile[t, b]
            for j in range(_SUMS):
                total[j] += int64(value) * int64(part[b, j])
        _cuda.syncthreads()
    half = (int64(1) << int64(shift)) >> int64(1)
    if start + t < pixels:
        for j in range(_SUMS):
            if column + j < columns:
                found = (total[j] + half) >> int64(shift)
                planes[column + j, start + t] = np.int32(min(max(found, _LOW), _HIGH))


@kernel("void(int32[:,::1], int32[::1], int32[:,::1], int32, int32, int32, int32[:,::1])")
def _inverse(planes, offsets, matrix, shift, low, high, out):
    tile = _cuda.shared.array((_PIXELS, _WIDE_PITCH), int32)
    part = _cuda.shared.array((_WIDE, _COLUMNS), int32)
    total = _cuda.local.array(_WIDE, int64)
    pixels, bands, columns = out.shape[0], np.int32(out.shape[1]), np.int32(planes.shape[0])
    _, group, place = tile_of_block((bands + _WIDE - 1) // _WIDE, (pixels + _PIXELS - 1) // _PIXELS)
    start, t = int64(place) * _PIXELS, np.int32(_cuda.threadIdx.x)
    band = np.int32(group * _WIDE)
    for j in range(_WIDE):
        total[j] = int64(0)
    for first in range(np.int32(0), columns, np.int32(_COLUMNS)):
        row, across = np.int32(t // _COLUMNS), np.int32(t % _COLUMNS)
        weight = np.int32(0)
        if band + row < bands and first + across < columns:
            weight = matrix[band + row, first + across]
        part[row, across] = weight
        _cuda.syncthreads()
        for k in range(_COLUMNS):
            value = np.int32(0)
            if start + t < pixels and first + k < columns:
                value = planes[first + k, start + t]
            for j in range(_WIDE):
                total[j] += int64(value) * int64(part[j, k])
        _cuda.syncthreads()
    half = (int64(1) << int64(shift)) >> int64(1)
    for j in range(_WIDE):
        offset = int64(0)
        if band + j < bands:
            offset = int64(offsets[band + j])
        found = offset + ((total[j] + half) >> int64(shift))
        tile[t, j] = np.int32(min(max(found, int64(low)), int64(high)))
    _cuda.syncthreads()
    for i in range(_WIDE):
        entry = np.int32(i * _PIXELS + t)
        pixel, across = np.int32(entry // _WIDE), np.int32(entry % _WIDE)
        if start + pixel < pixels and band + across < bands:
            out[start + pixel, band + across] = tile[pixel, across]


@kernel("void(int32[::1])")
def _limit(samples):
    n = int64(_cuda.blockIdx.x) * _PIXELS + _cuda.threadIdx.x
    if n < samples.shape[0]:
        samples[n] = min(max(samples[n], _LEAST), _MOST)


def forward(samples: Any, offsets: Any, weights: Any, shift: int, planes: Any) -> None:
    """Counterpart of :func:`imfnb.spectral.reference.forward`."""
    height, width, bands = samples.shape
    count = blocks(height * width, _PIXELS) * blocks(planes.shape[0], _SUMS)
    flat = samples.reshape(height * width, bands), planes.reshape(planes.shape[0], height * width)
    _forward[count, _PIXELS, stream()](flat[0], offsets, weights, np.int32(shift), flat[1])


def inverse(planes: Any, offsets: Any, matrix: Any, shift: int, low: int, high: int, out: Any) -> None:
    """Counterpart of :func:`imfnb.spectral.reference.inverse`."""
    height, width, bands = out.shape
    count = blocks(height * width, _PIXELS) * blocks(bands, _WIDE)
    flat = planes.reshape(planes.shape[0], height * width), out.reshape(height * width, bands)
    numbers = np.int32(shift), np.int32(low), np.int32(high)
    _inverse[count, _PIXELS, stream()](flat[0], offsets, matrix, *numbers, flat[1])


def limit(planes: Any) -> None:
    """Counterpart of :func:`imfnb.spectral.reference.limit`."""
    _limit[blocks(planes.size, _PIXELS), _PIXELS, stream()](planes.reshape(planes.size))
