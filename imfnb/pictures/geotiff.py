"""TIFFs with samples that Pillow does not keep, read and written through tifffile, which the extra "tiff" brings."""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from ..errors import OptionError
from ..extras import need
from ..format.chunks import Tag
from ..metadata import NO_METADATA, Metadata
from .found import choose_frame
from .rasters import arrange, check_array

__all__ = ["TEXTS", "XMP", "Choice", "load_tiff", "text_tags", "write_tiff"]

_NODATA = 42113

#: The tag that holds XMP.
XMP = 700

# struct's letters of the types of values, by TIFF's numbers; those of bytes are left as they are.
_LETTERS = {3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d", 13: "I"}
_LETTERS |= {16: "Q", 17: "q", 18: "Q"}


#: Tags that are texts, by the names that the specification has for them.
TEXTS = {
    269: "DocumentName",
    270: "ImageDescription",
    271: "Make",
    272: "Model",
    285: "PageName",
    306: "DateTime",
    315: "Artist",
    316: "HostComputer",
    33432: "Copyright",
}


@dataclass(frozen=True)
class Choice:
    """What of a file is wanted.

    Attributes
    ----------
    page : int or None
        The one image to read, counted in the file; None for what its images are together.
    count : int
        How many images the file holds, without smaller versions and masks.
    axes : str or None
        What the dimensions are; None for what the file says.
    frame : int or None
        The one frame to take.
    """

    page: int | None
    count: int
    axes: str | None
    frame: int | None


def _tifffile() -> ModuleType:
    """The library, which tells of damage through a logger that prints where nobody has set it up."""
    module = need("tifffile", "tiff")
    need("imagecodecs", "tiff")  # without which it reads and writes hardly any compressed file
    logger = logging.getLogger("tifffile")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return module


def load_tiff(file: BinaryIO, choice: Choice, max_pixels: int) -> np.ndarray:
    """The samples of a TIFF as they are stored.

    Parameters
    ----------
    file : binary file object
        The file; no other file that it may name is opened.
    choice : Choice
        What to read.
    max_pixels : int
        Largest number of pixels to accept.

    Returns
    -------
    ndarray
        Its dimensions in the order T, H, W, C, as many as there are.
    """
    tifffile = _tifffile()
    file.seek(0)
    with tifffile.TiffFile(file, _multifile=False) as tiff:
        part = tiff.series[0] if choice.page is None else tiff.pages[choice.page]
        if choice.page is not None and choice.count == 1 and tiff.series and tiff.series[0].size > part.size:
            part = tiff.series[0]  # as ImageJ writes large stacks: one directory, and images behind it
        axes = choice.axes or _known_axes(part, choice.count)
        if choice.axes is not None:
            _check_order(axes, part)
        if choice.page is None and choice.count > len(part.pages):
            raise OptionError(
                f"the file's {choice.count} images are not of one shape; --frame N (frame=N in Python) without axes "
                "takes one of them"
            )
        check_array(part.dtype, part.shape, axes, max_pixels)
        if "T" in axes:
            choose_frame(choice.frame or 0, part.shape[axes.index("T")])
        return np.asarray(arrange(part.asarray(), axes, choice.frame))


def _known_axes(part: Any, count: int) -> str:
    """What the dimensions of an image are, by what the file says: rows, columns and bands."""
    names = part.axes.replace("Y", "H").replace("X", "W").replace("S", "C")
    if sorted(names) in (["H", "W"], ["C", "H", "W"]):
        return names
    shape = " x ".join(map(str, part.shape))
    example = "CHW" if part.ndim == 3 else "TCHW"
    if "Z" in names and count == 1:
        raise OptionError(
            f"the picture is a volume ({shape}, {part.axes}); --axes (axes= in Python) says what its slices are taken "
            f"for, frames (T) or bands (C), as in {example}"
        )
    frames = count if count > 1 else int(np.prod(part.shape)) // part.keyframe.size
    choose_frame(
        None, frames, remedy=f", and --axes (axes= in Python) all of them, as frames (T) or bands (C): {shape}"
    )
    raise OptionError(
        f"the picture has the dimensions {part.axes} ({shape}); --axes (axes= in Python) says what they are, such as "
        f"{example}"
    )


def _check_order(axes: str, part: Any) -> None:
    """Refuse names of dimensions that contradict what the file says of its rows and columns."""
    for name, letter in (("H", "Y"), ("W", "X")):
        if part.axes.count(letter) == 1 and len(part.axes) == len(axes) and part.axes.index(letter) != axes.index(name):
            raise OptionError(
                f"axes is {axes!r}, and the file's are {part.axes} ({' x '.join(map(str, part.shape))}), Y being rows "
                "and X columns; give them in that order"
            )


def write_tiff(
    image: np.ndarray,
    channels: str,
    frames: bool,
    metadata: Metadata = NO_METADATA,
    nodata: int | float | None = None,
) -> bytes:
    """A TIFF of samples of any kind, deflated with a predictor.

    Parameters
    ----------
    image : ndarray
        Shape (H, W) or (H, W, C), or with frames before them.
    channels : str
        What the bands are, as for :func:`imfnb.encode`.
    frames : bool
        Whether the first dimension is that of frames, each of which becomes a page.
    metadata : Metadata
        To be written into every page; EXIF is not.
    nodata : int or float, optional
        What stands for missing samples, which GDAL is told in a tag.

    Returns
    -------
    bytes
        The file.
    """
    tifffile = _tifffile()
    kept = {tag.number: tag for tag in metadata.tags if nodata is None or tag.number != _NODATA}
    extra = [_extra_tag(tag) for tag in kept.values()]
    if nodata is not None:
        extra.append((_NODATA, 2, 0, f"{nodata}", True))
    options: dict[str, Any] = {"photometric": "rgb" if channels in ("rgb", "rgba") else "minisblack"}
    if metadata.icc_profile:
        options["iccprofile"] = metadata.icc_profile
    if metadata.dpi:
        options |= {"resolution": metadata.dpi, "resolutionunit": "INCH"}
    if metadata.xmp:
        extra.append((XMP, 1, len(metadata.xmp), metadata.xmp, True))
    for number, text in text_tags(metadata.text).items():
        content = text.encode("utf-8") + b"\0"
        extra.append((number, 2, len(content), content, True))
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=image.nbytes > 2**31) as writer:
        for page in image if frames else [image]:
            if page.ndim == 3 and page.shape[2] == 1:
                page = page[:, :, 0]
            if page.ndim == 3:
                options["planarconfig"] = "contig"
                more = page.shape[2] - (3 if options["photometric"] == "rgb" else 1)
                kind = "unassalpha" if channels in ("rgba", "gray+alpha") else "unspecified"
                options["extrasamples"] = [kind] * more
            writer.write(
                page,
                compression="zlib",
                predictor=True,
                metadata=None,
                software=False,
                extratags=extra,
                **options,
            )
    return buffer.getvalue()


def _extra_tag(tag: Tag) -> tuple[int, int, int, Any, bool]:
    """A tag as tifffile takes it."""
    letter = _LETTERS.get(tag.type)
    if letter is None:
        return tag.number, tag.type, len(tag.data), tag.data, True
    values = struct.unpack(f"<{len(tag.data) // struct.calcsize(f'<{letter}')}{letter}", tag.data)
    return tag.number, tag.type, tag.count, values[0] if len(values) == 1 else values, True


def text_tags(text: Mapping[str, str]) -> dict[int, str]:
    """Tags for texts: those that the specification has a tag for, all others as lines of the description.

    Parameters
    ----------
    text : mapping of str to str
        Texts by their keys.

    Returns
    -------
    dict of int to str
        Texts by the numbers of their tags.
    """
    numbers = {name: number for number, name in TEXTS.items()}
    values = {numbers[key]: value for key, value in text.items() if key in numbers}
    rest = [f"{key}: {value}" for key, value in text.items() if key not in numbers]
    if rest:
        values[270] = "\n".join([*([values[270]] if 270 in values else []), *rest])
    return dict(sorted(values.items()))
