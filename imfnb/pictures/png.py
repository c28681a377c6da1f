"""PNG: chunks that make pixels are kept for Pillow, the others are read here, and skipped where they are damaged."""

from __future__ import annotations

import io
import struct
import zlib
from functools import partial
from typing import BinaryIO

from ..errors import OptionError
from ..metadata import Metadata
from .deep import load_png
from .found import DEEPER, Survey, check_code_points, choose_frame

__all__ = ["png", "with_metadata"]

# Bytes of a profile or a text, unpacked, that are read at most.
_MOST_BYTES = 1 << 24


def png(file: BinaryIO, frame: int | None) -> Survey:
    """Look through a PNG; see :func:`imfnb.pictures.surveys.survey`."""
    magic = file.read(8)
    animated, rest = [magic], [magic]  # the chunks with and without those of an animation
    found = Survey(file)
    frames, pixels, keyed = 0, False, False
    sides, depth, color = [0, 0], 8, 0
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">L4s", head)
        body, check = file.read(size), file.read(4)
        if not kind.isalpha() or kind[:1].isupper() or kind == b"tRNS":
            pixels |= kind == b"IDAT"
            if kind == b"IHDR" and len(body) > 8:
                *sides, depth, color = struct.unpack_from(">LLBB", body)
            keyed |= kind == b"tRNS"
            if kind == b"tRNS" and len(body) == 2 and check == _crc(kind, body):  # Pillow takes higher bits for a level
                body = struct.pack(">H", struct.unpack(">H", body)[0] & (2**depth - 1))
                check = _crc(kind, body)
            for chunks in (animated, rest):
                chunks += head, body, check
            if kind == b"IEND" or len(check) < 4:
                break
        elif kind in (b"fcTL", b"fdAT"):
            animated += head, body, check
        elif check != _crc(kind, body):
            found.drop(f"damaged {_CHUNKS.get(kind, 'metadata')}")
        elif kind == b"acTL":
            if size == 8 and not pixels and not frames:
                frames = struct.unpack(">LL", body)[0]
                animated += head, body, check
        else:
            try:
                _metadata(found, kind, body)
            except OptionError:
                if depth <= 8:
                    raise
                found.drop("colours other than those of sRGB (not converted)")
            except (ValueError, LookupError, struct.error, zlib.error):
                found.drop(f"damaged {_CHUNKS.get(kind, 'metadata')}")
    if not 1 <= frames <= 0x80000000:
        found.frame = choose_frame(frame, 1)
    if depth > 8:
        if found.frame is None:
            raise OptionError(f"the picture is an animation with {depth}-bit samples, {DEEPER}")
        found.load, found.reader = partial(load_png, b"".join(rest), (sides[0], sides[1])), "imagecodecs"
        if color in (4, 6) or keyed:
            found.channels = "gray+alpha" if color in (0, 4) else "rgba"
        return found
    found.file = io.BytesIO(b"".join(rest if found.frame == 0 else animated))
    return found


_CHUNKS = {
    b"iCCP": "ICC profile",
    b"eXIf": "EXIF",
    b"tEXt": "text",
    b"zTXt": "text",
    b"iTXt": "text",
    b"pHYs": "resolution",
    b"tIME": "time",
}

# Chromaticities of sRGB in units of 1/100000, as cHRM has them.
_SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def _crc(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", zlib.crc32(kind + body))


def _metadata(found: Survey, kind: bytes, body: bytes) -> None:
    if kind == b"iCCP":
        found.profile = _inflate(body[body.index(b"\0") + 2 :])
    elif kind == b"eXIf":
        found.exif = body
    elif kind in (b"tEXt", b"zTXt", b"iTXt"):
        if not found.room:
            found.drop("oversized text")
            return
        key, text = body.split(b"\0", 1)
        if kind == b"zTXt":
            text = _inflate(text[1:])
        elif kind == b"iTXt":
            packed, text = text[0], text[2:].split(b"\0", 2)[2]
            text = _inflate(text) if packed else text
        _text(found, key, text, "utf-8" if kind == b"iTXt" else "latin-1")
    elif kind == b"pHYs":
        x, y, unit = struct.unpack(">LLB", body)
        if unit == 1:
            found.resolution(x * 0.0254, y * 0.0254)
        elif x != y:
            found.drop("resolution")
    elif kind == b"tIME":
        found.drop("time")
    elif kind == b"cICP":
        check_code_points(body[0], body[1])
    elif kind == b"gAMA" and abs(struct.unpack(">L", body)[0] - 45455) > 500:
        found.drop("gamma")
    elif kind == b"cHRM" and max(abs(a - b) for a, b in zip(struct.unpack(">8L", body), _SRGB, strict=True)) > 500:
        found.drop("chromaticities")


def _text(found: Survey, key: bytes, text: bytes, encoding: str) -> None:
    if key == b"XML:com.adobe.xmp":
        found.xmp = text
    elif key.startswith(b"Raw profile type "):  # as ImageMagick writes it: a name, a length, hexadecimal digits
        data = bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
        name = key.rpartition(b" ")[2].lower()
        if name in (b"exif", b"app1") and data.startswith(b"Exif\0\0"):
            found.exif = found.exif or data
        elif name in (b"icc", b"icm"):
            found.profile = found.profile or data
        elif name == b"xmp":
            found.xmp = found.xmp or data
        else:
            found.drop({b"iptc": "IPTC"}.get(name, "metadata"))
    elif key != b"Software":
        found.note(key.decode("latin-1"), text.decode(encoding))


def _inflate(data: bytes) -> bytes:
    """Unpack what zlib packed, up to a limit."""
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(data, _MOST_BYTES)
    if not unpacker.eof:
        raise ValueError("truncated or too long")
    return text


def with_metadata(data: bytes, metadata: Metadata) -> bytes:
    """A PNG with chunks for what there is of a profile, resolution, EXIF, XMP and text.

    Parameters
    ----------
    data : bytes
        A PNG without such chunks.
    metadata : Metadata
        What to add; tags have no place in a PNG.

    Returns
    -------
    bytes
        The file.
    """
    parts: list[tuple[bytes, bytes]] = []
    if metadata.icc_profile:
        parts.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc_profile, 9)))
    if metadata.dpi:
        x, y = (min(round(number / 0.0254), 0x7FFFFFFF) for number in metadata.dpi)
        parts.append((b"pHYs", struct.pack(">LLB", x, y, 1)))
    if metadata.exif:
        parts.append((b"eXIf", metadata.exif))
    texts = [(key, text.encode("utf-8")) for key, text in metadata.text.items()]
    texts += [("XML:com.adobe.xmp", metadata.xmp)] if metadata.xmp else []
    for key, text in texts:  # keys have 1 to 79 characters of Latin-1
        name = key.encode("latin-1", "replace").replace(b"\0", b"?")[:79] or b"Comment"
        parts.append((b"iTXt", name + b"\0\0\0\0\0" + text))
    added = b"".join(struct.pack(">L", len(body)) + kind + body + _crc(kind, body) for kind, body in parts)
    return data[:_HEADER] + added + data[_HEADER:]


# Bytes of the magic number and the chunk IHDR, behind which such chunks have their place.
_HEADER = 8 + 25
