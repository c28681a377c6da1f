"""Search for a rate or a quality target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from ..errors import OptionError
from ..factorization.rdoq import LAMBDA_LARGEST, LAMBDA_ONE
from ..metrics import psnr

__all__ = ["Trials", "on_scale", "search_levels", "search_step"]


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

# What a search may cost, and what trials of a step and of a lambda scale or a splice cost, in quarters of a plain
# encoding. Pictures below _SMALL pixels have an allowance, small ones twice as much in all: their values are
# staircases, and it is a matter of milliseconds.
_BUDGET, _STEP_COST, _LAMBDA_COST = 14, 3, 1
_SMALL = 1 << 20

# Splices of two attempts: more only count single patches.
_SPLICES = 4

# No other step is tried, but lambda, where two trials around the aim are closer than the first factor or, after
# three trials, than the second.
_CLOSE, _NEAR = 1.03, 1.6

# As long as all trials are on one side of the aim, the third goes on from the nearest by the first factor at least, the
# next by its fourth power and so on, and none by more than the second.
_PROGRESS, _FARTHEST = 1.03, 4.0

# Where nothing met the target, the step goes on from the nearest trial by these factors, in the end to its limit.
_RESCUE = (1.05, 1.25, 2.0, math.inf)

T = TypeVar("T")


class Trials(Protocol[T]):
    """What can be tried: attempts, each with its size in bytes or, for a PSNR target, its PSNR in dB."""

    def step(self, step: int) -> tuple[T, float]:
        """A step."""

    def lambda_scale(self, attempt: T, lambda_scale: int) -> tuple[T, float]:
        """The step of an attempt with another lambda of the last choice, in 1/LAMBDA_ONE."""

    def splice(self, one: T, other: T, share: float) -> tuple[T, float]:
        """A share of the patches from the other of two attempts that differ in lambda, the rest from the first."""

    def predict(self, step: int) -> list[float]:
        """log2 of the bytes, or the PSNR in dB, of a step by every model of the image; monotone."""


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
    lambda_fall : float
        Fall of the value with an octave of lambda as a share of that with an octave of the step, about.
    """

    value: float
    inside: float
    margin: float
    steepest: float
    largest: float
    lambda_fall: float

    @property
    def aim(self) -> float:
        return self.value + self.inside * self.margin / 2

    def linear(self, found: float) -> float:
        """Bytes or squared error, which add up over the patches, in some unit."""
        return 2.0**found if self.inside < 0 else 10.0 ** (-found / 10)

    def excess(self, found: float) -> float:
        """How far a value is on the side on which the target is met."""
        return (found - self.value) * self.inside


def _make_goal(name: str, value: float, pixels: int) -> _Goal:
    if name == "psnr":
        return _Goal(value, 1.0, _PSNR_MARGIN, 3.0, 6.0, 0.15)
    limit = value * pixels / 8 if name == "bpp" else value
    return _Goal(math.log2(limit), -1.0, _RATE_MARGIN, 0.8, 1.0, 0.3)


def on_scale(name: str, value: float) -> float:
    """What the models predict, from what a trial measured: the PSNR of a psnr target, otherwise log2 of the bytes."""
    return min(value, _PERFECT) if name == "psnr" else math.log2(value)


class _Search(Generic[T]):
    """The best of all trials."""

    def __init__(self, goal: _Goal, name: str, budget: int) -> None:
        self._goal, self._name, self._left = goal, name, budget
        self.best: tuple[float, T] | None = None

    def affords(self, cost: int) -> bool:
        """Whether a trial of this cost may be made."""
        return self._left >= cost

    def note(self, measured: tuple[T, float], cost: int) -> tuple[T, float]:
        """Take note of a trial; return it with log2 of the bytes, or the PSNR."""
        attempt, value = measured
        self._left -= cost
        found = on_scale(self._name, value)
        excess = self._goal.excess(found)
        if excess >= 0 and (self.best is None or excess < self.best[0]):
            self.best = excess, attempt
        return attempt, found

    @property
    def done(self) -> bool:
        """Whether the best is inside the margin."""
        return self.best is not None and self.best[0] <= self._goal.margin


def search_step(trials: Trials[T], low: int, high: int, pixels: int, name: str, value: float) -> T:
    """Find the best setting for a target: the step, by models of the image that every trial corrects, then lambda.

    Parameters
    ----------
    trials : Trials
        What can be tried.
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
        The attempt with the largest file found that is not above the target, or with the smallest PSNR found that
        reaches it.

    Raises
    ------
    OptionError
        If no step meets the target; it says what can be met.
    """
    goal = _make_goal(name, value, pixels)
    search: _Search[T] = _Search(goal, name, _BUDGET + min(_BUDGET, _SMALL // pixels))
    steps: dict[int, float] = {}
    errors: dict[int, list[float]] = {}  # of the predictions
    # Steps whose value is known, or assumed, to be above and below the aim, and the attempt of the one above.
    lower, upper = low - 1, high + 1
    above: T | None = None
    base = low - 1  # the step whose lambda was changed
    while search.affords(_LAMBDA_COST) and not search.done:
        near = above is not None and upper in steps and upper < (_CLOSE if len(steps) < 3 else _NEAR) * lower
        if upper - lower > 1 and search.affords(_STEP_COST) and (not near or lower == base):
            step = _next_step(trials.predict, steps, errors, goal, lower, upper)
            attempt, steps[step] = search.note(trials.step(step), _STEP_COST)
            errors[step] = [steps[step] - guess for guess in trials.predict(step)]
            if steps[step] > goal.aim:
                lower, above = step, attempt
            else:
                upper = step
            del attempt  # not in memory during the next trial, unless it is of use
        elif above is not None and upper in steps and lower != base:
            base = lower
            _try_lambdas(trials, search, goal, above, steps[lower], goal.lambda_fall * _steepness(steps, goal))
        else:
            break
    if search.best is None:
        nearest = min(steps, key=lambda step: abs(steps[step] - goal.aim))
        for factor in _RESCUE:
            step = round(min(max(nearest * factor**-goal.inside, low), high))
            if search.best is None and step not in steps:
                _, steps[step] = search.note(trials.step(step), _STEP_COST)
    if search.best is not None:
        return search.best[1]
    if name == "psnr":
        reach = f"at most {steps[low]:.2f} dB; lower psnr"
    else:
        size = round(2.0 ** steps[high])
        reach = f"at least {size} bytes ({8 * size / pixels:.4f} bpp); raise the target"
    raise OptionError(f"{name}={value:g} cannot be met: this image in this profile takes {reach}")


def _try_lambdas(trials: Trials[T], search: _Search[T], goal: _Goal, plain: T, found: float, fall: float) -> None:
    """Come down to the aim from an attempt above it, by lambda and then by the share of the patches that have it.

    `found` is what the attempt measured, `fall` how much of that an octave of lambda is expected to take.
    """
    above, last, scale, value = plain, plain, LAMBDA_ONE, found
    while value > goal.aim and scale < LAMBDA_LARGEST and search.affords(_LAMBDA_COST) and not search.done:
        above, first = last, value
        none = value == found and last is not plain  # no effect so far: all or nothing
        octaves = math.inf if none else min(max((value - goal.aim) / fall, 0.01), 2.0)
        before, scale = scale, round(min(max(scale * 2**octaves, scale + 1), LAMBDA_LARGEST))
        last, value = search.note(trials.lambda_scale(plain, scale), _LAMBDA_COST)
        fall = max((first - value) / math.log2(scale / before), fall / 4)
    if value > goal.aim:
        return
    left, right = (0.0, goal.linear(first)), (1.0, goal.linear(value))
    for _ in range(_SPLICES):
        if search.done or not search.affords(_LAMBDA_COST):
            break
        part = (left[1] - goal.linear(goal.aim)) / (left[1] - right[1])
        share = left[0] + min(max(part, 0.2), 0.8) * (right[0] - left[0])
        previous = value
        _, value = search.note(trials.splice(above, last, share), _LAMBDA_COST)
        if value == previous:  # the patches in between have nothing to give
            break
        if value > goal.aim:
            left = share, goal.linear(value)
        else:
            right = share, goal.linear(value)


def _next_step(
    predict: Callable[[int], list[float]],
    steps: dict[int, float],
    errors: dict[int, list[float]],
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
            last = min(last, round(lower * _FARTHEST))
            first = min(max(first, round(lower * progress)), last)
        else:
            first = max(first, round(upper / _FARTHEST))
            last = max(min(last, round(upper / progress)), first)
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
