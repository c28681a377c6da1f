"""A look through a picture's file before Pillow reads it, for formats of which Pillow loses or trips over something."""

from __future__ import annotations

import re
from typing import BinaryIO

from ..errors import OptionError
from .found import DEEPER, Survey
from .jpeg import jpeg
from .others import avif, jpeg2000, netpbm
from .png import png
from .tags import MAGICS
from .tiff import tiff

__all__ = ["survey"]


def survey(file: BinaryIO, frame: int | None) -> Survey:
    """Look through a file before Pillow does.

    Parameters
    ----------
    file : binary file object
        With `seek`.
    frame : int or None
        Which of several images is asked for.

    Returns
    -------
    Survey
        What was found.

    Raises
    ------
    OptionError
        If the samples are deeper than eight bits or of a kind that would not be kept, or the frame is missing.
    ValueError, LookupError, struct.error
        If the file is damaged.
    """
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return png(file, frame)
    if head.startswith(b"\xff\xd8\xff"):
        return jpeg(file, frame)
    if head[:4] in MAGICS:
        return tiff(file, frame)
    if re.match(rb"P[1-6fF][\s#]", head):
        return netpbm(file, frame)
    if head.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")):
        return jpeg2000(file)
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1", b"msf1"):
        return avif(file)
    if head.startswith(b"\x01\xda") and head[3:4] == b"\2":
        raise OptionError(f"the picture has 16-bit samples, {DEEPER}")
    return Survey(file)
