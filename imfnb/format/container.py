"""Container stage: header, segments and chunks <-> one .imf file.

Layout, format version 2 (numbers are varints unless a width is given; FORMAT.md has both versions)::

    89 49 4D 46          magic, "\\x89IMF"
    u8                   format version
    length               of the header
    length               of the payload: what belongs to the file behind the header's CRC
    header:  u8 profile, height, width, u8 arrangement, features, what they announce, parameters of the profile,
             number of segments, then (length, u32 CRC-32) of every segment
    u32                  CRC-32 of all bytes so far
    payload              segments, then chunks, one after the other

So the first bytes of a file tell its length, and the header can be read without the rest. Version 1 has no length of
the payload, the number of channels instead of arrangement and features, and no chunks; it is read for ever and no
longer written.

Bytes behind the payload do not belong to the file and are ignored: DICOM and others pad to an even length. Nothing is
allocated for the image before the length, the magic, the version, the header's CRC, the range of every field, the
number of pixels, the working set and the extent of the payload have been checked, in this order. The CRC of a segment
or a chunk is checked when it is asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import FormatError, LimitError
from .bytestream import Reader, put_varint
from .samples import (
    CHANNEL_LIMIT,
    ArrayFields,
    read_mask,
    read_samples,
    read_unit,
    serialize_mask,
    serialize_samples,
    serialize_unit,
)

__all__ = [
    "MAX_PIXELS",
    "UNLIMITED",
    "VERSION",
    "Container",
    "Frame",
    "Header",
    "Parsers",
    "Part",
    "header_length",
    "newer",
    "pack",
    "read_header",
    "unpack",
]

MAGIC = b"\x89IMF"

#: Versions that are read, and the one that is written.
VERSIONS = (1, 2)
VERSION = 2
PROFILES = ("baseline", "main")

#: Arrangements of samples that are read, and lengths of the channel axis that version 1 knows: gray without and with
#: such an axis, RGB, RGBA. The numbers of these are equal in both versions; version 2 has gray with alpha, and bands.
ARRANGEMENTS = (0, 1, 3, 4)
GRAY_ALPHA, BANDS = 2, 5

#: Bits of the features that are read, each of which announces a part of the header. A file with any of the bits in
#: ARRAY, or of bands, is coded as an array (see `imfnb.format.samples`), others as a picture.
SAMPLES, COUNT, FRAMES, MASK, RESIDUALS, CHUNKS, ADAPTIVE = (1 << n for n in range(7))
FEATURES = SAMPLES | COUNT | FRAMES | MASK | RESIDUALS | CHUNKS | ADAPTIVE
ARRAY = SAMPLES | COUNT | MASK | RESIDUALS

#: A file has at most so many chunks, and frames.
CHUNK_LIMIT = 1024
FRAME_LIMIT = 1 << 20

# How frames are coded, in the order of their numbers in the header; see `Frame`.
_TOGETHER = ("", "bands", "times")

#: Default limit of the number of pixels that decoding allows.
MAX_PIXELS = 2**28

#: In its place where a file is one's own, or nothing is decoded: more pixels than any file can have.
UNLIMITED = 1 << 62

# Magic number, version, and the lengths of header and payload with five bytes each.
_PREFIX = len(MAGIC) + 1 + 5 + 5

# Bytes that the decoder may need besides the image itself: for each pixel of `max_pixels`, and for the stripe that a
# thread works on, which is no larger in large pictures.
_WORKING_BYTES = 16
_STRIPE_BYTES = 1 << 26


def newer(what: str) -> FormatError:
    """The error for what a later version of the format may mean and this one does not."""
    return FormatError(f"the file needs a newer imfnb: {what} is not known to this one; upgrade imfnb")


@dataclass(frozen=True)
class Frame:
    """What every profile has to know of an image.

    Attributes
    ----------
    profile : {"baseline", "main"}
        How the segments are coded.
    height, width : int
        Size in pixels.
    channels : int
        Length of the last axis of the image; 0 for a gray image without one.
    array : ArrayFields or None
        What else is to be said of arrays that are no pictures of 8 bits.
    frames : int
        Number of images along a first axis; 0 without that axis.
    together : {"", "bands", "times"}
        How frames are coded: each as a file of its own, or as one image with the bands of all of them, one frame after
        the other; "times" if a frame is one band without an axis of channels.
    adaptive : bool
        Whether the factors of the baseline profile are coded by adaptive tables; else their columns are deflated.
    """

    profile: str
    height: int
    width: int
    channels: int
    array: ArrayFields | None = None
    frames: int = 0
    together: str = ""
    adaptive: bool = False

    def reduced(self, reduce: int) -> Frame:
        """The same of a picture that is so many times smaller in each direction, rounded up."""
        if reduce == 1:
            return self
        return replace(self, height=-(-self.height // reduce), width=-(-self.width // reduce))

    @property
    def apart(self) -> bool:
        """Whether every frame is a file of its own."""
        return self.frames > 0 and not self.together

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image as an array."""
        channels = self.channels // self.frames if self.together == "bands" else self.channels
        shape: tuple[int, ...] = (self.height, self.width)
        if channels and self.together != "times":
            shape = (*shape, channels)
        return (self.frames, *shape) if self.frames else shape

    @property
    def arrangement(self) -> str:
        """What the last axis is, by the names that :func:`imfnb.encode` has for it."""
        if self.array is not None and self.array.bands:
            return "bands"
        return {2: "gray+alpha", 3: "rgb", 4: "rgba"}.get(self.channels, "gray")

    @property
    def samples(self) -> ArrayFields:
        """What is said of the samples of an array; of a picture, what it would be as one."""
        return self.array or ArrayFields()

    @property
    def alpha(self) -> bool:
        """Whether the last channel of a picture is alpha."""
        return self.channels in (2, 4) and self.array is None

    @property
    def dtype(self) -> np.dtype:
        """Type of its samples, in the byte order of the machine."""
        return np.dtype("uint8" if self.array is None else self.array.dtype)

    def check_part(self, number: int, found: Frame) -> None:
        """Refuse a file that is not what this stack says of its frame of that number.

        Raises
        ------
        FormatError
            If it is a stack itself, or has another shape or type of samples.
        """
        shape = self.shape[1:]
        if found.frames or found.shape != shape or found.dtype != self.dtype:
            raise FormatError(
                f"damaged file: frame {number} has {found.dtype} {found.shape}; expected {self.dtype} {shape}"
            )


#: For a profile and a version a function of the reader and the frame that reads the profile's fields, checks their
#: ranges and returns them, the number of segments, and the number of bytes that decoding needs besides the image.
Parsers = Mapping[tuple[str, int], Callable[[Reader, Frame], tuple[Any, int, int]]]


@dataclass(frozen=True)
class Part:
    """What the header says of a segment or a chunk.

    Attributes
    ----------
    size : int
        Its length in bytes.
    checksum : int
        CRC-32 of its bytes.
    kind : bytes
        The four bytes that say what a chunk holds; none of a segment.
    """

    size: int
    checksum: int
    kind: bytes = b""

    def checked(self, data: bytes, name: str) -> bytes:
        """Its bytes, or a FormatError if they are not those that were written."""
        if zlib.crc32(data) != self.checksum:
            raise FormatError(f"damaged file: the checksum of {name} does not match; fetch the file again")
        return data


@dataclass(frozen=True)
class Header:
    """What a file says before its payload.

    Attributes
    ----------
    version : {1, 2}
        Version of the format.
    frame : Frame
        The fields common to all profiles.
    parameters : Any
        The fields of the profile.
    fields : bytes
        The fields of the profile as they stand in the header.
    length : int
        Number of bytes before the payload.
    segments : tuple of Part
        Of the coded factors, in their order in the payload.
    further : tuple of Part
        Of the chunks, which follow them.
    """

    version: int
    frame: Frame
    parameters: Any
    fields: bytes
    length: int
    segments: tuple[Part, ...]
    further: tuple[Part, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Length of each segment in bytes."""
        return tuple(part.size for part in self.segments)

    @property
    def total(self) -> int:
        """Length of the file in bytes, up to the end of its payload."""
        return self.length + sum(part.size for part in (*self.segments, *self.further))

    @property
    def places(self) -> tuple[tuple[int, Part], ...]:
        """Every chunk with the position in the file where it begins."""
        start, found = self.length + sum(self.sizes), []
        for part in self.further:
            found.append((start, part))
            start += part.size
        return tuple(found)


@dataclass(frozen=True)
class Container(Header):
    """A file taken apart: its header with the bytes of its parts.

    Attributes
    ----------
    padding : int
        Number of bytes behind the end of the file.
    """

    padding: int
    _segments: tuple[bytes, ...]
    _chunks: tuple[bytes, ...]

    @property
    def chunks(self) -> list[tuple[bytes, bytes]]:
        """Type, of four bytes, and contents of every chunk.

        Raises
        ------
        FormatError
            If the checksum of one does not match.
        """
        pairs = zip(self.further, self._chunks, strict=True)
        return [(part.kind, part.checked(data, f"chunk {part.kind!r}")) for part, data in pairs]

    def repacked(self, frame: Frame | None = None, chunks: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
        """The same file with another frame for the same segments and parameters, or with more chunks."""
        return pack(frame or self.frame, self.fields, list(self._segments), [*self.chunks, *chunks])

    def segment(self, index: int) -> Reader:
        """A reader over a segment whose CRC has been checked.

        Raises
        ------
        FormatError
            If the checksum does not match.
        """
        return Reader(memoryview(self.segments[index].checked(self._segments[index], f"segment {index}")))


def pack(frame: Frame, parameters: bytes, segments: list[bytes], chunks: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """Put a file together.

    Parameters
    ----------
    frame : Frame
        The fields common to all profiles.
    parameters : bytes
        The profile's fields, as its parser reads them.
    segments : list of bytes
        The coded factors.
    chunks : sequence of (bytes, bytes), optional
        Metadata: a type of four bytes, and what it stands for. At most CHUNK_LIMIT.

    Returns
    -------
    bytes
        The file.
    """
    header = bytearray([PROFILES.index(frame.profile)])
    put_varint(header, frame.height)
    put_varint(header, frame.width)
    _put_kind(header, frame, bool(chunks))
    if chunks:
        put_varint(header, len(chunks))
        for kind, chunk in chunks:
            header += kind
            _put_part(header, chunk)
    header += parameters
    put_varint(header, len(segments))
    for segment in segments:
        _put_part(header, segment)
    payload = b"".join([*segments, *(chunk for _, chunk in chunks)])
    out = bytearray(MAGIC)
    out.append(VERSION)
    put_varint(out, len(header))
    put_varint(out, len(payload))
    out += header
    out += zlib.crc32(out).to_bytes(4, "little")
    return bytes(out) + payload


def _put_kind(out: bytearray, frame: Frame, chunks: bool) -> None:
    """Append the arrangement, the features, and what all of them but the chunks announce."""
    array = frame.array
    bands = array is not None and array.bands
    out.append(BANDS if bands else frame.channels)
    features = ADAPTIVE * frame.adaptive | CHUNKS * chunks | FRAMES * bool(frame.frames) | COUNT * bands
    if array is not None:
        features |= SAMPLES | MASK * (array.mask is not None) | RESIDUALS * (array.unit is not None)
    put_varint(out, features)
    if array is not None:
        out += serialize_samples(array)
    if bands:
        put_varint(out, frame.channels)
    if frame.frames:
        put_varint(out, frame.frames)
        out.append(_TOGETHER.index(frame.together))
    if array is not None:
        out += serialize_mask(array) + serialize_unit(array)


def _put_part(out: bytearray, data: bytes) -> None:
    """Append length and CRC-32 of a segment or a chunk."""
    put_varint(out, len(data))
    out += zlib.crc32(data).to_bytes(4, "little")


def unpack(data: memoryview, max_pixels: int, parsers: Parsers) -> Container:
    """Take a file apart, checking everything that can be checked without decoding.

    Segments are copied, and no view of `data` is left behind, not even in the frames of an error's traceback: whoever
    mapped a file wants to close it, and a view keeps a map open.

    Parameters
    ----------
    data : memoryview
        The file, and what may lie behind it.
    max_pixels : int
        Largest number of pixels to accept.
    parsers : Parsers
        What reads the fields of the profiles.

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
    header = read_header(data, max_pixels, parsers)
    reader = Reader(data)
    reader.take(header.length)
    segments = tuple(bytes(reader.take(part.size)) for part in header.segments)
    chunks = tuple(bytes(reader.take(part.size)) for part in header.further)
    fields = {name: getattr(header, name) for name in header.__dataclass_fields__}
    return Container(**fields, padding=reader.left, _segments=segments, _chunks=chunks)


def header_length(data: memoryview) -> int | None:
    """How many bytes stand before the payload.

    Parameters
    ----------
    data : memoryview
        The first bytes of a file.

    Returns
    -------
    int or None
        None if these bytes are too few to say.

    Raises
    ------
    FormatError
        If they are not those of an .imf file, or of a newer one.
    """
    reader = Reader(data)
    try:
        version = _read_version(reader)
        length = reader.varint()
        if version > 1:
            reader.varint()
    except FormatError:
        if len(data) >= _PREFIX or not MAGIC.startswith(bytes(data[: len(MAGIC)])):
            raise
        return None
    return reader.position + length + 4


def _read_version(reader: Reader) -> int:
    """The version of a file, behind its magic number."""
    magic = bytes(reader.take(min(len(MAGIC), reader.left)))
    if magic != MAGIC:
        raise FormatError(f"not an .imf file: it begins with {magic!r}, expected {MAGIC!r}")
    version = reader.byte()
    if version not in VERSIONS:
        raise FormatError(
            f"format version {version} is not known; this imfnb reads versions up to {VERSION}: upgrade imfnb"
        )
    return version


def read_header(data: memoryview, max_pixels: int, parsers: Parsers) -> Header:
    """Read what a file says before its payload, and check it.

    Parameters
    ----------
    data : memoryview
        The first bytes of a file, or all of it. No view of it is left behind.
    max_pixels : int
        Largest number of pixels to accept.
    parsers : Parsers
        What reads the fields of the profiles.

    Returns
    -------
    Header
        What it says.

    Raises
    ------
    FormatError
        If the bytes are not those of a valid file, or end before its payload.
    LimitError
        If the image is larger than `max_pixels` or needs far more memory than its size justifies.
    """
    if len(data) < len(MAGIC) + 2:
        raise FormatError(f"not an .imf file: {len(data)} bytes are fewer than the smallest header has")
    reader = Reader(data)
    version = _read_version(reader)
    length = reader.varint()
    payload = reader.varint() if version > 1 else None
    with reader.take(length) as fields:
        end = reader.position
        if reader.u32() != zlib.crc32(data[:end]):
            raise FormatError("damaged file: the checksum of the header does not match; fetch the file again")
        frame, parameters, own, parts, chunks = _parse_header(Reader(fields), version, max_pixels, parsers)
    header = Header(version, frame, parameters, own, reader.position, tuple(parts), tuple(chunks))
    size = header.total - header.length
    if payload is not None and payload != size:
        raise FormatError(f"damaged file: a payload of {payload} bytes; its parts have {size}")
    return header


def _parse_header(
    header: Reader, version: int, max_pixels: int, parsers: Parsers
) -> tuple[Frame, Any, bytes, list[Part], list[Part]]:
    """Read and check a header: the frame, the profile's fields, and what it says of every segment and chunk."""
    profile = header.byte()
    if profile >= len(PROFILES):
        raise FormatError(f"profile {profile} is not known; this imfnb reads profiles 0 to {len(PROFILES) - 1}")
    height, width = header.varint(), header.varint()
    if not height or not width:
        raise FormatError(f"damaged file: the image is empty ({height} x {width} pixels)")
    kind = _parse_kind_v1(header) if version == 1 else _parse_kind_v2(header)
    channels, frames, together, array, chunks, adaptive = kind
    frame = Frame(PROFILES[profile], height, width, channels, array, frames, together, adaptive)
    if adaptive and (frame.profile != "baseline" or frame.apart):
        raise FormatError("damaged file: adaptive tables of factors are for pictures of the profile baseline")
    if channels == GRAY_ALPHA and array is None and frame.profile != "main":
        raise FormatError(f"damaged file: gray with alpha in the profile {frame.profile}")
    _check_pixels(frame, max_pixels)
    start = header.position
    if frame.apart:
        parameters, count, working = None, frames, 0
    else:
        parser = parsers.get((frame.profile, version))
        if parser is None or (array is not None and frame.profile != "main"):
            raise FormatError(f"files of the profile {frame.profile} in version {version} are not expected here")
        parameters, count, working = parser(header, frame)
    if working > _WORKING_BYTES * max_pixels + _STRIPE_BYTES:
        raise LimitError(
            f"decoding needs {working} bytes, more than max_pixels={max_pixels} allows; raise it if you trust the file"
        )

    own = bytes(header.data[start : header.position])
    found = header.varint()
    if found != count:
        raise FormatError(f"damaged file: {found} segments; expected {count}")
    segments = [Part(header.varint(), header.u32()) for _ in range(count)]
    header.end()
    return frame, parameters, own, segments, chunks


def _check_pixels(frame: Frame, max_pixels: int) -> None:
    """Refuse images that are too large: every four bands or frames count as a picture."""
    pictures = max(1, frame.frames if frame.apart else 0) * max(1, -(-frame.channels // 4))
    if frame.height * frame.width * pictures > max_pixels:
        what = " of ".join(
            [f"{frame.height} x {frame.width} pixels"]
            + [f"{frame.channels} bands"] * (frame.channels > 4)
            + [f"{frame.frames} frames"] * bool(frame.frames)
        )
        raise LimitError(
            f"the image has {what}, more than max_pixels={max_pixels}; raise max_pixels if you trust the file"
        )


# The number of channels, that of frames and how they are coded, what is said of an array, and of the chunks, and
# whether factors have adaptive tables.
_Kind = tuple[int, int, str, "ArrayFields | None", list[Part], bool]


def _parse_kind_v1(header: Reader) -> _Kind:
    """The number of channels, which is all that version 1 says."""
    channels = header.byte()
    if channels not in ARRANGEMENTS:
        raise FormatError(f"damaged file: {channels} channels; expected 0, 1, 3 or 4")
    return channels, 0, "", None, [], False


def _parse_kind_v2(header: Reader) -> _Kind:
    """The arrangement, the features and what they announce."""
    arrangement = header.byte()
    if arrangement not in (*ARRANGEMENTS, GRAY_ALPHA, BANDS):
        raise newer(f"arrangement {arrangement} of its samples")
    features = header.varint()
    if features & ~FEATURES:
        raise newer(f"feature {(features & ~FEATURES).bit_length() - 1}")
    if (arrangement == BANDS) != bool(features & COUNT):
        raise FormatError(f"damaged file: features {features} do not fit arrangement {arrangement}")
    array = ArrayFields(bands=arrangement == BANDS) if features & ARRAY else None
    if array is not None and features & SAMPLES:
        array = read_samples(header, array)
    channels = arrangement
    if features & COUNT:
        channels = header.varint()
        if not 1 <= channels <= CHANNEL_LIMIT:
            raise FormatError(f"damaged file: {channels} bands; expected 1 to {CHANNEL_LIMIT}")
    frames, together = 0, ""
    if features & FRAMES:
        frames, together = _parse_frames(header, channels, arrangement)
    if array is not None and features & MASK:
        array = read_mask(header, array)
    if array is not None and features & RESIDUALS:
        array = read_unit(header, array)
    parts = _parse_chunks(header) if features & CHUNKS else []
    return channels, frames, together, array, parts, bool(features & ADAPTIVE)


def _parse_frames(header: Reader, channels: int, arrangement: int) -> tuple[int, str]:
    """The number of frames and how they are coded."""
    frames, number = header.varint(), header.byte()
    if not 1 <= frames <= FRAME_LIMIT:
        raise FormatError(f"damaged file: {frames} frames; expected 1 to {FRAME_LIMIT}")
    if number >= len(_TOGETHER):
        raise newer(f"the coding {number} of frames")
    together = _TOGETHER[number]
    if together and (arrangement != BANDS or channels % frames or (together == "times" and channels != frames)):
        raise FormatError(f"damaged file: {frames} frames do not fit {channels} bands")
    return frames, together


def _parse_chunks(header: Reader) -> list[Part]:
    """What is said of the chunks."""
    count = header.varint()
    if not 1 <= count <= CHUNK_LIMIT:
        raise FormatError(f"damaged file: {count} chunks; expected 1 to {CHUNK_LIMIT}")
    parts = []
    for _ in range(count):
        kind = bytes(header.take(4))
        parts.append(Part(header.varint(), header.u32(), kind))
    return parts
