"""Restoration filter as CUDA kernels; `reference` is its definition and proves the ranges of its integers.

A block restores a tile of 64 x 64 samples. It loads the tile with the filter's reach around it, continued beyond the
border, into shared memory; then, for each half of its rows, it adds up second differences over columns of five, and
each thread adds those up over five columns, classifies and filters a patch of 2 x 4 samples.

What saves instructions, of which the passes are made rather than of memory:

- A sample p stands in a word of the tile twice, as 16-bit halves p + 2**14, since there are two clipping limits: what
  is done with the word is done for both. From compute capability 9.0 on, one instruction clips a difference to both.
- A difference clipped to +-limit is kept as a number from 0, with the limit added: the sum of both sides of a tap, at
  most 4 (2**14 - 1), fits an unsigned half, and the words of both sides are added at once. What the limits add to the
  sum over the taps depends on the class only and is taken off at the end.
- The coefficients of a tap are a word of four bytes, the low ones of both limits and the high ones: two products of
  pairs, accumulated apart, make their multiplication with the sums without taking anything to pieces.
- Halves of second differences are floats, multiples of 2**-15: in these units they and their sums are integers below
  2**23, so all are exact. Their absolute values cost nothing, and they are added by units of their own.

Per sample and pass: 8 bytes (read and written once; the reach adds a fifth more reads from the cache), and about 220
instructions in the first pass, 180 in the second: 35 for loading, 50 for sums over columns, 35 for those over rows and
the class, 7 per tap. As one 32-bit integer after the other the passes were 1900 and 1250 instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, int32, int64, uint32

from ..format.restoration import (
    ACTIVITY_THRESHOLDS,
    CLASSES,
    COEFFICIENT_BITS,
    DIRECTIONS,
    LIMIT_SHIFT,
    LIMITS,
    PASSES,
    RADIUS,
    SAMPLE_LIMIT,
    SHORT_BEND_MAX,
    SHORT_BLOCK,
    SHORT_REACH,
    SHORT_TAPS,
    SHORT_THRESHOLDS,
    TAPS,
    TAPS_PER_PASS,
    THRESHOLD_SHIFT,
)
from ..runtime.cuda import SIMULATED, device_function, kernel, stream, template, tile_of_block
from ..runtime.cuda import cuda as _cuda
from ..runtime.cuda_intrinsics import clip2, dp2a_high, dp2a_low, get, prmt, put
from .reference import CLIPPING_MAX, STEP_LIMIT, activity_bound

__all__ = ["restore", "restore_short", "squared_error"]

_i32, _u32, _f32 = np.int32, np.uint32, np.float32

_LOW, _HIGH = _i32(-SAMPLE_LIMIT), _i32(SAMPLE_LIMIT)

# Threads of a block across and down; rows of a thread's patch, two columns wide; parts of a tile, one after the other.
# The simulator starts a Python thread for each.
_LANES, _GROUPS, _PATCH, _PARTS = (8, 2, 4, 2) if SIMULATED else (32, 8, 4, 2)
_THREADS = _LANES * _GROUPS
_ACROSS, _PART = 2 * _LANES, _GROUPS * _PATCH
_DOWN = _PARTS * _PART
_WINDOW = 5

# The tile in shared memory: even columns, then odd ones, each without gaps, so that threads beside each other read
# neighbouring words whichever column of their pair they want. The odd ones begin half of the 32 banks later.
_LINES, _COLUMNS = _DOWN + 2 * RADIUS, _ACROSS + 2 * RADIUS
_HALF = _COLUMNS // 2
_ODD = _LINES * _HALF + (16 - _LINES * _HALF) % 32
_TILE = 2 * _ODD
# Samples that a thread reads in each of two columns, and of the last columns.
_FETCHES, _BORDERS = -(-_LINES // _GROUPS), -(-2 * RADIUS * _LINES // _THREADS)
_SAMPLES = 2 * _FETCHES + _BORDERS

# Second differences of a part added up over columns of a window: of three kinds, for even and odd columns from two to
# the left of the tile to two to the right of it. A thread makes those of a pair of columns and _RUN rows.
_PAIRS = _LANES + 2
_SIDE = _PART * _PAIRS
_KIND = 2 * _SIDE
_SUMS = 3 * _KIND
_RUN = 8
_RUNS = _PART // _RUN * _LANES
_LEVELS, _BENDS, _TOTALS = (_RUN + _WINDOW + 1, 4), (2, 3, _RUN + _WINDOW - 1), (2, 3)

# Coefficients of a class.
_SET = LIMITS * len(TAPS)

_TWICE, _LOW_HALF, _SIGNS = _u32(0x10001), _u32(0xFFFF), _u32(0x80008000)
_SIXTEEN = _u32(16)

# The float 2 with byte 0 and 1 of a word as byte 1 and 2.
_TWO, _INTO_TWO = _u32(0x40000000), _u32(0x7104)
# The unit of halves of second differences, and what no sum of these reaches.
_UNIT, _MANY = 2.0**-15, 2**23

# The short filter: a block of threads restores a tile, which needs some samples around it. The first threads classify
# its blocks, and then each corrects a pixel after the other.
_SHORT_ACROSS, _SHORT_DOWN = 2 * _LANES, SHORT_BLOCK * _GROUPS
_SHORT_MARGIN = SHORT_REACH + 1
_SHORT_COLUMNS, _SHORT_LINES = _SHORT_ACROSS + 2 * _SHORT_MARGIN, _SHORT_DOWN + 2 * _SHORT_MARGIN
_SHORT_TILE = _SHORT_LINES * _SHORT_COLUMNS
_BLOCKS_ACROSS = _SHORT_ACROSS // SHORT_BLOCK
_SHORT_BLOCKS = _BLOCKS_ACROSS * (_SHORT_DOWN // SHORT_BLOCK)
_SHORT_SET, _SHORT_COUNT = LIMITS * SHORT_TAPS, CLASSES * LIMITS * SHORT_TAPS
_SHORT_OFFSETS = np.array([row * _SHORT_COLUMNS + column for row, column in TAPS[:SHORT_TAPS]], np.int32)

# `squared_error`: threads of a block across and down, columns and rows of a thread.
_ERROR_LANES, _ERROR_GROUPS = (4, 2) if SIMULATED else (32, 8)
_ERROR_COLUMNS, _ERROR_ROWS = 8, 4
_ERROR_ACROSS, _ERROR_DOWN = _ERROR_LANES * _ERROR_COLUMNS, _ERROR_GROUPS * _ERROR_ROWS
_ERROR_THREADS = _ERROR_LANES * _ERROR_GROUPS


@device_function
def _inside(position, size):
    """The nearest position of a line of samples."""
    return min(max(_i32(position), _i32(0)), _i32(size - 1))


@device_function
def _place(row, column):
    """Where the tile has a sample."""
    return (column & 1) * _ODD + row * _HALF + (column >> 1)


@device_function
def _fetch(plane, height, width, top, left, lane, row, samples):
    """Read what the thread puts into the tile at (top, left): two columns, and up to _BORDERS samples of its right end.

    All reads are under way before the first is needed. Those beyond the tile are read like others, from the plane.
    """
    first, second = _inside(left + lane - RADIUS, width), _inside(left + lane + (_LANES - RADIUS), width)
    for i in range(_FETCHES):
        line = _inside(top + row + (i * _GROUPS - RADIUS), height) * width
        samples[2 * i] = get(plane, int64(_u32(line + first)))
        samples[2 * i + 1] = get(plane, int64(_u32(line + second)))
    for i in range(_BORDERS):
        y, x = _border(row * _LANES + lane + i * _THREADS)
        line = _inside(top + y - RADIUS, height) * width
        samples[2 * _FETCHES + i] = get(plane, int64(_u32(line + _inside(left + x - RADIUS, width))))


@device_function
def _border(item):
    """Row and column in the tile of a sample of its last columns."""
    y = _u32(_u32(item) // _u32(2 * RADIUS))
    return int64(y), int64(item) - int64(y) * (2 * RADIUS) + _ACROSS


@device_function
def _put(value, tile, place):
    """Put a clamped sample into the tile."""
    put(tile, place, _u32(_u32(value - _LOW) * _TWICE))


@device_function
def _store(samples, lane, row, tile):
    """Put what the thread has read into the tile; 0 if all of it is within -2**13 and 2**13 - 1.

    What is beyond the tile counts too: a read that only a condition asks for would start when the others are through.
    """
    seen = _i32(0)
    for i in range(_SAMPLES):
        samples[i] = min(max(samples[i], _LOW), _HIGH)
        seen = _i32(seen | _i32(samples[i] + _i32(SAMPLE_LIMIT // 2)))  # moderate ones become 0 to 2**14 - 1
    first, second = _place(row, lane), _place(row, lane + _LANES)
    for i in range(_FETCHES):
        if (i + 1) * _GROUPS <= _LINES or row + i * _GROUPS < _LINES:
            _put(samples[2 * i], tile, first + i * (_GROUPS * _HALF))
            _put(samples[2 * i + 1], tile, second + i * (_GROUPS * _HALF))
    for i in range(_BORDERS):
        y, x = _border(row * _LANES + lane + i * _THREADS)
        if y < _LINES:
            _put(samples[2 * _FETCHES + i], tile, _place(y, x))
    return _i32(seen >> _i32(14))


@device_function
def _level(word):
    """A sample of the tile as the float 2 + (p + 2**14) / 2**14: 4, the largest, has all bits where it should."""
    return prmt(word, _TWO, _INTO_TWO).view(np.float32)


@device_function
def _bent(before, middle, after):
    """Half a second difference."""
    return abs(middle - _f32(0.5) * (before + after))


@device_function
def _add_row(y, tile, corner, sums, goal, levels, bends, totals):
    """Row `y` of second differences; totals of the rows of a window that ends with it."""
    for x in range(4):
        levels[y + 2, x] = _level(get(tile, corner + _place(y + 2, x)))
    for x in range(2):
        middle = levels[y + 1, x + 1]
        h = _bent(levels[y + 1, x], middle, levels[y + 1, x + 2])
        v = _bent(levels[y, x + 1], middle, levels[y + 2, x + 1])
        f = _bent(levels[y, x], middle, levels[y + 2, x + 2])
        r = _bent(levels[y, x + 2], middle, levels[y + 2, x])
        bends[x, 0, y], bends[x, 1, y], bends[x, 2, y] = h + v, h - v, f - r
        for kind in range(3):
            totals[x, kind] += bends[x, kind, y]
            if y >= _WINDOW - 1:
                first = y - (_WINDOW - 1)
                put(sums, goal + kind * _KIND + x * _SIDE + first * _PAIRS, totals[x, kind])
                totals[x, kind] -= bends[x, kind, first]


def _row_adder(count: int) -> Any:
    """The first rows of `_add_row`, written out: LLVM unrolls no loop of this length, and its arrays are registers."""
    earlier, y = _row_adder(count - 1) if count > 1 else None, count - 1

    @device_function
    def add_rows(tile, corner, sums, goal, levels, bends, totals):
        if earlier is not None:
            earlier(tile, corner, sums, goal, levels, bends, totals)
        _add_row(y, tile, corner, sums, goal, levels, bends, totals)

    return add_rows


_add_rows = _row_adder(_RUN + _WINDOW - 1)


@device_function
def _add_columns(tile, corner, sums, goal):
    """Second differences of a pair of columns, added up over the rows of a window.

    The corner is the sample above and to the left of the first second difference.
    """
    levels = _cuda.local.array(_LEVELS, float32)
    bends = _cuda.local.array(_BENDS, float32)
    totals = _cuda.local.array(_TOTALS, float32)
    for x in range(4):
        levels[0, x], levels[1, x] = _level(get(tile, corner + _place(0, x))), _level(get(tile, corner + _place(1, x)))
    for kind in range(3):
        totals[0, kind] = totals[1, kind] = _f32(0)
    _add_rows(tile, corner, sums, goal, levels, bends, totals)


@device_function
def _window(sums, at):
    """Sums over the windows of a pair of neighbouring samples."""
    common = (get(sums, at + _SIDE) + get(sums, at + 1)) + (get(sums, at + _SIDE + 1) + get(sums, at + 2))
    return get(sums, at) + common, common + get(sums, at + _SIDE + 2)


@device_function
def _classify(both, straight, diagonal, bounds):
    """`reference.classify` of one sample, from its sums and differences of second differences."""
    activity = _i32(0)
    for bound in bounds:
        activity += _i32(both > bound)
    along_axes = abs(straight) >= abs(diagonal)
    contrast = straight if along_axes else diagonal
    direction = _i32(2 if along_axes else 4) - _i32(contrast > 0)
    if not _f32(4) * abs(contrast) > both:
        direction = _i32(0)
    return int64(DIRECTIONS * activity + direction)


@device_function
def _clipping_limit(step, limit):
    """`reference.clipping_limit`."""
    return _u32(min(_i32(_i32(step * limit) >> _i32(LIMIT_SHIFT)), _i32(CLIPPING_MAX)))


@device_function
def _clip_any(word, centre, limits):
    """The difference of two samples of the tile, clipped to each limit, plus that limit: a word of both."""
    near, far = _i32(limits & _LOW_HALF), _i32(limits >> _SIXTEEN)
    difference = _i32(word >> _SIXTEEN) - _i32(centre >> _SIXTEEN)
    low = min(max(_i32(difference + near), _i32(0)), _i32(2 * near))
    high = min(max(_i32(difference + far), _i32(0)), _i32(2 * far))
    return _u32(_u32(high) << _SIXTEEN) | _u32(low)


def _corrector(taps: int, moderate: bool) -> Any:
    """A device function that corrects two neighbouring samples with the taps built in.

    Moderate samples are within -2**13 and 2**13 - 1. Half a word then holds limit - (p + 2**14), and with any q + 2**14
    added q - p + limit, which is below 2**15: this is what `clip2` clips at 0 and at twice the limit.
    """
    offsets = [(row, column) for tap in TAPS[:taps] for row, column in (tap, (-tap[0], -tap[1]))]
    places = np.array(
        [
            [_place.py_func(RADIUS + row, RADIUS + side + column) for row, column in [(0, 0), *offsets]]
            for side in range(2)
        ],
        np.int64,
    )

    @device_function
    def correct(tile, corner, side, words, kind, bias, limits):
        """The sample of a column of the pair at (RADIUS, RADIUS) from the corner."""
        reach = _cuda.const.array_like(places)
        centre = get(tile, corner + reach[side, 0])
        # A half has its highest bit set so that it borrows nothing from the other.
        start, top = _u32((limits | _SIGNS) - centre) ^ _SIGNS, _u32(limits + limits)
        low, high = _u32(0), _i32(0)
        for k in range(taps):
            one, other = get(tile, corner + reach[side, 2 * k + 1]), get(tile, corner + reach[side, 2 * k + 2])
            if moderate:
                pair = _u32(clip2(one, start, top) + clip2(other, start, top))
            else:
                pair = _u32(_clip_any(one, centre, limits) + _clip_any(other, centre, limits))
            word = get(words, k * CLASSES + kind)
            low, high = dp2a_low(pair, word, low), dp2a_high(pair, word, high)
        total = _i32(_i32(low) + _i32(high << _i32(8)) + get(bias, kind))
        value = _i32(centre >> _SIXTEEN) + _LOW + _i32(total >> _i32(COEFFICIENT_BITS))
        return min(max(_i32(value), _LOW), _HIGH)

    @device_function
    def correct_pair(tile, corner, sums, at, words, bias, limits, bounds):
        both, straight, diagonal = _window(sums, at), _window(sums, at + _KIND), _window(sums, at + 2 * _KIND)
        first = _classify(both[0], straight[0], diagonal[0], bounds)
        second = _classify(both[1], straight[1], diagonal[1], bounds)
        return (
            correct(tile, corner, 0, words, first, bias, limits),
            correct(tile, corner, 1, words, second, bias, limits),
        )

    return correct_pair


@device_function
def _write(plane, height, width, line, column, pair):
    """Write a pair of samples of a plane, as far as it has them."""
    if line < height:
        at = int64(_u32(line * width + column))
        if column < width:
            put(plane, at, pair[0])
        if column + 1 < width:
            put(plane, at + 1, pair[1])


@template(
    "void(int32[:,:,::1], int32, float32, float32, float32, float32, int16[:,:,:,::1], int32[:,::1], int32[:,:,::1], "
    "int32[::1])",
    *((number,) for number in range(PASSES)),
)
def _restore(number: int) -> Callable[..., None]:
    """The kernel of one pass, with its taps built in: from the chosen planes to scratch in their order, and back."""
    taps = TAPS_PER_PASS[number]
    first, count = number == 0, taps * CLASSES
    correct, correct_any = _corrector(taps, True), _corrector(taps, False)

    @device_function
    def load_words(filters, words, thread):
        """The coefficients of every tap and class: bytes of the near one and the far one alternate."""
        for i in range(-(-count // _THREADS)):
            item = _u32(thread + i * _THREADS)
            if item < count:
                k = _u32(item // _u32(CLASSES))
                at = int64(_u32((number * CLASSES + item - k * _u32(CLASSES)) * _u32(_SET) + k))
                near, far = get(filters, at), get(filters, at + len(TAPS))
                put(words, item, prmt(_u32(near), _u32(far), _u32(0x5140)))

    @device_function
    def load_bias(words, limits, bias, thread):
        """What is added to the sum over the taps: for rounding, and against the limits added to the differences."""
        for i in range(-(-CLASSES // _THREADS)):
            kind = thread + i * _THREADS
            if kind < CLASSES:
                low, high = _u32(0), _i32(0)
                for k in range(taps):
                    word = get(words, k * CLASSES + kind)
                    low, high = dp2a_low(limits, word, low), dp2a_high(limits, word, high)
                added = _i32(_i32(low) + _i32(high << _i32(8)))
                put(bias, kind, _i32(_i32(1 << (COEFFICIENT_BITS - 1)) - _i32(2 * added)))

    def run_pass(planes, step, bound0, bound1, bound2, bound3, filters, limits, out, which):
        tile = _cuda.shared.array(_TILE, uint32)
        sums = _cuda.shared.array(_SUMS, float32)
        words = _cuda.shared.array(count, uint32)
        bias = _cuda.shared.array(CLASSES, int32)
        height, width = _i32(planes.shape[1]), _i32(planes.shape[2])
        n, down, across = tile_of_block(
            _u32(height + (_DOWN - 1)) // _u32(_DOWN), _u32(width + (_ACROSS - 1)) // _u32(_ACROSS)
        )
        source, goal = planes[which[n] if first else n], out[n if first else which[n]]
        top, left = _i32(down * _DOWN), _i32(across * _ACROSS)
        lane, row = _u32(_cuda.threadIdx.x), _u32(_cuda.threadIdx.y)
        thread = _u32(row * _u32(_LANES) + lane)
        samples = _cuda.local.array(_SAMPLES, int32)
        _fetch(source, height, width, top, left, lane, row, samples)
        load_words(filters, words, thread)
        seen = _store(samples, lane, row, tile)
        near = _clipping_limit(step, get(limits, LIMITS * number))
        both = _u32(_u32(_clipping_limit(step, get(limits, LIMITS * number + 1)) << _SIXTEEN) | near)
        extreme = _cuda.syncthreads_or(seen)
        bounds = bound0, bound1, bound2, bound3
        load_bias(words, both, bias, thread)
        for part in range(min(_PARTS, (height - top + (_PART - 1)) // _PART)):
            # A thread for each run of each of the first pairs of columns, and for the last pairs those after them.
            if thread < _RUNS + 2 * (_PART // _RUN):
                own = thread < _RUNS
                run = row if own else _u32(_u32(thread - _RUNS) >> _u32(1))
                pair = lane if own else _u32(_LANES + (thread & 1))
                corner = part * (_PART * _HALF) + run * (_RUN * _HALF) + pair
                _add_columns(tile, corner, sums, run * (_RUN * _PAIRS) + pair)
            _cuda.syncthreads()
            corner, at = part * (_PART * _HALF) + row * (_PATCH * _HALF) + lane, row * (_PATCH * _PAIRS) + lane
            line, column = _i32(top + part * _PART + row * _PATCH), _i32(left + 2 * lane)
            if extreme:
                for y in range(_PATCH):
                    pair0 = correct_any(tile, corner + y * _HALF, sums, at + y * _PAIRS, words, bias, both, bounds)
                    _write(goal, height, width, line + y, column, pair0)
            elif line < height:
                # Samples that several rows need are read once where these are written out, before anything is stored.
                pair0 = correct(tile, corner, sums, at, words, bias, both, bounds)
                pair1 = correct(tile, corner + _HALF, sums, at + _PAIRS, words, bias, both, bounds)
                pair2 = correct(tile, corner + 2 * _HALF, sums, at + 2 * _PAIRS, words, bias, both, bounds)
                pair3 = correct(tile, corner + 3 * _HALF, sums, at + 3 * _PAIRS, words, bias, both, bounds)
                _write(goal, height, width, line, column, pair0)
                _write(goal, height, width, line + 1, column, pair1)
                _write(goal, height, width, line + 2, column, pair2)
                _write(goal, height, width, line + 3, column, pair3)
            _cuda.syncthreads()  # the next part replaces the sums

    return run_pass


@device_function
def _capped_bend(middle, one, other):
    """A second difference, as far as it counts."""
    return min(_i32(abs(_i32(_i32(2 * middle) - _i32(one + other)))), _i32(SHORT_BEND_MAX))


@device_function
def _class_of_block(tile, corner, step):
    """`reference.classify_blocks` of the block whose window begins at the corner."""
    both, straight, diagonal = _i32(0), _i32(0), _i32(0)
    for row in range(0, SHORT_BLOCK + 2 * SHORT_REACH, 2):
        for column in range(SHORT_BLOCK + 2 * SHORT_REACH):
            at = corner + row * _SHORT_COLUMNS + column
            above, below = at - _SHORT_COLUMNS, at + _SHORT_COLUMNS
            middle = get(tile, at)
            h = _capped_bend(middle, get(tile, at - 1), get(tile, at + 1))
            v = _capped_bend(middle, get(tile, above), get(tile, below))
            f = _capped_bend(middle, get(tile, above - 1), get(tile, below + 1))
            r = _capped_bend(middle, get(tile, above + 1), get(tile, below - 1))
            both, straight, diagonal = _i32(both + h + v), _i32(straight + h - v), _i32(diagonal + f - r)
    activity = _i32(0)
    for threshold in SHORT_THRESHOLDS:
        activity += _i32(both > _i32(_i32(step * threshold) >> _i32(THRESHOLD_SHIFT)))
    along_axes = abs(straight) >= abs(diagonal)
    contrast = straight if along_axes else diagonal
    direction = _i32(2 if along_axes else 4) - _i32(contrast > 0)
    if not _i32(4 * abs(contrast)) > both:
        direction = _i32(0)
    return _i32(DIRECTIONS * activity + direction)


@device_function
def _clipped(difference, limit):
    """A difference between a limit and its opposite."""
    return min(max(_i32(difference), _i32(-limit)), limit)


@kernel("void(int32[:,:,::1], int32, int16[:,:,::1], int32[::1], int32[:,:,::1], int32[::1])")
def _restore_short(planes, step, filters, limits, out, which):
    """Restore the chosen planes, a tile for every block of threads."""
    tile = _cuda.shared.array(_SHORT_TILE, int32)
    classes = _cuda.shared.array(_SHORT_BLOCKS, int32)
    coefficients = _cuda.shared.array(_SHORT_COUNT, int32)
    offsets = _cuda.const.array_like(_SHORT_OFFSETS)
    height, width = _i32(planes.shape[1]), _i32(planes.shape[2])
    n, down, across = tile_of_block(
        _u32(height + (_SHORT_DOWN - 1)) // _u32(_SHORT_DOWN), _u32(width + (_SHORT_ACROSS - 1)) // _u32(_SHORT_ACROSS)
    )
    source, goal = planes[which[n]], out[which[n]]
    top, left = _i32(down * _SHORT_DOWN), _i32(across * _SHORT_ACROSS)
    thread = _i32(_i32(_cuda.threadIdx.y) * _i32(_LANES) + _i32(_cuda.threadIdx.x))
    for i in range(-(-_SHORT_TILE // _THREADS)):
        item = _i32(thread + i * _THREADS)
        if item < _SHORT_TILE:
            y = _i32(item // _i32(_SHORT_COLUMNS))
            x = _i32(item - y * _SHORT_COLUMNS)
            line = _inside(_i32(top + y - _SHORT_MARGIN), height)
            at = int64(_u32(line * width + _inside(_i32(left + x - _SHORT_MARGIN), width)))
            put(tile, item, min(max(get(source, at), _LOW), _HIGH))
    for i in range(-(-_SHORT_COUNT // _THREADS)):
        item = _i32(thread + i * _THREADS)
        if item < _SHORT_COUNT:
            put(coefficients, item, _i32(get(filters, int64(item))))
    _cuda.syncthreads()
    if thread < _SHORT_BLOCKS:
        y = _i32(thread // _i32(_BLOCKS_ACROSS))
        x = _i32(thread - y * _BLOCKS_ACROSS)
        corner = _i32(_i32(SHORT_BLOCK * y + 1) * _SHORT_COLUMNS + SHORT_BLOCK * x + 1)
        put(classes, thread, _class_of_block(tile, corner, step))
    _cuda.syncthreads()
    near, far = _i32(_clipping_limit(step, get(limits, 0))), _i32(_clipping_limit(step, get(limits, 1)))
    for i in range(_SHORT_DOWN * _SHORT_ACROSS // _THREADS):
        item = _i32(thread + i * _THREADS)
        y = _i32(item // _i32(_SHORT_ACROSS))
        x = _i32(item - y * _SHORT_ACROSS)
        if top + y < height and left + x < width:
            kind = get(classes, _i32(_i32(y // _i32(SHORT_BLOCK)) * _BLOCKS_ACROSS + x // _i32(SHORT_BLOCK)))
            at = _i32(_i32(y + _SHORT_MARGIN) * _SHORT_COLUMNS + x + _SHORT_MARGIN)
            centre, total = get(tile, at), _i32(1 << (COEFFICIENT_BITS - 1))
            for k in range(SHORT_TAPS):
                one, other = _i32(get(tile, at + offsets[k]) - centre), _i32(get(tile, at - offsets[k]) - centre)
                place = _i32(kind * _SHORT_SET + k)
                narrow, wide = (
                    _i32(_clipped(one, near) + _clipped(other, near)),
                    _i32(_clipped(one, far) + _clipped(other, far)),
                )
                total = _i32(total + _i32(get(coefficients, place) * narrow))
                total = _i32(total + _i32(get(coefficients, place + SHORT_TAPS) * wide))
            value = _i32(centre + _i32(total >> _i32(COEFFICIENT_BITS)))
            put(goal, int64(_u32(_i32(top + y) * width + _i32(left + x))), min(max(value, _LOW), _HIGH))


@device_function
def _square(a, b, at):
    """Squared difference, at most 2**30."""
    difference = _i32(get(a, at) - get(b, at))
    return int64(difference) * int64(difference)


@kernel("void(int32[:,:,::1], int32[:,:,::1], int32, int32, int32, int64[::1])")
def _squared_error(a, b, first, last, period, out):
    """A warp takes a row after the other; the threads of a block add up their sums in pairs of pairs."""
    sums = _cuda.shared.array(_ERROR_THREADS, int64)
    height, width = _u32(a.shape[1]), _u32(a.shape[2])
    n, down, across = tile_of_block(
        _u32(height + (_ERROR_DOWN - 1)) // _u32(_ERROR_DOWN), _u32(width + (_ERROR_ACROSS - 1)) // _u32(_ERROR_ACROSS)
    )
    lane, row = _u32(_cuda.threadIdx.x), _u32(_cuda.threadIdx.y)
    one, other = a[n], b[n]
    column = _u32(across * _ERROR_ACROSS + lane)
    whole = (across + 1) * _ERROR_ACROSS <= width
    total = int64(0)
    for i in range(_ERROR_ROWS):
        y = _u32(down * _ERROR_DOWN + i * _ERROR_GROUPS + row)
        place = _u32(y % _u32(period))
        if y < height and _u32(first) <= place and place < _u32(last):
            at = int64(_u32(y * width + column))
            if whole:
                for k in range(_ERROR_COLUMNS):
                    total += _square(one, other, at + k * _ERROR_LANES)
            else:
                for k in range(_ERROR_COLUMNS):
                    if column + k * _ERROR_LANES < width:
                        total += _square(one, other, at + k * _ERROR_LANES)
    thread = _u32(row * _u32(_ERROR_LANES) + lane)
    put(sums, thread, total)
    _cuda.syncthreads()
    active = _ERROR_THREADS // 2
    while active > 0:
        if thread < active:
            put(sums, thread, get(sums, thread) + get(sums, thread + active))
        _cuda.syncthreads()
        active //= 2
    if thread == 0:
        _cuda.atomic.add(out, n, get(sums, 0))  # sums of integers have no order


def restore(planes: Any, step: int, filters: Any, limits: Any, out: Any, which: Any, scratch: Any = None) -> None:
    """Counterpart of :func:`imfnb.restoration.reference.restore`; `scratch` is needed."""
    count, height, width = scratch.shape
    blocks = count * -(-height // _DOWN) * -(-width // _ACROSS)
    step = min(int(step), STEP_LIMIT)
    bounds = [_f32(min(activity_bound(step, threshold), _MANY) * _UNIT) for threshold in ACTIVITY_THRESHOLDS]
    step = _i32(step)
    _restore(0)[blocks, (_LANES, _GROUPS), stream()](planes, step, *bounds, filters, limits, scratch, which)
    _restore(1)[blocks, (_LANES, _GROUPS), stream()](scratch, step, *bounds, filters, limits, out, which)


def restore_short(planes: Any, step: int, filters: Any, limits: Any, out: Any, which: Any) -> None:
    """Counterpart of :func:`imfnb.restoration.reference.restore_short`; `out` must not be `planes`."""
    _, height, width = planes.shape
    blocks = len(which) * -(-height // _SHORT_DOWN) * -(-width // _SHORT_ACROSS)
    step = _i32(min(int(step), STEP_LIMIT))
    _restore_short[blocks, (_LANES, _GROUPS), stream()](planes, step, filters, limits, out, which)


def squared_error(a: Any, b: Any, out: Any, rows: tuple[int, int, int] | None = None) -> None:
    """Counterpart of :func:`imfnb.restoration.reference.squared_error`."""
    count, height, width = a.shape
    blocks = count * -(-height // _ERROR_DOWN) * -(-width // _ERROR_ACROSS)
    _squared_error[blocks, (_ERROR_LANES, _ERROR_GROUPS), stream()](a, b, *(rows or (0, 1, 1)), out)
