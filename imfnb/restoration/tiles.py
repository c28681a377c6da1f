"""The inner loops of the restoration filter as LLVM vectors, a row of pixels each.

The classification takes 32-bit lanes, since its sums reach 2**21, the filter 16-bit ones: a clipped difference fits
them, the sum of both sides of a tap too, and those sums at the two clipping limits beside their two coefficients are
what a multiply-add of pairs takes. The filter's 25 coefficient words of a tap fit two vector registers; where the
processor can look words up in those it does. Elsewhere the words of a pixel's class are read four taps at a time, and
those of eight pixels are transposed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..format.restoration import ACTIVITY_THRESHOLDS, COEFFICIENT_BITS, DIRECTIONS, SAMPLE_LIMIT
from ..runtime.vectors import INDEX, WIDTH, Lanes, has_feature, multiply_add_pairs, registers, splat

__all__ = [
    "CHUNK",
    "IN_REGISTERS",
    "WINDOW",
    "WORDS",
    "Corrector",
    "class_of",
    "classify_row",
    "correct_row",
    "largest",
    "shuffle",
    "slide_row",
]

#: Side of the window of the classification.
WINDOW = 5

#: Pixels that are corrected at a time; rows are padded to a multiple of it.
CHUNK = 2 * WIDTH

#: Length of a table of words.
WORDS = 2 * WIDTH

_I16, _I32 = ir.IntType(16), ir.IntType(32)
_NARROW, _WIDE = ir.VectorType(_I16, CHUNK), ir.VectorType(_I32, WIDTH)

#: Whether tables of words have a row for each tap, which vector registers can look up, or else one for each class.
IN_REGISTERS = has_feature("avx512f")


def _look_up(builder: ir.IRBuilder, tables: Lanes, position: ir.Value, index: ir.Value) -> ir.Value:
    """The words at `position` + every lane of `index`, in two registers."""
    kind = ir.FunctionType(_WIDE, [_WIDE] * 3)
    permute = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpermi2var.d.512")
    halves = [tables.load(builder.add(position, INDEX(k))) for k in (0, WIDTH)]
    return builder.call(permute, [halves[0], index, halves[1]])


def _clip(builder: ir.IRBuilder, value: ir.Value, low: ir.Value, high: ir.Value) -> ir.Value:
    value = builder.select(builder.icmp_signed("<", value, low), low, value)
    return builder.select(builder.icmp_signed(">", value, high), high, value)


def _lanes(numbers: Sequence[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, len(numbers)), list(numbers))


def shuffle(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, lanes: Sequence[int]) -> ir.Value:
    return builder.shuffle_vector(one, other, _lanes(lanes))


def _transposed(builder: ir.IRBuilder, tables: Lanes, starts: Sequence[ir.Value], taps: int) -> list[ir.Value]:
    """Words 0 to `taps` - 1, two or four, behind each of eight positions: for every tap a vector of eight lanes."""
    rows = [tables.load(start, taps) for start in starts]
    if taps == 2:
        rows = [shuffle(builder, rows[k], rows[k + 1], range(4)) for k in range(0, 8, 2)]
        first, second = (shuffle(builder, rows[k], rows[k + 2], range(8)) for k in (0, 1))
        return [
            shuffle(builder, first, second, [tap + at for at in (0, 2, 8, 10, 4, 6, 12, 14)]) for tap in range(taps)
        ]
    # Pixels k and k + 4 fill the halves of a vector, as processors put together and interleave.
    rows = [shuffle(builder, rows[k], rows[k + 4], range(8)) for k in range(4)]
    low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
    out = []
    for half in (low, high):
        one, other = (shuffle(builder, rows[k], rows[k + 1], half) for k in (0, 2))
        out += [shuffle(builder, one, other, [start + at for at in (0, 1, 8, 9, 4, 5, 12, 13)]) for start in (0, 2)]
    return out


class Corrector:
    """What all ways to correct `pixels` samples at a time have in common.

    Lanes of 16 bits go to two vectors of 32: by half of every eight, as processors interleave.
    """

    def __init__(self, context, builder, arrays, limits, pixels):
        """`arrays` are the types and values of lines, places and out, `limits` the near and the far one."""
        self._builder, self._pixels = builder, pixels
        self.wide = ir.VectorType(_I32, pixels // 2)
        self.orders = [[k // 4 * 8 + half * 4 + k % 4 for k in range(pixels // 2)] for half in (0, 1)]
        self.samples, self._places, self.out = (Lanes(context, builder, kind, value, pixels) for kind, value in arrays)
        bounds = [splat(builder, builder.trunc(value, _I16), pixels) for value in limits]
        self._bounds = [(builder.neg(bound), bound) for bound in bounds]
        narrow = ir.FunctionType(ir.VectorType(_I16, pixels), [ir.VectorType(_I16, pixels)] * 2)
        self._minus = cgutils.get_or_insert_function(builder.module, narrow, f"llvm.ssub.sat.v{pixels}i16")
        self.taps = self._places.shape[0]
        self.rounding = self._constant(1 << (COEFFICIENT_BITS - 1))

    def _constant(self, value):
        return ir.Constant(self.wide, [value] * self.wide.count)

    def pairs(self, x, middle, tap):
        """Sums of both sides of a tap, clipped to either limit, those of a pixel beside each other."""
        builder, sides = self._builder, []
        for side in (0, 1):
            place = self._places.at(builder.add(builder.mul(tap, INDEX(2)), INDEX(side)))
            sides.append(builder.call(self._minus, [self.samples.load(builder.add(place, x)), middle]))
        sums = [builder.add(*(_clip(builder, side, *bound) for side in sides)) for bound in self._bounds]
        lanes = [[pixel + self._pixels * limit for pixel in some for limit in (0, 1)] for some in self.orders]
        return [builder.bitcast(shuffle(builder, sums[0], sums[1], some), self.wide) for some in lanes]

    def finish(self, x, middle, totals):
        """Add the corrections to the samples and write them."""
        builder, corrected = self._builder, []
        for total, lanes in zip(totals, self.orders, strict=True):
            value = builder.sext(shuffle(builder, middle, middle, lanes), self.wide)
            value = builder.add(value, builder.ashr(builder.load(total), self._constant(COEFFICIENT_BITS)))
            corrected.append(_clip(builder, value, *(self._constant(sign * SAMPLE_LIMIT) for sign in (-1, 1))))
        order = [*self.orders[0], *self.orders[1]]
        for start in (0, self.wide.count):
            back = [order.index(k + start) for k in range(self.wide.count)]
            self.out.store(shuffle(builder, corrected[0], corrected[1], back), builder.add(x, INDEX(start)))


def _correct_by_registers(context, builder, signature, args):
    """Coefficients are looked up in registers: tables (taps, WORDS)."""
    stage = Corrector(context, builder, [(signature.args[k], args[k]) for k in (0, 2, 7)], args[5:7], CHUNK)
    length, taps = stage.out.shape[0], stage.taps
    words, classes = (Lanes(context, builder, signature.args[k], args[k]) for k in (3, 4))
    totals = registers(context, builder, types.int32, 2)
    with cgutils.for_range_slice(builder, INDEX(0), length, INDEX(CHUNK), intp=INDEX) as (x, _):
        middle = stage.samples.load(builder.add(args[1], x))
        row_classes = [classes.load(builder.add(x, INDEX(half * WIDTH))) for half in (0, 1)]
        which = [shuffle(builder, row_classes[0], row_classes[1], lanes) for lanes in stage.orders]
        for total in totals:
            builder.store(stage.rounding, total)
        with cgutils.for_range(builder, taps, intp=INDEX) as loop:
            table = builder.mul(loop.index, INDEX(WORDS))
            for total, pair, index in zip(totals, stage.pairs(x, middle, loop.index), which, strict=True):
                multiply_add_pairs(builder, pair, _look_up(builder, words, table, index), total)
        stage.finish(x, middle, totals)
    return context.get_dummy_value()


def _correct_by_rows(context, builder, signature, args):
    """The coefficients of a pixel are read at once and transposed: tables (classes, taps)."""
    pixels = WIDTH
    stage = Corrector(context, builder, [(signature.args[k], args[k]) for k in (0, 2, 7)], args[5:7], pixels)
    length, taps = stage.out.shape[0], stage.taps
    words, classes = (Lanes(context, builder, signature.args[k], args[k]) for k in (3, 4))
    totals = [cgutils.alloca_once(builder, stage.wide) for _ in range(2)]
    with cgutils.for_range_slice(builder, INDEX(0), length, INDEX(pixels), intp=INDEX) as (x, _):
        middle = stage.samples.load(builder.add(args[1], x))
        rows = []
        for lanes in stage.orders:
            some = [builder.zext(classes.at(builder.add(x, INDEX(lane))), INDEX) for lane in lanes]
            rows.append([builder.mul(one, words.shape[1]) for one in some])
        for total in totals:
            builder.store(stage.rounding, total)

        def add(first, count):
            tables = [_transposed(builder, words, [builder.add(row, first) for row in some], count) for some in rows]
            for k in range(count):
                for total, pair, table in zip(
                    totals, stage.pairs(x, middle, builder.add(first, INDEX(k))), tables, strict=True
                ):
                    multiply_add_pairs(builder, pair, table[k], total)

        fours = builder.lshr(taps, INDEX(2))
        with cgutils.for_range(builder, fours, intp=INDEX) as loop:
            add(builder.shl(loop.index, INDEX(2)), 4)
        with builder.if_then(builder.trunc(builder.lshr(taps, INDEX(1)), ir.IntType(1))):
            add(builder.shl(fours, INDEX(2)), 2)
        stage.finish(x, middle, totals)
    return context.get_dummy_value()


@intrinsic
def _correct_row(typing_context, lines, centre, places, tables, classes, near, far, out):
    generate = _correct_by_registers if IN_REGISTERS else _correct_by_rows
    return types.void(lines, types.int64, places, tables, classes, types.int64, types.int64, out), generate


def largest(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _magnitude(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return largest(builder, value, builder.neg(value))


def class_of(
    builder: ir.IRBuilder, limits: Sequence[ir.Value], both: ir.Value, across: ir.Value, aslant: ir.Value
) -> ir.Value:
    """Classes by sums of second differences: horizontal and vertical ones, those less these, falling less rising."""

    def words(value: int) -> ir.Constant:
        return ir.Constant(both.type, [value] * both.type.count)

    out = words(0)
    for limit in limits:
        above = builder.icmp_signed(">", both, limit)
        out = builder.add(out, builder.select(above, words(DIRECTIONS), words(0)))
    straight, diagonal = (_magnitude(builder, value) for value in (across, aslant))
    axis = builder.select(builder.icmp_signed(">", across, words(0)), words(1), words(2))
    slope = builder.select(builder.icmp_signed(">", aslant, words(0)), words(3), words(4))
    direction = builder.select(builder.icmp_signed(">=", straight, diagonal), axis, slope)
    contrast = builder.shl(largest(builder, straight, diagonal), words(2))
    direction = builder.select(builder.icmp_signed(">", contrast, both), direction, words(0))
    return builder.add(out, direction)


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
            classes.store(class_of(builder, limits, *(window(number, x) for number in range(3))), x)
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
        and behind it, an even number. Tables (int32) hold the two coefficients of a tap and a class in a word, at the
        limit `near` in the lower half and at `far` in the upper one: (taps, WORDS) if IN_REGISTERS, else (classes,
        taps); classes (int32) are those of the pixels.
        """
        flat = lines.ravel().astype(np.int32)
        middle, total = flat[centre : centre + out.size], np.full(out.size, 1 << (COEFFICIENT_BITS - 1), np.int32)
        for pair, words in zip(places, tables[classes].T, strict=True):
            sides = [flat[place : place + out.size] - middle for place in pair]
            for limit, weight in ((near, words.astype(np.int16)), (far, words >> 16)):
                total += weight * sum(np.clip(side, -limit, limit) for side in sides)
        out[:] = np.clip(middle + (total >> COEFFICIENT_BITS), -SAMPLE_LIMIT, SAMPLE_LIMIT)

else:
    slide_row, classify_row, correct_row = _slide_row, _classify_row, _correct_row
