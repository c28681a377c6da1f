"""Memory of the device and the way there: pinned staging, streams, arrays of other libraries."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from ..errors import OptionError
from .cuda import SIMULATED, blocks, cuda, kernel

__all__ = ["LOCK", "Slot", "as_device", "borrowed", "copy_all", "copy_now", "release"]

#: Held by whoever queues work. Launches hold the GIL anyway; the simulator allows only one at a time.
LOCK = threading.RLock()

# Bytes worth a thread, and threads that copy, at most.
_COPY_BYTES, _COPIERS = 1 << 22, 8

# Shapes of which a piece of memory keeps an array.
_VIEWS = 32

# Threads that zero memory, each with a stride of the whole grid.
_THREADS, _BLOCKS = (1, 1) if SIMULATED else (256, 1024)


@kernel("void(uint32[::1])")
def _zero(words):
    start, step = cuda.grid(1), cuda.gridsize(1)
    for i in range(start, words.shape[0], step):
        words[i] = np.uint32(0)


class Slot:
    """A stream with memory of its own on the device and pinned memory on the host, one of two that take turns.

    Memory is kept under its name and given out again when the next chunk asks for no more of it, since allocating
    either kind waits for the device to finish.
    """

    def __init__(self) -> None:
        self.stream = cuda.stream()
        self.threads = 1  # for copies on the host
        self._device: dict[str, tuple[Any, dict]] = {}
        self._pinned: dict[str, tuple[np.ndarray, dict]] = {}
        self._in_flight: set[str] = set()

    def synchronize(self) -> None:
        """Wait for all that is queued."""
        self.stream.synchronize()
        self._in_flight.clear()

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Device memory of this shape; what it holds is undefined."""
        return self._get(self._device, cuda.device_array, name, shape, dtype)

    def zeros(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Device memory of this shape, zero; a multiple of four bytes."""
        array = self.array(name, shape, dtype)
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize // 4
        words = self._get(self._device, cuda.device_array, name, (count,), np.uint32)
        _zero[min(_BLOCKS, blocks(words.shape[0], _THREADS)), _THREADS, self.stream](words)
        return array

    def pinned(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Pinned host memory of this shape; what it holds is undefined, and no copy queued before still needs it."""
        if name in self._in_flight:
            self.synchronize()
        self._in_flight.add(name)
        return self._get(self._pinned, cuda.pinned_array, name, shape, dtype)

    def _get(self, arrays: dict[str, Any], allocate: Any, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """The beginning of the memory of this name, in this shape; larger memory where that is too small.

        Arrays are kept by their shapes too: making a view on the device takes as long as several launches.
        """
        shape, dtype = tuple(shape), np.dtype(dtype)
        nbytes = int(np.prod(shape)) * dtype.itemsize
        memory, views = arrays.get(name, (None, {}))
        if memory is None or memory.shape[0] < nbytes:
            arrays.pop(name, None)  # before its successor is allocated
            memory, views = arrays[name] = allocate(max(nbytes, 1), np.uint8), {}
        if (shape, dtype) not in views:
            if len(views) == _VIEWS:
                views.clear()
            views[shape, dtype] = memory[:nbytes].view(dtype).reshape(shape)
        return views[shape, dtype]

    def upload(self, name: str, parts: Sequence[Any]) -> Any:
        """Copy equal-shaped arrays to the device, side by side along a new first axis.

        Parameters
        ----------
        name : str
            Name of the memory; a second upload under the same name waits for the first.
        parts : sequence of ndarray or device array
            What to copy. A single device array is used as it is.

        Returns
        -------
        device array
            Of shape (len(parts), ...); filled in the order of the stream.
        """
        shape = len(parts), *(int(side) for side in parts[0].shape)
        if len(parts) == 1 and not isinstance(parts[0], np.ndarray):
            return parts[0].reshape(shape)
        target = self.array(name, shape, parts[0].dtype)
        if all(isinstance(part, np.ndarray) for part in parts):
            staging = self.pinned(name, shape, parts[0].dtype)
            copy_now(staging, parts, self.threads)
            target.copy_to_device(staging, stream=self.stream)
            return target
        for index, part in enumerate(parts):
            target[index].copy_to_device(part, stream=self.stream)
        return target

    def download(self, name: str, array: Any) -> np.ndarray:
        """Queue a copy to pinned memory, which holds it after the next synchronization and until the next download."""
        staging = self.pinned(name, tuple(array.shape), array.dtype)
        array.copy_to_host(staging, stream=self.stream)
        return staging

    def clear(self) -> None:
        """Give all memory back."""
        self.synchronize()
        self._device.clear()
        self._pinned.clear()
        if not SIMULATED:
            cuda.current_context().deallocations.clear()


def copy_all(
    targets: Sequence[np.ndarray] | np.ndarray, sources: Sequence[np.ndarray], threads: int
) -> Iterator[list[Future]]:
    """Copy arrays to others of their shapes, much of it on several threads, as a part of a task (see `streams`).

    One thread copies 3 GB/s where the target is touched for the first time, a tenth of what the bus takes. The threads
    do nothing else: those of a call's pool may have the entropy coder's work of a whole chunk before them. The caller
    has its next kernels to queue meanwhile.

    Yields
    ------
    list of Future
        What has to be waited for, if anything has.
    """
    total = sum(target.nbytes for target in targets)
    workers = min(threads, _COPIERS) if total >= 2 * _COPY_BYTES else 1
    size = max(_COPY_BYTES // 4, -(-total // workers))
    parts = [part for pair in zip(targets, sources, strict=True) for part in _parts(*pair, size)]

    def work(first: int) -> None:
        for target, source in parts[first::workers]:
            np.copyto(target, source)

    if workers == 1:
        work(0)
        return
    futures = [_copiers().submit(work, first) for first in range(workers)]
    try:
        yield futures
        for future in futures:
            future.result()
    finally:
        wait(futures)  # after an error, nobody goes on writing to what is the caller's


def _parts(target: np.ndarray, source: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cut a copy into parts of at most so many bytes, as few as that takes.

    A thread that copies needs Python for a moment between two parts, and so does whoever launches kernels: with eleven
    parts a thread instead of one, each handed it to the other and waited to be woken up, 2.5 ms for every chunk.
    """
    if target.nbytes <= size:
        yield target, source
        return
    pieces = -(-target.nbytes // size)
    if len(target) < pieces:
        for part in zip(target, source, strict=True):
            yield from _parts(*part, size)
        return
    edges = [len(target) * i // pieces for i in range(pieces + 1)]
    for start, stop in itertools.pairwise(edges):
        yield target[start:stop], source[start:stop]


def copy_now(targets: Sequence[np.ndarray] | np.ndarray, sources: Sequence[np.ndarray], threads: int) -> None:
    """:func:`copy_all`, and wait for it."""
    for futures in copy_all(targets, sources, threads):
        wait(futures)


@functools.cache
def _copiers() -> ThreadPoolExecutor:
    """Threads that are kept, since starting eight takes as long as copying two megabytes."""
    return ThreadPoolExecutor(_COPIERS)


if hasattr(os, "register_at_fork"):  # a child has no threads but the one that forked
    os.register_at_fork(after_in_child=_copiers.cache_clear)


_idle: list[Slot] = []


@contextlib.contextmanager
def borrowed(threads: int) -> Iterator[Slot]:
    """A slot for one call, which copies on so many threads at most.

    Two are kept for the next call, with the memory that they hold. After an error it is not kept: what it holds may be
    broken, or too large.
    """
    with LOCK:
        slot = _idle.pop() if _idle else Slot()
    slot.threads = threads
    yield slot
    with LOCK:
        if len(_idle) < 2:
            _idle.append(slot)


def release() -> None:
    """Give the memory back that is kept for the next call."""
    with LOCK:
        while _idle:
            _idle.pop().clear()


def as_device(array: Any) -> Any:
    """An array of another library, or of Numba, as Numba's device array, without a copy.

    Parameters
    ----------
    array : object with ``__cuda_array_interface__``, or device array
        The array; work queued on it by its owner is waited for.

    Returns
    -------
    device array
        The same memory.

    Raises
    ------
    OptionError
        If it is not C-contiguous.
    """
    device = array if getattr(array, "__cuda_ndarray__", False) else cuda.as_cuda_array(array)
    if not device.is_c_contiguous():
        raise OptionError(f"the array on the GPU, shape {tuple(device.shape)}, is not C-contiguous; pass a copy")
    return device
