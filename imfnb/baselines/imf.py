"""The profiles of this library as codecs; the level is the quality."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..codec import decode, encode
from ..factorization import factorize
from ..format.bytestream import Reader
from ..options import EncodeOptions, check_image
from ..profiles.scaling import peak_of
from ..rasters import Raster
from . import Codec
from .array_streams import check_level
from .arrays import ArrayCodec
from .files import Block, check_settings, pack_file, quality_ranks, split, unpack_file
from .indices import decode_mixed, encode_mixed

__all__ = [
    "bands",
    "bands_bounded",
    "bands_step",
    "baseline",
    "baseline_main",
    "main",
    "main_best",
    "main_best_psnr",
    "main_fast",
    "main_fast_psnr",
    "main_psnr",
]

# Quantizer steps in one unit of the noise that they leave; zeros make the error smaller than a uniform one's.
_STEPS = 3.6

_BASELINE_LEVELS = (1.5, 3.0, 5.0, 8.0, 11.0, 14.0, 18.0, 22.0, 28.0, 34.0, 40.0)


def main(
    *,
    patch_size: int | str = "auto",
    subsampling: str | None = None,
    tune: str = "visual",
    effort: str = "normal",
    device: str = "auto",
    threads: int | None = None,
) -> Codec:
    """The main profile; the options are those of :func:`imfnb.encode`."""
    settings = {"patch_size": patch_size, "subsampling": subsampling, "tune": tune, "effort": effort}
    text = f"imfnb, main profile, tune={tune}, effort={effort}, patch size {patch_size}"
    levels = tuple(float(q) for q in range(4, 93, 8))
    name = "imf" + f"-{effort}" * (effort != "normal") + "-psnr" * (tune == "psnr")
    return _codec(name, text, levels, {"profile": "main", **settings}, device, threads)


def main_psnr(
    *,
    patch_size: int | str = "auto",
    subsampling: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Codec:
    """The main profile with the least squared error; the options are those of :func:`imfnb.encode`."""
    return main(patch_size=patch_size, subsampling=subsampling, tune="psnr", device=device, threads=threads)


def main_best(
    *,
    patch_size: int | str = "auto",
    subsampling: str | None = None,
    tune: str = "visual",
    device: str = "auto",
    threads: int | None = None,
) -> Codec:
    """The main profile with the fewest bytes; the options are those of :func:`imfnb.encode`."""
    return main(
        patch_size=patch_size, subsampling=subsampling, tune=tune, effort="best", device=device, threads=threads
    )


def main_best_psnr(
    *,
    patch_size: int | str = "auto",
    subsampling: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Codec:
    """The main profile with the fewest bytes for the squared error; the options are those of :func:`imfnb.encode`."""
    return main_best(patch_size=patch_size, subsampling=subsampling, tune="psnr", device=device, threads=threads)


def main_fast(
    *,
    patch_size: int | str = "auto",
    subsampling: str | None = None,
    tune: str = "visual",
    device: str = "auto",
    threads: int | None = None,
) -> Codec:
    """The main profile in the least time; the options are those of :func:`imfnb.encode`."""
    return main(
        patch_size=patch_size, subsampling=subsampling, tune=tune, effort="fast", device=device, threads=threads
    )


def main_fast_psnr(
    *,
    patch_size: int | str = "auto",
    subsampling: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Codec:
    """The main profile in the least time with the least squared error; options as in :func:`imfnb.encode`."""
    return main_fast(patch_size=patch_size, subsampling=subsampling, tune="psnr", device=device, threads=threads)


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
    settings: dict[str, Any] = {
        "profile": "baseline",
        "color_space": color_space,
        "subsampling": subsampling,
        "patch_size": patch_size,
        "bounds": bounds,
        "iterations": iterations,
    }
    text = f"imfnb, baseline profile, {_describe(**settings)}"
    return _codec("imf-baseline", text, _BASELINE_LEVELS, settings, device, threads)


def baseline_main(
    *,
    color_space: str | None = None,
    subsampling: str | None = None,
    patch_size: int | str | None = "auto",
    bounds: tuple[int, int] | None = None,
    iterations: int | None = None,
) -> Codec:
    """The factors of the baseline profile through the main profile's entropy coder."""
    settings: dict[str, Any] = {
        "color_space": color_space,
        "subsampling": subsampling,
        "patch_size": patch_size,
        "bounds": bounds,
        "iterations": iterations,
    }
    options = check_settings(**settings)
    low, high = options.bounds or (-16, 15)

    def encode_block(matrix: np.ndarray, block: Block) -> bytes:
        factors = factorize(matrix, block.rank, (low, high), iterations or 10, device="cpu", threads=1)
        return b"".join(encode_mixed(factor, grid) for factor, grid in zip(factors, block.grids, strict=True))

    def decode_block(reader: Reader, block: Block) -> np.ndarray:
        u, v = (decode_mixed(reader, grid, block.rank, (low, high), np.int16) for grid in block.grids)
        return u.astype(np.float64) @ v.T

    def encode_level(image: np.ndarray, level: float) -> bytes:
        matrices = split(image, options)
        return pack_file("imf-baseline-main", matrices, quality_ranks(matrices, level), encode_block, (low, high))

    def decode_bytes(data: bytes) -> np.ndarray:
        return unpack_file("imf-baseline-main", data, decode_block)

    text = f"imfnb, baseline profile's factors, {_describe(**settings)}, context-mixing coder of the main profile"
    return Codec("imf-baseline-main", text, _BASELINE_LEVELS, encode_level, decode_bytes, limits=(0.0, 100.0))


def bands() -> ArrayCodec:
    """The main profile on arrays of any dtype and number of bands, searching for a PSNR."""

    def encode_array(array: np.ndarray, level: float) -> bytes:
        target = 20 * math.log10(peak_of(Raster(np.asarray(array))) / check_level(level))
        return encode(array, **_array_settings(array), psnr=max(target, 1.0))

    return ArrayCodec("imf", "imfnb, main profile, psnr", "noise", encode_array, _decode_array)


def bands_step() -> ArrayCodec:
    """The main profile on arrays of any dtype and number of bands, by its step, without a search."""

    def encode_array(array: np.ndarray, level: float) -> bytes:
        return encode(array, **_array_settings(array), step=_STEPS * check_level(level))

    return ArrayCodec("imf-step", "imfnb, main profile, step", "noise", encode_array, _decode_array)


def bands_bounded() -> ArrayCodec:
    """The main profile on arrays with a bound of the error of every sample; 0 is lossless."""

    def encode_array(array: np.ndarray, level: float) -> bytes:
        bound = check_level(level, lossless=np.asarray(array).dtype.kind != "f")
        target: dict[str, Any] = {"max_error": bound} if bound else {"lossless": True}
        return encode(array, **_array_settings(array), **target)

    return ArrayCodec("imf-bounded", "imfnb, main profile, max_error or lossless", "bound", encode_array, _decode_array)


def _array_settings(array: np.ndarray) -> dict[str, Any]:
    """What every encoding of an array is told: bands are bands, also where there are as many as colours."""
    several = np.ndim(array) == 3 and np.shape(array)[2] > 1
    return {"channels": "bands" if several else "gray", "tune": "psnr", "threads": 1}


def _decode_array(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return decode(data, threads=1).reshape(shape).astype(dtype, copy=False)


def _describe(
    color_space: str | None,
    patch_size: int | str | None,
    bounds: tuple[int, int] | None,
    iterations: int | None,
    **_: Any,
) -> str:
    size = 8 if patch_size == "auto" else patch_size
    patches = "no patches" if size is None else f"patch size {size}"
    return f"{color_space or 'YCbCr'}, {patches}, bounds {bounds or (-16, 15)}, {iterations or 10} iterations"


def _codec(name: str, text: str, levels: tuple[float, ...], settings: dict, device: str, threads: int | None) -> Codec:
    EncodeOptions(**settings)  # complains now rather than at the first image

    def encode_level(image: np.ndarray, level: float) -> bytes:
        pixels, channels = check_image(image)  # other arrays have codecs and studies of their own
        shown = pixels if channels else pixels[:, :, 0]
        return encode(shown, quality=float(level), device=device, threads=threads, **settings)

    def decode_bytes(data: bytes) -> np.ndarray:
        return decode(data, device=device, threads=threads)

    return Codec(name, text, levels, encode_level, decode_bytes, limits=(0.0, 100.0))
