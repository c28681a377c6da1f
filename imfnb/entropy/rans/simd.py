"""Vector operations of the coder in parallel lanes: a network for many symbols at once, and the search of a table.

The plain NumPy beside each is its definition, and what runs with the JIT off. Sums fit 32 bits (see the reference), so
neither their order nor products in pairs can change them.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...format.rans_model import HIDDEN, LEVELS, SHIFT_1, SHIFT_2, SYMBOLS, UNIT_MAX
from ...runtime.vectors import INDEX, WIDTH, Lanes, has_feature, multiply_add_pairs, registers, splat

__all__ = ["levels", "symbol_of"]

# Hidden units whose sums stay in registers at a time: of 32 with 512 bits, or of 16 with 256 of which two are a vector.
_TILE = 8 if has_feature("avx512f") else 4

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)


def _words(value: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, WIDTH), [value] * WIDTH)


def _clip(builder, value, high):
    value = builder.select(builder.icmp_signed("<", value, _words(0)), _words(0), value)
    return builder.select(builder.icmp_signed(">", value, _words(high)), _words(high), value)


@intrinsic
def _levels(typing_context, words, net, weights_1, biases_1, weights_2, bias_2, count, length, out):
    def generate(context, builder, signature, args):
        kinds = signature.args
        words, weights_1, biases_1, weights_2 = (Lanes(context, builder, kinds[k], args[k]) for k in (0, 2, 3, 4))
        out = Lanes(context, builder, kinds[8], args[8])
        net, count, length = args[1], args[6], args[7]
        stride = words.shape[1]
        last = splat(builder, builder.trunc(args[5], _I32))
        start_1 = builder.mul(net, builder.mul(weights_1.shape[1], INDEX(HIDDEN)))
        start_2 = builder.mul(net, INDEX(HIDDEN // 2))
        sums = registers(context, builder, types.int32, _TILE)
        (total,) = registers(context, builder, types.int32, 1)
        with cgutils.for_range_slice(builder, INDEX(0), length, INDEX(WIDTH), intp=INDEX) as (x, _):
            builder.store(last, total)
            for first in range(0, HIDDEN, _TILE):
                for k in range(_TILE):
                    builder.store(biases_1.splat(INDEX(first + k)), sums[k])
                with cgutils.for_range(builder, count, intp=INDEX) as loop:
                    values = words.load(builder.add(builder.mul(loop.index, stride), x))
                    row = builder.add(builder.mul(loop.index, INDEX(HIDDEN)), builder.add(start_1, INDEX(first)))
                    for k in range(_TILE):
                        weight = weights_1.splat(builder.add(row, INDEX(k)))
                        multiply_add_pairs(builder, values, weight, sums[k])
                for k in range(0, _TILE, 2):
                    one, two = (
                        _clip(builder, builder.ashr(builder.load(sums[k + odd]), _words(SHIFT_1)), UNIT_MAX)
                        for odd in (0, 1)
                    )
                    pair = builder.or_(one, builder.shl(two, _words(16)))
                    multiply_add_pairs(
                        builder, pair, weights_2.splat(builder.add(start_2, INDEX((first + k) // 2))), total
                    )
            level = _clip(builder, builder.ashr(builder.load(total), _words(SHIFT_2)), LEVELS - 1)
            out.store(level, x)
        return context.get_dummy_value()

    kinds = words, types.int64, weights_1, biases_1, weights_2, types.int64, types.int64, types.int64, out
    return types.void(*kinds), generate


@intrinsic
def _symbol_of(typing_context, starts, row, slot):
    def generate(context, builder, signature, args):
        table = Lanes(context, builder, signature.args[0], args[0], SYMBOLS)
        values = table.load(builder.mul(args[1], INDEX(SYMBOLS)))
        above = builder.icmp_signed("<=", values, splat(builder, builder.trunc(args[2], _I16), SYMBOLS))
        mask = builder.bitcast(above, ir.IntType(SYMBOLS))
        return builder.sub(builder.ctpop(builder.zext(mask, _I64)), ir.Constant(_I64, 1))

    return types.int64(starts, types.int64, types.int64), generate


if numba.config.DISABLE_JIT:

    def levels(words, net, weights_1, biases_1, weights_2, bias_2, count, length, out):
        """Levels of `length` symbols, int32, a multiple of WIDTH: words (int32, (m, n)) hold two inputs each, of
        which the first `count` rows count; weights are in pairs as these (int32, (m, HIDDEN) and (HIDDEN / 2,)).
        """
        inputs = np.ascontiguousarray(words[:count, :length]).view(np.int16).reshape(count, length, 2).astype(np.int64)
        pairs = np.ascontiguousarray(weights_1[net, :count]).view(np.int16).reshape(count, HIDDEN, 2).astype(np.int64)
        hidden = np.clip((biases_1 + np.einsum("kxi,koi->xo", inputs, pairs)) >> SHIFT_1, 0, UNIT_MAX)
        total = bias_2 + hidden @ np.ascontiguousarray(weights_2[net]).view(np.int16).astype(np.int64)
        out[:length] = np.clip(total >> SHIFT_2, 0, LEVELS - 1)

    def symbol_of(starts, row, slot):
        """The last symbol of a row of starts (int16, (rows, SYMBOLS)) that is not beyond a slot."""
        return int((starts[row] <= slot).sum()) - 1

else:
    levels, symbol_of = _levels, _symbol_of
