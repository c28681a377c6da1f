"""Memory of the device and the way there: pinned staging, streams, arrays of other libraries."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._cuda import SIMULATED, blocks, cuda, kernel
from ..errors import OptionError

__all__ = ["LOCK", "Half", "as_device", "borrowed", "release"]

#: Held by whoever queues work. Numba's launches hold the GIL anyway; the simulator allows only one at a time.
LOCK = threading.RLock()

# Threads that zero memory, each with a stride of the whole grid.
_THREADS, _BLOCKS = (1, 1) if SIMULATED else (256, 1024)


@kernel("void(uint32[::1])")
def _zero(words):
    start, step = cuda.grid(1), cuda.gridsize(1)
    for i in range(start, words.shape[0], step):
        words[i] = np.uint32(0)


class Half:
    """A stream with memory of its own on the device and pinned memory on the host, one of two that take turns.

    Arrays are kept under their names and given out again when the next chunk asks for the same shape, since allocating
    either kind of memory waits for the device to finish.
    """

    def __init__(self) -> None:
        self.stream = cuda.stream()
        self._device: dict[str, Any] = {}
        self._pinned: dict[str, np.ndarray] = {}
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
        words = array.reshape(int(np.prod(shape))).view(np.uint32)
        _zero[min(_BLOCKS, blocks(words.shape[0], _THREADS)), _THREADS, self.stream](words)
        return array

    def pinned(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Pinned host memory of this shape; what it holds is undefined, and no copy queued before still needs it."""
        if name in self._in_flight:
            self.synchronize()
        self._in_flight.add(name)
        return self._get(self._pinned, cuda.pinned_array, name, shape, dtype)

    def _get(self, arrays: dict[str, Any], allocate: Any, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        array = arrays.get(name)
        if array is None or tuple(array.shape) != tuple(shape) or array.dtype != dtype:
            arrays.pop(name, None)  # before its successor is allocated
            array = arrays[name] = allocate(shape, dtype)
        return array

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
            for slot, part in zip(staging, parts, strict=True):
                slot[...] = part
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


_idle: list[Half] = []


@contextlib.contextmanager
def borrowed() -> Iterator[Half]:
    """A half for one call. At most two are kept for the next call, with the memory that they hold.

    After an error it is not kept: what it holds may be broken, or too large.
    """
    with LOCK:
        half = _idle.pop() if _idle else Half()
    yield half
    with LOCK:
        if len(_idle) < 2:
            _idle.append(half)


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
