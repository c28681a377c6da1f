"""The decorators of every CUDA kernel, and the one place that imports CUDA.

`cuda` is Numba's CUDA target: that of the package numba-cuda where it is installed, else the one that comes with Numba,
or the simulator with NUMBA_ENABLE_CUDASIM=1. Only `devices`, the ``cuda`` modules of the stages and the runner of the
GPU import this module, and those are imported by the first call that needs them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numba import config, cuda
from numba.core import sigutils, types

from ..errors import DeviceError

__all__ = [
    "GRID_LIMIT",
    "KEPT",
    "KERNELS",
    "SHARED_BYTES",
    "SIMULATED",
    "TILE",
    "Kernel",
    "blocks",
    "cuda",
    "device_function",
    "is_cuda_error",
    "is_out_of_memory",
    "kernel",
    "on_disk",
    "on_stream",
    "stream",
    "template",
    "tile_of_block",
    "tiles",
]

_logger = logging.getLogger(__name__)

#: Whether kernels run in Numba's simulator (NUMBA_ENABLE_CUDASIM=1) instead of on a device.
SIMULATED = bool(config.ENABLE_CUDASIM)

# The driver, for launches of our own: that of NVIDIA's bindings, which numba-cuda uses too.
_driver: Any = None
if not SIMULATED and "numba_cuda" in (cuda.__file__ or ""):
    with contextlib.suppress(ImportError):
        _driver = importlib.import_module("cuda.bindings.driver")
if _driver:
    from . import cuda_cache

#: Whether the machine code of kernels is kept on disk.
KEPT = _driver is not None

#: Threads along x and y of kernels that handle planes. The simulator starts a Python thread for each.
TILE = (8, 4) if SIMULATED else (32, 4)

#: Blocks along the second and the third axis of a grid, at most.
GRID_LIMIT = 65535

#: Bytes of shared memory that every device gives a block without being asked.
SHARED_BYTES = 48 * 1024

#: Every kernel's Python function and signature by its name, so that all can be compiled to PTX without a device. A
#: kernel with several signatures, or with constants built in, has an entry for each.
KERNELS: dict[str, tuple[Callable[..., None], str]] = {}

# The stream of the task that is at work; tasks take turns in one thread at a time (see `memory.LOCK`).
_stream: Any = 0


def stream() -> Any:
    """Where the functions of the stages launch their kernels: the stream of the task at work, or the default one."""
    return _stream


@contextlib.contextmanager
def on_stream(chosen: Any) -> Iterator[None]:
    """Have the functions of the stages launch on a stream."""
    global _stream
    before, _stream = _stream, chosen
    try:
        yield
    finally:
        _stream = before


def _register(name: str, function: Callable[..., None], signatures: tuple[str, ...]) -> None:
    for entry, signature in _entries(name, signatures):
        KERNELS[entry] = function, signature


def _entries(name: str, signatures: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """A name of its own for each signature of a kernel, and the signature."""
    for index, signature in enumerate(signatures):
        yield f"{name}/{index}" if index else name, signature


def _member(build: Callable[..., Any], constants: tuple[Any, ...]) -> str:
    """Name of a kernel with constants built in."""
    return f"{_qualified(build)}({', '.join(map(str, constants))})"


def _qualified(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


class _Mismatch(Exception):
    """Arguments of other types than those of a signature."""


class _Entry:
    """One compiled signature of a kernel, ready for the driver.

    Parameters
    ----------
    dispatcher : object
        Numba's dispatcher of the kernel.
    signature : str
        The types of the arguments.
    name : str
        What its machine code is cached under.
    """

    # Scalars as `struct` packs them, in 8 bytes each; the kernel reads as many as its type has.
    _CODES: ClassVar[dict[str, str]] = {"int32": "i4x", "int64": "q", "float32": "f4x", "float64": "d", "bool": "?7x"}

    def __init__(self, dispatcher: Any, signature: str, name: str = "") -> None:
        self.types = sigutils.normalize_signature(signature)[0]
        # An array is: two pointers of no use here, entries, bytes of an entry, where they are, sides, strides.
        codes = [
            "q" * (5 + 2 * kind.ndim) if isinstance(kind, types.Array) else self._CODES[str(kind)]
            for kind in self.types
        ]
        self.arrays = [
            (np.dtype(str(kind.dtype)), kind.ndim) if isinstance(kind, types.Array) else None for kind in self.types
        ]
        self.packer = struct.Struct("<" + "".join(codes))
        self._dispatcher, self._name, self._signature = dispatcher, name, signature
        self._handles: dict[int, Any] = {}
        self._modules: list[Any] = []
        self._threads = threading.local()

    def handle(self, device: int) -> Any:
        """The kernel of the driver, loaded from the cache, or compiled, where that has not been done."""
        if device not in self._handles:
            # This also makes Numba's context the thread's, which is the one to load into.
            capability = tuple(cuda.get_current_device().compute_capability)
            path = cuda_cache.place(self._name, self._signature, capability)
            self._handles[device] = self._cached(path) or self._compiled(path)
        return self._handles[device]

    def _cached(self, path: Path | None) -> Any:
        """The kernel of the driver from cached code; None where there is none, or none that the driver takes."""
        found = path and cuda_cache.load(path)
        if not found:
            return None
        name, code = found
        error, module = _driver.cuModuleLoadData(code)
        if error == _driver.CUresult.CUDA_SUCCESS:
            self._modules.append(module)  # what the kernel lies in
            error, function = _driver.cuModuleGetFunction(module, name.encode())
            if error == _driver.CUresult.CUDA_SUCCESS:
                return function
        if error == _driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise _failed(error, f"loading the kernel {self._name}")
        _logger.debug("cached CUDA kernel %s refused: %s", path, error.name)
        return None

    def _compiled(self, path: Path | None) -> Any:
        """The kernel of the driver from Numba, whose code is cached."""
        library = self._dispatcher.compile(self.types)._codelibrary
        handle = library.get_cufunc().handle
        if path:
            with contextlib.suppress(AttributeError, TypeError):  # other versions of Numba have other parts
                cuda_cache.save(path, library._entry_name, library.get_cubin().code)
        return handle

    def packed(self, arguments: tuple[Any, ...]) -> int:
        """The address of a table of the arguments, which this thread's next call overwrites.

        The driver copies them before a launch returns.
        """
        values: list[Any] = []
        if len(arguments) != len(self.arrays):
            raise _Mismatch
        for expected, argument in zip(self.arrays, arguments, strict=True):
            if expected is None:
                values.append(argument)
            else:
                kind, words = _described(argument)
                if kind != expected:
                    raise _Mismatch
                values += words
        memory = self._threads.__dict__
        if not memory:
            buffer = memory["buffer"] = np.zeros(self.packer.size, np.uint8)
            memory["table"] = buffer.ctypes.data + 8 * np.arange(len(values), dtype=np.uint64)
        try:
            self.packer.pack_into(memory["buffer"], 0, *values)
        except struct.error as error:
            raise _Mismatch from error
        return memory["table"].ctypes.data


def _described(array: Any) -> tuple[tuple[np.dtype, int] | None, tuple[int, ...]]:
    """((dtype, dimensions), what a kernel wants to know about it) of a C-contiguous device array; kept with it."""
    described = array.__dict__.get("_imfnb_described")
    if described is None:
        kind = (array.dtype, array.ndim) if array.is_c_contiguous() else None
        pointer = array.device_ctypes_pointer.value or 0
        words = (0, 0, array.size, array.dtype.itemsize, pointer, *array.shape, *array.strides)
        described = array._imfnb_described = kind, words
    return described


class Kernel:
    """A kernel; ``kernel[grid, block, stream](*arguments)`` launches it.

    A launch through Numba takes 48 us for five arrays and as many scalars, since it finds out the type of everything
    anew (an H200's host); a sweep of the baseline over 12 megapixels takes half of that. Here the types are known: what
    the driver wants is packed at once, in 12 us, and Numba's launch remains for other types, the simulator, and
    versions of Numba whose inner parts have other names.

    Parameters
    ----------
    function : callable
        The kernel in Python.
    *signatures : str
        The types of the arguments that the codec launches it with.
    name : str
        What its machine code is cached under, where that is to be; different for other constants.
    """

    def __init__(self, function: Callable[..., None], *signatures: str, name: str = "") -> None:
        self._dispatcher = cuda.jit(function)
        entries = _entries(name, signatures) if _driver else ()
        self._entries = [_Entry(self._dispatcher, signature, entry) for entry, signature in entries]
        # It is launched, as kernel[grid, block](...), and never called.
        functools.update_wrapper(self, function)  # type: ignore[arg-type]

    def __getitem__(self, configuration: tuple[Any, ...]) -> Callable[..., None]:
        if not self._entries:
            return self._dispatcher[configuration]
        return functools.partial(self.repeat, 1, configuration)

    def repeat(self, times: int, configuration: tuple[Any, ...], *arguments: Any) -> None:
        """Launch in a row with the same arguments, which are packed once.

        Where the device can (compute capability 9.0), a launch begins when all blocks of the one before have called
        `begin_next`, and waits for its end in `await_previous`; a kernel that calls neither takes its turn.

        Parameters
        ----------
        times : int
            How often.
        configuration : tuple
            What stands between the brackets of a launch: grid, block and perhaps a stream.
        *arguments
            The kernel's arguments.
        """
        grid, block, *stream = configuration
        for entry in self._entries:
            try:
                table = entry.packed(arguments)
                handle, queue = entry.handle(_current_device()), _queue(*stream)
            except _Mismatch:
                continue
            except AttributeError:  # Numba has no such parts, or fails itself, which its own launch says again
                self._entries = []
                break
            _to_driver(times, handle, _three(grid), _three(block), queue, table)
            return
        for _ in range(times):
            self._dispatcher[configuration](*arguments)


def _current_device() -> int:
    """Number of the device whose context this thread has; the question costs Numba as much as half a launch."""
    code, device = _driver.cuCtxGetDevice()
    if code != _driver.CUresult.CUDA_SUCCESS:  # a thread without a context
        return cuda.current_context().device.id
    return int(device)


def _three(sides: int | tuple[int, ...]) -> tuple[int, ...]:
    """The sides of a grid or a block in three dimensions."""
    sides = (sides,) if isinstance(sides, int) else tuple(sides)
    return sides + (1,) * (3 - len(sides))


def _queue(stream: Any = 0) -> int:
    """What the driver calls a stream."""
    return int(stream.__cuda_stream__()[1]) if stream else 0


def _to_driver(times: int, handle: Any, grid: tuple[int, ...], block: tuple[int, ...], queue: int, table: int) -> None:
    """Launch a kernel of the driver with a table of arguments, each time while the one before comes to its end."""
    launches = [functools.partial(_driver.cuLaunchKernel, handle, *grid, *block, 0, queue, table, 0)] * times
    if times > 1 and _overlaps(_current_device()):
        attribute, configuration = _driver.CUlaunchAttribute(), _driver.CUlaunchConfig()
        attribute.id = _driver.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
        attribute.value.programmaticStreamSerializationAllowed = 1
        configuration.gridDimX, configuration.gridDimY, configuration.gridDimZ = grid
        configuration.blockDimX, configuration.blockDimY, configuration.blockDimZ = block
        configuration.hStream, configuration.attrs, configuration.numAttrs = queue, [attribute], 1
        launches[1:] = [functools.partial(_driver.cuLaunchKernelEx, configuration, handle, table, 0)] * (times - 1)
    for launch in launches:
        (code,) = launch()
        if code != _driver.CUresult.CUDA_SUCCESS:
            raise _failed(code, f"a launch of {grid} blocks of {block} threads")


@functools.cache
def _overlaps(device: int) -> bool:
    """Whether a launch can begin before the one before has ended."""
    major = _driver.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    code, value = _driver.cuDeviceGetAttribute(major, device)
    return code == _driver.CUresult.CUDA_SUCCESS and value >= 9


def _failed(code: Any, what: str) -> Exception:
    """Numba's error for a call of the driver."""
    return cuda.cudadrv.driver.CudaAPIError(int(code), f"{what}: {code.name}")


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
        name = _qualified(function)
        _register(name, function, signatures)
        return Kernel(function, *signatures, name=name)

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
            _register(_member(build, constants), build(*constants), (signature.format(*constants),))

        @functools.cache
        def member(*constants: Any) -> Any:
            return Kernel(build(*constants), signature.format(*constants), name=_member(build, constants))

        return functools.update_wrapper(member, build)

    return decorate


def on_disk(name: str) -> bool:
    """Whether a kernel's machine code is cached for this thread's device, so that nobody has to wait for a compiler.

    Parameters
    ----------
    name : str
        Its name in :data:`KERNELS`; the module that defines it is imported.

    Returns
    -------
    bool
        True in the simulator, which compiles nothing; false with Numba's own target, which keeps nothing.
    """
    if SIMULATED:
        return True
    if not _driver:
        return False
    importlib.import_module(name.rpartition(".")[0])
    path = cuda_cache.place(name, KERNELS[name][1], tuple(cuda.get_current_device().compute_capability))
    return path is not None and path.exists()


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
_ERRORS |= {"CUDAError", "NvrtcError", "NvvmError", "NvvmSupportError", "nvJitLinkError", "nvvmError"}

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
