"""The public codec: an image in, bytes out, and back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar, overload

import numpy as np

from .errors import OptionError
from .format.container import MAX_PIXELS, Container, Frame, unpack
from .kinds import describe, kind_of
from .objective import least_svd_cost
from .options import SEARCHES, EncodeOptions, check_image, check_integer
from .profiles import PARSERS, pipeline
from .runtime.devices import DeviceArray, is_device_array, resolve_device, resolve_threads, run_on
from .runtime.run import HostRun, Run

__all__ = ["Info", "check_max_pixels", "check_max_rank", "decode", "encode", "info", "open_container"]

# What to do with a kind of argument that is not the contents of a file.
_REMEDIES = {
    "path": ": pass its bytes, or decode it with imfnb.imread",
    "folder": ": decode its files with imfnb.decode_batch",
    "file": ": pass what its read() returns, or decode it with imfnb.imread",
    "array": ": pass its tobytes() if those are a file, and use imfnb.encode to compress an image",
    "many": ": decode several files with imfnb.decode_batch",
}

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
    objective: str = "mse",
    alpha_quality: float | str | None = None,
    keep_hidden: bool = False,
    tune: str | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> bytes:
    """Compress an image.

    At most one of `quality`, `bpp`, `size`, `psnr`, `rank` and `step` is given; without any, quality is 50.

    Parameters
    ----------
    image : array_like of uint8, shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        Gray, RGB or RGBA, alpha not premultiplied. Arrays on the GPU (CuPy, PyTorch, JAX: whatever has
        ``__cuda_array_interface__``) are encoded there.
    quality : float or tuple of float, optional
        0 to 100. In the main profile it stands for a step of 2**(8 - 0.07 q) gray levels; for the eye for 0.66 times
        that, which takes about the same bytes from 50 on. In the baseline profile it is the rank in percent of the
        largest, R = max(1, round(min(M, N) q / 100)), half of that for chroma; a tuple gives one quality per plane.
    bpp : float, optional
        Bits per pixel not to be exceeded, all bytes of the file counted.
    size : int, optional
        Bytes not to be exceeded.
    psnr : float, optional
        Peak signal-to-noise ratio, in dB, to be reached with the fewest bytes: over all samples but alpha and, in the
        main profile, colours under an alpha of 0.
    rank : int or tuple of int, optional
        Baseline profile: rank of luma (chroma: half of it), or of each plane. Ranks above min(M, N) are lowered to it.
    step : float, optional
        Main profile: length of the columns of V for luma, the quantizer's step, in gray levels; 1 to 256. For the eye
        it is that of the lowest frequencies, in patches whose surroundings mask errors neither much nor little.
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
        Side of a patch. Main profile: 8, 16 or the better of both for each plane. Baseline profile: 8 by default; None
        factorizes each plane as it is.
    bounds : (int, int), default (-16, 15)
        Baseline profile: smallest and largest entry of the factors.
    iterations : int, default 10
        Baseline profile: sweeps of the block coordinate descent.
    objective : {"mse", "svd"}, default "mse"
        What chooses between the settings that are not given. "mse" estimates the squared error. "svd" encodes with
        every chroma resolution and patch size and keeps the file with the least R + lambda (MSE + 10 B), B being the
        basis distortion (see :mod:`imfnb.objective`); the SVDs take a second per megapixel and file.
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
        objective=objective,
        alpha_quality=alpha_quality,
        keep_hidden=keep_hidden,
        tune=tune,
    )
    pixels, channels = check_image(image)
    frame = Frame(options.profile, pixels.shape[0], pixels.shape[1], channels)
    work = "search" if options.target[0] in SEARCHES else "encode"
    backend, workers = _choose(device, work, frame, is_device_array(pixels)), resolve_threads(threads)

    def run(options: EncodeOptions) -> bytes:
        def work(chosen: str) -> bytes:
            image = pixels.copy_to_host() if chosen != "cuda" and is_device_array(pixels) else pixels
            with open_run(chosen, workers) as run:
                return pipeline(options.profile).encode_image(image, frame, options, run)

        return run_on(device, backend, work)

    if options.objective == "svd":
        host = pixels.copy_to_host() if is_device_array(pixels) else pixels
        return least_svd_cost(host, options, run, lambda data: decode(data, device=device, threads=threads))
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


def check_max_pixels(max_pixels: Any) -> int:
    """`max_pixels` of :func:`decode`, or an OptionError."""
    return check_integer("max_pixels", max_pixels, 1, math.inf, "a positive integer")


def open_container(data: Any, max_pixels: int = MAX_PIXELS) -> Container:
    """A file taken apart and checked, its segments apart; `data` and `max_pixels` as in :func:`decode`.

    No view of `data` is left when this returns or raises. An error's traceback keeps the frames that it has passed,
    and they what they hold: callers delete their `data` too.
    """
    try:
        limit = check_max_pixels(max_pixels)
        with _bytes_of(data) as view:
            return unpack(view, limit, PARSERS)
    finally:
        del data


def _bytes_of(data: Any) -> memoryview:
    """A view of one byte after the other, or an OptionError that says what `data` is."""
    try:
        with memoryview(data) as view:
            if view.ndim == 1 and view.itemsize == 1:
                return view.cast("B")
    except (TypeError, ValueError):  # nothing with bytes, or they are not contiguous
        pass
    try:
        kind = kind_of(data)
        if kind == "other" and isinstance(data, (list, tuple, Iterator)):
            kind = "many"
        remedy = _REMEDIES.get(kind, "")
        raise OptionError(f"data is {describe(data)}; expected contiguous bytes, the contents of an .imf file{remedy}")
    finally:
        del data


@overload
def decode(
    data: Any,
    out: None = ...,
    *,
    device: str = ...,
    threads: int | None = ...,
    max_pixels: int = ...,
    max_rank: int | None = ...,
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
) -> _Out: ...


def decode(
    data: Any,
    out: Any = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    max_rank: int | None = None,
) -> Any:
    """Decompress an image.

    Parameters
    ----------
    data : bytes-like
        The contents of an .imf file. What lies behind its end, such as zeros up to an even length, is ignored. It is
        read before this returns or raises and not held on to: a memory map can be closed right after it.
    out : ndarray of uint8, optional
        Array to decode into, of the image's shape; any memory layout. An array on the GPU is decoded into there.
    device : {"auto", "cpu", "cuda", "reference"}, default "auto"
        Which kernels to use; all give the same pixels.
    threads : int, optional
        Largest number of threads to use; all cores by default.
    max_pixels : int, default 2**28
        Larger images are refused before memory is allocated.
    max_rank : int, optional
        Use only the first components of every plane, as a preview: the factorization is progressive.

    Returns
    -------
    ndarray of uint8, shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        The image, `out` if that was given.

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
    """
    resident = is_device_array(out)
    try:
        resolve_device(device, resident=resident)  # a wrong device is reported before wrong data
        workers = resolve_threads(threads)
        max_rank = check_max_rank(max_rank)
        container = open_container(data, max_pixels)
    finally:
        del data  # see `open_container`
    frame = container.frame
    backend = _choose(device, "decode", frame, resident)
    target = _check_out(out, frame.shape, resident)
    direct = target is not None and (resident or target.flags.c_contiguous)
    result: np.ndarray | DeviceArray = target if direct else np.empty(frame.shape, np.uint8)
    canvas = result.reshape(frame.height, frame.width, max(1, frame.channels))

    def work(chosen: str) -> None:
        image = np.empty(canvas.shape, np.uint8) if chosen != "cuda" and resident else canvas
        with open_run(chosen, workers) as run:
            run.drive(pipeline(frame.profile).decode_stack([container], [image], max_rank, run))
        if is_device_array(canvas) and image is not canvas:
            canvas.copy_to_device(image)

    run_on(device, backend, work)
    if out is None:
        return result
    if not direct:
        out[...] = result
    return out


def _check_out(out: Any, shape: tuple[int, ...], resident: bool) -> Any:
    """`out` of :func:`decode` as something to write to, None for None; or an OptionError."""
    if out is None:
        return None
    if resident:
        from .runtime.memory import as_device

        target = as_device(out)
    else:
        target = out if isinstance(out, np.ndarray) else None
    if target is None or target.dtype != np.uint8 or tuple(target.shape) != shape:
        found = type(out).__name__ if target is None else f"{target.dtype} {tuple(target.shape)}"
        raise OptionError(f"out is {found}; expected an array of uint8 with shape {shape}")
    if not resident and not target.flags.writeable:
        raise OptionError("out is read-only; expected a writeable array")
    return target


class Info(dict):
    """What :func:`info` returns: a dict whose text form is a short table."""

    def __str__(self) -> str:
        lines = []
        for key, value in self.items():
            if isinstance(value, dict):
                lines += [f"{key}.{name}: {number}" for name, number in value.items()]
            elif isinstance(value, float):
                lines.append(f"{key}: {value:.4f}")
            else:
                lines.append(f"{key}: {value}")
        return "\n".join(lines)


def info(data: Any, *, max_pixels: int = MAX_PIXELS) -> Info:
    """Describe a file without decoding it.

    Parameters
    ----------
    data : bytes-like
        The contents of an .imf file.
    max_pixels : int, default 2**28
        Larger images are refused.

    Returns
    -------
    Info
        A dict with version (of the format), profile, shape, color_space, subsampling, segments (bytes of each plane or
        matrix), size (bytes of the file proper), padding (bytes behind its end, which do not belong to it) and bpp.
        Baseline: patch_size, bounds and ranks. Main: alpha (how it is coded: "lossy", "lossless", "constant", or None
        if there is none), steps (gray levels), patch_sizes, restoration, weights (of each plane, what the step is
        multiplied by: that of the first component, and a of 1 + a f**1.5 for the others), local_steps (side of the
        blocks that have steps of their own, in pixels, or None), ranks (components used by each plane), free_v (number
        of slices of each plane whose V has left the DCT basis) and components (bytes of each component of each plane:
        the first with V, then the map of active ranks, then the second and so on).

    Raises
    ------
    FormatError
        If the data are not a valid file.
    OptionError
        If `data` are no bytes, or `max_pixels` is out of range.
    """
    try:
        container = open_container(data, max_pixels)
    finally:
        del data  # see `open_container`
    frame = container.frame
    pixels = frame.height * frame.width
    details = pipeline(frame.profile).describe(container)
    return Info(
        version=container.version,
        profile=frame.profile,
        shape=frame.shape,
        **details,
        size=container.total,
        padding=container.padding,
        bpp=8 * container.total / pixels,
    )
