"""Optional dependencies, imported where they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from .errors import OptionError

__all__ = ["need"]

# Modules that lie in packages of other names.
_PACKAGES = {"skimage": "scikit-image"}


def need(module: str, extra: str = "eval") -> ModuleType:
    """Import a module of an optional dependency.

    Parameters
    ----------
    module : str
        Dotted name, such as "matplotlib.figure".
    extra : str, default "eval"
        The extra of this package that brings it.

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
        name = module.partition(".")[0]
        raise OptionError(
            f"{_PACKAGES.get(name, name)} is needed here and cannot be imported ({error}): install it with "
            f'pip install "imfnb[{extra}]"'
        ) from None
