"""Netpbm, JPEG 2000 and AVIF: what Pillow does not look at, or cuts to eight bits."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from ..errors import OptionError
from .deep import load_netpbm, load_pfm, load_text
from .found import DEEPER, Survey, check_code_points, choose_frame

__all__ = ["avif", "jpeg2000", "netpbm"]


def netpbm(file: BinaryIO, frame: int | None) -> Survey:
    """Netpbm's formats, several of which may follow each other in one file."""
    data = file.read()
    if data[1:2] in b"fF":
        return _pfm(data, frame)
    if data[1:2] in b"123":  # written as text: one image by definition
        numbers = re.match(rb"P[123]" + _NUMBER * (2 if data[1:2] == b"1" else 3), data)
        found = Survey(io.BytesIO(data), choose_frame(frame, 1))
        if numbers and data[1:2] != b"1" and _maximum(numbers) > 255:
            found.load, found.reader = _loader(load_text, data, numbers, numbers.end()), "imfnb"
        return found
    starts = [0]
    headers: list[re.Match[bytes]] = []
    while True:
        start = starts[-1]
        kind = data[start + 1 : start + 2]
        numbers = re.compile(rb"P[456]" + _NUMBER * (2 if kind == b"4" else 3) + rb"\s").match(data, start)
        if not numbers:
            break
        headers.append(numbers)
        width, height = int(numbers[1]), int(numbers[2])
        deep = kind != b"4" and _maximum(numbers) > 255
        row = (width + 7) // 8 if kind == b"4" else width * (3 if kind == b"6" else 1) * (1 + deep)
        following = numbers.end() + row * height
        if data[following : following + 2] not in (b"P4", b"P5", b"P6"):
            break
        starts.append(following)
    chosen = choose_frame(frame, len(starts))
    found = Survey(io.BytesIO(data[starts[chosen] : [*starts[1:], len(data)][chosen]]), 0)
    if chosen < len(headers) and data[starts[chosen] + 1 : starts[chosen] + 2] != b"4":
        numbers = headers[chosen]
        if _maximum(numbers) > 255:
            found.load, found.reader = _loader(load_netpbm, data, numbers, numbers.end()), "imfnb"
    return found


# A number in the header of a Netpbm file, behind white space and comments. Longer ones are those of no picture.
_NUMBER = rb"(?:\s|#[^\r\n]*[\r\n])+([0-9]{1,9})"


def _maximum(numbers: re.Match[bytes]) -> int:
    """The largest sample that a header announces."""
    value = int(numbers[3])
    if value > 65535:
        raise OptionError(f"the picture has samples up to {value}; Netpbm's end at 65535: write it again")
    return value


def _loader(load: Callable[..., np.ndarray], data: bytes, numbers: re.Match[bytes], start: int) -> Any:
    """What reads the samples behind a header."""
    bands = 3 if data[numbers.start() + 1 : numbers.start() + 2] in b"36" else 1
    return partial(load, data, start, (int(numbers[1]), int(numbers[2])), bands)


def _pfm(data: bytes, frame: int | None) -> Survey:
    """Netpbm's floating point relative."""
    numbers = re.match(rb"P([fF])" + _NUMBER * 2 + rb"\s+([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s", data)
    if not numbers:
        raise ValueError("its header is damaged")
    scale = float(numbers[4])
    found = Survey(io.BytesIO(data), choose_frame(frame, 1))
    if abs(scale) != 1:
        found.drop("scale")
    size, bands = (int(numbers[2]), int(numbers[3])), 3 if numbers[1] == b"F" else 1
    found.load = partial(load_pfm, data, numbers.end(), size, bands, "<" if scale < 0 else ">")
    found.reader = "imfnb"
    return found


def jpeg2000(file: BinaryIO) -> Survey:
    """JPEG 2000, with or without boxes around the codestream: the depth of all components, and the profile."""
    found = Survey(file)
    data = file.read()
    start = 0
    for kind, begin, end in () if data[:2] == b"\xff\x4f" else _boxes(data, 0, len(data)):
        if kind == b"jp2h":
            for inner, first, last in _boxes(data, begin, end):
                if inner == b"colr" and data[first : first + 1] in (b"\2", b"\3"):
                    found.profile = data[first + 3 : last]
        elif kind == b"jp2c":
            start = begin
            break
        elif kind in (b"xml ", b"uuid"):
            found.drop("metadata")
    if data[start : start + 4] != b"\xff\x4f\xff\x51":  # Pillow will say that it is damaged
        return found
    components = struct.unpack_from(">H", data, start + 40)[0]
    depths = data[start + 42 : start + 42 + 3 * components : 3]
    if any(depth & 0x80 for depth in depths):
        raise OptionError("the picture has signed samples, which are not read from JPEG 2000; convert it to TIFF first")
    if depths and max(depths) + 1 > 8:
        raise OptionError(f"the picture has {max(depths) + 1}-bit samples, {DEEPER}")
    if components > 4:
        raise OptionError(
            f"the picture has {components} bands, which are not read from JPEG 2000; convert it to TIFF first"
        )
    return found


def avif(file: BinaryIO) -> Survey:
    """AVIF, which Pillow decodes to 8 bits whatever it has, without a look at colours given by numbers."""
    data = file.read()
    head = b"".join(data[begin:end] for kind, begin, end in _boxes(data, 0, len(data)) if kind in (b"meta", b"moov"))
    for match in re.finditer(rb"av1C\x81.(.)", head, re.DOTALL):
        if match[1][0] & 0x40:
            raise OptionError(f"the picture has {12 if match[1][0] & 0x20 else 10}-bit samples, {DEEPER}")
    numbers = re.search(rb"colrnclx(....)", head, re.DOTALL)
    if numbers and not re.search(rb"colr(prof|rICC)", head):  # a profile comes first
        check_code_points(*struct.unpack(">HH", numbers[1]))
    file.seek(0)
    found = Survey(file)
    # libavif refuses files whose EXIF is damaged, unless it takes that for an item of a kind that it does not know.
    spared, items = re.subn(rb"(infe[\2\3].{7,9})Exif", rb"\1none", data, flags=re.DOTALL)
    if items:
        found.without_exif = io.BytesIO(spared)
    return found


def _boxes(data: bytes, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Boxes of an ISO file: their kinds, and where their contents begin and end."""
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">L4s", data, begin)
        first = begin + 8
        if size == 1 and begin + 16 <= end:
            size, first = struct.unpack_from(">Q", data, first)[0], begin + 16
        last = min(end, begin + size) if size else end
        if last < first:
            return
        yield kind, first, last
        begin = last
