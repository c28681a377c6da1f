"""Traces of an earlier encoding in a picture: the step of its luma, seen in sums of its patches.

The first component of every patch of a decoded picture lies near a multiple of the step, whatever restoration and the
rounding of pixels do to it. Coded with the same step once more, nearly all factors stay what they are; with any other,
a picture loses about as much as it lost the first time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..format.constants import STEP_UNIT
from .tuning import TRACE_LARGEST, TRACE_SHARE, TRACE_SMALLEST, TRACE_STRENGTH

__all__ = ["earlier_step"]

# Length of the Fourier transform, and how many classes of its histogram make a gray level.
_LENGTH, _CLASSES = 1 << 13, 2


def earlier_step(strips: Sequence[np.ndarray], patch_size: int) -> int | None:
    """The step whose multiples the first components of patches lie near to, if there is one.

    Parameters
    ----------
    strips : sequence of ndarray of int32, shape (H, W)
        Rows of a plane behind the lapped filter, with four fractional bits; H and W are multiples of `patch_size`.
    patch_size : {8, 16}
        Side of a patch.

    Returns
    -------
    int or None
        The step in 1/64 gray level; where it is found it is off by up to 0.3%.
    """
    p = patch_size
    sums = [strip.reshape(len(strip) // p, p, -1, p).sum(axis=(1, 3)).ravel() for strip in strips]
    values = np.concatenate(sums) / (16.0 * p)  # what the entries of U would be at a step of one gray level
    counts = np.bincount((np.abs(values) * _CLASSES + 0.5).astype(np.intp), minlength=_LENGTH)
    cosines = np.fft.rfft(counts[:_LENGTH]).real
    # Frequency k is a step of _LENGTH / (_CLASSES k) gray levels.
    first, last = (_LENGTH // (_CLASSES * step) for step in (TRACE_LARGEST, TRACE_SMALLEST))
    near = first + int(np.argmax(cosines[first : last + 1]))
    for part in range(near // first, 1, -1):  # the multiples of a step are multiples of its half, third ..., too
        low = near // part - 1
        other = low + int(np.argmax(cosines[low : low + 4]))
        if low >= first and cosines[other] > 0.8 * cosines[near]:
            near = other
            break
    count = len(values)
    least = max(TRACE_SHARE * count, TRACE_STRENGTH * (count / 2) ** 0.5)
    if cosines[near] < least / 2:
        return None
    # The transform tells frequencies to about one; the sums themselves tell more.
    steps = _LENGTH / (_CLASSES * (near + np.linspace(-1, 1, 65)))
    exact = np.array([np.cos(2 * np.pi / step * values).sum() for step in steps])
    best = int(np.argmax(exact))
    return round(float(steps[best]) * STEP_UNIT) if exact[best] >= least else None
