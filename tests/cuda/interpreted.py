"""Numba's CUDA without a device: kernels are compiled to PTX, which :mod:`interpreter` runs.

:func:`install` puts what is needed in the place of Numba's functions. Arrays lie in the host's memory, streams do at
once what they are asked for, and launches of the codec's kernels go through its own launcher up to the driver. Every
kernel runs in several orders of its threads.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
from types import SimpleNamespace
from typing import Any

import numpy as np
from interpreter import Program
from numba.core import types
from numba.np.numpy_support import from_dtype

from imfnb.runtime import cuda as _cuda

__all__ = ["WANTED", "DeviceArray", "install"]

#: Whether kernels are to be interpreted.
WANTED = os.environ.get("IMFNB_INTERPRET_PTX") == "1" and not _cuda.SIMULATED

#: Compute capability to compile for.
CAPABILITY = tuple(map(int, os.environ.get("IMFNB_INTERPRET_PTX_FOR", "9.0").split(".")))

# As `Program.launch` has them.
_ORDERS = 0, 1, -1, 2

# Where the memory of a device begins: at multiples of this.
_ALIGNMENT = 256


class DeviceArray:
    """An array that has what Numba's device arrays have, as far as it is used; `host` is its memory."""

    __cuda_ndarray__ = True

    def __init__(self, host: np.ndarray) -> None:
        self.host = host
        self.shape, self.strides, self.dtype = host.shape, host.strides, host.dtype
        self.ndim, self.size, self.nbytes, self.itemsize = host.ndim, host.size, host.nbytes, host.itemsize

    @property
    def device_ctypes_pointer(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self.host.ctypes.data)

    def is_c_contiguous(self) -> bool:
        return self.host.flags.c_contiguous

    def copy_to_host(self, ary: np.ndarray | None = None, stream: Any = 0) -> np.ndarray:
        if ary is None:
            return self.host.copy()
        np.copyto(ary, self.host)
        return ary

    def copy_to_device(self, ary: Any, stream: Any = 0) -> None:
        source = ary.host if isinstance(ary, DeviceArray) else ary
        if source.shape != self.shape or source.dtype != self.dtype:
            raise ValueError(f"{source.dtype} {source.shape} for {self.dtype} {self.shape}")
        self.host[...] = source

    def view(self, dtype: Any) -> DeviceArray:
        return DeviceArray(self.host.view(dtype))

    def reshape(self, *shape: Any) -> DeviceArray:
        host = self.host.view()
        host.shape = shape[0] if isinstance(shape[0], tuple) else shape  # raises where a copy would be needed
        return DeviceArray(host)

    def __getitem__(self, key: Any) -> Any:
        part = self.host[key]
        return DeviceArray(part) if isinstance(part, np.ndarray) else part

    def __len__(self) -> int:
        return len(self.host)


class Stream:
    """A stream that is never behind."""

    def synchronize(self) -> None:
        pass

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, 0


def _memory(shape: Any, dtype: Any, order: str = "C") -> np.ndarray:
    """Memory with noise in it."""
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    size = int(np.prod(shape)) * dtype.itemsize
    noise = np.random.default_rng(size).integers(256, size=size + _ALIGNMENT, dtype=np.uint8)
    start = -noise.ctypes.data % _ALIGNMENT
    return noise[start : start + size].view(dtype).reshape(shape, order=order)


def _to_device(array: Any, stream: Any = 0) -> DeviceArray:
    array = np.asarray(array)
    order = "C" if array.flags.c_contiguous or not array.flags.f_contiguous else "F"
    memory = _memory(array.shape, array.dtype, order)
    memory[...] = array
    return DeviceArray(memory)


@functools.cache
def _programs(function: Any, signature: Any) -> tuple[Program, Program | None]:
    """A kernel compiled for arguments of these types; and with products fused, if there are some to fuse."""
    ptx, _ = _cuda.cuda.compile_ptx(function, signature, cc=CAPABILITY)
    fused = Program(ptx, fused=True)
    return Program(ptx), fused if fused.fused else None


class _Function:
    """A kernel as the driver has it.

    Parameters
    ----------
    entry : imfnb.runtime.cuda._Entry
        A signature of the codec's.
    """

    def __init__(self, entry: Any) -> None:
        self._program, self._fused = _programs(entry._dispatcher.py_func, entry.types)
        self._kinds = [kind for each in entry.types for kind in _parameters(each)]

    def launch(self, grid: tuple[int, ...], block: tuple[int, ...], table: int) -> None:
        """Run it with a table of arguments: addresses of values, each in 8 bytes."""
        arguments: list[Any] = []
        for place, kind in zip(_host(table, 8 * len(self._kinds)).view(np.uint64), self._kinds, strict=True):
            value = _host(int(place), 8)
            if kind is None:  # after the number of entries and the bytes of each
                arguments.append(_host(int(value.view(np.uint64)[0]), int(arguments[-2]) * int(arguments[-1])))
            else:
                arguments.append(value.view(kind)[0])
        self._program.launch(grid, block, arguments, orders=_ORDERS, other=self._fused)


def _parameters(kind: Any) -> list[np.dtype | None]:
    """The types of the parameters that an argument becomes; None for the address of an array."""
    if isinstance(kind, types.Array):
        number = np.dtype(np.int64)
        return [number, number, number, number, None, *[number] * 2 * kind.ndim]
    return [np.dtype(np.uint8 if kind == types.boolean else str(kind))]


def _host(address: int, size: int) -> np.ndarray:
    """Bytes in the host's memory."""
    return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8) if size else np.empty(0, np.uint8)


class _Launcher:
    """A kernel of Numba's with a grid, which finds out the types of its arguments."""

    def __init__(self, dispatcher: Any, grid: Any, block: Any, stream: Any = 0, shared: int = 0) -> None:
        self.dispatcher, self.grid, self.block = dispatcher, grid, block

    def __call__(self, *arguments: Any) -> None:
        signature: list[Any] = []
        values: list[Any] = []
        for argument in arguments:
            if isinstance(argument, DeviceArray):
                signature.append(types.Array(from_dtype(argument.dtype), argument.ndim, "C"))
                before = map(np.int64, (0, 0, argument.size, argument.itemsize))
                values += [*before, argument.host, *map(np.int64, (*argument.shape, *argument.strides))]
            else:
                value = np.asarray(argument)[()]
                signature.append(from_dtype(value.dtype))
                values.append(np.uint8(value) if value.dtype == np.bool_ else value)
        program, fused = _programs(self.dispatcher.py_func, tuple(signature))
        program.launch(self.grid, self.block, values, orders=_ORDERS, other=fused)


def _launch(times: int, function: _Function, grid: Any, block: Any, queue: int, table: int) -> None:
    for _ in range(times):
        function.launch(grid, block, table)


def install() -> None:
    """Make Numba's functions those of this module, for the rest of the process."""
    cuda = _cuda.cuda
    device = SimpleNamespace(compute_capability=CAPABILITY, name="PTX on the CPU", id=0)
    for module in ("dispatcher", "compiler"):
        importlib.import_module(f"numba.cuda.{module}").get_current_device = lambda: device
    dispatcher = importlib.import_module("numba.cuda.dispatcher").CUDADispatcher
    dispatcher.__getitem__ = lambda self, configuration: _Launcher(self, *configuration)

    context = SimpleNamespace(deallocations=SimpleNamespace(clear=lambda: None), device=device)
    for name, value in {
        "is_available": lambda: True,
        "get_current_device": lambda: device,
        "current_context": lambda: context,
        "synchronize": lambda: None,
        "stream": Stream,
        "to_device": _to_device,
        "device_array": lambda shape, dtype, stream=0: DeviceArray(_memory(shape, dtype)),
        "pinned_array": _memory,
    }.items():
        setattr(cuda, name, value)

    _cuda._current_device = lambda: 0
    _cuda._Entry.handle = lambda self, device: _Function(self)
    _cuda._to_driver = _launch
