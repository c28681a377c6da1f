"""Restoration network on the device against the reference: shapes, steps, extremes, chosen planes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stacks import empty, same, up
from strategies import seeds

from imfnb.format.network import layers, network
from imfnb.format.restoration import SAMPLE_LIMIT
from imfnb.network import cuda, reference


def check(planes, step, weights, biases, which):
    expected = [np.full(planes[0].shape, 77, np.int32) for _ in range(max(len(planes) - 1, 1))]
    out = [empty(plane.shape) for plane in expected]
    chosen = up(np.array(which, np.int32))
    cuda.correct([up(plane) for plane in planes], step, up(weights), up(biases), out, chosen)
    reference.correct(planes, step, weights, biases, expected, which)
    for found, wanted in zip(out, expected, strict=True):
        same(found, wanted)


@given(st.integers(1, 4), st.integers(1, 6), st.sampled_from([1, 200, 3000, 2**20]), st.booleans(), seeds)
@settings(max_examples=2)
def test_correct(height, width, step, chroma, seed):
    rng = np.random.default_rng(seed)
    planes = [np.cumsum(rng.integers(-90, 91, (2, height, width)), 1, np.int32) for _ in range(3 if chroma else 1)]
    check(planes, step, *network(step, "chroma" if chroma else "luma"), [1])


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_extremes_stay_exact(count):
    """Largest samples, weights and biases."""
    rng = np.random.default_rng(0)
    planes = [rng.choice(np.array([-SAMPLE_LIMIT, 2**31 - 1], np.int32), (1, 3, 4)) for _ in range(count)]
    weights = rng.choice(np.array([-127, 127, 127], np.int8), sum(9 * a * b for a, b in layers(count)))
    biases = rng.choice(np.array([-(2**24), 0, 2**24], np.int32), sum(b for _, b in layers(count)))
    check(planes, 1, weights, biases, [0])


@given(st.integers(1, 5), st.integers(1, 7), seeds)
@settings(max_examples=3)
def test_guide(height, width, seed):
    luma = np.random.default_rng(seed).integers(-(2**17), 2**17, (2, height, width)).astype(np.int32)
    expected = np.empty((2, (height + 1) // 2, (width + 1) // 2), np.int32)
    reference.guide(luma, expected)
    out = empty(expected.shape)
    cuda.guide(up(luma), out)
    same(out, expected)
