"""Batches on the GPU: images of equal shape travel together, two chunks at a time."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any, Generic, TypeVar

import numpy as np

from .errors import ImfError
from .format.container import Container, Frame
from .options import EncodeOptions
from .profiles import pipeline
from .runtime import streams
from .runtime.cuda import GRID_LIMIT, is_cuda_error
from .runtime.gpu import DeviceRun, device_run
from .runtime.memory import Slot
from .runtime.run import Task

__all__ = ["decode_items", "encode_items"]

# Pixels of a chunk. On paper two chunks of 32 megapixels fill the device several times over and stage 200 MB; not
# measured.
CHUNK_PIXELS = 1 << 25

# Images of a chunk, however small: four planes of each are still within the limits of a grid.
_CHUNK_IMAGES = GRID_LIMIT // 4

# Where items are taken as they are needed: chunks' worth of items that may be taken before a group of equal shape that
# is not a whole chunk yet goes nevertheless, and chunks that may wait for the entropy coder.
_PATIENCE, _CODING = 2.0, 2

_T = TypeVar("_T")


class _Results:
    """What comes of each item, given out in the order of the items; some of it is still on its way."""

    def __init__(self) -> None:
        self._places: dict[int, Future] = {}
        self._next = 0

    def put(self, index: int, result: Any) -> None:
        """Store a result, or a future of one."""
        if isinstance(result, Future):
            self._places[index] = result
            return
        self._places[index] = Future()
        self._places[index].set_result(result)

    def fail(self, index: int, error: BaseException) -> None:
        """Store the error of an item."""
        self._places[index] = Future()
        self._places[index].set_exception(error)

    def due(self, patient: bool = False) -> Iterator[Future]:
        """Give out those whose turn it is and that are done; if `patient`, wait for all that are on their way."""
        while self._next in self._places:
            future = self._places[self._next]
            if patient:
                wait([future])
            elif not future.done():
                return
            del self._places[self._next]
            self._next += 1
            yield future


class _Groups(Generic[_T]):
    """Items sorted by what they have in common, given out when enough of a kind have come together.

    Parameters
    ----------
    patience : float
        How many chunks' worth of items may come after a group's first before the group is given out as it is.
    """

    def __init__(self, patience: float) -> None:
        # By what they have in common: how much had come before, in chunks, and the items. The oldest group is first.
        self._groups: dict[Any, tuple[float, list[_T]]] = {}
        self._patience, self._come = patience, 0.0

    def add(self, key: Any, item: _T, pixels: int) -> Iterator[list[_T]]:
        """Add an item, and give out the chunks that are due."""
        _, group = self._groups.setdefault(key, (self._come, []))
        group.append(item)
        self._come += max(pixels / CHUNK_PIXELS, 1 / _CHUNK_IMAGES)
        if len(group) * pixels >= CHUNK_PIXELS or len(group) == _CHUNK_IMAGES:
            yield self._groups.pop(key)[1]
        while self._groups:
            oldest = next(iter(self._groups))
            if self._come - self._groups[oldest][0] < self._patience:
                return
            yield self._groups.pop(oldest)[1]

    def rest(self) -> list[list[_T]]:
        """What has not become a whole chunk, cut in two so that both streams have work."""
        parts = []
        for _, group in self._groups.values():
            middle = (len(group) + 1) // 2
            parts += [part for part in (group[:middle], group[middle:]) if part]
        return parts


def encode_items(
    items: Iterable[Any],
    open_item: Callable[[Any, int], tuple[Any, Frame | None]],
    options: EncodeOptions,
    threads: int,
    whole: bool,
) -> Generator[Future, None, None]:
    """Encode many images.

    Parameters
    ----------
    items : iterable
        What the caller gave.
    open_item : callable
        From an item and its number to a checked image, as :func:`imfnb.rasters.prepare` has it, and its description; or
        to the file of what is encoded in another way, and None.
    options : EncodeOptions
        The validated options.
    threads : int
        Number of threads for the work that stays on the CPU.
    whole : bool
        Whether all items are in memory and all results will be, so that as many as possible of a shape are put
        together; otherwise items are taken as they are needed.

    Yields
    ------
    Future of bytes
        Done: the files in the order of `items`, or why an image has none.
    """
    results = _Results()
    coding: deque[list[Future]] = deque()

    def chunks() -> Iterator[list[tuple[int, Any, Frame]]]:
        groups: _Groups[tuple[int, Any, Frame]] = _Groups(math.inf if whole else _PATIENCE)
        for index, item in enumerate(items):
            try:
                image, frame = open_item(item, index)
                grouped = frame is not None and options.target[0] in pipeline(frame).STACK_TARGETS
                if not grouped:
                    results.put(index, image if frame is None else encode_alone(image, frame))
            except Exception as error:
                _fail(results, index, error)
                yield []
                continue
            if frame is not None and grouped:
                yield from groups.add(frame, (index, image, frame), frame.height * frame.width)
            else:
                yield []
        yield from groups.rest()

    def encode_alone(image: Any, frame: Frame) -> bytes:
        with device_run(threads) as run:
            return pipeline(frame).encode_image(image, frame, options, run)

    def task(chunk: Sequence[tuple[int, Any, Frame]], slot: Slot) -> Task[Any]:
        images, run = [image for _, image, _ in chunk], DeviceRun(slot, pool)
        try:
            return (yield from pipeline(chunk[0][2]).encode_stack(images, chunk[0][2], options, run))
        except ImfError as error:  # an option that does not fit images of this shape
            return error

    def deliver(chunk: Sequence[tuple[int, Any, Frame]], files: Any) -> None:
        for position, (index, *_) in enumerate(chunk):
            if isinstance(files, ImfError):
                results.fail(index, copy.copy(files))
            else:
                results.put(index, files[position])
        if not whole and not isinstance(files, ImfError):
            coding.append(files)
            if len(coding) > _CODING:
                wait(coding.popleft())

    pool = ThreadPoolExecutor(threads)
    yield from _drive(chunks(), task, deliver, threads, results, pool)


def decode_items(
    items: Iterable[Any],
    open_item: Callable[[Any, int], Container | np.ndarray],
    max_rank: int | None,
    threads: int,
    whole: bool,
) -> Generator[Future, None, None]:
    """Decode many files.

    Parameters
    ----------
    items : iterable
        What the caller gave.
    open_item : callable
        From an item and its number to a checked file, or to what is in one that is decoded in another way.
    max_rank : int or None
        Use only the first components.
    threads, whole
        As in :func:`encode_items`.

    Yields
    ------
    Future of ndarray
        Done: the images in the order of `items`, or why a file has none.
    """
    results = _Results()

    def chunks() -> Iterator[list[tuple[int, Container]]]:
        groups: _Groups[tuple[int, Container]] = _Groups(math.inf if whole else _PATIENCE)
        for index, item in enumerate(items):
            try:
                opened = open_item(item, index)
                if isinstance(opened, np.ndarray):
                    results.put(index, opened)
                    yield []
                    continue
                key = pipeline(opened.frame).stack_key(opened)
            except Exception as error:
                _fail(results, index, error)
                yield []
                continue
            if key is None:
                yield [(index, opened)]
            else:
                yield from groups.add(key, (index, opened), opened.frame.height * opened.frame.width)
        yield from groups.rest()

    def task(chunk: Sequence[tuple[int, Container]], slot: Slot) -> Task[Any]:
        frame = chunk[0][1].frame
        outs = [np.empty((frame.height, frame.width, max(1, frame.channels)), frame.dtype) for _ in chunk]
        try:
            containers = [container for _, container in chunk]
            yield from pipeline(frame).decode_stack(containers, outs, max_rank, DeviceRun(slot, pool))
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

    pool = ThreadPoolExecutor(threads)
    yield from _drive(chunks(), task, deliver, threads, results, pool)


def _fail(results: _Results, index: int, error: Exception) -> None:
    """Store the error of an item, unless it is the device's own."""
    if is_cuda_error(error):
        raise error
    results.fail(index, error)


def _drive(
    chunks: Iterator[Sequence[Any]],
    task: Callable[[Sequence[Any], Slot], Task[Any]],
    deliver: Callable[[Sequence[Any], Any], None],
    threads: int,
    results: _Results,
    pool: ThreadPoolExecutor,
) -> Generator[Future, None, None]:
    """Take the steps of all chunks, and give out results as they are due."""
    try:
        with closing(streams.steps(chunks, task, deliver, threads)) as steps:
            for _ in steps:
                yield from results.due()
        yield from results.due(patient=True)
    finally:
        pool.shutdown(cancel_futures=True)
