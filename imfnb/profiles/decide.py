"""The choices of the main profile's encoder: numbers in, a choice out."""

from __future__ import annotations

from collections.abc import Sequence

from ..format.constants import STEP_MAX, STEP_MIN, STEP_UNIT
from .tuning import (
    ALPHA_STEP,
    CHROMA_HYSTERESIS,
    FULL_CHROMA_BELOW,
    FULL_CHROMA_GAIN,
    HALF_CHROMA_WEIGHT,
    LARGE_BLOCKS_FROM,
    LONG_PATCH_STEP,
    PSNR,
    RESAMPLING_WEIGHT,
    RGB_ERRORS,
    SAMPLED_PERIOD,
    SEARCHED_FROM,
    SEARCHED_LINES,
    SEARCHED_SAMPLES,
    WHOLE_SAMPLES,
    Tune,
)

__all__ = [
    "alpha_step",
    "array_step",
    "chroma_step",
    "estimated_rows",
    "half_chroma_pays",
    "known_patch_size",
    "known_subsampling",
    "local_bits",
    "long_patches_pay",
    "lossy_alpha",
    "lossy_alpha_pays",
    "resampled_part",
    "restoration_pays",
    "sampled",
    "sampled_rows",
    "searched_rows",
    "step_for",
]


def step_for(name: str, value: float, tune: Tune = PSNR) -> int:
    """The step of luma, in 1/64 gray level, that the target quality or step stands for."""
    gray_levels = tune.finer * 2.0 ** (8.0 - 0.07 * value) if name == "quality" else value
    return min(max(round(gray_levels * STEP_UNIT), STEP_MIN), STEP_MAX)


def array_step(quality: float) -> int:
    """The step of an array for a quality: that of a picture, its range being that of the array (see `columns`)."""
    return 2 * step_for("quality", quality)


def local_bits(step: int) -> int:
    """Binary logarithm of the side of blocks with steps of their own, given the step of luma in 1/64 gray level."""
    return 4 if step < LARGE_BLOCKS_FROM else 5


def chroma_step(luma: int, subsample: bool, tune: Tune = PSNR) -> int:
    """The step of chroma for that of luma, both in 1/64 gray level."""
    return min(max(round(luma * tune.chroma_step[subsample]), STEP_MIN), STEP_MAX)


def alpha_step(wish: float | str | None, luma: int, tune: Tune = PSNR) -> int:
    """The step of alpha for that of luma, both in 1/64 gray level; `wish` is the option `alpha_quality`."""
    if wish is None or isinstance(wish, str):
        return min(round(luma / tune.finer), ALPHA_STEP)
    return step_for("quality", wish)


def lossy_alpha(wish: float | str | None) -> bool | None:
    """Whether alpha may be lossy, by the option `alpha_quality`; None where the smaller one is to be taken."""
    return False if wish == "lossless" else None


def lossy_alpha_pays(lossy: float, lossless: int) -> bool:
    """Whether to lose something of alpha, by the (estimated) bytes: if that saves a fifth and 16 bytes."""
    return lossy + 16 < 0.8 * lossless


def known_subsampling(wish: str | None, channels: int, luma: int) -> bool | None:
    """Whether chroma has half the size where that needs no look at the picture; `wish` is the option."""
    if channels < 3:
        return False
    if wish is not None:
        return wish == "4:2:0"
    return False if luma < FULL_CHROMA_BELOW else None


def half_chroma_pays(
    errors: Sequence[int], whole: Sequence[int], half: Sequence[int], luma: int, tune: Tune, kept: bool | None = None
) -> bool:
    """Whether a picture is better coded with half-size chroma at this step of luma, by estimates over the same rows.

    Both rate-distortion costs are brought to squared gray levels of RGB, in 1 / 2**24 and exact. Against trying both on
    bsd34, 26 photographs of cid22 and 20 drawings, charts, texts and stains (nine of cid22), at 15 steps of 1 to 200
    gray levels, wrong choices cost 0.04, 0.06 and 0.27% of the bits on average. (Half below a fixed step of 11
    gray levels, as long as that was the rule: 0.12, 3.3 and 24%.)

    Parameters
    ----------
    errors : sequence of int
        Squared errors of Y, Cb and Cr in 1/256 squared gray level, of the picture taken to half-size chroma and back.
    whole, half : sequence of int
        Estimated costs of Cb and Cr in squared steps over 4096, with full and with half resolution.
    luma : int
        Step of luma in 1/64 gray level.
    tune : Tune
        What errors are to be small for.
    kept : bool, optional
        What was chosen before; the other must cost less by more than CHROMA_HYSTERESIS.
    """
    lost = sum(weight * error for weight, error in zip(RGB_ERRORS, errors, strict=True)) << 16
    coded = [
        sum(weight * cost for weight, cost in zip(RGB_ERRORS[1:], planes, strict=True))
        * chroma_step(luma, size, tune) ** 2
        for size, planes in ((False, whole), (True, half))
    ]
    costs = coded[0], HALF_CHROMA_WEIGHT * coded[1] + RESAMPLING_WEIGHT * lost
    if kept is None:
        return 100 * costs[1] <= (100 + FULL_CHROMA_GAIN) * costs[0]
    changed = 100 * costs[not kept] < (100 - CHROMA_HYSTERESIS) * costs[kept]
    return kept != changed


def resampled_part(rows: slice, height: int) -> slice:
    """Rows of a picture, from an even one on, and those on which their half-size chroma depends once upsampled."""
    return slice(max(rows.start // 2 * 2 - 2, 0), min(rows.stop + 2, height))


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
