"""Metadata of a file: what its chunks hold, and how one gets into a finished file.

A chunk of type "GEOT" holds the tags by which a TIFF says where on Earth its pixels lie, and what GDAL adds to that:
for this package they are opaque numbers that a TIFF is given back. FORMAT.md, section 2.2, has its layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import FormatError
from .bytestream import Reader, put_varint
from .container import CHUNKS, MAGIC

__all__ = ["GEOT", "GEO_TAGS", "TYPE_SIZES", "Tag", "is_plain", "pack_tags", "parse_tags"]

#: Type of the chunk that holds tags.
GEOT = b"GEOT"

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


def is_plain(data: bytes) -> bool:
    """Whether a file holds one picture of eight bits, gray, RGB or RGBA, and nothing beside it but metadata.

    Parameters
    ----------
    data : bytes
        The first 32 bytes of a file, which hold magic, version, profile, arrangement and five numbers, or more.

    Returns
    -------
    bool
        By the header, which is not checked.

    Raises
    ------
    FormatError
        If it ends before it says so.
    """
    reader = Reader(memoryview(data))
    reader.take(len(MAGIC))
    if reader.byte() == 1:
        return True
    reader.varint(), reader.varint()  # lengths of header and payload
    reader.byte()
    reader.varint(), reader.varint()  # height and width
    return reader.byte() in (0, 1, 3, 4) and not reader.varint() & ~CHUNKS
