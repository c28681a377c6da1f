"""Figures of the study of arrays: curves of every set, and a collage in false colours at equal bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..baselines.arrays import ArrayCodec
from ..metrics import psnr
from .collage import busiest_crops
from .collage import draw as draw_crops
from .curves import Curve, mean_at
from .figures import INK, label_ends, look, new_figure, rate_axis
from .measures import ARRAY_PSNR
from .scenes import Scene

__all__ = ["draw_collage", "draw_curves", "false_colours"]

# Panels in a row, side of a crop in pixels, bisections of the level, and percentiles that are stretched.
_COLUMNS, _SIDE, _HALVINGS, _STRETCHED = 3, 96, 12, (2.0, 98.0)


def draw_curves(groups: Mapping[str, Sequence[Scene]], curves: Mapping[str, Curve], rates: tuple[float, float]) -> Any:
    """PSNR over bits per sample, one panel for every set, means over its arrays."""
    columns = min(_COLUMNS, len(groups))
    figure, axes = new_figure(5.6 * columns, 4.6 * -(-len(groups) // columns), -(-len(groups) // columns), columns)
    grid = np.geomspace(*rates, 80)
    for axis in list(axes.flat)[len(groups) :]:
        axis.set_axis_off()
    for axis, (group, scenes) in zip(axes.flat, groups.items(), strict=False):
        lines, texts = [], []
        for number, (name, curve) in enumerate(curves.items()):
            part = {s.name: [{**row, "bpp": row["bps"]} for row in curve[s.name]] for s in scenes if s.name in curve}
            mean = mean_at(part, ARRAY_PSNR, grid)[0] if part else np.full(grid.shape, math.nan)
            if np.isfinite(mean).any():
                lines += axis.plot(grid, mean, **look(name, number))
                texts.append(name)
        rate_axis(axis, *rates, unit="sample")
        axis.set_ylabel(ARRAY_PSNR.axis, fontsize=9, color=INK)
        axis.set_title(group, fontsize=9, color=INK)
        label_ends(axis, lines, texts)
    return figure


def draw_collage(scene: Scene, codecs: Sequence[ArrayCodec], bps: float) -> Any:
    """Crops of an array as codecs decode it from at most as many bytes, in false colours."""
    array = scene.read()
    limit = bps * array.size / 8
    image = false_colours(array, array)
    panels: list[tuple[str, np.ndarray | None]] = [("original", image)]
    for codec in codecs:
        data = _within(codec, array, limit)
        if data is None:
            panels.append((f"{codec.name}\ncannot go below {bps:g} bits per sample", None))
            continue
        decoded = codec.decode(data, array.shape, array.dtype)
        text = f"{codec.name}, {8 * len(data) / array.size:.3f} bits per sample\nPSNR {psnr(array, decoded):.2f} dB"
        panels.append((text, false_colours(decoded, array)))
    size = min(_SIDE, *image.shape[:2])
    return draw_crops(scene.name, panels, busiest_crops(image, size), size)


def false_colours(array: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Bands 3, 2 and 1 as red, green and blue, stretched as the original's are; one gray band where there are fewer.

    Parameters
    ----------
    array : ndarray, shape (H, W) or (H, W, C)
        What to show.
    original : ndarray
        The array of whose bands the second and the 98th percentile become black and white.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3) or (H, W)
        The picture.
    """

    def shown(samples: np.ndarray) -> np.ndarray:
        bands = samples[:, :, None] if samples.ndim == 2 else samples
        return (bands[:, :, 2::-1] if bands.shape[2] >= 3 else bands[:, :, :1]).astype(np.float64)

    low, high = np.percentile(shown(original), _STRETCHED, axis=(0, 1))
    picture = (shown(array) - low) / np.maximum(high - low, np.finfo(float).tiny)
    pixels = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    return pixels if pixels.shape[2] == 3 else pixels[:, :, 0]


def _within(codec: ArrayCodec, array: np.ndarray, limit: float) -> bytes | None:
    """The largest file of at most so many bytes that a bisection of the noise finds, None if there is none."""
    low, high, best = math.log(float(np.ptp(array)) or 1.0) - 14.0, math.log(float(np.ptp(array)) or 1.0), None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        data = codec.encode(array, math.exp(middle))
        if len(data) > limit:
            low = middle
        else:
            high, best = middle, data if best is None else max(best, data, key=len)
    return best
