"""Batches on the GPU: images of equal shape travel together, two chunks at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import numpy as np

from .._cuda import GRID_LIMIT
from ..format.container import Container, Frame
from ..errors import ImfError
from ..options import EncodeOptions
from . import encode, pipeline, streams
from .transfer import Slot

__all__ = ["decode_items", "encode_items"]

# Pixels of a chunk. On paper two chunks of 32 megapixels fill the device several times over and stage 200 MB; not
# measured.
CHUNK_PIXELS = 1 << 25

# Images of a chunk, however small: four planes of each are still within the limits of a grid.
_CHUNK_IMAGES = GRID_LIMIT // 4

_T = TypeVar("_T")

Progress = Callable[[int, int], None]


class _Results:
    """Results in their places, some still on their way, with what the caller wants to know about them."""

    def __init__(self, count: int, progress: Progress | None, errors: str) -> None:
        self._places: list[Any] = [None] * count
        self._waiting: list[Future] = []
        self._progress, self._errors = progress, errors
        self._finished = self._reported = 0

    def put(self, index: int, result: Any) -> None:
        """Store a result or a future of one."""
        self._places[index] = result
        if isinstance(result, Future):
            self._waiting.append(result)
        else:
            self._finished += 1
        self.report()

    def fail(self, index: int, error: ImfError) -> None:
        """Store the error of an item, or raise it."""
        if self._errors == "raise":
            raise error
        self.put(index, error)

    def report(self) -> None:
        """Tell the caller how many are finished."""
        done = [future for future in self._waiting if future.done()]
        if done:
            self._waiting = [future for future in self._waiting if not future.done()]
            self._finished += len(done)
        if self._progress is not None and self._finished > self._reported:
            self._progress(self._finished, len(self._places))
        self._reported = self._finished

    def collect(self) -> list[Any]:
        """Wait for everything."""
        for index, place in enumerate(self._places):
            if isinstance(place, Future):
                try:
                    self._places[index] = place.result()
                except ImfError as error:
                    if self._errors == "raise":
                        raise
                    self._places[index] = error
                self.report()
        return self._places


class _Groups(Generic[_T]):
    """Items sorted by what they have in common, given out when enough of a kind have come together."""

    def __init__(self) -> None:
        self._groups: dict[Any, list[_T]] = {}

    def add(self, key: Any, item: _T, pixels: int) -> list[_T] | None:
        """Add an item; the chunk that it completes, if it does."""
        group = self._groups.setdefault(key, [])
        group.append(item)
        full = len(group) * pixels >= CHUNK_PIXELS or len(group) == _CHUNK_IMAGES
        return self._groups.pop(key) if full else None

    def rest(self) -> list[list[_T]]:
        """What has not become a whole chunk, cut in two so that both streams have work."""
        parts = []
        for group in self._groups.values():
            middle = (len(group) + 1) // 2
            parts += [part for part in (group[:middle], group[middle:]) if part]
        return parts


def encode_items(
    items: Sequence[Any],
    open_item: Callable[[Any], tuple[Any, Frame]],
    options: EncodeOptions,
    threads: int,
    progress: Progress | None,
    errors: str,
) -> list[Any]:
    """Encode many images.

    Parameters
    ----------
    items : sequence
        What the caller gave.
    open_item : callable
        From an item to a checked image, shape (H, W, C), and its description.
    options : EncodeOptions
        The validated options.
    threads : int
        Number of threads for the work that stays on the CPU.
    progress : callable or None
        As in :func:`imfnb.encode_batch`.
    errors : {"raise", "return"}
        As in :func:`imfnb.encode_batch`.

    Returns
    -------
    list of bytes
        The files in the order of `items`; with ``errors="return"`` an exception where an image failed.
    """
    module = pipeline(options.profile)
    results = _Results(len(items), progress, errors)

    def chunks() -> Iterator[list[tuple[int, Any, Frame]]]:
        groups: _Groups[tuple[int, Any, Frame]] = _Groups()
        for index, item in enumerate(items):
            try:
                image, frame = open_item(item)
                if options.target[0] not in module.CHUNK_TARGETS:
                    results.put(index, encode(image, frame, options, threads))
                    continue
            except ImfError as error:
                results.fail(index, error)
                continue
            full = groups.add(frame, (index, image, frame), frame.height * frame.width)
            if full:
                yield full
        yield from groups.rest()

    def task(chunk: Sequence[tuple[int, Any, Frame]], slot: Slot) -> streams.Task:
        try:
            return (yield from module.encode_chunk([image for _, image, _ in chunk], chunk[0][2], options, slot, pool))
        except ImfError as error:  # an option that does not fit images of this shape
            return error

    def deliver(chunk: Sequence[tuple[int, Any, Frame]], files: Any) -> None:
        for position, (index, *_) in enumerate(chunk):
            if isinstance(files, ImfError):
                results.fail(index, files)
            else:
                results.put(index, files[position])

    with ThreadPoolExecutor(threads) as pool:
        streams.run(chunks(), task, deliver, threads)
        return results.collect()


def decode_items(
    items: Sequence[Any],
    open_item: Callable[[Any], Container],
    max_rank: int | None,
    threads: int,
    progress: Progress | None,
    errors: str,
) -> list[Any]:
    """Decode many files.

    Parameters
    ----------
    items : sequence
        What the caller gave.
    open_item : callable
        From an item to a checked file.
    max_rank : int or None
        Use only the first components.
    threads, progress, errors
        As in :func:`encode_items`.

    Returns
    -------
    list of ndarray of uint8
        The images in the order of `items`; with ``errors="return"`` an exception where a file failed.
    """
    results = _Results(len(items), progress, errors)

    def chunks() -> Iterator[list[tuple[int, Container]]]:
        groups: _Groups[tuple[int, Container]] = _Groups()
        for index, item in enumerate(items):
            try:
                container = open_item(item)
                key = pipeline(container.frame.profile).batch_key(container)
            except ImfError as error:
                results.fail(index, error)
                continue
            frame = container.frame
            full = groups.add(key, (index, container), frame.height * frame.width)
            if full:
                yield full
        yield from groups.rest()

    def task(chunk: Sequence[tuple[int, Container]], slot: Slot) -> streams.Task:
        frame = chunk[0][1].frame
        outs = [np.empty((frame.height, frame.width, max(1, frame.channels)), np.uint8) for _ in chunk]
        try:
            containers = [container for _, container in chunk]
            yield from pipeline(frame.profile).decode_chunk(containers, outs, max_rank, slot, pool)
        except ImfError as error:
            return error
        return [out.reshape(frame.shape) for out in outs]

    def deliver(chunk: Sequence[tuple[int, Container]], images: Any) -> None:
        for position, (index, container) in enumerate(chunk):
            if not isinstance(images, ImfError):
                results.put(index, images[position])
            elif len(chunk) == 1:
                results.fail(index, images)
            else:  # one of them is damaged: each alone tells which
                streams.run([[(index, container)]], task, deliver, threads)

    with ThreadPoolExecutor(threads) as pool:
        streams.run(chunks(), task, deliver, threads)
        return results.collect()
