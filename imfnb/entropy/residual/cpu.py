"""The coder of residual arrays, one thread of Numba: one traversal for ENCODE and DECODE.

Safety in DECODE: the work is bounded by the size of the array, a sample takes at most 68 modelled bins; values are
clamped, every index comes from clamped values and never from bytes directly; reads beyond the data give zeros and set
the sticky flag.

Ranges: values of planes are within VALUE_LIMIT = 2^26, so differences of two fit 2^27 and sums of TAPS of them times
weights within 2^18 fit 2^50. Scaled values are within 2^11, their products summed over a block of 32 samples within
2^27, and the sums of which an eighth is forgotten each time within 2^30.
"""

from __future__ import annotations

import numpy as np

from ...format.probability import COUNT_LIMIT, PROB_BITS, RATE, STATE_BITS
from ...format.residual_model import (
    BAND_DECAY,
    BLOCKS,
    COLUMNS,
    DECAY,
    ESCAPE_BITS,
    LEAST_BITS,
    MAP_START,
    NUMBERS,
    PALETTE,
    PREDICTION_BITS,
    REPEATED,
    REPEATED_EXACTLY,
    RIDGE,
    RIDGE_SHIFT,
    SAMPLE_LIMIT,
    SCALE_BITS,
    SECTION_TYPES,
    SET_0_START,
    SET_1_START,
    SIGN,
    SIZE,
    SLOTS,
    STATE_START,
    TAP_BITS,
    TAP_LIMIT,
    UNARY,
    UNIT_BITS,
    USUAL_BITS,
    USUAL_RATE,
    USUAL_SHIFT,
    VALUE_LIMIT,
)
from ...runtime.jit import kernel
from ..cpu import (
    COUNT_MASK,
    STATE_ONE,
    _attach,
    _bin,
    _finish,
    _get,
    _level,
    _median_edge,
    _put,
    _raw,
    _record,
    _signed_level,
    _start,
    _u,
)
from ..layout import DECODE, ENCODE
from ..model import COUNT_BITS
from .model import ABOVE, BELOW, SIDES, initial_residual_model, padded, taps
from .planning import Plan, best_order, plan_bands
from .simd import SIDE, accumulate, dot, eliminate, scale

__all__ = ["decode_residual", "encode_residual"]

# As int64 scalars, for the reason that `imfnb.entropy.cpu` gives.
_STATE_SIZE, _STATE_SIGN = np.int64(STATE_START[SIZE]), np.int64(STATE_START[SIGN])
_W0_SIZE, _W0_SIGN = np.int64(SET_0_START[SIZE]), np.int64(SET_0_START[SIGN])
_W1_SIZE, _W1_SIGN = np.int64(SET_1_START[SIZE]), np.int64(SET_1_START[SIGN])
_MAP_SIZE, _MAP_SIGN = np.int64(MAP_START[SIZE]), np.int64(MAP_START[SIGN])
_TYPES, _STRIDE, _SLOTS_SIGN = SECTION_TYPES[SIZE], SLOTS[SIZE] * SECTION_TYPES[SIZE], SLOTS[SIGN]
_ZERO, _ONE = np.int64(0), np.int64(1)
_SHIFT = COUNT_BITS + STATE_BITS - PROB_BITS
_LARGEST = (1 << PROB_BITS) - 1
_PREDICTED = VALUE_LIMIT << PREDICTION_BITS
_PART = (1 << PREDICTION_BITS) - 1
_LEAST_PIVOT, _FACTOR_LIMIT, _SOLUTION_LIMIT, _ENTRY_LIMIT = 1 << 18, 1 << 22, 1 << 24, 1 << 30

# Bytes that a sample and a number of a palette can take: mixed bins cost at most 11 bits, others 16.
_SAMPLE_BYTES, _NUMBER_BYTES = 80, 128

_jit = kernel(error_model="numpy")
_inline = kernel(error_model="numpy", forceinline=True)


@_inline
def _learn(bit, states, i):
    """Adapt a state that works alone to a bit."""
    state = np.int64(states[_u(i)])
    n = state & COUNT_MASK
    probability = state >> COUNT_BITS
    probability = min(probability + bit + (((STATE_ONE * bit - probability) * RATE[_u(n)]) >> 16), STATE_ONE)
    states[_u(i)] = (probability << COUNT_BITS) + min(n + 1, COUNT_LIMIT)


@_inline
def _single(mode, bit, states, i, M):
    """Code one bin by a state alone; return the bit."""
    p = min(max(np.int64(states[_u(i)]) >> _SHIFT, 1), _LARGEST)
    if mode == DECODE:
        bit = _get(p, M)
    else:
        _put(bit, p, M)
    _learn(bit, states, i)
    return bit


@_jit
def _bits(v):
    """The number of bits of v >= 0, below 2^32."""
    n = _ZERO
    if v >> 16:
        n += 16
        v >>= 16
    if v >> 8:
        n += 8
        v >>= 8
    if v >> 4:
        n += 4
        v >>= 4
    if v >> 2:
        n += 2
        v >>= 2
    if v >> 1:
        n += 1
        v >>= 1
    return n + v


@_jit
def _number(mode, value, kind, M):
    """Code a number of a palette, 0 .. 2^(ESCAPE_BITS + 1) - 2, by exponent and mantissa; return it."""
    start = kind * NUMBERS
    value += 1
    e = _ZERO
    while e < ESCAPE_BITS and _single(mode, 1 if value >> (e + 1) else 0, M.numbers, start + e, M):
        e += 1
    out = _ONE
    for k in range(e - 1, -1, -1):
        out = 2 * out + _single(mode, (value >> k) & 1, M.numbers, start + 32 + 32 * e + k, M)
    return out - 1


@_jit
def _type_class(t):
    """Return the class 0 .. 6 of a bin type that counts units or exponents."""
    return t if t < 4 else 4 if t < 6 else 5 if t < UNARY else 6


@_jit
def _size(mode, a, k, place, M):
    """Code a magnitude a >= 0 in units of 2^k; place says how it compares with what neighbours missed."""
    q = a >> k
    w0, row = min(k, 2) * 8, (place >> 2) * 8
    w0, w1, row = _W0_SIZE + w0, _W1_SIZE + row, _MAP_SIZE + row
    t = _ZERO
    while t < UNARY:
        c = _type_class(t)
        if not _bin(mode, 1 if q > t else 0, t, w0 + c, w1 + c, row + c, M):
            break
        t += 1
    if t == UNARY:
        value, e = q - UNARY + 1, _ZERO
        while e < ESCAPE_BITS:
            if not _bin(mode, 1 if value >> (e + 1) else 0, UNARY + min(e, 4), w0 + 6, w1 + 6, row + 6, M):
                break
            e += 1
        out = _ONE
        for i in range(e - 1, -1, -1):
            bit = (value >> i) & 1
            if i == e - 1:
                bit = _bin(mode, bit, np.int64(_TYPES - 1), w0 + 7, w1 + 7, row + 7, M)
            else:
                bit = _raw(mode, bit, M)
            out = 2 * out + bit
        t = UNARY + out - 1
    if k:
        first = (min(t, 3) * 64 + place) * 3
        bit = _single(mode, (a >> (k - 1)) & 1, M.parts, first, M)
        t = 2 * t + bit
        if k > 1:
            t = 2 * t + _single(mode, (a >> (k - 2)) & 1, M.parts, first + 1 + bit, M)
            for i in range(k - 3, -1, -1):
                t = 2 * t + _raw(mode, (a >> i) & 1, M)
    return t


@_jit
def _solve(A, block, n, shifts, D, L, column, w):
    """Find the weights of n neighbours from the sums of a block and those beside it.

    The sums are scaled by powers of two so that the diagonal lies within 2^28 and 2^30, and eliminated with factors
    of 16 fractional bits; what an honest encoder sums never leaves 32 bits, other sums wrap around.
    """
    before, here, behind = A[block - 1], A[block], A[block + 1]
    for i in range(n + 1):
        m = i * (SIDE + 1)
        shifts[i] = 15 - ((_bits(np.int64(before[m]) + here[m] + behind[m]) + 1) >> 1)
    for i in range(n + 1):
        s = shifts[i]
        for c in range(i + 1):
            m = SIDE * i + c
            left = s + shifts[c]
            value = np.int64(before[m]) + here[m] + behind[m]
            value = value << max(left, 0) >> max(-left, 0)
            D[m] = min(max(value, -_ENTRY_LIMIT), _ENTRY_LIMIT)
    for i in range(n):
        m = i * (SIDE + 1)
        D[m] = np.int64(D[m]) + (D[m] >> RIDGE_SHIFT) + RIDGE
    for k in range(n):
        inverse = (_ONE << 48) // max(np.int64(D[k * (SIDE + 1)]), _LEAST_PIVOT)
        for i in range(k + 1, n + 1):
            column[i] = D[SIDE * i + k]
        for i in range(k + 1, n + 1):
            factor = min(max((np.int64(column[i]) * inverse) >> 32, -_FACTOR_LIMIT), _FACTOR_LIMIT)
            L[SIDE * i + k] = factor
            eliminate(D, np.int64(i), factor, column, np.int64((k + 1) >> 3), np.int64(i >> 3))
    for i in range(n - 1, -1, -1):
        value = np.int64(L[SIDE * n + i])
        for c in range(i + 1, n):
            value -= (np.int64(L[SIDE * c + i]) * w[c]) >> 16
        w[i] = min(max(value, -_SOLUTION_LIMIT), _SOLUTION_LIMIT)
    for i in range(n):
        left = shifts[i] - shifts[n] - (16 - TAP_BITS)
        value = np.int64(w[i]) << max(left, 0) >> max(-left, 0)
        w[i] = min(max(value, -TAP_LIMIT), TAP_LIMIT)


@_jit
def _code(mode, V, E, K, valid, b, height, width, bands, offsets, n, A, M):
    """Code band b of the flat planes V.

    E and K (int32, two planes each) hold what the prediction missed and the exponents of units, of this band at b & 1
    and of the one before; bands and offsets say where the n neighbours are; A (int32, blocks + 2 of SIDE * SIDE) are
    the sums of products.
    """
    stride = width + 2 * SIDES
    size = (height + ABOVE + BELOW) * stride
    here, there = (b & 1) * size, (1 - (b & 1)) * size
    X, scaled, w = np.zeros(SIDE, np.int32), np.zeros(SIDE, np.int32), np.zeros(SIDE, np.int32)
    D, L, S = np.zeros(SIDE * SIDE, np.int32), np.zeros(SIDE * SIDE, np.int32), np.zeros(SIDE * SIDE, np.int32)
    column, shifts, guesses = np.zeros(SIDE, np.int32), np.zeros(SIDE, np.int64), np.zeros(4, np.int64)
    looked, usual = min(b, 3), _ZERO
    for m in range(here, here + size):
        E[m] = 0
        K[m] = 0
    for y in range(height):
        if M.overrun or (mode == ENCODE and M.position + width * _SAMPLE_BYTES + 8 > M.capacity):
            M.overrun = 1
            return
        base = (y + ABOVE) * stride + SIDES
        row = b * size + base
        if y:
            for g in range(1, SIDES + 1):
                V[row - g] = V[row - stride]
        solved = False
        for x in range(width):
            o = row + x
            if y == 0:
                for g in range(4):
                    V[o - stride + g] = V[o - 2 * stride + g] = V[o - 3 * stride + g] = V[o - 1]
            block = 1 + ((x // COLUMNS) % BLOCKS)
            if x % COLUMNS == 0:
                solved = False
            vw, vn, vnw = np.int64(V[_u(o - 1)]), np.int64(V[_u(o - stride)]), np.int64(V[_u(o - stride - 1)])
            e = here + base + x
            if valid[y * width + x]:
                vne, vww = np.int64(V[_u(o - stride + 1)]), np.int64(V[_u(o - 2)])
                vnn = np.int64(V[_u(o - 2 * stride)])
                ew, en, enw = np.int64(E[_u(e - 1)]), np.int64(E[_u(e - stride)]), np.int64(E[_u(e - stride - 1)])
                ene, eww, enn = np.int64(E[_u(e - stride + 1)]), np.int64(E[_u(e - 2)]), np.int64(E[_u(e - 2 * stride)])
                aw, an, anw, ane, aww, ann = abs(ew), abs(en), abs(enw), abs(ene), abs(eww), abs(enn)
                missed = 2 * (aw + an) + anw + ane + aww + ann
                value = np.int64(V[_u(o)])
                spread = missed + (missed >> 1)
                bits = _bits(spread)
                k = max(bits - UNIT_BITS, 0)
                done, repeats, asked_w, asked_n, pattern = False, False, False, False, _ZERO
                if missed == 0 and vw == vn and vw == vnw and vw == vne and vw == vww and vw == vnn:
                    around = _ZERO
                    if b:
                        r = o - size
                        around = _ONE + (2 if V[r] == V[r - 1] and V[r] == V[r - stride] else 0)
                        around += 1 if V[r] == V[r + 1] and V[r] == V[r + stride] else 0
                    if _single(mode, 1 if value == vw else 0, M.areas, around, M):
                        done = True
                        V[_u(o)] = vw
                elif k or missed == 0:
                    repeats = True
                    pattern = (1 if vn == vnw else 0) + (2 if vn == vne else 0) + (4 if vw == vnw else 0)
                    pattern += (8 if vw == vww else 0) + (16 if vn == vnn else 0) + (32 if vw == vn else 0)
                    pattern += 64 if k else 0
                    least = REPEATED if k else REPEATED_EXACTLY
                    if (M.repeats[pattern] >> _SHIFT) >= least:
                        asked_w = True
                        if _single(mode, 1 if value == vw else 0, M.repeats, pattern, M):
                            done = True
                            V[_u(o)], E[_u(e)], K[_u(e)] = vw, ew, K[_u(e - 1)]
                    if not done and vn != vw and (M.repeats[128 + pattern] >> _SHIFT) >= least:
                        asked_n = True
                        if _single(mode, 1 if value == vn else 0, M.repeats, 128 + pattern, M):
                            done = True
                            V[_u(o)], E[_u(e)], K[_u(e)] = vn, en, K[_u(e - stride)]
                    if done and not asked_w:
                        _learn(_ZERO, M.repeats, pattern)
                if not done:
                    if not solved:
                        _solve(A, block, n, shifts, D, L, column, w)
                        for i in range(SIDE * SIDE):
                            S[i] = 0
                        solved = True
                    guess = _median_edge(vw, vn, vnw)
                    guesses[0] = guess
                    for q in range(1, looked + 1):
                        r = o - q * size
                        guesses[q] = _median_edge(
                            np.int64(V[_u(r - 1)]), np.int64(V[_u(r - stride)]), np.int64(V[_u(r - stride - 1)])
                        )
                    for i in range(n):
                        X[_u(i)] = V[_u(o + offsets[_u(i)])] - guesses[_u(bands[_u(i)])]
                    predicted = (guess << PREDICTION_BITS) + (dot(w, X) >> (TAP_BITS - PREDICTION_BITS))
                    predicted = min(max(predicted, -_PREDICTED), _PREDICTED)
                    ec, kc, ahead, behind = _ZERO, _ZERO, _ZERO, _ZERO
                    if b:
                        r = there + base + x
                        ec, kc = np.int64(E[_u(r)]), np.int64(K[_u(r)])
                        ahead = abs(np.int64(E[_u(r + 1)])) + abs(np.int64(E[_u(r + stride)]))
                        behind = abs(np.int64(E[_u(r - 1)])) + abs(np.int64(E[_u(r - stride)]))
                    place = (spread >> k) + 16 * min(k, 2)
                    p = predicted >> PREDICTION_BITS
                    part = predicted & _PART
                    below = 1 if vn > p else 0
                    below += 2 if vw > p else 0
                    below += 4 if vnw > p else 0
                    below += 8 if vne > p else 0
                    below += 16 if vww > p else 0
                    below += 32 if vnn > p else 0
                    below += 64 if 2 * vn - vnn > p else 0
                    below += 128 if 2 * vw - vww > p else 0
                    lc = _signed_level((ec << 1) >> kc)
                    lg, lw = _signed_level(((guess - p) << 1) >> k), _signed_level(((vw - p) << 1) >> k)
                    ln, lne = _signed_level(((vn - p) << 1) >> k), _signed_level(((vne - p) << 1) >> k)
                    lnw = _signed_level(((vnw - p) << 1) >> k)
                    s, z = _STATE_SIGN, _SLOTS_SIGN
                    M.ix[0] = s + (part >> 3) * 64 + place
                    M.ix[1] = s + z + _signed_level((ew << 1) >> k) * 11 + _signed_level((en << 1) >> k)
                    M.ix[2] = s + 2 * z + lg * 11 + lc
                    M.ix[3] = s + 3 * z + lw * 11 + ln
                    M.ix[4] = s + 4 * z + lne * 11 + lnw
                    M.ix[5] = s + 5 * z + (lc * 8 + (part >> 3)) * 3 + min(k, 2)
                    M.ix[6] = s + 6 * z + below
                    M.ix[7] = s + 7 * z + _signed_level((ene << 1) >> k) * 11 + _signed_level((enw << 1) >> k)
                    w1 = place >> 2
                    up = _bin(
                        mode, 1 if value > p else 0, _ZERO, _W0_SIGN + min(k, 2), _W1_SIGN + w1, _MAP_SIGN + w1, M
                    )
                    if up:
                        a = value - p - 1
                        part = _PART - part
                    else:
                        a = p - value
                        lg, lw, ln, lc = 10 - lg, 10 - lw, 10 - ln, 10 - lc
                    edges = abs(vw - vnw) + abs(vn - vne) + abs(vn - vnw) + abs(vw - vww)
                    if k:
                        found = 64 * min(usual >> (k + USUAL_SHIFT), 15) + place
                    else:
                        found = (((vw - p) * 5 + (vn - p)) * 7 + (vnw - p)) * 3 + (vne - p)
                        found = ((found * 40503) >> 4) & 1023
                    s, z = _STATE_SIZE, _STRIDE
                    M.ix[0] = s + (place * 8 + (part >> 3)) * _TYPES
                    M.ix[1] = s + z + (_level((aw << 2) >> k) * 16 + _level((an << 2) >> k)) * _TYPES
                    M.ix[2] = (
                        s + 2 * z + (_level(((ane + anw) << 1) >> k) * 16 + _level(((aww + ann) << 1) >> k)) * _TYPES
                    )
                    M.ix[3] = s + 3 * z + (_level((abs(ec) << 2) >> kc) * 16 + _level((ahead << 1) >> kc)) * _TYPES
                    M.ix[4] = s + 4 * z + (_level(edges >> k) * 16 + _level((abs(guess - p) << 2) >> k)) * _TYPES
                    M.ix[5] = s + 5 * z + (lg * 11 + lw) * _TYPES
                    M.ix[6] = s + 6 * z + found * _TYPES
                    M.ix[7] = s + 7 * z + ((ln * 11 + lc) * 8 + (_level((behind << 1) >> kc) >> 1)) * _TYPES
                    a = _size(mode, a, k, place, M)
                    value = min(max(p + 1 + a if up else p - a, -VALUE_LIMIT), VALUE_LIMIT)
                    if repeats and not asked_w:
                        _learn(_ONE if value == vw else _ZERO, M.repeats, pattern)
                    if repeats and not asked_n and vn != vw and (asked_w or value != vw):
                        _learn(_ONE if value == vn else _ZERO, M.repeats, 128 + pattern)
                    V[_u(o)] = value
                    E[_u(e)] = value - ((predicted + (1 << (PREDICTION_BITS - 1))) >> PREDICTION_BITS)
                    K[_u(e)] = k
                    usual += ((abs(np.int64(E[_u(e)])) << USUAL_BITS) - usual) >> USUAL_RATE
                    X[n] = value - guess
                    shift = max(bits, LEAST_BITS) - SCALE_BITS
                    scale(X, max(shift, 0), max(-shift, 0), scaled)
                    accumulate(S, scaled)
            else:
                V[_u(o)] = _median_edge(vw, vn, vnw)
            if solved and (x % COLUMNS == COLUMNS - 1 or x == width - 1):
                sums = A[block]
                for i in range(SIDE * SIDE):
                    sums[i] += S[i] - (sums[i] >> DECAY)
        for g in range(SIDES):
            V[row + width + g] = V[row + width - 1]
        if y == 0:
            for g in range(1, SIDES + 1):
                V[row - g] = V[row - stride - g] = V[row - 2 * stride - g] = V[row - 3 * stride - g] = V[row]
    below_all = b * size + (height + ABOVE) * stride
    for i in range(below_all, below_all + stride):
        V[i] = V[i + stride] = V[i - stride]


@_jit
def _run(mode, V, out, valid, per_band, shape, swapped, kinds, palettes, starts, bands, offsets, counts, M):
    """Code all bands. In DECODE, out (int32, flat) gets the samples; in ENCODE kinds, palettes and starts are a plan's.

    valid (bool, flat) has one plane, or as many as there are bands if per_band.
    """
    C, height, width = shape
    plane = height * width
    stride = width + 2 * SIDES
    size = (height + ABOVE + BELOW) * stride
    E, K = np.zeros(2 * size, np.int32), np.zeros(2 * size, np.int32)
    blocks = min((width + COLUMNS - 1) // COLUMNS, BLOCKS)
    A = np.zeros((blocks + 2, SIDE * SIDE), np.int32)
    palette = np.zeros(1, np.int32)
    if C > 1:
        swapped = _single(mode, swapped, M.kinds, np.int64(4), M)
    for b in range(C):
        place = (1 - b if swapped and b < 2 else b) * plane
        mask = valid[place : place + plane] if per_band else valid[:plane]
        kind = np.int64(kinds[b]) if mode == ENCODE else _ZERO
        if _single(mode, 1 if kind == PALETTE else 0, M.kinds, _ZERO, M):
            kind = np.int64(PALETTE)
            there = _ZERO
            for i in range(plane):
                there += 1 if mask[i] else 0
            first = np.int64(starts[b]) if mode == ENCODE else _ZERO
            count = np.int64(starts[b + 1]) - first if mode == ENCODE else _ZERO
            if mode == ENCODE and M.position + (count + 2) * _NUMBER_BYTES > M.capacity:
                M.overrun = 1
                return
            count = min(_number(mode, count - 1, _ZERO, M) + 1, max(there, 1))
            if mode == DECODE:
                palette = np.zeros(count, np.int32)
            value = np.int64(palettes[first]) if mode == ENCODE else _ZERO
            start = _number(mode, 2 * value if value >= 0 else -2 * value - 1, _ONE, M)
            value = -((start + 1) >> 1) if start & 1 else start >> 1
            for i in range(count):
                if i:
                    gap = np.int64(palettes[first + i]) - value if mode == ENCODE else _ONE
                    value += _number(mode, gap - 1, np.int64(2), M) + 1
                value = min(max(value, -SAMPLE_LIMIT), SAMPLE_LIMIT)
                if mode == DECODE:
                    palette[i] = value
                if M.overrun:
                    return
        elif b:
            high = _single(mode, kind >> 1, M.kinds, _ONE, M)
            kind = min(2 * high + _single(mode, kind & 1, M.kinds, 2 + high, M), b)
        if b in (1, 2, 3):
            for i in range(blocks + 2):
                for j in range(SIDE * SIDE):
                    A[i, j] = 0
        elif b:
            for i in range(blocks + 2):
                for j in range(SIDE * SIDE):
                    A[i, j] >>= BAND_DECAY
        t = min(b, 3)
        _code(mode, V, E, K, mask, np.int64(b), height, width, bands[t], offsets[t], counts[t], A, M)
        if M.overrun:
            return
        if mode == DECODE:
            for y in range(height):
                for x in range(width):
                    i = y * width + x
                    if mask[i]:
                        value = np.int64(V[b * size + (y + ABOVE) * stride + SIDES + x])
                        if kind == PALETTE:
                            value = np.int64(palette[min(max(value, 0), len(palette) - 1)])
                        elif kind:
                            a = b - kind
                            value += out[(1 - a if swapped and a < 2 else a) * plane + i]
                        out[place + i] = min(max(value, -SAMPLE_LIMIT), SAMPLE_LIMIT)


def _flat(shape: tuple[int, int, int], valid: np.ndarray | None) -> tuple[np.ndarray, bool]:
    """Which samples there are, flat, and whether every band has its own."""
    mask = np.ones(shape[1:], np.bool_) if valid is None else np.ascontiguousarray(valid, np.bool_)
    return mask.reshape(-1), mask.ndim == 3


def _encode(plan: Plan, shape: tuple[int, int, int], valid: np.ndarray | None) -> bytes:
    """Code samples with a plan."""
    mask, per_band = _flat(shape, valid)
    room = 1024 + 4 * shape[2] * _SAMPLE_BYTES + 3 * plan.values.size + _NUMBER_BYTES * len(plan.palettes)
    bands, offsets, counts = taps(*shape[1:])
    while True:  # again with more room, which noise of many bits may need
        planes = padded(shape)
        planes[:, ABOVE:-BELOW, SIDES:-SIDES] = plan.values
        model, buffer = initial_residual_model(), np.zeros(room, np.uint8)
        record = _record(model)
        _attach(model, buffer)
        _run(
            ENCODE, planes.reshape(-1), np.zeros(1, np.int32), mask, per_band, shape,
            np.int64(plan.swapped), plan.kinds, plan.palettes, plan.starts, bands, offsets, counts, record,
        )  # fmt: skip
        if not model["overrun"][0]:
            return buffer[: _finish(record)].tobytes()
        room *= 4


def encode_residual(samples: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    """Counterpart of :func:`imfnb.entropy.residual.reference.encode_residual`."""
    plan = plan_bands(samples, valid, *best_order(_encode, samples, valid))
    return _encode(plan, samples.shape, valid)


def decode_residual(
    data: bytes, shape: tuple[int, int, int], valid: np.ndarray | None = None
) -> tuple[np.ndarray, bool]:
    """Counterpart of :func:`imfnb.entropy.residual.reference.decode_residual`."""
    mask, per_band = _flat(shape, valid)
    planes, out = padded(shape), np.zeros(shape, np.int32)
    model, buffer = initial_residual_model(), np.frombuffer(data, np.uint8).copy()
    record = _record(model)
    _attach(model, buffer)
    _start(record)
    none = np.zeros(1, np.int64)
    _run(
        DECODE, planes.reshape(-1), out.reshape(-1), mask, per_band, shape,
        _ZERO, none, none, none, *taps(*shape[1:]), record,
    )  # fmt: skip
    return out, bool(model["overrun"][0])
