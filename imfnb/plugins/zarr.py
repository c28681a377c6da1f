"""The codec "imfnb" for arrays of Zarr format 3.

Nothing needs to be imported: Zarr finds the codec by its name, in the metadata of an array that is opened and in
``serializer={"name": "imfnb", "configuration": {...}}``. docs/zarr-codec.md is its specification.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from zarr.abc.codec import ArrayBytesCodec

from ..errors import OptionError
from .chunks import Chunks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

__all__ = ["ImfnbCodec"]


class ImfnbCodec(ArrayBytesCodec):
    """Chunks as .imf files: an "array -> bytes" codec, given as `serializer`, with no compressors behind it.

    Parameters
    ----------
    **options
        Those of :func:`imfnb.encode` but `mask`, `metadata`, `device` and `threads`: at most one of the targets
        `quality`, `bpp`, `size`, `psnr`, `rank`, `step`, `max_error` and `lossless`, and `profile`, `color_space`,
        `subsampling`, `patch_size`, `bounds`, `iterations`, `coder`, `objective`, `alpha_quality`, `keep_hidden`,
        `tune`, `effort`, `channels`, `axes` and `nodata`. `bpp` and `size` are limits of each chunk. `axes` names the
        last axes of a chunk, and all in front of them are frames; see :func:`imfnb.plugins.chunks.arrangement`. With
        `nodata` at the fill value of the array, what is not written costs next to nothing, in chunks at the edges too;
        NaN in floats always means that there is no data.

    Raises
    ------
    OptionError
        If an option is unknown, out of range or contradicts another; when an array is created with it, if type,
        dimensions or fill value of the array do not go with the options.

    See Also
    --------
    imfnb.plugins.numcodecs.Imfnb : The codec for arrays of Zarr format 2.

    Notes
    -----
    A chunk of which a part is written is read, decoded, changed and encoded again: write whole chunks, or whole shards.
    What is not changed in it stays within `max_error` however often that happens where the file has no lossy layer,
    which is at 1.4 bits a sample and more; with one, errors add up, by at most `max_error` each time. `lossless` loses
    nothing, `quality` and `step` hardly anything after the first time; targets that are searched for (`bpp`, `size`,
    `psnr`) lose as much again each time.

    Examples
    --------
    >>> import numpy as np, zarr
    >>> array = zarr.create_array(
    ...     {}, shape=(100, 90), chunks=(64, 64), dtype="int16", serializer=ImfnbCodec(max_error=1), compressors=None
    ... )
    >>> array[:] = np.add.outer(np.arange(100), np.arange(90))
    >>> bool(abs(array[50, :] - (50 + np.arange(90))).max() <= 1)
    True
    """

    is_fixed_size = False

    def __init__(self, **options: Any) -> None:
        self._chunks = Chunks.of(options)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImfnbCodec:
        """The codec of what stands in the metadata of an array.

        Parameters
        ----------
        data : mapping
            With the name and, if there is one, the configuration.

        Returns
        -------
        ImfnbCodec
            The codec.

        Raises
        ------
        OptionError
            If it is not this codec, or its configuration is not valid.
        """
        if set(data) - {"name", "configuration"} or data.get("name") != "imfnb":
            raise OptionError(f"the codec is {dict(data)!r}; expected the name 'imfnb' and a configuration")
        return cls(**data.get("configuration", {}))

    def to_dict(self) -> dict[str, Any]:
        """What stands in the metadata of an array.

        Returns
        -------
        dict
            Name and configuration: the target, and all options that are not at their default.
        """
        return {"name": "imfnb", "configuration": self._chunks.configuration}

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> ImfnbCodec:
        """The codec itself, if chunks of such an array can be encoded.

        Parameters
        ----------
        array_spec : ArraySpec
            What the array is, or a chunk of a shard.

        Returns
        -------
        ImfnbCodec
            This one.

        Raises
        ------
        OptionError
            If type, dimensions or fill value do not go with the options.
        """
        self._chunks.check(array_spec.dtype.to_native_dtype(), len(array_spec.shape), array_spec.fill_value)
        return self

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Refuse to say how many bytes a chunk takes, which depends on its samples."""
        raise NotImplementedError("chunks take as many bytes as their samples need")

    # Zarr's pipelines call these from the thread of their event loop, where nothing may take long.

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    # Zarr's name for the same where no event loop waits.

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return chunk_spec.prototype.buffer.from_bytes(self._chunks.encode(chunk_data.as_numpy_array()))

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        shape, dtype = chunk_spec.shape, chunk_spec.dtype.to_native_dtype()
        container = Chunks.open(chunk_data.as_numpy_array(), shape)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(self._chunks.decode(container, shape, dtype))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImfnbCodec) and self._chunks == other._chunks

    def __hash__(self) -> int:
        return hash(self._chunks)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._chunks.configuration.items())
        return f"{type(self).__name__}({options})"
