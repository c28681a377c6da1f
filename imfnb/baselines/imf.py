"""The two profiles of this library as codecs; the level is the quality."""

from __future__ import annotations

import numpy as np

from ..codec import decode, encode
from ..options import EncodeOptions
from . import Codec

__all__ = ["baseline", "main"]


def main(
    *,
    patch_size: int | str = "auto",
    subsampling: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Codec:
    """The main profile; the options are those of :func:`imfnb.encode`."""
    settings = {"profile": "main", "patch_size": patch_size, "subsampling": subsampling}
    text = f"imfnb, main profile, patch size {patch_size}"
    levels = tuple(float(q) for q in range(4, 93, 8))
    return _codec("imf", text, levels, settings, device, threads)


def baseline(
    *,
    color_space: str | None = None,
    subsampling: str | None = None,
    patch_size: int | str | None = "auto",
    bounds: tuple[int, int] | None = None,
    iterations: int | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Codec:
    """The baseline profile, the codec of the paper; the options are those of :func:`imfnb.encode`."""
    settings = {
        "profile": "baseline",
        "color_space": color_space,
        "subsampling": subsampling,
        "patch_size": patch_size,
        "bounds": bounds,
        "iterations": iterations,
    }
    size = 8 if patch_size == "auto" else patch_size
    text = (
        f"imfnb, baseline profile, {color_space or 'YCbCr'}, {'no patches' if size is None else f'patch size {size}'}, "
        f"bounds {bounds or (-16, 15)}, {iterations or 10} iterations"
    )
    levels = (1.5, 3.0, 5.0, 8.0, 11.0, 14.0, 18.0, 22.0, 28.0, 34.0, 40.0)
    return _codec("imf-baseline", text, levels, settings, device, threads)


def _codec(
    name: str, text: str, levels: tuple[float, ...], settings: dict, device: str, threads: int | None
) -> Codec:
    EncodeOptions(**settings)  # complains now rather than at the first image

    def encode_level(image: np.ndarray, level: float) -> bytes:
        return encode(image, quality=float(level), device=device, threads=threads, **settings)

    def decode_bytes(data: bytes) -> np.ndarray:
        return decode(data, device=device, threads=threads)

    return Codec(name, text, levels, encode_level, decode_bytes, limits=(0.0, 100.0))
