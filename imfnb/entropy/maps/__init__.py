"""Map stage: images of symbols <-> bytes, lossless.

A map is an image of symbols 0 .. n - 1, n at most 256: classes of samples, alpha, settings of parts of a picture. Most
symbols repeat a neighbour, so each is told by whether it equals the one to its left, the one above, or what followed
the same neighbours before; only what is left is a residual, coded as those of component 0 of U are. Inside of flat
areas a symbol is a single bin without a mixture, which takes about a tenth of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import FormatError

__all__ = ["decode_map_checked"]


def decode_map_checked(coder: Any, data: bytes, height: int, width: int, count: int) -> np.ndarray:
    """Decode a map: ``decode_map`` of a backend, where bytes that end too early are an error.

    Parameters
    ----------
    coder : module
        The backend, `cpu` or `reference`.
    data, height, width, count
        As in :func:`imfnb.entropy.maps.reference.decode_map`.

    Returns
    -------
    ndarray of uint8, shape (height, width)
        The symbols.

    Raises
    ------
    FormatError
        If the bytes end before the map does.
    """
    symbols, overrun = coder.decode_map(data, height, width, count)
    if overrun:
        raise FormatError("damaged map: the coded data end too early; the file is corrupt")
    return symbols
