"""Pictures of every size and what the benchmarks share."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

import imfnb
from imfnb.layout import half

BACKENDS = ("reference", "cpu", "cuda")

#: Name to (height, width): that of the Kodak set, and 2, 12 and 100 megapixels.
SIZES = {"0.4 MP": (512, 768), "2 MP": (1152, 1728), "12 MP": (2832, 4240), "100 MP": (8192, 12208)}


@lru_cache(maxsize=1)
def photograph(size: str) -> np.ndarray:
    """RGB picture of a size, made by repeating scikit-image's photographs with varied brightness.

    Repetition keeps the statistics of a pixel's neighbourhood, which upsampling would smooth. It makes whole-file
    matches possible only for the deflated columns of the baseline, and 256 shades of brightness prevent those.
    """
    from skimage import data

    height, width = SIZES[size]
    tiles = [data.astronaut(), data.coffee()[:, :512], data.rocket()[:400, :512], data.chelsea()[:300, :451]]
    rows: list[np.ndarray] = []
    shade = 0
    while sum(row.shape[0] for row in rows) < height:
        tile = tiles[len(rows) % len(tiles)]
        strip = np.empty((tile.shape[0], width, 3), np.uint8)
        for x in range(0, width, tile.shape[1]):
            part = tile[:, : min(tile.shape[1], width - x)]
            strip[:, x : x + part.shape[1]] = np.clip(part.astype(np.int16) + shade % 32 - 16, 0, 255)
            shade += 7
        rows.append(strip)
    return np.ascontiguousarray(np.concatenate(rows)[:height])


def new_planes(image: np.ndarray, dtype: type) -> list[np.ndarray]:
    """Memory for Y and half-size Cb and Cr of an image, as stacks of one plane."""
    shape = image.shape[:2]
    chroma = half(shape[0]), half(shape[1])
    return [np.empty((1, *s), dtype) for s in (shape, chroma, chroma)]


def require(backend: str, size: str = "0.4 MP", limit: str = "2 MP", profile: str = "baseline") -> None:
    """Skip (NotImplementedError is asv's way) where a backend is missing or plain NumPy would take too long."""
    if backend == "cuda":
        try:
            imfnb.encode(np.zeros((8, 8), np.uint8), profile=profile, device="cuda")
        except imfnb.DeviceError as error:
            raise NotImplementedError(str(error)) from None
    names = list(SIZES)
    if backend == "reference" and names.index(size) > names.index(limit):
        raise NotImplementedError(f"the reference is timed up to {limit}")
