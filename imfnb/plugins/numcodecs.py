"""The codec of numcodecs with the id "imfnb": for arrays of Zarr format 2, and whoever else asks numcodecs for codecs.

Nothing needs to be imported: numcodecs finds it by its id. A chunk is stored as an .imf file. What that does not say
of the chunk follows it as JSON: a shape that is not that of the file, the order of Fortran, the order of bytes.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray, ensure_ndarray, ndarray_copy

from ..errors import FormatError, OptionError
from ..format.container import Container
from .chunks import Chunks

__all__ = ["Imfnb"]

# What follows a file is no longer, for any shape that NumPy has.
_LONGEST = 2048


class Imfnb(Codec):
    """Chunks as .imf files.

    Parameters
    ----------
    **options
        Those of :func:`imfnb.encode` but `mask`, `metadata`, `device` and `threads`: at most one of the targets
        `quality`, `bpp`, `size`, `psnr`, `rank`, `step`, `max_error` and `lossless`, and `profile`, `color_space`,
        `subsampling`, `patch_size`, `bounds`, `iterations`, `coder`, `objective`, `alpha_quality`, `keep_hidden`,
        `tune`, `effort`, `channels`, `axes` and `nodata`. `bpp` and `size` are limits of each chunk. `axes` names the
        last axes of a chunk, and all in front of them are frames; see :func:`imfnb.plugins.chunks.arrangement`.

    Raises
    ------
    OptionError
        If an option is unknown, out of range or contradicts another.

    See Also
    --------
    imfnb.plugins.zarr.ImfnbCodec : The codec for arrays of Zarr format 3.

    Examples
    --------
    >>> import numcodecs, numpy as np
    >>> codec = numcodecs.get_codec({"id": "imfnb", "max_error": 2})
    >>> chunk = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    >>> back = codec.decode(codec.encode(chunk))
    >>> back.shape, back.dtype, int(np.abs(back.astype(int) - chunk).max()) <= 2
    ((64, 64), dtype('uint16'), True)
    """

    codec_id = "imfnb"

    def __init__(self, **options: Any) -> None:
        self._chunks = Chunks.of(options)

    def encode(self, buf: Any) -> bytes:
        """Encode a chunk.

        Parameters
        ----------
        buf : array_like
            An array of uint8, int8, uint16, int16, float32 or float64, or a buffer of such.

        Returns
        -------
        bytes
            The contents of an .imf file, and what it does not say of the chunk.

        Raises
        ------
        OptionError
            If the chunk cannot be encoded with these options.
        """
        array = ensure_ndarray(buf)
        data = self._chunks.encode(array)
        return data + _remainder(array, self._chunks.natural(Chunks.open(data, array.shape)))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decode a chunk.

        Parameters
        ----------
        buf : bytes-like
            What :meth:`encode` has returned, or the contents of an .imf file.
        out : array_like, optional
            A writeable buffer of as many bytes as the chunk has.

        Returns
        -------
        ndarray
            The chunk with its shape, dtype and order in memory; `out` if that was given.

        Raises
        ------
        FormatError
            If the chunk is damaged.
        OptionError
            If `out` has another size.
        """
        view = ensure_contiguous_ndarray(buf).view(np.uint8)
        container = Chunks.open(view)
        shape, order, ends = _read_remainder(container, bytes(view[container.total :]), self._chunks)
        dtype = container.frame.dtype
        array = self._chunks.decode(container, shape, dtype).astype(dtype.newbyteorder(ends), copy=False)
        array = np.asarray(array, order="F" if order == "F" else "C")
        if out is None:
            return array
        target = ensure_contiguous_ndarray(out)
        if target.nbytes != array.nbytes:
            raise OptionError(f"out has {target.nbytes} bytes; expected {array.nbytes} for {array.dtype} {array.shape}")
        ndarray_copy(array.reshape(-1, order="A").view(np.uint8), target.view(np.uint8))
        return out

    def get_config(self) -> dict[str, Any]:
        """The configuration, in values of JSON.

        Returns
        -------
        dict
            The id, the target, and all options that are not at their default.
        """
        return {"id": self.codec_id, **self._chunks.configuration}

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._chunks.configuration.items())
        return f"{type(self).__name__}({options})"


def _remainder(array: np.ndarray, natural: tuple[int, ...]) -> bytes:
    """What the file of a chunk does not say of it, as JSON; nothing in most cases."""
    found: dict[str, Any] = {}
    if array.shape != natural:
        found["shape"] = list(array.shape)
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        found["order"] = "F"
    if array.dtype.newbyteorder("<") != array.dtype:
        found["byteorder"] = "big"
    return json.dumps(found, separators=(",", ":")).encode() if found else b""


def _read_remainder(
    container: Container, data: bytes, chunks: Chunks
) -> tuple[tuple[int, ...], str, Literal["<", ">"]]:
    """Shape, order in memory and byte order of a chunk: "C" or "F", ">" or "<"."""
    natural = chunks.natural(container)
    if not data.startswith(b"{"):  # padding, or nothing
        data = b"{}"
    try:
        found = json.loads(data[:_LONGEST])
        shape = tuple(found.get("shape", natural))
        valid = all(type(length) is int and length > 0 for length in shape) and len(shape) <= 64
        valid &= math.prod(shape) == math.prod(natural)
        valid &= found.get("order", "C") in ("C", "F") and found.get("byteorder", "little") in ("little", "big")
    except (ValueError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise FormatError(f"what follows the file of a chunk is {data[:80]!r}; expected its shape and order as JSON")
    return shape, found.get("order", "C"), ">" if found.get("byteorder") == "big" else "<"
