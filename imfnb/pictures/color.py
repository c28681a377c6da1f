"""From what Pillow decoded to the samples that are shown: modes, transparency and colour profiles."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np

from ..errors import OptionError

__all__ = ["check_mode", "is_profile_of", "to_pixels", "turned"]

# Largest difference, in gray levels, between colours with a profile and the same numbers as sRGB, up to which a
# profile counts as sRGB: rounding and the various published tables of sRGB stay below it.
_SAME = 2

# Relative colorimetric with black point compensation: littleCMS's numbers, for which Pillow had other names before
# version 10.3.
_CONVERSION: dict[str, Any] = {"renderingIntent": 1, "flags": 0x2000}

# Pillow's modes of eight bits or fewer that are converted to RGB as they are.
_TO_RGB = ("RGBX", "YCbCr", "HSV", "LAB")


def check_mode(picture: Any) -> int:
    """Refuse a picture whose samples have more than eight bits, before it is loaded.

    Parameters
    ----------
    picture : PIL.Image.Image
        The picture. Once it is loaded, Pillow no longer knows how deep the samples of its file were.

    Returns
    -------
    int
        Bits of the file's samples that Pillow stretches to eight bits.

    Raises
    ------
    OptionError
        If the samples are deeper, or of another kind.
    """
    mode = picture.mode
    if mode not in ("1", "L", "P", "PA", "LA", "La", "RGB", "RGBA", "RGBa", "CMYK", *_TO_RGB):
        depth = 16 if mode.startswith("I;16") else 32 if mode in ("I", "F") else None
        what = f"{depth}-bit {'floating point ' * (mode == 'F')}samples" if depth else "samples"
        raise OptionError(f"the picture has {what} (Pillow's mode {mode!r}), deeper than 8 bits; {_CONVERT}")
    depth = 1 if mode == "1" else 8
    for tile in getattr(picture, "tile", None) or ():  # what Pillow would cut to 8 bits while it loads the picture
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        for raw in (arg for arg in args if isinstance(arg, str)):
            if re.search(r";16|;12|;32", raw) and not raw.startswith("BGR;16"):  # those are 5, 6 and 5 bits
                raise OptionError(f"the picture has 16-bit samples, deeper than 8 bits; {_CONVERT}")
            if match := re.fullmatch(r"L;([24])", raw):
                depth = int(match[1])
    return depth


_CONVERT = "convert it to 8 bits first"


def is_profile_of(profile: bytes | None, mode: str) -> bool:
    """Whether a profile is one of samples of Pillow's mode L or RGB, by its header."""
    spaces = {"L": b"GRAY", "RGB": b"RGB "}
    return (
        profile is not None
        and profile[36:40] == b"acsp"
        and int.from_bytes(profile[:4], "big") <= len(profile)
        and spaces.get(mode) == profile[16:20]
    )


def to_pixels(
    picture: Any, depth: int, profile: bytes | None, srgb: bool = True
) -> tuple[np.ndarray, str | None, bytes | None]:
    """The samples that a picture shows.

    Parameters
    ----------
    picture : PIL.Image.Image
        A loaded picture of a mode that :func:`check_mode` accepts.
    depth : int
        What :func:`check_mode` returned.
    profile : bytes or None
        Its ICC profile.
    srgb : bool, default True
        Whether samples with a profile other than sRGB are converted to it where they need not be.

    Returns
    -------
    pixels : ndarray of uint8, shape (H, W), (H, W, 3) or (H, W, 4)
        Gray, RGB or RGBA.
    note : str or None
        What became of the profile, in words for a message.
    kept : bytes or None
        The profile, if the samples are those that it is about.

    Raises
    ------
    OptionError
        If this Pillow cannot convert the colours.
    """
    base, alpha = _split(picture, depth)
    kept, note = profile if not srgb and is_profile_of(profile, base.mode) else None, None
    if kept is None:
        base, note = _to_srgb(base, profile)
    pixels = np.array(base.convert("RGB") if base.mode == "CMYK" else base)
    if alpha is not None:
        pixels = np.dstack([pixels, pixels, pixels, alpha] if pixels.ndim == 2 else [pixels, alpha])
    return pixels, note, kept


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels turned and mirrored so that they are upright.

    Parameters
    ----------
    pixels : ndarray, shape (H, W, ...)
        As they are stored.
    orientation : int
        1 to 8, as in EXIF.

    Returns
    -------
    ndarray
        C-contiguous; of shape (W, H, ...) for 5 to 8.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _split(picture: Any, depth: int) -> tuple[Any, np.ndarray | None]:
    """A picture's colours, of mode L, RGB or CMYK, and its alpha."""
    mode = picture.mode
    if mode in ("1", "L", "RGB"):
        base = picture.convert("L") if mode == "1" else picture
        return base, _keyed(np.asarray(base), picture.info.get("transparency"), depth)
    if mode == "CMYK":
        return picture, None
    if mode in _TO_RGB:
        return picture.convert("RGB"), None
    if mode in ("LA", "La"):
        both = picture.convert("LA")
        return both.getchannel("L"), np.array(both.getchannel("A"))
    palette = getattr(picture, "palette", None)
    if mode == "P" and "transparency" not in picture.info and not getattr(palette, "mode", "RGB").endswith("A"):
        return picture.convert("RGB"), None
    full = picture.convert("RGBA")
    return full.convert("RGB"), np.array(full.getchannel("A"))


def _keyed(samples: np.ndarray, key: Any, depth: int) -> np.ndarray | None:
    """Alpha of a picture one of whose colours, or gray levels of `depth` bits, stands for transparent pixels."""
    numbers = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(number, int) for number in numbers) or len(numbers) != (samples.ndim == 3) * 2 + 1:
        return None
    largest = 2**depth - 1  # higher bits are to be ignored, says the PNG specification
    levels = np.array([(number & largest) * 255 // largest for number in numbers], np.uint8)
    same = samples == levels[0] if samples.ndim == 2 else (samples == levels).all(axis=2)
    return np.where(same, np.uint8(0), np.uint8(255))


def _to_srgb(base: Any, profile: bytes | None) -> tuple[Any, str | None]:
    """Colours as sRGB, and what became of their profile."""
    if not profile:
        return base, None
    try:
        from PIL import ImageCms

        srgb = ImageCms.createProfile("sRGB")
    except ImportError:
        if b"sRGB" in profile or b"s\0R\0G\0B" in profile:
            return base, "ICC profile"
        raise OptionError(
            "the picture has an ICC profile other than sRGB, which this Pillow cannot convert (it has no littleCMS); "
            "convert the picture to sRGB first"
        ) from None
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = given.profile.xcolor_space.strip()
        # A gray picture may have the profile of RGB; the other way round nobody knows what is meant.
        source = {"RGB": base.convert("RGB") if base.mode == "L" else base, "GRAY": base, "CMYK": base}.get(space, base)
        if {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space) != source.mode:
            return base, "ICC profile (of another kind of samples, not applied)"
        transform = ImageCms.buildTransform(given, srgb, source.mode, "RGB", **_CONVERSION)
        if source.mode != "CMYK" and _is_identity(ImageCms, transform, source.mode):
            return base, "ICC profile"
        converted = transform.apply(source)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return base, "damaged ICC profile"
    return converted.getchannel("G") if base.mode == "L" else converted, "ICC profile (converted to sRGB)"


def _is_identity(cms: Any, transform: Any, mode: str) -> bool:
    """Whether a transform leaves colours of a mode as they are, tried on a lattice of them."""
    from PIL import Image

    if mode == "L":
        colors = np.arange(256, dtype=np.uint8)[None]
    else:
        steps = np.linspace(0, 255, 9).round().astype(np.uint8)
        colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    found = np.asarray(cms.applyTransform(Image.fromarray(colors), transform)).astype(int)
    return bool(abs(found - (colors[..., None] if mode == "L" else colors)).max() <= _SAME)
