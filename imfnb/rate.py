"""Search for a rate or a quality target."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .errors import OptionError
from .metrics import psnr

__all__ = ["search_levels", "search_step"]


def search_levels(
    encode: Callable[[int], bytes],
    decode: Callable[[bytes], np.ndarray],
    image: np.ndarray,
    levels: int,
    name: str,
    value: float,
) -> bytes:
    """Find the best level of a staircase for a target, by bisection.

    Parameters
    ----------
    encode : callable
        From a level 1 .. `levels` to a file.
    decode : callable
        From a file to pixels of the shape of `image`; called for a PSNR target only.
    image : ndarray of uint8, shape (H, W, C)
        What the pixels are compared with.
    levels : int
        Number of levels.
    name : {"bpp", "size", "psnr"}
        Kind of target.
    value : float
        Bits per pixel or bytes, not to be exceeded; or decibels, to be reached.

    Returns
    -------
    bytes
        The highest level whose file is not above the target, or the lowest that reaches the PSNR.

    Raises
    ------
    OptionError
        If no level meets the target; it says what can be met.
    """
    pixels = image.shape[0] * image.shape[1]
    limit = value * pixels / 8 if name == "bpp" else value

    def meets(data: bytes) -> bool:
        return psnr(image, decode(data)) >= value if name == "psnr" else len(data) <= limit

    # `inner` is the level that must meet the target for there to be an answer; the search moves from it towards the
    # other end for as long as the target is met.
    inner, outer = (levels, 0) if name == "psnr" else (1, levels + 1)
    best = encode(inner)
    if not meets(best):
        if name == "psnr":
            reach = f"at most {psnr(image, decode(best)):.2f} dB; lower psnr, or raise bounds or iterations"
        else:
            reach = f"at least {len(best)} bytes ({8 * len(best) / pixels:.4f} bpp); raise the target"
        raise OptionError(f"{name}={value:g} cannot be met: this image in this profile takes {reach}")
    while abs(outer - inner) > 1:
        middle = (inner + outer) // 2
        data = encode(middle)
        if meets(data):
            inner, best = middle, data
        else:
            outer = middle
    return best


# The search for a step stops inside these margins: in log2 of the bytes below the target, and in dB above it.
_RATE_MARGIN = math.log2(1 / 0.975)
_PSNR_MARGIN = 0.12

# Stands for the PSNR of identical images.
_PERFECT = 1000.0

# Trials at most. Photographs take one to three.
_TRIALS = 10


def search_step(
    encode: Callable[[int], tuple[bytes, float]],
    predict: Callable[[int], float],
    low: int,
    high: int,
    pixels: int,
    name: str,
    value: float,
) -> bytes:
    """Find the best step for a target: a model of the image, corrected by every trial.

    Parameters
    ----------
    encode : callable
        From an integer step to a file and, for a PSNR target, its PSNR in dB.
    predict : callable
        From a step to an estimate of log2 of the bytes, or of the PSNR in dB; monotone.
    low, high : int
        Smallest and largest step.
    pixels : int
        Number of pixels of the image.
    name : {"bpp", "size", "psnr"}
        Kind of target.
    value : float
        Bits per pixel or bytes, not to be exceeded; or decibels, to be reached.

    Returns
    -------
    bytes
        The largest file found that is not above the target, or the smallest found that reaches the PSNR.

    Raises
    ------
    OptionError
        If no step meets the target; it says what can be met.
    """
    if name == "psnr":
        goal, margin, inside, steepest = value, _PSNR_MARGIN, 1.0, 3.0
    else:
        limit = value * pixels / 8 if name == "bpp" else value
        goal, margin, inside, steepest = math.log2(limit), _RATE_MARGIN, -1.0, 0.8
    aim = goal + inside * margin / 2

    best: tuple[float, bytes] | None = None
    errors: dict[int, float] = {}  # of the prediction, by step
    # Steps whose value is known, or assumed, to be above and below the aim.
    lower, upper = low - 1, high + 1
    for _ in range(_TRIALS):
        step = _next_step(predict, errors, aim, steepest, lower, upper)
        data, quality = encode(step)
        found = min(quality, _PERFECT) if name == "psnr" else math.log2(len(data))
        errors[step] = found - predict(step)
        meets = (found - goal) * inside >= 0
        if meets and (best is None or (found - best[0]) * inside < 0):
            best = found, data
        if meets and (found - goal) * inside <= margin:
            break
        if found > aim:
            lower = step
        else:
            upper = step
        if upper - lower <= 1:
            break
    if best is not None:
        return best[1]
    step = low if name == "psnr" else high
    data, quality = encode(step)
    if (quality >= value) if name == "psnr" else (math.log2(len(data)) <= goal):
        return data
    if name == "psnr":
        reach = f"at most {quality:.2f} dB; lower psnr"
    else:
        reach = f"at least {len(data)} bytes ({8 * len(data) / pixels:.4f} bpp); raise the target"
    raise OptionError(f"{name}={value:g} cannot be met: this image in this profile takes {reach}")


def _next_step(
    predict: Callable[[int], float], errors: dict[int, float], aim: float, steepest: float, lower: int, upper: int
) -> int:
    """The step, strictly between `lower` and `upper`, at which the corrected prediction is nearest to the aim.

    The error of the prediction is taken to be linear in log2 of the step: between the two trials around the aim or, as
    long as all are on one side of it, through the two nearest with a slope of at most `steepest`.
    """
    around = lower in errors and upper in errors
    if around and len(errors) >= 4 and len(errors) % 2 == 0:  # as with noise, whose rate falls off a cliff
        return min(max(round(math.sqrt(lower * upper)), lower + 1), upper - 1)
    nearest = sorted(errors, key=lambda step: abs(predict(step) + errors[step] - aim))[:2]
    pair = [lower, upper] if around else nearest
    slope = 0.0
    if len(pair) == 2:
        slope = (errors[pair[0]] - errors[pair[1]]) / math.log2(pair[0] / pair[1])
        slope = slope if around else min(max(slope, -steepest), steepest)

    def corrected(step: int) -> float:
        if not pair:
            return predict(step)
        return predict(step) + errors[pair[0]] + slope * math.log2(step / pair[0])

    first, last = lower + 1, upper - 1
    while last > first:  # the smallest step not above the aim
        middle = (first + last) // 2
        if corrected(middle) > aim:
            first = middle + 1
        else:
            last = middle
    return first
