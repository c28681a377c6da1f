"""IMF in files like those of lrf, the code of the paper, whose published rates count everything in them.

Every column goes through zlib at level 9, lengths take four bytes, and JSON says what the rest means. The factors are
those of our baseline profile, whose own files take 13% fewer bytes; this codec is what published curves are compared
with.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Iterable

import numpy as np

from .._backend import resolve_device
from ..color import join_planes
from ..container import MAX_PIXELS
from ..errors import FormatError, LimitError
from ..factorization import bcd
from ..patches import depatchify, grid_shape
from . import Codec
from .files import check_settings, quality_ranks, split

__all__ = ["imf_lrf"]

_LEVELS = (1.5, 3.0, 5.0, 8.0, 11.0, 14.0, 18.0, 22.0, 28.0, 34.0, 40.0)
_PATCH_SIZE = 8
_BOUNDS = (-16, 15)
_ITERATIONS = 10


def imf_lrf() -> Codec:
    """The paper's settings: YCbCr, 4:2:0, patches of 8 x 8, bounds [-16, 15], ten iterations."""
    text = "imfnb, baseline profile's factors, in files like those of lrf: zlib level 9 per column, JSON"
    return Codec("imf-lrf", text, _LEVELS, _encode, _decode, limits=(0.0, 100.0))


def _join(payloads: Iterable[bytes]) -> bytes:
    """Payloads one after the other; what comes before the next one has its length in front."""
    return functools.reduce(lambda before, payload: len(before).to_bytes(4, "big") + before + payload, payloads)


def _split(data: bytes, count: int) -> list[bytes]:
    """The inverse of :func:`_join`."""
    payloads: list[bytes] = []
    for _ in range(count - 1):
        length = int.from_bytes(data[:4], "big")
        if len(data) < 4 + length:
            raise ValueError("the data end too early")
        payloads.append(data[4 + length :])
        data = data[4 : 4 + length]
    return [data, *reversed(payloads)]


def _json(content: dict) -> bytes:
    return json.dumps(content).encode()


def _encode(image: np.ndarray, level: float) -> bytes:
    coder = split(image, check_settings(color_space="YCbCr", subsampling=None, patch_size=_PATCH_SIZE))
    ranks = quality_ranks(coder, level)
    sizes = [_plane_shape(coder.image.shape, number) for number in range(len(ranks))]
    padded = [[_PATCH_SIZE * n for n in grid_shape(size, _PATCH_SIZE)] for size in sizes]
    about = {
        "dtype": "uint8",
        "color space": "YCbCr",
        "patch": True,
        "bounds": _BOUNDS,
        "patch size": [_PATCH_SIZE, _PATCH_SIZE],
        "original size": sizes,
        "padded size": padded,
        "rank": ranks,
    }
    factors = []
    for x, rank in zip(coder.matrices, ranks, strict=True):
        for factor in bcd(x, rank, _BOUNDS, _ITERATIONS, resolve_device("auto")):
            columns = _join(zlib.compress(factor[:, r].tobytes(), 9) for r in range(rank))
            factors.append(_join([_json({"num_fibers": rank, "mode": "col", "dtype": "int8"}), columns]))
    return _join([_json(about), _join(factors)])


def _plane_shape(shape: tuple[int, ...], number: int) -> tuple[int, int]:
    """Height and width of a plane: chroma has half the size."""
    half = number in (1, 2)
    return (shape[0] + half) >> half, (shape[1] + half) >> half


def _decode(data: bytes) -> np.ndarray:
    try:
        about, payload = _split(bytes(data), 2)
        fields = json.loads(about)
        shapes, ranks = [tuple(map(int, size)) for size in fields["original size"]], list(map(int, fields["rank"]))
        height, width = shapes[0]
        if height * width > MAX_PIXELS:
            raise LimitError(f"the image has {width} x {height} pixels")
        expected = [_plane_shape(shapes[0], number) for number in range(len(shapes))]
        if height < 1 or width < 1 or len(shapes) not in (1, 3, 4) or shapes != expected or len(ranks) != len(shapes):
            raise ValueError(f"planes of {shapes} with ranks {ranks}")
        factors = _split(payload, 2 * len(shapes))
        planes = []
        for number, (shape, rank) in enumerate(zip(shapes, ranks, strict=True)):
            rows, columns = grid_shape(shape, _PATCH_SIZE)
            if not 1 <= rank <= min(rows * columns, _PATCH_SIZE**2):
                raise ValueError(f"rank {rank}")
            u = _factor(factors[2 * number], rows * columns, rank)
            v = _factor(factors[2 * number + 1], _PATCH_SIZE**2, rank)
            planes += depatchify(u, v, shape, _PATCH_SIZE, -_BOUNDS[0], resolve_device("auto"))
    except (ValueError, KeyError, TypeError, IndexError, zlib.error, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"damaged file of lrf: {type(error).__name__}: {error}") from None
    out = np.empty((height, width, len(planes)), np.uint8)
    join_planes(planes, "YCbCr", out, resolve_device("auto"))
    return out if len(planes) > 1 else out[:, :, 0]


def _factor(data: bytes, rows: int, rank: int) -> np.ndarray:
    """A factor of int8, shape (rows, rank), Fortran order, within the bounds."""
    _, payload = _split(data, 2)
    transposed = np.empty((rank, rows), np.int8)
    for r, column in enumerate(_split(payload, rank)):
        coder = zlib.decompressobj()
        raw = coder.decompress(column, rows)
        if len(raw) != rows or not coder.eof and coder.decompress(coder.unconsumed_tail, 1):
            raise ValueError(f"a column has other than {rows} entries")
        transposed[r] = np.frombuffer(raw, np.int8)
    if transposed.min() < _BOUNDS[0] or transposed.max() > _BOUNDS[1]:
        raise ValueError("an entry outside of the bounds")
    return transposed.T
