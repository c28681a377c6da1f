"""Pillow reads and writes .imf files once this module has been imported.

    >>> import imfnb.plugins.pillow
    >>> from PIL import Image
    >>> Image.new("RGB", (640, 480), "teal").save("a.imf", quality=75)
    >>> with Image.open("a.imf") as image:  # the header alone is read
    ...     image.thumbnail((96, 96))  # decoded at an eighth to the whole of its size

Whatever reads and writes pictures through Pillow does so with .imf files too: ``matplotlib.pyplot.imread`` and
``imsave``, :mod:`skimage.io`, :mod:`imageio`. The name of the format is "IMF", its extension ".imf", its media type
image/x-imf. Importing it twice does no harm, nor does it matter whether that comes before or after ``Image.init()``.

Reading
-------
``Image.open`` reads the header and the metadata; what is needed to decode pixels, Numba among it, is imported by
``load``. What becomes of samples:

=======================  =========  =====================================================================
samples                  mode
=======================  =========  =====================================================================
uint8 gray               L
uint8 gray with alpha    LA
uint8 RGB                RGB
uint8 RGBA               RGBA
uint16 gray              I;16
int8, int16 gray         I
float32, float64 gray    F          float64 is rounded to float32
all others               --         an error that is an OSError: :func:`imfnb.imread` gives them as an array
=======================  =========  =====================================================================

A single band is gray. A stack has ``n_frames``, ``seek`` and ``tell``; its frames of two, three and four bands of
uint8 are LA, RGB and RGBA, since a stack that was coded as bands does not say what they were. Its compressed bytes
stay in memory from the first ``load`` on, so that its file can be closed, and written over.

``info`` has icc_profile, exif (with ``Exif\\0\\0`` before it), xmp, dpi, comment (bytes, in UTF-8) and text (a dict) of
files that have them. Damaged metadata are left out with an :class:`imfnb.MetadataWarning`; ``verify`` raises. Pixels
are not turned as EXIF's orientation says: ``ImageOps.exif_transpose`` does that.

``draft``, which ``thumbnail`` calls, decodes at a half, a quarter or an eighth of the size (see ``reduce`` of
:func:`imfnb.decode`), in about three quarters, a half and a quarter of the time; a ``seek`` undoes it.

Truncated and damaged files raise an OSError that is an :class:`imfnb.FormatError` too: on opening where it is the
header that is damaged, else on loading. ``ImageFile.LOAD_TRUNCATED_IMAGES`` does nothing: half of a file is no half of
the picture. Limits are Pillow's own: what ``Image.MAX_IMAGE_PIXELS`` lets pass is decoded.

Writing
-------
``save`` takes quality, bpp, size, psnr, rank, step, max_error, lossless, profile, tune, effort, alpha_quality,
keep_hidden, subsampling, color_space, patch_size, bounds, iterations, coder, objective, nodata, mask, device and
threads as :func:`imfnb.encode` does; other words are ignored, as by all of Pillow's writers. What becomes of modes:

=============================  =========================================================================================
mode                           samples
=============================  =========================================================================================
L, RGB, RGBA                   as they are (uint8)
LA, La                         gray with alpha; RGBA in the baseline profile, which has no other alpha
RGBa                           RGBA
1                              L, of 0 and 255
P, PA                          RGB, with transparency RGBA
L, 1, RGB with transparency    gray with alpha, RGBA: the level or colour in ``info["transparency"]`` has an alpha of 0
RGBX, YCbCr, HSV, LAB          RGB
CMYK                           RGB: sRGB by its profile, without one as Pillow converts it
I;16, I;16L, I;16B, I;16N      uint16
I                              uint16 or int16, whichever holds all of its samples; an error if neither does
F                              float32; NaN stands for samples without data
=============================  =========================================================================================

The file is encoded before the first byte of it is written. (Pillow has emptied a file that existed by then; it
removes one that did not if encoding fails.)

- icc_profile is an argument, or else taken from ``info``, and so is comment: as by the writers of PNG and JPEG. It is
  kept where it is a profile of the samples that are written, gray or RGB. Where it is not (a profile of CMYK, or that
  of RGB for a picture that has become gray), colours are converted to sRGB by it. ``icc_profile=None`` leaves it out.
- exif (bytes or ``Image.Exif``), xmp, dpi and text (a mapping) are arguments alone: what ``info`` has of them need not
  hold any longer for a picture that was turned or scaled.

``save_all=True`` writes all frames of the image and of those in ``append_images`` as a stack; a single one is no stack.
They must have one size. Frames of 8 bits are brought to what all of them fit in: colours if one of them has colours,
alpha if one has alpha; profiles that differ are converted to sRGB. Durations are not kept.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, cast

import numpy as np
from PIL import Image, ImageFile, ImageSequence

from ..errors import FormatError, MetadataWarning, OptionError, naming
from ..format.container import UNLIMITED
from ..headers import Source, info, read_metadata
from ..metadata import Metadata
from ..pictures.color import check_mode, is_profile_of, to_pixels
from ..pictures.found import words

__all__ = ["FileError", "ImageError", "ImfImageFile"]

# Pillow's mode of what `imfnb.info` says of a picture, with the type and the raw mode to hand its samples over in.
_MODES: dict[tuple[str, str], tuple[str, str, str]] = {
    ("gray", "uint8"): ("L", "u1", "L"),
    ("gray+alpha", "uint8"): ("LA", "u1", "LA"),
    ("rgb", "uint8"): ("RGB", "u1", "RGB"),
    ("rgba", "uint8"): ("RGBA", "u1", "RGBA"),
    ("gray", "uint16"): ("I;16", "<u2", "I;16"),
    ("gray", "int8"): ("I", "<i4", "I;32S"),
    ("gray", "int16"): ("I", "<i4", "I;32S"),
    ("gray", "float32"): ("F", "<f4", "F;32F"),
    ("gray", "float64"): ("F", "<f4", "F;32F"),
}

# Pixels of all frames up to which they are kept where they are bands of one array, all of which has to be decoded for
# each of them.
_KEPT = 1 << 24

# What so many bands of a stack are taken for.
_BANDS = {1: "gray", 2: "gray+alpha", 3: "rgb", 4: "rgba"}

# Options of `imfnb.encode` that are arguments of `save`.
_OPTIONS = (
    *("quality", "bpp", "size", "psnr", "rank", "step", "max_error", "lossless", "profile", "tune", "effort"),
    *("alpha_quality", "keep_hidden", "subsampling", "color_space", "patch_size", "bounds", "iterations", "coder"),
    *("objective", "nodata", "mask", "device", "threads"),
)

# The key of a comment among the texts of a file.
_COMMENT = "Comment"


class FileError(FormatError, OSError):
    """A file that is damaged or truncated: a FormatError as of imfnb, and an OSError as of Pillow."""

    # What makes instances without calling the class, as tblib does for Dask's workers, finds that of ValueError first.
    __new__ = OSError.__new__  # type: ignore[assignment]


class ImageError(OptionError, OSError):
    """An image that Pillow or an .imf file cannot hold: an OptionError as of imfnb, and an OSError as of Pillow."""

    __new__ = OSError.__new__  # type: ignore[assignment]


@contextmanager
def _oserrors(filename: Any) -> Iterator[None]:
    """Raise what imfnb says of a file as what Pillow's users expect, with the name of the file."""
    name = filename if isinstance(filename, (str, bytes, os.PathLike)) and filename else None
    with naming(name):
        try:
            yield
        except FormatError as error:
            raise FileError(*error.args) from error


class ImfImageFile(ImageFile.ImageFile):
    """An .imf file that Pillow has opened; see the module's documentation.

    Attributes
    ----------
    n_frames : int
        Number of frames; 1 if it is no stack.
    is_animated : bool
        Whether there are more than one.

    See Also
    --------
    imfnb.info : all that the header says.
    imfnb.imread : reads what Pillow has no mode for.

    Examples
    --------
    >>> import imfnb.plugins.pillow
    >>> from PIL import Image
    >>> with Image.open("photo.imf") as image:
    ...     print(image.size, image.mode, image.info.get("dpi"))
    """

    format = "IMF"
    format_description = "imfnb integer matrix factorization"

    # Those of an image that has been pickled, which has no file.
    n_frames = 1
    is_animated = False
    _frame = 0
    _reduce = 1
    _fitted = False
    _data: bytes | None = None
    _together: np.ndarray | None = None
    _apart = False
    _min_frame = 0

    def _open(self) -> None:
        file = cast(IO[bytes], self.fp)  # which Pillow has opened by now
        self._start = file.tell()
        with _oserrors(self.filename):
            said = info(file, max_pixels=UNLIMITED)  # whoever opens images asks Pillow whether it is too large
            mode, self._dtype, self._raw = _mode_of(said)
        self._stack = said["frames"] is not None
        self.n_frames = said["frames"] or 1
        self.is_animated = self.n_frames > 1
        self._length = said["size"]
        limit = Image.MAX_IMAGE_PIXELS  # from which on Pillow warns; it refuses twice as much
        self._max_pixels = UNLIMITED if limit is None else max(1, int(min(2 * limit, UNLIMITED)))
        self._whole = said["shape"][self._stack :][1::-1]
        self._apart = "frame 0" in said["segments"]
        self._mode = mode
        self._expect(1)
        if said["metadata"] and not said["missing"]:
            self._read_metadata()

    def _read_metadata(self) -> None:
        """Fill `info`."""
        try:
            with _oserrors(self.filename):
                found = read_metadata(self.fp, max_pixels=UNLIMITED)
        except FileError as error:
            warnings.warn(f"{error}; metadata are left out", MetadataWarning, stacklevel=6)
            return
        exif = b"Exif\0\0" + found.exif if found.exif else None
        comment = found.text.get(_COMMENT, "").encode()
        values = {"icc_profile": found.icc_profile, "exif": exif, "xmp": found.xmp, "dpi": found.dpi}
        values |= {"comment": comment, "text": dict(found.text)}
        self.info.update({name: value for name, value in values.items() if value})

    def _expect(self, reduce: int) -> None:
        """Note that pixels are still to be decoded, so many times smaller."""
        width, height = self._whole
        self._reduce = reduce
        self._size = (-(-width // reduce), -(-height // reduce))
        # Pillow looks here for whether there is something to load; no decoder has this name.
        self.tile = [cast(Any, ("imf", (0, 0, *self._size), 0, None))]

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decode the image smaller, if it has not been loaded yet.

        Parameters
        ----------
        mode : str or None
            Makes no difference: images keep theirs.
        size : (int, int) or None
            Width and height that are needed: the image has at least these, being 2, 4 or 8 times smaller.

        Returns
        -------
        (str, (int, int, float, float)) or None
            The mode, and the box that the whole image is in; None where nothing has changed.
        """
        if not self.tile or self._reduce > 1 or size is None:
            return None
        scales = [side // max(1, least) for side, least in zip(self._whole, size, strict=True)]
        scale = max(scales) if self._fitted else min(scales)
        if scale < 2:
            return None
        self._expect(next(reduce for reduce in (8, 4, 2) if reduce <= scale))
        width, height = self._whole
        return self.mode, (0, 0, width / self._reduce, height / self._reduce)

    def thumbnail(
        self,
        size: tuple[float, float],
        resample: Image.Resampling = Image.Resampling.BICUBIC,
        reducing_gap: float | None = 2.0,
    ) -> None:
        """Make the image fit into a box, keeping its proportions, from no more of the file than that takes.

        Parameters
        ----------
        size : (float, float)
            Width and height of the box.
        resample : PIL.Image.Resampling, default BICUBIC
            The filter.
        reducing_gap : float or None, default 2.0
            The image is decoded so many times larger than it is going to be, at least; None: whole.

        See Also
        --------
        draft : by which that is done.

        Examples
        --------
        >>> import imfnb.plugins.pillow
        >>> from PIL import Image
        >>> with Image.open("photo.imf") as image:
        ...     image.thumbnail((96, 96))
        ...     image.save("small.png")
        """
        # Pillow asks for a draft that is as large as the box on both sides; what is going to be within it needs one.
        self._fitted = True
        try:
            super().thumbnail(size, resample, reducing_gap)
        finally:
            self._fitted = False

    def load(self) -> Any:
        """Decode the image, unless that has been done.

        Returns
        -------
        PIL.Image.core.PixelAccess
            Access to its pixels.

        Raises
        ------
        FileError
            If the file is truncated or damaged.
        ValueError
            If the image was closed before.
        """
        if self.tile:
            with _oserrors(self.filename):
                self._decode()
            self.tile = []
            self.readonly = 0
            if self._exclusive_fp and self.fp:
                self.fp.close()
            self.fp = None
        return Image.Image.load(self)

    def load_seek(self, position: int) -> None:
        """Do nothing; Pillow's `Parser` waits for the whole of a file that has this method."""

    def _decode(self) -> None:
        from ..codec import decode  # with it the kernels

        data = self._contents()
        options: dict[str, Any] = {"max_pixels": self._max_pixels, "reduce": self._reduce}
        if self._stack:
            self._data = data
        if self._apart:
            with memoryview(data) as view:
                source = Source(view)
                one = source.frame(source.header(UNLIMITED), self._frame, self._max_pixels)
            array = decode(one, **options)
        elif self._stack and self._reduce == 1 and math.prod(self._whole) * self.n_frames <= _KEPT:
            if self._together is None:
                self._together = decode(data, **options)
            array = self._together[self._frame]
        else:
            array = decode(data, frame=self._frame if self._stack else None, **options)
        with np.errstate(over="ignore"):  # of float64, to infinity
            samples = np.ascontiguousarray(array, self._dtype)
        self.im = Image.frombytes(self.mode, self._size, samples.data, "raw", self._raw, 0, 1).im

    def _contents(self) -> bytes:
        """All bytes of the file proper."""
        if self._data is not None:
            return self._data
        if self.fp is None:
            raise ImageError("the image is closed: open it again")
        source = Source(self.fp, self._start)
        if source.size < self._length:
            raise FileError(f"truncated file: it has {source.size} of {self._length} bytes; fetch it again")
        return source.read(0, self._length)

    def verify(self) -> None:
        """Compare the checksums of all parts of the file, without decoding it, and close it.

        Raises
        ------
        FileError
            If the file is truncated, or a part is not what was written.
        """
        from ..codec import open_container

        with _oserrors(self.filename):
            container = open_container(self._contents(), UNLIMITED)
            for number in range(len(container.segments)):
                container.segment(number)
            Metadata.of_chunks(container.chunks)
        super().verify()

    def seek(self, frame: int) -> None:
        """Go to a frame of a stack, which is decoded when it is loaded.

        Parameters
        ----------
        frame : int
            Its number, from 0.

        Raises
        ------
        EOFError
            If there is no such frame.
        """
        if self._seek_check(frame):
            self._frame = frame
            self._expect(1)

    def tell(self) -> int:
        """The number of the frame, from 0."""
        return self._frame

    def close(self) -> None:
        """Close the file, and forget what was read of it."""
        self._data = self._together = None
        super().close()


def _mode_of(said: dict[str, Any]) -> tuple[str, str, str]:
    """Mode, type and raw mode of what the header says."""
    kind, dtype, stack = said["channels"], said["dtype"], said["frames"] is not None
    shape = said["shape"][stack:]
    bands = shape[2] if len(shape) > 2 else 1
    if kind == "bands" and (stack or bands == 1):
        kind = _BANDS.get(bands, kind)
    try:
        return _MODES[kind, dtype]
    except KeyError:
        shown = f"{bands} bands" if kind == "bands" else kind
        raise ImageError(
            f"the file has {shown} of {dtype}, for which Pillow has no mode; read it with imfnb.imread, as an array"
        ) from None


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write an image, as Pillow's `save` asks for it."""
    with _oserrors(filename):
        data = _encoded([_plain(image, image.encoderinfo)], image)
    file.write(data)


def _save_all(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Write all frames of an image, and of those that are to be appended."""
    images = [image, *(image.encoderinfo.get("append_images") or ())]
    with _oserrors(filename):
        frames = [_plain(frame, image.encoderinfo) for frame in _frames(images)]
        if len({profile for _, profile in frames}) > 1:
            frames = [_plain(frame, image.encoderinfo, srgb=True) for frame in _frames(images)]
        data = _encoded(frames, image)
    file.write(data)


def _frames(images: Iterable[Image.Image]) -> Iterator[Image.Image]:
    """Every frame of some images, which stand where they stood afterwards."""
    for image in images:
        position = image.tell()
        try:
            yield from ImageSequence.Iterator(image)
        finally:
            image.seek(position)


def _plain(image: Image.Image, given: Mapping[str, Any], srgb: bool = False) -> tuple[np.ndarray, bytes | None]:
    """The samples of an image, and their profile if it is to be kept; with `srgb` they are converted by it instead."""
    mode, profile = image.mode, given.get("icc_profile", image.info.get("icc_profile")) or None
    if mode == "F" or mode.startswith("I"):
        note: str | None = "the samples are gray"
        image.load()
        if "transparency" in image.info:
            warnings.warn("transparency of samples deeper than 8 bits is not kept", MetadataWarning, stacklevel=4)
        kept = profile if is_profile_of(profile, "L") and not srgb else None
        samples = np.asarray(image).astype({"F": np.float32, "I": np.int32}.get(mode, np.uint16))
    else:
        try:
            depth = check_mode(image)
        except OptionError as error:
            raise ImageError(*error.args) from None
        image.load()
        samples, note, kept = to_pixels(image, depth, profile, srgb=srgb)
        if samples.ndim == 3 and mode in ("1", "L", "LA", "La"):
            samples = samples[:, :, [0, 3]]
    if kept is None and given.get("icc_profile") and not srgb:
        warnings.warn(f"icc_profile is not kept: {note}", MetadataWarning, stacklevel=4)
    return samples, kept


def _encoded(frames: Sequence[tuple[np.ndarray, bytes | None]], image: Image.Image) -> bytes:
    """The file of some frames, with what the image that is saved says of them."""
    from ..codec import encode

    given = image.encoderinfo
    options = {name: given[name] for name in _OPTIONS if given.get(name) is not None}
    samples = _joined([frame for frame, _ in frames], options.get("profile") == "baseline")
    if len(frames) > 1:
        options["axes"] = "THWC"[: samples.ndim]
    return encode(samples, metadata=_metadata(image, frames[0][1]), **options)


def _metadata(image: Image.Image, profile: bytes | None) -> Metadata:
    """What an image's file carries beside its pixels."""
    given = image.encoderinfo
    text = given.get("text") or {}
    comment = given.get("comment", image.info.get("comment"))
    if comment and isinstance(text, Mapping):
        text = {**text, _COMMENT: words(comment) if isinstance(comment, bytes) else comment}
    return Metadata(profile, given.get("exif") or None, given.get("xmp") or None, given.get("dpi"), text)


def _joined(frames: Sequence[np.ndarray], baseline: bool) -> np.ndarray:
    """An array of all frames in one kind of samples, with a first axis if there are several."""
    sizes = {frame.shape[1::-1] for frame in frames}
    if len(sizes) > 1:
        raise ImageError(f"frames have the sizes {sorted(sizes)}; expected one: resize or pad them first")
    types = {str(frame.dtype) for frame in frames}
    if len(types) > 1:
        raise ImageError(f"frames have samples of {' and '.join(sorted(types))}; convert them to one mode first")
    counts = {frame.shape[2] if frame.ndim == 3 else 1 for frame in frames}
    alpha = bool(counts & {2, 4})
    color = bool(counts & {3, 4}) or (alpha and baseline)
    alike = [_widened(frame, color, alpha) for frame in frames]
    samples = np.stack(alike) if len(alike) > 1 else alike[0]
    return _narrowed(samples) if samples.dtype == np.int32 else samples


def _widened(samples: np.ndarray, color: bool, alpha: bool) -> np.ndarray:
    """Samples of 8 bits with as many channels as are asked for, of which they have no other."""
    bands = samples.shape[2] if samples.ndim == 3 else 1
    if bands == (3 if color else 1) + alpha:
        return samples
    planes = np.atleast_3d(samples)
    opaque = np.full(samples.shape[:2], 255, np.uint8)
    order = range(3) if bands >= 3 else [0] * (3 if color else 1)
    last = [planes[:, :, -1] if bands in (2, 4) else opaque] if alpha else []
    return np.stack([*(planes[:, :, band] for band in order), *last], axis=-1)


def _narrowed(samples: np.ndarray) -> np.ndarray:
    """Samples of Pillow's mode I in a type that an .imf file has."""
    low, high = int(samples.min()), int(samples.max())
    for dtype in (np.uint16, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return samples.astype(dtype)
    raise ImageError(
        f"the image has samples from {low} to {high} (Pillow's mode 'I'), of which an .imf file holds 16 bits; "
        "scale them, or convert the image to mode 'F'"
    )


Image.register_open(ImfImageFile.format, ImfImageFile, lambda prefix: prefix.startswith(b"\x89IMF"))
Image.register_save(ImfImageFile.format, _save)
Image.register_save_all(ImfImageFile.format, _save_all)
Image.register_extension(ImfImageFile.format, ".imf")
Image.register_mime(ImfImageFile.format, "image/x-imf")
