"""What a picture's file says beside its pixels: depth of samples, number of images, profile, EXIF, resolution, text.

Formats whose readers in Pillow lose or trip over some of it are read here, box by box; for PNG and JPEG, Pillow gets
the file without its metadata, so that damage there cannot keep the pixels from being read.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ..errors import OptionError
from .tags import MAGICS, Directory, directories, read_exif

__all__ = ["Survey", "choose_frame", "describe_tiff", "survey"]

# Resolutions that software writes where it knows none, in dots per inch.
_NO_RESOLUTION = (0, 1, 72, 96)

# Bytes of a profile or a text, unpacked, that are read at most.
_MOST_BYTES = 1 << 24

_DEEPER = "deeper than 8 bits; convert it to 8 bits first"


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
    """

    file: BinaryIO
    frame: int | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    orientation: int | None = None
    dropped: list[str] = field(default_factory=list)
    without_exif: BinaryIO | None = None

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
            self.drop("comment")
        dpi = info.get("dpi")  # of PCX files some size of a screen
        if format not in ("TIFF", "PCX") and isinstance(dpi, tuple) and len(dpi) == 2:
            self.resolution(*map(float, dpi))

    def resolution(self, x: float, y: float) -> None:
        """Note a resolution in dots per inch, unless it means nothing."""
        if x != y or min(abs(x - usual) for usual in _NO_RESOLUTION) > 0.5:
            self.drop("resolution")

    def upright(self) -> int:
        """How loaded pixels have to be turned, 1 to 8; EXIF and XMP are noted as dropped if they say more than that."""
        found = 1
        if self.xmp:
            self.drop("XMP")
            match = re.search(rb'tiff:Orientation(?:="|>)([1-8])', self.xmp)
            found = int(match[1]) if match else found
        if self.exif:
            try:
                found, more = read_exif(self.exif)
                if more:
                    self.drop("EXIF")
            except ValueError:
                self.drop("damaged EXIF")
        return found if self.orientation is None else 1


def choose_frame(frame: int | None, count: int) -> int:
    """Which of the images of a file to take.

    Parameters
    ----------
    frame : int or None
        What the caller asked for.
    count : int
        How many there are.

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
            f"the file holds {count} images, an .imf file holds one; --frame N (frame=N in Python) takes one of them, "
            f"from 0 to {count - 1}"
        )
    if frame is not None and frame >= count:
        held = f"{count} images, frames 0 to {count - 1}" if count > 1 else "one image, frame 0"
        raise OptionError(f"there is no frame {frame}; the file holds {held}")
    return frame or 0


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
        return _png(file, frame)
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg(file, frame)
    if head[:4] in MAGICS:
        return _tiff(file, frame)
    if re.match(rb"P[1-6fF][\s#]", head):
        return _pnm(file, frame)
    if head.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")):
        return _jpeg2000(file)
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis", b"mif1", b"msf1"):
        return _avif(file)
    if head.startswith(b"\x01\xda") and head[3:4] == b"\2":
        raise OptionError(f"the picture has 16-bit samples, {_DEEPER}")
    return Survey(file)


# ----------------------------------------------------------------------------------------------------------------- PNG


def _png(file: BinaryIO, frame: int | None) -> Survey:
    """Chunks that make pixels are kept for Pillow; the others are read here, broken ones skipped."""
    magic = file.read(8)
    animated, rest = [magic], [magic]  # the chunks with and without those of an animation
    found = Survey(file)
    frames, pixels, depth = 0, False, 8
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">L4s", head)
        body, check = file.read(size), file.read(4)
        if not kind.isalpha() or kind[:1].isupper() or kind == b"tRNS":
            pixels |= kind == b"IDAT"
            if kind == b"IHDR" and len(body) > 8:
                depth = body[8]
                if depth > 8:
                    raise OptionError(f"the picture has {depth}-bit samples, {_DEEPER}")
            if kind == b"tRNS" and len(body) == 2 and check == _crc(kind, body):  # Pillow takes higher bits for a level
                body = struct.pack(">H", struct.unpack(">H", body)[0] & (2**depth - 1))
                check = _crc(kind, body)
            for chunks in (animated, rest):
                chunks += head, body, check
            if kind == b"IEND" or len(check) < 4:
                break
        elif kind in (b"fcTL", b"fdAT"):
            animated += head, body, check
        elif check != _crc(kind, body):
            found.drop(f"damaged {_CHUNKS.get(kind, 'metadata')}")
        elif kind == b"acTL":
            if size == 8 and not pixels and not frames:
                frames = struct.unpack(">LL", body)[0]
                animated += head, body, check
        else:
            try:
                _png_metadata(found, kind, body)
            except OptionError:
                raise
            except (ValueError, LookupError, struct.error, zlib.error):
                found.drop(f"damaged {_CHUNKS.get(kind, 'metadata')}")
    if not 1 <= frames <= 0x80000000:
        found.frame = choose_frame(frame, 1)
    found.file = io.BytesIO(b"".join(rest if found.frame == 0 else animated))
    return found


_CHUNKS = {
    b"iCCP": "ICC profile",
    b"eXIf": "EXIF",
    b"tEXt": "text",
    b"zTXt": "text",
    b"iTXt": "text",
    b"pHYs": "resolution",
    b"tIME": "time",
}

# Chromaticities of sRGB in units of 1/100000, as cHRM has them.
_SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def _crc(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", zlib.crc32(kind + body))


def _png_metadata(found: Survey, kind: bytes, body: bytes) -> None:
    if kind == b"iCCP":
        found.profile = _inflate(body[body.index(b"\0") + 2 :])
    elif kind == b"eXIf":
        found.exif = body
    elif kind in (b"tEXt", b"zTXt", b"iTXt"):
        key, text = body.split(b"\0", 1)
        if kind == b"zTXt":
            text = _inflate(text[1:])
        elif kind == b"iTXt":
            packed, text = text[0], text[2:].split(b"\0", 2)[2]
            text = _inflate(text) if packed else text
        _png_text(found, key, text)
    elif kind == b"pHYs":
        x, y, unit = struct.unpack(">LLB", body)
        if unit == 1:
            found.resolution(x * 0.0254, y * 0.0254)
        elif x != y:
            found.drop("resolution")
    elif kind == b"tIME":
        found.drop("time")
    elif kind == b"cICP":
        _check_code_points(body[0], body[1])
    elif kind == b"gAMA" and abs(struct.unpack(">L", body)[0] - 45455) > 500:
        found.drop("gamma")
    elif kind == b"cHRM" and max(abs(a - b) for a, b in zip(struct.unpack(">8L", body), _SRGB, strict=True)) > 500:
        found.drop("chromaticities")


def _png_text(found: Survey, key: bytes, text: bytes) -> None:
    if key == b"XML:com.adobe.xmp":
        found.xmp = text
    elif key.startswith(b"Raw profile type "):  # as ImageMagick writes it: a name, a length, hexadecimal digits
        data = bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
        name = key.rpartition(b" ")[2].lower()
        if name in (b"exif", b"app1") and data.startswith(b"Exif\0\0"):
            found.exif = found.exif or data
        elif name in (b"icc", b"icm"):
            found.profile = found.profile or data
        else:
            found.drop({b"iptc": "IPTC", b"xmp": "XMP"}.get(name, "metadata"))
    elif key != b"Software":
        found.drop("text")


def _inflate(data: bytes) -> bytes:
    """Unpack what zlib packed, up to a limit."""
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(data, _MOST_BYTES)
    if not unpacker.eof:
        raise ValueError("truncated or too long")
    return text


def _check_code_points(primaries: int, transfer: int) -> None:
    """Refuse colours that ITU-T H.273's numbers say are not those of sRGB; Pillow leaves them as they are."""
    if primaries not in (1, 2, 5, 6, 7) or transfer not in (1, 2, 4, 6, 13, 14, 15):
        name = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}.get(primaries, f"primaries {primaries}")
        curve = {16: " with PQ", 18: " with HLG", 8: " with linear samples"}.get(transfer, "")
        raise OptionError(f"the picture's colours are {name}{curve} and not sRGB; convert it to sRGB first")


# ---------------------------------------------------------------------------------------------------------------- JPEG


def _jpeg(file: BinaryIO, frame: int | None) -> Survey:
    """Segments that make pixels are kept for Pillow; the others are read here."""
    data = file.read()
    kept, found = [data[:2]], Survey(file)
    profiles: dict[int, bytes] = {}
    others: list[int] = []  # positions of further images
    position = 2
    while True:
        begin = position
        while data[position : position + 2] == b"\xff\xff":  # any number of these may stand before a marker
            position += 1
        marker = data[position + 1] if data[position : position + 1] == b"\xff" and position + 4 <= len(data) else 0xDA
        if marker == 0xDA or marker in range(0xD0, 0xDA) or marker < 0xC0:
            kept.append(data[begin:])
            break
        size = struct.unpack_from(">H", data, position + 2)[0]
        if size < 2:
            kept.append(data[begin:])
            break
        body, end = data[position + 4 : position + 2 + size], position + 2 + size
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and body and body[0] > 8:
            raise OptionError(f"the picture has {body[0]}-bit samples, {_DEEPER}")
        name = body.split(b"\0", 1)[0]
        if marker == 0xE0 and name == b"JFIF" and len(body) >= 14:
            unit, x, y = struct.unpack_from(">BHH", body, 7)
            if unit in (1, 2):
                found.resolution(x * (1, 2.54)[unit - 1], y * (1, 2.54)[unit - 1])
            elif x != y:
                found.drop("resolution")
            kept.append(data[begin:end])
        elif marker == 0xEE and name.startswith(b"Adobe") and len(body) >= 12:  # says which colours they are
            kept.append(data[begin:end])
        elif marker == 0xFE:
            found.drop("comment")
        elif 0xE0 <= marker <= 0xEF:
            if marker == 0xE1 and name == b"Exif":
                found.exif = found.exif or body
            elif marker == 0xE1 and name == b"http://ns.adobe.com/xap/1.0/":
                found.xmp = body
            elif marker == 0xE2 and name == b"ICC_PROFILE" and len(body) > 14:
                profiles[body[12]] = body[14:]
            elif marker == 0xE2 and name == b"MPF":
                others = _further_images(body[4:], position + 8)
            elif marker == 0xED and name == b"Photoshop 3.0":
                found.drop("Photoshop and IPTC data")
            elif (marker, name) not in ((0xE0, b"JFXX"), (0xE1, b"http://ns.adobe.com/xmp/extension/")):
                found.drop("application data")
        else:
            kept.append(data[begin:end])
        position = end
    found.profile = b"".join(profiles[number] for number in sorted(profiles)) or None
    # What cameras put behind a photograph are depth maps, previews and gain maps: the first is the picture.
    found.frame = choose_frame(frame or 0, len(others) + 1)
    if found.frame:
        return _jpeg(io.BytesIO(data[others[found.frame - 1] :]), None)
    if others:
        found.drop("further images")
    found.file = io.BytesIO(b"".join(kept))
    return found


def _further_images(block: bytes, start: int) -> list[int]:
    """Positions of the images behind the first, from the index of a multi-picture file that begins at `start`."""
    try:
        index = next(directories(io.BytesIO(block)))
        entries = index.block(0xB002)
        order = "<" if block[:2] == b"II" else ">"
        offsets = [struct.unpack_from(f"{order}L", entries, at + 8)[0] for at in range(0, len(entries) - 15, 16)]
    except (ValueError, StopIteration):
        return []
    return [start + offset for offset in offsets if offset]


# ---------------------------------------------------------------------------------------------------------------- TIFF

_PHOTOMETRIC = {
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
    **dict.fromkeys((269, 270, 271, 272, 285, 306, 315, 316, 33432), "text"),
    **dict.fromkeys((33550, 33922, 34264, 34735, 34736, 34737), "georeference"),
    **dict.fromkeys((42112, 42113), "GDAL metadata"),
}


def _tiff(file: BinaryIO, frame: int | None) -> Survey:
    found = Survey(file)
    every: list[Directory] = []
    try:
        every.extend(directories(file))
    except ValueError:
        if not every:
            raise
        found.drop("damaged further images")
    if every and 50706 in every[0]:
        raise OptionError("this is a DNG file, a camera's raw data; develop it to PNG or TIFF of 8 bits first")
    # Smaller versions (pyramids, previews) and masks are no images of their own.
    kinds = [int(page.number(254)) | (page.number(255) == 2) for page in every]
    pages = [index for index, kind in enumerate(kinds) if not kind & 5] or list(range(min(1, len(every))))
    if not pages:
        raise OptionError("this is a TIFF file without an image; fetch it again")
    found.frame = pages[choose_frame(frame, len(pages))]
    page = every[found.frame]
    _check_tiff(page)
    if any(kind & 4 for kind in kinds):
        found.drop("mask")
    for tag in page:
        if tag in _TIFF_EXTRAS and not (tag == 270 and (_optional(page, tag) or b"").startswith(b'{"shape": ')):
            found.drop(_TIFF_EXTRAS[tag])
    found.profile = _optional(page, 34675)
    broken = [tag for tag in page if tag not in _LAYOUT and _optional(page, tag) is None]
    if broken:  # Pillow would read no tag behind them: give them a type that there is none of, which it ignores
        file.seek(0)
        data = bytearray(file.read())
        for tag in broken:
            data[page.positions[tag] + 2 : page.positions[tag] + 4] = b"\0\0"
            found.drop("damaged ICC profile" if tag == 34675 else "damaged metadata")
        found.file = io.BytesIO(data)
    found.xmp = _optional(page, 700)
    orientation = page.number(274)
    found.orientation = int(orientation) if orientation in range(1, 9) else None
    unit = page.number(296, 2)
    if unit in (2, 3):
        scale = 2.54 if unit == 3 else 1
        found.resolution(page.number(282) * scale, page.number(283) * scale)
    elif page.number(282) != page.number(283):
        found.drop("resolution")
    return found


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


def _check_tiff(page: Directory) -> None:
    """Refuse samples that Pillow would cut, shift or leave out."""
    bits, kind, extra, photometric = _samples(page)
    if kind not in (1, 4):
        deep = f"{max(bits, default=0)}-bit {_FORMATS.get(kind, 'unknown')} samples"
        mode = " (Pillow's mode 'F')" if (kind, bits) == (3, (32,)) else ""
        raise OptionError(f"the picture has {deep}{mode}; an .imf file holds uint8: scale it to 0..255 first")
    if max(bits, default=0) > 8:
        raise OptionError(f"the picture has {max(bits)}-bit samples, {_DEEPER}")
    name, colors = _PHOTOMETRIC.get(photometric, ("gray", 1))
    if photometric == 5 and page.number(332, 1) != 1:
        raise OptionError(f"the picture has {len(bits)} inks other than CMYK; convert it to RGB first")
    depth = int(page.number(32997, 1))
    if depth > 1:
        raise OptionError(f"the picture is a volume of {depth} slices; an .imf file holds one: save them one by one first")
    more = len(bits) - colors
    # Where nothing is said of a fourth sample, it is taken for alpha, as Pillow does: all four are kept in any case.
    alpha = more == 1 and colors != 4 and (extra in _ALPHA or (colors == 3 and not extra))
    if more > 0 and not alpha:
        raise OptionError(
            f"the picture has {len(bits)} bands, which are not {name} with or without alpha alone; "
            "an .imf file holds gray, RGB or RGBA: choose its bands first"
        )


# What ExtraSamples says of alpha: premultiplied, not so, and CorelDRAW's number for it.
_ALPHA = ((1,), (2,), (999,))


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


# ------------------------------------------------------------------------------------------------------ other formats


def _pnm(file: BinaryIO, frame: int | None) -> Survey:
    """Netpbm's formats, several of which may follow each other in one file."""
    data = file.read()
    if data[1:2] in b"fF":
        raise OptionError("the picture has floating point samples (PFM); scale it to 0..255 first")
    if data[1:2] in b"123":  # written as text: one image by definition
        numbers = re.match(rb"P[123]" + _NUMBER * (2 if data[1:2] == b"1" else 3), data)
        _check_maximum(int(numbers[3]) if numbers and data[1:2] != b"1" else 0)
        return Survey(io.BytesIO(data), choose_frame(frame, 1))
    starts = [0]
    while True:
        start = starts[-1]
        kind = data[start + 1 : start + 2]
        numbers = re.compile(rb"P[456]" + _NUMBER * (2 if kind == b"4" else 3) + rb"\s").match(data, start)
        if not numbers:
            break
        width, height = int(numbers[1]), int(numbers[2])
        row = (width + 7) // 8 if kind == b"4" else width * (3 if kind == b"6" else 1)
        _check_maximum(int(numbers[3]) if kind != b"4" else 0)
        following = numbers.end() + row * height
        if data[following : following + 2] not in (b"P4", b"P5", b"P6"):
            break
        starts.append(following)
    chosen = choose_frame(frame, len(starts))
    return Survey(io.BytesIO(data[starts[chosen] : [*starts[1:], len(data)][chosen]]), 0)


# A number in the header of a Netpbm file, behind white space and comments. Longer ones are those of no picture.
_NUMBER = rb"(?:\s|#[^\r\n]*[\r\n])+([0-9]{1,9})"


def _check_maximum(value: int) -> None:
    if value > 255:
        raise OptionError(f"the picture has samples up to {value}, {_DEEPER}")


def _jpeg2000(file: BinaryIO) -> Survey:
    found = Survey(file)
    data = file.read()
    start = 0
    for kind, begin, end in () if data[:2] == b"\xff\x4f" else _boxes(data, 0, len(data)):
        if kind == b"jp2h":
            for inner, first, last in _boxes(data, begin, end):
                if inner == b"colr" and data[first : first + 1] in (b"\2", b"\3"):
                    found.profile = data[first + 3 : last]
        elif kind == b"jp2c":
            start = begin
            break
        elif kind in (b"xml ", b"uuid"):
            found.drop("metadata")
    if data[start : start + 4] != b"\xff\x4f\xff\x51":  # Pillow will say that it is damaged
        return found
    components = struct.unpack_from(">H", data, start + 40)[0]
    depths = data[start + 42 : start + 42 + 3 * components : 3]
    if any(depth & 0x80 for depth in depths):
        raise OptionError("the picture has signed samples; an .imf file holds unsigned ones of 8 bits: scale it first")
    if depths and max(depths) + 1 > 8:
        raise OptionError(f"the picture has {max(depths) + 1}-bit samples, {_DEEPER}")
    if components > 4:
        raise OptionError(f"the picture has {components} bands; an .imf file holds gray, RGB or RGBA: choose bands first")
    return found


def _avif(file: BinaryIO) -> Survey:
    """AVIF, which Pillow decodes to 8 bits whatever it has, without a look at colours given by numbers."""
    data = file.read(1 << 20)  # what describes the images stands before them
    head = b"".join(data[begin:end] for kind, begin, end in _boxes(data, 0, len(data)) if kind in (b"meta", b"moov"))
    for match in re.finditer(rb"av1C\x81.(.)", head, re.DOTALL):
        if match[1][0] & 0x40:
            raise OptionError(f"the picture has {12 if match[1][0] & 0x20 else 10}-bit samples, {_DEEPER}")
    numbers = re.search(rb"colrnclx(....)", head, re.DOTALL)
    if numbers and not re.search(rb"colr(prof|rICC)", head):  # a profile comes first
        _check_code_points(*struct.unpack(">HH", numbers[1]))
    file.seek(0)
    found = Survey(file)
    # libavif refuses files whose EXIF is damaged, unless it takes that for an item of a kind that it does not know.
    spared, items = re.subn(rb"(infe[\2\3].{7,9})Exif", rb"\1none", data, flags=re.DOTALL)
    if items:
        found.without_exif = io.BytesIO(spared + file.read()[len(data) :])
        file.seek(0)
    return found


def _boxes(data: bytes, begin: int, end: int) -> Any:
    """Boxes of an ISO file: their kinds, and where their contents begin and end."""
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">L4s", data, begin)
        first = begin + 8
        if size == 1 and begin + 16 <= end:
            size, first = struct.unpack_from(">Q", data, first)[0], begin + 16
        last = min(end, begin + size) if size else end
        if last < first:
            return
        yield kind, first, last
        begin = last


def _bytes(value: Any) -> bytes | None:
    """What Pillow gives as bytes or text, or else None."""
    return value.encode("utf-8", "replace") if isinstance(value, str) else value if isinstance(value, bytes) else None
