"""imfnb and its rivals under one shape: an image and a level in, a self-contained byte string out, and back.

Every codec writes real bytes from which alone it decodes, so rates count everything. The names:

======================================== =============================================================================
``imf``, ``imf-baseline``                this library's two profiles; ``imf-psnr``: the first with tune="psnr"
``imf-best``, ``imf-best-psnr``          the main profile with effort="best"
``imf-fast``, ``imf-fast-psnr``          and with effort="fast"
``svd``, ``svd-lloyd``                   truncated SVD of the patch matrix, uniform or Lloyd-Max quantizers, deflated
``hosvd``, ``tt``                        truncated higher-order SVD and tensor train of the patches
``imf-lrf``, ``svd-lrf``                 IMF and SVD in files like those of lrf, whose sizes are published
``jpeg``, ``jpeg2000``, ``webp``,        through Pillow with the best reasonable settings; ``-default`` appended: with
``avif``                                 Pillow's own; ``avif-psnr``: those, but tuned for PSNR instead of the eye
``jpegxl``                               libjxl through imagecodecs, effort 7; needs the extra ``eval``
``imf-baseline-main``, ``svd-main``,     coefficients of a method through the entropy coder of the main profile, so that
``svd-lloyd-main``, ``jpeg-main``        methods can be compared with the same entropy model
======================================== =============================================================================

Gray images of shape (H, W, 1) come back as (H, W) from the formats of Pillow and from JPEG XL, which do not know the
difference.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import OptionError

__all__ = ["Codec", "codec", "encode_at", "names", "settings"]

# The module and the factory of every codec.
_HOMES = {
    "imf": ("imf", "main"),
    "imf-psnr": ("imf", "main_psnr"),
    "imf-best": ("imf", "main_best"),
    "imf-best-psnr": ("imf", "main_best_psnr"),
    "imf-fast": ("imf", "main_fast"),
    "imf-fast-psnr": ("imf", "main_fast_psnr"),
    "imf-baseline": ("imf", "baseline"),
    "imf-baseline-main": ("imf", "baseline_main"),
    "svd": ("svd", "svd"),
    "svd-lloyd": ("svd", "svd_lloyd"),
    "svd-main": ("svd", "svd_main"),
    "svd-lloyd-main": ("svd", "svd_lloyd_main"),
    "imf-lrf": ("lrf", "imf_lrf"),
    "svd-lrf": ("lrf", "svd_lrf"),
    "hosvd": ("tensors", "hosvd"),
    "tt": ("tensors", "tensor_train"),
    "jpeg": ("pillow", "jpeg"),
    "jpeg-default": ("pillow", "jpeg_default"),
    "jpeg-main": ("jpeg_main", "jpeg_main"),
    "jpeg2000": ("pillow", "jpeg2000"),
    "jpeg2000-default": ("pillow", "jpeg2000_default"),
    "webp": ("pillow", "webp"),
    "webp-default": ("pillow", "webp_default"),
    "avif": ("pillow", "avif"),
    "avif-default": ("pillow", "avif_default"),
    "avif-psnr": ("pillow", "avif_psnr"),
    "jpegxl": ("jpegxl", "jpegxl"),
}

# Bisections of a range of levels in `encode_at`: a thousandth of a range of 16.
_HALVINGS = 14


@dataclass(frozen=True)
class Codec:
    """A method of compression with all its settings but one.

    Parameters
    ----------
    name : str
        Its name in :func:`codec`.
    description : str
        One line: the method and its settings.
    levels : tuple of float
        Settings for a rate-distortion curve, from the fewest to the most bytes.
    encode : callable
        From an image, uint8 of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), and a level to bytes. Raises
        OptionError for images and levels that the method cannot take.
    decode : callable
        From these bytes to the image. Raises FormatError for damaged bytes.
    limits : (float, float)
        The lowest and the highest level.
    integer : bool
        Whether only whole levels make a difference.

    See Also
    --------
    codec : Looks one up.
    encode_at : Encodes at a rate instead of a level.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import baselines
    >>> jpeg = baselines.codec("jpeg")
    >>> image = np.full((16, 24, 3), 128, np.uint8)
    >>> jpeg.decode(jpeg.encode(image, 90)).shape
    (16, 24, 3)
    """

    name: str
    description: str
    levels: tuple[float, ...]
    encode: Callable[[np.ndarray, float], bytes]
    decode: Callable[[bytes], np.ndarray]
    limits: tuple[float, float]
    integer: bool = False


def names() -> tuple[str, ...]:
    """Names of all codecs.

    Returns
    -------
    tuple of str
        What :func:`codec` accepts.

    See Also
    --------
    codec : Looks one of them up.

    Examples
    --------
    >>> from imfnb import baselines
    >>> {"imf", "jpeg", "svd"} <= set(baselines.names())
    True
    """
    return tuple(_HOMES)


def codec(name: str, **options: object) -> Codec:
    """Look a codec up.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    **options
        Settings of the method that differ from its defaults; the factory functions in this package list them.

    Returns
    -------
    Codec
        The codec.

    Raises
    ------
    OptionError
        If there is no such codec or option, an option cannot be used, Pillow was built without the format, or the
        package that has it is not installed.

    See Also
    --------
    names : What there is.
    settings : The options of each.
    imfnb.baselines.arrays.array_codec : Codecs of arrays.

    Examples
    --------
    >>> from imfnb import baselines
    >>> baselines.codec("jpeg", subsampling="4:4:4").name
    'jpeg'
    """
    known = settings(name)
    unknown = [option for option in options if option not in known]
    if unknown:
        expected = f"expected some of {', '.join(known)}" if known else "it has none"
        raise OptionError(f"{', '.join(unknown)} is no option of the codec {name!r}; {expected}")
    return _factory(name)(**options)


def settings(name: str) -> tuple[str, ...]:
    """Names of the options of a codec.

    Parameters
    ----------
    name : str
        One of :func:`names`.

    Returns
    -------
    tuple of str
        What :func:`codec` accepts beside the name; "threads" and "device" where this library does the work.

    Raises
    ------
    OptionError
        If there is no such codec.

    See Also
    --------
    codec : Takes these options.

    Examples
    --------
    >>> from imfnb import baselines
    >>> baselines.settings("webp")
    ('method',)
    """
    return tuple(inspect.signature(_factory(name)).parameters)


def _factory(name: str) -> Callable[..., Codec]:
    if name not in _HOMES:
        raise OptionError(f"codec is {name!r}; expected one of {', '.join(names())}")
    module, function = _HOMES[name]
    return getattr(importlib.import_module(f".{module}", __name__), function)


def encode_at(codec: Codec, image: np.ndarray, *, bpp: float) -> bytes:
    """Encode with the most bytes that do not exceed a rate.

    Parameters
    ----------
    codec : Codec
        The method.
    image : ndarray of uint8, shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        The image.
    bpp : float
        Bits per pixel, all bytes counted.

    Returns
    -------
    bytes
        The best file found by bisection of the levels. Where bytes do not grow steadily with the level, a higher level
        may fit too.

    Raises
    ------
    OptionError
        If the lowest level takes more; the message says how much.

    See Also
    --------
    codec : Looks a codec up.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb import baselines
    >>> image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    >>> data = baselines.encode_at(baselines.codec("jpeg"), image, bpp=6.0)
    >>> 8 * len(data) <= 6.0 * 64 * 64
    True
    """
    pixels = image.shape[0] * image.shape[1]
    largest = bpp * pixels / 8
    encode = functools.lru_cache(maxsize=None)(lambda level: codec.encode(image, level))
    low, high = codec.limits
    best = encode(low)
    if not len(best) <= largest:
        raise OptionError(
            f"bpp={bpp:g} cannot be met: this image takes at least {8 * len(best) / pixels:.4f} bits per pixel with "
            f"the codec {codec.name!r}; raise bpp"
        )
    if len(encode(high)) <= largest:
        return encode(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if codec.integer:
            middle = float(round(middle))
            if middle in (low, high):
                break
        data = encode(middle)
        if len(data) > largest:
            high = middle
        else:
            low = middle
            best = max(best, data, key=len)
    return best
