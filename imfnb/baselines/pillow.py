"""JPEG, JPEG 2000, WebP and AVIF as Pillow writes them.

Plain names have the best reasonable settings; ``-default`` means Pillow's own, and ``avif-psnr`` has Pillow's speed.
The level is Pillow's quality; of JPEG 2000 it is the rate in bits per pixel.
"""

from __future__ import annotations

import io

import numpy as np

from ..errors import FormatError, LimitError, OptionError
from ..format.container import MAX_PIXELS
from ..options import check_image
from . import Codec

__all__ = [
    "avif",
    "avif_default",
    "avif_psnr",
    "jpeg",
    "jpeg2000",
    "jpeg2000_default",
    "jpeg_default",
    "webp",
    "webp_default",
]

_JPEG_LEVELS = (1.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 52.0, 65.0, 76.0, 84.0, 90.0, 94.0)
_JPEG2000_LEVELS = (0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 2.6)
_WEBP_LEVELS = (0.0, 1.0, 3.0, 6.0, 12.0, 20.0, 32.0, 46.0, 60.0, 72.0, 80.0, 86.0, 91.0, 95.0)
_AVIF_LEVELS = (1.0, 6.0, 14.0, 24.0, 36.0, 48.0, 62.0, 76.0, 88.0)

# Pillow's names of the formats and of the features that a build may lack.
_FEATURES = {"JPEG": "jpg", "JPEG2000": "jpg_2000", "WEBP": "webp", "AVIF": "avif"}

# WebP has no gray images. Files of them get this byte behind their end, which the format lets readers ignore.
_GRAY = b"\0"


def jpeg(*, subsampling: str = "4:2:0") -> Codec:
    """JPEG with optimal Huffman tables; progressive where that is smaller."""
    if subsampling not in ("4:2:0", "4:2:2", "4:4:4"):
        raise OptionError(f"subsampling is {subsampling!r}; expected '4:2:0', '4:2:2' or '4:4:4'")
    text = f"JPEG, Pillow, optimize=True, progressive where smaller, {subsampling}"
    variants = [{"optimize": True, "subsampling": subsampling, "progressive": flag} for flag in (False, True)]
    return _by_quality("jpeg", text, "JPEG", _JPEG_LEVELS, (1.0, 95.0), variants)


def jpeg_default() -> Codec:
    """JPEG with Pillow's settings: the standard's Huffman tables, 4:2:0."""
    return _by_quality("jpeg-default", "JPEG, Pillow's defaults", "JPEG", _JPEG_LEVELS, (1.0, 95.0), [{}])


def webp(*, method: int = 6) -> Codec:
    """Lossy WebP with the slowest and best search."""
    _check_range("method", method, 0, 6)
    return _by_quality(
        "webp", f"WebP, Pillow, method={method}", "WEBP", _WEBP_LEVELS, (0.0, 100.0), [{"method": method}]
    )


def webp_default() -> Codec:
    """Lossy WebP with Pillow's settings: method 4."""
    return _by_quality("webp-default", "WebP, Pillow's defaults", "WEBP", _WEBP_LEVELS, (0.0, 100.0), [{}])


def avif(*, speed: int = 2, subsampling: str = "4:2:0") -> Codec:
    """AVIF; on every twelfth image of bsd34 speed 2 takes 7.9% fewer bits than Pillow's 6, speed 1 8.4% fewer."""
    _check_range("speed", speed, 0, 10)
    if subsampling not in ("4:2:0", "4:2:2", "4:4:4"):
        raise OptionError(f"subsampling is {subsampling!r}; expected '4:2:0', '4:2:2' or '4:4:4'")
    text = f"AVIF, Pillow, speed={speed}, {subsampling}"
    variants = [{"speed": speed, "subsampling": subsampling}]
    return _by_quality("avif", text, "AVIF", _AVIF_LEVELS, (0.0, 100.0), variants)


def avif_default() -> Codec:
    """AVIF with Pillow's settings: speed 6, 4:2:0."""
    return _by_quality("avif-default", "AVIF, Pillow's defaults", "AVIF", _AVIF_LEVELS, (0.0, 100.0), [{}])


def avif_psnr(*, speed: int = 6) -> Codec:
    """AVIF tuned for the squared error; what Pillow writes otherwise is tuned for the eye."""
    _check_range("speed", speed, 0, 10)
    variants = [{"speed": speed, "advanced": {"tune": "psnr"}}]
    text = f"AVIF, Pillow, speed={speed}, tune=psnr, 4:2:0"
    return _by_quality("avif-psnr", text, "AVIF", _AVIF_LEVELS, (0.0, 100.0), variants)


def jpeg2000() -> Codec:
    """JPEG 2000: irreversible 9/7 wavelet, colour transform, bare codestream (JP2 where there is alpha)."""
    return _jpeg2000("jpeg2000", "JPEG 2000, Pillow, irreversible=True, mct=1", {"irreversible": True}, best=True)


def jpeg2000_default() -> Codec:
    """JPEG 2000 with Pillow's settings but for the rate: reversible 5/3 wavelet, no colour transform, JP2 file."""
    return _jpeg2000("jpeg2000-default", "JPEG 2000, Pillow's defaults", {}, best=False)


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionError(f"{name} is {value!r}; expected an integer from {low} to {high}")


def _by_quality(
    name: str,
    text: str,
    file_format: str,
    levels: tuple[float, ...],
    limits: tuple[float, float],
    variants: list[dict],
) -> Codec:
    """A codec whose level is Pillow's quality; of several variants of its settings the shortest file counts."""
    _check_feature(file_format)
    whole = file_format != "WEBP"  # the others round the quality

    def encode(image: np.ndarray, level: float) -> bytes:
        pixels = _pixels(image)
        if file_format == "JPEG" and pixels.ndim == 3 and pixels.shape[2] == 4:
            raise OptionError(f"the codec {name!r} has no alpha; expected a gray or RGB image: drop the fourth channel")
        quality = _check_level(level, *limits)
        extra: dict = {"quality": round(quality) if whole else quality}
        if file_format == "AVIF" and pixels.ndim == 2:
            extra["subsampling"] = "4:0:0"
        data = min((_save(pixels, file_format, **{**variant, **extra}) for variant in variants), key=len)
        return data + _GRAY if file_format == "WEBP" and pixels.ndim == 2 else data

    return Codec(name, text, levels, encode, lambda data: _load(data, file_format), limits, integer=whole)


def _jpeg2000(name: str, text: str, settings: dict, best: bool) -> Codec:
    """A codec whose level is the rate in bits per pixel."""
    _check_feature("JPEG2000")
    limits = 0.01, 24.0

    def encode(image: np.ndarray, level: float) -> bytes:
        pixels = _pixels(image)
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        extra = {}
        if best:
            extra = {"no_jp2": channels < 4, "mct": int(channels >= 3)}
        ratio = 8.0 * channels / _check_level(level, *limits)
        layers = {"quality_mode": "rates", "quality_layers": [ratio]}
        return _save(pixels, "JPEG2000", **settings, **extra, **layers)

    return Codec(name, text, _JPEG2000_LEVELS, encode, lambda data: _load(data, "JPEG2000"), limits)


def _check_feature(file_format: str) -> None:
    from PIL import features

    if not features.check(_FEATURES[file_format]):
        raise OptionError(
            f"Pillow was built without {file_format}; install a newer Pillow (11.3 or later has all formats)"
        )


def _check_level(level: float, low: float, high: float) -> float:
    if not low <= level <= high:
        raise OptionError(f"level is {level!r}; expected a number from {low:g} to {high:g}")
    return float(level)


def _pixels(image: np.ndarray) -> np.ndarray:
    """The image as Pillow wants it: gray without a channel axis."""
    pixels, channels = check_image(image)
    return pixels[:, :, 0] if channels < 3 else pixels


def _save(pixels: np.ndarray, file_format: str, **settings: object) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).save(buffer, file_format, **settings)
    except (OSError, ValueError) as error:
        raise OptionError(f"Pillow cannot write this image of shape {pixels.shape} as {file_format}: {error}") from None
    return buffer.getvalue()


def _load(data: bytes, file_format: str) -> np.ndarray:
    from PIL import Image

    data = bytes(data)
    gray_webp = file_format == "WEBP" and len(data) == int.from_bytes(data[4:8], "little") + 8 + len(_GRAY)
    try:
        with Image.open(io.BytesIO(data), formats=[file_format]) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise LimitError(f"the {file_format} image has {picture.width} x {picture.height} pixels")
            mode = "L" if gray_webp else picture.mode
            return np.array(picture if picture.mode == mode else picture.convert(mode))
    except FormatError:
        raise
    except Exception as error:  # Pillow's readers raise errors of many kinds, SyntaxError among them, for damaged files
        raise FormatError(f"damaged {file_format} file: {error}") from None
