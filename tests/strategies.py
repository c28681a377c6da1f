"""Hypothesis strategies that several test modules share.

Arrays are made from a drawn seed and a drawn style rather than element by element: that is a hundred times faster, and
shapes, ranks and bounds, which are what matters in a failure, still shrink.
"""

from __future__ import annotations

import numba
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

#: Factor bounds: default, one-sided, the whole of int8, and int16.
BOUNDS = [(-16, 15), (0, 31), (-128, 127), (-1000, 1000), (-1, 1), (1, 6)]

#: Examples of a property in the profile "thorough", if the test does not say otherwise.
THOROUGH = 60

STYLES = ("noise", "constant", "ramp", "extremes", "sparse")

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 21)
bounds = st.sampled_from(BOUNDS)


def examples(count: int) -> int:
    """Number of examples: `count` in the profile "thorough", fewer in the others, see `conftest`."""
    if numba.config.DISABLE_JIT:
        return max(4, count // 12)
    return max(5, count * settings().max_examples // THOROUGH)


def fill(shape: tuple[int, ...], style: str, seed: int) -> np.ndarray:
    """An array of uint8 of the given shape and style."""
    rng = np.random.default_rng(seed)
    if style == "constant":
        return np.full(shape, rng.integers(256), np.uint8)
    if style == "extremes":
        return (rng.integers(2, size=shape) * 255).astype(np.uint8)
    if style == "sparse":
        return (rng.integers(256, size=shape) * (rng.random(shape) < 0.1)).astype(np.uint8)
    if style == "ramp":
        grid = np.indices(shape).reshape(len(shape), -1)
        line = rng.uniform(-3, 3, len(shape)) @ grid + rng.uniform(0, 255)
        return np.clip(line, 0, 255).astype(np.uint8).reshape(shape)
    return rng.integers(256, size=shape, dtype=np.uint8)


@st.composite
def planes(draw: st.DrawFn, side: st.SearchStrategy[int] = sides) -> np.ndarray:
    """A plane or matrix of uint8 from 1x1 on."""
    return fill((draw(side), draw(side)), draw(st.sampled_from(STYLES)), draw(seeds))


@st.composite
def images(draw: st.DrawFn, channels: tuple[int, ...] = (0, 1, 3, 4), side: st.SearchStrategy[int] = sides):
    """An image of uint8: (H, W) for 0 channels, (H, W, C) otherwise."""
    count = draw(st.sampled_from(channels))
    shape = (draw(side), draw(side)) + ((count,) if count else ())
    return fill(shape, draw(st.sampled_from(STYLES)), draw(seeds))


@st.composite
def problems(draw: st.DrawFn, largest: int = 9):
    """A factorization on its way: integers X (M, N), U (M, R), V (N, R) within bounds, as int64, and the bounds.

    Some columns are dead (all zero) where the bounds allow it, and R may exceed min(M, N).
    """
    side = st.integers(1, largest)
    rows, columns, rank = draw(side), draw(side), draw(st.integers(1, 6))
    low, high = draw(bounds)
    rng = np.random.default_rng(draw(seeds))
    x = fill((rows, columns), draw(st.sampled_from(STYLES)), draw(seeds)).astype(np.int64)
    if draw(st.booleans()):
        x -= 128
    u = rng.integers(low, high, (rows, rank), endpoint=True)
    v = rng.integers(low, high, (columns, rank), endpoint=True)
    if low <= 0 <= high:
        u *= rng.random(rank) < 0.8
        v *= rng.random(rank) < 0.8
    return x, u, v, (low, high)
