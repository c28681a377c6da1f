"""Operations on vectors of the prediction of residual arrays.

As in `imfnb.entropy.simd`: the plain Python beside each is its definition, and what runs with the JIT off. All of them
are sums and products of integers, which wrap around at 32 bits where that is said.
"""

from __future__ import annotations

import numba as nb
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ...format.residual_model import SCALED_LIMIT, TAPS
from ...runtime.vectors import INDEX, Lanes, splat
from ..simd import LANES, clamp

#: Neighbours and the value itself.
SIDE = TAPS + 1

_BLOCKS = SIDE // LANES
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_LONG = ir.VectorType(_I64, LANES)
_INTS = ir.VectorType(_I32, LANES)


def _vectors(context, builder, signature, args, k):
    return Lanes(context, builder, signature.args[k], args[k], LANES)


@intrinsic
def _accumulate(typing_context, sums, x):
    signature = types.void(sums, x)

    def generate(context, builder, signature, args):
        sums, x = (_vectors(context, builder, signature, args, k) for k in (0, 1))
        parts = [x.load(INDEX(LANES * k)) for k in range(_BLOCKS)]
        for i in range(SIDE):
            order = ir.Constant(ir.VectorType(_I32, LANES), [i % LANES] * LANES)
            factor = builder.shuffle_vector(parts[i // LANES], ir.Constant(_INTS, ir.Undefined), order)
            for k in range(i // LANES + 1):
                place = INDEX(SIDE * i + LANES * k)
                sums.store(builder.add(sums.load(place), builder.mul(factor, parts[k])), place)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _scale(typing_context, x, right, left, scaled):
    signature = types.void(x, types.int64, types.int64, scaled)

    def generate(context, builder, signature, args):
        x, scaled = (_vectors(context, builder, signature, args, k) for k in (0, 3))
        right, left = (splat(builder, builder.trunc(args[k], _I32), LANES) for k in (1, 2))
        for k in range(_BLOCKS):
            value = clamp(builder, builder.ashr(x.load(INDEX(LANES * k)), right), SCALED_LIMIT)
            scaled.store(clamp(builder, builder.shl(value, left), SCALED_LIMIT), INDEX(LANES * k))
        return context.get_dummy_value()

    return signature, generate


def _sum(builder, vector):
    width = LANES
    while width > 1:
        width //= 2
        order = ir.Constant(_INTS, [k + width if k < width else k for k in range(LANES)])
        vector = builder.add(vector, builder.shuffle_vector(vector, ir.Constant(_LONG, ir.Undefined), order))
    return builder.extract_element(vector, ir.Constant(_I32, 0))


@intrinsic
def _dot(typing_context, weights, x):
    signature = types.int64(weights, x)

    def generate(context, builder, signature, args):
        weights, x = (_vectors(context, builder, signature, args, k) for k in (0, 1))
        total = ir.Constant(_LONG, [0] * LANES)
        for k in range(_BLOCKS):
            a, b = (builder.sext(v.load(INDEX(LANES * k)), _LONG) for v in (weights, x))
            total = builder.add(total, builder.mul(a, b))
        return _sum(builder, total)

    return signature, generate


@intrinsic
def _eliminate(typing_context, matrix, row, factor, column, first, last):
    signature = types.void(matrix, types.int64, types.int64, column, types.int64, types.int64)

    def generate(context, builder, signature, args):
        matrix, column = (_vectors(context, builder, signature, args, k) for k in (0, 3))
        factor = builder.sext(splat(builder, builder.trunc(args[2], _I32), LANES), _LONG)
        base = builder.mul(args[1], ir.Constant(_I64, SIDE))
        shift = ir.Constant(_LONG, [16] * LANES)
        start = builder.block
        loop, done = builder.append_basic_block("eliminate"), builder.append_basic_block("eliminated")
        builder.branch(loop)
        builder.position_at_end(loop)
        block = builder.phi(_I64)
        block.add_incoming(args[4], start)
        offset = builder.mul(block, ir.Constant(_I64, LANES))
        place = builder.add(base, offset)
        product = builder.mul(builder.sext(column.load(offset), _LONG), factor)
        change = builder.trunc(builder.lshr(product, shift), _INTS)
        matrix.store(builder.sub(matrix.load(place), change), place)
        following = builder.add(block, ir.Constant(_I64, 1))
        block.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<=", following, args[5]), loop, done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, generate


if nb.config.DISABLE_JIT:

    def accumulate(sums, x):
        """Add x[i] x[c] to sums[SIDE i + c] for all c below the next multiple of eight behind i."""
        for i in range(SIDE):
            for c in range((i // LANES + 1) * LANES):
                sums[SIDE * i + c] += x[i] * x[c]

    def scale(x, right, left, scaled):
        """Shift x to the right, clamp it, shift it to the left and clamp it again."""
        for i in range(SIDE):
            value = min(max(int(x[i]) >> right, -SCALED_LIMIT), SCALED_LIMIT)
            scaled[i] = min(max(value << left, -SCALED_LIMIT), SCALED_LIMIT)

    def dot(weights, x):
        """Return the sum of products, as int64."""
        return sum(int(weights[i]) * int(x[i]) for i in range(SIDE))

    def eliminate(matrix, row, factor, column, first, last):
        """Subtract (factor column[c]) >> 16 from matrix[SIDE row + c], modulo 2^32, in some blocks of eight."""
        for c in range(LANES * first, LANES * (last + 1)):
            value = int(matrix[SIDE * row + c]) - ((int(factor) * int(column[c])) >> 16)
            matrix[SIDE * row + c] = (value + (1 << 31)) % (1 << 32) - (1 << 31)
else:
    accumulate, scale, dot, eliminate = _accumulate, _scale, _dot, _eliminate
