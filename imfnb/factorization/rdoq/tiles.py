"""Register tiles of X V and of U V^T in pairs of 16-bit integers, as LLVM vectors of patches and of pixels.

A sample behind the lapped filter, an entry of V and one of U fit 16 bits, and processors multiply and add pairs of
those in one instruction. With 32-bit products X V took 2.2 ms for the luma of a 768x512 image, with pairs 0.6. U V^T of
all planes took 1.3 ms as loops that left out zeros and added up in memory, here 0.3 (one Xeon core).
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...runtime.vectors import INDEX, WIDTH, Lanes, multiply_add_pairs, product_tile, registers, splat

__all__ = ["CHUNK", "TILE", "pair_product", "place_patch"]

#: Columns of V in a tile, and patches beside them: eight vectors of sums.
TILE, CHUNK = 4, 32


@intrinsic
def _pair_product(typing_context, words, weights, first, out):
    def generate(context, builder, signature, args):
        lanes, factors, target = (Lanes(context, builder, signature.args[k], args[k]) for k in (0, 1, 3))
        size = TILE, CHUNK // WIDTH
        sums = product_tile(context, builder, lanes, factors, (args[2], INDEX(0)), size, multiply_add_pairs, out.dtype)
        for n, register in enumerate(sums):
            target.store(builder.load(register), INDEX(n * WIDTH))
        return context.get_dummy_value()

    return types.void(words, weights, types.int64, out), generate


@intrinsic(prefer_literal=True)
def _place_patch(typing_context, factors, patch, last, limit, words, scale, plane, place, patch_size):
    p = patch_size.literal_value
    i16, i32 = ir.IntType(16), ir.IntType(32)

    def generate(context, builder, signature, args):
        kinds = signature.args
        entries, pairs, target = (Lanes(context, builder, kinds[k], args[k]) for k in (0, 4, 6))
        last, limit = args[2], builder.trunc(args[3], i16)
        lowest, shift = builder.neg(limit), splat(builder, builder.trunc(args[5], i32))

        def entry(r):
            value = entries.at(builder.add(builder.mul(r, entries.shape[1]), args[1]))
            value = builder.select(builder.icmp_signed("<", value, lowest), lowest, value)
            return builder.zext(builder.select(builder.icmp_signed(">", value, limit), limit, value), i32)

        sums = registers(context, builder, types.int32, p * p // WIDTH)
        one = ir.Constant(shift.type, [1] * WIDTH)
        for total in sums:
            builder.store(builder.ashr(builder.shl(one, shift), one), total)
        stop = builder.add(last, INDEX(1))
        with cgutils.for_range_slice(builder, INDEX(0), stop, INDEX(2), intp=INDEX) as (r, _):
            above = builder.add(r, INDEX(1))
            inside = builder.icmp_signed("<=", above, last)
            second = builder.select(inside, entry(builder.select(inside, above, r)), ir.Constant(i32, 0))
            word = splat(builder, builder.or_(entry(r), builder.shl(second, ir.Constant(i32, 16))))
            line = builder.mul(builder.lshr(r, INDEX(1)), pairs.shape[1])
            for k, total in enumerate(sums):
                multiply_add_pairs(builder, word, pairs.load(builder.add(line, INDEX(k * WIDTH))), total)
        undefined = ir.Constant(shift.type, ir.Undefined)
        for k, total in enumerate(sums):
            value = builder.ashr(builder.load(total), shift)
            for start in range(0, WIDTH, p):
                order = ir.Constant(ir.VectorType(i32, p), list(range(start, start + p)))
                row = INDEX((k * WIDTH + start) // p)
                where = builder.add(args[7], builder.mul(row, target.shape[1]))
                target.store(builder.shuffle_vector(value, undefined, order), where)
        return context.get_dummy_value()

    kinds = factors, types.int64, types.int64, types.int64, words, types.int64, plane, types.int64, patch_size
    return types.void(*kinds), generate


if numba.config.DISABLE_JIT:

    def pair_product(words, weights, first, out):
        """Write the products of CHUNK patches and the columns `first` to `first` + TILE of V to out, (TILE, CHUNK).

        words (pairs, CHUNK) and weights (columns, pairs) hold two 16-bit numbers in each int32.
        """
        samples, factors = (np.ascontiguousarray(a).view(np.int16).astype(np.int32) for a in (words.T, weights))
        out[:] = factors[first : first + TILE] @ samples.T

    def place_patch(factors, patch, last, limit, words, scale, plane, place, patch_size):
        """Write the product of a patch to flat position `place` of plane.

        Components of factors (int16, (R, size)) up to `last` count, with entries clamped to `limit`. words (int32,
        (pairs, N)) hold the rows of V^T in pairs of 16 bits; the sum is rounded and shifted by `scale`.
        """
        u = np.clip(factors[: last + 1, patch].astype(np.int32), -limit, limit)
        columns = words.view(np.int16).reshape(len(words), -1, 2).transpose(0, 2, 1).reshape(2 * len(words), -1)
        samples = (u @ columns[: last + 1].astype(np.int32) + (1 << (scale - 1))) >> scale
        row, column = divmod(place, plane.shape[1])
        plane[row : row + patch_size, column : column + patch_size] = samples.reshape(patch_size, patch_size)

else:
    pair_product, place_patch = _pair_product, _place_patch
