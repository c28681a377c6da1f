"""The public codec: an image in, bytes out, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar, overload

import numpy as np

from .errors import OptionError
from .format.container import MAX_PIXELS, UNLIMITED, Container, Frame, unpack
from .frames import encode_frames, frame_of
from .headers import bytes_of, check_max_pixels
from .kinds import check_integer
from .metadata import Metadata, largest_overhead
from .objective import least_svd_cost
from .options import SEARCHES, EncodeOptions
from .profiles import PARSERS, pipeline
from .rasters import prepare, to_array
from .runtime.devices import DeviceArray, is_device_array, resolve_device, resolve_threads, run_on
from .runtime.run import HostRun, Run

__all__ = [
    "check_max_rank",
    "check_out",
    "check_reduce",
    "decode",
    "decode_container",
    "encode",
    "encode_array",
    "open_container",
    "with_chunks",
]

_Out = TypeVar("_Out")


def encode(
    image: Any,
    *,
    quality: float | tuple[float, ...] | None = None,
    bpp: float | None = None,
    size: int | None = None,
    psnr: float | None = None,
    rank: int | tuple[int, ...] | None = None,
    step: float | None = None,
    profile: str = "main",
    color_space: str | None = None,
    subsampling: str | None = None,
    patch_size: int | str | None = "auto",
    bounds: tuple[int, int] | None = None,
    iterations: int | None = None,
    coder: str | None = None,
    objective: str = "mse",
    alpha_quality: float | str | None = None,
    keep_hidden: bool = False,
    tune: str | None = None,
    effort: str = "normal",
    max_error: float | None = None,
    lossless: bool = False,
    channels: str = "auto",
    axes: str | None = None,
    nodata: float | None = None,
    mask: Any = None,
    metadata: Metadata | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> bytes:
    """Compress a picture, or an array of any number of bands.

    At most one of `quality`, `bpp`, `size`, `psnr`, `rank`, `step`, `max_error` and `lossless` is given; without any,
    quality is 50.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        Samples of uint8, int8, uint16, int16, float32 or float64, in 1 to 1024 channels (baseline profile: uint8, and
        1, 3 or 4). Alpha is not premultiplied. Arrays of uint8 on the GPU (CuPy, PyTorch, JAX: whatever has
        ``__cuda_array_interface__``) are encoded there.
    quality : float or tuple of float, optional
        0 to 100. In the main profile it stands for a step of 2**(8 - 0.07 q) gray levels; for the eye for 0.66 times
        that, which takes about the same bytes from 50 on. For other arrays than pictures of 8 bits, half the range of
        the data (of their strongest combination of bands) stands for 128 gray levels. In the baseline profile it is the
        rank in percent of the largest, R = max(1, round(min(M, N) q / 100)), half of that for chroma; a tuple gives one
        quality per plane.
    bpp : float, optional
        Bits per pixel, of all channels together, not to be exceeded; all bytes of the file count.
    size : int, optional
        Bytes not to be exceeded.
    psnr : float, optional
        Peak signal-to-noise ratio, in dB, to be reached with the fewest bytes: over all samples but alpha and, in the
        main profile, colours under an alpha of 0 and samples without data. The peak is the range of the type of
        integers (255 for 8 bits, 65535 for 16, whatever the samples use of it) and that of the samples of floats.
    rank : int or tuple of int, optional
        Baseline profile: rank of luma (chroma: half of it), or of each plane. Ranks above min(M, N) are lowered to it.
    step : float, optional
        Main profile: length of the columns of V for luma, the quantizer's step, in units of the data; 1 to 256 for
        pictures of 8 bits. For the eye it is that of the lowest frequencies, in patches whose surroundings mask errors
        neither much nor little.
    profile : {"main", "baseline"}, default "main"
        "baseline" is the method of the paper; "main" adds rate-distortion optimization, a lapped filter, context
        coding and a restoration filter, and needs less than half the bits.
    color_space : {"YCbCr", "RGB"}, optional
        Baseline profile: "YCbCr" (default) factorizes three planes, "RGB" one matrix whose rows are patches of all
        three colours.
    subsampling : {"4:2:0", "4:4:4"}, optional
        Whether chroma is averaged over 2x2 pixels. By default "4:2:0"; in the main profile what is estimated to cost
        less on this image.
    patch_size : {"auto", 4, 8, 16, 32, None}, default "auto"
        Side of a patch. Main profile: 8, 16 or the better of both for each plane (8 at the finest steps of arrays,
        whatever is asked for). Baseline profile: 8 by default; None factorizes each plane as it is.
    bounds : (int, int), default (-16, 15)
        Baseline profile: smallest and largest entry of the factors.
    iterations : int, default 10
        Baseline profile: sweeps of the block coordinate descent.
    coder : {"deflate", "fast"}, default "deflate"
        Baseline profile: what codes the factors. "deflate" is the paper's; "fast" takes about 20% fewer bytes for them,
        with adaptive tables.
    objective : {"mse", "svd"}, default "mse"
        What chooses between the settings that are not given. "mse" estimates the squared error. "svd" encodes with
        every chroma resolution and patch size and keeps the file with the least R + lambda (MSE + 10 B), B being the
        basis distortion (see :func:`imfnb.metrics.rd_cost`); the SVDs take a second per megapixel and file.
    alpha_quality : float or "lossless", optional
        Main profile: quality of alpha, 0 to 100 as for `quality`, whatever the target. By default its step is that of
        luma, but at most that of quality 60. Where storing it losslessly takes hardly more bytes or less, that is
        done. Fully transparent and fully opaque pixels stay so at any quality.
    keep_hidden : bool, default False
        Main profile: whether colours under an alpha of 0 are coded like others. By default those of their surroundings
        take their place, which cost next to nothing.
    tune : {"visual", "psnr"}, optional
        Main profile: what errors are to be small for. "visual" puts them where the eye overlooks them, at high
        frequencies and in what is active, "psnr" makes their squares least. By default "psnr" where the target is a
        PSNR, else "visual".
    effort : {"fast", "normal", "best"}, default "normal"
        Main profile: what a file may cost. Beside "normal", "fast" takes about 6% more bytes and less than half of the
        time to decode, "best" about a tenth fewer bytes, twice the time to encode and two and a half times that to
        decode. Decoders need no option.
    max_error : float, optional
        Main profile: no sample that is decoded is further than this from the given one, in units of the data. The file
        is decoded once to see to that. 0 is `lossless`; floats need a larger number.
    lossless : bool, default False
        Main profile: nothing is lost. For integers.
    channels : {"auto", "gray", "gray+alpha", "rgb", "rgba", "bands"}, default "auto"
        What the last axis is. By default three channels of uint8 or uint16 are RGB, two and four of uint8 gray and RGB
        with alpha, and all other numbers but one are bands. Only pictures of 8 bits are converted to YCbCr; for all
        others the best combinations of channels are found.
    axes : str, optional
        The axes of the array by name: H, W, C for channels, T for frames, as in "CHW" or "THWC"; "HW" and "HWC" by
        default. Frames are coded each on its own, or as bands of one array, whichever takes fewer bytes.
    nodata : float, optional
        Main profile: the value of samples without data; may be NaN. They are decoded exactly, count in no target, and
        do not bleed into their surroundings. NaN in floats always means that there is no data.
    mask : array_like of bool, optional
        Main profile: True where there is no data, of the shape of the image or (H, W). Such samples are decoded as
        `nodata`, without it as NaN (floats) or 0. A masked array's mask is taken by itself.
    metadata : Metadata, optional
        Profile, EXIF, text and the like, which the file carries; its bytes count for `bpp` and `size`.
    device : {"auto", "cpu", "cuda", "reference"}, default "auto"
        Which kernels to use; all give the same bytes.
    threads : int, optional
        Largest number of threads to use; all cores by default.

    Returns
    -------
    bytes
        The contents of an .imf file.

    Raises
    ------
    OptionError
        If the image or an option cannot be used, or the target cannot be met.
    DeviceError
        If the device cannot be used.

    See Also
    --------
    decode : The way back.
    encode_batch : Many images.
    imwrite : Encodes into a file.
    info : What a file says of itself.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> image = np.full((40, 60, 3), 128, np.uint8)
    >>> data = imfnb.encode(image, quality=80)
    >>> np.array_equal(imfnb.decode(data), image)
    True
    """
    options = EncodeOptions(
        profile=profile,
        quality=quality,
        bpp=bpp,
        size=size,
        psnr=psnr,
        rank=rank,
        step=step,
        color_space=color_space,
        subsampling=subsampling,
        patch_size=patch_size,
        bounds=bounds,
        iterations=iterations,
        coder=coder,
        objective=objective,
        alpha_quality=alpha_quality,
        keep_hidden=keep_hidden,
        tune=tune,
        effort=effort,
        max_error=max_error,
        lossless=lossless,
        channels=channels,
        axes=axes,
        nodata=nodata,
        mask=mask,
        metadata=metadata,
    )
    array, options = to_array(image, options)
    return encode_array(array, options, device, resolve_threads(threads))


def encode_array(array: Any, options: EncodeOptions, device: str, workers: int) -> bytes:
    """Compress what :func:`imfnb.rasters.to_array` gives, an image or a stack."""
    chunks = options.metadata.chunks if options.metadata else ()
    options = _with_room(options, array, chunks)
    if options.axes is not None:
        one = partial(_encode, device=device, workers=workers)
        data = encode_frames(array, options, one, lambda data: decode(data, device=device, threads=workers))
    else:
        data = _encode(array, options, device, workers)
    return with_chunks(data, chunks)


def _with_room(options: EncodeOptions, array: Any, chunks: Sequence[tuple[bytes, bytes]]) -> EncodeOptions:
    """Options without metadata, whose target leaves room for these chunks."""
    (name, value), overhead = options.target, largest_overhead(chunks)
    options = options.changed(metadata=None)
    if name not in ("size", "bpp") or not overhead:
        return options
    stack = options.axes is not None
    share = 1.0 if name == "size" else 8 / max(1, math.prod(array.shape[: 2 + stack]))
    left = value - overhead * share
    if left <= 0:
        raise OptionError(f"{name}={value} cannot be met: metadata alone takes {overhead} bytes; leave some of it out")
    return options.changed(target=(name, int(left) if name == "size" else left))


def _encode(array: Any, options: EncodeOptions, device: str, workers: int) -> bytes:
    """Compress an image."""
    pixels, frame = prepare(array, options)
    work = "search" if options.target[0] in SEARCHES else "encode"
    backend = _choose(device, work, frame, is_device_array(array))
    resident = is_device_array(pixels)

    def run(options: EncodeOptions) -> bytes:
        def work(chosen: str) -> bytes:
            image = pixels.copy_to_host() if chosen != "cuda" and resident else pixels
            with open_run(chosen, workers) as run:
                return pipeline(frame).encode_image(image, frame, options, run)

        return run_on(device, backend, work)

    if options.objective == "svd":
        if frame.array is not None:
            raise OptionError("objective='svd' is for pictures of 8 bits with a lossy target; leave it out")
        host = pixels.copy_to_host() if resident else pixels
        return least_svd_cost(host, options, run, lambda data: decode(data, device=device, threads=workers))
    return run(options)


def _choose(device: str, work: str, frame: Frame, resident: bool) -> str:
    """The backend for encoding, searching or decoding one image."""
    return resolve_device(device, frame.height * frame.width, f"{work} {frame.profile}", resident)


def open_run(device: str, threads: int) -> AbstractContextManager[Run]:
    """A runner for one call, by the name that `resolve_device` returns."""
    if device != "cuda":
        return HostRun(device, threads)
    from .runtime.gpu import device_run

    return device_run(threads)


def check_max_rank(max_rank: Any) -> int | None:
    """`max_rank` of :func:`decode`, or an OptionError."""
    if max_rank is None:
        return None
    return check_integer("max_rank", max_rank, 1, math.inf, "a positive integer, or None for all components")


def check_reduce(reduce: Any) -> int:
    """`reduce` of :func:`decode`, or an OptionError."""
    expected = "1, 2, 4 or 8"
    found = check_integer("reduce", reduce, 1, 8, expected)
    if found not in (1, 2, 4, 8):
        raise OptionError(f"reduce is {reduce}; expected {expected}")
    return found


def open_container(data: Any, max_pixels: int = MAX_PIXELS) -> Container:
    """A file taken apart and checked, its segments apart; `data` and `max_pixels` as in :func:`decode`.

    No view of `data` is left when this returns or raises. An error's traceback keeps the frames that it has passed,
    and they what they hold: callers delete their `data` too.
    """
    try:
        limit = check_max_pixels(max_pixels)
        with bytes_of(data) as view:
            return unpack(view, limit, PARSERS)
    finally:
        del data


def with_chunks(data: bytes, chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A finished file with metadata added: types, of four bytes, and contents; `data` itself where there are none."""
    return open_container(data, UNLIMITED).repacked(chunks=chunks) if chunks else data


@overload
def decode(
    data: Any,
    out: None = ...,
    *,
    device: str = ...,
    threads: int | None = ...,
    max_pixels: int = ...,
    max_rank: int | None = ...,
    bands: Sequence[int] | None = ...,
    frame: int | None = ...,
    reduce: int = ...,
) -> np.ndarray: ...


@overload
def decode(
    data: Any,
    out: _Out,
    *,
    device: str = ...,
    threads: int | None = ...,
    max_pixels: int = ...,
    max_rank: int | None = ...,
    bands: Sequence[int] | None = ...,
    frame: int | None = ...,
    reduce: int = ...,
) -> _Out: ...


def decode(
    data: Any,
    out: Any = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_rank: int | None = None,
    bands: Sequence[int] | None = None,
    frame: int | None = None,
    reduce: int = 1,
) -> Any:
    """Decompress a picture or an array.

    Parameters
    ----------
    data : bytes-like
        The contents of an .imf file. What lies behind its end, such as zeros up to an even length, is ignored. It is
        read before this returns or raises and not held on to: a memory map can be closed right after it.
    out : ndarray, optional
        Array to decode into, of the image's shape and type; any memory layout. An array on the GPU is decoded into
        there.
    device : {"auto", "cpu", "cuda", "reference"}, default "auto"
        Which kernels to use; all give the same pixels.
    threads : int, optional
        Largest number of threads to use; all cores by default.
    max_pixels : int, default 2**28
        Larger images are refused before memory is allocated.
    max_rank : int, optional
        Use only the first components of every plane, as a preview: the factorization is progressive. A bound of the
        error holds for all components only.
    bands : sequence of int, optional
        Numbers of the channels to decode, from 0, in this order; of arrays only their rows of V are multiplied.
    frame : int, optional
        The number of the frame of a stack to decode alone.
    reduce : {1, 2, 4, 8}, default 1
        Decode the picture so many times smaller in each direction, H and W being divided by it and rounded up: about
        the means over blocks, from the factors of the whole picture without the components of frequencies that the
        smaller one has not got. That takes less time, since those are not even decoded. What has no such factors, such
        as lossless arrays and masks of alpha, is decoded whole and averaged; a residual layer over others is left out,
        and a bound of the error holds for the whole picture only. A sample has no data where none of its block has.

    Returns
    -------
    ndarray, shape (H, W), (H, W, C), (T, H, W) or (T, H, W, C)
        The image, `out` if that was given; H and W are those of the smaller one where `reduce` asks for that.

    Raises
    ------
    FormatError
        If the data are not a valid file; `out` may then be partly written.
    LimitError
        If the image has more than `max_pixels` pixels, or needs far more memory than so many should.
    OptionError
        If `out` has another shape or dtype, or an option is out of range.
    DeviceError
        If the device cannot be used.

    See Also
    --------
    encode : The way there.
    decode_batch : Many files.
    imread : Decodes a file by its path.
    info : Shape and dtype without decoding.

    Examples
    --------
    >>> import numpy as np, imfnb
    >>> image = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
    >>> data = imfnb.encode(image, quality=90)
    >>> imfnb.decode(data).shape
    (48, 64)
    >>> out = np.empty((48, 64), np.uint8)
    >>> imfnb.decode(data, out) is out
    True
    >>> preview = imfnb.decode(data, max_rank=1)
    >>> int(abs(preview.astype(int) - image).max()) >= int(abs(out.astype(int) - image).max())
    True
    """
    resident = is_device_array(out)
    try:
        resolve_device(device, resident=resident)  # a wrong device is reported before wrong data
        workers = resolve_threads(threads)
        max_rank = check_max_rank(max_rank)
        reduce = check_reduce(reduce)
        container = open_container(data, max_pixels)
    finally:
        del data  # see `open_container`
    plan = _Plan(container, _check_number("frame", frame, container.frame.frames), bands, max_rank, max_pixels, reduce)
    target = check_out(out, plan.shape, container.frame.dtype, resident)
    direct = target is not None and (resident or target.flags.c_contiguous)
    result: np.ndarray | DeviceArray = target if direct else np.empty(plan.shape, container.frame.dtype)
    plan.fill(result, device, workers)
    if out is None:
        return result
    if not direct:
        out[...] = result
    return out


def decode_container(
    container: Container, max_rank: int | None, reduce: int, max_pixels: int, device: str, workers: int
) -> np.ndarray:
    """Decompress all of a file that has been taken apart."""
    plan = _Plan(container, None, None, max_rank, max_pixels, reduce)
    out = np.empty(plan.shape, container.frame.dtype)
    plan.fill(out, device, workers)
    return out


class _Plan:
    """What is to be decoded of a file: all of it, a frame, some bands.

    Parameters
    ----------
    container : Container
        The file.
    number : int or None
        The frame of a stack; all if there is none.
    bands : sequence of int or None
        Numbers of the bands; all if there is none.
    max_rank : int or None
        As in :func:`decode`.
    max_pixels, reduce : int
        As in :func:`decode`.

    Raises
    ------
    OptionError
        If the file has not got them.
    """

    def __init__(
        self,
        container: Container,
        number: int | None,
        bands: Any,
        max_rank: int | None,
        max_pixels: int,
        reduce: int = 1,
    ) -> None:
        frame = container.frame.reduced(reduce)
        self._container, self._number, self._frame = container, number, frame
        self._max_pixels, self._options = max_pixels, (max_rank, reduce)
        shape = frame.shape
        if number is not None:
            shape = shape[1:]
        self._bands = _check_bands(bands, shape, frame)
        if self._bands is not None:
            shape = (*shape[:-1], len(self._bands))
        self.shape = shape

    def fill(self, out: Any, device: str, workers: int) -> None:
        """Decode into an array of the shape."""
        frame = self._frame
        if frame.apart:
            numbers = range(frame.frames) if self._number is None else [self._number]
            images = out if self._number is None else [out]
            for number, image in zip(numbers, images, strict=True):
                one = frame_of(self._container, number, self._max_pixels)
                _fill(one, image, self._bands, device, workers, *self._options)
        elif frame.together:
            self._fill_together(out, device, workers)
        else:
            _fill(self._container, out, self._bands, device, workers, *self._options)

    def _fill_together(self, out: np.ndarray, device: str, workers: int) -> None:
        """Decode frames that are bands of one array."""
        frame = self._frame
        each = frame.channels // frame.frames
        numbers = range(frame.frames) if self._number is None else [self._number]
        bands = range(each) if self._bands is None else self._bands
        wanted = [number * each + band for number in numbers for band in bands]
        joined = np.empty((frame.height, frame.width, len(wanted)), frame.dtype)
        _fill(self._container, joined, wanted, device, workers, *self._options)
        stack = np.moveaxis(joined.reshape(frame.height, frame.width, len(numbers), -1), 2, 0)
        out[...] = stack.reshape(out.shape)


def _fill(
    container: Container,
    out: Any,
    bands: Sequence[int] | None,
    device: str,
    workers: int,
    max_rank: int | None,
    reduce: int,
) -> None:
    """Decode one image into an array, C-contiguous or on the GPU."""
    frame, resident = container.frame.reduced(reduce), is_device_array(out)
    backend = _choose(device, "decode", container.frame, resident)
    canvas = out.reshape(frame.height, frame.width, -1)
    options: dict[str, Any] = {"reduce": reduce}
    if bands is not None:
        options["bands"] = bands

    def work(chosen: str) -> None:
        beside = resident and (chosen != "cuda" or frame.array is not None)
        image = np.empty(canvas.shape, frame.dtype) if beside else canvas
        with open_run(chosen, workers) as run:
            run.drive(pipeline(frame).decode_stack([container], [image], max_rank, run, **options))
        if beside:
            canvas.copy_to_device(image)

    if bands is not None and frame.array is None:  # bands of a picture, whose transform needs all of them
        whole = np.empty((frame.height, frame.width, max(1, frame.channels)), np.uint8)
        _fill(container, whole, None, device, workers, max_rank, reduce)
        canvas[...] = whole[:, :, list(bands)]
        return
    run_on(device, backend, work)


def _check_number(name: str, value: Any, count: int) -> int | None:
    """The number of a frame, or an OptionError."""
    if value is None:
        return None
    if not count:
        raise OptionError(f"{name} is {value!r}, but the file is no stack; leave it out")
    return check_integer(name, value, 0, count - 1, f"an integer from 0 to {count - 1}, or None for all frames")


def _check_bands(bands: Any, shape: tuple[int, ...], frame: Frame) -> list[int] | None:
    """Numbers of bands, or an OptionError."""
    if bands is None:
        return None
    count = shape[-1] if frame.channels and frame.together != "times" else 0
    if not count:
        raise OptionError(f"bands is {bands!r}, but the image has no axis of channels; leave it out")
    try:
        found = list(bands)
    except TypeError:
        found = []
    if not found:
        raise OptionError(f"bands is {bands!r}; expected a sequence of numbers from 0 to {count - 1}")
    return [check_integer("bands", band, 0, count - 1, f"numbers from 0 to {count - 1}") for band in found]


def check_out(out: Any, shape: tuple[int, ...], dtype: np.dtype, resident: bool = False) -> Any:
    """`out` of :func:`decode` as something to write to, None for None; or an OptionError."""
    if out is None:
        return None
    if resident:
        from .runtime.memory import as_device

        target = as_device(out)
    else:
        target = out if isinstance(out, np.ndarray) else None
    if target is None or target.dtype != dtype or tuple(target.shape) != shape:
        found = type(out).__name__ if target is None else f"{target.dtype} {tuple(target.shape)}"
        raise OptionError(f"out is {found}; expected an array of {dtype} with shape {shape}")
    if not resident and not target.flags.writeable:
        raise OptionError("out is read-only; expected a writeable array")
    return target
