"""Small tools of the tests: encoding with the baseline profile, pictures, and an own writer of the file format."""

from __future__ import annotations

import functools
import io
import os
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np

import imfnb

#: Every test says which profile it means: the default one may change.
encode = functools.partial(imfnb.encode, profile="baseline")
imwrite = functools.partial(imfnb.imwrite, profile="baseline")


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A photograph-like picture: smooth shading, an edge, some texture. 0 channels: no channel axis."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    layers = []
    for c in range(max(1, channels)):
        plane = 120 + 70 * np.sin(x / (9 + 3 * c) + c) + 40 * np.cos(y / (7 + c)) + 50 * (x + 2 * y > width)
        layers.append(plane + rng.normal(0, 6, plane.shape))
    image = np.clip(np.rint(np.stack(layers, axis=-1)), 0, 255).astype(np.uint8)
    return image if channels else image[:, :, 0]


def varint(value: int) -> bytes:
    """A number as the format writes it: seven bits a byte, least significant first."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 127
        out.append(low | 128 if value else low)
        if not value:
            return bytes(out)


def signed(value: int) -> bytes:
    """A number of any sign as a varint."""
    return varint(2 * value if value >= 0 else -2 * value - 1)


def parameters(flags: int, patch_size: int, low: int, high: int, ranks: tuple[int, ...]) -> bytes:
    """The baseline profile's header fields."""
    return bytes([flags]) + varint(patch_size) + signed(low) + signed(high) + b"".join(map(varint, ranks))


def header(
    height: int,
    width: int,
    channels: int,
    fields: bytes,
    segments: list[bytes],
    profile: int = 0,
    count: int = -1,
    features: bytes = b"\0",
) -> bytes:
    """A header from its fields, without its length and checksum; in version 1 it has no `features`."""
    out = bytes([profile]) + varint(height) + varint(width) + bytes([channels]) + features + fields
    out += varint(len(segments) if count < 0 else count)
    return out + b"".join(varint(len(s)) + zlib.crc32(s).to_bytes(4, "little") for s in segments)


def assemble(head: bytes, segments: list[bytes], version: int = 2, payload: int = -1) -> bytes:
    """A file around a header, with the lengths and the checksum that the header needs."""
    out = b"\x89IMF" + bytes([version]) + varint(len(head))
    if version > 1:
        out += varint(sum(map(len, segments)) if payload < 0 else payload)
    out += head
    return out + zlib.crc32(out).to_bytes(4, "little") + b"".join(segments)


def take_apart(data: bytes) -> tuple[bytes, list[bytes]]:
    """The header and the segments of a valid file; for the tests' files, whose headers are below 128 bytes."""
    length = data[5]
    assert length < 128, "the header of a test file has grown: two-byte lengths are not handled here"
    sizes = list(imfnb.info(data)["segments"].values())
    begin = 6 + len(varint(sum(sizes)))
    position = begin + length + 4
    segments = []
    for size in sizes:
        segments.append(data[position : position + size])
        position += size
    assert position == len(data)
    return data[begin : begin + length], segments


def pixels_or_error(data: bytes, **options) -> np.ndarray | None:
    """Decode; an ImfError is fine (None), anything else is not."""
    try:
        pixels = imfnb.decode(data, **options)
    except imfnb.ImfError:
        return None
    assert isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.size > 0
    return pixels


class Pipe(io.RawIOBase):
    """A binary file that cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._data.readinto(buffer)


def assert_stays_inside(script: str, cache: Path) -> None:
    """Run a script whose kernels are compiled with bounds checks.

    In `script` {folders!r} are the folders of modules. It prints "checked" where the check itself raises, and "done".
    """
    folders = [os.path.dirname(__file__), *(path for path in sys.path if path)]
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", textwrap.dedent(script).format(folders=folders)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.split() == ["checked", "done"]
