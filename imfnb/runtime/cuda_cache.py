"""Machine code of CUDA kernels, kept on disk from one process to the next.

Numba's own cache does not do: most kernels are closures over device functions, which pickle differently in every
process, so that they are never found again.

`place` says where a kernel's code is, or would be; `load` and `save` read and write it, in the folder that `cache`
finds. Whatever is wrong with a file or a folder costs a compilation instead of the call. Only `cuda` imports this
module, for its own launcher.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import sys
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

from numba import config

from . import cache

__all__ = ["load", "place", "save"]

_logger = logging.getLogger(__name__)

_PACKAGE = __name__.partition(".")[0]

# How every file begins; the SHA-256 of the rest follows: the name of the kernel in the code, a zero, the code.
_MAGIC = b"imfnb-kernel-1\n"

_SUFFIX = ".kernel"

# What turns kernels into machine code. A compiler that was not installed by pip goes unnoticed.
_PACKAGES = (
    "numba",
    "numba-cuda",
    "llvmlite",
    "numpy",
    "nvidia-nvvm",
    "nvidia-nvjitlink",
    "nvidia-cuda-nvcc-cu12",
    "nvidia-nvjitlink-cu12",
)

# Settings of Numba (NUMBA_OPT and so on) that change the code.
_SETTINGS = "OPT", "BOUNDSCHECK", "CUDA_DEBUGINFO_DEFAULT", "CUDA_ENABLE_NRT", "FORCE_CUDA_CC"


def place(name: str, signature: str, capability: tuple[int, ...]) -> Path | None:
    """Where the machine code of a kernel is, or belongs.

    Parameters
    ----------
    name : str
        Name of the kernel, different for other constants and other signatures.
    signature : str
        The types of its arguments.
    capability : tuple of int
        Compute capability of the device.

    Returns
    -------
    pathlib.Path or None
        The name of the file has the kernel's name, a digest of what makes it another kernel, and a digest of what makes
        its code stale, beside what the folder stands for. None where there is no folder, and for kernels from outside
        this package, whose sources are not known here.
    """
    if not name.startswith(f"{_PACKAGE}."):
        return None
    readable = re.sub(r"\W+", "-", name.removeprefix(f"{_PACKAGE}."))[:60].rstrip("-")
    arch = "".join(map(str, capability))
    kernel = _digest(name, sys.implementation.cache_tag)[:16]
    state = _digest(signature, _versions(), [getattr(config, setting, None) for setting in _SETTINGS])[:32]
    file = f"{readable}.sm_{arch}.{kernel}.{state}{_SUFFIX}"
    found = cache.places()
    for folder in found.readable:
        if (folder / file).exists():
            return folder / file
    return found.best and found.best / file


def load(path: Path) -> tuple[str, bytes] | None:
    """Read a kernel's code.

    Parameters
    ----------
    path : pathlib.Path
        The file, by :func:`place`.

    Returns
    -------
    (str, bytes) or None
        Name of the kernel in its code, and the code; None if there is no such file, or it is damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        _logger.debug("no cached CUDA kernel: %r", error)
        return None
    start = len(_MAGIC) + hashlib.sha256().digest_size
    rest = content[start:]
    if content[:start] != _MAGIC + hashlib.sha256(rest).digest():
        _logger.debug("damaged CUDA kernel ignored: %s", path)
        return None
    entry, _, code = rest.partition(b"\0")
    return entry.decode(), code


def save(path: Path, entry: str, code: bytes) -> None:
    """Keep a kernel's code, and remove that of the same kernel from other versions and settings.

    Parameters
    ----------
    path : pathlib.Path
        The file, by :func:`place`.
    entry : str
        Name of the kernel in its code.
    code : bytes
        The code.
    """
    rest = entry.encode() + b"\0" + code
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        try:
            beside.write_bytes(_MAGIC + hashlib.sha256(rest).digest() + rest)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        kernel = path.name.removesuffix(_SUFFIX).rpartition(".")[0]
        for other in path.parent.glob(f"{kernel}.*{_SUFFIX}"):
            if other != path:
                other.unlink(missing_ok=True)
    except OSError as error:
        _logger.debug("CUDA kernel not cached: %r", error)
        cache.unkept[path.name] = str(error)
    else:
        cache.unkept.pop(path.name, None)


def _digest(*values: Any) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()


@functools.cache
def _versions() -> tuple[str, ...]:
    """Versions of all that has a part in compiling; empty for a package that is not there."""
    versions = [sys.version]
    for package in _PACKAGES:
        try:
            versions.append(metadata.version(package))
        except metadata.PackageNotFoundError:
            versions.append("")
    return tuple(versions)
