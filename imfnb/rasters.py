"""Arrays that callers give: pictures of 8 bits, or arrays of any number of bands with samples that may be missing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .errors import OptionError
from .format.container import Frame
from .format.samples import CHANNEL_LIMIT, DTYPES, ArrayFields
from .options import STEP_RANGE, EncodeOptions, check_image, on_device
from .pictures.arrays import as_samples
from .runtime.devices import is_device_array

__all__ = ["Raster", "prepare", "to_array"]


@dataclass(frozen=True)
class Raster:
    """An array with samples that are missing.

    Attributes
    ----------
    samples : ndarray, shape (H, W, C)
        The samples, C-contiguous and in the byte order of the machine.
    missing : ndarray of bool, shape (H, W) or (H, W, C), or None
        Which of them have no data; None if all have.
    nodata : float
        What stands for these in what is decoded.
    """

    samples: np.ndarray
    missing: np.ndarray | None = None
    nodata: float = 0.0

    @property
    def valid(self) -> np.ndarray | None:
        """Which samples have data, bool (H, W, C); None if all have."""
        if self.missing is None:
            return None
        missing = self.missing[:, :, None] if self.missing.ndim == 2 else self.missing
        return np.broadcast_to(~missing, self.samples.shape)


def to_array(image: Any, options: EncodeOptions) -> Any:
    """What a caller gives as an array with its axes in the order T, H, W, C, and its mask in the options.

    Returns
    -------
    (array, EncodeOptions)
        The options without axes, but for the T of a stack.

    Raises
    ------
    OptionError
        If the object is no array, or its axes are others than is said.
    """
    if isinstance(image, np.ma.MaskedArray):
        options = _with_mask(image, options)
        image = np.asarray(image.data)
    if is_device_array(image):
        if options.axes is not None:
            raise OptionError("axes are for arrays of the host; copy the array there first")
        return on_device(image), options
    array = as_samples(image)
    if options.axes is None:
        return array, options
    if array.ndim != len(options.axes):
        raise OptionError(f"image has shape {array.shape}; expected {len(options.axes)} axes {options.axes}")
    order = [options.axes.index(axis) for axis in "THWC" if axis in options.axes]
    mask = options.mask
    if mask is not None:
        mask = np.asarray(mask)
        if mask.ndim == array.ndim:
            mask = mask.transpose(order)
    axes = "T" if "T" in options.axes else None
    return array.transpose(order), options.changed(mask=mask, axes=axes)


def _with_mask(image: np.ma.MaskedArray, options: EncodeOptions) -> EncodeOptions:
    """Options with the mask of a masked array; what stands for its samples is its fill value, if one was chosen."""
    if options.mask is not None:
        raise OptionError("mask is given beside a masked array; expected one of them")
    mask = np.ma.getmaskarray(image)
    if not mask.any() or image.dtype.kind not in "iuf":
        return options
    fill, default = image.fill_value, np.ma.default_fill_value(image.dtype)
    # NumPy gives its own where none was chosen: too large for integers of few bits, whatever the version makes of that.
    chosen = options.nodata is None and fill not in (default, np.asarray(default).astype(image.dtype))
    return options.changed(mask=mask, **{"nodata": float(fill)} if chosen else {})


def prepare(image: Any, options: EncodeOptions) -> tuple[Any, Frame]:
    """Check an image, as :func:`to_array` gives it, without a T.

    Returns
    -------
    image : ndarray or device array of uint8, shape (H, W, C), or Raster
        A picture, or an array.
    frame : Frame
        Its description.

    Raises
    ------
    OptionError
        If its type, its shape or its samples cannot be coded with these options.
    """
    dtype, shape = image.dtype, image.shape
    kind = _kind(dtype, shape, options)
    picture = dtype == np.uint8 and kind != "bands" and options.mask is None and options.nodata is None
    if options.profile != "main" or (picture and options.target[0] not in ("max_error", "lossless")):
        _check_step(options)
        pixels, channels = check_image(image, gray_alpha=options.profile == "main")
        return pixels, Frame(options.profile, pixels.shape[0], pixels.shape[1], channels)
    if is_device_array(image):  # V is found on the host, and so are samples without data
        image = image.copy_to_host()
    if dtype.newbyteorder("=") not in map(np.dtype, DTYPES):
        expected = f"{', '.join(DTYPES[:-1])} or {DTYPES[-1]}"
        raise OptionError(f"image has dtype {dtype}; expected {expected}: {_remedy(dtype)}")
    if image.ndim not in (2, 3) or image.size == 0:
        raise OptionError(f"image has shape {shape}; expected (H, W) or (H, W, C) with at least one sample")
    _refuse_options(options)
    bands = 1 if image.ndim == 2 else shape[2]
    if bands > CHANNEL_LIMIT:
        raise OptionError(f"image has {bands} bands; expected at most {CHANNEL_LIMIT}: cut it into several files")
    samples = np.ascontiguousarray(image.reshape(*shape[:2], bands), dtype=dtype.newbyteorder("="))
    missing, nodata = _missing(samples, options, image.ndim)
    _check_finite(samples, missing, options)
    array = ArrayFields(samples.dtype.name, bands=kind == "bands")
    if missing is not None:
        array = replace(array, mask="pixels" if missing.ndim == 2 else "samples", nodata=nodata)
    channels = 0 if image.ndim == 2 and kind != "bands" else bands
    return Raster(samples, missing, nodata), Frame("main", shape[0], shape[1], channels, array)


def _remedy(dtype: np.dtype) -> str:
    """How to make samples of another type fit."""
    if dtype.kind in "biu":
        return "convert what is in the range of one of these, for example by x.astype(numpy.uint16)"
    if dtype.kind == "f":
        return "convert it, for example by x.astype(numpy.float32)"
    return "take its magnitude or its parts" if dtype.kind == "c" else "give an array of numbers"


def _kind(dtype: np.dtype, shape: tuple[int, ...], options: EncodeOptions) -> str:
    """What the last axis is."""
    channels = shape[2] if len(shape) == 3 else 1
    expected = {"gray": 1, "gray+alpha": 2, "rgb": 3, "rgba": 4}
    if options.channels == "bands":
        return "bands" if len(shape) == 3 else "gray"
    if options.channels != "auto":
        if channels != expected[options.channels]:
            raise OptionError(f"channels={options.channels!r} does not fit an image of shape {shape}")
        return options.channels
    if channels == 1:
        return "gray"
    if channels == 3 and dtype.newbyteorder("=") in (np.uint8, np.uint16):
        return "rgb"
    return {2: "gray+alpha", 4: "rgba"}.get(channels, "bands") if dtype == np.uint8 else "bands"


def _refuse_options(options: EncodeOptions) -> None:
    """Refuse what only pictures of 8 bits have."""
    given = {name: getattr(options, name) for name in ("subsampling", "alpha_quality") if getattr(options, name)}
    given |= {"tune": "visual"} if options.tune == "visual" else {}
    given |= {"keep_hidden": True} if options.keep_hidden else {}
    given |= {"objective": "svd"} if options.objective == "svd" else {}
    for name, value in given.items():
        raise OptionError(
            f"{name}={value!r} is for pictures of 8 bits with nothing missing that may lose something; leave it out"
        )


def _check_step(options: EncodeOptions) -> None:
    """Refuse steps that pictures cannot have."""
    name, value = options.target
    low, high = STEP_RANGE
    if name == "step" and not low <= value <= high:
        raise OptionError(f"step is {options.step!r}; expected a number of gray levels from {low} to {high}")


def _missing(samples: np.ndarray, options: EncodeOptions, dimensions: int) -> tuple[np.ndarray | None, float]:
    """Which samples have no data, and what stands for them."""
    real = samples.dtype.kind == "f"
    nodata = options.nodata
    missing = np.zeros(samples.shape, np.bool_)
    if options.mask is not None:
        mask = np.asarray(options.mask)
        expected = samples.shape[:2] if dimensions == 2 else samples.shape
        if mask.dtype != np.bool_ or mask.shape not in (samples.shape[:2], expected):
            raise OptionError(
                f"mask has dtype {mask.dtype} and shape {mask.shape}; expected bool, True where there is no data, and "
                f"shape {samples.shape[:2]} or {expected}"
            )
        missing |= mask[:, :, None] if mask.ndim == 2 else mask
    unknown = np.isnan(samples) & ~missing if real else missing
    if nodata is not None and not (real and math.isnan(nodata)):
        _check_nodata(nodata, samples.dtype)
        if real and unknown.any():
            raise OptionError(f"image has samples that are NaN beside nodata={nodata:g}; give them that value, too")
        unknown = samples == samples.dtype.type(nodata)
    missing |= unknown
    if nodata is None:
        nodata = math.nan if real else 0.0
    if not missing.any():
        return None, float(nodata)
    first = missing[:, :, :1]
    return (first[:, :, 0] if (missing == first).all() else missing), float(nodata)


def _check_nodata(nodata: float, dtype: np.dtype) -> None:
    """Refuse a value that samples of this type cannot have."""
    if dtype.kind == "f":
        fits = math.isinf(nodata) or abs(nodata) <= float(np.finfo(dtype).max)
    else:
        info = np.iinfo(dtype)
        fits = info.min <= nodata <= info.max and nodata == math.floor(nodata)
    if not fits:
        raise OptionError(f"nodata is {nodata:g}, which samples of {dtype} cannot be")


def _check_finite(samples: np.ndarray, missing: np.ndarray | None, options: EncodeOptions) -> None:
    """Refuse infinite samples, and floats where nothing may be lost."""
    if samples.dtype.kind != "f":
        return
    name, value = options.target
    if name == "lossless" or (name == "max_error" and value == 0):
        raise OptionError(
            f"image has dtype {samples.dtype}, of which something is always lost; give max_error, the largest error "
            "that is allowed in units of the data"
        )
    infinite = np.isinf(samples)
    if missing is not None:
        infinite &= ~(missing[:, :, None] if missing.ndim == 2 else missing)
    if infinite.any():
        raise OptionError(
            f"image has {np.count_nonzero(infinite)} infinite samples; give mask=numpy.isinf(x) if they are no data, "
            "or clip them"
        )
