"""What the training scripts share: planes of a folder of images, and one plane through the codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from suite.factors import factorize as factorize_filtered
from suite.factors import multiply

from imfnb.color import cpu as color
from imfnb.factorization import rdoq
from imfnb.lapped import cpu as lapped
from imfnb.layout import half
from imfnb.pictures import read_picture

Plane = NDArray[np.int32]

SUFFIXES = {".png", ".ppm", ".pgm", ".tif", ".tiff", ".bmp"}


def image_paths(folder: Path) -> list[Path]:
    """The lossless images of a folder in order of name."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise SystemExit(f"no images in {folder}; expected one of {' '.join(sorted(SUFFIXES))}")
    return paths


def read_planes(path: Path, subsample: bool = True) -> list[Plane]:
    """Y, Cb and Cr of an image: centred samples with four fractional bits."""
    pixels = read_picture(path, srgb=True).pixels
    images = np.ascontiguousarray(pixels.reshape(1, *pixels.shape[:2], -1)[..., :3])
    shape = images.shape[:3]
    chroma = (1, half(shape[1]), half(shape[2])) if subsample else shape
    planes = [np.empty(s, np.int32) for s in (shape, chroma, chroma)[: images.shape[3]]]
    if len(planes) == 3:
        color.rgb_to_q4(images, *planes)
    else:
        color.gray_to_q4(images, 0, planes[0])
    return [plane[0] for plane in planes]


def factorize(plane: Plane, step: int, patch_size: int) -> rdoq.Factors:
    """The factors of a plane; `step` in 1/64 gray level."""
    filtered = np.empty((1, *(size + -size % patch_size for size in plane.shape)), np.int32)
    lapped.forward(plane[None], patch_size, filtered, [0])
    return factorize_filtered(filtered[0], step, patch_size)


def decoded(plane: Plane, step: int, patch_size: int) -> Plane:
    """The plane that comes out of the codec, without restoration."""
    factors = factorize(plane, step, patch_size)
    full = np.empty(tuple(size * patch_size for size in factors.grid), np.int32)
    multiply(factors, step, patch_size, full)
    out = np.empty((1, *plane.shape), np.int32)
    lapped.inverse(full[None], patch_size, out, [0])
    return out[0]
