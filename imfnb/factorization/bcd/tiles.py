"""Register tiles: the inner loops of block coordinate descent on a block of patches, as LLVM vectors of patches.

The plain definitions at the end say what they do, and are what runs with the JIT off. With loops that LLVM vectorises
by itself a sweep over the luma of a 768x512 image took 90, 198 and 695 us at ranks 2, 5 and 20, with these tiles 67,
125 and 444 (one Xeon core of 215 GFLOP/s).
"""

from __future__ import annotations

from fractions import Fraction

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...patches import LANES
from ...runtime.vectors import INDEX, WIDTH, Lanes, clamp, function, multiply_add, product_tile, registers, splat

__all__ = ["PARTS", "PIXELS", "TILE", "accumulate", "fold", "narrow", "product", "update", "widen"]

#: Largest number of components in a tile, and number of rows of X beside them in `accumulate`: 24 vectors of sums and
#: 5 of factors, for 32 registers.
TILE, PIXELS = 6, 4

#: Sums that `accumulate` keeps for every pair of a row of X and a component. 8 and 16, with less folding and more
#: memory, took 5 to 30% longer.
PARTS = 4


@intrinsic
def _widen(typing_context, source, target):
    def generate(context, builder, signature, args):
        narrow, wide = (Lanes(context, builder, t, v) for t, v in zip(signature.args, args, strict=True))
        vector = ir.VectorType(context.get_value_type(target.dtype), WIDTH)
        size = builder.mul(*narrow.shape)
        with cgutils.for_range_slice(builder, INDEX(0), size, INDEX(WIDTH), intp=INDEX) as (position, _):
            value = narrow.load(position)
            if isinstance(source.dtype, types.Integer):
                value = (builder.sitofp if source.dtype.signed else builder.uitofp)(value, vector)
            wide.store(value, position)
        return context.get_dummy_value()

    return types.void(source, target), generate


@intrinsic
def _narrow(typing_context, source, target):
    def generate(context, builder, signature, args):
        wide, narrow = (Lanes(context, builder, t, v) for t, v in zip(signature.args, args, strict=True))
        vector = ir.VectorType(context.get_data_type(target.dtype), WIDTH)
        size = builder.mul(*narrow.shape)
        with cgutils.for_range_slice(builder, INDEX(0), size, INDEX(WIDTH), intp=INDEX) as (position, _):
            narrow.store(builder.fptosi(wide.load(position), vector), position)
        return context.get_dummy_value()

    return types.void(source, target), generate


@intrinsic(prefer_literal=True)
def _product(typing_context, x, vt, a, first, components):
    count = components.literal_value
    vectors = 4 if count <= 2 else 2  # at least six independent sums hide the latency

    def generate(context, builder, signature, args):
        lanes, weights, out = (Lanes(context, builder, t, v) for t, v in zip(signature.args[:3], args[:3], strict=True))
        size, chunk = (count, vectors), INDEX(WIDTH * vectors)
        with cgutils.for_range_slice(builder, INDEX(0), INDEX(LANES), chunk, intp=INDEX) as (lane, _):
            sums = product_tile(context, builder, lanes, weights, (args[3], lane), size, multiply_add, x.dtype)
            for c in range(count):
                row = builder.add(builder.mul(builder.add(args[3], INDEX(c)), INDEX(LANES)), lane)
                for k in range(vectors):
                    out.store(builder.load(sums[c * vectors + k]), builder.add(row, INDEX(WIDTH * k)))
        return context.get_dummy_value()

    return types.void(x, vt, a, types.int64, components), generate


def fold(builder: ir.IRBuilder, vectors: list[ir.Value]) -> list[ir.Value]:
    """Vectors as the sums over parts of their lanes, PARTS for each in turn."""
    even = [2 * k for k in range(WIDTH)]
    masks = [ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [k + odd for k in even]) for odd in (0, 1)]
    add = builder.add if isinstance(vectors[0].type.element, ir.IntType) else builder.fadd
    for _ in range((WIDTH // PARTS).bit_length() - 1):
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        vectors = [add(*(builder.shuffle_vector(a, b, mask) for mask in masks)) for a, b in pairs]
    return vectors


@intrinsic(prefer_literal=True)
def _accumulate(typing_context, x, u, sums, position, n, first, components):
    count = components.literal_value

    def generate(context, builder, signature, args):
        lanes, factors, out = (Lanes(context, builder, t, v) for t, v in zip(signature.args[:3], args[:3], strict=True))
        tile = registers(context, builder, x.dtype, PIXELS * count)
        with cgutils.for_range_slice(builder, INDEX(0), INDEX(LANES), INDEX(WIDTH), intp=INDEX) as (lane, _):

            def load(array, row, k):
                line = builder.mul(builder.add(row, INDEX(k)), INDEX(LANES))
                return array.load(builder.add(line, lane))

            values = [load(lanes, args[4], k) for k in range(PIXELS)]
            for c in range(count):
                factor = load(factors, args[5], c)
                for k in range(PIXELS):
                    multiply_add(builder, values[k], factor, tile[k * count + c])
        totals = fold(builder, [builder.load(register) for register in tile])
        for k, total in enumerate(totals):
            place = builder.add(args[3], INDEX(k * WIDTH))
            out.store(builder.fadd(out.load(place), total), place)
        return context.get_dummy_value()

    return types.void(x, u, sums, types.int64, types.int64, types.int64, components), generate


@intrinsic
def _update(typing_context, a, b, u, r, low, high):
    def generate(context, builder, signature, args):
        numerators, gram, factors = (
            Lanes(context, builder, t, v) for t, v in zip(signature.args[:3], args[:3], strict=True)
        )
        r, rank = args[3], gram.shape[0]
        start = builder.mul(r, INDEX(LANES))
        places = [builder.add(start, INDEX(k)) for k in range(0, LANES, WIDTH)]
        rests, others = (registers(context, builder, a.dtype, len(places)) for _ in range(2))
        for rest, place in zip(rests, places, strict=True):
            builder.store(numerators.load(place), rest)

        def subtract(s, targets):
            weight = builder.fneg(gram.splat(builder.add(builder.mul(r, rank), s)))
            line = builder.mul(s, INDEX(LANES))
            for k, target in enumerate(targets):
                multiply_add(builder, factors.load(builder.add(line, INDEX(WIDTH * k))), weight, target)

        # Two sums take turns: the latency of one would be what a column takes.
        with cgutils.for_range(builder, builder.lshr(rank, INDEX(1)), intp=INDEX) as loop:
            s = builder.shl(loop.index, INDEX(1))
            subtract(s, rests)
            subtract(builder.add(s, INDEX(1)), others)
        with cgutils.for_range(builder, builder.and_(rank, INDEX(1)), intp=INDEX):
            subtract(builder.sub(rank, INDEX(1)), rests)
        for rest, other in zip(rests, others, strict=True):
            builder.store(builder.fadd(builder.load(rest), builder.load(other)), rest)
        denominator = gram.splat(builder.add(builder.mul(r, rank), r))
        one, half, zero = (ir.Constant(denominator.type, [value] * WIDTH) for value in (1.0, 0.5, 0.0))
        inverse = builder.fdiv(one, denominator)
        bounds = [splat(builder, value) for value in args[4:]]
        for rest, place in zip(rests, places, strict=True):
            # The loop has subtracted the column's own part too.
            multiply_add(builder, factors.load(place), denominator, rest)
            # The quotient by the inverse is off by one at most, which the remainder reveals.
            q = function(builder, "rint", builder.fmul(builder.load(rest), inverse))
            multiply_add(builder, builder.fneg(q), denominator, rest)
            remainder = builder.load(rest)
            twice = function(builder, "fabs", builder.fadd(remainder, remainder))
            halved = builder.fmul(q, half)
            odd = builder.fcmp_ordered("!=", function(builder, "rint", halved), halved)
            tie = builder.and_(builder.fcmp_ordered("==", twice, denominator), odd)
            off = builder.or_(builder.fcmp_ordered(">", twice, denominator), tie)
            toward = builder.select(builder.fcmp_ordered(">", remainder, zero), one, builder.fneg(one))
            q = builder.select(off, builder.fadd(q, toward), q)
            factors.store(clamp(builder, q, *bounds), place)
        return context.get_dummy_value()

    return types.void(a, b, u, types.int64, a.dtype, a.dtype), generate


if numba.config.DISABLE_JIT:

    def widen(source, target):
        """Copy source, shape (N, LANES), to the first N rows of target, in its dtype."""
        target[: len(source)] = source

    def narrow(source, target):
        """Copy the first R rows of source, integers in floats, to target, shape (R, LANES), in its dtype."""
        target[:] = source[: len(target)]

    def product(x, vt, a, first, components):
        """a[r] = V^T X for `components` rows r from `first` on: x (N, LANES), vt (R, N), a (R, LANES).

        x may have more rows than there are pixels.
        """
        chosen = slice(first, first + components)
        a[chosen] = vt[chosen] @ x[: vt.shape[1]]

    def accumulate(x, u, sums, position, n, first, components):
        """Add X U^T for PIXELS rows of x from n on and `components` of u from `first` on to sums.

        Every entry of the product, in raster order, has PARTS places from `position` on, which add up to it.
        """
        total = x[n : n + PIXELS] @ u[first : first + components].T
        sums[position : position + total.size * PARTS : PARTS] += total.ravel()

    def update(a, b, u, r, low, high):
        """Update row r of u, shape (R, LANES), exactly: `reference.update_column` with a = V^T X and b = V^T V."""
        numerators = a[r] - b[r] @ u[: len(b)] + b[r, r] * u[r]
        quotients = [round(Fraction(float(n)) / Fraction(float(b[r, r]))) for n in numerators]
        u[r] = np.clip(np.array(quotients, float), low, high)

else:
    widen, narrow, product, accumulate, update = _widen, _narrow, _product, _accumulate, _update
