"""Reading and writing of other image formats, through Pillow (which comes with imageio)."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, NamedTuple

import numpy as np

from .errors import OptionError

__all__ = ["SUFFIXES", "Picture", "read_picture", "write_picture"]

#: What of a folder is taken for a picture.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm", ".pnm", ".gif", ".avif", ".jp2")

# Pillow's modes and what they become. Deeper samples are refused rather than silently cut to eight bits.
_MODES = {
    "L": "L",
    "1": "L",
    "RGB": "RGB",
    "RGBA": "RGBA",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
    "LA": "RGBA",
    "La": "RGBA",
    "PA": "RGBA",
    "RGBa": "RGBA",
}


class Picture(NamedTuple):
    """What a picture's file holds.

    Attributes
    ----------
    pixels : ndarray of uint8
        The samples.
    dropped : tuple of str
        What else there is, in words such as "ICC profile".
    """

    pixels: np.ndarray
    dropped: tuple[str, ...] = ()


def read_picture(source: str | os.PathLike | BinaryIO) -> Picture:
    """Read a photograph in any format that Pillow knows.

    Parameters
    ----------
    source : path or binary file object
        Where to read from.

    Returns
    -------
    Picture
        Its pixels, shape (H, W), (H, W, 3) or (H, W, 4), are those of the first frame, turned upright as its EXIF
        orientation says.

    Raises
    ------
    OSError
        If the file cannot be read or is not a picture.
    OptionError
        If its samples have more than eight bits.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        # Pillow's own limit (a warning at 89 megapixels) is for untrusted services; a user names the file here.
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with Image.open(source) as picture:
                mode = picture.mode
                if mode == "P":
                    target = "RGBA" if "transparency" in picture.info else "RGB"
                elif mode in _MODES:
                    target = _MODES[mode]
                else:
                    raise OptionError(
                        f"the picture has samples of mode {mode!r}, deeper than 8 bits; convert it to 8 bits first"
                    )
                if any(";16" in str(tile[-1]) for tile in picture.tile):  # Pillow would cut them to 8 bits
                    raise OptionError("the picture has 16-bit samples, deeper than 8 bits; convert it to 8 bits first")
                upright = ImageOps.exif_transpose(picture)
                return Picture(np.array(upright if upright.mode == target else upright.convert(target)))
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    except UnidentifiedImageError:
        raise OptionError("not a picture in a known format; expected PNG, JPEG, TIFF or the like") from None


def write_picture(image: np.ndarray, suffix: str) -> bytes:
    """Code an image in another format.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        The image.
    suffix : str
        File name extension with its dot, such as ".png".

    Returns
    -------
    bytes
        The file's contents.

    Raises
    ------
    OptionError
        If Pillow has no writer for the extension, or not for this kind of image.
    """
    from PIL import Image

    extensions = Image.registered_extensions()
    name = extensions.get(suffix.lower())
    if name not in Image.SAVE:
        raise OptionError(f"no image format is known for the extension {suffix!r}; use .png, .tif, .webp or .jpg")
    buffer = io.BytesIO()
    try:
        Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image).save(buffer, name)
    except (OSError, ValueError, KeyError) as error:
        raise OptionError(f"the format {name} cannot hold this image: {error}; use .png") from None
    return buffer.getvalue()
