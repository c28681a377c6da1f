"""Files of NumPy's: .npy, mapped into memory where it is a file of its own, and .npz. Pickles are never read."""

from __future__ import annotations

import io
import math
import zipfile
from functools import partial
from typing import Any, BinaryIO

import numpy as np

from ..errors import OptionError
from .found import Survey, choose_frame
from .rasters import arrange, check_array

__all__ = ["npy", "npz"]


def npy(file: BinaryIO, axes: str | None, frame: int | None) -> Survey:
    """One array; see :func:`imfnb.pictures.surveys.survey`."""
    if axes is None or "T" not in axes:
        choose_frame(frame, 1)
    stack = axes is not None and "T" in axes and frame is None
    return Survey(file, load=partial(_load, file, axes, frame), reader="NumPy", stack=stack)


def npz(file: BinaryIO, axes: str | None, frame: int | None) -> Survey | None:
    """An archive of arrays, of which `frame` chooses one; None where the archive holds something else."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError):
        return None
    names = archive.namelist()
    if not names or not all(name.endswith(".npy") for name in names):
        return None
    chosen = choose_frame(frame, len(names), "arrays")

    def load(max_pixels: int) -> np.ndarray:
        with archive.open(names[chosen]) as member:
            return _load(member, axes, None, max_pixels)

    return Survey(file, load=load, reader="NumPy", stack=axes is not None and "T" in axes)


def _load(file: Any, axes: str | None, frame: int | None, max_pixels: int) -> np.ndarray:
    """The array of a .npy file that begins where `file` stands, in the order T, H, W, C."""
    shape, columns_first, dtype = _header(file)
    check_array(dtype, shape, axes, max_pixels)
    frames = shape[axes.index("T")] if axes is not None and "T" in axes else 1
    chosen = frame if frame is None else choose_frame(frame, frames)
    order: Any = "F" if columns_first else "C"
    if _is_mappable(file):
        array: np.ndarray = np.memmap(file, dtype, "r", file.tell(), shape, order)
    else:
        count = math.prod(shape)
        array = np.frombuffer(file.read(count * dtype.itemsize), dtype, count).reshape(shape, order=order)
    return np.asarray(arrange(array, axes, chosen))


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape of an array, whether its columns come first, and its dtype."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:  # version 3 is that of fields with names beyond Latin-1
        raise OptionError(
            f"this is a NumPy array's file of version {version[0]}.{version[1]}, as those of arrays whose fields have "
            "names; expected plain numbers: save the fields one by one first"
        )
    return readers[version](file)


def _is_mappable(file: Any) -> bool:
    """Whether a file is one of the operating system's, rather than bytes in memory or a part of an archive."""
    try:
        return not isinstance(file, zipfile.ZipExtFile) and file.fileno() >= 0
    except (AttributeError, io.UnsupportedOperation):
        return False
