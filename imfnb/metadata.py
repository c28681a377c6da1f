"""What a file carries beside its pixels: profile, EXIF, XMP, resolution, text, and where on Earth they lie."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import FormatError, OptionError
from .format import chunks
from .format.chunks import CONTENT_LIMIT, GEO_TAGS, TEXT_LIMIT, TYPE_SIZES, Tag

__all__ = ["NAMES", "NO_METADATA", "Metadata", "largest_overhead"]


@dataclass(frozen=True, repr=False)
class Metadata:
    """What an .imf file carries beside its pixels. Decoding needs none of it, and changes no pixel by it.

    Parameters
    ----------
    icc_profile : bytes, optional
        Colour profile of the samples, as the International Color Consortium defines it. Without one they are taken for
        sRGB.
    exif : bytes or object with ``tobytes()``, optional
        A TIFF structure, with or without the six bytes ``Exif\\0\\0`` before it (which are not kept); Pillow's Exif is
        such an object.
    xmp : bytes or str, optional
        A packet of XMP, which is XML in UTF-8.
    dpi : (float, float) or float, optional
        Dots per inch across and down.
    text : mapping of str to str, optional
        Whatever else is to be said, under keys such as "Title" or "Comment".
    tags : sequence of Tag, optional
        Tags of a GeoTIFF, as :func:`imfnb.read_metadata` gives them.

    Raises
    ------
    OptionError
        If one of them is of another type, or larger than 64 MiB, or there are more than 65536 texts.

    See Also
    --------
    imfnb.read_metadata : Reads it from a file.
    imfnb.encode : Takes it as ``metadata``.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> image = np.zeros((8, 8), np.uint8)
    >>> data = imfnb.encode(image, metadata=imfnb.Metadata(dpi=300, text={"Title": "Night"}))
    >>> imfnb.read_metadata(data).text
    {'Title': 'Night'}
    """

    icc_profile: bytes | None = None
    exif: Any = None
    xmp: Any = None
    dpi: Any = None
    text: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[Tag] = ()

    def __post_init__(self) -> None:
        exif = self.exif.tobytes() if _is_exif(self.exif) else self.exif
        exif = bytes(exif).removeprefix(b"Exif\0\0") if isinstance(exif, (bytes, bytearray, memoryview)) else exif
        xmp = self.xmp.encode("utf-8", "surrogatepass") if isinstance(self.xmp, str) else self.xmp
        for name, value in (("icc_profile", self.icc_profile), ("exif", exif), ("xmp", xmp)):
            object.__setattr__(self, name, _content(name, value))
        object.__setattr__(self, "dpi", _dpi(self.dpi))
        object.__setattr__(self, "text", _text(self.text))
        object.__setattr__(self, "tags", _tags(self.tags))

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(getattr(self, item.name) for item in fields(self))

    def __repr__(self) -> str:
        shown = []
        for item in fields(self):
            value = getattr(self, item.name)
            if value:
                shown.append(f"{item.name}={f'<{len(value)} bytes>' if isinstance(value, bytes) else repr(value)}")
        return f"Metadata({', '.join(shown)})"

    @property
    def chunks(self) -> tuple[tuple[bytes, bytes], ...]:
        """Types and contents of the chunks that hold it."""
        found = []
        for name, (kind, pack, _) in _CHUNKS.items():
            value = getattr(self, name)
            if value:
                found.append(chunks.deflated(kind, pack(value)) if name in _DEFLATED else (kind, pack(value)))
        return tuple(found)

    @classmethod
    def of_chunks(cls, found: Sequence[tuple[bytes, bytes]], damaged: list[str] | None = None) -> Metadata:
        """What chunks hold: of several of a type the first, and nothing of types that are not known.

        Parameters
        ----------
        found : sequence of (bytes, bytes)
            Types and contents.
        damaged : list of str, optional
            Receives what is damaged and left out; without it that is an error.

        Raises
        ------
        FormatError
            If one is damaged.
        """
        values: dict[str, Any] = {}
        for name, (_, _, parse) in _CHUNKS.items():
            chunk = next((chunk for chunk in found if NAMES.get(chunk[0]) == name), None)
            if chunk is None:
                continue
            try:
                try:
                    value = parse(chunks.inflated(*chunk)[1])
                    values[name] = getattr(cls(**{name: value}), name)
                except OptionError as error:  # what nobody could have written, such as a larger block
                    raise FormatError(f"damaged metadata: {error}") from None
            except FormatError:
                if damaged is None:
                    raise
                damaged.append(name)
        return cls(**values)


# The chunk that each field is kept in, and what packs and parses it.
_CHUNKS: dict[str, tuple[bytes, Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "icc_profile": (chunks.ICC, bytes, bytes),
    "exif": (chunks.EXIF, bytes, bytes),
    "xmp": (chunks.XMP, bytes, bytes),
    "dpi": (chunks.DPI, chunks.pack_dpi, chunks.parse_dpi),
    "text": (chunks.TEXT, chunks.pack_text, chunks.parse_text),
    "tags": (chunks.GEOT, chunks.pack_tags, chunks.parse_tags),
}

# Those that are deflated.
_DEFLATED = ("icc_profile", "exif", "xmp", "text")

#: What each type of chunk holds, in one word.
NAMES = {kind: name for name, (kind, _, _) in _CHUNKS.items()}
NAMES |= {kind.lower(): name for kind, name in NAMES.items() if name in _DEFLATED}


def largest_overhead(found: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes by which a file grows at most by chunks, of their types and contents."""
    if not found:
        return 0
    # Type, length and checksum of each; their number; and what the lengths of header and payload may grow by.
    return sum(len(content) + 4 + 5 + 4 for _, content in found) + 2 + 4 + 4


def _is_exif(value: Any) -> bool:
    return not isinstance(value, memoryview) and callable(getattr(value, "tobytes", None))


def _content(name: str, value: Any) -> bytes | None:
    """Bytes that are not empty, or an OptionError; nothing for no bytes."""
    if value is None:
        return None
    if not isinstance(value, (bytes, bytearray, memoryview)):
        remedy = ": read the file first" if isinstance(value, (str, os.PathLike)) else ""
        raise OptionError(f"{name} is a {type(value).__name__}; expected bytes{remedy}")
    content = bytes(value)
    if len(content) > CONTENT_LIMIT:
        raise OptionError(f"{name} has {len(content)} bytes; at most {CONTENT_LIMIT} can be kept")
    return content or None


def _dpi(value: Any) -> tuple[float, float] | None:
    """Two positive numbers, or an OptionError."""
    if value is None:
        return None
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else (value, value)
    try:
        x, y = map(float, pair)
        if 0 < x < math.inf and 0 < y < math.inf:
            return x, y
    except (TypeError, ValueError):
        pass
    raise OptionError(f"dpi is {value!r}; expected a positive number, or one for each of both directions")


def _text(value: Any) -> dict[str, str]:
    """Texts by their keys, or an OptionError."""
    if not isinstance(value, Mapping) or not all(isinstance(word, str) for pair in value.items() for word in pair):
        raise OptionError(f"text is {value!r:.200}; expected a mapping from str to str")
    text = dict(value)
    if len(text) > TEXT_LIMIT:
        raise OptionError(f"text has {len(text)} keys; at most {TEXT_LIMIT} can be kept")
    try:
        size = sum(len(word.encode("utf-8")) + 5 for pair in text.items() for word in pair)
    except UnicodeEncodeError:
        raise OptionError("text has surrogates, which are no characters; leave them out") from None
    if size > CONTENT_LIMIT:
        raise OptionError(f"text has {size} bytes; at most {CONTENT_LIMIT} can be kept")
    return text


def _tags(value: Any) -> tuple[Tag, ...]:
    """Tags that a chunk can hold, or an OptionError."""
    tags = tuple(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else (value,)
    for tag in tags:
        if not isinstance(tag, Tag) or tag.number not in GEO_TAGS:
            raise OptionError(f"tags has {tag!r:.200}; expected tags of a GeoTIFF, as imfnb.read_metadata gives them")
        if tag.type not in TYPE_SIZES or not tag.count or len(tag.data) != TYPE_SIZES[tag.type] * tag.count:
            raise OptionError(f"tag {tag.number} has {len(tag.data)} bytes for {tag.count} values of type {tag.type}")
    return tags


#: That of a file that has none.
NO_METADATA = Metadata()
