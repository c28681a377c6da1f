"""Container stage: header and segments <-> one .imf file.

Layout, format version 1 (numbers are varints unless a width is given)::

    89 49 4D 46          magic, "\\x89IMF"
    u8                   format version
    length               of the header
    header:  u8 profile, height, width, u8 channels, parameters of the profile, number of segments,
             then (length, u32 CRC-32) of every segment
    u32                  CRC-32 of all bytes so far
    segments             one after the other

Bytes behind the last segment do not belong to the file and are ignored: DICOM and others pad to an even length.
Nothing is allocated for the image before the length, the magic, the version, the header's CRC, the range of every
field, the number of pixels, the working set and the extent of the segments have been checked, in this order. The CRC
of a segment is checked when it is asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import FormatError, LimitError
from .bytestream import Reader, put_varint

__all__ = ["MAX_PIXELS", "VERSION", "Container", "Frame", "pack", "unpack"]

MAGIC = b"\x89IMF"
VERSION = 1
PROFILES = ("baseline", "main")

#: Default limit of the number of pixels that decoding allows.
MAX_PIXELS = 2**28

# Bytes that the decoder may need besides the image itself: for each pixel of `max_pixels`, and for the stripe that a
# thread works on, which is no larger in large pictures.
_WORKING_BYTES = 16
_STRIPE_BYTES = 1 << 26


@dataclass(frozen=True)
class Frame:
    """What every profile has to know of an image.

    Attributes
    ----------
    profile : {"baseline", "main"}
        How the segments are coded.
    height, width : int
        Size in pixels.
    channels : {0, 1, 3, 4}
        Length of the last axis of the image; 0 for a gray image without one.
    """

    profile: str
    height: int
    width: int
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image as an array."""
        return (self.height, self.width, self.channels) if self.channels else (self.height, self.width)


@dataclass(frozen=True)
class Container:
    """A file taken apart.

    Attributes
    ----------
    frame : Frame
        The fields common to all profiles.
    parameters : Any
        The fields of the profile.
    sizes : tuple of int
        Length of each segment in bytes.
    total : int
        Length of the file in bytes, up to the end of its last segment.
    padding : int
        Number of bytes behind that.
    """

    frame: Frame
    parameters: Any
    sizes: tuple[int, ...]
    total: int
    padding: int
    _segments: tuple[bytes, ...]
    _checksums: tuple[int, ...]

    def segment(self, index: int) -> Reader:
        """A reader over a segment whose CRC has been checked.

        Raises
        ------
        FormatError
            If the checksum does not match.
        """
        data = self._segments[index]
        if zlib.crc32(data) != self._checksums[index]:
            raise FormatError(f"damaged file: the checksum of segment {index} does not match; fetch the file again")
        return Reader(memoryview(data))


def pack(frame: Frame, parameters: bytes, segments: list[bytes]) -> bytes:
    """Put a file together.

    Parameters
    ----------
    frame : Frame
        The fields common to all profiles.
    parameters : bytes
        The profile's fields, as its parser reads them.
    segments : list of bytes
        The coded factors.

    Returns
    -------
    bytes
        The file.
    """
    header = bytearray([PROFILES.index(frame.profile)])
    put_varint(header, frame.height)
    put_varint(header, frame.width)
    header.append(frame.channels)
    header += parameters
    put_varint(header, len(segments))
    for segment in segments:
        put_varint(header, len(segment))
        header += zlib.crc32(segment).to_bytes(4, "little")
    out = bytearray(MAGIC)
    out.append(VERSION)
    put_varint(out, len(header))
    out += header
    out += zlib.crc32(out).to_bytes(4, "little")
    return bytes(out) + b"".join(segments)


def unpack(
    data: memoryview, max_pixels: int, parsers: Mapping[str, Callable[[Reader, Frame], tuple[Any, int, int]]]
) -> Container:
    """Take a file apart, checking everything that can be checked without decoding.

    Segments are copied, and no view of `data` is left behind, not even in the frames of an error's traceback: whoever
    mapped a file wants to close it, and a view keeps a map open.

    Parameters
    ----------
    data : memoryview
        The file, and what may lie behind it.
    max_pixels : int
        Largest number of pixels to accept.
    parsers : dict
        For each profile a function of the reader and the frame that reads the profile's fields, checks their ranges
        and returns them, the number of segments, and the number of bytes that decoding needs besides the image.

    Returns
    -------
    Container
        The file's parts.

    Raises
    ------
    FormatError
        If the bytes are not a valid file.
    LimitError
        If the image is larger than `max_pixels` or needs far more memory than its size justifies.
    """
    if len(data) < len(MAGIC) + 2:
        raise FormatError(f"not an .imf file: {len(data)} bytes are fewer than the smallest header has")
    if data[: len(MAGIC)] != MAGIC:
        raise FormatError(f"not an .imf file: it begins with {bytes(data[:4])!r}, expected {MAGIC!r}")
    reader = Reader(data)
    reader.take(len(MAGIC))
    version = reader.byte()
    if version != VERSION:
        raise FormatError(f"format version {version} is not known; this imfnb reads version {VERSION}: upgrade imfnb")
    with reader.take(reader.varint()) as fields:
        end = reader.position
        if reader.u32() != zlib.crc32(data[:end]):
            raise FormatError("damaged file: the checksum of the header does not match; fetch the file again")
        frame, parameters, table = _parse_header(Reader(fields), max_pixels, parsers)
    segments = tuple(bytes(reader.take(size)) for size, _ in table)
    sizes, checksums = tuple(size for size, _ in table), tuple(checksum for _, checksum in table)
    return Container(frame, parameters, sizes, reader.position, reader.left, segments, checksums)


def _parse_header(
    header: Reader, max_pixels: int, parsers: Mapping[str, Callable[[Reader, Frame], tuple[Any, int, int]]]
) -> tuple[Frame, Any, list[tuple[int, int]]]:
    """Read and check a header: the frame, the profile's fields, and length and CRC of every segment."""
    profile = header.byte()
    if profile >= len(PROFILES):
        raise FormatError(f"profile {profile} is not known; this imfnb reads profiles 0 to {len(PROFILES) - 1}")
    frame = Frame(PROFILES[profile], header.varint(), header.varint(), header.byte())
    if not frame.height or not frame.width:
        raise FormatError(f"damaged file: the image is empty ({frame.height} x {frame.width} pixels)")
    if frame.channels not in (0, 1, 3, 4):
        raise FormatError(f"damaged file: {frame.channels} channels; expected 0, 1, 3 or 4")
    if frame.height * frame.width > max_pixels:
        raise LimitError(
            f"the image has {frame.height} x {frame.width} pixels, more than max_pixels={max_pixels}; "
            "raise max_pixels if you trust the file"
        )
    parameters, count, working = parsers[frame.profile](header, frame)
    if working > _WORKING_BYTES * max_pixels + _STRIPE_BYTES:
        raise LimitError(
            f"decoding needs {working} bytes, more than max_pixels={max_pixels} allows; raise it if you trust the file"
        )

    found = header.varint()
    if found != count:
        raise FormatError(f"damaged file: {found} segments; expected {count}")
    table = [(header.varint(), header.u32()) for _ in range(count)]
    header.end()
    return frame, parameters, table
