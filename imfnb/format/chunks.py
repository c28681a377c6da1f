"""Metadata of a file: what its chunks hold. FORMAT.md, section 2.2, has their layouts.

Decoders of pixels skip all of them. A chunk of type "GEOT" holds the tags by which a TIFF says where on Earth its
pixels lie, and what GDAL adds to that: for this package they are opaque numbers that a TIFF is given back.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..errors import FormatError
from .bytestream import Reader, put_varint

__all__ = [
    "CONTENT_LIMIT",
    "DPI",
    "EXIF",
    "GEOT",
    "GEO_TAGS",
    "ICC",
    "TEXT",
    "TEXT_LIMIT",
    "TYPE_SIZES",
    "XMP",
    "Tag",
    "deflated",
    "inflated",
    "pack_dpi",
    "pack_tags",
    "pack_text",
    "parse_dpi",
    "parse_tags",
    "parse_text",
]

#: Types of chunks: an ICC profile, EXIF (a TIFF structure), an XMP packet, resolution, text, and tags. Those of the
#: first three and of text occur in lower case, too, for the same deflated.
ICC, EXIF, XMP, DPI, TEXT, GEOT = b"ICCP", b"EXIF", b"XMP ", b"DPI ", b"TEXT", b"GEOT"

#: Largest number of bytes of a profile, a block of EXIF, a packet of XMP, or all text.
CONTENT_LIMIT = 1 << 26

#: Largest number of texts: each takes a hundred times the memory of the few bytes that it may have in a file.
TEXT_LIMIT = 1 << 16

#: The tags that it may hold: ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams,
#: GeoAsciiParams, GDAL_METADATA and GDAL_NODATA. What else a TIFF says is of its own bytes, or never read from here.
GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)

#: Bytes of a value of each of TIFF's types.
TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True)
class Tag:
    """One tag of a TIFF.

    Attributes
    ----------
    number : int
        Which tag.
    type : int
        TIFF's number of the type of its values, a key of :data:`TYPE_SIZES`.
    count : int
        Number of values.
    data : bytes
        The values, little-endian.
    """

    number: int
    type: int
    count: int
    data: bytes


def pack_tags(tags: Iterable[Tag]) -> bytes:
    """The contents of a chunk of type GEOT.

    Parameters
    ----------
    tags : iterable of Tag
        Tags of :data:`GEO_TAGS`.

    Returns
    -------
    bytes
        What :func:`parse_tags` reads.
    """
    tags = list(tags)
    out = bytearray()
    put_varint(out, len(tags))
    for tag in tags:
        put_varint(out, tag.number)
        out.append(tag.type)
        put_varint(out, tag.count)
        out += tag.data
    return bytes(out)


def parse_tags(data: bytes) -> tuple[Tag, ...]:
    """The tags in a chunk of type GEOT.

    Parameters
    ----------
    data : bytes
        Contents of the chunk.

    Returns
    -------
    tuple of Tag
        Those of :data:`GEO_TAGS`, each once; others are skipped.

    Raises
    ------
    FormatError
        If the chunk is malformed.
    """
    reader = Reader(memoryview(data))
    tags: dict[int, Tag] = {}
    for _ in range(reader.varint()):
        number, kind, count = reader.varint(), reader.byte(), reader.varint()
        if kind not in TYPE_SIZES:
            raise FormatError(f"damaged metadata: type {kind} of tag {number} is not one of TIFF's")
        values = bytes(reader.take(TYPE_SIZES[kind] * count))
        if number in GEO_TAGS and count:
            tags.setdefault(number, Tag(number, kind, count, values))
    reader.end()
    return tuple(tags.values())


def deflated(kind: bytes, content: bytes) -> tuple[bytes, bytes]:
    """A chunk, deflated where that is shorter.

    Parameters
    ----------
    kind : bytes
        Its type, one that occurs in lower case, too.
    content : bytes
        Its contents, at most CONTENT_LIMIT bytes.

    Returns
    -------
    (bytes, bytes)
        Type and contents, which :func:`inflated` reads.
    """
    out = bytearray()
    put_varint(out, len(content))
    out += zlib.compress(content, 9)
    return (kind.lower(), bytes(out)) if len(out) < len(content) else (kind, content)


def inflated(kind: bytes, data: bytes) -> tuple[bytes, bytes]:
    """A chunk as it was before :func:`deflated`; others as they are.

    Parameters
    ----------
    kind : bytes
        Its type.
    data : bytes
        Its contents.

    Returns
    -------
    (bytes, bytes)
        Type and contents.

    Raises
    ------
    FormatError
        If the chunk is malformed, or holds more than CONTENT_LIMIT bytes.
    """
    if kind.upper() not in (ICC, EXIF, XMP, TEXT) or kind == kind.upper():
        return kind, data
    reader = Reader(memoryview(data))
    length = reader.varint()
    if length > CONTENT_LIMIT:
        raise FormatError(f"metadata of {length} bytes; at most {CONTENT_LIMIT} are read")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(reader.take(reader.left), length + 1)  # 0 would stand for no limit
    except zlib.error as error:
        raise FormatError(f"damaged metadata: {error}") from None
    if len(content) != length or not unpacker.eof or unpacker.unused_data:
        raise FormatError(f"damaged metadata: not the {length} bytes that are announced")
    return kind.upper(), content


def pack_dpi(dpi: tuple[float, float]) -> bytes:
    """The contents of a chunk of type DPI: dots per inch across and down."""
    return struct.pack("<dd", *dpi)


def parse_dpi(data: bytes) -> tuple[float, float]:
    """Dots per inch across and down, by a chunk of type DPI.

    Raises
    ------
    FormatError
        If the chunk is malformed, or they are no positive numbers.
    """
    if len(data) != 16:
        raise FormatError(f"damaged metadata: a resolution of {len(data)} bytes; expected 16")
    x, y = struct.unpack("<dd", data)
    if not (0 < x < math.inf and 0 < y < math.inf):
        raise FormatError(f"damaged metadata: a resolution of {x} x {y} dots per inch; expected positive numbers")
    return x, y


def pack_text(text: Mapping[str, str]) -> bytes:
    """The contents of a chunk of type TEXT: keys and what stands under them."""
    out = bytearray()
    put_varint(out, len(text))
    for word in (word for pair in text.items() for word in pair):
        encoded = word.encode("utf-8")
        put_varint(out, len(encoded))
        out += encoded
    return bytes(out)


def parse_text(data: bytes) -> dict[str, str]:
    """Keys and what stands under them, by a chunk of type TEXT; of equal keys the first.

    Raises
    ------
    FormatError
        If the chunk is malformed, or holds more than TEXT_LIMIT texts.
    """
    reader = Reader(memoryview(data))
    found: dict[str, str] = {}
    count = reader.varint()
    if count > TEXT_LIMIT:
        raise FormatError(f"metadata of {count} texts; at most {TEXT_LIMIT} are read")
    for _ in range(count):
        key, value = (bytes(reader.take(reader.varint())) for _ in range(2))
        try:
            found.setdefault(key.decode("utf-8"), value.decode("utf-8"))
        except UnicodeDecodeError:
            raise FormatError("damaged metadata: text that is not in UTF-8") from None
    reader.end()
    return found
