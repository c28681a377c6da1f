"""Stacks of images: frames that are coded each as a file of its own, or as the bands of one array."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .errors import FormatError, OptionError
from .format.container import Container, pack, unpack
from .format.samples import CHANNEL_LIMIT, ArrayFields
from .options import EncodeOptions
from .profiles import PARSERS

__all__ = ["encode_frames", "frame_of", "pack_frames"]

#: From an image and options to a file.
Encode = Callable[[Any, EncodeOptions], bytes]

# Bytes of the header of a stack, and of each of its frames in it.
_HEADER, _ENTRY = 48, 9


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
    options = _with(options, axes=None)
    name, value = options.target
    count, pixels = len(array), array.shape[1] * array.shape[2]
    overhead = _HEADER + _ENTRY * count
    if name == "size":
        each = (value - overhead) // count
        if each < 1:
            raise OptionError(f"size={value} cannot be met: {count} frames take more than that; raise the target")
        apart = _with(options, size=each, target=("size", each))
    elif name == "bpp":
        rest = value - 8 * overhead / (count * pixels)
        if rest <= 0:
            raise OptionError(f"bpp={value:g} cannot be met: the headers of {count} frames take more; raise the target")
        apart = _with(options, bpp=rest, target=("bpp", rest))
    else:
        apart = options
    mask = None if options.mask is None else np.asarray(options.mask)
    if mask is not None and (mask.ndim < 3 or mask.shape[0] != count):
        raise OptionError(f"mask has shape {mask.shape}; expected that of the stack, {array.shape}, or of its frames")
    files = [encode(image, _with(apart, mask=None if mask is None else mask[t])) for t, image in enumerate(array)]
    stack = pack_frames(files)
    bands = count * (array.shape[3] if array.ndim == 4 else 1)
    picture = array.dtype == np.uint8 and name == "quality"  # the same quality is another one for bands
    if count < 2 or bands > CHANNEL_LIMIT or picture:
        return stack
    joined = _joined(array)
    held = (
        None
        if mask is None
        else _joined(np.broadcast_to(mask if mask.ndim == array.ndim else mask[..., None], array.shape))
    )
    whole = _with(options, mask=held, channels="bands")
    if name == "bpp":
        whole = _with(whole, bpp=value * count, target=("bpp", value * count))
    together = _as_times(encode(joined, whole), array)
    if name in ("size", "bpp"):
        errors = [float(np.nansum((decode(data).astype(np.float64) - array) ** 2)) for data in (together, stack)]
        return together if errors[0] < errors[1] else stack
    return min(together, stack, key=len)


def _with(options: EncodeOptions, **changes: Any) -> EncodeOptions:
    """Options with some that need no check."""
    found = copy.copy(options)
    for name, value in changes.items():
        object.__setattr__(found, name, value)
    return found


def _joined(array: np.ndarray) -> np.ndarray:
    """The frames as bands, (H, W, T C)."""
    array = array if array.ndim == 4 else array[..., None]
    return np.ascontiguousarray(np.moveaxis(array, 0, 2).reshape(*array.shape[1:3], -1))


def _as_times(data: bytes, array: np.ndarray) -> bytes:
    """A file of bands with the word in its header that they are frames."""
    container = unpack(memoryview(data), 1 << 62, PARSERS)
    together = "bands" if array.ndim == 4 else "times"
    frame = replace(container.frame, frames=len(array), together=together)
    return container.repacked(frame)


def pack_frames(files: list[bytes]) -> bytes:
    """Files of equal-shaped images as one file, in which each of them stands whole."""
    first = unpack(memoryview(files[0]), 1 << 62, PARSERS).frame
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
    frame, expected = found.frame, container.frame
    shape = expected.shape[1:]
    if frame.frames or frame.shape != shape or frame.dtype != expected.dtype:
        raise FormatError(
            f"damaged file: frame {number} has {frame.dtype} {frame.shape}; expected {expected.dtype} {shape}"
        )
    return found
