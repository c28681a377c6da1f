"""What was found in a picture's file beside its pixels, in any format."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from ..errors import OptionError
from ..format.chunks import Tag
from ..metadata import Metadata
from .tags import read_exif, upright_exif, whole_exif

__all__ = ["DEEPER", "Survey", "check_code_points", "choose_frame", "words"]

#: Ends what is said of samples of more than eight bits in formats of which only eight are read.
DEEPER = "deeper than 8 bits; convert it to TIFF or PNG of 16 bits first"

# What XMP says of how pixels have to be turned, as an attribute or as an element.
_ORIENTATION = re.compile(rb'(tiff:Orientation(?:="|>))([1-8])')

# Resolutions that software writes where it knows none, in dots per inch.
_NO_RESOLUTION = (0, 1, 72, 96)


@dataclass
class Survey:
    """What was found in a file.

    Attributes
    ----------
    file : binary file object
        What Pillow shall read.
    frame : int or None
        The image to take, as Pillow counts; None where Pillow has to be asked how many there are.
    profile, exif, xmp : bytes or None
        Metadata that decides how the picture looks.
    orientation : int or None
        What a TIFF's tag says, by which its reader turns the pixels.
    dropped : list of str
        What an .imf file cannot hold, in words.
    without_exif : binary file object or None
        The same picture, for a reader that stumbles over damaged EXIF.
    load : callable or None
        Where Pillow would not keep the samples: from the largest number of pixels to accept to the samples, in the
        order T, H, W, C. Pillow is not asked then.
    spare : callable or None
        The same for samples that Pillow would keep, if it read the file.
    reader : str
        Whose code `load` is.
    stack : bool
        Whether these samples are those of several frames.
    channels : str or None
        What the bands are, as for :func:`imfnb.encode`, where that is not what it would take them for.
    nodata : float or None
        What stands for missing samples.
    tags : tuple of Tag
        Tags of a TIFF that an .imf file keeps.
    dpi : (float, float) or None
        Dots per inch across and down.
    text : dict of str to str
        Comments and the like, by their keys.
    """

    file: BinaryIO
    frame: int | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    orientation: int | None = None
    dropped: list[str] = field(default_factory=list)
    without_exif: BinaryIO | None = None
    load: Callable[[int], np.ndarray] | None = None
    spare: Callable[[int], np.ndarray] | None = None
    reader: str = "Pillow"
    stack: bool = False
    channels: str | None = None
    nodata: float | None = None
    tags: tuple[Tag, ...] = ()
    dpi: tuple[float, float] | None = None
    text: dict[str, str] = field(default_factory=dict)

    def drop(self, what: str) -> None:
        """Note that something will not be kept, once."""
        if what not in self.dropped:
            self.dropped.append(what)

    def ask(self, format: str, info: dict[Any, Any]) -> None:
        """Take from Pillow what it found in a file that was not looked into here."""
        self.profile = self.profile or _bytes(info.get("icc_profile"))
        self.exif = self.exif or _bytes(info.get("exif"))
        self.xmp = self.xmp or _bytes(info.get("xmp"))
        comment = _bytes(info.get("comment"))
        if comment and not comment.startswith(b"Created by OpenJPEG"):
            self.note("Comment", comment)
        dpi = info.get("dpi")  # of PCX files some size of a screen
        if format not in ("TIFF", "PCX") and isinstance(dpi, tuple) and len(dpi) == 2:
            self.resolution(*map(float, dpi))

    def resolution(self, x: float, y: float) -> None:
        """Note a resolution in dots per inch, unless it means nothing."""
        if x != y or min(abs(x - usual) for usual in _NO_RESOLUTION) > 0.5:
            if 0 < x < math.inf and 0 < y < math.inf:
                self.dpi = x, y
            else:
                self.drop("damaged resolution")

    def note(self, key: str, text: bytes | str) -> None:
        """Note a text; what stands under a key already stays before it."""
        text = text if isinstance(text, str) else words(text)
        if text:
            self.text[key] = f"{self.text[key]}\n{text}" if key in self.text else text

    def upright(self) -> int:
        """How loaded pixels have to be turned, 1 to 8; EXIF and XMP say that of upright pixels from then on."""
        found = 1
        if self.xmp:
            match = _ORIENTATION.search(self.xmp)
            found = int(match[2]) if match else found
            self.xmp = _ORIENTATION.sub(rb"\g<1>1", self.xmp)
        if self.exif:
            try:
                found, more = read_exif(self.exif)
                self.exif = upright_exif(whole_exif(self.exif)) if more else None
            except ValueError:
                self.drop("damaged EXIF")
                self.exif = None
        return found if self.orientation is None else 1

    @property
    def metadata(self) -> Metadata:
        """What an .imf file keeps beside the samples, but for the profile."""
        values = {}
        for name in ("exif", "xmp", "dpi", "text", "tags"):
            value = getattr(self, name)
            try:
                Metadata(**{name: value})
            except OptionError:  # only what is too large
                self.drop(f"oversized {name}")
            else:
                values[name] = value
        return Metadata(**values)


def choose_frame(frame: int | None, count: int, what: str = "images", remedy: str = "") -> int:
    """Which of the images of a file to take.

    Parameters
    ----------
    frame : int or None
        What the caller asked for.
    count : int
        How many there are.
    what : str, default "images"
        What they are.
    remedy : str, default ""
        What else could be done than to take one.

    Returns
    -------
    int
        Its number, from 0.

    Raises
    ------
    OptionError
        If there is no such image, or several and none was asked for.
    """
    if frame is None and count > 1:
        raise OptionError(
            f"the file holds {count} {what}; --frame N (frame=N in Python) takes one of them, from 0 to {count - 1}"
            f"{remedy}"
        )
    if frame is not None and frame >= count:
        held = f"{count} {what}, frames 0 to {count - 1}" if count > 1 else f"one {what[:-1]}, frame 0"
        raise OptionError(f"there is no frame {frame}; the file holds {held}")
    return frame or 0


def check_code_points(primaries: int, transfer: int) -> None:
    """Refuse colours that ITU-T H.273's numbers say are not those of sRGB; Pillow leaves them as they are."""
    if primaries not in (1, 2, 5, 6, 7) or transfer not in (1, 2, 4, 6, 13, 14, 15):
        name = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}.get(primaries, f"primaries {primaries}")
        curve = {16: " with PQ", 18: " with HLG", 8: " with linear samples"}.get(transfer, "")
        raise OptionError(f"the picture's colours are {name}{curve} and not sRGB; convert it to sRGB first")


def _bytes(value: Any) -> bytes | None:
    """What Pillow gives as bytes or text, or else None."""
    return value.encode("utf-8", "replace") if isinstance(value, str) else value if isinstance(value, bytes) else None


def words(text: bytes) -> str:
    """Text in UTF-8, or else in Latin-1, without zeros at its end."""
    text = text.rstrip(b"\0")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
