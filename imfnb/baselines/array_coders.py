"""Codecs of arrays that imagecodecs has: JPEG XL, JPEG-LS, SPERR, SZ3, ZFP and LERC, each with its best settings.

Notes on the settings, with BD-rates or bits on Landsat 8 and Sentinel-2:

- JPEG XL maps samples to a perceptual scale, in which steps grow with the value. One range for all bands instead of one
  for each saves 8 to 12%, and mapping it to the upper half of the scale, where that is more uniform, 3 to 17% more. For
  three bands as a picture in colour the upper three quarters are as good on two scenes and save 10% on the third.
- SPERR, SZ3 and ZFP take a volume (band, row, column), whose bands are the slowest axis (the other order needs up to
  40% more), or two dimensions. For SZ3 the bands are joined to one tall plane, which saves 4 to 14% against a stream
  for each.
- A bound e on integers is e + 0.49 for codecs that work with floats, since the result is rounded; it saves 4 to 8%.
- ZFP keeps far below its tolerance, which it rounds down to a power of two; the largest that keeps the bound is found
  by decoding.
- LERC is given floats, which it codes with the finer bound above, planar, and Zstandard at level 19.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy as np

from ..errors import OptionError
from .array_streams import (
    check_colours,
    check_level,
    checked,
    codecs,
    joined,
    parted,
    planes,
    restored,
    signed_like,
    tolerance,
    unsigned,
)
from .arrays import ArrayCodec

__all__ = [
    "jpegls",
    "jpegxl",
    "jpegxl_lossless",
    "jpegxl_rgb",
    "lerc",
    "sperr",
    "sperr_bands",
    "sperr_bounded",
    "sz3",
    "sz3_bands",
    "sz3_bounded",
    "zfp",
    "zfp_bands",
    "zfp_bounded",
]

#: From float32 of two or three dimensions and a level to bytes.
_Encoder = Callable[[np.ndarray, float], bytes]
#: From these bytes and the shape to the samples.
_Decoder = Callable[[bytes, tuple[int, ...]], np.ndarray]
#: Both, for volumes of shape (C, H, W).
_Coder = tuple[_Encoder, _Decoder]

# libjxl's effort.
_EFFORT = 7


def _bands(shape: tuple[int, ...]) -> int:
    return shape[2] if len(shape) == 3 else 1


# --------------------------------------------------------------------------------------------------------- JPEG XL


def jpegxl() -> ArrayCodec:
    """Lossy JPEG XL of every band, the range of the array in the upper half of a gray scale of 16 bits."""
    text = f"JPEG XL of every band, effort {_EFFORT}, the array's range in the upper half of a 16-bit scale"
    return _lossy_jpegxl("jpegxl", text, 0.5, colours=False)


def jpegxl_rgb() -> ArrayCodec:
    """Lossy JPEG XL of three bands, the range of the array in the upper three quarters of the scale."""
    text = f"JPEG XL of a picture in colour, effort {_EFFORT}, its range in the upper 3/4 of a 16-bit scale"
    return _lossy_jpegxl("jpegxl-rgb", text, 0.25, colours=True)


def _lossy_jpegxl(name: str, text: str, lowest: float, *, colours: bool) -> ArrayCodec:
    imagecodecs = codecs("JPEGXL")
    low_code, codes = round(65535 * lowest), 65535 - round(65535 * lowest)

    def encode(array: np.ndarray, level: float) -> bytes:
        bands = planes(array)
        check_colours(bands, colours)
        low, high = float(bands.min()), float(bands.max())
        width = (high - low) or 1.0
        # The noise in gray levels of 8 bits; the exponent fits measured errors.
        distance = min(max((check_level(level) * codes / 257 / width) ** 1.54, 0.01), 25.0)
        gray = np.rint(low_code + (bands.astype(np.float64) - low) * (codes / width)).astype(np.uint16)
        pictures = [np.ascontiguousarray(gray.transpose(1, 2, 0))] if colours else list(gray)
        settings = {"distance": distance, "effort": _EFFORT, "numthreads": 1}
        return struct.pack("<dd", low, high) + joined([imagecodecs.jpegxl_encode(p, **settings) for p in pictures])

    @checked
    def decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        low, high = struct.unpack_from("<dd", data)
        parts = parted(data[16:], 1 if colours else _bands(shape))
        gray = np.stack([imagecodecs.jpegxl_decode(part, numthreads=1) for part in parts])
        bands = gray[0].transpose(2, 0, 1) if colours else gray
        return restored((bands.astype(np.float64) - low_code) * (((high - low) or 1.0) / codes) + low, shape, dtype)

    return ArrayCodec(name, text, "noise", encode, decode, colours=colours)


def jpegxl_lossless() -> ArrayCodec:
    """Lossless JPEG XL of every band."""
    imagecodecs = codecs("JPEGXL")

    def encode(array: np.ndarray, level: float) -> bytes:
        if level != 0:
            raise OptionError(f"level is {level!r}; this codec is lossless: expected 0")
        settings = {"lossless": True, "effort": _EFFORT, "numthreads": 1}
        return joined([imagecodecs.jpegxl_encode(band, **settings) for band in unsigned(planes(array))])

    @checked
    def decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        found = np.stack([imagecodecs.jpegxl_decode(part, numthreads=1) for part in parted(data, _bands(shape))])
        return restored(signed_like(found, dtype), shape, dtype)

    text = f"JPEG XL lossless of every band, effort {_EFFORT}"
    return ArrayCodec("jpegxl-lossless", text, "bound", encode, decode, largest=0.0, floats=False)


# --------------------------------------------------------------------------------------------------------- JPEG-LS


def jpegls() -> ArrayCodec:
    """JPEG-LS of every band; the bound is its parameter NEAR."""
    imagecodecs = codecs("JPEGLS")

    def encode(array: np.ndarray, level: float) -> bytes:
        near = int(check_level(level, lossless=True))
        return joined([imagecodecs.jpegls_encode(band, near) for band in unsigned(planes(array))])

    @checked
    def decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        found = np.stack([imagecodecs.jpegls_decode(part) for part in parted(data, _bands(shape))])
        return restored(signed_like(found, dtype), shape, dtype)

    text = "JPEG-LS of every band, NEAR is the bound"
    return ArrayCodec("jpegls", text, "bound", encode, decode, largest=255.0, floats=False)


# ------------------------------------------------------------------------------------------------------------ LERC


def lerc() -> ArrayCodec:
    """LERC of the bands as floats with Zstandard."""
    imagecodecs = codecs("LERC")
    settings = {"planar": True, "compression": "zstd", "compressionargs": {"level": 19}}

    def encode(array: np.ndarray, level: float) -> bytes:
        bands = planes(array)
        return imagecodecs.lerc_encode(bands.astype(np.float32), tolerance(bands, level), **settings)

    @checked
    def decode(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        found = imagecodecs.lerc_decode(data)
        return restored(found[None] if found.ndim == 2 else found, shape, dtype)

    return ArrayCodec("lerc", "LERC of the bands as float32, Zstandard at level 19", "bound", encode, decode)


# -------------------------------------------------------------------------------------------------- SPERR, SZ3, ZFP


def _volume(encode: _Encoder, decode: _Decoder) -> _Coder:
    """A coder of volumes as they are; a single band has two dimensions (SPERR ends the process for one of three)."""

    def encode_volume(samples: np.ndarray, level: float) -> bytes:
        return encode(samples if len(samples) > 1 else samples[0], level)

    def decode_volume(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        return decode(data, shape if shape[0] > 1 else shape[1:]).reshape(shape)

    return encode_volume, decode_volume


def _each(encode: _Encoder, decode: _Decoder) -> _Coder:
    """A coder of volumes that makes a stream of every band."""

    def encode_bands(samples: np.ndarray, level: float) -> bytes:
        return joined([encode(band, level) for band in samples])

    def decode_bands(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        return np.stack([decode(part, shape[1:]) for part in parted(data, shape[0])])

    return encode_bands, decode_bands


def _tall(encode: _Encoder, decode: _Decoder) -> _Coder:
    """A coder of volumes that puts the bands below each other into one plane."""

    def encode_plane(samples: np.ndarray, level: float) -> bytes:
        return encode(samples.reshape(-1, samples.shape[2]), level)

    def decode_plane(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        return decode(data, (shape[0] * shape[1], shape[2])).reshape(shape)

    return encode_plane, decode_plane


def _noisy(name: str, text: str, coder: _Coder) -> ArrayCodec:
    """A codec of float32 whose level is the noise."""
    encode, decode = coder

    def encode_array(array: np.ndarray, level: float) -> bytes:
        return encode(planes(array).astype(np.float32), check_level(level))

    @checked
    def decode_array(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return restored(decode(data, (_bands(shape), *shape[:2])), shape, dtype)

    return ArrayCodec(name, text, "noise", encode_array, decode_array)


def _bounded(name: str, text: str, coders: tuple[_Coder, ...]) -> ArrayCodec:
    """A codec of float32 whose level is the bound; the first byte says which coder made the smallest stream."""

    def encode_array(array: np.ndarray, level: float) -> bytes:
        bands = planes(array)
        bound, samples = tolerance(bands, level), bands.astype(np.float32)
        return min((bytes([i]) + encode(samples, bound) for i, (encode, _) in enumerate(coders)), key=len)

    @checked
    def decode_array(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        _, decode = coders[data[0]]
        return restored(decode(data[1:], (_bands(shape), *shape[:2])), shape, dtype)

    return ArrayCodec(name, text, "bound", encode_array, decode_array)


def _sperr_encode(samples: np.ndarray, level: float) -> bytes:
    """SPERR's mode of a PSNR, whose peak is the range of the samples."""
    width = float(samples.max()) - float(samples.min())
    psnr = 20.0 * math.log10(width / level) if width > level else 0.0
    return codecs("SPERR").sperr_encode(samples, max(psnr, 0.1), "psnr", numthreads=1)


def _sperr_encode_bounded(samples: np.ndarray, level: float) -> bytes:
    return codecs("SPERR").sperr_encode(samples, level, "pwe", numthreads=1)


def _sperr_decode(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    return codecs("SPERR").sperr_decode(data, numthreads=1).reshape(shape)


def sperr() -> ArrayCodec:
    """SPERR in three dimensions at a PSNR."""
    codecs("SPERR")
    return _noisy("sperr", "SPERR at a PSNR, a volume", _volume(_sperr_encode, _sperr_decode))


def sperr_bands() -> ArrayCodec:
    """SPERR in two dimensions at a PSNR."""
    codecs("SPERR")
    return _noisy("sperr-bands", "SPERR at a PSNR, every band", _each(_sperr_encode, _sperr_decode))


def sperr_bounded() -> ArrayCodec:
    """SPERR with a bound of the error of every sample."""
    codecs("SPERR")
    coder = _sperr_encode_bounded, _sperr_decode
    return _bounded("sperr-bounded", "SPERR with a bound, a volume or every band", (_volume(*coder), _each(*coder)))


def _sz3_encode(samples: np.ndarray, level: float) -> bytes:
    return codecs("SZ3").sz3_encode(samples, "abs", abs=level)


def _sz3_encode_noise(samples: np.ndarray, level: float) -> bytes:
    """Errors within a bound are about uniform, so that the bound is the square root of three times the noise."""
    return _sz3_encode(samples, math.sqrt(3.0) * level)


def _sz3_decode(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    return codecs("SZ3").sz3_decode(data, shape, np.float32)


def sz3() -> ArrayCodec:
    """SZ3 in three dimensions."""
    codecs("SZ3")
    return _noisy("sz3", "SZ3, a volume", _volume(_sz3_encode_noise, _sz3_decode))


def sz3_bands() -> ArrayCodec:
    """SZ3 in two dimensions, all bands in one plane."""
    codecs("SZ3")
    return _noisy("sz3-bands", "SZ3, the bands below each other", _tall(_sz3_encode_noise, _sz3_decode))


def sz3_bounded() -> ArrayCodec:
    """SZ3 with its bound."""
    codecs("SZ3")
    coder = _sz3_encode, _sz3_decode
    return _bounded("sz3-bounded", "SZ3, a volume or the bands below each other", (_volume(*coder), _tall(*coder)))


def _zfp_encode(samples: np.ndarray, level: float) -> bytes:
    """ZFP's mode of accuracy."""
    return codecs("ZFP").zfp_encode(samples, level, mode="a", numthreads=1)


def _zfp_encode_noise(samples: np.ndarray, level: float) -> bytes:
    """The root mean squared error is about a 24th of the tolerance in three dimensions, a tenth in two."""
    return _zfp_encode(samples, (24.0 if samples.ndim == 3 else 10.0) * level)


def _zfp_encode_bounded(samples: np.ndarray, level: float) -> bytes:
    """The largest power of two whose result keeps the bound."""
    exponent = math.floor(math.log2(level)) + 6
    while True:
        data = _zfp_encode(samples, 2.0**exponent)
        if np.abs(_zfp_decode(data, samples.shape) - samples).max() <= level:
            return data
        exponent -= 1


def _zfp_decode(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    return codecs("ZFP").zfp_decode(data).reshape(shape)


def zfp() -> ArrayCodec:
    """ZFP in three dimensions."""
    codecs("ZFP")
    return _noisy("zfp", "ZFP's mode of accuracy, a volume", _volume(_zfp_encode_noise, _zfp_decode))


def zfp_bands() -> ArrayCodec:
    """ZFP in two dimensions."""
    codecs("ZFP")
    return _noisy("zfp-bands", "ZFP's mode of accuracy, every band", _each(_zfp_encode_noise, _zfp_decode))


def zfp_bounded() -> ArrayCodec:
    """ZFP with the largest tolerance that keeps a bound."""
    codecs("ZFP")
    coder = _zfp_encode_bounded, _zfp_decode
    return _bounded("zfp-bounded", "ZFP's mode of accuracy, a volume or every band", (_volume(*coder), _each(*coder)))
