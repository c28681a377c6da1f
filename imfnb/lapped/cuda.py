"""Lapped pre- and post-filter as CUDA kernels. Same integers as `reference.py`.

The filter of one border reaches half a patch to either side. So the p x p samples around a corner of four patches
depend on nothing else in both passes, and one kernel does both: a block takes a strip of p rows around a patch border,
a thread filters one column of it in registers, and after an exchange through shared memory one row of one corner.

Per sample: 8 bytes (read and written once), p + 8 multiplications and additions.
All of it is int32; `format.lapped` proves the ranges.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import int32

from ..format.lapped import INPUT_LIMIT, ROTATION_BITS, rotation
from ..runtime.cuda import SIMULATED, device_function, stream, template, tile_of_block
from ..runtime.cuda import cuda as _cuda

__all__ = ["forward", "inverse"]

# Columns of a strip, and threads of a block; the simulator starts a Python thread for each.
_WIDTH = 16 if SIMULATED else 64
# Rows of the exchange begin in different banks: with one more sample the 32 threads of a warp never share one.
_PITCH = _WIDTH + 1

_ROUNDING = np.int32(1 << ROTATION_BITS)
_LOW, _HIGH = np.int32(-INPUT_LIMIT), np.int32(INPUT_LIMIT)


@template(
    "void(int32[:,:,::1], int32[:,:,::1], int32[::1], int32, int32)",
    *((8, False), (8, True), (16, False), (16, True), (2, True), (4, True)),
)
def _filter(p: int, inverted: bool) -> Callable[..., None]:
    """The kernel of one patch size and direction: loops of known length and constant weights stay in registers."""
    half = p // 2
    matrix = np.ascontiguousarray(rotation(p).T) if inverted else rotation(p)

    @device_function
    def rotate(line, weights):
        """Filter p samples across the border in their middle."""
        total = _cuda.local.array(half, int32)
        difference = _cuda.local.array(half, int32)
        for i in range(half):
            before, after = line[half - 1 - i], line[half + i]
            total[i] = np.int32((before + after) << ROTATION_BITS) + _ROUNDING
            difference[i] = before - after
        for i in range(half):
            turned = np.int32(0)
            for j in range(half):
                turned = np.int32(turned + weights[i, j] * difference[j])
            line[half - 1 - i] = np.int32(total[i] + turned) >> (ROTATION_BITS + 1)
            line[half + i] = np.int32(total[i] - turned) >> (ROTATION_BITS + 1)

    def filter_strip(planes, out, which, skipped, rows):
        weights = _cuda.const.array_like(matrix)
        strip = _cuda.shared.array((p, _PITCH), int32)
        line = _cuda.local.array(p, int32)
        # The stack with fewer planes is the one that `which` enumerates; whole patches are in the filtered one.
        source, target, whole = planes, out, planes if inverted else out
        height, width = whole.shape[1], whole.shape[2]
        n, border, column = tile_of_block(height // p + 1, (width + half + _WIDTH - 1) // _WIDTH)
        origin = n if inverted else which[n]
        goal = which[n] if inverted else n
        top, left = border * p - half, column * _WIDTH - half
        t = _cuda.threadIdx.x
        x = left + t
        across = min(max(x, 0), source.shape[2] - 1)
        for i in range(p):
            line[i] = source[origin, skipped + min(max(top + i, 0), rows - 1), across]
        if inverted:
            for i in range(p):
                line[i] = min(max(line[i], _LOW), _HIGH)
        elif 0 < border and top + p < height:
            rotate(line, weights)
        for i in range(p):
            strip[i, t] = line[i]
        _cuda.syncthreads()
        row, first = t % p, t // p * p
        if left + first >= 0 and left + first + p <= width:
            for j in range(p):
                line[j] = strip[row, first + j]
            rotate(line, weights)
            for j in range(p):
                strip[row, first + j] = line[j]
        _cuda.syncthreads()
        if inverted:
            for i in range(p):
                line[i] = strip[i, t]
            if 0 < border and top + p < height:
                rotate(line, weights)
            for i in range(p):
                strip[i, t] = line[i]
        if 0 <= x < target.shape[2]:
            for i in range(p):
                if 0 <= top + i < target.shape[1]:
                    target[goal, top + i, x] = strip[i, t]

    return filter_strip


def _blocks(count: int, shape: tuple[int, ...], p: int) -> int:
    return count * (shape[1] // p + 1) * -(-(shape[2] + p // 2) // _WIDTH)


def forward(planes: Any, patch_size: int, out: Any, which: Any, rows: slice | None = None) -> None:
    """Counterpart of :func:`imfnb.lapped.reference.forward`."""
    start, stop = (0, planes.shape[1]) if rows is None else (rows.start, rows.stop)
    blocks = _blocks(len(which), out.shape, patch_size)
    _filter(patch_size, False)[blocks, _WIDTH, stream()](planes, out, which, start, stop - start)


def inverse(planes: Any, patch_size: int, out: Any, which: Any) -> None:
    """Counterpart of :func:`imfnb.lapped.reference.inverse`."""
    blocks = _blocks(len(which), planes.shape, patch_size)
    _filter(patch_size, True)[blocks, _WIDTH, stream()](planes, out, which, 0, planes.shape[1])
