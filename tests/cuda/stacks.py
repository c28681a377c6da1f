"""Small tools of the main profile's CUDA tests: stacks of planes on the device and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from imfnb._cuda import cuda


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
