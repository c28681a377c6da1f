"""The decorator of every CPU kernel.

Numba is imported here and in the ``cpu`` modules only, and those are imported by the first call that needs them, so
that ``import imfnb`` costs no more than a few file reads.

Kernels copy rows in loops. The assignment of a slice to a slice compiles, for every type, the text of the error that
says that their shapes differ: that was a quarter of the 32 s of the first call of an encoder.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from . import cache

__all__ = ["DISABLED", "EXACT", "cache_obstacle", "describe_cache", "kernel"]

_logger = logging.getLogger(__name__)

_PACKAGE = __name__.partition(".")[0]

#: Whether kernels run as plain Python (NUMBA_DISABLE_JIT=1).
DISABLED = bool(numba.config.DISABLE_JIT)

#: Freedoms given to LLVM where a reference allows them: the sums of the codec are sums of integers that the working
#: precision holds exactly, so their order cannot change the result, but without "reassoc" reductions stay scalar.
#: Full fastmath is not an option: it breaks NaN handling.
EXACT = {"reassoc", "contract", "nsz"}

# Numba's cache of one function in a folder that `cache` chose. Its own constructors choose by lists that the user may
# replace (NUMBA_CACHE_LOCATOR_CLASSES), and want a folder beside the kernels. The names are private but have stood from
# 0.60 to 0.68; with a Numba that has others, kernels are compiled in memory.
try:
    from numba.core.caching import CompileResultCacheImpl, FunctionCache
    from numba.core.runtime import rtsys
except ImportError:
    CompileResultCacheImpl = FunctionCache = object


class _Locator:
    """What Numba asks where to keep a function, and when what it kept is stale: the folder is another one then."""

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._folder = folder
        self._py_file, self._line = function.__code__.co_filename, function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return str(self._folder)

    def ensure_cache_path(self) -> None:
        """Nothing to do: `cache` has made the folder."""

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Implementation(CompileResultCacheImpl):
    """How Numba writes code, under names with the whole name of the module: all kernels lie in one folder."""

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._locator = _Locator(folder, function)
        name = f"{function.__module__.removeprefix(f'{_PACKAGE}.')}.{function.__qualname__}"
        self._filename_base = self.get_filename_base(name, getattr(sys, "abiflags", ""))


class _FolderCache(FunctionCache):
    """Numba's cache of one function in one folder."""

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._impl_class = lambda function: _Implementation(folder, function)
        super().__init__(function)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """A function that has been kept, without what only the compiler needs.

        Numba would first import and register all that it can compile, scipy.linalg among it, and initialize its
        runtime on the way. Machine code needs the runtime alone, and a compilation registers all that by itself.
        """
        rtsys.initialize(target)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, target)
        return None


class _KernelCache:
    """The cache of one kernel, whose failures cost a compilation instead of the call.

    A truncated index raises EOFError, a folder that has become read-only or full OSError, a file of another version
    anything, a Numba whose parts have other names AttributeError: none of it is the caller's business.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @property
    def cache_path(self) -> str | None:
        """The folder in which the kernel is kept, or, if nothing can be kept, looked for."""
        folder = cache.places().best
        return None if folder is None else str(folder)

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Numba's compiled function for a signature, None if there is none."""
        for folder in cache.places(thoroughly=False).readable:
            try:
                found = _FolderCache(folder, self._function).load_overload(signature, target)
            except Exception as error:  # whatever a damaged pickle raises
                _logger.debug("kernel cache ignored: %r", error)
                self.flush()  # so that the next save starts a new index
            else:
                if found is not None:
                    return found
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep a function that Numba has compiled."""
        name = f"{self._function.__module__}.{self._function.__qualname__}"
        folder = cache.places().best
        try:
            if folder is None:
                raise OSError(cache.obstacle())
            _FolderCache(folder, self._function).save_overload(signature, compiled)
        except Exception as error:
            _logger.debug("kernel not cached: %r", error)
            cache.unkept[name] = str(error) or repr(error)
        else:
            cache.unkept.pop(name, None)

    def flush(self) -> None:
        """Forget the kernel."""
        folder = cache.places().writable
        try:
            if folder is not None:
                _FolderCache(folder, self._function).flush()
        except Exception as error:
            _logger.debug("kernel cache not emptied: %r", error)


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function without the GIL and cache the machine code.

    Parameters
    ----------
    **options
        Passed on to :func:`numba.njit`.

    Returns
    -------
    callable
        A decorator. Where there is no folder to cache in, the cache is damaged, or the function is defined outside of
        this package, whose sources the name of the folder stands for, the kernel is compiled in memory.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        compiled = numba.njit(nogil=True, **options)(function)
        if hasattr(compiled, "_cache") and function.__module__.startswith(f"{_PACKAGE}."):  # not without the JIT
            compiled._cache = _KernelCache(function)
        return compiled

    return decorate


def cache_obstacle() -> str | None:
    """Say in one sentence why this process finds no kernels and keeps none; None if it does."""
    try:
        _FolderCache(Path(), kernel)
    except Exception as error:
        return (
            f"kernels are compiled in every process, since the cache of Numba {numba.__version__} is not one that "
            f"imfnb knows ({error!r}); install another version of Numba"
        )
    return cache.obstacle()


def describe_cache() -> str:
    """Say where this process keeps its kernels, or that it does not and why: the folder comes first."""
    obstacle = cache_obstacle()
    return f"none; {obstacle}" if obstacle else cache.describe()
