"""Restoration network compiled for the CPU; `reference` is its definition and proves the ranges.

All layers go down the plane together, a row of cells at a time: each keeps the last three rows of its inputs in a ring,
so that memory is a few rows of words, and the rows that a layer reads have just been written. `tiles` has the loop over
the cells of a row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..format.network import (
    CHANNELS,
    INPUT_LIMIT,
    KERNEL,
    RECIPROCAL_BITS,
    SHIFTS,
    layers,
)
from ..format.restoration import SAMPLE_LIMIT
from ..runtime.jit import kernel
from .reference import CORRECTION_SHIFT, nearest_step, reciprocal
from .tiles import CHUNK, GROUP, TILE, first_row, hidden_row, last_row

__all__ = ["correct", "guide"]

_LOW, _HIGH = np.int32(-SAMPLE_LIMIT), np.int32(SAMPLE_LIMIT)
_LEAST, _LARGEST = np.int32(-INPUT_LIMIT), np.int32(INPUT_LIMIT - 1)
_ROUNDING = np.int32(1 << (RECIPROCAL_BITS - 1))

# Words of a group of all activations of a cell, and of a row of them.
_GROUPS = CHANNELS // GROUP


def correct(
    planes: Sequence[NDArray[np.int32]],
    step: int,
    weights: NDArray[np.int8],
    biases: NDArray[np.int32],
    out: Sequence[NDArray[np.int32]],
    which: Sequence[int],
) -> None:
    """Counterpart of :func:`imfnb.network.reference.correct`."""
    words = _packed(weights, layers(len(planes)))
    numbers = nearest_step(step), reciprocal(step)
    for n in which:
        if len(planes) == 1:
            _correct_luma(planes[0][n], *numbers, words, biases, out[0][n])
        else:
            _correct_chroma(*(plane[n] for plane in planes), *numbers, words, biases, *(goal[n] for goal in out))


def _packed(weights: NDArray[np.int8], shapes: list[tuple[int, int]]) -> NDArray[np.int32]:
    """Weights as words in the order in which `tiles` reads them, of all layers."""
    parts, start = [], 0
    for number, (inputs, outputs) in enumerate(shapes):
        count = outputs * inputs * KERNEL**2
        group = GROUP if number else 2
        tile = TILE if number + 1 < len(shapes) else 4
        layer = weights[start : start + count].reshape(outputs // tile, tile, inputs // group, group, KERNEL, KERNEL)
        ordered = layer.transpose(0, 2, 4, 5, 1, 3)  # tile, group, row, column, output, channel of the group
        ordered = ordered.astype(np.int16) if group == 2 else ordered
        parts.append(np.ascontiguousarray(ordered).reshape(-1).view(np.int32))
        start += count
    return np.concatenate(parts)


@kernel()
def _correct_luma(
    plane: NDArray[np.int32],
    step: int,
    factor: int,
    weights: NDArray[np.int32],
    biases: NDArray[np.int32],
    out: NDArray[np.int32],
) -> None:
    """Correct a plane alone."""
    _run((plane,), step, factor, weights, biases, (out,), _LUMA)


@kernel()
def _correct_chroma(
    cb: NDArray[np.int32],
    cr: NDArray[np.int32],
    luma: NDArray[np.int32],
    step: int,
    factor: int,
    weights: NDArray[np.int32],
    biases: NDArray[np.int32],
    cb_out: NDArray[np.int32],
    cr_out: NDArray[np.int32],
) -> None:
    """Correct both planes of chroma."""
    _run((cb, cr, luma), step, factor, weights, biases, (cb_out, cr_out), _CHROMA)


_LUMA, _CHROMA = len(layers(1)), len(layers(3))


@kernel()
def _run(
    planes: tuple[NDArray[np.int32], ...],
    step: int,
    factor: int,
    weights: NDArray[np.int32],
    biases: NDArray[np.int32],
    out: tuple[NDArray[np.int32], ...],
    depth: int,
) -> None:
    """Correct planes by a network of so many layers."""
    height, width = planes[0].shape
    rows, columns = (height + 1) // 2, (width + 1) // 2
    count, goals = len(planes), len(out)
    # A row begins with the first column that the network reaches, `depth` of them before the plane; a layer writes one
    # column fewer at either end than it reads, so all of its columns stand one further to the left.
    span = -(-(columns + 2 * depth) // CHUNK) * CHUNK
    stride = span + CHUNK  # what is read beyond the row is used for columns that nobody needs
    groups = max(2 * count, _GROUPS, 4 * goals)
    ring = groups * stride
    lines = np.zeros((depth + 1) * KERNEL * ring, np.int32)

    places = np.empty(KERNEL * max(2 * count, _GROUPS), np.int64)
    targets = np.empty(max(_GROUPS, 4 * goals), np.int64)
    for row in range(-depth, rows + depth):
        _load(planes, row, factor, lines[row % KERNEL * ring :], stride, depth)
        first = bias = 0
        for layer in range(depth):
            # Row `row` of the inputs completes row `row` - 1 of the first layer, and so on.
            newest = row - layer
            if newest - 2 < layer - depth:
                break
            inputs = 2 * count if layer == 0 else _GROUPS
            base = layer * KERNEL * ring
            for g in range(inputs):
                for k in range(KERNEL):
                    places[g * KERNEL + k] = base + (newest - 2 + k) % KERNEL * ring + g * stride
            goal = (layer + 1) * KERNEL * ring + (newest - 1) % KERNEL * ring
            last = layer == depth - 1
            outputs = 4 * goals if last else CHANNELS
            number = 4 * goals if last else _GROUPS
            for g in range(number):
                targets[g] = goal + g * stride
            used, length = places[: inputs * KERNEL], inputs * KERNEL * KERNEL * outputs
            part, added = weights[first : first + length], biases[bias : bias + outputs]
            cells = -(-(columns + 2 * (depth - layer - 1)) // CHUNK) * CHUNK
            if layer == 0:
                first_row(lines, used, part, added, SHIFTS[0], targets[:number], cells)
            elif last:
                last_row(lines, used, part, added, SHIFTS[2], targets[:number], cells)
                _finish(planes, out, newest - 1, step, lines[goal:], stride)
            else:
                hidden_row(lines, used, part, added, SHIFTS[1], targets[:number], cells)
            first, bias = first + length, bias + outputs


@kernel()
def _load(
    planes: tuple[NDArray[np.int32], ...], row: int, factor: int, line: NDArray[np.int32], stride: int, margin: int
) -> None:
    """Bring a row of cells to the unit of inputs, in words of two samples beside each other."""
    height, width = planes[0].shape
    for p in range(len(planes)):
        for dy in range(2):
            source = planes[p][min(max(2 * row + dy, 0), height - 1)]
            target = line[(2 * p + dy) * stride :]
            for x in range(width // 2):
                low, high = _scaled(source[2 * x], factor), _scaled(source[2 * x + 1], factor)
                target[margin + x] = np.int32((low & np.int32(0xFFFF)) | np.int32(high << np.int32(16)))
            first, last = _scaled(source[0], factor), _scaled(source[width - 1], factor)
            before = np.int32((first & np.int32(0xFFFF)) | np.int32(first << np.int32(16)))
            after = np.int32((last & np.int32(0xFFFF)) | np.int32(last << np.int32(16)))
            for x in range(margin):
                target[x] = before
            for x in range(margin + width // 2, margin + (width + 1) // 2 + margin):
                target[x] = after


@kernel()
def _scaled(sample: np.int32, factor: int) -> np.int32:
    """A sample in the unit of inputs."""
    value = np.int32(min(max(sample, _LOW), _HIGH))
    value = np.int32(np.int32(value * np.int32(factor)) + _ROUNDING) >> np.int32(RECIPROCAL_BITS)
    return np.int32(min(max(value, _LEAST), _LARGEST))


@kernel()
def _finish(
    planes: tuple[NDArray[np.int32], ...],
    out: tuple[NDArray[np.int32], ...],
    row: int,
    step: int,
    line: NDArray[np.int32],
    stride: int,
) -> None:
    """Add the corrections of a row of cells to the samples."""
    height, width = planes[0].shape
    factor, rounding = np.int32(step), np.int32(1 << (CORRECTION_SHIFT - 1))
    for p in range(len(out)):
        for dy in range(min(2, height - 2 * row)):
            source, target = planes[p][2 * row + dy], out[p][2 * row + dy]
            for dx in range(2):
                words = line[(4 * p + 2 * dy + dx) * stride :]
                for x in range((width + 1 - dx) // 2):
                    sample = np.int32(min(max(source[2 * x + dx], _LOW), _HIGH))
                    change = np.int32(np.int32(words[x] * factor) + rounding) >> np.int32(CORRECTION_SHIFT)
                    target[2 * x + dx] = min(max(np.int32(sample + change), _LOW), _HIGH)


def guide(luma: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    """Counterpart of :func:`imfnb.network.reference.guide`."""
    for plane, goal in zip(luma, out, strict=True):
        _guide(plane, goal)


@kernel()
def _guide(luma: NDArray[np.int32], out: NDArray[np.int32]) -> None:
    """Means of 2 x 2 samples of a plane."""
    height, width = luma.shape
    for row in range(out.shape[0]):
        above, below, target = luma[2 * row], luma[min(2 * row + 1, height - 1)], out[row]
        for x in range(out.shape[1]):
            right = min(2 * x + 1, width - 1)
            total = np.int32(_clamped(above[2 * x]) + _clamped(above[right]))
            total += np.int32(_clamped(below[2 * x]) + _clamped(below[right]))
            target[x] = np.int32(total + 2) >> 2


@kernel()
def _clamped(sample: np.int32) -> np.int32:
    return np.int32(min(max(sample, _LOW), _HIGH))
