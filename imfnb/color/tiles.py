"""RGB to YCbCr and back by vectors of pixels.

Forward, a pixel becomes two pairs of 16-bit integers, (R, G) and (B, G), which one instruction multiplies by a pair of
weights and adds. 2x2 pixels are added up as pairs, before any weight. Back, the three colours of a pixel come together
in a word, whose bytes are then packed. The plain definitions at the end say what the tiles do, and are what runs with
the JIT off.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..format.color import B_CB, BITS, CENTRE, FRACTION, G_CB, G_CR, LIMIT, R_CR
from ..runtime.vectors import INDEX, WIDTH, Lanes, multiply_pairs
from .matrix import CB_B, CB_G, CB_R, CR_B, CR_G, CR_R, Y_B, Y_G, Y_R

__all__ = ["join_row", "join_two_rows", "one_row", "q4_row", "q4_wide_row", "two_rows"]


def _weights(red: int, green: int, blue: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Weights of the two pairs; each has half of G's, with which all are within 16 bits."""
    return (red, green // 2), (blue, green - green // 2)


# Chroma has the opposite sign, since 32768 is not within 16 bits.
_LUMA = _weights(Y_R, Y_G, Y_B)
_CHROMA = _weights(-CB_R, -CB_G, -CB_B), _weights(-CR_R, -CR_G, -CR_B)

_WORDS = ir.VectorType(ir.IntType(32), WIDTH)


def _constant(value: int) -> ir.Constant:
    return ir.Constant(_WORDS, [value] * WIDTH)


def _pairs(builder: ir.IRBuilder, image: Lanes, pixel: ir.Value, channels: int) -> list[ir.Value]:
    """(R, G) and (B, G) of WIDTH pixels."""
    first = builder.mul(pixel, INDEX(channels))
    # Four pixels to every 16 bytes of a register; of three channels the last ones begin before, not to read too far.
    begins = [min(4 * channels * k, (channels - 1) * WIDTH) for k in range(4)]
    parts = [image.load(builder.add(first, INDEX(begin))) for begin in begins]
    while len(parts) > 1:
        count = 2 * parts[0].type.count
        order = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count)))
        parts = [builder.shuffle_vector(one, two, order) for one, two in zip(parts[::2], parts[1::2], strict=True)]
    pixels, zero = parts[0], 4 * WIDTH
    out = []
    for color in (0, 2):
        order = []
        for n in range(WIDTH):
            start = WIDTH * (n // 4) + channels * n - begins[n // 4]
            order += [start + color, zero, start + 1, zero]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order)
        picked = builder.shuffle_vector(pixels, ir.Constant(pixels.type, None), mask)
        out.append(builder.bitcast(picked, _WORDS))
    return out


def _weigh(builder: ir.IRBuilder, pairs: list[ir.Value], weights: tuple) -> ir.Value:
    """The weighted sum of both pairs."""
    products = []
    for pair, (low, high) in zip(pairs, weights, strict=True):
        weight = ir.Constant(ir.VectorType(ir.IntType(16), 2 * WIDTH), [low, high] * WIDTH)
        products.append(multiply_pairs(builder, pair, builder.bitcast(weight, _WORDS)))
    return builder.add(*products)


def _store(builder: ir.IRBuilder, value: ir.Value, plane: Lanes, position: ir.Value, q4: bool) -> None:
    if not q4:
        value = builder.trunc(value, ir.VectorType(ir.IntType(8), WIDTH))
    plane.store(value, position)


def _put_luma(builder: ir.IRBuilder, pairs: list[ir.Value], plane: Lanes, position: ir.Value, q4: bool) -> None:
    shift = BITS - (FRACTION if q4 else 0)
    value = builder.add(_weigh(builder, pairs, _LUMA), _constant(1 << (shift - 1)))
    value = builder.ashr(value, _constant(shift))
    _store(builder, builder.sub(value, _constant(CENTRE)) if q4 else value, plane, position, q4)


def _put_chroma(
    builder: ir.IRBuilder, pairs: list[ir.Value], count: int, planes: list[Lanes], position: ir.Value, q4: bool
) -> None:
    """Write Cb and Cr of the sums of `count` pixels."""
    shift = BITS - (FRACTION if q4 else 0) + count.bit_length() - 1
    for weights, plane in zip(_CHROMA, planes, strict=True):
        value = builder.sub(_constant(1 << (shift - 1)), _weigh(builder, pairs, weights))
        value = builder.ashr(value, _constant(shift))
        if not q4:
            value, white = builder.add(value, _constant(128)), _constant(255)
            value = builder.select(builder.icmp_signed("<", value, white), value, white)
        _store(builder, value, plane, position, q4)


@intrinsic(prefer_literal=True)
def _one_row(typing_context, image, pixel, y, cb, cr, place, channels):
    count = channels.literal_value

    def generate(context, builder, signature, args):
        pixels = Lanes(context, builder, image, args[0])
        planes = [Lanes(context, builder, signature.args[k], args[k]) for k in (2, 3, 4)]
        q4 = y.dtype.bitwidth > 8
        pairs = _pairs(builder, pixels, args[1], count)
        _put_luma(builder, pairs, planes[0], args[5], q4)
        _put_chroma(builder, pairs, 1, planes[1:], args[5], q4)
        return context.get_dummy_value()

    return types.void(image, types.int64, y, cb, cr, types.int64, channels), generate


@intrinsic(prefer_literal=True)
def _two_rows(typing_context, image, top, bottom, y, cb, cr, upper, lower, place, channels):
    count = channels.literal_value

    def generate(context, builder, signature, args):
        pixels = Lanes(context, builder, image, args[0])
        planes = [Lanes(context, builder, signature.args[k], args[k]) for k in (3, 4, 5)]
        q4 = y.dtype.bitwidth > 8
        columns = []
        for column in (INDEX(0), INDEX(WIDTH)):
            rows = []
            for source, target in ((1, 6), (2, 7)):
                pairs = _pairs(builder, pixels, builder.add(args[source], column), count)
                _put_luma(builder, pairs, planes[0], builder.add(args[target], column), q4)
                rows.append(pairs)
            columns.append([builder.add(*both) for both in zip(*rows, strict=True)])  # no carry between 16-bit halves
        sums = []
        for left, right in zip(*columns, strict=True):
            orders = [[2 * k + odd for k in range(WIDTH)] for odd in (0, 1)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), order) for order in orders]
            sums.append(builder.add(*(builder.shuffle_vector(left, right, mask) for mask in masks)))
        _put_chroma(builder, sums, 4, planes[1:], args[8], q4)
        return context.get_dummy_value()

    return types.void(image, *[types.int64] * 2, y, cb, cr, *[types.int64] * 3, channels), generate


def _limit(builder: ir.IRBuilder, value: ir.Value, low: int, high: int) -> ir.Value:
    least, most = _constant(low), _constant(high)
    value = builder.select(builder.icmp_signed("<", value, least), least, value)
    return builder.select(builder.icmp_signed(">", value, most), most, value)


def _added(builder: ir.IRBuilder, blue: ir.Value, red: ir.Value, start: ir.Value, shift: int) -> list[ir.Value]:
    """start plus what chroma adds to each colour, shifted."""
    parts = [
        builder.mul(red, _constant(R_CR)),
        builder.add(builder.mul(blue, _constant(G_CB)), builder.mul(red, _constant(G_CR))),
        builder.mul(blue, _constant(B_CB)),
    ]
    return [builder.ashr(builder.add(start, part), _constant(shift)) for part in parts]


def _put_colors(builder: ir.IRBuilder, colors: list[ir.Value], out: Lanes, pixel: ir.Value, channels: int) -> None:
    """Write R, G and B of WIDTH pixels, clamped to bytes."""
    word = None
    for k, color in enumerate(colors):
        value = builder.shl(_limit(builder, color, 0, 255), _constant(8 * k))
        word = value if word is None else builder.or_(word, value)
    first, byte = builder.mul(pixel, INDEX(channels)), ir.VectorType(ir.IntType(8), 4 * WIDTH)
    if channels == 4:
        old = builder.bitcast(out.load(first, 4 * WIDTH), _WORDS)
        word = builder.or_(word, builder.and_(old, _constant(-(1 << 24))))  # alpha stays
        out.store(builder.bitcast(word, byte), first)
        return
    bytes_ = builder.bitcast(word, byte)
    undefined = ir.Constant(byte, ir.Undefined)
    picked = [4 * n + c for n in range(WIDTH) for c in range(3)]
    for begin in range(0, 48, 16):
        mask = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), picked[begin : begin + WIDTH])
        out.store(builder.shuffle_vector(bytes_, undefined, mask), builder.add(first, INDEX(begin)))


def _centred(builder: ir.IRBuilder, plane: Lanes, place: ir.Value) -> ir.Value:
    """WIDTH samples of chroma of bytes, less 128."""
    return builder.sub(builder.zext(plane.load(place), _WORDS), _constant(128))


def _join(
    builder: ir.IRBuilder, added: list[ir.Value], y: Lanes, place: ir.Value, out: Lanes, pixel: ir.Value, channels: int
) -> None:
    """Write WIDTH pixels of luma of bytes and what chroma adds to it."""
    luma = builder.zext(y.load(place), _WORDS)
    _put_colors(builder, [builder.add(luma, value) for value in added], out, pixel, channels)


@intrinsic(prefer_literal=True)
def _join_row(typing_context, y, cb, cr, place, out, pixel, channels):
    count = channels.literal_value

    def generate(context, builder, signature, args):
        planes = [Lanes(context, builder, signature.args[k], args[k]) for k in (0, 1, 2, 4)]
        blue, red = (_centred(builder, plane, args[3]) for plane in planes[1:3])
        added = _added(builder, blue, red, _constant(1 << (BITS - 1)), BITS)
        _join(builder, added, planes[0], args[3], planes[3], args[5], count)
        return context.get_dummy_value()

    return types.void(y, cb, cr, types.int64, out, types.int64, channels), generate


@intrinsic(prefer_literal=True)
def _join_two_rows(typing_context, y, upper, lower, cb, cr, place, out, top, bottom, channels):
    count = channels.literal_value

    def generate(context, builder, signature, args):
        planes = [Lanes(context, builder, signature.args[k], args[k]) for k in (0, 3, 4, 6)]
        blue, red = (_centred(builder, plane, args[5]) for plane in planes[1:3])
        added = _added(builder, blue, red, _constant(1 << (BITS - 1)), BITS)
        for half in (0, WIDTH):
            order = ir.Constant(_WORDS, [(half + k) // 2 for k in range(WIDTH)])
            twice = [builder.shuffle_vector(v, ir.Constant(_WORDS, ir.Undefined), order) for v in added]
            for source, target in ((1, 7), (2, 8)):
                places = [builder.add(args[k], INDEX(half)) for k in (source, target)]
                _join(builder, twice, planes[0], places[0], planes[3], places[1], count)
        return context.get_dummy_value()

    integers = [types.int64] * 2
    return types.void(y, *integers, cb, cr, types.int64, out, *integers, channels), generate


def _put_q4(builder: ir.IRBuilder, samples: list[ir.Value], out: Lanes, pixel: ir.Value, channels: int) -> None:
    """Write WIDTH pixels of centred samples with fractional bits: luma, Cb and Cr."""
    luma, blue, red = (_limit(builder, value, -LIMIT, LIMIT - 1) for value in samples)
    start = builder.shl(builder.add(luma, _constant(CENTRE)), _constant(BITS))
    start = builder.add(start, _constant(1 << (BITS + FRACTION - 1)))
    _put_colors(builder, _added(builder, blue, red, start, BITS + FRACTION), out, pixel, channels)


@intrinsic(prefer_literal=True)
def _q4_row(typing_context, y, place, blue, red, column, out, pixel, channels):
    count = channels.literal_value

    def generate(context, builder, signature, args):
        planes = [Lanes(context, builder, signature.args[k], args[k]) for k in (0, 2, 3, 5)]
        samples = [plane.load(args[k]) for plane, k in zip(planes, (1, 4, 4), strict=False)]
        _put_q4(builder, samples, planes[3], args[6], count)
        return context.get_dummy_value()

    return types.void(y, types.int64, blue, red, types.int64, out, types.int64, channels), generate


@intrinsic(prefer_literal=True)
def _q4_wide_row(typing_context, y, place, blue, red, column, out, pixel, channels):
    count = channels.literal_value

    def generate(context, builder, signature, args):
        planes = [Lanes(context, builder, signature.args[k], args[k]) for k in (0, 2, 3, 5)]
        wide = []
        for plane in planes[1:3]:
            left, centre, right = (plane.load(builder.add(args[4], INDEX(k))) for k in range(3))
            centre = builder.add(builder.mul(centre, _constant(3)), _constant(8))
            sides = [builder.ashr(builder.add(centre, side), _constant(4)) for side in (left, right)]
            orders = [[(half + k) // 2 + WIDTH * (k % 2) for k in range(WIDTH)] for half in (0, WIDTH)]
            wide.append([builder.shuffle_vector(*sides, ir.Constant(_WORDS, order)) for order in orders])
        for k, (cb, cr) in enumerate(zip(*wide, strict=True)):
            places = [builder.add(args[position], INDEX(k * WIDTH)) for position in (1, 6)]
            _put_q4(builder, [planes[0].load(places[0]), cb, cr], planes[3], places[1], count)
        return context.get_dummy_value()

    return types.void(y, types.int64, blue, red, types.int64, out, types.int64, channels), generate


if numba.config.DISABLE_JIT:

    def _weighted(colors, weights, shift):
        """Weighted sums of colours (..., 3), rounded and shifted."""
        return (colors.astype(np.int64) @ np.array(weights) + (1 << (shift - 1))) >> shift

    def _put(colors, plane, position, index, summed):
        """Write plane `index` of colours, shape (WIDTH, 3), sums of `summed` pixels, to plane.flat[position:]."""
        q4 = plane.dtype != np.uint8
        shift = BITS - (FRACTION if q4 else 0) + summed.bit_length() - 1
        value = _weighted(colors, ((Y_R, Y_G, Y_B), (CB_R, CB_G, CB_B), (CR_R, CR_G, CR_B))[index], shift)
        if q4:
            value = value - (0 if index else CENTRE)
        elif index:
            value = np.minimum(value + 128, 255)
        plane.reshape(-1)[position : position + WIDTH] = value

    def one_row(image, pixel, y, cb, cr, place, channels):
        """Convert WIDTH pixels from number `pixel` of the image on to y, cb and cr.flat[place:].

        Planes of bytes hold samples of 8 bits, planes of int32 centred ones with fractional bits.
        """
        colors = image.reshape(-1, channels)[pixel : pixel + WIDTH, :3]
        for index, plane in enumerate((y, cb, cr)):
            _put(colors, plane, place, index, 1)

    def two_rows(image, top, bottom, y, cb, cr, upper, lower, place, channels):
        """Convert twice WIDTH pixels of two rows, to y.flat[upper:] and y.flat[lower:], cb and cr.flat[place:].

        `top` and `bottom` are the numbers of the first pixels; chroma is that of the mean of 2x2 pixels.
        """
        pixels = image.reshape(-1, channels)
        rows = [pixels[first : first + 2 * WIDTH, :3].astype(np.int64) for first in (top, bottom)]
        for row, target in zip(rows, (upper, lower), strict=True):
            for column in (0, WIDTH):
                _put(row[column : column + WIDTH], y, target + column, 0, 1)
        sums = (rows[0] + rows[1]).reshape(WIDTH, 2, 3).sum(axis=1)
        for index, plane in ((1, cb), (2, cr)):
            _put(sums, plane, place, index, 4)

    def _colors(luma, blue, red, shift):
        """Colours, shape (WIDTH, 3), of luma that is already shifted and centred chroma."""
        parts = np.array([R_CR * red, G_CB * blue + G_CR * red, B_CB * blue])
        return (luma + parts) >> shift

    def _samples(plane, place, count=WIDTH):
        return plane.reshape(-1)[place : place + count].astype(np.int64)

    def _put_pixels(colors, out, pixel, channels):
        count = colors.shape[1]
        out.reshape(-1, channels)[pixel : pixel + count, :3] = np.clip(colors, 0, 255).T

    def join_row(y, cb, cr, place, out, pixel, channels):
        """Convert WIDTH samples of bytes from y, cb and cr.flat[place:] to pixels of the image from `pixel` on."""
        added = _colors(1 << (BITS - 1), _samples(cb, place) - 128, _samples(cr, place) - 128, BITS)
        _put_pixels(_samples(y, place) + added, out, pixel, channels)

    def join_two_rows(y, upper, lower, cb, cr, place, out, top, bottom, channels):
        """Convert twice WIDTH samples of two rows; every sample of chroma stands for 2x2 pixels."""
        added = _colors(1 << (BITS - 1), _samples(cb, place) - 128, _samples(cr, place) - 128, BITS)
        for source, target in ((upper, top), (lower, bottom)):
            _put_pixels(_samples(y, source, 2 * WIDTH) + added.repeat(2, axis=1), out, target, channels)

    def _put_q4_pixels(samples, out, pixel, channels):
        luma, b, r = (np.clip(part, -LIMIT, LIMIT - 1) for part in samples)
        start = ((luma + CENTRE) << BITS) + (1 << (BITS + FRACTION - 1))
        _put_pixels(_colors(start, b, r, BITS + FRACTION), out, pixel, channels)

    def q4_row(y, place, blue, red, column, out, pixel, channels):
        """Convert WIDTH centred samples with fractional bits, clamped to +-LIMIT, from rows of chroma of full width."""
        samples = _samples(y, place), _samples(blue, column), _samples(red, column)
        _put_q4_pixels(samples, out, pixel, channels)

    def q4_wide_row(y, place, blue, red, column, out, pixel, channels):
        """As `q4_row` twice WIDTH samples, from rows of half the width that begin with the sample to the left.

        Those are the sums of both rows of chroma by which the row is interpolated, in quarters.
        """
        wide = []
        for row in (blue, red):
            left, centre, right = (_samples(row, column + k) for k in range(3))
            wide.append(np.stack([(3 * centre + side + 8) >> 4 for side in (left, right)], axis=1).reshape(-1))
        _put_q4_pixels([_samples(y, place, 2 * WIDTH), *wide], out, pixel, channels)

else:
    one_row, two_rows, join_row, join_two_rows = _one_row, _two_rows, _join_row, _join_two_rows
    q4_row, q4_wide_row = _q4_row, _q4_wide_row
