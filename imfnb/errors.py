"""The library's own exceptions: one root, so that a pipeline can catch all of them at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "DeviceError",
    "DeviceWarning",
    "FormatError",
    "ImfError",
    "LimitError",
    "MetadataWarning",
    "OptionError",
    "name_of",
    "naming",
]


# Errors that file systems other than the operating system's raise without a number, which tells Python their type.
_NUMBERS: dict[type, int] = {
    FileExistsError: errno.EEXIST,
    FileNotFoundError: errno.ENOENT,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    PermissionError: errno.EACCES,
}


class ImfError(Exception):
    """Root of every error that imfnb raises on purpose.

    Attributes
    ----------
    filename : str or None
        The file that the error is about; the text of the error begins with it.
    """

    filename: str | None = None

    def __str__(self) -> str:
        text = super().__str__()
        return text if self.filename is None else f"{self.filename}: {text}"


class OptionError(ImfError, ValueError):
    """An argument, an image or a combination of options that cannot be used."""


class FormatError(ImfError, ValueError):
    """Bytes that are not a valid .imf file."""


class LimitError(FormatError):
    """A file that declares more than the caller allows (see ``max_pixels``)."""


class DeviceError(ImfError, RuntimeError):
    """A device that was asked for by name and cannot be used."""


class DeviceWarning(RuntimeWarning):
    """The GPU failed under ``device="auto"``, and the CPU does the work from now on, with the same result."""


class MetadataWarning(UserWarning):
    """Something that a picture carries beside its samples (profile, EXIF, resolution) is not kept in an .imf file."""


def name_of(source: Any) -> str | None:
    """What a file is called in errors.

    Parameters
    ----------
    source : path, file of fsspec or binary file object
        The file.

    Returns
    -------
    str or None
        Its path or URL; None of objects without a name.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        return os.fsdecode(source)
    if hasattr(source, "fs"):  # of fsspec: an OpenFile, or a UPath, whose text is the URL
        return str(getattr(source, "full_name", source))
    name = getattr(source, "name", None)
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else None


@contextmanager
def naming(source: Any) -> Iterator[None]:
    """Name a file in every error that is raised while it is worked on.

    Parameters
    ----------
    source : path or binary file object
        The file. Objects without a name leave errors as they are.

    Raises
    ------
    ImfError
        The one that was raised, with its `filename` set unless it names a file already.
    OSError
        Likewise.
    """
    try:
        yield
    except (ImfError, OSError) as error:
        name = name_of(source)
        if error.filename is not None or name is None:
            raise
        if isinstance(error, ImfError):
            error.filename = name
            raise
        number = error.errno or _NUMBERS.get(type(error), errno.EIO)
        text = error.strerror or (os.strerror(number) if type(error) in _NUMBERS else str(error))
        raise OSError(number, text, name) from error
