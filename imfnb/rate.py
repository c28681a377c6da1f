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
_RATE_MARGIN = math.log2(1 / 0.98)
_PSNR_MARGIN = 0.1

# Typical slopes over log2 of the step, for the first move: bytes fall by 2**-1.15 and PSNR by 4.2 dB per octave.
_RATE_SLOPE = -1.15
_PSNR_SLOPE = -4.2

# Stands for the PSNR of identical images.
_PERFECT = 1000.0

# Trials after the first. Photographs take two to four in all; noise, whose rate falls off a cliff, takes a dozen.
_TRIALS = 16


def search_step(
    encode: Callable[[int], tuple[bytes, float]],
    low: int,
    high: int,
    pixels: int,
    name: str,
    value: float,
    unit: float,
) -> bytes:
    """Find the best step for a target: bracketed secants on a logarithmic scale of the step.

    Parameters
    ----------
    encode : callable
        From an integer step to a file and, for a PSNR target, its PSNR in dB.
    low, high : int
        Smallest and largest step.
    pixels : int
        Number of pixels of the image.
    name : {"bpp", "size", "psnr"}
        Kind of target.
    value : float
        Bits per pixel or bytes, not to be exceeded; or decibels, to be reached.
    unit : float
        Steps per gray level.

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
        goal, margin, slope = value, _PSNR_MARGIN, _PSNR_SLOPE
        guess = math.log2(12 * unit) + (value - 37.5) / slope
    else:
        limit = value * pixels / 8 if name == "bpp" else value
        goal, margin, slope = math.log2(limit), _RATE_MARGIN, _RATE_SLOPE
        guess = math.log2(28 * unit) + (goal - math.log2(pixels * 0.6 / 8)) / slope
    inside = 1.0 if name == "psnr" else -1.0
    aim = goal + inside * margin / 2

    best: tuple[float, bytes] | None = None
    points: dict[int, float] = {}
    # Steps whose value is known, or assumed, to be above and below the aim.
    lower, upper = low - 1, high + 1
    step = min(max(round(2.0**guess), low), high)
    for trial in range(1 + _TRIALS):
        data, quality = encode(step)
        found = min(quality, _PERFECT) if name == "psnr" else math.log2(len(data))
        points[step] = found
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
        step = _next_step(points, aim, slope, lower, upper, bisect=trial >= 3)
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


def _next_step(points: dict[int, float], aim: float, slope: float, lower: int, upper: int, bisect: bool) -> int:
    """The next step to try, strictly between `lower` and `upper`.

    A secant through the two points nearest to the aim; or, where that has failed a few times (noise has a cliff instead
    of a slope), the middle of the bracket.
    """
    if bisect and lower in points and upper in points:
        position = (math.log2(lower) + math.log2(upper)) / 2
    else:
        nearest = sorted(points.items(), key=lambda point: abs(point[1] - aim))[:2]
        step, found = nearest[0]
        if len(nearest) == 2:
            other, value = nearest[1]
            secant = (found - value) / (math.log2(step) - math.log2(other))
            # Far from the usual slope the two points are too close or on a plateau: trust a bounded slope instead.
            slope = min(max(secant, 3 * slope), slope / 3)
        position = math.log2(step) + min(max((aim - found) / slope, -3.0), 3.0)
    return min(max(round(2.0 ** min(position, 40.0)), lower + 1), upper - 1)
