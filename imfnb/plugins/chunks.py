"""Chunks of arrays as .imf files: the configuration that codecs for arrays share, and which axis of a chunk is what."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from ..codec import decode_container, encode_array, open_container
from ..errors import FormatError, OptionError
from ..format.container import MAX_PIXELS, Container
from ..format.samples import DTYPES
from ..options import EncodeOptions
from ..rasters import prepare, to_array

__all__ = ["OPTIONS", "Chunks", "arrangement"]

#: The options of :func:`imfnb.encode` that a configuration may have, with their defaults: all that are not about one
#: array (its mask, its metadata) or about the machine (device, threads).
OPTIONS = {
    option.name: option.default
    for option in fields(EncodeOptions)
    if option.init and option.name not in ("mask", "metadata")
}

# How JSON, which has no such numbers, spells them: as Zarr does for fill values.
_SPELLINGS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

# A last axis that is no longer holds the samples of pixels, in uint8.
_SAMPLES = 4

_CHANNELS = {"gray": 1, "gray+alpha": 2, "rgb": 3, "rgba": 4, "bands": 1}


def arrangement(shape: tuple[int, ...], dtype: np.dtype, axes: str | None) -> tuple[str, tuple[int, ...]]:
    """What the axes of a chunk are.

    The last axes are those that `axes` names. Without it they are rows and columns, and samples where the last axis of
    three or more has a length of at most 4 in uint8; a chunk of one dimension, or of none, is one row. All axes in
    front of these are frames, one after the other in C order.

    Parameters
    ----------
    shape : tuple of int
        The chunk's.
    dtype : dtype
        The type of its samples.
    axes : str or None
        The option `axes` of the codec.

    Returns
    -------
    (str, tuple of int)
        The axes by name, as for :func:`imfnb.encode`, and the shape that the chunk has with them.

    Raises
    ------
    OptionError
        If the chunk has fewer axes than are named, or more frames than a T that is named counts.

    See Also
    --------
    imfnb.encode : Takes such axes.

    Examples
    --------
    >>> arrangement((1, 12, 256, 256), np.dtype("uint16"), None)
    ('THW', (12, 256, 256))
    >>> arrangement((1, 1, 256, 256), np.dtype("uint16"), None)
    ('HW', (256, 256))
    >>> arrangement((256, 256, 3), np.dtype("uint8"), None)
    ('HWC', (256, 256, 3))
    >>> arrangement((5, 12, 256, 256), np.dtype("float32"), "CHW")
    ('TCHW', (5, 12, 256, 256))
    """
    if axes is None and len(shape) < 2:
        return "HW", (1, math.prod(shape))
    if axes is None:
        axes = "HWC" if len(shape) > 2 and dtype == np.uint8 and shape[-1] <= _SAMPLES else "HW"
    if len(shape) < len(axes):
        raise OptionError(f"the chunk has shape {shape}; expected at least {len(axes)} axes, as axes={axes!r} says")
    front, own = shape[: len(shape) - len(axes)], shape[len(shape) - len(axes) :]
    count = math.prod(front)
    if count == 1:
        return axes, own
    if "T" in axes:
        raise OptionError(
            f"the chunk has shape {shape}, and axes={axes!r} names frames but not the axes in front of them; leave T "
            "out: all axes in front of those that are named are frames"
        )
    return f"T{axes}", (count, *own)


@dataclass(frozen=True)
class Chunks:
    """How chunks are encoded.

    Parameters
    ----------
    items : tuple of (str, value)
        Options that are not at their default, and the target, sorted by name; :meth:`of` makes them.

    See Also
    --------
    imfnb.plugins.numcodecs.Imfnb, imfnb.plugins.zarr.ImfnbCodec : The codecs.
    """

    items: tuple[tuple[str, Any], ...]
    options: EncodeOptions = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", EncodeOptions(**self._values))

    @property
    def _values(self) -> dict[str, Any]:
        """The options as :class:`EncodeOptions` takes them."""
        return {name: _SPELLINGS.get(value, value) for name, value in self.items}

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Chunks:
        """Check options.

        Parameters
        ----------
        options : mapping
            Options of :func:`imfnb.encode` but `mask`, `metadata`, `device` and `threads`. For numbers that JSON has
            not got, `nodata` may be the string "NaN", "Infinity" or "-Infinity".

        Returns
        -------
        Chunks
            With these.

        Raises
        ------
        OptionError
            If an option is unknown, has no place in JSON, is out of range or contradicts another.
        """
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise OptionError(f"unknown option {unknown[0]!r}; expected some of {', '.join(OPTIONS)}")
        items = {name: _plain(name, value) for name, value in options.items()}
        items = {name: value for name, value in items.items() if not _same(value, OPTIONS[name])}
        name, value = cls(tuple(items.items())).options.target
        items.setdefault(name, value)  # what is there by default is written down
        return cls(tuple(sorted(items.items())))

    @property
    def configuration(self) -> dict[str, Any]:
        """The options as values of JSON, from which :meth:`of` makes the same."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.items}

    def check(self, dtype: np.dtype, dimensions: int, fill_value: Any = 0) -> None:
        """Refuse arrays of whose chunks none could be encoded, before there is one.

        Parameters
        ----------
        dtype : dtype
            The type of the array.
        dimensions : int
            How many it has.
        fill_value : scalar, default 0
            What stands in a chunk where nothing has been written, and beyond the edges of the array.

        Raises
        ------
        OptionError
            If type, dimensions or fill value do not go with the options.
        """
        _check_dtype(dtype)
        options = self.options
        if options.axes is not None and dimensions < len(options.axes):
            raise OptionError(f"the array has {dimensions} dimensions; expected one for each of axes={options.axes!r}")
        shape = (1, 1) if options.channels == "auto" else (1, 1, _CHANNELS[options.channels])
        try:
            prepare(np.full(shape, fill_value, dtype.newbyteorder("=")), options.changed(axes=None))
        except OptionError as error:
            raise OptionError(f"an array of {dtype.name} with fill value {fill_value}: {error}") from None

    def encode(self, chunk: np.ndarray) -> bytes:
        """Encode a chunk, on one thread: those who have many give them to several.

        Parameters
        ----------
        chunk : ndarray
            Of any number of dimensions.

        Returns
        -------
        bytes
            The contents of an .imf file.

        Raises
        ------
        OptionError
            If the chunk cannot be encoded with the options.
        """
        _check_dtype(chunk.dtype)
        axes, shape = arrangement(chunk.shape, chunk.dtype, self.options.axes)
        options = self._with_axes(axes)
        array, options = to_array(np.reshape(chunk, shape), options)
        return encode_array(array, options, "cpu", 1)

    def decode(self, container: Container, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Decode a chunk.

        Parameters
        ----------
        container : Container
            What :meth:`open` has returned.
        shape : tuple of int
            The shape of the chunk.
        dtype : dtype
            The type of its samples.

        Returns
        -------
        ndarray
            The chunk, C-contiguous and in the byte order of the machine.

        Raises
        ------
        FormatError
            If the file is damaged, or is that of another chunk.
        """
        axes, inner = arrangement(shape, dtype, self.options.axes)
        order = [axes.index(axis) for axis in "THWC" if axis in axes]
        expected = tuple(inner[axis] for axis in order)
        frame = container.frame
        if (frame.shape, frame.dtype) != (expected, dtype.newbyteorder("=")):
            raise FormatError(
                f"the chunk's file holds {frame.dtype} of shape {frame.shape}; expected {dtype.name} of shape "
                f"{expected}: it belongs to another array, or the array has another codec configuration"
            )
        array = decode_container(container, None, 1, _limit(shape), "cpu", 1)
        return np.ascontiguousarray(array.transpose(np.argsort(order))).reshape(shape)

    def natural(self, container: Container) -> tuple[int, ...]:
        """The shape that a chunk has by what its file says, in the order of the axes of the configuration.

        Raises
        ------
        FormatError
            If the file has other axes.
        """
        frame = container.frame
        shape, names = frame.shape, "HWC" if frame.channels and frame.together != "times" else "HW"
        names = f"T{names}" if frame.frames else names
        axes = self.options.axes or names.lstrip("T")
        if frame.frames and "T" not in axes:
            axes = f"T{axes}"
        if sorted(axes) != sorted(names):
            raise FormatError(f"the chunk's file has axes {names}; expected those of axes={self.options.axes!r}")
        return tuple(shape[names.index(axis)] for axis in axes)

    @staticmethod
    def open(data: Any, shape: tuple[int, ...] = ()) -> Container:
        """Take the file of a chunk apart.

        Parameters
        ----------
        data : bytes-like
            The contents of the file.
        shape : tuple of int, optional
            That of the chunk, if it is known: chunks may be larger than what is decoded without being asked.

        Returns
        -------
        Container
            The file, of which nothing has been decoded.

        Raises
        ------
        FormatError
            If it is not valid.
        """
        return open_container(data, _limit(shape))

    def _with_axes(self, axes: str) -> EncodeOptions:
        """The options for a chunk with axes; the baseline profile, which has no frames, refuses what it cannot code."""
        if axes in ("HW", "HWC"):  # what they are without being named
            return self.options.changed(axes=None)
        return EncodeOptions(**{**self._values, "axes": axes})


def _same(value: Any, other: Any) -> bool:
    """Whether two values are equal and of one type: 0 is not False."""
    return type(value) is type(other) and bool(value == other)


def _limit(shape: tuple[int, ...]) -> int:
    return max(MAX_PIXELS, math.prod(shape))


def _check_dtype(dtype: np.dtype) -> None:
    if dtype.newbyteorder("=") not in map(np.dtype, DTYPES):
        raise OptionError(f"the array has dtype {dtype}; expected {', '.join(DTYPES[:-1])} or {DTYPES[-1]}")


def _plain(name: str, value: Any) -> Any:
    """An option as Python's own type, tuples for lists; or an OptionError if JSON has no place for it."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return tuple(_plain(name, entry) for entry in value)
    if isinstance(value, float) and not math.isfinite(value):
        value = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, str) and value in _SPELLINGS and name != "nodata":
        raise OptionError(f"{name} is {value}; expected a finite number")
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise OptionError(f"{name} is a {type(value).__name__}; expected a number, a string or a list of such")
    return value
