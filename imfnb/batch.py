"""Many images at once, on threads, processes or a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import numpy as np

from ._backend import resolve_threads
from .codec import decode, encode
from .errors import OptionError
from .files import read_bytes
from .pictures import read_picture

__all__ = ["decode_batch", "encode_batch", "run_batch"]

Progress = Callable[[int, int], None]


def _encode_item(item: Any, options: dict[str, Any]) -> bytes:
    """Encode an array or the picture behind a path; at module level so that processes can import it."""
    if isinstance(item, (str, bytes, os.PathLike)) or hasattr(item, "read"):
        item = read_picture(item)
    return encode(item, **options)


def _decode_item(item: Any, options: dict[str, Any]) -> np.ndarray:
    """Decode bytes or the .imf file behind a path."""
    if isinstance(item, (str, os.PathLike)) or hasattr(item, "read"):
        item = read_bytes(item)
    return decode(item, **options)


def run_batch(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    executor: Executor | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    errors: str = "raise",
) -> list[Any]:
    """Apply a function to every item on an executor.

    Parameters
    ----------
    function : callable
        Called once per item.
    items : iterable
        The work.
    executor : Executor, optional
        Anything with the ``submit`` of :mod:`concurrent.futures`: threads, processes, Dask's ``Client.get_executor()``.
        By default a pool of `threads` threads of its own.
    threads : int, optional
        Size of the default pool; all cores by default.
    progress : callable, optional
        Called in this thread with the number of finished items and of all items.
    errors : {"raise", "return"}, default "raise"
        "raise" stops at the first failure and raises it; "return" puts the exception in the place of the result.

    Returns
    -------
    list
        Results in the order of `items`.

    Raises
    ------
    OptionError
        If `errors` or `threads` is not as above.
    """
    if errors not in ("raise", "return"):
        raise OptionError(f"errors is {errors!r}; expected 'raise' or 'return'")
    work = list(items)
    if executor is None:
        pool = ThreadPoolExecutor(min(resolve_threads(threads), max(1, len(work))))
        try:
            return run_batch(function, work, pool, None, progress, errors)
        finally:
            pool.shutdown(wait=False)  # all is done, or the caller has interrupted and does not want to wait
    futures: list[Future] = [executor.submit(function, item) for item in work]
    pending, finished = set(futures), 0
    try:
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                if errors == "raise" and future.exception() is not None:
                    raise future.exception()
                finished += 1
                if progress is not None:
                    progress(finished, len(futures))
    except BaseException:
        for future in pending:  # what has not begun never will; what runs ends with its image
            future.cancel()
        raise
    return [future.exception() or future.result() for future in futures]


def encode_batch(
    images: Iterable[Any],
    executor: Executor | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    errors: str = "raise",
    **options: Any,
) -> list[Any]:
    """Compress many images, one per worker.

    Parameters
    ----------
    images : iterable of array_like, path or binary file object
        Arrays as :func:`imfnb.encode` takes them, or pictures in any format that Pillow reads.
    executor : Executor, optional
        Anything with the ``submit`` of :mod:`concurrent.futures`; a pool of threads by default.
    threads : int, optional
        Size of the default pool; all cores by default. Each image is encoded on one thread.
    progress : callable, optional
        Called with the number of finished images and of all images.
    errors : {"raise", "return"}, default "raise"
        "raise" stops at the first failure; "return" puts the exception in the place of the result and goes on.
    **options
        Passed on to :func:`imfnb.encode`.

    Returns
    -------
    list of bytes
        Files in the order of `images`; with ``errors="return"`` an exception where an image failed.

    Raises
    ------
    OptionError
        If an image or an option cannot be used.
    """
    work = partial(_encode_item, options={**options, "threads": 1})
    return run_batch(work, images, executor, threads, progress, errors)


def decode_batch(
    files: Iterable[Any],
    executor: Executor | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    errors: str = "raise",
    **options: Any,
) -> list[Any]:
    """Decompress many files, one per worker.

    Parameters
    ----------
    files : iterable of bytes-like, path or binary file object
        Contents of .imf files, or where to read them.
    executor : Executor, optional
        As in :func:`encode_batch`.
    threads : int, optional
        As in :func:`encode_batch`.
    progress : callable, optional
        As in :func:`encode_batch`.
    errors : {"raise", "return"}, default "raise"
        As in :func:`encode_batch`.
    **options
        Passed on to :func:`imfnb.decode`.

    Returns
    -------
    list of ndarray of uint8
        Images in the order of `files`; with ``errors="return"`` an exception where a file failed.

    Raises
    ------
    FormatError
        If a file is not valid.
    OptionError
        If an option is out of range.
    """
    work = partial(_decode_item, options={**options, "threads": 1})
    return run_batch(work, files, executor, threads, progress, errors)
