"""Many images at once, on threads, processes or a cluster: as lists, or one after the other as results come."""

from __future__ import annotations

import io
import math
import mmap
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar, overload

import numpy as np

from .codec import (
    check_max_rank,
    check_out,
    check_reduce,
    decode,
    decode_container,
    encode,
    encode_array,
    open_container,
    with_chunks,
)
from .errors import FormatError, MetadataWarning, OptionError, naming
from .files import read_bytes
from .format.container import MAX_PIXELS, Container, Frame
from .headers import check_max_pixels
from .kinds import describe, is_path, kind_of
from .options import SEARCHES, EncodeOptions
from .pictures import Picture, read_picture
from .rasters import prepare, to_array
from .runtime.devices import is_device_array, resolve_device, resolve_threads, run_on

__all__ = ["decode_batch", "decode_iter", "encode_batch", "encode_iter", "run_batch"]

Progress = Callable[[int, int], None]

# Longer bytes, or such with a zero among them, are no path on any system.
_LONGEST_PATH = 4096

_END = object()

_Out = TypeVar("_Out")


# ------------------------------------------------------------------------------------------------------------ one item


class _Contents(NamedTuple):
    """What an open file held: read where the iterable is, since a generator may close the file when it goes on."""

    name: Any
    data: bytes


@contextmanager
def _about(item: Any, place: str) -> Iterator[None]:
    """Name an item in the errors of the work on it: the file, or where in the iterable it stood."""
    is_file = is_path(item) or isinstance(item, _Contents) or kind_of(item) == "file"
    try:
        with naming(item if is_file else None):
            yield
    except (OptionError, FormatError) as error:
        if error.filename is None:
            error.args = (f"{place}: {error}",)
        raise


def _take_file(item: Any) -> Any:
    """An open file's contents, anything else as it is."""
    if kind_of(item) != "file":
        return item
    data = item.read()
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise OptionError(f"its read() returned a {type(data).__name__}; expected bytes: open files in binary mode")
    return _Contents(getattr(item, "name", None), bytes(data))


def _take_picture(item: Any, place: str) -> Any:
    """What to hand to a worker for an item of :func:`encode_iter`, which may change as soon as the iterable goes on."""
    with _about(item, place):
        if isinstance(item, bytes):
            if len(item) > _LONGEST_PATH or b"\0" in item:
                raise OptionError(f"found {describe(item)}, but bytes stand for a path: wrap contents in io.BytesIO")
            return os.fsdecode(item)
        if getattr(item, "is_animated", False):  # Pillow moves one object from frame to frame
            return item.copy()
        return _take_file(item)


def _take_contents(item: Any, place: str) -> Any:
    """The same for :func:`decode_iter`; views would keep what they show from being closed, and reach no process."""
    with _about(item, place):
        if isinstance(item, (bytearray, memoryview, mmap.mmap)) and kind_of(item) == "contents":
            return bytes(memoryview(item))
        return _take_file(item)


def _load(item: Any) -> Picture:
    """An image, read if it is in a file, with what the file says of it."""
    if not is_path(item) and not isinstance(item, _Contents):
        return Picture(item, ())
    return read_picture(io.BytesIO(item.data) if isinstance(item, _Contents) else item)


def _load_file(item: Any) -> Any:
    """The contents of an .imf file."""
    if isinstance(item, _Contents):
        return item.data
    return read_bytes(item) if is_path(item) else item


def _nameable(item: Any) -> Any:
    """As much of an item as its name takes."""
    if isinstance(item, _Contents):
        return item._replace(data=b"")
    return item if is_path(item) else None


def _encode_item(item: Any, place: str, **options: Any) -> tuple[bytes, tuple[str, ...]]:
    """Encode an item, and say what of its file is not kept; at module level so that processes can import it."""
    with _about(item, place):
        picture = _load(item)
        return encode(picture.pixels, **{**picture.options, **options}), picture.dropped


def _decode_item(item: Any, place: str, out: Any = None, **options: Any) -> np.ndarray:
    """Decode an item, into an array if there is one."""
    with _about(item, place):
        return decode(_load_file(item), out, **options)


def _warn(dropped: Iterable[str]) -> None:
    """Warn of what is not kept, on behalf of whoever called this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
        level, frame = level + 1, frame.f_back
    for word in dropped:  # in words that are the same for each file, so that Python shows them once
        message = f"a picture's {word} is not kept in the .imf file"
        warnings.warn(message, MetadataWarning, stacklevel=level)


# ---------------------------------------------------------------------------------------------------------- many items


def _check_errors(errors: str) -> None:
    if errors not in ("raise", "return"):
        raise OptionError(f"errors is {errors!r}; expected 'raise' or 'return'")


def _count(items: Any) -> int | None:
    """Number of items, None where nobody knows."""
    try:
        return len(items)
    except (TypeError, NotImplementedError):
        return None


def _workers(executor: Executor | None, threads: int | None) -> int:
    """How many items are worked on at a time, as far as one can tell."""
    size = getattr(executor, "_max_workers", None)  # the pools of `concurrent.futures` have no public name for it
    return size if threads is None and isinstance(size, int) else resolve_threads(threads)


def _outcomes(
    function: Callable[..., Any],
    take: Callable[[Any, int], tuple[Any, ...]],
    items: Iterable[Any],
    executor: Executor | None,
    threads: int | None,
    errors: str,
    progress: Progress | None = None,
    listed: bool = False,
    settled: bool = False,
) -> Generator[Future, None, None]:
    """Apply a function to items on an executor, and give out what comes of each, in order.

    Parameters
    ----------
    function : callable
        Called once per item.
    take : callable
        From an item and its number to the arguments of `function`; called in this thread.
    items : iterable
        The work, taken in this thread as it is needed.
    executor, threads, progress, errors
        As in :func:`run_batch`.
    listed : bool
        Whether the results are kept in a list anyway, so that a slow item need not hold up those behind it.
    settled : bool
        Whether what runs is waited for even when this is left early, since it writes to memory of the caller.

    Yields
    ------
    Future
        Finished. Twice as many items as there are workers are on their way at most.
    """
    ahead = window = 2.0 * _workers(executor, threads)
    if listed:
        window = math.inf
        if executor is not None and isinstance(items, (list, tuple)):  # no memory to save: let it see all there is
            ahead = math.inf
    count, pool = None if progress is None else _count(items), executor
    if pool is None:
        pool = ThreadPoolExecutor(resolve_threads(threads), thread_name_prefix="imfnb")
    waiting: deque[Future] = deque()  # taken and not given out, in order
    pending: set[Future] = set()  # those of them that may not be done
    source, more, taken, finished = iter(items), True, 0, 0

    def finish(done: Iterable[Future]) -> bool:
        """Count what is done; whether to go on taking items."""
        nonlocal finished
        failed = False
        for future in done:
            pending.remove(future)
            finished += 1
            failed |= _error(future) is not None
            if progress is not None:
                progress(finished, taken if count is None else count)
        return not (failed and errors == "raise")

    try:
        while more or waiting:
            if more and len(pending) < ahead and len(waiting) < window:
                item = next(source, _END)
                if item is _END:
                    more = False
                else:
                    future = _submit(pool, function, take, item, taken)
                    waiting.append(future)
                    pending.add(future)
                    taken += 1
                del item
            elif not waiting[0].done():
                more &= finish(wait(pending, return_when=FIRST_COMPLETED).done)
            if waiting and waiting[0].done():
                future = waiting.popleft()
                more &= finish({future} & pending)
                yield future
                del future
    finally:
        # What has not begun never will; what runs ends with its item.
        running = [future for future in waiting if not future.cancel()]
        if settled:
            wait(running)
        if executor is None:
            pool.shutdown(wait=False)


def _submit(pool: Executor, function: Callable, take: Callable, item: Any, number: int) -> Future:
    """Hand an item over; an item that cannot even be taken fails like one whose work does."""
    try:
        arguments = take(item, number)
    except Exception as error:
        failed: Future = Future()
        failed.set_exception(error)
        return failed
    future = pool.submit(function, *arguments)
    if not isinstance(future, Future):
        raise OptionError(
            f"the executor's submit() returned {describe(future)}; expected a Future of concurrent.futures "
            "(for Dask give Client.get_executor())"
        )
    return future


def _error(future: Future) -> BaseException | None:
    """What went wrong, once a future is done."""
    try:
        return future.exception()
    except CancelledError as error:  # by whoever owns the executor
        return error


def _results(
    outcomes: Generator[Future, None, None], errors: str, finish: Callable[[Any], Any] | None = None
) -> Generator[Any, None, None]:
    """From futures to results, to errors in their places, or to the first error.

    `finish` makes the result of what a worker returned, in this thread.
    """
    with closing(outcomes):
        for future in outcomes:
            error, result = _error(future), None
            if error is None:
                result = future.result()
                try:
                    result = result if finish is None else finish(result)
                except MetadataWarning as warning:  # where filters make errors of it, it is that of its item
                    error = warning
            del future
            if error is not None and errors == "raise":
                try:
                    raise error
                finally:
                    del error  # whose traceback knows this frame
            yield result if error is None else error
            del result, error


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
        Called in this thread with the number of finished items and of all items, or, where `items` has no length, of
        those taken so far.
    errors : {"raise", "return"}, default "raise"
        "raise" stops at the first failure, in the order of `items`, and raises it; "return" puts the exception in the
        place of the result.

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
    outcomes = _outcomes(function, lambda item, _: (item,), items, executor, threads, errors, progress, listed=True)
    return list(_results(outcomes, errors))


_NOUNS = {
    "images": "pictures (arrays, paths or binary file objects)",
    "files": ".imf files (bytes, paths or binary file objects)",
}


def _refusal(name: str, items: Any) -> str | None:
    """Why something is no iterable of items, or None if it may be one."""
    kind = kind_of(items)
    if kind == "array" and name == "images" and len(items.shape) == 4:  # a stack of images
        return None
    if kind == "other" and (isinstance(items, Iterable) or hasattr(type(items), "__getitem__")):
        return None
    item = f"io.BytesIO({name})" if kind == "contents" and name == "images" else name
    remedy = {
        "folder": ": give those of its files, such as sorted(pathlib.Path(folder).iterdir())",
        "mapping": f": give list({name}.values()) or list({name})",
        "other": "",
    }.get(kind, f": give [{item}] if it is one")
    return f"{name} is {describe(items)}; expected an iterable of {_NOUNS[name]}{remedy}"


def _check_call(executor: Any, threads: Any, errors: Any, device: Any) -> None:
    """Refuse options that no item can be worked on with."""
    if executor is not None and not hasattr(executor, "submit"):
        raise OptionError(
            f"executor is {describe(executor)}; expected an object with the submit() of concurrent.futures, or None"
        )
    _check_errors(errors)
    resolve_threads(threads)
    if executor is None or device != "cuda":  # the machines of a cluster may have a GPU where this one has none
        resolve_device(device)


def _named(name: str, take: Callable[[Any, str], Any]) -> Callable[[Any, int], tuple[Any, str]]:
    """From an item and its number to what a worker gets: the item as it is now, and where it stood."""

    def arguments(item: Any, number: int) -> tuple[Any, str]:
        place = f"{name}[{number}]"
        return take(item, place), place

    return arguments


def _on_gpu(
    outcomes: Generator[Future, None, None],
    opened: dict[int, tuple[Any, str]],
    items: Iterable[Any],
    progress: Progress | None,
    guarded: bool = True,
) -> Generator[Future, None, None]:
    """Outcomes of the GPU, counted and named as they are given out.

    `opened` has the arguments of :func:`_about` of all items that are on the GPU; the errors of others have a name.
    Failures of the GPU itself become a DeviceError, unless the caller does that.
    """
    count, finished = None if progress is None else _count(items), 0
    following = partial(next, outcomes, None)
    with closing(outcomes):
        while True:
            future = run_on("cuda", "cuda", lambda _: following()) if guarded else following()
            if future is None:
                return
            error, about = _error(future), opened.pop(finished, None)
            if error is not None and about is not None:
                with suppress(type(error)), _about(*about):
                    raise error
            finished += 1
            if progress is not None:
                progress(finished, finished if count is None else count)
            yield future


# -------------------------------------------------------------------------------------------------------------- encode


def _keep_samples(result: tuple[bytes, tuple[str, ...]]) -> bytes:
    """The file that a worker has made, after a warning of what is not in it."""
    data, dropped = result
    _warn(dropped)
    return data


def _with_metadata(
    outcomes: Generator[Future, None, None], kept: dict[int, tuple[tuple[bytes, bytes], ...]]
) -> Generator[Future, None, None]:
    """Files of the GPU with what they carry beside pixels, which is known by their numbers."""
    with closing(outcomes):
        for number, future in enumerate(outcomes):
            chunks = kept.pop(number, ())
            if chunks and _error(future) is None:
                whole: Future = Future()
                whole.set_result(with_chunks(future.result(), chunks))
                yield whole
            else:
                yield future


def _encode_on(
    backend: str,
    images: Iterable[Any],
    executor: Executor | None,
    threads: int | None,
    errors: str,
    options: dict[str, Any],
    progress: Progress | None = None,
    listed: bool = False,
) -> Generator[Any, None, None]:
    """Results of :func:`encode_iter` on a backend that has been chosen."""
    take = _named("images", _take_picture)
    valid = EncodeOptions(**{key: value for key, value in options.items() if key != "device"})
    if backend == "cuda" and valid.objective == "mse":
        from ._device_batch import encode_items

        def open_item(item: Any, number: int) -> tuple[Any, Frame | None]:
            item, place = take(item, number)
            with _about(item, place):
                picture = _load(item)
                given = {key: value for key, value in options.items() if key != "device"}
                array, own = to_array(picture.pixels, EncodeOptions(**{**picture.options, **given}))
                # Stacks are encoded in several ways, and sizes that hold metadata are of one file each.
                alone = own.axes is not None or (own.metadata and own.target[0] in ("size", "bpp"))
                found = (encode_array(array, own, "cuda", workers), None) if alone else prepare(array, own)
            if own.metadata and not alone:
                kept[number] = own.metadata.chunks
            _warn(picture.dropped)
            opened[number] = _nameable(item), place
            return found

        opened: dict[int, tuple[Any, str]] = {}
        kept: dict[int, tuple[tuple[bytes, bytes], ...]] = {}
        workers = resolve_threads(threads)
        whole = listed and isinstance(images, (list, tuple))
        outcomes = _with_metadata(encode_items(images, open_item, valid, workers, whole), kept)
        return _results(_on_gpu(outcomes, opened, images, progress, guarded=not listed), errors)
    inner = 1
    if backend == "cuda":  # other objectives, which `encode` looks after image by image
        inner, threads = resolve_threads(threads), 1
    work = partial(_encode_item, **options, threads=inner)
    outcomes = _outcomes(work, take, images, executor, threads, errors, progress, listed)
    return _results(outcomes, errors, _keep_samples)


def _check_encode(images: Any, executor: Any, threads: Any, errors: Any, options: dict[str, Any]) -> None:
    """Refuse wrong arguments of :func:`encode_iter` before anything is done."""
    refusal = _refusal("images", images)
    if refusal is not None:
        raise OptionError(refusal)
    device = options.get("device", "auto")
    _check_call(executor, threads, errors, device)
    EncodeOptions(**{key: value for key, value in options.items() if key != "device"})


def encode_iter(
    images: Iterable[Any],
    executor: Executor | None = None,
    *,
    threads: int | None = None,
    errors: str = "raise",
    **options: Any,
) -> Generator[Any, None, None]:
    """Compress images one after the other as they come, several at a time, and yield each file when it is there.

    Nothing is taken from `images` before the first file is asked for, and then twice as many as there are workers are
    on their way at most: endless iterables are fine. They are consumed in the thread that asks for files. To stop
    early, leave the loop or close the generator: images that nobody works on yet are dropped.

    Parameters
    ----------
    images : iterable of array_like, path or binary file object
        Arrays as :func:`imfnb.encode` takes them, or pictures and rasters as the command line reads them. File objects
        are read as they are taken; an array must not be changed before its file is there.
    executor : Executor, optional
        Anything with the ``submit`` of :mod:`concurrent.futures`; a pool of threads by default.
    threads : int, optional
        Size of the default pool; all cores by default. Each image is encoded on one thread. For an executor, the number
        of its workers, where it is not a pool of :mod:`concurrent.futures`, whose size is known.
    errors : {"raise", "return"}, default "raise"
        "raise" stops at the first failure, in the order of `images`; "return" yields the exception in the place of the
        file and goes on.
    **options
        Passed on to :func:`imfnb.encode`. ``device="cuda"`` encodes images of equal shape together, up to 32
        megapixels of them; "auto" is the CPU, except for arrays that are on the GPU.

    Returns
    -------
    generator of bytes
        Files in the order of `images`; with ``errors="return"`` an exception where an image failed.

    Raises
    ------
    OptionError
        If `images` is no iterable of images or an option cannot be used, at once; if an image cannot be used, when it
        is its turn. The text begins with the file's name, or with where the image stood.
    OSError
        If a file cannot be read, when it is its turn.

    Warns
    -----
    MetadataWarning
        If a picture's file holds more than samples. Where filters turn it into an error it is the image's own.

    See Also
    --------
    encode_batch : The same as a list.
    decode_iter : The way back.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> frames = (np.full((16, 16), level, np.uint8) for level in range(256))
    >>> for data in imfnb.encode_iter(frames, quality=80):
    ...     break
    >>> int(imfnb.decode(data).max())
    0
    """
    _check_encode(images, executor, threads, errors, options)
    backend = "cuda" if executor is None and options.get("device") == "cuda" else "cpu"
    return _encode_on(backend, images, executor, threads, errors, options)


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

    The list of what :func:`encode_iter` yields: iterables without a length are taken as they are needed here too.

    Parameters
    ----------
    images : iterable of array_like, path or binary file object
        As in :func:`encode_iter`.
    executor : Executor, optional
        As in :func:`encode_iter`; it is given all images of a list at once.
    threads : int, optional
        As in :func:`encode_iter`.
    progress : callable, optional
        Called in this thread with the number of finished images and of all images, or, where `images` has no length,
        of those taken so far.
    errors : {"raise", "return"}, default "raise"
        "raise" stops at the first failure, in the order of `images`; "return" puts the exception in the place of the
        result and goes on.
    **options
        Passed on to :func:`imfnb.encode`. ``device="auto"`` counts the pixels of all arrays of a list.

    Returns
    -------
    list of bytes
        Files in the order of `images`; with ``errors="return"`` an exception where an image failed.

    Raises
    ------
    OptionError
        If `images` is no iterable of images, or an image or an option cannot be used.
    OSError
        If a file cannot be read.

    Warns
    -----
    MetadataWarning
        As in :func:`encode_iter`.

    See Also
    --------
    encode_iter : The same as they come.
    decode_batch : The way back.
    encode : One image.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> images = [np.full((16, 16), level, np.uint8) for level in (0, 100, 200)]
    >>> files = imfnb.encode_batch(images, quality=80)
    >>> [int(imfnb.decode(data).max()) for data in files]
    [0, 100, 200]
    >>> found = imfnb.encode_batch([images[0], "no-such-picture.png"], errors="return")
    >>> [type(one).__name__ for one in found]
    ['bytes', 'FileNotFoundError']
    """
    _check_encode(images, executor, threads, errors, options)
    device = options.get("device", "auto")

    def run(chosen: str) -> list[Any]:
        return list(_encode_on(chosen, images, executor, threads, errors, options, progress, listed=True))

    if executor is not None:
        return run("cpu")
    profile = options.get("profile", "main")
    searched = any(options.get(name) is not None for name in SEARCHES)
    # What cannot be iterated over twice is not looked at beforehand.
    known = images if isinstance(images, (list, tuple)) else ()
    work, resident = f"{'search' if searched else 'encode'} {profile} batch", any(map(is_device_array, known))
    backend = resolve_device(device, sum(map(_pixels, known)), work, resident)
    return run_on(device, backend, run)


def _pixels(item: Any) -> int:
    """Pixels of an array, which are known without opening anything."""
    shape: tuple[int, ...] = getattr(item, "shape", ())
    return int(shape[0] * shape[1]) if len(shape) > 1 else 0


# -------------------------------------------------------------------------------------------------------------- decode


def _decode_options(
    device: str = "auto", max_pixels: int = MAX_PIXELS, max_rank: int | None = None, reduce: int = 1
) -> tuple[str, int, int | None, int]:
    """The options of :func:`imfnb.decode` that make sense for many files, checked."""
    return device, check_max_pixels(max_pixels), check_max_rank(max_rank), check_reduce(reduce)


def _decode_on(
    backend: str,
    files: Iterable[Any],
    executor: Executor | None,
    threads: int | None,
    errors: str,
    options: dict[str, Any],
    progress: Progress | None = None,
    listed: bool = False,
    slots: Sequence[Any] | None = None,
) -> Generator[Any, None, None]:
    """Results of :func:`decode_iter` on a backend that has been chosen; with `slots`, in these arrays."""
    take = _named("files", _take_contents)
    if backend != "cuda":
        work, settled = partial(_decode_item, **options, threads=1), slots is not None
        arguments = take if slots is None else _with_slots(take, slots)
        return _results(_outcomes(work, arguments, files, executor, threads, errors, progress, listed, settled), errors)
    from ._device_batch import decode_items

    _, max_pixels, max_rank, reduce = _decode_options(**options)

    def open_item(item: Any, number: int) -> Container | np.ndarray:
        item, place = take(item, number)
        found: Container | np.ndarray
        with _about(item, place):
            found = open_container(_load_file(item), max_pixels)
            if slots is not None:
                frame = found.frame.reduced(reduce)
                check_out(_slot(slots, number), frame.shape, frame.dtype)
            if found.frame.frames or reduce > 1:
                found = decode_container(found, max_rank, reduce, max_pixels, "cuda", workers)
        opened[number] = _nameable(item), place
        return found

    opened: dict[int, tuple[Any, str]] = {}
    workers = resolve_threads(threads)
    whole = listed and isinstance(files, (list, tuple))
    results = _results(
        _on_gpu(decode_items(files, open_item, max_rank, workers, whole), opened, files, progress), errors
    )
    return results if slots is None else _into_slots(results, slots)


def _with_slots(
    take: Callable[[Any, int], tuple[Any, str]], slots: Sequence[Any]
) -> Callable[[Any, int], tuple[Any, ...]]:
    """What a worker gets that decodes into one of the caller's arrays."""

    def arguments(item: Any, number: int) -> tuple[Any, ...]:
        return *take(item, number), _slot(slots, number)

    return arguments


def _slot(slots: Sequence[Any], number: int) -> Any:
    """The array of an item of an iterable whose length nobody knew."""
    if number >= len(slots):
        raise OptionError(f"files has more items than out, {len(slots)}; expected as many as out has")
    return slots[number]


def _into_slots(results: Generator[Any, None, None], slots: Sequence[Any]) -> Generator[Any, None, None]:
    """Copy what the GPU's staging memory was emptied into."""
    with closing(results):
        for number, result in enumerate(results):
            if isinstance(result, BaseException):
                yield result
            else:
                slots[number][...] = result
                yield slots[number]


def _check_slots(out: Any, files: Any, executor: Executor | None) -> list[Any]:
    """`out` of :func:`decode_batch` as an array for each item, or an OptionError."""
    if is_device_array(out):
        raise OptionError(
            f"out is {describe(out)} on the GPU; expected an array of the host: decode into that and copy it, or each "
            "file alone with decode(data, out[i])"
        )
    if not isinstance(out, (list, tuple)) and not (isinstance(out, np.ndarray) and out.ndim):
        raise OptionError(
            f"out is {describe(out)}; expected an array of shape (N, H, W) or (N, H, W, C), or a list of N arrays"
        )
    if executor is not None and not isinstance(executor, ThreadPoolExecutor):
        raise OptionError(
            f"executor is {describe(executor)}, whose workers may have no access to out; expected a "
            "ThreadPoolExecutor or None with out="
        )
    count = _count(files)
    if count is not None and count != len(out):
        raise OptionError(f"out has {len(out)} items and files {count}; expected as many of both")
    slots = list(out)
    for number, slot in enumerate(slots):
        if not isinstance(slot, np.ndarray):
            raise OptionError(
                f"out[{number}] is {describe(slot)}; expected an array of the shape and type of its image"
            )
    return slots


def _choose_decoder(refusal: str | None, executor: Any, threads: Any, errors: Any, options: dict[str, Any]) -> str:
    """The backend of :func:`decode_iter`, after all arguments have been checked."""
    if refusal is not None:
        raise OptionError(refusal)
    device, *_ = _decode_options(**options)
    _check_call(executor, threads, errors, device)
    return "cpu" if executor is not None else resolve_device(device)  # "auto" has no `CROSSOVER` here


def decode_iter(
    files: Iterable[Any],
    executor: Executor | None = None,
    *,
    threads: int | None = None,
    errors: str = "raise",
    **options: Any,
) -> Generator[Any, None, None]:
    """Decompress files one after the other as they come, several at a time, and yield each image when it is there.

    Files are taken, and images given out, as in :func:`encode_iter`.

    Parameters
    ----------
    files : iterable of bytes-like, path or binary file object
        Contents of .imf files, or where to read them. File objects, memory maps and views are read as they are taken.
    executor : Executor, optional
        As in :func:`encode_iter`.
    threads : int, optional
        As in :func:`encode_iter`.
    errors : {"raise", "return"}, default "raise"
        As in :func:`encode_iter`.
    **options
        `device`, `max_pixels`, `max_rank` and `reduce` of :func:`imfnb.decode`. ``device="auto"`` is the CPU. Reduced
        images are decoded one by one on the GPU.

    Returns
    -------
    generator of ndarray
        Images in the order of `files`; with ``errors="return"`` an exception where a file failed.

    Raises
    ------
    FormatError
        If a file is not valid, when it is its turn. The text begins with its name, or with where it stood.
    OptionError
        If `files` is no iterable of files or an option is out of range, at once.
    OSError
        If a file cannot be read, when it is its turn.

    See Also
    --------
    decode_batch : The same as a list.
    encode_iter : The way there.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> frames = (np.zeros((16, width), np.uint8) for width in (10, 20, 30))
    >>> [image.shape for image in imfnb.decode_iter(imfnb.encode_iter(frames))]
    [(16, 10), (16, 20), (16, 30)]
    >>> [type(found).__name__ for found in imfnb.decode_iter([b"no file"], errors="return")]
    ['FormatError']
    """
    try:
        backend = _choose_decoder(_refusal("files", files), executor, threads, errors, options)
        return _decode_on(backend, files, executor, threads, errors, options)
    finally:
        del files  # see `open_container`


@overload
def decode_batch(
    files: Iterable[Any],
    executor: Executor | None = ...,
    *,
    out: None = ...,
    threads: int | None = ...,
    progress: Progress | None = ...,
    errors: str = ...,
    **options: Any,
) -> list[Any]: ...


@overload
def decode_batch(
    files: Iterable[Any],
    executor: Executor | None = ...,
    *,
    out: _Out,
    threads: int | None = ...,
    progress: Progress | None = ...,
    errors: Literal["raise"] = ...,
    **options: Any,
) -> _Out: ...


@overload
def decode_batch(
    files: Iterable[Any],
    executor: Executor | None = ...,
    *,
    out: Any,
    threads: int | None = ...,
    progress: Progress | None = ...,
    errors: str,
    **options: Any,
) -> Any: ...


def decode_batch(
    files: Iterable[Any],
    executor: Executor | None = None,
    *,
    out: Any = None,
    threads: int | None = None,
    progress: Progress | None = None,
    errors: str = "raise",
    **options: Any,
) -> Any:
    """Decompress many files, one per worker; on the GPU, many at a time.

    The list of what :func:`decode_iter` yields, or one array that is filled with it.

    Parameters
    ----------
    files : iterable of bytes-like, path or binary file object
        As in :func:`decode_iter`.
    executor : Executor, optional
        As in :func:`encode_batch`; with `out` a pool of threads.
    out : ndarray of shape (N, H, W), (N, H, W, C) or (N, ...), or list of N ndarray, optional
        Where to decode to: ``files[i]`` into ``out[i]``, of that image's shape and type. What is C-contiguous is
        decoded into directly, without another array of the size of the image but on the GPU, whose images are copied.
        Nothing is written to it after the call, even if it raises.
    threads : int, optional
        As in :func:`encode_iter`.
    progress : callable, optional
        As in :func:`encode_batch`.
    errors : {"raise", "return"}, default "raise"
        As in :func:`encode_batch`.
    **options
        As in :func:`decode_iter`.

    Returns
    -------
    list of ndarray, or `out`
        Images in the order of `files`; with ``errors="return"`` a list with an exception where a file failed, and,
        where there is `out`, its items elsewhere.

    Raises
    ------
    FormatError
        If a file is not valid; `out` may then be partly written.
    OptionError
        If `files` is no iterable of files, an option is out of range, `out` has not as many items as `files`, or one of
        them has not the shape and type of its image.
    OSError
        If a file cannot be read.

    See Also
    --------
    decode_iter : The same as they come.
    encode_batch : The way there.
    decode : One file.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> files = imfnb.encode_batch([np.zeros((16, width), np.uint8) for width in (10, 20)])
    >>> done = []
    >>> images = imfnb.decode_batch(files, progress=lambda count, total: done.append(f"{count} of {total}"))
    >>> [image.shape for image in images]
    [(16, 10), (16, 20)]
    >>> done
    ['1 of 2', '2 of 2']

    One array for many batches:

    >>> out = np.empty((2, 16, 10), np.uint8)
    >>> imfnb.decode_batch([files[0], files[0]], out=out) is out
    True
    """
    try:
        backend = _choose_decoder(_refusal("files", files), executor, threads, errors, options)
        slots = None if out is None else _check_slots(out, files, executor)
        found = list(_decode_on(backend, files, executor, threads, errors, options, progress, True, slots))
        if slots is None or errors == "return":
            return found
        if len(found) < len(slots):
            raise OptionError(f"out has {len(slots)} items and files {len(found)}; expected as many of both")
        return out
    finally:
        del files  # see `open_container`
