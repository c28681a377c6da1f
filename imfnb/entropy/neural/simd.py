"""Vector operations of networks and mixers.

As in `imfnb.entropy.simd`: the plain Python beside each is its definition, and what runs with the JIT off. Sums fit 32
bits (see the reference), so neither their order nor products in pairs can change them.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ...format.neural_model import (
    CONTEXTS,
    HIDDEN_1,
    HIDDEN_2,
    HIDDEN_LIMIT,
    INPUTS,
    SAID,
    SEEN,
    SHIFT_1,
    SHIFT_2,
    SHIFT_3,
)
from ...format.probability import STRETCH_LIMIT, WEIGHT_LIMIT
from ...runtime.vectors import INDEX, WIDTH, Lanes, multiply_pairs, splat
from ..simd import clamp

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR, _WIDE = ir.VectorType(_I32, INPUTS), ir.VectorType(_I32, WIDTH)


def _constant(value, width):
    return ir.Constant(ir.VectorType(_I32, width), [value] * width)


def _bounded(builder, value, low, high):
    low, high = _constant(low, WIDTH), _constant(high, WIDTH)
    value = builder.select(builder.icmp_signed("<", value, low), low, value)
    return builder.select(builder.icmp_signed(">", value, high), high, value)


def _lane(builder, vector, lane):
    order = ir.Constant(_WIDE, [lane] * WIDTH)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), order)


@intrinsic
def _network(typing_context, seen, layers, biases, number, row, said):
    signature = types.void(seen, layers, biases, types.int64, types.int64, said)

    def generate(context, builder, signature, args):
        kinds = signature.args
        seen_data = context.make_array(kinds[0])(context, builder, args[0]).data
        seen_data = builder.bitcast(seen_data, _I32.as_pointer())
        weights = [
            Lanes(context, builder, kinds[1].types[k], builder.extract_value(args[1], k), 2 * WIDTH) for k in range(3)
        ]
        starts = [
            Lanes(context, builder, kinds[2].types[k], builder.extract_value(args[2], k), WIDTH) for k in range(3)
        ]
        number, row = args[3], args[4]

        def base(index, length):
            return builder.mul(index, ir.Constant(_I64, length))

        first = base(row, HIDDEN_1)
        place = base(number, SEEN * HIDDEN_1)
        sums = [starts[0].load(builder.add(first, INDEX(WIDTH * k))) for k in range(HIDDEN_1 // WIDTH)]
        for i in range(SEEN // 2):
            pair = splat(builder, builder.load(builder.gep(seen_data, [INDEX(i)])), WIDTH)
            for k in range(HIDDEN_1 // WIDTH):
                weight = weights[0].load(builder.add(place, INDEX(2 * (i * HIDDEN_1 + WIDTH * k))))
                sums[k] = builder.add(sums[k], multiply_pairs(builder, weight, pair))
        hidden = [_bounded(builder, builder.ashr(each, _constant(SHIFT_1, WIDTH)), 0, HIDDEN_LIMIT) for each in sums]
        pairs = builder.or_(hidden[0], builder.shl(hidden[1], _constant(16, WIDTH)))
        place = base(number, HIDDEN_1 * HIDDEN_2)
        total = starts[1].load(base(number, HIDDEN_2))
        for i in range(HIDDEN_1 // 2):
            weight = weights[1].load(builder.add(place, INDEX(2 * i * HIDDEN_2)))
            total = builder.add(total, multiply_pairs(builder, weight, _lane(builder, pairs, i)))
        value = _bounded(builder, builder.ashr(total, _constant(SHIFT_2, WIDTH)), 0, HIDDEN_LIMIT)
        order = ir.Constant(_WIDE, [(k + HIDDEN_2 // 2) % HIDDEN_2 for k in range(HIDDEN_2)])
        turned = builder.shuffle_vector(value, ir.Constant(_WIDE, ir.Undefined), order)
        pairs = builder.or_(value, builder.shl(turned, _constant(16, WIDTH)))
        place = base(number, HIDDEN_2 * SAID)
        total = starts[2].load(base(row, SAID))
        for i in range(HIDDEN_2 // 2):
            weight = weights[2].load(builder.add(place, INDEX(2 * i * SAID)))
            total = builder.add(total, multiply_pairs(builder, weight, _lane(builder, pairs, i)))
        value = _bounded(builder, builder.ashr(total, _constant(SHIFT_3, WIDTH)), -STRETCH_LIMIT, STRETCH_LIMIT)
        Lanes(context, builder, kinds[5], args[5], WIDTH).store(value, INDEX(0))
        return context.get_dummy_value()

    return signature, generate


def _dot(builder, weights, inputs):
    product = builder.ashr(builder.mul(weights, inputs), _constant(5, INPUTS))
    width = INPUTS
    while width > 1:
        width //= 2
        order = [k + width if k < width else k for k in range(INPUTS)]
        turned = builder.shuffle_vector(product, ir.Constant(_VECTOR, ir.Undefined), ir.Constant(_VECTOR, order))
        product = builder.add(product, turned)
    product = clamp(builder, builder.ashr(product, _constant(10, INPUTS)), STRETCH_LIMIT)
    return builder.sext(builder.extract_element(product, ir.Constant(_I32, 0)), _I64)


@intrinsic(prefer_literal=True)
def _mix_vector(typing_context, states, slots, t, shift, stretch, net, inputs, weights, a, b):
    long = types.int64
    signature = types.UniTuple(long, 2)(states, slots, long, shift, stretch, long, inputs, weights, long, long)
    shift_value = shift.literal_value

    def generate(context, builder, signature, args):
        kinds = signature.args
        states, slots, stretch = (context.make_array(kinds[k])(context, builder, args[k]).data for k in (0, 1, 4))
        first = builder.gep(states, [args[2]])
        vector = ir.Constant(_VECTOR, ir.Undefined)
        for k in range(CONTEXTS):
            slot = builder.load(builder.gep(slots, [ir.Constant(_I64, k)]))
            state = builder.load(builder.gep(first, [builder.zext(slot, _I64)]))
            index = builder.zext(builder.lshr(state, ir.Constant(_I32, shift_value)), _I64)
            value = builder.sext(builder.load(builder.gep(stretch, [index])), _I32)
            vector = builder.insert_element(vector, value, ir.Constant(_I32, k))
        vector = builder.insert_element(vector, builder.trunc(args[5], _I32), ir.Constant(_I32, CONTEXTS))
        Lanes(context, builder, kinds[6], args[6], INPUTS).store(vector, INDEX(0))
        lanes = Lanes(context, builder, kinds[7], args[7], INPUTS)
        found = [_dot(builder, lanes.load(args[k]), vector) for k in (8, 9)]
        return context.make_tuple(builder, signature.return_type, found)

    return signature, generate


@intrinsic(prefer_literal=True)
def _train_vector(typing_context, weights, a, inputs, error, shift):
    signature = types.void(weights, types.int64, inputs, types.int64, shift)
    shift_value = shift.literal_value

    def generate(context, builder, signature, args):
        scaled = Lanes(context, builder, signature.args[2], args[2], INPUTS).load(INDEX(0))
        delta = builder.mul(scaled, splat(builder, builder.trunc(args[3], _I32), INPUTS))
        delta = builder.add(delta, _constant(1 << (shift_value - 1), INPUTS))
        delta = builder.ashr(delta, _constant(shift_value, INPUTS))
        lanes = Lanes(context, builder, signature.args[0], args[0], INPUTS)
        lanes.store(clamp(builder, builder.add(lanes.load(args[1]), delta), WEIGHT_LIMIT), args[1])
        return context.get_dummy_value()

    return signature, generate


if nb.config.DISABLE_JIT:

    def _layer(values, weights, sums, shift, low, high):
        """Bounded sums of values times weights, pairs of inputs (n / 2, m, 2), whose first `values` are (n / 2, 2)."""
        total = sums.astype(np.int64) + (values[:, None, :].astype(np.int64) * weights).sum(axis=(0, 2))
        return np.clip(total >> shift, low, high)

    def network(seen, layers, biases, number, row, said):
        """Write what network `number` says with row `row` of the biases, said[16], of what it sees, seen[32]."""
        one = layers[0].reshape(-1, SEEN // 2, HIDDEN_1, 2)[number]
        two = layers[1].reshape(-1, HIDDEN_1 // 2, HIDDEN_2, 2)[number]
        three = layers[2].reshape(-1, HIDDEN_2 // 2, SAID, 2)[number]
        sums = biases[0].reshape(-1, HIDDEN_1)[row], biases[1].reshape(-1, HIDDEN_2)[number]
        hidden = _layer(seen.reshape(-1, 2), one, sums[0], SHIFT_1, 0, HIDDEN_LIMIT)
        hidden = _layer(hidden.reshape(2, -1).T, two, sums[1], SHIFT_2, 0, HIDDEN_LIMIT)
        last = biases[2].reshape(-1, SAID)[row]
        said[:] = _layer(hidden.reshape(2, -1).T, three, last, SHIFT_3, -STRETCH_LIMIT, STRETCH_LIMIT)

    def mix(states, slots, t, shift, stretch, net, inputs, weights, a, b):
        """Look up inputs[k] = stretch[states[slots[k] + t] >> shift], the last is `net`; return two weighted sums.

        Each the sum of (weights[a + k] * inputs[k]) >> 5 over k, shifted by 10 and clamped to +-STRETCH_LIMIT.
        """
        for k in range(CONTEXTS):
            inputs[k] = stretch[states[slots[k] + t] >> shift]
        inputs[CONTEXTS] = net
        found = []
        for first in (a, b):
            total = sum((int(weights[first + k]) * int(inputs[k])) >> 5 for k in range(INPUTS))
            found.append(min(max(total >> 10, -STRETCH_LIMIT), STRETCH_LIMIT))
        return found[0], found[1]

    def train(weights, a, inputs, error, shift):
        """Add (inputs[k] * error) >> shift, rounded, to weights[a + k]; clamp to +-WEIGHT_LIMIT."""
        for k in range(INPUTS):
            delta = (int(inputs[k]) * int(error) + (1 << (shift - 1))) >> shift
            weights[a + k] = min(max(int(weights[a + k]) + delta, -WEIGHT_LIMIT), WEIGHT_LIMIT)
else:
    network, mix, train = _network, _mix_vector, _train_vector
