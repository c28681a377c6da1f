"""The decorators of every CUDA kernel, and the one place that imports CUDA.

`cuda` is Numba's CUDA target: that of the package numba-cuda where it is installed, else the one that comes with Numba,
or the simulator with NUMBA_ENABLE_CUDASIM=1. Only the ``cuda`` modules of the stages import this module, and those are
imported by the first call that needs them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import cuda

__all__ = ["KERNELS", "cuda", "device_function", "kernel"]

#: Every kernel's Python function and signature by its name, so that all can be compiled to PTX without a device.
KERNELS: dict[str, tuple[Callable[..., None], str]] = {}


def kernel(signature: str) -> Callable[[Callable[..., None]], Any]:
    """Make a kernel, compiled by its first launch.

    Parameters
    ----------
    signature : str
        The types of the arguments that the codec launches it with, such as ``"void(uint8[:,::1], int32)"``.

    Returns
    -------
    callable
        A decorator.
    """

    def decorate(function: Callable[..., None]) -> Any:
        KERNELS[f"{function.__module__}.{function.__qualname__}"] = function, signature
        return cuda.jit(function)

    return decorate


def device_function(function: Callable[..., Any]) -> Any:
    """Make a function that kernels call."""
    return cuda.jit(device=True)(function)
