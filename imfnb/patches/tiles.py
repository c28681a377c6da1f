"""Inner loops of patchification as LLVM vectors; the plain definitions at the end say what they do.

Picking every p-th byte of a row in loops of Numba took 470 us for the three planes of a 768x512 image, with vectors of
words 110. U V^T of one patch at rank 5 took 52 ns, with its pixels in four vectors of registers 30. At rank 20 that
is 110, and as dot products of bytes 50.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..runtime.vectors import INDEX, WIDTH, Lanes, add_dot, clamp, multiply_add, registers

__all__ = ["CHUNK", "multiply", "multiply_bytes", "unzip"]

#: Pixels that are summed in registers at a time: a patch of 8 x 8.
CHUNK = 4 * WIDTH


@intrinsic(prefer_literal=True)
def _unzip(typing_context, row, column, patch_size, out, position, stride):
    p = patch_size.literal_value
    word = ir.IntType(8 * min(p, 8))
    step = -(-p // 8)  # words per patch

    def generate(context, builder, signature, args):
        data = context.make_array(row)(context, builder, args[0]).data
        lines = Lanes(context, builder, out, args[3])
        pointer = builder.gep(data, [builder.mul(args[1], INDEX(p))])
        words = builder.load(builder.bitcast(pointer, ir.VectorType(word, WIDTH * step).as_pointer()), align=1)
        for x in range(p):
            if x % 8 == 0:
                every = list(range(x // 8, WIDTH * step, step))
                picked = builder.shuffle_vector(words, words, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), every))
            shift = ir.Constant(picked.type, [8 * (x % 8)] * WIDTH)
            value = builder.trunc(builder.lshr(picked, shift), ir.VectorType(ir.IntType(8), WIDTH))
            lines.store(value, builder.add(args[4], builder.mul(INDEX(x), args[5])))
        return context.get_dummy_value()

    return types.void(row, types.int64, patch_size, out, types.int64, types.int64), generate


def _store_pixels(builder, value, k, out, position, stride, side):
    """Write vector k of the bytes of a chunk: to a row, or to rows of `side` pixels that lie `stride` apart.

    A side, if not zero, divides WIDTH.
    """
    if not side:
        out.store(value, builder.add(position, INDEX(WIDTH * k)))
        return
    undefined = ir.Constant(value.type, ir.Undefined)
    for first in range(0, WIDTH, side):
        row = (WIDTH * k + first) // side
        part = ir.Constant(ir.VectorType(ir.IntType(32), side), list(range(first, first + side)))
        place = builder.add(position, builder.mul(stride, INDEX(row)))
        out.store(builder.shuffle_vector(value, undefined, part), place)


@intrinsic(prefer_literal=True)
def _multiply(typing_context, weights, basis, first, out, position, stride, side):
    def generate(context, builder, signature, args):
        factor, rows, pixels = (Lanes(context, builder, signature.args[k], args[k]) for k in (0, 1, 3))
        rank, length = rows.shape
        sums = registers(context, builder, basis.dtype, CHUNK // WIDTH)
        with cgutils.for_range(builder, rank, intp=INDEX) as loop:
            weight = factor.splat(loop.index)
            start = builder.add(builder.mul(loop.index, length), args[2])
            for k, register in enumerate(sums):
                multiply_add(builder, rows.load(builder.add(start, INDEX(WIDTH * k))), weight, register)
        for k, register in enumerate(sums):
            value = builder.load(register)
            black, white = (ir.Constant(value.type, [level] * WIDTH) for level in (0.0, 255.0))
            value = clamp(builder, value, black, white)
            narrow = builder.fptosi(value, ir.VectorType(ir.IntType(32), WIDTH))
            narrow = builder.trunc(narrow, ir.VectorType(ir.IntType(8), WIDTH))
            _store_pixels(builder, narrow, k, pixels, args[4], args[5], side.literal_value)
        return context.get_dummy_value()

    return types.void(weights, basis, types.int64, out, types.int64, types.int64, side), generate


@intrinsic(prefer_literal=True)
def _multiply_bytes(typing_context, weights, patch, basis, start, first, out, position, stride, side):
    def generate(context, builder, signature, args):
        kinds = signature.args
        factor, rows, least, pixels = (Lanes(context, builder, kinds[k], args[k]) for k in (0, 2, 3, 5))
        (quads, patches), length = factor.shape, rows.shape[1]
        sums = registers(context, builder, types.int32, CHUNK // WIDTH)
        for k, register in enumerate(sums):
            builder.store(least.load(builder.add(args[4], INDEX(WIDTH * k))), register)
        with cgutils.for_range(builder, quads, intp=INDEX) as loop:
            weight = factor.splat(builder.add(builder.mul(loop.index, patches), args[1]))
            place = builder.add(builder.mul(loop.index, length), args[4])
            for k, register in enumerate(sums):
                add_dot(builder, weight, rows.load(builder.add(place, INDEX(WIDTH * k))), register)
        for k, register in enumerate(sums):
            value = builder.load(register)
            black, white = (ir.Constant(value.type, [level] * WIDTH) for level in (0, 255))
            value = builder.select(builder.icmp_signed("<", value, black), black, value)
            value = builder.select(builder.icmp_signed(">", value, white), white, value)
            narrow = builder.trunc(value, ir.VectorType(ir.IntType(8), WIDTH))
            _store_pixels(builder, narrow, k, pixels, args[6], args[7], side.literal_value)
        return context.get_dummy_value()

    integers = [types.int64] * 3
    return types.void(weights, types.int64, basis, start, integers[0], out, *integers[1:], side), generate


if numba.config.DISABLE_JIT:

    def unzip(row, column, patch_size, out, position, stride):
        """Sample x of WIDTH patches in a row, from patch `column` on, goes to out.flat[position + x * stride:]."""
        samples = row[column * patch_size :][: WIDTH * patch_size].reshape(WIDTH, patch_size)
        for x in range(patch_size):
            out.reshape(-1)[position + x * stride :][:WIDTH] = samples[:, x]

    def _place(pixels, out, position, stride, side):
        rows = pixels.reshape(-1, side) if side else pixels[None]
        for k, row in enumerate(rows):
            out.reshape(-1)[position + k * stride :][: len(row)] = row

    def multiply(weights, basis, first, out, position, stride, side):
        """clip(weights @ basis, 0, 255) for CHUNK pixels from `first` on: weights (R,), basis (R, pixels).

        They go to out.flat[position:], or if `side` is not zero to rows of so many pixels that lie `stride` apart.
        """
        _place(np.clip(weights @ basis[:, first : first + CHUNK], 0, 255), out, position, stride, side)

    def multiply_bytes(weights, patch, basis, start, first, out, position, stride, side):
        """clip(start + weights[:, patch] @ basis, 0, 255) for CHUNK pixels from `first` on, placed as by `multiply`.

        weights (Q, patches) hold four unsigned bytes, basis (Q, pixels) four signed ones in each int32.
        """
        chosen = slice(first, first + CHUNK)
        left = np.ascontiguousarray(weights[:, patch]).view(np.uint8).astype(np.int32)
        right = np.ascontiguousarray(basis[:, chosen].T).view(np.int8).astype(np.int32)
        _place(np.clip(start[chosen] + right @ left, 0, 255), out, position, stride, side)

else:
    unzip, multiply, multiply_bytes = _unzip, _multiply, _multiply_bytes
