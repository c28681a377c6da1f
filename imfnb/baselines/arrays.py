"""Codecs of arrays of any dtype and number of bands under one shape, imfnb among them.

An array and a level go in, a self-contained byte string comes out; shape and dtype, which every file of rasters has
beside the samples, are told to the decoder and not counted. Streams of single bands are joined with the lengths that
are needed to part them, so sizes are those of real bytes. There are two kinds of level, both in units of the data:

- "noise": the root mean squared error that is aimed at, from which curves of rate and distortion are made. How near a
  codec comes does not matter to a curve; each maps the level to its own setting by a formula, or has one for it.
- "bound": the largest absolute error of any sample, which is kept; 0 is lossless, for integers.

=================================== ===================================================================================
``imf``, ``imf-bounded``            this library: ``psnr=`` for the first, ``max_error=`` or ``lossless=`` for the other
``imf-step``                        this library with ``step=``, which takes no search
``klt-jpeg2000``                    Karhunen-Loeve transform over the bands and JPEG 2000 of the components that pay,
                                    all in one codestream, whose rates one threshold allots
``jpeg2000``, ``jpeg2000-lossless`` all bands in one codestream without a transform between them
``jpegxl``, ``jpegxl-lossless``     every band for itself, effort 7
``jpeg2000-rgb``, ``jpegxl-rgb``    three bands as a picture in colour, with the colour transform of the format
``sperr``, ``sz3``, ``zfp``         the array as a volume; ``-bands`` appended: in two dimensions; ``-bounded``
                                    appended: with a bound, as a volume or not, whichever is smaller
``lerc``                            Esri's codec of elevations, with Zstandard
``jpegls``                          JPEG-LS, near-lossless, every band for itself
=================================== ===================================================================================

All but this library come from imagecodecs (extra ``eval``).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import OptionError

__all__ = ["ArrayCodec", "array_codec", "array_names"]

# The module and the factory of every codec.
_HOMES = {
    "imf": ("imf", "bands"),
    "imf-step": ("imf", "bands_step"),
    "klt-jpeg2000": ("array_jpeg2000", "klt_jpeg2000"),
    "jpeg2000": ("array_jpeg2000", "jpeg2000"),
    "jpeg2000-rgb": ("array_jpeg2000", "jpeg2000_rgb"),
    "jpegxl": ("array_coders", "jpegxl"),
    "jpegxl-rgb": ("array_coders", "jpegxl_rgb"),
    "sperr": ("array_coders", "sperr"),
    "sperr-bands": ("array_coders", "sperr_bands"),
    "sz3": ("array_coders", "sz3"),
    "sz3-bands": ("array_coders", "sz3_bands"),
    "zfp": ("array_coders", "zfp"),
    "zfp-bands": ("array_coders", "zfp_bands"),
    "imf-bounded": ("imf", "bands_bounded"),
    "jpegls": ("array_coders", "jpegls"),
    "jpegxl-lossless": ("array_coders", "jpegxl_lossless"),
    "jpeg2000-lossless": ("array_jpeg2000", "jpeg2000_lossless"),
    "sperr-bounded": ("array_coders", "sperr_bounded"),
    "sz3-bounded": ("array_coders", "sz3_bounded"),
    "zfp-bounded": ("array_coders", "zfp_bounded"),
    "lerc": ("array_coders", "lerc"),
}


@dataclass(frozen=True)
class ArrayCodec:
    """A method of compressing arrays with all its settings but one.

    Parameters
    ----------
    name : str
        Its name in :func:`array_codec`.
    description : str
        One line: the method and its settings.
    target : {"noise", "bound"}
        What the level is.
    encode : callable
        From an array, shape (H, W) or (H, W, C), and a level to bytes. Raises OptionError for arrays and levels that
        the method cannot take.
    decode : callable
        From these bytes, the shape and the dtype to the array. Raises FormatError for damaged bytes.
    largest : float
        The largest bound that can be given; 0 for a codec that is lossless and nothing else.
    floats : bool
        Whether it takes arrays of floats.
    colours : bool
        Whether it takes arrays of three bands and no others.

    See Also
    --------
    array_codec : Looks one up.
    imfnb.baselines.Codec : The same for pictures of 8 bits.
    """

    name: str
    description: str
    target: str
    encode: Callable[[np.ndarray, float], bytes]
    decode: Callable[[bytes, tuple[int, ...], np.dtype], np.ndarray]
    largest: float = float("inf")
    floats: bool = True
    colours: bool = False

    def takes(self, array: np.ndarray) -> bool:
        """Whether it can code arrays of this dtype and number of bands.

        Parameters
        ----------
        array : ndarray, shape (H, W) or (H, W, C)
            One of them.

        Returns
        -------
        bool
            False where :attr:`encode` would refuse it.
        """
        in_colour = array.ndim == 3 and array.shape[2] == 3
        return (self.floats or array.dtype.kind != "f") and (in_colour or not self.colours)


def array_names() -> tuple[str, ...]:
    """Names of all codecs of arrays.

    Returns
    -------
    tuple of str
        What :func:`array_codec` accepts.

    See Also
    --------
    array_codec : Looks one of them up.

    Examples
    --------
    >>> from imfnb.baselines import arrays
    >>> {"imf", "klt-jpeg2000", "sperr"} <= set(arrays.array_names())
    True
    """
    return tuple(_HOMES)


def array_codec(name: str) -> ArrayCodec:
    """Look a codec of arrays up.

    Parameters
    ----------
    name : str
        One of :func:`array_names`.

    Returns
    -------
    ArrayCodec
        The codec.

    Raises
    ------
    OptionError
        If there is no such codec, or the package that has it is not installed.

    See Also
    --------
    array_names : What there is.
    imfnb.evaluate.arrays.run : Compares them.

    Examples
    --------
    >>> import numpy as np
    >>> from imfnb.baselines import arrays
    >>> zfp = arrays.array_codec("zfp-bounded")
    >>> field = np.add.outer(np.arange(32.0), np.arange(40.0))
    >>> back = zfp.decode(zfp.encode(field, 0.5), field.shape, field.dtype)
    >>> bool(abs(back - field).max() <= 0.5)
    True
    """
    if name not in _HOMES:
        raise OptionError(f"the codec of arrays is {name!r}; expected one of {', '.join(_HOMES)}")
    module, function = _HOMES[name]
    return getattr(importlib.import_module(f".{module}", __package__), function)()
