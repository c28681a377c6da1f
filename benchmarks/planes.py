"""What the training scripts share: planes of a folder of images, and one plane through the codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from suite.factors import factorize as factorize_filtered
from suite.factors import multiply

from imfnb import lapped
from imfnb.color import split_fine
from imfnb.factorization import rdoq
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
    return split_fine(np.ascontiguousarray(read_picture(path)[:, :, :3]), subsample, "cpu")


def factorize(plane: Plane, step: int, patch_size: int) -> rdoq.Factors:
    """The factors of a plane; `step` in 1/64 gray level."""
    height, width = plane.shape
    extended = np.pad(plane, ((0, -height % patch_size), (0, -width % patch_size)), mode="edge")
    return factorize_filtered(lapped.forward(extended, patch_size, "cpu"), step, patch_size)


def decoded(plane: Plane, step: int, patch_size: int) -> Plane:
    """The plane that comes out of the codec, without restoration."""
    factors = factorize(plane, step, patch_size)
    full = np.empty(tuple(size * patch_size for size in factors.grid), np.int32)
    multiply(factors, step, patch_size, full)
    return np.ascontiguousarray(lapped.inverse(full, patch_size, "cpu")[: plane.shape[0], : plane.shape[1]])
