"""Writing of other image formats, and of arrays."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from ..errors import OptionError
from ..extras import need
from ..format.chunks import Tag
from .geotiff import write_tiff

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
    tags: Sequence[Tag] = (),
) -> bytes:
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
    tags : sequence of Tag, optional
        Tags for a TIFF.

    Returns
    -------
    bytes
        The file's contents.

    Raises
    ------
    OptionError
        If there is no writer for the extension, or not for this kind of image.
    """
    kind, image = suffix.lower(), np.ascontiguousarray(image)
    if kind == ".npy":
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, image, allow_pickle=False)
        return buffer.getvalue()
    bands = image.shape[-1] if image.ndim == (4 if frames else 3) else 1
    plain = image.dtype == np.uint8 and bands in (1, 3, 4) and channels in (None, "gray", "rgb", "rgba") and not frames
    if kind in _TIFF and not (plain and not tags and nodata is None):
        return write_tiff(image, channels or _usual(image.dtype, bands), frames, tags, nodata)
    if frames:
        raise OptionError(
            f"a {kind} file cannot hold {len(image)} frames; --frame N takes one of them, and .tif and .npy hold all"
        )
    if image.dtype == np.uint16:
        if kind == ".png" and fits_png("uint16", bands):
            return need("imagecodecs", "tiff").png_encode(image[:, :, 0] if image.ndim == 3 and bands == 1 else image)
        if bands in _NETPBM.get(kind, {}):
            head = f"P{_NETPBM[kind][bands]}\n{image.shape[1]} {image.shape[0]}\n65535\n"
            return head.encode("ascii") + image.astype(">u2").tobytes()
    if image.dtype != np.uint8 or bands > 4:
        told = f"{bands} bands of {image.dtype}" if bands > 1 else f"samples of {image.dtype}"
        choice = ", or choose bands with --bands" if bands > 4 else ""
        raise OptionError(f"a {kind} file cannot hold {told}; give it a name that ends in .tif or .npy{choice}")
    return _through_pillow(image, suffix)


def _usual(dtype: np.dtype, bands: int) -> str:
    """What bands are taken for where nothing is said of them."""
    if bands == 1:
        return "gray"
    usual = {("uint8", 2): "gray+alpha", ("uint8", 3): "rgb", ("uint8", 4): "rgba", ("uint16", 3): "rgb"}
    return usual.get((dtype.name, bands), "bands")


def _through_pillow(image: np.ndarray, suffix: str) -> bytes:
    """A picture of eight bits in a format of Pillow's."""
    from PIL import Image

    extensions = Image.registered_extensions()
    name = extensions.get(suffix.lower())
    if name not in Image.SAVE:
        raise OptionError(
            f"no image format is known for the extension {suffix!r}; use .png, .tif, .webp or .jpg, or .npy for arrays"
        )
    buffer = io.BytesIO()
    try:
        Image.fromarray(image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image).save(buffer, name)
    except (OSError, ValueError, KeyError) as error:
        raise OptionError(f"the format {name} cannot hold this image: {error}; use .png") from None
    return buffer.getvalue()
