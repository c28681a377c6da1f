"""The coder of `cpu.py` written once more to be read: plain Python integers, one symbol after the other.

Slow (about 20 us per bin) and the oracle of the tests: every byte and every cost equals the kernel's.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np

from ..format import context_model
from ..format.context_model import (
    AC,
    AC_SIGN,
    CONTEXTS,
    DC,
    DC_SIGN,
    ESCAPE_BITS,
    FIRST_LIMIT,
    GROUPS,
    LEVEL,
    NEAR_LIMIT,
    NODES,
    RANK,
    SIGNED_COMPONENTS,
    SIGNED_LEVEL,
    SIGNED_LIMIT,
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
    SQUASH,
    STATE_BITS,
    STRETCH,
    STRETCH_LIMIT,
    WEIGHT_LIMIT,
)
from .layout import DECODE, ENCODE
from .model import COUNT_BITS, initial_model

__all__ = ["decode_factors", "encode_factors"]


class Bits:
    """Range coder, writing or reading."""

    def __init__(self, mode: int, data: bytes = b"") -> None:
        self.mode = mode
        self.data = bytearray(data)
        self.position = 0
        self.overrun = False
        self.low = 0
        self.range = 0xFFFFFFFF
        if mode == DECODE:
            for _ in range(4):
                self.low = (self.low << 8) | self._byte()

    def _byte(self) -> int:
        position, self.position = self.position, self.position + 1
        if position < len(self.data):
            return self.data[position]
        self.overrun |= position >= len(self.data) + 4
        return 0

    def _carry(self) -> None:
        i = len(self.data) - 1
        while self.data[i] == 255:
            self.data[i] = 0
            i -= 1
        self.data[i] += 1

    def code(self, bit: int, p: int) -> int:
        """Code one bit whose probability of being 1 is p / 65536; return it."""
        bound = (self.range * p) >> 16
        if self.mode == DECODE:
            bit = 1 if self.low < bound else 0
        if bit:
            self.range = bound
        else:
            self.low += -bound if self.mode == DECODE else bound
            self.range -= bound
        if self.low >> 32:
            self.low &= 0xFFFFFFFF
            self._carry()
        while self.range < 1 << 24:
            if self.mode == ENCODE:
                self.data.append(self.low >> 24)
                self.low = (self.low << 8) & 0xFFFFFFFF
            else:
                self.low = ((self.low << 8) | self._byte()) & 0xFFFFFFFF
            self.range <<= 8
        return bit

    def finish(self) -> bytes:
        """Append the fewest bytes that name a number inside the final range."""
        value, kept = self.low, 4
        for n in range(4):
            unit = 1 << (32 - 8 * n)
            rounded = (self.low + unit - 1) // unit * unit
            if rounded < self.low + self.range:
                value, kept = rounded, n
                break
        if value >> 32:
            self._carry()
        self.data += (value & 0xFFFFFFFF).to_bytes(4, "big")[:kept]
        return bytes(self.data)


class Section:
    """One section of the model: the states, weights and maps of one kind of symbol.

    Parameters
    ----------
    bits : Bits
        What reads or writes its bins.
    number : int
        Which section.
    model : ndarray
        The model, an array of one record.
    layout : module
        Where the sections of that model stand in it.
    """

    def __init__(self, bits: Bits, number: int, model: np.ndarray, layout: ModuleType = context_model) -> None:
        self.bits = bits
        shape = (CONTEXTS, layout.SLOTS[number], layout.SECTION_TYPES[number])
        start = layout.STATE_START[number]
        states = model["states"][0, start : start + int(np.prod(shape))].reshape(shape)
        weights, maps = model["weights"][0].reshape(-1, CONTEXTS), model["maps"][0].reshape(-1, NODES)
        first, second = layout.SET_0_START[number], layout.SET_1_START[number]
        weights = weights[first : second + layout.SET_1[number]]
        maps = maps[layout.MAP_START[number] : layout.MAP_START[number] + layout.MAPS[number]]
        self.home = states, weights, maps
        self.probability = (states >> COUNT_BITS).astype(object)
        self.count = states & ((1 << COUNT_BITS) - 1)
        weights = weights.astype(object)
        self.weights_0, self.weights_1 = weights[: second - first], weights[second - first :]
        self.maps = maps.astype(object)
        self.slots = [0] * CONTEXTS

    def store(self) -> None:
        """Write what has been learned back to the model."""
        states, weights, maps = self.home
        states[:] = self.probability * (1 << COUNT_BITS) + self.count
        weights[:] = np.concatenate([self.weights_0, self.weights_1])
        maps[:] = self.maps

    def predict(self, t: int, w0: int, w1: int, row: int) -> int:
        """Return the probability of a one, in 1 / 65536, of a bin of type t."""
        self.inputs = [int(STRETCH[self.probability[k, self.slots[k], t] >> 10]) for k in range(CONTEXTS)]
        total = sum(((self.weights_0[w0, k] + self.weights_1[w1, k]) * self.inputs[k]) >> 5 for k in range(CONTEXTS))
        x = min(max(total >> 11, -STRETCH_LIMIT), STRETCH_LIMIT) + 2048
        self.mixed = int(SQUASH[x])
        node, part = x >> 7, x & 127
        self.node = node + (part >> 6)
        refined = (self.maps[row, node] * (128 - part) + self.maps[row, node + 1] * part) >> 7
        return min(max((self.mixed + refined + 1) >> 1, 32), 65504)

    def update(self, bit: int, t: int, w0: int, w1: int, row: int) -> None:
        """Adapt everything that took part in the last prediction to the bit."""
        for k in range(CONTEXTS):
            s = self.slots[k]
            p, target = self.probability[k, s, t], bit * ((1 << STATE_BITS) - 1)
            self.probability[k, s, t] = p + (((target - p) * int(RATE[self.count[k, s, t]])) >> 16)
            self.count[k, s, t] = min(self.count[k, s, t] + 1, COUNT_LIMIT)
        error = (((bit << 16) - self.mixed) * MIX_RATE) >> 4
        for k in range(CONTEXTS):
            delta = (self.inputs[k] * error + (1 << (MIX_SHIFT - 1))) >> MIX_SHIFT
            for weights, w in ((self.weights_0, w0), (self.weights_1, w1)):
                weights[w, k] = min(max(weights[w, k] + delta, -WEIGHT_LIMIT), WEIGHT_LIMIT)
        q = self.maps[row, self.node]
        self.maps[row, self.node] = q + (((bit << 16) - bit - q) >> MAP_SHIFT)

    def bin(self, bit: int, t: int, w0: int, w1: int, row: int) -> int:
        """Code one bin and adapt; return the bit."""
        bit = self.bits.code(bit, self.predict(t, w0, w1, row))
        self.update(bit, t, w0, w1, row)
        return bit

    def classed(self, bit: int, t: int, place: tuple[int, int, int], strides: tuple[int, int, int]) -> int:
        """Code a bin whose weights and map depend on the class of its type."""
        return self.bin(bit, t, *(a + b * type_class(t) for a, b in zip(place, strides, strict=True)))

    def magnitude(self, a: int, place: tuple[int, int, int], strides: tuple[int, int, int]) -> int:
        """Code a magnitude a >= 1 whose zero flag is done."""
        for t in range(1, UNARY + 1):
            if not self.classed(1 if a > t else 0, t, place, strides):
                return t
        return UNARY + 1 + self.escape(a - UNARY - 1, place, strides)

    def escape(self, rest: int, place: tuple[int, int, int], strides: tuple[int, int, int]) -> int:
        """Code rest >= 0 as the exponent and mantissa of rest + 1."""
        value, e = rest + 1, 0
        while e < ESCAPE_BITS and self.classed(1 if value >> (e + 1) > 0 else 0, UNARY + 1 + min(e, 3), place, strides):
            e += 1
        out = 1
        for k in range(e - 1, -1, -1):
            bit = (value >> k) & 1
            first = k == e - 1
            out = 2 * out + (self.classed(bit, TYPES - 1, place, strides) if first else self.bits.code(bit, 32768))
        return out - 1


def type_class(t: int) -> int:
    """Return the class 0 .. 7 of a bin type."""
    return t if t < 4 else 4 if t < 7 else 5 if t <= UNARY else 6 if t < TYPES - 1 else 7


def level(activity: int) -> int:
    """Return the logarithmic level 0 .. 15 of an activity."""
    return int(LEVEL[min(activity, 1023)])


def signed_level(value: int) -> int:
    """Return the level 0 .. 10 of a signed value, 5 for zero."""
    return int(SIGNED_LEVEL[min(max(value, -SIGNED_LIMIT), SIGNED_LIMIT) + SIGNED_LIMIT])


def sign3(value: int) -> int:
    """Return 0, 1, 2 for zero, positive, negative."""
    return 1 if value > 0 else 2 if value < 0 else 0


def median_edge(w: int, n: int, nw: int) -> int:
    """Return the median of w, n and w + n - nw."""
    return sorted((w, n, w + n - nw))[1]


def residual_contexts(symbols: Sequence[int], residuals: Sequence[int]) -> tuple[int, int, int, list[int]]:
    """What a value is the residual of, a blend of its neighbours, the activity, and the slots of the magnitude.

    `symbols` are the neighbours w, n, nw, ne, ww, nn, `residuals` those of w, n, ne, nw.
    """
    w, n, nw, ne, ww, nn = symbols
    ew, en, ene, enw = residuals
    guess = median_edge(w, n, nw)
    dw, dn, dne = abs(w - nw), abs(n - nw), abs(ne - n)
    far = abs(w - ww) + abs(n - nn)
    blend = 3 * (w + n) + ne - nw + ((w - ww) + (n - nn)) // 2 - 6 * guess
    errors = abs(ew) + abs(en)
    total = dw + dn + dne + far
    activity = level(total + errors)
    slots = [
        level(errors + abs(ene) + abs(enw)),
        level(dw) * 16 + level(dn),
        level(dne) * 16 + level(abs(en)),
        level(total),
        level(abs(blend)) * 16 + activity,
        level(abs(ew)) * 16 + level(abs(en)),
        level(far) * 16 + level(dw + dn),
        level(abs(ene)) * 16 + level(abs(enw)),
    ]
    return guess, blend, activity, slots


def residual_sign_slots(a: int, guess: int, b: int, symbols: Sequence[int], residuals: Sequence[int]) -> list[int]:
    """The slots of the sign of a residual of magnitude a; b is the level of the blend."""
    w, n, nw, ne, ww, nn = symbols
    ew, en, ene, enw = residuals
    return [
        b * 11 + min(a, 10),
        signed_level(ew) * 11 + signed_level(en),
        signed_level(w - nw) * 11 + signed_level(n - nw),
        signed_level(ne - n) * 11 + b,
        signed_level(w - ww) * 11 + signed_level(n - nn),
        signed_level(ene) * 11 + signed_level(enw),
        signed_level(w + n - nw - guess) * 11 + signed_level(ew + en),
        signed_level(ne - n) * 11 + signed_level(w - guess),
    ]


def code_first(bits: Bits, D: np.ndarray, size: Section, sign: Section) -> None:
    """Code component 0, an int object array with guards (2 above, 1 below, 2 on each side)."""
    E = np.zeros_like(D)
    height, width = D.shape
    for y in range(2, height - 1):
        if y > 2:
            D[y, :2] = D[y - 1, 2]
        for x in range(2, width - 2):
            if y > 2:
                w, n, nw, ne, ww = D[y, x - 1], D[y - 1, x], D[y - 1, x - 1], D[y - 1, x + 1], D[y, x - 2]
                nn = D[y - 2, x] if y > 3 else n
            else:
                w = D[y, x - 1] if x > 2 else 0
                ww = D[y, x - 2] if x > 3 else w
                n = nw = ne = nn = w
            around = (w, n, nw, ne, ww, nn), (E[y, x - 1], E[y - 1, x], E[y - 1, x + 1], E[y - 1, x - 1])
            guess, blend, activity, size.slots = residual_contexts(*around)
            place, strides = (0, activity, activity), (1, 16, 16)
            e = D[y, x] - guess
            if size.classed(1 if e else 0, 0, place, strides):
                a = size.magnitude(abs(e), place, strides)
                b = signed_level(blend)
                sign.slots = residual_sign_slots(a, guess, b, *around)
                e = -a if sign.bin(1 if e < 0 else 0, 0, 0, b, b) else a
            else:
                e = 0
            E[y, x] = e
            if bits.mode == DECODE:
                D[y, x] = min(max(guess + e, -FIRST_LIMIT), FIRST_LIMIT)
        D[y, width - 2 :] = D[y, width - 3]
        if y == 2:
            D[y, :2] = D[y, 2]
    D[height - 1] = D[height - 2]
    D[1] = D[2]


def code_ranks(bits: Bits, D: np.ndarray, K: np.ndarray, rank_max: int, section: Section) -> None:
    """Code the active ranks K (guards as in D): bit length in unary, then the mantissa."""
    height, width = D.shape
    for y in range(2, height - 1):
        for x in range(2, width - 2):
            w, n, nw, ne = K[y, x - 1], K[y - 1, x], K[y - 1, x - 1], K[y - 1, x + 1]
            horizontal = abs(D[y, x + 1] - D[y, x - 1])
            vertical = abs(D[y + 1, x] - D[y - 1, x])
            bend = abs(4 * D[y, x] - D[y, x + 1] - D[y, x - 1] - D[y + 1, x] - D[y - 1, x])
            mean = (3 * (w + n) + ne + nw + 4) >> 3
            slope = level(horizontal + vertical)
            section.slots = [
                level(w) * 16 + level(n),
                level(mean) * 16 + slope,
                level(ne) * 16 + level(nw),
                level(horizontal) * 16 + level(vertical),
                level(bend) * 16 + slope,
                level(w) * 16 + level(K[y, x - 2]),
                level(n) * 16 + level(K[y - 2, x]),
                min(mean, 255),
            ]
            q = level(mean)
            k, size = K[y, x], 0
            length = int(k).bit_length()
            while size < int(rank_max - 1).bit_length():
                g = 16 * min(size, 7) + q
                if not section.bin(1 if length > size else 0, size, size, g, g):
                    break
                size += 1
            value = min(size, 1)
            for j in range(size - 2, -1, -1):
                bit = (k >> j) & 1
                t = 7 + size if j == size - 2 else 10 + 2 * size + (value & 1)
                bit = section.bin(bit, t, t, 112 + q, 112 + q) if j >= size - 3 else bits.code(bit, 32768)
                value = 2 * value + bit
            if bits.mode == DECODE:
                K[y, x] = min(value, rank_max - 1)


def code_component(
    bits: Bits, r: int, U: np.ndarray, K: np.ndarray, S: np.ndarray, table: np.ndarray, size: Section, sign: Section
) -> None:
    """Code component r of U, an int object array (R, height, width) with guards; S sums magnitudes per patch."""
    C, D = U[r], U[0]
    first, second, direction, group, ring = (int(v) for v in table[r])
    A, B = U[first], U[second]
    for y, x in np.argwhere(K >= r):
        w, n, nw, ne = (min(abs(v), NEAR_LIMIT) for v in (C[y, x - 1], C[y - 1, x], C[y - 1, x - 1], C[y - 1, x + 1]))
        near = 2 * (w + n) + nw + ne
        around = S[y, x - 1] + S[y, x + 1] + S[y - 1, x] + S[y + 1, x]
        a0 = min(abs(A[y, x]), NEAR_LIMIT) if first else 0
        a1 = min(abs(B[y, x]), NEAR_LIMIT) if second else 0
        side = (abs(A[y, x + 1]) + abs(A[y + 1, x]) if first else 0) + (
            abs(B[y, x + 1]) + abs(B[y + 1, x]) if second else 0
        )
        horizontal, vertical = D[y, x + 1] - D[y, x - 1], D[y + 1, x] - D[y - 1, x]
        slope = (abs(horizontal) + abs(vertical), 2 * abs(horizontal), 2 * abs(vertical))[direction]
        left = K[y, x] - r
        reach = sum(int(v >= r) for v in (K[y, x - 1], K[y, x + 1], K[y - 1, x], K[y + 1, x]))
        lk = min(level(left), 9)
        mean = level(near + S[y, x] + (around >> 2) + 2 * (a0 + a1))
        size.slots = [
            group * 16 + level(near),
            ((min(w, 3) * 4 + min(n, 3)) * 4 + min(nw, 1) * 2 + min(ne, 1)) * 3 + direction,
            (min(level(S[y, x]), 11) * 10 + lk) * 6 + ring,
            group * 16 + level(around),
            ((min(a0, 3) * 4 + min(a1, 3)) * 7 + min(level(near), 6)) * 6 + ring,
            (min(level(side), 7) * 6 + min(a0 + a1, 5)) * 6 + ring,
            group * 16 + level(slope),
            (group * 10 + lk) * 3 + min(reach >> 1, 2),
        ]
        place = (group, mean * 8 + min(lk, 7), 2 * mean + (1 if left > 2 else 0))
        strides = (GROUPS, 128, 32)
        value = C[y, x]
        a = abs(value)
        if left == 0 or size.classed(1 if a else 0, 0, place, strides):
            a = size.magnitude(a, place, strides)
            negative = 1 if value < 0 else 0
            if r < SIGNED_COMPONENTS:
                h, v = signed_level(horizontal), signed_level(vertical)
                pairs = [
                    h,
                    v,
                    sign3(C[y, x - 1]) * 3 + sign3(C[y - 1, x]),
                    sign3(C[y - 1, x - 1]) * 3 + sign3(C[y - 1, x + 1]),
                    sign3(A[y, x]) * 3 + sign3(B[y, x]) if first else 0,
                    signed_level(2 * D[y, x] - D[y, x - 1] - D[y, x + 1]),
                    signed_level(2 * D[y, x] - D[y - 1, x] - D[y + 1, x]),
                    sign3(U[1, y, x]) * 3 + sign3(U[2, y, x]) if r > 2 else 0,
                ]
                sign.slots = [r * 16 + v for v in pairs]
                q = (5, h, v)[direction]
                negative = sign.bin(negative, 0, r, q, q)
            else:
                negative = bits.code(negative, 32768)
            if bits.mode == DECODE:
                C[y, x] = -a if negative else a
        else:
            a = 0
        S[y, x] += min(a, NEAR_LIMIT)


def _run(
    bits: Bits,
    padded: np.ndarray,
    ranks: np.ndarray,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    rank_max: int,
    model: np.ndarray,
    spent: np.ndarray | None,
) -> None:
    shape = (grid_h + 3, grid_w + 4)
    U = padded.reshape(-1, *shape).astype(object)
    K = ranks.reshape(shape).astype(object)
    S = np.zeros(shape, object)
    sections = [Section(bits, number, model) for number in (DC, DC_SIGN, RANK, AC, AC_SIGN)]
    spent = np.zeros(patch_size * patch_size + 1, np.int64) if spent is None else spent
    code_first(bits, U[0], *sections[:2])
    spent[0] = bits.position
    if len(U) > 1 and rank_max > 1:  # nothing depends on the ranks of a single component
        code_ranks(bits, U[0], K, rank_max, sections[2])
    spent[1] = bits.position
    for r in range(1, min(rank_max, len(U))):
        if bits.overrun or not (K >= r).any():
            break
        code_component(bits, r, U, K, S, component_table(patch_size), *sections[3:])
        spent[r + 1] = bits.position
    for section in sections:
        section.store()
    padded[:] = U.reshape(padded.shape)
    ranks[:] = K.ravel()


def encode_factors(
    padded: np.ndarray,
    ranks: np.ndarray,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    model: np.ndarray | None = None,
) -> bytes:
    """Code U losslessly.

    Parameters
    ----------
    padded : ndarray of int16, shape (R, size)
        `layout.pad_factors` of U: magnitudes at most layout.MAGNITUDE_LIMIT / 2 in the first component and
        layout.MAGNITUDE_LIMIT elsewhere. The guards of the first component are overwritten.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch, the index of its last nonzero component; zero in the guards.
    grid_h, grid_w : int
        Patches down and across.
    patch_size : {8, 16}
        Side of a patch; R <= patch_size**2.
    model : ndarray of MODEL, shape (1,), optional
        Initial state of the context model, which what is coded changes; by default a copy of the learned one. (For
        training, which carries a model from plane to plane.)

    Returns
    -------
    bytes
        One segment.
    """
    bits = Bits(ENCODE)
    rank_max = int(ranks.max()) + 1
    model = initial_model() if model is None else model
    _run(bits, padded, ranks, grid_h, grid_w, patch_size, rank_max, model, None)
    return bytes([rank_max - 1]) + bits.finish()


def decode_factors(
    data: bytes,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    max_rank: int | None = None,
    spent: np.ndarray | None = None,
    model: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Decode U: the inverse of :func:`encode_factors`.

    The work is bounded by the grid and the rank for any bytes, and no byte can lead to an access outside of an array.

    Parameters
    ----------
    data : bytes
        One segment.
    grid_h, grid_w, patch_size : int
        As in :func:`encode_factors`.
    max_rank : int, optional
        Stop after this number of components.
    spent : ndarray of int64, shape (patch_size**2 + 1,), optional
        Receives the bytes read when each part was done: the first component, the map of ranks, the second component
        and so on. Entries of parts that are not there are left alone.
    model : ndarray of MODEL, shape (1,), optional
        As in :func:`encode_factors`.

    Returns
    -------
    padded : ndarray of int16, shape (R, size)
        Padded component images.
    ranks : ndarray of int32, shape (size,)
        Active rank of every patch; 0 where the first component is all that is read.
    overrun : bool
        Whether the bytes ended before the factors did.
    """
    rank_max = min(data[0] + 1, patch_size * patch_size) if data else 1
    stop = rank_max if max_rank is None else max(1, min(rank_max, max_rank))
    size = (grid_h + 3) * (grid_w + 4)
    padded, ranks = np.zeros((stop, size), np.int16), np.zeros(size, np.int32)
    bits = Bits(DECODE, data[1:])
    model = initial_model() if model is None else model
    _run(bits, padded, ranks, grid_h, grid_w, patch_size, rank_max, model, spent)
    return padded, ranks, bits.overrun or not data
