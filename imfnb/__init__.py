"""Lossy image compression by integer matrix factorization (IMF).

An image's patches X are written as U V^T with small integer factors, which are coded losslessly (Ashtari et al.,
"Quantization-free Lossy Image Compression Using Integer Matrix Factorization").

Importing this package imports nothing else: every name is loaded on first use.
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._warmup import warmup
    from .batch import decode_batch, decode_iter, encode_batch, encode_iter
    from .codec import decode, encode
    from .errors import (
        DeviceError,
        DeviceWarning,
        FormatError,
        ImfError,
        LimitError,
        MetadataWarning,
        OptionError,
    )
    from .factorization import factorize
    from .files import imread, imwrite
    from .headers import info, read_metadata
    from .metadata import Metadata
    from .runtime.devices import show_config

__version__ = "0.2.0"

# When the first module of the package was read: `_cache` trusts no source that is younger.
_READ = time.time()

_HOMES = {
    "DeviceError": "errors",
    "DeviceWarning": "errors",
    "FormatError": "errors",
    "ImfError": "errors",
    "LimitError": "errors",
    "Metadata": "metadata",
    "MetadataWarning": "errors",
    "OptionError": "errors",
    "decode": "codec",
    "decode_batch": "batch",
    "decode_iter": "batch",
    "encode": "codec",
    "encode_batch": "batch",
    "encode_iter": "batch",
    "factorize": "factorization",
    "imread": "files",
    "imwrite": "files",
    "info": "headers",
    "read_metadata": "headers",
    "show_config": "runtime.devices",
    "warmup": "_warmup",
}
_MODULES = ("baselines", "evaluate", "limits", "metrics")

__all__ = [
    "DeviceError",
    "DeviceWarning",
    "FormatError",
    "ImfError",
    "LimitError",
    "Metadata",
    "MetadataWarning",
    "OptionError",
    "decode",
    "decode_batch",
    "decode_iter",
    "encode",
    "encode_batch",
    "encode_iter",
    "factorize",
    "imread",
    "imwrite",
    "info",
    "read_metadata",
    "show_config",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_MODULES])
