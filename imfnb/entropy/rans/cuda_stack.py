"""Decoding of many segments on the GPU: U of all planes of a stack of pictures by one launch, same integers as `cpu`.

A block decodes a segment. Its threads make the inputs of symbols of a pass and their levels, each for symbols of its
own; its first warp decodes them, as many at a time as there are lanes, and finds out by votes which words and raw bits
are whose. There is no encoder here, and a call takes many segments: this is no counterpart of the modules beside it.

Per symbol of a component: about 500 multiply-adds of its network, 60 bytes read of its surroundings, mostly from the
caches, and a 32nd of a step of the numeral system (some 100 instructions of a warp).

Ranges are those of `reference`. Every index comes from the grid, the largest rank and clamped quantities; words and raw
bits beyond the data are zero, which the counters of both tell at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...format.context_model import FIRST_LIMIT
from ...format.rans_model import (
    COARSE_BITS,
    COARSE_STARTS,
    DIFFERENCES,
    ESCAPE_BITS,
    FINE_BITS,
    FINE_STARTS,
    FIRST,
    FREQUENCY_BITS,
    GROUPS,
    HIDDEN,
    INPUTS,
    LEVELS,
    LOG_LIMIT,
    MAGNITUDE_LIMIT,
    MAGNITUDES,
    MEAN_LIMIT,
    PLACE_BITS,
    RANKS,
    RUN,
    SHIFT_1,
    SHIFT_2,
    SIGN_SHIFT,
    STATE_LOW,
    STEADY,
    SYMBOLS,
    UNIT_MAX,
)
from ...runtime.cuda import SIMULATED, device_function, kernel, stream
from ...runtime.cuda import cuda as _cuda
from ...runtime.cuda_intrinsics import ballot, get, get_four, meet, put
from ...runtime.run import Run
from ..layout import padded_size
from .model import FIRST_SIGN_ROWS, PLACE_ROWS, SIGN_ROWS, components, kernel_model
from .reference import places

__all__ = ["Decoded", "Segment", "decode_stack"]

# Threads of a block, and of its first warp; the simulator starts a Python thread for each.
_THREADS, _WARP = (2, 2) if SIMULATED else (128, 32)

# What the table says of a segment: where the states begin in the bytes and where it ends, the number of lanes less one,
# where the words begin and how many there are, where the raw bits begin; the grid and the largest rank plus one; where
# U and the ranks begin; where its bytes and its integers among the scratch memory begin; the first row of `components`.
_FIELDS = 14
(
    _STATES,
    _END,
    _MASK,
    _WORDS,
    _COUNT,
    _BITS,
    _HEIGHT,
    _WIDTH,
    _RANK_MAX,
    _U,
    _K,
    _BYTES,
    _INTEGERS,
    _COMPONENTS,
) = range(_FIELDS)

# Images of bytes of a segment beside those of components: magnitudes of residuals of component 0 as networks see them,
# four slopes, and sums.
_IMAGES = 6

# U of a segment begins at a multiple of this many entries, so that others may read several at a time.
_ALIGNMENT = 64

# Places of the counters: symbols, words and raw bits so far.
_NUMBER, _WORD, _BIT = range(3)

# Places of sums over all threads: magnitudes or ranks of passes, active ranks, slopes.
_TOTAL, _ALL_RANKS, _STEEP = range(3)

# Weights of both layers of a network, the last with its bias behind them, and inputs that are the same for a pass.
_WEIGHTS, _SECOND, _STEADY = INPUTS * HIDDEN, HIDDEN + 1, INPUTS - STEADY

_SLOT_MASK = (1 << FREQUENCY_BITS) - 1
_ROWS_PER_NET = 2 * LEVELS
_FAMILY = 15

_COARSE = np.array(COARSE_STARTS, np.int32), np.array(COARSE_BITS, np.int32)
_FINE = np.array(FINE_STARTS, np.int32), np.array(FINE_BITS, np.int32)
_COARSE_STARTS, _COARSE_BITS = _COARSE
_FINE_STARTS, _FINE_BITS = _FINE

_i32, _i64, _u32 = np.int32, np.int64, np.uint32


class Segment(NamedTuple):
    """What is decoded.

    Attributes
    ----------
    data : bytes
        As :func:`imfnb.entropy.rans.reference.encode_factors` returns it.
    grid : (int, int)
        Patches down and across.
    patch_size : {8, 16}
        Side of a patch.
    """

    data: bytes
    grid: tuple[int, int]
    patch_size: int


class Decoded(NamedTuple):
    """What comes of segments.

    Attributes
    ----------
    stacks : list of (array of int16, shape (K, R, size), array of int32, shape (K, size))
        U and the active ranks of each group of segments, on the device; R is the largest rank of the group, and what
        stands in U behind the largest rank of a segment is undefined.
    overruns : array of int32, shape (segments,)
        On the device: 1 where a segment ends before its factors do.
    """

    stacks: list[tuple[Any, Any]]
    overruns: Any


# ---- symbols and raw bits, by the first warp -------------------------------------------------------------------------


@device_function
def _at(array, index):
    return _i32(get(array, index))


@device_function
def _log(value):
    """What networks see of a count or a magnitude."""
    number = _i32(min(_i32(value), _i32(LOG_LIMIT)) + _i32(1))
    exponent = _i32(31 - _cuda.clz(number))
    return _i32(_i32(16 * exponent) + _i32(_i32(number << 4) >> exponent) - 16)


@device_function
def _before(votes, lane):
    """How many lanes before this one have voted for."""
    return _i32(_cuda.popc(_u32(votes & _u32((_i64(1) << lane) - 1))))


@device_function
def _all(votes):
    return _i32(_cuda.popc(_u32(votes)))


@device_function
def _decode(coded, starts, rows, count, symbols, states, counters):
    """Decode symbols of the tables with the numbers `rows`."""
    data, mask, words, last, _, _ = coded
    lane = _i32(_cuda.threadIdx.x)
    width = _i32(min(_i32(_WARP), _i32(mask + 1)))
    number, word = _i32(counters[_NUMBER]), _i32(counters[_WORD])
    meet()
    for first in range(0, count, width):
        i = _i32(first + lane)
        active = lane < width and i < count
        place, low = _i32(0), False
        x, symbol = _i64(0), _i32(-1)
        if active:
            place = _i32(_i32(number + i) & _i32(mask))
            x = _i64(states[place])
            slot = _i32(x & _SLOT_MASK)
            start, end = _i32(0), _i32(_SLOT_MASK + 1)
            row = _i64(rows[i]) * (SYMBOLS // 2)
            for k in range(0, SYMBOLS // 2, 4):
                for pair in get_four(starts, row + k):
                    for value in (_i32(pair & 0xFFFF), _i32(pair >> 16)):
                        if value <= slot:
                            symbol, start = _i32(symbol + 1), value
                        else:
                            end = min(end, value)
            x = _i64(end - start) * (x >> FREQUENCY_BITS) + _i64(slot - start)
            low = (x >> STATE_LOW) == 0
        votes = ballot(low)
        if active:
            if low:
                taken = _i64(word + _before(votes, lane))
                value = _i32(0)
                if taken < last:
                    value = _i32(_at(data, words + 2 * taken) | _i32(_at(data, words + 2 * taken + 1) << 8))
                x = x << STATE_LOW | _i64(value)
            states[place] = x
            symbols[i] = symbol
        word = _i32(word + _all(votes))
        meet()
    if lane == 0:
        counters[_NUMBER], counters[_WORD] = number + count, word
    meet()


@device_function
def _raw(coded, position, count):
    """Raw bits from a position on, at most 13; zeros behind the data."""
    data, _, _, _, bits, size = coded
    place, value = position >> 3, _i32(0)
    for k in range(3):
        if place + k < size:
            value = _i32(value | _i32(_at(data, bits + place + k) << (8 * k)))
    return _i32(_i32(value >> _i32(position & 7)) & _i32((1 << count) - 1))


@device_function
def _share(coded, lane, position, width):
    """The raw bits of every lane, at most 7, one lane after the other; and the position behind them."""
    ones, twos, fours = ballot((width & 1) != 0), ballot((width & 2) != 0), ballot((width & 4) != 0)
    mine = position + _before(ones, lane) + 2 * _before(twos, lane) + 4 * _before(fours, lane)
    return _raw(coded, mine, width), position + _all(ones) + 2 * _all(twos) + 4 * _all(fours)


@device_function
def _values(coded, symbols, count, starts, widths, values, counters):
    """Find out which values of the ranges of symbols they are."""
    lane = _i32(_cuda.threadIdx.x)
    position = _i64(counters[_BIT])
    meet()
    for first in range(0, count, _WARP):
        i = _i32(first + lane)
        symbol = _i32(symbols[i]) if i < count else _i32(0)
        if ballot(symbol == SYMBOLS - 1):  # rare: how many bits there are, these say themselves
            if lane == 0:
                for k in range(first, min(_i32(first + _WARP), _i32(count))):
                    symbol = _i32(symbols[k])
                    value, width = _i32(starts[symbol]), _i32(widths[symbol])
                    if symbol == SYMBOLS - 1:
                        while width < ESCAPE_BITS and _raw(coded, position + width, 1) == 1:
                            width = _i32(width + 1)
                        position += width + 1 if width < ESCAPE_BITS else width
                        value = _i32(value + _i32(1 << width) - 1)
                    values[k] = value + _raw(coded, position, width)
                    position += width
                counters[_BIT] = position
            meet()
            position = _i64(counters[_BIT])
            meet()
        else:
            rest, position = _share(coded, lane, position, _i32(widths[symbol]))
            if i < count:
                values[i] = _i32(starts[symbol]) + rest
    if lane == 0:
        counters[_BIT] = position
    meet()


# ---- networks, by all threads ----------------------------------------------------------------------------------------


@device_function
def _load(model, net, inputs, network):
    """Bring a network to shared memory, and its inputs that are the same for all of a pass into its biases.

    `inputs` are numbers of the entries of `network` that these are in.
    """
    weights_1, biases_1, weights_2, biases_2, _, _ = model
    weights, hidden, second, steady = network
    thread = _i32(_cuda.threadIdx.x)
    _cuda.syncthreads()
    for k in range(thread, INPUTS * HIDDEN, _THREADS):
        weights[k] = _at(weights_1, _i64(net) * (INPUTS * HIDDEN) + k)
    for k in range(thread, HIDDEN, _THREADS):
        total = _at(biases_1, _i64(net) * HIDDEN + k)
        for j in range(inputs):
            total = _i32(total + _i32(steady[j] * _at(weights_1, (_i64(net) * INPUTS + STEADY + j) * HIDDEN + k)))
        hidden[k] = total
        second[k] = _at(weights_2, _i64(net) * HIDDEN + k)
    if thread == 0:
        second[HIDDEN] = _at(biases_2, _i64(net))
    _cuda.syncthreads()


@device_function
def _begin(network, units):
    for k in range(HIDDEN):
        units[k] = network[1][k]


def _feed_thread(network, units, j, value):
    """Give the units of a network an input."""
    for k in range(HIDDEN):
        units[k] = _i32(units[k] + _i32(network[0][j * HIDDEN + k] * _i32(value)))


def _feed_array(network, units, j, value):
    """The same at once, for the simulator, where each of these steps takes a microsecond."""
    units += network[0][j * HIDDEN : (j + 1) * HIDDEN] * _i32(value)


_feed = device_function(_feed_array if SIMULATED else _feed_thread)


@device_function
def _level(network, units):
    second = network[2]
    total = _i32(second[HIDDEN])
    for k in range(HIDDEN):
        unit = min(max(_i32(units[k] >> SHIFT_1), _i32(0)), _i32(UNIT_MAX))
        total = _i32(total + _i32(second[k] * unit))
    return min(max(_i32(total >> SHIFT_2), _i32(0)), _i32(LEVELS - 1))


@device_function
def _mean_of(total, count):
    """What networks see of a mean."""
    return _log(_i32(min(_i64(16) * total // max(count, _i64(1)), _i64(LOG_LIMIT))))


@device_function
def _difference_level(value):
    level = min(_i32(_i32(_log(abs(_i32(value))) + SIGN_SHIFT) >> SIGN_SHIFT), _i32(DIFFERENCES))
    return _i32(-level) if value < 0 else level


# ---- component 0 and ranks -------------------------------------------------------------------------------------------


@device_function
def _wave(t, gh, gw):
    """The rows of the patches of a pass: the first, and that behind the last."""
    return _i32(max(_i32(0), _i32(_i32(t - gw + 2) >> 1))), min(_i32(_i32(t >> 1) + 1), _i32(gh))


@device_function
def _decode_first(u, u0, b, e0, gh, gw, coded, model, network, units, shared):
    """Component 0, from `u0` on in u; from `e0` on b gets what networks see of its residuals."""
    rows, symbols, values, kept, levels, states, counters, sums = shared
    starts = model[4]
    stride, thread = _i32(gw + 4), _i32(_cuda.threadIdx.x)
    _load(model, FIRST, 0, network)
    total, count, known = _i64(0), _i64(0), _i64(0)
    for t in range(gw + 2 * gh - 2):
        begin, end = _wave(_i32(t), gh, gw)
        mean = _mean_of(total, count)
        for first in range(begin, end, RUN):
            length = min(_i32(RUN), _i32(end - first))
            for i in range(thread, length, _THREADS):
                y = _i32(first + i)
                x = _i32(t - 2 * y)
                m = _i32((y + 2) * stride + x + 2)
                d, e = u0 + m, e0 + m
                if x == 0 and y > 0:
                    edge = get(u, d - stride)
                    put(u, d - 1, edge)
                    put(u, d - 2, edge)
                w, ww = _at(u, d - 1), _at(u, d - 2)
                n, nw, ne, nn = w, w, w, w
                if y > 0:
                    n, nw, ne = _at(u, d - stride), _at(u, d - stride - 1), _at(u, d - stride + 1)
                    nn = n
                    if y > 1:
                        nn = _at(u, d - 2 * stride)
                guess = max(min(w, n), min(max(w, n), _i32(w + n - nw)))
                blend = _i32(3 * (w + n) + ne - nw + _i32(_i32(w - ww + n - nn) >> 1) - 6 * guess)
                _begin(network, units)
                _feed(network, units, 0, _log(abs(_i32(w - nw))))
                _feed(network, units, 1, _log(abs(_i32(n - nw))))
                _feed(network, units, 2, _log(abs(_i32(ne - n))))
                _feed(network, units, 3, _log(abs(_i32(w - ww))))
                _feed(network, units, 4, _log(abs(_i32(n - nn))))
                _feed(network, units, 5, _log(abs(blend)))
                _feed(network, units, 6, _log(abs(_i32(ne - w))))
                _feed(network, units, 7, _at(b, e - 1))
                _feed(network, units, 8, _at(b, e - stride))
                _feed(network, units, 9, _at(b, e - stride - 1))
                _feed(network, units, 10, _at(b, e - stride + 1))
                _feed(network, units, 11, _at(b, e - 2))
                _feed(network, units, 12, _at(b, e - 2 * stride))
                _feed(network, units, 13, mean)
                rows[i] = FIRST * _ROWS_PER_NET + _level(network, units)
                kept[i], levels[i] = guess, _difference_level(blend)
            _cuda.syncthreads()
            if thread < _WARP:
                _decode(coded, starts, rows, length, symbols, states, counters)
                _values(coded, symbols, length, _COARSE_STARTS, _COARSE_BITS, values, counters)
                some = _i32(0)
                for start in range(0, length, _WARP):
                    i = _i32(start + thread)
                    a = _i32(values[i]) if i < length else _i32(0)
                    votes = ballot(a != 0)
                    if a != 0:
                        level = min(_i32(_log(a) >> SIGN_SHIFT), _i32(MAGNITUDES))
                        row = FIRST_SIGN_ROWS + (levels[i] + DIFFERENCES) * (MAGNITUDES + 1) + level
                        # In its own place or one before it that all lanes have read.
                        rows[_i32(some + _before(votes, thread))] = row
                    some = _i32(some + _all(votes))
                meet()
                _decode(coded, starts, rows, some, symbols, states, counters)
                some = _i32(0)
                for start in range(0, length, _WARP):
                    i = _i32(start + thread)
                    a = _i32(values[i]) if i < length else _i32(0)
                    votes = ballot(a != 0)
                    if a != 0 and symbols[_i32(some + _before(votes, thread))] == 1:
                        values[i] = -a
                    some = _i32(some + _all(votes))
            _cuda.syncthreads()
            mine = _i64(0)
            for i in range(thread, length, _THREADS):
                y = _i32(first + i)
                x = _i32(t - 2 * y)
                m = _i32((y + 2) * stride + x + 2)
                d = u0 + m
                a = _i32(abs(_i32(values[i])))
                put(b, e0 + m, np.uint8(_log(a)))
                mine += min(a, _i32(MAGNITUDE_LIMIT))
                value = np.int16(min(max(_i32(kept[i] + values[i]), _i32(-FIRST_LIMIT)), _i32(FIRST_LIMIT)))
                put(u, d, value)
                if x == gw - 1:
                    put(u, d + 1, value)
                    put(u, d + 2, value)
                if t == 0:
                    put(u, d - 1, value)
                    put(u, d - 2, value)
            _cuda.atomic.add(sums, _TOTAL, mine)
            _cuda.syncthreads()
        total, count, known = _taken(total, count, known, _i64(sums[_TOTAL]), _i64(end - begin))
    for m in range(thread, stride, _THREADS):
        put(u, u0 + (gh + 2) * stride + m, get(u, u0 + (gh + 1) * stride + m))
        put(u, u0 + stride + m, get(u, u0 + 2 * stride + m))
    _cuda.syncthreads()


@device_function
def _taken(total, count, known, everything, more):
    """Total and count of a mean with another pass, and the sum over all passes, which was `known` before it."""
    if count >= MEAN_LIMIT:
        total, count = total >> 1, count >> 1
    return total + everything - known, count + more, everything


@device_function
def _find_slopes(u, u0, b, slopes, gh, gw):
    """What networks see of component 0 around every patch, four images from `slopes` on in b."""
    stride = _i32(gw + 4)
    size = _i64((gh + 3) * stride)
    for k in range(_i32(_cuda.threadIdx.x), gh * gw, _THREADS):
        y = _i32(k // gw)
        m = _i32((y + 2) * stride + k - y * gw + 2)
        d = u0 + m
        w, e, n, s = _at(u, d - 1), _at(u, d + 1), _at(u, d - stride), _at(u, d + stride)
        put(b, slopes + m, np.uint8(_log(abs(_i32(e - w)))))
        put(b, slopes + size + m, np.uint8(_log(abs(_i32(s - n)))))
        put(b, slopes + 2 * size + m, np.uint8(_log(abs(_i32(4 * _at(u, d) - w - e - n - s)))))
        falling = abs(_i32(_at(u, d + stride + 1) - _at(u, d - stride - 1)))
        rising = abs(_i32(_at(u, d + stride - 1) - _at(u, d - stride + 1)))
        put(b, slopes + 3 * size + m, np.uint8(_log(max(falling, rising))))
    _cuda.syncthreads()


@device_function
def _decode_ranks(ranks, k0, b, e0, gh, gw, rank_max, coded, model, network, units, shared):
    """The active ranks, from `k0` on; from `e0` on b has the magnitudes of residuals and then the slopes."""
    rows, symbols, values, _, levels, states, counters, sums = shared
    starts = model[4]
    stride, thread = _i32(gw + 4), _i32(_cuda.threadIdx.x)
    size = _i64((gh + 3) * stride)
    _load(model, RANKS, 0, network)
    top = _log(_i32(rank_max - 1))
    total, count, known = _i64(0), _i64(0), _i64(sums[_TOTAL])
    for t in range(gw + 2 * gh - 2):
        begin, end = _wave(_i32(t), gh, gw)
        mean = _mean_of(total, count)
        for first in range(begin, end, RUN):
            length = min(_i32(RUN), _i32(end - first))
            for i in range(thread, length, _THREADS):
                y = _i32(first + i)
                m = _i32((y + 2) * stride + t - 2 * y + 2)
                k, e = k0 + m, e0 + m
                _begin(network, units)
                _feed(network, units, 0, _log(_at(ranks, k - 1)))
                _feed(network, units, 1, _log(_at(ranks, k - stride)))
                _feed(network, units, 2, _log(_at(ranks, k - stride - 1)))
                _feed(network, units, 3, _log(_at(ranks, k - stride + 1)))
                _feed(network, units, 4, _log(_at(ranks, k - 2)))
                _feed(network, units, 5, _log(_at(ranks, k - 2 * stride)))
                for j in range(4):
                    _feed(network, units, 6 + j, _at(b, e + (j + 1) * size))
                _feed(network, units, 10, _at(b, e))
                _feed(network, units, 11, _at(b, e + 1))
                _feed(network, units, 12, mean)
                _feed(network, units, 13, top)
                rows[i] = RANKS * _ROWS_PER_NET + _level(network, units)
            _cuda.syncthreads()
            if thread < _WARP:
                _decode(coded, starts, rows, length, symbols, states, counters)
                some = _i32(0)
                for start in range(0, length, _WARP):
                    i = _i32(start + thread)
                    symbol = _i32(symbols[i]) if i < length else _i32(0)
                    width = _i32(_COARSE_BITS[symbol])
                    votes = ballot(width != 0)
                    if i < length:
                        values[i], levels[i] = _COARSE_STARTS[symbol], width
                    if width != 0:
                        rows[_i32(some + _before(votes, thread))] = PLACE_ROWS + symbol
                    some = _i32(some + _all(votes))
                meet()
                _decode(coded, starts, rows, some, symbols, states, counters)
                some, position = _i32(0), _i64(counters[_BIT])
                for start in range(0, length, _WARP):
                    i = _i32(start + thread)
                    width = _i32(levels[i]) if i < length else _i32(0)
                    votes = ballot(width != 0)
                    low = max(_i32(width - PLACE_BITS), _i32(0))
                    rest, position = _share(coded, thread, position, low)
                    if width != 0:
                        place = _i32(symbols[_i32(some + _before(votes, thread))])
                        values[i] = _i32(values[i] + _i32(_i32(place << low) | rest))
                    some = _i32(some + _all(votes))
                if thread == 0:
                    counters[_BIT] = position
                meet()
            _cuda.syncthreads()
            mine = _i64(0)
            for i in range(thread, length, _THREADS):
                y = _i32(first + i)
                rank = min(_i32(values[i]), _i32(rank_max - 1))
                put(ranks, k0 + (y + 2) * stride + t - 2 * y + 2, rank)
                mine += rank
            _cuda.atomic.add(sums, _TOTAL, mine)
            _cuda.syncthreads()
        total, count, known = _taken(total, count, known, _i64(sums[_TOTAL]), _i64(end - begin))


# ---- components from 1 on --------------------------------------------------------------------------------------------


@device_function
def _beside(b, at):
    return _i32(_i32(_at(b, at - 1) + _at(b, at + 1)) >> 1)


@device_function
def _along(b, at, stride):
    return _i32(_i32(_at(b, at - stride) + _at(b, at + stride)) >> 1)


@device_function
def _component_level(which, r, m, b, images, family, f0, ranks, k0, gh, gw, network, units):
    """The level of component r of a patch at m; `images` are where slopes, sums and seen magnitudes begin in b."""
    slopes, sums, seen = images
    stride = _i32(gw + 4)
    size = _i64((gh + 3) * stride)
    own = seen + r * size + m
    _begin(network, units)
    for k in range(2):
        one = seen + _at(family, f0 + k) * size + m
        _feed(network, units, 3 * k, _at(b, one))
        _feed(network, units, 3 * k + 1, _beside(b, one))
        _feed(network, units, 3 * k + 2, _along(b, one, stride))
    at = sums + m
    around = _i32(_at(b, at - 1) + _at(b, at + 1) + _at(b, at - stride) + _at(b, at + stride))
    _feed(network, units, 6, _at(b, at))
    _feed(network, units, 7, _i32(around >> 2))
    for k in range(3):
        one = seen + _at(family, f0 + 2 + k) * size + m
        _feed(network, units, 8 + k, _at(b, one))
        if k < 2:
            _feed(network, units, 11 + k, _i32(_i32(_beside(b, one) + _along(b, one, stride)) >> 1))
    for k in range(2):
        _feed(network, units, 13 + k, _at(b, seen + _at(family, f0 + 5 + k) * size + m))
    if which == 1:
        _feed(network, units, 15, _beside(b, own))
        _feed(network, units, 16, _along(b, own, stride))
    for k in range(3):
        _feed(network, units, 17 + k, _at(b, slopes + k * size + m))
    rank, above, reach = _at(ranks, k0 + m), _i32(0), _i32(0)
    for k in range(4):
        move = _i32(1 if k < 2 else stride)
        other = _i32(_at(ranks, k0 + m + (move if k & 1 else -move)) - r + 1)
        if other > 0:
            above, reach = _i32(above + other), _i32(reach + 32)
    _feed(network, units, 20, _log(_i32(rank - r)))
    _feed(network, units, 21, _log(above))
    _feed(network, units, 22, reach)
    _feed(network, units, 23, _log(rank))
    return _level(network, units)


@device_function
def _list_active(lists, line0, ranks, k0, gh, gw, counters):
    """The padded positions of patches whose rank is not zero: of either colour, from `line0` and `line0 + gh gw` on."""
    stride, lane, patches = _i32(gw + 4), _i32(_cuda.threadIdx.x), _i32(gh * gw)
    even, odd = _i32(0), _i32(0)
    for first in range(0, patches, _WARP):
        k = _i32(first + lane)
        m, which = _i32(0), _i32(2)
        if k < patches:
            y = _i32(k // gw)
            x = _i32(k - y * gw)
            m = _i32((y + 2) * stride + x + 2)
            if _at(ranks, k0 + m) > 0:
                which = _i32((x + y) & 1)
        votes, others = ballot(which == 0), ballot(which == 1)
        if which == 0:
            put(lists, line0 + even + _before(votes, lane), m)
        if which == 1:
            put(lists, line0 + patches + odd + _before(others, lane), m)
        even, odd = _i32(even + _all(votes)), _i32(odd + _all(others))
    if lane == 0:
        counters[_BIT + 1], counters[_BIT + 2] = even, odd


@device_function
def _shorten(lists, line, count, ranks, k0, r):
    """Keep the positions of a list whose rank is at least r; return their number."""
    lane, kept = _i32(_cuda.threadIdx.x), _i32(0)
    for first in range(0, count, _WARP):
        i, m, stays = _i32(first + lane), _i32(0), False
        if i < count:
            m = _at(lists, line + i)
            stays = _at(ranks, k0 + m) >= r
        votes = ballot(stays)
        if stays:
            put(lists, line + kept + _before(votes, lane), m)
        kept = _i32(kept + _all(votes))
    return kept


@device_function
def _decode_component(
    which, r, row0, line, count, u, u0, b, images, totals, lists, ranks, k0, family, f0, grid, coded, starts, network,
    units, shared,
):  # fmt: skip
    """Component r at the positions of a list; totals are of magnitudes, from their place on in `lists`."""
    rows, symbols, values, kept, levels, states, counters, sums = shared
    gh, gw = grid
    _, images_sums, seen = images
    thread, stride = _i32(_cuda.threadIdx.x), _i32(gw + 4)
    size = _i64((gh + 3) * stride)
    kind = _at(family, f0 + 13)
    move = _i32(1) if _at(family, f0 + 14) == 1 else stride
    for first in range(0, count, RUN):
        length = min(_i32(RUN), _i32(count - first))
        for i in range(thread, length, _THREADS):
            m = _at(lists, line + first + i)
            level = _component_level(which, r, m, b, images, family, f0, ranks, k0, gh, gw, network, units)
            rows[i] = row0 + level + (LEVELS if _at(ranks, k0 + m) == r else 0)
            slope = _i32(0)
            if kind >= 0:
                slope = _i32(_at(u, u0 + m + move) - _at(u, u0 + m - move))
            kept[i], levels[i] = m, _difference_level(slope)
        _cuda.syncthreads()
        if thread < _WARP:
            _decode(coded, starts, rows, length, symbols, states, counters)
            _values(coded, symbols, length, _FINE_STARTS, _FINE_BITS, values, counters)
            some, position = _i32(0), _i64(counters[_BIT])
            for start in range(0, length, _WARP):
                i = _i32(start + thread)
                a = min(_i32(values[i]), _i32(MAGNITUDE_LIMIT)) if i < length else _i32(0)
                votes = ballot(a != 0)
                if kind < 0:
                    negative, position = _share(coded, thread, position, _i32(1 if a != 0 else 0))
                    if i < length:
                        values[i] = _i32(-a) if negative == 1 else a
                elif i < length:
                    values[i] = a
                    if a != 0:
                        row = SIGN_ROWS + kind * (DIFFERENCES + 1) + abs(_i32(levels[i]))
                        rows[_i32(some + _before(votes, thread))] = row
                some = _i32(some + _all(votes))
            if thread == 0:
                counters[_BIT] = position
            meet()
            if kind >= 0:
                _decode(coded, starts, rows, some, symbols, states, counters)
                some = _i32(0)
                for start in range(0, length, _WARP):
                    i = _i32(start + thread)
                    a = _i32(values[i]) if i < length else _i32(0)
                    votes = ballot(a != 0)
                    if a != 0:
                        against = symbols[_i32(some + _before(votes, thread))] == 1
                        if against != (levels[i] < 0):
                            values[i] = -a
                    some = _i32(some + _all(votes))
        _cuda.syncthreads()
        mine = _i64(0)
        for i in range(thread, length, _THREADS):
            m, value = _i32(kept[i]), _i32(values[i])
            a = abs(value)
            put(u, u0 + r * size + m, np.int16(value))
            put(b, seen + r * size + m, np.uint8(_log(a)))
            sum_ = min(_i32(_at(lists, totals + m) + a), _i32(LOG_LIMIT))
            put(lists, totals + m, sum_)
            put(b, images_sums + m, np.uint8(_log(sum_)))
            mine += a
        _cuda.atomic.add(sums, _TOTAL, mine)
        _cuda.syncthreads()


@kernel(
    "void(uint8[::1], int64[:,::1], int16[::1], int32[::1], uint8[::1], int32[::1], int32[::1], int16[:,:,::1], "
    "int32[:,::1], int16[:,::1], int32[::1], int32[:,::1], int32[:,::1])"
)
def _decode_segments(
    data, table, u, ranks, b, lists, overruns, weights_1, biases_1, weights_2, biases_2, starts, family
):  # fmt: skip
    rows = _cuda.shared.array(RUN, np.int32)
    symbols = _cuda.shared.array(RUN, np.int32)
    values = _cuda.shared.array(RUN, np.int32)
    kept = _cuda.shared.array(RUN, np.int32)
    levels = _cuda.shared.array(RUN, np.int32)
    states = _cuda.shared.array(32, np.int64)
    counters = _cuda.shared.array(5, np.int64)
    sums = _cuda.shared.array(3, np.int64)
    weights = _cuda.shared.array(_WEIGHTS, np.int32)
    hidden = _cuda.shared.array(HIDDEN, np.int32)
    second = _cuda.shared.array(_SECOND, np.int32)
    steady = _cuda.shared.array(_STEADY, np.int32)
    units = _cuda.local.array(HIDDEN, np.int32)
    thread, n = _i32(_cuda.threadIdx.x), _i64(_cuda.blockIdx.x)
    gh, gw, rank_max = _i32(table[n, _HEIGHT]), _i32(table[n, _WIDTH]), _i32(table[n, _RANK_MAX])
    u0, k0, e0, line0 = table[n, _U], table[n, _K], table[n, _BYTES], table[n, _INTEGERS]
    stride, patches = _i32(gw + 4), _i32(gh * gw)
    size = _i64((gh + 3) * stride)
    end, bits = table[n, _END], table[n, _BITS]
    coded = data, _i32(table[n, _MASK]), table[n, _WORDS], table[n, _COUNT], bits, end - bits
    model = weights_1, biases_1, weights_2, biases_2, starts, family
    network, shared = (weights, hidden, second, steady), (rows, symbols, values, kept, levels, states, counters, sums)
    slopes, images_sums, seen, totals = e0 + size, e0 + 5 * size, e0 + _IMAGES * size, line0 + 2 * patches
    for k in range(thread, rank_max * size, _THREADS):
        put(u, u0 + k, np.int16(0))
    for k in range(thread, (rank_max + _IMAGES) * size, _THREADS):
        put(b, e0 + k, np.uint8(0))
    for k in range(thread, size, _THREADS):
        put(ranks, k0 + k, _i32(0))
        put(lists, totals + k, _i32(0))
    for k in range(thread, table[n, _MASK] + 1, _THREADS):
        state = _i64(0)
        for j in range(4):
            at = table[n, _STATES] + 4 * k + j
            if at < end:
                state |= _i64(_at(data, at)) << (8 * j)
        states[k] = state
    for k in range(thread, 3, _THREADS):
        sums[k] = counters[k] = 0
    _cuda.syncthreads()
    _decode_first(u, u0, b, e0, gh, gw, coded, model, network, units, shared)
    if rank_max > 1:
        _find_slopes(u, u0, b, slopes, gh, gw)
        _decode_ranks(ranks, k0, b, e0, gh, gw, rank_max, coded, model, network, units, shared)
        if thread < _WARP:
            _list_active(lists, line0, ranks, k0, gh, gw, counters)
        all_ranks, steep = _i64(0), _i64(0)
        for k in range(thread, patches, _THREADS):
            y = _i32(k // gw)
            m = _i64((y + 2) * stride + k - y * gw + 2)
            rank = _at(ranks, k0 + m)
            if rank > 0:
                all_ranks += rank
                steep += _at(b, slopes + m) + _at(b, slopes + size + m)
        _cuda.atomic.add(sums, _ALL_RANKS, all_ranks)
        _cuda.atomic.add(sums, _STEEP, steep)
        _cuda.syncthreads()
        even, odd = _i32(counters[_BIT + 1]), _i32(counters[_BIT + 2])
        mean_rank = _mean_of(_i64(sums[_ALL_RANKS]), _i64(patches))
        mean_slope = _log(_i32(_i64(sums[_STEEP]) // max(_i64(even + odd), _i64(1))))
        total, count, known = _i64(0), _i64(0), _i64(sums[_TOTAL])
        for r in range(1, rank_max):
            if thread < _WARP:
                even = _shorten(lists, line0, even, ranks, k0, r)
                odd = _shorten(lists, line0 + patches, odd, ranks, k0, r)
                if thread == 0:
                    counters[_BIT + 1], counters[_BIT + 2] = even, odd
            _cuda.syncthreads()
            even, odd = _i32(counters[_BIT + 1]), _i32(counters[_BIT + 2])
            if even + odd == 0 or counters[_WORD] > coded[3] or counters[_BIT] > 8 * coded[5]:
                break
            f0 = (table[n, _COMPONENTS] + r) * _FAMILY
            for which in range(2):
                length = even if which == 0 else odd
                if length > 0:
                    if thread == 0:
                        for k in range(5):
                            steady[k] = _at(family, f0 + 7 + k)
                        steady[5], steady[6], steady[7] = _mean_of(total, count), mean_rank, mean_slope
                    net = _i32(GROUPS + 2 * _at(family, f0 + 12) + which)
                    _load(model, net, INPUTS - STEADY, network)
                    _decode_component(
                        _i32(which), _i32(r), _i32(net * _ROWS_PER_NET), line0 + which * patches, length, u, u0, b,
                        (slopes, images_sums, seen), totals, lists, ranks, k0, family, f0, (gh, gw), coded, starts,
                        network, units, shared,
                    )  # fmt: skip
                    total, count, known = _taken(total, count, known, _i64(sums[_TOTAL]), _i64(length))
    if thread == 0:
        overruns[n] = 1 if counters[_WORD] > coded[3] or counters[_BIT] > 8 * coded[5] else 0


# ---- launcher --------------------------------------------------------------------------------------------------------


def _rank_max(segment: Segment) -> int:
    return min(segment.data[0] + 1, segment.patch_size**2) if segment.data else 1


def decode_stack(groups: Sequence[Sequence[Segment]], run: Run, name: str) -> Decoded:
    """Decode segments, each as :func:`imfnb.entropy.rans.reference.decode_factors` does, by one launch.

    Parameters
    ----------
    groups : sequence of sequence of Segment
        The segments; those of a group have one grid and patch size.
    run : Run
        Where to work; it runs on the GPU.
    name : str
        Prefix of the names of the memory.

    Returns
    -------
    Decoded
        U, the active ranks and who has ended too early, queued on the stream of the task at work.
    """
    table = np.zeros((sum(map(len, groups)), _FIELDS), np.int64)
    parts: list[bytes] = []
    shapes: list[tuple[int, int, int, int, int]] = []
    sizes = sorted({segment.patch_size for group in groups for segment in group})
    family = {p: sum(other * other for other in sizes if other < p) for p in sizes}
    n = start = u = k = b = integers = 0
    for group in groups:
        (gh, gw), p = group[0].grid, group[0].patch_size
        size, rank_max = padded_size(gh, gw)[0], max(map(_rank_max, group))
        u = -(-u // _ALIGNMENT) * _ALIGNMENT
        k = -(-k // _ALIGNMENT) * _ALIGNMENT
        shapes.append((u, k, len(group), rank_max, size))
        for segment in group:
            rest, own = segment.data[1:], _rank_max(segment)
            lanes, states, words, count = places(rest)
            table[n] = (
                *(start + states, start + len(rest), (1 << lanes) - 1, start + words, count, start + words + 2 * count),
                *(gh, gw, own, u, k, b, integers, family[p]),
            )
            parts.append(rest)
            n, start, u, k = n + 1, start + len(rest), u + rank_max * size, k + size
            b, integers = b + (own + _IMAGES) * size, integers + 2 * gh * gw + size
    model = kernel_model()
    data = np.frombuffer(b"".join(parts) or b"\0", np.uint8)
    entries, ranks = run.array(f"{name}u", (u,), np.int16), run.array(f"{name}ends", (k,), np.int32)
    scratch = run.array(f"{name}bytes", (b,), np.uint8), run.array(f"{name}integers", (integers,), np.int32)
    overruns = run.array(f"{name}overruns", (n,), np.int32)
    rows = model.starts.view(np.int32)
    second = np.ascontiguousarray(model.pairs_2).view(np.int16)
    numbers = {"weights": model.weights_1, "biases": model.biases_1, "second": second, "last": model.biases_2}
    known = [run.constant(f"{name}{what}", array) for what, array in numbers.items()]
    known.append(run.constant(f"{name}rows", rows))
    known.append(run.constant(f"{name}components", np.concatenate([components(p) for p in sizes])))
    coded = run.constant(f"{name}data", data), run.constant(f"{name}table", table)
    _decode_segments[n, _THREADS, stream()](*coded, entries, ranks, *scratch, overruns, *known)
    stacks = [
        (
            entries[u : u + count * rank_max * size].reshape(count, rank_max, size),
            ranks[k : k + count * size].reshape(count, size),
        )
        for u, k, count, rank_max, size in shapes
    ]
    return Decoded(stacks, overruns)
