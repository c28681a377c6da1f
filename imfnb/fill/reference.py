"""The stage in NumPy, to be read: one level of the pyramid after the other."""

from __future__ import annotations

import numpy as np

__all__ = ["FRACTION", "MIDDLE", "fill"]

#: Fractional bits of samples on the way: four samples of 8 bits add up within 16 bits, those of 25 within 32.
FRACTION = 4

#: What stands where nothing is known at all: the middle, of which no coefficient is left.
MIDDLE = 128


def sums_of(samples: np.ndarray) -> type:
    """The type of sums of samples with fractional bits."""
    return np.int16 if samples.dtype == np.uint8 else np.int32


def fill(samples: np.ndarray, known: np.ndarray) -> None:
    """Replace, in place, the samples that are not known by what those around them suggest.

    Parameters
    ----------
    samples : ndarray of uint8 or int32, shape (H, W, C)
        The samples, of any memory layout; int32 within +-2**25.
    known : ndarray of bool, shape (H, W)
        Which pixels keep theirs.
    """
    if known.all():
        return
    if not known.any():
        samples[...] = MIDDLE
        return
    wide = samples.astype(sums_of(samples)) << FRACTION
    fine = _interpolated(_continued(*_halved(wide, known)), known.shape)
    samples[~known] = (fine[~known] + (1 << (FRACTION - 1))) >> FRACTION


def _continued(samples: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The same with fractional bits; some pixels are known."""
    if known.all():
        return samples
    fine = _interpolated(_continued(*_halved(samples, known)), known.shape)
    return np.where(known[:, :, None], samples, fine)


def _halved(samples: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of the known among 2 x 2 pixels, rounded down, and where there are any."""
    down, across = known.shape[0] % 2, known.shape[1] % 2
    samples = np.pad(np.where(known[:, :, None], samples, samples.dtype.type(0)), ((0, down), (0, across), (0, 0)))
    known = np.pad(known, ((0, down), (0, across)))
    rows, counts = samples[::2] + samples[1::2], known[::2].astype(samples.dtype) + known[1::2]
    total, count = rows[:, ::2] + rows[:, 1::2], counts[:, ::2] + counts[:, 1::2]
    return total // np.maximum(count, 1)[:, :, None], count > 0


def _interpolated(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels of twice the number in both directions, a quarter of the way to the neighbours on their side."""
    for axis, size in enumerate(shape):
        line = np.moveaxis(coarse, axis, 0)
        around = np.concatenate([line[:1], line, line[-1:]])
        fine = np.empty((2 * len(line), *line.shape[1:]), line.dtype)
        fine[::2] = (3 * line + around[:-2] + 2) >> 2
        fine[1::2] = (3 * line + around[2:] + 2) >> 2
        coarse = np.moveaxis(fine[:size], 0, axis)
    return coarse
