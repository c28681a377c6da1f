"""The inner loops of the short filter as LLVM vectors, sixteen columns of a row of pixels each.

Second differences are 16-bit integers: differences of samples and their sum saturate where the bound of a second
difference cuts anyway. Four blocks are beside each other: the coefficient words of each, four taps at a time, are read
once for all rows and spread over the pixels as processors interleave the sums at both clipping limits.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..format.restoration import (
    COEFFICIENT_BITS,
    DIRECTIONS,
    SAMPLE_LIMIT,
    SHORT_BEND_MAX,
    SHORT_BLOCK,
    SHORT_REACH,
    SHORT_TAPS,
    SHORT_THRESHOLDS,
)
from ..runtime.vectors import INDEX, WIDTH, Lanes, multiply_add_pairs
from .tiles import Corrector, class_of, largest, shuffle

__all__ = ["bend_row", "classify_blocks", "correct_rows"]

_I16, _I32 = ir.IntType(16), ir.IntType(32)
_PAIRS = WIDTH // 2
_NARROW, _WIDE = ir.VectorType(_I16, WIDTH), ir.VectorType(_I32, _PAIRS)

# Pairs of columns in the window of a block.
_WINDOW = (SHORT_BLOCK + 2 * SHORT_REACH) // 2

# Taps whose words are read at once.
_GROUP = 4


@intrinsic
def _bend_row(typing_context, lines, above, beside, below, goal):
    def generate(context, builder, signature, args):
        samples, goal = (Lanes(context, builder, signature.args[k], args[k], WIDTH) for k in (0, 4))
        length = goal.shape[1]
        kind = ir.FunctionType(_NARROW, [_NARROW] * 2)
        plus, minus = (
            cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.sat.v{WIDTH}i16")
            for name in ("sadd", "ssub")
        )
        most = ir.Constant(_NARROW, [SHORT_BEND_MAX] * WIDTH)
        half = ir.Constant(_WIDE, [16] * _PAIRS)

        def sample(row, x, column):
            return samples.load(builder.add(builder.add(row, x), INDEX(column)))

        def bend(middle, one, other):
            value = builder.call(plus, [builder.call(minus, [middle, side]) for side in (one, other)])
            value = largest(builder, value, builder.call(minus, [ir.Constant(_NARROW, None), value]))
            return builder.select(builder.icmp_signed("<", value, most), value, most)

        with cgutils.for_range_slice(builder, INDEX(0), length, INDEX(_PAIRS), intp=INDEX) as (pair, _):
            x = builder.shl(pair, INDEX(1))
            middle = sample(args[2], x, 1)
            sides = (
                (sample(args[2], x, 0), sample(args[2], x, 2)),
                (sample(args[1], x, 1), sample(args[3], x, 1)),
                (sample(args[1], x, 0), sample(args[3], x, 2)),
                (sample(args[1], x, 2), sample(args[3], x, 0)),
            )
            h, v, f, r = (bend(middle, *pair_of) for pair_of in sides)
            for number, new in enumerate((builder.add(h, v), builder.sub(h, v), builder.sub(f, r))):
                both = builder.bitcast(new, _WIDE)
                total = builder.add(builder.ashr(builder.shl(both, half), half), builder.ashr(both, half))
                goal.store(total, builder.add(builder.mul(length, INDEX(number)), pair))
        return context.get_dummy_value()

    return types.void(lines, types.int64, types.int64, types.int64, goal), generate


@intrinsic
def _classify_blocks(typing_context, bends, bounds, classes):
    def generate(context, builder, signature, args):
        bends, bounds, classes = (Lanes(context, builder, signature.args[k], args[k], _PAIRS) for k in range(3))
        limits = [bounds.splat(INDEX(k)) for k in range(len(SHORT_THRESHOLDS))]
        _, kinds, length = bends.shape

        def window(number, x):
            total = None
            for row in range(_WINDOW):
                line = builder.mul(builder.add(builder.mul(INDEX(row), kinds), INDEX(number)), length)
                for column in range(_WINDOW):
                    some = bends.load(builder.add(builder.add(line, x), INDEX(column)))
                    total = some if total is None else builder.add(total, some)
            return total

        with cgutils.for_range_slice(builder, INDEX(0), classes.shape[0], INDEX(_PAIRS), intp=INDEX) as (x, _):
            classes.store(class_of(builder, limits, *(window(number, x) for number in range(3))), x)
        return context.get_dummy_value()

    return types.void(bends, bounds, classes), generate


@intrinsic
def _correct_rows(typing_context, lines, centres, places, tables, classes, near, far, out):
    def generate(context, builder, signature, args):
        kinds = signature.args
        stage = Corrector(context, builder, [(kinds[k], args[k]) for k in (0, 2, 7)], args[5:7], WIDTH)
        words, classes, centres = (Lanes(context, builder, kinds[k], args[k]) for k in (3, 4, 1))
        totals = [cgutils.alloca_once(builder, _WIDE) for _ in range(2)]
        length = stage.out.shape[1]
        with cgutils.for_range_slice(builder, INDEX(0), length, INDEX(WIDTH), intp=INDEX) as (x, _):
            # The class of a block stands where its first pair of columns does.
            first = builder.lshr(x, INDEX(1))
            starts = []
            for block in range(WIDTH // SHORT_BLOCK):
                kind = classes.at(builder.add(first, INDEX(block * SHORT_BLOCK // 2)))
                starts.append(builder.mul(builder.zext(kind, INDEX), words.shape[1]))
            tables = []
            for tap in range(0, SHORT_TAPS, _GROUP):
                count = min(_GROUP, SHORT_TAPS - tap)
                rows = [words.load(builder.add(start, INDEX(tap)), count) for start in starts]
                # Blocks 0 and 2, and 1 and 3, are those of the pixels that go to a vector.
                for k in range(count):
                    spread = [k] * SHORT_BLOCK + [count + k] * SHORT_BLOCK
                    tables.append([shuffle(builder, rows[block], rows[block + 2], spread) for block in (0, 1)])
            with cgutils.for_range(builder, centres.shape[0], intp=INDEX) as loop:
                middle = stage.samples.load(builder.add(centres.at(loop.index), x))
                for total in totals:
                    builder.store(stage.rounding, total)
                for k, table in enumerate(tables):
                    tap = builder.add(builder.mul(loop.index, INDEX(SHORT_TAPS)), INDEX(k))
                    for total, pair, word in zip(totals, stage.pairs(x, middle, tap), table, strict=True):
                        multiply_add_pairs(builder, pair, word, total)
                stage.finish(builder.add(builder.mul(loop.index, length), x), middle, totals)
        return context.get_dummy_value()

    return types.void(lines, centres, places, tables, classes, types.int64, types.int64, out), generate


if numba.config.DISABLE_JIT:

    def bend_row(lines, above, beside, below, goal):
        """Second differences around a row, those of two columns beside each other added up, int32 (3, n).

        They are the horizontal plus the vertical ones, those less these, and the falling less the rising ones.
        Positions `above`, `beside` and `below` of the flat lines (int16) are the first samples of three rows. n is a
        multiple of WIDTH / 2.
        """
        flat, length = lines.ravel().astype(np.int32), 2 * goal.shape[1]

        def part(row, column):
            return flat[row + column : row + column + length]

        pairs = ((beside, 0, beside, 2), (above, 1, below, 1), (above, 0, below, 2), (above, 2, below, 0))
        bends = (np.abs(2 * part(beside, 1) - part(a, i) - part(b, k)) for a, i, b, k in pairs)
        h, v, f, r = (np.minimum(bend, SHORT_BEND_MAX) for bend in bends)
        for total, new in zip(goal, (h + v, h - v, f - r), strict=True):
            total[:] = new[::2] + new[1::2]

    def classify_blocks(bends, bounds, classes):
        """Classes of blocks that begin with each pair of columns, int32, from the sums of the rows of their window."""
        length = classes.size
        both, across, aslant = sum(bends[:, :, k : k + length].sum(axis=0) for k in range(_WINDOW))
        activity = sum((both > bound).astype(np.int32) for bound in bounds)
        straight, diagonal = np.abs(across), np.abs(aslant)
        direction = np.where(straight >= diagonal, np.where(across > 0, 1, 2), np.where(aslant > 0, 3, 4))
        direction[4 * np.maximum(straight, diagonal) <= both] = 0
        classes[:] = DIRECTIONS * activity + direction

    def correct_rows(lines, centres, places, tables, classes, near, far, out):
        """Write the corrected samples of the rows of a line of blocks to out, int32, (rows, a multiple of WIDTH).

        Positions `centres` of the flat lines (int16) are the first pixels of the rows, places (int64, (rows taps, 2))
        are those ahead of them and behind them, row after row. Tables (int32, (classes, taps)) hold the coefficients at
        the limit `near` in the lower half and at `far` in the upper one; classes are those of pairs of columns.
        """
        flat, length = lines.ravel().astype(np.int32), out.shape[1]
        words = tables[classes[: length // 2 : SHORT_BLOCK // 2].repeat(SHORT_BLOCK)].T
        for row, centre in enumerate(centres):
            middle, total = flat[centre : centre + length], np.full(length, 1 << (COEFFICIENT_BITS - 1), np.int32)
            for pair, word in zip(places[row * SHORT_TAPS :], words, strict=False):
                sides = [flat[place : place + length] - middle for place in pair]
                for limit, weight in ((near, word.astype(np.int16)), (far, word >> 16)):
                    total += weight * sum(np.clip(side, -limit, limit) for side in sides)
            out[row] = np.clip(middle + (total >> COEFFICIENT_BITS), -SAMPLE_LIMIT, SAMPLE_LIMIT)

else:
    bend_row, classify_blocks, correct_rows = _bend_row, _classify_blocks, _correct_rows
