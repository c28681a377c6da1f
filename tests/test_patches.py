"""Patch stage: kernels against their reference, and both against a walk that turns round at the borders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fill, planes, seeds, sides

from imfnb.patches import cpu, depatchify, grid_shape, patchify, reference

patch_sizes = st.sampled_from([4, 8, 16, 32])


def bounce(size: int):
    """0, 1, .., size - 1, size - 2, .., 1, 0, 1, ..: the positions of an axis that is extended by reflection."""
    yield from itertools.cycle([*range(size), *range(size - 2, 0, -1)])


def naive_matrix(plane: np.ndarray, p: int) -> np.ndarray:
    """The patch matrix straight from its definition."""
    rows, columns = grid_shape(plane.shape, p)
    ys = list(itertools.islice(bounce(plane.shape[0]), rows * p))
    xs = list(itertools.islice(bounce(plane.shape[1]), columns * p))
    extended = plane[np.ix_(ys, xs)]
    blocks = [extended[i : i + p, j : j + p].ravel() for i in range(0, rows * p, p) for j in range(0, columns * p, p)]
    return np.array(blocks)


@given(planes(), patch_sizes)
def test_patchify_cpu_is_reference_is_definition(plane, p):
    rows, columns = grid_shape(plane.shape, p)
    mine, naive = (np.empty((p * p, rows * columns), np.uint8) for _ in range(2))
    cpu.patchify(plane, p, mine)
    reference.patchify(plane, p, naive)
    np.testing.assert_array_equal(mine, naive)
    np.testing.assert_array_equal(mine.T, naive_matrix(plane, p))


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_several_planes_are_concatenated(device):
    three = [fill((7, 9), "noise", seed) for seed in range(3)]
    x = patchify(three, 4, device)
    assert x.shape == (6, 48) and x.flags.f_contiguous
    for c in range(3):
        np.testing.assert_array_equal(x[:, 16 * c : 16 * (c + 1)], naive_matrix(three[c], 4))


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_no_patches_is_the_plane(device):
    plane = fill((5, 8), "noise", 1)
    x = patchify([plane], None, device)
    assert x.flags.f_contiguous
    np.testing.assert_array_equal(x, plane)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@given(plane=planes(), p=st.sampled_from([4, 8]))
def test_depatchify_inverts_patchify(device, plane, p):
    """With V the identity, U V^T is X."""
    x = patchify([plane], p, device)
    planes_out = depatchify(x.astype(np.int16), np.eye(p * p, dtype=np.int16), plane.shape, p, 255, device)
    assert len(planes_out) == 1
    np.testing.assert_array_equal(planes_out[0], plane)


@given(sides, sides, st.sampled_from([4, 8, None]), st.integers(1, 5), st.integers(1, 3), st.integers(1, 15), seeds)
def test_depatchify_is_the_clipped_product(height, width, p, rank, count, bits, seed):
    """Against the product in 64-bit integers, from one-bit factors up to the largest that a file can hold."""
    if p is None:
        rows, columns, count = height, width, 1
    else:
        grid = grid_shape((height, width), p)
        rows, columns = grid[0] * grid[1], count * p * p
    rng, bound = np.random.default_rng(seed), 2**bits - 1
    u = rng.integers(-bound, bound, (rows, rank), np.int16, endpoint=True)
    v = rng.integers(-bound, bound, (columns, rank), np.int16, endpoint=True)
    x = np.clip(u.astype(np.int64) @ v.T.astype(np.int64), 0, 255)
    results = {device: depatchify(u, v, (height, width), p, bound, device) for device in ("cpu", "reference")}
    for c in range(count):
        plane = results["cpu"][c]
        assert plane.dtype == np.uint8
        np.testing.assert_array_equal(plane, results["reference"][c])
        if p is None:
            np.testing.assert_array_equal(plane, x)
        else:
            tiles = x[:, c * p * p : (c + 1) * p * p].reshape(*grid, p, p)
            np.testing.assert_array_equal(plane, np.block([list(line) for line in tiles])[:height, :width])


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_depatchify_keeps_every_bit_of_large_products(device):
    """About 2**30, plus 7, minus the same: float32 would lose the 7."""
    u = np.array([[2**15 - 1, 7, 2**15 - 1]], np.int16)
    v = np.array([[2**15 - 1, 1, 1 - 2**15]], np.int16)
    assert depatchify(u, v, (1, 1), None, 2**15 - 1, device)[0] == 7


def test_grid_shape_rounds_up():
    assert grid_shape((1, 1), 8) == (1, 1)
    assert grid_shape((8, 9), 8) == (1, 2)
    assert grid_shape((33, 64), 32) == (2, 2)
