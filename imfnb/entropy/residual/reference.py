"""The coder of `cpu.py` written once more to be read: plain Python integers, one sample after the other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ...format import residual_model
from ...format.probability import COUNT_LIMIT, PROB_BITS, RATE, STATE_BITS
from ...format.residual_model import (
    BAND_DECAY,
    BLOCKS,
    COLUMNS,
    DECAY,
    ESCAPE_BITS,
    LEAST_BITS,
    NEIGHBOURS,
    NUMBERS,
    PALETTE,
    PREDICTION_BITS,
    REPEATED,
    REPEATED_EXACTLY,
    RIDGE,
    RIDGE_SHIFT,
    SAMPLE_LIMIT,
    SCALE_BITS,
    SCALED_LIMIT,
    SIGN,
    SIZE,
    TAP_BITS,
    TAP_LIMIT,
    UNARY,
    UNIT_BITS,
    USUAL_BITS,
    USUAL_RATE,
    USUAL_SHIFT,
    VALUE_LIMIT,
)
from ..layout import DECODE, ENCODE
from ..model import COUNT_BITS
from ..reference import Bits, Section, level, median_edge, signed_level
from .model import ABOVE, BELOW, SIDES, initial_residual_model, padded
from .planning import Plan, best_order, plan_bands

__all__ = ["decode_residual", "encode_residual"]

_ONE = (1 << STATE_BITS) - 1


def _clamp(value: int, limit: int) -> int:
    return min(max(value, -limit), limit)


def _shifted(value: int, left: int) -> int:
    """A value times 2^left, rounded down."""
    return value << left if left >= 0 else value >> -left


class Single:
    """States that work alone, without a mixture.

    Parameters
    ----------
    bits : Bits
        What reads or writes their bins.
    states : ndarray
        Probabilities and counts as the model has them.
    """

    def __init__(self, bits: Bits, states: np.ndarray) -> None:
        self.bits = bits
        self.probability = [int(state) >> COUNT_BITS for state in states]
        self.count = [int(state) & ((1 << COUNT_BITS) - 1) for state in states]

    def chance(self, i: int) -> int:
        """The probability of a one, in 1 / 65536."""
        return self.probability[i] >> (STATE_BITS - PROB_BITS)

    def learn(self, bit: int, i: int) -> None:
        """Adapt to a bit."""
        p = self.probability[i]
        self.probability[i] = min(p + bit + (((_ONE * bit - p) * int(RATE[self.count[i]])) >> 16), _ONE)
        self.count[i] = min(self.count[i] + 1, COUNT_LIMIT)

    def code(self, bit: int, i: int) -> int:
        """Code a bin; return the bit."""
        bit = self.bits.code(bit, min(max(self.chance(i), 1), (1 << PROB_BITS) - 1))
        self.learn(bit, i)
        return bit

    def number(self, value: int, kind: int) -> int:
        """Code a number of a palette; return it."""
        value, start, e, out = value + 1, kind * NUMBERS, 0, 1
        while e < ESCAPE_BITS and self.code(int(value >> (e + 1) > 0), start + e):
            e += 1
        for k in range(e - 1, -1, -1):
            out = 2 * out + self.code((value >> k) & 1, start + 32 + 32 * e + k)
        return out - 1


class Sums:
    """Sums of products of neighbours and values, for each block of columns.

    Parameters
    ----------
    width : int
        Columns of a band.
    """

    def __init__(self, width: int) -> None:
        self.blocks = min((width + COLUMNS - 1) // COLUMNS, BLOCKS)
        self.begin(0)

    def begin(self, band: int) -> None:
        """Forget for a new band: all while the number of earlier bands that it looks at grows, else most."""
        if band <= 3:
            side = len(NEIGHBOURS[band]) + 1
            self.sums = [[[0] * (i + 1) for i in range(side)] for _ in range(self.blocks + 2)]
        else:
            self.sums = [[[v >> BAND_DECAY for v in row] for row in block] for block in self.sums]

    def add(self, block: int, products: list[list[int]]) -> None:
        """Add what a row of a block has summed, and forget a part of what was there."""
        for row, added in zip(self.sums[block], products, strict=True):
            row[:] = [v + new - (v >> DECAY) for v, new in zip(row, added, strict=True)]

    def solve(self, block: int) -> list[int]:
        """Find the weights of the neighbours from the sums of a block and those beside it."""
        three = self.sums[block - 1 : block + 2]
        D = [[sum(values) for values in zip(*rows, strict=True)] for rows in zip(*three, strict=True)]
        n = len(D) - 1
        shifts = [15 - ((D[i][i].bit_length() + 1) >> 1) for i in range(n + 1)]
        for i in range(n + 1):
            D[i] = [_clamp(_shifted(D[i][c], shifts[i] + shifts[c]), 1 << 30) for c in range(i + 1)]
            if i < n:
                D[i][i] += (D[i][i] >> RIDGE_SHIFT) + RIDGE
        L = [[0] * n for _ in range(n + 1)]
        for k in range(n):
            inverse = (1 << 48) // max(D[k][k], 1 << 18)
            column = [D[i][k] if i > k else 0 for i in range(n + 1)]
            for i in range(k + 1, n + 1):
                L[i][k] = _clamp((column[i] * inverse) >> 32, 1 << 22)
                for c in range(k + 1, i + 1):
                    value = D[i][c] - ((L[i][k] * column[c]) >> 16)
                    D[i][c] = (value + (1 << 31)) % (1 << 32) - (1 << 31)
        w = [0] * n
        for i in range(n - 1, -1, -1):
            value = L[n][i] - sum((L[c][i] * w[c]) >> 16 for c in range(i + 1, n))
            w[i] = _clamp(value, 1 << 24)
        return [_clamp(_shifted(w[i], shifts[i] - shifts[n] - (16 - TAP_BITS)), TAP_LIMIT) for i in range(n)]


class Coder:
    """The model of an array at work.

    Parameters
    ----------
    bits : Bits
        What reads or writes its bins.
    shape : tuple of int
        Bands, rows and columns.
    """

    def __init__(self, bits: Bits, shape: tuple[int, int, int]) -> None:
        model = initial_residual_model()
        self.bits, (_, self.height, self.width) = bits, shape
        self.size, self.sign = (Section(bits, number, model, residual_model) for number in (SIZE, SIGN))
        self.areas, self.repeats, self.parts, self.kinds, self.numbers = (
            Single(bits, model[name][0]) for name in ("areas", "repeats", "parts", "kinds", "numbers")
        )
        self.V = padded(shape).astype(object)
        self.E, self.K = np.zeros_like(self.V), np.zeros_like(self.V)
        self.sums = Sums(self.width)

    def magnitude(self, a: int, k: int, place: int) -> int:
        """Code a magnitude a >= 0 in units of 2^k."""
        q, t, m = a >> k, 0, min(k, 2) * 8
        row = (place >> 2) * 8

        def code(bit: int, t: int, c: int) -> int:
            return self.size.bin(bit, t, m + c, row + c, row + c)

        while t < UNARY and code(int(q > t), t, t if t < 4 else 4 if t < 6 else 5):
            t += 1
        if t == UNARY:
            value, e, out = q - UNARY + 1, 0, 1
            while e < ESCAPE_BITS and code(int(value >> (e + 1) > 0), UNARY + min(e, 4), 6):
                e += 1
            for i in range(e - 1, -1, -1):
                bit = (value >> i) & 1
                out = 2 * out + (code(bit, 15, 7) if i == e - 1 else self.bits.code(bit, 32768))
            t = UNARY + out - 1
        first = (min(t, 3) * 64 + place) * 3
        for i in range(k - 1, -1, -1):
            bit = (a >> i) & 1
            if i == k - 1:
                bit = self.parts.code(bit, first)
                first += 1 + bit
            elif i == k - 2:
                bit = self.parts.code(bit, first)
            else:
                bit = self.bits.code(bit, 32768)
            t = 2 * t + bit
        return t

    def band(self, b: int, valid: np.ndarray) -> None:
        """Code a band, whose values in V are read or written."""
        V, width = self.V[b], self.width
        self.usual = 0
        for y in range(ABOVE, ABOVE + self.height):
            if self.bits.overrun:
                return
            if y > ABOVE:
                V[y, :SIDES] = V[y - 1, SIDES]
            for x in range(SIDES, SIDES + width):
                if y == ABOVE:
                    V[:ABOVE, x : x + 4] = V[y, x - 1]
                column = x - SIDES
                if column % COLUMNS == 0:
                    self.weights: list[int] | None = None
                if valid[y - ABOVE, column]:
                    self.sample(b, y, x)
                else:
                    V[y, x] = median_edge(V[y, x - 1], V[y - 1, x], V[y - 1, x - 1])
                if self.weights is not None and (column % COLUMNS == COLUMNS - 1 or column == width - 1):
                    self.sums.add(self.block(x), self.products)
            V[y, SIDES + width :] = V[y, SIDES + width - 1]
            if y == ABOVE:
                V[: y + 1, :SIDES] = V[y, SIDES]
        V[ABOVE + self.height :] = V[ABOVE + self.height - 1]

    def block(self, x: int) -> int:
        """Number of the sums of a column."""
        return 1 + (x - SIDES) // COLUMNS % BLOCKS

    def sample(self, b: int, y: int, x: int) -> None:
        """Code a sample."""
        V, E, K, value = self.V[b], self.E[b], self.K[b], int(self.V[b][y, x])
        w, n, nw, ne, ww, nn = V[y, x - 1], V[y - 1, x], V[y - 1, x - 1], V[y - 1, x + 1], V[y, x - 2], V[y - 2, x]
        errors = E[y, x - 1], E[y - 1, x], E[y - 1, x - 1], E[y - 1, x + 1], E[y, x - 2], E[y - 2, x]
        aw, an, anw, ane, aww, ann = map(abs, errors)
        missed = 2 * (aw + an) + anw + ane + aww + ann
        spread = missed + (missed >> 1)
        bits = spread.bit_length()
        k = max(bits - UNIT_BITS, 0)
        asked: dict[int, int] | None = None
        if missed == 0 and len({w, n, nw, ne, ww, nn}) == 1:
            around = 0
            if b:
                P = self.V[b - 1]
                around = 1 + 2 * (P[y, x] == P[y, x - 1] == P[y - 1, x]) + (P[y, x] == P[y, x + 1] == P[y + 1, x])
            if self.areas.code(int(value == w), around):
                V[y, x] = w
                return
        elif k or missed == 0:
            pairs = (n, nw), (n, ne), (w, nw), (w, ww), (n, nn), (w, n)
            pattern = sum((first == second) << i for i, (first, second) in enumerate(pairs)) + 64 * (k > 0)
            asked = {w: pattern}
            if n != w:
                asked[n] = 128 + pattern
            for number, (candidate, state) in enumerate(list(asked.items())):
                if self.repeats.chance(state) < (REPEATED if k else REPEATED_EXACTLY):
                    continue
                del asked[candidate]
                if self.repeats.code(int(value == candidate), state):
                    if number and w in asked:
                        self.repeats.learn(0, asked[w])
                    dy, dx = ((0, -1), (-1, 0))[number]
                    V[y, x], E[y, x], K[y, x] = candidate, E[y + dy, x + dx], K[y + dy, x + dx]
                    return
        value = self.predicted(b, y, x, value, errors, bits, k, (spread >> k) + 16 * min(k, 2))
        for candidate, state in (asked or {}).items():
            self.repeats.learn(int(value == candidate), state)
            if value == candidate:
                break

    def predicted(
        self, b: int, y: int, x: int, value: int, errors: tuple[int, ...], bits: int, k: int, place: int
    ) -> int:
        """Code a sample by what its prediction misses; return it."""
        V, E, K = self.V[b], self.E[b], self.K[b]
        w, n, nw, ne, ww, nn = V[y, x - 1], V[y - 1, x], V[y - 1, x - 1], V[y - 1, x + 1], V[y, x - 2], V[y - 2, x]
        ew, en, enw, ene, eww, enn = errors
        if self.weights is None:
            self.weights = self.sums.solve(self.block(x))
            self.products = [[0] * (i + 1) for i in range(len(self.weights) + 1)]
        looked = min(b, 3)
        guesses = [
            median_edge(P[y, x - 1], P[y - 1, x], P[y - 1, x - 1]) for P in (self.V[b - q] for q in range(looked + 1))
        ]
        guess = guesses[0]
        X = [int(self.V[b - q][y + dy, x + dx] - guesses[q]) for q, dy, dx in NEIGHBOURS[looked]]
        total = sum(weight * v for weight, v in zip(self.weights, X, strict=True))
        predicted = _clamp(
            (guess << PREDICTION_BITS) + (total >> (TAP_BITS - PREDICTION_BITS)), VALUE_LIMIT << PREDICTION_BITS
        )
        ec = kc = ahead = behind = 0
        if b:
            P = self.E[b - 1]
            ec, kc = P[y, x], self.K[b - 1][y, x]
            ahead, behind = abs(P[y, x + 1]) + abs(P[y + 1, x]), abs(P[y, x - 1]) + abs(P[y - 1, x])
        p, part = predicted >> PREDICTION_BITS, predicted & ((1 << PREDICTION_BITS) - 1)
        candidates = n, w, nw, ne, ww, nn, 2 * n - nn, 2 * w - ww
        lc = signed_level((ec << 1) >> kc)
        lg, lw, ln, lne, lnw = (signed_level(((v - p) << 1) >> k) for v in (guess, w, n, ne, nw))
        lew, len_, lene, lenw = (signed_level((v << 1) >> k) for v in (ew, en, ene, enw))
        self.sign.slots = [
            (part >> 3) * 64 + place,
            lew * 11 + len_,
            lg * 11 + lc,
            lw * 11 + ln,
            lne * 11 + lnw,
            (lc * 8 + (part >> 3)) * 3 + min(k, 2),
            sum((v > p) << i for i, v in enumerate(candidates)),
            lene * 11 + lenw,
        ]
        if self.sign.bin(int(value > p), 0, min(k, 2), place >> 2, place >> 2):
            a, sign = value - p - 1, 1
            part = (1 << PREDICTION_BITS) - 1 - part
        else:
            a, sign = p - value, 0
            lg, lw, ln, lc = 10 - lg, 10 - lw, 10 - ln, 10 - lc
        if k:
            found = 64 * min(self.usual >> (k + USUAL_SHIFT), 15) + place
        else:
            found = (((((w - p) * 5 + (n - p)) * 7 + (nw - p)) * 3 + (ne - p)) * 40503 >> 4) & 1023
        edges = abs(w - nw) + abs(n - ne) + abs(n - nw) + abs(w - ww)
        self.size.slots = [
            place * 8 + (part >> 3),
            level((abs(ew) << 2) >> k) * 16 + level((abs(en) << 2) >> k),
            level(((abs(ene) + abs(enw)) << 1) >> k) * 16 + level(((abs(eww) + abs(enn)) << 1) >> k),
            level((abs(ec) << 2) >> kc) * 16 + level((ahead << 1) >> kc),
            level(edges >> k) * 16 + level((abs(guess - p) << 2) >> k),
            lg * 11 + lw,
            found,
            (ln * 11 + lc) * 8 + (level((behind << 1) >> kc) >> 1),
        ]
        a = self.magnitude(a, k, place)
        value = _clamp(p + 1 + a if sign else p - a, VALUE_LIMIT)
        V[y, x], K[y, x] = value, k
        E[y, x] = value - ((predicted + (1 << (PREDICTION_BITS - 1))) >> PREDICTION_BITS)
        self.usual += ((abs(E[y, x]) << USUAL_BITS) - self.usual) >> USUAL_RATE
        shift = max(bits, LEAST_BITS) - SCALE_BITS
        X = [
            _clamp(_clamp(v >> max(shift, 0), SCALED_LIMIT) << max(-shift, 0), SCALED_LIMIT)
            for v in [*X, value - guess]
        ]
        for row, v in zip(self.products, X, strict=True):
            row[:] = [old + v * other for old, other in zip(row, X, strict=False)]
        return value

    def palette(self, entries: list[int], largest: int) -> list[int]:
        """Code a palette of at most so many entries; return it."""
        count = min(self.numbers.number(len(entries) - 1, 0) + 1, max(largest, 1))
        first = entries[0] if entries else 0
        start = self.numbers.number(2 * first if first >= 0 else -2 * first - 1, 1)
        found = [_clamp(-((start + 1) >> 1) if start & 1 else start >> 1, SAMPLE_LIMIT)]
        gaps = [b - a for a, b in pairwise(entries)] or [1] * (count - 1)
        for gap in gaps:
            found.append(_clamp(found[-1] + self.numbers.number(gap - 1, 2) + 1, SAMPLE_LIMIT))
        return found


def _run(bits: Bits, plan: Plan | None, shape: tuple[int, int, int], valid: np.ndarray | None) -> np.ndarray:
    """Code all bands; return the samples."""
    coder, out = Coder(bits, shape), np.zeros(shape, np.int32)
    masks = np.broadcast_to(np.ones(shape[1:], np.bool_) if valid is None else valid, shape)
    if plan is not None:
        coder.V[:, ABOVE:-BELOW, SIDES:-SIDES] = plan.values
    swapped = coder.kinds.code(0 if plan is None else int(plan.swapped), 4) if shape[0] > 1 else 0
    order = [1, 0, *range(2, shape[0])] if swapped else list(range(shape[0]))
    for b, place in enumerate(order):
        mask, kind = masks[place], 0 if plan is None else int(plan.kinds[b])
        palette: list[int] = []
        if coder.kinds.code(int(kind == PALETTE), 0):
            kind = PALETTE
            entries = [] if plan is None else plan.palettes[plan.starts[b] : plan.starts[b + 1]].tolist()
            palette = coder.palette(entries, int(mask.sum()))
        elif b:
            high = coder.kinds.code(kind >> 1, 1)
            kind = min(2 * high + coder.kinds.code(kind & 1, 2 + high), b)
        if b:
            coder.sums.begin(b)
        coder.band(b, mask)
        if bits.overrun:
            break
        values = coder.V[b, ABOVE:-BELOW, SIDES:-SIDES]
        if kind == PALETTE:
            values = np.array(palette)[np.clip(values.astype(int), 0, len(palette) - 1)]
        elif kind:
            values = values + out[order[b - kind]]
        out[place] = np.where(mask, np.clip(values.astype(int), -SAMPLE_LIMIT, SAMPLE_LIMIT), 0)
    return out


def _encode(plan: Plan, shape: tuple[int, int, int], valid: np.ndarray | None) -> bytes:
    """Code samples with a plan."""
    bits = Bits(ENCODE)
    _run(bits, plan, shape, valid)
    return bits.finish()


def encode_residual(samples: np.ndarray, valid: np.ndarray | None = None) -> bytes:
    """Code an array losslessly.

    Parameters
    ----------
    samples : ndarray of int32, shape (C, H, W)
        The samples, within plus or minus 2^25; at most 1024 bands.
    valid : ndarray of bool, shape (H, W) or (C, H, W), or None
        Which samples there are, None for all; others are not coded.

    Returns
    -------
    bytes
        The coded array; neither its shape nor which samples there are is in there.
    """
    plan = plan_bands(samples, valid, *best_order(_encode, samples, valid))
    return _encode(plan, samples.shape, valid)


def decode_residual(
    data: bytes, shape: tuple[int, int, int], valid: np.ndarray | None = None
) -> tuple[np.ndarray, bool]:
    """The inverse of :func:`encode_residual`.

    Parameters
    ----------
    data : bytes
        Any bytes.
    shape : tuple of int
        Bands, rows and columns.
    valid : ndarray of bool, shape (H, W) or (C, H, W), or None
        As it was coded.

    Returns
    -------
    samples : ndarray of int32, shape (C, H, W)
        The samples, within plus or minus 2^25; 0 where there is none.
    overrun : bool
        Whether the bytes ended before the array did; some samples are then arbitrary.
    """
    bits = Bits(DECODE, data)
    samples = _run(bits, None, shape, valid)
    return samples, bits.overrun
