"""The decorator of every CPU kernel.

Numba is imported here and in the ``cpu`` modules only, and those are imported by the first call that needs them, so
that ``import imfnb`` costs no more than a few file reads.

Kernels copy rows in loops. The assignment of a slice to a slice compiles, for every type, the text of the error that
says that their shapes differ: that was a quarter of the 32 s of the first call of an encoder.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numba

__all__ = ["EXACT", "kernel"]

_logger = logging.getLogger(__name__)

#: Freedoms given to LLVM where a reference allows them: the sums of the codec are sums of integers that the working
#: precision holds exactly, so their order cannot change the result, but without "reassoc" reductions stay scalar.
#: Full fastmath is not an option: it breaks NaN handling.
EXACT = {"reassoc", "contract", "nsz"}


class _TolerantCache:
    """Numba's cache of one kernel, whose failures cost a compilation instead of the call.

    A truncated index raises EOFError, a folder that has become read-only or full OSError, a file of another version
    anything: none of it is the caller's business.
    """

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def load_overload(self, *arguments: Any) -> Any:
        try:
            return self._cache.load_overload(*arguments)
        except Exception as error:  # whatever a damaged pickle raises
            _logger.debug("kernel cache ignored: %r", error)
            try:
                self._cache.flush()  # so that the next save starts a new index
            except OSError:
                pass
            return None

    def save_overload(self, *arguments: Any) -> None:
        try:
            self._cache.save_overload(*arguments)
        except Exception as error:
            _logger.debug("kernel not cached: %r", error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function without the GIL and cache the machine code.

    Parameters
    ----------
    **options
        Passed on to :func:`numba.njit`.

    Returns
    -------
    callable
        A decorator. Where there is no directory to cache in (a read-only installation without a home directory), or
        the cache is damaged, the kernel is compiled in memory.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            compiled = numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # Numba found no place to cache in
            return numba.njit(nogil=True, **options)(function)
        if hasattr(compiled, "_cache"):  # not with the JIT disabled
            compiled._cache = _TolerantCache(compiled._cache)
        return compiled

    return decorate
