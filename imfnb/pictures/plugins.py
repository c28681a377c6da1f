"""Pillow's readers, called one by one, without the parts of Pillow that are the whole process's.

`PIL.Image.open` bounds sizes by ``Image.MAX_IMAGE_PIXELS`` and tells of trouble through :mod:`warnings`; both belong
to whoever imported Pillow first, and changing them for a moment is a race between threads. So a reader's class is
looked up in Pillow's registry, as `PIL.Image.open` does, and derived from for this one call: its methods are the same
code, but find three other things under the names that they use:

- ``Image._decompression_bomb_check`` is the limit of our caller;
- ``warnings.warn`` does nothing, since what a file lost by damage is found by `imfnb.pictures` itself;
- ``getexif`` and ``Image.Exif`` know of nothing but an orientation, so that damaged EXIF cannot keep pixels from being
  read.

Where a reader is built in another way than today's are, it does what Pillow does.
"""

from __future__ import annotations

import struct
import sys
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, BinaryIO

from ..errors import LimitError
from .tags import WHOLE, read_exif

__all__ = ["Unreadable", "check_pixels", "open_picture", "tell_orientation"]

_ORIENTATION = 274

# Not pixels but drawings (which Pillow has Ghostscript or Windows draw), formats that Pillow has no reader for, and
# .imf files, which it reads after an import of `imfnb.plugins.pillow`, but which are no picture to encode.
_NO_PICTURES = {"IMF", "EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"}

# What a reader raises when the file is none of its kind, for the next to be asked; Pillow's own list.
_OTHER_KIND = (SyntaxError, IndexError, TypeError, struct.error)


class Unreadable(Exception):
    """No reader of Pillow's takes the file.

    Attributes
    ----------
    format : str or None
        The format that it seemed to be by its first bytes.
    reason : str
        What the reader of that format said.
    """

    def __init__(self, format: str | None, reason: str) -> None:
        super().__init__(reason)
        self.format, self.reason = format, reason


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Refuse a picture that is too large, before its pixels are decoded.

    Parameters
    ----------
    size : (int, int)
        Width and height.
    max_pixels : int
        Largest number of pixels to accept.

    Raises
    ------
    LimitError
        If there are more.
    """
    width, height = (max(1, int(side)) for side in size)
    if width * height > max_pixels:
        raise LimitError(
            f"the picture has {height} x {width} pixels, more than max_pixels={max_pixels}; "
            "cut it into parts, or raise max_pixels if you trust the file"
        )


def open_picture(file: BinaryIO, max_pixels: int) -> Any:
    """Let Pillow open a picture, without decoding its pixels.

    Parameters
    ----------
    file : binary file object
        With `seek`; stays open, and is needed until the pixels are loaded.
    max_pixels : int
        Largest number of pixels to accept.

    Returns
    -------
    PIL.ImageFile.ImageFile
        The picture.

    Raises
    ------
    Unreadable
        If no reader takes it.
    LimitError
        If it is too large.
    Exception
        Whatever a reader raises over damaged files.
    """
    from PIL import Image

    file.seek(0)
    prefix = file.read(16)
    asked: set[str] = set()
    first: Unreadable | None = None
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()
        for name in [name for name in Image.ID if name not in asked]:
            asked.add(name)
            factory, accepts = Image.OPEN[name]
            try:
                accepted = accepts(prefix) if accepts else True  # or, in words, why this build of Pillow cannot read it
                if name in _NO_PICTURES or isinstance(accepted, str) or not accepted:
                    continue
                file.seek(0)
                picture = _private(factory, max_pixels)(file, "")
            except _OTHER_KIND as error:
                if accepts and first is None:
                    first = Unreadable(name, " ".join(str(error).split()))
                continue
            check_pixels(picture.size, max_pixels)
            return picture
    raise first or Unreadable(None, "")


def tell_orientation(picture: Any, orientation: int) -> None:
    """Tell a TIFF its orientation, for its reader turns the pixels when it loads them, in some versions by its EXIF.

    Parameters
    ----------
    picture : PIL.ImageFile.ImageFile
        As :func:`open_picture` returned it.
    orientation : int
        1 to 8, as in EXIF.
    """
    _own_exif(picture)[_ORIENTATION] = orientation


def _own_exif(picture: Any) -> Any:
    """The EXIF that a reader sees, instead of the file's."""
    from PIL import Image

    return vars(picture).setdefault("_imfnb_exif", Image.Exif())


def _private(factory: Any, max_pixels: int) -> Any:
    """A reader of Pillow's as the module's docstring says; a reader from elsewhere as it is."""
    from PIL import Image, ImageFile

    if getattr(factory, "__name__", "") == "jpeg_factory":  # which looks for further pictures, as `surveys` does
        factory = sys.modules[factory.__module__].JpegImageFile
    if not (isinstance(factory, type) and factory.__module__.startswith("PIL.")):
        return factory

    def check(size: tuple[int, int], **_: Any) -> None:
        check_pixels(size, max_pixels)

    class Exif(Image.Exif):
        def load(self, data: bytes) -> None:
            try:
                self[_ORIENTATION], more = read_exif(data)
            except ValueError:
                more = True
            if more:  # unread, for `whole_exif`
                self[WHOLE] = bytes(data)

    def crop(_: Any, im: Any, box: tuple[float, float, float, float]) -> Any:
        left, top, right, bottom = map(round, box)
        check((abs(right - left), abs(bottom - top)))
        return im.crop((left, top, right, bottom))

    module = sys.modules[factory.__module__]
    scope = dict(vars(module))
    scope["Image"] = _overlay(Image, _decompression_bomb_check=check, Exif=Exif)
    scope["warnings"] = SimpleNamespace(warn=lambda *_, **__: None)
    for name, member in vars(module).items():
        if isinstance(member, type) and member.__module__ == module.__name__:
            methods = _methods(member, module, scope)
            if issubclass(member, ImageFile.ImageFile):
                scope[name] = type(name, (member,), {**methods, "getexif": _own_exif, "_crop": crop})
            elif any(_concerned(method) for method in methods.values()):
                scope[name] = type(name, (member,), methods)
    return scope[factory.__name__]


def _overlay(module: ModuleType, **names: Any) -> ModuleType:
    """A module with some names of its own."""
    overlay = ModuleType(module.__name__)
    vars(overlay).update(vars(module), **names)
    return overlay


def _methods(member: type, module: ModuleType, scope: dict[str, Any]) -> dict[str, FunctionType]:
    """A class's methods that come from `module`, with `scope` as their global names."""
    methods = {}
    for base in reversed(member.__mro__):
        for name, method in vars(base).items():
            if isinstance(method, FunctionType) and method.__globals__ is vars(module):
                copy = FunctionType(method.__code__, scope, name, method.__defaults__, method.__closure__)
                copy.__kwdefaults__ = method.__kwdefaults__
                methods[name] = copy
    return methods


def _concerned(method: FunctionType) -> bool:
    """Whether a method warns or bounds sizes."""
    return not {"warnings", "_decompression_bomb_check"}.isdisjoint(method.__code__.co_names)
