"""The plugin of imageio: ``import imfnb.plugins.imageio``, and imageio reads and writes .imf files from then on.

imageio has no entry points. The import enters the plugin in the three tables that imageio looks into:
``known_plugins`` (by the name "imfnb"), ``known_extensions`` and ``extension_list``. Whoever reads through imageio's
API of version 3, such as scikit-image, has it from there.

What imageio calls the images of a file are the frames of a stack, or the only image of what is no stack. For those of
its old functions that ask for volumes, a stack is one volume.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cached_property
from types import EllipsisType
from typing import Any, BinaryIO

import numpy as np
from imageio.config import FileExtension, PluginConfig, extension_list, known_extensions, known_plugins
from imageio.core.request import URI_BYTES, URI_FILENAME, InitializationError, IOMode, Request
from imageio.core.v3_plugin_api import ImageProperties, PluginV3

from ..codec import decode, open_container, with_chunks
from ..errors import OptionError, naming
from ..files import imwrite, write_bytes
from ..format.chunks import Tag
from ..format.container import MAGIC, MAX_PIXELS, UNLIMITED, Header, pack
from ..frames import pack_frames
from ..headers import Source, check_max_pixels, info, read_metadata
from ..kinds import check_integer

__all__ = ["ImfnbPlugin", "IndexOptionError"]

_EXTENSION = ".imf"

# Pillow's names of what it can hold without a change, by channels and type of samples.
_MODES = {
    ("gray", "uint8"): "L",
    ("gray+alpha", "uint8"): "LA",
    ("rgb", "uint8"): "RGB",
    ("rgba", "uint8"): "RGBA",
    ("gray", "uint16"): "I;16",
    ("gray", "float32"): "F",
}

# What info says that is of use to whoever has the pixels.
_SAID = ("channels", "frames", "nodata", "max_error", "profile", "version", "size", "bpp")

# Tags of GeoTIFF by the names that imageio's plugin for TIFF has for them.
_TAGS = {
    33550: "ModelPixelScaleTag",
    33922: "ModelTiepointTag",
    34264: "ModelTransformationTag",
    34735: "GeoKeyDirectoryTag",
    34736: "GeoDoubleParamsTag",
    34737: "GeoAsciiParamsTag",
    42112: "GDAL_METADATA",
    42113: "GDAL_NODATA",
}

# NumPy's names of TIFF's types of numbers; rationals are two of them.
_NUMBERS = {1: "u1", 3: "<u2", 4: "<u4", 5: "<u4", 6: "i1", 8: "<i2", 9: "<i4", 10: "<i4", 11: "<f4", 12: "<f8"}
_NUMBERS |= {13: "<u4", 16: "<u8", 17: "<i8", 18: "<u8"}


class IndexOptionError(OptionError, IndexError):
    """A file has no image of this number: a ValueError, as imageio asks for, and an IndexError, as of its plugins."""


class ImfnbPlugin(PluginV3):
    """Reads and writes .imf files for imageio, which makes one for each call, or for the context of ``imopen``.

    Parameters
    ----------
    request : imageio.core.Request
        What is to be opened: a path, a URL, a member of a zip file, bytes or a file object.

    Raises
    ------
    InitializationError
        If what is to be read does not begin as an .imf file does, or what is to be written has another extension.
        imageio tries its other plugins then, and raises OSError if none can do it.

    See Also
    --------
    imfnb.imread, imfnb.imwrite : The same without imageio.

    Examples
    --------
    >>> import imageio.v3 as iio, numpy as np
    >>> import imfnb.plugins.imageio
    >>> data = iio.imwrite("<bytes>", np.zeros((48, 64, 3), np.uint8), extension=".imf", quality=60)
    >>> iio.improps(data, extension=".imf").shape
    (48, 64, 3)
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self._volumes = request.mode.image_mode in ("v", "V")
        self._reading = request.mode.io_mode == IOMode.read
        self._written: list[bytes] = []
        self._headers: dict[int, Header] = {}
        # What errors call it. A name of bytes would be taken for a path; file objects may have one of their own.
        self._name = None if request._uri_type == URI_BYTES else request.raw_uri
        try:
            if self._reading:
                self._file, self._start = _seekable(request.get_file())
                if self._file.read(len(MAGIC)) != MAGIC:
                    self._file.seek(self._start)  # whoever tries next reads a file object from there
                    raise InitializationError("it does not begin as an .imf file does")
            elif (request.extension or _EXTENSION).lower() != _EXTENSION:
                raise InitializationError(
                    f"what imfnb writes are .imf files, and the extension is {request.extension}; "
                    f"name it {_EXTENSION}, or pass extension={_EXTENSION!r}"
                )
        except BaseException:
            request.finish()  # imageio leaves a file open when a plugin refuses it
            raise

    def read(self, *, index: int | EllipsisType | None = None, **options: Any) -> np.ndarray:
        """Read an image.

        Parameters
        ----------
        index : int or Ellipsis, optional
            The number of a frame, which is decoded alone; 0 for what is no stack. By default all that is in the file:
            the image, or the stack of all frames. With ``...`` there always is a first axis of images.
        **options
            Those of :func:`imfnb.decode` but `frame` and `out`, such as `max_rank`, `bands`, `max_pixels`, `device`
            and `threads`.

        Returns
        -------
        ndarray, shape (H, W), (H, W, C), (T, H, W) or (T, H, W, C)
            The samples.

        Raises
        ------
        IndexOptionError
            If there is no such image.
        OSError
            If the file cannot be read.
        FormatError
            If it is damaged. This and every other error names the file.
        OptionError
            If an option is out of range.
        """
        with naming(self._name):
            if index is not None and index is not ...:
                return self._image(self._number(index, options), options)
            image = decode(self._all, **options)
            return image[None] if index is ... and not self._count(options) else image

    def iter(self, **options: Any) -> Iterator[np.ndarray]:
        """Read one frame after the other, each when it is asked for and alone.

        Parameters
        ----------
        **options
            As of :meth:`read`.

        Yields
        ------
        ndarray, shape (H, W) or (H, W, C)
            A frame, or the only image of what is no stack.

        Raises
        ------
        OSError, FormatError, OptionError
            As :meth:`read` does.
        """
        with naming(self._name):
            count = max(1, self._count(options))
        for index in range(count):
            yield self.read(index=index, **options)

    def properties(self, index: int | EllipsisType | None = None, *, max_pixels: int = MAX_PIXELS) -> ImageProperties:
        """Shape and type of what :meth:`read` returns, by the header alone.

        Parameters
        ----------
        index : int or Ellipsis, optional
            As of :meth:`read`.
        max_pixels : int, default 2**28
            Larger images are refused.

        Returns
        -------
        imageio.core.v3_plugin_api.ImageProperties
            With `n_images` where `shape` has an axis of images.

        Raises
        ------
        IndexOptionError, OSError, FormatError
            As :meth:`read` does.
        """
        with naming(self._name):
            options = {"max_pixels": max_pixels}
            frame, count = self._header(options).frame, self._count(options)
            shape, images = frame.shape, count or None
            if index is ... and not count:
                shape, images = (1, *shape), 1
            elif index is not None and index is not ...:
                self._number(index, options)
                shape, images = shape[1:] if count else shape, None
            return ImageProperties(shape=shape, dtype=frame.dtype, n_images=images, is_batch=images is not None)

    def metadata(
        self, index: int | EllipsisType | None = None, exclude_applied: bool = True, *, max_pixels: int = MAX_PIXELS
    ) -> dict[str, Any]:
        """What the file says beside its pixels, which are not read.

        Parameters
        ----------
        index : int or Ellipsis, optional
            As of :meth:`read`: of which image the shape is. All else is said of the file.
        exclude_applied : bool, default True
            Without effect: reading applies nothing of it.
        max_pixels : int, default 2**28
            Larger images are refused.

        Returns
        -------
        dict
            Shape (of the array), dtype, mode (Pillow's name for that, where it has one), channels, frames, profile,
            version, size, bpp, and for arrays nodata and max_error, as :func:`imfnb.info` says; then what there is of
            dpi, icc_profile, exif, xmp (bytes) and text (a dict), as :func:`imfnb.read_metadata` says, and the tags
            of a GeoTIFF by their names, such as ModelPixelScaleTag.

        Raises
        ------
        IndexOptionError, OSError, FormatError
            As :meth:`read` does.
        """
        properties = self.properties(index, max_pixels=max_pixels)
        with naming(self._name):
            self._file.seek(self._start)
            said = info(self._file, max_pixels=max_pixels)
            kept = read_metadata(self._file, max_pixels=max_pixels)
        found = {"shape": properties.shape, "dtype": said["dtype"]}
        found |= {name: said[name] for name in _SAID if name in said}
        mode = _MODES.get((said["channels"], said["dtype"]))
        if mode is not None:
            found["mode"] = mode
        for name in ("dpi", "icc_profile", "exif", "xmp", "text"):
            if getattr(kept, name):
                found[name] = getattr(kept, name)
        return found | {_TAGS[tag.number]: _values(tag) for tag in kept.tags}

    def write(self, ndimage: Any, *, is_batch: bool | None = None, **options: Any) -> bytes | None:
        """Compress an image or a stack; the file is written when the plugin is closed, whole or not at all.

        Further calls append frames, each of which is coded by its own options, as a video is written one picture after
        the other; what the file carries beside its pixels is that of the first. All frames at once may take fewer
        bytes. Nothing is written if an error leaves the context of ``imopen``.

        Parameters
        ----------
        ndimage : array_like, or list of such
            The image, as :func:`imfnb.encode` takes it, the stack, or a list of frames.
        is_batch : bool, optional
            Whether the first axis is that of frames. By default it is in four dimensions and in lists; three
            dimensions are an image with channels or bands.
        **options
            All of :func:`imfnb.imwrite`: at most one of `quality`, `bpp`, `size`, `psnr`, `rank`, `step`, `max_error`
            and `lossless`; `icc_profile`, `exif`, `xmp`, `dpi` and `text`, or `metadata`; and so on. With `axes` the
            array is described by them.

        Returns
        -------
        bytes or None
            The file so far, if it goes to ``"<bytes>"``.

        Raises
        ------
        OptionError
            If the image or an option cannot be used; it names the file. What was written before is kept.
        """
        with naming(self._name):
            if self._reading:
                raise OptionError("it is open for reading; open it with the mode 'w' to write")
            image, axes = self._arranged(ndimage, is_batch, options.get("axes"))
            file = io.BytesIO()
            imwrite(file, image, **{**options, "axes": axes})
            self._check_appended(file.getvalue())
            self._written.append(file.getvalue())
            return self._whole() if self.request._uri_type == URI_BYTES else None

    def close(self) -> None:
        """Write what is to be written, and close the file unless it is the caller's.

        Raises
        ------
        OSError
            If the file cannot be written; what was there before is still there then, see :func:`imfnb.imwrite`.
        """
        try:
            if self._written:
                data = self._whole()
                self._written = []  # there is no second try, in the destructor
                local = self.request._uri_type == URI_FILENAME
                with naming(self._name):
                    write_bytes(self.request.get_local_filename() if local else self.request.get_file(), data)
        finally:
            self.request.finish()

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        if kind is not None:
            self._written = []
        self.close()

    @cached_property
    def _source(self) -> Source:
        """The file, to be read where it is needed."""
        if not self._reading:
            raise OptionError("it is open for writing; open it with the mode 'r' to read")
        return Source(self._file, self._start)

    @property
    def _all(self) -> bytes:
        """All bytes of the file, and what lies behind it."""
        return self._source.read(0, self._source.size)

    def _header(self, options: dict[str, Any]) -> Header:
        """The header, which is read once for each limit of its size."""
        limit = check_max_pixels(options.get("max_pixels", MAX_PIXELS))
        if limit not in self._headers:
            self._headers[limit] = self._source.header(limit)
        return self._headers[limit]

    def _count(self, options: dict[str, Any]) -> int:
        """Number of frames that are images of their own; 0 if the file is one image, or one volume."""
        return 0 if self._volumes else self._header(options).frame.frames

    def _number(self, index: Any, options: dict[str, Any]) -> int | None:
        """The frame that an index stands for; None for all of what is no stack."""
        count = self._count(options)
        try:
            number = check_integer("index", index, 0, max(0, count - 1), "")
        except OptionError:
            expected = f"an integer from 0 to {count - 1}" if count else "0"
            raise IndexOptionError(
                f"index is {index!r}; expected {expected}, None for all, or ... for that with an axis of images"
            ) from None
        return number if count else None

    def _image(self, number: int | None, options: dict[str, Any]) -> np.ndarray:
        """Decode a frame, or all of what is no stack."""
        header = self._header(options)
        if number is None or not header.frame.apart:
            return decode(self._all, frame=number, **options)
        limit = options.get("max_pixels", MAX_PIXELS)
        return decode(self._source.frame(header, number, limit), **options)

    def _arranged(self, image: Any, is_batch: bool | None, axes: str | None) -> tuple[Any, str | None]:
        """What is to be written as an array, and its axes where it is a stack."""
        if self._volumes and is_batch:  # a sequence of volumes
            if len(image) != 1:
                raise OptionError(f"there are {len(image)} volumes; expected 1, as many as a file can hold")
            image = image[0]
        if isinstance(image, (list, tuple)) and is_batch is not False:
            is_batch, image = True, _stacked(image)
        if axes is not None:
            return image, axes
        dimensions = image.ndim if hasattr(image, "ndim") else np.ndim(image)
        stack = self._volumes or (dimensions == 4 if is_batch is None else is_batch)
        if stack and dimensions not in (3, 4):
            raise OptionError(f"a stack has shape {np.shape(image)}; expected (T, H, W) or (T, H, W, C)")
        return image, "THWC"[:dimensions] if stack else None

    def _check_appended(self, data: bytes) -> None:
        """Refuse what cannot be a frame beside those that are there."""
        if self._written:
            first, found = (info(file, max_pixels=UNLIMITED) for file in (self._written[0], data))
            if first["frames"] or found["frames"]:
                raise OptionError("a stack is the whole of a file; write its frames one by one to append to them")
            if (first["shape"], first["dtype"]) != (found["shape"], found["dtype"]):
                raise OptionError(
                    f"the frame is {found['dtype']} {found['shape']}; "
                    f"expected {first['dtype']} {first['shape']}, as the first one"
                )

    def _whole(self) -> bytes:
        """The file of all that was written."""
        if len(self._written) == 1:
            return self._written[0]
        chunks = open_container(self._written[0], UNLIMITED).chunks
        return with_chunks(pack_frames([_bare(data) for data in self._written]), chunks)


def _seekable(file: Any) -> tuple[BinaryIO, int]:
    """A file object that can seek, and where it stands; in memory what cannot."""
    try:
        if file.seekable():
            return file, file.tell()
    except (AttributeError, OSError):
        pass
    data = file.read()
    return io.BytesIO(data if isinstance(data, bytes) else b""), 0


def _stacked(images: Any) -> np.ndarray:
    """Images along a first axis, with their masks."""
    masked = any(isinstance(image, np.ma.MaskedArray) for image in images)
    try:
        return (np.ma.stack if masked else np.stack)(list(images))
    except ValueError as error:
        raise OptionError(f"the frames are no stack: {error}") from None


def _bare(data: bytes) -> bytes:
    """A file without metadata."""
    container = open_container(data, UNLIMITED)
    segments = [container.segment(number) for number in range(len(container.segments))]
    return pack(container.frame, container.fields, [bytes(segment.take(segment.left)) for segment in segments])


def _values(tag: Tag) -> Any:
    """The values of a tag: text, bytes, or a tuple of numbers."""
    if tag.type not in _NUMBERS:
        return tag.data if tag.type == 7 else tag.data.rstrip(b"\0").decode("utf-8", "replace")
    return tuple(np.frombuffer(tag.data, _NUMBERS[tag.type]).tolist())


def _register() -> None:
    """Tell imageio of the plugin, once."""
    if "imfnb" not in known_plugins:
        # Where no extension says what a file is, imageio asks one plugin after the other, and the old ones among them
        # leave it open. So this one stands in front of them, behind the first, which keeps what has no extension to
        # write.
        behind = list(known_plugins)[1:]
        known_plugins["imfnb"] = PluginConfig(name="imfnb", class_name="ImfnbPlugin", module_name=__name__)
        for name in behind:
            known_plugins[name] = known_plugins.pop(name)
    if _EXTENSION not in known_extensions:
        entry = FileExtension(name="Integer matrix factorization", extension=_EXTENSION, priority=["imfnb"])
        known_extensions[_EXTENSION] = [entry]
        extension_list.append(entry)


_register()
