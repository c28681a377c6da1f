"""The coder of maps, one thread of Numba: one traversal for ENCODE and DECODE.

Safety in DECODE: the work is bounded by the size of the map, a symbol takes at most 39 bins; every index comes from
symbols, which are clamped, never from bytes directly; reads beyond the data give zeros and set the sticky flag.
"""

from __future__ import annotations

import numpy as np

from ...format.map_model import (
    HASH_BITS,
    HASH_END,
    HASH_STEP,
    MAP_START,
    RUN_LIMIT,
    SAME,
    SECTION_TYPES,
    SET_0_START,
    SET_1_START,
    SLOTS,
    STATE_START,
    TRUST_LIMIT,
    TRUSTED,
)
from ...format.probability import COUNT_LIMIT, PROB_BITS, RATE, STATE_BITS
from ...runtime.jit import kernel
from ..cpu import (
    _DC_STRIDES,
    _MAP_DC,
    _MAP_DCS,
    _W0_DC,
    _W0_DCS,
    _W1_DC,
    _W1_DCS,
    COUNT_MASK,
    STATE_ONE,
    UNARY,
    _attach,
    _bin,
    _escape,
    _finish,
    _get,
    _level,
    _median_edge,
    _put,
    _record,
    _residual_contexts,
    _residual_sign_contexts,
    _signed_level,
    _start,
    _type_class,
    _u,
)
from ..layout import DECODE, ENCODE
from ..model import COUNT_BITS
from .model import initial_map_model

__all__ = ["decode_map", "encode_map"]

# As int64 scalars, for the reason that `imfnb.entropy.cpu` gives.
_STATE_SAME, _W0_SAME = np.int64(STATE_START[SAME]), np.int64(SET_0_START[SAME])
_W1_SAME, _MAP_SAME = np.int64(SET_1_START[SAME]), np.int64(MAP_START[SAME])
_SAME_TYPES, _SAME_STRIDE = SECTION_TYPES[SAME], SLOTS[SAME] * SECTION_TYPES[SAME]
_ZERO, _ONE, _TWO = np.int64(0), np.int64(1), np.int64(2)
_FLAT_SHIFT = COUNT_BITS + STATE_BITS - PROB_BITS
_LARGEST = (1 << PROB_BITS) - 1
_HASH_MASK, _HASH_SHIFT = (1 << HASH_BITS) - 1, 8

# Bytes that a symbol can take: 39 bins of at most 11 bits.
_SYMBOL_BYTES = 54

_jit = kernel(error_model="numpy")


@_jit
def _flat(mode, bit, w, M):
    """Code whether a symbol in a flat area is that of its neighbours; return the bit."""
    state = np.int64(M.areas[_u(w)])
    p = min(max(state >> _FLAT_SHIFT, 1), _LARGEST)
    if mode == DECODE:
        bit = _get(p, M)
    else:
        _put(bit, p, M)
    n = state & COUNT_MASK
    probability = state >> COUNT_BITS
    probability = min(probability + bit + (((STATE_ONE * bit - probability) * RATE[_u(n)]) >> 16), STATE_ONE)
    M.areas[_u(w)] = (probability << COUNT_BITS) + min(n + 1, COUNT_LIMIT)
    return bit


@_jit
def _equal(a, b):
    return np.int64(1) if a == b else np.int64(0)


@_jit
def _place(n, w, nw, ne, ww, nn, nee):
    """The entry of the memory for these neighbours."""
    h = w
    h = (h * HASH_STEP + n + 1) & _HASH_MASK
    h = (h * HASH_STEP + nw + 1) & _HASH_MASK
    h = (h * HASH_STEP + ne + 1) & _HASH_MASK
    h = (h * HASH_STEP + ww + 1) & _HASH_MASK
    h = (h * HASH_STEP + nn + 1) & _HASH_MASK
    h = (h * HASH_STEP + nee + 1) & _HASH_MASK
    return ((h * HASH_END) >> _HASH_SHIFT) & 0xFFFF


@_jit
def _repeated(mode, s, w, n, nw, ne, ww, nn, nee, nne, nww, nnw, run_w, run_n, highest, M):
    """Code whether a symbol equals the one beside, above, or in the memory; return it, or -1 if it is none of these."""
    T, z = _SAME_TYPES, _SAME_STRIDE
    place = _place(n, w, nw, ne, ww, nn, nee)
    trust, memory = np.int64(M.trust[_u(place)]), np.int64(M.symbols[_u(place)])
    source = 0 if trust == 0 else 1 if memory == w else 2 if memory == n else 3
    near = _equal(n, w) + 2 * _equal(nw, w) + 4 * _equal(ne, w) + 8 * _equal(ww, w) + 16 * _equal(nn, w)
    alike = _equal(n, w) + _equal(nw, w) + _equal(ne, w) + _equal(ww, w) + _equal(nn, w)
    far = 32 * _equal(nee, w) + 64 * _equal(nne, w) + 128 * _equal(nww, w) + 256 * _equal(nnw, w)
    M.ix[0] = _STATE_SAME + (near + far) * T
    M.ix[1] = _STATE_SAME + z + (((64 * w) ^ (16 * n) ^ (4 * nw) ^ ne) & 511) * T
    M.ix[2] = _STATE_SAME + 2 * z + (16 * _level(abs(w - n)) + _level(abs(n - nw))) * T
    M.ix[3] = _STATE_SAME + 3 * z + (16 * _level(abs(w - ww)) + _level(abs(n - ne))) * T
    M.ix[4] = _STATE_SAME + 4 * z + (32 * run_w + 2 * run_n + _equal(n, w)) * T
    M.ix[5] = _STATE_SAME + 5 * z + (11 * _signed_level(n - nw) + _signed_level(w - nw)) * T
    M.ix[6] = _STATE_SAME + 6 * z + (16 * near + 4 * min(w, 3) + min(n, 3)) * T
    M.ix[7] = _STATE_SAME + 7 * z + (64 * source + 4 * trust + _equal(n, w) + 2 * _equal(ne, n)) * T
    found = np.int64(-1)
    if _bin(mode, _equal(s, w), _ZERO, _W0_SAME, _W1_SAME + alike, _MAP_SAME + alike, M):
        found = w
    elif highest == 1:
        found = 1 - w
    else:
        if n != w:
            alike = _equal(nw, n) + _equal(ne, n) + _equal(nn, n) + _equal(ww, n) + _equal(nne, n)
            near = _equal(nw, n) + 2 * _equal(ne, n) + 4 * _equal(nn, n) + 8 * _equal(ww, n) + 16 * _equal(nee, n)
            far = 32 * _equal(nne, n) + 64 * _equal(nww, n) + 128 * _equal(nnw, n) + 256 * _equal(ne, w)
            M.ix[0] = _STATE_SAME + (near + far) * T
            if _bin(mode, _equal(s, n), _ONE, _W0_SAME + 1, _W1_SAME + 6 + alike, _MAP_SAME + 6 + alike, M):
                found = n
        if found < 0 and trust >= TRUSTED and source == 3:
            M.ix[0] = _STATE_SAME + (16 * min(abs(memory - _median_edge(w, n, nw)), 31) + trust) * T
            if _bin(mode, _equal(s, memory), _TWO, _W0_SAME + 2, _W1_SAME + 12, _MAP_SAME + 12, M):
                found = memory
    return found


@_jit
def _remember(s, w, n, nw, ne, ww, nn, nee, M):
    """Take note of what followed these neighbours."""
    place = _u(_place(n, w, nw, ne, ww, nn, nee))
    trust = np.int64(M.trust[place])
    if trust and M.symbols[place] == s:
        M.trust[place] = min(trust + 1, TRUST_LIMIT)
    elif trust > 1:
        M.trust[place] = trust >> 1
    else:
        M.symbols[place] = s
        M.trust[place] = 1


@_jit
def _residual(mode, s, w, n, nw, ne, ww, nn, ew, en, ene, enw, highest, M):
    """Code a symbol that is neither w nor n as a residual, which is returned: sections DC and DC sign of U."""
    guess, blend, activity = _residual_contexts(w, n, nw, ne, ww, nn, ew, en, ene, enw, M)
    w1 = _W1_DC + activity
    row = _MAP_DC + activity
    e = s - guess
    a = abs(e)
    up, down = highest - guess, guess
    largest = max(up, down)
    s0, s1, sr = _DC_STRIDES
    t = np.int64(0)
    if guess in (w, n):  # it is not zero
        t = np.int64(1)
    while t <= UNARY and t < largest:
        c = _type_class(t)
        if not _bin(mode, 1 if a > t else 0, t, _W0_DC + s0 * c, w1 + s1 * c, row + sr * c, M):
            break
        t += 1
    if t > UNARY:
        t = min(UNARY + 1 + _escape(mode, a - UNARY - 1, _W0_DC, s0, w1, s1, row, sr, M), largest)
    a = t
    if a == 0:
        return np.int64(0)
    if a > down:
        return a
    if a > up:
        return -a
    b = _residual_sign_contexts(a, guess, blend, w, n, nw, ne, ww, nn, ew, en, ene, enw, M)
    negative = _bin(mode, 1 if e < 0 else 0, _ZERO, _W0_DCS, _W1_DCS + b, _MAP_DCS + b, M)
    return -a if negative else a


@_jit
def _run(mode, S, height, width, highest, M):
    """Code a map; S (uint8, one after the other) has two guard rows above and two guard columns on each side."""
    stride = width + 4
    E, R = np.zeros((2, stride), np.int32), np.zeros((2, stride), np.int32)
    for y in range(height):
        if M.overrun or (mode == ENCODE and M.position + width * _SYMBOL_BYTES + 8 > M.capacity):
            M.overrun = 1
            return
        base = (y + 2) * stride + 2
        if y:
            S[base - 1] = S[base - 2] = S[base - stride]
        here, above = y & 1, 1 - (y & 1)
        for x in range(width):
            m = base + x
            if y:
                n, nw = np.int64(S[_u(m - stride)]), np.int64(S[_u(m - stride - 1)])
                ne, nee = np.int64(S[_u(m - stride + 1)]), np.int64(S[_u(m - stride + 2)])
                nww, w, ww = np.int64(S[_u(m - stride - 2)]), np.int64(S[_u(m - 1)]), np.int64(S[_u(m - 2)])
                nn, nne, nnw = n, ne, nw
                if y > 1:
                    nn, nne = np.int64(S[_u(m - 2 * stride)]), np.int64(S[_u(m - 2 * stride + 1)])
                    nnw = np.int64(S[_u(m - 2 * stride - 1)])
            else:
                w = np.int64(S[_u(m - 1)]) if x else np.int64(0)
                ww = np.int64(S[_u(m - 2)]) if x > 1 else w
                n = nw = ne = nn = nee = nne = nww = nnw = w
            s = np.int64(S[_u(m)]) if mode == ENCODE else np.int64(0)
            same = w == n and w == nw and w == ne and w == ww and w == nn and w == nee and w == nne and w == nww
            e = np.int64(0)
            if same:
                found = w if _flat(mode, _equal(s, w), w, M) else np.int64(-1)
                if found < 0 and highest == 1:
                    found = 1 - w
            else:
                run_w, run_n = np.int64(R[here, x + 1]), np.int64(R[above, x + 2])
                found = _repeated(mode, s, w, n, nw, ne, ww, nn, nee, nne, nww, nnw, run_w, run_n, highest, M)
            if found < 0:
                ew, en = np.int64(E[here, x + 1]), np.int64(E[above, x + 2])
                ene, enw = np.int64(E[above, x + 3]), np.int64(E[above, x + 1])
                e = _residual(mode, s, w, n, nw, ne, ww, nn, ew, en, ene, enw, highest, M)
                found = _median_edge(w, n, nw) + e
            if not same:
                _remember(found, w, n, nw, ne, ww, nn, nee, M)
            E[here, x + 2] = e
            R[here, x + 2] = min(R[here, x + 1] + 1, RUN_LIMIT) if found == w else 0
            if mode == DECODE:
                S[_u(m)] = found
        S[base + width] = S[base + width + 1] = S[base + width - 1]
        if y == 0:
            S[base - 1] = S[base - 2] = S[base]


def encode_map(symbols: np.ndarray, count: int) -> bytes:
    """Counterpart of :func:`imfnb.entropy.maps.reference.encode_map`."""
    if count == 1:
        return b""
    height, width = symbols.shape
    room = 64 + width * _SYMBOL_BYTES + 2 * symbols.size
    padded = np.zeros((height + 2, width + 4), np.uint8)
    padded[2:, 2:-2] = symbols
    while True:  # again with more room, which noise of many symbols may need
        model, buffer = initial_map_model(), np.zeros(room, np.uint8)
        record = _record(model)
        _attach(model, buffer)
        _run(ENCODE, padded.reshape(-1), height, width, np.int64(count - 1), record)
        if not model["overrun"][0]:
            return buffer[: _finish(record)].tobytes()
        room *= 4


def decode_map(data: bytes, height: int, width: int, count: int) -> tuple[np.ndarray, bool]:
    """Counterpart of :func:`imfnb.entropy.maps.reference.decode_map`."""
    padded = np.zeros((height + 2, width + 4), np.uint8)
    if count == 1:
        return padded[2:, 2:-2], False
    model, buffer = initial_map_model(), np.frombuffer(data, np.uint8).copy()
    record = _record(model)
    _attach(model, buffer)
    _start(record)
    _run(DECODE, padded.reshape(-1), height, width, np.int64(count - 1), record)
    return np.ascontiguousarray(padded[2:, 2:-2]), bool(model["overrun"][0])
