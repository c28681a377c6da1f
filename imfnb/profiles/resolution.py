"""The resolution of chroma, by what half and full resolution are likely to cost on the picture at hand.

Half resolution loses what lies between its samples, whatever the step; full resolution pays for four times the samples
at a longer step. Both are put down as rate-distortion costs of RGB: what resampling loses is measured, by converting
rows of the picture to half resolution and back, and what coding costs is estimated by the kernel `proxy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layout import PatchGrid, main_planes
from ..runtime.run import Run, Task
from . import decide
from .stacks import Analysis

__all__ = ["subsampled"]

# Side of the patches that costs are estimated with. (The cheaper of 8 and 16 for each plane agrees no better with
# trying both resolutions, and takes more than twice the time.)
_PATCH = 8


def subsampled(
    analysis: Analysis, wish: str | None, step: int, kept: bool | None = None
) -> Task[list[bool]]:
    """Whether chroma of each image is better coded with half its size.

    Parameters
    ----------
    analysis : Analysis
        The images.
    wish : {"4:2:0", "4:4:4"} or None
        The option.
    step : int
        Step of luma in 1/64 gray level.
    kept : bool, optional
        What was chosen before at another step, and is given up for a clear gain only.

    Returns
    -------
    list of bool
        Through the task; on every backend and for any number of threads the same.
    """
    known = decide.known_subsampling(wish, analysis.frame.channels, step)
    if known is not None:
        return [known] * len(analysis.alphas)
    costs = yield from _costs(analysis, step)
    return [decide.half_chroma_pays(*image, step, kept) for image in costs]


def _costs(analysis: Analysis, step: int) -> Task[list[tuple[list[int], list[int], list[int]]]]:
    """For each image the terms of `decide.half_chroma_pays`: sums over the sampled rows for each plane."""
    run, height = analysis.run, analysis.frame.height
    rows = decide.resampled_rows(height)
    if run.merges:  # a stack is converted as a whole, since rows of several images are not one array
        parts = [(slice(0, height), rows)]
    else:
        parts = [(decide.resampled_part(part, height), [part]) for part in rows]
    sums = yield from run.together(_part_costs(analysis, number, *part, step) for number, part in enumerate(parts))
    total = np.sum(sums, axis=0)  # (7, B)
    return [(image[:3], image[3:5], image[5:]) for image in total.T.tolist()]


def _part_costs(analysis: Analysis, number: int, part: slice, rows: list[slice], step: int) -> Task[np.ndarray]:
    """What `rows` inside of a part of the rows of all images add to the costs, int64 (7, B).

    Squared errors of Y, Cb and Cr by resampling, then the estimates for Cb and Cr with full and with half resolution.
    """
    run, frame, count = analysis.run, analysis.frame, len(analysis.alphas)
    color, error = run.kernels("color"), run.kernels("restoration").squared_error
    height, name = part.stop - part.start, f"resolution {number} "
    images = analysis.images if height == frame.height else analysis.images[:, part]
    whole, half, back = (
        [
            run.array(f"{name}{key}{spec.index}", (count, *spec.shape), np.int32)
            for spec in main_planes(height, frame.width, 3, subsample, False)
        ]
        for key, subsample in (("whole", False), ("half", True), ("back", False))
    )
    resampled = run.array(f"{name}pixels", (count, height, frame.width, frame.channels), np.uint8)
    color.rgb_to_q4(images, *whole)
    color.rgb_to_q4(images, *half)
    color.q4_to_rgb(*half, resampled)
    color.rgb_to_q4(resampled, *back)
    sums = run.zeros(f"{name}costs", (7, count), np.int64)
    for inside in rows:
        first, last = inside.start - part.start, inside.stop - part.start
        for total, before, after in zip(sums[:3], whole, back, strict=True):
            error(after, before, total, (first, last, height))
        for key, total, plane in zip("0123", sums[3:], [*whole[1:], *half[1:]], strict=True):
            scale = 1 if plane is whole[1] or plane is whole[2] else 2
            narrow = slice(first // scale, -(-last // scale))
            _estimate(plane, narrow, decide.chroma_step(step, scale == 2), total, f"{name}{key} ", run)
    (found,) = yield from run.fetch(f"{name}costs", sums)
    return found


def _estimate(planes: Any, rows: slice, step: int, total: Any, name: str, run: Run) -> None:
    """Add the estimated costs of some rows of planes."""
    shape = PatchGrid((rows.stop - rows.start, planes.shape[2]), _PATCH).extended
    filtered = run.array(f"{name}filtered", (len(planes), *shape), np.int32)
    which = run.constant(f"{name}which", np.arange(len(planes), dtype=np.int32))
    run.kernels("lapped").forward(planes, _PATCH, filtered, which, rows)
    run.kernels("factorization.rdoq").proxy(filtered, _PATCH, step, total)
