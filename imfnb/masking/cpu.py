"""The masking stage as kernels for the CPU. Same integers as `reference.py`."""

from __future__ import annotations

import numpy as np

from ..runtime.jit import kernel
from .tuning import CELL, EDGES, OFFSET, SYMBOLS, WEIGHT, WINDOW

__all__ = ["classify"]

_jit = kernel(error_model="numpy")

_EDGES, _SYMBOLS = np.array(EDGES, np.int64), np.array(SYMBOLS, np.int32)
_REACH, _SIZE = WINDOW // 2, WINDOW * WINDOW * CELL * CELL


@_jit
def _sum_cells(plane, y, columns, first, second):
    """Sums of the samples and of their squares of a row of cells; `columns` (int64, (2, W)) is for the work."""
    height, width = plane.shape
    columns[:] = 0
    for i in range(y * CELL, y * CELL + CELL):
        row = plane[min(i, height - 1)]
        for x in range(width):
            value = np.int64(row[x])
            columns[0, x] += value
            columns[1, x] += value * value
    for x in range(first.shape[0]):
        one, two = np.int64(0), np.int64(0)
        for j in range(CELL):
            k = min(x * CELL + j, width - 1)
            one += columns[0, k]
            two += columns[1, k]
        first[x], second[x] = one, two


@_jit
def _weigh(first, second, y, out):
    """Inverse of variance and offset of every cell of row y; the divisions of float64 are exact once rounded down."""
    rows, columns = first.shape
    total, squares = np.zeros(columns, np.int64), np.zeros(columns, np.int64)
    for k in range(y - _REACH, y + _REACH + 1):
        row = min(max(k, 0), rows - 1)
        for x in range(columns):
            total[x] += first[row, x]
            squares[x] += second[row, x]
    for x in range(columns):
        one, two = np.int64(0), np.int64(0)
        for k in range(x - _REACH, x + _REACH + 1):
            column = min(max(k, 0), columns - 1)
            one += total[column]
            two += squares[column]
        variance = np.floor(np.float64(_SIZE * two - one * one) / np.float64(_SIZE * _SIZE))
        out[x] = np.int64(np.floor(np.float64(WEIGHT) / (variance + np.float64(OFFSET))))


@_jit
def _classify(plane, bits, first, second, symbols):
    """See :func:`classify`; first and second receive the sums of cells."""
    rows, columns = first.shape
    work = np.empty((2, plane.shape[1]), np.int64)
    for y in range(rows):
        _sum_cells(plane, y, work, first[y], second[y])
    side = (1 << bits) // CELL
    weights, total = np.empty(columns, np.int64), np.empty(symbols.shape[1], np.int64)
    for block in range(symbols.shape[0]):
        total[:] = 0
        last = min(block * side + side, rows)
        for y in range(block * side, last):
            _weigh(first, second, y, weights)
            for x in range(columns):
                total[x // side] += weights[x]
        for x in range(symbols.shape[1]):
            count = np.int64(last - block * side) * (min(x * side + side, columns) - x * side)
            place = 0
            for edge in _EDGES:
                place += total[x] * edge <= count * WEIGHT
            symbols[block, x] = _SYMBOLS[place]


def classify(planes: np.ndarray, bits: int, scratch: np.ndarray, out: np.ndarray) -> None:
    """Counterpart of :func:`imfnb.masking.reference.classify`."""
    for plane, cells, symbols in zip(planes, scratch, out, strict=True):
        _classify(plane, bits, cells[0], cells[1], symbols)
