"""Many images at once, on threads, processes or a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import numpy as np

from ._backend import is_device_array, resolve_device, resolve_threads, run_on
from .codec import check_max_rank, decode, encode, open_container
from .format.container import MAX_PIXELS, Container, Frame
from .errors import OptionError
from .files import read_bytes
from .options import SEARCHES, EncodeOptions, check_image
from .pictures import read_picture

__all__ = ["decode_batch", "encode_batch", "run_batch"]

Progress = Callable[[int, int], None]


def _encode_item(item: Any, **options: Any) -> bytes:
    """Encode an array or the picture behind a path; at module level so that processes can import it."""
    return encode(_load(item), **options)


def _decode_item(item: Any, **options: Any) -> np.ndarray:
    """Decode bytes or the .imf file behind a path."""
    return decode(_load_file(item), **options)


def _check_errors(errors: str) -> None:
    if errors not in ("raise", "return"):
        raise OptionError(f"errors is {errors!r}; expected 'raise' or 'return'")


def _load(item: Any) -> Any:
    """An image, read if it is a path or a file object."""
    return read_picture(item).pixels if isinstance(item, (str, bytes, os.PathLike)) or hasattr(item, "read") else item


def _load_file(item: Any) -> Any:
    """The bytes of a file, read if it is a path or a file object."""
    return read_bytes(item) if isinstance(item, (str, os.PathLike)) or hasattr(item, "read") else item


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
    _check_errors(errors)
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
    """Compress many images, one per worker; on the GPU, many at a time.

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
    work = partial(_encode_item, **options, threads=1)
    if executor is not None:
        return run_batch(work, images, executor, threads, progress, errors)
    _check_errors(errors)
    items, device = list(images), options.get("device", "auto")
    searched = any(options.get(name) is not None for name in SEARCHES)
    kind = f"{'search' if searched else 'encode'} {options.get('profile', 'main')} batch"
    backend = resolve_device(device, sum(map(_pixels, items)), kind, resident=any(map(is_device_array, items)))

    def run(chosen: str) -> list[Any]:
        if chosen != "cuda":
            return run_batch(work, items, None, threads, progress, errors)
        if options.get("objective", "mse") != "mse":  # which `encode` looks after, image by image
            return run_batch(partial(_encode_item, **options, threads=threads), items, None, 1, progress, errors)
        from .runtime.batches import encode_items

        named = {key: value for key, value in options.items() if key != "device"}
        valid = EncodeOptions(**named)

        def open_item(item: Any) -> tuple[Any, Frame]:
            pixels, channels = check_image(_load(item))
            return pixels, Frame(valid.profile, pixels.shape[0], pixels.shape[1], channels)

        return encode_items(items, open_item, valid, resolve_threads(threads), progress, errors)

    return run_on(device, backend, run)


def _pixels(item: Any) -> int:
    """Pixels of an array, which are known without opening anything."""
    shape = getattr(item, "shape", ())
    return int(shape[0] * shape[1]) if len(shape) > 1 else 0


def decode_batch(
    files: Iterable[Any],
    executor: Executor | None = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    errors: str = "raise",
    **options: Any,
) -> list[Any]:
    """Decompress many files, one per worker; on the GPU, many at a time.

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
    work = partial(_decode_item, **options, threads=1)
    if executor is not None:
        return run_batch(work, files, executor, threads, progress, errors)
    _check_errors(errors)
    items, device = list(files), options.get("device", "auto")
    backend = resolve_device(device)  # "auto" is the CPU: see `CROSSOVER`, there is none

    def run(chosen: str) -> list[Any]:
        if chosen != "cuda":
            return run_batch(work, items, None, threads, progress, errors)
        from .runtime.batches import decode_items

        max_rank = check_max_rank(options.get("max_rank"))
        max_pixels = options.get("max_pixels", MAX_PIXELS)

        def open_item(item: Any) -> Container:
            return open_container(_load_file(item), max_pixels)

        return decode_items(items, open_item, max_rank, resolve_threads(threads), progress, errors)

    return run_on(device, backend, run)
