"""TIFF: samples that Pillow would cut, shift or leave out, pages, and what is said of them."""

from __future__ import annotations

import io
import re
import struct
from functools import partial
from typing import BinaryIO

from ..errors import OptionError
from ..format.chunks import GEO_TAGS
from .found import Survey, choose_frame
from .geotiff import TEXTS, XMP, Choice, load_tiff
from .tags import Directory, directories

__all__ = ["describe_tiff", "tiff"]

_PHOTOMETRIC: dict[int | None, tuple[str, int]] = {
    0: ("gray", 1),
    1: ("gray", 1),
    2: ("RGB", 3),
    3: ("palette", 1),
    4: ("mask", 1),
    5: ("CMYK", 4),
    6: ("YCbCr", 3),
    8: ("CIE Lab", 3),
    9: ("ICC Lab", 3),
    10: ("ITU Lab", 3),
    32803: ("raw sensor", 1),
    32844: ("LogL", 1),
    32845: ("LogLuv", 3),
    34892: ("linear raw", 3),
}

_FORMATS = {1: "unsigned", 2: "signed", 3: "floating point", 4: "untyped", 5: "complex integer", 6: "complex"}

_COMPRESSIONS = {
    1: "no compression",
    2: "CCITT compression",
    3: "CCITT compression",
    4: "CCITT compression",
    5: "LZW compression",
    6: "old-style JPEG compression",
    7: "JPEG compression",
    8: "Deflate compression",
    32773: "PackBits compression",
    32946: "Deflate compression",
    33003: "JPEG 2000 compression",
    33005: "JPEG 2000 compression",
    34712: "JPEG 2000 compression",
    34887: "LERC compression",
    34892: "lossy JPEG compression",
    34925: "LZMA compression",
    50000: "Zstandard compression",
    50001: "WebP compression",
    50002: "JPEG XL compression",
    52546: "JPEG XL compression",
}

# Tags that say how the samples lie in the file, rather than what they are of.
_LAYOUT = {*range(254, 269), 273, *range(277, 282), 284, *range(290, 294), 297, 301, 317, 320, *range(321, 326)}
_LAYOUT |= {330, 332, 334, 338, 339, 347, *range(512, 522), *range(529, 533), 32997}

# What a TIFF may carry beside its samples, by tag. The name of the software is nothing to miss.
_TIFF_EXTRAS = {
    34665: "EXIF",
    34853: "EXIF",
    33723: "IPTC",
    34377: "Photoshop data",
    37724: "Photoshop data",
}

# Those that are kept and say where pixels lie, for which turning a picture would make them wrong.
_PLACES = (33550, 33922, 34264)


def tiff(file: BinaryIO, frame: int | None, axes: str | None, bands: bool) -> Survey:
    """Look through a TIFF; see :func:`imfnb.pictures.surveys.survey`."""
    found = Survey(file)
    every: list[Directory] = []
    try:
        every.extend(directories(file))
    except ValueError:
        if not every:
            raise
        found.drop("damaged further images")
    # Smaller versions (pyramids, previews) and masks are no images of their own.
    kinds = [int(page.number(254)) | (page.number(255) == 2) for page in every]
    if every and (50706 in every[0] or (330 in every[0] and all(kind & 1 for kind in kinds))):
        raise OptionError("this is a camera's raw data (DNG or the like); develop it to PNG or TIFF of 8 bits first")
    pages = [index for index, kind in enumerate(kinds) if not kind & 5] or list(range(min(1, len(every))))
    if not pages:
        raise OptionError("this is a TIFF file without an image; fetch it again")
    stacked = axes is not None and "T" in axes
    # What the pages of a file are, frames or bands, is for tifffile to find out, unless one of them is asked for.
    many = frame is None and len(pages) > 1
    if axes is None and many and not _DESCRIBED.match(_optional(every[pages[0]], 270) or b""):
        choose_frame(frame, len(pages), remedy=", and --axes (axes= in Python), such as THW or CHW, all of them")
    whole = axes is not None or many
    found.frame = pages[0 if whole else choose_frame(frame, len(pages))]
    if axes is not None and not stacked:
        choose_frame(frame, 1)
    page = every[found.frame]
    raster, found.channels = _plan(page, bands, whole, whole and "C" in (axes or "C"))
    if any(kind & 4 for kind in kinds):
        found.drop("mask")
    for tag in page:
        if tag in _TIFF_EXTRAS:
            found.drop(_TIFF_EXTRAS[tag])
        if tag in TEXTS and not (tag == 270 and _DESCRIBED.match(_optional(page, tag) or b"")):
            found.note(TEXTS[tag], _optional(page, tag) or b"")
    found.profile = _optional(page, 34675)
    broken = [tag for tag in page if tag not in _LAYOUT and _optional(page, tag) is None]
    if broken:  # Pillow would read no tag behind them: give them a type that there is none of, which it ignores
        file.seek(0)
        data = bytearray(file.read())
        for tag in broken:
            data[page.positions[tag] + 2 : page.positions[tag] + 4] = b"\0\0"
            found.drop("damaged ICC profile" if tag == 34675 else "damaged metadata")
        found.file = io.BytesIO(data)
    found.xmp = _optional(page, XMP)
    found.tags = tuple(kept for number in GEO_TAGS if number not in broken and (kept := page.tag(number)))
    if raster or page.number(262) in (1, 2):  # else samples are not what they are in the file
        found.nodata = _nodata(page)
    choice = Choice(None if whole else found.frame, len(pages), axes, frame if stacked else None)
    if not raster and page.number(262) in (1, 2):
        found.spare = partial(load_tiff, found.file, choice)
    if raster:
        found.load, found.reader = partial(load_tiff, found.file, choice), "tifffile"
        found.stack = stacked and frame is None
        if page.number(262) == 0:
            found.drop("that 0 stands for white")
        if any(number in page for number in _PLACES) and page.number(274, 1) != 1:
            found.drop("orientation")
            found.orientation = 1
            return found
    orientation = page.number(274)
    found.orientation = int(orientation) if orientation in range(1, 9) else None
    unit = page.number(296, 2)
    if unit in (2, 3):
        scale = 2.54 if unit == 3 else 1
        found.resolution(page.number(282) * scale, page.number(283) * scale)
    elif page.number(282) != page.number(283):
        found.drop("resolution")
    return found


# What says which dimension of an array pages are, in the place of a description: tifffile, whose first key depends on
# its version, ImageJ and OME.
_DESCRIBED = re.compile(rb'\{"(?:shape|axes)": |ImageJ=|.{,4096}<OME', re.DOTALL)


def _nodata(page: Directory) -> float | None:
    """What stands for missing samples, as GDAL says it."""
    try:
        return float((_optional(page, 42113) or b"").rstrip(b"\0 "))
    except ValueError:
        return None


def _optional(page: Directory, tag: int) -> bytes | None:
    """The bytes of a tag; None if they cannot be had."""
    try:
        return page.block(tag)
    except ValueError:
        return None


def _samples(page: Directory) -> tuple[tuple[int, ...], int, tuple[int, ...], int | None]:
    """Bits of every sample, their format, what extra samples are, and the photometric interpretation."""
    photometric = int(page.number(262, -1))
    usual = 3 if page.number(259) == 6 and photometric in (2, 6) else 1
    bits = tuple(int(value) for value in page.numbers(258, (1,)))
    count = int(page.number(277, usual))
    bits = bits * count if len(bits) == 1 and count <= 0xFFFF else bits[:count]
    formats = set(page.numbers(339, (1,)))
    return bits, int(max(formats)), tuple(map(int, page.numbers(338))), None if photometric < 0 else photometric


def _plan(page: Directory, bands: bool, whole: bool, stacked: bool) -> tuple[bool, str | None]:
    """Whether Pillow would cut, shift or leave out samples, and what the bands are.

    Parameters
    ----------
    page : Directory
        The image.
    bands : bool
        Whether its samples are taken as they are, whatever they mean.
    whole : bool
        Whether further images of the file are to be read with it.
    stacked : bool
        Whether these are further bands.
    """
    bits, kind, extra, photometric = _samples(page)
    name, colors = _PHOTOMETRIC.get(photometric, ("gray", 1))
    more, deep = len(bits) - colors, kind not in (1, 4) or max(bits, default=0) > 8
    # Where nothing is said of a fourth sample, it is taken for alpha, as Pillow does: all four are kept in any case.
    alpha = more == 1 and colors != 4 and (extra in _ALPHA or (colors == 3 and not extra))
    inks = photometric == 5 and page.number(332, 1) != 1
    if bands:
        return True, "bands"
    if not (deep or whole or inks or (more > 0 and not alpha) or page.number(32997, 1) > 1):
        return False, None
    if len(bits) == 1 and stacked and photometric in (None, 0, 1):  # each of the pages is a band
        return True, "bands"
    if photometric not in (None, 0, 1, 2):
        samples = f"{max(bits, default=0)}-bit {_FORMATS.get(kind, 'unknown')} samples"
        colours = f"{len(bits)} inks other than CMYK" if inks else f"{len(bits)} bands, {name} among them"
        raise OptionError(
            f"the picture has {colours}, of {samples}; convert it to RGB first, or take them as they are with --bands "
            "(bands=True in Python)"
        )
    if kind != 1 or max(bits, default=0) > 16:  # what else is there is nothing but bands for `encode`
        return True, None
    if more == 1 and extra in _STRAIGHT:
        return True, "rgba" if colors == 3 else "gray+alpha"
    return True, None if len(bits) == 1 else "rgb" if len(bits) == colors == 3 else "bands"


# What ExtraSamples says of alpha: premultiplied, not so, and CorelDRAW's number for it.
_ALPHA = ((1,), (2,), (999,))

# Where it is not premultiplied, which alpha in an .imf file never is.
_STRAIGHT = ((2,), (999,))


def describe_tiff(file: BinaryIO) -> str:
    """What kind of TIFF a file is, in words.

    Parameters
    ----------
    file : binary file object
        A file that begins like a TIFF.

    Returns
    -------
    str
        Such as "3 unsigned samples of 8 bits, RGB, JPEG XL compression".
    """
    try:
        page = next(directories(file))
        bits, kind, _, photometric = _samples(page)
        compression = int(page.number(259, 1))
        return (
            f"{len(bits)} {_FORMATS.get(kind, 'unknown')} sample{'s' * (len(bits) != 1)} of "
            f"{' or '.join(map(str, sorted(set(bits))))} bits, "
            f"{_PHOTOMETRIC.get(photometric, (f'photometric interpretation {photometric}', 0))[0]}, "
            f"{_COMPRESSIONS.get(compression, f'compression {compression}')}"
        )
    except (ValueError, StopIteration, struct.error):
        return "damaged"
