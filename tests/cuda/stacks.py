"""Small tools of the main profile's CUDA tests: stacks of planes on the device and back."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from imfnb.runtime.cuda import cuda
from imfnb.runtime.run import Task


def up(*arrays: np.ndarray) -> Any:
    """Copies on the device: one array, or a tuple of them."""
    copies = tuple(cuda.to_device(np.ascontiguousarray(a)) for a in arrays)
    return copies if len(copies) > 1 else copies[0]


def empty(shape: tuple[int, ...], dtype: Any = np.int32) -> Any:
    """An array on the device full of a value that no kernel should leave behind."""
    return cuda.to_device(np.full(shape, 77, dtype))


def order(count: int) -> Any:
    """0 .. count - 1 on the device."""
    return cuda.to_device(np.arange(count, dtype=np.int32))


def same(found: Any, expected: np.ndarray) -> None:
    """The array on the device has the values of the other."""
    np.testing.assert_array_equal(found.copy_to_host(), expected)


class DeviceRun:
    """What the pipelines of stages ask of the GPU's runner, done at once and with new memory for every array."""

    device, in_place, retains, merges = "cuda", False, False, True

    def kernels(self, stage: str) -> ModuleType:
        return importlib.import_module(f"imfnb.{stage}.cuda")

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return empty(shape, dtype)

    def zeros(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return up(np.zeros(shape, dtype))

    def constant(self, name: str, array: np.ndarray) -> Any:
        return up(array)

    def upload(self, name: str, parts: Sequence[np.ndarray]) -> Any:
        return up(np.stack(parts))

    def fetch(self, name: str, *arrays: Any) -> Task[list[np.ndarray]]:
        yield None
        return [array.copy_to_host() for array in arrays]

    def lasting(self, arrays: Sequence[np.ndarray]) -> Task[list[np.ndarray]]:
        return [array.copy() for array in arrays]
        yield

    def copy(self, name: str, array: Any) -> Any:
        return up(array.copy_to_host())

    def stack(self, name: str, parts: Sequence[np.ndarray]) -> Task[Any]:
        whole = np.full((len(parts), max(map(len, parts)), *parts[0].shape[1:]), 77, parts[0].dtype)
        for target, part in zip(whole, parts, strict=True):
            target[: len(part)] = part
        return up(whole)
        yield
