"""The coder of U in parallel lanes, compiled for the CPU; `reference` is its definition and proves the ranges.

Symbols of a pass go by runs: what their networks see, two inputs to a word; the levels of all of them; then the
symbols, of which those of several lanes are in the processor at a time; at last what they stand for.

Safety in decoding: the work is bounded by grid and rank_max, a magnitude by the escape's exponent; every index comes
from clamped quantities, never from bytes directly; reads beyond the data give zeros and set the sticky flag.
"""

from __future__ import annotations

import numpy as np

from ...format.context_model import FIRST_LIMIT
from ...format.rans_model import (
    COARSE_BITS,
    COARSE_STARTS,
    DIFFERENCES,
    ESCAPE_BITS,
    FEW_INPUTS,
    FINE_BITS,
    FINE_STARTS,
    FIRST,
    GROUPS,
    HIDDEN,
    INPUTS,
    LEVELS,
    LOG,
    LOG_LIMIT,
    MAGNITUDE_LIMIT,
    MAGNITUDES,
    MEAN_LIMIT,
    PLACE_BITS,
    RANKS,
    RUN,
    SIGN_SHIFT,
    STEADY,
    SYMBOLS,
)
from ...runtime.jit import kernel
from ..cpu import _median_edge
from ..layout import DECODE, ENCODE, padded_size
from .lanes import BIT, OVERRUN, WORD, beyond, code, finish, raw
from .model import FIRST_SIGN_ROWS, PLACE_ROWS, SIGN_ROWS, components, kernel_model
from .reference import opened
from .simd import levels

__all__ = ["decode_factors", "encode_factors"]

_LOG = LOG.astype(np.uint8)
_COARSE_STARTS, _FINE_STARTS = np.array(COARSE_STARTS, np.int32), np.array(FINE_STARTS, np.int32)
_COARSE_BITS, _FINE_BITS = np.array(COARSE_BITS, np.int32), np.array(FINE_BITS, np.int32)
# Symbol of every value below the last range.
_COARSE_SYMBOLS, _FINE_SYMBOLS = (
    (np.searchsorted(np.array(starts), np.arange(starts[-1] + 1), side="right") - 1).astype(np.uint8)
    for starts in (COARSE_STARTS, FINE_STARTS)
)

_ROWS_PER_NET = 2 * LEVELS

_jit = kernel(error_model="numpy")
_inline = kernel(error_model="numpy", forceinline=True)


@_inline
def _at(array, index):
    """An entry, of which the index is known not to be negative."""
    return np.int64(array[np.uint64(index)])


@_inline
def _log(value):
    return np.int64(_LOG[np.uint64(min(value, LOG_LIMIT))])


# ---- symbols and raw bits --------------------------------------------------------------------------------------------


@_jit
def _expand_far(mode, count, symbols, values, starts, widths, counters, bits):
    """`_expand` where a value may be beyond the last range."""
    for i in range(count):
        symbol = _at(symbols, i)
        start = _at(starts, symbol)
        if symbol == SYMBOLS - 1:
            values[i] = start + beyond(mode, ESCAPE_BITS, values[i] - start, counters, bits)
        else:
            values[i] = start + raw(mode, _at(widths, symbol), values[i] - start, counters, bits)


@_inline
def _expand(mode, count, symbols, values, starts, widths, counters, bits):
    """Code which values of the ranges of their symbols they are.

    Where no symbol of a run is the last one nothing here calls a function, and no array is counted in and out for
    every value, which took two fifths of the time of component 0.
    """
    largest = np.int64(0)
    for i in range(count):
        largest = max(largest, np.int64(symbols[i]))
    if largest == SYMBOLS - 1:
        _expand_far(mode, count, symbols, values, starts, widths, counters, bits)
    elif widths[largest] == 0:  # all ranges up to here are of one value
        for i in range(count):
            values[i] = _at(starts, symbols[i])
    else:
        for i in range(count):
            start, width = _at(starts, symbols[i]), _at(widths, symbols[i])
            values[i] = start + raw(mode, width, values[i] - start, counters, bits) if width else start


# ---- networks --------------------------------------------------------------------------------------------------------


@_inline
def _rows_of(net, words, count, length, biases, model, rows):
    """Rows of the tables of some symbols: the levels of their network, of which the first `count` words are inputs."""
    pairs_1, _, _, pairs_2, biases_2, _, _ = model
    whole = (length + 15) & -16
    last = np.int64(biases_2[net])
    levels(words, np.int64(net), pairs_1, biases, pairs_2, last, np.int64(count), np.int64(whole), rows)
    start = net * _ROWS_PER_NET
    for i in range(length):
        rows[i] += start


@_inline
def _in(array, row, index):
    """An entry of a row; a view of the row would be counted in and out."""
    return np.int64(array[np.uint64(row), np.uint64(index)])


@_inline
def _mean(mean):
    """What networks see of a mean, which is a total and a count."""
    return _log(16 * mean[0] // max(mean[1], 1))


@_inline
def _add(mean, total, count):
    """Take a pass into a mean."""
    if mean[1] >= MEAN_LIMIT:
        mean[0] >>= 1
        mean[1] >>= 1
    mean[0] += total
    mean[1] += count


@_inline
def _difference_level(value):
    level = min((_log(abs(value)) + SIGN_SHIFT) >> SIGN_SHIFT, DIFFERENCES)
    return -level if value < 0 else level


# ---- component 0 and ranks -------------------------------------------------------------------------------------------


@_inline
def _around(D, m, y, stride):
    """Component 0 around a patch, and what another prediction is above that of the median edge detector."""
    w, ww = _at(D, m - 1), _at(D, m - 2)
    if y:
        n, nw, ne = _at(D, m - stride), _at(D, m - stride - 1), _at(D, m - stride + 1)
        nn = _at(D, m - 2 * stride) if y > 1 else n
    else:
        n = nw = ne = nn = w
    guess = _median_edge(w, n, nw)
    blend = 3 * (w + n) + ne - nw + ((w - ww + n - nn) >> 1) - 6 * guess
    return w, n, nw, ne, ww, nn, guess, blend


@_jit
def _code_first(mode, D, E, gh, gw, stride, io, model, scratch):
    """Code component 0 along the wave front; E (uint8, padded) gets what networks see of its residuals."""
    counters, states, stream, log, bits = io
    words, rows, symbols, marks, guesses, blends, values, chosen, _ = scratch
    _, _, biases_1, _, _, starts, slots = model
    biases = biases_1[FIRST]
    magnitudes = np.zeros(2, np.int64)
    D[2 * stride] = D[2 * stride + 1] = 0
    for t in range(gw + 2 * gh - 2):
        begin, end = max(0, (t - gw + 2) // 2), min(t // 2 + 1, gh)
        mean, total = _mean(magnitudes), np.int64(0)
        for first in range(begin, end, RUN):
            count = min(RUN, end - first)
            for i in range(count):
                y = first + i
                x = t - 2 * y
                m = (y + 2) * stride + x + 2
                if x == 0 and y > 0:
                    D[m - 1] = D[m - 2] = D[m - stride]
                w, n, nw, ne, ww, nn, guess, blend = _around(D, m, y, stride)
                words[0, i] = _log(abs(w - nw)) | _log(abs(n - nw)) << 16
                words[1, i] = _log(abs(ne - n)) | _log(abs(w - ww)) << 16
                words[2, i] = _log(abs(n - nn)) | _log(abs(blend)) << 16
                words[3, i] = _log(abs(ne - w)) | _at(E, m - 1) << 16
                words[4, i] = _at(E, m - stride) | _at(E, m - stride - 1) << 16
                words[5, i] = _at(E, m - stride + 1) | _at(E, m - 2) << 16
                words[6, i] = _at(E, m - 2 * stride) | mean << 16
                guesses[i], blends[i] = guess, _difference_level(blend)
                if mode == ENCODE:
                    values[i] = abs(D[m] - guess)
                    symbols[i] = _COARSE_SYMBOLS[min(values[i], COARSE_STARTS[-1])]
            _rows_of(FIRST, words, FEW_INPUTS // 2, count, biases, model, rows)
            code(mode, rows, count, symbols, counters, states, stream, log, starts, slots)
            _expand(mode, count, symbols, values, _COARSE_STARTS, _COARSE_BITS, counters, bits)
            some = 0
            for i in range(count):
                y = first + i
                m = (y + 2) * stride + t - 2 * y + 2
                a = values[i]
                E[m] = _log(a)
                total += min(a, MAGNITUDE_LIMIT)
                level = min(_log(a) >> SIGN_SHIFT, MAGNITUDES)
                rows[some] = FIRST_SIGN_ROWS + (blends[i] + DIFFERENCES) * (MAGNITUDES + 1) + level
                marks[some] = 1 if mode == ENCODE and D[m] < guesses[i] else 0
                chosen[some] = i
                some += 1 if a else 0
            code(mode, rows, some, marks, counters, states, stream, log, starts, slots)
            for k in range(some):
                i = chosen[k]
                values[i] = -values[i] if marks[k] else values[i]
            for i in range(count):
                y = first + i
                x = t - 2 * y
                m = (y + 2) * stride + x + 2
                D[m] = min(max(guesses[i] + values[i], -FIRST_LIMIT), FIRST_LIMIT)
                if x == gw - 1:
                    D[m + 1] = D[m + 2] = D[m]
                if t == 0:
                    D[m - 1] = D[m - 2] = D[m]
        _add(magnitudes, total, end - begin)
    for m in range((gh + 2) * stride, (gh + 3) * stride):
        D[m] = D[m - stride]
    for m in range(stride, 2 * stride):
        D[m] = D[m + stride]


@_jit
def _slopes_of(D, gh, gw, stride):
    """What networks see of component 0 around every patch, uint8 (4, size)."""
    out = np.zeros((4, D.size), np.uint8)
    for y in range(gh):
        for x in range(gw):
            m = (y + 2) * stride + x + 2
            w, e, n, s = _at(D, m - 1), _at(D, m + 1), _at(D, m - stride), _at(D, m + stride)
            out[0, m] = _log(abs(e - w))
            out[1, m] = _log(abs(s - n))
            out[2, m] = _log(abs(4 * _at(D, m) - w - e - n - s))
            falling = abs(_at(D, m + stride + 1) - _at(D, m - stride - 1))
            out[3, m] = _log(max(falling, abs(_at(D, m + stride - 1) - _at(D, m - stride + 1))))
    return out


@_jit
def _code_ranks(mode, K, E, slopes, gh, gw, stride, rank_max, io, model, scratch):
    """Code the active ranks along the wave front. K is int32, padded, 0 .. rank_max - 1."""
    counters, states, stream, log, bits = io
    words, rows, symbols, _, values, shifts, rests, chosen, _ = scratch
    _, _, biases_1, _, _, starts, slots = model
    biases = biases_1[RANKS]
    magnitudes, top = np.zeros(2, np.int64), _log(np.int64(rank_max - 1))
    for t in range(gw + 2 * gh - 2):
        begin, end = max(0, (t - gw + 2) // 2), min(t // 2 + 1, gh)
        mean, total = _mean(magnitudes), np.int64(0)
        for first in range(begin, end, RUN):
            count = min(RUN, end - first)
            for i in range(count):
                y = first + i
                m = (y + 2) * stride + t - 2 * y + 2
                words[0, i] = _log(_at(K, m - 1)) | _log(_at(K, m - stride)) << 16
                words[1, i] = _log(_at(K, m - stride - 1)) | _log(_at(K, m - stride + 1)) << 16
                words[2, i] = _log(_at(K, m - 2)) | _log(_at(K, m - 2 * stride)) << 16
                words[3, i] = _in(slopes, 0, m) | _in(slopes, 1, m) << 16
                words[4, i] = _in(slopes, 2, m) | _in(slopes, 3, m) << 16
                words[5, i] = _at(E, m) | _at(E, m + 1) << 16
                words[6, i] = mean | top << 16
                if mode == ENCODE:
                    symbols[i] = _COARSE_SYMBOLS[min(K[m], COARSE_STARTS[-1])]
            _rows_of(RANKS, words, FEW_INPUTS // 2, count, biases, model, rows)
            code(mode, rows, count, symbols, counters, states, stream, log, starts, slots)
            some = 0
            for i in range(count):
                y = first + i
                m = (y + 2) * stride + t - 2 * y + 2
                symbol = _at(symbols, i)
                start, width = _at(_COARSE_STARTS, symbol), _at(_COARSE_BITS, symbol)
                values[i], shifts[i], rests[i] = start, 0, np.int64(K[m]) - start
                if width:
                    rows[some] = PLACE_ROWS + symbol
                    chosen[some] = i
                    shifts[i] = max(width - PLACE_BITS, 0)
                    some += 1
            for k in range(some):
                i = chosen[k]
                symbols[k] = rests[i] >> shifts[i]
            code(mode, rows, some, symbols, counters, states, stream, log, starts, slots)
            for k in range(some):
                i = chosen[k]
                low = shifts[i]
                rest = raw(mode, low, rests[i] & ((np.int64(1) << low) - 1), counters, bits)
                values[i] += np.int64(symbols[k]) << low | rest
            for i in range(count):
                y = first + i
                m = (y + 2) * stride + t - 2 * y + 2
                K[m] = min(values[i], rank_max - 1)
                total += K[m]
        _add(magnitudes, total, end - begin)


# ---- components from 1 on --------------------------------------------------------------------------------------------


@_inline
def _component_inputs(r, active, first, count, seen, beside, relatives, sums, slopes, K, stride, scratch):
    """What networks see of component r, two inputs to a word; `relatives` are the numbers of those that count.

    `beside` (uint8, (2, R, size)) has the means of the neighbours to the sides and of those above and below of the
    components before r - 1, where these are active, and gets those of that one; `excluded` in the scratch gets where
    tables without zero begin. Each loop has few arrays, so that their addresses stay in registers.
    """
    words, _, _, _, _, _, _, excluded, _ = scratch
    one, two, p1, p2, p3 = relatives[0], relatives[1], relatives[2], relatives[3], relatives[4]
    up, back = relatives[5], relatives[6]
    for i in range(count):
        m = np.int64(active[np.uint64(first + i)])
        x = (_in(seen, p1, m - 1) + _in(seen, p1, m + 1)) >> 1
        y = (_in(seen, p1, m - stride) + _in(seen, p1, m + stride)) >> 1
        beside[0, np.uint64(p1), np.uint64(m)], beside[1, np.uint64(p1), np.uint64(m)] = x, y
        words[4, i] = _in(seen, p1, m) | _in(seen, p2, m) << 16
        words[5, i] = _in(seen, p3, m) | (x + y) >> 1 << 16
        around = np.int64(beside[0, np.uint64(p2), np.uint64(m)]) + beside[1, np.uint64(p2), np.uint64(m)]
        words[6, i] = around >> 1 | _in(seen, up, m) << 16
    for i in range(count):
        m = np.uint64(active[np.uint64(first + i)])
        words[0, i] = _in(seen, one, m) | np.int64(beside[0, np.uint64(one), m]) << 16
        words[1, i] = beside[1, np.uint64(one), m] | _in(seen, two, m) << 16
        words[2, i] = beside[0, np.uint64(two), m] | np.int64(beside[1, np.uint64(two), m]) << 16
    for i in range(count):
        m = np.int64(active[np.uint64(first + i)])
        around = _at(sums, m - 1) + _at(sums, m + 1) + _at(sums, m - stride) + _at(sums, m + stride)
        words[3, i] = _at(sums, m) | around >> 2 << 16
    for i in range(count):
        m = np.int64(active[np.uint64(first + i)])
        x = (_in(seen, r, m - 1) + _in(seen, r, m + 1)) >> 1
        y = (_in(seen, r, m - stride) + _in(seen, r, m + stride)) >> 1
        words[7, i] = _in(seen, back, m) | x << 16
        words[8, i] = y | _in(slopes, 0, m) << 16
        words[9, i] = _in(slopes, 1, m) | _in(slopes, 2, m) << 16
    for i in range(count):
        m = np.int64(active[np.uint64(first + i)])
        a, b, c, d = (
            _at(K, m - 1) - r + 1,
            _at(K, m + 1) - r + 1,
            _at(K, m - stride) - r + 1,
            _at(K, m + stride) - r + 1,
        )
        above = max(a, 0) + max(b, 0) + max(c, 0) + max(d, 0)
        reach = (1 if a > 0 else 0) + (1 if b > 0 else 0) + (1 if c > 0 else 0) + (1 if d > 0 else 0)
        rank = _at(K, m)
        words[10, i] = _at(_LOG, rank - r) | _at(_LOG, above) << 16
        words[11, i] = reach << 5 | _at(_LOG, rank) << 16
        excluded[i] = LEVELS if rank == r else 0


@_inline
def _code_component(
    mode,
    r,
    net,
    active,
    count,
    U,
    K,
    seen,
    beside,
    totals,
    sums,
    slopes,
    relatives,
    steady,
    magnitudes,
    stride,
    io,
    model,
    scratch,
    signed,
):
    """Code component r at the active positions of a pass; signed: kind of the contexts of signs and move, or -1."""
    counters, states, stream, log, bits = io
    words, rows, symbols, _, values, positions, signed_values, excluded, biases = scratch
    _, weights_1, biases_1, _, _, starts, slots = model
    for k in range(HIDDEN):
        total = np.int64(biases_1[net, k])
        for j in range(STEADY, INPUTS):
            total += steady[j - STEADY] * np.int64(weights_1[net, j, k])
        biases[k] = total
    row = np.uint64(r)
    kind, move = signed
    total = np.int64(0)
    for first in range(0, count, RUN):
        length = min(RUN, count - first)
        _component_inputs(r, active, first, length, seen, beside, relatives, sums, slopes, K, stride, scratch)
        if mode == ENCODE:
            for i in range(length):
                values[i] = abs(_in(U, row, active[np.uint64(first + i)]))
                symbols[i] = _FINE_SYMBOLS[min(values[i], FINE_STARTS[-1])]
        _rows_of(net, words, STEADY // 2, length, biases, model, rows)
        for i in range(length):
            rows[i] += excluded[i]
        code(mode, rows, length, symbols, counters, states, stream, log, starts, slots)
        _expand(mode, length, symbols, values, _FINE_STARTS, _FINE_BITS, counters, bits)
        position, last, plain = counters[BIT], bits.size - 4, 1 if kind < 0 else 0
        for i in range(length):
            m = np.uint64(active[np.uint64(first + i)])
            a = min(values[i], MAGNITUDE_LIMIT)
            seen[row, m] = _log(a)
            together = min(np.int64(totals[m]) + a, LOG_LIMIT)
            totals[m] = together
            sums[m] = _log(together)
            total += a
            some, place = plain if a else 0, np.uint64(min(position >> 3, last))
            if mode == DECODE:
                sign = (np.int64(bits[place]) >> (position & 7)) & some
                U[row, np.uint64(m)] = (a ^ -sign) + sign
            elif some and U[row, np.uint64(m)] < 0:
                bits[place] |= np.uint8(1 << (position & 7))
            position += some
        counters[BIT] = position
        if mode == DECODE and position > 8 * last:
            counters[OVERRUN] = 1
        if plain:
            continue
        some = 0
        for i in range(length):
            a = min(values[i], MAGNITUDE_LIMIT)
            if a:
                m = np.int64(active[np.uint64(first + i)])
                slope = _in(U, 0, m + move) - _in(U, 0, m - move)
                against = 1 if slope < 0 else 0
                rows[some] = SIGN_ROWS + kind * (DIFFERENCES + 1) + abs(_difference_level(slope))
                symbols[some] = (1 if U[row, np.uint64(m)] < 0 else 0) ^ against
                positions[some], signed_values[some] = m, -a if against else a
                some += 1
        code(mode, rows, some, symbols, counters, states, stream, log, starts, slots)
        if mode == DECODE:
            for k in range(some):
                U[row, np.uint64(positions[k])] = -signed_values[k] if symbols[k] else signed_values[k]
    _add(magnitudes, total, count)


@_jit
def _run(mode, U, K, gh, gw, stride, rank_max, rank_stop, family, io, model, start, spent):
    """Code a whole plane. spent (int64) gets the bytes after each part (component 0, ranks, 1, 2 ...), from `start` on.

    family is that of :func:`components`.
    """
    counters = io[0]
    size = U.shape[1]
    scratch = (
        np.zeros((INPUTS // 2, RUN), np.int32),
        np.zeros(RUN, np.int32),
        np.zeros(RUN, np.uint8),
        np.zeros(RUN, np.uint8),
        np.zeros(RUN, np.int64),
        np.zeros(RUN, np.int64),
        np.zeros(RUN, np.int64),
        np.zeros(RUN, np.int64),
        np.zeros(HIDDEN, np.int32),
    )
    E = np.zeros(size, np.uint8)
    _code_first(mode, U[0], E, gh, gw, stride, io, model, scratch)
    spent[0] = start + 2 * counters[WORD] + ((counters[BIT] + 7) >> 3)
    if rank_stop < 2:
        return
    slopes = _slopes_of(U[0], gh, gw, stride)
    _code_ranks(mode, K, E, slopes, gh, gw, stride, rank_max, io, model, scratch)
    spent[1] = start + 2 * counters[WORD] + ((counters[BIT] + 7) >> 3)
    active = np.empty((2, gh * gw), np.int32)
    counts = np.zeros(2, np.int64)
    ranks, steep = np.int64(0), np.int64(0)
    for y in range(gh):
        for x in range(gw):
            m = (y + 2) * stride + x + 2
            if K[m] > 0:
                which = (y + x) & 1
                active[which, counts[which]] = m
                counts[which] += 1
                ranks += K[m]
                steep += np.int64(slopes[0, m]) + slopes[1, m]
    steady = np.zeros(8, np.int64)
    steady[6], steady[7] = _log(16 * ranks // (gh * gw)), _log(steep // max(counts[0] + counts[1], 1))
    seen, beside = np.zeros((rank_stop, size), np.uint8), np.zeros((2, rank_stop, size), np.uint8)
    totals, sums, magnitudes = np.zeros(size, np.int16), np.zeros(size, np.uint8), np.zeros(2, np.int64)
    for r in range(1, rank_stop):
        for which in range(2):
            kept = np.int64(0)
            line = active[which]
            for i in range(counts[which]):
                m = line[i]
                line[kept] = m
                kept += 1 if K[m] >= r else 0
            counts[which] = kept
        if counts[0] + counts[1] == 0 or counters[OVERRUN]:
            break
        entry = family[r]
        for k in range(5):
            steady[k] = entry[7 + k]
        kind, move = np.int64(entry[13]), np.int64(1) if entry[14] else np.int64(stride)
        for which in range(2):
            if counts[which]:
                steady[5] = _mean(magnitudes)
                net = GROUPS + 2 * np.int64(entry[12]) + which
                _code_component(
                    mode,
                    r,
                    net,
                    active[which],
                    counts[which],
                    U,
                    K,
                    seen,
                    beside,
                    totals,
                    sums,
                    slopes,
                    entry,
                    steady,
                    magnitudes,
                    stride,
                    io,
                    model,
                    scratch,
                    (kind, move),
                )
        spent[r + 1] = start + 2 * counters[WORD] + ((counters[BIT] + 7) >> 3)


# ---- launchers -------------------------------------------------------------------------------------------------------


def encode_factors(padded: np.ndarray, ranks: np.ndarray, grid_h: int, grid_w: int, patch_size: int) -> bytes:
    """Counterpart of :func:`imfnb.entropy.rans.reference.encode_factors`."""
    rank_max = int(ranks.max()) + 1
    _, stride = padded_size(grid_h, grid_w)
    patches, inner = grid_h * grid_w, int(ranks.sum(dtype=np.int64))
    # Every patch has at most two symbols for each of component 0 and its rank, every other component one and a sign.
    log = np.zeros(4 * patches + 2 * inner + 1, np.uint32)
    bits = np.zeros((patches * (2 * ESCAPE_BITS + 10) + inner * (2 * ESCAPE_BITS + 2)) // 8 + 4, np.uint8)
    counters = np.zeros(4, np.int64)
    io = counters, np.zeros(1, np.uint32), np.zeros(1, np.uint16), log, bits
    spent = np.zeros(patch_size * patch_size + 1, np.int64)
    model = tuple(kernel_model())
    _run(ENCODE, padded, ranks, grid_h, grid_w, stride, rank_max, rank_max, components(patch_size), io, model, 0, spent)
    return bytes([rank_max - 1]) + finish(counters, log, bits)


def decode_factors(
    data: bytes,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    max_rank: int | None = None,
    spent: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Counterpart of :func:`imfnb.entropy.rans.reference.decode_factors`."""
    size, stride = padded_size(grid_h, grid_w)
    rank_max = min(data[0] + 1, patch_size * patch_size) if data else 1
    rank_stop = rank_max if max_rank is None else max(1, min(rank_max, max_rank))
    states, words, bits, start = opened(data[1:])
    padded, ranks = np.zeros((rank_stop, size), np.int16), np.zeros(size, np.int32)
    counters = np.zeros(4, np.int64)
    io = counters, states, words, np.zeros(1, np.uint32), bits
    spent = np.zeros(patch_size * patch_size + 1, np.int64) if spent is None else spent
    table, model = components(patch_size), tuple(kernel_model())
    _run(DECODE, padded, ranks, grid_h, grid_w, stride, rank_max, rank_stop, table, io, model, start, spent)
    return padded, ranks, bool(counters[OVERRUN]) or not data
