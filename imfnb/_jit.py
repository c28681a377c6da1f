"""The decorator of every CPU kernel.

Numba is imported here and in the ``cpu`` modules only, and those are imported by the first call that needs them, so
that ``import imfnb`` costs no more than a few file reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["EXACT", "kernel"]

#: Freedoms given to LLVM where a reference allows them: the sums of the codec are sums of integers that the working
#: precision holds exactly, so their order cannot change the result, but without "reassoc" reductions stay scalar.
#: Full fastmath is not an option: it breaks NaN handling.
EXACT = {"reassoc", "contract", "nsz"}


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function without the GIL and cache the machine code.

    Parameters
    ----------
    **options
        Passed on to :func:`numba.njit`.

    Returns
    -------
    callable
        A decorator. Where Numba finds no directory to cache in (a read-only installation without a home directory),
        the kernel is compiled in memory instead of failing.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:
            return numba.njit(nogil=True, **options)(function)

    return decorate
