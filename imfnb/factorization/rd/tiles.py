"""Register tile of X V in pairs of 16-bit integers, as LLVM vectors of patches.

A sample behind the lapped filter and an entry of V fit 16 bits, and processors multiply and add pairs of those in one
instruction, which LLVM finds in this form. With 32-bit products X V took 2.2 ms for the luma of a 768x512 image, with
pairs 0.6 (one Xeon core).
"""

from __future__ import annotations

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from ..._vectors import INDEX, WIDTH, Lanes, multiply_add_pairs, product_tile

__all__ = ["CHUNK", "TILE", "pair_product"]

#: Columns of V in a tile, and patches beside them: eight vectors of sums.
TILE, CHUNK = 4, 32


@intrinsic
def _pair_product(typing_context, words, weights, first, out):
    def generate(context, builder, signature, args):
        lanes, factors, target = (
            Lanes(context, builder, signature.args[k], args[k]) for k in (0, 1, 3)
        )
        size = TILE, CHUNK // WIDTH
        sums = product_tile(
            context, builder, lanes, factors, (args[2], INDEX(0)), size, multiply_add_pairs, out.dtype
        )
        for n, register in enumerate(sums):
            target.store(builder.load(register), INDEX(n * WIDTH))
        return context.get_dummy_value()

    return types.void(words, weights, types.int64, out), generate


if numba.config.DISABLE_JIT:

    def pair_product(words, weights, first, out):
        """Write the products of CHUNK patches and the columns `first` to `first` + TILE of V to out, (TILE, CHUNK).

        words (pairs, CHUNK) and weights (columns, pairs) hold two 16-bit numbers in each int32.
        """
        samples, factors = (np.ascontiguousarray(a).view(np.int16).astype(np.int32) for a in (words.T, weights))
        out[:] = factors[first : first + TILE] @ samples.T

else:
    pair_product = _pair_product
