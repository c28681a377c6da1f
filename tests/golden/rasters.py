"""Golden files of arrays and of gray pictures with alpha: types, layouts, layers, masks and frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from array_helpers import apart, layered, recoded, scene, segments_of, spanned
from helpers import assemble, picture, signed

import imfnb
from imfnb.entropy.maps.reference import encode_map
from imfnb.format.container import Frame, pack
from imfnb.format.main_header import ArrayParameters, PlaneParameters, Restoration, serialize
from imfnb.format.samples import ArrayFields
from imfnb.frames import pack_frames

__all__ = ["CASES"]


def _gray_alpha(height: int, width: int, **options: Any) -> bytes:
    """A gray picture with soft edges to fully transparent and opaque areas."""
    image = picture(height, width, 2, 3)
    image[:, :, 1] = np.clip(2.0 * image[:, :, 1] - 120, 0, 255)
    return imfnb.encode(image, **{"tune": "psnr", **options})


def _constant_alpha() -> bytes:
    image = picture(19, 13, 2, 4)
    image[:, :, 1] = 99
    return imfnb.encode(image, step=25, tune="psnr")


def _bands(dtype: str, shape: tuple[int, ...] = (19, 23, 3), seed: int = 1, **options: Any) -> bytes:
    """A scene with a lossy layer, or with what the options say."""
    given = {"quality": 45} if not {"quality", "max_error", "lossless", "psnr"} & set(options) else {}
    return imfnb.encode(scene(shape, dtype, seed), **given, **options)


def _smooth(height: int, width: int, bands: int, dtype: str) -> np.ndarray:
    """A scene with little noise, whose finest steps take few bytes."""
    return scene((height, width, bands), dtype, 5, noise=0.0005)


def _fine(p: int, restored: bool = False) -> bytes:
    """The finest step: of planes of twice the range for patches of 8 x 8, the finest of the usual range for others."""
    image = _smooth(24, 24, 2, "uint16")
    data = imfnb.encode(image, step=1e-3, patch_size=8)
    if p == 16:
        least = 2 * apart(data).parameters.planes[0].step
        steps = (2.0**k for k in range(16))
        data = next(
            found
            for found in (imfnb.encode(image, step=step, patch_size=16) for step in steps)
            if apart(found).parameters.planes[0].patch_size == 16
        )
        assert apart(data).parameters.planes[0].step < least
    return recoded(data, (restored,) * len(apart(data).parameters.planes))


def _holes(kind: str, shape: tuple[int, int, int] = (19, 22, 3)) -> np.ndarray:
    """Where there is no data: in all bands, or in each of them elsewhere."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    holes = [(y - 8 - 3 * b) ** 2 + (x - 9 - 2 * b) ** 2 < 30 for b in range(shape[2])]
    return holes[0] if kind == "pixels" else np.stack(holes, axis=2)


def _masked(dtype: str, kind: str, **options: Any) -> bytes:
    """A lossy layer, or what the options say, with samples without data."""
    image = scene((19, 22, 3), dtype, 7)
    options = {"quality": 45, "mask": _holes(kind), **options}
    if "max_error" in options:
        del options["quality"]
    return imfnb.encode(image, **options)


def _over(dtype: str, bound: int, shape: tuple[int, ...] = (11, 14, 2), **options: Any) -> bytes:
    """A residual layer over a lossy one."""
    image = scene(shape, dtype, 9)
    if "mask" in options:
        image[options["mask"]] = options["nodata"]
    return layered(image, imfnb.encode(image, quality=40, **options), bound)


def _frames(shape: tuple[int, ...], together: bool, **options: Any) -> bytes:
    """Frames of any type, alike so that they are smaller as bands, or each on its own."""
    axes = "THWC"[: len(shape)]
    stack = np.stack([scene(shape[1:], "uint16", 3 if together else t) for t in range(shape[0])])
    stack += (np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1)) * 40).astype(np.uint16)
    if not together:
        return pack_frames([imfnb.encode(image, **options) for image in stack])
    data = imfnb.encode(stack, axes=axes, **options)
    assert apart(data).frame.together
    return data


def _pictures() -> bytes:
    """A stack of pictures, the last of which has another profile."""
    files = [imfnb.encode(picture(9, 11, 3, seed), step=20, tune="psnr") for seed in range(2)]
    files.append(imfnb.encode(picture(9, 11, 3, 2), profile="baseline", rank=2))
    return pack_frames(files)


def _of_bytes(array: ArrayFields, channels: int, bound: int | None, seed: int) -> bytes:
    """All segments of any bytes: offsets and V at their limits, residuals beyond the range."""
    rng = np.random.default_rng(seed)
    height, width, bands = 9, 12, max(1, channels)
    planes = tuple(PlaneParameters(64 << 2 * k, 8, Restoration.NONE) for k in range(1))
    frame = Frame("main", height, width, channels, replace(array, unit=None if bound is None else 2 * bound + 1))
    segments = [bytes([int(rng.integers(64))]) + rng.bytes(200) + bytes(800)]
    segments.append(rng.bytes(60) + bytes(120 * bands))
    if array.mask is not None:
        shape = (height * (bands if array.mask == "samples" else 1), width)
        segments.append(encode_map((rng.random(shape) < 0.2).astype(np.uint8), 2))
    if bound is not None:
        segments.append(rng.bytes(300) + bytes(1000))
    return pack(frame, serialize(ArrayParameters(planes, 7), frame), segments)


def _plain_features() -> bytes:
    """Bands without a type: uint8 from 0 to 255. No encoder leaves it out."""
    container = apart(imfnb.encode(scene((12, 13, 5), "uint8", 2), quality=40))
    data = pack(container.frame, container.fields, segments_of(container))
    kind = bytes([1, 12, 13, 5, 0b11, 0]) + signed(container.frame.samples.low) + signed(container.frame.samples.high)
    head_at = data.index(kind)
    end = data.index(segments_of(container)[0]) - 4
    return assemble(data[head_at:end].replace(kind, bytes([1, 12, 13, 5, 0b10]), 1), segments_of(container))


def _chunk() -> bytes:
    """An array with metadata, whose segments are not the end of the payload."""
    return apart(_bands("int16", (12, 13, 2))).repacked(chunks=[(b"XMP ", b"<x/>"), (b"none", b"")])


def _two_slices() -> bytes:
    """Planes of more than 2^20 samples and residuals in two slices."""
    image = np.full((1030, 1025), 1000, np.uint16)
    image[1010:1030, 1000:1020] = spanned(np.random.default_rng(1).uniform(-1, 1, (20, 20)), "uint16") // 16
    image[100:110, 5:25] += 77
    return layered(image, imfnb.encode(image, quality=20), 1)


#: Name of the file -> what makes its bytes.
CASES: dict[str, Callable[[], bytes]] = {
    "v2-main-gray-alpha-lossy": partial(_gray_alpha, 24, 23, step=25, alpha_quality=20),
    "v2-main-gray-alpha-lossless": partial(_gray_alpha, 19, 21, step=25, alpha_quality="lossless", keep_hidden=True),
    "v2-main-gray-alpha-constant": _constant_alpha,
    "v2-main-gray-alpha-visual": partial(_gray_alpha, 40, 37, quality=40, alpha_quality=30, tune="visual"),
    **{
        f"v2-main-array-{dtype}": partial(_bands, dtype, channels="bands")
        for dtype in ("int8", "uint8", "int16", "uint16", "float32", "float64")
    },
    "v2-main-array-best": partial(_bands, "uint16", effort="best"),
    "v2-main-array-fast": partial(_bands, "uint16", effort="fast"),
    "v2-main-array-gray": partial(_bands, "uint16", (19, 23)),
    "v2-main-array-gray-axis": partial(_bands, "uint16", (19, 23, 1)),
    "v2-main-array-gray-uint8-lossless": partial(_bands, "uint8", (12, 13), lossless=True),
    "v2-main-array-rgb": partial(_bands, "uint16"),
    "v2-main-array-rgba": partial(_bands, "int16", (12, 13, 4), channels="rgba"),
    "v2-main-array-one-sample": partial(_bands, "float64", (1, 1)),
    "v2-main-array-many-bands": partial(_bands, "int16", (9, 10, 21)),
    "v2-main-array-fine-p8": partial(_fine, 8),
    "v2-main-array-fine-p8-restored": partial(_fine, 8, True),
    "v2-main-array-fine-p16": partial(_fine, 16),
    "v2-main-array-fine-p16-restored": partial(_fine, 16, True),
    "v2-main-array-step-coarse": partial(_bands, "uint16", (33, 20, 2), quality=0, patch_size=16),
    "v2-main-array-psnr": partial(_bands, "int16", (19, 23, 2), psnr=38),
    "v2-main-array-plain-features": _plain_features,
    "v2-main-array-chunk": _chunk,
    "v2-main-array-mask-pixels": partial(_masked, "uint16", "pixels"),
    "v2-main-array-mask-samples": partial(_masked, "int16", "samples", nodata=-32768),
    "v2-main-array-nan": partial(_masked, "float32", "samples"),
    "v2-main-array-nodata-float64": partial(_masked, "float64", "pixels", nodata=-9999.0),
    "v2-main-array-no-data-at-all": partial(_bands, "float32", (5, 6, 2), mask=np.ones((5, 6), np.bool_)),
    "v2-main-array-residual-0": partial(_bands, "uint16", (10, 12, 2), lossless=True),
    "v2-main-array-residual-2": partial(_bands, "int16", (10, 12, 3), max_error=2),
    "v2-main-array-residual-bands": partial(_bands, "int8", (7, 8, 6), max_error=1),
    "v2-main-array-residual-float32": partial(_bands, "float32", (10, 12, 2), max_error=0.01),
    "v2-main-array-residual-float64": partial(_masked, "float64", "samples", max_error=0.02),
    "v2-main-array-residual-mask": partial(_masked, "uint16", "pixels", max_error=300),
    "v2-main-array-over-0": partial(_over, "uint16", 0),
    "v2-main-array-over-2": partial(_over, "int16", 2, (10, 11, 5)),
    "v2-main-array-over-float32": partial(_over, "float32", 300),
    "v2-main-array-over-mask-pixels": partial(_over, "int16", 90, nodata=-32768, mask=_holes("pixels")[:11, :14]),
    "v2-main-array-over-mask-samples": partial(_over, "int16", 90, nodata=-32768, mask=_holes("samples")[:11, :14, :2]),
    "v2-main-array-over-two-slices": _two_slices,
    "v2-main-array-any-bytes-uint8": lambda: _of_bytes(ArrayFields("uint8", 3, 250, bands=True), 3, None, 1),
    "v2-main-array-any-bytes-largest-bound": lambda: _of_bytes(
        ArrayFields("int16", -32768, 32767, bands=True), 2, 1 << 24, 2
    ),
    "v2-main-array-any-bytes-float32": lambda: _of_bytes(
        ArrayFields("float32", -(1 << 24), 1 << 24, 1e35, -3e38, True, "samples", 1e39), 2, 77, 3
    ),
    "v2-main-array-any-bytes-float64": lambda: _of_bytes(
        ArrayFields("float64", -(1 << 24), 1 << 24, 0.1, 1e9, False, "pixels", -0.0), 0, 0, 4
    ),
    "v2-main-array-frames-apart": partial(_frames, (3, 9, 11, 2), False, quality=30),
    "v2-main-array-frames-apart-lossless": partial(_frames, (2, 7, 8), False, lossless=True),
    "v2-main-array-frames-pictures": _pictures,
    "v2-main-array-frames-bands": partial(_frames, (3, 13, 11, 2), True, quality=40),
    "v2-main-array-frames-times": partial(_frames, (4, 13, 11), True, quality=40),
    "v2-main-array-frames-times-lossless": partial(_frames, (3, 9, 10), True, max_error=400),
}
