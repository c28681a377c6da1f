"""Reading of a picture's file."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..errors import ImfError, LimitError, OptionError, naming
from ..format.container import MAX_PIXELS
from ..kinds import is_path, opened
from ..metadata import NO_METADATA, Metadata
from .color import check_mode, to_pixels, turned
from .formats import name_of, refusal
from .found import Survey, choose_frame
from .plugins import Unreadable, check_pixels, open_picture, tell_orientation
from .rasters import check_axes, fitting_nodata
from .surveys import survey
from .tiff import describe_tiff

__all__ = ["Picture", "one_error", "read_picture"]

# Bytes that tell one format from another; DICOM has its mark behind 128.
_HEAD = 512


class Picture(NamedTuple):
    """A picture that was read.

    Attributes
    ----------
    pixels : ndarray, shape (H, W), (H, W, C), (T, H, W) or (T, H, W, C)
        Gray, RGB or RGBA of uint8, upright, in sRGB; or the samples of a raster as they are stored, of uint8, int8,
        uint16, int16, float32 or float64.
    dropped : tuple of str
        What the file carries beside them and an .imf file does not keep, in words: "IPTC", "layers", "mask".
    channels : str, optional
        What the bands are, where :func:`imfnb.encode` would take them for something else.
    axes : str, optional
        "THW" or "THWC" for a stack of frames.
    nodata : int or float, optional
        What stands for missing samples, as the tag GDAL_NODATA says.
    metadata : Metadata
        What an .imf file keeps beside the samples.
    """

    pixels: np.ndarray
    dropped: tuple[str, ...]
    channels: str | None = None
    axes: str | None = None
    nodata: int | float | None = None
    metadata: Metadata = NO_METADATA

    @property
    def options(self) -> dict[str, Any]:
        """What :func:`imfnb.encode` has to be told of the samples."""
        told = {name: getattr(self, name) for name in ("channels", "axes", "nodata")}
        told["metadata"] = self.metadata or None
        return {name: value for name, value in told.items() if value is not None}


def read_picture(
    source: str | bytes | os.PathLike | BinaryIO,
    *,
    frame: int | None = None,
    max_pixels: int = MAX_PIXELS,
    axes: str | None = None,
    bands: bool = False,
    srgb: bool = False,
) -> Picture:
    """Read a picture in any format that Pillow knows, or a raster.

    Transparency becomes alpha, palettes and CMYK become RGB, and the picture is turned upright as its EXIF orientation
    says. Samples of gray and RGB stay as they are and keep their colour profile.

    Rasters keep their samples as they are: TIFF of any number of bands, of 16 bits, signed or floating point (through
    tifffile, in the extra "tiff"), PNG of 16 bits (through imagecodecs, in that extra, too), PPM, PGM and PFM, .npy,
    which is mapped into memory, and .npz. Colour profiles are not applied to them.

    What would be lost is refused: deep samples of other formats, all but one of several images.

    Parameters
    ----------
    source : path or binary file object
        Where to read from, from its beginning.
    frame : int, optional
        Which of several images (of an animation, of a document of many pages, of the arrays of an .npz file, of the
        frames that `axes` names) to take, from 0. By default a file must hold one, or `axes` say what it holds.
    max_pixels : int, default 2**28
        Larger pictures are refused before they are decoded, the pixels of all frames counted. Pillow's own limit is
        neither asked nor changed.
    axes : str, optional
        What the dimensions of an array in a TIFF, .npy or .npz file are: H and W, and C (bands) and T (frames, the
        pages of a TIFF) if there are such, in their order, as in "CHW" or "THWC". By default what the file says of
        it, which must not be more than rows, columns and bands; and (H, W) or (H, W, C) for files of NumPy's.
    bands : bool, default False
        Whether the samples of a TIFF are taken as they are, and all as bands, whatever they are said to mean.
    srgb : bool, default False
        Whether colours of 8 bits with a profile other than sRGB are converted to it.

    Returns
    -------
    Picture
        The pixels, and what else the file carries.

    Raises
    ------
    OSError
        If the operating system cannot read the file.
    LimitError
        If the picture is too large.
    OptionError
        If the file is not a picture, is damaged, or holds what an .imf file cannot.
    """
    if frame is not None and (isinstance(frame, bool) or not isinstance(frame, (int, np.integer)) or frame < 0):
        raise OptionError(f"frame is {frame!r}; expected a number from 0, or None for a file with one image")
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, (int, np.integer)) or max_pixels < 1:
        raise OptionError(f"max_pixels is {max_pixels!r}; expected a positive integer")
    if axes is not None:
        check_axes(axes)
    with naming(source), _opened(source) as file:
        head = file.read(_HEAD)
        with one_error(name_of(head) or "a picture"):
            return _read(file, head, None if frame is None else int(frame), int(max_pixels), axes, bands, srgb)


@contextmanager
def _opened(source: Any) -> Iterator[BinaryIO]:
    """A source as a binary file object that can seek, at its beginning."""
    if is_path(source) or isinstance(source, bytes):
        try:
            opening = opened(source, "rb")  # entered below; errors of the block are not to be caught here
        except OptionError:
            raise
        except ValueError as error:  # a zero byte
            raise OptionError(f"the path cannot be used: {error}") from None
        with opening as stream:
            yield stream if stream.seekable() else io.BytesIO(stream.read())
        return
    if not hasattr(source, "read"):
        raise OptionError(f"the picture is given as a {type(source).__name__}; expected a path or a binary file object")
    file: BinaryIO | None
    try:
        source.seek(0)
        file = source if source.read(0) == b"" else None
    except (AttributeError, io.UnsupportedOperation):
        data = source.read()
        file = io.BytesIO(data) if isinstance(data, (bytes, bytearray)) else None
    except OSError:  # a pipe
        file = io.BytesIO(source.read())
    if file is None:
        raise OptionError("the file object gives text; open it in binary mode, with 'rb'")
    yield file


@contextmanager
def one_error(what: str, reader: str = "Pillow") -> Iterator[None]:
    """Make one error of whatever a reader, such as one of Pillow's, raises over a damaged file.

    Parameters
    ----------
    what : str
        What the file is, such as "a PNG file".
    reader : str, default "Pillow"
        Whose reader it is.

    Raises
    ------
    OptionError
        Instead of everything but errors of our own, of the operating system, and those that are nobody's fault.
    """
    try:
        yield
    except (ImfError, MemoryError):
        raise
    except Exception as error:
        # Positions that no file has are what damaged files ask the operating system for.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        if type(error).__name__.startswith("DecompressionBomb"):  # from a reader that was not reached in `plugins`
            raise LimitError(f"Pillow refuses the picture ({text}); raise PIL.Image.MAX_IMAGE_PIXELS") from error
        raise OptionError(
            f"this is {what} whose pixels {reader} cannot read ({text[:200]}); it is damaged or of a rare kind: "
            "fetch it again, or convert it to PNG or TIFF first"
        ) from error


def _read(
    file: BinaryIO, head: bytes, frame: int | None, max_pixels: int, axes: str | None, bands: bool, srgb: bool
) -> Picture:
    found = survey(file, frame, axes, bands)
    if axes not in (None, "HW", "HWC") and found.reader not in ("tifffile", "NumPy"):
        raise OptionError(f"axes is {axes!r}, and the picture is one of rows and columns; leave axes out")
    if found.load is not None:
        with one_error(name_of(head) or "a picture", found.reader):
            return _raster(found, found.load(max_pixels))
    try:
        opened = _open(found, max_pixels)
    except Unreadable as error:
        try:
            if found.spare is not None:
                return _raster(found, found.spare(max_pixels))
        except (ImfError, MemoryError):
            raise
        except Exception:  # whatever a damaged file makes of tifffile
            pass
        reason = describe_tiff(found.file) if name_of(head) == "a TIFF file" else error.reason
        raise OptionError(refusal(head, error.format, reason)) from None
    with opened as picture:
        _select(picture, found, head, frame)
        check_pixels(picture.size, max_pixels)
        depth = check_mode(picture)
        found.ask(picture.format, picture.info)
        orientation = found.upright()
        if found.orientation is not None:
            tell_orientation(picture, found.orientation)
        picture.load()
        check_pixels(picture.size, max_pixels)
        pixels, note, profile = to_pixels(picture, depth, found.profile, srgb)
        if note:
            found.dropped.insert(0, note)
        nodata = None if found.nodata is None else fitting_nodata(found.nodata, pixels.dtype)
        if note and "converted" in note:  # no sample has that value any more
            nodata = None
        metadata = replace(found.metadata, icc_profile=profile)
        return Picture(turned(pixels, orientation), tuple(found.dropped), nodata=nodata, metadata=metadata)


def _raster(found: Survey, samples: np.ndarray) -> Picture:
    """What was read as it is stored, with what was found beside it."""
    orientation = found.upright() if found.orientation is None else found.orientation
    axes = None
    if found.stack:
        axes = "THWC"[: samples.ndim]
    elif orientation != 1:
        samples = turned(samples, orientation)
    nodata = None if found.nodata is None else fitting_nodata(found.nodata, samples.dtype)
    metadata = replace(found.metadata, icc_profile=found.profile)
    return Picture(samples, tuple(found.dropped), found.channels, axes, nodata, metadata)


def _open(found: Survey, max_pixels: int) -> Any:
    """What Pillow makes of a file, its pixels not decoded yet."""
    try:
        return open_picture(found.file, max_pixels)
    except (ValueError, SyntaxError) as error:
        if isinstance(error, ImfError) or found.without_exif is None:
            raise
        found.drop("damaged EXIF")
        return open_picture(found.without_exif, max_pixels)


def _select(picture: Any, found: Survey, head: bytes, frame: int | None) -> None:
    """Go to the image that is asked for."""
    if picture.format == "PSD":  # what is read is what all layers together show
        choose_frame(frame, 1)
        try:
            layers = picture.n_frames
        except Exception:
            layers = 1
        if layers:
            found.drop("layers")
        if int.from_bytes(head[12:14], "big") > len(picture.getbands()):
            found.drop("further channels")
        return
    index = choose_frame(frame, getattr(picture, "n_frames", 1)) if found.frame is None else found.frame
    if index:
        picture.seek(index)
    if picture.format in ("ICO", "ICNS", "CUR") and len(picture.info.get("sizes", ())) > 1:
        found.drop("smaller versions")
