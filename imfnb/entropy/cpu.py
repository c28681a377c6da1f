"""The context model and its range coder, one thread of Numba.

One traversal (`_run`) and one definition of the contexts serve both modes: ENCODE writes bytes, DECODE reads them.

Order: component 0 (median edge detector, residual coded), the map of active ranks, then component by component only
those patches whose rank reaches it. A patch's rank is the index of its last nonzero component, so the zero flag of
that one is not coded.

Safety in DECODE: the work is bounded by grid and rank_max, a magnitude by the escape's exponent; every index comes
from clamped quantities, never from bytes directly; reads beyond the data give zeros and set the sticky flag.
"""

from __future__ import annotations

import numba
import numpy as np

from ..format.context_model import (
    CONTEXTS,
    ESCAPE_BITS,
    FIRST_LIMIT,
    GROUPS,
    LEVEL,
    MAP_START,
    NEAR_LIMIT,
    NODES,
    RANK_TYPES,
    SET_0_START,
    SET_1_START,
    SIGNED_COMPONENTS,
    SIGNED_LEVEL,
    SIGNED_LIMIT,
    SLOTS,
    STATE_START,
    TYPES,
    UNARY,
    component_table,
)
from ..format.probability import (
    COUNT_LIMIT,
    MAP_SHIFT,
    MIX_RATE,
    MIX_SHIFT,
    RATE,
    STATE_BITS,
    STRETCH_LIMIT,
    WEIGHT_LIMIT,
)
from ..format.probability import SQUASH as _SQUASH
from ..format.probability import STRETCH as _STRETCH
from ..runtime.jit import kernel
from . import simd
from .layout import DECODE, ENCODE, LEVELS, LEVELS_6, LEVELS_7, LEVELS_9, LEVELS_11, SUM_LIMIT, padded_size
from .model import COUNT_BITS, initial_model

__all__ = ["decode_factors", "encode_factors"]

# Half as wide as in `format.probability`, for the sake of the first-level cache.
SQUASH = _SQUASH.astype(np.uint16)
STRETCH = _STRETCH.astype(np.int16)

# Magnitudes as contexts know them.
_UP_TO_3 = np.minimum(np.arange(NEAR_LIMIT + 1), 3).astype(np.uint8)

STATE_SHIFT = COUNT_BITS + 10
STATE_ONE = (1 << STATE_BITS) - 1
COUNT_MASK = (1 << COUNT_BITS) - 1

# As int64 scalars: a Python integer is a type of its own to Numba, and each would compile the callee once more.
_STATE_DC, _STATE_DCS, _STATE_RANK, _STATE_AC, _STATE_ACS = map(np.int64, STATE_START[:5])
_W0_DC, _W0_DCS, _W0_RANK, _W0_AC, _W0_ACS = map(np.int64, SET_0_START[:5])
_W1_DC, _W1_DCS, _W1_RANK, _W1_AC, _W1_ACS = map(np.int64, SET_1_START)
_MAP_DC, _MAP_DCS, _MAP_RANK, _MAP_AC, _MAP_ACS = map(np.int64, MAP_START[:5])
_SLOTS_DC, _SLOTS_DCS, _SLOTS_RANK, _SLOTS_AC, _SLOTS_ACS = SLOTS
# Strides of a type class in the weights and maps of a section, and the first bin type, for the same reason.
_DC_STRIDES = tuple(map(np.int64, (1, 16, 16)))
_AC_STRIDES = tuple(map(np.int64, (GROUPS, 128, 32)))
_ZERO, _ONE = np.int64(0), np.int64(1)

_jit = kernel(error_model="numpy")
_inline = kernel(error_model="numpy", forceinline=True)


@_jit
def _u(index):
    """An unsigned index spares the test for a negative one."""
    return np.uint64(index)


@_jit
def _level(activity):
    return np.int64(LEVEL[_u(min(activity, 1023))])


@_jit
def _at(table, index):
    """An entry of a table, of which the index is known to be one: a comparison less than `_level`."""
    return np.int64(table[_u(index)])


@_jit
def _signed_level(value):
    """The level 0 .. 10 of a signed value (with a comparison for each limit the coder took 1.07 times as long)."""
    return np.int64(SIGNED_LEVEL[_u(min(max(value, -SIGNED_LIMIT), SIGNED_LIMIT) + SIGNED_LIMIT)])


# ---- one bin ---------------------------------------------------------------------------------------------------------


@_inline
def _predict(t, w0, w1, row, M):
    """Return p(bit = 1) in 1 / 65536; leaves the inputs and the mixer's own p in the model.

    int32 throughout: a weight is within +-2**18, the sum of two times a stretch value within 2**30.
    """
    w0, w1 = w0 * CONTEXTS, w1 * CONTEXTS
    x = simd.mix(M.states, M.ix, t, STATE_SHIFT, STRETCH, M.st, M.weights, w0, w1, STRETCH_LIMIT) + STRETCH_LIMIT + 1
    mixed = np.int64(SQUASH[_u(x)])
    M.mixed = mixed
    node = row * NODES + (x >> 7)
    part = x & 127
    M.node = node + (part >> 6)
    refined = (np.int64(M.maps[_u(node)]) * (128 - part) + np.int64(M.maps[_u(node + 1)]) * part) >> 7
    return min(max((mixed + refined + 1) >> 1, 32), 65504)


@_inline
def _update(bit, t, w0, w1, row, M):
    """Adapt states, weights and map to the bit just coded."""
    target = STATE_ONE * bit
    for k in range(CONTEXTS):
        i = _u(M.ix[k] + t)
        s = np.int64(M.states[i])
        n = s & COUNT_MASK
        change = ((target - (s >> COUNT_BITS)) * RATE[_u(n)]) >> 16
        M.states[i] = s + (change << COUNT_BITS) + (1 if n < COUNT_LIMIT else 0)
    error = (((bit << 16) - M.mixed) * MIX_RATE) >> 4
    simd.train(M.weights, w0 * CONTEXTS, w1 * CONTEXTS, M.st, error, MIX_SHIFT, WEIGHT_LIMIT)
    node = _u(M.node)
    q = np.int64(M.maps[node])
    M.maps[node] = q + (((bit << 16) - bit - q) >> MAP_SHIFT)


@_jit
def _carry(M, position):
    """Add one to the number that ends before a position of the output."""
    position -= 1
    while simd.peek(M.address + position) == 255:
        simd.poke(M.address + position, 0)
        position -= 1
    simd.poke(M.address + position, simd.peek(M.address + position) + 1)


@_inline
def _put(bit, p, M):
    """Encode a bit of probability p: 32-bit range, carries run back into the bytes already written."""
    low = M.low
    bound = (M.range * p) >> 16
    if bit:
        width = bound
    else:
        low += bound
        width = M.range - bound
        if low >> 32:
            low &= 0xFFFFFFFF
            _carry(M, M.position)
    while width < 16777216:
        if M.position < M.capacity:
            simd.poke(M.address + M.position, low >> 24)
        else:
            M.overrun = 1
        M.position += 1
        low = (low << 8) & 0xFFFFFFFF
        width <<= 8
    M.range = width
    M.low = low


@_inline
def _get(p, M):
    """Decode a bit of probability p."""
    low = M.low
    bound = (M.range * p) >> 16
    if low < bound:
        bit = 1
        width = bound
    else:
        bit = 0
        low -= bound
        width = M.range - bound
    while width < 16777216:
        byte = np.int64(0)
        if M.position < M.capacity:
            byte = simd.peek(M.address + M.position)
        elif M.position >= M.capacity + 4:
            M.overrun = 1
        M.position += 1
        low = ((low << 8) | byte) & 0xFFFFFFFF
        width <<= 8
    M.range = width
    M.low = low
    return bit


@_inline
def _bin(mode, bit, t, w0, w1, row, M):
    """Code one modelled bin; return the bit."""
    p = _predict(t, w0, w1, row, M)
    if mode == DECODE:
        bit = _get(p, M)
    else:
        _put(bit, p, M)
    _update(bit, t, w0, w1, row, M)
    return bit


@_jit
def _raw(mode, bit, M):
    """Code one bin of probability 1 / 2; return the bit."""
    if mode == DECODE:
        return _get(32768, M)
    _put(bit, 32768, M)
    return bit


# ---- magnitudes ------------------------------------------------------------------------------------------------------


@_jit
def _type_class(t):
    """Return the class 0 .. 7 of a bin type: what selects weights and maps."""
    return t if t < 4 else 4 if t < 7 else 5 if t <= UNARY else 6 if t < TYPES - 1 else 7


@_jit
def _escape(mode, rest, w0, s0, w1, s1, row, sr, M):
    """Code rest >= 0 by exponent and mantissa; bounded by 2**(ESCAPE_BITS + 1)."""
    value = rest + 1
    e = 0
    while e < ESCAPE_BITS:
        more = 1 if (value >> (e + 1)) > 0 else 0
        t = UNARY + 1 + min(e, 3)
        c = _type_class(t)
        if not _bin(mode, more, t, w0 + s0 * c, w1 + s1 * c, row + sr * c, M):
            break
        e += 1
    out = 1
    for k in range(e - 1, -1, -1):
        bit = (value >> k) & 1
        if k == e - 1:
            t = TYPES - 1
            bit = _bin(mode, bit, t, w0 + s0 * 7, w1 + s1 * 7, row + sr * 7, M)
        else:
            bit = _raw(mode, bit, M)
        out = 2 * out + bit
    return out - 1


@_inline
def _magnitude(mode, a, t, w0, s0, w1, s1, row, sr, M):
    """Code a magnitude a >= t (t = 0, or 1 where it is known not to be zero); s0, s1, sr: strides of a type class."""
    while t <= UNARY:
        c = _type_class(t)
        if not _bin(mode, 1 if a > t else 0, t, w0 + s0 * c, w1 + s1 * c, row + sr * c, M):
            return t
        t += 1
    return UNARY + 1 + _escape(mode, a - UNARY - 1, w0, s0, w1, s1, row, sr, M)


# ---- component 0 -----------------------------------------------------------------------------------------------------


@_jit
def _median_edge(w, n, nw):
    return max(min(w, n), min(max(w, n), w + n - nw))


@_inline
def _residual_contexts(w, n, nw, ne, ww, nn, ew, en, ene, enw, M):
    """Set the contexts of a residual's magnitude; return what it is the residual of, a blend and the activity."""
    guess = _median_edge(w, n, nw)
    dw = abs(w - nw)
    dn = abs(n - nw)
    dne = abs(ne - n)
    far = abs(w - ww) + abs(n - nn)
    blend = 3 * (w + n) + ne - nw + ((w - ww) + (n - nn)) // 2 - 6 * guess
    errors = abs(ew) + abs(en)
    total = dw + dn + dne + far
    activity = _level(total + errors)
    T = TYPES
    s = _STATE_DC
    z = _SLOTS_DC * T
    M.ix[0] = s + (_level(errors + abs(ene) + abs(enw))) * T
    M.ix[1] = s + z + (_level(dw) * 16 + _level(dn)) * T
    M.ix[2] = s + 2 * z + (_level(dne) * 16 + _level(abs(en))) * T
    M.ix[3] = s + 3 * z + _level(total) * T
    M.ix[4] = s + 4 * z + (_level(abs(blend)) * 16 + min(activity, 15)) * T
    M.ix[5] = s + 5 * z + (_level(abs(ew)) * 16 + _level(abs(en))) * T
    M.ix[6] = s + 6 * z + (_level(far) * 16 + _level(dw + dn)) * T
    M.ix[7] = s + 7 * z + (_level(abs(ene)) * 16 + _level(abs(enw))) * T
    return guess, blend, activity


@_inline
def _residual_sign_contexts(a, guess, blend, w, n, nw, ne, ww, nn, ew, en, ene, enw, M):
    """Set the contexts of the sign of a residual of magnitude a; return the level of the blend."""
    s = _STATE_DCS
    z = _SLOTS_DCS
    b = _signed_level(blend)
    M.ix[0] = s + b * 11 + min(a, 10)
    M.ix[1] = s + z + _signed_level(ew) * 11 + _signed_level(en)
    M.ix[2] = s + 2 * z + _signed_level(w - nw) * 11 + _signed_level(n - nw)
    M.ix[3] = s + 3 * z + _signed_level(ne - n) * 11 + b
    M.ix[4] = s + 4 * z + _signed_level(w - ww) * 11 + _signed_level(n - nn)
    M.ix[5] = s + 5 * z + _signed_level(ene) * 11 + _signed_level(enw)
    M.ix[6] = s + 6 * z + _signed_level(w + n - nw - guess) * 11 + _signed_level(ew + en)
    M.ix[7] = s + 7 * z + _signed_level(ne - n) * 11 + _signed_level(w - guess)
    return b


@_jit
def _code_first(mode, U, E, gh, gw, stride, M):
    """Code component 0 in raster order; E (int32, padded) keeps its residuals."""
    D = U[0]
    for y in range(gh):
        base = (y + 2) * stride + 2
        if y:
            D[base - 1] = D[base - 2] = D[base - stride]
        for x in range(gw):
            m = base + x
            if y:
                n = np.int64(D[m - stride])
                nw = np.int64(D[m - stride - 1])
                ne = np.int64(D[m - stride + 1])
                w = np.int64(D[m - 1])
                nn = np.int64(D[m - 2 * stride]) if y > 1 else n
                ww = np.int64(D[m - 2])
            else:
                w = np.int64(D[m - 1]) if x else np.int64(0)
                ww = np.int64(D[m - 2]) if x > 1 else w
                n = nw = ne = nn = w
            ew = np.int64(E[m - 1])
            en = np.int64(E[m - stride])
            ene = np.int64(E[m - stride + 1])
            enw = np.int64(E[m - stride - 1])
            guess, blend, activity = _residual_contexts(w, n, nw, ne, ww, nn, ew, en, ene, enw, M)
            w1 = _W1_DC + activity
            row = _MAP_DC + activity
            e = np.int64(D[m]) - guess if mode != DECODE else np.int64(0)
            a = _magnitude(mode, abs(e), _ZERO, _W0_DC, _DC_STRIDES[0], w1, _DC_STRIDES[1], row, _DC_STRIDES[2], M)
            if a:
                b = _residual_sign_contexts(a, guess, blend, w, n, nw, ne, ww, nn, ew, en, ene, enw, M)
                sign = _bin(mode, 1 if e < 0 else 0, _ZERO, _W0_DCS, _W1_DCS + b, _MAP_DCS + b, M)
                e = -a if sign else a
            else:
                e = np.int64(0)
            E[m] = e
            if mode == DECODE:
                D[m] = min(max(guess + e, -FIRST_LIMIT), FIRST_LIMIT)
        D[base + gw] = D[base + gw + 1] = D[base + gw - 1]
        if y == 0:
            D[base - 1] = D[base - 2] = D[base]
    for m in range((gh + 2) * stride, (gh + 3) * stride):
        D[m] = D[m - stride]
    for m in range(stride, 2 * stride):
        D[m] = D[m + stride]


# ---- active ranks ----------------------------------------------------------------------------------------------------


@_jit
def _bit_length(value):
    n = 0
    while value:
        value >>= 1
        n += 1
    return n


@_jit
def _code_ranks(mode, U, K, gh, gw, stride, rank_max, M):
    """Code the map of active ranks: bit length in unary, then the mantissa. K is int32, padded, 0 .. rank_max - 1."""
    D = U[0]
    longest = _bit_length(rank_max - 1)
    for y in range(gh):
        for x in range(gw):
            m = (y + 2) * stride + x + 2
            w = np.int64(K[m - 1])
            n = np.int64(K[m - stride])
            nw = np.int64(K[m - stride - 1])
            ne = np.int64(K[m - stride + 1])
            ww = np.int64(K[m - 2])
            nn = np.int64(K[m - 2 * stride])
            c = np.int64(D[m])
            horizontal = abs(np.int64(D[m + 1]) - D[m - 1])
            vertical = abs(np.int64(D[m + stride]) - D[m - stride])
            bend = abs(4 * c - D[m + 1] - D[m - 1] - D[m + stride] - D[m - stride])
            mean = (3 * (w + n) + ne + nw + 4) >> 3
            lw = _level(w)
            ln = _level(n)
            slope = _level(horizontal + vertical)
            T = RANK_TYPES
            s = _STATE_RANK
            z = _SLOTS_RANK * T
            M.ix[0] = s + (lw * 16 + ln) * T
            M.ix[1] = s + z + (_level(mean) * 16 + slope) * T
            M.ix[2] = s + 2 * z + (_level(ne) * 16 + _level(nw)) * T
            M.ix[3] = s + 3 * z + (_level(horizontal) * 16 + _level(vertical)) * T
            M.ix[4] = s + 4 * z + (_level(bend) * 16 + slope) * T
            M.ix[5] = s + 5 * z + (lw * 16 + _level(ww)) * T
            M.ix[6] = s + 6 * z + (ln * 16 + _level(nn)) * T
            M.ix[7] = s + 7 * z + min(mean, 255) * T
            q = min(_level(mean), 15)
            k = np.int64(K[m]) if mode != DECODE else np.int64(0)
            length = _bit_length(k)
            size = 0
            while size < longest:
                t = size
                g = min(t, 7)
                if not _bin(
                    mode, 1 if length > size else 0, t, _W0_RANK + t, _W1_RANK + 16 * g + q, _MAP_RANK + 16 * g + q, M
                ):
                    break
                size += 1
            if size > 1:
                value = 1
                for j in range(size - 2, -1, -1):
                    bit = (k >> j) & 1
                    if j == size - 2:
                        t = 7 + size
                        bit = _bin(mode, bit, t, _W0_RANK + t, _W1_RANK + 16 * 7 + q, _MAP_RANK + 16 * 7 + q, M)
                    elif j == size - 3:
                        t = 10 + 2 * size + (value & 1)
                        bit = _bin(mode, bit, t, _W0_RANK + t, _W1_RANK + 16 * 7 + q, _MAP_RANK + 16 * 7 + q, M)
                    else:
                        bit = _raw(mode, bit, M)
                    value = 2 * value + bit
                size = value
            if mode == DECODE:
                K[m] = min(size, rank_max - 1)


# ---- components from 1 on --------------------------------------------------------------------------------------------


@_jit
def _sign3(value):
    return 1 if value > 0 else 2 if value < 0 else 0


@_jit
def _slopes(D, active, count, stride):
    """Levels of the slope of component 0 at the active positions, uint8 (3, size), by the direction of a component."""
    out = np.zeros((3, D.size), np.uint8)
    for i in range(count):
        m = active[i]
        horizontal = abs(np.int64(D[m + 1]) - D[m - 1])
        vertical = abs(np.int64(D[m + stride]) - D[m - stride])
        out[0, m], out[1, m] = _level(horizontal + vertical), _level(2 * horizontal)
        out[2, m] = _level(2 * vertical)
    return out


@_jit
def _reaches(K, active, count, stride):
    """The second largest and the least rank around the active positions, int32 (2, size).

    At least two, or all four of them reach a component where these do.
    """
    out = np.zeros((2, K.size), np.int32)
    for i in range(count):
        m = active[i]
        a, b, c, d = K[m - 1], K[m + 1], K[m - stride], K[m + stride]
        low, other = min(a, b), min(c, d)
        out[0, m], out[1, m] = max(min(max(a, b), max(c, d)), low, other), min(low, other)
    return out


@_jit
def _code_component(mode, r, active, count, U, A, K, S, slopes, reaches, table, stride, M):
    """Code component r over the `count` active positions.

    A (uint8, as U) holds the magnitudes, up to NEAR_LIMIT, of the components from 1 on; S (int16, padded) sums those of
    each patch, up to SUM_LIMIT. Kept with the slopes and reaches, instead of made where they are looked at, 0.95 of
    the time.
    """
    C = U[r]
    D = U[0]
    ra, rb, direction, group, ring = table[r, 0], table[r, 1], table[r, 2], table[r, 3], table[r, 4]
    own_magnitudes, first, second, slope = A[r], A[ra], A[rb], slopes[direction]
    T = TYPES
    z = _SLOTS_AC * T
    for i in range(count):
        m = active[_u(i)]
        w = np.int64(own_magnitudes[_u(m - 1)])
        n = np.int64(own_magnitudes[_u(m - stride)])
        nw = np.int64(own_magnitudes[_u(m - stride - 1)])
        ne = np.int64(own_magnitudes[_u(m - stride + 1)])
        near = 2 * (w + n) + nw + ne
        own = np.int64(S[_u(m)])
        around = np.int64(S[_u(m - 1)]) + S[_u(m + 1)] + S[_u(m - stride)] + S[_u(m + stride)]
        # Without such a parent its number is 0, and the magnitudes of that component are not kept. Beyond 8, all
        # sums of the four beside are the same.
        a0, a1 = np.int64(first[_u(m)]), np.int64(second[_u(m)])
        side = np.int64(first[_u(m + 1)]) + first[_u(m + stride)] + second[_u(m + 1)] + second[_u(m + stride)]
        left = np.int64(K[_u(m)]) - r
        reach = (1 if reaches[0, _u(m)] >= r else 0) + (1 if reaches[1, _u(m)] >= r else 0)
        lk = _at(LEVELS_9, left)
        s = _STATE_AC
        mean = _at(LEVELS, near + own + (around >> 2) + 2 * (a0 + a1))
        M.ix[0] = s + (group * 16 + _at(LEVELS, near)) * T
        before = (_at(_UP_TO_3, w) * 4 + _at(_UP_TO_3, n)) * 4 + min(nw, 1) * 2 + min(ne, 1)
        M.ix[1] = s + z + (before * 3 + direction) * T
        M.ix[2] = s + 2 * z + ((_at(LEVELS_11, own) * 10 + lk) * 6 + ring) * T
        M.ix[3] = s + 3 * z + (group * 16 + _at(LEVELS, around)) * T
        M.ix[4] = s + 4 * z + (((_at(_UP_TO_3, a0) * 4 + _at(_UP_TO_3, a1)) * 7 + _at(LEVELS_6, near)) * 6 + ring) * T
        M.ix[5] = s + 5 * z + ((_at(LEVELS_7, side) * 6 + min(a0 + a1, 5)) * 6 + ring) * T
        M.ix[6] = s + 6 * z + (group * 16 + np.int64(slope[_u(m)])) * T
        M.ix[7] = s + 7 * z + ((group * 10 + lk) * 3 + reach) * T
        w0 = _W0_AC + group
        w1 = _W1_AC + mean * 8 + min(lk, 7)
        row = _MAP_AC + 2 * mean + (1 if left > 2 else 0)
        value = np.int64(C[_u(m)]) if mode != DECODE else np.int64(0)
        a = abs(value)
        s0, s1, sr = _AC_STRIDES
        a = _magnitude(mode, a, _ZERO if left else _ONE, w0, s0, w1, s1, row, sr, M)
        if a:
            if r < SIGNED_COMPONENTS:
                h = _signed_level(np.int64(D[_u(m + 1)]) - D[_u(m - 1)])
                v = _signed_level(np.int64(D[_u(m + stride)]) - D[_u(m - stride)])
                s = _STATE_ACS + r * 16
                zs = _SLOTS_ACS
                M.ix[0] = s + h
                M.ix[1] = s + zs + v
                M.ix[2] = s + 2 * zs + _sign3(C[_u(m - 1)]) * 3 + _sign3(C[_u(m - stride)])
                M.ix[3] = s + 3 * zs + _sign3(C[_u(m - stride - 1)]) * 3 + _sign3(C[_u(m - stride + 1)])
                M.ix[4] = s + 4 * zs + (_sign3(U[ra, m]) * 3 + _sign3(U[rb, m]) if ra else 0)
                M.ix[5] = s + 5 * zs + _signed_level(2 * np.int64(D[_u(m)]) - D[_u(m - 1)] - D[_u(m + 1)])
                M.ix[6] = s + 6 * zs + _signed_level(2 * np.int64(D[_u(m)]) - D[_u(m - stride)] - D[_u(m + stride)])
                M.ix[7] = s + 7 * zs + (_sign3(U[1, m]) * 3 + _sign3(U[2, m]) if r > 2 else 0)
                q = h if direction == 1 else v if direction == 2 else 5
                sign = _bin(mode, 1 if value < 0 else 0, _ZERO, _W0_ACS + r, _W1_ACS + q, _MAP_ACS + q, M)
            else:
                sign = _raw(mode, 1 if value < 0 else 0, M)
            if mode == DECODE:
                C[_u(m)] = -a if sign else a
        seen = min(a, NEAR_LIMIT)
        own_magnitudes[_u(m)] = seen
        S[_u(m)] = min(own + seen, SUM_LIMIT)


@_jit
def _run(mode, U, K, gh, gw, stride, rank_max, rank_stop, table, M, spent):
    """Code a whole plane. spent (int64, rank_max + 1) gets the byte position after each part (DC, ranks, 1, 2 ...)."""
    size = U.shape[1]
    S = np.zeros(size, np.int16)
    E = np.zeros(size, np.int32)
    _code_first(mode, U, E, gh, gw, stride, M)
    spent[0] = M.position
    if rank_stop > 1:  # nothing depends on the ranks of a single component
        _code_ranks(mode, U, K, gh, gw, stride, rank_max, M)
    spent[1] = M.position
    active = np.empty(gh * gw, np.int32)
    count = 0
    for y in range(gh):
        for x in range(gw):
            m = (y + 2) * stride + x + 2
            if K[m] > 0:
                active[count] = m
                count += 1
    A = np.zeros((rank_stop, size), np.uint8)
    slopes, reaches = _slopes(U[0], active, count, stride), _reaches(K, active, count, stride)
    for r in range(1, rank_stop):
        kept = _ZERO
        for i in range(count):
            m = active[i]
            active[kept] = m
            kept += 1 if K[m] >= r else 0
        count = kept
        if count == 0 or M.overrun:
            break
        _code_component(mode, r, active, count, U, A, K, S, slopes, reaches, table, stride, M)
        spent[r + 1] = M.position


@_jit
def _start(M):
    """Prepare the range coder for decoding."""
    M.range = 0xFFFFFFFF
    for i in range(4):
        byte = simd.peek(M.address + i) if i < M.capacity else np.int64(0)
        M.low = (M.low << 8) | byte
    M.position = 4


@_jit
def _finish(M):
    """Write the fewest bytes that name a number inside the final range; return the length."""
    low = M.low
    last = low + M.range - 1
    kept = 4
    value = low
    for n in range(4):
        unit = np.int64(1) << (32 - 8 * n)
        value = (low + unit - 1) & -unit
        if value <= last:
            kept = n
            break
        value = low
    position = M.position
    if value >> 32:
        _carry(M, position)
    for n in range(kept):
        simd.poke(M.address + position + n, (value >> (24 - 8 * n)) & 255)
    return position + kept


# ---- launchers -------------------------------------------------------------------------------------------------------

# A symbol has at most this many bins, and a bin costs at most 11 bits (probabilities are kept above 32 / 65536).
_BINS_PER_ESCAPE = 2 * ESCAPE_BITS + 4


def _record(model: np.ndarray) -> np.void:
    """The one record of a model; with the JIT disabled one whose fields are attributes in plain Python too."""
    return model.view(np.recarray)[0] if numba.config.DISABLE_JIT else model[0]


def _attach(model: np.ndarray, buffer: np.ndarray) -> None:
    """Give a model the bytes to write or read.

    The address goes into the record: as an argument, the array was counted in and out once per bin, and these two
    atomic operations took a tenth of the time of a bin.
    """
    model["address"], model["capacity"] = buffer.ctypes.data, buffer.size


def encode_factors(
    padded: np.ndarray,
    ranks: np.ndarray,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    model: np.ndarray | None = None,
) -> bytes:
    """Counterpart of :func:`imfnb.entropy.reference.encode_factors`."""
    rank_max = int(ranks.max()) + 1
    _, stride = padded_size(grid_h, grid_w)
    bins = int(np.minimum(np.abs(padded[1:rank_max]), UNARY + _BINS_PER_ESCAPE).sum(dtype=np.int64))
    bins += int(ranks.sum(dtype=np.int64)) + grid_h * grid_w * (2 * UNARY + 2 * _BINS_PER_ESCAPE)
    buffer = np.zeros(64 + (bins * 3 * 11) // 16, np.uint8)
    table = component_table(patch_size)
    model = initial_model() if model is None else model
    record = _record(model)
    _attach(model, buffer)
    spent = np.zeros(len(table) + 1, np.int64)
    _run(ENCODE, padded, ranks, grid_h, grid_w, stride, rank_max, rank_max, table, record, spent)
    end = _finish(record)
    return bytes([rank_max - 1]) + buffer[:end].tobytes()


def decode_factors(
    data: bytes,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    max_rank: int | None = None,
    spent: np.ndarray | None = None,
    model: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Counterpart of :func:`imfnb.entropy.reference.decode_factors`."""
    size, stride = padded_size(grid_h, grid_w)
    table = component_table(patch_size)
    rank_max = min(data[0] + 1, len(table)) if data else 1
    rank_stop = rank_max if max_rank is None else max(1, min(rank_max, max_rank))
    buffer = np.frombuffer(data, np.uint8)[1:].copy()
    padded, ranks = np.zeros((rank_stop, size), np.int16), np.zeros(size, np.int32)
    spent = np.zeros(len(table) + 1, np.int64) if spent is None else spent
    model = initial_model() if model is None else model
    record = _record(model)
    _attach(model, buffer)
    _start(record)
    _run(DECODE, padded, ranks, grid_h, grid_w, stride, rank_max, rank_stop, table, record, spent)
    return padded, ranks, bool(model["overrun"][0]) or not data
