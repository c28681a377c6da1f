"""Stacks of images: frames that are coded each as a file of its own, or as the bands of one array."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .errors import OptionError
from .format.container import UNLIMITED, Container, pack, unpack
from .format.samples import CHANNEL_LIMIT, ArrayFields
from .options import EncodeOptions
from .profiles import PARSERS

__all__ = ["encode_frames", "frame_of", "pack_frames"]

#: From an image and options to a file.
Encode = Callable[[Any, EncodeOptions], bytes]

# Bytes of the header of a stack, and of each of its frames in it; and what it takes to say that bands are frames.
_HEADER, _ENTRY, _NOTE = 48, 9, 8


def encode_frames(
    array: np.ndarray, options: EncodeOptions, encode: Encode, decode: Callable[[bytes], np.ndarray]
) -> bytes:
    """Compress a stack.

    Parameters
    ----------
    array : ndarray, shape (T, H, W) or (T, H, W, C)
        The frames.
    options : EncodeOptions
        Of each of them; `size` is that of the whole file.
    encode, decode : callable
        From an image and options to a file, and back.

    Returns
    -------
    bytes
        The smaller file of frames apart and of frames as bands, or at equal bytes the one with the smaller error.

    Raises
    ------
    OptionError
        If there is no frame, or one cannot be coded.
    """
    if array.ndim not in (3, 4) or not array.size:
        raise OptionError(f"image has shape {array.shape}; expected (T, H, W) or (T, H, W, C) with at least one sample")
    options = options.changed(axes=None)
    mask = None if options.mask is None else np.asarray(options.mask)
    if mask is not None and (mask.ndim < 3 or mask.shape[0] != len(array)):
        raise OptionError(f"mask has shape {mask.shape}; expected that of the stack, {array.shape}, or of its frames")
    name, found, failure = options.target[0], [], None
    for attempt in (_apart, _together):
        try:
            found += attempt(array, mask, options, encode)
        except OptionError as error:  # what does not fit frames may fit bands, and the other way round
            failure = failure or error
    if not found:
        raise failure or OptionError("there is no way to code this stack")
    if name not in ("size", "bpp") or len(found) == 1:
        return min(found, key=len)
    return min(found, key=lambda data: float(np.nansum((decode(data).astype(np.float64) - array) ** 2)))


def _apart(array: np.ndarray, mask: np.ndarray | None, options: EncodeOptions, encode: Encode) -> list[bytes]:
    """The file of frames each on its own."""
    (name, value), count = options.target, len(array)
    overhead = _HEADER + _ENTRY * count
    if name == "size":
        each = (value - overhead) // count
        if each < 1:
            raise OptionError(f"size={value} cannot be met: {count} frames take more than that; raise the target")
        options = options.changed(target=("size", each))
    if name == "bpp":
        rest = value - 8 * overhead / (count * array.shape[1] * array.shape[2])
        if rest <= 0:
            raise OptionError(f"bpp={value:g} cannot be met: the headers of {count} frames take more; raise the target")
        options = options.changed(target=("bpp", rest))
    masks = [None] * count if mask is None else list(mask)
    return [pack_frames([encode(image, options.changed(mask=held)) for image, held in zip(array, masks, strict=True)])]


def _together(array: np.ndarray, mask: np.ndarray | None, options: EncodeOptions, encode: Encode) -> list[bytes]:
    """The file of frames as bands; none where that is no other way to say the same."""
    (name, value), count = options.target, len(array)
    bands = count * (array.shape[3] if array.ndim == 4 else 1)
    same = array.dtype != np.uint8 or name != "quality"  # a quality of bands is another one than that of pictures
    if count < 2 or bands > CHANNEL_LIMIT or not same:
        return []
    held = None
    if mask is not None:
        held = _joined(np.broadcast_to(mask if mask.ndim == array.ndim else mask[..., None], array.shape))
    options = options.changed(mask=held, channels="bands")
    if name == "bpp":
        least = 8 * _NOTE / (array.shape[1] * array.shape[2])
        options = options.changed(target=("bpp", max(value * count - least, 1e-9)))
    if name == "size":
        options = options.changed(target=("size", max(value - _NOTE, 1)))
    return [_as_times(encode(_joined(array), options), array)]


def _joined(array: np.ndarray) -> np.ndarray:
    """The frames as bands, (H, W, T C)."""
    array = array if array.ndim == 4 else array[..., None]
    return np.ascontiguousarray(np.moveaxis(array, 0, 2).reshape(*array.shape[1:3], -1))


def _as_times(data: bytes, array: np.ndarray) -> bytes:
    """A file of bands with the word in its header that they are frames."""
    container = unpack(memoryview(data), UNLIMITED, PARSERS)
    together = "bands" if array.ndim == 4 else "times"
    frame = replace(container.frame, frames=len(array), together=together)
    return container.repacked(frame)


def pack_frames(files: list[bytes]) -> bytes:
    """Files of equal-shaped images as one file, in which each of them stands whole."""
    first = unpack(memoryview(files[0]), UNLIMITED, PARSERS).frame
    array = ArrayFields(first.dtype.name, bands=True) if first.array is not None and first.array.bands else None
    if array is None and first.array is not None:
        array = ArrayFields(first.dtype.name)
    if array is not None and not array.real:  # every frame has the range of its own samples in its header
        info = np.iinfo(first.dtype)
        array = replace(array, low=int(info.min), high=int(info.max))
    return pack(replace(first, array=array, frames=len(files)), b"", files)


def frame_of(container: Container, number: int, max_pixels: int) -> Container:
    """The file of a frame of a stack whose frames are apart.

    Raises
    ------
    FormatError
        If it is damaged, or not what the stack says of it.
    """
    segment = container.segment(number)
    found = unpack(segment.take(segment.left), max_pixels, PARSERS)
    container.frame.check_part(number, found.frame)
    return found
