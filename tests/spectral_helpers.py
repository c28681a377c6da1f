"""Small tools of the tests of arrays: inputs of the spectral stage up to its proven ranges, and an array of bands."""

from __future__ import annotations

import numpy as np

from imfnb.format.constants import SHIFT_MAX
from imfnb.format.samples import RANGE_LIMIT
from imfnb.format.spectral import ENTRY_LIMIT

#: What weights of `forward`, and decoded planes, are within.
WEIGHT_LIMIT, DECODED_LIMIT = 1 << 18, 1 << 17


def numbers(rng: np.random.Generator, shape: tuple[int, ...], limit: int, style: str) -> np.ndarray:
    """Integers within +-limit: any, only the two ends, or small ones."""
    if style == "extremes":
        return rng.choice(np.array([-limit, limit], np.int32), shape)
    if style == "small":
        return rng.integers(-9, 10, shape, dtype=np.int32)
    return rng.integers(-limit, limit, shape, dtype=np.int32, endpoint=True)


def samples_and_weights(
    shape: tuple[int, int, int], columns: int, style: str, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Samples, offsets, weights and the shift of `forward`, for an array of this shape."""
    rng = np.random.default_rng(seed)
    weights = numbers(rng, (shape[2], columns), WEIGHT_LIMIT, style)
    if style == "extremes" and seed % 2:
        weights = np.abs(weights)  # sums of one sign, the largest there are
        samples, offsets = np.full(shape, RANGE_LIMIT, np.int32), np.full(shape[2], -ENTRY_LIMIT, np.int32)
    else:
        samples, offsets = (numbers(rng, size, RANGE_LIMIT, style) for size in (shape, shape[2:]))
    return samples, offsets, weights, int(rng.choice([0, 1, 17, 33, 40]))


def planes_and_v(
    shape: tuple[int, int, int], columns: int, style: str, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int, int]:
    """Planes, offsets, V, its shift and the range of the samples of `inverse`, for an array of this shape."""
    rng = np.random.default_rng(seed)
    planes = numbers(rng, (columns, *shape[:2]), DECODED_LIMIT, style)
    matrix = numbers(rng, (shape[2], columns), ENTRY_LIMIT, style)
    if style == "extremes" and seed % 2:
        planes, matrix = np.abs(planes), -np.abs(matrix)
    offsets = numbers(rng, shape[2:], ENTRY_LIMIT, style)
    low, high = ((0, 255), (-32768, 32767), (-RANGE_LIMIT, RANGE_LIMIT))[seed % 3]
    return planes, offsets, matrix, int(rng.choice([0, 1, SHIFT_MAX // 2, SHIFT_MAX])), low, high


def bands_of(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Bands of 16 bits that are two patterns, mixed, and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    patterns = np.stack([np.sin(x / 5 + y / 9), np.cos(y / 4)], axis=-1) @ rng.normal(size=(2, shape[2]))
    noise = rng.normal(0, 60, shape)
    return np.clip(20000 + 6000 * patterns + noise, 0, 65535).astype(np.uint16)
