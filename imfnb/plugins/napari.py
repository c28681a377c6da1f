"""The reader of napari: ``napari a.imf``, or a file that is dropped into its window. Nothing needs to be imported."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..codec import decode
from ..errors import naming
from ..files import read_bytes
from ..headers import info

__all__ = ["get_reader", "read_layers"]

_Layers = list[tuple[Any, dict[str, Any], str]]


def get_reader(path: str | list[str]) -> Callable[[str | list[str]], _Layers] | None:
    """What napari asks for when files are to be opened.

    Parameters
    ----------
    path : str or list of str
        The files.

    Returns
    -------
    callable or None
        :func:`read_layers`, if all of them are .imf files by their names.

    See Also
    --------
    read_layers : Reads them.

    Examples
    --------
    >>> from imfnb.plugins.napari import get_reader
    >>> get_reader("a.imf").__name__, get_reader("a.png") is None
    ('read_layers', True)
    """
    paths = [path] if isinstance(path, str) else path
    return read_layers if paths and all(name.lower().endswith(".imf") for name in paths) else None


def read_layers(path: str | list[str]) -> _Layers:
    """Files as layers of napari.

    Parameters
    ----------
    path : str or list of str
        The files, each of which becomes a layer.

    Returns
    -------
    list of (ndarray, dict, str)
        The images: RGB and RGBA as colours, bands and frames as axes in front of rows and columns, which have sliders.

    Raises
    ------
    OSError
        If a file cannot be read.
    FormatError
        If it is not a valid .imf file. This and every other error names the file.

    See Also
    --------
    imfnb.imread : The array of a file as it is stored.

    Examples
    --------
    >>> import os, tempfile, numpy as np, imfnb
    >>> from imfnb.plugins.napari import read_layers
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "scene.imf")
    ...     _ = imfnb.imwrite(path, np.zeros((8, 12, 5), np.uint16), lossless=True)
    ...     ((array, options, kind),) = read_layers(path)
    >>> array.shape, kind
    ((5, 8, 12), 'image')
    """
    return [_layer(name) for name in ([path] if isinstance(path, str) else path)]


def _layer(path: str) -> tuple[np.ndarray, dict[str, Any], str]:
    with naming(path):
        data = read_bytes(path)
        details, image = info(data), decode(data)
    colours = details["channels"] in ("rgb", "rgba")
    if not colours and image.ndim - bool(details["frames"]) == 3:
        image = np.moveaxis(image, -1, -3)
    return image, {"name": os.path.splitext(os.path.basename(path))[0], "rgb": colours}, "image"
