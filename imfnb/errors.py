"""The library's own exceptions: one root, so that a pipeline can catch all of them at once."""

from __future__ import annotations

__all__ = ["DeviceError", "DeviceWarning", "FormatError", "ImfError", "LimitError", "OptionError"]


class ImfError(Exception):
    """Root of every error that imfnb raises on purpose."""


class OptionError(ImfError, ValueError):
    """An argument, an image or a combination of options that cannot be used."""


class FormatError(ImfError, ValueError):
    """Bytes that are not a valid .imf file."""


class LimitError(FormatError):
    """A file that declares more than the caller allows (see ``max_pixels``)."""


class DeviceError(ImfError, RuntimeError):
    """A device that was asked for by name and cannot be used."""


class DeviceWarning(RuntimeWarning):
    """The GPU failed under ``device="auto"``, and the CPU does the work from now on, with the same result."""
