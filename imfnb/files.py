"""Reading and writing .imf files so that nothing that existed is ever lost."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from typing import Any, BinaryIO

import numpy as np

from .codec import decode, encode

__all__ = ["imread", "imwrite", "read_bytes", "write_bytes"]


def read_bytes(source: str | os.PathLike | BinaryIO) -> bytes:
    """All bytes of a path or of a binary file object."""
    if hasattr(source, "read"):
        return source.read()
    with open(source, "rb") as file:
        return file.read()


def write_bytes(target: str | os.PathLike | BinaryIO, data: bytes) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    target : path or binary file object
        For a path, the bytes go to a new file in the same folder that is then renamed, so that a failure (a full
        disk, an interruption) leaves what was there before.
    data : bytes
        What to write.

    Raises
    ------
    OSError
        If the file cannot be written; the temporary file is removed.
    """
    if hasattr(target, "write"):
        target.write(data)
        return
    path = os.fsdecode(target)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe or a device is written to, not replaced
        with open(path, "wb") as file:
            file.write(data)
        return
    # Through a link the file itself is replaced, not the link.
    path = os.path.realpath(path)
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    except BaseException as error:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        if isinstance(error, OSError):  # name the file that the caller knows
            raise type(error)(error.errno, error.strerror, os.fsdecode(target)) from None
        raise


def imread(source: str | os.PathLike | BinaryIO, **options: Any) -> np.ndarray:
    """Read an .imf file.

    Parameters
    ----------
    source : path or binary file object
        Where to read from.
    **options
        Passed on to :func:`imfnb.decode`.

    Returns
    -------
    ndarray of uint8
        The image.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError
        If it is not a valid .imf file.
    """
    return decode(read_bytes(source), **options)


def imwrite(target: str | os.PathLike | BinaryIO, image: Any, **options: Any) -> int:
    """Write an image as an .imf file.

    Parameters
    ----------
    target : path or binary file object
        Where to write; an existing file is replaced only once the new one is complete.
    image : array_like of uint8
        The image; see :func:`imfnb.encode`.
    **options
        Passed on to :func:`imfnb.encode`.

    Returns
    -------
    int
        Number of bytes written.

    Raises
    ------
    OSError
        If the file cannot be written.
    OptionError
        If the image or an option cannot be used.
    """
    data = encode(image, **options)
    write_bytes(target, data)
    return len(data)
