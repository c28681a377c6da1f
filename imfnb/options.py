"""Options of encoding and the validation of everything that callers pass in."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from .errors import OptionError
from .kinds import check_integer, scalar
from .metadata import Metadata
from .pictures.arrays import as_samples
from .runtime.devices import DeviceArray, is_device_array, resolve_device

__all__ = [
    "BOUND_LIMIT",
    "CHANNELS",
    "PATCH_SIZES",
    "SEARCHES",
    "STEP_RANGE",
    "EncodeOptions",
    "check_image",
    "on_device",
]

PATCH_SIZES = (4, 8, 16, 32, None)

#: Largest magnitude of a factor's entry in a file.
BOUND_LIMIT = 2**15 - 1

_TARGETS = ("quality", "bpp", "size", "psnr", "rank", "step", "max_error", "lossless")
_PROFILES = ("main", "baseline")
_OBJECTIVES = ("mse", "svd")
_TUNES = ("visual", "psnr")
_CODERS = ("deflate", "fast")
_EFFORTS = ("fast", "normal", "best")

#: What the last axis can be.
CHANNELS = ("auto", "gray", "gray+alpha", "rgb", "rgba", "bands")

#: Targets that take several trials.
SEARCHES = ("bpp", "size", "psnr")

#: Steps, in gray levels, that the main profile accepts.
STEP_RANGE = (1.0, 256.0)


@overload
def check_image(image: np.ndarray, gray_alpha: bool = ...) -> tuple[np.ndarray, int]: ...


@overload
def check_image(image: Any, gray_alpha: bool = ...) -> tuple[np.ndarray | DeviceArray, int]: ...


def check_image(image: Any, gray_alpha: bool = False) -> tuple[Any, int]:
    """Validate an image.

    Parameters
    ----------
    image : array_like or device array of uint8, shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        Gray, RGB or RGBA. Of other objects, such as Pillow's images, what they show; see
        :func:`imfnb.pictures.arrays.as_samples`.
    gray_alpha : bool, default False
        Whether (H, W, 2), gray with alpha, will do.

    Returns
    -------
    image : ndarray or device array of uint8, shape (H, W, C), C-contiguous
        The image with a channel axis, copied only if needed.
    channels : {0, 1, 2, 3, 4}
        Length of the given channel axis, 0 if there was none.

    Raises
    ------
    OptionError
        If dtype or shape are others, or the object holds more than an array of samples.
    """
    resident = is_device_array(image)
    array = on_device(image) if resident else as_samples(image)
    if array.dtype != np.uint8:
        raise OptionError(
            f"image has dtype {array.dtype}; expected uint8 with samples 0 to 255: {_remedy(array.dtype)}"
        )
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4, *[2] * gray_alpha)):
        raise OptionError(
            f"image has shape {array.shape}; expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) with the channels last"
        )
    if array.size == 0:
        raise OptionError(f"image has shape {array.shape}; expected at least one pixel")
    channels = 0 if array.ndim == 2 else array.shape[2]
    if resident:
        return array.reshape(*array.shape[:2], max(1, channels)), channels
    # Numba compiles another version of a kernel for read-only arrays, which takes seconds: copy those instead.
    return np.require(array.reshape(*array.shape[:2], -1), requirements=["C", "W"]), channels


def _remedy(dtype: np.dtype) -> str:
    """How to make samples of another kind fit."""
    if dtype.kind == "b":
        return "for example x * numpy.uint8(255)"
    if dtype.kind in "iu":
        return "scale it first, or use x.astype(numpy.uint8) where the samples are in that range already"
    if dtype.kind == "c":
        return "take its magnitude or its parts, and scale and round those"
    if dtype.kind == "f":
        return "scale and round it first, for example (x * 255).round().astype(numpy.uint8) for floats in [0, 1]"
    return "give an array of numbers"


def on_device(image: Any) -> Any:
    """An array on the GPU as Numba's device array."""
    resolve_device("cuda")
    from .runtime.memory import as_device

    return as_device(image)


def _number(name: str, value: Any, low: float, high: float, expected: str) -> float:
    """`value` as a float in [low, high], or an OptionError."""
    number = scalar(value)
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, float, np.integer, np.floating)):
        raise OptionError(f"{name} is {value!r}; expected {expected}")
    plain = number.item() if isinstance(number, np.generic) else number  # others overflow beside large limits
    if not (low <= plain <= high) or math.isnan(plain):
        raise OptionError(f"{name} is {value!r}; expected {expected}")
    return float(plain)


def _is_one_of(value: Any, sizes: tuple) -> bool:
    """Whether `value` is an integer and among `sizes`."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value in sizes


def _each(check: Any, name: str, value: Any, *args: Any) -> Any:
    """Apply `check` to a number, or to each of a tuple or list of up to four."""
    if isinstance(value, (tuple, list)):
        if not 1 <= len(value) <= 4:
            raise OptionError(f"{name} has {len(value)} entries; expected one number, or one per plane")
        return tuple(check(name, entry, *args) for entry in value)
    return check(name, value, *args)


def _is_nan(value: Any) -> bool:
    number = scalar(value)
    return isinstance(number, (float, np.floating)) and math.isnan(number)


@dataclass(frozen=True)
class EncodeOptions:
    """How to encode; see :func:`imfnb.encode` for the meaning of each field.

    Raises
    ------
    OptionError
        If a value is out of range or two options contradict each other.
    """

    profile: str = "main"
    quality: Any = None
    bpp: float | None = None
    size: int | None = None
    psnr: float | None = None
    rank: Any = None
    step: float | None = None
    color_space: str | None = None
    subsampling: str | None = None
    patch_size: Any = "auto"
    bounds: Any = None
    iterations: int | None = None
    coder: str | None = None
    objective: str = "mse"
    alpha_quality: Any = None
    keep_hidden: bool = False
    tune: str | None = None
    effort: str = "normal"
    max_error: float | None = None
    lossless: bool = False
    channels: str = "auto"
    axes: str | None = None
    nodata: Any = None
    mask: Any = None
    metadata: Metadata | None = None
    target: tuple[str, Any] = field(init=False, default=("quality", 50.0))

    def __post_init__(self) -> None:
        if self.profile not in _PROFILES:
            raise OptionError(f"profile is {self.profile!r}; expected one of {', '.join(map(repr, _PROFILES))}")
        if self.objective not in _OBJECTIVES:
            raise OptionError(f"objective is {self.objective!r}; expected 'mse' or 'svd'")
        if not isinstance(self.lossless, (bool, np.bool_)):
            raise OptionError(f"lossless is {self.lossless!r}; expected True or False")
        given = [name for name in _TARGETS if getattr(self, name) is not (False if name == "lossless" else None)]
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} are given; expected at most one of {', '.join(_TARGETS)}")
        name = given[0] if given else "quality"
        object.__setattr__(self, "target", (name, self._check_target(name) if given else 50.0))
        if self.subsampling not in (None, "4:2:0", "4:4:4"):
            raise OptionError(f"subsampling is {self.subsampling!r}; expected '4:2:0' or '4:4:4'")
        patch_size = scalar(self.patch_size)
        if isinstance(patch_size, np.integer):  # whose squares may overflow
            object.__setattr__(self, "patch_size", int(patch_size))
        if not isinstance(self.keep_hidden, (bool, np.bool_)):
            raise OptionError(f"keep_hidden is {self.keep_hidden!r}; expected True or False")
        if self.channels not in CHANNELS:
            raise OptionError(f"channels is {self.channels!r}; expected one of {', '.join(map(repr, CHANNELS))}")
        if not isinstance(self.metadata, (Metadata, type(None))):
            raise OptionError(f"metadata is a {type(self.metadata).__name__}; expected imfnb.Metadata, or None")
        self._check_axes()
        if self.nodata is not None:
            number = (
                _number("nodata", self.nodata, -math.inf, math.inf, "a number")
                if not _is_nan(self.nodata)
                else math.nan
            )
            object.__setattr__(self, "nodata", number)
        if self.profile == "main":
            self._check_main()
        else:
            self._check_baseline()

    def changed(self, **changes: Any) -> EncodeOptions:
        """The same with some options that need no check, the target among them."""
        found = copy.copy(self)
        for name, value in changes.items():
            object.__setattr__(found, name, value)
        return found

    @property
    def tuned(self) -> str:
        """What errors are to be small for: the option, or what the target leaves open."""
        return self.tune or ("psnr" if self.target[0] == "psnr" else "visual")

    def _check_axes(self) -> None:
        """Check the names of the axes: H, W and whatever else there is of C and T."""
        axes = self.axes
        if axes is None:
            return
        if not isinstance(axes, str) or len(set(axes)) != len(axes) or not {"H", "W"} <= set(axes) <= set("THWC"):
            raise OptionError(
                f"axes is {axes!r}; expected H for rows and W for columns and, if there are any, C for channels and "
                "T for frames, in the order of the axes of the array: for example 'THWC' or 'CHW'"
            )

    def _check_target(self, name: str) -> Any:
        value = getattr(self, name)
        main = self.profile == "main"
        if name in ("max_error", "lossless") and not main:
            raise OptionError(f"{name} belongs to profile='main'; leave it out, or give profile='main'")
        if name == "lossless":
            return True
        if name == "max_error":
            return _number(name, value, 0, 1e300, "a number that is not negative, in units of the data")
        if name == "quality" and main:
            return _number(name, value, 0, 100, "a number from 0 to 100")
        if name == "quality":
            return _each(_number, name, value, 0, 100, "a number from 0 to 100, or one per plane")
        if name == "step":
            if not main:
                raise OptionError("step belongs to profile='main'; give quality, bpp, size, psnr or rank instead")
            return _number(name, value, 1e-300, 1e300, "a positive number in units of the data")
        if name == "rank":
            if main:
                raise OptionError("rank belongs to profile='baseline'; give quality, bpp, size, psnr or step instead")
            return _each(check_integer, name, value, 1, 2**31, "a positive integer, or one per plane")
        if name == "size":
            return check_integer(name, value, 1, 2**62, "a positive number of bytes")
        if name == "psnr":
            return _number(name, value, 1e-3, 200, "a positive number of decibels")
        return _number(name, value, 1e-9, 1e9, "a positive number of bits per pixel")

    def _check_main(self) -> None:
        for name in ("color_space", "bounds", "iterations", "coder"):
            if getattr(self, name) is not None:
                raise OptionError(f"{name} belongs to profile='baseline'; leave it out, or give profile='baseline'")
        if self.patch_size != "auto" and not _is_one_of(self.patch_size, (8, 16)):
            raise OptionError(f"patch_size is {self.patch_size!r}; expected 'auto', 8 or 16 in profile='main'")
        if self.tune not in (None, *_TUNES):
            raise OptionError(f"tune is {self.tune!r}; expected 'visual' or 'psnr'")
        if self.effort not in _EFFORTS:
            raise OptionError(f"effort is {self.effort!r}; expected {' or '.join(map(repr, _EFFORTS))}")
        if self.alpha_quality is not None and not (
            isinstance(self.alpha_quality, str) and self.alpha_quality == "lossless"
        ):
            quality = _number("alpha_quality", self.alpha_quality, 0, 100, "a number from 0 to 100, or 'lossless'")
            object.__setattr__(self, "alpha_quality", quality)

    def _check_baseline(self) -> None:
        if self.effort != "normal":
            raise OptionError(f"effort={self.effort!r} belongs to profile='main'; leave it out, or give profile='main'")
        for name in ("alpha_quality", "keep_hidden", "tune", "nodata", "mask", "axes"):
            value = getattr(self, name)
            if value is not None and value is not False:
                raise OptionError(f"{name} belongs to profile='main'; leave it out, or give profile='main'")
        if self.color_space not in (None, "YCbCr", "RGB"):
            raise OptionError(f"color_space is {self.color_space!r}; expected 'YCbCr' or 'RGB'")
        if self.color_space == "RGB" and self.subsampling == "4:2:0":
            raise OptionError("subsampling='4:2:0' needs color_space='YCbCr': RGB has no chroma planes to subsample")
        if self.patch_size not in ("auto", None) and not _is_one_of(self.patch_size, PATCH_SIZES):
            raise OptionError(f"patch_size is {self.patch_size!r}; expected 4, 8, 16, 32 or None (no patches)")
        if self.coder not in (None, *_CODERS):
            raise OptionError(f"coder is {self.coder!r}; expected 'deflate' or 'fast'")
        if self.bounds is not None:
            from .factorization import check_bounds

            object.__setattr__(self, "bounds", check_bounds(self.bounds, BOUND_LIMIT))
        if self.iterations is not None:
            iterations = check_integer("iterations", self.iterations, 1, 10**6, "a positive integer")
            object.__setattr__(self, "iterations", iterations)
