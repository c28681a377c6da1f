"""Symbols in lanes and raw bits, compiled for the CPU: what coders with static and with adaptive tables share.

`Encoder` and `Decoder` of the reference are their definition. Symbols are encoded from the last to the first; until
their tables are known, a log has the slots of each: where they begin in the lower 16 bits, how many above.
"""

from __future__ import annotations

import numpy as np

from ...format.bytestream import put_varint
from ...format.rans_model import FREQUENCY_BITS, LANES_MAX, STATE_LOW
from ...runtime.jit import kernel
from ..layout import ENCODE
from .reference import SYMBOLS_PER_LANE
from .simd import symbol_of

__all__ = ["BIT", "NUMBER", "OVERRUN", "WORD", "beyond", "code", "finish", "raw"]

#: Places of the counters of a coder: symbols, words and raw bits so far, and whether there were too few of these.
NUMBER, WORD, BIT, OVERRUN = range(4)

_MASK = (1 << FREQUENCY_BITS) - 1

_jit = kernel(error_model="numpy")
_inline = kernel(error_model="numpy", forceinline=True)


@_inline
def code(mode, rows, count, symbols, counters, states, words, log, starts, slots):
    """Code symbols of the tables with the numbers `rows`: decode them, or note their slots in `log`."""
    number = counters[NUMBER]
    if mode == ENCODE:
        for i in range(count):
            log[number + i] = slots[rows[i], symbols[i]]
        counters[NUMBER] = number + count
        return
    mask, last, word = states.size - 1, words.size - 1, counters[WORD]
    for i in range(count):
        lane = np.uint64((number + i) & mask)
        x = np.int64(states[lane])
        slot = x & _MASK
        row = np.int64(rows[i])
        symbol = symbol_of(starts, row, slot)
        entry = np.int64(slots[np.uint64(row), np.uint64(symbol)])
        x = (entry >> 16) * (x >> FREQUENCY_BITS) + slot - (entry & 0xFFFF)
        low = x >> STATE_LOW == 0
        x = x << STATE_LOW | np.int64(words[np.uint64(min(word, last))]) if low else x
        word += 1 if low else 0
        states[lane] = np.uint32(x)
        symbols[i] = np.uint8(symbol)
    counters[NUMBER], counters[WORD] = number + count, word
    if word > last:
        counters[OVERRUN] = 1


@_inline
def raw(mode, count, value, counters, bits):
    """Code raw bits, the lowest one first; return them."""
    position = counters[BIT]
    counters[BIT] = position + count
    if mode == ENCODE:
        for k in range(count):
            bits[(position + k) >> 3] |= np.uint8(((value >> k) & 1) << ((position + k) & 7))
        return value
    last = bits.size - 4  # from here on they are beyond the data, and zero
    place = np.uint64(min(position >> 3, last))
    some = (
        np.int64(bits[place]) | np.int64(bits[place + np.uint64(1)]) << 8 | np.int64(bits[place + np.uint64(2)]) << 16
    )
    if position + count > 8 * last:
        counters[OVERRUN] = 1
    return (some >> (position & 7)) & ((np.int64(1) << count) - 1)


@_inline
def beyond(mode, most, value, counters, bits):
    """Code a value beyond the last range; the exponent of one more than it is at most `most`, which is at most 16."""
    exponent = 0
    while exponent < most:
        if raw(mode, 1, 1 if (value + 1) >> (exponent + 1) > 0 else 0, counters, bits) == 0:
            break
        exponent += 1
    mask = (np.int64(1) << exponent) - 1
    return mask + raw(mode, exponent, (value + 1) & mask, counters, bits)


@_jit
def _pack(log, count, states, words):
    """Turn the slots of symbols into words, the last symbol first; return the number of words, which end `words`."""
    mask, place = states.size - 1, words.size
    for number in range(count - 1, -1, -1):
        start, frequency = np.int64(log[number] & 0xFFFF), np.int64(log[number] >> 16)
        x = np.int64(states[number & mask])
        if x >> (2 * STATE_LOW - FREQUENCY_BITS) >= frequency:
            place -= 1
            words[place] = x & 0xFFFF
            x >>= STATE_LOW
        quotient = x // frequency
        states[number & mask] = (quotient << FREQUENCY_BITS) + x - quotient * frequency + start
    return words.size - place


def finish(counters: np.ndarray, log: np.ndarray, bits: np.ndarray) -> bytes:
    """What was encoded, as bytes: the number of lanes, that of words, states, words, raw bits.

    Parameters
    ----------
    counters : ndarray of int64, shape (4,)
        As the kernels left them.
    log : ndarray of uint32
        The slots of the symbols, one after the other.
    bits : ndarray of uint8
        The raw bits.

    Returns
    -------
    bytes
        A segment, or what follows its first byte.
    """
    count = int(counters[NUMBER])
    lanes = min(LANES_MAX, max(1, count // SYMBOLS_PER_LANE).bit_length() - 1)
    states, words = np.full(1 << lanes, 1 << STATE_LOW, np.uint32), np.zeros(count + 1, np.uint16)
    used = _pack(log, count, states, words)
    out = bytearray([lanes])
    put_varint(out, used)
    out += states.astype("<u4").tobytes() + words[words.size - used :].astype("<u2").tobytes()
    return bytes(out) + bits[: (int(counters[BIT]) + 7) // 8].tobytes()
