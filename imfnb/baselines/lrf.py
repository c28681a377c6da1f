"""IMF and SVD in files like those of lrf, the code of the paper, whose published rates count everything in them.

Every column of a factor goes through zlib at level 9, lengths take four bytes, and JSON says what the rest means. The
factors of IMF are those of our baseline profile, whose own files take 13% fewer bytes; those of SVD are cut down to 8
bits instead of rounded, as in lrf. These codecs are what published curves are compared with.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import FormatError, LimitError
from ..factorization import factorize
from ..format.baseline_header import matrices as matrix_specs
from ..format.container import MAX_PIXELS, Frame
from . import Codec
from .files import check_settings, joined, matrices, quality_ranks, split, unpatched
from .svd import truncated_svd

__all__ = ["imf_lrf", "svd_lrf"]

_IMF_LEVELS = (1.5, 3.0, 5.0, 8.0, 11.0, 14.0, 18.0, 22.0, 28.0, 34.0, 40.0)
_SVD_LEVELS = (0.5, 1.0, 1.6, 2.1, 2.6, 3.65, 4.7, 6.25, 8.3, 11.5, 15.6, 20.8)
_PATCH_SIZE = 8
_BOUNDS = (-16, 15)
_ITERATIONS = 10

# A quantizer's step and origin in a damaged file.
_LARGEST = 1e6


def imf_lrf() -> Codec:
    """IMF with the paper's settings: YCbCr, 4:2:0, patches of 8 x 8, bounds [-16, 15], ten iterations."""

    def integers(x: np.ndarray, rank: int) -> tuple[list[np.ndarray], list[list[float]]]:
        return list(factorize(x, rank, _BOUNDS, _ITERATIONS, device="cpu", threads=1)), []

    text = "imfnb, baseline profile's factors, in files like those of lrf: zlib level 9 per column, JSON"
    return _codec("imf-lrf", text, "YCbCr", _IMF_LEVELS, integers)


def svd_lrf() -> Codec:
    """Truncated SVD as lrf has it: RGB patches of 8 x 8, each factor cut down to 8 bits."""

    def cut_down(x: np.ndarray, rank: int) -> tuple[list[np.ndarray], list[list[float]]]:
        factors, quantizers = [], []
        for factor in truncated_svd(x, rank):
            origin = float(factor.min())
            step = (float(factor.max()) - origin) / 255 or 1.0
            factors.append(np.clip((factor - origin) / step, 0, 255).astype(np.uint8))
            quantizers.append([step, origin])
        return factors, quantizers

    text = "truncated SVD, RGB, 8-bit factors cut down, in files like those of lrf: zlib level 9 per column, JSON"
    return _codec("svd-lrf", text, "RGB", _SVD_LEVELS, cut_down)


def _codec(
    name: str,
    text: str,
    color_space: str,
    levels: tuple[float, ...],
    factors_of: Callable[[np.ndarray, int], tuple[list[np.ndarray], list[list[float]]]],
) -> Codec:
    options = check_settings(color_space=color_space, subsampling=None, patch_size=_PATCH_SIZE)

    def encode(image: np.ndarray, level: float) -> bytes:
        analysis = split(image, options)
        ranks = quality_ranks(analysis, level)
        about: dict[str, Any] = {
            "dtype": "uint8",
            "color space": color_space,
            "patch": True,
            "bounds": _BOUNDS,
            "patch size": [_PATCH_SIZE, _PATCH_SIZE],
            "channels": analysis.frame.channels,
            "original size": [spec.plane_shape for spec in analysis.specs],
            "padded size": [[_PATCH_SIZE * n for n in spec.grid] for spec in analysis.specs],
            "rank": ranks,
        }
        payloads, quantizers = [], []
        for x, rank in zip(matrices(analysis), ranks, strict=True):
            factors, found = factors_of(x, rank)
            quantizers += found
            for factor in factors:
                head = {"num_fibers": rank, "mode": "col", "dtype": str(factor.dtype)}
                columns = _join(zlib.compress(factor[:, r].tobytes(), 9) for r in range(rank))
                payloads.append(_join([json.dumps(head).encode(), columns]))
        if quantizers:
            about["quantization"] = quantizers
        return _join([json.dumps(about).encode(), _join(payloads)])

    return Codec(name, text, levels, encode, functools.partial(_decode, color_space), limits=(0.0, 100.0))


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


def _decode(color_space: str, data: bytes) -> np.ndarray:
    try:
        head, payload = _split(bytes(data), 2)
        about = json.loads(head)
        if about["color space"] != color_space or about["channels"] not in (0, 1, 3, 4):
            raise ValueError(f"{about['channels']} channels of {about['color space']}")
        height, width = (int(n) for n in about["original size"][0])
        if height < 1 or width < 1:
            raise ValueError(f"{width} x {height} pixels")
        if height * width > MAX_PIXELS:
            raise LimitError(f"the image has {width} x {height} pixels")
        frame = Frame("baseline", height, width, about["channels"])
        planes = _decode_planes(about, frame, color_space, payload)
    except FormatError:
        raise
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError, zlib.error) as error:
        raise FormatError(f"damaged file of lrf: {type(error).__name__}: {error}") from None
    return joined(planes, color_space, frame)


def _decode_planes(about: dict[str, Any], frame: Frame, color_space: str, payload: bytes) -> list[np.ndarray]:
    subsample = color_space == "YCbCr" and frame.channels >= 3
    specs = matrix_specs(frame, color_space, subsample, _PATCH_SIZE)
    payloads = _split(payload, 2 * len(specs))
    quantizers = about.get("quantization", [[1.0, 0.0]] * len(payloads))
    planes: list[np.ndarray] = []
    for number, (spec, rank) in enumerate(zip(specs, about["rank"], strict=True)):
        if not isinstance(rank, int) or not 1 <= rank <= min(spec.shape):
            raise ValueError(f"rank {rank}")
        factors = []
        for index, rows in zip((2 * number, 2 * number + 1), spec.shape, strict=True):
            step, origin = map(float, quantizers[index])
            if not (abs(step) < _LARGEST and abs(origin) < _LARGEST):
                raise ValueError(f"quantizer {quantizers[index]}")
            dtype = np.uint8 if "quantization" in about else np.int8
            factors.append(_columns(payloads[index], rows, rank, dtype) * step + origin)
        planes += unpatched(np.clip(np.rint(factors[0] @ factors[1].T), 0, 255).astype(np.uint8), spec)
    return planes


def _columns(data: bytes, rows: int, rank: int, dtype: type) -> np.ndarray:
    """A factor, float64 of shape (rows, rank)."""
    _, payload = _split(data, 2)
    streams = _split(payload, rank)  # before memory is taken for them
    out = np.empty((rows, rank))
    for r, stream in enumerate(streams):
        coder = zlib.decompressobj()
        raw = coder.decompress(stream, rows)
        if len(raw) != rows or coder.decompress(coder.unconsumed_tail, 1) or not coder.eof or coder.unused_data:
            raise ValueError(f"a column has other than {rows} entries")
        out[:, r] = np.frombuffer(raw, dtype)
    return out
