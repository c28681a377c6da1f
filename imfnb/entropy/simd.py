"""Two operations of the mixer on eight int32 lanes.

Numba unrolls a loop of eight and then finds nothing left to vectorise (its SLP pass is off), so the two loops of
the mixer are written as LLVM vectors; the plain loops beside them are the definition, and what runs with the JIT off.
On Zen 5 the vectors bring a bin from 80 to 72 ns. LLVM lowers them on machines without 256-bit vectors as well.
"""

from __future__ import annotations

import ctypes

import numba as nb
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..runtime.vectors import INDEX, Lanes, splat

LANES = 8
_I32 = ir.IntType(32)
_VECTOR = ir.VectorType(_I32, LANES)


def clamp(builder, value, limit):
    """Every lane within plus or minus a limit."""
    low = ir.Constant(_VECTOR, [-limit] * LANES)
    high = ir.Constant(_VECTOR, [limit] * LANES)
    value = builder.select(builder.icmp_signed("<", value, low), low, value)
    return builder.select(builder.icmp_signed(">", value, high), high, value)


@intrinsic(prefer_literal=True)
def _mix_vector(typing_context, states, slots, t, shift, stretch, inputs, weights, a, b, limit):
    signature = types.int64(
        states, slots, types.int64, shift, stretch, inputs, weights, types.int64, types.int64, limit
    )
    shift_value = shift.literal_value

    def generate(context, builder, signature, args):
        types_of = signature.args
        i64 = ir.IntType(64)
        data = [context.make_array(types_of[k])(context, builder, args[k]).data for k in (0, 1, 4)]
        first = builder.gep(data[0], [args[2]])
        vector = ir.Constant(_VECTOR, ir.Undefined)
        for k in range(LANES):
            slot = builder.load(builder.gep(data[1], [ir.Constant(i64, k)]))
            state = builder.load(builder.gep(first, [builder.zext(slot, i64)]))
            index = builder.zext(builder.lshr(state, ir.Constant(_I32, shift_value)), i64)
            value = builder.sext(builder.load(builder.gep(data[2], [index])), _I32)
            vector = builder.insert_element(vector, value, ir.Constant(_I32, k))
        Lanes(context, builder, types_of[5], args[5], LANES).store(vector, INDEX(0))
        lanes = Lanes(context, builder, types_of[6], args[6], LANES)
        product = builder.mul(builder.add(lanes.load(args[7]), lanes.load(args[8])), vector)
        product = builder.ashr(product, ir.Constant(_VECTOR, [5] * LANES))
        width = LANES
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        while width > 1:
            width //= 2
            order = [k + width if k < width else k for k in range(LANES)]
            turned = builder.shuffle_vector(product, undefined, ir.Constant(_VECTOR, order))
            product = builder.add(product, turned)
        product = clamp(builder, builder.ashr(product, ir.Constant(_VECTOR, [11] * LANES)), limit.literal_value)
        return builder.sext(builder.extract_element(product, ir.Constant(_I32, 0)), ir.IntType(64))

    return signature, generate


@intrinsic(prefer_literal=True)
def _train_vector(typing_context, weights, a, b, inputs, error, shift, limit):
    signature = types.void(weights, types.int64, types.int64, inputs, types.int64, shift, limit)
    shift_value, limit_value = shift.literal_value, limit.literal_value

    def generate(context, builder, signature, args):
        scaled = Lanes(context, builder, signature.args[3], args[3], LANES).load(INDEX(0))
        delta = builder.mul(scaled, splat(builder, builder.trunc(args[4], _I32), LANES))
        delta = builder.add(delta, ir.Constant(_VECTOR, [1 << (shift_value - 1)] * LANES))
        delta = builder.ashr(delta, ir.Constant(_VECTOR, [shift_value] * LANES))
        lanes = Lanes(context, builder, signature.args[0], args[0], LANES)
        for index in args[1:3]:
            lanes.store(clamp(builder, builder.add(lanes.load(index), delta), limit_value), index)

    return signature, generate


@intrinsic
def _peek_byte(typing_context, address):
    def generate(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        return builder.zext(builder.load(pointer), ir.IntType(64))

    return types.int64(types.int64), generate


@intrinsic
def _poke_byte(typing_context, address, value):
    def generate(context, builder, signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        builder.store(builder.trunc(args[1], ir.IntType(8)), pointer)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


if nb.config.DISABLE_JIT:

    def peek(address):
        """Return the byte at an address."""
        return ctypes.c_uint8.from_address(int(address)).value

    def poke(address, value):
        """Store the low eight bits of a value at an address."""
        ctypes.c_uint8.from_address(int(address)).value = int(value) & 255

    def mix(states, slots, t, shift, stretch, inputs, weights, a, b, limit):
        """Look up inputs[k] = stretch[states[slots[k] + t] >> shift]; return their weighted sum as int64.

        The sum of ((weights[a + k] + weights[b + k]) * inputs[k]) >> 5 over k, shifted by 11 and clamped to +-limit.
        """
        for k in range(LANES):
            inputs[k] = stretch[states[slots[k] + t] >> shift]
        total = sum(((int(weights[a + k]) + int(weights[b + k])) * int(inputs[k])) >> 5 for k in range(LANES))
        return min(max(total >> 11, -limit), limit)

    def train(weights, a, b, inputs, error, shift, limit):
        """Add (inputs[k] * error) >> shift, rounded, to weights[a + k] and weights[b + k]; clamp to +-limit."""
        for k in range(LANES):
            delta = (int(inputs[k]) * int(error) + (1 << (shift - 1))) >> shift
            for i in (a + k, b + k):
                weights[i] = min(max(int(weights[i]) + delta, -limit), limit)
else:
    peek, poke = _peek_byte, _poke_byte
    mix = _mix_vector
    train = _train_vector
