"""Reading of a picture's file."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ..errors import ImfError, LimitError, OptionError, naming
from ..format.container import MAX_PIXELS
from .color import check_mode, to_pixels, turned
from .formats import name_of, refusal
from .found import Survey, choose_frame
from .plugins import Unreadable, check_pixels, open_picture, tell_orientation
from .surveys import survey
from .tiff import describe_tiff

__all__ = ["Picture", "one_error", "read_picture"]

# Bytes that tell one format from another; DICOM has its mark behind 128.
_HEAD = 512


class Picture(NamedTuple):
    """A picture that was read.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W), (H, W, 3) or (H, W, 4)
        Gray, RGB or RGBA, upright, in sRGB.
    dropped : tuple of str
        What the file carries beside them and an .imf file cannot hold, in words: "ICC profile", "EXIF", "resolution".
    """

    pixels: np.ndarray
    dropped: tuple[str, ...]


def read_picture(
    source: str | bytes | os.PathLike | BinaryIO, *, frame: int | None = None, max_pixels: int = MAX_PIXELS
) -> Picture:
    """Read a picture in any format that Pillow knows.

    Transparency becomes alpha, palettes and CMYK become RGB, colours with a profile other than sRGB are converted to
    it, and the picture is turned upright as its EXIF orientation says. What would be lost instead is refused: samples
    of more than eight bits, further bands, all but one of several images.

    Parameters
    ----------
    source : path or binary file object
        Where to read from, from its beginning.
    frame : int, optional
        Which of several images (of an animation, of a document of many pages) to take, from 0. By default a file
        must hold one.
    max_pixels : int, default 2**28
        Larger pictures are refused before they are decoded. Pillow's own limit is neither asked nor changed.

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
    with naming(source), _opened(source) as file:
        head = file.read(_HEAD)
        with one_error(name_of(head) or "a picture"):
            return _read(file, head, None if frame is None else int(frame), int(max_pixels))


@contextmanager
def _opened(source: Any) -> Iterator[BinaryIO]:
    """A source as a binary file object that can seek, at its beginning."""
    if isinstance(source, (str, bytes, os.PathLike)):
        try:
            opened = open(source, "rb")  # noqa: SIM115 - closed below; errors of the block are not to be caught here
        except ValueError as error:  # a zero byte
            raise OptionError(f"the path cannot be used: {error}") from None
        with opened:
            yield opened
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
def one_error(what: str) -> Iterator[None]:
    """Make one error of whatever a reader of Pillow's raises over a damaged file.

    Parameters
    ----------
    what : str
        What the file is, such as "a PNG file".

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
            f"this is {what} whose pixels Pillow cannot read ({text[:200]}); it is damaged or of a rare kind: "
            "fetch it again, or convert it to PNG or TIFF of 8 bits first"
        ) from error


def _read(file: BinaryIO, head: bytes, frame: int | None, max_pixels: int) -> Picture:
    found = survey(file, frame)
    with _open(found, head, max_pixels) as picture:
        _select(picture, found, head, frame)
        check_pixels(picture.size, max_pixels)
        depth = check_mode(picture)
        found.ask(picture.format, picture.info)
        orientation = found.upright()
        if found.orientation is not None:
            tell_orientation(picture, found.orientation)
        picture.load()
        check_pixels(picture.size, max_pixels)
        pixels, note = to_pixels(picture, depth, found.profile)
        if note:
            found.dropped.insert(0, note)
        return Picture(turned(pixels, orientation), tuple(found.dropped))


def _open(found: Survey, head: bytes, max_pixels: int) -> Any:
    """What Pillow makes of a file, its pixels not decoded yet."""
    try:
        return open_picture(found.file, max_pixels)
    except Unreadable as error:
        reason = describe_tiff(found.file) if name_of(head) == "a TIFF file" else error.reason
        raise OptionError(refusal(head, error.format, reason)) from None
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
