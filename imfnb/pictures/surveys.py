"""A look through a picture's file before Pillow reads it, for formats of which Pillow loses or trips over something."""

from __future__ import annotations

import re
from typing import BinaryIO

from ..errors import OptionError
from .arrayfiles import npy, npz
from .found import DEEPER, Survey
from .jpeg import jpeg
from .others import avif, jpeg2000, netpbm
from .png import png
from .tags import MAGICS
from .tiff import tiff

__all__ = ["survey"]


def survey(file: BinaryIO, frame: int | None, axes: str | None, bands: bool) -> Survey:
    """Look through a file before Pillow does.

    Parameters
    ----------
    file : binary file object
        With `seek`.
    frame : int or None
        Which of several images is asked for.
    axes : str or None
        What the dimensions of an array in a file are.
    bands : bool
        Whether samples of a TIFF are taken as they are, whatever they are said to mean.

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
        return tiff(file, frame, axes, bands)
    if re.match(rb"P[1-6fF][\s#]", head):
        return netpbm(file, frame)
    if head.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")):
        return jpeg2000(file)
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1", b"msf1"):
        return avif(file)
    if head.startswith(b"\x01\xda") and head[3:4] == b"\2":
        raise OptionError(f"the picture has 16-bit samples, {DEEPER}")
    if head.startswith(b"\x93NUMPY"):
        return npy(file, axes, frame)
    return (npz(file, axes, frame) if head.startswith(b"PK\3\4") else None) or Survey(file)
