"""JPEG XL as libjxl writes it, through imagecodecs."""

from __future__ import annotations

import numpy as np

from ..errors import FormatError, OptionError
from ..extras import need
from ..options import check_image
from . import Codec

__all__ = ["jpegxl"]

_LEVELS = (0.0, 8.0, 16.0, 24.0, 34.0, 46.0, 58.0, 68.0, 77.0, 84.0, 90.0, 94.0, 97.0)

# The highest quality below that of lossless files, distance 0.
_HIGHEST = 99.0


def jpegxl(*, effort: int = 7) -> Codec:
    """Lossy JPEG XL at libjxl's usual effort; the level is the quality of its command line tools."""
    if isinstance(effort, bool) or not isinstance(effort, int) or not 1 <= effort <= 10:
        raise OptionError(f"effort is {effort!r}; expected an integer from 1 to 10")
    codecs = need("imagecodecs")
    if not codecs.JPEGXL.available:
        raise OptionError("imagecodecs was built without JPEG XL; install one of its wheels")

    def encode(image: np.ndarray, level: float) -> bytes:
        pixels, channels = check_image(image)
        if not 0.0 <= level <= _HIGHEST:
            raise OptionError(f"level is {level!r}; expected a number from 0 to {_HIGHEST:g}")
        return codecs.jpegxl_encode(
            pixels[:, :, 0] if channels < 3 else pixels, distance=_distance(level), effort=effort, numthreads=1
        )

    def decode(data: bytes) -> np.ndarray:
        try:
            pixels = codecs.jpegxl_decode(bytes(data), numthreads=1)
        except (RuntimeError, ValueError) as error:
            raise FormatError(f"damaged JPEG XL file: {error}") from None
        if pixels.dtype != np.uint8:
            raise FormatError(f"damaged JPEG XL file: samples of {pixels.dtype}; expected 8 bits")
        return pixels

    text = f"JPEG XL, libjxl through imagecodecs, effort={effort}"
    return Codec("jpegxl", text, _LEVELS, encode, decode, limits=(0.0, _HIGHEST))


def _distance(quality: float) -> float:
    """Butteraugli distance of a quality, as libjxl's JxlEncoderDistanceFromQuality maps them."""
    if quality >= 30.0:
        return 0.1 + (100.0 - quality) * 0.09
    return 53.0 / 3000.0 * quality * quality - 23.0 / 20.0 * quality + 25.0
