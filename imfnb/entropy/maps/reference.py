"""The coder of `cpu.py` written once more to be read: plain Python integers, one symbol after the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...format import map_model
from ...format.context_model import DC, DC_SIGN, UNARY
from ...format.map_model import (
    HASH_BITS,
    HASH_END,
    HASH_STEP,
    MEMORY,
    RUN_LIMIT,
    SAME,
    TRUST_LIMIT,
    TRUSTED,
)
from ...format.probability import COUNT_LIMIT, PROB_BITS, RATE, STATE_BITS
from ..layout import DECODE, ENCODE
from ..model import COUNT_BITS
from ..reference import (
    Bits,
    Section,
    level,
    median_edge,
    residual_contexts,
    residual_sign_slots,
    signed_level,
)
from .model import initial_map_model

__all__ = ["decode_map", "encode_map"]

_ONE = (1 << STATE_BITS) - 1


class Around(NamedTuple):
    """Neighbours of a symbol: to the left (w) and above (n), one or two steps, and between (nee: one up, two right)."""

    w: int
    n: int
    nw: int
    ne: int
    ww: int
    nn: int
    nee: int
    nne: int
    nww: int
    nnw: int

    @property
    def flat(self) -> bool:
        """Whether all but the last are alike."""
        return len(set(self[:9])) == 1

    @property
    def place(self) -> int:
        """The entry of the memory for these neighbours."""
        h = self.w
        for symbol in (self.n, self.nw, self.ne, self.ww, self.nn, self.nee):
            h = (h * HASH_STEP + symbol + 1) % (1 << HASH_BITS)
        return (h * HASH_END >> 8) % MEMORY


class Coder:
    """The model of a map at work.

    Parameters
    ----------
    bits : Bits
        What reads or writes its bins.
    count : int
        Number of different symbols.
    """

    def __init__(self, bits: Bits, count: int) -> None:
        model = initial_map_model()
        self.bits, self.highest = bits, count - 1
        self.size, self.sign, self.same = (Section(bits, number, model, map_model) for number in (DC, DC_SIGN, SAME))
        self.flat = [(int(state) >> COUNT_BITS, int(state) & ((1 << COUNT_BITS) - 1)) for state in model["areas"][0]]
        self.memory = [0] * MEMORY
        self.trust = [0] * MEMORY

    def continues(self, s: int, w: int) -> bool:
        """Code whether a symbol in a flat area is that of its neighbours."""
        probability, seen = self.flat[w]
        bit = self.bits.code(int(s == w), min(max(probability >> (STATE_BITS - PROB_BITS), 1), (1 << PROB_BITS) - 1))
        probability += bit + (((_ONE * bit - probability) * int(RATE[seen])) >> 16)
        self.flat[w] = min(probability, _ONE), min(seen + 1, COUNT_LIMIT)
        return bool(bit)

    def repeated(self, s: int, a: Around, run_w: int, run_n: int) -> int | None:
        """Code whether a symbol equals the one beside, above, or in the memory; return it, None if none of these."""
        section, place = self.same, a.place
        trust, memory = self.trust[place], self.memory[place]
        source = 0 if trust == 0 else 1 if memory == a.w else 2 if memory == a.n else 3
        beside = [a.n, a.nw, a.ne, a.ww, a.nn, a.nee, a.nne, a.nww, a.nnw]
        pattern = sum((symbol == a.w) << k for k, symbol in enumerate(beside))
        alike = (pattern & 31).bit_count()
        section.slots = [
            pattern,
            (64 * a.w ^ 16 * a.n ^ 4 * a.nw ^ a.ne) & 511,
            16 * level(abs(a.w - a.n)) + level(abs(a.n - a.nw)),
            16 * level(abs(a.w - a.ww)) + level(abs(a.n - a.ne)),
            32 * run_w + 2 * run_n + (a.n == a.w),
            11 * signed_level(a.n - a.nw) + signed_level(a.w - a.nw),
            16 * (pattern & 31) + 4 * min(a.w, 3) + min(a.n, 3),
            64 * source + 4 * trust + (a.n == a.w) + 2 * (a.ne == a.n),
        ]
        if section.bin(int(s == a.w), 0, 0, alike, alike):
            return a.w
        if self.highest == 1:
            return 1 - a.w
        if a.n != a.w:
            above = [a.nw, a.ne, a.nn, a.ww, a.nee, a.nne, a.nww, a.nnw]
            section.slots[0] = sum((symbol == a.n) << k for k, symbol in enumerate(above)) + 256 * (a.ne == a.w)
            alike = sum(symbol == a.n for symbol in (a.nw, a.ne, a.nn, a.ww, a.nne))
            if section.bin(int(s == a.n), 1, 1, 6 + alike, 6 + alike):
                return a.n
        if trust >= TRUSTED and source == 3:
            section.slots[0] = 16 * min(abs(memory - median_edge(a.w, a.n, a.nw)), 31) + trust
            if section.bin(int(s == memory), 2, 2, 12, 12):
                return memory
        return None

    def remember(self, s: int, a: Around) -> None:
        """Take note of what followed these neighbours."""
        place = a.place
        if self.trust[place] and self.memory[place] == s:
            self.trust[place] = min(self.trust[place] + 1, TRUST_LIMIT)
        elif self.trust[place] > 1:
            self.trust[place] >>= 1
        else:
            self.memory[place], self.trust[place] = s, 1

    def residual(self, s: int, a: Around, residuals: tuple[int, ...]) -> int:
        """Code a symbol that is neither w nor n as its difference to the median edge detector's guess."""
        guess, blend, activity, self.size.slots = residual_contexts(a[:6], residuals)
        place, strides = (0, activity, activity), (1, 16, 16)
        e, down, up = s - guess, guess, self.highest - guess
        largest = max(down, up)
        t = 1 if guess in (a.w, a.n) else 0
        while t <= UNARY and t < largest and self.size.classed(int(abs(e) > t), t, place, strides):
            t += 1
        if t > UNARY:
            t = min(UNARY + 1 + self.size.escape(abs(e) - UNARY - 1, place, strides), largest)
        if t == 0 or t > down:
            return t
        if t > up:
            return -t
        b = signed_level(blend)
        self.sign.slots = residual_sign_slots(t, guess, b, a[:6], residuals)
        return -t if self.sign.bin(int(e < 0), 0, 0, b, b) else t


def _neighbours(S: list[list[int]], y: int, x: int) -> Around:
    """The neighbours of a symbol; rows and columns of S begin with two guards."""
    if y == 2:
        w = S[y][x - 1] if x > 2 else 0
        return Around(w, w, w, w, S[y][x - 2] if x > 3 else w, w, w, w, w, w)
    above = S[y - 1]
    nn, nne, nnw = (above[x], above[x + 1], above[x - 1])
    if y > 3:
        nn, nne, nnw = S[y - 2][x], S[y - 2][x + 1], S[y - 2][x - 1]
    ends = above[x + 2], nne, above[x - 2], nnw
    return Around(S[y][x - 1], above[x], above[x - 1], above[x + 1], S[y][x - 2], nn, *ends)


def _run(bits: Bits, S: list[list[int]], height: int, width: int, count: int) -> None:
    """Code a map with two guard rows above and two guard columns on each side."""
    coder = Coder(bits, count)
    E_above, R_above = [0] * (width + 4), [0] * (width + 4)
    for y in range(2, height + 2):
        E, R, row = [0] * (width + 4), [0] * (width + 4), S[y]
        if y > 2:
            row[0] = row[1] = S[y - 1][2]
        for x in range(2, width + 2):
            a = _neighbours(S, y, x)
            if a.flat:
                found = a.w if coder.continues(row[x], a.w) else 1 - a.w if count == 2 else None
            else:
                found = coder.repeated(row[x], a, R[x - 1], R_above[x])
            if found is None:
                E[x] = coder.residual(row[x], a, (E[x - 1], E_above[x], E_above[x + 1], E_above[x - 1]))
                found = median_edge(a.w, a.n, a.nw) + E[x]
            if not a.flat:
                coder.remember(found, a)
            R[x] = min(R[x - 1] + 1, RUN_LIMIT) if found == a.w else 0
            if bits.mode == DECODE:
                row[x] = found
        row[width + 2 :] = [row[width + 1]] * 2
        if y == 2:
            row[:2] = [row[2]] * 2
        E_above, R_above = E, R


def encode_map(symbols: np.ndarray, count: int) -> bytes:
    """Code a map losslessly.

    Parameters
    ----------
    symbols : ndarray of uint8, shape (height, width)
        The symbols, all below `count`.
    count : int
        Number of different symbols, 1 to 256.

    Returns
    -------
    bytes
        The coded map; its size and `count` are not in there.
    """
    if count == 1:
        return b""
    bits, (height, width) = Bits(ENCODE), symbols.shape
    padded = np.pad(symbols, ((2, 0), (2, 2))).astype(int)
    _run(bits, padded.tolist(), height, width, count)
    return bits.finish()


def decode_map(data: bytes, height: int, width: int, count: int) -> tuple[np.ndarray, bool]:
    """The inverse of :func:`encode_map`.

    Parameters
    ----------
    data : bytes
        Any bytes.
    height, width, count : int
        Size of the map, and number of different symbols.

    Returns
    -------
    symbols : ndarray of uint8, shape (height, width)
        The symbols, all below `count`.
    overrun : bool
        Whether the bytes ended before the map did; some symbols are then arbitrary.
    """
    if count == 1:
        return np.zeros((height, width), np.uint8), False
    bits, rows = Bits(DECODE, data), [[0] * (width + 4) for _ in range(height + 2)]
    _run(bits, rows, height, width, count)
    return np.array(rows)[2:, 2:-2].astype(np.uint8), bits.overrun
