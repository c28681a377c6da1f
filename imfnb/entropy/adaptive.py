"""Numbers of the header's size with the range coder: adaptive bits and literals, in plain Python for every backend."""

from __future__ import annotations

from ..format.basis_update import HALF, LEAST, RATE
from .reference import Bits

__all__ = ["AdaptiveBits"]


class AdaptiveBits:
    """The range coder with adaptive bits, writing or reading as `bits` does.

    Parameters
    ----------
    bits : Bits
        The range coder.
    """

    def __init__(self, bits: Bits) -> None:
        self.bits = bits

    def code(self, bit: int, state: list[int], index: int) -> int:
        """Code one bit with probability state[index], which adapts."""
        p = state[index]
        bit = self.bits.code(bit, p)
        state[index] = min(max(p + (((bit << 16) - p) >> RATE), LEAST), 65536 - LEAST)
        return bit

    def raw(self, value: int, count: int) -> int:
        """Code the low `count` bits of a value as they are."""
        result = 0
        for k in reversed(range(count)):
            result = result << 1 | self.bits.code(value >> k & 1, HALF)
        return result
