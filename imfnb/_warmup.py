"""Compile every kernel once."""

from __future__ import annotations

import time

import numpy as np

from .codec import decode, encode
from .factorization import factorize

__all__ = ["warmup"]


def warmup() -> float:
    """Compile every CPU kernel, or load it from the cache, so that no later call has to.

    Returns
    -------
    float
        Seconds that it took.
    """
    start = time.perf_counter()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 56, 4), dtype=np.uint8)
    for picture in (image, np.ascontiguousarray(image[:, :, :3]), image[:, :, 0]):
        for subsampling in ("4:2:0", "4:4:4"):
            for options in ({"profile": "main", "step": 20.0}, {"profile": "baseline", "rank": 2}):
                decode(encode(picture, subsampling=subsampling, **options))
    decode(encode(image, profile="baseline", bounds=(-1000, 1000), rank=2))
    encode(image, bpp=12.0)
    encode(np.tile(image[:, :, 0], (26, 19)), step=30.0)  # V leaves its prior from a megapixel on
    factorize(image[:, :, 0], 2)
    factorize(image[:, :, 0].astype(float), 2, bounds=None)
    return time.perf_counter() - start
