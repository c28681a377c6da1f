"""A smooth continuation of samples into areas where any will do, so that these cost next to nothing."""

from __future__ import annotations

import numpy as np

__all__ = ["filled"]

# Fractional bits of samples on the way: four of 8 bits add up within 16 bits.
_FRACTION = 4

# What stands where nothing is known at all: the middle, of which no coefficient is left.
_MIDDLE = 128


def filled(samples: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Replace the samples that are not known by what those around them suggest.

    Means of the known samples of 2 x 2, 4 x 4 and so on, up to where all are known, are interpolated on the way back.
    All integers, so that every backend gets the same samples.

    Parameters
    ----------
    samples : ndarray of uint8, shape (H, W, C)
        The samples.
    known : ndarray of bool, shape (H, W)
        Which pixels keep theirs.

    Returns
    -------
    ndarray of uint8, shape (H, W, C)
        The samples, C-contiguous and not those that were given unless all are known.
    """
    if known.all():
        return samples
    if not known.any():
        return np.full_like(samples, _MIDDLE)
    fine = _interpolated(_continued(*_halved(samples.astype(np.int16) << _FRACTION, known)), known.shape)
    return np.where(known[:, :, None], samples, (fine + (1 << (_FRACTION - 1))) >> _FRACTION).astype(np.uint8)


def _continued(samples: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The same with fractional bits; some pixels are known."""
    if known.all():
        return samples
    fine = _interpolated(_continued(*_halved(samples, known)), known.shape)
    return np.where(known[:, :, None], samples, fine)


def _halved(samples: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of the known among 2 x 2 pixels, and where there are any."""
    down, across = known.shape[0] % 2, known.shape[1] % 2
    samples = np.pad(np.where(known[:, :, None], samples, np.int16(0)), ((0, down), (0, across), (0, 0)))
    known = np.pad(known, ((0, down), (0, across)))
    rows, counts = samples[::2] + samples[1::2], known[::2].astype(np.int16) + known[1::2]
    total, count = rows[:, ::2] + rows[:, 1::2], counts[:, ::2] + counts[:, 1::2]
    return total // np.maximum(count, 1)[:, :, None], count > 0


def _interpolated(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels of twice the number in both directions, a quarter of the way to the neighbours on their side."""
    for axis, size in enumerate(shape):
        line = np.moveaxis(coarse, axis, 0)
        around = np.concatenate([line[:1], line, line[-1:]])
        fine = np.empty((2 * len(line), *line.shape[1:]), np.int16)
        fine[::2] = (3 * line + around[:-2] + 2) >> 2
        fine[1::2] = (3 * line + around[2:] + 2) >> 2
        coarse = np.moveaxis(fine[:size], 0, axis)
    return coarse
