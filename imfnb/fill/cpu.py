"""The stage on one thread of Numba: only pixels that are not known are interpolated."""

from __future__ import annotations

import numpy as np

from ..runtime.jit import kernel
from .reference import FRACTION, MIDDLE, sums_of

__all__ = ["FRACTION", "MIDDLE", "fill"]

_jit = kernel(error_model="numpy")


@_jit
def _halve(samples, known, shift, means, found):
    """Means of the known among 2 x 2 pixels, (h, w, C), and where there are any; returns whether everywhere."""
    height, width, channels = samples.shape
    complete = True
    for y in range(found.shape[0]):
        for x in range(found.shape[1]):
            count = 0
            for c in range(channels):
                means[y, x, c] = 0
            for i in range(2 * y, min(2 * y + 2, height)):
                for j in range(2 * x, min(2 * x + 2, width)):
                    if known[i, j]:
                        count += 1
                        for c in range(channels):
                            means[y, x, c] += np.int64(samples[i, j, c]) << shift
            if count > 1:
                for c in range(channels):
                    means[y, x, c] = np.int64(means[y, x, c]) // count
            found[y, x] = count > 0
            complete = complete and count > 0
    return complete


@_jit
def _interpolate(coarse, known, shift, samples):
    """Give the pixels of a level that are not known what the next coarser one suggests."""
    height, width, channels = samples.shape
    half = (1 << shift) >> 1
    for y in range(height):
        row = y >> 1
        beside = min(max(row - 1 + 2 * (y & 1), 0), coarse.shape[0] - 1)
        for x in range(width):
            if known[y, x]:
                continue
            column = x >> 1
            next_to = min(max(column - 1 + 2 * (x & 1), 0), coarse.shape[1] - 1)
            for c in range(channels):
                near = (3 * np.int64(coarse[row, column, c]) + coarse[beside, column, c] + 2) >> 2
                far = (3 * np.int64(coarse[row, next_to, c]) + coarse[beside, next_to, c] + 2) >> 2
                samples[y, x, c] = (((3 * near + far + 2) >> 2) + half) >> shift


def fill(samples: np.ndarray, known: np.ndarray) -> None:
    """Counterpart of :func:`imfnb.fill.reference.fill`."""
    if not known.any():
        samples[...] = MIDDLE
        return
    levels, shift, complete = [(samples, known)], FRACTION, bool(known.all())
    wide = sums_of(samples)
    while not complete:
        fine, mask = levels[-1]
        shape = -(-mask.shape[0] // 2), -(-mask.shape[1] // 2)
        means, found = np.empty((*shape, fine.shape[2]), wide), np.empty(shape, np.bool_)
        complete = _halve(fine, mask, shift, means, found)
        levels.append((means, found))
        shift = 0
    for number in range(len(levels) - 2, -1, -1):
        _interpolate(levels[number + 1][0], levels[number][1], 0 if number else FRACTION, levels[number][0])
