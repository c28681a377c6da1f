"""The resolution of chroma, by what half and full resolution are likely to cost on the picture at hand.

Half resolution loses what lies between its samples, whatever the step; full resolution pays for four times the samples
at a longer step. Both are put down as rate-distortion costs of RGB: what resampling loses is measured, by converting
rows of the picture to half resolution and back, and what coding costs is estimated by the kernel `proxy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..layout import PatchGrid, half
from ..runtime.run import Run, Task
from . import decide
from .stacks import Analysis
from .tuning import Tune

__all__ = ["subsampled"]

# Side of the patches that costs are estimated with. (The cheaper of 8 and 16 for each plane agrees no better with
# trying both resolutions, and takes more than twice the time.)
_PATCH = 8


def subsampled(
    analysis: Analysis, wish: str | None, step: int, tune: Tune, kept: bool | None = None
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
    tune : Tune
        What errors are to be small for.
    kept : bool, optional
        What was chosen before at another step, and is given up for a clear gain only.

    Returns
    -------
    list of bool
        Through the task; on every backend and for any number of threads the same.
    """
    known = decide.known_subsampling(wish, analysis.frame.channels, step)
    if known is not None:
        return [known] * len(analysis.images)
    costs = yield from _costs(analysis, step, tune)
    return [decide.half_chroma_pays(*image, step, tune, kept) for image in costs]


def _costs(analysis: Analysis, step: int, tune: Tune) -> Task[list[tuple[list[int], list[int], list[int]]]]:
    """For each image the terms of `decide.half_chroma_pays`: sums over the sampled rows for each plane."""
    run, height = analysis.run, analysis.frame.height
    rows = decide.sampled_rows(height)
    if run.merges:  # a stack is converted as a whole, since rows of several images are not one array
        parts = [(slice(0, height), rows)]
    else:
        parts = [(decide.resampled_part(part, height), [part]) for part in rows]
    sums = yield from run.together(_part_costs(analysis, *part, step, tune) for part in parts)
    total = np.sum(sums, axis=0).reshape(7, len(analysis.images))
    return [(image[:3], image[3:5], image[5:]) for image in total.T.tolist()]


def _part_costs(analysis: Analysis, part: slice, rows: list[slice], step: int, tune: Tune) -> Task[np.ndarray]:
    """What `rows` inside of a part of the rows of all images add to the costs, int64 (7 B,).

    Squared errors of Y, Cb and Cr by resampling, then the estimates for Cb and Cr with full and with half resolution,
    each for all images.
    """
    run, frame, count = analysis.run, analysis.frame, len(analysis.images)
    color, error = run.kernels("color"), run.kernels("restoration").squared_error
    height, width = part.stop - part.start, frame.width
    images = analysis.images if height == frame.height else analysis.images[:, part]
    resampled = run.array("resampled", (count, height, width, frame.channels), np.uint8)

    luma, back, whole = (
        run.array(f"resolution {key}", (planes * count, height, width), np.int32)
        for key, planes in (("luma", 1), ("back", 3), ("whole", 2))
    )
    small = run.array("resolution half", (2 * count, half(height), half(width)), np.int32)
    color.rgb_to_q4(images, luma, small[:count], small[count:])
    color.q4_to_rgb(luma, small[:count], small[count:], resampled)
    color.rgb_to_q4(resampled, back[:count], back[count : 2 * count], back[2 * count :])
    color.rgb_to_q4(images, luma, whole[:count], whole[count:])
    sums = run.zeros("resolution costs", (7 * count,), np.int64)
    for inside in rows:
        first, last = inside.start - part.start, inside.stop - part.start
        error(back[:count], luma, sums[:count], (first, last, height))
        error(back[count:], whole, sums[count : 3 * count], (first, last, height))
        _estimate(whole, slice(first, last), decide.chroma_step(step, False, tune), sums[3 * count : 5 * count], run)
        narrow = slice(first // 2, half(last))
        _estimate(small, narrow, decide.chroma_step(step, True, tune), sums[5 * count :], run)
    (found,) = yield from run.fetch("resolution costs", sums)
    return found


def _estimate(planes: Any, rows: slice, step: int, total: Any, run: Run) -> None:
    """Add the estimated costs of some rows of planes."""
    count, _, width = planes.shape
    shape = PatchGrid((rows.stop - rows.start, width), _PATCH).extended
    filtered = run.array(f"resolution filtered {width}", (count, *shape), np.int32)
    which = run.constant(f"resolution {count}", np.arange(count, dtype=np.int32))
    run.kernels("lapped").forward(planes, _PATCH, filtered, which, rows)
    run.kernels("factorization.rdoq").proxy(filtered, _PATCH, step, total)
