"""Restoration network in plain NumPy: the definition that `cpu` and `cuda` must reproduce bit for bit.

All quantities are integers, and all stay in int32, whatever the weights (at most 127 in magnitude) and the samples:

- samples are clamped to +-SAMPLE_LIMIT = 2**14; the factor that brings them to the unit of the inputs is at most 2**15,
  so its product with one is at most 2**29; inputs are then clamped to 16 bits;
- the first layer adds up at most 9 * 12 products of at most 127 * 2**15: below 2**29;
- the others add up 9 * 16 products of at most 127 * 255: below 2**23;
- biases are at most BIAS_LIMIT = 2**24 in magnitude: every sum, in any order, stays below 2**30;
- a correction is clamped to 2**10, its product with the step, at most 2**14, is at most 2**24.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..format.color import FRACTION
from ..format.constants import STEP_UNIT
from ..format.network import (
    ACTIVATION_MAX,
    CORRECTION_BITS,
    CORRECTION_LIMIT,
    INPUT_BITS,
    INPUT_LIMIT,
    KERNEL,
    RECIPROCAL_BITS,
    SHIFTS,
    STEP_LARGEST,
    STEP_LEAST,
    layers,
)
from ..format.restoration import SAMPLE_LIMIT

__all__ = ["correct", "guide"]

BIAS_LIMIT = 2**24
"""Bound of the biases."""
WEIGHT_LIMIT = 127
"""Bound of the weights."""

# Binary logarithm of a gray level in units of samples, over one in units of steps.
_UNITS = FRACTION - (STEP_UNIT.bit_length() - 1)

RECIPROCAL_SHIFT = RECIPROCAL_BITS + INPUT_BITS - _UNITS
"""Binary logarithm of the numerator of `reciprocal`."""
CORRECTION_SHIFT = CORRECTION_BITS - _UNITS
"""From (correction times step) to the unit of samples."""


def nearest_step(step: int) -> int:
    """The step that a network counts in."""
    return min(max(step, STEP_LEAST), STEP_LARGEST)


def reciprocal(step: int) -> int:
    """2**RECIPROCAL_BITS times what a unit of samples is in units of inputs."""
    step = nearest_step(step)
    return ((1 << RECIPROCAL_SHIFT) + step // 2) // step


def correct(
    planes: Sequence[NDArray[np.int32]],
    step: int,
    weights: NDArray[np.int8],
    biases: NDArray[np.int32],
    out: Sequence[NDArray[np.int32]],
    which: Sequence[int],
) -> None:
    """Correct decoded planes by a network.

    The planes are continued beyond their borders by their nearest sample, as far as the network reaches. With x
    the samples of the cells (row, column) in units of inputs, the layers are::

        a_0 = x
        a_l[o] = clip((b_l[o] + sum_{i, j, k} w_l[o, i, j, k] a_{l-1}[i, row + j - 1, column + k - 1]) >> s_l)

    with clip to 0 and ACTIVATION_MAX, of the last one to +-CORRECTION_LIMIT; what that gives in units of the step is
    added to the samples of the cell.

    Parameters
    ----------
    planes : sequence of arrays of int32, shape (B, H, W)
        Stacks of decoded planes, in 1/16 gray level: one of luma, or of any kind that is corrected alone; or those of
        Cb, Cr and their guide, restored luma of their size (see :func:`guide`).
    step : int
        Quantization step of the planes (but the guide) in 1/64 gray level.
    weights : array of int8, shape (W,)
    biases : array of int32, shape (N,)
        The network, see :func:`imfnb.format.network.network`.
    out : sequence of arrays of int32, shape (B, H, W)
        Stacks for the corrected planes: of luma, or of Cb and Cr. On the CPU, not on the GPU, they may be the decoded
        ones.
    which : sequence of int
        Which planes of the stacks are corrected; the others of `out` are left alone.
    """
    shapes = layers(len(planes))
    reach = 2 * len(shapes)
    step = nearest_step(step)
    for n in which:
        samples = np.stack([np.clip(plane[n], -SAMPLE_LIMIT, SAMPLE_LIMIT) for plane in planes])
        height, width = samples.shape[1:]
        padding = (reach, reach + height % 2), (reach, reach + width % 2)
        values = (samples * reciprocal(step) + (1 << (RECIPROCAL_BITS - 1))) >> RECIPROCAL_BITS
        values = np.pad(np.clip(values, -INPUT_LIMIT, INPUT_LIMIT - 1), ((0, 0), *padding), mode="edge")
        cells = values.reshape(len(planes), values.shape[1] // 2, 2, values.shape[2] // 2, 2)
        layer = cells.transpose(0, 2, 4, 1, 3).reshape(-1, values.shape[1] // 2, values.shape[2] // 2)
        start = place = 0
        for number, (inputs, outputs) in enumerate(shapes):
            count = outputs * inputs * KERNEL**2
            weight = weights[start : start + count].reshape(outputs, inputs, KERNEL, KERNEL)
            layer = _convolved(layer, weight, biases[place : place + outputs])
            start, place = start + count, place + outputs
            if number + 1 < len(shapes):
                layer = np.clip(layer >> SHIFTS[min(number, 1)], 0, ACTIVATION_MAX)
        layer = np.clip(layer >> SHIFTS[2], -CORRECTION_LIMIT, CORRECTION_LIMIT - 1)
        corrections = (layer * step + (1 << (CORRECTION_SHIFT - 1))) >> CORRECTION_SHIFT
        corrections = corrections.reshape(len(out), 2, 2, *layer.shape[1:]).transpose(0, 3, 1, 4, 2)
        for target, sample, correction in zip(out, samples, corrections, strict=False):
            whole = correction.reshape(2 * layer.shape[1], 2 * layer.shape[2])[:height, :width]
            target[n] = np.clip(sample + whole, -SAMPLE_LIMIT, SAMPLE_LIMIT)


def _convolved(values: NDArray[np.int32], weight: NDArray[np.int8], bias: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sums of a layer of shape (outputs, h - 2, w - 2), from values of shape (inputs, h, w)."""
    height, width = values.shape[1] - KERNEL + 1, values.shape[2] - KERNEL + 1
    out = np.repeat(bias.astype(np.int32), height * width).reshape(-1, height, width)
    for row in range(KERNEL):
        for column in range(KERNEL):
            part = values[:, row : row + height, column : column + width]
            out += np.tensordot(weight[:, :, row, column].astype(np.int32), part, 1)
    return out


def guide(luma: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    """Bring luma to half the size: rounded means of 2 x 2 samples, those beyond the border being the nearest.

    Parameters
    ----------
    luma : array of int32, shape (B, H, W)
        Samples, which are clamped to +-SAMPLE_LIMIT.
    out : array of int32, shape (B, ceil(H / 2), ceil(W / 2))
        Where to write the means.
    """
    height, width = luma.shape[1:]
    even = np.pad(np.clip(luma, -SAMPLE_LIMIT, SAMPLE_LIMIT), ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    total = even[:, ::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, ::2] + even[:, 1::2, 1::2]
    out[:] = (total + 2) >> 2
