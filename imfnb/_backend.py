"""Which kernels a call runs on, and on how many threads; the one place that decides and that touches CUDA."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from .errors import DeviceError, OptionError

__all__ = ["DEVICES", "cuda_status", "kernels", "map_threads", "resolve_device", "resolve_threads", "show_config"]

DEVICES = ("auto", "cpu", "cuda", "reference")

_T = TypeVar("_T")
_R = TypeVar("_R")


def resolve_device(device: str) -> str:
    """Turn the ``device`` argument into the name of a kernel module.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "reference"}
        What the caller asked for.

    Returns
    -------
    str
        "cpu" or "reference".

    Raises
    ------
    OptionError
        If `device` is not one of the four names.
    DeviceError
        If `device` is "cuda": an explicit wish never falls back silently.
    """
    if device not in DEVICES:
        raise OptionError(f"device is {device!r}; expected one of {', '.join(map(repr, DEVICES))}")
    if device == "cuda":
        raise DeviceError(
            f"device='cuda' cannot be used: this version of imfnb has no CUDA kernels (CUDA: {cuda_status()}); "
            "use device='auto' or device='cpu'"
        )
    return "cpu" if device == "auto" else device


def kernels(stage: str, device: str) -> ModuleType:
    """Import the kernels of a stage.

    Parameters
    ----------
    stage : str
        Name of a stage's package, such as "color".
    device : str
        As returned by :func:`resolve_device`.

    Returns
    -------
    module
        ``imfnb.<stage>.cpu`` or ``imfnb.<stage>.reference``; both define the same functions.
    """
    return importlib.import_module(f"imfnb.{stage}.{device}")


def resolve_threads(threads: int | None) -> int:
    """Number of threads a call may use.

    Parameters
    ----------
    threads : int or None
        None means all the cores that this process may run on.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    OptionError
        If `threads` is not a positive integer.
    """
    if threads is None:
        try:
            return len(os.sched_getaffinity(0))
        except AttributeError:  # macOS and Windows have no affinity call
            return os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise OptionError(f"threads is {threads!r}; expected a positive integer, or None for all cores")
    return int(threads)


def map_threads(function: Callable[[_T], _R], items: Iterable[_T], threads: int) -> list[_R]:
    """Apply a function to every item on at most `threads` threads.

    The kernels are serial and release the GIL, so plain threads use the cores fully; Numba's own parallel loops were
    left out because under its workqueue layer two Python threads that enter one abort the process.

    Parameters
    ----------
    function : callable
        Called once per item.
    items : iterable
        The work; order is kept.
    threads : int
        Upper bound of the number of threads.

    Returns
    -------
    list
        The results in the order of `items`.
    """
    items = list(items)
    if threads == 1 or len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(threads, len(items))) as pool:
        return list(pool.map(function, items))


def cuda_status() -> str:
    """Say in words whether a CUDA device is usable, without ever raising.

    Returns
    -------
    str
        "found: <device name>" or "not found: <reason>".
    """
    try:
        from numba import cuda

        if not cuda.is_available():
            return "not found: no usable CUDA driver or device"
        name = cuda.get_current_device().name
        return f"found: {name.decode() if isinstance(name, bytes) else name}"
    except Exception as error:  # probing a broken driver raises errors of many kinds; the reason is the answer
        return f"not found: {type(error).__name__}: {error}"


def show_config() -> dict[str, Any]:
    """Describe the installation: versions, threads, cache and CUDA.

    Returns
    -------
    dict
        Names and values, in the order in which ``imfnb config`` prints them.
    """
    import platform

    import numba
    import scipy

    from . import __version__

    try:
        threading_layer = numba.threading_layer()
    except ValueError:
        threading_layer = "none started (imfnb uses its own threads)"
    return {
        "imfnb": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "scipy": scipy.__version__,
        "platform": platform.platform(),
        "threads": resolve_threads(None),
        "threading layer": threading_layer,
        "kernel cache": numba.config.CACHE_DIR or "__pycache__ beside the kernels, or the user's cache directory",
        "jit": "disabled (NUMBA_DISABLE_JIT)" if numba.config.DISABLE_JIT else "enabled",
        "cuda": cuda_status(),
    }
