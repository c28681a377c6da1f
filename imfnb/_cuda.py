"""The decorators of every CUDA kernel, and the one place that imports CUDA.

`cuda` is Numba's CUDA target: that of the package numba-cuda where it is installed, else the one that comes with Numba,
or the simulator with NUMBA_ENABLE_CUDASIM=1. Only `_backend`, the ``cuda`` modules of the stages and the pipelines in
`gpu` import this module, and those are imported by the first call that needs them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, cuda

from .errors import DeviceError

__all__ = [
    "GRID_LIMIT",
    "KERNELS",
    "SIMULATED",
    "TILE",
    "blocks",
    "cuda",
    "device_function",
    "is_cuda_error",
    "is_out_of_memory",
    "kernel",
    "template",
    "tile_of_block",
    "tiles",
]

#: Whether kernels run in Numba's simulator (NUMBA_ENABLE_CUDASIM=1) instead of on a device.
SIMULATED = bool(config.ENABLE_CUDASIM)

#: Threads along x and y of kernels that handle planes. The simulator starts a Python thread for each.
TILE = (8, 4) if SIMULATED else (32, 4)

#: Blocks along the second and the third axis of a grid, at most.
GRID_LIMIT = 65535

#: Every kernel's Python function and signature by its name, so that all can be compiled to PTX without a device. A
#: kernel with several signatures, or with constants built in, has an entry for each.
KERNELS: dict[str, tuple[Callable[..., None], str]] = {}


def _register(name: str, function: Callable[..., None], signatures: tuple[str, ...]) -> None:
    for index, signature in enumerate(signatures):
        KERNELS[f"{name}/{index}" if index else name] = function, signature


def kernel(*signatures: str) -> Callable[[Callable[..., None]], Any]:
    """Make a kernel, compiled by its first launch.

    Parameters
    ----------
    *signatures : str
        The types of the arguments that the codec launches it with, such as ``"void(uint8[:,::1], int32)"``.

    Returns
    -------
    callable
        A decorator.
    """

    def decorate(function: Callable[..., None]) -> Any:
        _register(f"{function.__module__}.{function.__qualname__}", function, signatures)
        return cuda.jit(function)

    return decorate


def template(signature: str, *examples: tuple[Any, ...]) -> Callable[[Callable[..., Callable[..., None]]], Any]:
    """Make a family of kernels with constants built in, each compiled by its first launch.

    Parameters
    ----------
    signature : str
        The types of the arguments of every member; ``{0}``, ``{1}`` and so on stand for its constants.
    *examples : tuple
        Constants of the members that stand for all in :data:`KERNELS`.

    Returns
    -------
    callable
        A decorator of a function that takes the constants and returns a kernel's Python function. It becomes a
        function from the same constants to the kernel, made once.
    """

    def decorate(build: Callable[..., Callable[..., None]]) -> Any:
        for constants in examples:
            name = f"{build.__module__}.{build.__qualname__}({', '.join(map(str, constants))})"
            _register(name, build(*constants), (signature.format(*constants),))

        @functools.cache
        def member(*constants: Any) -> Any:
            return cuda.jit(build(*constants))

        return functools.update_wrapper(member, build)

    return decorate


def device_function(function: Callable[..., Any]) -> Any:
    """Make a function that kernels call."""
    return cuda.jit(device=True)(function)


def blocks(items: int, threads: int) -> int:
    """Number of blocks of `threads` threads that cover `items`."""
    return -(-items // threads)


def tiles(width: int, height: int, images: int) -> tuple[tuple[int, int, int], tuple[int, int]]:
    """Grid and block of a kernel with a thread for each of `width` x `height` items of each of `images` images."""
    down = blocks(height, TILE[1])
    if max(down, images) > GRID_LIMIT:
        raise DeviceError(
            f"{images} planes of {height} rows are more than a launch can take ({GRID_LIMIT} planes of "
            f"{GRID_LIMIT * TILE[1]} rows); use device='cpu'"
        )
    return (blocks(width, TILE[0]), down, images), TILE


def is_cuda_error(error: BaseException) -> bool:
    """Whether an exception comes from CUDA (driver, compiler, or Numba's layer above them) and not from the caller."""
    names = {base.__name__ for base in type(error).__mro__}
    return bool(names & _ERRORS) or is_out_of_memory(error)


# By name, since Numba, numba-cuda and the simulator each have classes of their own in other modules.
_ERRORS = {"CCSupportError", "CudaDriverError", "CudaAPIError", "CudaRuntimeError", "CudaSupportError", "LinkerError"}
_ERRORS |= {"CUDAError", "NvrtcError", "NvvmError", "NvvmSupportError"}

_OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the device's, or pinned, memory is full."""
    code = getattr(error, "code", None)
    try:
        full = code is not None and int(code) == _OUT_OF_MEMORY
    except (TypeError, ValueError):
        full = False
    return full or "OUT_OF_MEMORY" in str(error) or isinstance(error, MemoryError)


@device_function
def tile_of_block(down, across):
    """(plane, row, column) of this block's tile as int32; every plane has `down` times `across` tiles.

    All tiles of all planes are folded into one block index, since only that axis of a grid goes beyond 65535. Unsigned
    32-bit divisions are a third of the instructions of signed 64-bit ones.
    """
    index = np.uint32(cuda.blockIdx.x)
    rest = np.uint32(index // np.uint32(across))
    plane = np.uint32(rest // np.uint32(down))
    return np.int32(plane), np.int32(rest - plane * np.uint32(down)), np.int32(index - rest * np.uint32(across))
