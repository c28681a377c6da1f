"""The runner of the GPU: stacks of images on one stream, with memory of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from . import streams
from .memory import Slot, borrowed, copy_all
from .run import Task, stage_module

__all__ = ["DeviceRun", "device_run"]

_T = TypeVar("_T")
_R = TypeVar("_R")


class DeviceRun:
    """A runner of the GPU; see :class:`imfnb.runtime.run.Run`.

    Parameters
    ----------
    slot : Slot
        Stream and memory.
    pool : Executor
        Threads for the work that stays on the CPU; it takes its work in order.
    """

    device = "cuda"
    host = "cpu"
    in_place = False
    retains = False
    merges = True

    def __init__(self, slot: Slot, pool: Executor) -> None:
        self.slot, self.pool = slot, pool
        self.threads = slot.threads

    def kernels(self, stage: str) -> ModuleType:
        return stage_module(stage, "cuda")

    def host_kernels(self, stage: str) -> ModuleType:
        return stage_module(stage, "cpu")

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.slot.array(name, shape, dtype)

    def zeros(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return self.slot.zeros(name, shape, dtype)

    def constant(self, name: str, array: np.ndarray) -> Any:
        return self.slot.upload(name, [array]).reshape(array.shape)

    def upload(self, name: str, parts: Sequence[Any]) -> Any:
        return self.slot.upload(name, parts)

    def fetch(self, name: str, *arrays: Any) -> Task[list[np.ndarray]]:
        found = [self.slot.download(f"{name} {i}", array) for i, array in enumerate(arrays)]
        yield None
        return found

    def gather(self, name: str, parts: Sequence[Any]) -> Task[np.ndarray]:
        whole = self.array(name, (sum(len(part) for part in parts), *parts[0].shape[1:]), parts[0].dtype)
        first = 0
        for part in parts:
            whole[first : first + len(part)].copy_to_device(part, stream=self.slot.stream)
            first += len(part)
        (found,) = yield from self.fetch(name, whole)
        return found

    def select(self, flags: Sequence[bool], yes: Any, no: Any) -> Any:
        for n in np.flatnonzero(flags):
            no[int(n)].copy_to_device(yes[int(n)], stream=self.slot.stream)
        return no

    def canvas(self, outs: Sequence[Any], shape: tuple[int, ...]) -> Any:
        return outs[0].reshape(shape) if _in_place(outs) else self.array("decoded images", shape, np.uint8)

    def deliver(self, images: Any, outs: Sequence[Any]) -> Task[None]:
        if _in_place(outs):
            yield None
            return
        (pixels,) = yield from self.fetch("decoded images", images)
        here = [index for index, out in enumerate(outs) if isinstance(out, np.ndarray)]
        yield from copy_all([outs[index] for index in here], [pixels[index] for index in here], self.threads)
        for index, out in enumerate(outs):
            if not isinstance(out, np.ndarray):
                out.copy_to_device(images[index], stream=self.slot.stream)
        yield None

    def lasting(self, arrays: Sequence[np.ndarray]) -> Task[list[np.ndarray]]:
        kept = [np.empty_like(array) for array in arrays]  # the slot's memory is about to be used again
        yield from copy_all(kept, arrays, self.threads)
        return kept

    def copy(self, name: str, array: Any) -> Any:
        out = self.array(name, array.shape, array.dtype)
        out.copy_to_device(array, stream=self.slot.stream)
        return out

    def stack(self, name: str, parts: Sequence[np.ndarray]) -> Task[Any]:
        deepest, shape = max(map(len, parts)), parts[0].shape[1:]
        staging = self.slot.pinned(name, (len(parts), deepest, *shape), parts[0].dtype)
        yield from copy_all([slot[: len(part)] for slot, part in zip(staging, parts, strict=True)], parts, self.threads)
        there = self.array(name, staging.shape, staging.dtype)
        there.copy_to_device(staging, stream=self.slot.stream)
        return there

    def drive(self, task: Task[_R]) -> _R:
        return streams.drive(task, self.slot)

    def submit(self, function: Callable[..., _R], *arguments: Any) -> Future[_R]:
        return self.pool.submit(function, *arguments)

    def submit_all(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[Future[_R]]:
        return [self.pool.submit(function, item) for item in items]

    def wait(self, futures: Sequence[Future[_R]]) -> Task[list[_R]]:
        if not all(future.done() for future in futures):
            yield futures
        return [future.result() for future in futures]

    def together(self, tasks: Iterable[Task[_R]]) -> Task[list[_R]]:
        results = []
        for task in tasks:
            results.append((yield from task))
        return results

    def each(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        return [function(item) for item in items]

    def alone(self) -> DeviceRun:
        return self


def _in_place(outs: Sequence[Any]) -> bool:
    """Whether the only output is on the device, so that the kernels can write to it."""
    return len(outs) == 1 and not isinstance(outs[0], np.ndarray)


@contextmanager
def device_run(threads: int) -> Iterator[DeviceRun]:
    """A runner of the GPU for one call, with so many threads of the host at most.

    Raises
    ------
    DeviceError
        If the device's memory is too small.
    """
    with ThreadPoolExecutor(threads) as pool, borrowed(threads) as slot, streams.memory_errors():
        yield DeviceRun(slot, pool)
