"""What a file says of itself, read from its header alone: no kernel is needed, nor Numba, nor the rest of the file."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from .errors import FormatError, OptionError, naming
from .format.container import MAX_PIXELS, Header, header_length, read_header, unpack
from .kinds import check_integer, describe, kind_of, opened
from .metadata import NAMES, Metadata
from .profiles import PARSERS, pipeline
from .profiles.summary import summary

__all__ = ["Info", "Source", "bytes_of", "check_max_pixels", "info", "read_metadata"]

# Bytes that are read first: the headers of all but large stacks and pictures are a few hundred bytes long.
_FIRST = 4096

# What to do with a kind of argument that is not the contents of a file.
_REMEDIES = {
    "path": ": pass its bytes, or decode it with imfnb.imread",
    "folder": ": decode its files with imfnb.decode_batch",
    "file": ": pass what its read() returns, or decode it with imfnb.imread",
    "array": ": pass its tobytes() if those are a file, and use imfnb.encode to compress an image",
    "many": ": decode several files with imfnb.decode_batch",
}


def bytes_of(data: Any) -> memoryview:
    """A view of one byte after the other, or an OptionError that says what `data` is."""
    try:
        with memoryview(data) as view:
            if view.ndim == 1 and view.itemsize == 1:
                return view.cast("B")
    except (TypeError, ValueError):  # nothing with bytes, or they are not contiguous
        pass
    try:
        kind = kind_of(data)
        if kind == "other" and isinstance(data, (list, tuple, Iterator)):
            kind = "many"
        remedy = _REMEDIES.get(kind, "")
        raise OptionError(f"data is {describe(data)}; expected contiguous bytes, the contents of an .imf file{remedy}")
    finally:
        del data


class Info(dict):
    """What :func:`info` returns: a dict whose text form is a short table."""

    def __str__(self) -> str:
        lines = []
        for key, value in self.items():
            if isinstance(value, dict):
                lines += [f"{key}.{name}: {number}" for name, number in value.items()]
            elif isinstance(value, float):
                lines.append(f"{key}: {value:.4f}")
            else:
                lines.append(f"{key}: {value}")
        return "\n".join(lines)


def check_max_pixels(max_pixels: Any) -> int:
    """`max_pixels` of :func:`imfnb.decode`, or an OptionError."""
    return check_integer("max_pixels", max_pixels, 1, math.inf, "a positive integer")


def info(source: Any, *, components: bool = False, max_pixels: int = MAX_PIXELS) -> Info:
    """Describe a file without decoding it, by its header.

    Parameters
    ----------
    source : path, binary file object or bytes-like
        An .imf file, its contents, or its first bytes, if they have all of the header: a few hundred bytes do, for
        large pictures and stacks some thousand. A file object is read from where it stands, and stands there
        afterwards, if it can seek.
    components : bool, default False
        Whether to say what takes the whole file and kernels: the bytes of each component. Those of a stack whose
        frames are files of their own are not told apart.
    max_pixels : int, default 2**28
        Larger images are refused: a damaged header could announce any number of parts.

    Returns
    -------
    Info
        A dict with version (of the format), profile, shape, dtype, channels (what the last axis is: "gray",
        "gray+alpha", "rgb", "rgba" or "bands"), frames (their number, None if it is no stack), segments (bytes of each
        plane, matrix, layer or frame), metadata (bytes of each kind of it in the file), size (bytes of the file
        proper), padding (bytes behind its end, which do not belong to it), missing (bytes of it that are not there,
        where it is truncated or only its first bytes were given) and bpp.

        Pictures: color_space and subsampling. Baseline: patch_size, bounds, ranks and coder. Arrays: columns (number of
        columns of V), nodata, max_error (largest error, None where there is no bound), patch_sizes, restoration,
        networks and effort.
        Main: alpha (how it is coded: "lossy", "lossless", "constant", or None if there is none), steps (gray levels),
        patch_sizes, restoration (whether each plane is restored), networks (whether by a network), weights (of each
        plane, what the step is multiplied by: that of the first component, and a of 1 + a f**1.5 for the others),
        effort ("fast", "normal" or "best", by the entropy coder) and local_steps (side of the blocks that have steps of
        their own, in pixels, or None).

        With `components`, main: ranks (components used by each plane), free_v (number of slices of each plane whose V
        has left the DCT basis) and components (bytes of each component of each plane: the first with V, then the map
        of active ranks, then the second and so on). Arrays: components, steps (of each column, in units of the data)
        and energies (what each of them adds to the mean square of a sample).

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError
        If it is not a valid .imf file, or ends within its header.
    OptionError
        If `source` is nothing of the kind, or `max_pixels` is out of range.

    See Also
    --------
    read_metadata : Profile, EXIF and text themselves.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> data = imfnb.encode(np.zeros((480, 640, 3), np.uint8))
    >>> said = imfnb.info(data[:200])
    >>> said["shape"], said["channels"]
    ((480, 640, 3), 'rgb')
    """
    try:
        limit = check_max_pixels(max_pixels)
        opening = _opened(source)
    finally:
        del source  # an error's traceback keeps this frame, and it what it holds: a view would keep a map open
    with opening as file:
        header = file.header(limit)
        frame = header.frame
        details = summary(header) if not frame.apart else _of_first_frame(file, header, limit)
        if components and not frame.apart:
            with memoryview(file.read(0, header.total)) as view:
                details.update(pipeline(frame).components(unpack(view, limit, PARSERS)))
        there = file.size
    kept: dict[str, int] = {}
    for part in header.further:
        name = NAMES.get(part.kind, part.kind.decode("latin-1"))
        kept[name] = kept.get(name, 0) + part.size
    return Info(
        version=header.version,
        profile=frame.profile,
        shape=frame.shape,
        dtype=frame.dtype.name,
        channels=frame.arrangement,
        frames=frame.frames or None,
        **details,
        metadata=kept,
        size=header.total,
        padding=max(0, there - header.total),
        missing=max(0, header.total - there),
        bpp=8 * header.total / (frame.height * frame.width * max(1, frame.frames)),
    )


def _of_first_frame(file: Source, header: Header, limit: int) -> dict[str, Any]:
    """What is said of a stack whose frames are files: the bytes of each, and what only the first one says."""
    sizes = {f"frame {number}": size for number, size in enumerate(header.sizes)}
    try:
        first = summary(file.header(limit, header.length))
    except FormatError:  # it is damaged, which whoever decodes it will hear of, or not there
        first = {}
    return {**{name: first[name] for name in ("nodata",) if name in first}, "segments": sizes}


def read_metadata(source: Any, *, max_pixels: int = MAX_PIXELS) -> Metadata:
    """Read what a file carries beside its pixels; these are not read.

    Parameters
    ----------
    source : path, binary file object or bytes-like
        An .imf file, or its contents.
    max_pixels : int, default 2**28
        As in :func:`info`.

    Returns
    -------
    Metadata
        Its fields are None or empty where the file has nothing of the kind.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError
        If it is not a valid .imf file, or its metadata are damaged.

    See Also
    --------
    info : How many bytes they take, and all else.
    imwrite : Writes them.

    Examples
    --------
    >>> import io, numpy as np, imfnb
    >>> file = io.BytesIO()
    >>> _ = imfnb.imwrite(file, np.zeros((8, 8), np.uint8), text={"Title": "Night"}, dpi=(300, 300))
    >>> imfnb.read_metadata(file.getvalue()).dpi
    (300.0, 300.0)
    """
    try:
        limit = check_max_pixels(max_pixels)
        opening = _opened(source)
    finally:
        del source
    with opening as file:
        return file.metadata(limit)


class Source:
    """Bytes that are read where they are needed.

    Parameters
    ----------
    file : binary file object or memoryview
        With `seek`, `tell` and `read`.
    start : int
        Position of its first byte.
    """

    def __init__(self, file: IO[bytes] | memoryview, start: int = 0) -> None:
        self._file, self._start = file, start

    @property
    def size(self) -> int:
        """Number of bytes that are there."""
        if isinstance(self._file, memoryview):
            return len(self._file)
        self._file.seek(0, 2)  # which file objects of others need not answer
        return self._file.tell() - self._start

    def read(self, start: int, count: int) -> bytes:
        """Bytes from a position on; fewer where the file ends."""
        if isinstance(self._file, memoryview):
            return bytes(self._file[start : start + count])
        if count > _FIRST:  # files allocate what is asked for before they look how much there is
            count = max(0, min(count, self.size - start))
        self._file.seek(self._start + start)
        parts = []
        while count > 0 and (part := self._file.read(count)):  # files without a buffer may give less at a time
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def header(self, max_pixels: int, start: int = 0) -> Header:
        """The header of the file, or of one that begins at a position in it, checked."""
        first = self.read(start, _FIRST)
        with memoryview(first) as view:
            needed = header_length(view)
        if needed is not None and needed > len(first):
            first = self.read(start, needed)
        with memoryview(first) as view:
            return read_header(view, max_pixels, PARSERS)

    def metadata(self, max_pixels: int, damaged: list[str] | None = None) -> Metadata:
        """What the file carries beside its pixels; chunks of types that are not known are not read.

        Parameters
        ----------
        max_pixels : int
            As in :func:`info`.
        damaged : list of str, optional
            Receives the kinds that are damaged, and left out; without it one that is damaged is an error.

        Raises
        ------
        FormatError
            If the header is damaged, or metadata are.
        """
        found = []
        for start, part in self.header(max_pixels).places:
            if part.kind in NAMES:
                try:
                    content = part.checked(self.read(start, part.size), f"chunk {part.kind!r}")
                except FormatError:
                    if damaged is None:
                        raise
                    damaged.append(NAMES[part.kind])
                else:
                    found.append((part.kind, content))
        return Metadata.of_chunks(found, damaged)

    def frame(self, header: Header, number: int, max_pixels: int) -> bytes:
        """The file of one frame of a stack whose frames are apart, without the bytes of the others.

        Parameters
        ----------
        header : Header
            That of the stack.
        number : int
            Which frame.
        max_pixels : int
            As in :func:`info`.

        Raises
        ------
        FormatError
            If it is damaged, or not what the stack says of it.
        """
        part = header.segments[number]
        data = part.checked(self.read(header.length + sum(header.sizes[:number]), part.size), f"segment {number}")
        with memoryview(data) as view:
            header.frame.check_part(number, read_header(view, max_pixels, PARSERS).frame)
        return data


@contextmanager
def _opened(source: Any) -> Iterator[Source]:
    """A path, a file object or bytes to read from."""
    kind = kind_of(source)
    if kind in ("path", "folder"):
        with naming(source), opened(source, "rb") as file:
            yield Source(file)
    elif kind == "file":
        with naming(source), _standing(source) as standing:
            yield standing
    else:
        try:
            view = bytes_of(source)
        except OptionError:
            raise OptionError(
                f"source is {describe(source)}; expected the path of an .imf file, a binary file object, or bytes"
            ) from None
        finally:
            del source
        with view:
            yield Source(view)


@contextmanager
def _standing(file: IO[bytes]) -> Iterator[Source]:
    """A file object from where it stands, which is where it will stand again; all that is left of what cannot seek."""
    if isinstance(file, io.TextIOBase):
        raise OptionError("source is a file of text; open it in binary mode, as with open(path, 'rb')")
    try:
        start = file.tell()
        file.seek(start)
    except (AttributeError, OSError):
        start = None
    if start is None:
        with memoryview(file.read()) as view:
            yield Source(view)
        return
    try:
        yield Source(file, start)
    finally:
        file.seek(start)
