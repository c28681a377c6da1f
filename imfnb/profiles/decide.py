"""The choices of the main profile's encoder: numbers in, a choice out."""

from __future__ import annotations

from ..format.constants import STEP_MAX, STEP_MIN, STEP_UNIT
from .tuning import (
    ALPHA_STEP,
    CHROMA_STEP,
    FULL_CHROMA_BELOW,
    LONG_PATCH_STEP,
    SAMPLED_PERIOD,
    SEARCHED_FROM,
    SEARCHED_LINES,
    SEARCHED_SAMPLES,
    WHOLE_SAMPLES,
)

__all__ = [
    "alpha_step",
    "chroma_step",
    "estimated_rows",
    "known_patch_size",
    "long_patches_pay",
    "lossy_alpha",
    "lossy_alpha_pays",
    "restoration_pays",
    "sampled",
    "sampled_rows",
    "searched_rows",
    "step_for",
    "subsamples",
]


def step_for(name: str, value: float) -> int:
    """The step of luma, in 1/64 gray level, that the target quality or step stands for."""
    gray_levels = 2.0 ** (8.0 - 0.07 * value) if name == "quality" else value
    return min(max(round(gray_levels * STEP_UNIT), STEP_MIN), STEP_MAX)


def chroma_step(luma: int, subsample: bool) -> int:
    """The step of chroma for that of luma, both in 1/64 gray level."""
    return min(max(round(luma * CHROMA_STEP[subsample]), STEP_MIN), STEP_MAX)


def alpha_step(wish: float | str | None, luma: int) -> int:
    """The step of alpha for that of luma, both in 1/64 gray level; `wish` is the option `alpha_quality`."""
    if wish is None or isinstance(wish, str):
        return min(luma, ALPHA_STEP)
    return step_for("quality", wish)


def lossy_alpha(wish: float | str | None) -> bool | None:
    """Whether alpha may be lossy, by the option `alpha_quality`; None where the smaller one is to be taken."""
    return False if wish == "lossless" else None


def lossy_alpha_pays(lossy: float, lossless: int) -> bool:
    """Whether to lose something of alpha, by the (estimated) bytes: if that saves a fifth and 16 bytes."""
    return lossy + 16 < 0.8 * lossless


def subsamples(wish: str | None, channels: int, luma: int) -> bool:
    """Whether chroma has half the size at this step of luma; `wish` is the option."""
    if channels < 3:
        return False
    if wish is not None:
        return wish == "4:2:0"
    return luma >= FULL_CHROMA_BELOW


def known_patch_size(step: int) -> int | None:
    """The side of patches at steps at which it needs no comparison."""
    return 8 if step < LONG_PATCH_STEP else None


def long_patches_pay(short: int, long: int) -> bool:
    """Whether a plane is better coded in patches of 16 than of 8 samples, by the estimates of both costs.

    Against trying both, in rate-distortion cost on bsd34: luma at steps of 46, 76, 120, 170 gray levels +0.03, +0.22,
    -0.22, -1.63% where the best choice gives 0, -0.05, -0.54, -1.95%; chroma at 25, 42 and 66 -1.07, -2.70, -7.70%
    where the best gives -1.17, -3.05, -7.74%. The bias of 2% towards 8 is part of that.
    """
    return 100 * long < 98 * short


def restoration_pays(before: int, after: int) -> bool:
    """Whether a plane should be restored, by the squared errors of the sampled rows: unless that costs 1% or more.

    On bsd34 and eight drawings and gray pictures, at seven steps, restoration is best on in 97% of the planes, and 9 of
    784 are decided differently than by all rows, at a mean price of 0.03 dB of the plane. (Without the 1% a picture
    whose sampled rows are not like the others lost 0.1 to 0.2 dB of luma.) Where it changes nothing it is off.
    """
    return after != before and 100 * after < 101 * before


def sampled(height: int) -> tuple[int, int, int]:
    """The rows of a plane by which choices are made: from the first up to the second number of every so many rows."""
    period = SAMPLED_PERIOD
    return (3 * period // 8, 5 * period // 8, period) if height >= period else (0, height, height)


def sampled_rows(height: int) -> list[slice]:
    """The same as slices."""
    first, last, period = sampled(height)
    return [slice(top + first, min(top + last, height)) for top in range(0, height - first, period)]


def estimated_rows(shape: tuple[int, int]) -> list[slice]:
    """The rows of a plane by which its side of patches is chosen."""
    height, width = shape
    return [slice(0, height)] if height * width <= WHOLE_SAMPLES else sampled_rows(height)


def searched_rows(extended: tuple[int, int]) -> list[slice]:
    """The rows of a filtered plane by which V is found; none where it stays at the DCT basis."""
    height, width = extended
    size = height * width
    if size < SEARCHED_FROM:
        return []
    period = max(1, round(size / SEARCHED_SAMPLES))
    return [slice(top, min(top + SEARCHED_LINES, height)) for top in range(0, height, period * SEARCHED_LINES)]
