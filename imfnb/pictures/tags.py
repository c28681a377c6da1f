"""A small reader of TIFF directories, which EXIF blocks and the index of multi-picture JPEGs are too.

Pillow's own warns about what it does not like, raises SyntaxError, or hides what it cannot decode; this one answers
what a tag says, or ValueError.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from ..format.chunks import TYPE_SIZES, Tag

__all__ = ["MAGICS", "WHOLE", "Directory", "directories", "read_exif", "upright_exif", "whole_exif"]

#: How TIFF files begin: byte order and version, the last two being BigTIFF.
MAGICS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}

_ORIENTATION = 274

#: The tag under which a block that a reader of Pillow's has made itself holds the file's own; nobody else has it.
WHOLE = 65001

# struct's letters of the types of values, by TIFF's numbers.
_TYPES = {
    1: "B",
    2: "s",
    3: "H",
    4: "L",
    5: "LL",
    6: "b",
    7: "s",
    8: "h",
    9: "l",
    10: "ll",
    11: "f",
    12: "d",
    13: "L",
    16: "Q",
    17: "q",
    18: "Q",
}

# Entries of all directories of a file that are read at most: directories that overlap could make a small file endless.
_MOST_ENTRIES = 1 << 22

# Bytes of one value that are read at most. Colour profiles of printers take a few megabytes.
_MOST_BYTES = 1 << 26


class Directory:
    """The tags of one image of a TIFF file.

    Parameters
    ----------
    file : binary file object
        Where values that do not fit into their entries are read from, when they are asked for.
    order : {"<", ">"}
        Byte order, as for :mod:`struct`.
    entries : dict
        From a tag to the type of its values, their number, and the field that holds them or their position.
    positions : dict
        From a tag to where in the file its entry begins; an attribute, too.
    wide : bool
        Whether the fields have eight bytes, as in BigTIFF, instead of four.
    """

    def __init__(
        self,
        file: BinaryIO,
        order: str,
        entries: dict[int, tuple[int, int, bytes]],
        positions: dict[int, int],
        wide: bool,
    ) -> None:
        self._file, self._order, self._entries, self._wide = file, order, entries, wide
        self.positions = positions

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def __iter__(self) -> Iterator[int]:
        return iter(self._entries)

    def block(self, tag: int) -> bytes:
        """The bytes of a tag's values; none if there is no such tag.

        Raises
        ------
        ValueError
            If they lie outside of the file, or are implausibly many.
        """
        if tag not in self._entries:
            return b""
        kind, count, field = self._entries[tag]
        size = struct.calcsize(f"<{_TYPES.get(kind, 's')}") * count
        if size <= len(field):
            return field[:size]
        if size > _MOST_BYTES:
            raise ValueError(f"tag {tag} has {size} bytes")
        _seek(self._file, struct.unpack(f"{self._order}{'Q' if self._wide else 'L'}", field)[0])
        data = self._file.read(size)
        if len(data) < size:
            raise ValueError(f"tag {tag} lies outside of the file")
        return data

    def tag(self, tag: int) -> Tag | None:
        """A tag as it is, but for the order of its bytes; None if there is none, or of no type of TIFF's.

        Raises
        ------
        ValueError
            As for :meth:`block`.
        """
        kind, count, _ = self._entries.get(tag, (0, 0, b""))
        if kind not in TYPE_SIZES or not count:
            return None
        data, size = self.block(tag), TYPE_SIZES[kind]
        if self._order == ">":
            size //= 1 + (kind in (5, 10))  # a rational is two numbers
            data = np.frombuffer(data, np.uint8).reshape(-1, size)[:, ::-1].tobytes()
        return Tag(tag, kind, count, data)

    def numbers(self, tag: int, default: tuple[float, ...] = ()) -> tuple[float, ...]:
        """The values of a tag; of rationals their quotients.

        Raises
        ------
        ValueError
            As for :meth:`block`.
        """
        if tag not in self._entries:
            return default
        letters = _TYPES.get(self._entries[tag][0], "s")
        if letters == "s":
            return tuple(self.block(tag))
        data = self.block(tag)
        values = struct.unpack(f"{self._order}{len(data) // struct.calcsize(f'<{letters[0]}')}{letters[0]}", data)
        if len(letters) == 2:
            return tuple(a / b if b else 0.0 for a, b in zip(values[::2], values[1::2], strict=True))
        return values

    def number(self, tag: int, default: float = 0) -> float:
        """The first value of a tag; the default where there is none, or it cannot be had."""
        try:
            return (self.numbers(tag) or (default,))[0]
        except ValueError:
            return default


def directories(file: BinaryIO) -> Iterator[Directory]:
    """The images of a TIFF file, one after the other.

    Parameters
    ----------
    file : binary file object
        Positions count from its beginning.

    Yields
    ------
    Directory
        One per image.

    Raises
    ------
    ValueError
        If the file is not a TIFF, or damaged.
    """
    file.seek(0)
    magic = file.read(4)
    if magic not in MAGICS:
        raise ValueError("not a TIFF structure")
    order, wide = MAGICS[magic]
    word, size, number = ("Q", 20, "Q") if wide else ("L", 12, "H")
    file.seek(8 if wide else 4)
    seen: set[int] = set()
    total = 0
    position = _unpack(file, order, word)
    while position:
        if position in seen:  # a loop, which some writers end a file with
            return
        seen.add(position)
        _seek(file, position)
        count = _unpack(file, order, number)
        total += count
        if total > _MOST_ENTRIES:
            raise ValueError("there are too many directories")
        table = file.read(size * count) if count <= 0xFFFF else b""
        if not count or len(table) < size * count:
            raise ValueError("a directory lies outside of the file")
        entries: dict[int, tuple[int, int, bytes]] = {}
        positions: dict[int, int] = {}
        start = file.tell() - len(table)
        for row in range(0, len(table), size):
            tag, kind, values = struct.unpack_from(f"{order}HH{word}", table, row)
            positions.setdefault(tag, start + row)
            entries.setdefault(tag, (kind, values, table[row + size - struct.calcsize(f"<{word}") : row + size]))
        follows = file.read(struct.calcsize(f"<{word}"))
        yield Directory(file, order, entries, positions, wide)
        if len(follows) < struct.calcsize(f"<{word}"):  # nothing more is said, as in EXIF blocks of some cameras
            return
        position = struct.unpack(f"{order}{word}", follows)[0]


def _seek(file: BinaryIO, position: int) -> None:
    """Go to a position that a file names, which none may have."""
    if position >= 1 << 62:
        raise ValueError("a position lies outside of the file")
    file.seek(position)


def _unpack(file: BinaryIO, order: str, letter: str) -> int:
    data = file.read(struct.calcsize(f"<{letter}"))
    try:
        return struct.unpack(f"{order}{letter}", data)[0]
    except struct.error:
        raise ValueError("the file ends inside a directory") from None


def read_exif(block: bytes) -> tuple[int, bool]:
    """What a picture needs of an EXIF block.

    Parameters
    ----------
    block : bytes
        With or without the six bytes that JPEG puts before it.

    Returns
    -------
    orientation : int
        1 to 8.
    more : bool
        Whether it says anything else.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    for first in directories(io.BytesIO(block.removeprefix(b"Exif\0\0"))):
        orientation = first.number(_ORIENTATION, 1)
        return (int(orientation) if orientation in range(1, 9) else 1), any(tag != _ORIENTATION for tag in first)
    return 1, False


def whole_exif(block: bytes) -> bytes:
    """The EXIF of a file, from the block that Pillow gives for it.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    first = next(directories(io.BytesIO(block.removeprefix(b"Exif\0\0"))), None)
    return block if first is None or WHOLE not in first else first.block(WHOLE)


def upright_exif(block: bytes) -> bytes:
    """An EXIF block that says of pixels that they are upright.

    Parameters
    ----------
    block : bytes
        One that :func:`read_exif` accepts.

    Returns
    -------
    bytes
        Without the six bytes that JPEG puts before it. If it said something else of the orientation, its thumbnail,
        which lies as the pixels did, is no longer referred to.
    """
    data = bytearray(block.removeprefix(b"Exif\0\0"))
    first = next(directories(io.BytesIO(data)), None)
    if first is None or _ORIENTATION not in first or first.number(_ORIENTATION, 1) == 1:
        return bytes(data)
    order, wide = MAGICS[bytes(data[:4])]
    kind, count, value = ("Q", "Q", 12) if wide else ("H", "L", 8)
    at = first.positions[_ORIENTATION]
    data[at + 2 : at + 4] = struct.pack(f"{order}H", 3)  # one short number, whatever it was
    data[at + 4 : at + value] = struct.pack(f"{order}{count}", 1)
    data[at + value : at + value + 4] = struct.pack(f"{order}HH", 1, 0)
    start = struct.unpack_from(f"{order}{count}", data, 8 if wide else 4)[0]
    entries = struct.unpack_from(f"{order}{kind}", data, start)[0]
    link = start + struct.calcsize(f"<{kind}") + entries * (20 if wide else 12)
    size = struct.calcsize(f"<{count}")
    if link + size <= len(data):
        data[link : link + size] = bytes(size)
    return bytes(data)
