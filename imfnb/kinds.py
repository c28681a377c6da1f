"""What an argument is, in words: for errors that name what was found in the place of what was expected."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, Literal

import numpy as np

from .errors import OptionError, name_of

__all__ = ["check_integer", "describe", "is_elsewhere", "is_path", "kind_of", "opened", "scalar"]

# How the files begin that are most often taken for something else.
_SIGNATURES = {
    b"\x89IMF": "an .imf file",
    b"\x89PNG": "a PNG file",
    b"\xff\xd8\xff": "a JPEG file",
    b"GIF8": "a GIF file",
    b"RIFF": "a WebP file",
    b"II*\0": "a TIFF file",
    b"MM\0*": "a TIFF file",
    b"BM": "a BMP file",
}

# Characters of a path, which may be no path but a text.
_LONGEST_SHOWN = 200


def is_elsewhere(value: Any) -> bool:
    """Whether something stands for a file that fsspec reaches: its OpenFile, or a UPath that is no local path."""
    fs = getattr(value, "fs", None)
    if not (hasattr(fs, "protocol") and hasattr(value, "path") and hasattr(value, "open")):
        return False
    return not (isinstance(value, os.PathLike) and {"file", "local"} & {*_protocols(fs)})


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def is_path(value: Any) -> bool:
    """Whether something stands for a file that :func:`opened` opens."""
    return isinstance(value, (str, os.PathLike)) or is_elsewhere(value)


def opened(path: Any, mode: Literal["rb", "wb"]) -> AbstractContextManager[BinaryIO]:
    """Open a file for binary reading or writing.

    Parameters
    ----------
    path : path, UPath or OpenFile
        The file; an OpenFile has been made for reading or for writing, and may be for text.
    mode : {"rb", "wb"}
        What to do with it.

    Returns
    -------
    context manager
        Gives the file, and closes it.

    Raises
    ------
    OptionError
        If an OpenFile has another mode.
    OSError
        If the file cannot be opened.
    """
    if not is_elsewhere(path):
        return open(path, mode)
    own = getattr(path, "mode", None)
    if own is None:
        return path.open(mode)
    if own != mode:
        raise OptionError(f"the file has mode {own!r}; expected {mode!r}: make it with fsspec.open(url, {mode!r})")
    return path


def kind_of(value: Any) -> str:
    """Which kind of argument something is.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    {"path", "folder", "contents", "array", "file", "mapping", "other"}
        "contents" are the bytes of a file in memory, "array" is an array or a tensor of numbers. Bytes are no path.
    """
    if is_elsewhere(value):
        return "path"
    if isinstance(value, (str, os.PathLike)):
        return "folder" if os.path.isdir(value) else "path"
    if isinstance(value, (bytes, bytearray, memoryview, mmap.mmap)):  # a memory map has `read` too
        try:
            with memoryview(value) as view:
                return "contents" if view.c_contiguous and view.ndim == view.itemsize == 1 else "array"
        except ValueError:  # a closed map, a released view
            return "other"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        # Arrays of objects and of strings are lists by another name.
        return "other" if getattr(value.dtype, "kind", "") in tuple("OSUT") else "array"
    if hasattr(value, "read"):
        return "file"
    return "mapping" if isinstance(value, Mapping) else "other"


def describe(value: Any) -> str:
    """Say what something is.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        Such as "a str (the path 'a.png')" or "an array of uint8 with shape (3, 4)".
    """
    kind = kind_of(value)
    if kind in ("path", "folder"):
        path = str(name_of(value)) if is_elsewhere(value) else os.fspath(value)
        shown = f"the {kind} {path if len(path) <= _LONGEST_SHOWN else path[:_LONGEST_SHOWN] + '...'!r}"
        return f"a str ({shown})" if isinstance(value, str) else shown
    if kind == "contents":
        found = [name for signature, name in _SIGNATURES.items() if bytes(value[: len(signature)]) == signature]
        return f"the contents of {found[0] if found else 'a file'} ({len(value)} bytes)"
    if kind == "array":
        dtype = value.format if isinstance(value, memoryview) else value.dtype
        return f"an array of {dtype} with shape {tuple(value.shape)}"
    if kind == "file":
        name = getattr(value, "name", None)
        return f"the open file {name!r}" if isinstance(name, (str, bytes)) else "an open file"
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value)
    cls = type(value)
    if cls.__module__ == "builtins":
        return f"a {cls.__name__}"
    return f"an object of type {cls.__module__}.{cls.__qualname__}"


def check_integer(name: str, value: Any, low: int, high: float, expected: str) -> int:
    """`value`, a Python or a NumPy integer, as an integer in [low, high]; or an OptionError."""
    number = scalar(value)
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not low <= number <= high:
        raise OptionError(f"{name} is {value!r}; expected {expected}")
    return int(number)


def scalar(value: Any) -> Any:
    """What an array without dimensions holds, anything else as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
