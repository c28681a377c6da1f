"""Search for a rate or a quality target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from .errors import OptionError
from .factorization.rd import LARGEST_THRIFT, PLAIN_THRIFT
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


# The search stops inside these margins: in log2 of the bytes below the target, and in dB above it.
_RATE_MARGIN = math.log2(1 / 0.972)
_PSNR_MARGIN = 0.14

# Stands for the PSNR of identical images.
_PERFECT = 1000.0

# Rounds of trials that change the step and, where no step will do, of trials that change the thrift of the last sweep,
# which drops single coefficients. Photographs take one to four trials in all, noise up to eight, where its rate falls
# off a cliff; only drawings and tiny images, whose PSNR is a staircase, take a second round. (There the step alone took
# ten trials and often ended on the wrong stair.)
_ROUNDS, _STEP_TRIALS, _THRIFT_TRIALS = 2, 4, 4

# No step will do where trials around the aim are closer than this factor.
_CLOSE = 1.03

# As long as all trials are on one side of the aim, the third goes on from the nearest by this factor at least, the next
# by its fourth power and so on.
_PROGRESS = 1.03

# Where nothing met the target, the step goes on from the nearest trial by these factors, in the end to its limit.
_RESCUE = (1.05, 1.25, 2.0, math.inf)

T = TypeVar("T")


@dataclass(frozen=True)
class _Goal:
    """What is searched: values rise as the step falls.

    Attributes
    ----------
    value : float
        log2 of the bytes, or the PSNR in dB.
    inside : {-1.0, 1.0}
        Side of `value` on which the target is met.
    margin : float
        Distance from `value` at which the search stops.
    steepest : float
        Largest change of a model's error with an octave of the step, where only one side is known.
    largest : float
        Largest error of a model that the first trial shows and that is believed.
    thrift : float
        Fall of the value with an octave of the thrift as a share of that with an octave of the step, about.
    """

    value: float
    inside: float
    margin: float
    steepest: float
    largest: float
    thrift: float

    @property
    def aim(self) -> float:
        return self.value + self.inside * self.margin / 2

    def excess(self, found: float) -> float:
        """How far a value is on the side on which the target is met."""
        return (found - self.value) * self.inside


def _make_goal(name: str, value: float, pixels: int) -> _Goal:
    if name == "psnr":
        return _Goal(value, 1.0, _PSNR_MARGIN, 3.0, 6.0, 0.15)
    limit = value * pixels / 8 if name == "bpp" else value
    return _Goal(math.log2(limit), -1.0, _RATE_MARGIN, 0.8, 1.0, 0.3)


class _Search(Generic[T]):
    """Trials of steps and thrifts, and the best of them."""

    def __init__(self, measure: Callable[[int, int], tuple[T, float]], goal: _Goal, name: str) -> None:
        self._measure, self._goal, self._name = measure, goal, name
        self.best: tuple[float, T] | None = None

    def try_(self, step: int, thrift: int = PLAIN_THRIFT) -> float:
        """Measure one setting; return log2 of the bytes, or the PSNR."""
        attempt, value = self._measure(step, thrift)
        found = min(value, _PERFECT) if self._name == "psnr" else math.log2(value)
        excess = self._goal.excess(found)
        if excess >= 0 and (self.best is None or excess < self.best[0]):
            self.best = excess, attempt
        return found

    @property
    def done(self) -> bool:
        """Whether the best is inside the margin."""
        return self.best is not None and self.best[0] <= self._goal.margin


def search_step(
    measure: Callable[[int, int], tuple[T, float]],
    predict: Callable[[int], tuple[float, ...]],
    low: int,
    high: int,
    pixels: int,
    name: str,
    value: float,
) -> T:
    """Find the best setting for a target: the step, by models of the image that every trial corrects, then thrift.

    Parameters
    ----------
    measure : callable
        From an integer step and a thrift (see :func:`imfnb.factorization.rd.multipliers`) to whatever stands for the
        encoded image, and its size in bytes or, for a PSNR target, its PSNR in dB.
    predict : callable
        From a step to log2 of the bytes, or the PSNR in dB, by every model; monotone.
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
    object
        What `measure` gave for the largest file found that is not above the target, or for the smallest PSNR found
        that reaches it.

    Raises
    ------
    OptionError
        If no step meets the target; it says what can be met.
    """
    goal = _make_goal(name, value, pixels)
    search = _Search(measure, goal, name)
    steps: dict[int, float] = {}
    errors: dict[int, tuple[float, ...]] = {}  # of the predictions
    # Steps whose value is known, or assumed, to be above and below the aim.
    lower, upper = low - 1, high + 1
    base = low - 1  # the step whose thrift was changed
    for number in range(_ROUNDS):
        while len(steps) < (number + 1) * _STEP_TRIALS and upper - lower > 1 and not search.done:
            if lower in steps and upper in steps and upper < _CLOSE * lower:
                break
            step = _next_step(predict, steps, errors, goal, lower, upper)
            steps[step] = found = search.try_(step)
            errors[step] = tuple(found - guess for guess in predict(step))
            if found > goal.aim:
                lower = step
            else:
                upper = step
        # At the ends of the range nothing is left to be saved.
        if search.done or lower == base or lower not in steps or upper > high:
            break
        base = lower
        _try_thrifts(search, goal, base, steps)
    if search.best is None:
        nearest = min(steps, key=lambda step: abs(steps[step] - goal.aim))
        for factor in _RESCUE:
            step = round(min(max(nearest * factor**-goal.inside, low), high))
            if search.best is None and step not in steps:
                steps[step] = search.try_(step)
    if search.best is not None:
        return search.best[1]
    if name == "psnr":
        reach = f"at most {steps[low]:.2f} dB; lower psnr"
    else:
        size = round(2.0 ** steps[high])
        reach = f"at least {size} bytes ({8 * size / pixels:.4f} bpp); raise the target"
    raise OptionError(f"{name}={value:g} cannot be met: this image in this profile takes {reach}")


def _try_thrifts(search: _Search, goal: _Goal, step: int, steps: dict[int, float]) -> None:
    """Come from a step above the aim down to it by the thrift."""
    thrifts = {PLAIN_THRIFT: steps[step]}
    fall = goal.thrift * _steepness(steps, goal)
    while len(thrifts) <= _THRIFT_TRIALS and not search.done:
        thrift = _next_thrift(thrifts, goal.aim, fall)
        if thrift in thrifts:
            break
        thrifts[thrift] = search.try_(step, thrift)


def _next_step(
    predict: Callable[[int], tuple[float, ...]],
    steps: dict[int, float],
    errors: dict[int, tuple[float, ...]],
    goal: _Goal,
    lower: int,
    upper: int,
) -> int:
    """The step, strictly between `lower` and `upper`, at which the corrected prediction is nearest to the aim.

    Of the models the one counts that was nearest at the trial nearest to the aim. Its error is taken to be linear in
    log2 of the step: between the two trials around the aim or, as long as all are on one side of it, through the two
    nearest with a slope of at most `goal.steepest`.
    """
    nearest = sorted(steps, key=lambda step: abs(steps[step] - goal.aim))[:2]
    around = lower in steps and upper in steps
    pair = [lower, upper] if around else nearest
    model, offset, slope = 0, 0.0, 0.0
    if pair:
        model = min(range(len(errors[nearest[0]])), key=lambda k: abs(errors[nearest[0]][k]))
        offset = errors[pair[0]][model]
    if len(pair) == 1:
        offset = min(max(offset, -goal.largest), goal.largest)
    if len(pair) == 2:
        slope = (offset - errors[pair[1]][model]) / math.log2(pair[0] / pair[1])
        slope = slope if around else min(max(slope, -goal.steepest), goal.steepest)

    def corrected(step: int) -> float:
        return predict(step)[model] + offset + (slope * math.log2(step / pair[0]) if pair else 0.0)

    first, last = lower + 1, upper - 1
    if around and len(steps) > 2:  # not too near to either end
        margin = (upper / lower) ** 0.1
        first, last = max(first, round(lower * margin)), min(last, round(upper / margin))
    elif len(steps) > 1 and not around:
        progress = _PROGRESS ** (len(steps) - 1) ** 2
        if lower in steps:
            first = min(max(first, round(lower * progress)), last)
        else:
            last = max(min(last, round(upper / progress)), first)
    if around and len(steps) >= 2 * _STEP_TRIALS - 2:
        return min(max(round(math.sqrt(lower * upper)), first), last)
    while last > first:  # the smallest step not above the aim
        middle = (first + last) // 2
        if corrected(middle) > goal.aim:
            first = middle + 1
        else:
            last = middle
    return first


def _steepness(steps: dict[int, float], goal: _Goal) -> float:
    """Fall of the value with an octave of the step, between the two trials nearest to the aim."""
    one, two = sorted(steps, key=lambda step: abs(steps[step] - goal.aim))[:2]
    return max((steps[one] - steps[two]) / math.log2(two / one), 0.5)


def _next_thrift(thrifts: dict[int, float], aim: float, fall: float) -> int:
    """The thrift at which the value is at the aim, if it is linear in log2 of the thrift between trials.

    `fall` is the expected slope. A thrift that has been tried stands for none.
    """
    above = max(t for t in thrifts if thrifts[t] > aim)
    below = min((t for t in thrifts if thrifts[t] <= aim), default=None)
    excess = thrifts[above] - aim
    if below is None:
        if len(thrifts) > 1:
            found = (thrifts[PLAIN_THRIFT] - thrifts[above]) / math.log2(above / PLAIN_THRIFT)
            fall = max(found, fall / 4)
        octaves = min(excess / fall, 2.0)
    else:
        octaves = min(max(excess / (excess + aim - thrifts[below]), 0.1), 0.9) * math.log2(below / above)
    return min(max(round(above * 2.0**octaves), above + 1), LARGEST_THRIFT)
