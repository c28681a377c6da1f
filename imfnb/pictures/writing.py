"""Writing of other image formats, and of arrays."""

from __future__ import annotations

import io
from dataclasses import fields
from typing import Any

import numpy as np

from ..errors import OptionError
from ..extras import need
from ..metadata import NO_METADATA, Metadata
from .geotiff import XMP, text_tags, write_tiff
from .png import with_metadata

__all__ = ["fits_png", "write_picture"]

_TIFF = (".tif", ".tiff")

# Those of Netpbm that hold sixteen bits, and what follows the P in them, by the number of bands.
_NETPBM = {".pgm": {1: 5}, ".ppm": {3: 6}, ".pnm": {1: 5, 3: 6}}


def fits_png(dtype: str, bands: int) -> bool:
    """Whether a PNG can hold samples of a kind, and so many of them a pixel."""
    return dtype in ("uint8", "uint16") and bands <= 4


def write_picture(
    image: np.ndarray,
    suffix: str,
    *,
    channels: str | None = None,
    frames: bool = False,
    nodata: int | float | None = None,
    metadata: Metadata = NO_METADATA,
) -> tuple[bytes, tuple[str, ...]]:
    """Code an image in another format.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C), or with frames before them
        The image.
    suffix : str
        File name extension with its dot: .tif and .npy hold every array; .png those of uint8 and uint16 with one to
        four bands; .pgm and .ppm those with one and three; others, through Pillow, uint8 alone.
    channels : str, optional
        What the bands are, as for :func:`imfnb.encode`; by default what that takes them for.
    frames : bool, default False
        Whether the first dimension is that of frames.
    nodata : int or float, optional
        What stands for missing samples; a TIFF says so.
    metadata : Metadata, optional
        What the file is to carry beside pixels, as far as its format has a place for it.

    Returns
    -------
    data : bytes
        The file's contents.
    dropped : tuple of str
        What of the metadata is not in it.

    Raises
    ------
    OptionError
        If there is no writer for the extension, or not for this kind of image.
    """
    kind, image = suffix.lower(), np.ascontiguousarray(image)
    given = tuple(item.name for item in fields(metadata) if getattr(metadata, item.name))
    if kind == ".npy":
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, image, allow_pickle=False)
        return buffer.getvalue(), given
    bands = image.shape[-1] if image.ndim == (4 if frames else 3) else 1
    plain = image.dtype == np.uint8 and bands in (1, 3, 4) and channels in (None, "gray", "rgb", "rgba") and not frames
    if kind in _TIFF and not (plain and not metadata.tags and nodata is None):
        data = write_tiff(image, channels or _usual(image.dtype, bands), frames, metadata, nodata)
        return data, tuple(name for name in given if name == "exif")
    if frames:
        raise OptionError(
            f"a {kind} file cannot hold {len(image)} frames; --frame N takes one of them, and .tif and .npy hold all"
        )
    if kind == ".png" and image.dtype == np.uint16 and fits_png("uint16", bands):
        flat = image[:, :, 0] if image.ndim == 3 and bands == 1 else image
        return with_metadata(need("imagecodecs", "tiff").png_encode(flat), metadata), _beside_png(given)
    if image.dtype == np.uint16 and bands in _NETPBM.get(kind, {}):
        head = f"P{_NETPBM[kind][bands]}\n{image.shape[1]} {image.shape[0]}\n65535\n"
        return head.encode("ascii") + image.astype(">u2").tobytes(), given
    if image.dtype != np.uint8 or bands > 4:
        told = f"{bands} bands of {image.dtype}" if bands > 1 else f"samples of {image.dtype}"
        choice = ", or choose bands with --bands" if bands > 4 else ""
        raise OptionError(f"a {kind} file cannot hold {told}; give it a name that ends in .tif or .npy{choice}")
    if kind == ".png":
        return with_metadata(_through_pillow(image, kind, NO_METADATA)[0], metadata), _beside_png(given)
    return _through_pillow(image, suffix, metadata)


def _beside_png(given: tuple[str, ...]) -> tuple[str, ...]:
    """What of the metadata PNG has no place for."""
    return tuple(name for name in given if name == "tags")


# What of metadata Pillow's writers have a place for.
_PLACES = {
    "JPEG": ("icc_profile", "exif", "xmp", "dpi", "text"),
    "WEBP": ("icc_profile", "exif", "xmp"),
    "AVIF": ("icc_profile", "exif", "xmp"),
    "TIFF": ("icc_profile", "xmp", "dpi", "text"),
    "BMP": ("dpi",),
}

# Bytes of EXIF, XMP or a comment for which a JPEG has room: each is one of its segments.
_SEGMENT = 65000


def _options(name: str, metadata: Metadata) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Options of Pillow's writer of a format for metadata, and what of it there is no place for."""
    found: dict[str, Any] = {item.name: getattr(metadata, item.name) for item in fields(metadata)}
    found = {item: value for item, value in found.items() if value}
    given, places = tuple(found), _PLACES.get(name, ())
    found = {item: value for item, value in found.items() if item in places}
    if name == "TIFF":
        tags: dict[int, Any] = text_tags(found.pop("text", {}))
        if "xmp" in found:
            tags[XMP] = found.pop("xmp")
        return {**found, **({"tiffinfo": tags} if tags else {})}, tuple(item for item in given if item not in places)
    if name == "JPEG":
        if "text" in found:  # which has a comment without a key
            found["text"] = "\n".join(
                value if key == "Comment" else f"{key}: {value}" for key, value in metadata.text.items()
            ).encode("utf-8")
        if "exif" in found:
            found["exif"] = b"Exif\0\0" + found["exif"]
        found = {
            item: value for item, value in found.items() if item in ("icc_profile", "dpi") or len(value) < _SEGMENT
        }
    if "dpi" in found:  # whole numbers there
        found["dpi"] = tuple(max(1, min(round(number), 0xFFFF)) for number in metadata.dpi or ())
    dropped = tuple(item for item in given if item not in found)
    return {("comment" if item == "text" else item): value for item, value in found.items()}, dropped


def _usual(dtype: np.dtype, bands: int) -> str:
    """What bands are taken for where nothing is said of them."""
    if bands == 1:
        return "gray"
    usual = {("uint8", 2): "gray+alpha", ("uint8", 3): "rgb", ("uint8", 4): "rgba", ("uint16", 3): "rgb"}
    return usual.get((dtype.name, bands), "bands")


def _through_pillow(image: np.ndarray, suffix: str, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """A picture of eight bits in a format of Pillow's, and what of its metadata is not in it."""
    from PIL import Image

    extensions = Image.registered_extensions()
    name = extensions.get(suffix.lower())
    if name not in Image.SAVE:
        raise OptionError(
            f"no image format is known for the extension {suffix!r}; use .png, .tif, .webp or .jpg, or .npy for arrays"
        )
    options, dropped = _options(name, metadata)
    buffer = io.BytesIO()
    try:
        Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image).save(
            buffer, name, **options
        )
    except (OSError, ValueError, KeyError) as error:
        raise OptionError(f"the format {name} cannot hold this image: {error}; use .png") from None
    return buffer.getvalue(), dropped
