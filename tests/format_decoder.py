"""A second decoder of the .imf format, written from imfnb/format/FORMAT.md instead of from the package.

It proves that the text is complete: nothing of imfnb is imported, only its binary tables are read. Plain Python and
NumPy, one symbol after the other; section numbers are those of FORMAT.md.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = ["Malformed", "decode"]

#: SHA-256 of the tables, appendix A.
STATES_SHA256 = "63f80d1f04346ad1f3659ec15aab0b448cea5d9d1b12208f42c5016cfe85df08"
FILTERS_SHA256 = "cec29dc6b419cb48634c48155a0924c5ca65b8fae550451965784380c4d4d04c"
SHORT_FILTERS_SHA256 = "4dca6b8998dd510b25aaa123aef1a6142aa8a5b2cfa4db60df7f0192545be0c3"
NEURAL_STATES_SHA256 = "346e09b8360d9218a79ecc67fa68c850b9df322163f7388e88e37826717f3493"
RANS_SHA256 = "8de7dde41d8a124ac3501e8c0450296c31fcef9a555829a8f8e2750a829d7381"
NETWORK_SHA256 = "54474735332d4943f7c0a05e7f979216f0bbe4d64f26fda124ffe3ab8e18d282"


class Malformed(Exception):
    """The bytes break a rule of the format."""


def require(condition: bool, rule: str) -> None:
    """Report a broken rule."""
    if not condition:
        raise Malformed(rule)


def _checked(data: bytes, sha256: str) -> bytes:
    require(hashlib.sha256(data).hexdigest() == sha256, "a table is not that of the format")
    return data


def package() -> Path:
    """The folder of the package, which is found without importing it."""
    spec = importlib.util.find_spec("imfnb")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@functools.cache
def states() -> bytes:
    """The initial state of the context model: `states.bin`, inflated."""
    return zlib.decompress(_checked((package() / "format" / "states.bin").read_bytes(), STATES_SHA256))


@functools.cache
def networks() -> dict[str, list[list[tuple[np.ndarray, np.ndarray]]]]:
    """The networks: `network.bin`, as {kind: [range][layer]}, each layer its weights and biases."""
    data = _checked((package() / "format" / "network.bin").read_bytes(), NETWORK_SHA256)
    found: dict[str, list[list[tuple[np.ndarray, np.ndarray]]]] = {}
    for kind, borders in NETWORK_BORDERS.items():
        shapes = ((4, 16), *[(16, 16)] * 4, (16, 4)) if kind == "luma" else ((12, 16), *[(16, 16)] * 2, (16, 8))
        for _ in range(len(borders) + 1):
            layers = []
            for m, n in shapes:
                b, w = data[: 4 * n], data[4 * n : 4 * n + 9 * n * m]
                shaped = np.frombuffer(w, np.int8).astype(np.int64).reshape(n, m, 3, 3)
                layers.append((shaped, np.frombuffer(b, "<i4").astype(np.int64)))
                data = data[4 * n + 9 * n * m :]
            found.setdefault(kind, []).append(layers)
    require(not data, "network.bin is longer than its networks")
    return found


@functools.cache
def coefficients() -> np.ndarray:
    """The coefficients of restoration: `filters.bin`, as [kind][range][pass][class][limit][tap]."""
    data = _checked((package() / "format" / "filters.bin").read_bytes(), FILTERS_SHA256)
    return np.frombuffer(data, "<i2").astype(np.int64).reshape(2, 10, 2, 25, 2, 12)


@functools.cache
def short_coefficients() -> np.ndarray:
    """Those of the short filter: `filters_short.bin`, as [kind][range][class][limit][tap]."""
    data = _checked((package() / "format" / "filters_short.bin").read_bytes(), SHORT_FILTERS_SHA256)
    return np.frombuffer(data, "<i2").astype(np.int64).reshape(2, 10, 25, 2, 6)


# ---- 1. Conventions --------------------------------------------------------------------------------------------------


def ceil_div(a: int, b: int) -> int:
    """Quotient rounded up."""
    return -(-a // b)


def clamp(x: int, low: int, high: int) -> int:
    """The nearest number from low to high."""
    return low if x < low else high if x > high else x


class Fields:
    """Elementary fields, one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        require(count <= len(self.data) - self.at, "a field lies outside of what contains it")
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        """All bytes that are left."""
        return self.take(len(self.data) - self.at)

    def u8(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def u32(self) -> int:
        """Four bytes."""
        return int.from_bytes(self.take(4), "little")

    def varint(self) -> int:
        """Groups of seven bits."""
        value = 0
        for k in range(5):
            byte = self.u8()
            value |= (byte & 127) << 7 * k
            if byte < 128:
                return value
        raise Malformed("a varint of more than five bytes")

    def signed(self) -> int:
        """A varint with a sign."""
        v = self.varint()
        return -((v + 1) // 2) if v & 1 else v // 2

    def f64(self) -> float:
        """Eight bytes, binary64."""
        return float(np.frombuffer(self.take(8), "<f8")[0])

    def end(self) -> None:
        """Require that nothing is left."""
        require(self.at == len(self.data), "bytes are left over")


# ---- 2. The file -----------------------------------------------------------------------------------------------------


#: 2.2: types of samples, in the order of their numbers.
DTYPES = tuple(map(np.dtype, ("uint8", "int8", "uint16", "int16", "float32", "float64")))


def decode(data: bytes, frame: bool = False) -> np.ndarray:
    """Decode a file.

    Parameters
    ----------
    data : bytes
        The file; bytes behind its declared end are ignored.
    frame : bool, default False
        Whether it stands in a stack and must not be one itself.

    Returns
    -------
    ndarray, shape (H, W), (H, W, C), (T, H, W) or (T, H, W, C)
        The picture, or the array or the stack in the type of its samples.

    Raises
    ------
    Malformed
        If the file breaks a rule of the format.
    """
    file = Fields(data)
    require(file.take(4) == b"\x89IMF", "magic")
    version = file.u8()
    require(version in (1, 2), "format version")
    length = file.varint()
    payload = file.varint() if version == 2 else None
    header = Fields(file.take(length))
    checked = data[: file.at]
    require(file.u32() == zlib.crc32(checked), "CRC of the header")
    profile, height, width = header.u8(), header.varint(), header.varint()
    require(profile <= 1, "profile")
    require(height >= 1 and width >= 1, "empty picture")
    kind = Kind(header, version)
    require(not (frame and kind.frames), "a stack in a stack")
    apart = kind.frames and not kind.together
    require(not kind.adaptive or (profile == 0 and not kind.array and not apart), "adaptive factors")
    content: Baseline | Main | Array | Stack
    if apart:
        require(profile == 1 or kind.array or kind.channels != 2, "gray with alpha in the baseline profile")
        content = Stack(kind, height, width)
    elif kind.array:
        require(profile == 1, "an array in the baseline profile")
        content = Array(header, height, width, kind)
    elif profile == 0:
        require(kind.channels != 2, "gray with alpha in the baseline profile")
        content = Baseline(header, height, width, kind.channels, kind.adaptive)
    else:
        content = (Main if version == 1 else MainOfVersion2)(header, height, width, kind.channels)
    require(header.varint() == content.segments, "number of segments")
    entries = [(header.varint(), header.u32()) for _ in range(content.segments)]
    header.end()
    require(payload in (None, sum(length for length, _ in entries) + sum(kind.chunks)), "length of the payload")
    segments = [file.take(length) for length, _ in entries]
    for segment, (_, crc) in zip(segments, entries, strict=True):
        require(zlib.crc32(segment) == crc, "CRC of a segment")
    file.take(sum(kind.chunks))
    return content.pixels(segments).astype(kind.dtype, copy=False).reshape(kind.shape(height, width))


class Kind:
    """2.1 and 2.2: what the header says of samples, channels and frames."""

    def __init__(self, header: Fields, version: int) -> None:
        self.channels, self.frames, self.together = header.u8(), 0, 0
        self.dtype, self.low, self.high, self.scale, self.offset = DTYPES[0], 0, 255, 1.0, 0.0
        self.mask: int | None = None
        self.unit: int | None = None
        self.chunks: list[int] = []
        require(self.channels in ((0, 1, 3, 4) if version == 1 else range(6)), "channels or arrangement")
        features = header.varint() if version == 2 else 0
        require(features < 128, "features of a later version")
        self.adaptive = bool(features & 64)
        require((self.channels == 5) == bool(features & 2), "bands")
        self.array = bool(features & (1 | 2 | 8 | 16))
        if features & 1:
            self._samples(header)
        if features & 2:
            self.channels = header.varint()
            require(1 <= self.channels <= 1024, "number of bands")
        if features & 4:
            self._frames(header, bool(features & 2))
        if features & 8:
            self._mask(header)
        if features & 16:
            self.unit = header.varint()
            require(1 <= self.unit <= 33554433, "unit of residuals")
        if features & 32:
            self._chunks(header)

    def _samples(self, header: Fields) -> None:
        number = header.u8()
        require(number < len(DTYPES), "type of the samples")
        self.dtype, self.low, self.high = DTYPES[number], header.signed(), header.signed()
        lowest, highest = -16777216, 16777216
        if self.dtype.kind != "f":
            lowest, highest = int(np.iinfo(self.dtype).min), int(np.iinfo(self.dtype).max)
        require(lowest <= self.low <= self.high <= highest, "range of the samples")
        if self.dtype.kind == "f":
            self.scale, self.offset = header.f64(), header.f64()
            require(math.isfinite(self.scale) and self.scale > 0 and math.isfinite(self.offset), "scale or offset")

    def _frames(self, header: Fields, bands: bool) -> None:
        self.frames, self.together = header.varint(), header.u8()
        require(1 <= self.frames <= 1048576, "number of frames")
        require(self.together <= 2, "coding of frames of a later version")
        if self.together:
            require(bands and self.channels % self.frames == 0, "frames that are no bands")
            require(self.together == 1 or self.channels == self.frames, "frames of more than one band")

    def _mask(self, header: Fields) -> None:
        self.mask, self.nodata = header.u8(), header.f64()
        require(self.mask <= 1, "kind of a mask")
        if self.dtype.kind != "f":
            limits = np.iinfo(self.dtype)
            require(self.nodata.is_integer() and limits.min <= self.nodata <= limits.max, "value without data")

    def _chunks(self, header: Fields) -> None:
        """Lengths of the chunks, which this decoder has no use for."""
        count = header.varint()
        require(1 <= count <= 1024, "number of chunks")
        for _ in range(count):
            header.take(4)
            self.chunks.append(header.varint())
            header.u32()

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """2.3: the shape of the result."""
        channels = self.channels // self.frames if self.together else self.channels
        shape = (height, width, channels) if channels and self.together != 2 else (height, width)
        return (self.frames, *shape) if self.frames else shape


class Stack:
    """15.5: frames, each of which is a file."""

    def __init__(self, kind: Kind, height: int, width: int) -> None:
        self.kind, self.segments, self.expected = kind, kind.frames, kind.shape(height, width)[1:]

    def pixels(self, segments: list[bytes]) -> np.ndarray:
        """All frames, shape (T, H, W) or (T, H, W, C)."""
        frames = [decode(segment, True) for segment in segments]
        for frame in frames:
            require(frame.shape == self.expected and frame.dtype == self.kind.dtype, "a frame of another kind")
        return np.stack(frames)


# ---- 4. Baseline profile ---------------------------------------------------------------------------------------------


class Baseline:
    """A picture of the baseline profile."""

    def __init__(self, header: Fields, height: int, width: int, channels: int, adaptive: bool) -> None:
        self.height, self.width, self.channels, self.adaptive = height, width, channels, adaptive
        flags, self.p = header.u8(), header.varint()
        require(flags in ((0, 1, 2) if channels >= 3 else (0,)), "flags")
        require(self.p in (0, 4, 8, 16, 32), "side of a patch")
        self.rgb, self.subsample = bool(flags & 1), bool(flags & 2)
        self.low, self.high = header.signed(), header.signed()
        require(-32767 <= self.low < self.high <= 32767, "bounds")
        groups = [[0]] if channels < 3 else [[0, 1, 2]] if self.rgb and self.p else [[0], [1], [2]]
        self.groups = groups + [[3]] * (channels == 4)
        self.segments = len(self.groups)
        self.matrices = []
        for group in self.groups:
            h, w = self.size(group[0])
            m, n = (h, w) if not self.p else (ceil_div(h, self.p) * ceil_div(w, self.p), len(group) * self.p**2)
            rank = header.varint()
            require(1 <= rank <= min(m, n), "rank")
            self.matrices.append((m, n, rank))

    def size(self, plane: int) -> tuple[int, int]:
        """Height and width of a plane."""
        half = self.subsample and plane in (1, 2)
        return (ceil_div(self.height, 2), ceil_div(self.width, 2)) if half else (self.height, self.width)

    def factor(self, segment: Fields, rows: int, rank: int) -> np.ndarray:
        """U or V."""
        kind = np.dtype("i1" if self.low >= -128 and self.high <= 127 else "<i2")
        columns = []
        for _ in range(rank):
            stream = segment.take(segment.varint())
            columns.append(np.frombuffer(inflate(stream, -15, rows * kind.itemsize), kind).astype(np.int64))
        factor = np.stack(columns, axis=1)
        require(self.low <= factor.min() and factor.max() <= self.high, "an entry is outside of the bounds")
        return factor

    def adaptive_factors(self, coder: Lanes, rank: int, h: int, w: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        """4.5: U and V of a matrix of k planes of h x w samples."""
        p = self.p
        images = ((ceil_div(h, p), ceil_div(w, p)), (k * p, p)) if p else ((h, 1), (1, w))
        u, v = (adaptive_columns(coder, rank, *image, self.low, self.high) for image in images)
        return u, v

    def pixels(self, segments: list[bytes]) -> np.ndarray:
        """The picture, shape (H, W, max(1, C))."""
        planes = []
        for group, (m, n, rank), data in zip(self.groups, self.matrices, segments, strict=True):
            h, w = self.size(group[0])
            if self.adaptive:
                u, v = self.adaptive_factors(Lanes(data), rank, h, w, len(group))
            else:
                segment = Fields(data)
                u, v = self.factor(segment, m, rank), self.factor(segment, n, rank)
                segment.end()
            x = np.clip(u @ v.T, 0, 255)
            parts = np.split(x, len(group), axis=1)
            planes += [unite(part, h, w, self.p) if self.p else part for part in parts]
        if self.channels < 3 or self.rgb:
            return np.stack(planes, axis=2)
        y, b, r = planes[0], planes[1] - 128, planes[2] - 128
        if self.subsample:
            b, r = (z.repeat(2, axis=0).repeat(2, axis=1)[: self.height, : self.width] for z in (b, r))
        red = y + ((91881 * r + 32768) >> 16)
        green = y + ((-22554 * b - 46802 * r + 32768) >> 16)
        blue = y + ((116130 * b + 32768) >> 16)
        return np.stack([*(np.clip(z, 0, 255) for z in (red, green, blue)), *planes[3:]], axis=2)


#: 4.5: probabilities that a table begins with, by `near`, and where the levels from 1 on begin.
FIRST_STOPS = (160, 139, 118, 98, 79, 62, 48, 36, 27, 20, 15, 11)
LEVELS_FROM = (1, 2, 3, 5, 7, 11, 17, 24, 32, 48, 64)


class AdaptiveTable:
    """4.5: one table."""

    def __init__(self, near: int) -> None:
        self.c, self.n, e = [0], 0, 16368
        for _ in range(15):
            d = (e * FIRST_STOPS[near]) >> 8
            self.c.append(self.c[-1] + 1 + d)
            e -= d
        self.c.append(16384)

    def read(self, coder: Lanes) -> int:
        """A symbol, which the table learns."""
        s = coder.symbol([above - below for below, above in zip(self.c[:-1], self.c[1:], strict=True)])
        shift = min(3 + (self.n >> 3).bit_length(), 7)
        for j in range(1, 16):
            t = j if j <= s else 16368 + j
            self.c[j] += (t - self.c[j]) >> shift
        self.n += 1
        return s


def adaptive_columns(coder: Lanes, rank: int, rows: int, columns: int, low: int, high: int) -> np.ndarray:
    """4.5: a factor, whose columns are images of so many rows and columns."""
    tables: dict[tuple[bool, int, int], AdaptiveTable] = {}
    found = np.zeros((rank, rows, columns), np.int64)
    magnitudes: dict[tuple[int, int, int], int] = {}

    def around(r: int, y: int, x: int) -> int:
        return magnitudes.get((r, y, x), 0)

    for r, y, x in np.ndindex(found.shape):
        past = 2 * around(r - 1, y, x) + around(r - 1, y, x + 1) + around(r - 1, y + 1, x) + around(r - 2, y, x)
        near = 2 * (around(r, y, x - 1) + around(r, y - 1, x)) + around(r, y - 1, x - 1) + around(r, y - 1, x + 1)
        context = r == 0, factor_level((near + (past >> 1)) >> 1), min(factor_level(past >> 1), 7)
        a = tables.setdefault(context, AdaptiveTable(context[1])).read(coder)
        if a == 15:
            n = 0
            while n < 16 and coder.raw(1):
                n += 1
            a += 2**n - 1 + coder.raw(n)
        magnitudes[r, y, x] = min(a, 255)
        difference = -a if a > 0 and coder.raw(1) else a
        guess = guessed(found[0], y, x) if r == 0 else 0
        found[r, y, x] = clamp(guess + difference, low, high)
    return found.reshape(rank, -1).T


def factor_level(n: int) -> int:
    """4.5: L."""
    return sum(start <= n for start in LEVELS_FROM)


def guessed(image: np.ndarray, y: int, x: int) -> int:
    """4.5: what an entry of column 0 is expected to be."""
    if x == 0 and y == 0:
        return 0
    above = int(image[y - 1, x]) if y else 0
    left = int(image[y, x - 1]) if x else above
    corner = int(image[y - 1, x - 1]) if x and y else above if y else left
    if y == 0:
        above = left
    return max(min(left, above), min(max(left, above), left + above - corner))


def inflate(stream: bytes, window: int, size: int) -> bytes:
    """The bytes of a stream that must be complete and give `size` bytes; a negative window stands for raw deflate."""
    coder = zlib.decompressobj(window)
    try:
        out = coder.decompress(stream, size + 1)
    except zlib.error as error:
        raise Malformed(f"deflate stream: {error}") from None
    require(len(out) == size and coder.eof and not coder.unused_data, "length of a deflate stream")
    return out


def unite(patches: np.ndarray, h: int, w: int, p: int) -> np.ndarray:
    """The h x w plane whose patches are the rows of a matrix."""
    rows, columns = ceil_div(h, p), ceil_div(w, p)
    tiles = patches.reshape(rows, columns, p, p).transpose(0, 2, 1, 3)
    return tiles.reshape(rows * p, columns * p)[:h, :w]


# ---- 5. Main profile -------------------------------------------------------------------------------------------------


class Main:
    """A picture of the main profile."""

    def __init__(self, header: Fields, height: int, width: int, channels: int) -> None:
        self.height, self.width, self.channels = height, width, channels
        flags = header.u8()
        self.subsample, self.lossless_alpha = bool(flags & 1), bool(flags & 2)
        require(flags <= 3, "flags")
        require(not self.subsample or channels >= 3, "subsampling of a gray picture")
        require(not self.lossless_alpha or channels == 4, "lossless alpha without alpha")
        steps = [header.varint() for _ in range(2 if channels >= 3 else 1)]
        require(all(64 <= step <= 16384 for step in steps), "step")
        self.planes = []
        for index in range(max(1, channels) - self.lossless_alpha):
            coding = header.u8()
            require(coding <= 3, "coding of a plane")
            self.planes.append(self.plane(index, steps[index in (1, 2)], coding))
        self.segments = sum(len(plane.slices) for plane in self.planes) + self.lossless_alpha

    def plane(self, index: int, step: int, coding: int) -> Plane:
        """3: a plane of its size."""
        chroma, h, w = self.channels >= 3 and index in (1, 2), self.height, self.width
        if chroma and self.subsample:
            h, w = ceil_div(h, 2), ceil_div(w, 2)
        return Plane(h, w, step, coding, chroma)

    def pixels(self, segments: list[bytes]) -> np.ndarray:
        """The picture, shape (H, W, max(1, C))."""
        queue = iter(segments)
        planes = restored(self.planes, [plane.samples(queue) for plane in self.planes], self.subsample)
        out = np.empty((self.height, self.width, max(1, self.channels)), np.int64)
        if self.channels in (2, 4):
            out[:, :, -1] = self.alpha(planes, next(queue, b""))
        if self.channels < 3:
            out[:, :, 0] = plain(planes[0])
            return out
        y, b, r = planes[:3]
        if self.subsample:
            b, r = upsample(b)[: self.height, : self.width], upsample(r)[: self.height, : self.width]
        y, b, r = (np.clip(z, -4096, 4095) for z in (y, b, r))
        luma = 65536 * (y + 2048) + 524288
        out[:, :, 0] = np.clip((luma + 91881 * r) >> 20, 0, 255)
        out[:, :, 1] = np.clip((luma - 22554 * b - 46802 * r) >> 20, 0, 255)
        out[:, :, 2] = np.clip((luma + 116130 * b) >> 20, 0, 255)
        return out

    def alpha(self, planes: list[np.ndarray], last: bytes) -> np.ndarray:
        """11.1: alpha of version 1."""
        return palette(Fields(last), self.height, self.width) if self.lossless_alpha else plain(planes[3])


class MainOfVersion2(Main):
    """A picture of the main profile, the header of which is that of version 2."""

    def __init__(self, header: Fields, height: int, width: int, channels: int) -> None:
        self.height, self.width, self.channels = height, width, channels
        flags = header.u8()
        self.subsample, mode = bool(flags & 1), flags >> 1 & 3
        require(flags <= 31 and mode <= 2, "flags")
        require(not self.subsample or channels >= 3, "subsampling of a gray picture")
        require(not mode or channels in (2, 4), "a kind of alpha without alpha")
        self.mode = mode if channels in (2, 4) else None
        self.constant = None
        steps = {0: header.varint()}
        if channels >= 3:
            steps[1] = steps[2] = header.varint()
        if self.mode == 0:
            steps[3] = header.varint()
        require(all(64 <= step <= 16384 for step in steps.values()), "step")
        if mode == 2:
            self.constant = header.u8()
        self.planes = []
        for index, step in steps.items():
            self.planes.append(self.plane(index, step, header.u8()))
        check_codings(self.planes)
        if channels >= 3 and self.planes[1].p == self.planes[2].p:
            self.planes[2].companion = self.planes[1]
        if flags & 8:
            for group in (slice(0, 1), slice(1, 3))[: 2 if channels >= 3 else 1]:
                first, a = header.u8(), header.u8()
                require(40 <= first <= 64 and a <= 64, "weights")
                for plane in self.planes[group]:
                    plane.weights = weights(plane.p, first, a)
        self.local = None
        if flags & 16:
            self.local = header.u8()
            require(3 <= self.local <= 8, "blocks of local steps")
        self.segments = sum(len(plane.slices) for plane in self.planes) + bool(flags & 16) + (self.mode in (0, 1))

    def pixels(self, segments: list[bytes]) -> np.ndarray:
        if self.local is None:
            return super().pixels(segments)
        place = sum(len(plane.slices) for plane in self.planes)
        rows, columns = (ceil_div(size, 1 << self.local) for size in (self.height, self.width))
        symbols = decode_map(segments[place], rows, columns, 9)
        for plane in self.planes[: 3 if self.channels >= 3 else 1]:
            plane.take_local_steps(symbols, self.local, 1 + (self.subsample and plane.chroma))
        return super().pixels(segments[:place] + segments[place + 1 :])

    def alpha(self, planes: list[np.ndarray], last: bytes) -> np.ndarray:
        """11.2 and 11.3: alpha."""
        if self.mode == 2:
            return np.full((self.height, self.width), self.constant)
        segment = Fields(last)
        if self.mode == 1:
            values = rising(segment)
            return values[decode_map(segment.rest(), self.height, self.width, len(values))]
        classes = decode_map(segment.rest(), self.height, self.width, 3)
        return np.choose(classes, (0, np.clip(plain(planes[-1]), 1, 254), 255))


class Plane:
    """A plane of the main profile."""

    def __init__(self, h: int, w: int, step: int, coding: int, chroma: bool) -> None:
        self.h, self.w, self.step, self.coding, self.chroma = h, w, step, coding, chroma
        self.p = p = (8, 16)[coding & 1]
        self.filtered, self.neural, self.corrected, self.lanes, self.short = (
            bool(coding >> b & 1) for b in range(1, 6)
        )
        self.weights, self.local = weights(p, 64, 0), None
        self.companion: Plane | None = None
        self.factors: list[Factor] = []
        self.rows, self.columns = ceil_div(h, p), ceil_div(w, p)
        count = ceil_div(self.rows * self.columns * p * p, 4194304)
        size = ceil_div(self.rows, count)
        self.slices = [(top, min(top + size, self.rows)) for top in range(0, self.rows, size)]

    def samples(self, segments: Iterator[bytes]) -> np.ndarray:
        """The samples before restoration, from one segment for each slice."""
        out = np.concatenate([self.slice(Fields(next(segments)), top, bottom) for top, bottom in self.slices])
        return unlap(out, self.p)[: self.h, : self.w]

    def take_local_steps(self, symbols: np.ndarray, b: int, f: int) -> None:
        """9.2: M of every patch."""
        centres = [f * (self.p * np.arange(n) + self.p // 2) >> b for n in (self.rows, self.columns)]
        y, x = (np.minimum(found, size - 1) for found, size in zip(centres, symbols.shape, strict=True))
        self.local = np.array([8, 10, 11, 13, 16, 19, 23, 27, 32])[symbols[np.ix_(y, x)]]

    def slice(self, segment: Fields, top: int, bottom: int) -> np.ndarray:
        """The product of the factors of a slice, (p rows, p columns)."""
        rows = bottom - top
        v = basis(self.p, self.step, self.weights)
        if rows * self.columns * self.p**2 >= 1048576:
            coded = segment.take(segment.varint())
            if coded:
                v = moved_basis(v, decode_update(coded, self.p), self.p, self.step, self.weights)
        ranks = min(segment.u8() + 1, self.p**2)
        grid = rows, self.columns, self.p, ranks
        if self.neural:
            companion = self.companion.factors[len(self.factors)] if self.companion else None
            self.factors.append(decode_neural(segment.rest(), *grid, companion))
            u = np.stack([image.inner() for image in self.factors[-1].u])
        elif self.lanes:
            u = decode_lanes(segment.rest(), *grid)
        else:
            u = decode_u(segment.rest(), *grid)
        limit = 24576 * self.p // self.step + 1
        s, _ = scale(self.step)
        factors = np.clip(u.reshape(ranks, -1), -limit, limit).astype(np.float64)  # float64 holds all sums exactly
        x = (np.rint(factors.T @ v[:, :ranks].T.astype(np.float64)).astype(np.int64) + (1 << (s - 1))) >> s
        if self.local is not None:
            v0 = int(basis(self.p, self.step, self.weights)[0, 0])
            mean = (factors[0].astype(np.int64) * v0 + (1 << (s - 1)) >> s)[:, None]
            x = mean + ((np.clip(x - mean, -(2**20), 2**20) * self.local[top:bottom].reshape(-1, 1) + 8) >> 4)
        return unite(x, rows * self.p, self.columns * self.p, self.p)


# ---- 6. Range decoder and context model ------------------------------------------------------------------------------


class RangeDecoder:
    """6.1: bits of given probabilities."""

    def __init__(self, data: bytes) -> None:
        self.data = data + bytes(4)
        self.at, self.low, self.range = 4, int.from_bytes(self.data[:4], "big"), 0xFFFFFFFF

    def decode(self, p: int) -> int:
        """A bit that is 1 with probability p / 65536."""
        bound = (self.range * p) >> 16
        if self.low < bound:
            bit, self.range = 1, bound
        else:
            bit, self.low, self.range = 0, self.low - bound, self.range - bound
        while self.range < 1 << 24:
            require(self.at < len(self.data), "the coded data end too early")
            self.range <<= 8
            self.low = ((self.low << 8) | self.data[self.at]) & 0xFFFFFFFF
            self.at += 1
        return bit

    def raw(self) -> int:
        """A bit of probability 1/2."""
        return self.decode(32768)

    def adaptive(self, state: list[int], index: int) -> int:
        """8: a bit of a probability that adapts."""
        p = state[index]
        bit = self.decode(p)
        state[index] = clamp(p + ((65536 * bit - p) >> 4), 256, 65280)
        return bit

    def literal(self, count: int) -> int:
        """8: raw bits, most significant first."""
        value = 0
        for _ in range(count):
            value = 2 * value + self.raw()
        return value


def _squash() -> list[int]:
    one = power = 1 << 96
    table = [0] * 4096
    for x in range(2049):
        up = ((power << 16) + (power + one) // 2) // (power + one)
        if x < 2048:
            table[2048 + x] = up
        table[2048 - x] = 65536 - up
        power = (power * 79538252774825785662640898770) >> 96
    return [clamp(value, 24, 65512) for value in table]


def _level(edges: tuple[int, ...], limit: int) -> list[int]:
    """The number of edges that are at most 0, 1, 2, ..., limit."""
    return [sum(edge <= a for edge in edges) for a in range(limit + 1)]


SQUASH = _squash()
STRETCH = [
    clamp(int(k) - 2048, -2047, 2047) for k in np.searchsorted(SQUASH, [16 * i + 8 for i in range(4096)], side="left")
]
RATE = [131072 // (2 * n + 3) for n in range(256)]
LEVEL = _level((1, 2, 3, 4, 5, 7, 9, 12, 16, 22, 30, 44, 64, 100, 180), 180)
SIGNED_LEVEL = _level((1, 2, 4, 8, 16), 16)
CLASS = (0, 1, 2, 3, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7)


def level(a: int) -> int:
    """Level 0 .. 15 of a >= 0."""
    return LEVEL[a] if a < 180 else 15


def slevel(v: int) -> int:
    """Level 0 .. 10 of a number of any sign."""
    if v >= 0:
        return 5 + (SIGNED_LEVEL[v] if v < 16 else 5)
    return 5 - (SIGNED_LEVEL[-v] if v > -16 else 5)


#: 6.3: slots, types, rows of A, B and M of each section.
SECTIONS = ((256, 16, 8, 128, 128), (128, 1, 1, 16, 16), (256, 28, 28, 128, 128), (768, 16, 192, 1024, 256),
            (160, 1, 10, 16, 16))  # fmt: skip
DC, DC_SIGN, RANK, AC, AC_SIGN = range(5)


class Section:
    """6.3 to 6.5: one section of the model, in its initial state."""

    def __init__(self, number: int, coder: RangeDecoder) -> None:
        self.coder = coder
        slots, self.types, *rows = SECTIONS[number]
        before = [sum(8 * s * t for s, t, *_ in SECTIONS[:number]), sum(a + b for _, _, a, b, _ in SECTIONS[:number]),
                  sum(m for *_, m in SECTIONS[:number])]  # fmt: skip
        starts = [0, 2 * 190720, 2 * (190720 + 1551 * 8)]
        data = states()
        packed = np.frombuffer(data, "<u2", 8 * slots * self.types, starts[0] + 2 * before[0]).astype(np.int64)
        self.p = (((packed >> 4) << 10) | 512).tolist()
        self.n = (2 * (packed & 15)).tolist()
        weights = np.frombuffer(data, "<i2", 8 * (rows[0] + rows[1]), starts[1] + 16 * before[1]).astype(np.int64) * 8
        weights = weights.reshape(-1, 8).tolist()
        self.a, self.b = weights[: rows[0]], weights[rows[0] :]
        self.m = np.frombuffer(data, "<u2", 33 * rows[2], starts[2] + 66 * before[2]).reshape(-1, 33).tolist()
        self.stride = slots * self.types
        self.at: list[int] = []

    def slots(self, *slots: int) -> None:
        """Choose the slots of the symbol that follows."""
        self.at = [k * self.stride + slot * self.types for k, slot in enumerate(slots)]

    def bin(self, t: int, a: int, b: int, m: int) -> int:
        """6.4: decode one bin and adapt."""
        p, n, row_a, row_b, row_m = self.p, self.n, self.a[a], self.b[b], self.m[m]
        places = [at + t for at in self.at]
        x = [STRETCH[p[i] >> 10] for i in places]
        dot = 0
        for k in range(8):
            dot += ((row_a[k] + row_b[k]) * x[k]) >> 5
        z = clamp(dot >> 11, -2047, 2047) + 2048
        q = SQUASH[z]
        node, f = z >> 7, z & 127
        refined = (row_m[node] * (128 - f) + row_m[node + 1] * f) >> 7
        bit = self.coder.decode(clamp((q + refined + 1) >> 1, 32, 65504))

        target = 4194303 * bit
        for i in places:
            count = n[i]
            p[i] += ((target - p[i]) * RATE[count]) >> 16
            if count < 255:
                n[i] = count + 1
        error = ((65536 * bit - q) * 6) >> 4
        for k in range(8):
            d = (x[k] * error + 8192) >> 14
            row_a[k] = clamp(row_a[k] + d, -262143, 262143)
            row_b[k] = clamp(row_b[k] + d, -262143, 262143)
        node += f >> 6
        row_m[node] += (65535 * bit - row_m[node]) >> 6
        return bit

    def base(self, a: int, b: int, m: int, strides: tuple[int, int, int]) -> None:
        """Choose the rows of the magnitude that follows."""
        self.rows = [(a + strides[0] * c, b + strides[1] * c, m + strides[2] * c) for c in CLASS]

    def cbin(self, t: int) -> int:
        """6.5: a bin whose rows depend on the class of its type."""
        return self.bin(t, *self.rows[t])

    def magnitude(self) -> int:
        """6.5: a magnitude that is not zero."""
        for t in range(1, 11):
            if not self.cbin(t):
                return t
        return self.escape()

    def escape(self) -> int:
        """6.5: a magnitude above 10."""
        e = 0
        while e < 12 and self.cbin(11 + min(e, 3)):
            e += 1
        v = 1
        for k in reversed(range(e)):
            v = 2 * v + (self.cbin(15) if k == e - 1 else self.coder.raw())
        return 10 + v


# ---- 7. U ------------------------------------------------------------------------------------------------------------


@functools.cache
def frequencies(p: int) -> list[tuple[int, int]]:
    """7.1: (i, j) of every component."""
    pairs = [(i, j) for i in range(p) for j in range(p)]
    return sorted(pairs, key=lambda f: (f[0] + f[1], f[0] if (f[0] + f[1]) % 2 else f[1]))


@functools.cache
def relations(p: int) -> list[tuple[int, int, int, int, int]]:
    """7.1: both parents, direction, group and ring of every component."""
    order = frequencies(p)
    index = {pair: r for r, pair in enumerate(order)}
    table = [(0, 0, 0, 0, 0)]
    for r, (i, j) in enumerate(order[1:], 1):
        if i and j:
            parents = index[i - 1, j], index[i, j - 1]
        elif i == 0:
            parents = index[0, j - 1], index[1, j - 1] if index[1, j - 1] < r else 0
        else:
            parents = index[i - 1, 0], index[i - 1, 1] if index[i - 1, 1] < r else 0
        direction = 0 if 2 * i >= j and 2 * j >= i else 1 if j > i else 2
        group = r if r < 15 else min(15 + ((i + j - 5) * 9) // (2 * p - 7), 23)
        table.append((*parents, direction, group, min(i + j - 1, 5)))
    return table


class Image:
    """A component or the ranks: gh x gw values with a border of two, of zeros until it is filled."""

    def __init__(self, gh: int, gw: int) -> None:
        self.gh, self.gw, self.stride = gh, gw, gw + 4
        self.values = [0] * ((gh + 4) * self.stride)

    def place(self, y: int, x: int) -> int:
        """Where the value of a patch is."""
        return (y + 2) * self.stride + x + 2

    def inner(self) -> np.ndarray:
        """The values, shape (gh, gw)."""
        return np.array(self.values).reshape(self.gh + 4, self.stride)[2:-2, 2:-2]


def decode_u(data: bytes, gh: int, gw: int, p: int, ranks: int) -> np.ndarray:
    """U, shape (ranks, gh, gw)."""
    coder = RangeDecoder(data)
    u = [Image(gh, gw) for _ in range(ranks)]
    k = Image(gh, gw)
    decode_first(coder, u[0])
    if ranks > 1:
        decode_ranks(coder, u[0].values, k, ranks)
    decode_others(coder, [image.values for image in u], k, relations(p))
    return np.stack([image.inner() for image in u])


def size_contexts(size: Section, values: tuple[int, ...], residuals: tuple[int, ...]) -> tuple[int, int]:
    """7.2: slots and base of a magnitude; guess and blend. Values w, n, nw, ne, ww, nn, residuals of w, n, ne, nw."""
    w, n, nw, ne, ww, nn = values
    ew, en, ene, enw = residuals
    guess = sorted((w, n, w + n - nw))[1]
    dw, dn, dne, far = abs(w - nw), abs(n - nw), abs(ne - n), abs(w - ww) + abs(n - nn)
    blend = 3 * (w + n) + ne - nw + (((w - ww) + (n - nn)) >> 1) - 6 * guess
    total = dw + dn + dne + far
    activity = level(total + abs(ew) + abs(en))
    size.slots(
        level(abs(ew) + abs(en) + abs(ene) + abs(enw)),
        16 * level(dw) + level(dn),
        16 * level(dne) + level(abs(en)),
        level(total),
        16 * level(abs(blend)) + activity,
        16 * level(abs(ew)) + level(abs(en)),
        16 * level(far) + level(dw + dn),
        16 * level(abs(ene)) + level(abs(enw)),
    )
    size.base(0, activity, activity, (1, 16, 16))
    return guess, blend


def sign_contexts(
    sign: Section, e: int, guess: int, blend: int, values: tuple[int, ...], residuals: tuple[int, ...]
) -> None:
    """7.2: slots of the sign of a residual of magnitude e."""
    w, n, nw, ne, ww, nn = values
    ew, en, ene, enw = residuals
    b = slevel(blend)
    sign.slots(
        11 * b + min(e, 10),
        11 * slevel(ew) + slevel(en),
        11 * slevel(w - nw) + slevel(n - nw),
        11 * slevel(ne - n) + b,
        11 * slevel(w - ww) + slevel(n - nn),
        11 * slevel(ene) + slevel(enw),
        11 * slevel(w + n - nw - guess) + slevel(ew + en),
        11 * slevel(ne - n) + slevel(w - guess),
    )


def decode_first(coder: RangeDecoder, image: Image) -> None:
    """7.2: component 0, and its continuation beyond the grid."""
    size, sign = Section(DC, coder), Section(DC_SIGN, coder)
    d, e, stride, gw = image.values, Image(image.gh, image.gw).values, image.stride, image.gw
    for y in range(image.gh):
        first = image.place(y, 0)
        if y:
            d[first - 1] = d[first - 2] = d[first - stride]
        for i in range(first, first + gw):
            if y:
                w, ww, n, nw, ne = d[i - 1], d[i - 2], d[i - stride], d[i - stride - 1], d[i - stride + 1]
                nn = d[i - 2 * stride] if y > 1 else n
            else:
                w = d[i - 1] if i > first else 0
                ww = d[i - 2] if i > first + 1 else w
                n = nw = ne = nn = w
            ew, en, ene, enw = e[i - 1], e[i - stride], e[i - stride + 1], e[i - stride - 1]
            around = (w, n, nw, ne, ww, nn), (ew, en, ene, enw)
            guess, blend = size_contexts(size, *around)
            residual = 0
            if size.cbin(0):
                residual = size.magnitude()
                b = slevel(blend)
                sign_contexts(sign, residual, guess, blend, *around)
                if sign.bin(0, 0, b, b):
                    residual = -residual
            e[i] = residual
            d[i] = clamp(guess + residual, -8191, 8191)
        d[first + gw] = d[first + gw - 1]
        if y == 0:
            d[first - 1] = d[first - 2] = d[first]
    above, below = image.place(0, 0), image.place(image.gh - 1, 0)
    d[above - stride : above - stride + gw] = d[above : above + gw]
    d[below + stride : below + stride + gw] = d[below : below + gw]


def decode_ranks(coder: RangeDecoder, d: list[int], image: Image, ranks: int) -> None:
    """7.3: the index of the last component of every patch."""
    section = Section(RANK, coder)
    k, stride = image.values, image.stride
    for y in range(image.gh):
        first = image.place(y, 0)
        for i in range(first, first + image.gw):
            w, ww, n, nn = k[i - 1], k[i - 2], k[i - stride], k[i - 2 * stride]
            nw, ne = k[i - stride - 1], k[i - stride + 1]
            hor, ver = abs(d[i + 1] - d[i - 1]), abs(d[i + stride] - d[i - stride])
            bend = abs(4 * d[i] - d[i + 1] - d[i - 1] - d[i + stride] - d[i - stride])
            mean = (3 * (w + n) + ne + nw + 4) >> 3
            q, slope = level(mean), level(hor + ver)
            section.slots(
                16 * level(w) + level(n),
                16 * q + slope,
                16 * level(ne) + level(nw),
                16 * level(hor) + level(ver),
                16 * level(bend) + slope,
                16 * level(w) + level(ww),
                16 * level(n) + level(nn),
                min(mean, 255),
            )
            size = 0
            while size < (ranks - 1).bit_length():
                g = 16 * min(size, 7) + q
                if not section.bin(size, size, g, g):
                    break
                size += 1
            v = min(size, 1)
            for bit in reversed(range(size - 1)):
                if bit >= size - 3:
                    t = 7 + size if bit == size - 2 else 10 + 2 * size + (v & 1)
                    v = 2 * v + section.bin(t, t, 112 + q, 112 + q)
                else:
                    v = 2 * v + coder.raw()
            k[i] = min(v, ranks - 1)


def sign3(v: int) -> int:
    """0, 1, 2 for zero, positive, negative."""
    return 1 if v > 0 else 2 if v < 0 else 0


def decode_others(coder: RangeDecoder, u: list[list[int]], image: Image, table: list[tuple[int, ...]]) -> None:
    """7.4: components from 1 on."""
    size, sign = Section(AC, coder), Section(AC_SIGN, coder)
    k, stride, d = image.values, image.stride, u[0]
    s = [0] * len(k)
    active = [i for i, rank in enumerate(k) if rank]
    for r in range(1, len(u)):
        r1, r2, direction, group, ring = table[r]
        c, p1, p2 = u[r], u[r1], u[r2]
        active = [i for i in active if k[i] >= r]
        for i in active:
            w, n = min(abs(c[i - 1]), 40), min(abs(c[i - stride]), 40)
            nw, ne = min(abs(c[i - stride - 1]), 40), min(abs(c[i - stride + 1]), 40)
            near = 2 * (w + n) + nw + ne
            around = s[i - 1] + s[i + 1] + s[i - stride] + s[i + stride]
            a1 = min(abs(p1[i]), 40) if r1 else 0
            a2 = min(abs(p2[i]), 40) if r2 else 0
            side = abs(p1[i + 1]) + abs(p1[i + stride]) if r1 else 0
            side += abs(p2[i + 1]) + abs(p2[i + stride]) if r2 else 0
            hor, ver = d[i + 1] - d[i - 1], d[i + stride] - d[i - stride]
            slope = (abs(hor) + abs(ver), 2 * abs(hor), 2 * abs(ver))[direction]
            left = k[i] - r
            lk = min(level(left), 9)
            reach = (k[i - 1] >= r) + (k[i + 1] >= r) + (k[i - stride] >= r) + (k[i + stride] >= r)
            mean = level(near + s[i] + (around >> 2) + 2 * (a1 + a2))
            size.slots(
                16 * group + level(near),
                3 * (4 * (4 * min(w, 3) + min(n, 3)) + 2 * min(nw, 1) + min(ne, 1)) + direction,
                6 * (10 * min(level(s[i]), 11) + lk) + ring,
                16 * group + level(around),
                6 * (7 * (4 * min(a1, 3) + min(a2, 3)) + min(level(near), 6)) + ring,
                6 * (6 * min(level(side), 7) + min(a1 + a2, 5)) + ring,
                16 * group + level(slope),
                3 * (10 * group + lk) + (reach >> 1),
            )
            size.base(group, 8 * mean + min(lk, 7), 2 * mean + (left > 2), (24, 128, 32))
            if left and not size.cbin(0):
                continue
            a = size.magnitude()
            if r >= 10:
                negative = coder.raw()
            else:
                h, v = slevel(hor), slevel(ver)
                sign.slots(
                    16 * r + h,
                    16 * r + v,
                    16 * r + 3 * sign3(c[i - 1]) + sign3(c[i - stride]),
                    16 * r + 3 * sign3(c[i - stride - 1]) + sign3(c[i - stride + 1]),
                    16 * r + (3 * sign3(p1[i]) + sign3(p2[i]) if r1 else 0),
                    16 * r + slevel(2 * d[i] - d[i - 1] - d[i + 1]),
                    16 * r + slevel(2 * d[i] - d[i - stride] - d[i + stride]),
                    16 * r + (3 * sign3(u[1][i]) + sign3(u[2][i]) if r > 2 else 0),
                )
                row = (5, h, v)[direction]
                negative = sign.bin(0, r, row, row)
            c[i] = -a if negative else a
            s[i] += min(a, 40)


# ---- 17. U by networks -----------------------------------------------------------------------------------------------

#: 17.2: slots, types, rows of A, B, C, M1 and M2 of each section.
NEURAL_SECTIONS = ((256, 16, 8, 128, 8, 128, 128), (128, 1, 1, 16, 1, 16, 16), (256, 28, 28, 128, 28, 128, 448),
                   (768, 16, 192, 1024, 56, 256, 384), (768, 1, 48, 16, 48, 4, 48))  # fmt: skip
BAND_EDGES = (2, 3, 4, 5, 7, 10)
RELATIVES = ((-1, 0), (0, -1), (-2, 0), (0, -2), (-1, -1), (-3, 0), (0, -3), (-1, -2), (-2, -1), (1, -1), (-1, 1))
LOGARITHM = [min(255, ((1 + a) ** 40).bit_length() >> 1) for a in range(16384)]


def log(a: int) -> int:
    """17.1: the logarithm of a number of any sign's magnitude."""
    return LOGARITHM[min(abs(a), 16383)]


def slog(v: int) -> int:
    """17.1: s(v), the same with the sign of the number."""
    return log(v) if v >= 0 else -log(v)


def lev(v: int) -> int:
    """17.3: level 0 .. 15 of what a network says."""
    return clamp((v + 1024) >> 7, 0, 15)


@functools.cache
def neural_relations(p: int) -> list[tuple[int, ...]]:
    """17.1: parents, direction, group, ring, position, diagonal, up, left, band and relatives of every component."""
    order = frequencies(p)
    index = {pair: r for r, pair in enumerate(order)}

    def idx(r: int, y: int, x: int) -> int:
        found = index.get((y, x), 0)
        return found if found < r else 0

    table = [(0,) * 21]
    for r in range(1, p * p):
        i, j = order[r]
        r1, r2, direction, group, ring = relations(p)[r]
        if i == 0:
            r1, r2 = r2, r1
        position = r if r < 28 else 28 + 3 * min((i + j - 7) // (1 if p == 8 else 3), 5) + direction
        band = sum(edge <= i + j for edge in BAND_EDGES)
        further = idx(r, i - 1, j - 1), idx(r, i - 2, j), idx(r, i, j - 2)
        relatives = (idx(r, i + down, j + across) for down, across in RELATIVES)
        table.append((r1, r2, direction, group, ring, position, *further, band, *relatives))
    return table


@functools.cache
def neural_states() -> dict[str, np.ndarray]:
    """17.2: the arrays of the initial state: `neural_states.bin`, inflated."""
    path = package() / "format" / "neural_states.bin"
    data, arrays, at = zlib.decompress(_checked(path.read_bytes(), NEURAL_STATES_SHA256)), {}, 0
    rows = [sum(section[k] for section in NEURAL_SECTIONS) for k in range(2, 7)]
    for name, kind, shape in (
        ("states", "<u2", (7 * sum(s * t for s, t, *_ in NEURAL_SECTIONS),)),
        ("weights", "<i2", (rows[0] + rows[1], 8)),
        ("last", "<i2", (rows[2], 2)),
        ("maps", "<u2", (rows[3] + rows[4], 33)),
        ("W1", "<i2", (57, 36, 32)),
        ("W2", "<i2", (57, 32, 16)),
        ("W3", "<i2", (57, 16, 16)),
        ("c1", "<i2", (372, 32)),
        ("c2", "<i2", (57, 16)),
        ("c3", "<i2", (372, 16)),
    ):
        count = math.prod(shape)
        arrays[name] = np.frombuffer(data, kind, count, at).astype(np.int64).reshape(shape)
        at += 2 * count
    require(at == len(data), "neural_states.bin is longer than its arrays")
    return arrays


def net(n: int, row: int, x: list[int]) -> list[int]:
    """17.3: what network n says of its inputs."""
    arrays = neural_states()
    h = np.clip((64 * arrays["c1"][row] + x @ arrays["W1"][n]) >> 8, 0, 4095)
    g = np.clip((256 * arrays["c2"][n] + h @ arrays["W2"][n]) >> 10, 0, 4095)
    return np.clip((1024 * arrays["c3"][row] + g @ arrays["W3"][n]) >> 10, -2047, 2047).tolist()


class NeuralSection:
    """17.2 and 17.4: one section of the model, in its initial state."""

    def __init__(self, number: int, coder: RangeDecoder) -> None:
        self.coder, arrays = coder, neural_states()
        slots, self.types, a, b, c, m1, m2 = NEURAL_SECTIONS[number]
        self.stride = slots * self.types
        earlier = NEURAL_SECTIONS[:number]
        first = 7 * sum(s * t for s, t, *_ in earlier)
        packed = arrays["states"][first : first + 7 * self.stride]
        self.p, self.n = (((packed >> 4) << 10) | 512).tolist(), (2 * (packed & 15)).tolist()
        first = sum(section[2] + section[3] for section in earlier)
        weights = (8 * arrays["weights"][first : first + a + b]).tolist()
        self.a, self.b = weights[:a], weights[a:]
        first = sum(section[4] for section in earlier)
        self.c = (8 * arrays["last"][first : first + c]).tolist()
        first = sum(section[5] + section[6] for section in earlier)
        maps = arrays["maps"][first : first + m1 + m2].tolist()
        self.m1, self.m2 = maps[:m1], maps[m1:]
        self.at: list[int] = []

    def slots(self, *slots: int) -> None:
        """Choose the slots of the symbol that follows."""
        self.at = [k * self.stride + slot * self.types for k, slot in enumerate(slots)]

    def bin(self, t: int, o: int, a: int, b: int, c: int, m1: int, m2: int) -> int:
        """17.4: decode one bin and adapt."""
        p, n, one, other = self.p, self.n, self.m1[m1], self.m2[m2]
        places = [at + t for at in self.at]
        x = [*(STRETCH[p[i] >> 10] for i in places), o]
        row_a, row_b, row_c = self.a[a], self.b[b], self.c[c]
        u, v = (clamp(sum((row[k] * x[k]) >> 5 for k in range(8)) >> 10, -2047, 2047) for row in (row_a, row_b))
        z = clamp((u * row_c[0] + v * row_c[1]) >> 16, -2047, 2047) + 2048
        q, node, f = SQUASH[z], z >> 7, z & 127
        refined = ((one[node] + other[node]) * (128 - f) + (one[node + 1] + other[node + 1]) * f) >> 7
        bit = self.coder.decode(clamp((2 * q + refined + 2) >> 2, 32, 65504))

        for i in places:
            p[i] += ((4194303 * bit - p[i]) * RATE[n[i]]) >> 16
            n[i] = min(n[i] + 1, 255)
        for row, inputs, said, rate in (
            (row_a, x, SQUASH[u + 2048], 3),
            (row_b, x, SQUASH[v + 2048], 3),
            (row_c, (u, v), q, 2),
        ):
            error = ((65536 * bit - said) * rate) >> 4
            for k, value in enumerate(inputs):
                row[k] = clamp(row[k] + ((value * error + 8192) >> 14), -262143, 262143)
        node += f >> 6
        one[node] += (65535 * bit - one[node]) >> 6
        other[node] += (65535 * bit - other[node]) >> 6
        return bit

    def escape(self, o: int, a: int, b: int, c: int, m1: int, m2: int) -> int:
        """17.4: what a magnitude has above 11."""

        def cbin(t: int) -> int:
            k = CLASS[t]
            return self.bin(t, 0 if t == 15 else o, a + k, b + k, c, m1 + k, m2 + k)

        e = 0
        while e < 12 and cbin(11 + min(e, 3)):
            e += 1
        v = 1
        for k in reversed(range(e)):
            v = 2 * v + (cbin(15) if k == e - 1 else self.coder.raw())
        return v - 1


class Factor:
    """17: U and K of a slice, as they serve its companion; a component is an image with a border of two."""

    def __init__(self, gh: int, gw: int, p: int, ranks: int) -> None:
        self.p, self.ranks = p, ranks
        self.u = [Image(gh, gw) for _ in range(ranks)]
        self.k = Image(gh, gw)

    def component(self, r: int) -> list[int]:
        """U[r], zeros beyond the ranks."""
        return self.u[r].values if r < self.ranks else [0] * len(self.k.values)


def decode_neural(data: bytes, gh: int, gw: int, p: int, ranks: int, companion: Factor | None) -> Factor:
    """U of a slice."""
    coder, factor = RangeDecoder(data), Factor(gh, gw, p, ranks)
    neural_first(coder, factor, companion)
    if ranks > 1:
        neural_ranks(coder, factor)
    neural_others(coder, factor, companion)
    return factor


def median(w: int, n: int, nw: int) -> int:
    """7.2: the guess."""
    return sorted((w, n, w + n - nw))[1]


def neural_first(coder: RangeDecoder, factor: Factor, companion: Factor | None) -> None:
    """17.5: component 0, and its continuation beyond the grid."""
    size, sign, image = NeuralSection(DC, coder), NeuralSection(DC_SIGN, coder), factor.u[0]
    d, e, stride, gw = image.values, Image(image.gh, image.gw).values, image.stride, image.gw
    other = companion.component(0) if companion else None
    for y in range(image.gh):
        first = image.place(y, 0)
        if y:
            d[first - 1] = d[first - 2] = d[first - stride]
        for i in range(first, first + gw):
            if y:
                w, ww, n, nw, ne = d[i - 1], d[i - 2], d[i - stride], d[i - stride - 1], d[i - stride + 1]
                nn, nne = (d[i - 2 * stride], d[i - 2 * stride + 1]) if y > 1 else (n, ne)
                nee = d[i - stride + 2]
            else:
                w = d[i - 1] if i > first else 0
                ww = d[i - 2] if i > first + 1 else w
                n = nw = ne = nn = nne = nee = w
            ew, en, ene, enw = e[i - 1], e[i - stride], e[i - stride + 1], e[i - stride - 1]
            eww, enn = e[i - 2], e[i - 2 * stride]
            guess = median(w, n, nw)
            dw, dn, dne, far = abs(w - nw), abs(n - nw), abs(ne - n), abs(w - ww) + abs(n - nn)
            blend = 3 * (w + n) + ne - nw + (((w - ww) + (n - nn)) >> 1) - 6 * guess
            activity = level(dw + dn + dne + far + abs(ew) + abs(en))
            missed = abs(ew) + abs(en) + abs(ene) + abs(enw)

            v = [w - guess, n - guess, nw - guess, ne - guess, ww - guess, nn - guess, blend, ew, en, ene, enw]
            v.append(nee - guess)
            x = [*map(slog, v), *map(log, v)]
            x += map(log, (eww, enn, missed, w - ww, n - nn, ne - nne, dw + dn + dne, dne))
            if other is not None:
                o = other[i] - median(other[i - 1], other[i - stride], other[i - stride - 1])
                x += [slog(o), log(o), log(abs(other[i + 1] - other[i]) + abs(other[i + stride] - other[i])), 64]
            else:
                x += [0] * 4
            said = net(0, int(factor.p == 16), x)
            size.slots(
                level(missed),
                16 * level(dw) + level(dn),
                16 * level(dne) + level(abs(en)),
                16 * level(abs(blend)) + activity,
                16 * level(abs(ew)) + level(abs(en)),
                16 * level(far) + level(dw + dn),
                16 * lev(said[0]) + activity,
            )

            def size_bin(t: int, y: int, row: int = 8 * activity) -> int:
                k = CLASS[t]
                return size.bin(t, y, k, row + k, min(t, 7), row + k, 8 * lev(y) + k)

            residual = 0
            if size_bin(0, said[0]):
                b = slevel(blend)
                sign.slots(
                    11 * b + slevel(ew + en),
                    11 * slevel(ew) + slevel(en),
                    11 * slevel(w - nw) + slevel(n - nw),
                    11 * slevel(ne - n) + b,
                    11 * slevel(w - ww) + slevel(n - nn),
                    11 * slevel(ene) + slevel(enw),
                    11 * slevel(ne - n) + slevel(w - guess),
                )
                negative = sign.bin(0, said[1], 0, b, 0, b, lev(said[1]))
                residual = 1
                while residual <= 10 and size_bin(residual, said[(8 if negative else 1) + min(residual, 7)]):
                    residual += 1
                if residual == 11:
                    last = said[15 if negative else 8]
                    residual += size.escape(last, 0, 8 * activity, 7, 8 * activity, 8 * lev(last))
                if negative:
                    residual = -residual
            e[i] = residual
            d[i] = clamp(guess + residual, -8191, 8191)
        d[first + gw] = d[first + gw + 1] = d[first + gw - 1]
        if y == 0:
            d[first - 1] = d[first - 2] = d[first]
    above, below = image.place(0, -2), image.place(image.gh - 1, -2)
    d[above - stride : above - stride + gw + 4] = d[above : above + gw + 4]
    d[below + stride : below + stride + gw + 4] = d[below : below + gw + 4]


def neural_ranks(coder: RangeDecoder, factor: Factor) -> None:
    """17.6: the index of the last component of every patch."""
    section, image, d, ranks = NeuralSection(RANK, coder), factor.k, factor.u[0].values, factor.ranks
    k, stride = image.values, image.stride
    for y in range(image.gh):
        first = image.place(y, 0)
        for i in range(first, first + image.gw):
            w, ww, n, nn = k[i - 1], k[i - 2], k[i - stride], k[i - 2 * stride]
            nw, ne = k[i - stride - 1], k[i - stride + 1]
            c, dw, de, dn, ds = d[i], d[i - 1], d[i + 1], d[i - stride], d[i + stride]
            dnw, dne, dsw, dse = d[i - stride - 1], d[i - stride + 1], d[i + stride - 1], d[i + stride + 1]
            total = 3 * (w + n) + ne + nw
            x = [w, n, nw, ne, ww, nn, k[i - stride + 2], k[i - 2 * stride - 1], k[i - 2 * stride + 1]]
            x += [k[i - stride - 2], total >> 1, de - dw, ds - dn, 2 * c - de - dw, 2 * c - ds - dn]
            x += [c - de, c - dw, c - ds, c - dn, c - dse, c - dsw, c - dne, c - dnw, de + dw + ds + dn - 4 * c]
            x += [de - d[i + 2], dse - ds, ds - dsw, dw - d[i - 2]]
            x += [ds - d[i + 2 * stride] if y + 2 < image.gh else 0, dn - d[i - 2 * stride] if y >= 2 else 0]
            x += [dse + dnw - 2 * c, dsw + dne - 2 * c]
            said = net(1, 2 + (factor.p == 16), [*map(log, x), 0, 0, 0, 0])
            mean = (total + 4) >> 3
            q, slope = level(mean), level(abs(de - dw) + abs(ds - dn))
            section.slots(
                16 * level(w) + level(n),
                16 * q + slope,
                16 * level(ne) + level(nw),
                16 * level(abs(de - dw)) + level(abs(ds - dn)),
                16 * level(abs(4 * c - de - dw - ds - dn)) + slope,
                16 * level(w) + level(ww),
                min(mean, 255),
            )

            def rank_bin(t: int, y: int, g: int) -> int:
                return section.bin(t, y, t, g, t, g, 16 * t + lev(y))

            size = 0
            while size < (ranks - 1).bit_length():
                if not rank_bin(size, said[min(size, 7)], 16 * min(size, 7) + q):
                    break
                size += 1
            v = min(size, 1)
            for bit in reversed(range(size - 1)):
                if bit == size - 2:
                    v = 2 * v + rank_bin(7 + size, said[6 + size], 112 + q)
                elif bit == size - 3:
                    v = 2 * v + rank_bin(10 + 2 * size + (v & 1), said[15], 112 + q)
                else:
                    v = 2 * v + coder.raw()
            k[i] = min(v, ranks - 1)


def neural_others(coder: RangeDecoder, factor: Factor, companion: Factor | None) -> None:
    """17.7 and 17.8: components from 1 on."""
    size, sign = NeuralSection(AC, coder), NeuralSection(AC_SIGN, coder)
    p, k, u = factor.p, factor.k.values, [image.values for image in factor.u]
    d, stride, nothing = u[0], factor.k.stride, [0] * len(k)
    a = [nothing]  # of every component
    s, energy, f = nothing.copy(), nothing.copy(), [nothing.copy() for _ in range(3)]
    highest = max(companion.k.values) if companion else 0  # RB
    means = [0]
    active = [i for i, rank in enumerate(k) if rank]
    for r in range(1, factor.ranks):
        r1, r2, direction, group, ring, position, diagonal, up, left_of, band, *relatives = neural_relations(p)[r]
        a.append(nothing.copy())
        c, of, other = u[r], a[r], companion.component(r) if companion else nothing
        m = (means[r1] + means[r2]) >> 1
        run = 64 * m
        active = [i for i in active if k[i] >= r]
        for i in active:
            above, below = i - stride, i + stride
            beside = i + 1, i - 1, below, above
            w, n, nw, ne = of[i - 1], of[above], of[above - 1], of[above + 1]
            hor, ver = d[i + 1] - d[i - 1], d[below] - d[above]
            bend, curve = 2 * d[i] - d[i + 1] - d[i - 1], 2 * d[i] - d[below] - d[above]
            fd = f[direction]

            def reach(place: int, r: int = r) -> int:
                return max(k[place] - r + 1, 0)

            x = [w, n, nw, ne, a[r1][i], a[r2][i], a[diagonal][i], a[up][i], a[left_of][i], a[r - 1][i]]
            x += [a[r1][above], a[r1][below], a[r2][i - 1], a[r2][i + 1], a[r2][below], s[i], energy[i] >> 3]
            x += [s[i - 1] + s[above], s[i + 1] + s[below], energy[above] >> 3, k[i] - r, reach(i + 1), reach(below)]
            x += [hor, ver, bend, curve, fd[i] >> 3, (fd[i - 1] + fd[i + 1]) >> 3, m, run >> 6]
            x.append(sum(reach(place) for place in (above - 1, above + 1, below - 1, below + 1)))
            if companion:
                x += [other[i], max(companion.k.values[i] - r + 1, 0), abs(other[i + 1]) + abs(other[below])]
            else:
                x += [0, 0, 0]
            said = net(2 + band, 4 + 64 * (p == 16) + r, [*map(log, x), 64 if companion else 0])
            near, b1, b2 = 2 * (w + n) + nw + ne, a[r1][i], a[r2][i]
            left = k[i] - r
            lk, big = min(level(left), 9), lev(said[0])
            activity = level(near + s[i] + 2 * (b1 + b2))
            before = 4 * (4 * min(w, 3) + min(n, 3)) + 2 * min(nw, 1) + min(ne, 1)
            size.slots(
                16 * position + big,
                3 * before + direction,
                6 * (10 * min(level(s[i]), 11) + lk) + ring,
                10 * position + lk,
                6 * (7 * (4 * min(b1, 3) + min(b2, 3)) + min(level(near), 6)) + ring,
                6 * (8 * big + min(lk, 7)) + ring,
                16 * big + lev(said[1]),
            )
            middle, map_row = 8 * min(lk, 7), 8 * (2 * activity + (left > 2))
            t = 0 if left else 1
            while t <= 10:
                y, kind = said[min(t, 7)], CLASS[t]
                rows = 8 * group + kind, 64 * lev(y) + middle + kind, 48 + min(t, 7) if t else position
                if not size.bin(t, y, *rows, map_row + kind, 8 * position + kind):
                    break
                t += 1
            if t == 11:
                y = said[7]
                t += size.escape(y, 8 * group, 64 * lev(y) + middle, 55, map_row, 8 * position)
            if t:
                o, both = other[i], 0
                if companion:
                    db = companion.component(0)
                    both = sum((d[place] - d[i]) * (db[place] - db[i]) for place in beside)
                    both += sum(u[q][i] * companion.component(q)[i] for q in relatives if q)
                x = [d[place] - d[i] for place in (*beside, below + 1, below - 1, above + 1, above - 1)]
                x += [u[q][i] if q else 0 for q in relatives]
                for parent in (r1, r2):
                    x += [u[parent][place] if parent else 0 for place in beside]
                x += [c[i - 1], c[above], c[above - 1], c[above + 1], t, o]
                x += [o * (both > 0) - o * (both < 0), both * (o > 0) - both * (o < 0)]
                present = 64 if companion and r <= highest else 0
                y = net(9 + position, 324 + position, [*map(slog, x), present])[0]
                row, g = lev(y), min(t, 4) - 1
                contexts = (row, slevel(hor), slevel(ver), 3 * sign3(c[i - 1]) + sign3(c[above]), slevel(bend))
                sign.slots(*(16 * position + v for v in (*contexts, slevel(curve))), 16 * g + row)
                c[i] = -t if sign.bin(0, y, position, row, position, g, position) else t
            of[i] = t = min(t, 127)
            s[i] = min(s[i] + t, 4000)
            energy[i] = ((13 * energy[i]) >> 4) + 8 * t
            fd[i] = ((3 * fd[i]) >> 2) + 8 * t
            run += (1024 * t - run) >> 6
        means.append(16 * sum(of) // len(active) if active else 0)


# ---- 18. U in parallel lanes -----------------------------------------------------------------------------------------

COARSE = (
    (0, 1, 2, 3, 5, 7, 11, 15, 23, 31, 47, 63, 95, 127, 191, 255),
    (0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 0),
)
FINE = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 17, 25, 41, 73),
    (0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 0),
)
LANE_GROUPS = (3, 6, 10, 15, 28, 66)
#: Components whose signs have tables: whether the slope across counts, and the kind.
SLOPED = {1: (True, 0), 2: (False, 0), 6: (False, 1), 9: (True, 1)}


def lg(a: int) -> int:
    """18.3: sixteen times a logarithm."""
    v = min(a, 16384) + 1
    m = v.bit_length() - 1
    return 16 * m + ((16 * v) >> m) - 16


def dl(v: int) -> int:
    """18.3: the level of a difference."""
    d = min((lg(abs(v)) + 3) >> 3, 9)
    return d if v >= 0 else -d


@functools.cache
def lane_tables() -> dict[str, np.ndarray]:
    """18.3: networks and tables, `rans.bin`, inflated."""
    path = package() / "format" / "rans.bin"
    data, arrays, at = zlib.decompress(_checked(path.read_bytes(), RANS_SHA256)), {}, 0
    for name, kind, shape in (
        ("W1", "<i2", (16, 32, 16)),
        ("b1", "<i4", (16, 16)),
        ("W2", "<i2", (16, 16)),
        ("b2", "<i4", (16,)),
        ("T", "<u2", (16, 2, 64, 16)),
        ("P", "<u2", (16, 16)),
        ("S0", "<u2", (19, 12)),
        ("S1", "<u2", (2, 10)),
    ):
        count = math.prod(shape)
        arrays[name] = np.frombuffer(data, kind, count, at).astype(np.int64).reshape(shape)
        at += count * int(kind[2])
    require(at == len(data), "rans.bin is longer than its arrays")
    return arrays


class Lanes:
    """18.1 and 18.2: symbols and raw bits."""

    def __init__(self, data: bytes) -> None:
        fields = Fields(data)
        lanes = fields.u8()
        require(lanes <= 5, "number of lanes")
        count = fields.varint()
        self.states = np.frombuffer(fields.take(4 << lanes), "<u4").tolist()
        self.words = iter(np.frombuffer(fields.take(2 * count), "<u2").tolist())
        self.bits = iter([byte >> k & 1 for byte in fields.rest() for k in range(8)])
        self.i = 0

    def symbol(self, f: list[int]) -> int:
        """The next symbol of a table."""
        lane = self.i % len(self.states)
        x = self.states[lane]
        slot, below, s = x & 16383, 0, 0
        while slot >= below + f[s]:
            below += f[s]
            s += 1
        x = f[s] * (x >> 14) + slot - below
        if x < 65536:
            word = next(self.words, None)
            require(word is not None, "words of lanes end too early")
            x = x << 16 | word
        self.states[lane] = x
        self.i += 1
        return s

    def bit(self, q: int) -> int:
        """A bit that is 1 with a probability."""
        return self.symbol([16384 - q, q])

    def raw(self, k: int) -> int:
        """Raw bits."""
        found = 0
        for place in range(k):
            bit = next(self.bits, None)
            require(bit is not None, "raw bits of lanes end too early")
            found |= bit << place
        return found

    def value(self, s: int, scale: tuple[tuple[int, ...], tuple[int, ...]]) -> int:
        """18.2: what a symbol stands for."""
        if s < 15:
            return scale[0][s] + self.raw(scale[1][s])
        e = 0
        while e < 13 and self.raw(1):
            e += 1
        return scale[0][15] + (1 << e) - 1 + self.raw(e)

    def said(self, net: int, z: int, x: list[int]) -> int:
        """18.3: the symbol of a network."""
        arrays = lane_tables()
        h = np.clip((arrays["b1"][net] + x @ arrays["W1"][net, : len(x)]) >> 8, 0, 4095)
        found = int(np.clip((arrays["b2"][net] + h @ arrays["W2"][net]) >> 12, 0, 63))
        return self.symbol(arrays["T"][net, z, found].tolist())


class PassMean:
    """18.4: a mean."""

    total = count = 0

    def seen(self) -> int:
        """What passes see of it."""
        return lg(16 * self.total // max(self.count, 1))

    def add(self, magnitudes: list[int]) -> None:
        """Take a pass in."""
        if self.count >= 256:
            self.total, self.count = self.total >> 1, self.count >> 1
        self.total += sum(magnitudes)
        self.count += len(magnitudes)


def runs(patches: list[int]) -> list[list[int]]:
    """18.4: a pass in runs."""
    return [patches[k : k + 256] for k in range(0, len(patches), 256)]


def waves(image: Image) -> list[list[int]]:
    """18.4: the places of the patches of every pass of component 0 and the ranks."""
    every = range(image.gw + 2 * image.gh - 2)
    return [[image.place(y, t - 2 * y) for y in range(image.gh) if 0 <= t - 2 * y < image.gw] for t in every]


def decode_lanes(data: bytes, gh: int, gw: int, p: int, ranks: int) -> np.ndarray:
    """U of a slice, shape (ranks, gh, gw)."""
    coder, u, k = Lanes(data), [Image(gh, gw) for _ in range(ranks)], Image(gh, gw)
    e = lanes_first(coder, u[0])
    if ranks > 1:
        lanes_ranks(coder, u[0], e, k, ranks)
        lanes_others(coder, u, k, p)
    return np.stack([image.inner() for image in u])


def lanes_first(coder: Lanes, image: Image) -> list[int]:
    """18.5: component 0, and its continuation beyond the grid; the magnitudes of its residuals."""
    d, stride, gw = image.values, image.stride, image.gw
    e, mean, signs = Image(image.gh, gw).values, PassMean(), lane_tables()["S0"].tolist()
    for patches in waves(image):
        seen = mean.seen()
        for run in runs(patches):
            around, symbols = [], []
            for i in run:
                y, x = i // stride - 2, i % stride - 2
                if y and x == 0:
                    d[i - 1] = d[i - 2] = d[i - stride]
                if y:
                    w, ww, n, nw, ne = d[i - 1], d[i - 2], d[i - stride], d[i - stride - 1], d[i - stride + 1]
                    nn = d[i - 2 * stride] if y > 1 else n
                else:
                    w = d[i - 1] if x > 0 else 0
                    ww = d[i - 2] if x > 1 else w
                    n = nw = ne = nn = w
                guess = median(w, n, nw)
                blend = 3 * (w + n) + ne - nw + (((w - ww) + (n - nn)) >> 1) - 6 * guess
                inputs = [lg(abs(v)) for v in (w - nw, n - nw, ne - n, w - ww, n - nn, blend, ne - w)]
                places = (i - 1, i - stride, i - stride - 1, i - stride + 1, i - 2, i - 2 * stride)
                symbols.append(coder.said(0, 0, [*inputs, *(lg(e[place]) for place in places), seen]))
                around.append((guess, blend))
            for i, s in zip(run, symbols, strict=True):
                e[i] = coder.value(s, COARSE)
            for i, (guess, blend) in zip(run, around, strict=True):
                negative = e[i] > 0 and coder.bit(signs[dl(blend) + 9][min(lg(e[i]) >> 3, 11)])
                d[i] = clamp(guess - e[i] if negative else guess + e[i], -8191, 8191)
                y, x = i // stride - 2, i % stride - 2
                if x == gw - 1:
                    d[i + 1] = d[i + 2] = d[i]
                if x == y == 0:
                    d[i - 1] = d[i - 2] = d[i]
        mean.add([min(e[i], 8191) for i in patches])
    above, below = image.place(0, -2), image.place(image.gh - 1, -2)
    d[above - stride : above] = d[above : above + stride]
    d[below + stride : below + 2 * stride] = d[below : below + stride]
    return e


def lanes_slopes(d: list[int], stride: int, i: int) -> tuple[int, int, int]:
    """7.3: hor and ver with their signs, and bend."""
    bend = 4 * d[i] - d[i + 1] - d[i - 1] - d[i + stride] - d[i - stride]
    return d[i + 1] - d[i - 1], d[i + stride] - d[i - stride], abs(bend)


def lanes_ranks(coder: Lanes, first: Image, e: list[int], image: Image, ranks: int) -> None:
    """18.6: the index of the last component of every patch."""
    d, k, stride, mean, places = first.values, image.values, image.stride, PassMean(), lane_tables()["P"].tolist()
    for patches in waves(image):
        seen = mean.seen()
        for run in runs(patches):
            symbols = []
            for i in run:
                hor, ver, bend = lanes_slopes(d, stride, i)
                corner = max(
                    abs(d[i + stride + 1] - d[i - stride - 1]),
                    abs(d[i + stride - 1] - d[i - stride + 1]),
                )
                near = k[i - 1], k[i - stride], k[i - stride - 1], k[i - stride + 1], k[i - 2], k[i - 2 * stride]
                x = [lg(v) for v in (*near, abs(hor), abs(ver), bend, corner, e[i], e[i + 1])]
                symbols.append(coder.said(1, 0, [*x, seen, lg(ranks - 1)]))
            some = [coder.symbol(places[s]) if COARSE[1][s] else 0 for s in symbols]
            for i, s, place in zip(run, symbols, some, strict=True):
                below = max(COARSE[1][s] - 4, 0)
                k[i] = min(COARSE[0][s] + (place << below) + coder.raw(below), ranks - 1)
        mean.add([k[i] for i in patches])


def lanes_others(coder: Lanes, u: list[Image], ranks: Image, p: int) -> None:
    """18.7: components from 1 on."""
    d, k, stride, gh, gw = u[0].values, ranks.values, ranks.stride, ranks.gh, ranks.gw
    grid = [(y + x, ranks.place(y, x)) for y in range(gh) for x in range(gw)]
    order, signs = frequencies(p), lane_tables()["S1"].tolist()
    index = {pair: r for r, pair in enumerate(order)}
    g = [Image(gh, gw).values for _ in u]
    totals, h, mean = Image(gh, gw).values, Image(gh, gw).values, PassMean()
    slopes = {i: lanes_slopes(d, stride, i) for _, i in grid}
    coded = [i for _, i in grid if k[i] > 0]
    rank = lg(16 * sum(k) // (gh * gw))
    slope = lg(sum(lg(abs(v)) for i in coded for v in slopes[i][:2]) // max(len(coded), 1))

    def sides(image: list[int], i: int) -> int:
        return (image[i - 1] + image[i + 1]) >> 1

    def ends(image: list[int], i: int) -> int:
        return (image[i - stride] + image[i + stride]) >> 1

    for r in range(1, len(u)):
        r1, r2, *_ = relations(p)[r]
        down, across = order[r]
        before = [g[max(r - back, 0)] for back in (1, 2, 3)]
        up, left = g[index.get((down - 2, across), 0)], g[index.get((down, across - 2), 0)]
        for c in (0, 1):
            patches = [i for place, i in grid if k[i] >= r and place & 1 == c]
            if not patches:
                continue
            steady = [lg(down), lg(across), 256 * down // p, 256 * across // p, 8 * p, mean.seen(), rank, slope]
            net, magnitudes = 2 + 2 * sum(start <= r for start in LANE_GROUPS) + c, []
            for run in runs(patches):
                symbols = []
                for i in run:
                    near = [k[i - 1], k[i + 1], k[i - stride], k[i + stride]]
                    x = [f(image, i) for image in (g[r1], g[r2]) for f in (list.__getitem__, sides, ends)]
                    x += [h[i], (h[i - 1] + h[i + 1] + h[i - stride] + h[i + stride]) >> 2]
                    x += [image[i] for image in before]
                    x += [(sides(image, i) + ends(image, i)) >> 1 for image in before[:2]]
                    x += [up[i], left[i], *((sides(g[r], i), ends(g[r], i)) if c else (0, 0))]
                    x += [lg(abs(v)) for v in slopes[i]]
                    x += [lg(k[i] - r), lg(sum(max(v - r + 1, 0) for v in near))]
                    x += [32 * sum(v >= r for v in near), lg(k[i])]
                    symbols.append(coder.said(net, int(k[i] == r), x + steady))
                found = [min(coder.value(s, FINE), 8191) for s in symbols]
                for i, a in zip(run, found, strict=True):
                    totals[i] = min(totals[i] + a, 16384)
                    h[i], g[r][i] = lg(totals[i]), lg(a)
                    negative = 0
                    if a > 0 and r in SLOPED:
                        horizontal, kind = SLOPED[r]
                        v = slopes[i][0 if horizontal else 1]
                        negative = coder.bit(signs[kind][abs(dl(v))]) ^ (v < 0)
                    elif a > 0:
                        negative = coder.raw(1)
                    u[r].values[i] = -a if negative else a
                magnitudes += found
            mean.add(magnitudes)


# ---- 13. Maps --------------------------------------------------------------------------------------------------------


class Same(Section):
    """13.1: the section of repetitions, in its initial state."""

    def __init__(self, coder: RangeDecoder) -> None:
        self.coder, self.types, self.stride, self.at = coder, 3, 512 * 3, []
        self.p, self.n = [1 << 21] * (8 * self.stride), [0] * (8 * self.stride)
        self.a, self.b = ([[6553] * 8 for _ in range(rows)] for rows in (3, 13))
        self.m = [[SQUASH[min(128 * i, 4095)] for i in range(33)] for _ in range(13)]


def decode_map(data: bytes, height: int, width: int, count: int) -> np.ndarray:
    """The symbols, shape (height, width)."""
    if count == 1:
        return np.zeros((height, width), np.int64)
    coder, highest = RangeDecoder(data), count - 1
    size, sign, same = Section(DC, coder), Section(DC_SIGN, coder), Same(coder)
    f, g = [3932160] * 256, [6] * 256
    symbols, trusts = [0] * 65536, [0] * 65536
    image = Image(height, width)
    s, e, r, stride = image.values, Image(height, width).values, Image(height, width).values, image.stride

    def flat(w: int) -> bool:
        bit = coder.decode(clamp(f[w] >> 6, 1, 65535))
        f[w] = min(f[w] + bit + (((4194303 * bit - f[w]) * RATE[g[w]]) >> 16), 4194303)
        g[w] = min(g[w] + 1, 255)
        return bool(bit)

    def repetition(i: int, entry: int, around: tuple[int, ...]) -> int:
        w, n, nw, ne, ww, nn, nee, nne, nww, nnw = around
        y, t = symbols[entry], trusts[entry]
        source = 0 if t == 0 else 1 if y == w else 2 if y == n else 3
        near = (n == w) + 2 * (nw == w) + 4 * (ne == w) + 8 * (ww == w) + 16 * (nn == w)
        alike = (n == w) + (nw == w) + (ne == w) + (ww == w) + (nn == w)
        others = (
            ((64 * w) ^ (16 * n) ^ (4 * nw) ^ ne) & 511,
            16 * level(abs(w - n)) + level(abs(n - nw)),
            16 * level(abs(w - ww)) + level(abs(n - ne)),
            32 * r[i - 1] + 2 * r[i - stride] + (n == w),
            11 * slevel(n - nw) + slevel(w - nw),
            16 * near + 4 * min(w, 3) + min(n, 3),
            64 * source + 4 * t + (n == w) + 2 * (ne == n),
        )
        same.slots(near + 32 * (nee == w) + 64 * (nne == w) + 128 * (nww == w) + 256 * (nnw == w), *others)
        if same.bin(0, 0, alike, alike):
            return w
        if highest == 1:
            return 1 - w
        if n != w:
            slot = sum((v == n) << k for k, v in enumerate((nw, ne, nn, ww, nee, nne, nww, nnw))) + 256 * (ne == w)
            alike = 6 + (nw == n) + (ne == n) + (nn == n) + (ww == n) + (nne == n)
            same.slots(slot, *others)
            if same.bin(1, 1, alike, alike):
                return n
        if t >= 2 and source == 3:
            same.slots(16 * min(abs(y - sorted((w, n, w + n - nw))[1]), 31) + t, *others)
            if same.bin(2, 2, 12, 12):
                return y
        return -1

    def residual(i: int, around: tuple[int, ...]) -> int:
        context = around[:6], (e[i - 1], e[i - stride], e[i - stride + 1], e[i - stride - 1])
        guess, blend = size_contexts(size, *context)
        largest = max(guess, highest - guess)
        t = 1 if guess in around[:2] else 0
        while t <= 10 and t < largest and size.cbin(t):
            t += 1
        if t == 11:
            t = min(size.escape(), largest)
        e[i] = t
        if t and t <= guess:
            e[i] = -t
            if t <= highest - guess:
                sign_contexts(sign, t, guess, blend, *context)
                b = slevel(blend)
                e[i] = -t if sign.bin(0, 0, b, b) else t
        return guess + e[i]

    for y in range(height):
        first = image.place(y, 0)
        if y:
            s[first - 1] = s[first - 2] = s[first - stride]
        for i in range(first, first + width):
            if y:
                w, ww, n, nw, ne = s[i - 1], s[i - 2], s[i - stride], s[i - stride - 1], s[i - stride + 1]
                nee, nww, nn, nne, nnw = s[i - stride + 2], s[i - stride - 2], n, ne, nw
                if y > 1:
                    nn, nne, nnw = (s[i - 2 * stride + k] for k in (0, 1, -1))
            else:
                w = s[i - 1] if i > first else 0
                ww = s[i - 2] if i > first + 1 else w
                n = nw = ne = nn = nee = nne = nww = nnw = w
            around = w, n, nw, ne, ww, nn, nee, nne, nww, nnw
            if all(v == w for v in around[:9]):
                s[i] = w if flat(w) else 1 - w if highest == 1 else residual(i, around)
            else:
                h = w
                for v in (n, nw, ne, ww, nn, nee):
                    h = (271 * h + v + 1) & 16777215
                entry = (40503 * h >> 8) & 65535
                s[i] = repetition(i, entry, around)
                if s[i] < 0:
                    s[i] = residual(i, around)
                if trusts[entry] and symbols[entry] == s[i]:
                    trusts[entry] = min(trusts[entry] + 1, 15)
                elif trusts[entry] > 1:
                    trusts[entry] >>= 1
                else:
                    symbols[entry], trusts[entry] = s[i], 1
            r[i] = min(r[i - 1] + 1, 15) if s[i] == w else 0
        s[first + width] = s[first + width + 1] = s[first + width - 1]
        if y == 0:
            s[first - 1] = s[first - 2] = s[first]
    return image.inner()


# ---- 14. Residual arrays ---------------------------------------------------------------------------------------------

#: 14.4: (bands before, rows below, columns to the right).
# fmt: off
NEIGHBOURS = (
    (
        (0, 0, -1), (0, -1, 0), (0, -1, -1), (0, -1, 1), (0, -2, 0), (0, 0, -2), (0, -2, -1), (0, 0, -3), (0, -3, 0),
        (0, -3, -1), (0, -2, 1), (0, -1, -2), (0, -1, 3), (0, -1, -3), (0, -2, -3), (0, -2, -2), (0, -3, 1),
        (0, -3, -2), (0, -2, 3), (0, -3, 2), (0, -1, 2), (0, -2, 2),
    ),
    (
        (0, 0, -1), (0, -1, 0), (0, -1, -1), (0, -1, 1), (1, 0, 0), (1, 0, -1), (1, -2, 1), (1, -1, 0), (1, -1, -1),
        (0, 0, -2), (1, 1, 0), (0, -2, 0), (1, -2, 0), (1, -1, 1), (0, -3, 0), (0, 0, -3), (1, 0, 1), (0, -2, 1),
        (0, -2, -1), (1, 0, -2), (0, -3, -1), (0, -1, -2), (0, -1, 3), (0, -2, -2), (0, -1, -3), (1, 0, 2),
        (1, 1, -1), (1, 2, 0), (0, -2, -3), (1, -1, 2), (0, -1, 2),
    ),
    (
        (0, 0, -1), (0, -1, 0), (0, -1, -1), (0, -1, 1), (1, 0, 0), (2, 0, 0), (2, 1, 0), (2, -1, 0), (2, 0, -1),
        (1, -1, 0), (0, -2, 0), (1, 1, 0), (2, 1, -2), (1, 0, -2), (2, -1, -1), (1, 0, -1), (2, -1, 1), (2, 1, 1),
        (0, -3, 0), (1, 0, 1), (2, 0, 1), (1, -1, -1), (0, -2, -1), (0, 0, -2), (0, 0, -3), (1, -1, 1), (0, -2, 1),
        (2, -2, 0), (0, -1, -2), (1, 2, -1), (0, -3, -1),
    ),
    (
        (0, 0, -1), (0, -1, 0), (0, -1, -1), (0, -1, 1), (1, 0, 0), (2, 0, 0), (3, 0, 0), (1, 0, -1), (3, 1, 0),
        (1, -1, 0), (3, -1, 0), (1, 1, 0), (0, -2, 0), (1, -2, 0), (3, 1, -1), (2, -1, -1), (1, -1, 1), (0, 0, -2),
        (0, -3, 0), (1, 1, -2), (0, -1, -2), (3, -1, -1), (3, 0, 1), (2, -1, 0), (2, 0, -1), (2, 1, 0), (3, 0, -1),
        (3, 1, -2), (1, -1, -1), (1, -2, 1), (0, -2, 1),
    ),
)
# fmt: on


class Mixed(Section):
    """14.1: a section of residual arrays, in its initial state."""

    def __init__(self, coder: RangeDecoder, slots: int, types: int, rows: tuple[int, int, int]) -> None:
        self.coder, self.types, self.stride, self.at = coder, types, slots * types, []
        self.p, self.n = [1 << 21] * (8 * self.stride), [0] * (8 * self.stride)
        self.a, self.b = ([[5461] * 8 for _ in range(count)] for count in rows[:2])
        self.m = [[SQUASH[min(128 * i, 4095)] for i in range(33)] for _ in range(rows[2])]


class Alone:
    """14.1: a state that works alone."""

    def __init__(self, coder: RangeDecoder, f: int, g: int = 0) -> None:
        self.coder, self.f, self.g = coder, f, g

    def learn(self, bit: int) -> None:
        """Adapt to a bit."""
        self.f = min(self.f + bit + (((4194303 * bit - self.f) * RATE[self.g]) >> 16), 4194303)
        self.g = min(self.g + 1, 255)

    def one(self) -> int:
        """Decode a bit and adapt."""
        bit = self.coder.decode(clamp(self.f >> 6, 1, 65535))
        self.learn(bit)
        return bit


def _shift(x: int, n: int) -> int:
    return x << n if n >= 0 else x >> -n


def least_squares(R: list[list[list[int]]], B: int, N: int) -> list[int]:
    """14.4: the weights of N neighbours."""
    D = [[R[B - 1][i][j] + R[B][i][j] + R[B + 1][i][j] for j in range(i + 1)] for i in range(N + 1)]
    s = [15 - ((D[i][i].bit_length() + 1) >> 1) for i in range(N + 1)]
    for i in range(N + 1):
        for j in range(i + 1):
            D[i][j] = clamp(_shift(D[i][j], s[i] + s[j]), -(2**30), 2**30)
        if i < N:
            D[i][i] += (D[i][i] >> 13) + 2**20
    L = [[0] * N for _ in range(N + 1)]
    for k in range(N):
        r = 2**48 // max(D[k][k], 2**18)
        for i in range(k + 1, N + 1):
            L[i][k] = clamp((D[i][k] * r) >> 32, -(2**22), 2**22)
            for j in range(k + 1, i + 1):
                x = D[i][j] - ((L[i][k] * D[j][k]) >> 16)
                D[i][j] = ((x + 2**31) & (2**32 - 1)) - 2**31
    u = [0] * N
    for i in reversed(range(N)):
        u[i] = clamp(L[N][i] - sum((L[j][i] * u[j]) >> 16 for j in range(i + 1, N)), -(2**24), 2**24)
    return [clamp(_shift(u[i], s[i] - s[N] - 2), -(2**18), 2**18) for i in range(N)]


class Residual:
    """14: the decoder of one array."""

    def __init__(self, data: bytes, bands: int, height: int, width: int) -> None:
        self.coder = coder = RangeDecoder(data)
        self.height, self.width = height, width
        self.size = Mixed(coder, 1024, 16, (24, 128, 128))
        self.sign = Mixed(coder, 512, 1, (3, 16, 16))
        self.kind = [Alone(coder, 1 << 21) for _ in range(5)]
        self.numbers = [Alone(coder, 1 << 21) for _ in range(3 * 1056)]
        self.flat = [Alone(coder, 3932160, 6) for _ in range(5)]
        self.repeat = [Alone(coder, 262144) for _ in range(256)]
        self.part = [Alone(coder, 1 << 21) for _ in range(4 * 64 * 3)]
        # Rows begin at index 3, columns too.
        self.V, self.E, self.K = (
            [[[0] * (width + 6) for _ in range(height + 5)] for _ in range(bands)] for _ in range(3)
        )
        self.blocks = min(ceil_div(width, 32), 1024)

    def number(self, j: int) -> int:
        """14.1: a number of a palette."""
        e, v = 0, 1
        while e < 27 and self.numbers[1056 * j + e].one():
            e += 1
        for k in reversed(range(e)):
            v = 2 * v + self.numbers[1056 * j + 32 + 32 * e + k].one()
        return v - 1

    def palette(self, count: int) -> list[int]:
        """14.2: the entries, of which there are no more than valid samples."""
        n = min(self.number(0) + 1, max(1, count))
        s = self.number(1)
        Y = [clamp(-((s + 1) // 2) if s & 1 else s // 2, -(2**25), 2**25)]
        while len(Y) < n:
            Y.append(clamp(Y[-1] + self.number(2) + 1, -(2**25), 2**25))
        return Y

    def values(self, b: int, valid: np.ndarray) -> None:
        """14.3: the values of a band."""
        V, W = self.V[b], self.width
        q = min(b, 3)
        N = len(NEIGHBOURS[q])
        self.usual = 0
        if b <= 3:
            self.R = [[[0] * (i + 1) for i in range(N + 1)] for _ in range(self.blocks + 2)]
        else:
            self.R = [[[x >> 3 for x in row] for row in block] for block in self.R]
        for y in range(3, self.height + 3):
            if y > 3:
                V[y][0] = V[y][1] = V[y][2] = V[y - 1][3]
            for x in range(3, W + 3):
                if y == 3:
                    for row in V[:3]:
                        row[x : x + 4] = [V[3][x - 1]] * 4
                if (x - 3) % 32 == 0:
                    self.w: list[int] | None = None
                V[y][x] = self.value(b, y, x) if valid[y - 3, x - 3] else self.med(b, y, x)
                if self.w is not None and ((x - 3) % 32 == 31 or x == W + 2):
                    for i, row in enumerate(self.R[self.block(x)]):
                        for j in range(i + 1):
                            row[j] += self.Q[i][j] - (row[j] >> 3)
            V[y][W + 3 :] = [V[y][W + 2]] * 3
            if y == 3:
                for row in V[:4]:
                    row[:3] = [V[3][3]] * 3
        V[-1], V[-2] = V[-3].copy(), V[-3].copy()

    def block(self, x: int) -> int:
        """14.4: the number of a column's block."""
        return 1 + (x - 3) // 32 % 1024

    def med(self, b: int, y: int, x: int) -> int:
        """14.3: the median edge detector's guess."""
        V = self.V[b]
        w, n, nw = V[y][x - 1], V[y - 1][x], V[y - 1][x - 1]
        return clamp(w + n - nw, min(w, n), max(w, n))

    def value(self, b: int, y: int, x: int) -> int:
        """14.3: a value."""
        V, E, K = self.V[b], self.E[b], self.K[b]
        w, n, nw, ne, ww, nn = V[y][x - 1], V[y - 1][x], V[y - 1][x - 1], V[y - 1][x + 1], V[y][x - 2], V[y - 2][x]
        missed = 2 * (abs(E[y][x - 1]) + abs(E[y - 1][x])) + abs(E[y - 1][x - 1]) + abs(E[y - 1][x + 1])
        missed += abs(E[y][x - 2]) + abs(E[y - 2][x])
        spread = missed + (missed >> 1)
        k = max(spread.bit_length() - 5, 0)
        if missed == 0 and w == n == nw == ne == ww == nn:
            around = 0
            if b > 0:
                P = self.V[b - 1]
                around = 1 + 2 * (P[y][x] == P[y][x - 1] == P[y - 1][x])
                around += P[y][x] == P[y][x + 1] == P[y + 1][x]
            return w if self.flat[around].one() else self.residual(b, y, x, spread, k)
        if k == 0 and missed > 0:
            return self.residual(b, y, x, spread, k)
        pattern = (n == nw) + 2 * (n == ne) + 4 * (w == nw) + 8 * (w == ww) + 16 * (n == nn) + 32 * (w == n)
        pattern += 64 * (k > 0)
        rw, rn, least = self.repeat[pattern], self.repeat[128 + pattern], 24576 if k else 57344
        of_w = rw.f >> 6 >= least
        if of_w and rw.one():
            E[y][x], K[y][x] = E[y][x - 1], K[y][x - 1]
            return w
        of_n = n != w and rn.f >> 6 >= least
        if of_n and rn.one():
            E[y][x], K[y][x] = E[y - 1][x], K[y - 1][x]
            if not of_w:
                rw.learn(0)
            return n
        found = self.residual(b, y, x, spread, k)
        if not of_w:
            rw.learn(int(found == w))
        if not of_n and n != w and (of_w or found != w):
            rn.learn(int(found == n))
        return found

    def residual(self, b: int, y: int, x: int, spread: int, k: int) -> int:
        """14.4: a value that is predicted."""
        q = min(b, 3)
        N = len(NEIGHBOURS[q])
        if self.w is None:
            self.w, self.Q = least_squares(self.R, self.block(x), N), [[0] * (N + 1) for _ in range(N + 1)]
        guess = [self.med(b - j, y, x) for j in range(q + 1)]
        X = [self.V[b - j][y + dy][x + dx] - guess[j] for j, dy, dx in NEIGHBOURS[q]]
        dot = sum(self.w[i] * X[i] for i in range(N))
        pred = clamp(64 * guess[0] + (dot >> 8), -(2**32), 2**32)
        found = self.missed(b, y, x, guess[0], pred, spread, k)
        self.E[b][y][x], self.K[b][y][x] = found - ((pred + 32) >> 6), k
        self.usual += (64 * abs(self.E[b][y][x]) - self.usual) >> 7
        X.append(found - guess[0])
        s = max(spread.bit_length(), 4) - 7
        for i in range(N + 1):
            X[i] = clamp(_shift(clamp(_shift(X[i], min(-s, 0)), -2047, 2047), max(-s, 0)), -2047, 2047)
            for j in range(i + 1):
                self.Q[i][j] += X[i] * X[j]
        return found

    def missed(self, b: int, y: int, x: int, guess: int, pred: int, spread: int, k: int) -> int:
        """14.5: the value from what the prediction misses."""
        V, E = self.V[b], self.E[b]
        w, n, nw, ne, ww, nn = V[y][x - 1], V[y - 1][x], V[y - 1][x - 1], V[y - 1][x + 1], V[y][x - 2], V[y - 2][x]
        ew, en, enw, ene, eww, enn = (
            E[y][x - 1],
            E[y - 1][x],
            E[y - 1][x - 1],
            E[y - 1][x + 1],
            E[y][x - 2],
            E[y - 2][x],
        )
        ec = kc = ahead = behind = 0
        if b > 0:
            P = self.E[b - 1]
            ec, kc = P[y][x], self.K[b - 1][y][x]
            ahead, behind = abs(P[y][x + 1]) + abs(P[y + 1][x]), abs(P[y][x - 1]) + abs(P[y - 1][x])
        place, c, p, part = (spread >> k) + 16 * min(k, 2), min(k, 2), pred >> 6, pred & 63

        def S(v: int) -> int:
            return slevel((2 * v) >> k)

        lc, lg, lw, ln = slevel((2 * ec) >> kc), S(guess - p), S(w - p), S(n - p)
        larger = [v > p for v in (n, w, nw, ne, ww, nn, 2 * n - nn, 2 * w - ww)]
        self.sign.slots(
            64 * (part >> 3) + place,
            11 * S(ew) + S(en),
            11 * lg + lc,
            11 * lw + ln,
            11 * S(ne - p) + S(nw - p),
            3 * (8 * lc + (part >> 3)) + c,
            sum(2**i * is_larger for i, is_larger in enumerate(larger)),
            11 * S(ene) + S(enw),
        )
        up = self.sign.bin(0, c, place >> 2, place >> 2)
        if up:
            part = 63 - part
        else:
            lg, lw, ln, lc = 10 - lg, 10 - lw, 10 - ln, 10 - lc
        h = 3 * (7 * (5 * (w - p) + (n - p)) + (nw - p)) + (ne - p)
        near = ((40503 * h) >> 4) & 1023
        if k > 0:
            near = 64 * min(self.usual >> (k + 4), 15) + place
        self.size.slots(
            8 * place + (part >> 3),
            16 * level((4 * abs(ew)) >> k) + level((4 * abs(en)) >> k),
            16 * level((2 * (abs(ene) + abs(enw))) >> k) + level((2 * (abs(eww) + abs(enn))) >> k),
            16 * level((4 * abs(ec)) >> kc) + level((2 * ahead) >> kc),
            16 * level((abs(w - nw) + abs(n - ne) + abs(n - nw) + abs(w - ww)) >> k) + level((4 * abs(guess - p)) >> k),
            11 * lg + lw,
            near,
            8 * (11 * ln + lc) + (level((2 * behind) >> kc) >> 1),
        )
        a = self.magnitude(k, c, place)
        return clamp(p + 1 + a if up else p - a, -(2**26), 2**26)

    def magnitude(self, k: int, c: int, place: int) -> int:
        """14.6: a magnitude in units of 2^k."""
        r, t = 8 * (place >> 2), 0

        def ubin(t: int, g: int) -> int:
            return self.size.bin(t, 8 * c + g, r + g, r + g)

        while t < 9 and ubin(t, (0, 1, 2, 3, 4, 4, 5, 5, 5)[t]):
            t += 1
        if t == 9:
            e, v = 0, 1
            while e < 27 and ubin(9 + min(e, 4), 6):
                e += 1
            for i in reversed(range(e)):
                v = 2 * v + (ubin(15, 7) if i == e - 1 else self.coder.raw())
            t = 8 + v
        f, x = 3 * (64 * min(t, 3) + place), 0
        if k >= 1:
            x = self.part[f].one()
            t = 2 * t + x
        if k >= 2:
            t = 2 * t + self.part[f + 1 + x].one()
        for _ in range(k - 2):
            t = 2 * t + self.coder.raw()
        return t


def decode_residual(data: bytes, bands: int, height: int, width: int, valid: np.ndarray) -> np.ndarray:
    """The samples, shape (bands, height, width), as is valid."""
    array, out = Residual(data, bands, height, width), np.zeros((bands, height, width), np.int64)
    order = list(range(bands))
    if bands > 1 and array.kind[4].one():
        order[:2] = 1, 0
    for b, place in enumerate(order):
        Y, d = None, 0
        if array.kind[0].one():
            Y = array.palette(int(valid[place].sum()))
        elif b > 0:
            h = array.kind[1].one()
            d = min(2 * h + array.kind[2 + h].one(), b)
        array.values(b, valid[place])
        for y, x in zip(*np.nonzero(valid[place]), strict=True):
            v = array.V[b][y + 3][x + 3]
            if Y is not None:
                v = Y[clamp(v, 0, len(Y) - 1)]
            elif d:
                v += int(out[order[b - d], y, x])
            out[place, y, x] = clamp(v, -(2**25), 2**25)
    return out


# ---- 8. V that has left the DCT basis --------------------------------------------------------------------------------


def decode_update(data: bytes, p: int) -> np.ndarray:
    """D, int64 of shape (64, 24)."""
    coder = RangeDecoder(data)
    changed, nonzero, longer = [32768], [32768, 16384, 8192, 1024], [32768] * 12
    order, adaptive, literal = frequencies(p), coder.adaptive, coder.literal

    def relation(i: int, r: int) -> int:
        di, dj = (abs(a - b) for a, b in zip(order[i], order[r], strict=True))
        if di == dj == 0:
            return 0
        if min(di, dj) == 0 and max(di, dj) % 2 == 0:
            return 1
        return 2 if max(di, dj) <= 1 else 3

    out = np.zeros((64, 24), np.int64)
    for r in range(24):
        if not adaptive(changed, 0):
            continue
        shift = literal(4)
        for i in range(64):
            if not adaptive(nonzero, relation(i, r)):
                continue
            negative = literal(1)
            e = 0
            while e < 12 and adaptive(longer, e):
                e += 1
            v = (1 << e) + literal(e)
            out[i, r] = clamp((-v if negative else v) << shift, -2047, 2047)
    return out


# ---- 9. Product and lapped filter ------------------------------------------------------------------------------------

COS = (16384, 16305, 16069, 15679, 15137, 14449, 13623, 12665, 11585, 10394, 9102, 7723, 6270, 4756, 3196, 1606, 0)


def scale(step: int) -> tuple[int, int]:
    """9.1: s and the length of a column."""
    s = 2
    while step << (s - 2) < 2048:
        s += 1
    return s, step << (s - 2)


@functools.cache
def weights(p: int, first: int, a: int) -> tuple[int, ...]:
    """9.1: the weight of every component."""
    found = [first]
    for i, j in frequencies(p)[1:]:
        root = math.isqrt(math.isqrt((i * i + j * j) ** 3 * 2**48 // p**6))
        found.append(min(64 + ((4 * a * root + 2048) >> 12), 320))
    return tuple(found)


@functools.cache
def basis(p: int, step: int, weights: tuple[int, ...]) -> np.ndarray:
    """9.1: V0, int64 of shape (p^2, p^2)."""

    def cosine(k: int) -> int:
        k %= 64
        k = 64 - k if k > 32 else k
        return COS[k] if k <= 16 else -COS[32 - k]

    c = np.array([[cosine((2 * y + 1) * i * 16 // p) if i else 11585 for y in range(p)] for i in range(p)], np.int64)
    k = 30 if p == 8 else 31
    _, length = scale(step)
    lengths = [(length * w + 32) >> 6 for w in weights]
    products = [np.outer(c[i], c[j]).ravel() * n for (i, j), n in zip(frequencies(p), lengths, strict=True)]
    columns = [(product + (1 << (k - 1))) >> k for product in products]
    return np.stack(columns, axis=1)


def moved_basis(v: np.ndarray, update: np.ndarray, p: int, step: int, weights: tuple[int, ...]) -> np.ndarray:
    """9.1: V of a slice that has its own."""
    bound = (scale(step)[1] * np.array(weights[:24]) + 32 >> 6) // p
    out = v.copy()
    out[:, :24] += np.clip((v[:, :64] @ update + 2048) >> 12, -bound, bound)
    return out


Q = {
    8: np.array(
        [[6613, 4582, 1177, 998], [-4684, 5728, 3452, 667], [998, -3640, 7045, 1797], [-667, -234, -2042, 7902]]
    ),
    16: np.array(
        [
            [5968, 5049, 1552, 1454, 762, 697, 465, 442],
            [-5082, 3968, 4740, 798, 1300, 470, 605, 402],
            [1567, -4803, 4665, 4249, 457, 1096, 347, 489],
            [-1484, 778, -4340, 5623, 3594, 278, 851, 355],
            [722, -1343, 380, -3710, 6531, 2801, 207, 572],
            [-639, 318, -1152, 112, -2938, 7276, 1900, 272],
            [244, -532, 20, -916, -106, -2053, 7800, 927],
            [-161, -72, -403, -260, -644, -348, -1088, 8070],
        ]
    ),
}


def unlap(plane: np.ndarray, p: int) -> np.ndarray:
    """9.3: undo the lapped filter on a plane of whole patches."""
    out = np.clip(plane, -16383, 16383)
    _filter_rows(out, p)
    _filter_rows(out.T, p)
    return out


def _filter_rows(plane: np.ndarray, p: int) -> None:
    """Filter every row at its borders between patches, in place."""
    half = p // 2
    for x0 in range(p, plane.shape[1], p):
        before, behind = plane[:, x0 - half : x0][:, ::-1].copy(), plane[:, x0 : x0 + half].copy()
        turned = (before - behind) @ Q[p]
        plane[:, x0 - half : x0] = ((8192 * (before + behind) + turned + 8192) >> 14)[:, ::-1]
        plane[:, x0 : x0 + half] = (8192 * (before + behind) - turned + 8192) >> 14


# ---- 10. Restoration -------------------------------------------------------------------------------------------------

TAPS = ((0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0), (0, 3), (1, -2), (1, 2), (2, -1), (2, 1), (3, 0))


BORDERS = (258, 408, 646, 1023, 1619, 2563, 4058, 6425, 10173)
LIMITS = (
    ((3, 64), (3, 64), (3, 64), (3, 64), (3, 64), (3, 40), (3, 25), (3, 16), (3, 16), (3, 16)),
    ((2, 48), (2, 48), (2, 48), (2, 48), (2, 48), (2, 30), (2, 19), (2, 12), (2, 12), (2, 12)),
)


#: 10.1: first steps of the ranges of networks but the lowest.
NETWORK_BORDERS: dict[str, tuple[int, ...]] = {
    "luma": (480, 960, 2112, 4800),
    "chroma": (640, 2048),
    "half": (512, 1536),
}


def check_codings(planes: list[Plane]) -> None:
    """5.1: what codings of version 2 must be."""
    require(all(plane.coding & ~0b111111 == 0 for plane in planes), "reserved bits of a coding")
    require(all(plane.filtered + plane.corrected + plane.short < 2 for plane in planes), "coding")
    require(not any(plane.neural and plane.lanes for plane in planes), "coding")
    require(len({(plane.neural, plane.lanes) for plane in planes}) < 2, "codings that differ in their coder")


def restored(planes: list[Plane], samples: list[np.ndarray], subsample: bool = False) -> list[np.ndarray]:
    """10: planes of a picture or an array, each restored in its way."""
    found = []
    for n, (plane, decoded) in enumerate(zip(planes, samples, strict=True)):
        if plane.filtered:
            found.append(restore(decoded, plane.step, plane.chroma))
        elif plane.short:
            found.append(restore_short(decoded, plane.step, plane.chroma))
        elif plane.corrected and plane.chroma:
            guide, kind = (halved(found[0]), "half") if subsample else (found[0], "chroma")
            found.append(correct([samples[1], samples[2], guide], plane.step, kind)[n - 1])
        else:
            found.append(correct([decoded], plane.step, "luma")[0] if plane.corrected else decoded)
    return found


def restore(plane: np.ndarray, step: int, chroma: bool) -> np.ndarray:
    """Both passes."""
    number = sum(border <= step for border in BORDERS)
    for k, taps in enumerate((12, 6)):
        plane = _restore_pass(plane, step, LIMITS[k][number], coefficients()[int(chroma), number, k, :, :, :taps])
    return plane


def _restore_pass(plane: np.ndarray, step: int, limits: tuple[int, int], filters: np.ndarray) -> np.ndarray:
    h, w = plane.shape
    x = np.pad(np.clip(plane, -16384, 16384), 3, mode="edge")
    sums = [sum(differences[i : i + h, j : j + w] for i in range(5) for j in range(5)) for differences in _contrasts(x)]
    return _corrected(x, _classes(sums, step, (3, 10, 30, 80)), step, limits, filters)


def restore_short(plane: np.ndarray, step: int, chroma: bool) -> np.ndarray:
    """10.2: the short filter."""
    number = sum(border <= step for border in BORDERS)
    (h, w), x = plane.shape, np.clip(plane, -16384, 16384)
    down, across = ceil_div(h, 4), ceil_div(w, 4)
    continued = np.pad(x, ((3, 4 * down - h + 3), (3, 4 * across - w + 3)), mode="edge")
    sums = []
    for differences in _contrasts(continued):
        differences = np.minimum(differences, 8191)
        rows = sum(differences[i : i + 4 * down : 4] for i in (0, 2, 4, 6))
        sums.append(sum(rows[:, j : j + 4 * across : 4] for j in range(8)))
    kind = np.kron(_classes(sums, step, (5, 19, 58, 154)), np.ones((4, 4), np.int64))[:h, :w]
    limits = (4, LIMITS[0][number][1])
    return _corrected(np.pad(x, 3, mode="edge"), kind, step, limits, short_coefficients()[int(chroma), number])


def _contrasts(x: np.ndarray) -> list[np.ndarray]:
    """10: A, B, C and D of continued samples, of all but the outermost."""

    def contrast(down: int, across: int) -> np.ndarray:
        h, w = x.shape
        ahead = x[1 + down : h - 1 + down, 1 + across : w - 1 + across]
        behind = x[1 - down : h - 1 - down, 1 - across : w - 1 - across]
        return np.abs(2 * x[1:-1, 1:-1] - ahead - behind)

    return [contrast(0, 1), contrast(1, 0), contrast(1, 1), contrast(1, -1)]


def _classes(sums: list[np.ndarray], step: int, thresholds: tuple[int, ...]) -> np.ndarray:
    """10: classes by the sums of A to D."""
    a, b, c, d = sums
    both = a + b
    activity = sum((both > (threshold * step) >> 4).astype(np.int64) for threshold in thresholds)
    straight, slanted = a - b, c - d
    direction = np.where(np.abs(straight) >= np.abs(slanted), np.where(straight > 0, 1, 2), np.where(slanted > 0, 3, 4))
    direction[4 * np.maximum(np.abs(straight), np.abs(slanted)) <= both] = 0
    return 5 * activity + direction


def _corrected(x: np.ndarray, kind: np.ndarray, step: int, limits: tuple[int, int], filters: np.ndarray) -> np.ndarray:
    """10: the results of a pass; x is continued by three samples."""
    h, w = kind.shape
    centre, total = x[3:-3, 3:-3], np.zeros((h, w), np.int64)
    for m in range(2):
        limit = (step * limits[m]) >> 6
        for k, (i, j) in enumerate(TAPS[: filters.shape[2]]):
            ahead, behind = x[3 + i : 3 + i + h, 3 + j : 3 + j + w], x[3 - i : 3 - i + h, 3 - j : 3 - j + w]
            pair = np.clip(ahead - centre, -limit, limit) + np.clip(behind - centre, -limit, limit)
            total += filters[kind, m, k] * pair
    return np.clip(centre + ((total + 128) >> 8), -16384, 16384)


def halved(luma: np.ndarray) -> np.ndarray:
    """10.1: the guide of chroma of half the size."""
    h, w = luma.shape
    z = np.pad(np.clip(luma, -16384, 16384), ((0, h % 2), (0, w % 2)), mode="edge")
    return (z[::2, ::2] + z[::2, 1::2] + z[1::2, ::2] + z[1::2, 1::2] + 2) >> 2


def correct(planes: list[np.ndarray], step: int, kind: str) -> list[np.ndarray]:
    """10.1: the results for the planes, but for the guide, which is the last of several."""
    layers = networks()[kind][sum(border <= step for border in NETWORK_BORDERS[kind])]
    h, w = planes[0].shape
    around = 2 * len(layers)
    factor = (2**21 + step // 2) // step
    a = []
    for plane in planes:
        x = np.clip((np.clip(plane, -16384, 16384) * factor + 2**13) >> 14, -32768, 32767)
        x = np.pad(x, ((around, around + h % 2), (around, around + w % 2)), mode="edge")
        a += [x[i::2, j::2] for i in range(2) for j in range(2)]
    for number, (weights, biases) in enumerate(layers):
        down, across = a[0].shape[0] - 2, a[0].shape[1] - 2
        sums = []
        for weight, bias in zip(weights, biases, strict=True):
            total = np.full((down, across), bias)
            for k, i, j in np.ndindex(weight.shape):
                total += weight[k, i, j] * a[k][i : i + down, j : j + across]
            sums.append(total)
        if number + 1 < len(layers):
            a = [np.clip(total >> (6 if number else 5), 0, 255) for total in sums]
        else:
            a = [np.clip(total >> 7, -1024, 1023) for total in sums]
    results = []
    for q in range(len(a) // 4):
        change = np.zeros((2 * a[0].shape[0], 2 * a[0].shape[1]), np.int64)
        for i in range(2):
            for j in range(2):
                change[i::2, j::2] = (a[4 * q + 2 * i + j] * step + 2**9) >> 10
        results.append(np.clip(np.clip(planes[q], -16384, 16384) + change[:h, :w], -16384, 16384))
    return results


# ---- 11. Lossless alpha; 12. Pixels ----------------------------------------------------------------------------------


def palette(segment: Fields, height: int, width: int) -> np.ndarray:
    """11.1: alpha with few values."""
    count = segment.u8()
    require(1 <= count <= 16, "number of values of alpha")
    values = np.zeros(256, np.int64)
    values[:count] = list(segment.take(count))
    indices = inflate(segment.rest(), 15, height * width)
    return values[np.frombuffer(indices, np.uint8)].reshape(height, width)


def rising(segment: Fields) -> np.ndarray:
    """11.2: the values of alpha."""
    count = segment.u8() + 1
    if count <= 32:
        values = np.array(list(segment.take(count)))
        require(bool((np.diff(values) > 0).all()), "values of alpha do not rise")
        return values
    field = segment.take(32)
    values = np.array([v for v in range(256) if field[v >> 3] >> (v & 7) & 1])
    require(len(values) == count, "number of values of alpha")
    return values


def plain(samples: np.ndarray) -> np.ndarray:
    """12: a gray or alpha plane."""
    return np.clip((samples + 2048 + 8) >> 4, 0, 255)


def upsample(plane: np.ndarray) -> np.ndarray:
    """12: twice the size, (2 ch, 2 cw)."""
    z = np.pad(plane, 1, mode="edge")

    def twice(z: np.ndarray) -> np.ndarray:
        """Twice the rows, less the first and last."""
        out = np.empty((2 * len(z) - 4, z.shape[1]), np.int64)
        out[0::2], out[1::2] = 3 * z[1:-1] + z[:-2], 3 * z[1:-1] + z[2:]
        return out

    return (twice(twice(z).T).T + 8) >> 4


# ---- 15. Arrays ------------------------------------------------------------------------------------------------------


class Array:
    """An array of any number of bands."""

    def __init__(self, header: Fields, height: int, width: int, kind: Kind) -> None:
        self.height, self.width, self.kind, self.bands = height, width, kind, max(1, kind.channels)
        self.count = header.varint()
        require(self.count <= self.bands and (self.count > 0 or kind.unit is not None), "number of columns")
        self.planes = []
        if self.count:
            self.shift, step = header.u8(), header.varint()
            require(self.shift <= 30, "fractional bits of V")
            require(64 <= step <= 16384, "step")
            for _ in range(self.count):
                self.planes.append(Plane(height, width, step, header.u8(), False))
            check_codings(self.planes)
        size = max(1, 1048576 // (width * self.bands))
        tops = range(0, height, size) if kind.unit is not None else ()
        self.slices = [slice(top, min(top + size, height)) for top in tops]
        self.segments = sum(len(plane.slices) for plane in self.planes) + (self.count > 0)
        self.segments += (kind.mask is not None) + len(self.slices)

    def pixels(self, segments: list[bytes]) -> np.ndarray:
        """The samples, shape (H, W, C), of frames together (T, H, W, C / T)."""
        kind, queue, shape = self.kind, iter(segments), (self.height, self.width, self.bands)
        planes = restored(self.planes, [plane.samples(queue) for plane in self.planes])
        if self.count:
            offsets, V = decode_columns(next(queue), self.bands, self.count)
            sums = np.stack(planes, axis=2) @ V.T  # int64, of which no sum leaves the range
            base = np.clip(offsets + ((sums + ((1 << self.shift) >> 1)) >> self.shift), kind.low, kind.high)
        else:
            base = np.full(shape, kind.low + (kind.unit or 0) // 2)
        missing = np.zeros(shape, np.bool_)
        if kind.mask is not None:
            parts = self.bands if kind.mask else 1
            symbols = decode_map(next(queue), self.height * parts, self.width, 2)
            missing[...] = np.moveaxis(symbols.reshape(parts, self.height, self.width), 0, 2)
        for rows in self.slices:
            valid = ~np.moveaxis(missing[rows], 2, 0)
            R = decode_residual(next(queue), self.bands, rows.stop - rows.start, self.width, valid)
            n = base[rows] + kind.unit * np.moveaxis(R, 0, 2)
            base[rows] = np.clip(n, kind.low, kind.high)
        with np.errstate(over="ignore"):
            if kind.dtype.kind == "f":
                out = (kind.offset + kind.scale * base.astype(np.float64)).astype(kind.dtype)
            else:
                out = base.astype(kind.dtype)
            if kind.mask is not None:
                out[missing] = np.float64(kind.nodata).astype(kind.dtype)
        if kind.together:
            out = np.moveaxis(out.reshape(*shape[:2], kind.frames, -1), 2, 0)
        return out


def decode_columns(data: bytes, bands: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """15.2: offsets of the bands, and V, (bands, K)."""
    coder = RangeDecoder(data)
    flag, zero, longer = [32768], [32768] * 27, [[32768] * 26 for _ in range(27)]
    last = 0

    def number() -> int:
        nonlocal last
        context = last
        if not coder.adaptive(zero, context):
            last = 0
            return 0
        negative = coder.literal(1)
        e = 0
        while e < 25 and coder.adaptive(longer[context], e):
            e += 1
        last = e + 1
        v = (1 << e) + coder.literal(e)
        return -v if negative else v

    def limited(x: int) -> int:
        return clamp(x, -16777216, 16777216)

    offsets, V, offset = np.zeros(bands, np.int64), np.zeros((bands, count), np.int64), 0
    for b in range(bands):
        offset = limited(offset + number())
        offsets[b] = offset
    for k in range(count):
        quantum, differs, v = coder.literal(5), coder.adaptive(flag, 0), 0
        for b in range(bands):
            v = number() + (v if differs else 0)
            V[b, k] = limited(v << quantum)
    return offsets, V
