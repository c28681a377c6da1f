"""The inner loop of the restoration filter as LLVM vectors: a row of pixels in 16-bit lanes.

A clipped difference fits 16 bits, the sum of both sides of a tap too, and those sums at the two clipping limits beside
their two coefficients are what a multiply-add of pairs takes. The filter's 25 coefficient words of a tap fit two vector
registers; where the processor can look words up in those it does, elsewhere they are read one by one.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .._vectors import INDEX, WIDTH, Lanes, has_feature, multiply_add_pairs, registers, splat
from .reference import COEFFICIENT_BITS, SAMPLE_LIMIT

__all__ = ["CHUNK", "WORDS", "correct_row"]

#: Pixels that are corrected at a time; rows are padded to a multiple of it.
CHUNK = 2 * WIDTH

#: Length of a table of words.
WORDS = 2 * WIDTH

_I16, _I32 = ir.IntType(16), ir.IntType(32)
_NARROW, _WIDE = ir.VectorType(_I16, CHUNK), ir.VectorType(_I32, WIDTH)

# Whether a processor's vector registers serve as tables.
_IN_REGISTERS = has_feature("avx512f")


def _look_up(builder: ir.IRBuilder, tables: Lanes, position: ir.Value, index: ir.Value) -> ir.Value:
    """The words at `position` + every lane of `index`."""
    if _IN_REGISTERS:
        kind = ir.FunctionType(_WIDE, [_WIDE] * 3)
        permute = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpermi2var.d.512")
        halves = [tables.load(builder.add(position, INDEX(k))) for k in (0, WIDTH)]
        return builder.call(permute, [halves[0], index, halves[1]])
    out = ir.Constant(_WIDE, ir.Undefined)
    for k in range(WIDTH):
        lane = ir.Constant(_I32, k)
        word = tables.at(builder.add(position, builder.zext(builder.extract_element(index, lane), INDEX)))
        out = builder.insert_element(out, word, lane)
    return out


@intrinsic
def _correct_row(typing_context, lines, centre, places, tables, classes, near, far, out):
    def generate(context, builder, signature, args):
        kinds = signature.args
        samples = Lanes(context, builder, kinds[0], args[0], CHUNK)
        places, classes, out = (Lanes(context, builder, kinds[k], args[k]) for k in (2, 4, 7))
        words = Lanes(context, builder, kinds[3], args[3])
        bounds = [splat(builder, builder.trunc(value, _I16), CHUNK) for value in args[5:7]]
        bounds = [(builder.neg(bound), bound) for bound in bounds]
        minus = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_NARROW, [_NARROW] * 2), f"llvm.ssub.sat.v{CHUNK}i16"
        )
        undefined = ir.Constant(_NARROW, ir.Undefined)
        # The pairs of the first and of the second half of the lanes.
        orders = [
            ir.Constant(ir.VectorType(_I32, CHUNK), [half * WIDTH + k // 2 + CHUNK * (k % 2) for k in range(CHUNK)])
            for half in (0, 1)
        ]

        def clip(value, low, high):
            value = builder.select(builder.icmp_signed("<", value, low), low, value)
            return builder.select(builder.icmp_signed(">", value, high), high, value)

        rounding = ir.Constant(_WIDE, [1 << (COEFFICIENT_BITS - 1)] * WIDTH)
        limits = [ir.Constant(_WIDE, [sign * SAMPLE_LIMIT] * WIDTH) for sign in (-1, 1)]
        totals = registers(context, builder, types.int32, 2)
        with cgutils.for_range_slice(builder, INDEX(0), out.shape[0], INDEX(CHUNK), intp=INDEX) as (x, _):
            middle = samples.load(builder.add(args[1], x))
            halves = [builder.add(x, INDEX(half * WIDTH)) for half in (0, 1)]
            which = [classes.load(half) for half in halves]
            for total in totals:
                builder.store(rounding, total)
            with cgutils.for_range(builder, places.shape[0], intp=INDEX) as loop:
                row = builder.mul(loop.index, INDEX(2))
                sides = []
                for side in (0, 1):
                    place = places.at(builder.add(row, INDEX(side)))
                    sides.append(builder.call(minus, [samples.load(builder.add(place, x)), middle]))
                sums = [builder.add(*(clip(side, *bound) for side in sides)) for bound in bounds]
                table = builder.mul(loop.index, INDEX(WORDS))
                for total, index, order in zip(totals, which, orders, strict=True):
                    pairs = builder.bitcast(builder.shuffle_vector(*sums, order), _WIDE)
                    multiply_add_pairs(builder, pairs, _look_up(builder, words, table, index), total)
            for half, total, order in zip(halves, totals, (0, WIDTH), strict=True):
                lanes = ir.Constant(ir.VectorType(_I32, WIDTH), [order + k for k in range(WIDTH)])
                value = builder.sext(builder.shuffle_vector(middle, undefined, lanes), _WIDE)
                shift = ir.Constant(_WIDE, [COEFFICIENT_BITS] * WIDTH)
                value = builder.add(value, builder.ashr(builder.load(total), shift))
                out.store(clip(value, *limits), half)
        return context.get_dummy_value()

    return types.void(lines, types.int64, places, tables, classes, types.int64, types.int64, out), generate


if numba.config.DISABLE_JIT:

    def correct_row(lines, centre, places, tables, classes, near, far, out):
        """Write the corrected samples of a row to out, int32, a multiple of CHUNK long.

        Position `centre` of the flat lines (int16) is the first pixel, places (int64, (taps, 2)) are those ahead of it
        and behind it, tables (int32, (taps, WORDS)) hold the two coefficients of a class in a word, at the limit `near`
        in the lower half and at `far` in the upper one; classes (int32) are those of the pixels.
        """
        flat = lines.ravel().astype(np.int32)
        middle, total = flat[centre : centre + out.size], np.full(out.size, 1 << (COEFFICIENT_BITS - 1), np.int32)
        for pair, table in zip(places, tables, strict=True):
            words = table[classes]
            sides = [flat[place : place + out.size] - middle for place in pair]
            for limit, weight in ((near, words.astype(np.int16)), (far, words >> 16)):
                total += weight * sum(np.clip(side, -limit, limit) for side in sides)
        out[:] = np.clip(middle + (total >> COEFFICIENT_BITS), -SAMPLE_LIMIT, SAMPLE_LIMIT)

else:
    correct_row = _correct_row
