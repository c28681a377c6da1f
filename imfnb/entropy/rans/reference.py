"""The coder of U in parallel lanes, in NumPy: the definition of its kernels. Section 18 of FORMAT.md.

A symbol's inputs go through a network of one hidden layer, whose result is the level of its distribution,

    h = clamp((b_1 + W_1 x) >> SHIFT_1, 0, UNIT_MAX),  level = clamp((b_2 + w_2 h) >> SHIFT_2, 0, LEVELS - 1),

and an asymmetric numeral system with static frequencies codes it (Duda, "Asymmetric numeral systems: entropy coding
combining speed of Huffman coding with compression rate of arithmetic coding", 2013, section 2). Symbols go to the lanes
in turn, which share their words.

Ranges: inputs are within +-255, weights within +-2**15, so that 32 products and a bias below 2**30 fit 32 bits; a unit
is at most 4095 and there are 16 of them, with weights within +-2**13. A state is below 2**32 before and after.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from ...errors import FormatError
from ...format.bytestream import Reader, put_varint
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
    LANES_MAX,
    LEVELS,
    LOG,
    LOG_LIMIT,
    MAGNITUDE_LIMIT,
    PLACE_BITS,
    RANKS,
    SHIFT_1,
    SHIFT_2,
    SIGNED_COMPONENTS,
    STATE_LOW,
    SYMBOLS,
    UNIT_MAX,
    Networks,
    group_of,
    networks,
)
from ..layout import padded_size
from .passes import (
    Mean,
    blend,
    component_inputs,
    difference_level,
    first_inputs,
    log,
    magnitude_level,
    neighbours,
    predicted,
    rank_inputs,
    runs,
    slopes_of,
    wave,
)

__all__ = ["decode_factors", "encode_factors"]

#: Symbols of a segment for each lane: a lane takes two bytes more than its share, 0.5% of those of its symbols.
SYMBOLS_PER_LANE = 2048

_ONE = 1 << FREQUENCY_BITS


def levels(model: Networks, net: int, inputs: np.ndarray) -> np.ndarray:
    """What a network says of its inputs, int32 (n, k): int64 (n,)."""
    weights = model.weights_1[net, : inputs.shape[1]].astype(np.int64)
    hidden = np.clip((model.biases_1[net] + inputs @ weights) >> SHIFT_1, 0, UNIT_MAX)
    total = model.biases_2[net] + hidden @ model.weights_2[net].astype(np.int64)
    return np.clip(total >> SHIFT_2, 0, LEVELS - 1)


def places(data: bytes) -> tuple[int, int, int, int]:
    """Where the parts of a segment, but for its first byte, are.

    Returns
    -------
    lanes : int
        Binary logarithm of their number.
    states, words : int
        Where they begin.
    count : int
        Number of words, which the raw bits follow.

    Where a segment does not hold what it says, there is nothing, not even a state: one of zero makes the first symbol
    one too many.
    """
    reader = Reader(memoryview(data))
    try:
        lanes, count = reader.byte(), reader.varint()
        if lanes > LANES_MAX:
            raise FormatError(f"2**{lanes} lanes")
        states = reader.position
        words = states + len(reader.take(4 << lanes))
        reader.take(2 * count)
    except FormatError:
        return 0, len(data), len(data), 0
    return lanes, states, words, count


def opened(data: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Take a segment, but for its first byte, apart.

    Returns
    -------
    states : ndarray of uint32
        One for each lane.
    words : ndarray of uint16
        With a zero after the last, to which reads beyond it go.
    bits : ndarray of uint8
        The raw bits, with four zero bytes after the last.
    start : int
        Bytes of the segment before the words.
    """
    lanes, first, start, count = places(data)
    states = data[first : first + (4 << lanes)] or bytes(4)
    padded = np.frombuffer(data[start : start + 2 * count] + bytes(2), "<u2").astype(np.uint16)
    bits = np.frombuffer(data[start + 2 * count :] + bytes(4), np.uint8).copy()
    return np.frombuffer(states, "<u4").astype(np.uint32), padded, bits, start + 1


class Coder(ABC):
    """What both directions have in common."""

    overrun = False

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return 0

    @abstractmethod
    def code(self, rows: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Code symbols, of which rows (n, m) have the frequencies; return them."""

    @abstractmethod
    def raw(self, count: int, value: int) -> int:
        """Code raw bits, the lowest one first; return them."""

    def said(self, model: Networks, net: int, inputs: np.ndarray, kinds: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        """Code symbols of a network; kinds are 1 where zero is excluded."""
        return self.code(model.frequencies[net, kinds, levels(model, net, inputs)].astype(np.int64), symbols)

    def within(self, symbols: np.ndarray, values: np.ndarray, starts: Sequence[int], bits: Sequence[int]) -> np.ndarray:
        """Code which values of the ranges of symbols they are."""
        out = np.array(starts)[symbols]
        for k in np.flatnonzero((np.array(bits)[symbols] > 0) | (symbols == SYMBOLS - 1)):
            rest, width = int(values[k] - out[k]), bits[symbols[k]]
            out[k] += self.raw(width, rest) if width else self.beyond(rest, ESCAPE_BITS)
        return out

    def beyond(self, value: int, most: int) -> int:
        """Code a value beyond the last range: the exponent of value + 1 in unary, then what is below its first bit."""
        exponent = 0
        while exponent < most and self.raw(1, int((value + 1) >> (exponent + 1) > 0)):
            exponent += 1
        return (1 << exponent) - 1 + self.raw(exponent, (value + 1) & ((1 << exponent) - 1))

    def bits(self, counts: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Code the lower bits of values."""
        out = np.zeros(len(values), np.int64)
        for k in np.flatnonzero(counts):
            out[k] = self.raw(int(counts[k]), int(values[k]) & ((1 << int(counts[k])) - 1))
        return out


class Encoder(Coder):
    """Symbols on their way to bytes, from which nothing is read yet."""

    def __init__(self) -> None:
        self._symbols: list[tuple[int, int]] = []
        self._bits: list[int] = []

    def code(self, rows: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        ends = np.cumsum(rows, axis=1)
        for row, end, symbol in zip(rows, ends, symbols, strict=True):
            self._symbols.append((int(end[symbol]) - int(row[symbol]), int(row[symbol])))
        return symbols

    def raw(self, count: int, value: int) -> int:
        self._bits += [(value >> k) & 1 for k in range(count)]
        return value

    def finish(self) -> bytes:
        """The bytes of all that was taken in."""
        lanes = min(LANES_MAX, max(1, len(self._symbols) // SYMBOLS_PER_LANE).bit_length() - 1)
        states, words = [1 << STATE_LOW] * (1 << lanes), []
        for number in range(len(self._symbols) - 1, -1, -1):
            start, frequency = self._symbols[number]
            x = states[number & ((1 << lanes) - 1)]
            if x >> (2 * STATE_LOW - FREQUENCY_BITS) >= frequency:
                words.append(x & 0xFFFF)
                x >>= STATE_LOW
            states[number & ((1 << lanes) - 1)] = (x // frequency << FREQUENCY_BITS) + x % frequency + start
        out = bytearray([lanes])
        put_varint(out, len(words))
        out += np.array(states, "<u4").tobytes() + np.array(words[::-1], "<u2").tobytes()
        return bytes(out) + np.packbits(np.array(self._bits, np.uint8), bitorder="little").tobytes()


class Decoder(Coder):
    """Symbols from bytes."""

    def __init__(self, data: bytes) -> None:
        states, words, self._bytes, self._start = opened(data)
        self._states, self._words = [int(x) for x in states], [int(x) for x in words]
        self._number = self._word = self._bit = 0

    @property
    def position(self) -> int:
        return self._start + 2 * self._word + (self._bit + 7) // 8

    def code(self, rows: np.ndarray, symbols: np.ndarray) -> np.ndarray:
        ends = np.cumsum(rows, axis=1)
        out = np.zeros(len(rows), np.int64)
        for k, (row, end) in enumerate(zip(rows, ends, strict=True)):
            lane = self._number % len(self._states)
            x = self._states[lane]
            slot = x & (_ONE - 1)
            symbol = int(np.searchsorted(end, slot, side="right"))
            x = int(row[symbol]) * (x >> FREQUENCY_BITS) + slot - int(end[symbol]) + int(row[symbol])
            if x >> STATE_LOW == 0:
                x = x << STATE_LOW | self._words[min(self._word, len(self._words) - 1)]
                self._word += 1
                self.overrun |= self._word >= len(self._words)
            self._states[lane] = x
            self._number += 1
            out[k] = symbol
        return out

    def raw(self, count: int, value: int) -> int:
        value = 0
        for k in range(count):
            if self._bit >> 3 < len(self._bytes) - 4:
                value |= (int(self._bytes[self._bit >> 3]) >> (self._bit & 7) & 1) << k
            else:
                self.overrun = True
            self._bit += 1
        return value


def _symbol(values: np.ndarray, starts: Sequence[int]) -> np.ndarray:
    """The symbols that stand for values."""
    return np.searchsorted(np.array(starts), values, side="right") - 1


def _bit_rows(frequencies: np.ndarray) -> np.ndarray:
    """Rows of the frequencies of a bit, from those of a one."""
    ones = frequencies.astype(np.int64)
    return np.stack([_ONE - ones, ones], 1)


def _first(coder: Coder, model: Networks, D: np.ndarray, grid_h: int, grid_w: int) -> np.ndarray:
    """Code component 0 (int64, padded); return the magnitudes of its residuals as networks see them."""
    stride = grid_w + 4
    errors, mean = np.zeros(D.size, np.int64), Mean()
    D[2 * stride : 2 * stride + 2] = 0
    for whole in wave(grid_h, grid_w):
        seen = mean.seen
        for m in runs(whole):
            y, x = m // stride - 2, m % stride - 2
            for place in m[(x == 0) & (y > 0)]:
                D[place - 1] = D[place - 2] = D[place - stride]
            around = neighbours(D, m, stride)
            w = around[0]
            for number in (1, 2, 3, 5):  # the first row has nothing above, the second nothing two above
                around[number] = np.where(y == 0, w, around[number])
            around[5] = np.where(y == 1, around[1], around[5])
            guess = predicted(around[0], around[1], around[2])
            e = D[m] - guess
            a = abs(e)
            inputs = first_inputs(around, neighbours(errors, m, stride), seen)
            symbols = coder.said(model, FIRST, inputs, np.zeros(len(m), np.int64), _symbol(a, COARSE_STARTS))
            a = coder.within(symbols, a, COARSE_STARTS, COARSE_BITS)
            some = a > 0
            rows = difference_level(blend(around))[some] + DIFFERENCES, magnitude_level(a[some])
            signs = np.zeros(len(m), np.int64)
            signs[some] = coder.code(_bit_rows(model.first_signs[rows]), (e[some] < 0).astype(np.int64))
            errors[m] = a
            D[m] = np.clip(guess + np.where(signs, -a, a), -FIRST_LIMIT, FIRST_LIMIT)
            for place in m[x == grid_w - 1]:
                D[place + 1] = D[place + 2] = D[place]
            if m[0] == 2 * stride + 2:
                D[m[0] - 1] = D[m[0] - 2] = D[m[0]]
        mean.add(np.minimum(errors[whole], MAGNITUDE_LIMIT))
    D[(grid_h + 2) * stride :] = D[(grid_h + 1) * stride : (grid_h + 2) * stride]
    D[stride : 2 * stride] = D[2 * stride : 3 * stride]
    return log(errors)


def _ranks(
    coder: Coder,
    model: Networks,
    K: np.ndarray,
    seen: np.ndarray,
    slopes: np.ndarray,
    grid_h: int,
    grid_w: int,
    rank_max: int,
) -> None:
    """Code the active ranks (int64, padded), below rank_max."""
    stride, mean, top = grid_w + 4, Mean(), int(LOG[rank_max - 1])
    for whole in wave(grid_h, grid_w):
        said = mean.seen
        for m in runs(whole):
            inputs = rank_inputs(neighbours(K, m, stride), seen, slopes, m, said, top)
            symbols = _symbol(K[m], COARSE_STARTS)
            symbols = coder.said(model, RANKS, inputs, np.zeros(len(m), np.int64), symbols)
            rest = K[m] - np.array(COARSE_STARTS)[symbols]
            bits = np.array(COARSE_BITS)[symbols]
            below = np.maximum(bits - PLACE_BITS, 0)
            some = bits > 0
            places = np.zeros(len(m), np.int64)
            places[some] = coder.code(model.places[symbols[some]].astype(np.int64), (rest >> below)[some])
            rest = places << below | coder.bits(below, rest)
            K[m] = np.minimum(np.array(COARSE_STARTS)[symbols] + rest, rank_max - 1)
        mean.add(K[whole])


def _component(
    coder: Coder,
    model: Networks,
    r: int,
    active: Sequence[np.ndarray],
    U: np.ndarray,
    K: np.ndarray,
    seen: np.ndarray,
    totals: np.ndarray,
    sums: np.ndarray,
    slopes: np.ndarray,
    stride: int,
    patch_size: int,
    mean: Mean,
    steady: tuple[int, int],
) -> None:
    """Code component r at the active positions of both passes."""
    for which, whole in enumerate(active):
        if not whole.size:
            continue
        net, means = GROUPS + 2 * group_of(r) + which, (mean.seen, *steady)
        for m in runs(whole):
            inputs = component_inputs(r, which, m, seen, sums, slopes, K, stride, patch_size, means)
            values = U[r, m].astype(np.int64)
            a, negative = abs(values), (values < 0).astype(np.int64)
            symbols = coder.said(model, net, inputs, (K[m] == r).astype(np.int64), _symbol(a, FINE_STARTS))
            a = np.minimum(coder.within(symbols, a, FINE_STARTS, FINE_BITS), MAGNITUDE_LIMIT)
            if r in SIGNED_COMPONENTS:
                kind, across = SIGNED_COMPONENTS[r]
                move, some = 1 if across else stride, a > 0
                slope = (U[0, m + move].astype(np.int64) - U[0, m - move])[some]
                rows = _bit_rows(model.signs[kind, abs(difference_level(slope))])
                negative[some] = coder.code(rows, negative[some] ^ (slope < 0)) ^ (slope < 0)
            else:
                negative = coder.bits((a > 0).astype(np.int64), negative)
            U[r, m] = np.where(negative, -a, a)
            seen[r, m] = log(a)
            totals[m] = np.minimum(totals[m] + a, LOG_LIMIT)
            sums[m] = log(totals[m])
        mean.add(abs(U[r, whole]))


def run(
    coder: Coder,
    padded: np.ndarray,
    ranks: np.ndarray,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    rank_max: int,
    model: Networks,
    spent: np.ndarray,
) -> None:
    """Code all of U; `spent` as in :func:`decode_factors`."""
    size, stride = padded_size(grid_h, grid_w)
    U, K = padded.astype(np.int64), ranks.astype(np.int64)
    errors = _first(coder, model, U[0], grid_h, grid_w)
    spent[0] = coder.position
    if len(U) > 1 and rank_max > 1:
        slopes = slopes_of(U[0], stride)
        _ranks(coder, model, K, errors, slopes, grid_h, grid_w, rank_max)
        at = np.flatnonzero(K)
        steep = int((slopes[0, at] + slopes[1, at]).sum()) // max(1, len(at))
        steady = int(LOG[min(16 * int(K.sum()) // (grid_h * grid_w), LOG_LIMIT)]), int(LOG[steep])
        seen, mean = np.zeros((len(U), size), np.int64), Mean()
        totals, sums = np.zeros(size, np.int64), np.zeros(size, np.int64)
        spent[1] = coder.position
        for r in range(1, min(rank_max, len(U))):
            at = at[K[at] >= r]
            if not at.size or coder.overrun:
                break
            colour = (at // stride + at % stride) & 1
            active = [at[colour == which] for which in (0, 1)]
            _component(coder, model, r, active, U, K, seen, totals, sums, slopes, stride, patch_size, mean, steady)
            spent[r + 1] = coder.position
    padded[:], ranks[:] = U, K


def encode_factors(padded: np.ndarray, ranks: np.ndarray, grid_h: int, grid_w: int, patch_size: int) -> bytes:
    """Code U losslessly.

    Parameters
    ----------
    padded, ranks, grid_h, grid_w, patch_size
        As in :func:`imfnb.entropy.reference.encode_factors`.

    Returns
    -------
    bytes
        One segment.
    """
    coder, rank_max = Encoder(), int(ranks.max()) + 1
    spent = np.zeros(patch_size * patch_size + 1, np.int64)
    run(coder, padded, ranks, grid_h, grid_w, patch_size, rank_max, networks(), spent)
    return bytes([rank_max - 1]) + coder.finish()


def decode_factors(
    data: bytes,
    grid_h: int,
    grid_w: int,
    patch_size: int,
    max_rank: int | None = None,
    spent: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Decode U: the inverse of :func:`encode_factors`.

    Parameters
    ----------
    data, grid_h, grid_w, patch_size, max_rank, spent
        As in :func:`imfnb.entropy.reference.decode_factors`.

    Returns
    -------
    padded, ranks, overrun
        As there.
    """
    rank_max = min(data[0] + 1, patch_size * patch_size) if data else 1
    stop = rank_max if max_rank is None else max(1, min(rank_max, max_rank))
    size, _ = padded_size(grid_h, grid_w)
    padded, ranks = np.zeros((stop, size), np.int16), np.zeros(size, np.int32)
    coder = Decoder(data[1:])
    spent = np.zeros(patch_size * patch_size + 1, np.int64) if spent is None else spent
    run(coder, padded, ranks, grid_h, grid_w, patch_size, rank_max, networks(), spent)
    return padded, ranks, coder.overrun or not data
