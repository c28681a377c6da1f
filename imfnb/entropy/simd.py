"""Two operations of the mixer on eight int32 lanes.

Numba unrolls a loop of eight and then finds nothing left to vectorise (its SLP pass is off), so the two loops of
the mixer are written as LLVM vectors; the plain loops beside them are the definition, and what runs with the JIT off.
On Zen 5 the vectors bring a bin from 80 to 72 ns. LLVM lowers them on machines without 256-bit vectors as well.
"""
from __future__ import annotations

import numba as nb
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 8
_I32 = ir.IntType(32)
_VECTOR = ir.VectorType(_I32, LANES)


def _splat(builder, value):
    """Repeat an i32 in all lanes."""
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(_I32, 0))
    lanes = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), lanes)


def _pointer(context, builder, array_type, array, index):
    """Return the address of eight lanes of an int32 array from an index on."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _clamp(builder, value, limit):
    low = ir.Constant(_VECTOR, [-limit] * LANES)
    high = ir.Constant(_VECTOR, [limit] * LANES)
    value = builder.select(builder.icmp_signed("<", value, low), low, value)
    return builder.select(builder.icmp_signed(">", value, high), high, value)


@intrinsic
def _dot_vector(typing_context, weights, a, b, inputs):
    signature = types.int64(weights, types.int64, types.int64, inputs)

    def generate(context, builder, signature, args):
        pa = _pointer(context, builder, signature.args[0], args[0], args[1])
        pb = _pointer(context, builder, signature.args[0], args[0], args[2])
        ps = _pointer(context, builder, signature.args[3], args[3], ir.Constant(ir.IntType(64), 0))
        product = builder.mul(builder.add(builder.load(pa, align=4), builder.load(pb, align=4)),
                              builder.load(ps, align=4))
        product = builder.ashr(product, ir.Constant(_VECTOR, [5] * LANES))
        width = LANES
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        while width > 1:
            width //= 2
            lanes = [k + width if k < width else k for k in range(LANES)]
            turned = builder.shuffle_vector(product, undefined, ir.Constant(ir.VectorType(_I32, LANES), lanes))
            product = builder.add(product, turned)
        return builder.sext(builder.extract_element(product, ir.Constant(_I32, 0)), ir.IntType(64))

    return signature, generate


@intrinsic(prefer_literal=True)
def _train_vector(typing_context, weights, a, b, inputs, error, shift, limit):
    signature = types.void(weights, types.int64, types.int64, inputs, types.int64, shift, limit)
    shift_value, limit_value = shift.literal_value, limit.literal_value

    def generate(context, builder, signature, args):
        ps = _pointer(context, builder, signature.args[3], args[3], ir.Constant(ir.IntType(64), 0))
        delta = builder.mul(builder.load(ps, align=4), _splat(builder, builder.trunc(args[4], _I32)))
        delta = builder.add(delta, ir.Constant(_VECTOR, [1 << (shift_value - 1)] * LANES))
        delta = builder.ashr(delta, ir.Constant(_VECTOR, [shift_value] * LANES))
        for index in args[1:3]:
            pointer = _pointer(context, builder, signature.args[0], args[0], index)
            value = builder.add(builder.load(pointer, align=4), delta)
            builder.store(_clamp(builder, value, limit_value), pointer, align=4)

    return signature, generate


if nb.config.DISABLE_JIT:
    def dot(weights, a, b, inputs):
        """Return sum_k ((weights[a + k] + weights[b + k]) * inputs[k]) >> 5 as int64."""
        return sum(((int(weights[a + k]) + int(weights[b + k])) * int(inputs[k])) >> 5 for k in range(LANES))

    def train(weights, a, b, inputs, error, shift, limit):
        """Add (inputs[k] * error) >> shift, rounded, to weights[a + k] and weights[b + k]; clamp to +-limit."""
        for k in range(LANES):
            delta = (int(inputs[k]) * int(error) + (1 << (shift - 1))) >> shift
            for i in (a + k, b + k):
                weights[i] = min(max(int(weights[i]) + delta, -limit), limit)
else:
    dot = _dot_vector
    train = _train_vector
