"""Names of files that are no pictures for Pillow, by how they begin, with what to do about them."""

from __future__ import annotations

import re

__all__ = ["name_of", "refusal"]

_CONVERT = "convert it to PNG or TIFF of 8 bits first"
_RAW = "develop it to PNG or TIFF of 8 bits first"
_VIDEO = "take single pictures out of it first"
_ARRAY = "read it as an array and encode that, or save it as .npy or TIFF"

# How files begin, as regular expressions; what they are; what to do.
_KINDS = (
    (rb"\x89PNG", "a PNG file", ""),
    (rb"\xff\xd8\xff\xf7", "a JPEG-LS file", _CONVERT),
    (rb"\xff\xd8\xff", "a JPEG file", ""),
    (rb"GIF8", "a GIF file", ""),
    (rb"RIFF.{4}WEBP", "a WebP file", ""),
    (rb"BM.{4}\0\0\0\0", "a BMP file", ""),
    (rb"II\*\0.{4}CR", "a CR2 file, a camera's raw data", _RAW),
    (rb"(II[*+]\0|MM\0[*+])", "a TIFF file", ""),
    (rb"II\xbc\x01", "a JPEG XR file", _CONVERT),
    (rb"(IIRO|IIRS|MMOR|IIU\0|FUJIFILMCCD|.{4}ftypcrx)", "a camera's raw data", _RAW),
    (rb".{4}ftyp(avif|avis)", "an AVIF file", ""),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "a HEIC file, which needs a plugin of Pillow's", _CONVERT),
    (rb".{4}ftyp", "a video or another MPEG-4 file", _VIDEO),
    (rb"(\xff\x0a|\0\0\0\x0cJXL )", "a JPEG XL file", _CONVERT),
    (rb"(\xff\x4f\xff\x51|\0\0\0\x0cjP  )", "a JPEG 2000 file", ""),
    (rb"v/1\x01", "an OpenEXR file with floating point samples", _ARRAY),
    (rb"#\?(RADIANCE|RGBE)", "a Radiance HDR file with floating point samples", _ARRAY),
    (rb"8BP[SB]", "a Photoshop file", _CONVERT),
    (rb"gimp xcf", "a GIMP file", _CONVERT),
    (rb"P7\n", "a PAM file", _CONVERT),
    (rb"farbfeld", "a farbfeld file with 16-bit samples", "convert it to PNG or TIFF of 16 bits first"),
    (rb"DDS ", "a DDS file", ""),
    (rb"%PDF", "a PDF document", "render its pages first"),
    (rb"(%!PS|\xc5\xd0\xd3\xc6)", "a PostScript drawing", "render it first"),
    (rb"(\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF)", "a Windows metafile, a drawing", "render it first"),
    (rb"\s*(<\?xml.*)?<svg", "an SVG drawing", "render it first"),
    (rb"\s*(<!doctype html|<html)", "a web page", "fetch the picture itself"),
    (rb"version https://git-lfs", "a pointer to a file in Git LFS", "fetch it with git lfs pull"),
    (rb"SIMPLE  =", "a FITS file", _ARRAY),
    (rb"(\x89HDF|CDF[\x01\x02\x05])", "an HDF5 or NetCDF file", _ARRAY),
    (rb".{128}DICM", "a DICOM file", _ARRAY),
    (rb"\x93NUMPY", "a NumPy array's file", ""),
    (rb"\x89IMF", "an .imf file", "it is compressed already: decode it first"),
    (rb"(PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ\0|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd)", "an archive", "unpack it first"),
    (rb"(\x1aE\xdf\xa3|RIFF.{4}AVI |\0\0\x01[\xb3\xba])", "a video", _VIDEO),
)


def name_of(head: bytes) -> str | None:
    """What a file is.

    Parameters
    ----------
    head : bytes
        Its first bytes, 132 or more where it has them.

    Returns
    -------
    str or None
        Such as "a PNG file".
    """
    return next((name for begin, name, _ in _KINDS if re.match(begin, head, re.DOTALL | re.IGNORECASE)), None)


def refusal(head: bytes, format: str | None, reason: str) -> str:
    """Why a file cannot be read, in one sentence.

    Parameters
    ----------
    head : bytes
        Its first bytes.
    format : str or None
        The format that Pillow took it for, if any.
    reason : str
        What the reader of that format said.

    Returns
    -------
    str
        What was found and what to do.
    """
    if not head:
        return "the file is empty; expected a picture"
    name = name_of(head) or (f"a file that begins like {format}" if format else None)
    if name is None:
        return "not a picture in a known format; expected PNG, JPEG, TIFF or the like"
    remedy = next((remedy for _, other, remedy in _KINDS if other == name), "")
    if remedy:
        return f"this is {name}; {remedy}"
    told = f" ({reason})" if reason else ""
    return f"this is {name}, but damaged or of a kind that Pillow does not read{told}; fetch it again or {_CONVERT}"
