"""Restoration network: backends agree, ranges hold at the extremes, the shipped weights are within their bounds."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from imfnb.format import network as numbers
from imfnb.format.network import STEP_BORDERS, layers, network
from imfnb.format.restoration import SAMPLE_LIMIT
from imfnb.network import HALO, cpu, halo, reference

pytestmark = pytest.mark.kernels

STEPS = (1, 64, 200, 1000, 3000, 8000, 2**14, 2**20)
KINDS = {"luma": 1, "chroma": 3, "half": 3}


def smooth_planes(rng, shape, count):
    """Noise over slopes and an edge, which reach beyond what samples are clamped to."""
    y, x = np.mgrid[: shape[1], : shape[2]]
    base = 8 * x - 5 * y + 600 * (x + 2 * y > shape[2]) + 40000 * (x == 3)
    return [np.rint(base + rng.normal(0.0, 1.0 + x, shape)).astype(np.int32) for _ in range(count)]


def run(kernels, planes, step, which, numbers_of=None, kind="luma"):
    """The corrected stacks, full of 5 where nothing is corrected."""
    weights, biases = numbers_of or network(step, kind)
    out = [np.full(planes[0].shape, 5, np.int32) for _ in range(max(len(planes) - 1, 1))]
    kernels.correct(planes, step, weights, biases, out, which)
    return out


@given(st.integers(1, 40), st.integers(1, 80), st.sampled_from(STEPS), st.sampled_from(sorted(KINDS)), seeds)
@settings(max_examples=15)
def test_backends_agree(height, width, step, kind, seed):
    """On chosen planes of a stack, in other memory and in place; the planes that are not chosen are left alone."""
    planes = smooth_planes(np.random.default_rng(seed), (3, height, width), KINDS[kind])
    before = [plane.copy() for plane in planes]
    expected = run(reference, planes, step, [2, 0], kind=kind)
    for found, wanted in zip(run(cpu, planes, step, [2, 0], kind=kind), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert (found[1] == 5).all()
    np.testing.assert_array_equal(planes, before)
    cpu.correct(planes, step, *network(step, kind), planes[: len(expected)], [2, 0])
    for plane, whole, wanted in zip(planes, before, expected, strict=False):
        np.testing.assert_array_equal(plane[[2, 0]], wanted[[2, 0]])
        np.testing.assert_array_equal(plane[1], whole[1])


@given(st.sampled_from([-1, 1]), st.sampled_from([1, 2**20]), st.sampled_from([1, 3]), seeds)
@settings(max_examples=3)
def test_extremes_stay_exact(sign, step, count, seed):
    """Largest samples, weights and biases: int32 must equal unbounded integers."""
    rng = np.random.default_rng(seed)
    choices = np.array([-(2**31), -SAMPLE_LIMIT, SAMPLE_LIMIT, 2**31 - 1], np.int32)
    planes = [rng.choice(choices[sign > 0 :], (1, 13, 37)) for _ in range(count)]
    shares = sum(9 * a * b for a, b in layers(count))
    weights = rng.choice(np.array([-sign, sign, sign], np.int8), shares) * np.int8(reference.WEIGHT_LIMIT)
    biases = rng.choice(np.array([-1, 0, 1], np.int32), sum(b for _, b in layers(count))) * np.int32(
        reference.BIAS_LIMIT
    )
    expected = run(reference, planes, step, [0], (weights, biases))
    wide = run(reference, [plane.astype(np.int64) for plane in planes], step, [0], (weights, biases))
    for found, wanted, exact in zip(run(cpu, planes, step, [0], (weights, biases)), expected, wide, strict=True):
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(exact, wanted)
        assert np.abs(found).max() <= SAMPLE_LIMIT


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_strips_make_the_whole(kind):
    """Rows from an even one on depend on `halo` rows around them."""
    count, step = KINDS[kind], 1500
    planes = smooth_planes(np.random.default_rng(1), (1, 61, 44), count)
    (*whole,) = run(cpu, planes, step, [0], kind=kind)
    assert halo(count) <= HALO
    for start in range(0, 61, 10):
        stop = min(start + 10, 61)
        top, end = max(start - halo(count), 0), min(stop + halo(count), 61)
        parts = run(cpu, [np.ascontiguousarray(plane[:, top:end]) for plane in planes], step, [0], kind=kind)
        for part, plane in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(part[:, start - top : stop - top], plane[:, start:stop])


def test_level_does_not_matter():
    """A plane with so much added, in units of the input, is corrected in the same way; a flat one by a constant."""
    step = 64 * 2**5
    (plane,) = smooth_planes(np.random.default_rng(2), (1, 20, 21), 1)
    plane = np.clip(plane, -2000, 2000)
    (one,), (other,) = (run(cpu, [plane + level], step, [0]) for level in (0, 2048))
    np.testing.assert_array_equal(one + 2048, other)


@given(st.integers(1, 9), st.integers(1, 40), seeds)
@settings(max_examples=10)
def test_guides_agree(height, width, seed):
    luma = np.random.default_rng(seed).integers(-(2**31), 2**31, (2, height, width)).astype(np.int32)
    luma[1] >>= 16
    shape = 2, (height + 1) // 2, (width + 1) // 2
    expected, found = np.empty(shape, np.int32), np.empty(shape, np.int32)
    reference.guide(luma, expected)
    cpu.guide(luma, found)
    np.testing.assert_array_equal(found, expected)


def test_shipped_weights_are_within_their_bounds():
    size = 0
    for kind, borders in STEP_BORDERS.items():
        assert list(borders) == sorted(borders)
        shapes = layers(KINDS[kind])
        for step in (1, *borders):
            weights, biases = network(step, kind)
            assert network(max(step - 1, 0), kind)[0] is not weights or step == 1
            assert not weights.flags.writeable and not biases.flags.writeable
            assert weights.size == sum(9 * a * b for a, b in shapes)
            assert np.abs(weights.astype(int)).max() <= reference.WEIGHT_LIMIT
            assert biases.size == sum(b for _, b in shapes) and np.abs(biases).max() <= reference.BIAS_LIMIT
            size += weights.size + 4 * biases.size
            first = weights[: 9 * np.prod(shapes[0])].reshape(shapes[0][1], KINDS[kind], -1)
            assert not first.sum(axis=2, dtype=np.int32).any(), "the first layer does not see the level of a plane"
    assert files(numbers.__package__).joinpath("network.bin").stat().st_size == size < 100_000
