"""Samples without data: a map in the file, and what is coded in their place."""

from __future__ import annotations

import numpy as np

from ..entropy.maps import decode_map_checked
from ..format.bytestream import Reader
from ..format.container import Frame
from ..runtime.run import Run

__all__ = ["decode_missing", "encode_missing", "filled"]


def encode_missing(missing: np.ndarray, run: Run) -> bytes:
    """The segment of a mask: of all bands (H, W), or of each, one below the other."""
    symbols = missing.astype(np.uint8)
    if missing.ndim == 3:
        symbols = np.moveaxis(symbols, 2, 0).reshape(-1, missing.shape[1])
    return run.host_kernels("entropy.maps").encode_map(np.ascontiguousarray(symbols), 2)


def decode_missing(segment: Reader, frame: Frame, run: Run) -> np.ndarray:
    """The inverse of :func:`encode_missing`: bool, (H, W, 1) or (H, W, C)."""
    bands = max(1, frame.channels) if frame.samples.mask == "samples" else 1
    data = bytes(segment.take(segment.left))
    coder = run.host_kernels("entropy.maps")
    symbols = decode_map_checked(coder, data, frame.height * bands, frame.width, 2)
    return np.moveaxis(symbols.reshape(bands, frame.height, frame.width), 0, 2).astype(np.bool_)


def filled(integers: np.ndarray, missing: np.ndarray, run: Run) -> np.ndarray:
    """Integers (H, W, C) with samples without data continued from their surroundings, so that they cost little."""
    fill = run.host_kernels("fill").fill
    if missing.ndim == 2:
        if missing.all():
            return np.zeros_like(integers)
        fill(integers, ~missing)
        return integers
    for band in range(integers.shape[2]):
        hole = np.ascontiguousarray(missing[:, :, band])
        if hole.all():
            integers[:, :, band] = 0
        elif hole.any():
            fill(integers[:, :, band : band + 1], ~hole)
    return integers
