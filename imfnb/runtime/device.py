"""The runner of the GPU: stacks of images on a stream, with memory of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from ..gpu import streams
from ..gpu.transfer import Half, copy_now
from .run import Task

__all__ = ["DeviceRun"]

_T = TypeVar("_T")
_R = TypeVar("_R")


class DeviceRun:
    """A runner of the GPU; see :class:`imfnb.runtime.run.Run`.

    Parameters
    ----------
    slot : Half
        Stream and memory.
    pool : Executor
        Threads for the work that stays on the CPU.
    """

    device = "cuda"
    in_place = False
    retains = False
    merges = True

    def __init__(self, slot: Half, pool: Executor) -> None:
        self.slot, self.pool, self.threads = slot, pool, slot.threads
        self.array, self.zeros = slot.array, slot.zeros

    def kernels(self, stage: str) -> ModuleType:
        return importlib.import_module(f"imfnb.{stage}.cuda")

    def constant(self, name: str, array: np.ndarray) -> Any:
        return self.upload(name, [array])[0]

    def upload(self, name: str, parts: Sequence[Any], length: int | None = None) -> Any:
        if length is None:
            return self.slot.upload(name, parts)
        width = parts[0].shape[-1]
        staging = self.slot.pinned(name, (len(parts), *parts[0].shape[:-1], length), parts[0].dtype)
        copy_now([place[..., :width] for place in staging], parts, self.threads)
        target = self.slot.array(name, staging.shape, staging.dtype)
        target.copy_to_device(staging, stream=self.slot.stream)
        return target

    def fetch(self, name: str, *arrays: Any) -> Task[list[np.ndarray]]:
        copies = [self.slot.download(f"{name} out{k}", array) for k, array in enumerate(arrays)]
        yield None
        return copies

    def submit(self, function: Callable[..., _R], *arguments: Any) -> Future[_R]:
        return self.pool.submit(function, *arguments)

    def wait(self, futures: Sequence[Future[_R]]) -> Task[list[_R]]:
        yield futures
        return [future.result() for future in futures]

    def together(self, tasks: Iterable[Task[_R]]) -> Task[list[_R]]:
        results = []
        for task in tasks:
            results.append((yield from task))
        return results

    def map(self, function: Callable[[_T], _R], items: Iterable[_T]) -> Task[list[_R]]:
        return (yield from self.wait([self.pool.submit(function, item) for item in items]))

    def each(self, function: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
        return [function(item) for item in items]

    def alone(self) -> DeviceRun:
        return self

    def regions(self, height: int, width: int) -> list[slice]:
        return [slice(0, height)]

    def canvas(self, outs: Sequence[Any]) -> Any:
        return streams.canvas(outs, (len(outs), *outs[0].shape), self.slot)

    def deliver(self, images: Any, outs: Sequence[Any]) -> Task[None]:
        yield from streams.deliver(images, outs, self.slot)

    def finish(self, task: Task[_R]) -> _R:
        return streams.drive(task, self.slot)
