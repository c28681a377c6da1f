"""Libraries that only the laboratory needs."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import OptionError

__all__ = ["need"]


def need(module: str) -> ModuleType:
    """Import a module of the extra ``eval``.

    Parameters
    ----------
    module : str
        Dotted name, such as "matplotlib.figure".

    Returns
    -------
    module
        The module.

    Raises
    ------
    OptionError
        If it is not installed; it says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = {"skimage": "scikit-image"}.get(module.partition(".")[0], module.partition(".")[0])
        raise OptionError(f"this study needs {name} ({error}): install it with pip install 'imfnb[eval]'") from None
