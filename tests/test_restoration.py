"""Restoration filter: backends agree, ranges hold at the extremes, the shipped tables are within their bounds."""

from __future__ import annotations

import numpy as np
import pytest

from imfnb import restoration
from imfnb.restoration import cpu, reference, tables

STEPS = (1, 64, 200, 1000, 3000, 8000, 2**15, 2**20)


def smooth_plane(rng, height, width):
    """Noise over a slope and an edge, so that all classes occur."""
    y, x = np.mgrid[:height, :width]
    plane = 8 * x - 5 * y + 600 * (x + 2 * y > width) + rng.normal(0.0, 1.0 + x, (height, width))
    return np.rint(plane).astype(np.int32)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (7, 1), (2, 3), (6, 6), (17, 12), pytest.param((64, 130), marks=pytest.mark.jit)]
)
@pytest.mark.parametrize("step", STEPS)
def test_backends_agree(shape, step):
    plane = smooth_plane(np.random.default_rng(step), *shape)
    for chroma in (False, True):
        expected = restoration.restore(plane, step, chroma, "reference")
        found = restoration.restore(plane, step, chroma, "cpu")
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("step", [1, 2**15])
def test_extremes_stay_exact(sign, step):
    """Largest samples, coefficients and limits: int32 must equal unbounded Python integers."""
    rng = np.random.default_rng(0)
    limit = reference.SAMPLE_LIMIT
    plane = rng.choice(np.array([-(2**31), -limit, limit, 2**31 - 1], np.int32), (13, 17))
    plane[4:9, 4:12] = sign * limit
    plane[6, 8] = -sign * limit
    shape = (reference.PASSES, reference.CLASSES, reference.LIMITS, len(reference.TAPS))
    each = reference.COEFFICIENT_SUM_LIMIT // (reference.LIMITS * len(reference.TAPS))
    filters = np.full(shape, sign * each, np.int16)
    limits = np.full((reference.PASSES, reference.LIMITS), 4096, np.int32)
    expected, found, wide = (np.empty(plane.shape, np.int32) for _ in range(3))
    reference.restore(plane, step, filters, limits, expected)
    cpu.restore(plane, step, filters, limits, found)
    reference.restore(plane.astype(np.int64), step, filters, limits, wide)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(wide, expected)
    assert np.abs(found).max() <= limit


def test_flat_plane_is_unchanged():
    plane = np.full((20, 21), -777, np.int32)
    np.testing.assert_array_equal(restoration.restore(plane, 2000, False, "cpu"), plane)


@pytest.mark.parametrize("chroma", [False, True])
def test_tables_are_within_the_proven_ranges(chroma):
    borders = tables.STEP_BORDERS
    assert list(borders) == sorted(set(borders))
    assert len(tables.CLIPPING_LIMITS) == len(tables.LUMA) == len(tables.CHROMA) == len(borders) + 1
    for step in (1, *borders):
        filters, limits = restoration.filter_set(step, chroma)
        sums = np.abs(filters.astype(np.int64)).sum(axis=(2, 3))
        assert sums.max() <= reference.COEFFICIENT_SUM_LIMIT
        assert 0 <= limits.min() <= limits.max() <= 4096
