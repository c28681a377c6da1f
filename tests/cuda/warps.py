"""The tensor cores' instruction in the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ptx_arithmetic import product_of_matrices

from imfnb.runtime.cuda import cuda

__all__ = ["lanes_product", "simulated"]


def lanes_product(
    operands: Mapping[int, Sequence[Any]] | Sequence[Any], lane: int, a_kind: str, b_kind: str
) -> tuple[np.int32, ...]:
    """The four sums of a lane, from the ten operands of each of its warp's 32 lanes."""
    words = np.array([[int(word) & 0xFFFFFFFF for word in operands[other]] for other in range(32)], np.uint32)
    sums = product_of_matrices((a_kind, b_kind), list(words.T.copy().view(np.int32)))
    return tuple(column[lane] for column in sums)


def simulated(a_kind: str, b_kind: str) -> Any:
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
