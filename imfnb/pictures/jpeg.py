"""JPEG: segments that make pixels are kept for Pillow, the others are read here."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from ..errors import OptionError
from .found import DEEPER, Survey, choose_frame
from .tags import directories

__all__ = ["jpeg"]


def jpeg(file: BinaryIO, frame: int | None) -> Survey:
    """Look through a JPEG; see :func:`imfnb.pictures.surveys.survey`."""
    data = file.read()
    kept, found = [data[:2]], Survey(file)
    profiles: dict[int, bytes] = {}
    others: list[int] = []  # positions of further images
    position = 2
    while True:
        begin = position
        while data[position : position + 2] == b"\xff\xff":  # any number of these may stand before a marker
            position += 1
        marker = data[position + 1] if data[position : position + 1] == b"\xff" and position + 4 <= len(data) else 0xDA
        if marker == 0xDA or marker in range(0xD0, 0xDA) or marker < 0xC0:
            kept.append(data[begin:])
            break
        size = struct.unpack_from(">H", data, position + 2)[0]
        if size < 2:
            kept.append(data[begin:])
            break
        body, end = data[position + 4 : position + 2 + size], position + 2 + size
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and body and body[0] > 8:
            raise OptionError(f"the picture has {body[0]}-bit samples, {DEEPER}")
        name = body.split(b"\0", 1)[0]
        if marker == 0xE0 and name == b"JFIF" and len(body) >= 14:
            unit, x, y = struct.unpack_from(">BHH", body, 7)
            if unit in (1, 2):
                found.resolution(x * (1, 2.54)[unit - 1], y * (1, 2.54)[unit - 1])
            elif x != y:
                found.drop("resolution")
            kept.append(data[begin:end])
        elif marker == 0xEE and name.startswith(b"Adobe") and len(body) >= 12:  # says which colours they are
            kept.append(data[begin:end])
        elif marker == 0xFE:
            found.note("Comment", body)
        elif 0xE0 <= marker <= 0xEF:
            if marker == 0xE1 and name == b"Exif":
                found.exif = found.exif or body
            elif marker == 0xE1 and name == b"http://ns.adobe.com/xap/1.0/":
                found.xmp = body[len(name) + 1 :]
            elif marker == 0xE2 and name == b"ICC_PROFILE" and len(body) > 14:
                profiles[body[12]] = body[14:]
            elif marker == 0xE2 and name == b"MPF":
                others = _further_images(body[4:], position + 8)
            elif marker == 0xED and name == b"Photoshop 3.0":
                found.drop("Photoshop and IPTC data")
            elif (marker, name) == (0xE1, b"http://ns.adobe.com/xmp/extension/"):
                found.drop("further XMP")
            elif (marker, name) != (0xE0, b"JFXX"):
                found.drop("application data")
        else:
            kept.append(data[begin:end])
        position = end
    found.profile = b"".join(profiles[number] for number in sorted(profiles)) or None
    # What cameras put behind a photograph are depth maps, previews and gain maps: the first is the picture.
    found.frame = choose_frame(frame or 0, len(others) + 1)
    if found.frame:
        return jpeg(io.BytesIO(data[others[found.frame - 1] :]), None)
    if others:
        found.drop("further images")
    found.file = io.BytesIO(b"".join(kept))
    return found


def _further_images(block: bytes, start: int) -> list[int]:
    """Positions of the images behind the first, from the index of a multi-picture file that begins at `start`."""
    try:
        index = next(directories(io.BytesIO(block)))
        entries = index.block(0xB002)
        order = "<" if block[:2] == b"II" else ">"
        offsets = [struct.unpack_from(f"{order}L", entries, at + 8)[0] for at in range(0, len(entries) - 15, 16)]
    except (ValueError, StopIteration):
        return []
    return [start + offset for offset in offsets if offset]
