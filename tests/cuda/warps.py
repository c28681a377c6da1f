"""What the tensor cores' instruction does with the words of a warp, as PTX lays them out for mma.m16n8k32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from imfnb._cuda import cuda

__all__ = ["lanes_product", "simulated"]


def lanes_product(operands: Mapping[int, Sequence[Any]] | Sequence[Any], lane: int, a_kind: Any, b_kind: Any) -> tuple:
    """The four sums of a lane, from the ten operands of each of its warp's 32 lanes."""
    a, b = np.zeros((16, 32), np.int64), np.zeros((32, 8), np.int64)
    for other in range(32):
        group, member = divmod(other, 4)
        words = np.array([int(word) & 0xFFFFFFFF for word in operands[other][:6]], np.uint32)
        left, right = words[:4].view(a_kind), words[4:].view(b_kind)
        for i in range(16):
            a[group + (8 if i // 4 % 2 else 0), 4 * member + i % 4 + (16 if i >= 8 else 0)] = left[i]
        for i in range(8):
            b[4 * member + i % 4 + (16 if i >= 4 else 0), group] = right[i]
    rows, columns = [lane // 4 + (0, 0, 8, 8)[i] for i in range(4)], [lane % 4 * 2 + i % 2 for i in range(4)]
    sums = (a @ b)[rows, columns] + [int(c) for c in operands[lane][6:]]
    return tuple(sums.astype(np.int32))


def simulated(a_kind: Any, b_kind: Any) -> Any:
    """The instruction for blocks of the simulator whose threads all call it."""
    operands: dict[int, Sequence[Any]] = {}

    @cuda.jit(device=True)
    def multiply(a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):
        thread = int(cuda.threadIdx.x)
        operands[thread] = a0, a1, a2, a3, b0, b1, c0, c1, c2, c3
        cuda.syncthreads()
        warp = {lane: operands[thread // 32 * 32 + lane] for lane in range(32)}
        cuda.syncthreads()
        return lanes_product(warp, thread % 32, a_kind, b_kind)

    return multiply
