"""The inner loops of the restoration filter as LLVM vectors, a row of pixels each.

The classification takes 32-bit lanes, since its sums reach 2**21, the filter 16-bit ones: a clipped difference fits
them, the sum of both sides of a tap too, and those sums at the two clipping limits beside their two coefficients are
what a multiply-add of pairs takes. The filter's 25 coefficient words of a tap fit two vector registers; where the
processor can look words up in those it does, elsewhere they are read one by one.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..format.restoration import ACTIVITY_THRESHOLDS, COEFFICIENT_BITS, DIRECTIONS, SAMPLE_LIMIT
from ..runtime.vectors import INDEX, WIDTH, Lanes, has_feature, multiply_add_pairs, registers, splat

__all__ = ["CHUNK", "WINDOW", "WORDS", "classify_row", "correct_row", "slide_row"]

#: Side of the window of the classification.
WINDOW = 5

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
        # Which pixels are in the two vectors of words: as processors interleave, by half of every eight.
        pixels = [[k // 4 * 8 + half * 4 + k % 4 for k in range(WIDTH)] for half in (0, 1)]
        order = [*pixels[0], *pixels[1]]
        orders = [
            ir.Constant(ir.VectorType(_I32, CHUNK), [pixel + CHUNK * side for pixel in half for side in (0, 1)])
            for half in pixels
        ]
        lanes = [ir.Constant(ir.VectorType(_I32, WIDTH), half) for half in pixels]
        backs = [
            ir.Constant(ir.VectorType(_I32, WIDTH), [order.index(k + start) for k in range(WIDTH)])
            for start in (0, WIDTH)
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
            row_classes = [classes.load(half) for half in halves]
            which = [builder.shuffle_vector(*row_classes, order) for order in lanes]
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
            corrected = []
            for total, order in zip(totals, lanes, strict=True):
                value = builder.sext(builder.shuffle_vector(middle, undefined, order), _WIDE)
                shift = ir.Constant(_WIDE, [COEFFICIENT_BITS] * WIDTH)
                value = builder.add(value, builder.ashr(builder.load(total), shift))
                corrected.append(clip(value, *limits))
            for half, order in zip(halves, backs, strict=True):
                out.store(builder.shuffle_vector(*corrected, order), half)
        return context.get_dummy_value()

    return types.void(lines, types.int64, places, tables, classes, types.int64, types.int64, out), generate


def _words(value: int) -> ir.Constant:
    return ir.Constant(_WIDE, [value] * WIDTH)


def _largest(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _magnitude(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return _largest(builder, value, builder.neg(value))


@intrinsic
def _slide_row(typing_context, lines, above, beside, below, oldest, sums):
    def generate(context, builder, signature, args):
        samples = Lanes(context, builder, signature.args[0], args[0])
        oldest, sums = (Lanes(context, builder, signature.args[k], args[k]) for k in (4, 5))
        length = sums.shape[1]

        def sample(row, x, column):
            return builder.sext(samples.load(builder.add(builder.add(row, x), INDEX(column))), _WIDE)

        with cgutils.for_range_slice(builder, INDEX(0), length, INDEX(WIDTH), intp=INDEX) as (x, _):
            middle = sample(args[2], x, 1)
            twice = builder.add(middle, middle)
            pairs = (
                (sample(args[2], x, 0), sample(args[2], x, 2)),
                (sample(args[1], x, 1), sample(args[3], x, 1)),
                (sample(args[1], x, 0), sample(args[3], x, 2)),
                (sample(args[1], x, 2), sample(args[3], x, 0)),
            )
            h, v, f, r = (_magnitude(builder, builder.sub(builder.sub(twice, a), b)) for a, b in pairs)
            for number, new in enumerate((builder.add(h, v), builder.sub(h, v), builder.sub(f, r))):
                place = builder.add(builder.mul(length, INDEX(number)), x)
                total = builder.add(sums.load(place), builder.sub(new, oldest.load(place)))
                sums.store(total, place)
                oldest.store(new, place)
        return context.get_dummy_value()

    return types.void(lines, types.int64, types.int64, types.int64, oldest, sums), generate


@intrinsic
def _classify_row(typing_context, sums, bounds, classes):
    def generate(context, builder, signature, args):
        sums, bounds, classes = (Lanes(context, builder, signature.args[k], args[k]) for k in range(3))
        limits = [bounds.splat(INDEX(k)) for k in range(len(ACTIVITY_THRESHOLDS))]
        length = sums.shape[1]

        def window(number, x):
            first = builder.add(builder.mul(length, INDEX(number)), x)
            total = sums.load(first)
            for k in range(1, WINDOW):
                total = builder.add(total, sums.load(builder.add(first, INDEX(k))))
            return total

        with cgutils.for_range_slice(builder, INDEX(0), classes.shape[0], INDEX(WIDTH), intp=INDEX) as (x, _):
            both, across, aslant = (window(number, x) for number in range(3))
            out = _words(0)
            for limit in limits:
                above = builder.icmp_signed(">", both, limit)
                out = builder.add(out, builder.select(above, _words(DIRECTIONS), _words(0)))
            straight, diagonal = (_magnitude(builder, value) for value in (across, aslant))
            axis = builder.select(builder.icmp_signed(">", across, _words(0)), _words(1), _words(2))
            slope = builder.select(builder.icmp_signed(">", aslant, _words(0)), _words(3), _words(4))
            direction = builder.select(builder.icmp_signed(">=", straight, diagonal), axis, slope)
            contrast = builder.shl(_largest(builder, straight, diagonal), _words(2))
            direction = builder.select(builder.icmp_signed(">", contrast, both), direction, _words(0))
            classes.store(builder.add(out, direction), x)
        return context.get_dummy_value()

    return types.void(sums, bounds, classes), generate


if numba.config.DISABLE_JIT:

    def slide_row(lines, above, beside, below, oldest, sums):
        """Replace the oldest second differences, int32 (3, n), by those around a row; update their sums per column.

        They are the horizontal plus the vertical ones, those less these, and the falling less the rising ones.
        Positions `above`, `beside` and `below` of the flat lines (int16) are the first samples of three rows. n is a
        multiple of WIDTH.
        """
        flat, length = lines.ravel().astype(np.int32), sums.shape[1]

        def part(row, column):
            return flat[row + column : row + column + length]

        pairs = ((beside, 0, beside, 2), (above, 1, below, 1), (above, 0, below, 2), (above, 2, below, 0))
        h, v, f, r = (np.abs(2 * part(beside, 1) - part(a, i) - part(b, k)) for a, i, b, k in pairs)
        new = np.array([h + v, h - v, f - r])
        sums += new - oldest
        oldest[:] = new

    def classify_row(sums, bounds, classes):
        """Classes of a row, int32, a multiple of WIDTH long, from the sums per column of its window."""
        length = classes.size
        both, across, aslant = sum(sums[:, k : k + length] for k in range(WINDOW))
        activity = sum((both > bound).astype(np.int32) for bound in bounds)
        straight, diagonal = np.abs(across), np.abs(aslant)
        direction = np.where(straight >= diagonal, np.where(across > 0, 1, 2), np.where(aslant > 0, 3, 4))
        direction[4 * np.maximum(straight, diagonal) <= both] = 0
        classes[:] = DIRECTIONS * activity + direction

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
    slide_row, classify_row, correct_row = _slide_row, _classify_row, _correct_row
