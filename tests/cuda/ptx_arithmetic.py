"""What PTX's instructions make of numbers: functions of NumPy arrays with a value for each thread, by opcode.

Values are of the types of :data:`DTYPES`. Bits (b32, b64) are signed integers, as which registers are kept; whatever
does not depend on the sign is computed on them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np

__all__ = ["DTYPES", "Operation", "operation", "product_of_matrices"]

#: NumPy's types for PTX's.
DTYPES = {
    **{f"u{bits}": np.dtype(f"u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"{sign}{bits}": np.dtype(f"i{bits // 8}") for sign in "sb" for bits in (8, 16, 32, 64)},
    **{f"f{bits}": np.dtype(f"f{bits // 8}") for bits in (32, 64)},
    "pred": np.dtype(np.bool_),
}


class Operation(NamedTuple):
    """A function of arrays, the type of its result and those of its operands.

    One that is `slow` for odd numbers is not to be called with those of threads that are elsewhere.
    """

    function: Callable[..., np.ndarray]
    result: str
    operands: tuple[str, ...]
    slow: bool = False


def _bits(kind: str) -> int:
    return int(kind[1:])


def _unsigned(x: np.ndarray) -> np.ndarray:
    return x.view(f"u{x.itemsize}")


# ---------------------------------------------------------------------------------------------------------- integers


def _shift(left: bool) -> Callable[..., np.ndarray]:
    """Shift by a number of bits; all are shifted out, or become the sign, where it is larger than the type."""

    def shift(x: np.ndarray, by: np.ndarray) -> np.ndarray:
        bits = 8 * x.itemsize
        if by.size == 1 and by[0] < bits:  # most are constants
            return x << int(by[0]) if left else x >> int(by[0])
        if left or x.dtype.kind == "u":
            small = np.minimum(by, bits - 1).astype(x.dtype)
            return np.where(by < bits, x << small if left else x >> small, x.dtype.type(0))
        return x >> np.minimum(by, bits - 1).astype(x.dtype)

    return shift


def _wide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The product in twice the bits."""
    wide = f"{x.dtype.kind}{2 * x.itemsize}"
    return x.astype(wide) * y.astype(wide)


def _high(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The upper half of the product."""
    if x.itemsize < 8:
        return (_wide(x, y) >> 8 * x.itemsize).astype(x.dtype)
    low, half = np.uint64(2**32 - 1), np.uint64(32)
    a, b = _unsigned(x), _unsigned(y)
    middle = (a >> half) * (b & low) + ((a & low) * (b & low) >> half)
    other = (a & low) * (b >> half) + (middle & low)
    high = (a >> half) * (b >> half) + (middle >> half) + (other >> half)
    if x.dtype.kind == "i":  # a negative number is 2**64 too large when its bits are read without a sign
        high = high - np.where(x < 0, b, np.uint64(0)) - np.where(y < 0, a, np.uint64(0))
    return high.view(x.dtype)


def _divide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The quotient, cut towards zero; by zero anything, here all ones."""
    if x.dtype.kind == "u":
        return np.where(y == 0, x.dtype.type(2 ** (8 * x.itemsize) - 1), x // np.where(y == 0, x.dtype.type(1), y))
    quotient = _unsigned(np.abs(x)) // np.maximum(_unsigned(np.abs(y)), 1)
    signed = quotient.view(x.dtype)
    return np.where(y == 0, x.dtype.type(-1), np.where((x < 0) ^ (y < 0), -signed, signed))


def _remainder(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x - _divide(x, y) * y


def _leading_zeros(x: np.ndarray) -> np.ndarray:
    x, found = _unsigned(x), np.zeros(x.shape, np.uint32)
    for step in (32, 16, 8, 4, 2, 1):
        if step < 8 * x.itemsize:
            empty = x >> x.dtype.type(8 * x.itemsize - step) == 0
            found += empty * np.uint32(step)
            x = np.where(empty, x << x.dtype.type(step), x)
    return found + (x == 0)


def _set_bits(x: np.ndarray) -> np.ndarray:
    x, found = _unsigned(x), np.zeros(x.shape, np.uint32)
    for bit in range(8 * x.itemsize):
        found += (x >> x.dtype.type(bit) & x.dtype.type(1)).astype(np.uint32)
    return found


def _insert(x: np.ndarray, into: np.ndarray, at: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The `count` lowest bits of x in the place of those from bit `at` on."""
    bits, kind = 8 * x.itemsize, f"u{x.itemsize}"
    at, count = at & np.uint32(255), np.minimum(count & np.uint32(255), bits)
    shift, ones = _shift(left=True), np.full(1, 2**bits - 1, kind)
    mask = shift(~shift(ones, count), at)
    return (_unsigned(into) & ~mask | shift(_unsigned(x), at) & mask).view(x.dtype)


def _bytes(x: np.ndarray) -> np.ndarray:
    """Four bytes of every word, lowest first, along a new axis."""
    return np.ascontiguousarray(x).view(np.uint8).reshape(-1, 4)


def _permute(a: np.ndarray, b: np.ndarray, selector: np.ndarray) -> np.ndarray:
    """Byte k is that of (a, b) which nibble k of the selector names, or its sign where the nibble's top bit is set."""
    size = np.broadcast_shapes(a.shape, b.shape, selector.shape)
    a, b = np.broadcast_to(a, size), np.broadcast_to(b, size)
    every = np.concatenate((_bytes(a), _bytes(b)), axis=1)
    if selector.size == 1 and not selector[0] & 0x8888:  # nearly all
        chosen = every.take(selector[0] >> np.array([0, 4, 8, 12]) & 7, axis=1)
        return chosen.view(np.int32).ravel()
    nibbles = selector[:, None] >> np.array([0, 4, 8, 12], np.int32) & 15
    chosen = np.take_along_axis(every, nibbles & 7, axis=1)
    signs = np.where(chosen >= 128, np.uint8(255), np.uint8(0))
    return np.where(nibbles >= 8, signs, chosen).view(np.int32).ravel()


def _dot4(a_kind: str, b_kind: str) -> Callable[..., np.ndarray]:
    def dot(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        left, right = _bytes(a).view(f"{a_kind}1").astype(np.int32), _bytes(b).view(f"{b_kind}1").astype(np.int32)
        return c + (left * right).sum(axis=1, dtype=np.int32)

    return dot


def _dot2(part: str, a_kind: str, b_kind: str) -> Callable[..., np.ndarray]:
    """The two halves of a times the two lower, or upper, bytes of b."""
    places = slice(0, 2) if part == "lo" else slice(2, 4)

    def dot(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
        left = np.ascontiguousarray(a).view(f"{a_kind}2").reshape(-1, 2).astype(np.int32)
        right = _bytes(b).view(f"{b_kind}1")[:, places].astype(np.int32)
        return c + (left * right).sum(axis=1, dtype=np.int32)

    return dot


def _pack(high: np.ndarray, low: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Two numbers clipped to bytes, below 16 bits of a third."""
    return above << 16 | np.clip(high, 0, 255) << 8 | np.clip(low, 0, 255)


def _halves(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """A function of words from one of signed halves."""

    def both(*words: np.ndarray) -> np.ndarray:
        words = [np.ascontiguousarray(word) for word in np.broadcast_arrays(*words)]
        return function(*(word.view(np.int16) for word in words)).view(np.int32)

    return both


# ------------------------------------------------------------------------------------------------------------ floats


def _two_sum(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rounded sum, and what rounding has taken away."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def _odd_sum(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The sum rounded to odd: of the two numbers around an inexact one, that whose last bit is set.

    Rounding such a number once more, to fewer bits, gives what rounding the exact one gives.
    """
    total, lost = _two_sum(x, y)
    away = (lost > 0) == (total > 0)
    inexact = (lost != 0) & np.isfinite(lost) & (total.view(np.int64) & 1 == 0)
    return (total.view(np.int64) + np.where(inexact, np.where(away, 1, -1), 0)).view(np.float64)


def _fma32(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """x y + z, rounded once; the product of two float32 is exact as float64."""
    return _odd_sum(x.astype(np.float64) * y.astype(np.float64), z.astype(np.float64)).astype(np.float32)


def _fma64(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """x y + z, rounded once (Boldo and Melquiond 2008); with fractions where exponents are extreme."""
    x, y, z = np.broadcast_arrays(x, y, z)
    product = x * y
    # Dekker's product, whose parts overflow or lose bits only beyond these bounds.
    error = _low_product(x, y, product)
    upper, lower = _two_sum(z, error)
    high, low = _two_sum(product, upper)
    result = high + _odd_sum(low, lower)
    moderate = np.ones(x.shape, np.bool_)
    for number in (x, y, z, product):
        size = np.abs(number)
        moderate &= (size < 2.0**400) & ((size > 2.0**-400) | (number == 0))
    moderate &= (product != 0) | (x == 0) | (y == 0)
    finite = np.isfinite(x) & np.isfinite(y)
    # The sign of a zero, infinities and NaNs; an infinite z beside a finite product that overflows.
    result = np.where((result == 0) | ~finite, product + z, np.where(np.isfinite(z), result, z))
    for i in np.flatnonzero(~moderate & finite & np.isfinite(z)):
        result[i] = _fma_exactly(float(x[i]), float(y[i]), float(z[i]))
    return result


def _low_product(x: np.ndarray, y: np.ndarray, product: np.ndarray) -> np.ndarray:
    """x y - product."""
    x_high, x_low = _split(x)
    y_high, y_low = _split(y)
    return x_low * y_low - (((product - x_high * y_high) - x_low * y_high) - x_high * y_low)


def _split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two numbers of 26 bits whose sum is x."""
    large = x * (2.0**27 + 1)
    high = large - (large - x)
    return high, x - high


def _fma_exactly(x: float, y: float, z: float) -> float:
    exact = Fraction(x) * Fraction(y) + Fraction(z)
    if exact == 0:
        return x * y + z  # for the sign of the zero
    try:
        return float(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")


#: NaN as the hardware makes it.
_NAN = {4: np.array(0x7FFFFFFF, np.uint32).view(np.float32), 8: np.array(0x7FF8 << 48, np.uint64).view(np.float64)}


def _extreme(smallest: bool) -> Callable[..., np.ndarray]:
    """The smaller, or larger, number; -0 is below 0, and a NaN gives way to a number."""
    choose = np.fmin if smallest else np.fmax

    def extreme(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        found = choose(x, y)
        if (equal := x == y).any():
            signs = _unsigned(x) | _unsigned(y) if smallest else _unsigned(x) & _unsigned(y)
            found = np.where(equal, signs.view(x.dtype), found)
        return np.where(np.isnan(found), _NAN[x.itemsize], found)

    return extreme


_COMPARISONS = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}

# With a NaN nothing is true, or, where the name ends with u, everything.
_COMPARISONS_OF_FLOATS = _COMPARISONS | {
    "ne": lambda x, y: (x < y) | (x > y),
    "equ": lambda x, y: ~((x < y) | (x > y)),
    "neu": np.not_equal,
    "ltu": lambda x, y: ~(x >= y),
    "leu": lambda x, y: ~(x > y),
    "gtu": lambda x, y: ~(x <= y),
    "geu": lambda x, y: ~(x < y),
}


_TO_INTEGERS = {"rzi": np.trunc, "rni": np.rint, "rmi": np.floor, "rpi": np.ceil}


def _to_integer(rounding: str, to: str, source: str) -> Callable[..., np.ndarray]:
    """Rounded and clipped to the type; a NaN becomes zero, or in 64 bits, or from them, the top bit alone."""
    whole, dtype = _TO_INTEGERS[rounding], DTYPES[to]
    lowest, highest = np.iinfo(dtype).min, np.iinfo(dtype).max
    not_a_number = np.uint64(1 << _bits(to) - 1 if "64" in to + source else 0).astype(dtype)
    # The first number beyond the type is a power of two and therefore a float, unlike the last one within.
    beyond = float(highest + 1)

    def convert(x: np.ndarray) -> np.ndarray:
        x = whole(x.astype(np.float64))
        inside = (x >= lowest) & (x < beyond)
        outside = np.where(x >= beyond, dtype.type(highest), np.where(x < lowest, dtype.type(lowest), not_a_number))
        return np.where(inside, np.where(inside, x, 0).astype(dtype), outside)

    return convert


def _convert(rounding: str | None, saturate: str | None, to: str, source: str) -> Callable[..., np.ndarray] | None:
    """The function of a cvt; None where there is no such instruction."""
    dtype = DTYPES[to]
    if to[0] != "f" and source[0] == "f":
        return _to_integer(rounding, to, source) if rounding in _TO_INTEGERS else None
    if to == source and to[0] == "f":
        return _TO_INTEGERS.get(rounding) if not saturate else None
    if saturate:
        if "f" in (to[0], source[0]):
            return None
        limits = np.iinfo(dtype)

        def clip(x: np.ndarray) -> np.ndarray:
            low, high = max(limits.min, np.iinfo(x.dtype).min), min(limits.max, np.iinfo(x.dtype).max)
            return np.clip(x, x.dtype.type(low), x.dtype.type(high)).astype(dtype)

        return clip
    exact = to[0] != "f" or (source, to) == ("f32", "f64")
    return (lambda x: x.astype(dtype)) if rounding == (None if exact else "rn") else None


# ------------------------------------------------------------------------------------------------------------ matrices


def product_of_matrices(kinds: tuple[str, str], words: list[np.ndarray]) -> list[np.ndarray]:
    """mma.m16n8k32 of every warp: four words of A, two of B and four sums of each thread give its four sums.

    Thread 4 g + t has in byte k of word r of A the entry of row g + 8 (r & 1) and column 4 t + k + 16 (r >> 1), of B
    that of row 4 t + k + 16 r and column g, and sum r is that of row g + 8 (r >> 1) and column 2 t + (r & 1).
    """
    a = np.stack(words[:4]).view(DTYPES[kinds[0]]).reshape(2, 2, -1, 8, 4, 4)  # r >> 1, r & 1, warp, g, t, k
    b = np.stack(words[4:6]).view(DTYPES[kinds[1]]).reshape(2, -1, 8, 4, 4)  # r, warp, g, t, k
    c = np.stack(words[6:]).reshape(2, 2, -1, 8, 4)  # r >> 1, r & 1, warp, g, t
    left = a.transpose(2, 1, 3, 0, 4, 5).reshape(-1, 16, 32).astype(np.float64)
    right = b.transpose(1, 0, 3, 4, 2).reshape(-1, 32, 8).astype(np.float64)
    product = (left @ right).astype(np.int32).reshape(-1, 2, 8, 4, 2)  # warp, r >> 1, g, t, r & 1
    return list((c + product.transpose(1, 4, 0, 2, 3)).reshape(4, -1))


# ------------------------------------------------------------------------------------------------------------ the table

_WORD = r"[sub](16|32|64)"
_SIGNED = r"([su](?:16|32|64))"
_FLOAT = r"(f32|f64)"

_BY_BITS = {
    "add": np.add,
    "sub": np.subtract,
    "mul.lo": np.multiply,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
_BY_FLOATS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}
_BY_SIGNS = {"min": np.minimum, "max": np.maximum, "div": _divide, "rem": _remainder, "mul.hi": _high}
_BY_PREDICATES = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}
_OF_ONE = {"not": np.invert, "neg": np.negative, "abs": np.abs}


def _same(function: Callable[..., np.ndarray], kind: str, operands: int) -> Operation:
    return Operation(function, kind, (kind,) * operands)


def _twice(kind: str) -> str:
    return f"{kind[0]}{2 * _bits(kind)}"


def _copy(x: np.ndarray) -> np.ndarray:
    return x


def _select(x: np.ndarray, y: np.ndarray, condition: np.ndarray) -> np.ndarray:
    return np.where(condition, x, y)


def _converted(rounding: str | None, saturate: str | None, to: str, source: str) -> Operation | None:
    function = _convert(rounding, saturate, to, source)
    return function and Operation(function, to, (source,))


# Patterns of opcodes; what their groups match goes to the function that makes the operation.
_TABLE: dict[str, Callable[..., Operation | None]] = {
    rf"(add|sub|mul\.lo|and|or|xor)\.{_WORD}": lambda name, bits: _same(_BY_BITS[name], f"b{bits}", 2),
    r"(and|or|xor)\.pred": lambda name: _same(_BY_PREDICATES[name], "pred", 2),
    rf"(add|sub|mul)(?:\.rn)?\.{_FLOAT}": lambda name, kind: _same(_BY_FLOATS[name], kind, 2),
    rf"div\.rn\.{_FLOAT}": lambda kind: _same(np.divide, kind, 2),
    rf"rcp\.rn\.{_FLOAT}": lambda kind: _same(lambda x: x.dtype.type(1) / x, kind, 1),
    rf"sqrt\.rn\.{_FLOAT}": lambda kind: _same(np.sqrt, kind, 1),
    r"fma\.rn\.f32": lambda: _same(_fma32, "f32", 3),
    r"fma\.rn\.f64": lambda: Operation(_fma64, "f64", ("f64",) * 3, slow=True),
    rf"(min|max)\.{_FLOAT}": lambda name, kind: _same(_extreme(name == "min"), kind, 2),
    rf"(min|max|div|rem|mul\.hi)\.{_SIGNED}": lambda name, kind: _same(_BY_SIGNS[name], kind, 2),
    r"mul\.wide\.([su](?:16|32))": lambda kind: Operation(_wide, _twice(kind), (kind, kind)),
    rf"mad\.lo\.{_WORD}": lambda bits: _same(lambda x, y, z: x * y + z, f"b{bits}", 3),
    rf"mad\.hi\.{_SIGNED}": lambda kind: _same(lambda x, y, z: _high(x, y) + z, kind, 3),
    r"mad\.wide\.([su](?:16|32))": lambda kind: Operation(
        lambda x, y, z: _wide(x, y) + z, _twice(kind), (kind, kind, _twice(kind))
    ),
    r"add\.s16x2": lambda: _same(_halves(np.add), "b32", 2),
    r"min\.relu\.s16x2": lambda: _same(_halves(lambda x, y: np.maximum(np.minimum(x, y), 0)), "b32", 2),
    r"not\.b(16|32|64)": lambda bits: _same(np.invert, f"b{bits}", 1),
    r"not\.pred": lambda: _same(np.logical_not, "pred", 1),
    r"(neg|abs)\.(s16|s32|s64|f32|f64)": lambda name, kind: _same(_OF_ONE[name], kind, 1),
    r"clz\.b(32|64)": lambda bits: Operation(_leading_zeros, "u32", (f"b{bits}",)),
    r"popc\.b(32|64)": lambda bits: Operation(_set_bits, "u32", (f"b{bits}",)),
    r"shl\.b(16|32|64)": lambda bits: Operation(_shift(left=True), f"b{bits}", (f"b{bits}", "u32")),
    rf"shr\.{_SIGNED}": lambda kind: Operation(_shift(left=False), kind, (kind, "u32")),
    r"shr\.b(16|32|64)": lambda bits: Operation(_shift(left=False), f"u{bits}", (f"u{bits}", "u32")),
    r"bfi\.b(32|64)": lambda bits: Operation(_insert, f"b{bits}", (f"b{bits}", f"b{bits}", "u32", "u32")),
    r"prmt\.b32": lambda: _same(_permute, "b32", 3),
    r"dp4a\.([su])32\.([su])32": lambda a, b: _same(_dot4(*("iu"["su".index(x)] for x in (a, b))), "b32", 3),
    r"dp2a\.(lo|hi)\.([su])32\.([su])32": lambda part, a, b: _same(
        _dot2(part, *("iu"["su".index(x)] for x in (a, b))), "b32", 3
    ),
    r"cvt\.pack\.sat\.u8\.s32\.b32": lambda: _same(_pack, "b32", 3),
    r"cvt(?:\.(r[nzmp]i?))?(\.sat)?\.([usf]\d+)\.([usf]\d+)": _converted,
    rf"setp\.(eq|ne)\.{_WORD}": lambda name, bits: Operation(_COMPARISONS[name], "pred", (f"b{bits}",) * 2),
    rf"setp\.(lt|le|gt|ge)\.{_SIGNED}": lambda name, kind: Operation(_COMPARISONS[name], "pred", (kind, kind)),
    rf"setp\.((?:eq|ne|lt|le|gt|ge)u?)\.{_FLOAT}": lambda name, kind: Operation(
        _COMPARISONS_OF_FLOATS[name], "pred", (kind, kind)
    ),
    rf"selp\.{_WORD}": lambda bits: Operation(_select, f"b{bits}", (f"b{bits}", f"b{bits}", "pred")),
    rf"selp\.{_FLOAT}": lambda kind: Operation(_select, kind, (kind, kind, "pred")),
    rf"mov\.{_WORD}": lambda bits: _same(_copy, f"b{bits}", 1),
    r"mov\.(f32|f64|pred)": lambda kind: _same(_copy, kind, 1),
}
_PATTERNS = [(re.compile(pattern), make) for pattern, make in _TABLE.items()]


@functools.cache
def operation(opcode: str) -> Operation | None:
    """What an opcode computes from its operands; None if it is none of the table."""
    for pattern, make in _PATTERNS:
        if found := pattern.fullmatch(opcode):
            return make(*found.groups())
    return None
