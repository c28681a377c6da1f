"""The inner loop of the restoration network as LLVM vectors: a row of a layer, cells beside each other in the lanes.

A word has the values of a cell in a group of channels: four unsigned bytes where the processor has dot products of
these (`DOTS`), elsewhere two 16-bit integers, as the inputs of the first layer are everywhere. A tile of sums, some
outputs of some vectors of cells, stays in registers while all inputs of it are added.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..format.network import ACTIVATION_MAX, CORRECTION_LIMIT, KERNEL
from ..runtime.vectors import (
    DOTS,
    INDEX,
    WIDTH,
    Lanes,
    add_dot,
    has_feature,
    multiply_add_pairs,
    registers,
    splat,
)

__all__ = ["CHUNK", "GROUP", "TILE", "first_row", "hidden_row", "last_row"]

#: Channels of a word of activations.
GROUP = 4 if DOTS else 2

# Vectors of cells and outputs of a tile, as the registers allow: 32 of 512 bits, or 16 of 256 with two to a vector.
_WIDE = bool(numba.config.DISABLE_JIT) or has_feature("avx512f")
_VECTORS = 2 if _WIDE else 1

#: Outputs of a tile, of the first layer and those between.
TILE = 8 if _WIDE else 4
#: Outputs of a tile of the last layer: the four samples of a cell of a plane.
_LAST = 4

#: Cells of a tile: rows are computed in multiples of it.
CHUNK = _VECTORS * WIDTH

_I32 = ir.IntType(32)


def _words(value: int) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, WIDTH), [value] * WIDTH)


def _clip(builder: ir.IRBuilder, value: ir.Value, low: int, high: int) -> ir.Value:
    for bound, sign in ((_words(low), "<"), (_words(high), ">")):
        value = builder.select(builder.icmp_signed(sign, value, bound), bound, value)
    return value


def _row(context, builder, signature, args, add, tile, group, low, high):
    """A row of a layer. See `hidden_row`; `group` is how many outputs go into a word."""
    kinds = signature.args
    lines = Lanes(context, builder, kinds[0], args[0])
    places = Lanes(context, builder, kinds[1], args[1])
    weights, biases = (Lanes(context, builder, kinds[k], args[k]) for k in (2, 3))
    goals = Lanes(context, builder, kinds[5], args[5])
    shift = splat(builder, builder.trunc(args[4], _I32))
    cells = args[6]
    count = places.shape[0]
    sums = registers(context, builder, types.int32, tile * _VECTORS)
    tiles = builder.udiv(biases.shape[0], INDEX(tile))
    chunks = cgutils.for_range_slice(builder, INDEX(0), cells, INDEX(CHUNK), intp=INDEX)
    with chunks as (x, _), cgutils.for_range(builder, tiles, intp=INDEX) as loop:
        first = builder.mul(loop.index, INDEX(tile))
        block = builder.mul(first, builder.mul(count, INDEX(KERNEL)))
        for o in range(tile):
            bias = biases.splat(builder.add(first, INDEX(o)))
            for v in range(_VECTORS):
                builder.store(bias, sums[o * _VECTORS + v])
        with cgutils.for_range(builder, count, intp=INDEX) as inner:
            place = builder.add(places.at(inner.index), x)
            start = builder.add(block, builder.mul(inner.index, INDEX(KERNEL * tile)))
            for k in range(KERNEL):
                values = [lines.load(builder.add(place, INDEX(k + v * WIDTH))) for v in range(_VECTORS)]
                for o in range(tile):
                    weight = weights.splat(builder.add(start, INDEX(k * tile + o)))
                    for v in range(_VECTORS):
                        add(builder, values[v], weight, sums[o * _VECTORS + v])
        for j in range(tile // group):
            number = builder.add(builder.udiv(first, INDEX(group)), INDEX(j))
            goal = builder.add(goals.at(number), x)
            for v in range(_VECTORS):
                word = None
                for o in range(group):
                    value = builder.load(sums[(j * group + o) * _VECTORS + v])
                    value = _clip(builder, builder.ashr(value, shift), low, high)
                    if o:
                        value = builder.or_(word, builder.shl(value, _words(o * (32 // group))))
                    word = value
                lines.store(word, builder.add(goal, INDEX(v * WIDTH)))
    return context.get_dummy_value()


def _made(add, tile, group, low, high):
    """The intrinsic for a kind of layer."""

    @intrinsic
    def row(typing_context, lines, places, weights, biases, shift, goals, cells):
        def generate(context, builder, signature, args):
            return _row(context, builder, signature, args, add, tile, group, low, high)

        return types.void(lines, places, weights, biases, types.int64, goals, types.int64), generate

    return row


def _twin(group_in: int, tile: int, group: int, low: int, high: int) -> Callable[..., None]:
    """The same in plain NumPy, for runs without the JIT."""

    def row(lines, places, weights, biases, shift, goals, cells):
        kind = {2: np.int16, 4: np.uint8}[group_in]
        factors = weights.view(np.int16 if group_in == 2 else np.int8).reshape(-1, len(places), KERNEL, tile, group_in)
        for number, bias in enumerate(biases):
            total = np.full(cells, bias, np.int32)
            for place, pair in zip(places, factors[number // tile], strict=True):
                for k in range(KERNEL):
                    values = lines[place + k : place + k + cells].view(kind).reshape(cells, group_in)
                    total += (values.astype(np.int32) * pair[k, number % tile].astype(np.int32)).sum(1, dtype=np.int32)
            value = np.clip(total >> shift, low, high).astype(np.int32)
            goal = lines[goals[number // group] :][:cells]
            part = number % group
            goal[:] = value if part == 0 else goal | value << np.int32(part * (32 // group))

    return row


_ADD = add_dot if DOTS else multiply_add_pairs

if numba.config.DISABLE_JIT:
    first_row = _twin(2, TILE, GROUP, 0, ACTIVATION_MAX)
    hidden_row = _twin(GROUP, TILE, GROUP, 0, ACTIVATION_MAX)
    last_row = _twin(GROUP, _LAST, 1, -CORRECTION_LIMIT, CORRECTION_LIMIT - 1)
else:
    #: From inputs to activations.
    first_row = _made(multiply_add_pairs, TILE, GROUP, 0, ACTIVATION_MAX)
    #: From activations to activations: clip((bias + sum of products) >> shift). `lines` are flat words, `places` the
    #: first word of every row of inputs, three rows of cells for each group of channels, that the cells of a row of
    #: outputs see; `goals` where each group of outputs begins, `cells` how many are wanted, in multiples of CHUNK.
    #: `weights` are words as those of inputs, in the order (tile of outputs, place, column, output).
    hidden_row = _made(_ADD, TILE, GROUP, 0, ACTIVATION_MAX)
    #: From activations to corrections, a word each.
    last_row = _made(_ADD, _LAST, 1, -CORRECTION_LIMIT, CORRECTION_LIMIT - 1)
