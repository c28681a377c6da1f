"""Reading and writing of the few kinds of numbers that headers are made of, with every read checked."""

from __future__ import annotations

from ..errors import FormatError

__all__ = ["Reader", "put_signed", "put_varint"]


def put_varint(out: bytearray, value: int) -> None:
    """Append a non-negative integer, seven bits a byte, least significant first."""
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def put_signed(out: bytearray, value: int) -> None:
    """Append an integer of any sign as a varint of 2 |v| or 2 |v| - 1."""
    put_varint(out, 2 * value if value >= 0 else -2 * value - 1)


class Reader:
    """A position in a buffer.

    Parameters
    ----------
    data : memoryview
        The bytes to read; nothing outside is ever touched.
    """

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0

    @property
    def left(self) -> int:
        """Number of bytes not yet read."""
        return len(self.data) - self.position

    def take(self, count: int) -> memoryview:
        """The next `count` bytes.

        Raises
        ------
        FormatError
            If there are fewer.
        """
        if count > self.left:
            raise FormatError(f"truncated file: {count} bytes expected at this place, {self.left} found")
        self.position += count
        return self.data[self.position - count : self.position]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def u32(self) -> int:
        """The next four bytes as a little-endian integer."""
        return int.from_bytes(self.take(4), "little")

    def varint(self) -> int:
        """The next varint, below 2**35."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise FormatError("damaged file: a number of more than five bytes")

    def signed(self) -> int:
        """The next signed varint."""
        value = self.varint()
        return -(value + 1 >> 1) if value & 1 else value >> 1

    def end(self) -> None:
        """Require that everything has been read.

        Raises
        ------
        FormatError
            If bytes are left over.
        """
        if self.left:
            raise FormatError(f"damaged file: {self.left} bytes left over")
