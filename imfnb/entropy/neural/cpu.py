"""The second coder of U, one thread of Numba: one traversal for ENCODE and DECODE.

Order: component 0 (median edge detector, residual coded), the map of active ranks, then component by component only
those patches whose rank reaches it; of a patch's last component the zero flag is not coded.

Safety in DECODE: the work is bounded by grid and rank_max, a magnitude by the escape's exponent; every index comes
from clamped quantities, never from bytes directly; reads beyond the data give zeros and set the sticky flag.
"""

from __future__ import annotations

import numpy as np

from ...format.context_model import (
    ESCAPE_BITS,
    FIRST_LIMIT,
    NODES,
    RANK_TYPES,
    TYPES,
    UNARY,
)
from ...format.neural_model import (
    BAND,
    CONTEXTS,
    DIAGONAL,
    DIRECTION,
    FIRST,
    GROUP,
    INPUTS,
    LAST_RATE,
    LAST_START,
    LEFT,
    LOGARITHM,
    MAP_0_START,
    MAP_1_START,
    MIX_RATE,
    NEAR_LIMIT,
    NET_AC,
    NET_DC,
    NET_LEVELS,
    NET_RANK,
    NET_SIGN,
    NET_START,
    POSITION,
    POSITIONS,
    PRESENT,
    RELATIVES,
    RING,
    SECOND,
    SEEN,
    SET_0_START,
    SET_1_START,
    SLOTS,
    STATE_START,
    SUM_LIMIT,
    UP,
    relation_table,
)
from ...format.probability import COUNT_LIMIT, MAP_SHIFT, MIX_SHIFT, RATE, STRETCH_LIMIT, WEIGHT_LIMIT
from ...runtime.jit import kernel
from .. import simd as simd_bytes
from ..cpu import (
    COUNT_MASK,
    SQUASH,
    STATE_ONE,
    STATE_SHIFT,
    STRETCH,
    _attach,
    _bit_length,
    _finish,
    _get,
    _level,
    _median_edge,
    _put,
    _raw,
    _record,
    _sign3,
    _signed_level,
    _start,
    _type_class,
    _u,
)
from ..layout import DECODE, ENCODE, padded_size
from ..model import COUNT_BITS
from . import simd
from .model import initial_model

__all__ = ["decode_factors", "encode_factors"]

# As int64 scalars, for the reason that `imfnb.entropy.cpu` gives.
_STATE_DC, _STATE_DCS, _STATE_RANK, _STATE_AC, _STATE_ACS = map(np.int64, STATE_START[:5])
_W0_DC, _W0_DCS, _W0_RANK, _W0_AC, _W0_ACS = map(np.int64, SET_0_START[:5])
_W1_DC, _W1_DCS, _W1_RANK, _W1_AC, _W1_ACS = map(np.int64, SET_1_START)
_LAST_DC, _LAST_DCS, _LAST_RANK, _LAST_AC, _LAST_ACS = map(np.int64, LAST_START[:5])
_M0_DC, _M0_DCS, _M0_RANK, _M0_AC, _M0_ACS = map(np.int64, MAP_0_START[:5])
_M1_DC, _M1_DCS, _M1_RANK, _M1_AC, _M1_ACS = map(np.int64, MAP_1_START)
_SLOTS_DC, _SLOTS_DCS, _SLOTS_RANK, _SLOTS_AC, _SLOTS_ACS = SLOTS
_ROWS_DC, _ROWS_RANK, _ROWS_AC, _ROWS_SIGN = map(np.int64, NET_START[:4])
_DC, _RANK, _AC, _SIGN = map(np.int64, (NET_DC, NET_RANK, NET_AC, NET_SIGN))
_ZERO, _ONE = np.int64(0), np.int64(1)

_jit = kernel(error_model="numpy")
_inline = kernel(error_model="numpy", forceinline=True)


@_inline
def _seen(value):
    """What a network sees of a number."""
    seen = np.int64(LOGARITHM[_u(min(abs(value), 16383))])
    return seen if value >= 0 else -seen


@_inline
def _seen_size(value):
    """What a network sees of a number >= 0."""
    return LOGARITHM[_u(min(value, 16383))]


@_inline
def _net_level(net):
    return min(max((net + 1024) >> 7, 0), NET_LEVELS - 1)


@_jit
def _keep(row, target, M):
    """Keep what a network sees, its row and what is to be said, as numbers of 16 bits: for training."""
    for k in range(SEEN + 2):
        value = np.int64(M.seen[k]) if k < SEEN else row if k == SEEN else target
        simd_bytes.poke(M.sink, value & 255)
        simd_bytes.poke(M.sink + 1, (value >> 8) & 255)
        M.sink += 2


@_inline
def _ask(number, row, target, M):
    """Let a network say what it makes of what it sees; `target` is what it should foresee, known to encoders only."""
    if M.sink:
        _keep(row, target, M)
    layers, biases = (M.layer_1, M.layer_2, M.layer_3), (M.bias_1, M.bias_2, M.bias_3)
    simd.network(M.seen, layers, biases, number, row, M.said)


# ---- one bin ---------------------------------------------------------------------------------------------------------


@_inline
def _bin(mode, bit, t, net, a, b, last, m0, m1, M):
    """Code one modelled bin; return the bit. a, b, last, m0, m1: rows of weights and maps."""
    a, b, last = a * INPUTS, b * INPUTS, last * 2
    za, zb = simd.mix(M.states, M.ix, t, STATE_SHIFT, STRETCH, net, M.st, M.weights, a, b)
    wa, wb = np.int64(M.last[_u(last)]), np.int64(M.last[_u(last + 1)])
    z = (za * wa + zb * wb) >> 16
    z = min(max(z, -STRETCH_LIMIT), STRETCH_LIMIT) + STRETCH_LIMIT + 1
    mixed = np.int64(SQUASH[_u(z)])
    part = z & 127
    m0, m1 = m0 * NODES + (z >> 7), m1 * NODES + (z >> 7)
    near = np.int64(M.maps[_u(m0)]) + M.maps[_u(m1)]
    far = np.int64(M.maps[_u(m0 + 1)]) + M.maps[_u(m1 + 1)]
    refined = (near * (128 - part) + far * part) >> 7
    p = min(max((2 * mixed + refined + 2) >> 2, 32), 65504)
    if mode == DECODE:
        bit = _get(p, M)
    else:
        _put(bit, p, M)
    target = STATE_ONE * bit
    for k in range(CONTEXTS):
        i = _u(M.ix[k] + t)
        s = np.int64(M.states[i])
        n = s & COUNT_MASK
        change = ((target - (s >> COUNT_BITS)) * RATE[_u(n)]) >> 16
        M.states[i] = s + (change << COUNT_BITS) + (1 if n < COUNT_LIMIT else 0)
    one = bit << 16
    simd.train(M.weights, a, M.st, ((one - np.int64(SQUASH[_u(za + STRETCH_LIMIT + 1)])) * MIX_RATE) >> 4, MIX_SHIFT)
    simd.train(M.weights, b, M.st, ((one - np.int64(SQUASH[_u(zb + STRETCH_LIMIT + 1)])) * MIX_RATE) >> 4, MIX_SHIFT)
    error = ((one - mixed) * LAST_RATE) >> 4
    half = 1 << (MIX_SHIFT - 1)
    M.last[_u(last)] = min(max(wa + ((za * error + half) >> MIX_SHIFT), -WEIGHT_LIMIT), WEIGHT_LIMIT)
    M.last[_u(last + 1)] = min(max(wb + ((zb * error + half) >> MIX_SHIFT), -WEIGHT_LIMIT), WEIGHT_LIMIT)
    node = part >> 6
    for m in (m0, m1):
        i = _u(m + node)
        q = np.int64(M.maps[i])
        M.maps[i] = q + ((one - bit - q) >> MAP_SHIFT)
    return bit


# ---- magnitudes ------------------------------------------------------------------------------------------------------


@_inline
def _classed(mode, bit, t, net, a, sa, b, last, m0, m1, M):
    """Code a bin whose rows depend on the class of its type; sa is the stride of a class among rows a."""
    c = _type_class(t)
    return _bin(mode, bit, t, net, a + sa * c, b + c, last + min(t, 7), m0 + c, m1 + c, M)


@_jit
def _escape(mode, rest, net, a, sa, b, last, m0, m1, M):
    """Code rest >= 0 by exponent and mantissa; bounded by 2**(ESCAPE_BITS + 1)."""
    value = rest + 1
    e = _ZERO
    while e < ESCAPE_BITS:
        t = UNARY + 1 + min(e, 3)
        if not _classed(mode, 1 if (value >> (e + 1)) > 0 else 0, t, net, a, sa, b, last, m0, m1, M):
            break
        e += 1
    out = _ONE
    for k in range(e - 1, -1, -1):
        bit = (value >> k) & 1
        if k == e - 1:
            bit = _classed(mode, bit, np.int64(TYPES - 1), _ZERO, a, sa, b, last, m0, m1, M)
        else:
            bit = _raw(mode, bit, M)
        out = 2 * out + bit
    return out - 1


# ---- component 0 -----------------------------------------------------------------------------------------------------


@_inline
def _residual_inputs(w, n, nw, ne, ww, nn, nee, nne, ew, en, ene, enw, eww, enn, M):
    """Show the network what is around a value of component 0; return what it is the residual of, and a blend."""
    guess = _median_edge(w, n, nw)
    blend = 3 * (w + n) + ne - nw + ((w - ww) + (n - nn)) // 2 - 6 * guess
    seen = M.seen
    signed = (
        w - guess,
        n - guess,
        nw - guess,
        ne - guess,
        ww - guess,
        nn - guess,
        blend,
        ew,
        en,
        ene,
        enw,
        nee - guess,
    )
    for k in range(12):
        value = _seen(signed[k])
        seen[k] = value
        seen[12 + k] = abs(value)
    seen[24] = _seen_size(abs(eww))
    seen[25] = _seen_size(abs(enn))
    seen[26] = _seen_size(abs(ew) + abs(en) + abs(ene) + abs(enw))
    seen[27] = _seen_size(abs(w - ww))
    seen[28] = _seen_size(abs(n - nn))
    seen[29] = _seen_size(abs(ne - nne))
    seen[30] = _seen_size(abs(w - nw) + abs(n - nw) + abs(ne - n))
    seen[31] = _seen_size(abs(ne - n))
    return guess, blend


@_inline
def _companion_residual(B, m, stride, M):
    """Show the network what is in the same place of component 0 of the companion, B (int32, padded)."""
    seen = M.seen
    c, w, n = np.int64(B[m]), np.int64(B[m - 1]), np.int64(B[m - stride])
    value = _seen(c - _median_edge(w, n, np.int64(B[m - stride - 1])))
    seen[32] = value
    seen[33] = abs(value)
    seen[34] = _seen_size(abs(np.int64(B[m + 1]) - c) + abs(np.int64(B[m + stride]) - c))
    seen[35] = PRESENT


@_inline
def _residual_contexts(w, n, nw, ne, ww, nn, ew, en, ene, enw, blend, M):
    """Set the contexts of a residual's zero flag and magnitude; return the activity."""
    dw, dn, dne = abs(w - nw), abs(n - nw), abs(ne - n)
    far = abs(w - ww) + abs(n - nn)
    errors = abs(ew) + abs(en)
    activity = _level(dw + dn + dne + far + errors)
    s, z = _STATE_DC, _SLOTS_DC * TYPES
    M.ix[0] = s + _level(errors + abs(ene) + abs(enw)) * TYPES
    M.ix[1] = s + z + (_level(dw) * 16 + _level(dn)) * TYPES
    M.ix[2] = s + 2 * z + (_level(dne) * 16 + _level(abs(en))) * TYPES
    M.ix[3] = s + 3 * z + (_level(abs(blend)) * 16 + activity) * TYPES
    M.ix[4] = s + 4 * z + (_level(abs(ew)) * 16 + _level(abs(en))) * TYPES
    M.ix[5] = s + 5 * z + (_level(far) * 16 + _level(dw + dn)) * TYPES
    M.ix[6] = s + 6 * z + (_net_level(M.said[0]) * 16 + activity) * TYPES
    return activity


@_inline
def _residual_sign_contexts(guess, blend, w, n, nw, ne, ww, nn, ew, en, ene, enw, M):
    """Set the contexts of the sign of a residual; return the level of the blend."""
    s, z = _STATE_DCS, _SLOTS_DCS
    b = _signed_level(blend)
    M.ix[0] = s + b * 11 + _signed_level(ew + en)
    M.ix[1] = s + z + _signed_level(ew) * 11 + _signed_level(en)
    M.ix[2] = s + 2 * z + _signed_level(w - nw) * 11 + _signed_level(n - nw)
    M.ix[3] = s + 3 * z + _signed_level(ne - n) * 11 + b
    M.ix[4] = s + 4 * z + _signed_level(w - ww) * 11 + _signed_level(n - nn)
    M.ix[5] = s + 5 * z + _signed_level(ene) * 11 + _signed_level(enw)
    M.ix[6] = s + 6 * z + _signed_level(ne - n) * 11 + _signed_level(w - guess)
    return b


@_jit
def _code_first(mode, D, E, B, gh, gw, stride, long, M):
    """Code component 0, an image D of indices, in raster order; E keeps its residuals; B is that of the companion, or
    has no values. All int32, padded.
    """
    for y in range(gh):
        base = (y + 2) * stride + 2
        if y:
            D[base - 1] = D[base - 2] = D[base - stride]
        for x in range(gw):
            m = base + x
            if y:
                n, nw, ne = np.int64(D[m - stride]), np.int64(D[m - stride - 1]), np.int64(D[m - stride + 1])
                w, ww = np.int64(D[m - 1]), np.int64(D[m - 2])
                nn = np.int64(D[m - 2 * stride]) if y > 1 else n
                nne = np.int64(D[m - 2 * stride + 1]) if y > 1 else ne
                nee = np.int64(D[m - stride + 2]) if x + 2 < gw else ne
            else:
                w = np.int64(D[m - 1]) if x else _ZERO
                ww = np.int64(D[m - 2]) if x > 1 else w
                n = nw = ne = nn = nne = nee = w
            ew, en = np.int64(E[m - 1]), np.int64(E[m - stride])
            ene, enw = np.int64(E[m - stride + 1]), np.int64(E[m - stride - 1])
            eww, enn = np.int64(E[m - 2]), np.int64(E[m - 2 * stride])
            guess, blend = _residual_inputs(w, n, nw, ne, ww, nn, nee, nne, ew, en, ene, enw, eww, enn, M)
            if B.size:
                _companion_residual(B, m, stride, M)
            e = np.int64(D[m]) - guess if mode != DECODE else _ZERO
            _ask(_DC, _ROWS_DC + long, e, M)
            activity = _residual_contexts(w, n, nw, ne, ww, nn, ew, en, ene, enw, blend, M)
            b, m0 = _W1_DC + 8 * activity, _M0_DC + 8 * activity
            a = abs(e)
            net = np.int64(M.said[0])
            m1 = _M1_DC + 8 * _net_level(net)
            if _bin(mode, 1 if a else 0, _ZERO, net, _W0_DC, b, _LAST_DC, m0, m1, M):
                for i in range(CONTEXTS):
                    M.kept[i] = M.ix[i]
                level = _residual_sign_contexts(guess, blend, w, n, nw, ne, ww, nn, ew, en, ene, enw, M)
                net = np.int64(M.said[1])
                rows = _W1_DCS + level, _M0_DCS + level, _M1_DCS + _net_level(net)
                sign = _bin(mode, 1 if e < 0 else 0, _ZERO, net, _W0_DCS, rows[0], _LAST_DCS, rows[1], rows[2], M)
                for i in range(CONTEXTS):
                    M.ix[i] = M.kept[i]
                first = 8 if sign else 1
                t = _ONE
                while t <= UNARY:
                    net = np.int64(M.said[_u(first + min(t, 7))])
                    m1 = _M1_DC + 8 * _net_level(net)
                    if not _classed(mode, 1 if a > t else 0, t, net, _W0_DC, _ONE, b, _LAST_DC, m0, m1, M):
                        break
                    t += 1
                if t > UNARY:
                    net = np.int64(M.said[_u(first + 7)])
                    m1 = _M1_DC + 8 * _net_level(net)
                    t += _escape(mode, a - t, net, _W0_DC, _ONE, b, _LAST_DC, m0, m1, M)
                e = -t if sign else t
            else:
                e = _ZERO
            E[m] = e
            if mode == DECODE:
                D[m] = min(max(guess + e, -FIRST_LIMIT), FIRST_LIMIT)
        _edge(D, base, gw, y)
    _ends(D, gh, stride)


@_jit
def _edge(D, base, gw, y):
    """Continue a row of component 0 to both sides once it is known."""
    D[base + gw] = D[base + gw + 1] = D[base + gw - 1]
    if y == 0:
        D[base - 1] = D[base - 2] = D[base]


@_jit
def _ends(D, gh, stride):
    """Continue component 0 above and below."""
    for m in range((gh + 2) * stride, (gh + 3) * stride):
        D[m] = D[m - stride]
    for m in range(stride, 2 * stride):
        D[m] = D[m + stride]


@_jit
def _first_of_companion(B, gh, gw, stride):
    """Component 0 of the companion, as indices, continued as :func:`_code_first` does; int32."""
    D = np.zeros(B.shape[1] if B.shape[0] else 0, np.int32)
    if D.size:
        for y in range(gh):
            base = (y + 2) * stride + 2
            for x in range(gw):
                D[base + x] = B[0, base + x]
            if y:
                D[base - 1] = D[base - 2] = D[base - stride]
            _edge(D, base, gw, y)
        _ends(D, gh, stride)
    return D


# ---- active ranks ----------------------------------------------------------------------------------------------------


@_inline
def _rank_inputs(D, K, m, y, gh, s, M):
    """Show the network what is around a rank, set its contexts and return the level of the mean."""
    w, n, nw, ne = np.int64(K[m - 1]), np.int64(K[m - s]), np.int64(K[m - s - 1]), np.int64(K[m - s + 1])
    ww, nn = np.int64(K[m - 2]), np.int64(K[m - 2 * s])
    nee, nww = np.int64(K[m - s + 2]), np.int64(K[m - s - 2])
    nnw, nne = np.int64(K[m - 2 * s - 1]), np.int64(K[m - 2 * s + 1])
    c, e = np.int64(D[m]), np.int64(D[m + 1])
    dw, dn, ds = np.int64(D[m - 1]), np.int64(D[m - s]), np.int64(D[m + s])
    dnw, dne, dsw, dse = np.int64(D[m - s - 1]), np.int64(D[m - s + 1]), np.int64(D[m + s - 1]), np.int64(D[m + s + 1])
    total = 3 * (w + n) + ne + nw
    seen = M.seen
    seen[0] = _seen_size(w)
    seen[1] = _seen_size(n)
    seen[2] = _seen_size(nw)
    seen[3] = _seen_size(ne)
    seen[4] = _seen_size(ww)
    seen[5] = _seen_size(nn)
    seen[6] = _seen_size(nee)
    seen[7] = _seen_size(nnw)
    seen[8] = _seen_size(nne)
    seen[9] = _seen_size(nww)
    seen[10] = _seen_size(total >> 1)
    across = abs(e - dw)
    seen[11] = _seen_size(across)
    down = abs(ds - dn)
    seen[12] = _seen_size(down)
    seen[13] = _seen_size(abs(2 * c - e - dw))
    seen[14] = _seen_size(abs(2 * c - ds - dn))
    seen[15] = _seen_size(abs(c - e))
    seen[16] = _seen_size(abs(c - dw))
    seen[17] = _seen_size(abs(c - ds))
    seen[18] = _seen_size(abs(c - dn))
    seen[19] = _seen_size(abs(c - dse))
    seen[20] = _seen_size(abs(c - dsw))
    seen[21] = _seen_size(abs(c - dne))
    seen[22] = _seen_size(abs(c - dnw))
    bend = abs(e + dw + ds + dn - 4 * c)
    seen[23] = _seen_size(bend)
    seen[24] = _seen_size(abs(e - D[m + 2]))
    seen[25] = _seen_size(abs(dse - ds))
    seen[26] = _seen_size(abs(ds - dsw))
    seen[27] = _seen_size(abs(dw - D[m - 2]))
    seen[28] = _seen_size(abs(ds - D[m + 2 * s]) if y + 2 < gh else _ZERO)
    seen[29] = _seen_size(abs(dn - D[m - 2 * s]) if y > 1 else _ZERO)
    seen[30] = _seen_size(abs(dse + dnw - 2 * c))
    seen[31] = _seen_size(abs(dsw + dne - 2 * c))
    mean = (total + 4) >> 3
    horizontal, vertical = _level(across), _level(down)
    slope, q = _level(across + down), _level(mean)
    lw = _level(w)
    start, z = _STATE_RANK, _SLOTS_RANK * RANK_TYPES
    M.ix[0] = start + (lw * 16 + _level(n)) * RANK_TYPES
    M.ix[1] = start + z + (q * 16 + slope) * RANK_TYPES
    M.ix[2] = start + 2 * z + (_level(ne) * 16 + _level(nw)) * RANK_TYPES
    M.ix[3] = start + 3 * z + (horizontal * 16 + vertical) * RANK_TYPES
    M.ix[4] = start + 4 * z + (_level(bend) * 16 + slope) * RANK_TYPES
    M.ix[5] = start + 5 * z + (lw * 16 + _level(ww)) * RANK_TYPES
    M.ix[6] = start + 6 * z + min(mean, 255) * RANK_TYPES
    return q


@_inline
def _rank_bin(mode, bit, t, net, b, M):
    """Code a bin of a rank; b: its row among those of its neighbours' mean."""
    m1 = _M1_RANK + t * NET_LEVELS + _net_level(net)
    return _bin(mode, bit, t, net, _W0_RANK + t, _W1_RANK + b, _LAST_RANK + t, _M0_RANK + b, m1, M)


@_jit
def _code_ranks(mode, D, K, gh, gw, stride, rank_max, long, M):
    """Code the map of active ranks: bit length in unary, then the mantissa. K is int32, padded, 0 .. rank_max - 1."""
    longest = _bit_length(rank_max - 1)
    for k in range(32, SEEN):
        M.seen[k] = 0
    for y in range(gh):
        for x in range(gw):
            m = (y + 2) * stride + x + 2
            q = _rank_inputs(D, K, m, y, gh, stride, M)
            k = np.int64(K[m]) if mode != DECODE else _ZERO
            _ask(_RANK, _ROWS_RANK + long, k, M)
            length = _bit_length(k)
            size = _ZERO
            while size < longest:
                g = min(size, 7)
                if not _rank_bin(mode, 1 if length > size else 0, size, np.int64(M.said[_u(g)]), 16 * g + q, M):
                    break
                size += 1
            if size > 1:
                value = _ONE
                for j in range(size - 2, -1, -1):
                    bit = (k >> j) & 1
                    if j == size - 2:
                        bit = _rank_bin(mode, bit, 7 + size, np.int64(M.said[_u(min(6 + size, 14))]), 112 + q, M)
                    elif j == size - 3:
                        t = 10 + 2 * size + (value & 1)
                        bit = _rank_bin(mode, bit, t, np.int64(M.said[15]), 112 + q, M)
                    else:
                        bit = _raw(mode, bit, M)
                    value = 2 * value + bit
                size = value
            if mode == DECODE:
                K[m] = min(size, rank_max - 1)


# ---- components from 1 on --------------------------------------------------------------------------------------------


@_inline
def _component_inputs(m, r, relations, mean, run, D, A, K, S, Q, F, stride, M):
    """Show the network what is around an entry of component r.

    D (int32): component 0; A (uint8, as U): magnitudes up to NEAR_LIMIT; S, Q (int16): sums of those of a patch, all
    and fading; F (int16): fading sums of those whose frequencies have the direction of r.
    """
    seen = M.seen
    C, P1, P2 = A[r], A[relations[FIRST]], A[relations[SECOND]]
    e, s = m + 1, m + stride
    w, n = m - 1, m - stride
    seen[0] = _seen_size(np.int64(C[_u(w)]))
    seen[1] = _seen_size(np.int64(C[_u(n)]))
    seen[2] = _seen_size(np.int64(C[_u(n - 1)]))
    seen[3] = _seen_size(np.int64(C[_u(n + 1)]))
    seen[4] = _seen_size(np.int64(P1[_u(m)]))
    seen[5] = _seen_size(np.int64(P2[_u(m)]))
    seen[6] = _seen_size(np.int64(A[relations[DIAGONAL], _u(m)]))
    seen[7] = _seen_size(np.int64(A[relations[UP], _u(m)]))
    seen[8] = _seen_size(np.int64(A[relations[LEFT], _u(m)]))
    seen[9] = _seen_size(np.int64(A[r - 1, _u(m)]))
    seen[10] = _seen_size(np.int64(P1[_u(n)]))
    seen[11] = _seen_size(np.int64(P1[_u(s)]))
    seen[12] = _seen_size(np.int64(P2[_u(w)]))
    seen[13] = _seen_size(np.int64(P2[_u(e)]))
    seen[14] = _seen_size(np.int64(P2[_u(s)]))
    seen[15] = _seen_size(np.int64(S[_u(m)]))
    seen[16] = _seen_size(np.int64(Q[_u(m)]) >> 3)
    seen[17] = _seen_size(np.int64(S[_u(w)]) + S[_u(n)])
    seen[18] = _seen_size(np.int64(S[_u(e)]) + S[_u(s)])
    seen[19] = _seen_size(np.int64(Q[_u(n)]) >> 3)
    here = np.int64(K[_u(m)]) - r
    seen[20] = _seen_size(here)
    above = r - 1
    east, south = max(np.int64(K[_u(e)]) - above, 0), max(np.int64(K[_u(s)]) - above, 0)
    seen[21] = _seen_size(east)
    seen[22] = _seen_size(south)
    c, dw, de, dn, ds = (
        np.int64(D[_u(m)]),
        np.int64(D[_u(w)]),
        np.int64(D[_u(e)]),
        np.int64(D[_u(n)]),
        np.int64(D[_u(s)]),
    )
    seen[23] = _seen_size(abs(de - dw))
    seen[24] = _seen_size(abs(ds - dn))
    seen[25] = _seen_size(abs(2 * c - de - dw))
    seen[26] = _seen_size(abs(2 * c - ds - dn))
    seen[27] = _seen_size(np.int64(F[_u(m)]) >> 3)
    seen[28] = _seen_size((np.int64(F[_u(w)]) + F[_u(e)]) >> 3)
    seen[29] = _seen_size(mean)
    seen[30] = _seen_size(run >> 6)
    corners = max(np.int64(K[_u(n - 1)]) - above, 0) + max(np.int64(K[_u(n + 1)]) - above, 0)
    corners += max(np.int64(K[_u(s - 1)]) - above, 0) + max(np.int64(K[_u(s + 1)]) - above, 0)
    seen[31] = _seen_size(corners)


@_inline
def _companion_magnitudes(C, N, m, r, stride, M):
    """Show the network a component C of the companion around a position; N (int32): the companion's ranks."""
    seen = M.seen
    seen[32] = _seen_size(abs(np.int64(C[_u(m)])))
    seen[33] = _seen_size(max(np.int64(N[_u(m)]) - r + 1, 0))
    seen[34] = _seen_size(abs(np.int64(C[_u(m + 1)])) + abs(np.int64(C[_u(m + stride)])))
    seen[35] = PRESENT


@_jit
def _code_component(mode, r, active, count, U, D, A, K, S, Q, F, B, G, N, means, relations, row, stride, M):
    """Code component r over the `count` active positions; return its mean magnitude, in 1/16.

    means (int64): the mean magnitudes of components; `row` is that of the
    biases. D to F are those of :func:`_component_inputs`, B, G and N the companion, its component 0 and its ranks.
    """
    C, own = U[r], A[r]
    first, second = relations[FIRST], relations[SECOND]
    direction, group = np.int64(relations[DIRECTION]), np.int64(relations[GROUP])
    ring, position, band = np.int64(relations[RING]), np.int64(relations[POSITION]), np.int64(relations[BAND])
    P1, P2 = A[first], A[second]
    mean = (means[first] + means[second]) >> 1
    run, total = mean << 6, _ZERO
    seen_, known = M.seen, G.size > 0
    none = np.zeros(U.shape[1] if known else 0, np.int16)
    for i in range(count):
        m = np.int64(active[_u(i)])
        _component_inputs(m, r, relations, mean, run, D, A, K, S, Q, F, stride, M)
        if known:
            _companion_magnitudes(B[r] if r < B.shape[0] else none, N, m, r, stride, M)
        else:
            for k in range(32, SEEN):
                seen_[k] = 0
        value = np.int64(C[_u(m)]) if mode != DECODE else _ZERO
        k = abs(value)
        _ask(_AC + band, row, 2 * k + (1 if K[_u(m)] == r else 0), M)
        w, n = np.int64(own[_u(m - 1)]), np.int64(own[_u(m - stride)])
        nw, ne = np.int64(own[_u(m - stride - 1)]), np.int64(own[_u(m - stride + 1)])
        beside = _level(2 * (w + n) + nw + ne)
        a0, a1 = np.int64(P1[_u(m)]), np.int64(P2[_u(m)])
        left = np.int64(K[_u(m)]) - r
        lk = min(_level(left), 9)
        net = np.int64(M.said[0])
        level = _net_level(net)
        before = (min(w, 3) * 4 + min(n, 3)) * 4 + min(nw, 1) * 2 + min(ne, 1)
        inside = _level(np.int64(S[_u(m)]))
        s, z = _STATE_AC, _SLOTS_AC * TYPES
        M.ix[0] = s + (position * 16 + level) * TYPES
        M.ix[1] = s + z + (before * 3 + direction) * TYPES
        M.ix[2] = s + 2 * z + ((min(inside, 11) * 10 + lk) * 6 + ring) * TYPES
        M.ix[3] = s + 3 * z + (position * 10 + lk) * TYPES
        M.ix[4] = s + 4 * z + (((min(a0, 3) * 4 + min(a1, 3)) * 7 + min(beside, 6)) * 6 + ring) * TYPES
        M.ix[5] = s + 5 * z + ((level * 8 + min(lk, 7)) * 6 + ring) * TYPES
        M.ix[6] = s + 6 * z + (level * 16 + _net_level(M.said[1])) * TYPES
        activity = _level(2 * (w + n + a0 + a1) + nw + ne + S[_u(m)])
        a, b = _W0_AC + 8 * group, _W1_AC + 8 * min(lk, 7)
        m0, m1 = _M0_AC + 8 * (2 * activity + (1 if left > 2 else 0)), _M1_AC + 8 * position
        t = _ZERO if left else _ONE
        while t <= UNARY:
            net = np.int64(M.said[_u(min(t, 7))])
            c = _type_class(t)
            last = _LAST_AC + (POSITIONS + min(t, 7) if t else position)
            rows = b + 64 * _net_level(net) + c
            if not _bin(mode, 1 if k > t else 0, t, net, a + c, rows, last, m0 + c, m1 + c, M):
                break
            t += 1
        if t > UNARY:
            net = np.int64(M.said[7])
            last = _LAST_AC + POSITIONS
            t += _escape(mode, k - t, net, a, _ONE, b + 64 * _net_level(net), last, m0, m1, M)
        if t:
            negative = _component_sign(mode, 1 if value < 0 else 0, t, m, r, relations, U, D, B, G, stride, M)
            if mode == DECODE:
                C[_u(m)] = -t if negative else t
        seen = min(t, NEAR_LIMIT)
        own[_u(m)] = seen
        S[_u(m)] = min(np.int64(S[_u(m)]) + seen, SUM_LIMIT)
        Q[_u(m)] = ((np.int64(Q[_u(m)]) * 13) >> 4) + 8 * seen
        F[_u(m)] = ((np.int64(F[_u(m)]) * 3) >> 2) + 8 * seen
        total += seen
        run += ((seen << 10) - run) >> 6
    return (16 * total) // count


@_inline
def _sign_inputs(m, size, r, relations, U, D, stride, M):
    """Show the network of signs what is around an entry of magnitude `size` of component r."""
    seen = M.seen
    e, w, n, s = m + 1, m - 1, m - stride, m + stride
    c = np.int64(D[_u(m)])
    seen[0] = _seen(np.int64(D[_u(e)]) - c)
    seen[1] = _seen(np.int64(D[_u(w)]) - c)
    seen[2] = _seen(np.int64(D[_u(s)]) - c)
    seen[3] = _seen(np.int64(D[_u(n)]) - c)
    seen[4] = _seen(np.int64(D[_u(s + 1)]) - c)
    seen[5] = _seen(np.int64(D[_u(s - 1)]) - c)
    seen[6] = _seen(np.int64(D[_u(n + 1)]) - c)
    seen[7] = _seen(np.int64(D[_u(n - 1)]) - c)
    for k in range(11):
        other = relations[RELATIVES + k]
        seen[8 + k] = _seen(np.int64(U[other, _u(m)])) if other else 0
    for k in range(2):
        other = relations[k]
        P, there = U[other], other > 0
        seen[19 + 4 * k] = _seen(np.int64(P[_u(e)])) if there else 0
        seen[20 + 4 * k] = _seen(np.int64(P[_u(w)])) if there else 0
        seen[21 + 4 * k] = _seen(np.int64(P[_u(s)])) if there else 0
        seen[22 + 4 * k] = _seen(np.int64(P[_u(n)])) if there else 0
    C = U[r]
    seen[27] = _seen(np.int64(C[_u(w)]))
    seen[28] = _seen(np.int64(C[_u(n)]))
    seen[29] = _seen(np.int64(C[_u(n - 1)]))
    seen[30] = _seen(np.int64(C[_u(n + 1)]))
    seen[31] = _seen_size(size)
    for k in range(32, SEEN):
        seen[k] = 0


@_inline
def _companion_sign(m, r, relations, U, D, B, G, stride, M):
    """Show the network of signs the entry of the companion, and what it says if both planes go together as before."""
    seen = M.seen
    value = np.int64(B[r, _u(m)])
    both = _ZERO
    c, g = np.int64(D[_u(m)]), np.int64(G[_u(m)])
    for other in (m - 1, m + 1, m - stride, m + stride):
        both += (np.int64(D[_u(other)]) - c) * (np.int64(G[_u(other)]) - g)
    for k in range(11):
        other = relations[RELATIVES + k]
        if other and other < B.shape[0]:
            both += np.int64(U[other, _u(m)]) * B[other, _u(m)]
    seen[32] = _seen(value)
    seen[33] = _seen(value if both > 0 else -value if both < 0 else _ZERO)
    seen[34] = _seen(both if value > 0 else -both if value < 0 else _ZERO)
    seen[35] = PRESENT


@_jit
def _component_sign(mode, bit, size, m, r, relations, U, D, B, G, stride, M):
    """Code the sign of an entry of magnitude `size` of component r; return whether it is negative."""
    _sign_inputs(m, size, r, relations, U, D, stride, M)
    if r < B.shape[0]:
        _companion_sign(m, r, relations, U, D, B, G, stride, M)
    position = np.int64(relations[POSITION])
    _ask(_SIGN + position, _ROWS_SIGN + position, bit, M)
    net = np.int64(M.said[0])
    level, big = _net_level(net), min(size, 4) - 1
    C = U[r]
    c, w, e = np.int64(D[_u(m)]), np.int64(D[_u(m - 1)]), np.int64(D[_u(m + 1)])
    n, south = np.int64(D[_u(m - stride)]), np.int64(D[_u(m + stride)])
    s, z = _STATE_ACS + position * 16, _SLOTS_ACS
    M.ix[0] = s + level
    M.ix[1] = s + z + _signed_level(e - w)
    M.ix[2] = s + 2 * z + _signed_level(south - n)
    M.ix[3] = s + 3 * z + _sign3(C[_u(m - 1)]) * 3 + _sign3(C[_u(m - stride)])
    M.ix[4] = s + 4 * z + _signed_level(2 * c - w - e)
    M.ix[5] = s + 5 * z + _signed_level(2 * c - n - south)
    M.ix[6] = _STATE_ACS + 6 * z + big * 16 + level
    rows = _W0_ACS + position, _W1_ACS + level, _LAST_ACS + position
    return _bin(mode, bit, _ZERO, net, rows[0], rows[1], rows[2], _M0_ACS + big, _M1_ACS + position, M)


@_jit
def _run(mode, U, K, B, N, gh, gw, stride, rank_max, rank_stop, table, M, spent):
    """Code a whole plane with the help of the companion B (int16, as U), whose ranks are N, if it has components.

    spent (int64, rank_max + 1) gets the byte position after each part (DC, ranks, 1, 2 ...).
    """
    size = U.shape[1]
    for k in range(32, SEEN):
        M.seen[k] = 0
    G = _first_of_companion(B, gh, gw, stride)
    D, E = np.zeros(size, np.int32), np.zeros(size, np.int32)
    long = _ONE if table.shape[0] > 64 else _ZERO
    if mode != DECODE:
        for m in range(size):
            D[m] = U[0, m]
    _code_first(mode, D, E, G, gh, gw, stride, long, M)
    if mode == DECODE:
        for m in range(size):
            U[0, m] = D[m]
    spent[0] = M.position
    if rank_stop > 1:  # nothing depends on the ranks of a single component
        _code_ranks(mode, D, K, gh, gw, stride, rank_max, long, M)
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
    S, Q, F = np.zeros(size, np.int16), np.zeros(size, np.int16), np.zeros((3, size), np.int16)
    means = np.zeros(rank_stop, np.int64)
    for r in range(1, rank_stop):
        kept = _ZERO
        for i in range(count):
            m = active[i]
            active[kept] = m
            kept += 1 if K[m] >= r else 0
        count = kept
        if count == 0 or M.overrun:
            break
        relations, row = table[r], _ROWS_AC + 64 * long + r
        means[r] = _code_component(
            mode,
            r,
            active,
            count,
            U,
            D,
            A,
            K,
            S,
            Q,
            F[relations[DIRECTION]],
            B,
            G,
            N,
            means,
            relations,
            row,
            stride,
            M,
        )
        spent[r + 1] = M.position


# ---- launchers -------------------------------------------------------------------------------------------------------

# A symbol has at most this many bins, and a bin costs at most 11 bits (probabilities are kept above 32 / 65536).
_BINS_PER_ESCAPE = 2 * ESCAPE_BITS + 4


def _other(companion: tuple[np.ndarray, np.ndarray] | None, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The companion's components up to its highest rank, and its ranks; without components if there is none."""
    if companion is None:
        return np.zeros((0, size), np.int16), np.zeros(0, np.int32)
    padded, ranks = companion
    return padded[: int(ranks.max()) + 1], ranks


def encode_factors(
    padded: np.ndarray,
    ranks: np.ndarray,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    companion: tuple[np.ndarray, np.ndarray] | None = None,
    model: np.ndarray | None = None,
) -> bytes:
    """Counterpart of :func:`imfnb.entropy.neural.reference.encode_factors`."""
    rank_max = int(ranks.max()) + 1
    _, stride = padded_size(grid_h, grid_w)
    bins = int(np.minimum(np.abs(padded[1:rank_max]), UNARY + _BINS_PER_ESCAPE).sum(dtype=np.int64))
    bins += int(ranks.sum(dtype=np.int64)) + grid_h * grid_w * (2 * UNARY + 2 * _BINS_PER_ESCAPE)
    buffer = np.zeros(64 + (bins * 3 * 11) // 16, np.uint8)
    table = relation_table(patch_size)
    model = initial_model() if model is None else model
    record = _record(model)
    _attach(model, buffer)
    spent = np.zeros(len(table) + 1, np.int64)
    _run(
        ENCODE,
        padded,
        ranks,
        *_other(companion, padded.shape[1]),
        grid_h,
        grid_w,
        stride,
        rank_max,
        rank_max,
        table,
        record,
        spent,
    )
    end = _finish(record)
    return bytes([rank_max - 1]) + buffer[:end].tobytes()


def decode_factors(
    data: bytes,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    max_rank: int | None = None,
    spent: np.ndarray | None = None,
    companion: tuple[np.ndarray, np.ndarray] | None = None,
    model: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Counterpart of :func:`imfnb.entropy.neural.reference.decode_factors`."""
    size, stride = padded_size(grid_h, grid_w)
    table = relation_table(patch_size)
    rank_max = min(data[0] + 1, len(table)) if data else 1
    rank_stop = rank_max if max_rank is None else max(1, min(rank_max, max_rank))
    buffer = np.frombuffer(data, np.uint8)[1:].copy()
    padded, ranks = np.zeros((rank_stop, size), np.int16), np.zeros(size, np.int32)
    spent = np.zeros(len(table) + 1, np.int64) if spent is None else spent
    model = initial_model() if model is None else model
    record = _record(model)
    _attach(model, buffer)
    _start(record)
    _run(
        DECODE,
        padded,
        ranks,
        *_other(companion, size),
        grid_h,
        grid_w,
        stride,
        rank_max,
        rank_stop,
        table,
        record,
        spent,
    )
    return padded, ranks, bool(model["overrun"][0]) or not data
