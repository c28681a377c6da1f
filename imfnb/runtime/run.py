"""What a pipeline knows of where it runs, and the runner of the CPU.

A pipeline is a task: a generator that yields where it has to wait, None for what is queued on its device or a list of
futures, and returns its result. On the CPU nothing is ever queued, so that a task runs through.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache, lru_cache
from types import ModuleType, TracebackType
from typing import Any, Protocol, TypeVar

import numpy as np

__all__ = ["HostRun", "Run", "Task", "finish"]

_T = TypeVar("_T")
_R = TypeVar("_R")

#: A generator that yields what it waits for and returns its result.
Task = Generator["Sequence[Future] | None", None, _T]


class Run(Protocol):
    """Where a pipeline runs.

    Attributes
    ----------
    device : {"cpu", "reference", "cuda"}
        Whose kernels.
    host : {"cpu", "reference"}
        Whose kernels for what stays on the host: the entropy coder, and the search for V.
    threads : int
        Largest number of threads of the host.
    in_place : bool
        Whether a stage may write where it reads. (On the GPU blocks of threads reach into each other's samples.)
    retains : bool
        Whether an array lives as long as it is referred to. On the GPU it is overwritten by the next one of its name.
    merges : bool
        Whether planes of equal shape and kind go through a stage as one stack, and large ones one after the other. On
        the CPU every plane goes alone, side by side on threads.
    """

    device: str
    host: str
    threads: int
    in_place: bool
    retains: bool
    merges: bool

    def kernels(self, stage: str) -> ModuleType:
        """The module of a stage, such as "color", with its functions for this device."""

    def host_kernels(self, stage: str) -> ModuleType:
        """The module of a stage for what stays on the host."""

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Memory for an array; what it holds is undefined."""

    def zeros(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Memory for an array of zeros (of a multiple of four bytes)."""

    def constant(self, name: str, array: np.ndarray) -> Any:
        """An array of the host where the kernels read it."""

    def upload(self, name: str, parts: Sequence[Any]) -> Any:
        """Equal-shaped arrays as a stack, along a new first axis. A single one is not copied if that can be avoided."""

    def fetch(self, name: str, *arrays: Any) -> Task[list[np.ndarray]]:
        """Arrays on the host; valid until the next fetch of this name."""

    def gather(self, name: str, parts: Sequence[Any]) -> Task[np.ndarray]:
        """Arrays put together along their first axis, on the host; valid as those of :meth:`fetch`."""

    def select(self, flags: Sequence[bool], yes: Any, no: Any) -> Any:
        """A stack whose entries come from one of two stacks, which may be overwritten."""

    def canvas(self, outs: Sequence[Any], shape: tuple[int, ...]) -> Any:
        """Where kernels write decoded images, uint8 of `shape` (B, H, W, C)."""

    def deliver(self, images: Any, outs: Sequence[Any]) -> Task[None]:
        """Bring the images of a :meth:`canvas` to their outputs."""

    def drive(self, task: Task[_R]) -> _R:
        """Run one task alone and return its result."""

    def lasting(self, arrays: Sequence[np.ndarray]) -> Task[list[np.ndarray]]:
        """What was fetched, or parts of it, as arrays that live as long as they are referred to."""

    def copy(self, name: str, array: Any) -> Any:
        """A copy of an array beside it."""

    def stack(self, name: str, parts: Sequence[np.ndarray]) -> Task[Any]:
        """Arrays of the host that differ in their numbers of rows as a stack, with as many rows as the longest.

        What stands in the rows that an array does not have is undefined. A single one is not copied if that can be
        avoided.
        """

    def submit(self, function: Callable[..., _R], *arguments: Any) -> Future[_R]:
        """Do work on the host, on another thread if the runner has something else to do meanwhile."""

    def submit_all(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[Future[_R]]:
        """Do work on the host for every item: on the CPU on all threads, before this returns."""

    def wait(self, futures: Sequence[Future[_R]]) -> Task[list[_R]]:
        """The results of what was submitted."""

    def together(self, tasks: Iterable[Task[_R]]) -> Task[list[_R]]:
        """Run tasks that do not depend on each other: on the CPU on its threads, on the GPU one after the other."""

    def each(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        """Apply a function of the host to items, on the threads of the CPU."""

    def alone(self) -> Run:
        """The same on one thread, for tasks that run together."""


def finish(task: Task[_R]) -> _R:
    """Run a task to its end where nothing is queued on a device, and return its result."""
    try:
        while True:
            futures = next(task)
            wait(futures or ())
    except StopIteration as end:
        return end.value


@cache
def stage_module(stage: str, device: str) -> ModuleType:
    """The module of a stage for a device."""
    return importlib.import_module(f"imfnb.{stage}.{device}")


class _Done(Future):
    """A future that is done; the lock that others have takes as long to make as a small plane to filter."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> Any:
        return self._value


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Have the C library keep what a call frees for the next one.

    What is free at the end of its heap, glibc gives back beyond twice the size of the largest block freed so far, to
    ask for it again page by page: 2670 page faults and 4 to 5 of 40 ms whenever 768x512 pixels were encoded, until the
    process had once freed eight megabytes.
    """
    np.empty(1 << 23, np.uint8)


class HostRun:
    """A runner of the CPU or of the NumPy reference, to be used in a ``with`` statement.

    The kernels are serial and release the GIL, so plain threads use the cores fully; Numba's own parallel loops were
    left out because under its workqueue layer two Python threads that enter one abort the process.

    Parameters
    ----------
    device : {"cpu", "reference"}
        Whose kernels.
    threads : int
        Largest number of threads.
    """

    in_place = True
    retains = True
    merges = False

    def __init__(self, device: str, threads: int) -> None:
        self.device = self.host = device
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._worker = threading.local()
        keep_freed_memory()

    def __enter__(self) -> HostRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def kernels(self, stage: str) -> ModuleType:
        return stage_module(stage, self.device)

    def host_kernels(self, stage: str) -> ModuleType:
        return self.kernels(stage)

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.empty(shape, dtype)

    def zeros(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.zeros(shape, dtype)

    def constant(self, name: str, array: np.ndarray) -> np.ndarray:
        return array

    def upload(self, name: str, parts: Sequence[Any]) -> np.ndarray:
        return parts[0][None] if len(parts) == 1 else np.stack(parts)

    def fetch(self, name: str, *arrays: Any) -> Task[list[np.ndarray]]:
        return list(arrays)
        yield

    def gather(self, name: str, parts: Sequence[Any]) -> Task[np.ndarray]:
        return np.concatenate(parts)
        yield

    def select(self, flags: Sequence[bool], yes: np.ndarray, no: np.ndarray) -> np.ndarray:
        if all(flags):
            return yes
        for n in np.flatnonzero(flags):
            no[n] = yes[n]
        return no

    def canvas(self, outs: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        (out,) = outs  # pictures go alone
        return out.reshape(shape)

    def deliver(self, images: Any, outs: Sequence[Any]) -> Task[None]:
        return
        yield

    def drive(self, task: Task[_R]) -> _R:
        return finish(task)

    def lasting(self, arrays: Sequence[np.ndarray]) -> Task[list[np.ndarray]]:
        return list(arrays)
        yield

    def copy(self, name: str, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def stack(self, name: str, parts: Sequence[np.ndarray]) -> Task[np.ndarray]:
        if len(parts) == 1:
            return parts[0][None]
        whole = np.empty((len(parts), max(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
        for target, part in zip(whole, parts, strict=True):
            target[: len(part)] = part
        return whole
        yield

    def submit(self, function: Callable[..., _R], *arguments: Any) -> Future[_R]:
        return _Done(function(*arguments))

    def submit_all(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[Future[_R]]:
        return [_Done(result) for result in self.each(function, items)]

    def wait(self, futures: Sequence[Future[_R]]) -> Task[list[_R]]:
        return [future.result() for future in futures]
        yield

    def together(self, tasks: Iterable[Task[_R]]) -> Task[list[_R]]:
        return self.each(finish, tasks)
        yield

    def each(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        work = list(items)
        # A thread of the pool that waited for others of the pool could wait for ever.
        if self.threads < 2 or len(work) < 2 or getattr(self._worker, "busy", False):
            return [function(item) for item in work]
        if self._pool is None:  # kept, since starting threads takes as long as a sweep over a megapixel
            self._pool = ThreadPoolExecutor(self.threads, initializer=self._mark)
        return list(self._pool.map(function, work))

    def _mark(self) -> None:
        self._worker.busy = True

    def alone(self) -> HostRun:
        return HostRun(self.device, 1)
