"""Restoration filter on the device against the reference: shapes, steps, extremes, in place, chosen planes, errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stacks import empty, same, up
from strategies import seeds

from imfnb.format import restoration as numbers
from imfnb.format.restoration import filter_set, short_filter_set
from imfnb.restoration import cuda, reference

STEPS = (1, 64, 200, 1000, 3000, 8000, 2**15, 2**20)


def slope(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Noise over a slope and an edge, so that all classes occur."""
    y, x = np.mgrid[: shape[1], : shape[2]]
    plane = 8 * x - 5 * y + 600 * (x + 2 * y > shape[2]) + rng.normal(0.0, 1.0 + x, shape)
    return np.rint(plane).astype(np.int32)


def check(planes: np.ndarray, step: int, filters: np.ndarray, limits: np.ndarray, which: list[int], inplace: bool):
    expected = planes.copy() if inplace else np.full(planes.shape, 5, np.int32)
    source = up(planes)
    out = source if inplace else up(expected)
    scratch = empty((len(which), *planes.shape[1:]))
    chosen = up(np.array(which, np.int32))
    cuda.restore(source, step, up(filters), up(limits), out, chosen, scratch)
    reference.restore(planes, step, filters, limits, expected, which)
    same(out, expected)


@given(
    st.integers(1, 20),
    st.integers(1, 36),
    st.sampled_from(STEPS),
    st.booleans(),
    st.sampled_from([[0], [2, 0]]),
    st.booleans(),
    seeds,
)
@settings(max_examples=5)
def test_restore(height, width, step, chroma, which, inplace, seed):
    planes = slope(np.random.default_rng(seed), (3, height, width))
    check(planes, step, *filter_set(step, chroma), which, inplace)


def check_short(planes: np.ndarray, step: int, filters: np.ndarray, limits: np.ndarray, which: list[int]):
    expected = np.full(planes.shape, 5, np.int32)
    out = up(expected)
    cuda.restore_short(up(planes), step, up(filters), up(limits), out, up(np.array(which, np.int32)))
    reference.restore_short(planes, step, filters, limits, expected, which)
    same(out, expected)


@given(
    st.integers(1, 20),
    st.integers(1, 36),
    st.sampled_from(STEPS),
    st.booleans(),
    st.sampled_from([[0], [2, 0]]),
    seeds,
)
@settings(max_examples=5)
def test_restore_short(height, width, step, chroma, which, seed):
    planes = slope(np.random.default_rng(seed), (3, height, width))
    check_short(planes, step, *short_filter_set(step, chroma), which)


@pytest.mark.parametrize("sign", [-1, 1])
def test_extremes_of_the_short_filter_stay_exact(sign):
    """Largest samples, coefficients, limits and step."""
    limit = numbers.SAMPLE_LIMIT
    planes = np.random.default_rng(0).choice(np.array([-(2**31), -limit, limit, 2**31 - 1], np.int32), (1, 13, 17))
    shape = (numbers.CLASSES, numbers.LIMITS, numbers.SHORT_TAPS)
    each = reference.COEFFICIENT_SUM_LIMIT // (numbers.LIMITS * numbers.SHORT_TAPS)
    check_short(planes, 2**15, np.full(shape, sign * each, np.int16), np.full(2, 4096, np.int32), [0])


@pytest.mark.parametrize("sign", [-1, 1])
def test_extremes_stay_exact(sign):
    """Largest samples, coefficients, limits and step."""
    rng = np.random.default_rng(0)
    limit = numbers.SAMPLE_LIMIT
    planes = rng.choice(np.array([-(2**31), -limit, limit, 2**31 - 1], np.int32), (1, 13, 17))
    shape = (numbers.PASSES, numbers.CLASSES, numbers.LIMITS, len(numbers.TAPS))
    each = reference.COEFFICIENT_SUM_LIMIT // (numbers.LIMITS * len(numbers.TAPS))
    limits = np.full((numbers.PASSES, numbers.LIMITS), 4096, np.int32)
    check(planes, 2**15, np.full(shape, sign * each, np.int16), limits, [0], False)


@pytest.mark.parametrize(
    ("largest", "limit"),
    [
        (2**13 - 1, 3),
        (2**13, 4096),
        pytest.param(2**13 - 1, 4096, marks=pytest.mark.slow),
        pytest.param(2**13, 3, marks=pytest.mark.slow),
    ],
)
def test_moderate_samples(largest, limit):
    """Around the bound up to which a difference and a clipping limit fit 16 bits together."""
    rng = np.random.default_rng(largest + limit)
    planes = rng.choice(np.array([-(2**13), 0, largest], np.int32), (1, 19, 35))
    filters = rng.integers(-340, 341, (numbers.PASSES, numbers.CLASSES, numbers.LIMITS, len(numbers.TAPS)))
    limits = np.array([[limit, 4096], [4096, limit]], np.int32)
    check(planes, 3000, filters.astype(np.int16), limits, [0], False)


def check_errors(a: np.ndarray, b: np.ndarray, rows: tuple[int, int, int] | None = None) -> None:
    expected = np.arange(len(a))
    found = up(expected)
    cuda.squared_error(*up(a, b), found, rows)
    reference.squared_error(a, b, expected, rows)
    same(found, expected)


@given(
    st.integers(1, 3),
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([100, 2**14]),
    st.sampled_from([None, (0, 1, 1), (3, 5, 8), (96, 160, 256)]),
    seeds,
)
@settings(max_examples=8)
def test_squared_error(count, height, width, limit, rows, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.choice(np.array([-limit, 3, limit], np.int32), (count, height, width)) for _ in range(2))
    check_errors(a, b, rows)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(5, 512, 768), (3, 1021, 333), (3, 1, 4001), (3, 5000, 2)])
@pytest.mark.parametrize("step", [64, 1000, 8000])
def test_large(shape, step):
    rng = np.random.default_rng(step)
    planes = slope(rng, shape)
    for inplace in (False, True):
        check(planes, step, *filter_set(step, False), [2, 1], inplace)
    check_short(planes, step, *short_filter_set(step, False), [2, 1])
    check_errors(planes, planes + rng.integers(-2000, 2000, shape, dtype=np.int32))


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(2, 63, 65), (2, 64, 64), (2, 97, 1), (2, 130, 321)])
def test_outliers(shape):
    """Some tiles have samples beyond 2**13, others do not."""
    rng = np.random.default_rng(shape[2])
    planes = slope(rng, shape)
    planes[rng.random(shape) < 1e-3] = 2**14
    check(planes, 3000, *filter_set(3000, True), [1, 0], False)
