"""Patch stage: kernels against their reference, and both against a walk that turns round at the borders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fill, planes, seeds, sides

from imfnb.color import split_planes
from imfnb.patches import cpu, depatchify, from_blocks, grid_shape, patchify, to_blocks

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


def matrix(blocks: np.ndarray, shape: tuple[int, int], p: int) -> np.ndarray:
    """The patch matrix of a plane from its blocks, whose other lanes are zero."""
    rows, columns = grid_shape(shape, p)
    x = from_blocks(blocks, rows * columns)
    np.testing.assert_array_equal(to_blocks(x), blocks)
    return x


@given(planes(), patch_sizes)
def test_patchify_cpu_is_reference_is_definition(plane, p):
    mine, naive = (patchify(plane[:, :, None], "YCbCr", True, p, device)[0] for device in ("cpu", "reference"))
    np.testing.assert_array_equal(mine, naive)
    np.testing.assert_array_equal(matrix(mine, plane.shape, p), naive_matrix(plane, p))


@pytest.mark.jit
@pytest.mark.parametrize("p", [4, 8, 16, 32])
@pytest.mark.parametrize("patches", [15, 16, 17, 63, 64, 65, 100])
def test_rows_of_patches_that_do_not_fit_blocks(p, patches):
    plane = fill((3 * p - 1, patches * p - 3), "noise", patches)
    x = patchify(plane[:, :, None], "YCbCr", True, p, "cpu")[0]
    np.testing.assert_array_equal(matrix(x, plane.shape, p), naive_matrix(plane, p))


@given(sides, sides, st.sampled_from([3, 4]), patch_sizes, st.booleans(), seeds)
def test_patches_of_color_are_those_of_its_planes(height, width, channels, p, subsample, seed):
    """The pass over strips of the image gives what the two stages give one after the other."""
    image = fill((height, width, channels), "noise", seed)
    planes_ = split_planes(image, "YCbCr", subsample, "reference")
    expected = [naive_matrix(plane, p) for plane in planes_]
    for device in ("cpu", "reference"):
        blocks = patchify(image, "YCbCr", subsample, p, device)
        assert len(blocks) == channels
        for x, plane, naive in zip(blocks, planes_, expected, strict=True):
            np.testing.assert_array_equal(matrix(x, plane.shape, p), naive)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_rgb_is_concatenated(device):
    image = fill((7, 9, 4), "noise", 3)
    x, alpha = patchify(image, "RGB", False, 4, device)
    assert x.shape[:2] == (1, 48)
    for c in range(3):
        np.testing.assert_array_equal(matrix(x[:, 16 * c : 16 * (c + 1)], (7, 9), 4), naive_matrix(image[:, :, c], 4))
    np.testing.assert_array_equal(matrix(alpha, (7, 9), 4), naive_matrix(image[:, :, 3], 4))


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_no_patches_is_the_plane(device):
    plane = fill((5, 8), "noise", 1)
    (x,) = patchify(plane[:, :, None], "YCbCr", True, None, device)
    np.testing.assert_array_equal(from_blocks(x, 5), plane)


@given(planes())
def test_blocks_of_any_matrix(plane):
    blocks = to_blocks(plane)
    np.testing.assert_array_equal(from_blocks(blocks, len(plane)), plane)
    np.testing.assert_array_equal(to_blocks(np.asfortranarray(plane)), blocks)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@given(plane=planes(), p=st.sampled_from([4, 8]))
def test_depatchify_inverts_patchify(device, plane, p):
    """With V the identity, U V^T is X."""
    x = matrix(patchify(plane[:, :, None], "YCbCr", True, p, device)[0], plane.shape, p)
    planes_out = depatchify(x.astype(np.int16), np.eye(p * p, dtype=np.int16), plane.shape, p, 255, device)
    assert len(planes_out) == 1
    np.testing.assert_array_equal(planes_out[0], plane)


@given(
    sides,
    sides,
    st.sampled_from([4, 8, 16, 32, None]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 15),
    seeds,
)
def test_depatchify_is_the_clipped_product(height, width, p, rank, count, bits, seed):
    """Against the product in 64-bit integers, from one-bit factors up to the largest that a file can hold."""
    if p is None:
        rows, columns, count = height, width, 1
    else:
        grid = grid_shape((height, width), p)
        rows, columns = grid[0] * grid[1], count * p * p
    rng, bound = np.random.default_rng(seed), 2**bits - 1
    dtype = np.int8 if bits <= 7 and seed % 2 else np.int16
    u = rng.integers(-bound, bound, (rows, rank), dtype, endpoint=True)
    v = rng.integers(-bound, bound, (columns, rank), dtype, endpoint=True)
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


@pytest.mark.parametrize("rank", [1, 3, 4, 5, 20, 64])
@pytest.mark.parametrize("p", [4, 8, 16])
def test_products_of_bytes_at_their_bounds(rank, p):
    """Factors of -128 and 127 in either kernel of the CPU; the largest sum is 64 * 128**2."""
    rng = np.random.default_rng(rank)
    u, v = (rng.choice(np.array([-128, 127, -1, 0, 1], np.int8), (count, rank)) for count in (6, p * p))
    expected = np.clip(u.astype(int) @ v.T.astype(int), 0, 255)
    vt = np.ascontiguousarray(v.T, np.float32)
    for kernel in (cpu.depatchify, cpu._depatchify_floats):
        plane = np.empty((2 * p - 1, 3 * p - 2), np.uint8)
        kernel(np.asfortranarray(u), vt, p, p, plane)
        tiles = expected.reshape(2, 3, p, p).transpose(0, 2, 1, 3).reshape(2 * p, 3 * p)
        np.testing.assert_array_equal(plane, tiles[: plane.shape[0], : plane.shape[1]])


def test_grid_shape_rounds_up():
    assert grid_shape((1, 1), 8) == (1, 1)
    assert grid_shape((8, 9), 8) == (1, 2)
    assert grid_shape((33, 64), 32) == (2, 2)
