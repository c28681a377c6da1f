"""The masking stage as CUDA kernels. Same integers as `reference.py`.

One kernel sums cells, a thread each; another has a thread for a block, which weighs its cells. Both read little.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64

from ..runtime.cuda import SIMULATED, kernel, stream, tile_of_block
from ..runtime.cuda import cuda as _cuda
from .tuning import CELL, EDGES, OFFSET, SYMBOLS, WEIGHT, WINDOW

__all__ = ["classify"]

# Threads of a block; the simulator starts a Python thread for each.
_THREADS = 16 if SIMULATED else 64

_EDGES, _SYMBOLS = np.array(EDGES, np.int64), np.array(SYMBOLS, np.int32)
_REACH, _SIZE = WINDOW // 2, WINDOW * WINDOW * CELL * CELL


@kernel("void(int32[:,:,::1], int64[:,:,:,::1])")
def _sum_cells(planes, cells):
    """Sums of the samples of a cell and of their squares."""
    height, width = planes.shape[1], planes.shape[2]
    rows, columns = np.int32(cells.shape[2]), np.int32(cells.shape[3])
    n, y, tile = tile_of_block(rows, (columns + _THREADS - 1) // _THREADS)
    x = np.int32(tile * _THREADS + _cuda.threadIdx.x)
    if x >= columns:
        return
    one, two = int64(0), int64(0)
    for i in range(CELL):
        for j in range(CELL):
            value = int64(planes[n, min(y * CELL + i, height - 1), min(x * CELL + j, width - 1)])
            one += value
            two += value * value
    cells[n, 0, y, x], cells[n, 1, y, x] = one, two


@kernel("void(int64[:,:,:,::1], int32, int32[:,:,::1])")
def _weigh(cells, side, symbols):
    """The symbol of a block of `side` times `side` cells."""
    edges, known = _cuda.const.array_like(_EDGES), _cuda.const.array_like(_SYMBOLS)
    rows, columns = np.int32(cells.shape[2]), np.int32(cells.shape[3])
    down, across = np.int32(symbols.shape[1]), np.int32(symbols.shape[2])
    n, block, tile = tile_of_block(down, (across + _THREADS - 1) // _THREADS)
    place = np.int32(tile * _THREADS + _cuda.threadIdx.x)
    if place >= across:
        return
    last, end = min(np.int32(block * side + side), rows), min(np.int32(place * side + side), columns)
    total = int64(0)
    for y in range(np.int32(block * side), last):
        for x in range(np.int32(place * side), end):
            one, two = int64(0), int64(0)
            for i in range(y - _REACH, y + _REACH + 1):
                for j in range(x - _REACH, x + _REACH + 1):
                    row, column = min(max(i, 0), rows - 1), min(max(j, 0), columns - 1)
                    one += cells[n, 0, row, column]
                    two += cells[n, 1, row, column]
            variance = (int64(_SIZE) * two - one * one) // int64(_SIZE * _SIZE)
            total += int64(WEIGHT) // (variance + int64(OFFSET))
    count = int64(last - block * side) * int64(end - place * side)
    found = np.int32(0)
    for k in range(len(_EDGES)):
        if total * edges[k] <= count * int64(WEIGHT):
            found += np.int32(1)
    symbols[n, block, place] = known[found]


def classify(planes: Any, bits: int, scratch: Any, out: Any) -> None:
    """Counterpart of :func:`imfnb.masking.reference.classify`."""
    count, _, rows, columns = scratch.shape
    _sum_cells[count * rows * -(-columns // _THREADS), _THREADS, stream()](planes, scratch)
    blocks = count * out.shape[1] * -(-out.shape[2] // _THREADS)
    _weigh[blocks, _THREADS, stream()](scratch, np.int32((1 << bits) // CELL), out)
