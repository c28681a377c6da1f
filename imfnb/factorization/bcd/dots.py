"""Register tiles for X of bytes, where the processor has dot products of four bytes (AVX-512 VNNI).

One instruction multiplies 64 unsigned by 64 signed bytes and adds the products by fours, exactly, to 16 sums: four
pixels of a patch for X V, four patches for X^T U. The plain definitions at the end say what the tiles do, and are what
runs with the JIT off; other processors, and factors beyond a byte, take the tiles of floats, which give the same bits.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...patches import LANES
from ...runtime.vectors import INDEX, WIDTH, Lanes, add_dot, product_tile, registers
from .tiles import PARTS, PIXELS, fold

__all__ = ["accumulate", "product", "quads"]

_BYTES = ir.VectorType(ir.IntType(8), LANES)
_SUMS = ir.VectorType(ir.IntType(32), WIDTH)


@intrinsic
def _quads(typing_context, block, words):
    def generate(context, builder, signature, args):
        rows, out = (Lanes(context, builder, t, v) for t, v in zip(signature.args, args, strict=True))
        with cgutils.for_range(builder, out.shape[0], intp=INDEX) as loop:
            start = builder.mul(loop.index, INDEX(LANES))
            for lane in range(0, LANES, WIDTH):
                word = None
                for k in range(4):
                    place = builder.add(builder.mul(start, INDEX(4)), INDEX(k * LANES + lane))
                    byte = builder.zext(rows.load(place), _SUMS)
                    shifted = builder.shl(byte, ir.Constant(_SUMS, [8 * k] * WIDTH))
                    word = shifted if word is None else builder.or_(word, shifted)
                out.store(word, builder.add(start, INDEX(lane)))
        return context.get_dummy_value()

    return types.void(block, words), generate


@intrinsic(prefer_literal=True)
def _product(typing_context, words, weights, out, first, components):
    count = components.literal_value

    def generate(context, builder, signature, args):
        lanes, factors, target = (
            Lanes(context, builder, t, v) for t, v in zip(signature.args[:3], args[:3], strict=True)
        )
        size = count, LANES // WIDTH
        sums = product_tile(context, builder, lanes, factors, (args[3], INDEX(0)), size, add_dot, types.int32)
        start = builder.mul(args[3], INDEX(LANES))
        for n, register in enumerate(sums):
            value = builder.sitofp(builder.load(register), ir.VectorType(ir.FloatType(), WIDTH))
            target.store(value, builder.add(start, INDEX(n * WIDTH)))
        return context.get_dummy_value()

    return types.void(words, weights, out, types.int64, components), generate


@intrinsic(prefer_literal=True)
def _accumulate(typing_context, x, u, begin, end, sums, position, n, first, components):
    count = components.literal_value

    def generate(context, builder, signature, args):
        rows, columns = (
            Lanes(context, builder, t, v, LANES) for t, v in zip(signature.args[:2], args[:2], strict=True)
        )
        out = Lanes(context, builder, signature.args[4], args[4])
        flip = ir.Constant(_BYTES, [-128] * LANES)
        tile = registers(context, builder, types.int32, PIXELS * count)
        # What the instruction takes for unsigned counts 128 more where it is not, what it takes for signed 128 less.
        more = registers(context, builder, types.int32, count) if x.dtype.signed else []
        less = [] if u.dtype.signed else registers(context, builder, types.int32, PIXELS)
        with cgutils.for_range_slice(builder, args[2], args[3], INDEX(1), intp=INDEX) as (block, _):

            def load(array, row, k, flipped):
                row, last = builder.add(row, INDEX(k)), builder.sub(array.shape[1], INDEX(1))
                row = builder.select(builder.icmp_signed("<", row, last), row, last)
                row = builder.add(builder.mul(block, array.shape[1]), row)
                value = array.load(builder.mul(row, INDEX(LANES)))
                return builder.xor(value, flip) if flipped else value

            values = [load(rows, args[6], k, x.dtype.signed) for k in range(PIXELS)]
            for value, register in zip(values, less, strict=False):
                add_dot(builder, value, flip, register)
            for c in range(count):
                factor = load(columns, args[7], c, not u.dtype.signed)
                for k in range(PIXELS):
                    add_dot(builder, values[k], factor, tile[k * count + c])
                if more:
                    add_dot(builder, flip, factor, more[c])
        totals = []
        for place, register in enumerate(tile):
            total = builder.load(register)
            if more:
                total = builder.sub(total, builder.load(more[place % count]))
            if less:
                total = builder.sub(total, builder.load(less[place // count]))
            totals.append(total)
        totals = fold(builder, totals)
        for k, total in enumerate(totals):
            place = builder.add(args[5], INDEX(k * WIDTH))
            out.store(builder.add(out.load(place), total), place)
        return context.get_dummy_value()

    integers = [types.int64] * 2
    return types.void(x, u, *integers, sums, *integers, types.int64, components), generate


if numba.config.DISABLE_JIT:

    def quads(block, words):
        """Write four rows of a block of bytes, (N, LANES), to each row of words, int32."""
        bytes_ = block.reshape(len(words), 4, -1).transpose(0, 2, 1)
        words[:] = np.ascontiguousarray(bytes_).view(np.int32)[:, :, 0]

    def product(words, weights, out, first, components):
        """out[r] = V^T X for `components` rows r from `first` on: words (Q, LANES), weights (R, Q), out (R, LANES).

        Words hold four unsigned bytes, weights four signed ones in each int32.
        """
        chosen = slice(first, first + components)
        pixels = np.ascontiguousarray(words.T).view(np.uint8).astype(np.int32)
        out[chosen] = np.ascontiguousarray(weights[chosen]).view(np.int8).astype(np.int32) @ pixels.T

    def accumulate(x, u, begin, end, sums, position, n, first, components):
        """Add X U^T of the blocks begin .. end - 1, x (B, N, LANES) and u (B, R, LANES), to sums, int32.

        For PIXELS rows of x from n on and `components` of u from `first` on, beyond the last one that one again. Every
        entry of the product, in raster order, has PARTS places from `position` on, which add up to it.
        """
        rows = np.minimum(np.arange(n, n + PIXELS), x.shape[1] - 1)
        columns = np.minimum(np.arange(first, first + components), u.shape[1] - 1)
        left, right = x[begin:end, rows].astype(np.int32), u[begin:end, columns].astype(np.int32)
        total = np.einsum("bnl,brl->nr", left, right)
        sums[position : position + total.size * PARTS : PARTS] += total.ravel()

else:
    quads, product, accumulate = _quads, _product, _accumulate
