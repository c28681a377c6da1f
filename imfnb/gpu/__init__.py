"""Pipelines on the GPU: the profiles' stages chained on device memory, for one image and for batches.

Each profile has a module here, named in :data:`PIPELINES`, that offers

- ``Coder(images, frame, options, threads, half, pool)``: equal-shaped images on their way to files, with a method
  ``encode(name, value)`` for a single image and any target;
- ``encode_chunk(images, frame, options, half, pool)``: a task (see `streams`) that returns a future of bytes for each
  image, for the targets in ``CHUNK_TARGETS``;
- ``decode_chunk(containers, outs, max_rank, half, pool)``: a task that fills ``outs`` with the images of files that
  have the same ``batch_key(container)``.

The entropy coder runs on the CPU, on a pool of threads, while the GPU has the next images.
"""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

from ..container import Container, Frame
from ..errors import DeviceError
from ..options import EncodeOptions

__all__ = ["PIPELINES", "decode", "encode", "pipeline"]

#: Module of this package for each profile that runs on the GPU.
PIPELINES = {"baseline": "baseline", "main": "main"}


def pipeline(profile: str) -> ModuleType:
    """The module of a profile.

    Parameters
    ----------
    profile : str
        Name of the profile.

    Returns
    -------
    module
        As described above.

    Raises
    ------
    DeviceError
        If the profile has none.
    """
    if profile not in PIPELINES:
        raise DeviceError(
            f"device='cuda' cannot be used: this version of imfnb has no CUDA pipeline for profile={profile!r} "
            f"(only for {', '.join(map(repr, PIPELINES))}); use device='auto' or device='cpu'"
        )
    return importlib.import_module(f".{PIPELINES[profile]}", __name__)


def encode(image: Any, frame: Frame, options: EncodeOptions, threads: int) -> bytes:
    """Encode one image for any target.

    Parameters
    ----------
    image : ndarray or device array of uint8, shape (H, W, C)
        The image.
    frame : Frame
        Its description.
    options : EncodeOptions
        The validated options.
    threads : int
        Largest number of threads for the work that stays on the CPU.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    DeviceError
        If the profile has no pipeline or the device's memory is too small.
    OptionError
        If a target cannot be met.
    """
    from . import streams, transfer

    module = pipeline(options.profile)
    with ThreadPoolExecutor(threads) as pool, transfer.borrowed(threads) as half, streams.memory_errors():
        return module.Coder([image], frame, options, threads, half, pool).encode(*options.target)


def decode(container: Container, out: Any, threads: int, max_rank: int | None) -> None:
    """Decode a file into an array on the host or on the device.

    Parameters
    ----------
    container : Container
        The file.
    out : ndarray or device array of uint8, shape (H, W, C), C-contiguous
        Receives the image.
    threads : int
        Largest number of threads for the work that stays on the CPU.
    max_rank : int, optional
        Use only the first components.

    Raises
    ------
    DeviceError
        If the profile has no pipeline or the device's memory is too small.
    FormatError
        If a segment is damaged.
    """
    from . import streams, transfer

    module = pipeline(container.frame.profile)
    with ThreadPoolExecutor(threads) as pool, transfer.borrowed(threads) as half, streams.memory_errors():
        streams.drive(module.decode_chunk([container], [out], max_rank, half, pool), half)
